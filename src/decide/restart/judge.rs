//! Whether a workload is restarted now.

use serde_json::{Value, json};

use super::obstacle::Obstacle;
use super::workload::{Workload, WorkloadKind};
use super::{Due, after};
use crate::api::names::CREDENTIAL_ANNOTATION;
use crate::decide::time::stamp;

/// What becomes of a workload whose pods hold a former credential.
#[derive(Clone, Debug, PartialEq)]
pub enum Verdict {
    /// This merge patch restarts it, unless somebody has changed it since.
    Restart(Value),
    /// Its pods are being replaced.
    Rolling,
    /// It is not restarted: this is in the way.
    Pending(Obstacle),
    /// It goes, and its pods with it.
    Leaving,
}

/// What becomes of a workload some of whose pods are stale. `revision` is the one that these were made by, where that is
/// known.
#[must_use]
pub fn judge(workload: &Workload, revision: Option<&str>, due: &Due) -> Verdict {
    if workload.is_being_deleted() {
        return Verdict::Leaving;
    }
    if let Some(obstacle) = Obstacle::to(workload) {
        return Verdict::Pending(obstacle);
    }
    // A template for another OAuthClient, or for none, replaces these pods by itself.
    let is_for_another = workload.client().is_some_and(|client| client != Some(&due.name));
    if is_for_another || is_asked_for(workload, due) || workload.is_replacing(revision) {
        return Verdict::Rolling;
    }
    let spec = match workload.kind {
        WorkloadKind::Rollout => json!({ "restartAt": stamp(after(due)) }),
        WorkloadKind::Deployment | WorkloadKind::StatefulSet | WorkloadKind::DaemonSet => {
            json!({ "template": { "metadata": { "annotations": { CREDENTIAL_ANNOTATION: due.client_id } } } })
        }
    };
    Verdict::Restart(json!({ "metadata": { "resourceVersion": workload.version() }, "spec": spec }))
}

fn is_asked_for(workload: &Workload, due: &Due) -> bool {
    match workload.kind {
        WorkloadKind::Rollout => workload.restart_at().is_some_and(|at| at >= after(due)),
        WorkloadKind::Deployment | WorkloadKind::StatefulSet | WorkloadKind::DaemonSet => {
            workload.restarted_for() == Some(due.client_id.as_str())
        }
    }
}

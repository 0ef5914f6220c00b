//! What a project's status is written with.

use kube::ResourceExt;
use kube::api::{Patch, PatchParams};
use serde_json::json;
use std::time::Duration;
use tokio::time::Instant;

use super::finalizer;
use super::object::ProjectObject;
use super::reconcile::{Executor, WRITE_RETRY};
use crate::api::names::MANAGER;
use crate::decide::project::no_access::namespaces_withheld;
use crate::decide::project::report::{ReportInput, is_urgent, report};
use crate::decide::project::schedule;
use crate::decide::time::remark;
use crate::kubernetes::patch::difference;
use crate::kubernetes::within;

impl Executor<'_> {
    /// Writes the status, if it differs. Returns how long until that is to be tried again.
    pub(super) async fn write_status<K: ProjectObject>(&self, object: &K) -> Duration {
        let key = object.key();
        let abandoned = self.projects.take_abandoned(&key);
        let Some(check) = self.checks.change(&key, |check| check.swept.add(abandoned)) else {
            return Duration::MAX;
        };
        let in_use_by = self
            .users
            .names(&key)
            .filter(|users| !users.is_empty() && finalizer::is_deleted(object) && finalizer::is_on(object));
        let (present, note) = (object.present_status(), self.note(object));
        let status = report(
            &present,
            &ReportInput {
                generation: object.meta().generation.unwrap_or_default(),
                failure: check.failure.as_ref(),
                project_id: self.projects.get(&key).and_then(|known| known.project).map(|p| p.project_id.clone()),
                clients: self.users.count(&key),
                orphans: &check.swept.orphans,
                note: note.as_deref(),
                in_use_by: in_use_by.as_deref(),
                clock: remark(self.clock.skew()).as_deref(),
                now: self.clock.now(),
            },
        );
        if status == present {
            return Duration::MAX;
        }
        let pause = schedule::status_pause(check.status_written.map(|written| written.elapsed()));
        if !pause.is_zero() && !is_urgent(&present, &status) {
            return pause;
        }
        let patch = json!({
            "metadata": { "resourceVersion": object.resource_version() },
            "status": difference(&json!(present), &json!(status)),
        });
        let api = K::api(self.requests.clone(), object.namespace().as_deref());
        let params = PatchParams { field_manager: Some(MANAGER.to_owned()), ..PatchParams::default() };
        match within("write the project's status", api.patch_status(&key.name, &params, &Patch::Merge(patch))).await {
            Ok(_) => {
                self.checks.change(&key, |check| check.status_written = Some(Instant::now()));
                Duration::MAX
            }
            // The newer version enqueues this project again.
            Err(error) if error.is_conflict() => Duration::MAX,
            Err(error) => {
                tracing::warn!(project = %key, "{}", error.of_object().message);
                WRITE_RETRY
            }
        }
    }

    /// What does not keep the project from being used, but should be known.
    fn note<K: ProjectObject>(&self, object: &K) -> Option<String> {
        let said = self.projects.namespaces_withheld()?;
        let concerned = object.allowed().goes_by_labels() || object.adoption().goes_by_labels();
        concerned.then(|| namespaces_withheld(&object.key(), &said).message)
    }
}

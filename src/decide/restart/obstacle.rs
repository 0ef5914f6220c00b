//! Why a workload is not restarted, and what to do instead.

use k8s_openapi::apimachinery::pkg::apis::meta::v1::OwnerReference;

use super::workload::{Workload, WorkloadKind};
use crate::api::names::{CREDENTIAL_ANNOTATION, SECRET_NAME_ANNOTATION};

/// Why pods with a former credential are not restarted, and what their owner may do: the end of a sentence.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Obstacle(String);

impl Obstacle {
    /// What is in the way of restarting a workload; `None` if nothing is.
    pub(super) fn to(workload: &Workload) -> Option<Self> {
        let text = if let Some(owner) = workload.controller() {
            format!("{} {} controls it; restart it there", owner.kind, owner.name)
        } else if workload.has_no_replicas() {
            "it is scaled to no replicas; pods that it gets later have the new credential".to_owned()
        } else if workload.is_paused() {
            match workload.kind {
                WorkloadKind::Deployment => {
                    let (name, namespace) = (workload.name(), workload.namespace());
                    format!(
                        "it is paused; `kubectl rollout resume deployment/{name} -n {namespace}`, and it is restarted"
                    )
                }
                WorkloadKind::StatefulSet | WorkloadKind::DaemonSet | WorkloadKind::Rollout => {
                    "it is paused; resume it, and it is restarted".to_owned()
                }
            }
        } else if workload.holds_pods_back() {
            format!("its update strategy replaces no pods by itself (OnDelete, or a partition); {BY_HAND}")
        } else {
            return None;
        };
        Some(Self(text))
    }

    /// The obstacle of pods that no workload made.
    #[must_use]
    pub fn of_bare_pod() -> Self {
        Self("no workload would make it anew; delete it and create it again".to_owned())
    }

    /// The pods read another Secret than the one with the new credential.
    #[must_use]
    pub fn of_other_secret(read: &str, written: &str) -> Self {
        Self(format!(
            "its pods read Secret {read}, and the new credential is in {written}; set {SECRET_NAME_ANNOTATION} of the pod \
             template to {written}, or bring the credential to {read} and restart it yourself"
        ))
    }

    /// Somebody has taken the annotation away, again.
    #[must_use]
    pub fn undone() -> Self {
        Self(format!("it was restarted twice, and somebody took {CREDENTIAL_ANNOTATION} away; restart it yourself"))
    }

    /// The API server does not take the restart, and said why.
    #[must_use]
    pub fn refused(said: &str) -> Self {
        Self(format!("the API server refuses the change of its pod template ({said}); allow it, and it is restarted"))
    }

    /// The whole sentence, for an Event on the workload or on the pod.
    #[must_use]
    pub fn sentence(&self, client: &str) -> String {
        format!("has a former credential of OAuthClient {client} in its environment and is not restarted: {}", self.0)
    }
}

const BY_HAND: &str = "delete its pods one by one, and each comes back with the new credential";

/// The obstacle of pods that were made by something that is no workload to be restarted.
#[must_use]
pub fn of_other_owner(owner: &OwnerReference) -> Obstacle {
    Obstacle(match owner.kind.as_str() {
        "Job" => "a Job runs to its end; if the former client ends before it does, start the Job anew".to_owned(),
        kind @ ("ReplicaSet" | "ReplicationController") => {
            format!("a {kind} is nothing that the operator restarts; {BY_HAND}")
        }
        kind => format!("a {kind} is nothing that the operator restarts; restart it by its own means"),
    })
}

/// What the OAuthClient is told if the operator may not do it.
#[must_use]
pub fn not_permitted(said: &str) -> String {
    format!(
        "pods have a former credential in their environment, and the operator may not restart their workloads ({said}); \
         install it with rollout.enabled and rbac.pods, or restart them yourself: kubectl rollout restart"
    )
}

/// What the OAuthClient is told if the operator may not see pods.
#[must_use]
pub fn unseen() -> String {
    "the operator may not see pods, and so restarts no workload; install it with rollout.enabled and rbac.pods, or restart \
     yourself what reads the Secret as variables: kubectl rollout restart"
        .to_owned()
}

/// Whether a refusal (403) is for want of a right; else some admission has refused this one object.
#[must_use]
pub fn lacks_right(said: &str) -> bool {
    said.contains(" cannot patch resource ")
}

//! Which workloads are restarted so that their pods get the credential that took the place of a former one, and which
//! are not, and why.
//!
//! A restart is one annotation on the pod template that names the client: whoever asks for it asks for the same, and
//! who asks again changes nothing. Nothing is remembered: what is stale is read from pods, and what was asked for from
//! workloads.

mod judge;
mod obstacle;
mod pace;
mod workload;

use std::time::Duration;

use jiff::Timestamp;
use k8s_openapi::api::core::v1::ObjectReference;
use k8s_openapi::apimachinery::pkg::apis::meta::v1::OwnerReference;

use crate::api::condition::{ConditionType, find};
use crate::api::oauth_client::OAuthClient;
use crate::decide::client::desired::Essentials;
use crate::decide::client::holders::{Holder, Holders};
use crate::decide::time::later;

pub use judge::{Verdict, judge};
pub use obstacle::{Obstacle, lacks_right, not_permitted, of_other_owner, unseen};
pub use pace::Pace;
pub use workload::{REPLICA_SET_REVISION, Workload, WorkloadKind};

/// An OAuthClient whose client was replaced, and which wants the pods with the former credential restarted.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Due {
    /// The OAuthClient.
    pub name: String,
    /// The client whose credential is to be in the pods.
    pub client_id: String,
    /// When it took the place of the last one before it.
    pub replaced_at: Timestamp,
    /// The Secret with its credential.
    pub secret: String,
}

/// What a restart of an OAuthClient's pods would be for; `None` if it wants none, or none is due.
///
/// Nothing is due while its client may be gone: the pods would be restarted again for the next one.
#[must_use]
pub fn due(object: &OAuthClient) -> Option<Due> {
    let (spec, status) = (&object.spec, object.status.as_ref()?);
    let is_wanted = spec.rollout.as_ref()?.restart.as_deref() == Some("Injected");
    let conditions = status.conditions.as_deref().unwrap_or_default();
    let is_ready = find(conditions, ConditionType::Ready).is_some_and(|ready| ready.status == "True");
    let is_leaving = object.metadata.deletion_timestamp.is_some();
    if !is_wanted || !is_ready || is_leaving || spec.suspend == Some(true) {
        return None;
    }
    let retired = status.retiring.iter().flatten().filter_map(|former| former.replaced_at.as_ref());
    let replaced_at = retired.chain(&status.last_replaced_at).map(|at| at.0).max()?;
    let client_id = status.client_id.clone().filter(|id| !id.is_empty())?;
    let name = object.metadata.name.clone().unwrap_or_default();
    Some(Due { client_id, replaced_at, secret: Essentials::read(spec, &name).secret_name, name })
}

impl Due {
    /// Whether a pod that is created now is none from before: the times of pods are whole seconds.
    #[must_use]
    pub fn is_over(&self, now: Timestamp) -> bool {
        now >= after(self)
    }

    /// The pods that hold a former credential in their environment and will run on with it.
    #[must_use]
    pub fn stale<'a>(&self, holders: &'a Holders) -> Vec<&'a Holder> {
        let Holders::Seen(holders) = holders else { return Vec::new() };
        holders.iter().filter(|holder| holder.is_from_before(self.replaced_at) && !holder.ending).collect()
    }
}

/// A time at which no pod from before is created any more.
fn after(due: &Due) -> Timestamp {
    later(due.replaced_at, Duration::from_secs(1))
}

/// The object that an owner reference names.
#[must_use]
pub fn reference(namespace: &str, owner: &OwnerReference) -> ObjectReference {
    ObjectReference {
        api_version: Some(owner.api_version.clone()),
        kind: Some(owner.kind.clone()),
        namespace: Some(namespace.to_owned()),
        name: Some(owner.name.clone()),
        uid: Some(owner.uid.clone()),
        ..ObjectReference::default()
    }
}

#[cfg(test)]
mod tests;

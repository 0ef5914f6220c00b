//! An OAuthClient that is being deleted.
//!
//! The pass checks first whether OAuthClients are still kept at all: when their CRD is deleted, each object is released
//! as with the policy `Retain`, since nobody deleted them one by one.

use serde::{Deserialize, Serialize};

use super::conclude::blocked_without_calls;
use super::step::{Removal, Step};
use super::unpublished::own_waste;
use crate::decide::client::change::Change;
use crate::decide::client::observed::{CrdState, Observed, Ownership, Remote, RemoteClient, Secret, StepFailure};
use crate::decide::failure::Failure;
use crate::decide::id::ClientId;
use crate::decide::marker::{Marker, Policy};

/// How an object goes.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, Serialize, Deserialize)]
pub struct Deletion {
    /// What becomes of its client.
    pub policy: Policy,
    /// Whether a person gave up on a client that cannot be deleted.
    pub forced: bool,
}

impl Default for Deletion {
    /// No deletionPolicy, no force-release.
    fn default() -> Self {
        Self { policy: Policy::Delete, forced: false }
    }
}

/// The next step for an object that is being deleted, or gone.
pub(super) fn deleted(deletion: Deletion, observed: &Observed) -> Step {
    if observed.object_gone || !observed.object.finalizer {
        let waste = observed.pending.client_id().filter(|_| observed.failure.is_none());
        return waste.map_or(Step::Rest, own_waste);
    }
    // A failed call of MeshAgent may be passed over below; a write that then meets a newer version needs a live read.
    if observed.stale && observed.failure.as_ref().is_none_or(|failure| failure.at.is_remote()) {
        return Step::ReadLive;
    }
    match (&observed.failure, observed.crd, deletion.policy) {
        (Some(StepFailure { failure, at }), _, _) if !at.is_remote() => {
            blocked_without_calls(observed, failure.clone())
        }
        (Some(StepFailure { failure, .. }), _, _) => without_calls(deletion, observed, failure.clone()),
        (None, None, _) => Step::CheckCrd,
        (None, Some(crd @ CrdState::Away), _) | (None, Some(crd @ CrdState::Established), Policy::Retain) => {
            mark(observed, crd).unwrap_or_else(|| release(observed))
        }
        (None, Some(CrdState::Established), Policy::Delete) => {
            remote_step(observed).unwrap_or_else(|| let_go(observed))
        }
    }
}

/// The object goes as far as it can while MeshAgent cannot be asked.
pub(super) fn without_calls(deletion: Deletion, observed: &Observed, failure: Failure) -> Step {
    if observed.object_gone || !observed.object.finalizer {
        return Step::Rest;
    }
    match (observed.crd, deletion.policy) {
        (Some(CrdState::Away), _) | (Some(CrdState::Established), Policy::Retain) => release(observed),
        (Some(CrdState::Established), Policy::Delete) if deletion.forced => abandon(observed),
        (Some(CrdState::Established), Policy::Delete) | (None, _) => blocked_without_calls(observed, failure),
    }
}

/// What is left to do at MeshAgent.
fn remote_step(observed: &Observed) -> Option<Step> {
    if let Some(step) = examine_and_delete(observed) {
        return Some(step);
    }
    if observed.listing.is_none() && has_doubtful_tokens(observed) {
        return Some(Step::List);
    }
    let (client_id, ..) = observed.of_this_uid().next()?;
    Some(Step::Delete { client_id: client_id.clone(), because: Removal::ObjectDeleted })
}

/// Makes the clients that are given up known, then lets the object go.
fn abandon(observed: &Observed) -> Step {
    let recorded = &observed.object.recorded;
    let retiring = recorded.retiring.iter().map(|former| &former.client_id);
    let mut client_ids: Vec<ClientId> = recorded.client_id.iter().chain(retiring).cloned().collect();
    client_ids.extend(observed.of_this_uid().map(|(client_id, ..)| client_id.clone()));
    client_ids.extend(observed.secret.stored().and_then(|stored| stored.client_id.clone()));
    client_ids.extend(observed.pending.client_id().cloned());
    client_ids.sort();
    client_ids.dedup();
    if observed.abandoned || client_ids.is_empty() { let_go(observed) } else { Step::Abandon { client_ids } }
}

/// Lets object and Secret go. The Secret goes by its owner reference; the pass deletes a Secret without one, and a
/// Secret that the garbage collector was told to leave.
fn let_go(observed: &Observed) -> Step {
    if may_have_secret(observed) {
        return Step::ReadLive;
    }
    if let Secret::Ours(stored) = &observed.secret
        && (!stored.owned || observed.object.orphaning)
    {
        return Step::DeleteSecret { leftover: false, version: stored.version.clone() };
    }
    Step::RemoveFinalizer { version: observed.object.version.clone() }
}

/// Whether there may be a Secret that the cache does not show: the cache holds only what bears the label, and may lag.
fn may_have_secret(observed: &Observed) -> bool {
    let recorded = &observed.object.recorded;
    let expected = recorded.client_id.is_some() && !recorded.is_secretless();
    expected && observed.secret == Secret::Absent && observed.live.is_none()
}

/// Lets the object go; client and Secret stay. Marking the client at MeshAgent is tried once: the Secret says that the
/// client is retained as well, and the sweep marks it when it can.
fn release(observed: &Observed) -> Step {
    if may_have_secret(observed) {
        return Step::ReadLive;
    }
    match &observed.secret {
        Secret::Ours(stored) if stored.owned || !stored.retained => {
            Step::ReleaseSecret { version: stored.version.clone(), retained: true }
        }
        Secret::Ours(_) | Secret::Foreign(_) | Secret::Absent => {
            Step::RemoveFinalizer { version: observed.object.version.clone() }
        }
    }
}

/// What is left to say at MeshAgent of the clients.
fn mark(observed: &Observed, crd: CrdState) -> Option<Step> {
    let recorded = &observed.object.recorded;
    if let Some(client_id) = observed.pending.client_id() {
        let published = recorded.names(client_id) || observed.holds(client_id);
        // The pass deletes nothing while the CRD is away: the sweep finds later what was never published.
        let waste = !published && crd == CrdState::Established;
        return Some(if waste { own_waste(client_id) } else { Step::Forget });
    }
    if crd == CrdState::Established
        && let Some(step) = clean(observed)
    {
        return Some(step);
    }
    let stays = recorded.client_id.iter().map(|client_id| (client_id, true));
    // Pods may still hold a former client; when its overlap ends, only the sweep is left to delete it.
    let goes = recorded.retiring.iter().map(|former| (&former.client_id, false));
    stays.chain(goes).find_map(|(client_id, stays)| match observed.remote.get(client_id) {
        None | Some(Remote::Listed(_) | Remote::PutIgnored(_)) => Some(Step::Get { client_id: client_id.clone() }),
        Some(Remote::Read(client)) => mark_one(observed, client_id, client, stays),
        Some(Remote::Missing | Remote::Absent | Remote::Deleted) => None,
    })
}

/// Removes what POSTs of unknown outcome left beside the client that stays: nobody would later under its policy.
fn clean(observed: &Observed) -> Option<Step> {
    let object = &observed.object;
    if object.unknown.is_empty() {
        return None;
    }
    let Some(listed) = observed.listing else {
        return Some(Step::List);
    };
    if observed.live.is_none_or(|live| live <= listed) {
        return Some(Step::ReadLive);
    }
    let is_waste = |client_id: &ClientId, marker: &Marker| {
        let doubtful = object.unknown.contains(&marker.token);
        doubtful && !object.recorded.names(client_id) && !observed.holds(client_id)
    };
    let (client_id, ..) = observed.of_this_uid().find(|(client_id, _, marker)| is_waste(client_id, marker))?;
    Some(Step::Delete { client_id: client_id.clone(), because: Removal::Disowned })
}

/// Marks a client as retained, or as one that is to go.
fn mark_one(observed: &Observed, client_id: &ClientId, client: &RemoteClient, stays: bool) -> Option<Step> {
    let present = client.marker.as_ref().filter(|marker| marker.owner.uid == observed.object.uid)?;
    let policy = if stays { Policy::Retain } else { Policy::Delete };
    let marker = Marker { policy, retained: stays, ..present.clone() };
    if &marker == present {
        return None;
    }
    let change = Change { metadata: Some((client.settings.metadata.clone(), marker)), ..Change::default() };
    let (client_id, result) = (client_id.clone(), Box::new(change.applied_to(client)));
    Some(Step::Put { client_id, result, change: Box::new(change) })
}

/// Deletes the clients that the object, its Secret or this process names. A client that bears another's marker stays. A
/// client that this process does not hold, and status and Secret do not both name, is read first: either can be edited.
fn examine_and_delete(observed: &Observed) -> Option<Step> {
    let recorded = &observed.object.recorded;
    let stored = observed.secret.stored().and_then(|stored| stored.client_id.as_ref());
    let held = observed.pending.client_id();
    let retiring = recorded.retiring.iter().map(|retiring| &retiring.client_id);
    let named = held.into_iter().chain(stored).chain(&recorded.client_id).chain(retiring);
    for client_id in named {
        let certain = held == Some(client_id) || stored == recorded.client_id.as_ref() && stored == Some(client_id);
        let ours = match observed.remote.get(client_id) {
            Some(Remote::Missing | Remote::Absent | Remote::Deleted) => false,
            Some(Remote::Listed(client) | Remote::PutIgnored(client) | Remote::Read(client)) => match &client.marker {
                Some(marker) => marker.owner.uid == observed.object.uid,
                None => certain,
            },
            None if certain => true,
            None => {
                return Some(Step::Get { client_id: client_id.clone() });
            }
        };
        if ours {
            return Some(Step::Delete { client_id: client_id.clone(), because: Removal::ObjectDeleted });
        }
    }
    None
}

/// Whether a POST may have made a client that nothing names.
fn has_doubtful_tokens(observed: &Observed) -> bool {
    let object = &observed.object;
    let certain = match observed.ownership() {
        Ownership::Published(_, _, client_id) => object.recorded.client_id.as_ref() == Some(client_id),
        Ownership::Unpublished if object.recorded.is_secretless() => true,
        Ownership::Unpublished | Ownership::Foreign(_) | Ownership::Displaced(_) => object.token.is_none(),
    };
    !certain || !object.unknown.is_empty()
}

//! An OAuthClient that is being deleted.

use super::conclude::blocked;
use super::step::{Removal, Step};
use super::{Standing, of_this_uid, own_waste, standing};
use crate::decide::observed::{Observed, Remote};

/// The object is being deleted, or gone.
pub(super) fn absent(observed: &Observed) -> Step {
    if let Some(failure) = &observed.failure {
        return blocked(observed, failure.clone());
    }
    if observed.stale && !observed.object_gone {
        return Step::ReadLive;
    }
    if observed.object_gone || !observed.object.finalizer {
        return observed.held.client_id().map_or(Step::Rest, own_waste);
    }
    if let Some(step) = examine_and_delete(observed) {
        return step;
    }
    if observed.listing.is_none() && has_doubtful_tokens(observed) {
        return Step::List;
    }
    match of_this_uid(observed).next() {
        Some((client_id, _)) => Step::Delete { client_id: client_id.clone(), because: Removal::ObjectDeleted },
        None => Step::RemoveFinalizer { version: observed.object.version.clone() },
    }
}

/// Deletes the clients that the object, its Secret or this process names. One that bears another's marker stays, and
/// one that only the status names (a status can be edited) is looked at first.
fn examine_and_delete(observed: &Observed) -> Option<Step> {
    let recorded = &observed.object.recorded;
    let stored = observed.secret.stored().and_then(|stored| stored.client_id.as_ref());
    let held = observed.held.client_id();
    let retiring = recorded.retiring.iter().map(|retiring| &retiring.client_id);
    let named = held.into_iter().chain(stored).chain(&recorded.client_id).chain(retiring);
    for client_id in named {
        let certain = held == Some(client_id) || stored == recorded.client_id.as_ref() && stored == Some(client_id);
        let ours = match observed.remote.get(client_id) {
            Some(Remote::Missing(_) | Remote::Absent | Remote::Deleted) => false,
            Some(Remote::Listed(client) | Remote::Read(client)) => match &client.marker {
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
    let settled = match standing(object, &observed.secret) {
        Standing::Published(_, _, client_id) => object.recorded.client_id.as_ref() == Some(client_id),
        Standing::Unpublished | Standing::Foreign | Standing::Displaced(_) => object.token.is_none(),
    };
    !settled || !object.unknown.is_empty()
}

//! A Secret of ours under another token than the object's: `kubectl replace`, or an intent that nobody wants any more.

use super::adoption::is_adopted;
use super::converge::converge;
use super::cooldown::{Because, refused, rotation_waits};
use super::create::create;
use super::step::Step;
use super::token::{intent, unspent};
use crate::decide::client::change::Wanted;
use crate::decide::client::observed::{Credential, Observed, Remote, Stored};
use crate::decide::id::ClientId;

/// The Secret does not count: what it holds is taken back, or another client takes its place.
pub(super) fn displaced(wanted: &Wanted, observed: &Observed, stored: &Stored) -> Step {
    let recorded = observed.object.recorded.client_id.as_ref();
    if let Some(recorded) = recorded.filter(|recorded| stored.client_id.as_ref() == Some(recorded)) {
        return take_back_recorded(wanted, observed, stored, recorded);
    }
    match (&stored.credential, &stored.client_id) {
        // The id in the annotation may be all that was altered: the data decides.
        (Credential::Unread, _) => Step::ReadSecret,
        (Credential::AsRecorded, _) => match recorded {
            Some(recorded) => take_back_recorded(wanted, observed, stored, recorded),
            None => create(wanted, observed, Because::Unrecorded),
        },
        (Credential::Other(_), Some(client_id)) if !observed.object.recorded.names(client_id) => {
            take_back_unrecorded(wanted, observed, stored, client_id)
        }
        (Credential::Other(_) | Credential::Broken, Some(_) | None) => create(wanted, observed, Because::Unrecorded),
    }
}

/// The Secret holds the recorded client.
fn take_back_recorded(wanted: &Wanted, observed: &Observed, stored: &Stored, client_id: &ClientId) -> Step {
    // A Secret that has to move is left first, as in `converge`.
    let rotates = observed.object.rotation_asked && !stored.misplaced && !is_adopted(wanted, observed);
    if rotates && rotation_waits(observed).is_none() {
        return create(wanted, observed, Because::Rotation);
    }
    if observed.remote.get(client_id) == Some(&Remote::Absent) {
        return create(wanted, observed, Because::Gone);
    }
    match stored.credential {
        Credential::Unread => Step::ReadSecret,
        Credential::Other(_) | Credential::Broken => create(wanted, observed, Because::of_missing_secret(observed)),
        Credential::AsRecorded => match (refused(observed), &stored.token) {
            // The object's token was never spent, and waits for the next try.
            (Some(_), Some(token)) => converge(wanted, observed, stored, token, client_id),
            (Some(_) | None, _) => move_token(observed, stored, client_id),
        },
    }
}

/// The Secret holds a client that was published and never recorded, since the object's token was taken off meanwhile.
/// Pods may have read its credential, or it is a retained one that was just taken over, so it is not replaced by yet
/// another: the recorded client, if there is one, retires in its favour.
/// The client's own marker has to name this object: anybody who may write the Secret could name any client in it. (The
/// marker's token says nothing: the Secret's moves on each time that the credential is taken back.)
fn take_back_unrecorded(wanted: &Wanted, observed: &Observed, stored: &Stored, client_id: &ClientId) -> Step {
    let client = match observed.remote.get(client_id) {
        None => return Step::Get { client_id: client_id.clone() },
        Some(Remote::Missing) => return Step::List,
        Some(Remote::Absent | Remote::Deleted) => None,
        Some(Remote::Listed(client) | Remote::PutIgnored(client) | Remote::Read(client)) => Some(client),
    };
    let marker = client.and_then(|client| client.marker.as_ref());
    let ours = marker.is_some_and(|marker| marker.owner == wanted.owner);
    if ours { move_token(observed, stored, client_id) } else { create(wanted, observed, Because::Unrecorded) }
}

/// A fresh token for object and Secret, so that no pass that froze before its own swap can still swap.
fn move_token(observed: &Observed, stored: &Stored, client_id: &ClientId) -> Step {
    match unspent(observed) {
        Some(token) => {
            Step::MoveToken { token: token.clone(), client_id: client_id.clone(), version: stored.version.clone() }
        }
        None => intent(observed),
    }
}

//! A Secret that is not ours: it is left alone, unless it is to be adopted with its client, or was retained for us.

use super::conclude::blocked;
use super::cooldown::Because;
use super::create::{instead_of_creating, remove_waste};
use super::step::Step;
use super::token::with_fresh_token;
use crate::api::Reason;
use crate::decide::client::change::Wanted;
use crate::decide::client::observed::{Content, Foreign, Observed, Remote};
use crate::decide::failure::Failure;
use crate::decide::id::{ClientId, Uid};
use crate::decide::marker::Marker;

pub(super) fn foreign(wanted: &Wanted, observed: &Observed, foreign: &Foreign) -> Step {
    if observed.object.recorded.client_id.is_some() {
        return blocked(observed, secret_conflict());
    }
    match (&wanted.adopt, &foreign.former) {
        (Some(_), _) => adopt_with(wanted, observed, foreign),
        (None, Some((client_id, uid))) => take_back(wanted, observed, foreign, (client_id, uid)),
        (None, None) => in_the_way(observed),
    }
}

/// The Secret bars publication. What the object's own POSTs made for it is removed, as nobody else would: the object
/// was never recorded, so it is never at rest.
fn in_the_way(observed: &Observed) -> Step {
    let conflict = || blocked(observed, secret_conflict());
    if observed.of_this_uid().next().is_none() || observed.failure.is_some() {
        return conflict();
    }
    with_fresh_token(observed, |_| remove_waste(observed).unwrap_or_else(conflict))
}

fn adopt_with(wanted: &Wanted, observed: &Observed, foreign: &Foreign) -> Step {
    match foreign.content {
        Content::Unread if observed.live.is_none() => Step::ReadLive,
        Content::Adoptable => instead_of_creating(wanted, observed, Because::First),
        Content::Unread | Content::Other => blocked(observed, secret_conflict()),
    }
}

/// Takes back what a former OAuthClient of this name retained, if its client says so too.
fn take_back(wanted: &Wanted, observed: &Observed, foreign: &Foreign, (client_id, uid): (&ClientId, &Uid)) -> Step {
    let retained = |marker: &Marker| marker.is_retained_for(&wanted.owner) && &marker.owner.uid == uid;
    match observed.remote.get(client_id) {
        // A listing may be older than the retention.
        None | Some(Remote::Listed(_) | Remote::PutIgnored(_)) => Step::Get { client_id: client_id.clone() },
        Some(Remote::Missing) => Step::List,
        Some(Remote::Read(client)) if client.marker.as_ref().is_some_and(retained) => {
            with_fresh_token(observed, |token| Step::TakeOver {
                client_id: client_id.clone(),
                token: token.clone(),
                version: foreign.version.clone(),
            })
        }
        Some(Remote::Read(_) | Remote::Absent | Remote::Deleted) => in_the_way(observed),
    }
}

fn secret_conflict() -> Failure {
    Failure::stalled(
        Reason::SecretConflict,
        "a Secret of that name exists and is not this OAuthClient's; delete that Secret, or set another spec.secret.name",
    )
}

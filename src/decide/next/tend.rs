//! A published client: compared, repaired, recorded.

use super::conclude::{blocked, conclude, removed};
use super::mint::{Because, mint};
use super::step::{Published, Removal, Step, Verdict};
use crate::api::Reason;
use crate::decide::change::Wanted;
use crate::decide::failure::Failure;
use crate::decide::id::{ClientId, Token};
use crate::decide::observed::{Credential, Observed, Remote, Stored};

/// The Secret counts: its client is compared with what is wanted, and recorded.
pub(super) fn tend(wanted: &Wanted, observed: &Observed, stored: &Stored, token: &Token, client_id: &ClientId) -> Step {
    let recorded = observed.object.recorded.client_id.as_ref();
    if observed.object.rotation_asked && recorded == Some(client_id) {
        return mint(observed, Because::Rotation);
    }
    let (client_id, annotated) = match (&stored.credential, recorded) {
        (Credential::Unread, _) => return Step::ReadSecret,
        (Credential::Broken, _) => return mint(observed, Because::of_missing_secret(recorded)),
        (Credential::Other(_), Some(recorded)) if recorded == client_id => return mint(observed, Because::Lost),
        (Credential::Other(_), Some(_) | None) => (client_id, true),
        // The data is the recorded client's, whatever the annotation says: the annotation was altered.
        (Credential::AsRecorded, Some(recorded)) => (recorded, recorded == client_id),
        (Credential::AsRecorded, None) => return Step::ReadSecret,
    };
    match compare(wanted, observed, token, client_id) {
        Comparison::Step(step) => return step,
        Comparison::Gone => return mint(observed, Because::Gone),
        Comparison::Anothers => return blocked(observed, adoption_conflict(client_id)),
        Comparison::Same => {}
    }
    if !annotated || !stored.in_shape {
        return Step::Reshape { client_id: client_id.clone(), version: stored.version.clone() };
    }
    let due =
        observed.object.recorded.retiring.iter().find(|retiring| {
            retiring.due && &retiring.client_id != client_id && !removed(observed, &retiring.client_id)
        });
    if let Some(retiring) = due {
        return Step::Delete { client_id: retiring.client_id.clone(), because: Removal::Retired };
    }
    let digest = match &stored.credential {
        Credential::Other(digest) => Some(digest.clone()),
        Credential::Unread | Credential::AsRecorded | Credential::Broken => None,
    };
    let published = Published { client_id: client_id.clone(), secret_version: stored.version.clone(), digest };
    conclude(observed, Verdict::Converged, Some(published))
}

enum Comparison {
    Step(Step),
    Gone,
    Anothers,
    Same,
}

fn compare(wanted: &Wanted, observed: &Observed, token: &Token, client_id: &ClientId) -> Comparison {
    let get = || Comparison::Step(Step::Get { client_id: client_id.clone() });
    let (client, read) = match observed.remote.get(client_id) {
        None => return get(),
        Some(Remote::Missing(_)) => return Comparison::Step(Step::List),
        Some(Remote::Absent | Remote::Deleted) => return Comparison::Gone,
        Some(Remote::Listed(client)) => (client, false),
        Some(Remote::Read(client)) => (client, true),
    };
    if client.marker.as_ref().is_some_and(|marker| marker.owner != wanted.owner) {
        return Comparison::Anothers;
    }
    match wanted.change(client, &observed.object.recorded.managed_keys, token) {
        None => Comparison::Same,
        Some(change) if change.metadata.is_some() && !read => get(),
        Some(change) => Comparison::Step(Step::Put {
            client_id: client_id.clone(),
            result: Box::new(change.applied_to(client)),
            change: Box::new(change),
        }),
    }
}

fn adoption_conflict(client_id: &ClientId) -> Failure {
    Failure::stalled(
        Reason::AdoptionConflict,
        format!("client {client_id} bears the marker of another OAuthClient; it is left alone"),
    )
}

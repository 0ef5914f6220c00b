//! What this process created or was given and has not published is published, or deleted if another pass has won.

use super::retire::retire_published;
use super::step::{Removal, SecretWrite, Step};
use crate::decide::client::observed::{Content, Foreign, Observed, Pending, Secret};
use crate::decide::id::{ClientId, Token};
use crate::decide::marker::Origin;

/// What comes before everything else: stale views, and what this process has not published.
pub(super) fn finish(observed: &Observed) -> Option<Step> {
    if observed.failure.is_some() {
        return None;
    }
    if observed.stale {
        return Some(Step::ReadLive);
    }
    match &observed.pending {
        Pending::Nothing | Pending::Unspent(_) => None,
        Pending::Keyless { client_id, .. } => Some(own_waste(client_id)),
        Pending::Credential { token, client_id, origin, .. } if observed.object.token.as_ref() == Some(token) => {
            publish(observed, token, client_id, *origin)
        }
        // An adopted client is not ours to delete.
        Pending::Credential { origin: Origin::Adopted, .. } => Some(Step::Forget),
        Pending::Credential { client_id, origin: Origin::Created, .. } => Some(lose(observed, client_id)),
    }
}

fn publish(observed: &Observed, token: &Token, client_id: &ClientId, origin: Origin) -> Option<Step> {
    let write = match (&observed.secret, origin) {
        (Secret::Foreign(Foreign { version, content: Content::Adoptable, .. }), Origin::Adopted) => {
            SecretWrite::Replace(version.clone())
        }
        (Secret::Foreign(_), Origin::Adopted) => return None,
        // Another object was quicker with a Secret of this name.
        (Secret::Foreign(_), Origin::Created) => return Some(lose(observed, client_id)),
        (Secret::Absent, _) => SecretWrite::Create,
        (Secret::Ours(stored), _) if stored.token.as_ref() == Some(token) && observed.holds(client_id) => {
            return Some(Step::Forget);
        }
        // The cache may lag behind a rename: what is published under the former name would be deleted with it.
        (Secret::Ours(stored), _) if stored.misplaced && observed.live.is_none() => return Some(Step::ReadLive),
        (Secret::Ours(stored), _) => SecretWrite::Replace(stored.version.clone()),
    };
    // Another pass was quicker, and pods may have read what it published.
    if let Some(step) = retire_published(observed) {
        return Some(step);
    }
    Some(Step::Publish { client_id: client_id.clone(), token: token.clone(), write })
}

/// This pass has lost: its client goes, unless somebody made it theirs.
fn lose(observed: &Observed, client_id: &ClientId) -> Step {
    if observed.live.is_none() {
        Step::ReadLive
    } else if observed.object.recorded.names(client_id) || observed.holds(client_id) {
        Step::Forget
    } else {
        own_waste(client_id)
    }
}

/// The DELETE of a client that this process created and never published.
pub(super) fn own_waste(client_id: &ClientId) -> Step {
    Step::Delete { client_id: client_id.clone(), because: Removal::OwnWaste }
}

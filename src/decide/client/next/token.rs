//! The token that a POST is made with: a fresh one, written to the object before anything else.

use std::collections::BTreeSet;

use super::conclude::blocked;
use super::step::Step;
use crate::api::Reason;
use crate::decide::client::observed::{Observed, Ownership, Pending};
use crate::decide::failure::Failure;
use crate::decide::id::Token;

/// The most tokens of unknown outcome on an object: more would outgrow its annotations in an outage of days.
const MOST_UNKNOWN: usize = 64;
/// The most intents of a pass. A pass whose intents are overwritten gives way: two that overwrite each other's would
/// never end.
const MOST_INTENTS: u8 = 2;

/// The step for a token that this process wrote to the object and never spent; without one, the step that leads to it.
pub(super) fn with_fresh_token(observed: &Observed, step: impl FnOnce(&Token) -> Step) -> Step {
    match unspent(observed) {
        Some(token) => step(token),
        None => {
            let published = matches!(observed.ownership(), Ownership::Published(..));
            if observed.object.token.is_some() && !published && observed.live.is_none() {
                return Step::ReadLive;
            }
            intent(observed)
        }
    }
}

/// The object's token, if this process wrote it and it was never spent.
pub(super) fn unspent(observed: &Observed) -> Option<&Token> {
    match (&observed.pending, &observed.object.token) {
        (Pending::Unspent(unspent), Some(token)) if unspent == token => Some(token),
        (Pending::Nothing | Pending::Unspent(_) | Pending::Credential { .. } | Pending::Keyless { .. }, _) => None,
    }
}

/// A new token for the object, unless others keep writing theirs.
pub(super) fn intent(observed: &Observed) -> Step {
    if observed.intents >= MOST_INTENTS {
        return blocked(observed, Failure::retry(Reason::Updating, "another operator is at work on it; trying again"));
    }
    let object = &observed.object;
    Step::WriteIntent { version: object.version.clone(), unknown: unknown_after_intent(observed) }
}

/// The tokens of unknown outcome once the object has a new one.
fn unknown_after_intent(observed: &Observed) -> BTreeSet<Token> {
    let object = &observed.object;
    let mut unknown = object.unknown.clone();
    let stored = observed.secret.stored();
    let published = stored.and_then(|stored| stored.token.as_ref());
    // The outcome of the token in the Secret is known: it made the client that the Secret names. The outcome of the
    // token on the recorded client is known as well, even if its Secret is gone.
    let known = [published, recorded_token(observed)];
    unknown.extend(object.token.iter().filter(|token| !known.contains(&Some(*token))).cloned());
    // An object that was never recorded takes nothing back: what its Secret holds is waste once another is published.
    if object.recorded.client_id.is_none() {
        unknown.extend(published.cloned());
    }
    while unknown.len() > MOST_UNKNOWN {
        // The sweep removes what a forgotten token made, once that is of age.
        unknown.pop_first();
    }
    unknown
}

/// The token that the recorded client bears, as far as the pass has seen it.
fn recorded_token(observed: &Observed) -> Option<&Token> {
    let client_id = observed.object.recorded.client_id.as_ref()?;
    let client = observed.remote.get(client_id)?.client()?;
    client.marker.as_ref().map(|marker| &marker.token)
}

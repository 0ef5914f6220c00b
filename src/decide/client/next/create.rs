//! On the way to a new client, or back from it.

use std::collections::BTreeSet;

use super::conclude::blocked;
use super::step::{Removal, SecretWrite, Step};
use super::{Ownership, adopt, holds, of_this_uid, ownership};
use crate::api::Reason;
use crate::decide::client::change::Wanted;
use crate::decide::client::desired::lifecycle::OnLoss;
use crate::decide::client::observed::{
    Cooldown, Credential, Object, Observed, Pending, Remote, Replaced, Secret, Stored,
};
use crate::decide::failure::{Disposition, Failure};
use crate::decide::id::{ClientId, Token};

/// From so many POSTs of unknown outcome on, and before anything was ever recorded, waste is removed before the next.
const PURGE_FROM: usize = 3;
/// More tokens than this would outgrow the object's annotations in an outage of days.
const MOST_UNKNOWN: usize = 64;
/// A pass whose intents are overwritten gives way: two that overwrite each other's would never end.
const MOST_INTENTS: u8 = 2;

/// Why a client is to be made.
#[derive(Clone, Copy, PartialEq, Eq)]
pub(super) enum Because {
    /// There never was one.
    First,
    /// The recorded one is gone at MeshAgent.
    Gone,
    /// Its credential is gone or altered.
    Lost,
    /// Somebody asked for it.
    Rotation,
    /// What the Secret holds was never recorded, and cannot be taken back.
    Unrecorded,
}

impl Because {
    pub(super) fn of_missing_secret(observed: &Observed) -> Self {
        let Object { recorded, rotation_asked, .. } = &observed.object;
        match recorded.client_id {
            None => Self::First,
            Some(_) if *rotation_asked => Self::Rotation,
            Some(_) => Self::Lost,
        }
    }
}

/// On the way to a new client: intent, rehearsal, POST.
pub(super) fn create(wanted: &Wanted, observed: &Observed, because: Because) -> Step {
    if adopt::is_adopted(wanted, observed) {
        return adopt::instead_of_creating(wanted, observed, because);
    }
    if because == Because::Lost && wanted.on_loss == OnLoss::Block {
        return blocked(observed, Failure::stalled(Reason::CredentialLost, BLOCKED));
    }
    if let Some(failure) = bar(observed, because) {
        return blocked(observed, failure);
    }
    with_fresh_token(observed, |token| {
        if let Some(step) = purge(observed) {
            step
        } else if observed.dry_run_passed {
            Step::Post { token: token.clone() }
        } else {
            Step::DryRun {
                write: match &observed.secret {
                    Secret::Absent | Secret::Foreign(_) => SecretWrite::Create,
                    Secret::Ours(stored) => SecretWrite::Replace(stored.version.clone()),
                },
            }
        }
    })
}

const BLOCKED: &str = "the Secret's credential is gone or was altered, and spec.onCredentialLoss is Block; put the former \
                       Secret back, or replace the client: kubectl annotate --overwrite maoc <name> \
                       meshagent.com/rotate-requested-at=\"$(date -Is)\"";

/// What is done with a token that this process wrote to the object and that was never spent; first of all there must be
/// one.
pub(super) fn with_fresh_token(observed: &Observed, step: impl FnOnce(&Token) -> Step) -> Step {
    let object = &observed.object;
    match (&observed.pending, &object.token) {
        (Pending::Unspent(unspent), Some(token)) if unspent == token => step(token),
        (Pending::Nothing | Pending::Unspent(_) | Pending::Credential { .. } | Pending::Keyless { .. }, token) => {
            let published = matches!(ownership(object, &observed.secret), Ownership::Published(..));
            if token.is_some() && !published && observed.live.is_none() {
                return Step::ReadLive;
            }
            intent(observed)
        }
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
    // The outcome of the token in the Secret is known: it made the client that the Secret names. So is that of the token
    // on the recorded client: its Secret may be gone.
    let known = [published, recorded_token(observed)];
    unknown.extend(object.token.iter().filter(|token| !known.contains(&Some(*token))).cloned());
    if let Some(stored) = stored
        && stored.client_id.as_ref().is_none_or(|client_id| !object.recorded.names(client_id))
    {
        unknown.extend(stored.token.clone());
    }
    while unknown.len() > MOST_UNKNOWN {
        // What a forgotten token made is removed by the sweep, after its age.
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

/// What bars a POST for now.
fn bar(observed: &Observed, because: Because) -> Option<Failure> {
    brake(observed.object.replaced, because).or_else(|| barred(observed, because))
}

/// Why a rotation that was asked for is not carried out yet. It holds nothing else back.
pub(super) fn rotation_waits(observed: &Observed) -> Option<Failure> {
    bar(observed, Because::Rotation)
}

/// What the POSTs of this process bar, once there was a success.
fn barred(observed: &Observed, because: Because) -> Option<Failure> {
    observed.object.recorded.client_id.as_ref()?;
    match observed.cooldown {
        // A client was published, and nobody recorded it before the object's token was taken off: the object would
        // stand without finalizer and record until the pause ends.
        Cooldown::Short if because == Because::Unrecorded => None,
        Cooldown::None => None,
        Cooldown::Short => Some(Failure::wait(
            Reason::Rotating,
            "the last attempt to replace the client was less than ten minutes ago; the next one waits",
        )),
        Cooldown::Long => Some(Failure {
            disposition: Disposition::StalledHourly,
            ..Failure::stalled(
                Reason::Rotating,
                "three attempts in a row to replace the client were not answered with a usable client; the next one is made \
                 an hour after the last. Look at the MeshAgent server",
            )
        }),
    }
}

/// What the last replacement bars.
fn brake(replaced: Replaced, because: Because) -> Option<Failure> {
    match (replaced, because) {
        (Replaced::LongAgo, _) | (_, Because::First | Because::Unrecorded) => None,
        (Replaced::WithinOverlap, Because::Gone | Because::Rotation) => None,
        (Replaced::JustNow, Because::Gone | Because::Rotation) => {
            Some(Failure::wait(Reason::Rotating, "replaced less than ten minutes ago; the next replacement waits"))
        }
        (Replaced::WithinOverlap | Replaced::JustNow, Because::Lost) => Some(Failure::stalled(
            Reason::CredentialLost,
            "the Secret's credential was lost again soon after it was replaced; find what deletes or rewrites the \
             Secret, then replace the client: kubectl annotate --overwrite maoc <name> \
             meshagent.com/rotate-requested-at=\"$(date -Is)\". Unasked it is replaced once the overlap of the last \
             replacement has ended",
        )),
    }
}

/// Nothing was ever recorded, and several POSTs have no known outcome: what they made is removed before the next.
fn purge(observed: &Observed) -> Option<Step> {
    let object = &observed.object;
    if object.recorded.client_id.is_some() || object.unknown.len() < PURGE_FROM && !observed.limited {
        return None;
    }
    let Some(listed) = observed.listing else {
        return Some(Step::List);
    };
    if observed.live.is_none_or(|live| live <= listed) {
        return Some(Step::ReadLive);
    }
    // Their tokens stay on the object: a POST that is under way elsewhere may still commit under one of them.
    of_this_uid(observed)
        .find(|(client_id, _)| !holds(&observed.secret, client_id))
        .map(|(client_id, _)| Step::Delete { client_id: client_id.clone(), because: Removal::Disowned })
}

/// The Secret holds the recorded client under another token than the object's (`kubectl replace`, or an intent that
/// nobody wants any more). A fresh token for both, so that no pass that froze before its own swap can still swap.
pub(super) fn withdraw_or_create(wanted: &Wanted, observed: &Observed, stored: &Stored, client_id: &ClientId) -> Step {
    // A Secret that has to move is left first, as in `tend`.
    let rotates = observed.object.rotation_asked && !stored.misplaced && !adopt::is_adopted(wanted, observed);
    if rotates && rotation_waits(observed).is_none() {
        return create(wanted, observed, Because::Rotation);
    }
    if observed.remote.get(client_id) == Some(&Remote::Absent) {
        return create(wanted, observed, Because::Gone);
    }
    match stored.credential {
        Credential::Unread => return Step::ReadSecret,
        Credential::Other(_) | Credential::Broken => {
            return create(wanted, observed, Because::of_missing_secret(observed));
        }
        Credential::AsRecorded => {}
    }
    match (&observed.pending, &observed.object.token) {
        (Pending::Unspent(unspent), Some(token)) if unspent == token => {
            Step::MoveToken { token: token.clone(), version: stored.version.clone() }
        }
        (Pending::Nothing | Pending::Unspent(_) | Pending::Credential { .. } | Pending::Keyless { .. }, _) => {
            intent(observed)
        }
    }
}

//! The one step that a pass takes next, by all that it knows.
//!
//! For an OAuthClient that is wanted, the first row that fits:
//!
//! | situation | step |
//! | --- | --- |
//! | a write met a newer version | read object and Secret live; after three times, back off |
//! | a credential in hand, its token the object's | publish it, under the version that was seen |
//! | a credential in hand, the object's token another | this pass has lost: delete the client, unless it is spoken for |
//! | a step failed, or the project cannot be used | record why, rest |
//! | the Secret is not ours | record `SecretConflict`, rest |
//! | the Secret counts (its token is the object's) | compare, PUT, repair, retire, record, clean |
//! | the Secret holds the recorded client under another token, nothing else is wanted | a fresh token to object and Secret |
//! | no Secret counts | intent, rehearse, POST |
//!
//! For one that is not: its remote clients are deleted, then its finalizer goes.

mod absent;
mod conclude;
mod mint;
mod step;
mod tend;

use absent::absent;
use conclude::blocked;
use mint::{Because, mint, withdraw_or_mint};
use tend::tend;

pub use step::{Published, Record, Removal, SecretWrite, Step, Verdict};

use super::change::Wanted;
use super::failure::Failure;
use super::id::{ClientId, Token};
use super::observed::{Credential, Held, Object, Observed, Remote, RemoteClient, Secret, Stored};
use crate::api::Reason;

/// What the object asks for.
#[derive(Clone, Debug, PartialEq, Eq, Hash)]
pub enum Desired {
    /// A client.
    Present(Box<Wanted>),
    /// Nobody knows what: the spec is not valid.
    Invalid(Failure),
    /// No client: the object is being deleted.
    Absent,
}

/// What the pass does next.
#[must_use]
pub fn next(desired: &Desired, observed: &Observed) -> Step {
    let step = match desired {
        Desired::Present(wanted) if !observed.object_gone => present(wanted, observed),
        Desired::Invalid(failure) if !observed.object_gone => invalid(failure, observed),
        Desired::Present(_) | Desired::Invalid(_) | Desired::Absent => absent(observed),
    };
    gate(step, observed)
}

/// Holds back every step that is not allowed while the project cannot be used.
fn gate(step: Step, observed: &Observed) -> Step {
    match (&step, &observed.project) {
        (
            Step::ReadLive
            | Step::ReadSecret
            | Step::Publish { .. }
            | Step::Forget
            | Step::Record(_)
            | Step::RemoveFinalizer { .. }
            | Step::Rest,
            _,
        )
        | (_, None) => step,
        (
            Step::List
            | Step::Get { .. }
            | Step::WriteIntent { .. }
            | Step::Rehearse { .. }
            | Step::Post { .. }
            | Step::MoveToken { .. }
            | Step::Reshape { .. }
            | Step::Put { .. }
            | Step::Delete { .. }
            | Step::StrikeUnknown { .. },
            Some(failure),
        ) => blocked(observed, failure.clone()),
    }
}

/// What the Secret is to the object.
enum Standing<'a> {
    /// Not ours.
    Foreign,
    /// There is none.
    Unpublished,
    /// It counts: its uid is ours and its token is the object's.
    Published(&'a Stored, &'a Token, &'a ClientId),
    /// It is ours, under another token than the object's.
    Displaced(&'a Stored),
}

fn standing<'a>(object: &'a Object, secret: &'a Secret) -> Standing<'a> {
    match secret {
        Secret::Absent => Standing::Unpublished,
        Secret::Foreign => Standing::Foreign,
        Secret::Ours(stored) => match (&stored.client_id, &object.token) {
            (Some(client_id), Some(token)) if stored.token.as_ref() == Some(token) => {
                Standing::Published(stored, token, client_id)
            }
            (Some(_) | None, Some(_) | None) => Standing::Displaced(stored),
        },
    }
}

fn present(wanted: &Wanted, observed: &Observed) -> Step {
    if let Some(step) = settle(observed) {
        return step;
    }
    if let Some(failure) = &observed.failure {
        return blocked(observed, failure.clone());
    }
    let recorded = observed.object.recorded.client_id.as_ref();
    match standing(&observed.object, &observed.secret) {
        Standing::Foreign => blocked(observed, secret_conflict()),
        Standing::Unpublished => mint(observed, Because::of_missing_secret(recorded)),
        Standing::Published(stored, token, client_id) => tend(wanted, observed, stored, token, client_id),
        Standing::Displaced(stored) => match recorded {
            Some(client_id) if stored.client_id.as_ref() == Some(client_id) => {
                withdraw_or_mint(observed, stored, client_id)
            }
            // The id in the annotation may be all that was altered: the data decides.
            Some(_) if stored.credential == Credential::Unread => Step::ReadSecret,
            Some(client_id) if stored.credential == Credential::AsRecorded => {
                withdraw_or_mint(observed, stored, client_id)
            }
            // The Secret of an object that was never recorded is never taken back.
            Some(_) | None => mint(observed, Because::Unrecorded),
        },
    }
}

fn invalid(failure: &Failure, observed: &Observed) -> Step {
    settle(observed).unwrap_or_else(|| blocked(observed, observed.failure.as_ref().unwrap_or(failure).clone()))
}

/// What comes before everything else: stale views, and what this process holds.
fn settle(observed: &Observed) -> Option<Step> {
    if observed.failure.is_some() {
        return None;
    }
    if observed.stale {
        return Some(Step::ReadLive);
    }
    let object = &observed.object;
    match &observed.held {
        Held::Nothing | Held::Unspent(_) => None,
        Held::Keyless { client_id, .. } => Some(own_waste(client_id)),
        Held::Credential { token, client_id, digest } if object.token.as_ref() == Some(token) => {
            let write = match &observed.secret {
                Secret::Foreign => return None,
                Secret::Absent => SecretWrite::Create,
                Secret::Ours(stored) if stored.token.as_ref() == Some(token) && holds(&observed.secret, client_id) => {
                    return Some(Step::Forget);
                }
                Secret::Ours(stored) => SecretWrite::Replace(stored.version.clone()),
            };
            let (client_id, token, digest) = (client_id.clone(), token.clone(), digest.clone());
            Some(Step::Publish { client_id, token, digest, write })
        }
        Held::Credential { client_id, .. } => Some(lose(observed, client_id)),
    }
}

/// This pass has lost: its client goes, unless somebody made it theirs.
fn lose(observed: &Observed, client_id: &ClientId) -> Step {
    if observed.live.is_none() {
        Step::ReadLive
    } else if observed.object.recorded.names(client_id) || holds(&observed.secret, client_id) {
        Step::Forget
    } else {
        own_waste(client_id)
    }
}

fn own_waste(client_id: &ClientId) -> Step {
    Step::Delete { client_id: client_id.clone(), because: Removal::OwnWaste }
}

fn holds(secret: &Secret, client_id: &ClientId) -> bool {
    secret.stored().is_some_and(|stored| stored.client_id.as_ref() == Some(client_id))
}

/// The living clients whose marker names the object's uid.
fn of_this_uid(observed: &Observed) -> impl Iterator<Item = (&ClientId, &RemoteClient)> {
    observed.remote.iter().filter_map(|(id, known)| match known {
        Remote::Listed(client) | Remote::Read(client) => {
            client.marker.as_ref().is_some_and(|marker| marker.owner.uid == observed.object.uid).then_some((id, client))
        }
        Remote::Missing(_) | Remote::Absent | Remote::Deleted => None,
    })
}

fn secret_conflict() -> Failure {
    Failure::stalled(
        Reason::SecretConflict,
        "a Secret of that name exists and is not this OAuthClient's; delete that Secret, or create the OAuthClient anew with another spec.secret.name",
    )
}

#[cfg(test)]
mod tests;

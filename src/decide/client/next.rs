//! The one step that a pass takes next, by all that it knows.
//!
//! For an OAuthClient that is wanted, the first row that fits:
//!
//! | situation | step |
//! | --- | --- |
//! | it is suspended | take the object's ownership off the Secret, record, rest |
//! | a write met a newer version | read object and Secret live; after three times, back off |
//! | a credential in hand, its token the object's | publish it, under the version that was seen |
//! | a credential in hand, the object's token another | this pass has lost: delete the client, unless it is spoken for |
//! | a step failed, or the project cannot be used | record why, rest |
//! | the client is adopted without a credential | compare, PUT, record |
//! | the Secret is not ours, but left behind or to be adopted | intent, take it over |
//! | the Secret is not ours | record `SecretConflict`, rest |
//! | the Secret counts (its token is the object's) | compare, PUT, repair, retire, record, clean |
//! | the same, and a rotation is asked for | as when no Secret counts; while it has to wait, as without |
//! | the Secret holds the recorded client under another token, nothing else is wanted | a fresh token to object and Secret |
//! | no Secret counts | intent, dry_run_secret, POST; or take the credential of the client to be adopted |
//!
//! For one that is not: its remote clients are deleted, or marked as left behind, then its finalizer goes.

mod absent;
mod adopt;
mod conclude;
mod converge;
mod create;
mod step;
mod suspend;

use absent::absent;
use conclude::blocked;
use converge::converge;
use create::{Because, create, withdraw_or_create};

pub use absent::Deletion;
pub use step::{Conclusion, Published, Record, Removal, SecretWrite, Step, StoredCredential};

use super::change::Wanted;
use super::observed::{Credential, Foreign, Object, Observed, Pending, RemoteClient, Secret, Stored};
use crate::api::Reason;
use crate::decide::failure::Failure;
use crate::decide::id::{ClientId, Token};
use crate::decide::marker::{Marker, Origin};

/// What the object asks for.
#[derive(Clone, Debug, PartialEq, Eq, Hash)]
pub enum Desired {
    /// A client.
    Present(Box<Wanted>),
    /// Nobody knows what: the spec is not valid.
    Invalid(Failure),
    /// No object: it is being deleted.
    Absent(Deletion),
}

/// What the pass does next.
#[must_use]
pub fn next(desired: &Desired, observed: &Observed) -> Step {
    match desired {
        Desired::Present(wanted) if !observed.object_gone => gate(present(wanted, observed), observed),
        Desired::Invalid(failure) if !observed.object_gone => gate(invalid(failure, observed), observed),
        Desired::Absent(leaving) => absent(*leaving, observed),
        // Whatever was asked for, there is nobody left to ask.
        Desired::Present(_) | Desired::Invalid(_) => absent(Deletion::default(), observed),
    }
}

/// Holds back every step that is not allowed while the project cannot be used.
fn gate(step: Step, observed: &Observed) -> Step {
    match (&step, &observed.project) {
        (
            Step::ReadLive
            | Step::ReadSecret
            | Step::Publish { .. }
            | Step::ReleaseSecret { .. }
            | Step::DeleteSecret { .. }
            | Step::CheckCrd
            | Step::Abandon { .. }
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
            | Step::DryRun { .. }
            | Step::Post { .. }
            | Step::MoveToken { .. }
            | Step::TakeCredential { .. }
            | Step::TakeOver { .. }
            | Step::Relocate { .. }
            | Step::Reshape { .. }
            | Step::Put { .. }
            | Step::Delete { .. }
            | Step::StrikeUnknown { .. },
            Some(failure),
        ) => blocked(observed, failure.clone()),
    }
}

/// What the Secret is to the object.
enum Ownership<'a> {
    /// Not ours.
    Foreign(&'a Foreign),
    /// There is none.
    Unpublished,
    /// It counts: its uid is ours and its token is the object's.
    Published(&'a Stored, &'a Token, &'a ClientId),
    /// It is ours, under another token than the object's.
    Displaced(&'a Stored),
}

fn ownership<'a>(object: &'a Object, secret: &'a Secret) -> Ownership<'a> {
    match secret {
        Secret::Absent => Ownership::Unpublished,
        Secret::Foreign(foreign) => Ownership::Foreign(foreign),
        Secret::Ours(stored) => match (&stored.client_id, &object.token) {
            (Some(client_id), Some(token)) if stored.token.as_ref() == Some(token) => {
                Ownership::Published(stored, token, client_id)
            }
            (Some(_) | None, Some(_) | None) => Ownership::Displaced(stored),
        },
    }
}

fn present(wanted: &Wanted, observed: &Observed) -> Step {
    if wanted.suspended {
        return suspend::suspend(wanted, observed);
    }
    if let Pending::Credential { origin: Origin::Adopted, client_id, .. } = &observed.pending
        && !wanted.adopts(client_id)
    {
        return Step::Forget;
    }
    if let Some(step) = settle(observed) {
        return step;
    }
    if let Some(failure) = &observed.failure {
        return blocked(observed, failure.clone());
    }
    if let Some(failure) = adopt::refusal(wanted, observed) {
        return blocked(observed, failure);
    }
    if adopt::is_secretless(wanted, observed) {
        return adopt::converge_secretless(wanted, observed);
    }
    let recorded = observed.object.recorded.client_id.as_ref();
    match ownership(&observed.object, &observed.secret) {
        Ownership::Foreign(foreign) => adopt::foreign(wanted, observed, foreign),
        // The cache holds only what bears the label, and may lag: no loss without a look.
        Ownership::Unpublished if recorded.is_some() && observed.live.is_none() => Step::ReadLive,
        Ownership::Unpublished => create(wanted, observed, Because::of_missing_secret(observed)),
        Ownership::Published(stored, token, client_id) => converge(wanted, observed, stored, token, client_id),
        Ownership::Displaced(stored) => match recorded {
            Some(client_id) if stored.client_id.as_ref() == Some(client_id) => {
                withdraw_or_create(wanted, observed, stored, client_id)
            }
            // The id in the annotation may be all that was altered: the data decides.
            Some(_) if stored.credential == Credential::Unread => Step::ReadSecret,
            Some(client_id) if stored.credential == Credential::AsRecorded => {
                withdraw_or_create(wanted, observed, stored, client_id)
            }
            // The Secret of an object that was never recorded is never taken back.
            Some(_) | None => create(wanted, observed, Because::Unrecorded),
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
    match &observed.pending {
        Pending::Nothing | Pending::Unspent(_) => None,
        Pending::Keyless { client_id, .. } => Some(own_waste(client_id)),
        Pending::Credential { token, client_id, digest, origin } if object.token.as_ref() == Some(token) => {
            let write = match &observed.secret {
                Secret::Foreign(foreign) if *origin == Origin::Adopted && adopt::may_take_over(foreign) => {
                    SecretWrite::Replace(foreign.version.clone())
                }
                Secret::Foreign(_) => return None,
                Secret::Absent => SecretWrite::Create,
                Secret::Ours(stored) if stored.token.as_ref() == Some(token) && holds(&observed.secret, client_id) => {
                    return Some(Step::Forget);
                }
                Secret::Ours(stored) => SecretWrite::Replace(stored.version.clone()),
            };
            let (client_id, token, digest) = (client_id.clone(), token.clone(), digest.clone());
            Some(Step::Publish { client_id, token, digest, write })
        }
        // It was not made by this process, so it is not this process' to delete.
        Pending::Credential { origin: Origin::Adopted, .. } => Some(Step::Forget),
        Pending::Credential { client_id, origin: Origin::Created, .. } => Some(lose(observed, client_id)),
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
    let of_uid = |marker: &Marker| marker.owner.uid == observed.object.uid;
    let living = observed.remote.iter().filter_map(|(id, known)| Some((id, known.client()?)));
    living.filter(move |(_, client)| client.marker.as_ref().is_some_and(of_uid))
}

fn secret_conflict() -> Failure {
    Failure::stalled(
        Reason::SecretConflict,
        "a Secret of that name exists and is not this OAuthClient's; delete that Secret, or set another spec.secret.name",
    )
}

#[cfg(test)]
mod tests;

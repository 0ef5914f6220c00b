//! The one step that a pass takes next, by all that it knows.
//!
//! The first row that fits an OAuthClient that is wanted:
//!
//! | situation | step |
//! | --- | --- |
//! | the OAuthClient is suspended | take the object's ownership off the Secret, record, rest |
//! | a write met a newer version | read object and Secret live; after three times, back off |
//! | a credential is pending, its token the object's | publish it, under the version that was seen |
//! | a credential is pending, the object's token another | the pass has lost: delete the client, unless it is claimed |
//! | a step failed, other than a rotation that was refused | record why, rest |
//! | the client is adopted without a credential | compare, PUT, record |
//! | the Secret is not ours, but retained or to be adopted | intent, take it over |
//! | the Secret is not ours | record `SecretConflict`, rest |
//! | the Secret counts (its token is the object's) | compare, PUT, repair, retire, record, clean |
//! | the same, and a rotation is asked for | as when no Secret counts; as without the request while it has to wait, or once it was refused |
//! | the Secret holds the recorded client under another token, no rotation due | a fresh token to object and Secret; after a rotation that was refused as above |
//! | the Secret holds a client of ours that was never recorded | the same; the recorded client retires |
//! | no Secret counts | intent, dry run, POST; or take the credential of the client to be adopted |
//!
//! The remote clients of an OAuthClient that is being deleted are deleted, or marked as retained; then its finalizer
//! goes.
//!
//! A client that is gone together with many others of its project is not replaced, whatever the row.
//!
//! One row stands across all others: a step that needs the project while it cannot be used is not taken; the pass
//! records why, and rests. An object that is being deleted goes as far as it can without.
//!
//! Calls in this folder go one way, from the row that is picked down to the conclusion.

mod adoption;
mod compare;
mod conclude;
mod converge;
mod cooldown;
mod create;
mod deleted;
mod displaced;
mod foreign;
mod retire;
mod secretless;
mod step;
mod suspend;
mod token;
mod unpublished;

pub use deleted::Deletion;
pub use step::{Conclusion, Published, Record, Removal, SecretWrite, Step, StoredCredential};

use serde::{Deserialize, Serialize};

use super::change::Wanted;
use super::observed::{Observed, Ownership, Pending, StepFailure};
use crate::decide::failure::Failure;
use crate::decide::marker::Origin;
use cooldown::Because;

/// What the object asks for.
#[derive(Clone, Debug, PartialEq, Eq, Hash, Serialize, Deserialize)]
pub enum Desired {
    /// A client.
    Present(Box<Wanted>),
    /// An unknown state: the spec is not valid.
    Invalid(Failure),
    /// Absence: the object is being deleted.
    Absent(Deletion),
}

/// What the pass does next.
#[must_use]
pub fn next(desired: &Desired, observed: &Observed) -> Step {
    let step = match desired {
        Desired::Present(wanted) if !observed.object_gone => present(wanted, observed),
        Desired::Invalid(failure) if !observed.object_gone => invalid(failure, observed),
        Desired::Present(_) | Desired::Invalid(_) | Desired::Absent(_) => deleted::deleted(deletion(desired), observed),
    };
    match observed.project_failure() {
        Some(failure) => without_project(desired, observed, step, failure),
        None => step,
    }
}

/// How the object goes. The default stands for an object that is gone, whatever its spec asked for.
fn deletion(desired: &Desired) -> Deletion {
    match desired {
        Desired::Absent(deletion) => *deletion,
        Desired::Present(_) | Desired::Invalid(_) => Deletion::default(),
    }
}

/// The row of a project that cannot be used: a step that needs it is not taken, and nothing is said to be as declared.
fn without_project(desired: &Desired, observed: &Observed, step: Step, failure: Failure) -> Step {
    match (step, desired) {
        (Step::Record(record), _) if record.conclusion == Conclusion::Converged => {
            Step::Record(Box::new(Record { conclusion: Conclusion::Blocked(failure), ..*record }))
        }
        (step, _) if !step.needs_project() => step,
        (_, Desired::Present(_) | Desired::Invalid(_)) if !observed.object_gone => {
            conclude::blocked_without_calls(observed, failure)
        }
        (_, Desired::Present(_) | Desired::Invalid(_) | Desired::Absent(_)) => {
            deleted::without_calls(deletion(desired), observed, failure)
        }
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
    if let Some(step) = unpublished::finish(observed) {
        return step;
    }
    if let Some(StepFailure { failure, .. }) = &observed.failure
        && !goes_on(observed)
    {
        return conclude::blocked(observed, failure.clone());
    }
    if let Some(failure) = adoption::refusal(wanted, observed) {
        return conclude::blocked(observed, failure);
    }
    if adoption::is_secretless(wanted, observed) {
        return secretless::converge_secretless(wanted, observed);
    }
    let has_client = observed.object.recorded.client_id.is_some();
    match observed.ownership() {
        Ownership::Foreign(foreign) => foreign::foreign(wanted, observed, foreign),
        // The cache holds only what bears the label, and may lag: no loss without a live read.
        Ownership::Unpublished if has_client && observed.live.is_none() => Step::ReadLive,
        Ownership::Unpublished => create::create(wanted, observed, Because::of_missing_secret(observed)),
        Ownership::Published(stored, token, client_id) => {
            converge::converge(wanted, observed, stored, token, client_id)
        }
        Ownership::Displaced(stored) => displaced::displaced(wanted, observed, stored),
    }
}

/// Whether a pass goes on after its failure: a rotation that was refused holds up neither edits nor repairs.
fn goes_on(observed: &Observed) -> bool {
    let keeps_a_client = matches!(observed.ownership(), Ownership::Published(..) | Ownership::Displaced(_));
    keeps_a_client && observed.object.recorded.client_id.is_some() && cooldown::refused(observed).is_some()
}

fn invalid(failure: &Failure, observed: &Observed) -> Step {
    unpublished::finish(observed).unwrap_or_else(|| {
        let failed = observed.failure.as_ref().map_or(failure, |failed| &failed.failure);
        conclude::blocked(observed, failed.clone())
    })
}

#[cfg(test)]
mod tests;

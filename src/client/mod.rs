//! The executor: a pass asks what is next, carries it out, and absorbs the answer, until it rests.

mod event;
pub mod execute;
pub mod journal;
mod pass;
pub mod pending;

pub use execute::Executor;
pub use pass::{Start, Superseded, former_secret_name, secret_name};

use std::time::Duration;

use journal::Journal;
use pass::Pass;

use crate::api::{OAuthClient, Reason};
use crate::decide::client::next::{Conclusion, Record, Step, next};
use crate::decide::client::observed::{Answer, Secret};
use crate::decide::client::report::{addressed, requeue};
use crate::decide::failure::Failure;
use crate::decide::id::Version;
use crate::kubernetes::events::Event;

/// How a pass ended.
#[derive(Debug)]
pub struct Outcome {
    /// The failure that kept the pass from finishing, if any.
    pub failure: Option<Failure>,
    /// How long until the next reconcile, if no event comes before.
    pub requeue: Option<Duration>,
    /// The Events of the pass, for people.
    pub events: Vec<Event>,
    /// The object as it stands.
    pub object: OAuthClient,
    /// The versions that this pass knows to be no longer the latest.
    pub superseded: Superseded,
    /// The version of the object's Secret as last read or written.
    pub secret_version: Option<Version>,
    /// The Secret that has to change before another pass can get further.
    pub awaited: Option<Awaited>,
}

impl Outcome {
    /// How long the object is suppressed: no pass is tried, although events come. The pass's own record is an event,
    /// and so is the record of each other try.
    #[must_use]
    pub fn suppressed_for(&self) -> Option<Duration> {
        self.failure.as_ref().and(self.requeue)
    }
}

/// A Secret that a pass waits for and the operator does not watch, since it bears no label of ours.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Awaited {
    /// The name of the Secret.
    pub secret: String,
    /// The version that the pass saw; `None` if there was no Secret.
    pub version: Option<Version>,
}

/// Carries one pass out. `backoff` is how long to wait after a failure that may be gone the next time.
pub async fn reconcile(executor: &Executor<'_>, start: Start<'_>, backoff: Duration) -> Outcome {
    let mut pass = Pass::begin(start);
    let mut events = Vec::new();
    let mut recorded = None;
    let mut journal = Journal::begin(&pass.observed);
    loop {
        // Listings of all passes count before each step: one may engage the brake, and the step may replace a client.
        pass.observed.heed_many_gone(executor.projects.many_gone(&pass.object));
        let step = next(&pass.desired, &pass.observed);
        if step == Step::Rest {
            break;
        }
        tracing::debug!(step = ?step, "next");
        let before = event::Before::of(&pass);
        let carried_out = Box::pin(executor.execute(&mut pass, &step));
        let answer = if step.is_remote() { executor.slot.call(carried_out).await } else { carried_out.await };
        events.extend(event::tell(&before, &pass, &step, &answer));
        let version = pass.secret_version();
        let is_recorded = matches!(answer, Answer::Recorded(_));
        journal.add(&pass.desired, &pass.observed, &step, &answer);
        pass.observed.absorb(&step, answer);
        if pass.secret_version() != version {
            pass.superseded.secrets.insert(version);
        }
        if let (Step::Record(record), true) = (step, is_recorded) {
            recorded = Some(record);
        }
    }
    journal.tell(&pass.desired, &pass.observed);
    ended(pass, events, recorded, backoff)
}

fn ended(pass: Pass<'_>, events: Vec<Event>, recorded: Option<Box<Record>>, backoff: Duration) -> Outcome {
    let failed = pass.observed.failure.as_ref().map(|failed| failed.failure.clone());
    let requeue = match (&recorded, &failed) {
        // A failure after the record, or of the record itself, has no other pace than the backoff.
        (_, Some(_)) if recorded.as_ref().is_none_or(|record| record.conclusion == Conclusion::Converged) => {
            Some(backoff)
        }
        (Some(record), _) => {
            // The status that was recorded is the object's now.
            let status = pass.object.status.clone().unwrap_or_default();
            requeue(&pass.input(record), &status, backoff)
        }
        (None, _) => None,
    };
    let blocked = recorded.and_then(|record| record.conclusion.failure().cloned());
    let failure = failed.or(blocked).map(|failure| addressed(&pass.object, &failure));
    let (awaited, secret_version) = (awaited(&pass, failure.as_ref()), pass.secret_version());
    Outcome { failure, requeue, events, object: pass.object, superseded: pass.superseded, secret_version, awaited }
}

fn awaited(pass: &Pass<'_>, failure: Option<&Failure>) -> Option<Awaited> {
    match (&pass.observed.secret, failure?.reason) {
        (Secret::Foreign(foreign), Reason::SecretConflict) => {
            Some(Awaited { secret: pass.secret_name.clone(), version: Some(foreign.version.clone()) })
        }
        (Secret::Foreign(_) | Secret::Absent | Secret::Ours(_), _) => pass.awaited.clone(),
    }
}

//! The executor: a pass asks what is next, carries it out, and absorbs the answer, until it rests.

mod event;
pub mod execute;
mod pass;
pub mod pending;

pub use execute::Executor;
pub use pass::{Start, Superseded, former_secret_name, secret_name};

use std::time::Duration;

use pass::Pass;

use crate::api::OAuthClient;
use crate::decide::client::next::{Conclusion, Record, Step, next};
use crate::decide::client::observed::Answer;
use crate::decide::client::report::{report, requeue};
use crate::decide::failure::{Disposition, Failure};
use crate::kubernetes::events::Event;

/// How a pass ended.
#[derive(Debug)]
pub struct Outcome {
    /// What kept it from finishing, if anything did.
    pub failure: Option<Failure>,
    /// When the object is to be looked at again, besides on events.
    pub requeue: Option<Duration>,
    /// What happened, for people.
    pub events: Vec<Event>,
    /// The object as it stands.
    pub object: OAuthClient,
    /// The versions that this pass knows to be no longer the latest.
    pub superseded: Superseded,
}

impl Outcome {
    /// How long nothing is to be done again although events come: after a failure of a call or a write, whose record
    /// is itself an event. What waits for other people or controllers is not pending: their change is an event, too.
    #[must_use]
    pub fn hold(&self) -> Option<Duration> {
        match self.failure.as_ref()?.disposition {
            Disposition::Retry(_) | Disposition::StalledHourly => self.requeue,
            Disposition::Stalled | Disposition::Wait => None,
        }
    }
}

/// Carries one pass out. `backoff` is how long to wait after a failure that may be gone the next time.
pub async fn reconcile(executor: &Executor<'_>, start: Start<'_>, backoff: Duration) -> Outcome {
    let mut pass = Pass::begin(start);
    let mut events = Vec::new();
    let mut recorded = None;
    loop {
        let step = next(&pass.desired, &pass.observed);
        if step == Step::Rest {
            break;
        }
        tracing::debug!(step = ?step, "next");
        let before = event::Before::of(&pass);
        let answer = executor.execute(&mut pass, &step).await;
        events.extend(event::tell(&before, &pass, &step, &answer));
        let version = pass.secret_version();
        let is_recorded = matches!(answer, Answer::Recorded(_));
        pass.observed.absorb(&step, answer);
        if pass.secret_version() != version {
            pass.superseded.secrets.insert(version);
        }
        if let (Step::Record(record), true) = (step, is_recorded) {
            recorded = Some(record);
        }
    }
    ended(pass, events, recorded, backoff)
}

fn ended(pass: Pass<'_>, events: Vec<Event>, recorded: Option<Box<Record>>, backoff: Duration) -> Outcome {
    let failed = pass.observed.failure.as_ref().map(|failed| failed.failure.clone());
    let requeue = match (&recorded, &failed) {
        // The pass failed after its record, or in recording.
        (_, Some(_)) if recorded.as_ref().is_none_or(|record| record.conclusion == Conclusion::Converged) => {
            Some(backoff)
        }
        (Some(record), _) => {
            let input = pass.input(record);
            requeue(&input, &report(&input), backoff)
        }
        (None, _) => None,
    };
    let blocked = recorded.and_then(|record| match record.conclusion {
        Conclusion::Converged => None,
        Conclusion::Blocked(failure) => Some(failure),
    });
    Outcome { failure: failed.or(blocked), requeue, events, object: pass.object, superseded: pass.superseded }
}

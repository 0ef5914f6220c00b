//! When an object is requeued.

use std::time::Duration;

use super::ReportInput;
use super::conditions::Kind;
use crate::api::condition::{ConditionType, find};
use crate::api::oauth_client::OAuthClientStatus;
use crate::decide::failure::{Disposition, Failure};
use crate::decide::time::{LONG_PATIENCE, PATIENCE, later, remaining};

/// The longest wait that backoff makes of a pause that the server asks for: a server may ask for short pauses without
/// end.
const LONGEST_PAUSE_BACKOFF: Duration = Duration::from_secs(60);

/// When the object is reconciled again, by the status that the pass gave it. `None`: only an event enqueues it.
#[must_use]
pub fn requeue(input: &ReportInput<'_>, status: &OAuthClientStatus, backoff: Duration) -> Option<Duration> {
    let retiring = status.retiring.iter().flatten();
    let overlaps = retiring.map(|retiring| remaining(input.holders.look_again(retiring, input.now), input.now));
    match input.record.conclusion.failure() {
        None => overlaps.min().map(|left| input.clock.wait(left)),
        Some(failure) => {
            let again = match failure.disposition {
                Disposition::Stalled | Disposition::Wait => PATIENCE,
                Disposition::StalledHourly => LONG_PATIENCE,
                Disposition::Retry(None) => backoff,
                Disposition::Retry(Some(pause)) => pause.max(backoff.min(LONGEST_PAUSE_BACKOFF)),
            };
            // Overlaps that have ended cannot be handled while the pass is blocked; a requeue at zero would spin.
            let overlaps = overlaps.filter(|left| !left.is_zero());
            overlaps.chain(until_stalled(input, status, failure)).chain([again]).min()
        }
    }
}

/// How long until Reconciling has to turn into Stalled, if it ever does.
fn until_stalled(input: &ReportInput<'_>, status: &OAuthClientStatus, failure: &Failure) -> Option<Duration> {
    let conditions = status.conditions.as_deref()?;
    find(conditions, ConditionType::Reconciling)
        .filter(|_| Kind::of(failure.reason) == Kind::Awaited)
        .map(|condition| remaining(later(condition.last_transition_time.0, PATIENCE), input.now))
}

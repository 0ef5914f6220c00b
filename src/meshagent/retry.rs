//! The retry policy: idempotent calls only, after a stumble only, a few times, within the call's deadline.

use std::time::Duration;

use backon::{BackoffBuilder as _, ExponentialBackoff, ExponentialBuilder};
use tokio::time::Instant;

use super::error::{CallError, Kind};
use super::send::{Answer, Call, Transport};

/// The most attempts besides the first.
const MOST_RETRIES: usize = 2;

fn waits() -> ExponentialBackoff {
    ExponentialBuilder::new()
        .with_min_delay(Duration::from_millis(100))
        .with_max_delay(Duration::from_secs(2))
        .with_factor(4.0)
        .with_max_times(MOST_RETRIES)
        .with_jitter()
        .build()
}

impl Transport {
    /// Sends the request, and again where that is safe and may help. `latest` bounds it besides the call's own time.
    pub(super) async fn call(&self, call: &Call<'_>, latest: Option<Instant>) -> Result<Answer, CallError> {
        let own = Instant::now() + self.timeouts.call;
        let deadline = latest.map_or(own, |latest| latest.min(own));
        let mut waits = waits();
        let mut sent: Option<CallError> = None;
        loop {
            let error = match self.attempt(call, deadline).await {
                Ok(answer) => return Ok(answer),
                Err(error) => error,
            };
            let may_help = call.route.is_idempotent() && error.is_transient();
            // An earlier attempt may have been carried out, so that a later one's "not sent" is not the whole truth.
            let error = match (sent.take(), &error.kind) {
                (Some(earlier), Kind::NotSent(_)) => earlier,
                (Some(_) | None, _) => error,
            };
            let Some(wait) = waits.next().filter(|wait| may_help && Instant::now() + *wait < deadline) else {
                return Err(error);
            };
            tokio::time::sleep(wait).await;
            if !matches!(error.kind, Kind::NotSent(_)) {
                sent = Some(error);
            }
        }
    }
}

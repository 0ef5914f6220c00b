//! How soon a watch that failed is tried again.

use std::time::{Duration, Instant};

use kube::runtime::utils::Backoff;

const FIRST: Duration = Duration::from_millis(500);
/// The longest wait. kube's own backoff goes up to a minute, for which an API server that is back would go unnoticed.
const LONGEST: Duration = Duration::from_secs(10);

/// How long after its last try a watch has to go well until a failure is the first one again.
const WELL: Duration = Duration::from_secs(20);

/// A wait that doubles with each failure in a row. One operator has few watches, so their tries need not be spread.
///
/// A success between two failures does not end the row, only time does: kube's watch says that it begins to list before
/// each listing, so a listing that is refused would be tried again twice a second for ever.
#[derive(Debug, Default)]
pub struct WatchBackoff {
    failures: u32,
    /// When the last wait was over.
    tried: Option<Instant>,
}

impl WatchBackoff {
    fn wait(&mut self, now: Instant) -> Duration {
        if self.tried.is_some_and(|tried| now.saturating_duration_since(tried) > WELL) {
            self.failures = 0;
        }
        let wait = FIRST.saturating_mul(2_u32.saturating_pow(self.failures)).min(LONGEST);
        self.failures = self.failures.saturating_add(1);
        self.tried = now.checked_add(wait);
        wait
    }
}

impl Iterator for WatchBackoff {
    type Item = Duration;

    fn next(&mut self) -> Option<Duration> {
        Some(self.wait(Instant::now()))
    }
}

impl Backoff for WatchBackoff {
    fn reset(&mut self) {}
}

/// The backoff of a controller's streams together: none. Each stream has its own; with kube's second one around all of
/// them, one watch that fails, say for want of a right, would hold up what the others show by up to a minute.
#[derive(Debug)]
pub struct NoPause;

impl Iterator for NoPause {
    type Item = Duration;

    fn next(&mut self) -> Option<Duration> {
        Some(Duration::ZERO)
    }
}

impl Backoff for NoPause {
    fn reset(&mut self) {}
}

#[cfg(test)]
mod tests {
    use futures::StreamExt as _;
    use kube::runtime::WatchStreamExt as _;

    use super::*;

    /// F37: an API server that takes long to restart is noticed soon after it is back.
    #[test]
    fn a_watch_is_tried_again_at_least_every_ten_seconds_and_soon_after_it_went_well() {
        let (mut backoff, mut now) = (WatchBackoff::default(), Instant::now());
        let mut failure_after = |well: Duration| {
            now += well;
            let wait = backoff.wait(now);
            now += wait;
            wait.as_secs_f64()
        };
        let in_a_row: Vec<f64> = (0..7).map(|_| failure_after(Duration::from_secs(1))).collect();
        assert_eq!(in_a_row, [0.5, 1.0, 2.0, 4.0, 8.0, 10.0, 10.0]);
        assert_eq!(failure_after(WELL), 10.0);
        assert_eq!(failure_after(WELL + Duration::from_millis(1)), 0.5);
    }

    /// I8: kube's watch yields a success before each listing that is refused.
    #[tokio::test(start_paused = true)]
    async fn a_listing_that_is_refused_for_long_is_tried_every_ten_seconds() {
        let refused = futures::stream::iter([Ok(()), Err(())].into_iter().cycle());
        let (watch, began) = (refused.backoff(WatchBackoff::default()), tokio::time::Instant::now());
        let failures = watch.filter(|event| std::future::ready(event.is_err())).take(9);
        assert_eq!(failures.count().await, 9);
        assert!(began.elapsed() >= Duration::from_secs(35), "{:?}", began.elapsed());
    }
}

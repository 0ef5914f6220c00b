//! How soon a watch that failed is tried again.

use std::time::Duration;

use kube::runtime::utils::Backoff;

const FIRST: Duration = Duration::from_millis(500);
/// The longest wait. kube's own backoff goes up to a minute, for which an API server that is back would go unnoticed.
const LONGEST: Duration = Duration::from_secs(10);

/// A wait that doubles with each failure in a row. One operator has few watches, so their tries need not be spread.
#[derive(Debug, Default)]
pub struct WatchBackoff {
    failures: u32,
}

impl Iterator for WatchBackoff {
    type Item = Duration;

    fn next(&mut self) -> Option<Duration> {
        let wait = FIRST.saturating_mul(2_u32.saturating_pow(self.failures)).min(LONGEST);
        self.failures = self.failures.saturating_add(1);
        Some(wait)
    }
}

impl Backoff for WatchBackoff {
    fn reset(&mut self) {
        self.failures = 0;
    }
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
    use super::*;

    /// F37: an API server that takes long to restart is noticed soon after it is back.
    #[test]
    fn a_watch_is_tried_again_at_least_every_ten_seconds_and_soon_after_a_success() {
        let mut backoff = WatchBackoff::default();
        let seconds = |backoff: &mut WatchBackoff| backoff.map(|wait| wait.as_secs_f64()).take(7).collect::<Vec<_>>();
        assert_eq!(seconds(&mut backoff), [0.5, 1.0, 2.0, 4.0, 8.0, 10.0, 10.0]);
        backoff.reset();
        assert_eq!(backoff.next(), Some(FIRST));
    }
}

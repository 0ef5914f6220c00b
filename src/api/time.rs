//! Times as the wire keeps them.

use std::time::Duration;

use jiff::Timestamp;
use k8s_openapi::apimachinery::pkg::apis::meta::v1::Time;

/// The time without the fraction of its second, which the wire does not keep: with it, what was written would differ
/// from what is read back.
#[must_use]
pub fn whole_seconds(time: Timestamp) -> Timestamp {
    Timestamp::from_second(time.as_second()).unwrap_or(time)
}

/// A time as a status holds it.
#[must_use]
pub fn stamp(time: Timestamp) -> Time {
    Time(whole_seconds(time))
}

/// How far the clocks of two replicas may be apart.
pub const CLOCK_SKEW: Duration = Duration::from_secs(60);

/// How far a written time lies ahead of our clock, if further than another replica's clock may be: it was written by a
/// clock that was wrong, and waiting for it could take years.
#[must_use]
pub fn ahead(time: Timestamp, now: Timestamp) -> Option<Duration> {
    Duration::try_from(time.duration_since(now)).ok().filter(|ahead| *ahead > CLOCK_SKEW)
}

/// The written time, or now in the place of one that was written by a clock that was wrong.
#[must_use]
pub fn not_ahead(time: Timestamp, now: Timestamp) -> Timestamp {
    ahead(time, now).map_or(time, |_| now)
}

#[cfg(test)]
mod tests {
    use super::*;

    /// F10.
    #[test]
    fn a_time_ahead_of_the_clock_counts_as_now_unless_two_clocks_may_differ_so() {
        let at = |second| Timestamp::from_second(second).unwrap();
        let seen = [0, 100, 160, 161, 2_000_000_000].map(|second| not_ahead(at(second), at(100)));
        assert_eq!(seen, [0, 100, 160, 100, 100].map(at));
        assert_eq!(not_ahead(Timestamp::MAX, Timestamp::MIN), Timestamp::MIN);
        assert_eq!(not_ahead(Timestamp::MIN, Timestamp::MAX), Timestamp::MIN);
    }
}

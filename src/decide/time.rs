//! Lengths of waits, the state of our clock, and times as the wire keeps them.

use std::time::Duration;

use jiff::{SignedDuration, Timestamp};
use serde::{Deserialize, Serialize};

use crate::api::time::CLOCK_SKEW;
pub use crate::api::time::{ahead, not_ahead, stamp, whole_seconds};

/// How long somebody may take to bring what is awaited, how often a failure that only a change by somebody ends is
/// tried, and how long no client is POSTed after a replacement.
pub const PATIENCE: Duration = Duration::from_secs(10 * 60);
/// How often a call that the server refused for good is tried.
pub const LONG_PATIENCE: Duration = Duration::from_secs(60 * 60);

/// The most tries in an hour of an object that fails without end, whatever the answers and their words: each try ends
/// with the first call that fails, and makes one status write and one Event at most. A change by people, or of what the
/// object waits for, is answered at once besides. The property test of `controller::memory` holds the number, and the
/// reference names it.
pub const MOST_TRIES_PER_HOUR: u32 = 70;

/// The skew from which a clock is warned of.
pub const SKEW_TO_TELL: Duration = Duration::from_secs(5);
/// The largest skew of a clock by which anything is deleted: a clock that is further off may be set right at any
/// moment.
pub const LARGEST_SKEW: Duration = CLOCK_SKEW;
/// How often a clock that is further off is checked again.
pub const CLOCK_RECHECK: Duration = Duration::from_secs(60);

/// How far our clock may be ahead of the API server's, as one answer shows it: from the least to the most.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct SkewBounds {
    least: SignedDuration,
    most: SignedDuration,
}

impl SkewBounds {
    /// The bounds by a request that was sent and answered at these times of our clock. `date`, in whole seconds, was
    /// written between the two. `None`: our clock was set back meanwhile.
    #[must_use]
    pub fn of(sent: Timestamp, answered: Timestamp, date: Timestamp) -> Option<Self> {
        let least = sent.duration_since(date).saturating_sub(SignedDuration::from_secs(1));
        (sent <= answered).then(|| Self { least, most: answered.duration_since(date) })
    }
}

/// The skew that is next to the known one and agrees with what was seen: rounding and slow answers move nothing.
#[must_use]
pub fn refined(known: SignedDuration, seen: SkewBounds) -> SignedDuration {
    known.clamp(seen.least, seen.most)
}

/// Whether our clock can be trusted.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, Serialize, Deserialize)]
pub enum ClockState {
    /// The clock agrees with the API server's.
    Right,
    /// The clock is off by seconds.
    Off,
    /// The clock is off by more than a minute.
    Wrong,
}

impl ClockState {
    /// The state of a clock that is so far ahead.
    #[must_use]
    pub fn of(skew: SignedDuration) -> Self {
        match skew.unsigned_abs() {
            skew if skew > LARGEST_SKEW => Self::Wrong,
            skew if skew >= SKEW_TO_TELL => Self::Off,
            _right => Self::Right,
        }
    }

    /// Whether anything may be deleted because of a time.
    #[must_use]
    pub fn may_delete(self) -> bool {
        match self {
            Self::Right | Self::Off => true,
            Self::Wrong => false,
        }
    }

    /// How long until a time that is `left` away can be acted on.
    #[must_use]
    pub fn wait(self, left: Duration) -> Duration {
        if self.may_delete() { left } else { left.max(CLOCK_RECHECK) }
    }
}

/// What a project says of a clock by which nothing is deleted.
#[must_use]
pub fn remark(skew: SignedDuration) -> Option<String> {
    let direction = if skew.is_negative() { "behind" } else { "ahead of" };
    let minutes = (skew.unsigned_abs().as_secs() + 30) / 60;
    (!ClockState::of(skew).may_delete()).then(|| {
        format!(
            "the clock of the operator's machine is {minutes} min {direction} the API server's; until it is set right, \
             former clients whose overlap has ended and orphans of age stay"
        )
    })
}

/// The time so long after another, or the end of time.
#[must_use]
pub fn later(time: Timestamp, by: Duration) -> Timestamp {
    time.checked_add(by).unwrap_or(Timestamp::MAX)
}

/// The time left until `end`; none if it has passed.
#[must_use]
pub fn remaining(end: Timestamp, now: Timestamp) -> Duration {
    let left: SignedDuration = end.duration_since(now);
    left.try_into().unwrap_or_default()
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    const HOUR: SignedDuration = SignedDuration::from_hours(1);

    fn at(milliseconds: i64) -> Timestamp {
        Timestamp::from_millisecond(milliseconds).unwrap()
    }

    /// An exchange at a true time, by a clock that is so far ahead.
    fn seen(skew: SignedDuration, at: Timestamp, there: i64, back: i64) -> SkewBounds {
        let milliseconds = |time: Timestamp, by| time + SignedDuration::from_millis(by);
        let date = Timestamp::from_second(milliseconds(at, there).as_second()).unwrap();
        SkewBounds::of(at + skew, milliseconds(at, there + back) + skew, date).unwrap()
    }

    proptest! {
        /// F35.
        #[test]
        fn whole_seconds_and_slow_answers_never_make_more_of_a_skew_than_there_is(
            skew in -7_200_000_i64..7_200_000,
            answers in prop::collection::vec((1_000_000_i64..9_000_000, 0_i64..15_000, 0_i64..15_000), 1..9),
        ) {
            let skew = SignedDuration::from_millis(skew);
            let mut known = SignedDuration::ZERO;
            for (start, there, back) in answers {
                known = refined(known, seen(skew, at(start), there, back));
                prop_assert!(known.unsigned_abs() <= skew.unsigned_abs(), "{known} of {skew}");
                let missed = (skew - known).unsigned_abs();
                let slowest = Duration::from_millis(u64::try_from(there + back).unwrap() + 1000);
                prop_assert!(missed <= slowest, "{known} of {skew} after {slowest:?}");
            }
        }
    }

    /// F35.
    #[test]
    fn a_clock_that_is_set_right_is_known_to_be_right() {
        let (prompt, mut known) = (|skew, second: i64| seen(skew, at(second * 1000), 3, 4), SignedDuration::ZERO);
        for (second, skew) in [(1, HOUR), (2, HOUR), (3, -HOUR), (4, SignedDuration::ZERO)] {
            known = refined(known, prompt(skew, second));
            assert!((known - skew).unsigned_abs() <= Duration::from_millis(1007), "{known} of {skew}");
        }
        assert_eq!(SkewBounds::of(at(2000), at(1000), at(1000)), None, "it was set back meanwhile");
    }

    /// F35.
    #[test]
    fn a_skew_is_told_from_five_seconds_on_and_deletes_nothing_from_a_minute_on_either_way() {
        let of = |seconds: i64| [seconds, -seconds].map(|skew| ClockState::of(SignedDuration::from_secs(skew)));
        assert_eq!(of(4), [ClockState::Right; 2]);
        assert_eq!((of(5), of(60)), ([ClockState::Off; 2], [ClockState::Off; 2]));
        assert_eq!(of(61), [ClockState::Wrong; 2]);
        let wait = |state: ClockState, seconds| state.wait(Duration::from_secs(seconds)).as_secs();
        assert_eq!((wait(ClockState::Off, 0), wait(ClockState::Wrong, 0), wait(ClockState::Wrong, 900)), (0, 60, 900));
    }

    /// F35.
    #[test]
    fn what_a_project_says_names_the_minutes_and_the_direction() {
        assert_eq!(remark(SignedDuration::from_secs(60)), None);
        let almost = HOUR - SignedDuration::from_millis(600);
        assert!(remark(almost).unwrap().contains("is 60 min ahead of the API server's"));
        assert!(remark(-HOUR).unwrap().contains("is 60 min behind the API server's"));
    }
}

//! How long is waited, and times as the wire keeps them.

use std::time::Duration;

use jiff::{SignedDuration, Timestamp};

pub use crate::api::time::{ahead, not_ahead, stamp, whole_seconds};

/// How long somebody may take to bring what is awaited, how often is tried what only a change by somebody ends, and how
/// long nothing is POSTed again after a replacement.
pub const PATIENCE: Duration = Duration::from_secs(10 * 60);
/// How often is tried what the server refused for good.
pub const LONG_PATIENCE: Duration = Duration::from_secs(60 * 60);

/// How often an object that fails without end is tried in an hour, whatever is answered, and however it is worded: each
/// try ends with the first call that fails, and makes one status write and one Event at most. What people change, and
/// what the object waits for, is answered at once besides. The property test of `controller::memory` holds it, and the reference names it.
pub const MOST_TRIES_PER_HOUR: u32 = 70;

/// So long after a time, or the end of time.
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

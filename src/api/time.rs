//! Times as the wire keeps them.

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

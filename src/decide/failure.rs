//! Why a pass could not finish: what is said of it, and when it is tried again.

use std::time::Duration;

use serde::{Deserialize, Serialize};

use crate::api::Reason;

/// What a pass came to a halt on.
#[derive(Clone, Debug, PartialEq, Eq, Hash, Serialize, Deserialize)]
pub struct Failure {
    /// The condition reason.
    pub reason: Reason,
    /// One sentence for whoever reads the object: what is wrong and what to do.
    pub message: String,
    /// When the pass is tried again.
    pub disposition: Disposition,
}

/// When a failed pass is tried again, besides on every change of what it depends on.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, Serialize, Deserialize)]
pub enum Disposition {
    /// The failure will not end by itself soon: every ten minutes.
    Stalled,
    /// The server refused it for good: every hour.
    StalledHourly,
    /// The pass waits for something that other people or controllers do: every ten minutes, and Stalled after ten.
    Wait,
    /// The next try may succeed: after this long, or with a growing backoff.
    Retry(Option<Duration>),
}

impl Failure {
    /// A failure that only a change by somebody ends.
    #[must_use]
    pub fn stalled(reason: Reason, message: impl Into<String>) -> Self {
        Self { reason, message: message.into(), disposition: Disposition::Stalled }
    }

    /// A failure that may be gone at the next try.
    #[must_use]
    pub fn retry(reason: Reason, message: impl Into<String>) -> Self {
        Self { reason, message: message.into(), disposition: Disposition::Retry(None) }
    }

    /// A wait for something that is expected to come.
    #[must_use]
    pub fn wait(reason: Reason, message: impl Into<String>) -> Self {
        Self { reason, message: message.into(), disposition: Disposition::Wait }
    }
}

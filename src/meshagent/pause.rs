//! The pause of a project after a 429: how long, and until when.

use std::sync::{Mutex, PoisonError};
use std::time::{Duration, SystemTime};

use tokio::time::Instant;

/// The pause without a usable `Retry-After`.
const DEFAULT: Duration = Duration::from_secs(10);
/// The shortest pause: one of nothing would be a loop.
const SHORTEST: Duration = Duration::from_secs(1);
/// The longest pause: a server's mistake must not stop a project for days.
const LONGEST: Duration = Duration::from_secs(600);

/// How long to wait by a `Retry-After` header, which is a number of seconds or an HTTP date, or nonsense.
pub(super) fn pause_for(retry_after: Option<&[u8]>, now: SystemTime) -> Duration {
    let text = retry_after.and_then(|header| str::from_utf8(header).ok()).map(str::trim).unwrap_or_default();
    let wanted = if !text.is_empty() && text.bytes().all(|byte| byte.is_ascii_digit()) {
        // Digits that make no u64 are too large a number.
        Duration::from_secs(text.parse().unwrap_or(u64::MAX))
    } else {
        match httpdate::parse_http_date(text) {
            Ok(date) => date.duration_since(now).unwrap_or_default(),
            Err(_) => DEFAULT,
        }
    };
    wanted.clamp(SHORTEST, LONGEST)
}

/// The pause that all calls of a project share.
#[derive(Debug, Default)]
pub(super) struct Pause(Mutex<Option<Instant>>);

impl Pause {
    /// Pauses from `now` on; never shortens a pause that another call was told.
    pub(super) fn extend(&self, now: Instant, length: Duration) {
        let until = now + length;
        let mut pause = self.0.lock().unwrap_or_else(PoisonError::into_inner);
        *pause = Some(pause.map_or(until, |earlier| earlier.max(until)));
    }

    /// The end of the present pause; `None` outside of one.
    pub(super) fn until(&self, now: Instant) -> Option<Instant> {
        self.0.lock().unwrap_or_else(PoisonError::into_inner).filter(|until| *until > now)
    }
}

#[cfg(test)]
mod tests;

//! Waiting for a condition instead of sleeping.

use std::{fmt::Display, time::Duration};

use tokio::time::{Instant, sleep, timeout_at};

use crate::{Error, Result};

const PAUSE: Duration = Duration::from_millis(50);

/// Calls `look` again and again until it gives a value, and returns that. `look` answers `Err` with what it saw
/// instead, which the failure's message repeats. A call that hangs counts as none.
///
/// # Errors
/// The condition did not come true within the given time.
pub async fn eventually<T, E: Display>(
    within: Duration,
    what: &str,
    mut look: impl AsyncFnMut() -> Result<T, E>,
) -> Result<T> {
    let end = Instant::now() + within;
    let mut last = "nothing, the first look never ended".to_owned();
    loop {
        match timeout_at(end, look()).await {
            Ok(Ok(value)) => return Ok(value),
            Ok(Err(seen)) => last = seen.to_string(),
            Err(_) => {
                return Err(Error::NotInTime { what: what.to_owned(), within, last });
            }
        }
        if Instant::now() + PAUSE >= end {
            return Err(Error::NotInTime { what: what.to_owned(), within, last });
        }
        sleep(PAUSE).await;
    }
}

//! Durations as people write them: `30s`, `15m`, `12h`, `90d`.

use std::time::Duration;

/// The longest duration, ten years: its end can be added to any date without overflow.
pub const LONGEST: Duration = Duration::from_secs(3650 * 24 * 60 * 60);

/// Why a text is no duration.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
pub enum DurationError {
    /// The text is not a number with one of the four units.
    #[error("a duration is one whole number with a unit, like 30s, 15m, 12h or 90d")]
    Malformed,
    /// The text is a duration beyond [`LONGEST`].
    #[error("a duration is 3650d at most")]
    TooLong,
}

impl DurationError {
    /// What is wrong and what to do, to follow the name of the field.
    #[must_use]
    pub const fn problem_and_fix(self) -> (&'static str, &'static str) {
        match self {
            Self::Malformed => ("is not one whole number with a unit", "write it like 30s, 15m, 12h or 90d"),
            Self::TooLong => ("is longer than ten years", "write 3650d or less"),
        }
    }
}

/// Reads one whole number followed by `s`, `m`, `h` or `d`, without leading zeros, so that one length has one spelling
/// in each unit.
///
/// # Errors
/// When the text has another form, or names more than ten years.
pub fn parse(text: &str) -> Result<Duration, DurationError> {
    let unit = text.chars().last().ok_or(DurationError::Malformed)?;
    let seconds: u64 = match unit {
        's' => 1,
        'm' => 60,
        'h' => 60 * 60,
        'd' => 24 * 60 * 60,
        _ => return Err(DurationError::Malformed),
    };
    let digits = &text[..text.len() - 1];
    let leading_zero = digits.len() > 1 && digits.starts_with('0');
    if digits.is_empty() || leading_zero || !digits.bytes().all(|byte| byte.is_ascii_digit()) {
        return Err(DurationError::Malformed);
    }
    // Only digits are left, so what does not fit is too long.
    let number: u64 = digits.parse().map_err(|_| DurationError::TooLong)?;
    let total = number.checked_mul(seconds).map(Duration::from_secs);
    total.filter(|duration| *duration <= LONGEST).ok_or(DurationError::TooLong)
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    #[test]
    fn each_unit_is_read() {
        let read = ["0s", "30s", "15m", "12h", "90d"].map(parse);
        let wanted = [0, 30, 900, 43_200, 7_776_000].map(|seconds| Ok(Duration::from_secs(seconds)));
        assert_eq!(read, wanted);
    }

    #[test]
    fn other_forms_are_refused() {
        for text in ["", "s", "30", "1h30m", "-1s", "+1s", "1.5h", " 1s", "1s ", "1S", "007s", "1w", "1é", "١s"] {
            assert_eq!(parse(text), Err(DurationError::Malformed), "{text:?}");
        }
    }

    #[test]
    fn ten_years_is_the_longest() {
        assert_eq!(parse("3650d"), Ok(LONGEST));
        assert_eq!(parse("3651d"), Err(DurationError::TooLong));
        assert_eq!(parse("99999999999999999999999d"), Err(DurationError::TooLong));
        assert_eq!(parse("18446744073709551615d"), Err(DurationError::TooLong));
    }

    proptest! {
        #[test]
        fn any_text_is_read_or_refused(text in "\\PC*") {
            let _ = parse(&text);
        }

        #[test]
        fn seconds_are_read_back(seconds in 0..=LONGEST.as_secs()) {
            prop_assert_eq!(parse(&format!("{seconds}s")), Ok(Duration::from_secs(seconds)));
        }
    }
}

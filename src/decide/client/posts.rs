//! How long the POSTs of one process for one object, after its first success, keep it from the next.

use std::time::Duration;

use super::observed::Cooldown;
use crate::decide::time::{LONG_PATIENCE, PATIENCE};

/// The number of POSTs in a row without a usable answer after which the next one waits for an hour.
const MOST_USELESS: u32 = 3;

/// The POSTs for an object that had a client already.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Hash)]
pub struct Posts {
    /// How many in a row had no usable answer.
    useless: u32,
}

impl Posts {
    /// The POSTs with one more; `useful`: it was answered with a client and its secret.
    #[must_use]
    pub fn and(self, useful: bool) -> Self {
        Self { useless: if useful { 0 } else { self.useless.saturating_add(1).min(MOST_USELESS) } }
    }

    /// Whether the POSTs let the process POST again, so long after the last.
    #[must_use]
    pub fn cooldown(self, ago: Duration) -> Cooldown {
        if self.useless >= MOST_USELESS && ago < LONG_PATIENCE {
            Cooldown::Long
        } else if ago < PATIENCE {
            Cooldown::Short
        } else {
            Cooldown::None
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_post_delays_the_next_by_ten_minutes_and_three_without_use_by_an_hour() {
        let minutes = |minutes: u64| Duration::from_secs(60 * minutes);
        let useful = Posts::default().and(true);
        assert_eq!([useful.cooldown(minutes(9)), useful.cooldown(minutes(10))], [Cooldown::Short, Cooldown::None]);
        let two = useful.and(false).and(false);
        assert_eq!([two.cooldown(minutes(9)), two.cooldown(minutes(10))], [Cooldown::Short, Cooldown::None]);
        let three = two.and(false);
        assert_eq!([three.cooldown(minutes(59)), three.cooldown(minutes(60))], [Cooldown::Long, Cooldown::None]);
        assert_eq!(three.and(true), useful, "a useful one ends the row");
    }
}

//! How many workloads roll at once, and how often one is restarted for the same client.

use std::collections::HashMap;
use std::time::{Duration, Instant};

/// The most workloads that roll at once.
pub const AT_ONCE: usize = 10;

/// How long a workload that rolls keeps others from it: one that is stuck does not hold up all.
const LONGEST_ROLL: Duration = Duration::from_secs(10 * 60);

/// How often a workload is restarted for the same client at most, if somebody takes the annotation away.
const MOST_RESTARTS: u32 = 2;

/// The workloads that roll, and those that were restarted, by uid. It paces, and no more: whether a workload was restarted is
/// read from it.
#[derive(Debug, Default)]
pub struct Pace {
    rolling: HashMap<String, Instant>,
    restarted: HashMap<String, (String, u32)>,
}

impl Pace {
    /// Whether another workload may be restarted now.
    #[must_use]
    pub fn has_room(&self, now: Instant) -> bool {
        let counts = |since: &&Instant| now.saturating_duration_since(**since) < LONGEST_ROLL;
        self.rolling.values().filter(counts).count() < AT_ONCE
    }

    /// Whether a workload may be restarted for a client: not again and again.
    #[must_use]
    pub fn may_restart(&self, uid: &str, client_id: &str) -> bool {
        self.restarted.get(uid).is_none_or(|(before, times)| before != client_id || *times < MOST_RESTARTS)
    }

    /// A restart is asked for: the workload takes a place, whether the answer arrives or not.
    pub fn starts(&mut self, uid: &str, now: Instant) {
        self.rolling.insert(uid.to_owned(), now);
    }

    /// A restart was carried out.
    pub fn was_restarted(&mut self, uid: &str, client_id: &str) {
        let restarted = self.restarted.entry(uid.to_owned()).or_insert_with(|| (client_id.to_owned(), 0));
        if restarted.0 != client_id {
            *restarted = (client_id.to_owned(), 0);
        }
        restarted.1 += 1;
    }

    /// A workload is seen to roll.
    pub fn rolls(&mut self, uid: &str, now: Instant) {
        self.rolling.entry(uid.to_owned()).or_insert(now);
    }

    /// Whether a workload has rolled for so long that it counts no more.
    #[must_use]
    pub fn is_stuck(&self, uid: &str, now: Instant) -> bool {
        self.rolling.get(uid).is_some_and(|since| now.saturating_duration_since(*since) >= LONGEST_ROLL)
    }

    /// A workload has rolled out, is gone, or was not restarted.
    pub fn has_ended(&mut self, uid: &str) {
        self.rolling.remove(uid);
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const SECOND: Duration = Duration::from_secs(1);

    fn ten_at(now: Instant) -> Pace {
        let mut pace = Pace::default();
        for number in 0..AT_ONCE {
            assert!(pace.has_room(now), "{number}");
            pace.starts(&number.to_string(), now);
            pace.rolls(&number.to_string(), now);
        }
        pace
    }

    #[test]
    fn ten_roll_at_once_and_the_next_one_when_one_has_ended() {
        let now = Instant::now();
        let mut pace = ten_at(now);
        assert!(!pace.has_room(now));
        pace.has_ended("3");
        assert!(pace.has_room(now));
    }

    #[test]
    fn one_that_is_stuck_counts_for_ten_minutes_however_often_it_is_seen_to_roll() {
        let now = Instant::now();
        let (mut pace, later) = (ten_at(now), now + 10 * 60 * SECOND);
        pace.rolls("0", later - SECOND);
        assert!(!pace.has_room(later - SECOND));
        assert!(pace.has_room(later));
        assert!(pace.is_stuck("0", later) && !pace.is_stuck("0", later - SECOND) && !pace.is_stuck("x", later));
    }

    #[test]
    fn one_that_was_stuck_counts_anew_when_it_is_restarted_anew() {
        let now = Instant::now();
        let (mut pace, later) = (ten_at(now), now + 20 * 60 * SECOND);
        for number in 0..AT_ONCE {
            pace.starts(&number.to_string(), later);
        }
        assert!(!pace.has_room(later));
    }

    #[test]
    fn a_workload_is_restarted_twice_at_most_for_the_same_client_and_attempts_do_not_count() {
        let (mut pace, now) = (Pace::default(), Instant::now());
        for _ in 0..2 {
            pace.starts("a", now);
            pace.starts("a", now);
            assert!(pace.may_restart("a", "c-2"));
            pace.was_restarted("a", "c-2");
        }
        assert!(!pace.may_restart("a", "c-2"));
        assert!(pace.may_restart("a", "c-3") && pace.may_restart("b", "c-2"));
        pace.was_restarted("a", "c-3");
        assert!(pace.may_restart("a", "c-3"));
        pace.was_restarted("a", "c-3");
        assert!(!pace.may_restart("a", "c-3"));
    }
}

//! What the controller remembers between the passes over one object: how often it failed in a row, and which of its own
//! writes the watches have yet to show.

use std::collections::{HashMap, HashSet};
use std::sync::{Mutex, MutexGuard, PoisonError};
use std::time::{Duration, Instant};

use crate::api::OAuthClient;
use crate::client::Superseded;
use crate::decide::client::object;
use crate::decide::id::{Uid, Version};

/// The first wait after a failure; each further one doubles it.
const FIRST_BACKOFF: Duration = Duration::from_secs(1);
/// No wait is longer.
const LONGEST_BACKOFF: Duration = Duration::from_secs(300);
/// A cache that does not show our own write for so long is believed all the same.
const PATIENCE: Duration = Duration::from_secs(5);

/// By the object's uid.
#[derive(Debug, Default)]
pub(super) struct Memory(Mutex<HashMap<Uid, Remembered>>);

#[derive(Debug, Default)]
struct Remembered {
    failures: u32,
    superseded: Option<(Superseded, Instant)>,
    hold: Option<(Asked, Instant)>,
}

/// What people ask of an object. While it is the same, a failure is tried again when it is due and not on every event:
/// the operator's own writes are events as well.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) struct Asked {
    generation: Option<i64>,
    /// For a look, and for a rotation.
    requests: [String; 2],
    forced: bool,
    deleting: bool,
    /// `kubectl replace` takes it off: then it is put back at once.
    finalizer: bool,
}

impl Asked {
    pub(super) fn of(object: &OAuthClient) -> Self {
        Self {
            generation: object.metadata.generation,
            requests: [object::reconcile_request(object), object::rotation_request(object)].map(str::to_owned),
            forced: object::is_forced(object),
            deleting: object.metadata.deletion_timestamp.is_some(),
            finalizer: object::has_finalizer(object),
        }
    }
}

impl Memory {
    /// How long to wait if the pass that begins now fails.
    pub(super) fn backoff(&self, uid: &Uid) -> Duration {
        let failures = self.open().get(uid).map_or(0, |remembered| remembered.failures);
        FIRST_BACKOFF.saturating_mul(2_u32.saturating_pow(failures)).min(LONGEST_BACKOFF)
    }

    /// Whether the caches show versions that this process has replaced by its own writes a moment ago.
    pub(super) fn is_behind(&self, uid: &Uid, object: &Version, secret: Option<&Version>, now: Instant) -> bool {
        self.open().get(uid).and_then(|remembered| remembered.superseded.as_ref()).is_some_and(|(left, since)| {
            now.duration_since(*since) < PATIENCE
                && (left.objects.contains(object) || left.secrets.contains(&secret.cloned()))
        })
    }

    /// From now on nothing is done for the object for so long, unless something else is asked of it.
    pub(super) fn hold(&self, uid: &Uid, asked: Asked, wait: Duration, now: Instant) {
        self.open().entry(uid.clone()).or_default().hold = now.checked_add(wait).map(|until| (asked, until));
    }

    /// How long nothing is to be done for the object yet.
    pub(super) fn held(&self, uid: &Uid, asked: &Asked, now: Instant) -> Option<Duration> {
        let open = self.open();
        let (held, until) = open.get(uid)?.hold.as_ref()?;
        let left = until.saturating_duration_since(now);
        (held == asked && !left.is_zero()).then_some(left)
    }

    /// Remembers how a pass ended, and lifts any hold.
    pub(super) fn remember(&self, uid: &Uid, failed: bool, left: Superseded, now: Instant) {
        let mut open = self.open();
        let remembered = open.entry(uid.clone()).or_default();
        remembered.failures = if failed { remembered.failures.saturating_add(1).min(16) } else { 0 };
        remembered.hold = None;
        remembered.superseded = (!left.is_empty()).then_some((left, now));
    }

    /// Forgets all objects but these.
    pub(super) fn keep(&self, uids: &HashSet<Uid>) {
        self.open().retain(|uid, _| uids.contains(uid));
    }

    fn open(&self) -> MutexGuard<'_, HashMap<Uid, Remembered>> {
        self.0.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn left(object: &str) -> Superseded {
        Superseded { objects: HashSet::from([Version::new(object)]), secrets: HashSet::from([None]) }
    }

    #[test]
    fn a_cache_that_lags_our_own_write_is_waited_for_but_not_for_ever() {
        let (memory, uid) = (Memory::default(), Uid::new("u"));
        let now = Instant::now();
        memory.remember(&uid, false, left("1"), now);
        let (new, secret) = (Version::new("2"), Version::new("9"));
        assert!(memory.is_behind(&uid, &Version::new("1"), Some(&secret), now), "an object from before our write");
        assert!(memory.is_behind(&uid, &new, None, now), "a Secret that we created is not there yet");
        assert!(!memory.is_behind(&uid, &new, Some(&secret), now), "both are there");
        assert!(!memory.is_behind(&uid, &new, None, now + PATIENCE), "the Secret really is not there");
    }

    #[test]
    fn a_hold_lasts_until_it_is_due_or_something_else_is_asked() {
        let (memory, uid, now) = (Memory::default(), Uid::new("u"), Instant::now());
        let asked = |generation| Asked {
            generation: Some(generation),
            requests: [String::new(), String::new()],
            forced: false,
            deleting: false,
            finalizer: true,
        };
        let hour = Duration::from_secs(3600);
        memory.remember(&uid, true, Superseded::default(), now);
        memory.hold(&uid, asked(1), hour, now);
        assert_eq!(memory.held(&uid, &asked(1), now), Some(hour));
        assert_eq!(memory.held(&uid, &asked(2), now), None, "the spec was edited");
        assert_eq!(memory.held(&uid, &Asked { deleting: true, ..asked(1) }, now), None, "it is being deleted");
        assert_eq!(memory.held(&uid, &asked(1), now + hour), None, "it is due");
    }

    #[test]
    fn the_wait_grows_with_failures_in_a_row_and_has_an_end() {
        let (memory, uid) = (Memory::default(), Uid::new("u"));
        let mut waits = Vec::new();
        for _ in 0..12 {
            waits.push(memory.backoff(&uid).as_secs());
            memory.remember(&uid, true, Superseded::default(), Instant::now());
        }
        assert_eq!(waits, [1, 2, 4, 8, 16, 32, 64, 128, 256, 300, 300, 300]);
        memory.remember(&uid, false, Superseded::default(), Instant::now());
        assert_eq!(memory.backoff(&uid), FIRST_BACKOFF);
    }
}

//! What the controller remembers between the passes over one object: how often it failed in a row, until when it is
//! suppressed, what was told of it, and which of the operator's own writes the watches have yet to show.

use std::collections::{HashMap, HashSet};
use std::sync::{Mutex, MutexGuard, PoisonError};
use std::time::{Duration, Instant};

use super::circumstances::{Asked, Circumstances};
use crate::client::{Awaited, Superseded};
use crate::decide::id::{Uid, Version};
use crate::decide::words;
use crate::kubernetes::events::{Event, EventType};

/// The first wait after a failure; each further one doubles it.
const FIRST_BACKOFF: Duration = Duration::from_secs(1);
const LONGEST_BACKOFF: Duration = Duration::from_secs(300);
/// How long a cache may not show our own write before it is believed all the same.
const PATIENCE: Duration = Duration::from_secs(5);
/// The time between two checks of a Secret that the operator does not watch.
pub(super) const CHECK_INTERVAL: Duration = Duration::from_secs(30);
/// The most different Events remembered as told.
const MOST_TOLD: usize = 64;

/// What is remembered, by the object's uid.
#[derive(Debug, Default)]
pub(super) struct Memory(Mutex<HashMap<Uid, Remembered>>);

#[derive(Debug, Default)]
struct Remembered {
    failures: u32,
    superseded: Option<(Superseded, Instant)>,
    suppression: Option<Suppression>,
    told: Option<(Asked, HashSet<(String, String)>)>,
}

impl Remembered {
    /// Whether an object of which nothing is remembered would be treated the same.
    fn is_empty(&self, now: Instant) -> bool {
        let Self { failures, superseded, suppression, told } = self;
        let is_believed = |(_, since): &(Superseded, Instant)| now.duration_since(*since) >= PATIENCE;
        *failures == 0 && superseded.as_ref().is_none_or(is_believed) && suppression.is_none() && told.is_none()
    }
}

/// The suppression of an object whose pass failed: until when no other is tried, and what ends that early.
#[derive(Clone, Debug)]
pub(super) struct Suppression {
    pub(super) until: Instant,
    pub(super) circumstances: Circumstances,
    /// The versions of the Secret, and of the one under its former name, that the pass knew of.
    pub(super) secrets: [HashSet<Option<Version>>; 2],
    /// A Secret that the operator does not watch, and when it is checked next.
    pub(super) awaited: Option<(Awaited, Instant)>,
}

/// Why there is no pass now.
#[derive(Debug, PartialEq, Eq)]
pub(super) enum Suppressed {
    /// No pass for so long.
    For(Duration),
    /// No pass unless this Secret has changed.
    Unless(Awaited),
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

    /// Suppresses further passes.
    pub(super) fn suppress(&self, uid: &Uid, suppression: Suppression) {
        self.open().entry(uid.clone()).or_default().suppression = Some(suppression);
    }

    /// Whether a pass may be [`suppressed`](Self::suppressed): what it depends on takes long to find out.
    pub(super) fn may_suppress(&self, uid: &Uid) -> bool {
        self.open().get(uid).is_some_and(|remembered| remembered.suppression.is_some())
    }

    /// Whether a pass is suppressed, with the Secrets as cached.
    pub(super) fn suppressed(
        &self,
        uid: &Uid,
        circumstances: &Circumstances,
        secrets: [Option<&Version>; 2],
        now: Instant,
    ) -> Option<Suppressed> {
        let open = self.open();
        let suppression = open.get(uid)?.suppression.as_ref()?;
        let known = suppression.secrets.iter().zip(secrets).all(|(known, cached)| known.contains(&cached.cloned()));
        let left = suppression.until.saturating_duration_since(now);
        if left.is_zero() || !known || &suppression.circumstances != circumstances {
            return None;
        }
        let Some((awaited, next)) = &suppression.awaited else {
            return Some(Suppressed::For(left));
        };
        Some(match next.saturating_duration_since(now) {
            Duration::ZERO => Suppressed::Unless(awaited.clone()),
            check => Suppressed::For(left.min(check)),
        })
    }

    /// Notes that an awaited Secret was found in this version, or unreadable. Returns whether passes stay suppressed.
    pub(super) fn checked(&self, uid: &Uid, found: Option<Option<Version>>, now: Instant) -> bool {
        let mut open = self.open();
        let suppression = open.get_mut(uid).and_then(|remembered| remembered.suppression.as_mut());
        let Some((awaited, next)) = suppression.and_then(|suppression| suppression.awaited.as_mut()) else {
            return false;
        };
        *next = now + CHECK_INTERVAL;
        found.is_none_or(|found| found == awaited.version)
    }

    /// Ends the suppression: the next pass may begin.
    pub(super) fn unsuppress(&self, uid: &Uid) {
        if let Some(remembered) = self.open().get_mut(uid) {
            remembered.suppression = None;
        }
    }

    /// Remembers how a pass ended, and ends its suppression.
    pub(super) fn remember(&self, uid: &Uid, failed: bool, left: Superseded, now: Instant) {
        let mut open = self.open();
        let remembered = open.entry(uid.clone()).or_default();
        remembered.failures = if failed { remembered.failures.saturating_add(1).min(16) } else { 0 };
        remembered.suppression = None;
        remembered.superseded = (!left.is_empty()).then_some((left, now));
        // Thousands that are converged are nothing to remember.
        if remembered.is_empty(now) {
            open.remove(uid);
        }
    }

    /// The Events of a pass that were not told since the object was last converged or asked for something else: an
    /// effect that a failing object repeats is one Event.
    pub(super) fn news(&self, uid: &Uid, asked: &Asked, failed: bool, events: Vec<Event>) -> Vec<Event> {
        let mut open = self.open();
        let remembered = open.entry(uid.clone()).or_default();
        let before = remembered.told.take().filter(|(before, _)| before.is_same_wish(asked));
        let mut told = before.map(|(_, told)| told).unwrap_or_default();
        let news = events.into_iter().filter(|event| {
            let text = match event.type_ {
                EventType::Normal => event.text.clone(),
                EventType::Warning => words::essence(&event.text),
            };
            told.insert((event.reason.clone(), text))
        });
        let news = news.collect();
        remembered.told = (failed && told.len() <= MOST_TOLD).then(|| (asked.clone(), told));
        news
    }

    /// Forgets all objects but these, and what is no news of these any more.
    pub(super) fn keep(&self, uids: &HashSet<Uid>, now: Instant) {
        let mut open = self.open();
        open.retain(|uid, remembered| uids.contains(uid) && !remembered.is_empty(now));
        open.shrink_to_fit();
    }

    fn open(&self) -> MutexGuard<'_, HashMap<Uid, Remembered>> {
        self.0.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

#[cfg(test)]
mod tests;

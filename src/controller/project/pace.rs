//! When a project is looked at again, and how often its status is written.

use std::time::Duration;

use kube::Resource;
use tokio::time::Instant;

use super::access::Access;
use crate::decide::failure::{Disposition, Failure};
use crate::project::sweep::Swept;

/// How often something stalled is tried again, besides on every change.
const STALLED_RETRY: Duration = Duration::from_secs(600);
/// The shortest wait between two listings.
const SHORTEST: Duration = Duration::from_secs(1);
/// The longest wait between tries to reach a project.
const LONGEST_BACKOFF: Duration = Duration::from_secs(60);
/// A status in which nothing has changed that people wait for is not written more often.
const STATUS_INTERVAL: Duration = Duration::from_secs(10);

/// A project's spec, as long as it is the same.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) struct SpecVersion {
    uid: Option<String>,
    generation: Option<i64>,
}

impl SpecVersion {
    pub(super) fn of(object: &impl Resource) -> Self {
        let metadata = object.meta();
        Self { uid: metadata.uid.clone(), generation: metadata.generation }
    }
}

/// When and with what a project was last looked at, and what came of it.
#[derive(Clone, Debug)]
pub(in crate::controller) struct Looked {
    pub(super) edition: SpecVersion,
    pub(super) access: Option<Access>,
    pub(super) failure: Option<Failure>,
    /// Failures in a row.
    pub(super) failures: u32,
    /// Until then it need not be looked at again.
    pub(super) until: Instant,
    pub(super) swept: Swept,
    pub(super) status_written: Option<Instant>,
}

impl Looked {
    /// How long what is known is good enough, if nothing has changed since. After a failure too: the status that says
    /// it is a change of the object, and would else cause the next call, past all backoff.
    pub(super) fn good_for(&self, edition: &SpecVersion, access: &Access, now: Instant) -> Option<Duration> {
        let same = &self.edition == edition && self.access.as_ref() == Some(access);
        let left = self.until.saturating_duration_since(now);
        (same && !left.is_zero()).then_some(left)
    }

    /// How long the next status has to wait, unless it says what people wait for.
    pub(super) fn status_pause(&self, now: Instant) -> Duration {
        let since = |written: Instant| now.saturating_duration_since(written);
        self.status_written.map_or(Duration::ZERO, |written| STATUS_INTERVAL.saturating_sub(since(written)))
    }
}

/// How many failures in a row there were, with this one if it is one.
pub(super) fn failures(before: Option<&Looked>, failure: Option<&Failure>) -> u32 {
    failure.map_or(0, |_| before.map_or(0, |before| before.failures).saturating_add(1))
}

/// How long until the next look.
pub(super) fn wait(failure: Option<&Failure>, failures: u32, resync: Duration, orphan: Option<Duration>) -> Duration {
    match failure.map(|failure| failure.disposition) {
        None => resync.min(orphan.unwrap_or(Duration::MAX)).max(SHORTEST),
        Some(Disposition::Retry(Some(after))) => after.max(SHORTEST),
        Some(Disposition::Retry(None)) => {
            SHORTEST.saturating_mul(2_u32.saturating_pow(failures.saturating_sub(1))).min(LONGEST_BACKOFF)
        }
        Some(Disposition::Stalled | Disposition::StalledHourly | Disposition::Wait) => STALLED_RETRY,
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::api::Reason;
    use crate::secret::ApiKey;

    const RESYNC: Duration = Duration::from_secs(600);

    fn seconds(seconds: u64) -> Duration {
        Duration::from_secs(seconds)
    }

    fn access(key: &str, ca_bundle: Option<&str>) -> Access {
        Access { api_key: ApiKey::new(key).unwrap(), ca_bundle: ca_bundle.map(|bundle| bundle.as_bytes().to_vec()) }
    }

    fn edition(uid: &str, generation: i64) -> SpecVersion {
        SpecVersion { uid: Some(uid.to_owned()), generation: Some(generation) }
    }

    fn looked(now: Instant, failure: Option<Failure>) -> Looked {
        Looked {
            edition: edition("u", 1),
            access: Some(access("one", None)),
            failures: failures(None, failure.as_ref()),
            failure,
            until: now + seconds(30),
            swept: Swept::default(),
            status_written: Some(now),
        }
    }

    #[test]
    fn what_is_known_is_good_until_its_time_or_a_change_after_a_failure_too() {
        let (now, key) = (Instant::now(), access("one", None));
        for failure in [None, Some(Failure::retry(Reason::APIUnavailable, "down"))] {
            let looked = looked(now, failure);
            assert_eq!(looked.good_for(&edition("u", 1), &key, now + seconds(10)), Some(seconds(20)));
            assert_eq!(looked.good_for(&edition("u", 1), &key, now + seconds(30)), None);
            assert_eq!(looked.good_for(&edition("u", 2), &key, now), None, "edited");
            assert_eq!(looked.good_for(&edition("v", 1), &key, now), None, "deleted and created");
            assert_eq!(looked.good_for(&edition("u", 1), &access("two", None), now), None, "another key");
            assert_eq!(looked.good_for(&edition("u", 1), &access("one", Some("ca")), now), None, "another CA bundle");
        }
    }

    #[test]
    fn a_status_waits_ten_seconds_after_the_last() {
        let now = Instant::now();
        assert_eq!(looked(now, None).status_pause(now + seconds(4)), seconds(6));
        assert_eq!(looked(now, None).status_pause(now + seconds(11)), Duration::ZERO);
        let never = Looked { status_written: None, ..looked(now, None) };
        assert_eq!(never.status_pause(now), Duration::ZERO);
    }

    #[test]
    fn an_outage_is_tried_ever_less_often_but_every_minute() {
        let down = Failure::retry(Reason::APIUnavailable, "down");
        let mut before: Option<Looked> = None;
        let mut waits = Vec::new();
        for _ in 0..9 {
            let failures = failures(before.as_ref(), Some(&down));
            waits.push(wait(Some(&down), failures, RESYNC, None).as_secs());
            before = Some(Looked { failures, ..looked(Instant::now(), Some(down.clone())) });
        }
        assert_eq!(waits, [1, 2, 4, 8, 16, 32, 60, 60, 60]);
        assert_eq!(failures(before.as_ref(), None), 0);
    }

    #[test]
    fn a_pause_is_kept_and_what_waits_for_people_is_looked_at_every_ten_minutes() {
        let limited = |after| Failure {
            disposition: Disposition::Retry(Some(after)),
            ..Failure::retry(Reason::RateLimited, "slowly")
        };
        assert_eq!(wait(Some(&limited(seconds(90))), 1, RESYNC, None), seconds(90));
        assert_eq!(wait(Some(&limited(Duration::ZERO)), 1, RESYNC, None), seconds(1));
        let missing = Failure::wait(Reason::CredentialsNotFound, "no key");
        assert_eq!(wait(Some(&missing), 5, RESYNC, None), seconds(600));
    }

    #[test]
    fn the_next_resync_comes_with_its_interval_or_with_the_first_orphan_of_age() {
        assert_eq!(wait(None, 0, RESYNC, None), RESYNC);
        assert_eq!(wait(None, 0, RESYNC, Some(seconds(7))), seconds(7));
        assert_eq!(wait(None, 0, RESYNC, Some(Duration::ZERO)), seconds(1));
        assert_eq!(wait(None, 0, RESYNC, Some(seconds(86_400))), RESYNC);
    }
}

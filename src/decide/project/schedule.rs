//! When a project is checked again, and how often its status is written. The rules know lengths of time only: clocks
//! are the loop's.

use std::time::Duration;

use k8s_openapi::apimachinery::pkg::apis::meta::v1::ObjectMeta;

use crate::api::Reason;
use crate::decide::failure::{Disposition, Failure};
use crate::decide::time::PATIENCE;

/// The shortest wait between two listings.
const SHORTEST: Duration = Duration::from_secs(1);
/// How often the operator tries to read a key that is withheld: a right that is given back is no event.
const WITHHELD_RETRY: Duration = Duration::from_secs(30);
/// How long a refusal is a hiccup: an API server that has just started refuses everybody until it has read who may do
/// what.
const WITHHELD_PATIENCE: Duration = Duration::from_secs(15);
/// How often the project is listed while many of its clients are gone.
const LOSS_RETRY: Duration = Duration::from_secs(30);
/// How often a listing enqueues all users of its project, whatever it shows.
const WHOLE: Duration = Duration::from_secs(60 * 60);
/// The longest wait between tries to reach a project.
const LONGEST_BACKOFF: Duration = Duration::from_secs(60);
/// The shortest time between two writes of a status in which nothing has changed that people wait for.
const STATUS_INTERVAL: Duration = Duration::from_secs(10);

/// The version of a project's spec: the same as long as the spec is.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct SpecVersion {
    uid: Option<String>,
    generation: Option<i64>,
}

impl SpecVersion {
    /// The version of the object with this metadata.
    #[must_use]
    pub fn of(metadata: &ObjectMeta) -> Self {
        Self { uid: metadata.uid.clone(), generation: metadata.generation }
    }
}

/// How long a check is good enough that was made `since` ago and was to last for `wait`; `None`: it is time for
/// another. A change is no matter of time: spec, key and certificates have to be `unchanged`. A check that failed is
/// good until its time too: the status that says so is a change of the object, and would else cause the next call, past
/// all backoff.
#[must_use]
pub fn good_for(unchanged: bool, wait: Duration, since: Duration) -> Option<Duration> {
    let left = wait.saturating_sub(since);
    (unchanged && !left.is_zero()).then_some(left)
}

/// What is done with a project.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Plan {
    /// The project is left alone for so long: the last check is good enough.
    Rest(Duration),
    /// The project is left alone now: a hiccup of the Kubernetes API is no reason to tell all users that their project
    /// is not ready.
    GoOn,
    /// The project is called, or its status says why not.
    Check,
}

/// What is done with a project whose last check is good for so long, whose key could not be read for this reason and
/// for so long, and that works with the key in memory or not.
#[must_use]
pub fn plan(good_for: Option<Duration>, unread: Option<(&Failure, Duration)>, works: bool) -> Plan {
    let hiccup = unread.is_some_and(|(failure, lasted)| match failure.disposition {
        Disposition::Retry(_) => true,
        Disposition::Wait => failure.reason == Reason::ProjectNotReady && lasted < WITHHELD_PATIENCE,
        Disposition::Stalled | Disposition::StalledHourly => false,
    });
    match good_for {
        Some(left) => Plan::Rest(left),
        None if hiccup && works => Plan::GoOn,
        None => Plan::Check,
    }
}

/// How long a status in which nothing has changed that people wait for has to wait, if the last was written `since`
/// ago.
#[must_use]
pub fn status_pause(since: Option<Duration>) -> Duration {
    since.map_or(Duration::ZERO, |since| STATUS_INTERVAL.saturating_sub(since))
}

/// How long until the next listing, which is due in `wait`. A server that was put right is noticed sooner while many
/// clients are gone.
#[must_use]
pub fn until_listed(wait: Duration, settled: bool) -> Duration {
    if settled { wait } else { wait.min(LOSS_RETRY) }
}

/// Whether a listing enqueues all users of its project again, who were all enqueued so long ago, rather than those alone whose
/// clients it shows changed: whatever was missed is found then.
#[must_use]
pub fn is_whole(since: Duration) -> bool {
    since >= WHOLE
}

/// How many failures in a row there were, with this one if it is one.
#[must_use]
pub fn failures(before: u32, failure: Option<&Failure>) -> u32 {
    failure.map_or(0, |_| before.saturating_add(1))
}

/// How long until the next check. `orphan`: how long until the first orphan is of age.
#[must_use]
pub fn next_check(failure: Option<&Failure>, failures: u32, resync: Duration, orphan: Option<Duration>) -> Duration {
    match failure.map(|failure| failure.disposition) {
        None => resync.min(orphan.unwrap_or(Duration::MAX)).max(SHORTEST),
        Some(Disposition::Retry(Some(after))) => after.max(SHORTEST),
        Some(Disposition::Retry(None)) => {
            SHORTEST.saturating_mul(2_u32.saturating_pow(failures.saturating_sub(1))).min(LONGEST_BACKOFF)
        }
        Some(Disposition::Wait) if failure.is_some_and(|failure| failure.reason == Reason::ProjectNotReady) => {
            WITHHELD_RETRY
        }
        Some(Disposition::Stalled | Disposition::StalledHourly | Disposition::Wait) => PATIENCE,
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const RESYNC: Duration = Duration::from_secs(600);

    fn seconds(seconds: u64) -> Duration {
        Duration::from_secs(seconds)
    }

    #[test]
    fn all_users_are_enqueued_once_an_hour() {
        assert_eq!([is_whole(WHOLE - seconds(1)), is_whole(WHOLE)], [false, true]);
    }

    #[test]
    fn a_check_is_good_until_its_time_or_a_change() {
        assert_eq!(good_for(true, seconds(30), seconds(10)), Some(seconds(20)));
        assert_eq!(good_for(true, seconds(30), seconds(30)), None);
        assert_eq!(good_for(false, seconds(30), Duration::ZERO), None);
    }

    #[test]
    fn a_working_project_goes_on_while_the_kubernetes_api_does_not_give_out_its_key() {
        let (hiccup, missing) =
            (Failure::retry(Reason::ProjectNotReady, "500"), Failure::wait(Reason::CredentialsNotFound, "no Secret"));
        assert_eq!(plan(Some(seconds(9)), None, true), Plan::Rest(seconds(9)));
        assert_eq!(plan(None, None, true), Plan::Check);
        let since = |failure, lasted| Some((failure, seconds(lasted)));
        assert_eq!(plan(None, since(&hiccup, 600), true), Plan::GoOn);
        assert_eq!(plan(None, since(&hiccup, 0), false), Plan::Check, "nothing works anyway");
        assert_eq!(plan(None, since(&missing, 0), true), Plan::Check, "people took the key away");
    }

    /// F26, and an API server that has just started.
    #[test]
    fn a_right_that_is_missing_for_a_moment_is_a_hiccup_and_then_said() {
        let withheld = Failure::wait(Reason::ProjectNotReady, "403");
        let planned = |lasted| plan(None, Some((&withheld, seconds(lasted))), true);
        assert_eq!([planned(0), planned(14), planned(15)], [Plan::GoOn, Plan::GoOn, Plan::Check]);
    }

    #[test]
    fn an_edit_and_a_new_object_of_the_name_are_another_version_of_the_spec() {
        let version = |uid: &str, generation| {
            SpecVersion::of(&ObjectMeta {
                uid: Some(uid.to_owned()),
                generation: Some(generation),
                ..ObjectMeta::default()
            })
        };
        assert_eq!(version("u", 1), version("u", 1));
        assert_ne!(version("u", 1), version("u", 2));
        assert_ne!(version("u", 1), version("v", 1));
    }

    /// F24.
    #[test]
    fn while_many_clients_are_gone_the_project_is_listed_twice_a_minute() {
        assert_eq!([until_listed(RESYNC, true), until_listed(RESYNC, false)], [RESYNC, seconds(30)]);
        assert_eq!(until_listed(seconds(2), false), seconds(2));
    }

    #[test]
    fn a_status_waits_ten_seconds_after_the_last() {
        assert_eq!(status_pause(Some(seconds(4))), seconds(6));
        assert_eq!(status_pause(Some(seconds(11))), Duration::ZERO);
        assert_eq!(status_pause(None), Duration::ZERO);
    }

    #[test]
    fn an_outage_is_tried_ever_less_often_but_every_minute() {
        let down = Failure::retry(Reason::APIUnavailable, "down");
        let in_a_row = (0..9).scan(0, |before, _| {
            *before = failures(*before, Some(&down));
            Some(*before)
        });
        let waits: Vec<u64> = in_a_row.map(|count| next_check(Some(&down), count, RESYNC, None).as_secs()).collect();
        assert_eq!(waits, [1, 2, 4, 8, 16, 32, 60, 60, 60]);
        assert_eq!(failures(9, None), 0);
    }

    #[test]
    fn a_pause_is_kept_and_what_waits_for_people_is_checked_every_ten_minutes() {
        let limited = |after| Failure {
            disposition: Disposition::Retry(Some(after)),
            ..Failure::retry(Reason::RateLimited, "slowly")
        };
        assert_eq!(next_check(Some(&limited(seconds(90))), 1, RESYNC, None), seconds(90));
        assert_eq!(next_check(Some(&limited(Duration::ZERO)), 1, RESYNC, None), seconds(1));
        let missing = Failure::wait(Reason::CredentialsNotFound, "no key");
        assert_eq!(next_check(Some(&missing), 5, RESYNC, None), seconds(600));
        let withheld = Failure::wait(Reason::ProjectNotReady, "403");
        assert_eq!(next_check(Some(&withheld), 5, RESYNC, None), seconds(30), "F26: nobody tells of a right");
    }

    #[test]
    fn the_next_resync_comes_with_its_interval_or_with_the_first_orphan_of_age() {
        assert_eq!(next_check(None, 0, RESYNC, None), RESYNC);
        assert_eq!(next_check(None, 0, RESYNC, Some(seconds(7))), seconds(7));
        assert_eq!(next_check(None, 0, RESYNC, Some(Duration::ZERO)), seconds(1));
        assert_eq!(next_check(None, 0, RESYNC, Some(seconds(86_400))), RESYNC);
    }
}

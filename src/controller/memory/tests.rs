use super::*;
use proptest::prelude::*;

use crate::api::{OAuthClient, Reason};
use crate::decide::client::next::{Conclusion, Record};
use crate::decide::client::report::{ReportInput, report, requeue};
use crate::decide::failure::{Disposition, Failure};
use crate::decide::time::MOST_TRIES_PER_HOUR;
use crate::meshagent::failure::{call_failure, post_failure};
use crate::meshagent::{CallError, Kind, NotSent, Route, Unavailable};
use crate::project::Resolution;

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
fn what_is_no_news_any_more_takes_no_room() {
    let (memory, now) = (Memory::default(), Instant::now());
    let [converged, wrote, failed, gone] = ["converged", "wrote", "failed", "gone"].map(Uid::new);
    memory.remember(&converged, false, Superseded::default(), now);
    memory.remember(&wrote, false, left("1"), now);
    memory.remember(&failed, true, Superseded::default(), now);
    memory.remember(&gone, true, Superseded::default(), now);
    let left = || memory.open().keys().cloned().collect::<HashSet<_>>();
    assert_eq!(left(), HashSet::from([wrote.clone(), failed.clone(), gone]));
    let there = HashSet::from([converged, wrote.clone(), failed.clone()]);
    memory.keep(&there, now);
    assert_eq!(left(), HashSet::from([wrote, failed.clone()]));
    memory.keep(&there, now + PATIENCE);
    assert_eq!(left(), HashSet::from([failed]));
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

fn object(generation: i64) -> OAuthClient {
    let mut object = OAuthClient::new("web", Default::default());
    object.metadata.generation = Some(generation);
    object
}

fn circumstances(object: &OAuthClient) -> Circumstances {
    Circumstances::of(
        object,
        &Resolution { project: None, failure: None, may_adopt: false, many_gone: None },
        Vec::new(),
    )
}

const HOUR: Duration = Duration::from_secs(3600);

fn hourly(now: Instant, awaited: Option<Awaited>) -> Suppression {
    Suppression {
        until: now + HOUR,
        circumstances: circumstances(&object(1)),
        secrets: [HashSet::from([Some(Version::new("5"))]), HashSet::from([None])],
        awaited: awaited.map(|awaited| (awaited, now + CHECK_INTERVAL)),
    }
}

/// F27.
#[test]
fn a_suppression_lasts_until_it_is_due_or_its_circumstances_or_secrets_change() {
    let (memory, uid, now) = (Memory::default(), Uid::new("u"), Instant::now());
    memory.suppress(&uid, hourly(now, None));
    let (five, six) = (Version::new("5"), Version::new("6"));
    let asked = |object: &OAuthClient, secrets: [Option<&Version>; 2], now| {
        memory.suppressed(&uid, &circumstances(object), secrets, now)
    };
    let unchanged = [Some(&five), None];
    assert_eq!(asked(&object(1), unchanged, now), Some(Suppressed::For(HOUR)));
    assert_eq!(asked(&object(1), unchanged, now + HOUR), None, "it is due");
    assert_eq!(asked(&object(2), unchanged, now), None, "the spec was edited");
    assert_eq!(asked(&object(1), [None, None], now), None, "the Secret is gone");
    assert_eq!(asked(&object(1), [Some(&six), None], now), None, "the Secret was changed");
    assert_eq!(asked(&object(1), [Some(&five), Some(&six)], now), None, "the former Secret is back");
    memory.remember(&uid, true, Superseded::default(), now);
    assert_eq!(asked(&object(1), unchanged, now), None, "a pass went on meanwhile");
}

/// F25.
#[test]
fn a_secret_that_is_not_watched_is_checked_each_half_minute_until_it_changes() {
    let (memory, uid, now) = (Memory::default(), Uid::new("u"), Instant::now());
    let awaited = Awaited { secret: "theirs".into(), version: Some(Version::new("7")) };
    memory.suppress(&uid, hourly(now, Some(awaited.clone())));
    let five = Version::new("5");
    let asked = |now| memory.suppressed(&uid, &circumstances(&object(1)), [Some(&five), None], now);
    assert_eq!(asked(now), Some(Suppressed::For(CHECK_INTERVAL)));
    let later = now + CHECK_INTERVAL;
    assert_eq!(asked(later), Some(Suppressed::Unless(awaited)));
    assert!(memory.checked(&uid, Some(Some(Version::new("7"))), later), "it is as it was");
    assert_eq!(asked(later), Some(Suppressed::For(CHECK_INTERVAL)));
    assert!(memory.checked(&uid, None, later), "nobody can tell");
    assert!(!memory.checked(&uid, Some(Some(Version::new("8"))), later), "it was changed");
    assert!(!memory.checked(&uid, Some(None), later), "it is gone");
}

fn event(type_: EventType, text: &str) -> Event {
    Event { type_, reason: "Deleted".to_owned(), text: text.to_owned() }
}

/// F18.
#[test]
fn an_effect_that_a_failing_object_repeats_is_one_event() {
    let (memory, uid) = (Memory::default(), Uid::new("u"));
    let asked = |generation| circumstances(&object(generation)).asked;
    let deleted = || vec![event(EventType::Normal, "deleted client c-1")];
    let news = |generation, failed, events| memory.news(&uid, &asked(generation), failed, events);
    assert_eq!(news(1, true, deleted()), deleted());
    assert_eq!(news(1, true, deleted()), []);
    let other = || vec![event(EventType::Normal, "deleted client c-2")];
    assert_eq!(news(1, true, other()), other(), "another client");
    let refused = |id: &str| vec![event(EventType::Warning, &format!("refused, audit id {id}"))];
    assert_eq!(news(1, true, refused("a1")), refused("a1"));
    assert_eq!(news(1, true, refused("b2")), []);
    assert_eq!(news(2, true, deleted()), deleted(), "after an edit");
    assert_eq!(news(2, false, deleted()), [], "the pass that converges repeats it too");
    assert_eq!(news(2, false, deleted()), deleted(), "after it had converged");
    let mut held = object(3);
    held.metadata.finalizers = Some(vec![crate::api::names::FINALIZER.to_owned()]);
    let held = circumstances(&held).asked;
    assert_eq!(memory.news(&uid, &held, true, deleted()), deleted());
    assert_eq!(news(3, false, deleted()), [], "the pass that takes the finalizer off");
}

/// Any failure of a call, in any words: all kinds of MeshAgent and of the Kubernetes API.
fn any_failure() -> impl Strategy<Value = Failure> {
    let kind = prop_oneof![
        (400_u16..500).prop_map(|status| Kind::Rejected { status }),
        Just(Kind::AuthenticationFailed),
        Just(Kind::PermissionDenied),
        Just(Kind::NotFound),
        Just(Kind::Disabled),
        (1_u64..=600).prop_map(|pause| Kind::RateLimited { retry_after: Duration::from_secs(pause) }),
        (500_u16..600).prop_map(|status| Kind::Unavailable(Unavailable::Status(status))),
        Just(Kind::Unavailable(Unavailable::Timeout)),
        Just(Kind::NotSent(NotSent::NoConnection)),
    ];
    let called = (kind, any::<bool>(), ".{0,40}").prop_map(|(kind, post, detail)| {
        let route = if post { Route::CreateClient } else { Route::UpdateClient };
        let error = CallError { route, kind, detail };
        if post { post_failure(&error) } else { call_failure(&error) }
    });
    let written = (400_u16..600, ".{0,40}", any::<bool>()).prop_map(|(code, words, secret)| {
        let status = kube::core::Status::failure(&words, "Invalid").with_code(code);
        let source = Box::new(kube::Error::Api(Box::new(status)));
        let error = crate::kubernetes::KubernetesError::Call { operation: "write", source };
        if secret { error.of_secret() } else { error.of_object() }
    });
    prop_oneof![called, written]
}

/// The cost of an hour.
#[derive(Debug, Default, PartialEq, Eq)]
struct Cost {
    tries: u32,
    status_writes: u32,
    events: u32,
}

/// One hour of an object that is enqueued every second, each try of which fails in the next way.
fn hour(failures: impl Iterator<Item = Failure>) -> Cost {
    let (memory, uid, start) = (Memory::default(), Uid::new("u"), Instant::now());
    let (mut object, mut cost) = (object(1), Cost::default());
    let mut failures = failures;
    for second in 0..3600_u32 {
        let now = start + Duration::from_secs(second.into());
        let before = circumstances(&object);
        if memory.suppressed(&uid, &before, [None, None], now).is_some() {
            continue;
        }
        let failure = failures.next().unwrap();
        cost.tries += 1;
        let conclusion = Conclusion::Blocked(failure.clone());
        let record = Record { version: Version::new("1"), conclusion, published: None, retiring: Vec::new() };
        let input = ReportInput {
            object: &object,
            record: &record,
            deleting: false,
            project_id: None,
            secret_name: Some("web-oauth"),
            managed_metadata_keys: &std::collections::BTreeSet::new(),
            client_matches: true,
            secret_matches: false,
            replaced: false,
            clock: crate::decide::time::ClockState::Right,
            holders: &crate::decide::client::holders::Holders::Unseen,
            recorded_at: jiff::Timestamp::UNIX_EPOCH,
            now: jiff::Timestamp::from_second(1_000_000 + i64::from(second)).unwrap(),
        };
        let status = report(&input);
        let wait = requeue(&input, &status, memory.backoff(&uid)).unwrap();
        if object.status.as_ref() != Some(&status) {
            cost.status_writes += 1;
            object.status = Some(status);
        }
        let told =
            vec![Event { type_: EventType::Warning, reason: failure.reason.as_str().into(), text: failure.message }];
        cost.events += u32::try_from(memory.news(&uid, &before.asked, true, told).len()).unwrap();
        memory.remember(&uid, true, Superseded::default(), now);
        let (until, circumstances) = (now + wait, circumstances(&object));
        let none = || HashSet::from([None]);
        memory.suppress(&uid, Suppression { until, circumstances, secrets: [none(), none()], awaited: None });
    }
    cost
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(64))]

    /// F1.
    #[test]
    fn whatever_is_answered_and_however_it_is_worded_an_hour_has_its_bound(
        failures in proptest::collection::vec(any_failure(), 1..20),
    ) {
        let Cost { tries, status_writes, events } = hour(failures.into_iter().cycle());
        prop_assert!(tries <= MOST_TRIES_PER_HOUR, "{tries} tries");
        prop_assert!(status_writes <= tries && events <= tries, "{status_writes}, {events} of {tries}");
    }
}

/// F1.
#[test]
fn each_disposition_has_its_pace_and_new_ids_in_the_words_are_no_news() {
    let failing = |disposition| {
        let mut id = 0x1c9a_u64;
        hour(std::iter::from_fn(move || {
            id = id.wrapping_mul(0x5851_f42d_4c95_7f2d).wrapping_add(1);
            let message = format!("permission denied, request id {id:016x}");
            Some(Failure { reason: Reason::PermissionDenied, message, disposition })
        }))
    };
    let cost = |tries| Cost { tries, status_writes: 1, events: 1 };
    assert_eq!(failing(Disposition::Stalled), cost(6));
    assert_eq!(failing(Disposition::Wait), cost(6));
    assert_eq!(failing(Disposition::StalledHourly), cost(1));
    assert_eq!(failing(Disposition::Retry(None)), cost(20));
    assert_eq!(failing(Disposition::Retry(Some(Duration::from_secs(1)))), cost(65));
    assert_eq!(failing(Disposition::Retry(Some(Duration::from_secs(600)))), cost(6));
}

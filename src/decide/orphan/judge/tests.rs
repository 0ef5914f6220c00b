use std::collections::BTreeSet;

use super::*;
use crate::decide::client::observed::{Credential, Recorded, Replaced, Stored};
use crate::decide::id::{Token, Uid, Version};
use crate::decide::orphan::at_rest;
use crate::decide::time::CLOCK_RECHECK;

const HOUR: Duration = Duration::from_secs(3600);

fn id(text: &str) -> ClientId {
    ClientId::new(text)
}

fn marker(random: &str) -> Marker {
    let uid = Uid::new("u");
    Marker {
        token: Token::mint(&uid, random),
        policy: Policy::Delete,
        origin: Origin::Created,
        retained: false,
        owner: Owner { cluster: ClusterId::new("c"), namespace: "shop".into(), name: "web".into(), uid },
    }
}

fn object() -> Object {
    let uid = Uid::new("u");
    Object {
        version: Version::new("7"),
        finalizer: true,
        token: Some(Token::mint(&uid, "new")),
        unknown: BTreeSet::from([Token::mint(&uid, "lost")]),
        recorded: Recorded { client_id: Some(id("current")), ..Recorded::default() },
        rotation_asked: false,
        replaced: Replaced::LongAgo,
        orphaning: false,
        uid,
    }
}

fn secret(client_id: &str) -> Secret {
    Secret::Ours(Stored {
        version: Version::new("8"),
        token: Some(Token::mint(&Uid::new("u"), "new")),
        client_id: Some(id(client_id)),
        credential: Credential::AsRecorded,
        in_shape: true,
        misplaced: false,
        owned: true,
        retained: false,
    })
}

#[test]
fn only_what_this_cluster_made_in_a_watched_namespace_and_nobody_names_is_judged() {
    let (cluster, namespaces) = (ClusterId::new("c"), ["shop".to_owned()]);
    let scope = Scope { cluster: &cluster, namespaces: &namespaces };
    let judged = |change: &dyn Fn(&mut Marker), cached: Option<&Object>| {
        let mut marker = marker("r");
        change(&mut marker);
        is_to_be_judged(scope, &id("lost"), &marker, cached.map(Object::named).as_ref())
    };
    let nothing = |_: &mut Marker| ();
    let retain = |marker: &mut Marker| marker.policy = Policy::Retain;
    let another = Object { uid: Uid::new("v"), ..object() };
    let naming = Object { recorded: Recorded { client_id: Some(id("lost")), ..Recorded::default() }, ..object() };
    assert!(judged(&nothing, None), "its object is not cached");
    assert!(judged(&nothing, Some(&object())), "its object names another client");
    assert!(judged(&retain, Some(&object())));
    assert!(judged(&nothing, Some(&another)), "another object of that name");
    assert!(!judged(&nothing, Some(&naming)), "its object names it");
    assert!(!judged(&retain, None), "it is to stay without its object");
    assert!(!judged(&|marker| marker.retained = true, None));
    assert!(!judged(&|marker| marker.origin = Origin::Adopted, None));
    assert!(!judged(&|marker| marker.owner.cluster = ClusterId::new("d"), None));
    assert!(!judged(&|marker| marker.owner.namespace = "elsewhere".into(), None));
    let everywhere = Scope { cluster: &cluster, namespaces: &[] };
    assert!(is_to_be_judged(everywhere, &id("lost"), &marker("r"), None), "all namespaces are watched");
}

#[test]
fn a_client_is_judged_by_what_the_api_server_says_of_its_object() {
    let (object, current, next) = (object(), secret("current"), secret("next"));
    let present = |secret, deleting| OwnerState::Present { object: &object, secret, deleting };
    let of = |random: &str, owner| judge(&id("lost"), &marker(random), owner);
    assert_eq!(of("r", OwnerState::Gone { retained: false }), Judgement::Orphan(Grace::AfterMinAge));
    assert_eq!(of("r", OwnerState::Gone { retained: true }), Judgement::Retained);
    assert_eq!(of("r", OwnerState::Undefined), Judgement::Owned);
    assert_eq!(of("r", OwnerState::Inherited), Judgement::Owned);
    assert_eq!(of("r", OwnerState::Unknown), Judgement::Unknown);
    assert_eq!(of("r", present(&current, false)), Judgement::Orphan(Grace::AfterMinAge));
    assert_eq!(of("lost", present(&current, false)), Judgement::Orphan(Grace::AtOnce), "a lost answer's");
    assert_eq!(of("lost", present(&next, false)), Judgement::Owned, "not at rest");
    assert_eq!(of("lost", present(&current, true)), Judgement::Owned, "being deleted");
    assert_eq!(judge(&id("current"), &marker("new"), present(&current, false)), Judgement::Owned);
}

#[test]
fn what_is_to_stay_is_owned_whatever_becomes_of_its_object() {
    let staying = [Marker { retained: true, ..marker("r") }, Marker { origin: Origin::Adopted, ..marker("r") }];
    for marker in staying {
        for owner in [OwnerState::Gone { retained: true }, OwnerState::Gone { retained: false }, OwnerState::Unknown] {
            assert_eq!(judge(&id("lost"), &marker, owner), Judgement::Owned);
        }
    }
}

fn at(second: i64) -> Timestamp {
    Timestamp::from_second(second).unwrap()
}

#[test]
fn an_orphan_is_ripe_after_its_minimal_age_and_never_where_orphans_are_only_reported() {
    let delete = Orphans { policy: OrphanPolicy::Delete, min_age: HOUR };
    let report = Orphans { policy: OrphanPolicy::Report, min_age: HOUR };
    let age = |known: Option<i64>, rule| Age::of(known.map(at), rule, ClockState::Right, at(3600));
    assert_eq!(age(None, delete), Age { since: at(3600), known: false, left: Some(HOUR) });
    assert_eq!(age(Some(1), delete), Age { since: at(1), known: true, left: Some(Duration::from_secs(1)) });
    assert_eq!(age(Some(9999), delete).left, Some(HOUR), "a time to come is no age");
    assert!(!age(Some(1), delete).is_ripe() && age(Some(0), delete).is_ripe());
    assert_eq!(age(Some(0), report), Age { since: at(0), known: true, left: None });
    assert!(!age(Some(0), report).is_ripe());
}

/// F35.
#[test]
fn no_orphan_is_ripe_by_a_clock_that_is_wrong_and_it_is_looked_at_again() {
    let delete = Orphans { policy: OrphanPolicy::Delete, min_age: HOUR };
    let age = |clock| Age::of(Some(at(0)), delete, clock, at(7200));
    assert!(age(ClockState::Right).is_ripe() && age(ClockState::Off).is_ripe());
    let wrong = age(ClockState::Wrong);
    assert_eq!(wrong, Age { since: at(0), known: true, left: Some(CLOCK_RECHECK) });
    let treated = |grace| treat(Judgement::Orphan(grace), &wrong);
    assert_eq!(treated(Grace::AfterMinAge), Treatment::List(Some(CLOCK_RECHECK)));
    assert_eq!(treated(Grace::AtOnce), Treatment::Delete, "no time decides over what a lost answer left");
}

#[test]
fn only_orphans_are_deleted_and_what_nobody_tells_of_stays_listed() {
    let age = |known, left| Age { since: at(0), known, left };
    let (young, ripe, reported) = (age(true, Some(HOUR)), age(true, Some(Duration::ZERO)), age(true, None));
    let after_min_age = Judgement::Orphan(Grace::AfterMinAge);
    assert_eq!(treat(after_min_age, &young), Treatment::List(Some(HOUR)));
    assert_eq!(treat(after_min_age, &ripe), Treatment::Delete);
    assert_eq!(treat(after_min_age, &reported), Treatment::List(None));
    assert_eq!(treat(Judgement::Orphan(Grace::AtOnce), &young), Treatment::Delete);
    assert_eq!(treat(Judgement::Retained, &ripe), Treatment::MarkRetained);
    assert_eq!(treat(Judgement::Owned, &ripe), Treatment::Leave);
    assert_eq!(treat(Judgement::Unknown, &ripe), Treatment::List(None));
    assert_eq!(treat(Judgement::Unknown, &age(false, Some(Duration::ZERO))), Treatment::Leave);
}

/// F10.
#[test]
fn an_orphan_that_a_wrong_clock_found_in_the_future_is_of_age_after_its_min_age_from_now() {
    let now = Timestamp::from_second(1_000_000).unwrap();
    let rule = Orphans { policy: OrphanPolicy::Delete, min_age: HOUR };
    let age = Age::of(Some(Timestamp::MAX), rule, ClockState::Right, now);
    assert_eq!((age.since, age.left), (now, Some(HOUR)));
}

#[test]
fn what_was_retained_or_adopted_is_never_disowned() {
    let (gone, kept) = (Evidence::Gone, object());
    let secret = secret("current");
    for change in [&(|marker: &mut Marker| marker.retained = true) as &dyn Fn(&mut Marker), &|marker: &mut Marker| {
        marker.origin = Origin::Adopted
    }] {
        let mut marker = marker("lost");
        change(&mut marker);
        for evidence in [gone, Evidence::Present(&kept, &secret)] {
            assert_eq!(disowned(&id("lost"), &marker, evidence), None, "{marker:?}");
        }
    }
}

#[test]
fn without_a_recorded_client_or_a_token_an_object_is_not_at_rest() {
    let of = |change: &dyn Fn(&mut Object, &mut Stored)| {
        let mut object = object();
        let Secret::Ours(mut stored) = secret("current") else { panic!("not ours") };
        change(&mut object, &mut stored);
        at_rest(&object, &Secret::Ours(stored))
    };
    assert!(of(&|_, _| ()));
    assert!(!of(&|object, stored| (object.recorded.client_id, stored.client_id) = (None, None)), "no client");
    assert!(!of(&|object, stored| (object.token, stored.token) = (None, None)), "no token");
    assert!(!of(&|_, stored| stored.client_id = Some(id("another"))));
    assert!(!of(&|_, stored| stored.token = None));
}

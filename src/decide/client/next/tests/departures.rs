//! Objects that are deleted, and what of theirs stays.

use super::*;

fn going(policy: Policy, forced: bool) -> Desired {
    Desired::Absent(Deletion { policy, forced })
}

fn kept() -> Desired {
    going(Policy::Retain, false)
}

fn with_secret(object: Object, owned: bool, retained: bool) -> Observed {
    let mut seen = observed(object, stored("t", "c", Credential::AsRecorded), &[], Pending::Nothing);
    if let Secret::Ours(ours) = &mut seen.secret {
        (ours.owned, ours.retained) = (owned, retained);
    }
    established(seen)
}

fn away() -> Failure {
    Failure::retry(Reason::APIUnavailable, "away")
}

fn leave() -> Step {
    Step::ReleaseSecret { retained: true, version: Version::new("4") }
}

fn let_go() -> Step {
    Step::RemoveFinalizer { version: Version::new("5") }
}

fn absorb_left(seen: &mut Observed) {
    let Secret::Ours(ours) = seen.secret.clone() else { panic!("not ours") };
    seen.absorb(&leave(), Answer::Stored(Stored { owned: false, retained: true, ..ours }));
}

#[test]
fn a_retained_client_is_marked_then_its_secret_and_only_then_the_object_goes() {
    let mut seen = with_secret(recorded(), true, false);
    let get = Step::Get { client_id: id("c") };
    assert_eq!(next(&kept(), &seen), get);
    seen.absorb(&get, Answer::Client(Some(wanted().client(&token("t")))));
    let put = next(&kept(), &seen);
    let Step::Put { result, .. } = &put else { panic!("{put:?}") };
    let marker = Marker { retained: true, policy: Policy::Retain, ..wanted().marker(&token("t")) };
    assert_eq!(result.marker, Some(marker));
    let updated = (**result).clone();
    seen.absorb(&put, Answer::Updated(updated));
    assert_eq!(next(&kept(), &seen), leave());
    absorb_left(&mut seen);
    assert_eq!(next(&kept(), &seen), let_go());
}

#[test]
fn while_the_definition_goes_everything_stays_whatever_the_policy_and_whether_meshagent_answers() {
    let mut seen = observed(recorded(), stored("t", "c", Credential::AsRecorded), &[], Pending::Nothing);
    seen.absorb(&Step::CheckCrd, Answer::Crd(CrdState::Away));
    let get = next(&leaving(), &seen);
    assert_eq!(get, Step::Get { client_id: id("c") });
    seen.absorb(&get, Answer::Failed(away()));
    assert_eq!(next(&leaving(), &seen), leave(), "it was tried once");
    absorb_left(&mut seen);
    assert_eq!(next(&leaving(), &seen), let_go());

    seen.project.state = ProjectState::Failed(away());
    seen.failure = None;
    assert_eq!(next(&leaving(), &seen), let_go(), "without a project it is not even tried");
}

#[test]
fn nothing_is_deleted_before_it_is_known_that_somebody_deleted_the_object() {
    let mut seen = at_rest();
    seen.absorb(&Step::CheckCrd, Answer::Failed(away()));
    assert_eq!(reason(&next(&leaving(), &seen)), Some(Reason::APIUnavailable));
    assert_eq!(reason(&next(&going(Policy::Delete, true), &seen)), Some(Reason::APIUnavailable), "not by force either");
}

#[test]
fn a_former_client_of_a_retained_one_is_left_to_the_sweep() {
    let mut object = recorded();
    object.recorded.retiring = vec![Retiring { client_id: id("old"), due: false }];
    let mut seen = with_secret(object, false, true);
    let retained = |origin| Marker { origin, policy: Policy::Retain, retained: true, ..wanted().marker(&token("t")) };
    let client = RemoteClient { marker: Some(retained(Origin::Created)), ..wanted().client(&token("t")) };
    seen.remote.insert(id("c"), Remote::Read(client));
    let former = Marker { policy: Policy::Retain, ..wanted().marker(&token("t")) };
    seen.remote.insert(id("old"), Remote::Read(RemoteClient { marker: Some(former), ..wanted().client(&token("t")) }));
    let Step::Put { client_id, result, .. } = next(&kept(), &seen) else { panic!("no PUT") };
    assert_eq!((client_id, result.marker.map(|marker| marker.policy)), (id("old"), Some(Policy::Delete)));
}

#[test]
fn what_lost_answers_left_beside_a_retained_client_is_removed_before_the_object_goes() {
    let mut seen = with_secret(Object { unknown: [token("lost")].into(), ..recorded() }, false, true);
    assert_eq!(next(&kept(), &seen), Step::List);
    let clients =
        BTreeMap::from([(id("c"), wanted().client(&token("t"))), (id("waste"), wanted().client(&token("lost")))]);
    seen.absorb(&Step::List, Answer::Listing(clients));
    assert_eq!(next(&kept(), &seen), Step::ReadLive);
    let (object, secret) = (seen.object.clone(), seen.secret.clone());
    seen.absorb(&Step::ReadLive, Answer::Live(Some(object), secret, None));
    let delete = Step::Delete { client_id: id("waste"), because: Removal::Disowned };
    assert_eq!(next(&kept(), &seen), delete);
    seen.absorb(&delete, Answer::Deleted);
    assert_eq!(next(&kept(), &seen), Step::Get { client_id: id("c") }, "the client that stays is marked");
}

#[test]
fn force_gives_up_on_what_cannot_be_deleted_once_it_is_known_to_others() {
    let forced = going(Policy::Delete, true);
    let mut seen = established(at_rest());
    let delete = next(&forced, &seen);
    assert_eq!(delete, Step::Delete { client_id: id("c"), because: Removal::ObjectDeleted }, "it is tried first");
    seen.absorb(&delete, Answer::Failed(away()));
    assert_eq!(reason(&next(&leaving(), &seen)), Some(Reason::APIUnavailable), "without force it waits");
    let abandon = Step::Abandon { client_ids: vec![id("c")] };
    assert_eq!(next(&forced, &seen), abandon);
    seen.absorb(&abandon, Answer::Abandoned);
    assert_eq!(next(&forced, &seen), let_go());

    let mut seen = established(at_rest());
    seen.project.state = ProjectState::Failed(away());
    assert_eq!(next(&forced, &seen), abandon, "it could not be tried");
}

#[test]
fn what_the_garbage_collector_was_told_to_leave_is_deleted_by_the_operator() {
    let gone = |mut seen: Observed| {
        seen.absorb(&Step::Delete { client_id: id("c"), because: Removal::ObjectDeleted }, Answer::Deleted);
        seen
    };
    let delete = Step::DeleteSecret { leftover: false, version: Version::new("4") };
    let orphaned = gone(with_secret(recorded(), false, false));
    assert_eq!(next(&leaving(), &orphaned), delete);
    let orphaning = gone(with_secret(Object { orphaning: true, ..recorded() }, true, false));
    assert_eq!(next(&leaving(), &orphaning), delete);
    assert_eq!(next(&leaving(), &gone(with_secret(recorded(), true, false))), let_go());
}

#[test]
fn a_secret_that_the_cache_does_not_show_is_looked_for_before_the_object_goes() {
    for desired in [kept(), leaving()] {
        let mut seen = established(observed(recorded(), Secret::Absent, &[], Pending::Nothing));
        seen.remote.insert(id("c"), Remote::Deleted);
        seen.listing = Some(0);
        assert_eq!(next(&desired, &seen), Step::ReadLive);
        seen.absorb(&Step::ReadLive, Answer::Live(Some(recorded()), Secret::Absent, None));
        assert_eq!(next(&desired, &seen), let_go());
    }
}

// The model found that such a pass sent the same write again and again, for ever.
#[test]
fn after_a_failed_call_a_write_that_meets_a_newer_version_is_looked_into_and_after_three_the_pass_ends() {
    for leaving in [kept(), going(Policy::Delete, true)] {
        let mut seen = with_secret(recorded(), false, true);
        seen.absorb(&Step::Get { client_id: id("c") }, Answer::Failed(away()));
        if let Desired::Absent(Deletion { policy: Policy::Delete, .. }) = leaving {
            seen.abandoned = true;
            seen.secret = Secret::Absent;
            seen.live = Some(0);
        }
        for _ in 0..2 {
            assert_eq!(next(&leaving, &seen), let_go());
            seen.absorb(&let_go(), Answer::Conflict);
            assert_eq!(next(&leaving, &seen), Step::ReadLive);
            seen.absorb(&Step::ReadLive, Answer::Live(Some(recorded()), seen.secret.clone(), None));
        }
        assert_eq!(next(&leaving, &seen), let_go());
        seen.absorb(&let_go(), Answer::Conflict);
        assert_eq!(next(&leaving, &seen), Step::Rest);
    }
}

// The model found that a pass that did not know of the deletion gave the Secret back to the object, and the garbage
// collector took it.
#[test]
fn a_secret_that_says_it_was_left_behind_is_not_repaired_before_the_object_was_read_live() {
    let mut seen = with_secret(recorded(), false, true);
    if let Secret::Ours(ours) = &mut seen.secret {
        ours.in_shape = false;
    }
    seen.remote = BTreeMap::from([(id("c"), Remote::Listed(wanted().client(&token("t"))))]);
    assert_eq!(next(&present(), &seen), Step::ReadLive);
    seen.absorb(&Step::ReadLive, Answer::Live(Some(recorded()), seen.secret.clone(), None));
    let reshape = Step::Reshape { client_id: id("c"), version: Version::new("4") };
    assert_eq!(next(&present(), &seen), reshape);
}

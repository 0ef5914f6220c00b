//! Requests, losses, drift, suspension, another name for the Secret, and the clients that go with them.

use super::*;
use crate::decide::client::observed::Cooldown;
use crate::decide::time::ClockState;

pub(super) fn allowed(mut seen: Observed) -> Observed {
    seen.project.state = usable(true);
    seen
}

pub(super) fn step(wanted: &Wanted, seen: &Observed) -> Step {
    next(&Desired::Present(Box::new(wanted.clone())), seen)
}

/// Carries out the next step, which has to be this one.
pub(super) fn go(wanted: &Wanted, seen: &mut Observed, expected: Step, answer: Answer) {
    assert_eq!(step(wanted, seen), expected);
    seen.absorb(&expected, answer);
}

#[test]
fn a_lost_credential_waits_for_a_person_where_the_spec_says_so() {
    let wanted = Wanted { on_loss: OnLoss::Block, ..wanted() };
    let mut seen = without_secret(recorded());
    assert_eq!(reason(&step(&wanted, &seen)), Some(Reason::CredentialLost));
    seen.object.rotation_asked = true;
    assert!(matches!(step(&wanted, &seen), Step::WriteIntent { .. }), "on the way to another client");
}

#[test]
fn after_the_first_success_posts_are_few() {
    let mut seen = without_secret(recorded());
    for cooldown in [Cooldown::Short, Cooldown::Long] {
        seen.cooldown = cooldown;
        assert_eq!(reason(&step(&wanted(), &seen)), Some(Reason::Rotating));
        let before = Observed { cooldown, ..observed(fresh(), Secret::Absent, &[], Pending::Nothing) };
        assert_eq!(step(&wanted(), &before), intent("1", &[]), "before it nothing is barred");
    }
}

/// A project at its limit, or a Secret that the cluster refuses, holds up the rotation and nothing else.
#[test]
fn a_rotation_that_is_refused_holds_up_neither_edits_nor_repairs() {
    let limit = Answer::Refused(Failure::stalled(Reason::LimitReached, "full"));
    let rejected = Answer::Failed(Failure::stalled(Reason::SecretRejected, "immutable"));
    for (refused_at_once, refusal, why) in
        [(true, rejected, Reason::SecretRejected), (false, limit, Reason::LimitReached)]
    {
        let object = Object { rotation_asked: true, token: Some(token("u")), ..recorded() };
        let edited = RemoteClient { settings: Settings::default(), ..wanted().client(&token("t")) };
        let secret = stored("t", "c", Credential::AsRecorded);
        let Secret::Ours(before) = secret.clone() else { panic!("not ours") };
        let secret = Secret::Ours(Stored { in_shape: false, ..before.clone() });
        let mut seen = observed(object, secret, &[("c", edited)], Pending::Unspent(token("u")));
        let dry_run = Step::DryRun { write: SecretWrite::Replace(Version::new("4")) };
        if refused_at_once {
            go(&wanted(), &mut seen, dry_run, refusal);
        } else {
            go(&wanted(), &mut seen, dry_run, Answer::DryRunPassed);
            go(&wanted(), &mut seen, Step::Post { token: token("u") }, refusal);
        }
        let put = step(&wanted(), &seen);
        let Step::Put { result, .. } = &put else { panic!("the edit waits: {put:?}") };
        let updated = Answer::Updated((**result).clone());
        seen.absorb(&put, updated);
        let reshape = Step::Reshape { client_id: id("c"), version: Version::new("4") };
        go(&wanted(), &mut seen, reshape, Answer::Stored(Stored { in_shape: true, ..before }));
        let Step::Record(record) = step(&wanted(), &seen) else { panic!("no record") };
        assert_eq!(record.published.as_ref().map(|published| &published.client_id), Some(&id("c")));
        assert!(matches!(&record.conclusion, Conclusion::RotationWaits(failure) if failure.reason == why));
        assert_eq!(seen.pending, Pending::Unspent(token("u")), "the next try needs no other token");
    }
}

#[test]
fn after_a_rotation_that_was_refused_a_client_that_is_gone_is_not_posted_in_the_same_pass() {
    let object = Object { rotation_asked: true, token: Some(token("u")), ..recorded() };
    let secret = stored("t", "c", Credential::AsRecorded);
    let mut seen = observed(object, secret, &[], Pending::Unspent(token("u")));
    seen.dry_run = Some(SecretWrite::Replace(Version::new("4")));
    let refused = Answer::Refused(Failure::stalled(Reason::LimitReached, "full"));
    go(&wanted(), &mut seen, Step::Post { token: token("u") }, refused);
    go(&wanted(), &mut seen, Step::Get { client_id: id("c") }, Answer::Client(None));
    go(&wanted(), &mut seen, Step::List, Answer::Listing(BTreeMap::new()));
    assert_eq!(reason(&step(&wanted(), &seen)), Some(Reason::LimitReached));
}

#[test]
fn at_a_limit_the_object_s_own_waste_is_removed_once_before_the_next_post() {
    let object = Object { token: Some(token("t")), finalizer: true, unknown: [token("a")].into(), ..fresh() };
    let mut seen = observed(object.clone(), Secret::Absent, &[], Pending::Unspent(token("t")));
    let limit = || Answer::Refused(Failure::stalled(Reason::LimitReached, "full"));
    go(&wanted(), &mut seen, Step::DryRun { write: SecretWrite::Create }, Answer::DryRunPassed);
    let post = Step::Post { token: token("t") };
    go(&wanted(), &mut seen, post.clone(), limit());
    let waste = BTreeMap::from([(id("waste"), wanted().client(&token("a")))]);
    go(&wanted(), &mut seen, Step::List, Answer::Listing(waste));
    go(&wanted(), &mut seen, Step::ReadLive, Answer::Live(Some(object), Secret::Absent, None));
    let delete = Step::Delete { client_id: id("waste"), because: Removal::Disowned };
    go(&wanted(), &mut seen, delete, Answer::Deleted);
    go(&wanted(), &mut seen, post, limit());
    assert_eq!(reason(&step(&wanted(), &seen)), Some(Reason::LimitReached));
}

#[test]
fn drift_that_a_put_did_not_move_is_said_and_not_fought() {
    let kept = RemoteClient { settings: Settings::default(), ..wanted().client(&token("t")) };
    let mut seen = at_rest();
    seen.remote.insert(id("c"), Remote::Listed(kept.clone()));
    assert!(matches!(step(&wanted(), &seen), Step::Put { .. }), "the first time it is repaired");
    seen.remote.insert(id("c"), Remote::PutIgnored(kept.clone()));
    let Step::Record(record) = step(&wanted(), &seen) else { panic!("no record") };
    let digest = record.published.and_then(|published| published.drift).unwrap();
    assert_eq!(reason(&step(&wanted(), &seen)), Some(Reason::DriftPersists));
    // The status remembers the drift after a restart.
    seen.remote.insert(id("c"), Remote::Listed(kept));
    seen.object.recorded.drift = Some(digest);
    assert_eq!(reason(&step(&wanted(), &seen)), Some(Reason::DriftPersists));
    // Another value, or another wish, is another matter.
    seen.remote.insert(
        id("c"),
        Remote::Listed(RemoteClient {
            marker: Some(wanted().marker(&token("t"))),
            ..{
                let scopes = BTreeSet::from(["profile".to_owned()]);
                RemoteClient { settings: Settings { scopes, ..Settings::default() }, marker: None }
            }
        }),
    );
    assert!(matches!(step(&wanted(), &seen), Step::Put { .. }));
}

#[test]
fn while_it_is_suspended_only_the_owner_of_the_secret_is_written() {
    let wanted = Wanted { suspended: true, settings: Settings::default(), ..wanted() };
    let mut seen = at_rest();
    let leave = Step::ReleaseSecret { retained: false, version: Version::new("4") };
    let Secret::Ours(ours) = seen.secret.clone() else { panic!("not ours") };
    go(&wanted, &mut seen, leave, Answer::Stored(Stored { owned: false, ..ours }));
    let Step::Record(record) = step(&wanted, &seen) else { panic!("no record") };
    assert_eq!(record.published, None, "the client is not as the spec wants it");
    assert_eq!(reason(&step(&wanted, &seen)), Some(Reason::Suspended));
    let as_it_is = Wanted { settings: super::wanted().settings, ..wanted };
    let asked = Observed { object: Object { rotation_asked: true, ..seen.object.clone() }, ..seen.clone() };
    let Step::Record(record) = step(&as_it_is, &asked) else { panic!("no record") };
    assert_eq!(record.published, None, "a request is not taken for handled");
    let Step::Record(record) = step(&as_it_is, &seen) else { panic!("no record") };
    assert_eq!(record.published.map(|published| published.client_id), Some(id("c")));
}

#[test]
fn under_another_name_the_secret_is_written_before_the_former_one_goes() {
    let mut seen = at_rest();
    let Secret::Ours(ours) = seen.secret.clone() else { panic!("not ours") };
    seen.secret = Secret::Ours(Stored { misplaced: true, ..ours.clone() });
    let relocate = Step::Relocate { client_id: id("c"), version: Version::new("4") };
    let new = Stored { version: Version::new("9"), ..ours };
    go(&wanted(), &mut seen, relocate, Answer::Stored(new));
    let delete = Step::DeleteSecret { leftover: true, version: Version::new("4") };
    go(&wanted(), &mut seen, delete, Answer::SecretGone);
    let Step::Record(record) = step(&wanted(), &seen) else { panic!("no record") };
    let credential = record.published.and_then(|published| published.credential).unwrap();
    assert_eq!(credential.version, Version::new("9"));
}

// The model found that a frozen pass wrote its marker when its object, with the policy Delete, was gone; no later
// object of that name could adopt the client.
#[test]
fn a_former_client_that_goes_after_the_record_is_struck_off_and_deleted_once() {
    let mut seen = at_rest();
    seen.object.recorded.retiring = vec![Retiring { client_id: id("former"), due: true }];
    // The pass that replaced it has just recorded so, and there is no overlap.
    seen.recorded = true;
    let delete = Step::Delete { client_id: id("former"), because: Removal::Retired };
    go(&wanted(), &mut seen, delete, Answer::Deleted);
    let record = step(&wanted(), &seen);
    let Step::Record(struck) = &record else { panic!("{record:?}") };
    assert_eq!(struck.retiring, []);
    seen.absorb(&record, Answer::Recorded(recorded()));
    assert_eq!(step(&wanted(), &seen), Step::Rest);
}

/// F28: `kubectl replace` took the token off while the client was being rotated.
#[test]
fn a_published_client_that_nobody_recorded_is_taken_back_and_the_recorded_one_retires() {
    let object = Object { token: None, finalizer: false, ..recorded() };
    let other = || Credential::Other(CredentialDigest::new("dm"));
    let client = wanted().client(&token("new"));
    let mut seen = observed(object.clone(), stored("new", "mine", other()), &[("mine", client)], Pending::Nothing);
    for cooldown in [Cooldown::Short, Cooldown::Long] {
        seen.cooldown = cooldown;
        assert_eq!(step(&wanted(), &seen), intent("5", &[]), "no POST, so no cooldown");
    }
    let object = Object { token: Some(token("fresh")), finalizer: true, ..object };
    go(&wanted(), &mut seen, intent("5", &[]), Answer::Intent(object, token("fresh")));
    let moved = Step::MoveToken { token: token("fresh"), client_id: id("mine"), version: Version::new("4") };
    let Secret::Ours(ours) = stored("fresh", "mine", other()) else { panic!("not ours") };
    go(&wanted(), &mut seen, moved, Answer::Stored(ours));
    let Step::Record(record) = step(&wanted(), &seen) else { panic!("no record") };
    assert_eq!(record.conclusion, Conclusion::Converged);
    assert_eq!(record.published.map(|published| published.client_id), Some(id("mine")));
    assert_eq!(record.retiring, [id("c")]);
}

#[test]
fn a_published_client_is_taken_back_only_if_its_marker_names_this_object() {
    let theirs = Marker { owner: Owner { uid: Uid::new("v"), ..owner() }, ..wanted().marker(&token("new")) };
    for marker in [None, Some(theirs)] {
        let client = RemoteClient { marker, ..wanted().client(&token("new")) };
        let object = Object { token: None, ..recorded() };
        let secret = stored("new", "mine", Credential::Other(CredentialDigest::new("dm")));
        let mut seen = observed(object, secret, &[("mine", client)], Pending::Nothing);
        seen.cooldown = Cooldown::Short;
        assert_eq!(reason(&step(&wanted(), &seen)), Some(Reason::Rotating), "a POST, which waits: {seen:?}");
    }
}

/// I7: what stood in the Secret is not deleted before an overlap, whether or not anybody recorded it.
#[test]
fn a_published_client_whose_credential_was_altered_before_its_record_retires_before_another_is_created() {
    let secret = stored("t", "mine", Credential::Broken);
    let mut seen = observed(recorded(), secret.clone(), &[("mine", wanted().client(&token("t")))], Pending::Nothing);
    go(&wanted(), &mut seen, Step::ReadLive, Answer::Live(Some(recorded()), secret, None));
    let record = step(&wanted(), &seen);
    let Step::Record(retire) = &record else { panic!("{record:?}") };
    assert_eq!((&retire.published, retire.retiring.as_slice()), (&None, [id("mine")].as_slice()));
    let mut object = recorded();
    object.recorded.retiring = vec![Retiring { client_id: id("mine"), due: false }];
    seen.absorb(&record, Answer::Recorded(object));
    assert_eq!(step(&wanted(), &seen), intent("5", &[]), "its token is not of unknown outcome");
}

#[test]
fn whatever_the_cause_the_next_post_waits_ten_minutes() {
    let unrecorded = observed(recorded(), stored("new", "mine", Credential::Broken), &[], Pending::Nothing);
    let mut rotation = at_rest();
    rotation.object.rotation_asked = true;
    let mut gone = at_rest();
    gone.remote.insert(id("c"), Remote::Absent);
    let altered = observed(
        recorded(),
        stored("t", "c", Credential::Broken),
        &[("c", wanted().client(&token("t")))],
        Pending::Nothing,
    );
    for (cause, seen) in [
        ("unrecorded", unrecorded),
        ("rotation", rotation),
        ("gone", gone),
        ("lost", without_secret(recorded())),
        ("altered", altered),
    ] {
        for cooldown in [Cooldown::Short, Cooldown::Long] {
            let seen = Observed { cooldown, ..seen.clone() };
            assert_eq!(reason(&step(&wanted(), &seen)), Some(Reason::Rotating), "{cause}");
        }
        let mut seen = seen;
        seen.object.replaced = Replaced::JustNow;
        let waits = if matches!(cause, "lost" | "altered") { Reason::CredentialLost } else { Reason::Rotating };
        assert_eq!(reason(&step(&wanted(), &seen)), Some(waits), "{cause}");
    }
}

/// F33: also while something else blocks the pass.
#[test]
fn an_object_with_a_client_gets_its_finalizer_back_whatever_blocks_the_pass() {
    let bare = Object { finalizer: false, ..recorded() };
    let blocked = Wanted { on_loss: OnLoss::Block, ..wanted() };
    let add = Step::AddFinalizer { version: Version::new("5") };
    let mut seen = without_secret(bare.clone());
    go(&blocked, &mut seen, add.clone(), Answer::Object(Object { finalizer: true, ..bare.clone() }));
    assert_eq!(reason(&step(&blocked, &seen)), Some(Reason::CredentialLost));
    let mut seen = at_rest();
    seen.object.finalizer = false;
    assert_eq!(step(&wanted(), &seen), add, "nothing else is to be done");
    assert_eq!(step(&Wanted { suspended: true, ..wanted() }, &without_secret(bare.clone())), add, "suspended");
    let invalid = Desired::Invalid(Failure::stalled(Reason::InvalidSpec, "no"));
    assert_eq!(next(&invalid, &seen), add, "invalid");
    seen.project.state = ProjectState::Failed(Failure::retry(Reason::APIUnavailable, "away"));
    assert_eq!(step(&wanted(), &seen), add, "the project cannot be used");
    let first = Object { finalizer: false, ..fresh() };
    assert_ne!(step(&wanted(), &observed(first, foreign(None, Content::Other), &[], Pending::Nothing)), add);
}

/// F32.
#[test]
fn a_former_client_goes_on_its_day_whatever_else_blocks_the_pass() {
    let mut object = recorded();
    object.recorded.retiring = vec![Retiring { client_id: id("old"), due: true }];
    let delete = Step::Delete { client_id: id("old"), because: Removal::Retired };
    let blocked = Wanted { on_loss: OnLoss::Block, ..wanted() };
    let mut seen = without_secret(object.clone());
    let invalid = Desired::Invalid(Failure::stalled(Reason::InvalidSpec, "no"));
    assert_eq!(next(&invalid, &seen), delete, "an invalid spec");
    go(&blocked, &mut seen, delete.clone(), Answer::Deleted);
    let Step::Record(record) = step(&blocked, &seen) else { panic!("no record") };
    assert_eq!(record.retiring, []);
    assert_eq!(reason(&step(&blocked, &seen)), Some(Reason::CredentialLost));
    let suspended = Wanted { suspended: true, ..wanted() };
    assert_eq!(reason(&step(&suspended, &without_secret(object.clone()))), Some(Reason::Suspended), "but for that");
    let mut refused = without_secret(object.clone());
    refused.failure =
        Some(StepFailure { failure: Failure::stalled(Reason::RejectedByAPI, "no"), at: FailedAt::MeshAgent });
    assert_eq!(step(&wanted(), &refused), delete, "a refused PUT");
    refused.failure =
        Some(StepFailure { failure: Failure::stalled(Reason::RejectedByAPI, "no"), at: FailedAt::Removal });
    assert_eq!(reason(&step(&wanted(), &refused)), Some(Reason::RejectedByAPI), "a refused DELETE is not repeated");
    refused.failure =
        Some(StepFailure { failure: Failure::retry(Reason::APIUnavailable, ""), at: FailedAt::MeshAgent });
    assert_eq!(reason(&step(&wanted(), &refused)), Some(Reason::APIUnavailable), "a server that is away is not asked");
}

/// F34.
#[test]
fn a_pass_that_lost_the_secret_to_another_object_deletes_its_own_client() {
    let object = Object { token: Some(token("t")), finalizer: true, ..fresh() };
    let mut seen = observed(object.clone(), foreign(None, Content::Unread), &[], credential("t", "mine"));
    let secret = foreign(None, Content::Other);
    go(&wanted(), &mut seen, Step::ReadLive, Answer::Live(Some(object), secret, None));
    let delete = Step::Delete { client_id: id("mine"), because: Removal::OwnWaste };
    go(&wanted(), &mut seen, delete, Answer::Deleted);
    assert_eq!(reason(&step(&wanted(), &seen)), Some(Reason::SecretConflict));
}

/// F34: the process that created it has crashed.
#[test]
fn what_a_crash_left_behind_a_foreign_secret_is_removed_under_a_fresh_token() {
    let object = Object { token: Some(token("t")), finalizer: true, ..fresh() };
    let secret = foreign(None, Content::Other);
    let waste = wanted().client(&token("t"));
    let mut seen = observed(object.clone(), secret.clone(), &[("waste", waste.clone())], Pending::Nothing);
    go(&wanted(), &mut seen, Step::ReadLive, Answer::Live(Some(object.clone()), secret.clone(), None));
    let object = Object { token: Some(token("new")), unknown: [token("t")].into(), ..object };
    go(&wanted(), &mut seen, intent("1", &["t"]), Answer::Intent(object.clone(), token("new")));
    go(&wanted(), &mut seen, Step::List, Answer::Listing(BTreeMap::from([(id("waste"), waste)])));
    go(&wanted(), &mut seen, Step::ReadLive, Answer::Live(Some(object), secret, None));
    let delete = Step::Delete { client_id: id("waste"), because: Removal::Disowned };
    go(&wanted(), &mut seen, delete, Answer::Deleted);
    assert_eq!(reason(&step(&wanted(), &seen)), Some(Reason::SecretConflict));
}

#[test]
fn the_token_of_a_recorded_client_is_not_of_unknown_outcome_when_its_secret_is_gone() {
    let lost = |remote: &[(&str, RemoteClient)]| {
        let mut seen = observed(recorded(), Secret::Absent, remote, Pending::Nothing);
        seen.absorb(&Step::ReadLive, Answer::Live(Some(recorded()), Secret::Absent, None));
        step(&wanted(), &seen)
    };
    assert_eq!(lost(&[("c", wanted().client(&token("t")))]), intent("5", &[]));
    assert_eq!(lost(&[("c", wanted().client(&token("other")))]), intent("5", &["t"]));
    assert_eq!(lost(&[("twin", wanted().client(&token("t")))]), intent("5", &["t"]));
}

/// F35.
#[test]
fn no_former_client_is_deleted_by_a_clock_that_is_wrong() {
    let mut seen = at_rest();
    seen.object.recorded.retiring = vec![Retiring { client_id: id("old"), due: true }];
    let delete = Step::Delete { client_id: id("old"), because: Removal::Retired };
    for clock in [ClockState::Right, ClockState::Off] {
        seen.clock = clock;
        assert_eq!(step(&wanted(), &seen), delete);
    }
    seen.clock = ClockState::Wrong;
    let Step::Record(record) = step(&wanted(), &seen) else { panic!("no record") };
    assert_eq!((record.conclusion, record.retiring), (Conclusion::Converged, vec![id("old")]));
    let invalid = Desired::Invalid(Failure::stalled(Reason::InvalidSpec, "no"));
    assert_eq!(reason(&next(&invalid, &seen)), Some(Reason::InvalidSpec));
    assert_eq!(next(&Desired::Absent(Deletion::default()), &seen), Step::CheckCrd, "a deletion waits for no clock");
}

//! The table of situations, row by row; then the laws.

use std::collections::{BTreeMap, BTreeSet};

use super::*;
use crate::api::Reason;
use crate::decide::client::desired::lifecycle::OnLoss;
use crate::decide::client::observed::{
    Answer, Content, CrdState, Credential, FailedAt, Foreign, Object, ProjectState, Recorded, Remote, RemoteClient,
    Replaced, Retiring, Secret, Stored,
};
use crate::decide::client::testing::{
    at_rest, id, object as fresh, observed, owner, recorded, stored, token, usable, wanted,
};
use crate::decide::id::{ClientId, CredentialDigest, Token, Uid, Version};
use crate::decide::marker::{Marker, Owner, Policy};
use crate::decide::settings::Settings;

mod adoption;
mod departures;
mod former_clients;
mod laws;
mod many_gone;
mod project;

/// The object is being deleted, as objects usually are.
fn leaving() -> Desired {
    Desired::Absent(Deletion::default())
}

fn present() -> Desired {
    Desired::Present(Box::new(wanted()))
}

/// A Secret of ours under a name that the spec no longer wants.
fn misplaced(random: &str) -> Secret {
    match stored(random, "c", Credential::AsRecorded) {
        Secret::Ours(stored) => Secret::Ours(Stored { misplaced: true, ..stored }),
        other @ (Secret::Absent | Secret::Foreign(_)) => other,
    }
}

/// A Secret that is not ours.
fn foreign(former: Option<(&str, &str)>, content: Content) -> Secret {
    let former = former.map(|(client_id, uid)| (id(client_id), Uid::new(uid)));
    Secret::Foreign(Foreign { version: Version::new("4"), former, content })
}

/// What a pass knows of an object that has no Secret, by a live read.
fn without_secret(object: Object) -> Observed {
    Observed { live: Some(0), ..observed(object, Secret::Absent, &[], Pending::Nothing) }
}

fn credential(random: &str, client_id: &str) -> Pending {
    Pending::Credential {
        token: token(random),
        client_id: id(client_id),
        digest: CredentialDigest::new("d"),
        origin: Origin::Created,
    }
}

/// What a pass knows of an object that is being deleted, once it has asked whether OAuthClients are kept.
fn established(mut seen: Observed) -> Observed {
    assert_eq!(next(&leaving(), &seen), Step::CheckCrd);
    seen.absorb(&Step::CheckCrd, Answer::Crd(CrdState::Established));
    seen
}

fn reason(step: &Step) -> Option<Reason> {
    let Step::Record(record) = step else { return None };
    record.conclusion.failure().map(|failure| failure.reason)
}

fn intent(version: &str, unknown: &[&str]) -> Step {
    Step::WriteIntent { version: Version::new(version), unknown: unknown.iter().map(|random| token(random)).collect() }
}

#[test]
fn a_new_object_gets_an_intent_before_anything_else() {
    let seen = observed(fresh(), Secret::Absent, &[], Pending::Nothing);
    assert_eq!(next(&present(), &seen), intent("1", &[]));
}

/// The Secret may be immutable, and have to move for that very rotation.
#[test]
fn a_secret_that_has_to_move_moves_before_a_rotation_replaces_its_credential() {
    let client = wanted().client(&token("t"));
    let asked = Object { rotation_asked: true, ..recorded() };
    let seen = observed(asked.clone(), misplaced("t"), &[("c", client.clone())], Pending::Nothing);
    assert_eq!(next(&present(), &seen), Step::Relocate { client_id: id("c"), version: Version::new("4") });
    // A rotation that was refused left its token on the object.
    let refused = Object { token: Some(token("u")), ..asked };
    let seen = observed(refused, misplaced("t"), &[("c", client)], Pending::Unspent(token("u")));
    assert_eq!(
        next(&present(), &seen),
        Step::MoveToken { token: token("u"), client_id: id("c"), version: Version::new("4") }
    );
}

#[test]
fn an_unspent_token_is_posted_only_after_a_dry_run() {
    let object = Object { token: Some(token("t")), finalizer: true, ..fresh() };
    let mut seen = observed(object, Secret::Absent, &[], Pending::Unspent(token("t")));
    let dry_run = next(&present(), &seen);
    assert_eq!(dry_run, Step::DryRun { write: SecretWrite::Create });
    seen.absorb(&dry_run, Answer::DryRunPassed);
    assert_eq!(next(&present(), &seen), Step::Post { token: token("t") });
}

#[test]
fn a_token_of_unknown_outcome_is_never_posted_but_remembered() {
    let object = Object { token: Some(token("t")), finalizer: true, ..fresh() };
    let mut seen = observed(object.clone(), Secret::Absent, &[], Pending::Nothing);
    assert_eq!(next(&present(), &seen), Step::ReadLive);
    seen.absorb(&Step::ReadLive, Answer::Live(Some(object), Secret::Absent, None));
    assert_eq!(next(&present(), &seen), intent("1", &["t"]));
}

#[test]
fn a_refused_post_keeps_its_token_for_the_next_pass_and_says_why() {
    let object = Object { token: Some(token("t")), finalizer: true, ..fresh() };
    let mut seen = observed(object, Secret::Absent, &[], Pending::Unspent(token("t")));
    let refusal = Failure::stalled(Reason::RejectedByAPI, "no");
    seen.absorb(&Step::Post { token: token("t") }, Answer::Refused(refusal));
    assert_eq!(seen.pending, Pending::Unspent(token("t")));
    assert_eq!(reason(&next(&present(), &seen)), Some(Reason::RejectedByAPI));
}

#[test]
fn a_credential_in_hand_is_created_as_a_secret_and_never_applied_over_one() {
    let object = Object { token: Some(token("t")), finalizer: true, ..fresh() };
    let seen = observed(object, Secret::Absent, &[], credential("t", "c"));
    let publish = Step::Publish { client_id: id("c"), token: token("t"), write: SecretWrite::Create };
    assert_eq!(next(&present(), &seen), publish);
}

#[test]
fn a_pass_that_lost_deletes_its_own_client_after_a_live_read() {
    let object = Object { token: Some(token("theirs")), finalizer: true, ..fresh() };
    let mut seen = observed(object.clone(), Secret::Absent, &[], credential("mine", "c"));
    assert_eq!(next(&present(), &seen), Step::ReadLive);
    seen.absorb(&Step::ReadLive, Answer::Live(Some(object), Secret::Absent, None));
    assert_eq!(next(&present(), &seen), Step::Delete { client_id: id("c"), because: Removal::OwnWaste });
}

#[test]
fn a_pass_that_lost_leaves_a_client_that_somebody_recorded_or_the_secret_holds() {
    let other = Object { token: Some(token("theirs")), ..recorded() };
    for (object, secret) in [
        (other.clone(), Secret::Absent),
        (Object { recorded: Recorded::default(), ..other }, stored("mine", "c", Credential::Broken)),
    ] {
        let mut seen = observed(object.clone(), secret.clone(), &[], credential("mine", "c"));
        seen.absorb(&Step::ReadLive, Answer::Live(Some(object), secret, None));
        assert_eq!(next(&present(), &seen), Step::Forget);
    }
}

#[test]
fn kubectl_replace_gets_a_fresh_token_on_both_sides_and_no_call() {
    let replaced = Object { token: None, finalizer: false, ..recorded() };
    let mut seen = observed(
        replaced.clone(),
        stored("t", "c", Credential::AsRecorded),
        &[("c", wanted().client(&token("t")))],
        Pending::Nothing,
    );
    let first = next(&present(), &seen);
    assert_eq!(first, intent("5", &[]));
    let object = Object { token: Some(token("new")), finalizer: true, ..replaced };
    seen.absorb(&first, Answer::Intent(object, token("new")));
    assert_eq!(
        next(&present(), &seen),
        Step::MoveToken { token: token("new"), client_id: id("c"), version: Version::new("4") }
    );
}

#[test]
fn a_changed_secret_is_read_and_an_altered_credential_replaces_the_client() {
    let mut seen = observed(
        recorded(),
        stored("t", "c", Credential::Unread),
        &[("c", wanted().client(&token("t")))],
        Pending::Nothing,
    );
    assert_eq!(next(&present(), &seen), Step::ReadSecret);
    seen.absorb(&Step::ReadSecret, Answer::Data(Credential::Broken, true));
    assert_eq!(next(&present(), &seen), intent("5", &[]));
}

#[test]
fn a_client_is_gone_only_after_a_404_and_a_listing_begun_since() {
    let mut seen = observed(recorded(), stored("t", "c", Credential::AsRecorded), &[], Pending::Nothing);
    let get = Step::Get { client_id: id("c") };
    assert_eq!(next(&present(), &seen), get);
    seen.absorb(&get, Answer::Client(None));
    assert_eq!(next(&present(), &seen), Step::List);
    seen.absorb(&Step::List, Answer::Listing(BTreeMap::new()));
    assert_eq!(next(&present(), &seen), intent("5", &[]));
}

#[test]
fn a_404_that_a_listing_contradicts_proves_nothing() {
    let mut seen = observed(recorded(), stored("t", "c", Credential::AsRecorded), &[], Pending::Nothing);
    seen.absorb(&Step::Get { client_id: id("c") }, Answer::Client(None));
    let listing = BTreeMap::from([(id("c"), wanted().client(&token("t")))]);
    seen.absorb(&Step::List, Answer::Listing(listing));
    assert!(matches!(next(&present(), &seen), Step::Record(_)));
}

#[test]
fn metadata_is_read_by_id_before_it_is_replaced_and_foreign_keys_are_kept() {
    let mut client = wanted().client(&token("t"));
    client.settings.metadata.insert("team".to_owned(), "red".to_owned());
    client.marker = None;
    let seen =
        observed(recorded(), stored("t", "c", Credential::AsRecorded), &[("c", client.clone())], Pending::Nothing);
    let get = next(&present(), &seen);
    assert_eq!(get, Step::Get { client_id: id("c") });
    let mut read = seen;
    read.absorb(&get, Answer::Client(Some(client)));
    let Step::Put { change, .. } = next(&present(), &read) else { panic!("no PUT") };
    let (metadata, marker) = change.metadata.clone().unwrap();
    assert_eq!(metadata, BTreeMap::from([("team".to_owned(), "red".to_owned())]));
    assert_eq!(marker, wanted().marker(&token("t")));
}

#[test]
fn a_recorded_client_with_the_marker_of_another_is_left_alone() {
    let theirs = Owner { name: "other".into(), uid: Uid::new("v"), ..wanted().owner };
    let client = RemoteClient {
        marker: Some(Marker { owner: theirs, ..wanted().marker(&token("t")) }),
        settings: Settings::default(),
    };
    let seen = observed(recorded(), stored("t", "c", Credential::AsRecorded), &[("c", client)], Pending::Nothing);
    assert_eq!(reason(&next(&present(), &seen)), Some(Reason::AdoptionConflict));
}

#[test]
fn a_foreign_secret_is_a_conflict_and_nothing_is_posted() {
    let seen = observed(fresh(), foreign(None, Content::Other), &[], Pending::Nothing);
    assert_eq!(reason(&next(&present(), &seen)), Some(Reason::SecretConflict));
}

#[test]
fn while_the_project_cannot_be_used_nothing_but_the_record_is_written() {
    let mut seen = observed(fresh(), Secret::Absent, &[], Pending::Nothing);
    seen.project.state = ProjectState::Failed(Failure::retry(Reason::APIUnavailable, "away"));
    assert_eq!(reason(&next(&present(), &seen)), Some(Reason::APIUnavailable));
}

#[test]
fn a_credential_that_was_lost_twice_within_the_overlap_is_not_replaced() {
    let object = Object { replaced: Replaced::WithinOverlap, ..recorded() };
    let cached = observed(object.clone(), Secret::Absent, &[], Pending::Nothing);
    assert_eq!(next(&present(), &cached), Step::ReadLive, "a cache proves no loss");
    let seen = without_secret(object);
    assert_eq!(reason(&next(&present(), &seen)), Some(Reason::CredentialLost));
}

#[test]
fn a_rotation_that_waits_holds_nothing_else_back() {
    let object = Object { rotation_asked: true, replaced: Replaced::JustNow, ..recorded() };
    let read = |credential| stored("t", "c", credential);
    let mut edited = wanted().client(&token("t"));
    edited.settings.scopes.clear();
    let seen = observed(object.clone(), read(Credential::AsRecorded), &[("c", edited)], Pending::Nothing);
    assert!(matches!(next(&present(), &seen), Step::Put { .. }), "what is declared is applied");
    let client = wanted().client(&token("t"));
    let seen = observed(object.clone(), read(Credential::AsRecorded), &[("c", client.clone())], Pending::Nothing);
    let Step::Record(record) = next(&present(), &seen) else { panic!("no record") };
    assert!(record.published.is_some(), "the client is recorded as in use");
    assert_eq!(reason(&next(&present(), &seen)), Some(Reason::Rotating));
    // `kubectl replace` took finalizer and token off meanwhile.
    let replaced = Object { token: None, finalizer: false, ..object.clone() };
    let seen = observed(replaced, read(Credential::AsRecorded), &[("c", client)], Pending::Nothing);
    assert_eq!(next(&present(), &seen), intent("5", &[]));
    // A pass without a credential in use has nothing else to do.
    assert_eq!(reason(&next(&present(), &without_secret(object))), Some(Reason::Rotating));
}

#[test]
fn a_rotation_whose_post_was_for_nothing_is_not_posted_again_by_the_same_pass() {
    let object = Object { rotation_asked: true, token: Some(token("new")), ..recorded() };
    let secret = stored("t", "c", Credential::AsRecorded);
    let mut seen = observed(
        object.clone(),
        secret.clone(),
        &[("c", wanted().client(&token("t")))],
        Pending::Unspent(token("new")),
    );
    seen.dry_run = Some(SecretWrite::Replace(Version::new("4")));
    let post = Step::Post { token: token("new") };
    assert_eq!(next(&present(), &seen), post);
    let client = wanted().client(&token("new"));
    seen.absorb(&post, Answer::Created { client_id: id("mine"), digest: CredentialDigest::new("dm"), client });
    // `kubectl replace` took the token off, and the pass reads so when it publishes.
    seen.absorb(&Step::ReadLive, Answer::Live(Some(Object { token: None, ..object }), secret, None));
    let delete = Step::Delete { client_id: id("mine"), because: Removal::OwnWaste };
    assert_eq!(next(&present(), &seen), delete);
    seen.absorb(&delete, Answer::Deleted);
    let first = next(&present(), &seen);
    assert_eq!(first, intent("5", &[]));
    let object = Object { rotation_asked: true, token: Some(token("fresh")), ..recorded() };
    seen.absorb(&first, Answer::Intent(object, token("fresh")));
    assert_eq!(
        next(&present(), &seen),
        Step::MoveToken { token: token("fresh"), client_id: id("c"), version: Version::new("4") }
    );
}

#[test]
fn after_three_unknown_outcomes_their_clients_are_removed_before_the_next_post() {
    let unknown = ["a", "b", "c"].map(token).into_iter().collect();
    let object = Object { token: Some(token("t")), finalizer: true, unknown, ..fresh() };
    let waste = wanted().client(&token("a"));
    let mut seen = observed(object.clone(), Secret::Absent, &[], Pending::Unspent(token("t")));
    assert_eq!(next(&present(), &seen), Step::List);
    seen.absorb(&Step::List, Answer::Listing(BTreeMap::from([(id("waste"), waste)])));
    assert_eq!(next(&present(), &seen), Step::ReadLive);
    seen.absorb(&Step::ReadLive, Answer::Live(Some(object), Secret::Absent, None));
    let delete = Step::Delete { client_id: id("waste"), because: Removal::Disowned };
    assert_eq!(next(&present(), &seen), delete);
    seen.absorb(&delete, Answer::Deleted);
    assert_eq!(next(&present(), &seen), Step::DryRun { write: SecretWrite::Create });
}

#[test]
fn a_client_whose_secret_was_not_shown_is_deleted_and_then_the_failure_is_said() {
    let object = Object { token: Some(token("t")), finalizer: true, ..fresh() };
    let mut seen = observed(object, Secret::Absent, &[], Pending::Unspent(token("t")));
    let failure = Failure::retry(Reason::APIUnavailable, "no secret");
    seen.absorb(&Step::Post { token: token("t") }, Answer::Unknown(failure, Some(id("keyless"))));
    let delete = next(&present(), &seen);
    assert_eq!(delete, Step::Delete { client_id: id("keyless"), because: Removal::OwnWaste });
    seen.absorb(&delete, Answer::Deleted);
    assert_eq!(reason(&next(&present(), &seen)), Some(Reason::APIUnavailable));
}

#[test]
fn a_former_client_is_deleted_when_its_overlap_has_ended_and_not_before() {
    let former = |due| vec![Retiring { client_id: id("old"), due }];
    let mut seen = at_rest();
    seen.object.recorded.retiring = former(false);
    assert!(matches!(next(&present(), &seen), Step::Record(_)));
    seen.object.recorded.retiring = former(true);
    assert_eq!(next(&present(), &seen), Step::Delete { client_id: id("old"), because: Removal::Retired });
}

#[test]
fn deletion_deletes_the_recorded_client_and_then_lets_the_object_go() {
    let mut seen = established(at_rest());
    let delete = next(&leaving(), &seen);
    assert_eq!(delete, Step::Delete { client_id: id("c"), because: Removal::ObjectDeleted });
    seen.absorb(&delete, Answer::Deleted);
    assert_eq!(next(&leaving(), &seen), Step::RemoveFinalizer { version: Version::new("5") });
}

#[test]
fn deletion_lists_first_where_a_post_may_have_made_what_nothing_names() {
    let object = Object { token: Some(token("t")), finalizer: true, ..fresh() };
    let mut seen = established(observed(object, Secret::Absent, &[], Pending::Nothing));
    assert_eq!(next(&leaving(), &seen), Step::List);
    seen.absorb(&Step::List, Answer::Listing(BTreeMap::from([(id("lost"), wanted().client(&token("t")))])));
    assert_eq!(next(&leaving(), &seen), Step::Delete { client_id: id("lost"), because: Removal::ObjectDeleted });
}

#[test]
fn deletion_looks_at_a_client_that_only_the_status_names_and_leaves_a_foreign_one() {
    let mut seen = established(without_secret(recorded()));
    let get = Step::Get { client_id: id("c") };
    assert_eq!(next(&leaving(), &seen), get);
    seen.absorb(&get, Answer::Client(Some(RemoteClient { settings: Settings::default(), marker: None })));
    assert_eq!(next(&leaving(), &seen), Step::List, "its token is in doubt");
    seen.absorb(&Step::List, Answer::Listing(BTreeMap::new()));
    assert_eq!(next(&leaving(), &seen), Step::RemoveFinalizer { version: Version::new("5") });
}

#[test]
fn a_client_that_is_listed_and_not_found_by_its_id_does_not_keep_a_pass_going() {
    let client = RemoteClient {
        settings: Settings { metadata: [("a", "b")].map(|(k, v)| (k.into(), v.into())).into(), ..Settings::default() },
        marker: None,
    };
    let mut seen = at_rest();
    seen.remote.insert(id("c"), Remote::Listed(client.clone()));
    for _ in 0..3 {
        let get = Step::Get { client_id: id("c") };
        assert_eq!(next(&present(), &seen), get);
        seen.absorb(&get, Answer::Client(None));
        assert_eq!(next(&present(), &seen), Step::List);
        seen.absorb(&Step::List, Answer::Listing(BTreeMap::from([(id("c"), client.clone())])));
    }
    assert_eq!(reason(&next(&present(), &seen)), Some(Reason::APIUnavailable));
}

#[test]
fn a_secret_that_the_cluster_changes_back_is_not_written_again_and_again() {
    let mut seen = at_rest();
    let Secret::Ours(ours) = seen.secret.clone() else { panic!("not ours") };
    let misshapen = Stored { in_shape: false, ..ours };
    seen.secret = Secret::Ours(misshapen.clone());
    let reshape = Step::Reshape { client_id: id("c"), version: Version::new("4") };
    assert_eq!(next(&present(), &seen), reshape);
    seen.absorb(&reshape, Answer::Stored(misshapen));
    assert_eq!(reason(&next(&present(), &seen)), Some(Reason::SecretRejected));
}

#[test]
fn an_object_without_our_finalizer_that_is_deleted_is_none_of_our_business() {
    assert_eq!(next(&leaving(), &observed(fresh(), Secret::Absent, &[], Pending::Nothing)), Step::Rest);
}

#[test]
fn a_pass_gives_way_after_three_conflicts_and_records_nothing() {
    let mut seen = observed(fresh(), Secret::Absent, &[], Pending::Nothing);
    for _ in 0..3 {
        seen.absorb(&intent("1", &[]), Answer::Conflict);
    }
    assert_eq!(next(&present(), &seen), Step::Rest);
    assert_eq!(seen.failure.map(|failed| failed.failure.reason), Some(Reason::Updating));
}

/// A record was once tried again within the pass, which never ended while the API server was away.
#[test]
fn a_record_that_failed_ends_the_pass() {
    let waiting = Failure::wait(Reason::ProjectNotFound, "create it");
    for failure in [None, Some(waiting)] {
        let mut seen = observed(fresh(), foreign(None, Content::Other), &[], Pending::Nothing);
        seen.failure = failure.map(|failure| StepFailure { failure, at: FailedAt::MeshAgent });
        let record = next(&present(), &seen);
        assert!(matches!(record, Step::Record(_)), "{record:?}");
        seen.absorb(&record, Answer::Failed(Failure::retry(Reason::Updating, "no API server")));
        assert_eq!(next(&present(), &seen), Step::Rest);
    }
}

#[test]
fn a_converged_state_is_recorded_and_rests() {
    let mut seen = at_rest();
    let record = next(&present(), &seen);
    let credential = Some(StoredCredential { version: Version::new("4"), digest: None });
    let said = Record {
        version: Version::new("5"),
        conclusion: Conclusion::Converged,
        published: Some(Published { client_id: id("c"), credential, adopted: false, drift: None }),
        retiring: Vec::new(),
    };
    assert_eq!(record, Step::Record(Box::new(said)));
    let object = seen.object.clone();
    seen.absorb(&record, Answer::Recorded(object));
    assert_eq!(next(&present(), &seen), Step::Rest);
}

/// A retained client was once removed in this way: an object took it over, and `kubectl replace` took the token off before
/// the record.
#[test]
fn what_was_published_and_never_recorded_is_taken_back_if_its_marker_is_ours() {
    let object = Object { token: Some(token("n")), finalizer: true, ..fresh() };
    let secret = || stored("t", "c", Credential::Other(CredentialDigest::new("d")));
    let client = wanted().client(&token("t"));
    let other = Marker { owner: Owner { uid: Uid::new("o"), ..owner() }, ..wanted().marker(&token("t")) };
    let theirs = RemoteClient { marker: Some(other), ..client.clone() };
    let step = |client: RemoteClient| {
        let pending = Pending::Unspent(token("n"));
        next(&present(), &observed(object.clone(), secret(), &[("c", client)], pending))
    };
    let version = Version::new("4");
    assert_eq!(step(client), Step::MoveToken { token: token("n"), client_id: id("c"), version: version.clone() });
    assert_eq!(step(theirs), Step::DryRun { write: SecretWrite::Replace(version) });
}

/// A credential was once published under the former name, from a cache that lagged behind a rename, and its client removed.
#[test]
fn nothing_is_published_under_a_former_name_before_a_live_read() {
    let object = Object { token: Some(token("n")), ..recorded() };
    let mut seen = observed(object, misplaced("t"), &[], credential("n", "d"));
    assert_eq!(next(&present(), &seen), Step::ReadLive);
    seen.live = Some(0);
    let publish =
        Step::Publish { client_id: id("d"), token: token("n"), write: SecretWrite::Replace(Version::new("4")) };
    assert_eq!(next(&present(), &seen), publish);
}

//! Clients that were there before: adopted, or retained by a former self of the object and taken back.

use super::former_clients::{allowed, go, step};
use super::*;
use crate::decide::client::desired::lifecycle::{Adopt, CredentialRef};

fn adopting(with_credential: bool) -> Wanted {
    let credential = with_credential.then(|| CredentialRef {
        secret: "given".to_owned(),
        client_id_key: "CLIENT_ID".to_owned(),
        client_secret_key: "CLIENT_SECRET".to_owned(),
    });
    Wanted { policy: Policy::Retain, adopt: Some(Adopt { client_id: id("theirs"), credential }), ..wanted() }
}

fn unmarked() -> RemoteClient {
    RemoteClient { settings: Settings::default(), marker: None }
}

fn new_object() -> Observed {
    allowed(observed(fresh(), Secret::Absent, &[], Pending::Nothing))
}

fn with_intent(seen: &Observed) -> Object {
    Object { version: Version::new("2"), finalizer: true, token: Some(token("t")), ..seen.object.clone() }
}

fn get(client_id: &str) -> Step {
    Step::Get { client_id: id(client_id) }
}

#[test]
fn nothing_is_adopted_and_nobody_asked_without_the_project_s_consent() {
    let seen = observed(fresh(), Secret::Absent, &[], Pending::Nothing);
    for with_credential in [false, true] {
        assert_eq!(reason(&step(&adopting(with_credential), &seen)), Some(Reason::AdoptionNotAllowed));
    }
}

#[test]
fn a_client_is_adopted_by_its_marker_and_there_is_no_secret_without_a_credential() {
    let (wanted, mut seen) = (adopting(false), new_object());
    go(&wanted, &mut seen, get("theirs"), Answer::Client(Some(unmarked())));
    let object = with_intent(&seen);
    go(&wanted, &mut seen, intent("1", &[]), Answer::Intent(object, token("t")));
    let put = step(&wanted, &seen);
    let Step::Put { client_id, result, .. } = &put else { panic!("{put:?}") };
    assert_eq!(client_id, &id("theirs"));
    assert_eq!(result.marker.as_ref().map(|marker| marker.origin), Some(Origin::Adopted));
    let updated = (**result).clone();
    seen.absorb(&put, Answer::Updated(updated));
    let Step::Record(record) = step(&wanted, &seen) else { panic!("no record") };
    let published = Published { client_id: id("theirs"), credential: None, adopted: true, drift: None };
    assert_eq!((record.conclusion, record.published), (Conclusion::Converged, Some(published)));
}

#[test]
fn a_credential_that_is_given_is_published_in_the_place_of_a_post() {
    let (wanted, mut seen) = (adopting(true), new_object());
    go(&wanted, &mut seen, get("theirs"), Answer::Client(Some(unmarked())));
    let object = with_intent(&seen);
    go(&wanted, &mut seen, intent("1", &[]), Answer::Intent(object, token("t")));
    go(&wanted, &mut seen, Step::DryRun { write: SecretWrite::Create }, Answer::DryRunPassed);
    let take = Step::TakeCredential { token: token("t"), client_id: id("theirs") };
    go(&wanted, &mut seen, take, Answer::Taken { client_id: id("theirs"), digest: CredentialDigest::new("d") });
    let publish = Step::Publish { client_id: id("theirs"), token: token("t"), write: SecretWrite::Create };
    assert_eq!(step(&wanted, &seen), publish);
}

#[test]
fn a_pass_that_lost_does_not_delete_the_client_that_it_was_to_adopt() {
    let pending = Pending::Credential {
        token: token("mine"),
        client_id: id("theirs"),
        digest: CredentialDigest::new("d"),
        origin: Origin::Adopted,
    };
    let object = Object { token: Some(token("another")), finalizer: true, ..fresh() };
    let seen = allowed(observed(object, Secret::Absent, &[("theirs", unmarked())], pending));
    assert_eq!(step(&adopting(true), &seen), Step::Forget);
}

#[test]
fn a_client_that_another_object_manages_is_not_adopted() {
    let other = Owner { name: "other".into(), uid: Uid::new("o"), ..wanted().owner };
    let marker = Marker { owner: other, token: Token::mint(&Uid::new("o"), "r"), ..wanted().marker(&token("t")) };
    let theirs = |marker: &Marker| RemoteClient { marker: Some(marker.clone()), ..unmarked() };
    for with_credential in [false, true] {
        let (wanted, mut seen) = (adopting(with_credential), new_object());
        go(&wanted, &mut seen, get("theirs"), Answer::Client(Some(theirs(&marker))));
        let refused = step(&wanted, &seen);
        assert_eq!(reason(&refused), Some(Reason::AdoptionConflict));
        assert!(
            format!("{refused:?}").contains("client theirs is managed by OAuthClient shop/other, so"),
            "{refused:?}"
        );
        // The client is free once the other object is deleted and leaves it behind.
        let mut seen = new_object();
        let left = Marker { retained: true, ..marker.clone() };
        go(&wanted, &mut seen, get("theirs"), Answer::Client(Some(theirs(&left))));
        assert_eq!(step(&wanted, &seen), intent("1", &[]));
    }
}

#[test]
fn an_adopted_client_that_is_gone_is_never_recreated_also_without_the_field_and_on_request() {
    let mut object = recorded();
    object.recorded.adopted = true;
    object.recorded.secret_name = Some("web-oauth".to_owned());
    object.rotation_asked = true;
    for wanted in [wanted(), Wanted { adopt: None, ..adopting(true) }] {
        let mut seen = observed(object.clone(), stored("t", "c", Credential::AsRecorded), &[], Pending::Nothing);
        go(&wanted, &mut seen, get("c"), Answer::Client(None));
        go(&wanted, &mut seen, Step::List, Answer::Listing(BTreeMap::new()));
        assert_eq!(reason(&step(&wanted, &seen)), Some(Reason::AdoptedClientGone));
    }
    assert_eq!(reason(&step(&wanted(), &without_secret(object))), Some(Reason::CredentialLost));
}

#[test]
fn a_secret_in_the_way_is_taken_over_only_if_it_holds_the_client_to_be_adopted() {
    let in_place = |wanted: Wanted| {
        let adopt = wanted.adopt.clone().map(|adopt| Adopt {
            credential: adopt.credential.map(|given| CredentialRef { secret: "web-oauth".to_owned(), ..given }),
            ..adopt
        });
        Wanted { adopt, ..wanted }
    };
    let wanted = in_place(adopting(true));
    let mut seen = allowed(observed(fresh(), foreign(None, Content::Unread), &[], Pending::Nothing));
    let live = |content| Answer::Live(Some(fresh()), foreign(None, content), None);
    go(&wanted, &mut seen, Step::ReadLive, live(Content::Other));
    assert_eq!(reason(&step(&wanted, &seen)), Some(Reason::SecretConflict));
    let mut seen = allowed(observed(fresh(), foreign(None, Content::Unread), &[], Pending::Nothing));
    go(&wanted, &mut seen, Step::ReadLive, live(Content::Adoptable));
    go(&wanted, &mut seen, get("theirs"), Answer::Client(Some(unmarked())));
    let object = with_intent(&seen);
    go(&wanted, &mut seen, intent("1", &[]), Answer::Intent(object, token("t")));
    let take = Step::TakeOver { client_id: id("theirs"), token: token("t"), version: Version::new("4") };
    assert_eq!(step(&wanted, &seen), take);
}

/// What the object's former self retained: its Secret and its client.
fn superseded(marker: Marker) -> (Secret, RemoteClient) {
    let owner = Owner { uid: Uid::new("former"), ..wanted().owner };
    let marker = Marker { owner, token: Token::mint(&Uid::new("former"), "r"), ..marker };
    (
        foreign(Some(("c", "former")), Content::Unread),
        RemoteClient { marker: Some(marker), ..wanted().client(&token("t")) },
    )
}

#[test]
fn what_was_left_behind_is_taken_back_without_a_post() {
    let (secret, client) = superseded(Marker { retained: true, ..wanted().marker(&token("t")) });
    let mut seen = observed(fresh(), secret, &[("c", client.clone())], Pending::Nothing);
    let wanted = wanted();
    go(&wanted, &mut seen, get("c"), Answer::Client(Some(client)));
    let object = with_intent(&seen);
    go(&wanted, &mut seen, intent("1", &[]), Answer::Intent(object, token("t")));
    let take = Step::TakeOver { client_id: id("c"), token: token("t"), version: Version::new("4") };
    let Secret::Ours(ours) = stored("t", "c", Credential::Other(CredentialDigest::new("d"))) else {
        panic!("not ours")
    };
    go(&wanted, &mut seen, take, Answer::Stored(ours));
    let put = step(&wanted, &seen);
    let Step::Put { result, .. } = &put else { panic!("{put:?}") };
    assert_eq!(result.marker, Some(wanted.marker(&token("t"))));
    let updated = (**result).clone();
    seen.absorb(&put, Answer::Updated(updated));
    assert!(matches!(step(&wanted, &seen), Step::Record(record) if record.conclusion == Conclusion::Converged));
}

#[test]
fn a_secret_of_a_former_object_whose_client_was_to_go_is_a_conflict() {
    let (secret, client) = superseded(wanted().marker(&token("t")));
    let mut seen = observed(fresh(), secret, &[], Pending::Nothing);
    go(&wanted(), &mut seen, get("c"), Answer::Client(Some(client)));
    assert_eq!(reason(&step(&wanted(), &seen)), Some(Reason::SecretConflict));
}

#[test]
fn a_secret_that_names_a_client_of_others_makes_nobody_touch_it() {
    // Somebody who may write the Secret has put another client's id, and any secret, into it.
    let secret = stored("t", "victim", Credential::Other(CredentialDigest::new("forged")));
    let mut seen = observed(recorded(), secret, &[], Pending::Nothing);
    go(&wanted(), &mut seen, get("victim"), Answer::Client(Some(unmarked())));
    assert_eq!(step(&wanted(), &seen), intent("5", &[]), "the credential is lost, and replaced");
}

#[test]
fn a_marker_that_a_former_object_of_the_same_name_wrote_late_does_not_bar_the_adoption() {
    let former = Owner { uid: Uid::new("former"), ..wanted().owner };
    let marker = Marker { owner: former, origin: Origin::Adopted, ..wanted().marker(&token("former")) };
    let marked = RemoteClient { marker: Some(marker), ..unmarked() };
    for with_credential in [false, true] {
        let (wanted, mut seen) = (adopting(with_credential), new_object());
        go(&wanted, &mut seen, get("theirs"), Answer::Client(Some(marked.clone())));
        assert_eq!(step(&wanted, &seen), intent("1", &[]));
    }
}

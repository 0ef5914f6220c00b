//! Facts that must not outlive what they are about. The model found each of these.

use std::collections::{BTreeMap, BTreeSet};

use super::*;
use crate::decide::client::next::{Conclusion, Record};
use crate::decide::client::testing::{beginning, id, token};
use crate::decide::id::{CredentialDigest, Uid};

fn object(version: &str) -> Object {
    Object {
        uid: Uid::new("u"),
        version: Version::new(version),
        finalizer: true,
        token: None,
        unknown: BTreeSet::new(),
        recorded: Recorded { digest: Some(CredentialDigest::new("recorded")), ..Recorded::default() },
        rotation_asked: false,
        replaced: Replaced::LongAgo,
        orphaning: false,
    }
}

fn stored(digest: &str) -> Stored {
    Stored {
        version: Version::new("4"),
        token: None,
        client_id: Some(ClientId::new("c")),
        credential: Credential::Other(CredentialDigest::new(digest)),
        in_shape: true,
        misplaced: false,
        owned: true,
        retained: false,
    }
}

fn record() -> Step {
    let conclusion = Conclusion::Converged;
    Step::Record(Box::new(Record { version: Version::new("1"), conclusion, published: None, retiring: Vec::new() }))
}

/// A pass that has just recorded, with a Secret whose credential has this digest.
fn recorded_with(digest: &str) -> Observed {
    let mut seen = Observed::begin(beginning(object("1"), Secret::Ours(stored(digest))));
    seen.absorb(&record(), Answer::Recorded(object("2")));
    assert!(seen.recorded);
    seen
}

#[test]
fn a_token_or_a_secret_written_after_the_record_is_recorded_anew() {
    let token = Token::mint(&Uid::new("u"), "t");
    let mut seen = recorded_with("recorded");
    let intent = Step::WriteIntent { version: Version::new("2"), unknown: BTreeSet::new() };
    seen.absorb(&intent, Answer::Intent(object("3"), token.clone()));
    assert!(!seen.recorded);

    let mut seen = recorded_with("recorded");
    let publish = Step::MoveToken { token, client_id: id("c"), version: Version::new("4") };
    seen.absorb(&publish, Answer::Stored(stored("recorded")));
    assert!(!seen.recorded);
}

#[test]
fn a_credential_is_the_recorded_one_after_a_record_only_by_its_digest() {
    let credential = |seen: &Observed| match &seen.secret {
        Secret::Ours(stored) => stored.credential.clone(),
        Secret::Absent | Secret::Foreign(_) => Credential::Broken,
    };
    assert_eq!(credential(&recorded_with("recorded")), Credential::AsRecorded);
    assert_eq!(credential(&recorded_with("another")), Credential::Other(CredentialDigest::new("another")));
}

#[test]
fn a_listing_from_before_the_record_is_none_to_clean_by() {
    let mut seen = Observed::begin(beginning(object("1"), Secret::Absent));
    seen.absorb(&Step::List, Answer::Listing(BTreeMap::new()));
    assert_eq!(seen.listing, Some(1));
    seen.absorb(&record(), Answer::Recorded(object("2")));
    assert_eq!(seen.listing, None);
}

#[test]
fn what_changed_since_the_record_is_recorded_anew_until_a_third_change_ends_the_pass() {
    let mut seen = recorded_with("recorded");
    let secret = seen.secret.clone();
    seen.absorb(&Step::ReadLive, Answer::Live(Some(object("2")), secret.clone(), None));
    assert!(seen.recorded, "nothing changed");
    for (version, ends) in [("3", false), ("4", false), ("5", true)] {
        seen.absorb(&Step::ReadLive, Answer::Live(Some(object(version)), secret.clone(), None));
        assert!(!seen.recorded);
        assert_eq!(seen.failure.is_some(), ends, "at version {version}");
        seen.absorb(&record(), Answer::Recorded(object(version)));
    }
}

#[test]
fn an_answer_that_does_not_fit_its_step_fails_the_pass_and_changes_nothing_else() {
    let mut seen = Observed::begin(beginning(object("1"), Secret::Absent));
    let before = seen.clone();
    let step = Step::Get { client_id: id("c") };
    seen.absorb(&step, Answer::Deleted);
    assert_eq!(seen.failure.as_ref().map(|failed| failed.at), Some(FailedAt::MeshAgent));
    assert_eq!(seen, Observed { tick: 1, failure: seen.failure.clone(), ..before });
}

#[test]
fn a_post_makes_every_listing_old_and_starts_the_cooldown() {
    let mut seen = Observed::begin(beginning(object("1"), Secret::Absent));
    seen.absorb(&Step::List, Answer::Listing(BTreeMap::new()));
    seen.absorb(&Step::Post { token: token("t") }, Answer::Unknown(Failure::retry(Reason::APIUnavailable, ""), None));
    assert_eq!((seen.listing, seen.cooldown), (None, Cooldown::Short));
}

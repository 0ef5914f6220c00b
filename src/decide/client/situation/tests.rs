use std::collections::BTreeMap;

use super::*;
use crate::api::Reason;
use crate::decide::client::desired::lifecycle::Adopt;
use crate::decide::client::next::Deletion;
use crate::decide::client::observed::{Content, Foreign, Recorded, RemoteClient, Retiring};
use crate::decide::client::testing::{at_rest, id, object, owner, stored, token, wanted};
use crate::decide::id::{CredentialDigest, Uid};

fn essentials() -> Essentials {
    Essentials { policy: None, adopts: false, suspended: false, secret_name: "web-oauth".to_owned() }
}

fn declared<'a>(essentials: &'a Essentials, spec: Result<&'a Present, &'a Failure>) -> Declared<'a> {
    Declared { essentials, spec, deleting: false, forced: false, adopted: false, default_policy: Policy::Delete }
}

fn ours() -> Stored {
    match stored("t", "c", Credential::AsRecorded) {
        Secret::Ours(stored) => stored,
        other @ (Secret::Absent | Secret::Foreign(_)) => panic!("{other:?}"),
    }
}

#[test]
fn a_deletion_is_decided_whatever_the_spec_says_and_an_invalid_spec_is_only_invalid() {
    let (essentials, invalid) = (essentials(), Failure::stalled(Reason::InvalidSpec, "no"));
    let broken = declared(&essentials, Err(&invalid));
    assert_eq!(broken.desired(owner()), Desired::Invalid(invalid.clone()));
    let going = Declared { deleting: true, forced: true, ..broken };
    let deletion = Deletion { policy: Policy::Delete, forced: true };
    assert_eq!(going.desired(owner()), Desired::Absent(deletion));
    let kept = Declared { deleting: true, adopted: true, ..broken };
    let deletion = Deletion { policy: Policy::Retain, forced: false };
    assert_eq!(kept.desired(owner()), Desired::Absent(deletion), "an adopted client stays");
}

#[test]
fn the_secret_to_go_by_is_the_wanted_one_and_ours_under_its_former_name_only_while_there_is_none() {
    let at = |version: &str| Stored { version: Version::new(version), ..ours() };
    let foreign = || Secret::Foreign(Foreign { version: Version::new("7"), former: None, content: Content::Unread });
    let wanted =
        |secret, leftover: Option<&str>| Located { secret, place: Place::Wanted, leftover: leftover.map(Version::new) };
    assert_eq!(locate(Secret::Absent, Secret::Absent), wanted(Secret::Absent, None));
    assert_eq!(locate(Secret::Ours(at("1")), Secret::Absent), wanted(Secret::Ours(at("1")), None));
    assert_eq!(
        locate(Secret::Ours(at("1")), Secret::Ours(at("2"))),
        wanted(Secret::Ours(at("1")), Some("2")),
        "the former one is left over"
    );
    let former =
        Located { secret: Secret::Ours(Stored { misplaced: true, ..at("2") }), place: Place::Former, leftover: None };
    assert_eq!(locate(Secret::Absent, Secret::Ours(at("2"))), former);
    assert_eq!(locate(foreign(), Secret::Ours(at("2"))), wanted(foreign(), None), "a foreign one is in the way");
    assert_eq!(locate(Secret::Absent, foreign()), wanted(Secret::Absent, None), "a foreign former one is not ours");
}

#[test]
fn clients_matter_that_status_secret_spec_or_this_process_name() {
    let mut object = object();
    object.recorded = Recorded {
        client_id: Some(id("recorded")),
        retiring: vec![Retiring { client_id: id("former"), due: false }],
        ..Recorded::default()
    };
    let secret = Secret::Ours(Stored { client_id: Some(id("stored")), ..ours() });
    let pending = Pending::Credential {
        token: token("t"),
        client_id: id("pending"),
        digest: CredentialDigest::new("d"),
        origin: crate::decide::marker::Origin::Created,
    };
    let adopt = Some(Adopt { client_id: id("adopted"), credential: None });
    let desired = Desired::Present(Box::new(Wanted { adopt, ..wanted() }));
    let names = |secret: &Secret, pending: &Pending, desired: &Desired| -> Vec<String> {
        named(&object, secret, pending, desired).into_iter().map(ToString::to_string).collect()
    };
    assert_eq!(names(&secret, &pending, &desired), ["adopted", "former", "pending", "recorded", "stored"]);
    let retained = Secret::Foreign(Foreign {
        version: Version::new("4"),
        former: Some((id("retained"), Uid::new("former"))),
        content: Content::Unread,
    });
    let plain = Desired::Present(Box::new(wanted()));
    assert_eq!(names(&retained, &Pending::Nothing, &plain), ["former", "recorded", "retained"]);
    assert_eq!(names(&Secret::Absent, &Pending::Nothing, &plain), ["former", "recorded"]);
}

#[test]
fn a_client_is_as_applied_unless_the_pass_has_proof_of_the_contrary() {
    let present = Desired::Present(Box::new(wanted()));
    let with = |change: &dyn Fn(&mut Observed)| {
        let mut seen = at_rest();
        change(&mut seen);
        secret_matches(&seen) && client_matches(&present, &seen, &id("c"))
    };
    assert!(with(&|_| {}));
    assert!(with(&|seen| seen.remote = BTreeMap::new()), "it was not asked for");
    assert!(with(&|seen| drop(seen.remote.insert(id("c"), Remote::Missing))), "a 404 alone proves nothing");
    assert!(!with(&|seen| drop(seen.remote.insert(id("c"), Remote::Absent))), "it is gone");
    assert!(!with(&|seen| seen.secret = Secret::Absent), "its Secret is gone");
    assert!(!with(&|seen| seen.secret = stored("t", "c", Credential::Broken)), "its credential was altered");
    assert!(!with(&|seen| seen.object.recorded.client_id = None), "nothing was ever applied");
    let edited = RemoteClient { marker: None, settings: Default::default() };
    assert!(!with(&|seen| drop(seen.remote.insert(id("c"), Remote::Read(edited.clone())))), "it was edited");
}

use super::*;

use kube::runtime::reflector;
use serde_json::json;

use crate::api::OAuthClient;

fn read(object: Value) -> Readable<OAuthClient> {
    serde_json::from_value(object).unwrap()
}

fn with_status(name: &str, status: Value) -> Readable<OAuthClient> {
    read(json!({
        "apiVersion": "meshagent.com/v1alpha1",
        "kind": "OAuthClient",
        "metadata": { "name": name, "namespace": "shop", "managedFields": [{ "time": "10000-01-01T11:59:59Z" }] },
        "spec": {},
        "status": status,
    }))
}

fn whole(name: &str) -> Readable<OAuthClient> {
    with_status(name, json!({ "clientId": "c-1" }))
}

fn broken(name: &str) -> Readable<OAuthClient> {
    with_status(name, json!({ "lastReplacedAt": "9999-12-31T23:59:59-12:00" }))
}

/// F3.
#[test]
fn whatever_field_cannot_be_decoded_is_named_and_the_object_with_it() {
    let problem = |object: Value| match read(object) {
        Readable::Whole(object) => format!("it can be read: {object:?}"),
        Readable::Unreadable { metadata, problem } => format!("{} {problem}", metadata.name.unwrap_or_default()),
    };
    for (field, object) in [
        (
            "status.lastReplacedAt",
            json!({ "metadata": { "name": "t" }, "spec": {}, "status": { "lastReplacedAt": 5 } }),
        ),
        (
            "status.retiring[0].deleteAfter",
            json!({ "metadata": { "name": "t" }, "spec": {},
                "status": { "retiring": [{ "clientId": "c", "deleteAfter": "9999-12-31T23:59:59-12:00" }] } }),
        ),
        ("spec.redirectUris", json!({ "metadata": { "name": "t" }, "spec": { "redirectUris": 5 } })),
        ("metadata.creationTimestamp", json!({ "metadata": { "name": "t", "creationTimestamp": "now" }, "spec": {} })),
        ("metadata.labels", json!({ "metadata": { "name": "t", "labels": ["a"] }, "spec": {} })),
    ] {
        let said = problem(object);
        assert!(said.starts_with(&format!("t {field}: ")), "{field}: {said}");
    }
}

#[test]
fn what_nobody_reads_is_not_kept() {
    let annotations = json!({ "kubectl.kubernetes.io/last-applied-configuration": "{}", "team": "shop" });
    let metadata = json!({ "name": "t", "annotations": annotations, "managedFields": [{ "manager": "kubectl" }] });
    let Readable::Whole(object) = read(json!({ "metadata": metadata, "spec": {} })) else { unreachable!() };
    assert!(object.managed_fields().is_empty());
    assert_eq!(*object.annotations(), BTreeMap::from([("team".to_owned(), "shop".to_owned())]));
}

/// The names that a cache holds after these events, and the names that are left out.
fn after(events: Vec<Event<Readable<OAuthClient>>>) -> (Vec<String>, Vec<String>) {
    let (cached, mut writer) = reflector::store::<OAuthClient>();
    let unreadable = UnreadableObjects::default();
    let mut sieve =
        Sieve { cached: cached.clone(), unreadable: unreadable.clone(), own: BTreeSet::new(), unseen: BTreeSet::new() };
    for event in events {
        if let Some(event) = sieve.readable(event) {
            writer.apply_watcher_event(&event);
        }
    }
    let mut names: Vec<String> = cached.state().iter().map(|object| object.name_any()).collect();
    names.sort();
    (names, unreadable.all().into_keys().map(|object| object.name).collect())
}

fn strings(names: &[&str]) -> Vec<String> {
    names.iter().map(|name| (*name).to_owned()).collect()
}

/// F3.
#[test]
fn what_cannot_be_read_is_left_out_and_all_others_are_there() {
    let listed = vec![Event::Init, Event::InitApply(whole("a")), Event::InitApply(broken("t")), Event::InitDone];
    assert_eq!(after(listed), (strings(&["a"]), strings(&["t"])));
}

#[test]
fn what_could_be_read_before_stays_as_it_was_until_it_is_deleted_through_a_new_listing_too() {
    let broken_later = vec![Event::Init, Event::InitApply(whole("t")), Event::InitDone, Event::Apply(broken("t"))];
    assert_eq!(after(broken_later.clone()), (strings(&["t"]), strings(&["t"])));
    let listed_again =
        [broken_later.clone(), vec![Event::Init, Event::InitApply(broken("t")), Event::InitDone]].concat();
    assert_eq!(after(listed_again), (strings(&["t"]), strings(&["t"])));
    let deleted = [broken_later, vec![Event::Delete(broken("t"))]].concat();
    assert_eq!(after(deleted), (vec![], vec![]));
}

#[test]
fn what_was_corrected_or_is_gone_is_no_longer_left_out() {
    let left_out = vec![Event::Init, Event::InitApply(broken("t")), Event::InitDone];
    let corrected = [left_out.clone(), vec![Event::Apply(whole("t"))]].concat();
    assert_eq!(after(corrected), (strings(&["t"]), vec![]));
    let gone_in_a_gap = [left_out, vec![Event::Init, Event::InitApply(whole("a")), Event::InitDone]].concat();
    assert_eq!(after(gone_in_a_gap), (strings(&["a"]), vec![]));
}

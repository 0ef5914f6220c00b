use std::time::Duration;

use serde_json::{Value, json};

use super::*;
use crate::decide::failure::Disposition;

fn allowed(fields: Value) -> Allowed {
    Allowed::read(serde_json::from_value::<Option<AllowedNamespaces>>(fields).unwrap().as_ref())
}

fn key() -> ProjectKey {
    ProjectKey { kind: ProjectKind::ClusterMeshAgentProject, namespace: None, name: "default".into() }
}

/// A project that was connected once, for these namespaces.
fn offer<'a>(failure: Option<&'a Failure>, allowed: &'a Allowed) -> Offer<'a> {
    Offer { connected: true, failure, answers: false, allowed, adoption: &Allowed::Own }
}

fn red() -> Labels {
    Labels::from([("team".to_owned(), "red".to_owned())])
}

/// Why a client of namespace `shop`, whose labels are these, may not use a project; `None`: nothing may be said.
fn refusal(offer: Offer<'_>, labels: Option<&Labels>, deleting: bool) -> Option<Option<Reason>> {
    let user = User { namespace: "shop", labels, withheld: None, deleting };
    resolve(&key(), Some(offer), true, user).map(|access| access.failure.map(|failure| failure.reason))
}

#[test]
fn a_project_that_does_not_exist_is_named_with_what_to_do() {
    let own =
        ProjectKey { kind: ProjectKind::MeshAgentProject, namespace: Some("shop".to_owned()), name: "mine".into() };
    let user = User { namespace: "shop", labels: None, withheld: None, deleting: false };
    for (key, named) in [(key(), "ClusterMeshAgentProject default"), (own, "MeshAgentProject shop/mine")] {
        let access = resolve(&key, None, false, user).unwrap();
        let failure = access.failure.unwrap();
        assert!(!access.may_adopt);
        assert_eq!((failure.reason, failure.disposition), (Reason::ProjectNotFound, Disposition::Wait));
        assert!(failure.message.contains(named) && failure.message.contains("create it"), "{}", failure.message);
    }
    assert_eq!(resolve(&key(), None, true, user), None, "nothing is said of one that was not checked yet");
}

#[test]
fn a_project_that_went_unnoticed_is_not_used_any_more() {
    let everywhere = allowed(json!({ "selector": {} }));
    let user = User { namespace: "shop", labels: None, withheld: None, deleting: false };
    let gone = resolve(&key(), Some(offer(None, &everywhere)), false, user).unwrap();
    assert_eq!(gone.failure.map(|failure| failure.reason), Some(Reason::ProjectNotFound));
}

#[test]
fn namespaces_are_allowed_by_name_or_label_and_left_out_means_none() {
    let cases = [
        (json!(null), [false, false]),
        (json!({}), [false, false]),
        (json!({ "names": ["shop"] }), [true, true]),
        (json!({ "names": ["bar"] }), [false, false]),
        (json!({ "selector": { "matchLabels": { "team": "red" } } }), [true, false]),
        (json!({ "selector": { "matchExpressions": [{ "key": "team", "operator": "DoesNotExist" }] } }), [false, true]),
        (json!({ "names": ["shop"], "selector": { "matchLabels": { "team": "blue" } } }), [true, true]),
        (json!({ "selector": {} }), [true, true]),
    ];
    for (fields, wanted) in cases {
        let (may_use, labels) = (allowed(fields.clone()), [red(), Labels::new()]);
        let granted = |labels: &Labels| refusal(offer(None, &may_use), Some(labels), false) == Some(None);
        assert_eq!(labels.each_ref().map(granted), wanted, "{fields}");
    }
}

#[test]
fn a_refused_namespace_is_told_how_it_is_allowed_and_may_still_delete() {
    let nobody = allowed(json!(null));
    let access = |deleting| {
        let user = User { namespace: "shop", labels: None, withheld: None, deleting };
        resolve(&key(), Some(offer(None, &nobody)), true, user).unwrap()
    };
    let failure = access(false).failure.unwrap();
    assert_eq!((failure.reason, failure.disposition), (Reason::NamespaceNotAllowed, Disposition::Wait));
    for part in ["namespace shop", "left out means none", "selector: {} means all"] {
        assert!(failure.message.contains(part), "{}", failure.message);
    }
    assert_eq!(access(true).failure, None);
}

#[test]
fn who_may_adopt_is_asked_of_the_project_apart_from_who_may_use_it() {
    let everywhere = allowed(json!({ "selector": {} }));
    let may_adopt = |adoption: &Allowed, labels: Option<&Labels>| {
        let user = User { namespace: "shop", labels, withheld: None, deleting: false };
        resolve(&key(), Some(Offer { adoption, ..offer(None, &everywhere) }), true, user).unwrap().may_adopt
    };
    let by_label = allowed(json!({ "selector": { "matchLabels": { "team": "red" } } }));
    assert!(!may_adopt(&allowed(json!(null)), Some(&red())), "left out means nobody");
    assert!(may_adopt(&by_label, Some(&red())));
    assert!(!may_adopt(&by_label, None), "labels that are not known match nothing");
    assert!(may_adopt(&Allowed::Own, None), "a project of a namespace lets it adopt");
}

#[test]
fn a_namespace_whose_labels_are_not_known_yet_is_not_refused() {
    let by_label = allowed(json!({ "selector": { "matchLabels": { "team": "red" } } }));
    let by_name = allowed(json!({ "names": ["shop"], "selector": { "matchLabels": { "team": "red" } } }));
    assert_eq!(refusal(offer(None, &by_label), None, false), None);
    assert_eq!(refusal(offer(None, &by_name), None, false), Some(None), "its name is enough");
    assert_eq!(refusal(offer(None, &by_label), None, true), Some(None), "nobody asks when it is deleted");
}

#[test]
fn each_failure_of_a_project_reaches_its_users_as_it_is_unless_it_is_about_its_spec() {
    let failures = [
        Failure::wait(Reason::ProjectNotReady, "m"),
        Failure::wait(Reason::CredentialsNotFound, "m"),
        Failure::wait(Reason::ProjectDisabled, "m"),
        Failure::stalled(Reason::AuthenticationFailed, "m"),
        Failure::stalled(Reason::PermissionDenied, "m"),
        Failure::stalled(Reason::ProjectMismatch, "m"),
        Failure::retry(Reason::APIUnavailable, "m"),
        Failure {
            disposition: Disposition::Retry(Some(Duration::from_secs(9))),
            ..Failure::retry(Reason::RateLimited, "m")
        },
    ];
    let everywhere = allowed(json!({ "selector": {} }));
    let told = |failure: &Failure| {
        let user = User { namespace: "shop", labels: None, withheld: None, deleting: false };
        resolve(&key(), Some(offer(Some(failure), &everywhere)), true, user).unwrap().failure
    };
    for failure in failures {
        assert_eq!(told(&failure), Some(failure));
    }
    for reason in [Reason::InvalidSpec, Reason::RejectedByAPI] {
        let message =
            format!("ClusterMeshAgentProject default cannot be used ({}): spec.apiUrl is wrong", reason.as_str());
        let waits = Failure::wait(Reason::ProjectNotReady, message);
        assert_eq!(told(&Failure::stalled(reason, "spec.apiUrl is wrong")), Some(waits));
    }
}

#[test]
fn the_last_connection_cleans_up_while_key_or_object_is_away_but_not_with_a_key_that_no_longer_works() {
    let everywhere = allowed(json!({ "selector": {} }));
    let missing = Failure::wait(Reason::CredentialsNotFound, "m");
    let refused = Failure::stalled(Reason::AuthenticationFailed, "m");
    let deleting = |offer| refusal(offer, None, true);
    assert_eq!(deleting(offer(Some(&missing), &everywhere)), Some(None));
    let never = Offer { connected: false, ..offer(Some(&missing), &everywhere) };
    assert_eq!(deleting(never), Some(Some(Reason::CredentialsNotFound)));
    assert_eq!(deleting(offer(Some(&refused), &everywhere)), Some(Some(Reason::AuthenticationFailed)));
    assert_eq!(refusal(offer(Some(&missing), &everywhere), None, false), Some(Some(Reason::CredentialsNotFound)));
}

/// F26, F31.
#[test]
fn the_last_connection_cleans_up_while_its_key_is_withheld_or_another_projects_has_taken_its_place() {
    let everywhere = allowed(json!({ "selector": {} }));
    for failure in [Failure::wait(Reason::ProjectNotReady, "m"), Failure::stalled(Reason::ProjectMismatch, "m")] {
        let offer = offer(Some(&failure), &everywhere);
        assert_eq!(refusal(offer, None, true), Some(None));
        assert_eq!(refusal(offer, None, false), Some(Some(failure.reason)), "nothing is made meanwhile");
        assert_eq!(refusal(Offer { connected: false, ..offer }, None, true), Some(Some(failure.reason)));
    }
}

/// F2.
#[test]
fn what_has_a_known_id_is_deleted_while_the_listing_is_too_large_and_nothing_is_made() {
    let everywhere = allowed(json!({ "selector": {} }));
    let too_large = Failure::retry(Reason::APIUnavailable, "more than 256 MiB");
    let offer = |answers| Offer { answers, ..offer(Some(&too_large), &everywhere) };
    assert_eq!(refusal(offer(true), None, true), Some(None));
    assert_eq!(refusal(offer(true), None, false), Some(Some(Reason::APIUnavailable)));
    assert_eq!(refusal(offer(false), None, true), Some(Some(Reason::APIUnavailable)), "it does not answer");
}

/// F26.
#[test]
fn a_namespace_that_may_not_be_seen_is_neither_refused_nor_waited_for_in_silence() {
    let by_label = allowed(json!({ "selector": { "matchLabels": { "team": "red" } } }));
    let labels = red();
    let told = |labels, deleting| {
        let user = User { namespace: "shop", labels, withheld: Some("namespaces is forbidden"), deleting };
        resolve(&key(), Some(offer(None, &by_label)), true, user).unwrap().failure
    };
    let failure = told(None, false).unwrap();
    assert_eq!(failure.reason, Reason::ProjectNotReady);
    for part in ["right to list and watch namespaces", "ClusterMeshAgentProject default", "namespaces is forbidden"] {
        assert!(failure.message.contains(part), "{}", failure.message);
    }
    assert_eq!(told(Some(&labels), false), None, "its labels as last seen still count");
    assert_eq!(told(None, true), None);
}

use std::time::Duration;

use kube::api::ObjectMeta;
use kube::runtime::{reflector, watcher};
use serde_json::json;

use super::*;
use crate::meshagent::{Connection, Timeouts};

fn namespace(name: &str, labels: &[(&str, &str)]) -> PartialObjectMeta<Namespace> {
    let labels = labels.iter().map(|(key, value)| ((*key).to_owned(), (*value).to_owned())).collect();
    let metadata = ObjectMeta { name: Some(name.to_owned()), labels: Some(labels), ..ObjectMeta::default() };
    PartialObjectMeta { metadata, ..PartialObjectMeta::default() }
}

/// Projects in a cluster whose namespaces `shop` (label team=red) and `bar` are known.
fn projects() -> Projects {
    let (namespaces, mut writer) = reflector::store();
    writer.apply_watcher_event(&watcher::Event::Apply(namespace("shop", &[("team", "red")])));
    writer.apply_watcher_event(&watcher::Event::Apply(namespace("bar", &[])));
    Projects::new(namespaces)
}

fn project() -> Arc<Project> {
    // Another test may have been first.
    let _ = rustls::crypto::ring::default_provider().install_default();
    let api_key = ApiKey::new("ma-the-key-of-the-test").unwrap();
    let api = MeshAgent::new(Connection {
        base_url: "https://api.example".parse().unwrap(),
        project_id: "p1".to_owned(),
        key: api_key.clone(),
        ca_bundle: None,
        proxy: None,
        timeouts: Timeouts::default(),
        observer: Arc::new(|_| ()),
        gate: Arc::new(|| true),
    })
    .unwrap();
    Arc::new(Project {
        api,
        api_key,
        ca_bundle: None,
        project_id: "p1".to_owned(),
        authorize_url: "https://api.example/oauth/authorize".to_owned(),
        token_url: "https://api.example/oauth/token".to_owned(),
        snapshot: Arc::default(),
    })
}

fn allowed(fields: serde_json::Value) -> Allowed {
    let fields: Option<AllowedNamespaces> = serde_json::from_value(fields).unwrap();
    Allowed::read(fields.as_ref())
}

fn everywhere() -> Allowed {
    allowed(json!({ "selector": {} }))
}

fn key() -> ProjectKey {
    ProjectKey { kind: ProjectKind::ClusterMeshAgentProject, namespace: None, name: "default".to_owned() }
}

fn client(namespace: &str) -> OAuthClient {
    let mut object = OAuthClient::new("web", crate::api::OAuthClientSpec::default());
    object.metadata.namespace = Some(namespace.to_owned());
    object
}

fn known(failure: Option<Failure>) -> Known {
    Known { project: Some(project()), failure, allowed: everywhere(), adoption: Allowed::read(None) }
}

/// What stands in the way of a client in this namespace; `Ok` if nothing does.
fn hindrance(projects: &Projects, object: &OAuthClient, deleting: bool) -> Result<(), Failure> {
    let resolution = projects.resolve(object, deleting, true).expect("the project was looked at");
    resolution.failure.map_or(Ok(()), Err)
}

fn reason(projects: &Projects, namespace: &str, deleting: bool) -> Option<Reason> {
    hindrance(projects, &client(namespace), deleting).err().map(|failure| failure.reason)
}

#[test]
fn nothing_is_said_of_a_project_that_is_declared_but_was_not_looked_at() {
    assert!(projects().resolve(&client("shop"), false, true).is_none());
}

#[test]
fn a_project_that_does_not_exist_is_named_with_what_to_do() {
    let mut own = client("shop");
    own.spec.project_ref = Some(serde_json::from_value(json!({ "kind": "MeshAgentProject", "name": "mine" })).unwrap());
    for (object, named) in [(client("shop"), "ClusterMeshAgentProject default"), (own, "MeshAgentProject shop/mine")] {
        let failure = projects().resolve(&object, false, false).unwrap().failure.unwrap();
        assert_eq!((failure.reason, failure.disposition), (Reason::ProjectNotFound, Disposition::Wait));
        assert!(failure.message.contains(named) && failure.message.contains("create it"), "{}", failure.message);
    }
}

#[test]
fn a_project_that_went_unnoticed_is_not_used_any_more() {
    let projects = projects();
    projects.put(&key(), known(None));
    let gone = projects.resolve(&client("shop"), false, false).unwrap();
    assert_eq!(gone.failure.map(|failure| failure.reason), Some(Reason::ProjectNotFound));
}

#[test]
fn namespaces_are_allowed_by_name_or_label_and_left_out_means_none() {
    let cases = [
        (json!(null), [false, false]),
        (json!({}), [false, false]),
        (json!({ "names": ["bar"] }), [false, true]),
        (json!({ "selector": { "matchLabels": { "team": "red" } } }), [true, false]),
        (json!({ "selector": { "matchExpressions": [{ "key": "team", "operator": "DoesNotExist" }] } }), [false, true]),
        (json!({ "names": ["bar"], "selector": { "matchLabels": { "team": "red" } } }), [true, true]),
        (json!({ "selector": {} }), [true, true]),
        (json!({ "selector": { "matchExpressions": [{ "key": "team", "operator": "Like" }] } }), [false, false]),
    ];
    for (fields, wanted) in cases {
        let projects = projects();
        projects.put(&key(), Known { allowed: allowed(fields.clone()), ..known(None) });
        assert_eq!(["shop", "bar"].map(|name| reason(&projects, name, false).is_none()), wanted, "{fields}");
    }
}

#[test]
fn a_refused_namespace_is_told_how_it_is_allowed_and_may_still_delete() {
    let projects = projects();
    projects.put(&key(), known(None));
    assert!(projects.allow(&key(), Allowed::read(None), Allowed::read(None)));
    assert!(!projects.allow(&key(), Allowed::read(None), Allowed::read(None)), "nothing has changed");
    let failure = hindrance(&projects, &client("shop"), false).unwrap_err();
    assert_eq!((failure.reason, failure.disposition), (Reason::NamespaceNotAllowed, Disposition::Wait));
    for part in ["namespace shop", "left out means none", "selector: {} means all"] {
        assert!(failure.message.contains(part), "{}", failure.message);
    }
    assert_eq!(reason(&projects, "shop", true), None);
}

#[test]
fn who_may_adopt_is_asked_of_the_project_apart_from_who_may_use_it() {
    let projects = projects();
    let by_label = || allowed(json!({ "names": ["bar"], "selector": { "matchLabels": { "team": "red" } } }));
    let may_adopt = |namespace| projects.resolve(&client(namespace), false, true).unwrap().may_adopt;
    projects.put(&key(), known(None));
    assert_eq!(["shop", "bar", "new"].map(may_adopt), [false; 3], "left out means nobody");
    assert!(projects.allow(&key(), everywhere(), by_label()), "users are told");
    assert_eq!(["shop", "bar", "new"].map(may_adopt), [true, true, false], "labels that are not known match nothing");
    assert!(!projects.allow(&key(), everywhere(), by_label()), "nothing has changed");
}

#[test]
fn a_project_of_a_namespace_lets_it_adopt() {
    let projects = projects();
    let mut object = client("shop");
    object.spec.project_ref =
        Some(serde_json::from_value(json!({ "kind": "MeshAgentProject", "name": "mine" })).unwrap());
    projects.put(&ProjectKey::of(&object), Known { allowed: Allowed::Own, adoption: Allowed::Own, ..known(None) });
    assert!(projects.resolve(&object, false, true).unwrap().may_adopt);
}

#[test]
fn a_namespace_whose_labels_are_not_known_yet_is_not_refused() {
    let projects = projects();
    let by_label = allowed(json!({ "names": ["named"], "selector": { "matchLabels": { "team": "red" } } }));
    projects.put(&key(), Known { allowed: by_label, ..known(None) });
    assert!(projects.resolve(&client("new"), false, true).is_none());
    assert_eq!(reason(&projects, "named", false), None, "its name is enough");
    assert_eq!(reason(&projects, "new", true), None, "nobody asks when it is deleted");
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
    for failure in failures {
        let projects = projects();
        projects.put(&key(), known(Some(failure.clone())));
        assert_eq!(hindrance(&projects, &client("shop"), false), Err(failure));
    }
    for reason in [Reason::InvalidSpec, Reason::RejectedByAPI] {
        let projects = projects();
        projects.put(&key(), known(Some(Failure::stalled(reason, "spec.apiUrl is wrong"))));
        let message =
            format!("ClusterMeshAgentProject default cannot be used ({}): spec.apiUrl is wrong", reason.as_str());
        let told = Failure::wait(Reason::ProjectNotReady, message);
        assert_eq!(hindrance(&projects, &client("shop"), false), Err(told));
    }
}

#[test]
fn the_last_connection_cleans_up_while_key_or_object_is_away_but_makes_nothing() {
    let projects = projects();
    projects.put(&key(), known(Some(Failure::wait(Reason::CredentialsNotFound, "m"))));
    assert_eq!(reason(&projects, "shop", true), None);
    assert_eq!(reason(&projects, "shop", false), Some(Reason::CredentialsNotFound));
    projects.gone(&key(), true);
    let deletion = projects.resolve(&client("shop"), true, false).unwrap();
    assert!(deletion.project.is_some() && deletion.failure.is_none(), "{deletion:?}");
    assert_eq!(reason(&projects, "shop", false), Some(Reason::ProjectNotFound));
}

#[test]
fn a_key_that_no_longer_works_is_not_passed_over_in_a_deletion() {
    let projects = projects();
    projects.put(&key(), known(Some(Failure::stalled(Reason::AuthenticationFailed, "m"))));
    assert_eq!(reason(&projects, "shop", true), Some(Reason::AuthenticationFailed));
}

#[test]
fn nothing_is_kept_of_a_project_that_is_gone_and_that_nobody_uses() {
    let projects = projects();
    projects.put(&key(), known(None));
    projects.gone(&key(), false);
    assert!(projects.get(&key()).is_none());
}

#[test]
fn users_are_told_of_an_outage_once_and_in_one_wording() {
    let projects = projects();
    let outage = |message: &str| known(Some(Failure::retry(Reason::APIUnavailable, message)));
    assert!(projects.put(&key(), known(None)), "known for the first time");
    assert!(projects.put(&key(), outage("503, request 1")));
    assert!(!projects.put(&key(), outage("503, request 2")));
    let told = hindrance(&projects, &client("shop"), false).unwrap_err();
    assert_eq!(told.message, "503, request 1");
    let missing = |message: &str| known(Some(Failure::wait(Reason::CredentialsNotFound, message)));
    assert!(projects.put(&key(), missing("no Secret")));
    assert!(projects.put(&key(), missing("no data key")), "what people have to do has changed");
    assert!(projects.put(&key(), known(None)));
    assert!(!projects.put(&key(), known(None)));
}

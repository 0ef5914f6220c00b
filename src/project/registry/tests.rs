use kube::api::ObjectMeta;
use kube::runtime::{reflector, watcher};
use serde_json::json;

use super::*;
use crate::api::Reason;
use crate::api::project::AllowedNamespaces;
use crate::decide::project::reference::ProjectKind;
use crate::meshagent::{Connection, MeshAgent, Timeouts};
use crate::secret::ApiKey;

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
    Projects::new(namespaces, Register::new(std::time::Duration::from_secs(600)))
}

fn project() -> Arc<ProjectClient> {
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
    Arc::new(ProjectClient {
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
    Allowed::read(serde_json::from_value::<Option<AllowedNamespaces>>(fields).unwrap().as_ref())
}

fn nobody() -> Allowed {
    allowed(json!(null))
}

fn by_label() -> Allowed {
    allowed(json!({ "selector": { "matchLabels": { "team": "red" } } }))
}

fn key() -> ProjectKey {
    ProjectKey { kind: ProjectKind::ClusterMeshAgentProject, namespace: None, name: "default".into() }
}

fn client(namespace: &str) -> OAuthClient {
    let mut object = OAuthClient::new("web", crate::api::OAuthClientSpec::default());
    object.metadata.namespace = Some(namespace.to_owned());
    object
}

fn known(failure: Option<Failure>) -> ProjectState {
    let everybody = allowed(json!({ "selector": {} }));
    ProjectState { project: Some(project()), failure, answers: false, allowed: everybody, adoption: nobody() }
}

/// What stands in the way of a client in this namespace; `Ok` if nothing does.
fn hindrance(projects: &Projects, object: &OAuthClient, deleting: bool) -> Result<(), Failure> {
    let resolution = projects.resolve(object, deleting, true).expect("the project was checked");
    resolution.failure.map_or(Ok(()), Err)
}

fn reason(projects: &Projects, namespace: &str, deleting: bool) -> Option<Reason> {
    hindrance(projects, &client(namespace), deleting).err().map(|failure| failure.reason)
}

#[test]
fn nothing_is_said_of_a_project_that_is_declared_but_was_not_checked() {
    assert!(projects().resolve(&client("shop"), false, true).is_none());
}

#[test]
fn who_may_use_a_project_and_who_may_adopt_count_at_once_and_users_are_told_of_a_change() {
    let projects = projects();
    projects.put(&key(), known(None));
    assert_eq!(reason(&projects, "shop", false), None);
    assert!(projects.allow(&key(), nobody(), nobody()));
    assert_eq!(reason(&projects, "shop", false), Some(Reason::NamespaceNotAllowed));
    assert!(!projects.allow(&key(), nobody(), nobody()), "nothing has changed");
    assert!(projects.allow(&key(), by_label(), by_label()), "users are told");
    let may_adopt = |namespace| projects.resolve(&client(namespace), true, true).unwrap().may_adopt;
    assert_eq!(["shop", "bar", "new"].map(may_adopt), [true, false, false], "labels that are not known match nothing");
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

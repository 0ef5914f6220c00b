use std::collections::BTreeSet;
use std::net::SocketAddr;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::sync::{Arc, Mutex};

use axum::Router;
use axum::http::{Method, StatusCode, Uri};
use axum::response::{IntoResponse, Response};
use kube::runtime::{reflector, watcher};
use serde_json::{Value, json};
use tokio::net::TcpListener;

use super::*;
use crate::decide::client::observed::RemoteClient;
use crate::decide::id::{ClusterId, Token, Uid};
use crate::decide::marker::Origin;
use crate::decide::project::spec::OrphanPolicy;
use crate::decide::settings::Settings;
use crate::kubernetes::readable::UnreadableObjects;
use crate::meshagent::{Connection, MeshAgent, Timeouts};
use crate::project::PackedClient;
use crate::secret::ApiKey;

mod absence;

const NOW: i64 = 1_000_000;
const MIN_AGE: Duration = Duration::from_secs(100);
const OBJECT: &str = "GET /apis/meshagent.com/v1alpha1/namespaces/shop/oauthclients/web";
const SECRET: &str = "GET /api/v1/namespaces/shop/secrets/web-oauth";
const SECRETS: &str = "GET /api/v1/namespaces/shop/secrets";
const CRD: &str = "GET /apis/apiextensions.k8s.io/v1/customresourcedefinitions";

fn at(second: i64) -> Timestamp {
    Timestamp::from_second(second).unwrap()
}

fn delete(client_id: &str) -> String {
    format!("DELETE /accounts/projects/p1/oauth/clients/{client_id}")
}

/// An API server and a MeshAgent on one port: answers by method and path, and a record of what was asked. All else is
/// answered by a bare 404, as of a proxy.
#[derive(Clone, Default)]
struct World {
    answers: Arc<Mutex<BTreeMap<String, (u16, Value)>>>,
    calls: Arc<Mutex<Vec<String>>>,
}

impl World {
    fn says(self, call: &str, status: u16, body: Value) -> Self {
        self.answers.lock().unwrap().insert(call.to_owned(), (status, body));
        self
    }

    fn answer(&self, method: &Method, uri: &Uri) -> Response {
        let call = format!("{method} {}", uri.path());
        let answer = self.answers.lock().unwrap().get(&call).cloned();
        self.calls.lock().unwrap().push(call);
        match answer {
            Some((status, body)) => (StatusCode::from_u16(status).unwrap(), axum::Json(body)).into_response(),
            None if method == Method::DELETE => StatusCode::NO_CONTENT.into_response(),
            None => (StatusCode::NOT_FOUND, "404 page not found").into_response(),
        }
    }

    async fn serve(&self) -> SocketAddr {
        let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
        let (address, world) = (listener.local_addr().unwrap(), self.clone());
        let app = Router::new().fallback(async move |method: Method, uri: Uri| world.answer(&method, &uri));
        tokio::spawn(async move { axum::serve(listener, app).await });
        address
    }

    fn calls(&self) -> Vec<String> {
        self.calls.lock().unwrap().clone()
    }
}

/// What an API server with the CRD says to a name that it does not know.
fn not_found(kind: &str, group: &str, name: &str) -> Value {
    json!({
        "kind": "Status", "apiVersion": "v1", "metadata": {}, "status": "Failure", "reason": "NotFound", "code": 404,
        "message": format!("{kind} \"{name}\" not found"),
        "details": { "name": name, "group": group, "kind": kind },
    })
}

/// A listing of the CRD by its name, which shows these.
fn crds(items: &[Value]) -> Value {
    json!({ "apiVersion": "apiextensions.k8s.io/v1", "kind": "CustomResourceDefinitionList", "metadata": {}, "items": items })
}

fn crd(conditions: &[(&str, &str)]) -> Value {
    let condition = |(type_, status): &(&str, &str)| json!({ "type": type_, "status": status, "lastTransitionTime": null, "reason": "r", "message": "m" });
    json!({
        "metadata": { "name": "oauthclients.meshagent.com" },
        "spec": {
            "group": "meshagent.com", "scope": "Namespaced", "versions": [],
            "names": { "kind": "OAuthClient", "plural": "oauthclients" },
        },
        "status": { "conditions": conditions.iter().map(condition).collect::<Vec<_>>() },
    })
}

/// A cluster that keeps OAuthClients but not `web`.
fn without_object() -> World {
    World::default()
        .says(OBJECT, 404, not_found("oauthclients", "meshagent.com", "web"))
        .says(CRD, 200, crds(&[crd(&[("Established", "True")])]))
        .says(SECRETS, 200, secrets(&[]))
}

/// The metadata of these Secrets.
fn secrets(metadata: &[Value]) -> Value {
    let item =
        |metadata| json!({ "apiVersion": "meta.k8s.io/v1", "kind": "PartialObjectMetadata", "metadata": metadata });
    json!({
        "apiVersion": "meta.k8s.io/v1",
        "kind": "PartialObjectMetadataList",
        "metadata": { "resourceVersion": "9" },
        "items": metadata.iter().map(item).collect::<Vec<_>>(),
    })
}

fn object(uid: &str, client_id: &str) -> Value {
    json!({
        "apiVersion": "meshagent.com/v1alpha1",
        "kind": "OAuthClient",
        "metadata": {
            "name": "web", "namespace": "shop", "uid": uid, "resourceVersion": "7",
            "annotations": {
                "meshagent.com/create-token": format!("{uid}.new"),
                "meshagent.com/unknown-tokens": format!("{uid}.lost"),
            },
        },
        "spec": {},
        "status": { "clientId": client_id, "secretResourceVersion": "8" },
    })
}

fn secret(uid: &str, client_id: &str) -> Value {
    json!({
        "apiVersion": "v1",
        "kind": "Secret",
        "metadata": {
            "name": "web-oauth", "namespace": "shop", "resourceVersion": "8",
            "annotations": {
                "meshagent.com/owner-uid": uid,
                "meshagent.com/create-token": format!("{uid}.new"),
                "meshagent.com/client-id": client_id,
            },
        },
    })
}

/// A cluster in which the object of the marker is at rest, with another client.
fn at_rest() -> World {
    World::default().says(OBJECT, 200, object("u", "current")).says(SECRET, 200, secret("u", "current"))
}

fn marker(random: &str) -> Marker {
    let uid = Uid::new("u");
    Marker {
        token: Token::mint(&uid, random),
        policy: Policy::Delete,
        origin: Origin::Created,
        retained: false,
        owner: Owner { cluster: ClusterId::new("c"), namespace: "shop".into(), name: "web".into(), uid },
    }
}

fn listing(clients: impl IntoIterator<Item = (&'static str, Marker)>) -> Listing {
    let client = |marker| RemoteClient { settings: Settings::default(), marker: Some(marker) };
    let client = |marker| Arc::new(PackedClient::new(client(marker)));
    clients.into_iter().map(|(id, marker)| (ClientId::new(id), client(marker))).collect()
}

fn orphan(client_id: &str, since: i64) -> Orphan {
    let (namespace, name) = ("shop".to_owned(), "web".to_owned());
    Orphan { client_id: client_id.to_owned(), namespace, name, since: Time(at(since)) }
}

fn rule(policy: OrphanPolicy) -> Orphans {
    Orphans { policy, min_age: MIN_AGE }
}

fn project(address: SocketAddr, listing: &Listing) -> ProjectClient {
    // Another test may have been first.
    let _ = rustls::crypto::ring::default_provider().install_default();
    let api_key = ApiKey::new("ma-the-key-of-the-test").unwrap();
    let api = MeshAgent::new(Connection {
        base_url: format!("http://{address}").parse().unwrap(),
        project_id: "p1".to_owned(),
        key: api_key.clone(),
        ca_bundle: None,
        proxy: None,
        timeouts: Timeouts::default(),
        observer: Arc::new(|_| ()),
        gate: Arc::new(|| true),
    })
    .unwrap();
    let snapshot = crate::project::Snapshot::default();
    for (id, client) in listing {
        snapshot.wrote(id, client.unpack().unwrap());
    }
    ProjectClient {
        api,
        api_key,
        ca_bundle: None,
        project_id: "p1".to_owned(),
        authorize_url: String::new(),
        token_url: String::new(),
        snapshot: Arc::new(snapshot),
    }
}

fn kubernetes(address: SocketAddr) -> Client {
    let mut config = kube::Config::new(format!("http://{address}").parse().unwrap());
    config.default_retry = false;
    Client::try_from(config).unwrap()
}

/// One sweep over these clients, with what was known before and what is cached.
async fn sweep_with(world: &World, listing: &Listing, known: &[Orphan], cached: Option<Value>, rule: Orphans) -> Swept {
    let address = world.serve().await;
    let project = project(address, listing);
    let (objects, mut writer) = reflector::store();
    if let Some(cached) = cached {
        writer.apply_watcher_event(&watcher::Event::Apply(serde_json::from_value(cached).unwrap()));
    }
    let (requests, cluster, namespaces) = (kubernetes(address), ClusterId::new("c"), ["shop".to_owned()]);
    let users = Users::new(vec![objects], UnreadableObjects::default());
    let scope = Scope { cluster: &cluster, namespaces: &namespaces };
    let sweep = Sweep { requests: &requests, users: &users, scope, clock: ClockState::Right, now: at(NOW) };
    let swept = sweep.sweep(&project, listing, known, rule).await;
    let deleted: BTreeSet<String> = world.calls().into_iter().filter(|call| call.starts_with("DELETE")).collect();
    for id in listing.keys().filter(|id| deleted.contains(&delete(id.as_str()))) {
        let left = swept.orphans.iter().any(|orphan| orphan.client_id == id.as_str());
        assert_eq!(project.snapshot.holds(id), left, "{id}: the snapshot knows of the deletion");
    }
    swept
}

async fn sweep(world: &World, listing: &Listing, known: &[Orphan]) -> Swept {
    sweep_with(world, listing, known, None, rule(OrphanPolicy::Delete)).await
}

#[tokio::test]
async fn a_client_whose_object_is_gone_is_listed_first_and_deleted_when_it_is_of_age() {
    let (world, listing) = (without_object(), listing([("lost", marker("r"))]));
    let found = sweep(&world, &listing, &[]).await;
    assert_eq!(found, Swept { orphans: vec![orphan("lost", NOW)], next: Some(MIN_AGE) });
    assert_eq!(world.calls(), [OBJECT, CRD, SECRETS]);

    let (world, young) = (without_object(), orphan("lost", NOW - 99));
    let found = sweep(&world, &listing, std::slice::from_ref(&young)).await;
    assert_eq!(found, Swept { orphans: vec![young], next: Some(Duration::from_secs(1)) });

    let world = without_object();
    assert_eq!(sweep(&world, &listing, &[orphan("lost", NOW - 100)]).await, Swept::default());
    assert_eq!(world.calls(), [OBJECT, CRD, SECRETS, &delete("lost")]);
}

#[tokio::test]
async fn before_each_deletion_the_definition_is_asked_for_anew() {
    let listing = listing([("one", marker("r")), ("two", marker("s"))]);
    let world = without_object();
    let found = sweep(&world, &listing, &[orphan("one", 0), orphan("two", 0)]).await;
    assert_eq!(found, Swept::default());
    let each = |id| [OBJECT, CRD, SECRETS].map(str::to_owned).into_iter().chain([delete(id)]);
    assert_eq!(world.calls(), each("one").chain(each("two")).collect::<Vec<_>>());
}

#[tokio::test]
async fn a_client_that_its_object_retained_while_meshagent_was_away_is_marked_and_not_deleted() {
    let left = |client_id: &str| {
        json!({ "name": "renamed", "namespace": "shop", "annotations": {
            "meshagent.com/retained": "true", "meshagent.com/client-id": client_id, "meshagent.com/owner-uid": "u",
        } })
    };
    const CLIENT: &str = "/accounts/projects/p1/oauth/clients/lost";
    let mut metadata = BTreeMap::from([("theirs".to_owned(), "kept".to_owned())]);
    marker("r").write(&mut metadata);
    let world = without_object()
        .says(SECRETS, 200, secrets(&[left("lost")]))
        .says(&format!("GET {CLIENT}"), 200, json!({ "client_id": "lost", "metadata": metadata }))
        .says(&format!("PUT {CLIENT}"), 200, json!({ "ok": true }));
    let found = sweep(&world, &listing([("lost", marker("r"))]), &[orphan("lost", 0)]).await;
    assert_eq!(found, Swept::default());
    assert_eq!(world.calls()[3..], [format!("GET {CLIENT}"), format!("PUT {CLIENT}")]);

    let world = without_object().says(SECRETS, 200, secrets(&[left("another")]));
    sweep(&world, &listing([("lost", marker("r"))]), &[orphan("lost", 0)]).await;
    assert!(world.calls().contains(&delete("lost")), "the Secret speaks of another client");

    let world = without_object().says(SECRETS, 500, json!({}));
    let found = sweep(&world, &listing([("lost", marker("r"))]), &[orphan("lost", 0)]).await;
    assert_eq!(found.orphans, [orphan("lost", 0)], "not known");
}

#[tokio::test]
async fn an_object_of_another_uid_is_not_the_one_of_the_marker() {
    let world = without_object().says(OBJECT, 200, object("another", "current"));
    let found = sweep(&world, &listing([("lost", marker("r"))]), &[]).await;
    assert_eq!(found.orphans, [orphan("lost", NOW)]);
}

#[tokio::test]
async fn what_the_next_object_of_that_name_adopts_or_has_is_no_orphan() {
    let mut adopting = object("another", "current");
    adopting["spec"]["adopt"] = json!({ "clientId": "lost" });
    for heir in [adopting, object("another", "lost")] {
        let world = without_object().says(OBJECT, 200, heir);
        let found = sweep(&world, &listing([("lost", marker("r"))]), &[orphan("lost", 0)]).await;
        assert_eq!(found, Swept::default());
        assert!(!world.calls().contains(&delete("lost")));
    }
}

#[tokio::test]
async fn beside_an_object_at_rest_a_lost_answers_client_goes_at_once_and_others_when_of_age() {
    let world = at_rest();
    let clients = [("current", marker("new")), ("late", marker("lost")), ("strange", marker("other"))];
    let found = sweep(&world, &listing(clients), &[]).await;
    assert_eq!(found, Swept { orphans: vec![orphan("strange", NOW)], next: Some(MIN_AGE) });
    assert!(world.calls().contains(&delete("late")));
    assert_eq!(world.calls().iter().filter(|call| call.starts_with("DELETE")).count(), 1);
}

#[tokio::test]
async fn an_object_that_is_not_at_rest_or_being_deleted_keeps_what_it_has() {
    let mut going = object("u", "current");
    going["metadata"]["deletionTimestamp"] = json!("2026-01-01T00:00:00Z");
    going["metadata"]["finalizers"] = json!(["meshagent.com/oauth-client"]);
    let worlds = [
        at_rest().says(SECRET, 404, not_found("secrets", "", "web-oauth")),
        at_rest().says(SECRET, 200, secret("u", "next")),
        at_rest().says(SECRET, 200, secret("another", "current")),
        at_rest().says(OBJECT, 200, going),
    ];
    for (case, world) in worlds.into_iter().enumerate() {
        let clients = listing([("late", marker("lost"))]);
        assert_eq!(sweep(&world, &clients, &[orphan("late", 0)]).await, Swept::default(), "case {case}");
        assert!(!world.calls().contains(&delete("late")), "case {case}");
    }
}

#[tokio::test]
async fn nothing_is_asked_about_a_client_that_is_none_of_the_sweeps_business() {
    let owned = |change: &dyn Fn(&mut Owner)| {
        let mut marker = marker("r");
        change(&mut marker.owner);
        marker
    };
    let clients = listing([
        ("another cluster's", owned(&|owner| owner.cluster = ClusterId::new("d"))),
        ("out of scope", owned(&|owner| owner.namespace = "elsewhere".to_owned())),
        ("adopted", Marker { origin: Origin::Adopted, ..marker("r") }),
        ("retained", Marker { retained: true, ..marker("r") }),
        ("to be retained", Marker { policy: Policy::Retain, ..owned(&|owner| owner.name = "gone".to_owned()) }),
        ("unnamable", owned(&|owner| owner.name = "../../secrets/key".to_owned())),
        ("unnamed", owned(&|owner| owner.name = String::new())),
        ("current", marker("r")),
    ]);
    let world = without_object();
    let cached = Some(object("u", "current"));
    let found = sweep_with(&world, &clients, &[], cached, rule(OrphanPolicy::Delete)).await;
    assert_eq!(found, Swept::default());
    assert_eq!(world.calls(), [""; 0]);
}

#[tokio::test]
async fn orphans_are_only_reported_if_the_project_wants_it_so() {
    let (world, clients) = (without_object(), listing([("lost", marker("r"))]));
    let found = sweep_with(&world, &clients, &[orphan("lost", 1)], None, rule(OrphanPolicy::Report)).await;
    assert_eq!(found, Swept { orphans: vec![orphan("lost", 1)], next: None });
    assert_eq!(world.calls(), [OBJECT, CRD, SECRETS]);
}

#[tokio::test]
async fn the_oldest_come_first_and_count_from_when_they_were_first_seen() {
    let clients = listing([("a", marker("r")), ("b", marker("s")), ("c", marker("t"))]);
    let known = [orphan("c", NOW - 20), orphan("b", NOW - 10), orphan("c", NOW - 50)];
    let found = sweep(&without_object(), &clients, &known).await;
    assert_eq!(found.orphans, [orphan("c", NOW - 50), orphan("b", NOW - 10), orphan("a", NOW)]);
    assert_eq!(found.next, Some(Duration::from_secs(50)));
}

#[tokio::test]
async fn a_deletion_that_fails_is_tried_a_minute_later_and_holds_up_no_others_meanwhile() {
    let clients = listing([("one", marker("r")), ("two", marker("s"))]);
    let known = [orphan("one", 1), orphan("two", 2)];
    let world = without_object().says(&delete("one"), 403, json!({}));
    let found = sweep(&world, &clients, &known).await;
    assert_eq!(found, Swept { orphans: known.to_vec(), next: Some(RETRY) });
    assert!(!world.calls().contains(&delete("two")), "the same key would be refused again");
}

#[tokio::test]
async fn a_client_that_its_own_object_has_deleted_meanwhile_is_no_orphan() {
    let (world, clients) = (without_object(), listing([("lost", marker("r"))]));
    let address = world.serve().await;
    let project = project(address, &clients);
    project.snapshot.deleted(&ClientId::new("lost"));
    let (requests, cluster) = (kubernetes(address), ClusterId::new("c"));
    let scope = Scope { cluster: &cluster, namespaces: &[] };
    let sweep = Sweep { requests: &requests, users: &Users::default(), scope, clock: ClockState::Right, now: at(NOW) };
    assert_eq!(sweep.sweep(&project, &clients, &[], rule(OrphanPolicy::Delete)).await, Swept::default());
}

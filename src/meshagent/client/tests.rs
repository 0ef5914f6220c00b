use std::convert::identity;
use std::net::SocketAddr;
use std::sync::Mutex;
use std::time::Duration;

use serde_json::json;

use super::*;
use crate::meshagent::connection::{Gate, Observer, Timeouts};
use crate::meshagent::error::CallObservation;
use crate::meshagent::testserver::{Reply, TestServer, json as answer, status};
use crate::secret::ApiKey;

mod deadlines;
mod listing;
mod network;
mod pausing;
mod posts;
mod retries;
mod routes;
mod tls;

const KEY: &str = "ma-the-key-of-the-test";
const CLIENTS: &str = "/accounts/projects/p1/oauth/clients";

fn crypto() {
    // Another test may have been first.
    let _ = rustls::crypto::ring::default_provider().install_default();
}

fn connection(url: &str) -> Connection {
    crypto();
    Connection {
        base_url: url.parse().unwrap(),
        project_id: "p1".to_owned(),
        key: ApiKey::new(KEY).unwrap(),
        ca_bundle: None,
        proxy: None,
        timeouts: Timeouts::default(),
        observer: Arc::new(|_| ()),
        gate: Arc::new(|| true),
    }
}

fn at(address: SocketAddr) -> MeshAgent {
    MeshAgent::new(connection(&format!("http://{address}"))).unwrap()
}

/// A client for tests in which time must run out.
fn impatient(address: SocketAddr) -> MeshAgent {
    let timeouts = Timeouts {
        connect: Duration::from_millis(300),
        read: Duration::from_millis(300),
        call: Duration::from_millis(900),
        listing: Duration::from_millis(1_500),
    };
    MeshAgent::new(Connection { timeouts, ..connection(&format!("http://{address}")) }).unwrap()
}

/// An address at which nobody listens: a port that no test is given.
fn nobody() -> SocketAddr {
    ([127, 0, 0, 1], 1).into()
}

fn error(route: Route, kind: Kind, detail: &str) -> CallError {
    CallError { route, kind, detail: detail.to_owned() }
}

/// The four idempotent calls, made together, each reduced to its failure.
async fn every_idempotent_call(agent: &MeshAgent) -> [(Route, Option<CallError>); 4] {
    let patch = wire::ClientPatch::default();
    let (list, get, update, delete) = tokio::join!(
        agent.list_clients(identity),
        agent.get_client("c1"),
        agent.update_client("c1", &patch),
        agent.delete_client("c1"),
    );
    [
        (Route::ListClients, list.err()),
        (Route::GetClient, get.err()),
        (Route::UpdateClient, update.err()),
        (Route::DeleteClient, delete.err()),
    ]
}

async fn post(agent: &MeshAgent) -> Posted {
    agent.create_client(&wire::NewClient::default()).await
}

fn unknown(posted: Posted) -> (Kind, Option<String>) {
    match posted {
        Posted::Unknown { error, client_id } => (error.kind, client_id),
        Posted::Created { .. } | Posted::Rejected(_) => panic!("its outcome was known: {posted:?}"),
    }
}

fn rejected(posted: Posted) -> Kind {
    match posted {
        Posted::Rejected(error) => error.kind,
        Posted::Created { .. } | Posted::Unknown { .. } => panic!("it was not rejected: {posted:?}"),
    }
}

#[test]
fn settings_that_cannot_be_used_are_refused() {
    for project_id in ["", ".", ".."] {
        let connection = Connection { project_id: project_id.to_owned(), ..connection("https://host") };
        assert_eq!(MeshAgent::new(connection).unwrap_err(), BuildError::ProjectId);
    }
    let not_der = "-----BEGIN CERTIFICATE-----\nAAAA\n-----END CERTIFICATE-----\n";
    for bundle in ["", "no certificate", "-----BEGIN CERTIFICATE-----\nAAAA\n", not_der] {
        let connection = Connection { ca_bundle: Some(bundle.into()), ..connection("https://host") };
        assert!(matches!(MeshAgent::new(connection).unwrap_err(), BuildError::CaBundle(_)), "{bundle}");
    }
}

#[test]
fn debug_does_not_show_the_key() {
    let agent = MeshAgent::new(connection("https://host/x")).unwrap();
    assert_eq!(format!("{agent:?}"), r#"MeshAgent { base_url: "https://host/x", project_id: "p1", .. }"#);
}

#[tokio::test]
async fn what_the_server_says_is_shown_without_the_key() {
    let server = TestServer::start(|request| {
        let key = &request.headers["authorization"];
        answer(400, &json!({"message": format!("cannot use {key} here"), "client_secret": "s"}))
    });
    let shown = at(server.address).get_client("c1").await.unwrap_err().to_string();
    assert!(shown.starts_with("GET /oauth/clients/{client_id}: refused with status 400: cannot use Bearer"), "{shown}");
    assert!(!shown.contains("the-key"), "the key is shown");
}

#[tokio::test]
async fn whoever_may_not_write_sends_reads_only_and_knows_that_nothing_was_sent() {
    let server = TestServer::script(vec![|| status(404)]);
    let gate: Gate = Arc::new(|| false);
    let agent = MeshAgent::new(Connection { gate, ..connection(&format!("http://{}", server.address)) }).unwrap();
    let refused = Kind::NotSent(NotSent::NotLeader);
    assert_eq!(rejected(post(&agent).await), refused);
    assert_eq!(agent.update_client("c1", &wire::ClientPatch::default()).await.unwrap_err().kind, refused);
    assert_eq!(agent.delete_client("c1").await.unwrap_err().kind, refused);
    assert_eq!(agent.get_client("c1").await, Ok(None));
    assert_eq!(server.lines(), [format!("GET {CLIENTS}/c1")]);
}

#[tokio::test]
async fn each_attempt_is_observed_with_route_and_status() {
    let seen = Arc::new(Mutex::new(vec![]));
    let log = seen.clone();
    let observer: Observer = Arc::new(move |observation| log.lock().unwrap().push(observation));
    let server = TestServer::script(vec![|| status(503), || status(404), || Reply::Raw(vec![]), || status(429)]);
    let observed =
        MeshAgent::new(Connection { observer, ..connection(&format!("http://{}", server.address)) }).unwrap();
    assert_eq!(observed.get_client("c1").await, Ok(None));
    unknown(post(&observed).await);
    unknown(post(&observed).await);
    rejected(post(&observed).await);
    let seen: Vec<_> = seen
        .lock()
        .unwrap()
        .iter()
        .map(|CallObservation { route, status, duration }| {
            assert!(*duration < Duration::from_secs(30));
            (*route, *status)
        })
        .collect();
    let (get, post) = (Route::GetClient, Route::CreateClient);
    assert_eq!(seen, [(get, Some(503)), (get, Some(404)), (post, None), (post, Some(429))]);
}

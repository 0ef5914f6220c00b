//! A leader whose clock is not the API server's.

use std::io::Write as _;
use std::net::SocketAddr;
use std::sync::Arc;
use std::sync::atomic::{AtomicI64, Ordering};
use std::time::{Duration, SystemTime};

use axum::Router;
use axum::body::{Body, to_bytes};
use axum::extract::{Request, State};
use axum::http::HeaderValue;
use axum::http::header::DATE;
use axum::response::Response;
use harness::{Options, eventually, free_port};
use kube::Client;
use serde_json::{Value, json};

use super::fixture::{Fixture, LONG, OPERATOR, OPERATOR_GROUPS, condition, message, start_operator_at};
use super::rotation::{ask_to_rotate, client_id, ready};

const HOUR: i64 = 3600;

/// A proxy of the API server, with the operator's rights, whose answers are dated `behind` seconds back.
#[derive(Clone)]
struct Shifted {
    apiserver: Client,
    behind: Arc<AtomicI64>,
}

async fn pass_on(State(shifted): State<Shifted>, request: Request) -> Response {
    let (head, body) = request.into_parts();
    let body = to_bytes(body, usize::MAX).await.unwrap().to_vec();
    let request = axum::http::Request::from_parts(head, kube::client::Body::from(body));
    let mut answer = shifted.apiserver.send(request).await.unwrap().map(Body::new);
    let behind = Duration::from_secs(shifted.behind.load(Ordering::Relaxed).unsigned_abs());
    let date = httpdate::fmt_http_date(SystemTime::now() - behind);
    answer.headers_mut().insert(DATE, HeaderValue::try_from(date).unwrap());
    answer
}

impl Shifted {
    /// Serves until the test ends.
    async fn serve(&self) -> SocketAddr {
        let listener = tokio::net::TcpListener::bind("127.0.0.1:0").await.unwrap();
        let address = listener.local_addr().unwrap();
        let routes = Router::new().fallback(pass_on).with_state(self.clone());
        tokio::spawn(async move { axum::serve(listener, routes).await });
        address
    }
}

fn kubeconfig(address: SocketAddr) -> tempfile::NamedTempFile {
    let config = json!({
        "apiVersion": "v1",
        "kind": "Config",
        "clusters": [{ "name": "test", "cluster": { "server": format!("http://{address}") } }],
        "users": [{ "name": "nobody", "user": {} }],
        "contexts": [{ "name": "test", "context": { "cluster": "test", "user": "nobody" } }],
        "current-context": "test",
    });
    let mut file = tempfile::NamedTempFile::new().unwrap();
    file.write_all(config.to_string().as_bytes()).unwrap();
    file
}

async fn project(fixture: &Fixture, what: &str, is: impl Fn(&Value) -> bool) {
    fixture.until("cmaproj", &fixture.project_name, what, is).await;
}

/// F35.
#[tokio::test]
async fn by_a_clock_an_hour_off_nothing_is_deleted_until_it_is_set_right() {
    let orphans = json!({ "orphans": { "minAge": "2s" } });
    let mut fixture = Fixture::own_with("clock", &[], Options::default(), &orphans).await;
    fixture.stop_operator().await;
    let apiserver = fixture.control_plane.get().client_for(OPERATOR, &OPERATOR_GROUPS).await.unwrap();
    let shifted = Shifted { apiserver, behind: Arc::new(AtomicI64::new(HOUR)) };
    let (file, http) = (kubeconfig(shifted.serve().await), format!("127.0.0.1:{}", free_port().unwrap()));
    let args = ["--http-address", &http, "--resync-interval", "2s", "--leader-elect", "false"];
    fixture.operator = Some(start_operator_at(file.path().to_owned(), &args));
    project(&fixture, "it says that the clock is wrong", |object| {
        condition(object, "Ready") == "True/Ready"
            && message(object, "Ready").contains("60 min ahead of the API server")
    })
    .await;
    let (before, _) = ready(&fixture, "web", &json!({ "rotation": { "overlap": "1s" } })).await;
    ask_to_rotate(&fixture, "web", "monday").await;
    let rotated = |object: &Value| client_id(object) != client_id(&before);
    fixture.until("maoc", "web", "it is rotated", rotated).await;
    ready(&fixture, "orphan", &json!({})).await;
    let process = fixture.operator.as_ref().unwrap().process();
    // A running operator would put the finalizer back.
    process.freeze().unwrap();
    fixture.kubectl(&["patch", "maoc", "orphan", "--type=merge", "-p", r#"{"metadata":{"finalizers":null}}"#]).await;
    fixture.kubectl(&["delete", "maoc", "orphan"]).await;
    process.thaw().unwrap();
    project(&fixture, "it lists the orphan", |object| !object["status"]["orphans"].is_null()).await;
    // The overlap and the orphan's age have passed by then.
    fixture.resyncs(3).await;
    assert_eq!((fixture.remote_ids().await.len(), fixture.count("DELETE").await), (3, 0));
    let metrics = reqwest::get(format!("http://{http}/metrics")).await.unwrap().text().await.unwrap();
    let skew = metrics.lines().find_map(|line| line.strip_prefix("meshagent_operator_clock_skew_seconds "));
    let skew: f64 = skew.unwrap().parse().unwrap();
    assert!((3590.0..3601.0).contains(&skew), "{skew}");
    shifted.behind.store(0, Ordering::Relaxed);
    fixture.until_remote("former client and orphan go", |ids| ids.len() == 1).await;
    project(&fixture, "it says no more of the clock", |object| message(object, "Ready") == "the API key works").await;
    eventually(LONG, "it is logged", async || {
        let log = process.log();
        let told =
            ["more than a minute off", "agrees with the API server's again"].map(|words| log.matches(words).count());
        if told == [1, 1] { Ok(()) } else { Err(format!("{told:?}")) }
    })
    .await
    .unwrap();
}

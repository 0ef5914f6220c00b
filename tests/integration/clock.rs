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
use meshagent_operator::serving_certificate::{Bundle, Pair};
use rustls::pki_types::UnixTime;
use serde_json::{Value, json};

use super::fixture::{Fixture, LONG, OPERATOR, OPERATOR_GROUPS, SYSTEM, condition, datum, message, start_operator_at};
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

/// The certificate of the webhook that is stored, and the version of its Secret.
async fn stored(fixture: &Fixture) -> Option<(Pair, Bundle, String)> {
    let get = ["get", "secret", "certificate", "-n", SYSTEM, "--ignore-not-found", "-o", "json"];
    let secret: Value = serde_json::from_str(&fixture.kubectl.run(&get).await.unwrap()).ok()?;
    let field = |name: &str| datum(&secret, name).into_bytes();
    let pair = Pair::parse(&field("tls.crt"), &field("tls.key")).unwrap();
    Some((pair, Bundle::parse(&field("ca.crt")), secret["metadata"]["resourceVersion"].to_string()))
}

/// W3. The API server's clock counts, which is what the certificate has to please; when the clocks agree again, it is
/// renewed once.
#[tokio::test]
async fn by_a_clock_a_year_off_the_webhooks_certificate_pleases_the_api_server_all_the_same() {
    const YEAR: i64 = 365 * 24 * HOUR;
    let mut fixture = Fixture::own_with("clock", &[], Options::default(), &json!({})).await;
    fixture.stop_operator().await;
    fixture
        .apply(&json!({
            "apiVersion": "admissionregistration.k8s.io/v1", "kind": "MutatingWebhookConfiguration",
            "metadata": { "name": "webhook" },
            "webhooks": [{
                "name": "inject.meshagent.com", "admissionReviewVersions": ["v1"], "sideEffects": "None",
                "clientConfig": { "url": "https://127.0.0.1:9/inject" },
            }],
        }))
        .await;
    let apiserver = fixture.control_plane.get().admin().await.unwrap();
    let shifted = Shifted { apiserver, behind: Arc::new(AtomicI64::new(YEAR)) };
    let (file, http) = (kubeconfig(shifted.serve().await), format!("127.0.0.1:{}", free_port().unwrap()));
    let args = ["--http-address", &http, "--webhook", "webhook/certificate", "--leader-elect", "false"];
    fixture.operator = Some(start_operator_at(file.path().to_owned(), &args));
    let verifies = async |seconds_ago: i64| {
        let (pair, bundle, version) = stored(&fixture).await?;
        let at = UnixTime::now().as_secs() - seconds_ago.unsigned_abs();
        let at = UnixTime::since_unix_epoch(Duration::from_secs(at));
        pair.verify(&bundle, &[], at).is_ok().then_some(version)
    };
    let until_verified = async |seconds_ago: i64| {
        eventually(LONG, "the certificate verifies", async || verifies(seconds_ago).await.ok_or("it does not"))
            .await
            .unwrap()
    };
    until_verified(YEAR).await;
    assert_eq!(verifies(0).await, None, "it is dated by the operator's own clock");
    shifted.behind.store(0, Ordering::Relaxed);
    // Whatever is read next tells the operator the time.
    fixture.apply(&fixture.client("web", &json!({}))).await;
    let version = until_verified(0).await;
    tokio::time::sleep(Duration::from_secs(8)).await;
    assert_eq!(verifies(0).await, Some(version), "it is renewed once");
}

//! Another webhook beside ours, as meshes have one: it adds a sidecar before ours is asked, or after.

use std::sync::Arc;
use std::time::SystemTime;

use axum::routing::post;
use axum::{Json, Router};
use base64::Engine as _;
use hyper::server::conn::http1;
use hyper_util::rt::TokioIo;
use hyper_util::service::TowerToHyperService;
use meshagent_operator::serving_certificate::{Bundle, Pair, issue};
use rustls::ServerConfig;
use rustls::server::{ClientHello, ResolvesServerCert};
use rustls::sign::CertifiedKey;
use serde_json::{Value, json};
use tokio::net::TcpListener;
use tokio::task::JoinHandle;
use tokio_rustls::TlsAcceptor;

use super::replicas::Injecting;
use super::{created, pod, variables};

const BASE64: base64::engine::GeneralPurpose = base64::engine::general_purpose::STANDARD;

#[derive(Debug)]
struct Always(Arc<CertifiedKey>);

impl ResolvesServerCert for Always {
    fn resolve(&self, _: ClientHello<'_>) -> Option<Arc<CertifiedKey>> {
        Some(Arc::clone(&self.0))
    }
}

/// Adds the container `sidecar`, once.
async fn add_sidecar(Json(review): Json<Value>) -> Json<Value> {
    let request = &review["request"];
    let containers = request["object"]["spec"]["containers"].as_array().unwrap();
    let mut response = json!({ "uid": request["uid"], "allowed": true });
    if !containers.iter().any(|container| container["name"] == "sidecar") {
        let sidecar = json!({ "name": "sidecar", "image": "example.com/sidecar" });
        let patch = json!([{ "op": "add", "path": "/spec/containers/-", "value": sidecar }]).to_string();
        (response["patchType"], response["patch"]) = (json!("JSONPatch"), json!(BASE64.encode(patch)));
    }
    Json(json!({ "apiVersion": review["apiVersion"], "kind": review["kind"], "response": response }))
}

/// A webhook on this machine, and the manifest that registers it by this name: the API server asks in their order.
async fn another(name: &str) -> (JoinHandle<()>, Value) {
    let issued = issue(&["127.0.0.1".to_owned()], SystemTime::now()).unwrap();
    let pair = Pair::parse(issued.certificate.as_bytes(), issued.key.as_bytes()).unwrap();
    let tls = ServerConfig::builder().with_no_client_auth().with_cert_resolver(Arc::new(Always(pair.presented())));
    let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
    let url = format!("https://{}/", listener.local_addr().unwrap());
    let (acceptor, routes) = (TlsAcceptor::from(Arc::new(tls)), Router::new().route("/", post(add_sidecar)));
    let server = tokio::spawn(async move {
        while let Ok((stream, _)) = listener.accept().await {
            let (acceptor, routes) = (acceptor.clone(), routes.clone());
            tokio::spawn(async move {
                if let Ok(stream) = acceptor.accept(stream).await {
                    let service = TowerToHyperService::new(routes);
                    // The API server ends it.
                    let _ = http1::Builder::new().serve_connection(TokioIo::new(stream), service).await;
                }
            });
        }
    });
    let authority: Bundle = [issued.authority].into_iter().collect();
    let manifest = json!({
        "apiVersion": "admissionregistration.k8s.io/v1", "kind": "MutatingWebhookConfiguration", "metadata": { "name": name },
        "webhooks": [{
            "name": format!("{name}.example.com"), "admissionReviewVersions": ["v1"], "sideEffects": "None",
            "clientConfig": { "url": url, "caBundle": BASE64.encode(authority.pem()) },
            "reinvocationPolicy": "IfNeeded",
            "namespaceSelector": { "matchLabels": { "kubernetes.io/metadata.name": "shop" } },
            "rules": [{ "apiGroups": [""], "apiVersions": ["v1"], "operations": ["CREATE"], "resources": ["pods"] }],
        }],
    });
    (server, manifest)
}

#[tokio::test]
async fn a_container_that_another_webhook_adds_gets_nothing_unless_it_is_chosen() {
    let injecting = Injecting::start(&["--set", "injection.replicas=1"]).await;
    let cluster = &injecting.cluster;
    let given = async |name: &str, annotations: Value| {
        created(cluster, &pod(name, &annotations)).await.unwrap();
        let made = cluster.get("shop", "pod", name).await;
        let containers = made["spec"]["containers"].as_array().unwrap().clone();
        let given = containers
            .iter()
            .filter(|container| variables(container).contains(&"MESHAGENT_OAUTH_CLIENT_SECRET".to_owned()));
        let given: Vec<String> = given.map(|container| container["name"].as_str().unwrap().to_owned()).collect();
        assert_eq!(containers.len(), 3, "{name}: the other webhook was not asked");
        (given, made["metadata"]["annotations"]["meshagent.com/injected"].as_str().unwrap().to_owned())
    };
    let both = json!({ "meshagent.com/containers": "app,sidecar" });

    // After ours: ours is asked again, and does not widen its choice.
    let (server, after) = another("zzz").await;
    cluster.apply(&after).await;
    until_asked(&injecting, "zzz").await;
    assert_eq!(given("after", json!({})).await, (vec!["app".to_owned()], "env:app".to_owned()));
    let wanted = (vec!["app".to_owned(), "sidecar".to_owned()], "env:app,sidecar".to_owned());
    assert_eq!(given("after-named", both.clone()).await, wanted);
    cluster.kubectl.run(&["delete", "mutatingwebhookconfiguration", "zzz"]).await.unwrap();
    server.abort();

    // Before ours: the container is one of the pod's.
    let (_server, before) = another("aaa").await;
    cluster.apply(&before).await;
    until_asked(&injecting, "aaa").await;
    assert_eq!(given("before", json!({})).await, wanted);
    assert_eq!(given("before-named", both).await, wanted);
}

/// Waits until the API server asks the other webhook.
async fn until_asked(injecting: &Injecting, name: &str) {
    let mut plain = pod(&format!("plain-{name}"), &json!({}));
    plain["metadata"]["labels"].take();
    harness::eventually(crate::fixture::LONG, "the other webhook is asked", async || {
        let ask = ["create", "--dry-run=server", "-o", "json", "-f", "-"];
        let output = injecting.cluster.kubectl.try_run(&ask, &plain.to_string()).await.unwrap();
        let count = serde_json::from_str::<Value>(&output.stdout)
            .map(|pod| pod["spec"]["containers"].as_array().map_or(0, Vec::len));
        if count.is_ok_and(|count| count == 3) { Ok(()) } else { Err(output.stderr) }
    })
    .await
    .unwrap();
}

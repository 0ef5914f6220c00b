//! The server as the API server meets it, on a real socket.

use std::collections::BTreeSet;
use std::fs;
use std::net::SocketAddr;
use std::time::SystemTime;

use serde_json::json;
use tempfile::TempDir;
use tokio::io::{AsyncReadExt as _, AsyncWriteExt as _};
use tokio::net::TcpStream;
use tokio::task::JoinSet;

use super::*;
use crate::decide::inject::Form;
use crate::serving_certificate::{Bundle, Issued, data, issue};

struct Server {
    address: SocketAddr,
    folder: TempDir,
    health: Health,
    metrics: WebhookMetrics,
    drain: watch::Sender<bool>,
    _server: JoinSet<Infallible>,
}

fn issued() -> Issued {
    issue(&["127.0.0.1".to_owned()], SystemTime::now()).unwrap()
}

/// Writes the files as the kubelet does: all at once, by a link that is swapped.
fn mount(folder: &TempDir, issued: &Issued, bundle: &[&Issued]) {
    let bundle: Bundle = bundle.iter().map(|issued| issued.authority.clone()).collect();
    for (file, text) in
        [(data::BUNDLE, &bundle.pem()), (data::CERTIFICATE, &issued.certificate), (data::KEY, &issued.key)]
    {
        fs::write(folder.path().join(file), text).unwrap();
    }
}

async fn serving(issued: &Issued) -> Server {
    let _ = rustls::crypto::ring::default_provider().install_default();
    let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
    let (address, folder) = (listener.local_addr().unwrap(), tempfile::tempdir().unwrap());
    mount(&folder, issued, &[issued]);
    let (health, metrics, (drain, draining)) = (Health::new(), WebhookMetrics::new(), watch::channel(false));
    let defaults = Defaults { form: Form::Env, skip_containers: BTreeSet::new() };
    let certificates = folder.path().to_owned();
    let mut server = JoinSet::new();
    server.spawn(serve(Inputs {
        listener,
        certificates,
        defaults,
        metrics: metrics.clone(),
        health: health.clone(),
        draining,
    }));
    Server { address, folder, health, metrics, drain, _server: server }
}

/// A client that trusts one authority and nothing else.
fn trusting(issued: &Issued) -> reqwest::Client {
    let authority = reqwest::Certificate::from_der(&issued.authority).unwrap();
    reqwest::Client::builder().no_proxy().tls_certs_only([authority]).build().unwrap()
}

impl Server {
    fn url(&self) -> String {
        format!("https://{}{PATH}", self.address)
    }

    async fn ask(&self, client: &reqwest::Client) -> reqwest::Result<u16> {
        let pod = json!({ "metadata": { "labels": { "meshagent.com/oauth-client": "web" } }, "spec": { "containers": [{ "name": "app" }] } });
        let review = json!({
            "apiVersion": "admission.k8s.io/v1", "kind": "AdmissionReview", "request": {
                "uid": "a", "operation": "CREATE", "userInfo": {}, "object": pod,
                "kind": { "group": "", "version": "v1", "kind": "Pod" },
                "resource": { "group": "", "version": "v1", "resource": "pods" },
            },
        });
        let answer = client.post(self.url()).body(review.to_string()).send().await?;
        let status = answer.status().as_u16();
        assert!(status != 200 || answer.text().await?.contains("JSONPatch"));
        Ok(status)
    }

    async fn until_asked(&self, client: &reqwest::Client) {
        while self.ask(client).await.is_err() {
            tokio::time::sleep(Duration::from_millis(20)).await;
        }
    }
}

#[tokio::test]
async fn a_new_certificate_is_served_without_a_restart_and_without_a_refusal() {
    let (one, other) = (issued(), issued());
    let server = serving(&one).await;
    let (by_one, by_other) = (trusting(&one), trusting(&other));
    server.until_asked(&by_one).await;
    assert!(server.ask(&by_other).await.is_err());
    mount(&server.folder, &other, &[&other, &one]);
    server.until_asked(&by_other).await;
    // A connection that was open before lives on; a new one gets the new certificate.
    assert_eq!(server.ask(&by_one).await.unwrap(), 200);
    assert!(server.ask(&trusting(&one)).await.is_err());
    assert!(server.metrics.text().unwrap().contains("admissions_total{outcome=\"injected\"}"));
}

#[tokio::test]
async fn bodies_are_bounded_and_other_paths_are_nobodys() {
    let issued = issued();
    let (server, client) = (serving(&issued).await, trusting(&issued));
    server.until_asked(&client).await;
    let long = vec![b' '; 3 * 1024 * 1024 + 1];
    assert_eq!(client.post(server.url()).body(long).send().await.unwrap().status(), 413);
    assert_eq!(client.post(server.url()).body("no review").send().await.unwrap().status(), 400);
    assert_eq!(client.get(server.url()).send().await.unwrap().status(), 405);
    assert_eq!(client.get(format!("https://{}/", server.address)).send().await.unwrap().status(), 404);
    assert_eq!(server.ask(&client).await.unwrap(), 200);
}

#[tokio::test]
async fn while_it_drains_each_connection_ends_with_its_answer_and_new_ones_are_served() {
    let issued = issued();
    let (server, client) = (serving(&issued).await, trusting(&issued));
    server.until_asked(&client).await;
    server.drain.send_replace(true);
    for _ in 0..3 {
        let answer = client.post(server.url()).body("no review").send().await.unwrap();
        assert_eq!(answer.status(), 400);
    }
    let fresh = trusting(&issued).post(server.url()).body("no review").send().await.unwrap();
    assert_eq!(fresh.headers().get("connection").unwrap(), "close");
    drop(server.health);
}

/// Slow ones end, and others are served meanwhile.
#[tokio::test(start_paused = true)]
async fn a_client_that_says_nothing_is_hung_up_on() {
    let (listener, served) = (TcpListener::bind("127.0.0.1:0").await.unwrap(), Arc::new(Served::default()));
    let address = listener.local_addr().unwrap();
    let provider = Arc::new(rustls::crypto::ring::default_provider());
    let tls = ServerConfig::builder_with_provider(provider).with_safe_default_protocol_versions().unwrap();
    let tls = tls.with_no_client_auth().with_cert_resolver(served);
    let limits = Limits { handshake: Duration::from_secs(5), head: Duration::from_secs(30), connections: 1 };
    let (_drain, draining) = watch::channel(false);
    let mut server = JoinSet::new();
    server.spawn(listener::serve(limits, listener, Arc::new(tls), axum::Router::new(), draining));
    let mut silent = TcpStream::connect(address).await.unwrap();
    let mut waiting = TcpStream::connect(address).await.unwrap();
    assert_eq!(silent.read(&mut [0]).await.unwrap(), 0);
    // The one place is free again, for somebody who does not speak TLS.
    waiting.write_all(b"GET / HTTP/1.1\r\n\r\n").await.unwrap();
    let mut answer = Vec::new();
    let _ = waiting.read_to_end(&mut answer).await;
    assert_eq!(answer.first(), Some(&21), "an alert of TLS: {answer:?}");
}

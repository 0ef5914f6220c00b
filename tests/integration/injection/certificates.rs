//! Certificates change hands, and no labelled pod is refused for it.

use std::sync::Arc;
use std::sync::atomic::{AtomicBool, AtomicUsize, Ordering};
use std::time::{Duration, Instant};

use harness::eventually;
use k8s_openapi::api::core::v1::{Pod, Secret};
use kube::Api;
use kube::api::PostParams;
use meshagent_operator::serving_certificate::{Bundle, Pair};
use rustls::pki_types::{ServerName, UnixTime};
use serde_json::{Value, json};
use tokio::task::JoinHandle;

use super::pod;
use super::replicas::{CERTIFICATE, CONFIGURATION, Injecting};
use crate::chart::release::{Cluster, SYSTEM};
use crate::fixture::LONG;

/// Somebody who creates labelled pods without pause, and how it went.
struct Admissions {
    asked: Arc<AtomicUsize>,
    refused: Arc<std::sync::Mutex<Vec<String>>>,
    paused: Arc<AtomicBool>,
    task: JoinHandle<()>,
}

impl Admissions {
    /// Fifty a second, as dry runs: the API server asks the webhook, and keeps nothing.
    async fn start(cluster: &Cluster) -> Self {
        let pods: Api<Pod> = Api::namespaced(cluster.plane.admin().await.unwrap(), "shop");
        let (asked, refused, paused) = (Arc::<AtomicUsize>::default(), Arc::default(), Arc::<AtomicBool>::default());
        let task = tokio::spawn({
            let (asked, refused, paused) =
                (Arc::clone(&asked), Arc::<std::sync::Mutex<Vec<String>>>::clone(&refused), Arc::clone(&paused));
            async move {
                let params = PostParams { dry_run: true, ..PostParams::default() };
                let wanted: Pod = serde_json::from_value(pod("dry", &json!({}))).unwrap();
                let mut ticks = tokio::time::interval(Duration::from_millis(20));
                loop {
                    ticks.tick().await;
                    if paused.load(Ordering::SeqCst) {
                        continue;
                    }
                    let answer = pods.create(&params, &wanted).await;
                    asked.fetch_add(1, Ordering::SeqCst);
                    let given = answer.as_ref().is_ok_and(|pod| pod.metadata.annotations.is_some());
                    if !given {
                        refused.lock().unwrap().push(format!("{answer:?}"));
                    }
                }
            }
        });
        Self { asked, refused, paused, task }
    }

    fn asked(&self) -> usize {
        self.asked.load(Ordering::SeqCst)
    }

    /// Waits for so many more answers.
    async fn more(&self, number: usize) {
        let wanted = self.asked() + number;
        eventually(LONG, "more admissions", async || {
            if self.asked() >= wanted { Ok(()) } else { Err(self.asked().to_string()) }
        })
        .await
        .unwrap();
    }
}

impl Drop for Admissions {
    fn drop(&mut self) {
        self.task.abort();
    }
}

async fn bundle(cluster: &Cluster) -> String {
    let configuration = cluster.get(SYSTEM, "mutatingwebhookconfiguration", CONFIGURATION).await;
    configuration["webhooks"][0]["clientConfig"]["caBundle"].as_str().unwrap_or_default().to_owned()
}

async fn certificate(cluster: &Cluster) -> Value {
    let args = ["get", "secret", CERTIFICATE, "-n", SYSTEM, "--ignore-not-found", "-o", "json"];
    let text = cluster.kubectl.run(&args).await.unwrap();
    serde_json::from_str::<Value>(&text).map(|secret| secret["data"]["tls.crt"].clone()).unwrap_or_default()
}

/// Waits until the certificate that is stored is another one.
async fn until_renewed(cluster: &Cluster, before: &Value) {
    eventually(LONG, "there is another certificate", async || {
        let now = certificate(cluster).await;
        if now.is_string() && now != *before { Ok(()) } else { Err("the same") }
    })
    .await
    .unwrap();
}

/// Pods 6: the Secret is deleted again and again, the leader killed meanwhile, replicas crash, and the second replica gets
/// each new certificate later than the first.
#[tokio::test]
async fn no_labelled_pod_is_refused_while_certificates_change_hands() {
    let injecting = Injecting::start(&[]).await;
    let cluster = &injecting.cluster;
    let beside = cluster.run_operator(SYSTEM, "meshagent-operator").await;
    let admissions = Admissions::start(cluster).await;
    admissions.more(50).await;
    for round in 0..3 {
        let before = certificate(cluster).await;
        cluster.kubectl.run(&["delete", "secret", CERTIFICATE, "-n", SYSTEM]).await.unwrap();
        if round == 1 {
            // The one that leads dies amid its writes, and the other one takes over.
            injecting.operator.process().kill().unwrap();
        }
        until_renewed(cluster, &before).await;
        admissions.more(100).await;
        injecting.webhook.crash(round % 2);
        injecting.webhook.until_answering().await;
        admissions.more(100).await;
    }
    let refused = admissions.refused.lock().unwrap().clone();
    // A replica that was killed in the middle of an answer cannot give it; the API server says so by name.
    let refused: Vec<_> =
        refused.iter().filter(|answer| !answer.contains("EOF") && !answer.contains("reset")).collect();
    assert!(refused.is_empty(), "{} of {}: {:?}", refused.len(), admissions.asked(), refused.first());
    drop(beside);
}

/// Waits until the operator has issued a certificate for this machine: it issued one for the Service before.
async fn until_named(secrets: &Api<Secret>) {
    eventually(LONG, "the certificate is one for this machine", async || {
        let secret = secrets.get(CERTIFICATE).await.map_err(|error| error.to_string())?;
        let field = |name: &str| secret.data.as_ref().unwrap()[name].0.clone();
        let pair = Pair::parse(&field("tls.crt"), &field("tls.key")).map_err(|problem| problem.to_string())?;
        let here = [ServerName::try_from("127.0.0.1").unwrap()];
        pair.verify(&Bundle::parse(&field("ca.crt")), &here, UnixTime::now()).map_err(|problem| problem.to_string())
    })
    .await
    .unwrap();
}

/// Pods 6: what the API server trusts is wiped by a person, or by a tool that applies the chart once more; and a person has
/// it call the webhook by a URL.
#[tokio::test]
async fn what_the_api_server_trusts_is_put_back_within_ten_seconds() {
    let injecting = Injecting::start(&["--set", "injection.replicas=1"]).await;
    let cluster = &injecting.cluster;
    let before = bundle(cluster).await;
    let wipe = json!([{ "op": "remove", "path": "/webhooks/0/clientConfig/caBundle" }]).to_string();
    let stored = certificate(cluster).await;
    cluster
        .kubectl
        .run(&["patch", "mutatingwebhookconfiguration", CONFIGURATION, "--type=json", "-p", &wipe])
        .await
        .unwrap();
    let wiped = Instant::now();
    eventually(Duration::from_secs(10), "it is put back", async || {
        if bundle(cluster).await == before { Ok(()) } else { Err("not yet") }
    })
    .await
    .unwrap();
    println!("put back after {} ms", wiped.elapsed().as_millis());
    assert_eq!(certificate(cluster).await, stored, "the certificate is the same");
    let admissions = Admissions::start(cluster).await;
    admissions.more(5).await;
    admissions.paused.store(true, Ordering::SeqCst);
    let here =
        json!([{ "op": "replace", "path": "/webhooks/0/clientConfig", "value": { "url": "https://127.0.0.1:9/" } }]);
    let patch = ["patch", "mutatingwebhookconfiguration", CONFIGURATION, "--type=json", "-p", &here.to_string()];
    cluster.kubectl.run(&patch).await.unwrap();
    until_named(&Api::namespaced(cluster.plane.admin().await.unwrap(), SYSTEM)).await;
}

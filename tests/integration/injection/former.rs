//! Former clients and the pods that hold their credential; pods that wait, and what they are told.

use std::time::Duration;

use harness::eventually;
use serde_json::{Value, json};
use simulator::admin::Admin;

use super::replicas::Injecting;
use super::{created, pod};
use crate::chart::release::{Cluster, text, until_ready};
use crate::fixture::{LONG, datum};

/// The OAuthClient `web`, whose former clients live for three seconds.
pub(crate) fn client(more: Value) -> Value {
    let mut spec =
        json!({ "redirectUris": ["https://shop.example.com/oauth/callback"], "rotation": { "overlap": "3s" } });
    for (field, value) in more.as_object().into_iter().flatten() {
        spec[field] = value.clone();
    }
    json!({
        "apiVersion": "meshagent.com/v1alpha1", "kind": "OAuthClient", "metadata": { "name": "web", "namespace": "shop" },
        "spec": spec,
    })
}

impl Cluster {
    /// Asks for a rotation, and waits until it is done.
    pub(crate) async fn rotate(&self, when: &str) {
        let ask = format!("meshagent.com/rotate-requested-at={when}");
        self.kubectl.run(&["annotate", "--overwrite", "maoc", "web", "-n", "shop", &ask]).await.unwrap();
        let done = format!("--for=jsonpath={{.status.lastHandledRotateAt}}={when}");
        self.wait(&["maoc/web", "-n", "shop", &done]).await;
    }

    /// Waits until the status of the OAuthClient is as `is` wants it.
    pub(super) async fn until_status(&self, what: &str, is: impl Fn(&Value) -> bool) -> Value {
        eventually(LONG, what, async || {
            let status = self.get("shop", "maoc", "web").await["status"].clone();
            if is(&status) { Ok(status) } else { Err(status.to_string()) }
        })
        .await
        .unwrap()
    }

    async fn accepts(&self, secret: &Value) -> bool {
        let admin = Admin::new(self.simulator.admin()).unwrap();
        let project = self.simulator.projects()[0].project_id.parse().unwrap();
        admin.verify(project, &datum(secret, "CLIENT_ID"), &datum(secret, "CLIENT_SECRET")).await.unwrap()
    }

    async fn remove_pod(&self, namespace: &str, name: &str) {
        let delete = ["delete", "pod", name, "-n", namespace, "--grace-period=0", "--force"];
        self.kubectl.run(&delete).await.unwrap();
    }
}

/// Pods 7. The credential from before a rotation is accepted until the last pod that was created with it ends: neither the
/// overlap, nor a pod that came since, nor one of another namespace or with files decides.
#[tokio::test]
async fn a_former_client_lives_on_while_a_pod_that_was_created_before_runs() {
    let injecting = Injecting::start(&["--set", "injection.replicas=1"]).await;
    let cluster = &injecting.cluster;
    cluster.apply(&client(json!({}))).await;
    until_ready(cluster, "shop", "maoc", "web").await;
    let before = cluster.get("shop", "secret", "web-oauth").await;
    cluster.create_open_namespace("billing").await;
    let mut elsewhere = pod("elsewhere", &json!({}));
    elsewhere["metadata"]["namespace"] = json!("billing");
    let files = pod("files", &json!({ "meshagent.com/inject-as": "file" }));
    for manifest in [pod("app", &json!({})), elsewhere, files] {
        created(cluster, &manifest).await.unwrap();
    }
    // The times of pods are whole seconds.
    tokio::time::sleep(Duration::from_millis(1100)).await;
    cluster.rotate("monday").await;
    tokio::time::sleep(Duration::from_millis(1100)).await;
    created(cluster, &pod("since", &json!({}))).await.unwrap();
    let status =
        cluster.until_status("the status names the pod", |status| status["retiring"][0]["pods"].is_array()).await;
    assert_eq!((&status["retiring"][0]["pods"], &status["retiring"][0]["morePods"]), (&json!(["app"]), &Value::Null));
    assert_eq!(status["retiring"][0]["clientId"], datum(&before, "CLIENT_ID"));
    let ready = until_ready(cluster, "shop", "maoc", "web").await;
    let message = crate::fixture::message(&ready, "Ready");
    assert!(message.contains("lives on for pods that hold its credential"), "{message}");
    assert!(cluster.accepts(&before).await);
    assert_eq!(cluster.changes().await, ["POST", "POST"]);

    cluster.remove_pod("shop", "app").await;
    cluster.until_status("the former client is gone", |status| status["retiring"].is_null()).await;
    assert!(!cluster.accepts(&before).await);
    assert!(cluster.accepts(&cluster.get("shop", "secret", "web-oauth").await).await);
    assert_eq!(cluster.changes().await, ["POST", "POST", "DELETE"]);
}

/// Without the right to see pods the overlap alone counts, and the log says so.
#[tokio::test]
async fn an_operator_that_may_not_see_pods_goes_by_the_overlap() {
    let injecting = Injecting::start(&["--set", "injection.replicas=1,rbac.pods=false"]).await;
    let cluster = &injecting.cluster;
    cluster.apply(&client(json!({}))).await;
    until_ready(cluster, "shop", "maoc", "web").await;
    created(cluster, &pod("app", &json!({}))).await.unwrap();
    cluster.rotate("monday").await;
    cluster.until_status("the former client is gone", |status| status["retiring"].is_null()).await;
    let log = injecting.operator.process().log();
    assert_eq!(log.matches("pods may not be watched").count(), 1, "{log}");
}

/// Pods 3. A pod is told why it waits: for nobody, for a project that is missing; and no more once the credential is there.
#[tokio::test]
async fn a_pod_that_waits_is_told_for_which_oauthclient_and_why() {
    let injecting = Injecting::start(&["--set", "injection.replicas=1"]).await;
    let cluster = &injecting.cluster;
    created(cluster, &pod("app", &json!({}))).await.unwrap();
    let told = async || {
        let list = ["get", "events", "-n", "shop", "--field-selector=involvedObject.name=app,reason=CredentialAwaited"];
        let events = cluster.kubectl.run(&[&list[..], &["-o", "json"]].concat()).await.unwrap();
        let events: Value = serde_json::from_str(&events).unwrap();
        let events = events["items"].as_array().unwrap().clone();
        let mut texts: Vec<(String, String)> =
            events.iter().map(|event| (text(&event["eventTime"]), text(&event["message"]))).collect();
        texts.sort();
        texts.into_iter().map(|(_, text)| text).collect::<Vec<_>>()
    };
    let until_told = async |number: usize, said: &str| {
        eventually(LONG, said, async || {
            let told = told().await;
            let is_told = told.len() == number && told[number - 1].starts_with(said);
            if is_told { Ok(()) } else { Err(format!("{told:?}")) }
        })
        .await
        .unwrap();
    };
    until_told(1, "waits for OAuthClient web: there is none of that name in namespace shop").await;
    cluster.apply(&client(json!({ "projectRef": { "kind": "MeshAgentProject", "name": "missing" } }))).await;
    until_told(2, "waits for OAuthClient web: ProjectNotFound – ").await;
    cluster.kubectl.run(&["delete", "maoc", "web", "-n", "shop", "--timeout=60s"]).await.unwrap();
    until_told(3, "waits for OAuthClient web: there is none").await;
    cluster.apply(&client(json!({}))).await;
    until_ready(cluster, "shop", "maoc", "web").await;
    created(cluster, &pod("second", &json!({}))).await.unwrap();
    tokio::time::sleep(Duration::from_secs(12)).await;
    let waits = told().await;
    assert!(waits.len() <= 4, "{waits:?}");
    let of_second = "--field-selector=involvedObject.name=second,reason=CredentialAwaited";
    let second = ["get", "events", "-n", "shop", of_second, "-o", "name"];
    assert_eq!(cluster.kubectl.run(&second).await.unwrap(), "");
}

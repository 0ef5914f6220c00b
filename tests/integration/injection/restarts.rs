//! Workloads that are restarted for a new credential by their real controllers, and those that are not.

use std::fs;
use std::time::Duration;

use harness::{Workdir, eventually};
use serde_json::{Value, json};

use super::former::client;
use super::replicas::Injecting;
use super::{created, pod, spec};
use crate::chart::release::{Cluster, SYSTEM, text, until_ready};
use crate::chart::rights;
use crate::fixture::LONG;

const LABEL: &str = "meshagent.com/oauth-client";
/// Longer than it takes the operator to see to what is due, several times over.
const SEVERAL_ROUNDS: Duration = Duration::from_secs(8);

fn restarting() -> Value {
    client(json!({ "rollout": { "restart": "Injected" } }))
}

/// A workload of two labelled pods, or one for each node.
pub(crate) fn workload(kind: &str, name: &str, more: Value) -> Value {
    let mut object = json!({
        "apiVersion": "apps/v1", "kind": kind, "metadata": { "name": name, "namespace": "shop" },
        "spec": {
            "selector": { "matchLabels": { "app": name } },
            "template": { "metadata": { "labels": { "app": name, LABEL: "web" } }, "spec": spec() },
        },
    });
    if kind != "DaemonSet" {
        object["spec"]["replicas"] = json!(2);
    }
    for (field, value) in more.as_object().unwrap() {
        object["spec"][field] = value.clone();
    }
    object
}

/// An object that an Argo Rollout controls, if it is there.
fn controlled(mut object: Value, by: &Value) -> Value {
    object["metadata"]["ownerReferences"] = json!([{
        "apiVersion": by["apiVersion"], "kind": by["kind"], "name": by["metadata"]["name"], "uid": by["metadata"]["uid"],
        "controller": true,
    }]);
    object
}

fn rollouts() -> Value {
    json!({
        "apiVersion": "apiextensions.k8s.io/v1", "kind": "CustomResourceDefinition",
        "metadata": { "name": "rollouts.argoproj.io" },
        "spec": {
            "group": "argoproj.io", "scope": "Namespaced", "names": { "kind": "Rollout", "plural": "rollouts" },
            "versions": [{ "name": "v1alpha1", "served": true, "storage": true, "schema": { "openAPIV3Schema": {
                "type": "object", "x-kubernetes-preserve-unknown-fields": true,
            }}}],
        },
    })
}

impl Cluster {
    async fn pods(&self, app: &str) -> Vec<Value> {
        let list = ["get", "pods", "-n", "shop", "-l", &format!("app={app}"), "-o", "json"];
        let list: Value = serde_json::from_str(&self.kubectl.run(&list).await.unwrap()).unwrap();
        list["items"].as_array().unwrap().clone()
    }

    pub(crate) async fn until_pods(&self, app: &str, number: usize) {
        eventually(LONG, "there are pods", async || {
            let pods = self.pods(app).await.len();
            if pods == number { Ok(()) } else { Err(format!("{app}: {pods}")) }
        })
        .await
        .unwrap();
    }

    /// Applies the workload, and waits until it has its two pods, or one.
    async fn run_workload(&self, object: &Value) {
        self.apply(object).await;
        let number = if object["kind"] == "DaemonSet" { 1 } else { 2 };
        self.until_pods(&text(&object["metadata"]["name"]), number).await;
    }

    /// The client that each of the workloads was restarted for.
    async fn restarted_for(&self, kind: &str, name: &str) -> Value {
        let object = self.get("shop", kind, name).await;
        object["spec"]["template"]["metadata"]["annotations"]["meshagent.com/credential"].clone()
    }

    /// How many pod templates a workload has had. A Deployment's generation counts its annotations too.
    pub(crate) async fn templates(&self, kind: &str, name: &str) -> String {
        let metadata = self.get("shop", kind, name).await["metadata"].clone();
        let revision = &metadata["annotations"]["deployment.kubernetes.io/revision"];
        if kind == "Deployment" { text(revision) } else { metadata["generation"].to_string() }
    }

    /// Waits until a workload is restarted for a client, and its pods are replaced.
    pub(crate) async fn until_restarted(&self, kind: &str, name: &str, client_id: &Value) {
        eventually(LONG, "it is restarted", async || {
            let restarted = self.restarted_for(kind, name).await;
            if restarted == *client_id { Ok(()) } else { Err(format!("{kind} {name}: {restarted}")) }
        })
        .await
        .unwrap();
        let status = ["rollout", "status", &format!("{kind}/{name}"), "-n", "shop", "--timeout=60s"];
        self.kubectl.run(&status).await.unwrap();
        eventually(LONG, "its pods are replaced", async || {
            let pods = self.pods(name).await;
            let is_new = |pod: &Value| pod["metadata"]["annotations"]["meshagent.com/credential"] == *client_id;
            if pods.iter().all(is_new) { Ok(()) } else { Err(format!("{kind} {name}")) }
        })
        .await
        .unwrap();
    }

    /// Loses the credential, and returns the id of the client that takes the place of the present one.
    pub(crate) async fn lose_credential(&self) -> Value {
        // The times of pods are whole seconds.
        tokio::time::sleep(Duration::from_millis(1100)).await;
        let before = self.get("shop", "maoc", "web").await["status"]["clientId"].clone();
        self.kubectl.run(&["delete", "secret", "web-oauth", "-n", "shop"]).await.unwrap();
        let is_another = |status: &Value| status["clientId"].is_string() && status["clientId"] != before;
        self.until_status("another client takes its place", is_another).await["clientId"].clone()
    }

    /// What the Events of this reason say, by the kind and the name of what they are about.
    async fn told(&self, reason: &str) -> Vec<(String, String, String)> {
        let list = ["get", "events", "-n", "shop", &format!("--field-selector=reason={reason}"), "-o", "json"];
        let list: Value = serde_json::from_str(&self.kubectl.run(&list).await.unwrap()).unwrap();
        let of = |event: &Value| {
            let object = &event["involvedObject"];
            (text(&object["kind"]), text(&object["name"]), text(&event["message"]))
        };
        list["items"].as_array().unwrap().iter().map(of).collect()
    }
}

impl Injecting {
    /// Has the last replacement of the client be an hour ago: another one is not made within ten minutes.
    pub(crate) async fn an_hour_later(&self) {
        let earlier = jiff::Timestamp::now() - Duration::from_secs(3600);
        let patch = json!({ "status": { "lastReplacedAt": format!("{earlier:.0}") } }).to_string();
        let patch = ["patch", "maoc", "web", "-n", "shop", "--subresource=status", "--type=merge", "-p", &patch];
        self.cluster.kubectl.run(&patch).await.unwrap();
        self.operator.process().restart().unwrap();
    }
}

/// Pods 8, 9. A lost credential, and then a rotation, is one rollout of each workload; the former client is accepted until
/// it has ended. Neither a restart of the operator nor what GitOps tools do makes another one.
#[tokio::test]
async fn a_new_credential_is_one_rollout_of_each_workload() {
    let workdir = Workdir::create("audit").unwrap();
    let (options, log) = rights::audited(&workdir);
    let injecting = Injecting::start_on(options, &["--set", "injection.replicas=1,rollout.enabled=true"]).await;
    let cluster = &injecting.cluster;
    cluster.apply(&restarting()).await;
    let before = until_ready(cluster, "shop", "maoc", "web").await["status"]["clientId"].clone();
    let kinds = [("Deployment", "app"), ("StatefulSet", "store"), ("DaemonSet", "agent")];
    for (kind, name) in kinds {
        cluster.run_workload(&workload(kind, name, json!({}))).await;
    }
    cluster.apply(&rollouts()).await;
    cluster.wait(&["crd/rollouts.argoproj.io", "--for=condition=Established"]).await;
    cluster.apply(&json!({
        "apiVersion": "argoproj.io/v1alpha1", "kind": "Rollout", "metadata": { "name": "canary", "namespace": "shop" }, "spec": {},
    })).await;
    let rollout = cluster.get("shop", "rollout", "canary").await;
    cluster.run_workload(&controlled(workload("ReplicaSet", "canary", json!({})), &rollout)).await;

    let client_id = cluster.lose_credential().await;
    for (kind, name) in kinds {
        cluster.until_restarted(kind, name, &client_id).await;
        assert_eq!(cluster.templates(kind, name).await, "2", "{kind}");
    }
    let restarted = eventually(LONG, "the Rollout is restarted", async || {
        let rollout = cluster.get("shop", "rollout", "canary").await;
        if rollout["spec"]["restartAt"].is_string() { Ok(rollout) } else { Err(rollout.to_string()) }
    })
    .await
    .unwrap();
    // Nothing restarts the Rollout's pods here: for them the former client lives on, long after its overlap.
    let status = cluster.until_status("pods are named", |status| status["retiring"][0]["pods"].is_array()).await;
    assert_eq!(status["retiring"][0]["clientId"], before);
    let named = status["retiring"][0]["pods"].as_array().unwrap();
    assert!(named.len() == 2 && named.iter().all(|pod| text(pod).starts_with("canary-")), "{status}");
    assert_eq!(cluster.changes().await, ["POST", "POST"]);
    cluster.kubectl.run(&["delete", "pods", "-n", "shop", "-l", "app=canary"]).await.unwrap();
    cluster.until_status("the former client is gone", |status| status["retiring"].is_null()).await;
    assert_eq!(cluster.changes().await, ["POST", "POST", "DELETE"]);

    injecting.operator.process().restart().unwrap();
    let annotate = ["annotate", "maoc", "web", "-n", "shop", "meshagent.com/reconcile-requested-at=now"];
    cluster.kubectl.run(&annotate).await.unwrap();
    cluster.until_status("it is looked at again", |status| status["lastHandledReconcileAt"] == "now").await;
    tokio::time::sleep(SEVERAL_ROUNDS).await;
    for (kind, name) in kinds {
        assert_eq!(cluster.templates(kind, name).await, "2", "{kind}");
    }
    let version = cluster.get("shop", "rollout", "canary").await["metadata"]["resourceVersion"].clone();
    assert_eq!(version, restarted["metadata"]["resourceVersion"]);
    what_others_apply_makes_no_other_rollout(cluster, &client_id).await;
    injecting.an_hour_later().await;
    cluster.rotate("monday").await;
    let rotated = until_ready(cluster, "shop", "maoc", "web").await["status"]["clientId"].clone();
    cluster.until_restarted("deployment", "app", &rotated).await;
    assert_eq!(cluster.templates("Deployment", "app").await, "4");
    let restarted = cluster.told("Restarted").await;
    let said = "had a former credential of OAuthClient web in its environment; its pods are replaced";
    assert!(restarted.contains(&("Deployment".to_owned(), "app".to_owned(), said.to_owned())), "{restarted:?}");
    every_right_to_workloads_is_used(cluster, &log).await;
}

/// A Deployment that was restarted is applied by force, by several managers, and replaced.
async fn what_others_apply_makes_no_other_rollout(cluster: &Cluster, client_id: &Value) {
    let in_git = workload("Deployment", "app", json!({})).to_string();
    for manager in ["argocd-controller", "kustomize-controller"] {
        let manager = format!("--field-manager={manager}");
        let apply = ["apply", "--server-side", "--force-conflicts", &manager, "-f", "-"];
        cluster.kubectl.run_with_input(&apply, &in_git).await.unwrap();
    }
    cluster.kubectl.run_with_input(&["apply", "-f", "-"], &in_git).await.unwrap();
    cluster.kubectl.run_with_input(&["diff", "-f", "-"], &in_git).await.unwrap();
    assert_eq!(cluster.templates("Deployment", "app").await, "2");
    assert_eq!(cluster.restarted_for("deployment", "app").await, *client_id);
    // A replacement is a rollout of its own, as after `kubectl rollout restart`; its pods are not stale.
    cluster.kubectl.run_with_input(&["replace", "-f", "-"], &in_git).await.unwrap();
    cluster.kubectl.run(&["rollout", "status", "deployment/app", "-n", "shop", "--timeout=60s"]).await.unwrap();
    tokio::time::sleep(SEVERAL_ROUNDS).await;
    assert_eq!(cluster.templates("Deployment", "app").await, "3");
}

async fn every_right_to_workloads_is_used(cluster: &Cluster, log: &std::path::Path) {
    let mut given = rights::given(cluster).await;
    given.retain(|right| ["apps", "argoproj.io"].contains(&right.1.as_str()));
    assert_eq!(given.len(), 9, "{given:?}");
    eventually(LONG, "every right is used", async || {
        let unused = rights::unused(&given, &rights::asked(&fs::read_to_string(log).unwrap()));
        if unused.is_empty() { Ok(()) } else { Err(format!("{unused:?}")) }
    })
    .await
    .unwrap();
}

/// Twenty Deployments, whose old pods stay until a new one is available, and twenty StatefulSets, whose only pod goes at
/// once. A new pod is available once it has been Ready for so long.
async fn apply_forty(cluster: &Cluster, min_ready_seconds: u32) {
    let deployment = json!({
        "replicas": 1, "minReadySeconds": min_ready_seconds, "progressDeadlineSeconds": 7200,
        "strategy": { "rollingUpdate": { "maxUnavailable": 0 } },
    });
    let set = json!({ "replicas": 1, "minReadySeconds": min_ready_seconds, "podManagementPolicy": "Parallel" });
    let items: Vec<Value> = (0..20)
        .flat_map(|n| {
            let name = format!("app-{n}");
            [
                workload("Deployment", &name, deployment.clone()),
                workload("StatefulSet", &format!("db-{n}"), set.clone()),
            ]
        })
        .collect();
    cluster.apply(&json!({ "apiVersion": "v1", "kind": "List", "items": items })).await;
}

/// Creates what the operator does not restart.
async fn run_what_is_not_restarted(cluster: &Cluster) {
    cluster.run_workload(&workload("Deployment", "paused", json!({}))).await;
    cluster.kubectl.run(&["rollout", "pause", "deployment/paused", "-n", "shop"]).await.unwrap();
    let owner = cluster.get("shop", "configmap", "kube-root-ca.crt").await;
    cluster.run_workload(&controlled(workload("Deployment", "controlled", json!({})), &owner)).await;
    let on_delete = json!({ "updateStrategy": { "type": "OnDelete" } });
    cluster.run_workload(&workload("StatefulSet", "by-hand", on_delete)).await;
    cluster.run_workload(&workload("ReplicaSet", "alone", json!({}))).await;
    let mut job = workload("Job", "report", json!({}));
    job["apiVersion"] = json!("batch/v1");
    for field in ["replicas", "selector"] {
        job["spec"].as_object_mut().unwrap().remove(field);
    }
    job["spec"]["template"]["spec"]["restartPolicy"] = json!("Never");
    cluster.apply(&job).await;
    cluster.until_pods("report", 1).await;
    created(cluster, &pod("bare", &json!({}))).await.unwrap();
}

/// Waits until so many workloads are restarted for a client.
async fn until_number(cluster: &Cluster, number: usize, client_id: &Value) {
    eventually(2 * LONG, "workloads are restarted", async || {
        let restarted = number_restarted(cluster, client_id).await;
        if restarted == number { Ok(()) } else { Err(format!("{restarted} of {number}")) }
    })
    .await
    .unwrap();
}

async fn number_restarted(cluster: &Cluster, client_id: &Value) -> usize {
    let get = ["get", "deployments,statefulsets", "-n", "shop", "-o", "json"];
    let list: Value = serde_json::from_str(&cluster.kubectl.run(&get).await.unwrap()).unwrap();
    let is_restarted = |workload: &&Value| {
        workload["spec"]["template"]["metadata"]["annotations"]["meshagent.com/credential"] == *client_id
    };
    list["items"].as_array().unwrap().iter().filter(is_restarted).count()
}

/// Without the right the OAuthClient is told; with it, what cannot be restarted is told why, and what can is, ten
/// workloads at once.
#[tokio::test]
async fn what_is_not_restarted_is_told_why_and_ten_of_forty_roll_at_once() {
    let injecting = Injecting::start(&["--set", "injection.replicas=1"]).await;
    let cluster = &injecting.cluster;
    cluster.apply(&restarting()).await;
    until_ready(cluster, "shop", "maoc", "web").await;
    apply_forty(cluster, 3600).await;
    run_what_is_not_restarted(cluster).await;
    for n in 0..20 {
        cluster.until_pods(&format!("app-{n}"), 1).await;
        cluster.until_pods(&format!("db-{n}"), 1).await;
    }

    let client_id = cluster.lose_credential().await;
    eventually(LONG, "it is said that the right is missing", async || {
        if cluster.told("RestartNotPermitted").await.is_empty() { Err("nothing") } else { Ok(()) }
    })
    .await
    .unwrap();
    tokio::time::sleep(SEVERAL_ROUNDS).await;
    let refused = cluster.told("RestartNotPermitted").await;
    let (kind, name, said) = refused.first().unwrap();
    assert_eq!((kind.as_str(), name.as_str(), refused.len()), ("OAuthClient", "web", 1));
    assert!(said.contains("cannot get resource") && said.contains("rollout.enabled"), "{said}");

    cluster.kubectl.run(&["apply", "-f", "charts/meshagent-operator/files/restart-role.yaml"]).await.unwrap();
    let account = format!("--serviceaccount={SYSTEM}:meshagent-operator");
    let bind = ["create", "clusterrolebinding", "restarts", "--clusterrole=meshagent-operator-restarts", &account];
    cluster.kubectl.run(&bind).await.unwrap();
    until_number(cluster, 10, &client_id).await;
    tokio::time::sleep(SEVERAL_ROUNDS).await;
    assert_eq!(number_restarted(cluster, &client_id).await, 10);
    apply_forty(cluster, 0).await;
    until_number(cluster, 40, &client_id).await;
    what_is_in_the_way_is_told(cluster).await;
    cluster.kubectl.run(&["rollout", "resume", "deployment/paused", "-n", "shop"]).await.unwrap();
    cluster.until_restarted("deployment", "paused", &client_id).await;
    assert_eq!(cluster.restarted_for("deployment", "controlled").await, Value::Null);
    assert_eq!(cluster.restarted_for("statefulset", "by-hand").await, Value::Null);
}

async fn what_is_in_the_way_is_told(cluster: &Cluster) {
    let told = cluster.told("RestartPending").await;
    for (kind, name, said) in [
        ("Deployment", "paused", "it is paused; `kubectl rollout resume deployment/paused -n shop`"),
        ("Deployment", "controlled", "ConfigMap kube-root-ca.crt controls it; restart it there"),
        ("StatefulSet", "by-hand", "replaces no pods by itself (OnDelete, or a partition)"),
        ("ReplicaSet", "alone", "a ReplicaSet is nothing that the operator restarts"),
        ("Job", "report", "a Job runs to its end"),
        ("Pod", "bare", "delete it and create it again"),
    ] {
        let of: Vec<_> = told.iter().filter(|told| told.0 == kind && told.1 == name).collect();
        assert_eq!(of.len(), 1, "{kind} {name}: {told:?}");
        assert!(of[0].2.contains(said), "{kind} {name}: {}", of[0].2);
    }
    assert_eq!(told.len(), 6, "{told:?}");
}

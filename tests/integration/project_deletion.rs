//! Projects that are deleted, and clients that nobody declares any more.

use std::time::Duration;

use harness::{eventually, free_port};
use serde_json::{Value, json};
use simulator::admin::{Fault, FaultRule, Route};
use simulator::state::Role;

use super::fixture::{Fixture, LONG, condition, message, start_operator_with};

fn finalizers(object: &Value) -> &Value {
    &object["metadata"]["finalizers"]
}

/// A project of a namespace with its key and `clients` OAuthClients, all Ready.
pub async fn team(fixture: &Fixture, namespace: &str, clients: usize) {
    let key = fixture.admin.create_key(fixture.project, &Role::ALL).await.unwrap();
    let mut manifests = vec![
        json!({ "apiVersion": "v1", "kind": "Namespace", "metadata": { "name": namespace } }),
        json!({
            "apiVersion": "v1",
            "kind": "Secret",
            "metadata": { "name": "meshagent", "namespace": namespace },
            "stringData": { "api-key": key.api_key.expose() },
        }),
        json!({
            "apiVersion": "meshagent.com/v1alpha1",
            "kind": "MeshAgentProject",
            "metadata": { "name": "team", "namespace": namespace },
            "spec": { "apiUrl": fixture.api_url, "apiKeySecretRef": { "name": "meshagent" } },
        }),
    ];
    for n in 0..clients {
        let reference = json!({ "projectRef": { "kind": "MeshAgentProject", "name": "team" } });
        let mut client = fixture.client(&format!("web{n}"), &reference);
        client["metadata"]["namespace"] = json!(namespace);
        manifests.push(client);
    }
    for manifest in manifests {
        fixture.apply(&manifest).await;
    }
    let wait = ["-n", namespace, "wait", "maoc", "--all", "--for=condition=Ready", "--timeout=60s"];
    fixture.kubectl.run(&wait).await.unwrap();
}

async fn until_gone(fixture: &Fixture, what: &str, name: &str, namespace: &str) {
    let get = ["-n", namespace, "get", what, name, "--ignore-not-found", "-o", "json"];
    eventually(LONG, &format!("{what} {name} is gone"), async || {
        let left = fixture.kubectl.run(&get).await.unwrap();
        if left.is_empty() { Ok(()) } else { Err(left) }
    })
    .await
    .unwrap();
}

#[tokio::test]
async fn a_project_in_use_works_on_and_names_its_users_until_the_last_is_gone() {
    let fixture = Fixture::shared("held").await;
    let name = fixture.project_name.clone();
    for n in 0..6 {
        fixture.apply(&fixture.client(&format!("web{n}"), &json!({}))).await;
    }
    fixture.kubectl(&["wait", "maoc", "--all", "--for=condition=Ready", "--timeout=60s"]).await;
    fixture.kubectl(&["delete", "cmaproj", &name, "--wait=false"]).await;
    let held = fixture
        .until("cmaproj", &name, "it says that it is held", |o| condition(o, "Reconciling") == "True/Deleting")
        .await;
    assert_eq!(condition(&held, "Ready"), "True/Ready");
    let ns = fixture.ns();
    let users = format!("6 OAuthClients use it: {ns}/web0, {ns}/web1, {ns}/web2, {ns}/web3, {ns}/web4 and 1 more");
    for type_ in ["Ready", "Reconciling"] {
        assert!(message(&held, type_).contains(&users), "{users} in {}", message(&held, type_));
    }
    // A changed key is taken up, and a client made.
    let key = fixture.admin.create_key(fixture.project, &Role::ALL).await.unwrap();
    fixture.put_key(key.api_key.expose()).await;
    fixture.apply(&fixture.client("late", &json!({}))).await;
    fixture.wait_ready("late").await;
    fixture.kubectl(&["delete", "maoc", "web0", "web1", "web2", "web3", "web4", "web5", "--timeout=60s"]).await;
    fixture
        .until("cmaproj", &name, "one is left", |o| {
            message(o, "Ready").contains(&format!("1 OAuthClient uses it: {ns}/late;"))
        })
        .await;
    fixture.kubectl(&["delete", "maoc", "late", "--timeout=60s"]).await;
    let since = std::time::Instant::now();
    until_gone(&fixture, "cmaproj", &name, ns).await;
    println!("gone after {:?}", since.elapsed());
    assert_eq!(fixture.remote_ids().await, [""; 0]);
}

#[tokio::test]
async fn a_finalizer_that_was_wiped_comes_back_and_a_project_without_users_goes_at_once() {
    let fixture = Fixture::shared("wiped").await;
    let name = fixture.project_name.clone();
    let is_held = |object: &Value| finalizers(object) == &json!(["meshagent.com/project"]);
    fixture.until("cmaproj", &name, "it is held", is_held).await;
    let mut replacement = fixture.project_manifest(&json!({}));
    replacement["metadata"]["labels"] = json!({ "replaced": "yes" });
    fixture.kubectl.run_with_input(&["replace", "-f", "-"], &replacement.to_string()).await.unwrap();
    let back = fixture.until("cmaproj", &name, "it is held again", is_held).await;
    assert_eq!(back["metadata"]["labels"]["replaced"], "yes");
    fixture.kubectl(&["delete", "cmaproj", &name, "--timeout=30s"]).await;
    fixture.apply(&fixture.project_manifest(&json!({}))).await;
    fixture.until("cmaproj", &name, "it is back", |o| condition(o, "Ready") == "True/Ready").await;
}

#[tokio::test]
async fn a_project_that_goes_while_its_listing_is_under_way_is_forgotten_after_it() {
    let address = format!("127.0.0.1:{}", free_port().unwrap());
    let mut fixture = Fixture::own("going", &[]).await;
    fixture.stop_operator().await;
    let args = ["--http-address", &address, "--resync-interval", "3s"];
    fixture.operator = Some(start_operator_with(fixture.control_plane.get(), &args));
    let going = fixture.declare_project("going").await;
    let is_remembered = async || {
        let metrics = reqwest::get(format!("http://{address}/metrics")).await.unwrap().text().await.unwrap();
        metrics.contains(r#"project="ClusterMeshAgentProject going""#)
    };
    let listed = async || if is_remembered().await { Ok(()) } else { Err("it is not") };
    eventually(LONG, "the project is listed", listed).await.unwrap();
    let slow = Fault::Delay { duration: Duration::from_secs(8), stage: Default::default() };
    fixture.admin.fault(&FaultRule::on(Route::ClientsList, slow).in_project(going.project_id)).await.unwrap();
    // How many slow listings of the project were begun, and how many of them were answered.
    let listings = async || {
        let calls = fixture.admin.calls().await.unwrap().into_iter();
        let slow = calls.filter(|call| call.project == Some(going.project_id) && call.fault.is_some());
        let answered: Vec<bool> = slow.map(|call| call.status.is_some()).collect();
        (answered.len(), answered.iter().filter(|answered| **answered).count())
    };
    eventually(LONG, "a listing is under way", async || match listings().await {
        (1, 0) => Ok(()),
        others => Err(format!("{others:?}")),
    })
    .await
    .unwrap();
    fixture.kubectl(&["delete", "cmaproj", "going", "--wait=false"]).await;
    fixture.kubectl(&["patch", "cmaproj", "going", "--type=merge", "-p", r#"{"metadata":{"finalizers":[]}}"#]).await;
    until_gone(&fixture, "cmaproj", "going", fixture.ns()).await;
    assert_eq!(listings().await, (1, 0), "the listing was answered before the project was gone");
    eventually(LONG, "the listing is answered", async || match listings().await {
        (1, 1) => Ok(()),
        others => Err(format!("{others:?}")),
    })
    .await
    .unwrap();
    // What the answer led to is over when other projects were listed once more.
    fixture.resyncs(2).await;
    assert!(!is_remembered().await, "the listing that was under way has brought the project back");
}

/// K10.
#[tokio::test]
async fn a_namespace_that_goes_with_project_and_key_and_clients_leaves_no_client_behind() {
    let fixture = Fixture::shared("whole").await;
    let namespace = format!("{}-team", fixture.ns());
    team(&fixture, &namespace, 3).await;
    assert_eq!(fixture.remote_ids().await.len(), 3);
    fixture.kubectl.run(&["delete", "namespace", &namespace, "--timeout=60s"]).await.unwrap();
    assert_eq!(fixture.remote_ids().await, [""; 0]);
}

/// K10, after a crash: nobody holds the key any more.
#[tokio::test]
async fn after_a_crash_in_a_namespace_that_goes_the_status_says_which_key_is_missing() {
    let fixture = Fixture::own("crash", &[]).await;
    let namespace = format!("{}-team", fixture.ns());
    team(&fixture, &namespace, 1).await;
    let process = fixture.operator.as_ref().unwrap().process();
    process.kill().unwrap();
    fixture.kubectl.run(&["delete", "namespace", &namespace, "--wait=false"]).await.unwrap();
    until_gone(&fixture, "secret", "meshagent", &namespace).await;
    process.restart().unwrap();
    let missing = format!("there is no Secret meshagent in namespace {namespace}");
    let held = format!("1 OAuthClient uses it: {namespace}/web0");
    for (kind, name, words) in [("maproj", "team", vec![&missing, &held]), ("maoc", "web0", vec![&missing])] {
        let get = ["-n", &namespace, "get", kind, name, "-o", "json"];
        let status = eventually(LONG, "its status says what is missing", async || {
            let object: Value = serde_json::from_str(&fixture.kubectl.run(&get).await.unwrap()).unwrap();
            let said = object["status"].to_string();
            if words.iter().all(|word| said.contains(*word)) { Ok(object) } else { Err(said) }
        })
        .await
        .unwrap();
        assert!(message(&status, "Ready").contains("force-release"), "{}", status["status"]);
        if kind == "maproj" {
            assert_eq!(condition(&status, "Ready"), "False/CredentialsNotFound");
        }
    }
    assert_eq!(fixture.remote_ids().await.len(), 1);
    let patch = r#"{"metadata":{"finalizers":null}}"#;
    fixture.kubectl.run(&["-n", &namespace, "patch", "maoc", "web0", "--type=merge", "-p", patch]).await.unwrap();
    until_gone(&fixture, "namespace", &namespace, &namespace).await;
}

#[tokio::test]
async fn a_marked_client_whose_object_is_gone_is_an_orphan_and_goes_after_its_age() {
    let fixture = Fixture::own_with(
        "orphan",
        &["--resync-interval", "2s"],
        Default::default(),
        &json!({ "orphans": { "minAge": "1h" } }),
    )
    .await;
    fixture.apply(&fixture.client("web", &json!({}))).await;
    fixture.wait_ready("web").await;
    let client_id = fixture.remote_ids().await.remove(0);
    // The finalizer is taken off by hand: the object goes, its client stays.
    fixture.kubectl(&["delete", "maoc", "web", "--wait=false"]).await;
    let patch = r#"{"metadata":{"finalizers":null}}"#;
    let args = ["-n", fixture.ns(), "patch", "maoc", "web", "--type=merge", "-p", patch];
    fixture.kubectl.try_run(&args, "").await.unwrap();
    if fixture.remote_ids().await.is_empty() {
        // The operator was quicker than the hand.
        return;
    }
    let listed = fixture
        .until("cmaproj", &fixture.project_name, "the orphan is listed", |object| {
            object["status"]["orphans"][0]["clientId"] == client_id.as_str()
        })
        .await;
    assert_eq!(listed["status"]["orphans"][0]["name"], "web");
    assert_eq!(fixture.remote_ids().await, [client_id]);
    fixture.apply(&fixture.project_manifest(&json!({ "orphans": { "minAge": "1s" } }))).await;
    fixture.until_remote("the orphan is deleted", <[String]>::is_empty).await;
}

#[tokio::test]
async fn orphans_that_are_only_reported_stay_and_their_age_outlives_the_operator() {
    let report = json!({ "orphans": { "policy": "Report", "minAge": "1s" } });
    let fixture = Fixture::own_with("report", &["--resync-interval", "1s"], Default::default(), &report).await;
    fixture.apply(&fixture.client("web", &json!({}))).await;
    fixture.wait_ready("web").await;
    let ids = fixture.remote_ids().await;
    let process = fixture.operator.as_ref().unwrap().process();
    process.kill().unwrap();
    fixture.kubectl(&["delete", "maoc", "web", "--wait=false"]).await;
    fixture.kubectl(&["patch", "maoc", "web", "--type=merge", "-p", r#"{"metadata":{"finalizers":null}}"#]).await;
    process.restart().unwrap();
    let name = fixture.project_name.clone();
    let listed = fixture
        .until("cmaproj", &name, "the orphan is listed", |object| {
            object["status"]["orphans"][0]["clientId"] == ids[0].as_str()
        })
        .await;
    process.kill().unwrap();
    process.restart().unwrap();
    let resyncs = fixture.count("GET").await + 5;
    eventually(LONG, "five resyncs", async || {
        let lists = fixture.count("GET").await;
        if lists >= resyncs { Ok(()) } else { Err(lists.to_string()) }
    })
    .await
    .unwrap();
    let still = fixture.get("cmaproj", &name).await;
    assert_eq!(still["status"]["orphans"], listed["status"]["orphans"]);
    assert_eq!(fixture.remote_ids().await, ids);
    assert_eq!(fixture.count("DELETE").await, 0);
}

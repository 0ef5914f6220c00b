//! The CRD of OAuthClients goes and comes back, and a namespace goes for good.

use std::collections::BTreeMap;

use harness::eventually;
use serde_json::{Value, json};
use simulator::fault::{Fault, FaultRule, RouteMatch};

use super::adoption::remote;
use super::calls::{apply_many, until_all_ready};
use super::fixture::{Fixture, LONG, crds};
use super::project_deletion::team;
use super::retention::resyncs;

const CRD: &str = "oauthclients.meshagent.com";

/// A fixture whose orphans are deleted after a second.
async fn hasty(prefix: &str) -> Fixture {
    let soon = json!({ "orphans": { "minAge": "1s" } });
    Fixture::own_with(prefix, &["--resync-interval", "2s"], Default::default(), &soon).await
}

async fn delete_definition(fixture: &Fixture) {
    fixture.kubectl.run(&["delete", "crd", CRD, "--timeout=300s"]).await.unwrap();
}

async fn bring_definition_back(fixture: &Fixture) {
    fixture.kubectl.run_with_input(&["apply", "--server-side", "-f", "-"], &crds()).await.unwrap();
    let established = ["wait", "crd", CRD, "--for=condition=Established", "--timeout=60s"];
    fixture.kubectl.run(&established).await.unwrap();
}

/// The operator's Secrets, by name.
async fn secrets(fixture: &Fixture) -> BTreeMap<String, Value> {
    let list = ["get", "secret", "-l", "meshagent.com/oauth-client", "-o", "json"];
    let list: Value = serde_json::from_str(&fixture.kubectl(&list).await).unwrap();
    let name = |secret: &Value| secret["metadata"]["name"].as_str().unwrap().to_owned();
    list["items"].as_array().unwrap().iter().map(|secret| (name(secret), secret.clone())).collect()
}

/// Asserts that all Secrets are there, with their credentials, and say that they were retained.
fn assert_left_behind(after: &BTreeMap<String, Value>, before: &BTreeMap<String, Value>) {
    assert!(after.keys().eq(before.keys()), "{} Secrets of {}", after.len(), before.len());
    for (name, secret) in after {
        assert!(secret["data"] == before[name]["data"], "the credential in {name} was changed");
        assert_eq!(secret["metadata"]["annotations"]["meshagent.com/retained"], "true", "{name}");
        assert_eq!(secret["metadata"]["ownerReferences"], json!(null), "{name}");
    }
}

/// The ids of the clients, by OAuthClient.
async fn ids(fixture: &Fixture) -> BTreeMap<String, String> {
    let path = r#"jsonpath={range .items[*]}{.metadata.name} {.status.clientId}{"\n"}{end}"#;
    let text = fixture.kubectl(&["get", "maoc", "-o", path]).await;
    text.lines().filter_map(|line| line.split_once(' ')).map(|(name, id)| (name.to_owned(), id.to_owned())).collect()
}

async fn marked_retained(fixture: &Fixture) -> Vec<String> {
    let left = remote(fixture).await.into_iter().filter(|client| client.metadata["meshagent.com/retained"] == "true");
    left.map(|client| client.client_id).collect()
}

/// K10b.
async fn goes_and_comes_back(fixture: &Fixture, count: usize) {
    apply_many(fixture, count).await;
    until_all_ready(fixture, count).await;
    let (before, published) = (ids(fixture).await, secrets(fixture).await);
    delete_definition(fixture).await;
    assert_left_behind(&secrets(fixture).await, &published);
    assert_eq!(fixture.count("DELETE").await, 0);
    assert_eq!(marked_retained(fixture).await.len(), count);
    resyncs(fixture, 2 * count.div_ceil(100)).await;
    fixture.operator.as_ref().unwrap().process().check_running().unwrap();
    bring_definition_back(fixture).await;
    apply_many(fixture, count).await;
    until_all_ready(fixture, count).await;
    assert_eq!(ids(fixture).await, before);
    assert_eq!((fixture.count("POST").await, fixture.count("DELETE").await), (count, 0));
    assert_eq!(marked_retained(fixture).await, [""; 0]);
    let again = secrets(fixture).await;
    assert!(again.iter().all(|(name, secret)| secret["data"] == published[name]["data"]), "a credential was changed");
    fixture.operator.as_ref().unwrap().process().check_running().unwrap();
}

#[tokio::test]
async fn a_definition_that_goes_leaves_fifty_clients_and_all_come_back_with_it() {
    goes_and_comes_back(&hasty("crd").await, 50).await;
}

#[tokio::test]
#[ignore = "minutes: cargo test --test integration a_definition_that_goes_leaves_a_thousand -- --ignored"]
async fn a_definition_that_goes_leaves_a_thousand_clients_and_all_come_back_with_it() {
    goes_and_comes_back(&hasty("crds").await, 1000).await;
}

#[tokio::test]
async fn a_definition_that_goes_while_meshagent_does_not_answer_leaves_all_clients_too() {
    let fixture = hasty("crdaway").await;
    apply_many(&fixture, 20).await;
    until_all_ready(&fixture, 20).await;
    let (before, published) = (ids(&fixture).await, secrets(&fixture).await);
    let away = Fault::Status { status: 503, body: None, headers: Default::default(), commit: false };
    let rule = FaultRule::on(RouteMatch::Any, away).in_project(fixture.project);
    let rule = fixture.admin.fault(&rule).await.unwrap();
    delete_definition(&fixture).await;
    assert_left_behind(&secrets(&fixture).await, &published);
    fixture.admin.remove_fault(rule.id).await.unwrap();
    resyncs(&fixture, 3).await;
    assert_eq!(fixture.remote_ids().await.len(), 20);

    bring_definition_back(&fixture).await;
    apply_many(&fixture, 15).await;
    until_all_ready(&fixture, 15).await;
    let (back, left): (BTreeMap<_, _>, BTreeMap<_, _>) = before
        .into_iter()
        .partition(|(name, _)| name.trim_start_matches("web").parse::<usize>().is_ok_and(|number| number < 15));
    assert_eq!(ids(&fixture).await, back);
    eventually(LONG, "those that nobody declares again are marked", async || {
        let mut marked = marked_retained(&fixture).await;
        marked.sort();
        let mut left: Vec<&String> = left.values().collect();
        left.sort();
        if marked.iter().eq(left) { Ok(()) } else { Err(format!("{} are", marked.len())) }
    })
    .await
    .unwrap();
    resyncs(&fixture, 3).await;
    assert_eq!(fixture.remote_ids().await.len(), 20);
    assert_eq!((fixture.count("POST").await, fixture.count("DELETE").await), (20, 0));
    fixture.operator.as_ref().unwrap().process().check_running().unwrap();
}

#[tokio::test]
async fn an_operator_that_is_started_without_the_definition_takes_all_up_once_it_is_there() {
    let fixture = hasty("nocrd").await;
    apply_many(&fixture, 3).await;
    until_all_ready(&fixture, 3).await;
    let before = ids(&fixture).await;
    delete_definition(&fixture).await;
    let process = fixture.operator.as_ref().unwrap().process();
    process.kill().unwrap();
    let before_restart = process.log().len();
    process.restart().unwrap();
    eventually(LONG, "the watch has failed", async || {
        let told = process.log()[before_restart..].contains("OAuthClients or their Secrets cannot be watched");
        if told { Ok(()) } else { Err("the log does not say so") }
    })
    .await
    .unwrap();
    process.check_running().unwrap();
    bring_definition_back(&fixture).await;
    apply_many(&fixture, 3).await;
    until_all_ready(&fixture, 3).await;
    assert_eq!(ids(&fixture).await, before);
    assert_eq!((fixture.count("POST").await, fixture.count("DELETE").await), (3, 0));
}

/// K10, with the key gone before anything else.
#[tokio::test]
async fn a_namespace_whose_key_went_first_deletes_its_clients_all_the_same() {
    let fixture = Fixture::shared("keyfirst").await;
    let namespace = format!("{}-team", fixture.ns());
    team(&fixture, &namespace, 5).await;
    assert_eq!(fixture.remote_ids().await.len(), 5);
    fixture.kubectl.run(&["-n", &namespace, "delete", "secret", "meshagent"]).await.unwrap();
    fixture.kubectl.run(&["delete", "namespace", &namespace, "--timeout=60s"]).await.unwrap();
    assert_eq!(fixture.remote_ids().await, [""; 0]);
    assert_eq!((fixture.count("POST").await, fixture.count("DELETE").await), (5, 5));
}

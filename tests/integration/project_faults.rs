//! Projects whose key, right or server is not what it was.

use std::process::Command;

use serde_json::{Value, json};
use simulator::admin::Route;
use simulator::fault::{Fault, FaultRule};
use simulator::state::Role;

use super::fixture::{Fixture, SYSTEM, condition, message};
use super::misbehaving::{give_ca_bundle, role_lacking, whole_role};
use super::projects::{change_key, until_project};

/// Waits until the project's Ready message is as wanted, and returns it.
async fn until_said(fixture: &Fixture, what: &str, is: impl Fn(&str) -> bool) -> String {
    let object = fixture.until("cmaproj", &fixture.project_name, what, |o| is(&message(o, "Ready"))).await;
    message(&object, "Ready")
}

/// Runs the kubectl command that a message ends with, as somebody who pastes it.
fn paste(fixture: &Fixture, message: &str, key: &str) {
    let command = message.get(message.rfind("kubectl ").unwrap()..).unwrap();
    let tools = harness::tool("kubectl").unwrap();
    let path = format!("{}:{}", tools.parent().unwrap().display(), std::env::var("PATH").unwrap_or_default());
    let output = Command::new("sh")
        .args(["-c", command])
        .env("KUBECONFIG", fixture.control_plane.get().admin_kubeconfig().unwrap())
        .env("PATH", path)
        .env("MESHAGENT_API_KEY", key)
        .output()
        .unwrap();
    assert!(output.status.success(), "{command}: {}", String::from_utf8_lossy(&output.stderr));
}

/// F31.
#[tokio::test]
async fn a_project_with_clients_stays_the_one_that_they_were_made_in_and_moves_once_nobody_uses_it() {
    let fixture = Fixture::shared("pin").await;
    fixture.apply(&fixture.client("web", &json!({}))).await;
    fixture.wait_ready("web").await;
    let other = fixture.admin.create_project(None).await.unwrap();
    fixture.put_key(other.api_key.expose()).await;
    let project = until_project(&fixture, "False/ProjectMismatch").await;
    assert_eq!(condition(&project, "Stalled"), "True/ProjectMismatch");
    assert_eq!(project["status"]["projectId"], fixture.project.to_string());
    let said = message(&project, "Ready");
    assert!(said.contains(&fixture.project.to_string()) && said.contains(&other.project_id.to_string()), "{said}");
    fixture.apply(&fixture.client("new", &json!({}))).await;
    fixture.until("maoc", "new", "it is told", |o| condition(o, "Stalled") == "True/ProjectMismatch").await;
    assert!(condition(&fixture.get("maoc", "web").await, "Ready").starts_with("True/"));
    let calls = fixture.admin.calls().await.unwrap();
    assert!(calls.iter().all(|call| call.project != Some(other.project_id)), "the other project was called");
    assert_eq!(fixture.count("POST").await, 1);
    change_key(&fixture, &Role::ALL).await;
    fixture.wait_ready("new").await;
    fixture.until_remote("both are in the project", |ids| ids.len() == 2).await;
    fixture.kubectl(&["delete", "maoc", "web", "new", "--timeout=60s"]).await;
    fixture.until_remote("none is left", <[String]>::is_empty).await;
    fixture.put_key(other.api_key.expose()).await;
    let moved = |object: &Value| object["status"]["projectId"] == other.project_id.to_string();
    fixture.until("cmaproj", &fixture.project_name, "it has moved", moved).await;
    fixture.apply(&fixture.client("web", &json!({}))).await;
    fixture.wait_ready("web").await;
    assert_eq!(fixture.admin.state().await.unwrap().clients_of(other.project_id).len(), 1);
}

/// F26.
#[tokio::test]
async fn a_right_to_read_what_a_project_needs_that_is_taken_away_is_said_and_clients_stay() {
    let fixture = Fixture::own("withheld", &["--resync-interval", "2s"]).await;
    give_ca_bundle(&fixture).await;
    for name in ["web", "gone"] {
        fixture.apply(&fixture.client(name, &json!({}))).await;
        fixture.wait_ready(name).await;
    }
    let all = whole_role();
    for (resource, field) in [("secrets", "spec.apiKeySecretRef"), ("configmaps", "spec.caBundleRef")] {
        fixture.apply(&role_lacking("", resource, &["get"])).await;
        let project = until_project(&fixture, "False/ProjectNotReady").await;
        let said = message(&project, "Ready");
        assert!(said.contains(&format!("the right to get {resource}")) && said.contains(field), "{said}");
        let web =
            fixture.until("maoc", "web", "it is told", |o| condition(o, "Synced") == "False/ProjectNotReady").await;
        assert_eq!(condition(&web, "Ready"), "True/ProjectNotReady");
        if resource == "secrets" {
            // The key in memory is good enough to clean up with.
            fixture.kubectl(&["delete", "maoc", "gone", "--timeout=60s"]).await;
            fixture.until_remote("one is left", |ids| ids.len() == 1).await;
        }
        fixture.apply(&all).await;
        until_project(&fixture, "True/Ready").await;
        fixture.until("maoc", "web", "all is well", |o| condition(o, "Ready") == "True/Ready").await;
    }
    assert_eq!(fixture.count("POST").await, 2);
}

/// F26.
#[tokio::test]
async fn namespaces_that_may_not_be_seen_are_said_to_be_withheld_and_not_waited_for_in_silence() {
    let fixture = Fixture::own("unseen", &[]).await;
    fixture.kubectl.run(&["label", "namespace", fixture.ns(), "team=red"]).await.unwrap();
    fixture.apply(&role_lacking("", "namespaces", &["list", "watch"])).await;
    let process = fixture.operator.as_ref().unwrap().process();
    process.kill().unwrap();
    process.restart().unwrap();
    let by_label = json!({ "allowedNamespaces": { "selector": { "matchLabels": { "team": "red" } } } });
    fixture.apply(&fixture.project_manifest(&by_label)).await;
    let lacks = |said: &str| said.contains("the right to list and watch namespaces");
    until_said(&fixture, "the project says it", lacks).await;
    assert_eq!(condition(&fixture.get("cmaproj", &fixture.project_name).await, "Ready"), "True/Ready");
    fixture.apply(&fixture.client("web", &json!({}))).await;
    let told = fixture.until("maoc", "web", "it is told", |o| condition(o, "Ready") == "False/ProjectNotReady").await;
    assert!(lacks(&message(&told, "Ready")), "{}", message(&told, "Ready"));
    fixture.apply(&whole_role()).await;
    fixture.wait_ready("web").await;
    until_said(&fixture, "the project has no complaint", |said| said == "the API key works").await;
}

/// F8.
#[tokio::test]
async fn a_key_under_another_name_is_pointed_at_and_what_is_printed_can_be_pasted() {
    let fixture = Fixture::shared("datakey").await;
    let name = fixture.project_name.as_str();
    let key = fixture.admin.create_key(fixture.project, &Role::ALL).await.unwrap();
    let key = key.api_key.expose();
    fixture.kubectl.run(&["delete", "secret", "-n", SYSTEM, name]).await.unwrap();
    let said = until_said(&fixture, "the Secret is missing", |said| said.contains("there is no Secret")).await;
    paste(&fixture, &said, key);
    until_project(&fixture, "True/Ready").await;
    fixture.kubectl.run(&["delete", "secret", "-n", SYSTEM, name]).await.unwrap();
    fixture.kubectl.run(&["create", "secret", "generic", "-n", SYSTEM, name]).await.unwrap();
    let said = until_said(&fixture, "the Secret is empty", |said| said.contains("has no data;")).await;
    paste(&fixture, &said, key);
    until_project(&fixture, "True/Ready").await;
    let reference = |data_key: Value| json!({ "apiKeySecretRef": { "name": name, "key": data_key } });
    fixture.apply(&fixture.project_manifest(&reference(Value::Null))).await;
    let said = until_said(&fixture, "the data keys are named", |said| said.contains("it has key.")).await;
    assert!(said.contains("spec.apiKeySecretRef.key") && !said.contains("kubectl"), "{said}");
    fixture.apply(&fixture.project_manifest(&reference(json!("key")))).await;
    until_project(&fixture, "True/Ready").await;
}

/// F2.
#[tokio::test]
async fn what_has_a_known_id_is_deleted_while_the_projects_listing_is_too_large() {
    let fixture = Fixture::shared("toolarge").await;
    fixture.apply(&fixture.client("web", &json!({}))).await;
    fixture.wait_ready("web").await;
    let flood = FaultRule::on(Route::ClientsList, Fault::Flood { bytes: 9 << 20 }).in_project(fixture.project);
    let flood = fixture.admin.fault(&flood).await.unwrap();
    // A new connection, which has never seen a listing.
    change_key(&fixture, &Role::ALL).await;
    let said = message(&until_project(&fixture, "False/APIUnavailable").await, "Ready");
    assert!(said.contains("too large"), "{said}");
    fixture.kubectl(&["delete", "maoc", "web", "--timeout=60s"]).await;
    fixture.until_remote("it is deleted", <[String]>::is_empty).await;
    fixture.admin.remove_fault(flood.id).await.unwrap();
    until_project(&fixture, "True/Ready").await;
}

/// Seven converged clients, and what each has: its id and the version of its Secret.
async fn seven(fixture: &Fixture) -> Vec<(String, Value, Value)> {
    let names: Vec<String> = (0..7).map(|number| format!("web{number}")).collect();
    for name in &names {
        fixture.apply(&fixture.client(name, &json!({}))).await;
    }
    for name in &names {
        fixture.wait_ready(name).await;
    }
    held(fixture).await
}

/// The id and the version of the Secret that each of them has now.
async fn held(fixture: &Fixture) -> Vec<(String, Value, Value)> {
    let mut held = Vec::new();
    for number in 0..7 {
        let name = format!("web{number}");
        let client_id = fixture.get("maoc", &name).await["status"]["clientId"].clone();
        let secret = fixture.get("secret", &format!("{name}-oauth")).await;
        held.push((name, client_id, secret["metadata"]["resourceVersion"].clone()));
    }
    held
}

/// Lets a server answer from now on that holds none of the project's clients. Returns the numbers of its rules.
async fn forget_all(fixture: &Fixture) -> Vec<u64> {
    let answer = |status, body| Fault::Status { status, body, headers: Default::default(), commit: false };
    let empty = answer(200, Some(json!({ "clients": [], "total": 0 })));
    let mut rules = Vec::new();
    for (route, fault) in [(Route::ClientsList, empty), (Route::ClientsGet, answer(404, None))] {
        let rule = FaultRule::on(route, fault).in_project(fixture.project);
        rules.push(fixture.admin.fault(&rule).await.unwrap().id);
    }
    rules
}

/// F24.
#[tokio::test]
async fn a_server_that_has_forgotten_all_clients_replaces_none_and_when_it_remembers_nothing_has_changed() {
    let fixture = Fixture::own("forgets", &["--resync-interval", "2s"]).await;
    let before = seven(&fixture).await;
    let rules = forget_all(&fixture).await;
    let project = until_project(&fixture, "False/ManyClientsGone").await;
    assert_eq!(condition(&project, "Stalled"), "True/ManyClientsGone");
    let said = message(&project, "Ready");
    let command = format!("annotate --overwrite cmaproj {} meshagent.com/accept-loss=7", fixture.project_name);
    assert!(said.starts_with("7 of the 7 clients") && said.ends_with(&command), "{said}");
    for (name, _, _) in &before {
        let client =
            fixture.until("maoc", name, "it is held", |o| condition(o, "Ready") == "False/ProjectNotReady").await;
        assert!(message(&client, "Ready").contains("ManyClientsGone"), "{}", message(&client, "Ready"));
        assert_eq!(condition(&client, "SecretReady"), "True/Ready");
        assert_eq!(condition(&client, "Stalled"), "True/ProjectNotReady");
    }
    let told = ["get", "events", "-n", "default", "--field-selector", "reason=ManyClientsGone", "-o", "name"];
    harness::eventually(super::fixture::LONG, "an Event tells", async || {
        let events = fixture.kubectl.run(&told).await.unwrap().lines().count();
        if events == 1 { Ok(()) } else { Err(events.to_string()) }
    })
    .await
    .unwrap();
    // Everything that has nothing to do with the missing clients goes on.
    fixture.resyncs(2).await;
    assert_eq!((fixture.count("POST").await, held(&fixture).await), (7, before.clone()));
    for rule in rules {
        fixture.admin.remove_fault(rule).await.unwrap();
    }
    until_project(&fixture, "True/Ready").await;
    for (name, _, _) in &before {
        fixture.until("maoc", name, "it is well again", |o| condition(o, "Ready") == "True/Ready").await;
    }
    assert_eq!(held(&fixture).await, before);
    assert_eq!((fixture.count("POST").await, fixture.count("PUT").await, fixture.count("DELETE").await), (7, 0, 0));
}

/// F24.
#[tokio::test]
async fn a_loss_that_is_accepted_is_replaced_up_to_its_number_and_other_work_goes_on_before() {
    let fixture = Fixture::shared("accepted").await;
    let before = seven(&fixture).await;
    for (_, client_id, _) in before.iter().take(5) {
        fixture.admin.delete_client(fixture.project, client_id.as_str().unwrap()).await.unwrap();
    }
    // The client whose pass is first must not be taken for a single loss.
    let look = "meshagent.com/reconcile-requested-at=now";
    fixture.kubectl(&["annotate", "--overwrite", "maoc", "web0", look]).await;
    let said = message(&until_project(&fixture, "False/ManyClientsGone").await, "Ready");
    assert!(said.starts_with("5 of the 7 clients"), "{said}");
    fixture.apply(&fixture.client("new", &json!({}))).await;
    fixture.wait_ready("new").await;
    fixture.apply(&fixture.client("web6", &json!({ "scopes": ["openid"] }))).await;
    fixture.until("maoc", "web6", "the edit is applied", |o| o["status"]["appliedGeneration"] == 2).await;
    let short = "meshagent.com/accept-loss=4";
    fixture.kubectl.run(&["annotate", "--overwrite", "cmaproj", &fixture.project_name, short]).await.unwrap();
    until_said(&fixture, "four do not cover five", |said| said.contains("accept-loss=4 does not cover them")).await;
    assert_eq!(fixture.count("POST").await, 8);
    paste(&fixture, &said, "");
    for (name, client_id, _) in &before {
        let client = fixture.until("maoc", name, "it is Ready", |o| condition(o, "Ready") == "True/Ready").await;
        let replaced = &client["status"]["clientId"] != client_id;
        assert_eq!(replaced, before.iter().position(|(it, _, _)| it == name) < Some(5), "{name}");
    }
    until_project(&fixture, "True/Ready").await;
    let handled = |object: &Value| object["status"]["lastHandledAcceptLoss"] == "5";
    fixture.until("cmaproj", &fixture.project_name, "it is handled", handled).await;
    fixture.until_remote("each has one", |ids| ids.len() == 8).await;
    assert_eq!(fixture.count("POST").await, 13);
}

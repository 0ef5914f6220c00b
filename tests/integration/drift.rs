//! Settings that MeshAgent keeps otherwise than it was sent, edits in Studio, and limits on clients.

use harness::eventually;
use serde_json::{Value, json};
use simulator::admin::{ClientFields, Fault, FaultRule, Normalise, Route, Settings};

use super::fixture::{Fixture, LONG, condition, message};

async fn puts(fixture: &Fixture, client_id: &str) -> usize {
    let calls = fixture.calls().await;
    calls.iter().filter(|call| call.method == "PUT" && call.path.ends_with(client_id)).count()
}

async fn client_id(fixture: &Fixture, name: &str) -> String {
    fixture.get("maoc", name).await["status"]["clientId"].as_str().unwrap().to_owned()
}

async fn until_drift_persists(fixture: &Fixture, name: &str) {
    let generation = fixture.get("maoc", name).await["metadata"]["generation"].clone();
    let client = fixture
        .until("maoc", name, "the drift is said to persist", |o| {
            condition(o, "Synced") == "False/DriftPersists" && o["status"]["appliedGeneration"] == generation
        })
        .await;
    assert_eq!(condition(&client, "Ready"), "True/DriftPersists");
    assert_eq!(client["status"]["persistingDrift"].as_str().map(str::is_empty), Some(false));
    assert!(message(&client, "Synced").contains("write the value in spec as MeshAgent keeps it"));
}

async fn until_in_sync(fixture: &Fixture, name: &str) {
    let generation = fixture.get("maoc", name).await["metadata"]["generation"].clone();
    let client = fixture
        .until("maoc", name, "it is in sync", |o| {
            condition(o, "Synced") == "True/Ready" && o["status"]["appliedGeneration"] == generation
        })
        .await;
    assert_eq!(condition(&client, "Ready"), "True/Ready");
    assert_eq!(client["status"]["persistingDrift"], Value::Null);
}

/// R16: clients that the server normalises, by name: what is declared, what it keeps, and what is declared later.
fn normalised() -> [(&'static str, Value, Value, Value); 3] {
    let uri = |uri: &str| json!({ "redirectUris": [uri] });
    let scopes = |scopes: &[&str]| json!({ "scopes": scopes });
    [
        ("host", uri("https://A.example/cb"), uri("https://a.example/cb"), uri("https://B.example/cb")),
        ("slash", uri("https://a.example/cb/"), uri("https://a.example/cb"), uri("https://b.example/cb/")),
        ("scope", scopes(&["openid", "rooms"]), scopes(&["openid"]), scopes(&["openid", "email", "rooms"])),
    ]
}

#[tokio::test]
async fn what_the_server_keeps_otherwise_is_sent_once_and_said_until_spec_or_server_change() {
    let args = ["--resync-interval", "2s", "--leader-elect", "false"];
    let fixture = Fixture::own("drift", &args).await;
    let normalise =
        Normalise { lower_case_hosts: true, strip_trailing_slash: true, drop_scopes: vec!["rooms".to_owned()] };
    fixture.admin.configure(fixture.project, &Settings { normalise, ..Settings::default() }).await.unwrap();
    for (name, declared, _, _) in normalised() {
        fixture.apply(&fixture.client(name, &declared)).await;
    }
    for (name, ..) in normalised() {
        until_drift_persists(&fixture, name).await;
    }
    fixture.resyncs(3).await;
    let process = fixture.operator.as_ref().unwrap().process();
    process.kill().unwrap();
    process.restart().unwrap();
    fixture.resyncs(3).await;
    for (name, ..) in normalised() {
        until_drift_persists(&fixture, name).await;
        assert_eq!(puts(&fixture, &client_id(&fixture, name).await).await, 1, "{name}");
    }
    for (name, _, kept, _) in normalised() {
        fixture.apply(&fixture.client(name, &kept)).await;
        until_in_sync(&fixture, name).await;
        assert_eq!(puts(&fixture, &client_id(&fixture, name).await).await, 1, "{name}");
    }
    for (name, _, _, other) in normalised() {
        fixture.apply(&fixture.client(name, &other)).await;
        until_drift_persists(&fixture, name).await;
    }
    fixture.resyncs(3).await;
    // A value that is kept otherwise looks like an edit in Studio, until the second PUT changes nothing.
    for (name, ..) in normalised() {
        assert_eq!(puts(&fixture, &client_id(&fixture, name).await).await, 3, "{name}");
    }
    assert_eq!((fixture.count("POST").await, fixture.count("DELETE").await), (3, 0));
}

/// U9: a repair is no drift that stays, even of the same edit.
#[tokio::test]
async fn an_edit_in_studio_is_repaired_each_time() {
    let fixture = Fixture::own("studioedit", &["--resync-interval", "2s"]).await;
    fixture.apply(&fixture.client("web", &json!({}))).await;
    fixture.wait_ready("web").await;
    let id = client_id(&fixture, "web").await;
    let edited = ClientFields { redirect_uris: Some(vec!["https://studio.example".to_owned()]), ..Default::default() };
    for edit in 1..=3 {
        fixture.admin.edit_client(fixture.project, &id, &edited).await.unwrap();
        eventually(LONG, "it is repaired", async || {
            let remote = fixture.admin.state().await.unwrap().clients_of(fixture.project).remove(0);
            let repaired = remote.redirect_uris == ["https://shop.example.com/oauth/callback"];
            if repaired { Ok(()) } else { Err(remote.redirect_uris.join(", ")) }
        })
        .await
        .unwrap();
        fixture.resyncs(2).await;
        until_in_sync(&fixture, "web").await;
        assert_eq!(puts(&fixture, &id).await, edit);
    }
}

#[tokio::test]
async fn a_full_project_is_named_and_asked_again_only_when_somebody_wants_it() {
    let fixture = Fixture::shared("full").await;
    let fields = json!({
        "grant_types": ["authorization_code"],
        "response_types": ["code"],
        "redirect_uris": ["https://theirs.example"],
        "scope": "openid",
    });
    let theirs: ClientFields = serde_json::from_value(fields).unwrap();
    let theirs = fixture.admin.create_client(fixture.project, &theirs).await.unwrap().client.client_id;
    limit(&fixture, Some(1)).await;
    fixture.apply(&fixture.client("web", &json!({}))).await;
    let client =
        fixture.until("maoc", "web", "the limit is named", |o| condition(o, "Stalled") == "True/LimitReached").await;
    assert_eq!(condition(&client, "Ready"), "False/LimitReached");
    let said = message(&client, "Ready");
    assert!(said.contains("delete clients that nobody needs") && said.contains("reconcile-requested-at"), "{said}");
    // The passes that the first one's writes enqueued are over once another waits for a project that is not there.
    let nowhere = json!({ "projectRef": { "kind": "ClusterMeshAgentProject", "name": "nowhere" } });
    fixture.apply(&fixture.client("other", &nowhere)).await;
    fixture.until("maoc", "other", "it waits", |o| condition(o, "Ready") == "False/ProjectNotFound").await;
    assert_eq!(fixture.count("POST").await, 1);
    fixture.admin.delete_client(fixture.project, &theirs).await.unwrap();
    fixture.kubectl(&["annotate", "maoc", "web", "meshagent.com/reconcile-requested-at=now-1"]).await;
    fixture.wait_ready("web").await;
    assert_eq!((fixture.count("POST").await, fixture.count("DELETE").await), (2, 0));
    assert_eq!(fixture.remote_ids().await, [client_id(&fixture, "web").await]);
}

/// F38: what waits for a limit is the rotation alone.
#[tokio::test]
async fn a_rotation_that_is_refused_holds_up_neither_an_edit_nor_a_repair() {
    let fixture = Fixture::shared("fullrotation").await;
    fixture.apply(&fixture.client("web", &json!({}))).await;
    fixture.wait_ready("web").await;
    let before = client_id(&fixture, "web").await;
    limit(&fixture, Some(1)).await;
    fixture.kubectl(&["annotate", "maoc", "web", "meshagent.com/rotate-requested-at=monday"]).await;
    let named = |object: &Value| condition(object, "Synced") == "False/LimitReached";
    let refused = fixture.until("maoc", "web", "the limit is named", named).await;
    assert_eq!(condition(&refused, "Ready"), "True/LimitReached");
    fixture.apply(&fixture.client("web", &json!({ "scopes": ["openid"] }))).await;
    fixture.until("maoc", "web", "the edit is applied", |o| o["status"]["appliedGeneration"] == 2).await;
    let remote = fixture.admin.state().await.unwrap().clients_of(fixture.project).remove(0);
    assert_eq!((remote.scope.as_str(), remote.client_id.as_str()), ("openid", before.as_str()));
    fixture.kubectl(&["label", "secret", "web-oauth", "app.kubernetes.io/managed-by-"]).await;
    let label = "jsonpath={.metadata.labels.app\\.kubernetes\\.io/managed-by}";
    let get = ["-n", fixture.ns(), "get", "secret", "web-oauth", "-o", label];
    eventually(LONG, "the Secret is repaired", async || {
        let found = fixture.kubectl.run(&get).await.unwrap();
        if found == "meshagent-operator" { Ok(()) } else { Err(found) }
    })
    .await
    .unwrap();
    limit(&fixture, None).await;
    fixture.kubectl(&["annotate", "maoc", "web", "meshagent.com/reconcile-requested-at=now-1"]).await;
    fixture.until("maoc", "web", "it is rotated", |o| o["status"]["lastHandledRotateAt"] == "monday").await;
    assert_ne!(client_id(&fixture, "web").await, before);
}

async fn limit(fixture: &Fixture, client_limit: Option<usize>) {
    fixture.admin.configure(fixture.project, &Settings { client_limit, ..Settings::default() }).await.unwrap();
}

/// Commits POSTs and answers them with 500; without `times`, all of them.
async fn commit_and_fail(fixture: &Fixture, times: Option<u64>) -> u64 {
    let fault = Fault::Status { status: 500, body: None, headers: Default::default(), commit: true };
    let rule = FaultRule { count: times, ..FaultRule::on(Route::ClientsCreate, fault).in_project(fixture.project) };
    fixture.admin.fault(&rule).await.unwrap().id
}

/// P9.
#[tokio::test]
async fn against_a_limit_the_objects_own_waste_is_removed_before_the_next_post() {
    let fixture = Fixture::shared("waste").await;
    limit(&fixture, Some(2)).await;
    commit_and_fail(&fixture, Some(2)).await;
    fixture.apply(&fixture.client("web", &json!({}))).await;
    fixture.wait_ready("web").await;
    fixture.until_remote("one client", |ids| ids.len() == 1).await;
    assert_eq!(fixture.remote_ids().await, [client_id(&fixture, "web").await]);
    let calls = fixture.calls().await;
    let made: Vec<_> = calls
        .iter()
        .filter(|call| call.method == "POST" || call.method == "DELETE")
        .map(|call| (call.method.as_str(), call.status.unwrap_or_default()))
        .collect();
    let wanted = [("POST", 500), ("POST", 500), ("POST", 409), ("DELETE", 204), ("DELETE", 204), ("POST", 200)];
    assert_eq!(made, wanted);
}

/// P9, and P1 without end.
#[tokio::test]
async fn while_every_post_is_committed_and_answered_500_there_are_never_more_than_three_clients() {
    let fixture = Fixture::shared("wasteful").await;
    let fault = commit_and_fail(&fixture, None).await;
    fixture.apply(&fixture.client("web", &json!({}))).await;
    eventually(LONG, "five POSTs", async || {
        let (clients, posts) = (fixture.remote_ids().await.len(), fixture.count("POST").await);
        assert!(clients <= 3, "{clients} clients");
        if posts >= 5 { Ok(()) } else { Err(posts.to_string()) }
    })
    .await
    .unwrap();
    fixture.admin.remove_fault(fault).await.unwrap();
    fixture.wait_ready("web").await;
    fixture.until_remote("one client", |ids| ids.len() == 1).await;
    assert_eq!(fixture.remote_ids().await, [client_id(&fixture, "web").await]);
}

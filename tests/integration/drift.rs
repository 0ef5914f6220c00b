//! What MeshAgent keeps otherwise than it was sent, what is edited in Studio, and limits on clients.

use harness::eventually;
use serde_json::{Value, json};
use simulator::admin::{ClientFields, Fault, FaultRule, Normalise, Route, Settings};

use super::ground::{Ground, LONG, condition, message};

async fn puts(ground: &Ground, client_id: &str) -> usize {
    let calls = ground.calls().await;
    calls.iter().filter(|call| call.method == "PUT" && call.path.ends_with(client_id)).count()
}

async fn client_id(ground: &Ground, name: &str) -> String {
    ground.get("maoc", name).await["status"]["clientId"].as_str().unwrap().to_owned()
}

async fn until_drift_persists(ground: &Ground, name: &str) {
    let generation = ground.get("maoc", name).await["metadata"]["generation"].clone();
    let client = ground
        .until("maoc", name, "the drift is said to persist", |o| {
            condition(o, "Synced") == "False/DriftPersists" && o["status"]["appliedGeneration"] == generation
        })
        .await;
    assert_eq!(condition(&client, "Ready"), "True/DriftPersists");
    assert_eq!(client["status"]["persistingDrift"].as_str().map(str::is_empty), Some(false));
    assert!(message(&client, "Synced").contains("write the value in spec as MeshAgent keeps it"));
}

async fn until_in_sync(ground: &Ground, name: &str) {
    let generation = ground.get("maoc", name).await["metadata"]["generation"].clone();
    let client = ground
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
    let ground = Ground::own("drift", &args).await;
    let normalise =
        Normalise { lower_case_hosts: true, strip_trailing_slash: true, drop_scopes: vec!["rooms".to_owned()] };
    ground.admin.configure(ground.project, &Settings { normalise, ..Settings::default() }).await.unwrap();
    for (name, declared, _, _) in normalised() {
        ground.apply(&ground.client(name, &declared)).await;
    }
    for (name, ..) in normalised() {
        until_drift_persists(&ground, name).await;
    }
    ground.resyncs(3).await;
    let process = ground.operator.as_ref().unwrap().process();
    process.kill().unwrap();
    process.restart().unwrap();
    ground.resyncs(3).await;
    for (name, ..) in normalised() {
        until_drift_persists(&ground, name).await;
        assert_eq!(puts(&ground, &client_id(&ground, name).await).await, 1, "{name}");
    }
    for (name, _, kept, _) in normalised() {
        ground.apply(&ground.client(name, &kept)).await;
        until_in_sync(&ground, name).await;
        assert_eq!(puts(&ground, &client_id(&ground, name).await).await, 1, "{name}");
    }
    for (name, _, _, other) in normalised() {
        ground.apply(&ground.client(name, &other)).await;
        until_drift_persists(&ground, name).await;
    }
    ground.resyncs(3).await;
    // One that is kept otherwise looks like an edit in Studio, until the second changes nothing.
    for (name, ..) in normalised() {
        assert_eq!(puts(&ground, &client_id(&ground, name).await).await, 3, "{name}");
    }
    assert_eq!((ground.count("POST").await, ground.count("DELETE").await), (3, 0));
}

/// U9: a repair is no drift that stays, even of the same edit.
#[tokio::test]
async fn an_edit_in_studio_is_repaired_each_time() {
    let ground = Ground::own("studioedit", &["--resync-interval", "2s"]).await;
    ground.apply(&ground.client("web", &json!({}))).await;
    ground.wait_ready("web").await;
    let id = client_id(&ground, "web").await;
    let edited = ClientFields { redirect_uris: Some(vec!["https://studio.example".to_owned()]), ..Default::default() };
    for edit in 1..=3 {
        ground.admin.edit_client(ground.project, &id, &edited).await.unwrap();
        eventually(LONG, "it is repaired", async || {
            let remote = ground.admin.state().await.unwrap().clients_of(ground.project).remove(0);
            let repaired = remote.redirect_uris == ["https://shop.example.com/oauth/callback"];
            if repaired { Ok(()) } else { Err(remote.redirect_uris.join(", ")) }
        })
        .await
        .unwrap();
        ground.resyncs(2).await;
        until_in_sync(&ground, "web").await;
        assert_eq!(puts(&ground, &id).await, edit);
    }
}

#[tokio::test]
async fn a_full_project_is_named_and_asked_again_only_when_somebody_wants_it() {
    let ground = Ground::shared("full").await;
    let fields = json!({
        "grant_types": ["authorization_code"],
        "response_types": ["code"],
        "redirect_uris": ["https://theirs.example"],
        "scope": "openid",
    });
    let theirs: ClientFields = serde_json::from_value(fields).unwrap();
    let theirs = ground.admin.create_client(ground.project, &theirs).await.unwrap().client.client_id;
    limit(&ground, Some(1)).await;
    ground.apply(&ground.client("web", &json!({}))).await;
    let client =
        ground.until("maoc", "web", "the limit is named", |o| condition(o, "Stalled") == "True/LimitReached").await;
    assert_eq!(condition(&client, "Ready"), "False/LimitReached");
    let said = message(&client, "Ready");
    assert!(said.contains("delete clients that nobody needs") && said.contains("reconcile-requested-at"), "{said}");
    // While another one comes to wait for a project that is not there, what the first one's writes set off is over.
    let nowhere = json!({ "projectRef": { "kind": "ClusterMeshAgentProject", "name": "nowhere" } });
    ground.apply(&ground.client("other", &nowhere)).await;
    ground.until("maoc", "other", "it waits", |o| condition(o, "Ready") == "False/ProjectNotFound").await;
    assert_eq!(ground.count("POST").await, 1);
    ground.admin.delete_client(ground.project, &theirs).await.unwrap();
    ground.kubectl(&["annotate", "maoc", "web", "meshagent.com/reconcile-requested-at=now-1"]).await;
    ground.wait_ready("web").await;
    assert_eq!((ground.count("POST").await, ground.count("DELETE").await), (2, 0));
    assert_eq!(ground.remote_ids().await, [client_id(&ground, "web").await]);
}

async fn limit(ground: &Ground, client_limit: Option<usize>) {
    ground.admin.configure(ground.project, &Settings { client_limit, ..Settings::default() }).await.unwrap();
}

/// POSTs that are committed and answered with 500; without `times`, all.
async fn commit_and_fail(ground: &Ground, times: Option<u64>) -> u64 {
    let fault = Fault::Status { status: 500, body: None, headers: Default::default(), commit: true };
    let rule = FaultRule { count: times, ..FaultRule::on(Route::ClientsCreate, fault).in_project(ground.project) };
    ground.admin.fault(&rule).await.unwrap().id
}

/// P9.
#[tokio::test]
async fn against_a_limit_the_objects_own_waste_is_removed_before_the_next_post() {
    let ground = Ground::shared("waste").await;
    limit(&ground, Some(2)).await;
    commit_and_fail(&ground, Some(2)).await;
    ground.apply(&ground.client("web", &json!({}))).await;
    ground.wait_ready("web").await;
    ground.until_remote("one client", |ids| ids.len() == 1).await;
    assert_eq!(ground.remote_ids().await, [client_id(&ground, "web").await]);
    let calls = ground.calls().await;
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
    let ground = Ground::shared("wasteful").await;
    let fault = commit_and_fail(&ground, None).await;
    ground.apply(&ground.client("web", &json!({}))).await;
    eventually(LONG, "five POSTs", async || {
        let (clients, posts) = (ground.remote_ids().await.len(), ground.count("POST").await);
        assert!(clients <= 3, "{clients} clients");
        if posts >= 5 { Ok(()) } else { Err(posts.to_string()) }
    })
    .await
    .unwrap();
    ground.admin.remove_fault(fault).await.unwrap();
    ground.wait_ready("web").await;
    ground.until_remote("one client", |ids| ids.len() == 1).await;
    assert_eq!(ground.remote_ids().await, [client_id(&ground, "web").await]);
}

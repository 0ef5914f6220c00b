//! The platform engineer, with Argo CD and Flux in mind.

use std::pin::Pin;

use futures::{Stream, StreamExt};
use harness::kstatus;
use kube::api::{ApiResource, DynamicObject, WatchEvent, WatchParams};
use meshagent_operator::api::OAuthClient;
use serde_json::{Value, json};

use super::fixture::{Fixture, LONG, condition, start_operator};

fn version(object: &Value) -> String {
    object["metadata"]["resourceVersion"].as_str().unwrap_or_default().to_owned()
}

#[tokio::test]
async fn applying_again_changes_nothing_and_calls_nobody() {
    let fixture = Fixture::shared("again").await;
    let manifest = fixture.client("web", &json!({}));
    let text = manifest.to_string();
    fixture.apply(&manifest).await;
    fixture.wait_ready("web").await;
    let calls = fixture.calls().await;
    let client_side: [&[&str]; 2] = [&["apply", "-f", "-"], &["diff", "-f", "-"]];
    let server_side: [&[&str]; 2] = [
        &["apply", "--server-side", "--force-conflicts", "-f", "-"],
        &["diff", "--server-side", "--force-conflicts", "-f", "-"],
    ];
    for [args, diff] in [client_side, server_side] {
        fixture.kubectl.run_with_input(args, &text).await.unwrap();
        // The second apply of a series is the first that may change nothing at all.
        fixture.kubectl.run_with_input(args, &text).await.unwrap();
        let before = version(&fixture.get("maoc", "web").await);
        fixture.kubectl.run_with_input(args, &text).await.unwrap();
        assert_eq!(version(&fixture.get("maoc", "web").await), before);
        let diff = fixture.kubectl.try_run(diff, &text).await.unwrap();
        assert_eq!((diff.status.code(), diff.stdout.as_str()), (Some(0), ""), "{args:?}");
    }
    assert_eq!(fixture.calls().await, calls);
}

#[tokio::test]
async fn kubectl_replace_twenty_times_keeps_the_client_and_posts_once() {
    let fixture = Fixture::shared("replace").await;
    let manifest = fixture.client("web", &json!({}));
    fixture.apply(&manifest).await;
    fixture.wait_ready("web").await;
    let client_id = fixture.get("maoc", "web").await["status"]["clientId"].clone();
    for _ in 0..20 {
        fixture.kubectl.run_with_input(&["replace", "-f", "-"], &manifest.to_string()).await.unwrap();
        let after = fixture
            .until("maoc", "web", "the finalizer is back", |object| {
                object["metadata"]["finalizers"] == json!(["meshagent.com/oauth-client"])
            })
            .await;
        assert_eq!(after["status"]["clientId"], client_id);
    }
    let at_rest =
        fixture.until("maoc", "web", "it is Ready", |object| condition(object, "Ready") == "True/Ready").await;
    assert_eq!(at_rest["status"]["clientId"], client_id);
    harness::eventually(LONG, "object and Secret agree on the token", async || {
        let (object, secret) = (fixture.get("maoc", "web").await, fixture.get("secret", "web-oauth").await);
        let token = |object: &Value| object["metadata"]["annotations"]["meshagent.com/create-token"].clone();
        if token(&object) == token(&secret) && token(&object).is_string() { Ok(()) } else { Err("they differ") }
    })
    .await
    .unwrap();
    assert_eq!((fixture.count("POST").await, fixture.count("PUT").await, fixture.count("DELETE").await), (1, 0, 0));
}

#[tokio::test]
async fn without_an_operator_what_was_applied_is_in_progress_for_kstatus_and_never_current() {
    let mut fixture = Fixture::own("zero", &[]).await;
    fixture.apply(&fixture.client("edited", &json!({}))).await;
    fixture.wait_ready("edited").await;
    let address = json!(["https://new.example.com/cb"]);
    let statuses = async |fixture: &Fixture| {
        let mut found = Vec::new();
        for name in ["edited", "fresh"] {
            found.push(kstatus(&fixture.get("maoc", name).await).await.unwrap());
        }
        found
    };
    fixture.stop_operator().await;
    fixture.apply(&fixture.client("edited", &json!({ "redirectUris": address }))).await;
    fixture.apply(&fixture.client("fresh", &json!({}))).await;
    assert_eq!(statuses(&fixture).await, ["InProgress", "InProgress"]);

    fixture.operator = Some(start_operator(fixture.control_plane.get(), &[]));
    harness::eventually(LONG, "both are Current", async || {
        let found = statuses(&fixture).await;
        if found == ["Current", "Current"] { Ok(()) } else { Err(found.join(", ")) }
    })
    .await
    .unwrap();
    assert_eq!((fixture.count("POST").await, fixture.count("PUT").await, fixture.count("DELETE").await), (2, 1, 0));
}

#[tokio::test]
async fn kstatus_calls_a_ready_client_current_and_an_impossible_one_failed() {
    let fixture = Fixture::shared("kstatus").await;
    fixture.apply(&fixture.client("web", &json!({}))).await;
    fixture.wait_ready("web").await;
    let found = kstatus(&fixture.get("maoc", "web").await).await.unwrap();
    assert_eq!(found, "Current");
    fixture.kubectl(&["create", "secret", "generic", "taken"]).await;
    fixture.apply(&fixture.client("other", &json!({ "secret": { "name": "taken" } }))).await;
    let other = fixture.until("maoc", "other", "it is stalled", |o| condition(o, "Stalled").starts_with("True")).await;
    let found = kstatus(&other).await.unwrap();
    assert_eq!(found, "Failed");
}

#[tokio::test]
async fn a_new_client_that_is_suspended_stays_in_progress_and_a_ready_one_stays_current() {
    let fixture = Fixture::shared("suspended").await;
    fixture.apply(&fixture.client("ready", &json!({}))).await;
    fixture.wait_ready("ready").await;
    let calls = fixture.calls().await;
    for name in ["new", "ready"] {
        fixture.apply(&fixture.client(name, &json!({ "suspend": true }))).await;
    }
    for (name, wanted, found) in [("new", "Unknown/Suspended", "InProgress"), ("ready", "True/Suspended", "Current")] {
        let object = fixture.until("maoc", name, wanted, |o| condition(o, "Ready") == wanted).await;
        assert_eq!(kstatus(&object).await.unwrap(), found, "{}", object["status"]);
    }
    assert_eq!(fixture.calls().await, calls, "MeshAgent was asked for one that is suspended");

    fixture.apply(&fixture.client("new", &json!({}))).await;
    fixture.wait_ready("new").await;
    assert_eq!(kstatus(&fixture.get("maoc", "new").await).await.unwrap(), "Current");
}

/// All versions of the namespace's OAuthClients from now on.
async fn versions(fixture: &Fixture) -> Pin<Box<dyn Stream<Item = Value> + Send>> {
    let client = fixture.control_plane.get().admin().await.unwrap();
    let resource = ApiResource::erase::<OAuthClient>(&());
    let clients: kube::Api<DynamicObject> = kube::Api::namespaced_with(client, fixture.ns(), &resource);
    let events = clients.watch(&WatchParams::default(), "0").await.unwrap();
    let objects = events.filter_map(async |event| {
        let event = event.unwrap();
        assert!(!matches!(event, WatchEvent::Error(_)), "{event:?}");
        match event {
            WatchEvent::Added(object) | WatchEvent::Modified(object) => Some(serde_json::to_value(object).unwrap()),
            WatchEvent::Deleted(_) | WatchEvent::Bookmark(_) | WatchEvent::Error(_) => None,
        }
    });
    Box::pin(objects)
}

/// The reasons that an OAuthClient gives for not being Ready, in order, until it is; in none of them Stalled, and in
/// progress for kstatus.
async fn reasons_until_ready(mut versions: Pin<Box<dyn Stream<Item = Value> + Send>>) -> Vec<String> {
    let mut reasons: Vec<String> = Vec::new();
    let all = async {
        loop {
            let object = versions.next().await.unwrap();
            assert_eq!(condition(&object, "Stalled"), "", "{}", object["status"]);
            let (ready, found) = (condition(&object, "Ready"), kstatus(&object).await.unwrap());
            if ready == "True/Ready" {
                assert_eq!(found, "Current", "{}", object["status"]);
                return;
            }
            assert_eq!(found, "InProgress", "{}", object["status"]);
            if !ready.is_empty() && reasons.last() != Some(&ready) {
                reasons.push(ready);
            }
        }
    };
    tokio::time::timeout(LONG, all).await.unwrap();
    reasons
}

/// Manifests in an order that no tool would choose: a Deployment, the OAuthClient, its project, and the project's key.
fn in_the_worst_order(fixture: &Fixture, key: &str) -> [Value; 4] {
    let deployment = json!({
        "apiVersion": "apps/v1",
        "kind": "Deployment",
        "metadata": { "name": "web", "namespace": fixture.ns() },
        "spec": {
            "selector": { "matchLabels": { "app": "web" } },
            "template": {
                "metadata": { "labels": { "app": "web", "meshagent.com/oauth-client": "web" } },
                "spec": { "containers": [{ "name": "web", "image": "web" }] },
            },
        },
    });
    let reference = json!({ "projectRef": { "kind": "MeshAgentProject", "name": "team" } });
    let project = json!({
        "apiVersion": "meshagent.com/v1alpha1",
        "kind": "MeshAgentProject",
        "metadata": { "name": "team", "namespace": fixture.ns() },
        "spec": { "apiUrl": fixture.api_url, "apiKeySecretRef": { "name": "key" } },
    });
    let key = json!({
        "apiVersion": "v1",
        "kind": "Secret",
        "metadata": { "name": "key", "namespace": fixture.ns() },
        "stringData": { "api-key": key },
    });
    [deployment, fixture.client("web", &reference), project, key]
}

#[tokio::test]
async fn applied_at_once_in_the_worst_order_it_is_never_stalled_and_becomes_ready() {
    let fixture = Fixture::shared("order").await;
    let access = fixture.admin.create_project(None).await.unwrap();
    let seen = tokio::spawn(reasons_until_ready(versions(&fixture).await));
    let items = in_the_worst_order(&fixture, access.api_key.expose());
    fixture.apply(&json!({ "apiVersion": "v1", "kind": "List", "items": items })).await;
    seen.await.unwrap();
    let client = fixture.get("maoc", "web").await;
    let remote = fixture.admin.state().await.unwrap().clients_of(access.project_id);
    let ids: Vec<&str> = remote.iter().map(|client| client.client_id.as_str()).collect();
    assert_eq!(ids, [client["status"]["clientId"].as_str().unwrap()]);
}

#[tokio::test]
async fn applied_one_by_one_it_says_each_time_what_it_waits_for() {
    let fixture = Fixture::shared("piecemeal").await;
    let access = fixture.admin.create_project(None).await.unwrap();
    let seen = tokio::spawn(reasons_until_ready(versions(&fixture).await));
    let [deployment, client, project, key] = in_the_worst_order(&fixture, access.api_key.expose());
    let until = async |reason: &str| {
        fixture.until("maoc", "web", reason, |object| condition(object, "Ready") == reason).await;
    };
    fixture.apply(&deployment).await;
    fixture.apply(&client).await;
    until("False/ProjectNotFound").await;
    fixture.apply(&project).await;
    until("False/CredentialsNotFound").await;
    fixture.apply(&key).await;
    until("True/Ready").await;
    assert_eq!(seen.await.unwrap(), ["False/ProjectNotFound", "False/CredentialsNotFound"]);
}

#[tokio::test]
async fn a_namespace_that_is_no_longer_allowed_is_frozen_and_can_be_cleaned_up() {
    let fixture = Fixture::shared("label").await;
    let selector = json!({ "allowedNamespaces": { "selector": { "matchLabels": { "tenant": fixture.ns() } } } });
    fixture.kubectl.run(&["label", "namespace", fixture.ns(), &format!("tenant={}", fixture.ns())]).await.unwrap();
    fixture.apply(&fixture.project_manifest(&selector)).await;
    fixture.apply(&fixture.client("web", &json!({}))).await;
    fixture.wait_ready("web").await;
    fixture.kubectl.run(&["label", "namespace", fixture.ns(), "tenant-"]).await.unwrap();
    let frozen = fixture
        .until("maoc", "web", "it says that the namespace is not allowed", |object| {
            condition(object, "Synced") == "False/NamespaceNotAllowed"
        })
        .await;
    assert_eq!(condition(&frozen, "Ready"), "True/NamespaceNotAllowed");
    let patch = r#"{"spec":{"redirectUris":["https://new.example.com/cb"]}}"#;
    fixture.kubectl(&["patch", "maoc", "web", "--type=merge", "-p", patch]).await;
    let generation = frozen["metadata"]["generation"].as_i64().unwrap() + 1;
    fixture
        .until("maoc", "web", "the edit is seen", |object| object["status"]["observedGeneration"] == generation)
        .await;
    assert_eq!((fixture.count("PUT").await, fixture.count("DELETE").await), (0, 0));
    let remote = fixture.admin.state().await.unwrap().clients_of(fixture.project);
    assert_eq!(remote[0].redirect_uris, ["https://shop.example.com/oauth/callback"]);
    fixture.kubectl(&["delete", "maoc", "web", "--timeout=30s"]).await;
    assert_eq!(fixture.remote_ids().await, [""; 0]);
    assert_eq!((fixture.count("POST").await, fixture.count("PUT").await, fixture.count("DELETE").await), (1, 0, 1));
}

#[tokio::test]
async fn an_edit_by_hand_is_gone_after_a_forced_apply_from_git() {
    let fixture = Fixture::shared("forced").await;
    let manifest = fixture.client("web", &json!({}));
    let apply = ["apply", "--server-side", "--field-manager=git", "--force-conflicts", "-f", "-"];
    fixture.kubectl.run_with_input(&apply, &manifest.to_string()).await.unwrap();
    fixture.wait_ready("web").await;
    let uris =
        json!({ "spec": { "redirectUris": ["https://shop.example.com/oauth/callback", "https://by-hand.example"] } });
    fixture.kubectl(&["patch", "maoc", "web", "--type=merge", "-p", &uris.to_string()]).await;
    fixture.kubectl.run_with_input(&apply, &manifest.to_string()).await.unwrap();
    harness::eventually(LONG, "the URI that was added by hand is gone", async || {
        let remote = fixture.admin.state().await.unwrap().clients_of(fixture.project);
        let uris = remote.first().map(|client| client.redirect_uris.clone()).unwrap_or_default();
        if uris == ["https://shop.example.com/oauth/callback"] { Ok(()) } else { Err(format!("{uris:?}")) }
    })
    .await
    .unwrap();
    assert_eq!(fixture.get("maoc", "web").await["spec"]["redirectUris"], manifest["spec"]["redirectUris"]);
}

//! The platform engineer, with Argo CD and Flux in mind.

use harness::{ControlPlane, Options, kstatus};
use serde_json::{Value, json};

use super::ground::{Ground, LONG, condition, crds};

fn version(object: &Value) -> String {
    object["metadata"]["resourceVersion"].as_str().unwrap_or_default().to_owned()
}

#[tokio::test]
async fn applying_again_changes_nothing_and_calls_nobody() {
    let ground = Ground::shared("again").await;
    let manifest = ground.client("web", &json!({}));
    let text = manifest.to_string();
    ground.apply(&manifest).await;
    ground.wait_ready("web").await;
    let calls = ground.calls().await.len();
    let series: [&[&str]; 2] = [&["apply", "-f", "-"], &["apply", "--server-side", "--force-conflicts", "-f", "-"]];
    for args in series {
        ground.kubectl.run_with_input(args, &text).await.unwrap();
        // The second apply of a series is the first that may change nothing at all.
        ground.kubectl.run_with_input(args, &text).await.unwrap();
        let before = version(&ground.get("maoc", "web").await);
        ground.kubectl.run_with_input(args, &text).await.unwrap();
        assert_eq!(version(&ground.get("maoc", "web").await), before);
        let diff = ground.kubectl.try_run(&["diff", "-f", "-"], &text).await.unwrap();
        assert_eq!((diff.status.code(), diff.stdout.as_str()), (Some(0), ""));
    }
    assert_eq!(ground.calls().await.len(), calls);
}

#[tokio::test]
async fn kubectl_replace_twenty_times_keeps_the_client_and_posts_once() {
    let ground = Ground::shared("replace").await;
    let manifest = ground.client("web", &json!({}));
    ground.apply(&manifest).await;
    ground.wait_ready("web").await;
    let client_id = ground.get("maoc", "web").await["status"]["clientId"].clone();
    for _ in 0..20 {
        ground.kubectl.run_with_input(&["replace", "-f", "-"], &manifest.to_string()).await.unwrap();
        let after = ground
            .until("maoc", "web", "the finalizer is back", |object| {
                object["metadata"]["finalizers"] == json!(["meshagent.com/oauth-client"])
            })
            .await;
        assert_eq!(after["status"]["clientId"], client_id);
    }
    let at_rest = ground.until("maoc", "web", "it is Ready", |object| condition(object, "Ready") == "True/Ready").await;
    assert_eq!(at_rest["status"]["clientId"], client_id);
    harness::eventually(LONG, "object and Secret agree on the token", async || {
        let (object, secret) = (ground.get("maoc", "web").await, ground.get("secret", "web-oauth").await);
        let token = |object: &Value| object["metadata"]["annotations"]["meshagent.com/create-token"].clone();
        if token(&object) == token(&secret) && token(&object).is_string() { Ok(()) } else { Err("they differ") }
    })
    .await
    .unwrap();
    assert_eq!((ground.count("POST").await, ground.count("PUT").await, ground.count("DELETE").await), (1, 0, 0));
}

#[tokio::test]
async fn an_object_that_nobody_has_looked_at_is_in_progress_for_kstatus() {
    // No operator runs here.
    let plane = ControlPlane::start(Options { manifests: crds(), ..Options::default() }).await.unwrap();
    let kubectl = plane.kubectl().unwrap();
    let client = json!({
        "apiVersion": "meshagent.com/v1alpha1",
        "kind": "OAuthClient",
        "metadata": { "name": "web", "namespace": "default" },
        "spec": { "redirectUris": ["https://a.example"] },
    });
    kubectl.run_with_input(&["apply", "-f", "-"], &client.to_string()).await.unwrap();
    let text = kubectl.run(&["get", "maoc", "web", "-o", "json"]).await.unwrap();
    let found = kstatus(&serde_json::from_str(&text).unwrap()).await.unwrap();
    assert!(found.starts_with("InProgress"), "{found}");
}

#[tokio::test]
async fn kstatus_calls_a_ready_client_current_and_an_impossible_one_failed() {
    let ground = Ground::shared("kstatus").await;
    ground.apply(&ground.client("web", &json!({}))).await;
    ground.wait_ready("web").await;
    let found = kstatus(&ground.get("maoc", "web").await).await.unwrap();
    assert!(found.starts_with("Current"), "{found}");
    ground.kubectl(&["create", "secret", "generic", "taken"]).await;
    ground.apply(&ground.client("other", &json!({ "secret": { "name": "taken" } }))).await;
    let other = ground.until("maoc", "other", "it is stalled", |o| condition(o, "Stalled").starts_with("True")).await;
    let found = kstatus(&other).await.unwrap();
    assert!(found.starts_with("Failed"), "{found}");
}

#[tokio::test]
async fn applied_in_any_order_it_is_never_stalled_and_becomes_ready() {
    let ground = Ground::shared("order").await;
    let (project, name) = (ground.admin.create_project(None).await.unwrap(), "team");
    let deployment = json!({
        "apiVersion": "apps/v1",
        "kind": "Deployment",
        "metadata": { "name": "web", "namespace": ground.ns() },
        "spec": {
            "selector": { "matchLabels": { "app": "web" } },
            "template": {
                "metadata": { "labels": { "app": "web", "meshagent.com/oauth-client": "web" } },
                "spec": { "containers": [{ "name": "web", "image": "web" }] },
            },
        },
    });
    let reference = json!({ "projectRef": { "kind": "MeshAgentProject", "name": name } });
    let own = json!({
        "apiVersion": "meshagent.com/v1alpha1",
        "kind": "MeshAgentProject",
        "metadata": { "name": name, "namespace": ground.ns() },
        "spec": { "apiUrl": ground.api_url, "apiKeySecretRef": { "name": "key" } },
    });
    let key = json!({
        "apiVersion": "v1",
        "kind": "Secret",
        "metadata": { "name": "key", "namespace": ground.ns() },
        "stringData": { "api-key": project.api_key.expose() },
    });
    for manifest in [&deployment, &ground.client("web", &reference), &own, &key] {
        ground.apply(manifest).await;
        if ground.exists("maoc", "web").await {
            let client = ground.get("maoc", "web").await;
            assert_eq!(condition(&client, "Stalled"), "", "{}", client["status"]);
        }
    }
    ground.wait_ready("web").await;
    let state = ground.admin.state().await.unwrap();
    assert_eq!(state.clients_of(project.project_id).len(), 1);
}

#[tokio::test]
async fn a_namespace_that_is_no_longer_allowed_is_frozen_and_can_be_cleaned_up() {
    let ground = Ground::shared("label").await;
    let selector = json!({ "allowedNamespaces": { "selector": { "matchLabels": { "tenant": ground.ns() } } } });
    ground.kubectl.run(&["label", "namespace", ground.ns(), &format!("tenant={}", ground.ns())]).await.unwrap();
    ground.apply(&ground.project_manifest(&selector)).await;
    ground.apply(&ground.client("web", &json!({}))).await;
    ground.wait_ready("web").await;
    ground.kubectl.run(&["label", "namespace", ground.ns(), "tenant-"]).await.unwrap();
    let frozen = ground
        .until("maoc", "web", "it says that the namespace is not allowed", |object| {
            condition(object, "Synced") == "False/NamespaceNotAllowed"
        })
        .await;
    assert_eq!(condition(&frozen, "Ready"), "True/NamespaceNotAllowed");
    let patch = r#"{"spec":{"redirectUris":["https://new.example.com/cb"]}}"#;
    ground.kubectl(&["patch", "maoc", "web", "--type=merge", "-p", patch]).await;
    let generation = frozen["metadata"]["generation"].as_i64().unwrap() + 1;
    ground
        .until("maoc", "web", "the edit is seen", |object| object["status"]["observedGeneration"] == generation)
        .await;
    assert_eq!((ground.count("PUT").await, ground.count("DELETE").await), (0, 0));
    ground.kubectl(&["delete", "maoc", "web", "--timeout=30s"]).await;
    assert_eq!(ground.remote_ids().await, [""; 0]);
}

#[tokio::test]
async fn an_edit_by_hand_is_gone_after_a_forced_apply_from_git() {
    let ground = Ground::shared("forced").await;
    let manifest = ground.client("web", &json!({}));
    let apply = ["apply", "--server-side", "--field-manager=git", "--force-conflicts", "-f", "-"];
    ground.kubectl.run_with_input(&apply, &manifest.to_string()).await.unwrap();
    ground.wait_ready("web").await;
    let uris =
        json!({ "spec": { "redirectUris": ["https://shop.example.com/oauth/callback", "https://by-hand.example"] } });
    ground.kubectl(&["patch", "maoc", "web", "--type=merge", "-p", &uris.to_string()]).await;
    ground.kubectl.run_with_input(&apply, &manifest.to_string()).await.unwrap();
    harness::eventually(LONG, "the URI that was added by hand is gone", async || {
        let remote = ground.admin.state().await.unwrap().clients_of(ground.project);
        let uris = remote.first().map(|client| client.redirect_uris.clone()).unwrap_or_default();
        if uris == ["https://shop.example.com/oauth/callback"] { Ok(()) } else { Err(format!("{uris:?}")) }
    })
    .await
    .unwrap();
    assert_eq!(ground.get("maoc", "web").await["spec"]["redirectUris"], manifest["spec"]["redirectUris"]);
}

//! The application developer's first hour.

use std::time::{Duration, Instant};

use serde_json::{Value, json};

use super::ground::{Ground, condition, datum};

#[tokio::test]
async fn explain_states_default_and_rule_of_every_field() {
    let ground = Ground::shared("explain").await;
    let tree = ground.kubectl.run(&["explain", "maoc.spec", "--recursive"]).await.unwrap();
    for field in ["redirectUris", "grantTypes", "responseTypes", "scopes", "displayName", "branding", "secret"] {
        assert!(tree.contains(field), "{field} in {tree}");
        let text = ground.kubectl.run(&["explain", &format!("maoc.spec.{field}")]).await.unwrap();
        assert!(text.to_lowercase().contains("default"), "{field}: {text}");
    }
    let grant_types = ground.kubectl.run(&["explain", "maoc.spec.grantTypes"]).await.unwrap();
    for word in ["authorization_code", "refresh_token", "client_credentials"] {
        assert!(grant_types.contains(word), "{grant_types}");
    }
}

#[tokio::test]
async fn a_client_that_is_applied_becomes_ready_by_one_post() {
    let ground = Ground::shared("first").await;
    ground.apply(&ground.client("web", &json!({}))).await;
    ground.wait_ready("web").await;
    assert_eq!(ground.count("POST").await, 1);
    let client = ground.get("maoc", "web").await;
    assert_eq!(ground.remote_ids().await, [client["status"]["clientId"].as_str().unwrap()]);
}

#[tokio::test]
async fn the_table_shows_what_a_developer_needs() {
    let ground = Ground::shared("table").await;
    ground.apply(&ground.client("web", &json!({}))).await;
    ground.wait_ready("web").await;
    let columns = |table: String| -> Vec<String> {
        let header = table.lines().next().unwrap_or_default().to_owned();
        header.split("   ").map(str::trim).filter(|name| !name.is_empty()).map(str::to_owned).collect()
    };
    let narrow = ground.kubectl(&["get", "maoc"]).await;
    assert_eq!(columns(narrow), ["NAME", "READY", "REASON", "CLIENT ID", "SECRET", "AGE"]);
    let wide = ground.kubectl(&["get", "maoc", "-o", "wide"]).await;
    assert_eq!(columns(wide), ["NAME", "READY", "REASON", "CLIENT ID", "SECRET", "AGE", "PROJECT", "MESSAGE"]);
}

#[tokio::test]
async fn the_secret_has_the_documented_keys() {
    let ground = Ground::shared("keys").await;
    ground.apply(&ground.client("web", &json!({}))).await;
    ground.wait_ready("web").await;
    let secret = ground.get("secret", "web-oauth").await;
    let keys: Vec<&String> = secret["data"].as_object().unwrap().keys().collect();
    assert_eq!(keys, ["AUTHORIZE_URL", "CLIENT_ID", "CLIENT_SECRET", "PROJECT_ID", "SCOPES", "TOKEN_URL"]);
    assert_eq!(datum(&secret, "SCOPES"), "profile:read rooms:connect");
    assert_eq!(datum(&secret, "PROJECT_ID"), ground.project.to_string());
    assert!(ground.accepts(&secret).await, "the credential in the Secret is not accepted");
}

#[tokio::test]
async fn keys_of_the_secret_can_be_renamed_and_dropped() {
    let ground = Ground::shared("renamed").await;
    let keys =
        json!({ "clientId": "id", "clientSecret": "secret", "projectId": "", "authorizeUrl": "", "tokenUrl": "" });
    ground.apply(&ground.client("web", &json!({ "secret": { "name": "login", "keys": keys } }))).await;
    ground.wait_ready("web").await;
    let secret = ground.get("secret", "login").await;
    assert_eq!(secret["data"].as_object().unwrap().keys().collect::<Vec<_>>(), ["SCOPES", "id", "secret"]);
}

#[tokio::test]
async fn mistakes_are_refused_at_once_with_field_and_fix_and_no_call() {
    let ground = Ground::shared("mistakes").await;
    let before = ground.calls().await.len();
    let mut misspelt = ground.client("web", &json!({}));
    misspelt["spec"]["redirectURIs"] = json!(["https://a.example"]);
    assert!(ground.refused(&misspelt).await.contains("redirectURIs"));
    let refused = [
        (json!({ "redirectUris": [] }), "redirectUris"),
        (json!({ "redirectUris": ["https://a.example/cb#frag"] }), "fragment"),
        (json!({ "redirectUris": ["javascript:alert(1)"] }), "redirectUris"),
    ];
    for (spec, word) in refused {
        let said = ground.refused(&ground.client("web", &spec)).await;
        assert!(said.contains(word), "{word} in {said}");
    }
    let said = ground.refused(&ground.client(&"n".repeat(64), &json!({}))).await;
    assert!(said.contains("63"), "{said}");
    assert_eq!(ground.calls().await.len(), before);
}

#[tokio::test]
async fn a_changed_redirect_uri_is_one_put_and_the_secret_stands_still() {
    let ground = Ground::shared("patch").await;
    ground.apply(&ground.client("web", &json!({}))).await;
    ground.wait_ready("web").await;
    let (before, secret) = (ground.get("maoc", "web").await, ground.get("secret", "web-oauth").await);
    let patch = r#"{"spec":{"redirectUris":["https://new.example.com/cb"]}}"#;
    ground.kubectl(&["patch", "maoc", "web", "--type=merge", "-p", patch]).await;
    let generation = before["metadata"]["generation"].as_i64().unwrap() + 1;
    let after = ground
        .until("maoc", "web", "the edit is applied", |object| object["status"]["appliedGeneration"] == generation)
        .await;
    assert_eq!(ground.count("PUT").await, 1);
    assert_eq!(after["status"]["clientId"], before["status"]["clientId"]);
    let resource_version = |object: &Value| object["metadata"]["resourceVersion"].clone();
    assert_eq!(resource_version(&ground.get("secret", "web-oauth").await), resource_version(&secret));
    let remote = ground.admin.state().await.unwrap().clients_of(ground.project);
    assert_eq!(remote[0].redirect_uris, ["https://new.example.com/cb"]);
}

#[tokio::test]
async fn a_deleted_secret_is_replaced_and_an_event_says_that_the_client_id_changed() {
    let ground = Ground::shared("lost").await;
    ground.apply(&ground.client("web", &json!({}))).await;
    ground.wait_ready("web").await;
    let former = ground.get("maoc", "web").await["status"]["clientId"].as_str().unwrap().to_owned();
    ground.kubectl(&["delete", "secret", "web-oauth"]).await;
    let after = ground
        .until("maoc", "web", "another client is recorded", |object| {
            object["status"]["clientId"].as_str().is_some_and(|id| id != former)
        })
        .await;
    assert_eq!(after["status"]["retiring"][0]["clientId"], former.as_str());
    let secret = ground.get("secret", "web-oauth").await;
    assert_eq!(datum(&secret, "CLIENT_ID"), after["status"]["clientId"].as_str().unwrap());
    assert_eq!(ground.remote_ids().await.len(), 2, "the former client lives until its overlap ends");
    let events = ground.kubectl(&["get", "events", "-o", "json"]).await;
    assert!(events.contains("CredentialReplaced") && events.contains(&former), "no event names the former client");
}

#[tokio::test]
async fn a_sign_in_with_the_secret_gives_tokens() {
    let ground = Ground::shared("signin").await;
    let spec = json!({ "grantTypes": ["authorization_code", "refresh_token"], "scopes": ["openid", "offline_access"] });
    ground.apply(&ground.client("web", &spec)).await;
    ground.wait_ready("web").await;
    let secret = ground.get("secret", "web-oauth").await;
    let mut sign_in = tokio::process::Command::new(harness::tool("signin").unwrap());
    sign_in.args(["--secret", "--redirect-url", "https://shop.example.com/oauth/callback"]);
    let output = harness::run(sign_in, &secret.to_string()).await.unwrap();
    assert!(output.status.success(), "{}", output.stderr);
    assert!(output.stdout.contains("access_token") && output.stdout.contains("refresh_token"), "{}", output.stdout);
}

#[tokio::test]
async fn a_deleted_client_is_gone_everywhere() {
    let ground = Ground::shared("delete").await;
    ground.apply(&ground.client("web", &json!({}))).await;
    ground.wait_ready("web").await;
    assert_eq!(condition(&ground.get("maoc", "web").await, "Ready"), "True/Ready");
    let started = Instant::now();
    ground.kubectl(&["delete", "maoc", "web", "--timeout=30s"]).await;
    // Five seconds are what is promised; a machine that runs other tests at the same time is given more.
    assert!(started.elapsed() < Duration::from_secs(20));
    assert_eq!(ground.remote_ids().await, [""; 0]);
    assert_eq!(ground.count("DELETE").await, 1);
    harness::eventually(Duration::from_secs(90), "the Secret is collected", async || {
        if ground.exists("secret", "web-oauth").await { Err("it is there") } else { Ok(()) }
    })
    .await
    .unwrap();
}

//! The application developer's first hour.

use std::collections::BTreeMap;
use std::time::{Duration, Instant};

use serde_json::{Value, json};
use simulator::admin::{Fault, FaultRule, Route};

use super::fixture::{Fixture, condition, datum};

/// The paths of all fields in what `kubectl explain --recursive` prints: a field a line, two spaces a level.
fn fields(tree: &str) -> Vec<String> {
    let mut above: Vec<&str> = Vec::new();
    let mut paths = Vec::new();
    for line in tree.lines().skip_while(|line| !line.starts_with("FIELDS:")) {
        let Some((name, _)) = line.split_once("\t<") else { continue };
        let depth = (name.len() - name.trim_start().len()) / 2 - 1;
        above.truncate(depth);
        above.push(name.trim_start());
        paths.push(above.join("."));
    }
    paths
}

#[tokio::test]
async fn explain_states_default_and_rule_of_every_field() {
    let fixture = Fixture::shared("explain").await;
    let explain = async |path: &str| {
        let text = fixture.kubectl.run(&["explain", path]).await.unwrap();
        text.split_whitespace().collect::<Vec<_>>().join(" ")
    };
    let tree = fixture.kubectl.run(&["explain", "maoc.spec", "--recursive"]).await.unwrap();
    let fields = fields(&tree);
    for field in ["redirectUris", "branding.theme", "projectRef.name", "secret.keys.clientId"] {
        assert!(fields.iter().any(|path| path == field), "{field} in {fields:?}");
    }
    for field in &fields {
        let text = explain(&format!("maoc.spec.{field}")).await;
        // A field that is required has no default.
        assert!(text.contains("Default: ") || text.contains("Rule: required"), "{field}: {text}");
    }
    let grant_types = explain("maoc.spec.grantTypes").await;
    let wanted = "How the client may obtain tokens; a set. Default: `authorization_code`. Rule: one or more of \
                  `authorization_code`, `refresh_token`, `client_credentials`; `authorization_code` needs a redirect URI.";
    assert!(grant_types.contains(wanted), "{grant_types}");
}

#[tokio::test]
async fn a_client_that_is_applied_becomes_ready_by_one_post() {
    let fixture = Fixture::shared("first").await;
    fixture.apply(&fixture.client("web", &json!({}))).await;
    fixture.wait_ready("web").await;
    assert_eq!(fixture.count("POST").await, 1);
    let client = fixture.get("maoc", "web").await;
    assert_eq!(fixture.remote_ids().await, [client["status"]["clientId"].as_str().unwrap()]);
}

/// The cells of a table of kubectl's: three spaces part the columns.
fn table(text: &str) -> Vec<Vec<String>> {
    let cells = |line: &str| {
        line.split("   ").map(str::trim).filter(|cell| !cell.is_empty()).map(str::to_owned).collect::<Vec<_>>()
    };
    text.lines().map(cells).collect()
}

#[tokio::test]
async fn the_table_shows_what_a_developer_needs() {
    let fixture = Fixture::shared("table").await;
    fixture.apply(&fixture.client("web", &json!({}))).await;
    fixture.wait_ready("web").await;
    let client_id = fixture.remote_ids().await.remove(0);
    // The age is the only cell that no test can know.
    let without_age = |text: String| {
        let mut rows = table(&text);
        rows.iter_mut().for_each(|row| drop(row.remove(5)));
        rows
    };
    let narrow = without_age(fixture.kubectl(&["get", "maoc"]).await);
    assert_eq!(
        narrow,
        [["NAME", "READY", "REASON", "CLIENT ID", "SECRET"], ["web", "True", "Ready", &client_id, "web-oauth"]]
    );
    let wide = without_age(fixture.kubectl(&["get", "maoc", "-o", "wide"]).await);
    let message = format!("client {client_id} is as declared; its credential is in Secret web-oauth");
    let project = fixture.project.to_string();
    assert_eq!(
        wide,
        [
            ["NAME", "READY", "REASON", "CLIENT ID", "SECRET", "PROJECT", "MESSAGE"],
            ["web", "True", "Ready", &client_id, "web-oauth", &project, &message],
        ]
    );
}

#[tokio::test]
async fn the_secret_has_the_documented_keys_and_says_whose_it_is() {
    let fixture = Fixture::shared("keys").await;
    fixture.apply(&fixture.client("web", &json!({}))).await;
    fixture.wait_ready("web").await;
    let (client, secret) = (fixture.get("maoc", "web").await, fixture.get("secret", "web-oauth").await);
    let keys: Vec<&String> = secret["data"].as_object().unwrap().keys().collect();
    assert_eq!(keys, ["AUTHORIZE_URL", "CLIENT_ID", "CLIENT_SECRET", "PROJECT_ID", "SCOPES", "TOKEN_URL"]);
    let shown = ["AUTHORIZE_URL", "CLIENT_ID", "PROJECT_ID", "SCOPES", "TOKEN_URL"].map(|key| datum(&secret, key));
    let wanted = [
        format!("{}/oauth/authorize", fixture.api_url),
        client["status"]["clientId"].as_str().unwrap().to_owned(),
        fixture.project.to_string(),
        "profile:read rooms:connect".to_owned(),
        format!("{}/oauth/token", fixture.api_url),
    ];
    assert_eq!(shown, wanted);
    assert!(fixture.accepts(&secret).await, "the credential in the Secret is not accepted");
    assert_eq!(secret["type"], "Opaque");
    let labels = json!({ "meshagent.com/oauth-client": "web", "app.kubernetes.io/managed-by": "meshagent-operator" });
    assert_eq!(secret["metadata"]["labels"], labels);
    let owner = json!([{
        "apiVersion": "meshagent.com/v1alpha1",
        "kind": "OAuthClient",
        "name": "web",
        "uid": client["metadata"]["uid"],
        "controller": true,
        "blockOwnerDeletion": true,
    }]);
    assert_eq!(secret["metadata"]["ownerReferences"], owner);
}

#[tokio::test]
async fn keys_of_the_secret_can_be_renamed_and_dropped() {
    let fixture = Fixture::shared("renamed").await;
    let keys =
        json!({ "clientId": "id", "clientSecret": "secret", "projectId": "", "authorizeUrl": "", "tokenUrl": "" });
    fixture.apply(&fixture.client("web", &json!({ "secret": { "name": "login", "keys": keys } }))).await;
    fixture.wait_ready("web").await;
    let secret = fixture.get("secret", "login").await;
    assert_eq!(secret["data"].as_object().unwrap().keys().collect::<Vec<_>>(), ["SCOPES", "id", "secret"]);
}

#[tokio::test]
async fn mistakes_are_refused_at_once_with_field_and_fix_and_no_call() {
    let fixture = Fixture::shared("mistakes").await;
    let calls = fixture.calls().await;
    let with = |uris: Value| fixture.client("web", &json!({ "redirectUris": uris }));
    let mut misspelt = fixture.client("web", &json!({}));
    misspelt["spec"].as_object_mut().unwrap().remove("redirectUris");
    misspelt["spec"]["redirectURIs"] = json!(["https://a.example"]);
    let long = fixture.client(&"n".repeat(64), &json!({}));
    let refused = [
        (misspelt, r#"unknown field "spec.redirectURIs""#, ""),
        (with(json!([])), "spec.redirectUris: ", "add a redirect URI"),
        (with(json!(["https://a.example/cb#frag"])), "spec.redirectUris[0]: ", "remove the # and what follows it"),
        (with(json!(["javascript:alert(1)"])), "spec.redirectUris[0]: ", "for a native app a scheme of its own"),
        (with(json!(["http://127.0.0.1:99999/cb"])), "spec.redirectUris[0]: ", "write another port"),
        (long, "metadata.name is longer than 63 bytes", "choose a shorter name"),
    ];
    for (manifest, field, fix) in refused {
        let said = fixture.refused(&manifest).await;
        assert!(said.contains(field) && said.contains(fix), "{field:?} and {fix:?} in {said}");
    }
    assert_eq!(fixture.kubectl(&["get", "maoc", "-o", "name"]).await, "");
    assert_eq!(fixture.calls().await, calls);
}

#[tokio::test]
async fn a_changed_redirect_uri_is_one_put_and_the_secret_stands_still() {
    let fixture = Fixture::shared("patch").await;
    fixture.apply(&fixture.client("web", &json!({}))).await;
    fixture.wait_ready("web").await;
    let (before, secret) = (fixture.get("maoc", "web").await, fixture.get("secret", "web-oauth").await);
    let patch = r#"{"spec":{"redirectUris":["https://new.example.com/cb"]}}"#;
    fixture.kubectl(&["patch", "maoc", "web", "--type=merge", "-p", patch]).await;
    let generation = before["metadata"]["generation"].as_i64().unwrap() + 1;
    let after = fixture
        .until("maoc", "web", "the edit is applied", |object| object["status"]["appliedGeneration"] == generation)
        .await;
    assert_eq!(fixture.count("PUT").await, 1);
    assert_eq!(after["status"]["clientId"], before["status"]["clientId"]);
    let resource_version = |object: &Value| object["metadata"]["resourceVersion"].clone();
    assert_eq!(resource_version(&fixture.get("secret", "web-oauth").await), resource_version(&secret));
    let remote = fixture.admin.state().await.unwrap().clients_of(fixture.project);
    assert_eq!(remote[0].redirect_uris, ["https://new.example.com/cb"]);
}

#[tokio::test]
async fn a_deleted_secret_is_replaced_and_an_event_says_that_the_client_id_changed() {
    let fixture = Fixture::shared("lost").await;
    fixture.apply(&fixture.client("web", &json!({}))).await;
    fixture.wait_ready("web").await;
    let former = fixture.get("maoc", "web").await["status"]["clientId"].as_str().unwrap().to_owned();
    fixture.kubectl(&["delete", "secret", "web-oauth"]).await;
    let after = fixture
        .until("maoc", "web", "another client is recorded", |object| {
            object["status"]["clientId"].as_str().is_some_and(|id| id != former)
        })
        .await;
    assert_eq!(after["status"]["retiring"][0]["clientId"], former.as_str());
    let secret = fixture.get("secret", "web-oauth").await;
    assert_eq!(datum(&secret, "CLIENT_ID"), after["status"]["clientId"].as_str().unwrap());
    assert_eq!(fixture.remote_ids().await.len(), 2, "the former client lives until its overlap ends");
    let events = fixture.kubectl(&["get", "events", "-o", "json"]).await;
    assert!(events.contains("CredentialReplaced") && events.contains(&former), "no event names the former client");
}

#[tokio::test]
async fn a_sign_in_with_the_secret_gives_tokens() {
    let fixture = Fixture::shared("signin").await;
    let spec = json!({ "grantTypes": ["authorization_code", "refresh_token"], "scopes": ["openid", "offline_access"] });
    fixture.apply(&fixture.client("web", &spec)).await;
    fixture.wait_ready("web").await;
    let secret = fixture.get("secret", "web-oauth").await;
    let mut sign_in = tokio::process::Command::new(harness::tool("signin").unwrap());
    sign_in.args(["--secret", "--redirect-url", "https://shop.example.com/oauth/callback"]);
    let output = harness::run(sign_in, &secret.to_string()).await.unwrap();
    assert!(output.status.success(), "{}", output.stderr);
    assert!(output.stdout.contains("access_token") && output.stdout.contains("refresh_token"), "{}", output.stdout);
}

#[tokio::test]
async fn a_deleted_client_is_gone_everywhere() {
    let fixture = Fixture::shared("delete").await;
    fixture.apply(&fixture.client("web", &json!({}))).await;
    fixture.wait_ready("web").await;
    assert_eq!(condition(&fixture.get("maoc", "web").await, "Ready"), "True/Ready");
    let started = Instant::now();
    fixture.kubectl(&["delete", "maoc", "web", "--timeout=30s"]).await;
    assert!(started.elapsed() < Duration::from_secs(5), "it took {:?}", started.elapsed());
    assert_eq!(fixture.remote_ids().await, [""; 0]);
    assert_eq!(fixture.count("DELETE").await, 1);
    harness::eventually(Duration::from_secs(90), "the Secret is collected", async || {
        if fixture.exists("secret", "web-oauth").await { Err("it is there") } else { Ok(()) }
    })
    .await
    .unwrap();
}

#[tokio::test]
async fn what_the_api_refuses_is_not_asked_again_at_once() {
    let fixture = Fixture::shared("refused").await;
    let refused = Fault::Status { status: 422, body: None, headers: BTreeMap::default(), commit: false };
    let rule = FaultRule::on(Route::ClientsCreate, refused).in_project(fixture.project);
    fixture.admin.fault(&rule).await.unwrap();
    fixture.apply(&fixture.client("web", &json!({}))).await;
    fixture.until("maoc", "web", "it is refused", |o| condition(o, "Stalled") == "True/RejectedByAPI").await;
    // The passes that the first one's own writes enqueued are over once another waits for a project that is not there.
    let nowhere = json!({ "projectRef": { "kind": "ClusterMeshAgentProject", "name": "nowhere" } });
    fixture.apply(&fixture.client("other", &nowhere)).await;
    fixture.until("maoc", "other", "it waits", |o| condition(o, "Ready") == "False/ProjectNotFound").await;
    assert_eq!(fixture.count("POST").await, 1);
}

/// F23.
#[tokio::test]
async fn every_example_is_accepted_as_it_is_written() {
    let fixture = Fixture::shared("examples").await;
    let folder = std::path::Path::new(env!("CARGO_MANIFEST_DIR")).join("examples");
    let yaml = |folder: &std::path::Path| -> Vec<_> {
        let files = std::fs::read_dir(folder).unwrap().map(|entry| entry.unwrap().path());
        files.filter(|path| path.extension().is_some_and(|extension| extension == "yaml")).collect()
    };
    let client_of_the_proxy = folder.join("oauth2-proxy/oauthclient.yaml");
    let files = [yaml(&folder), yaml(&folder.join("quickstart")), vec![client_of_the_proxy]].concat();
    assert!(files.len() >= 14, "{files:?}");
    let index = std::fs::read_to_string(folder.join("README.md")).unwrap();
    for file in files {
        let text = std::fs::read_to_string(&file).unwrap();
        let namespace = format!("namespace: {}", fixture.ns());
        let manifest = text.replace("namespace: shop", &namespace).replace("namespace: argocd", &namespace);
        let args = ["apply", "--dry-run=server", "--validate=strict", "-f", "-"];
        let output = fixture.kubectl.try_run(&args, &manifest).await.unwrap();
        assert!(output.status.success() && !output.stderr.contains("Warning"), "{}: {}", file.display(), output.stderr);
        let name = file.file_name().unwrap().to_str().unwrap();
        assert!(index.contains(name) || file.parent().unwrap() != folder, "the index has no {name}");
    }
}

/// The chart itself is not here: what it makes of the values was read from what it rendered.
#[tokio::test]
async fn the_values_for_oauth2_proxy_name_the_secret_and_the_keys_that_the_operator_writes() {
    let fixture = Fixture::shared("oauth2-proxy").await;
    let folder = std::path::Path::new(env!("CARGO_MANIFEST_DIR")).join("examples/oauth2-proxy");
    let read = |name: &str| std::fs::read_to_string(folder.join(name)).unwrap();
    let values: Value = serde_saphyr::from_str(&read("values.yaml")).unwrap();
    let client: Value = serde_saphyr::from_str(&read("oauthclient.yaml")).unwrap();
    fixture.apply(&fixture.client("admin", &client["spec"])).await;
    fixture.wait_ready("admin").await;
    let secret = fixture.get("secret", values["config"]["existingSecret"].as_str().unwrap()).await;
    let written: Vec<&str> = secret["data"].as_object().unwrap().keys().map(String::as_str).collect();
    assert_eq!(json!(written), values["config"]["requiredSecretKeys"]);
    assert_eq!(values["extraArgs"]["redirect-url"], client["spec"]["redirectUris"][0]);
}

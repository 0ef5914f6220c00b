//! The budget of calls, counted.

use std::collections::BTreeMap;
use std::fs;

use harness::{Options, free_port};
use serde_json::{Value, json};
use simulator::admin::ClientFields;

use super::fixture::{Fixture, LONG, OPERATOR, condition, start_operator, start_operator_with};
use super::rotation::{ask_to_rotate, client_id, ready, retiring};

/// What the operator has asked of the API server, by verb and resource, from its audit log: writes to the namespace, and
/// listings over all namespaces, since a watch that runs needs none.
fn requests(log: &str, namespace: &str) -> BTreeMap<String, usize> {
    let mut counted = BTreeMap::new();
    for event in log.lines().filter_map(|line| serde_json::from_str::<Value>(line).ok()) {
        let text = |pointer: &str| event.pointer(pointer).and_then(Value::as_str).unwrap_or_default().to_owned();
        let verb = text("/verb");
        let is_write = matches!(verb.as_str(), "create" | "update" | "patch" | "delete");
        let whose = text("/objectRef/namespace");
        // A listing by name is the read of one object.
        let by_name = text("/requestURI").contains("fieldSelector=metadata.name");
        let counts = verb == "list" && whose.is_empty() && !by_name || is_write && whose == namespace;
        let dry = text("/requestURI").contains("dryRun");
        if text("/user/username") != OPERATOR || !counts {
            continue;
        }
        let subresource = text("/objectRef/subresource");
        let resource = [text("/objectRef/resource"), subresource].join("/");
        let dry = if dry { " (dry run)" } else { "" };
        *counted.entry(format!("{verb} {}{dry}", resource.trim_end_matches('/'))).or_insert(0) += 1;
    }
    counted.remove("create events");
    counted
}

fn counts(expected: &[(&str, usize)]) -> BTreeMap<String, usize> {
    expected.iter().map(|(what, count)| ((*what).to_owned(), *count)).collect()
}

/// A fixture whose API server writes an audit log, and what was counted there and at the simulator since last asked.
pub struct Audited {
    pub fixture: Fixture,
    log: std::path::PathBuf,
    _directory: tempfile::TempDir,
}

impl Audited {
    pub async fn set_up() -> Self {
        let directory = tempfile::tempdir().unwrap();
        let (policy, log) = (directory.path().join("policy.yaml"), directory.path().join("audit.log"));
        let rules =
            "apiVersion: audit.k8s.io/v1\nkind: Policy\nomitStages: [RequestReceived]\nrules: [{level: Metadata}]\n";
        fs::write(&policy, rules).unwrap();
        let apiserver_args =
            vec![format!("--audit-policy-file={}", policy.display()), format!("--audit-log-path={}", log.display())];
        let options = Options { apiserver_args, ..Options::default() };
        let fixture = Fixture::own_with("budget", &[], options, &json!({})).await;
        let audited = Self { fixture, log, _directory: directory };
        audited.assert_cost("the start", None, &[]).await;
        audited
    }

    /// Asserts what was done since the last call of this method: at MeshAgent, listings apart, and in Kubernetes.
    pub async fn assert_cost(&self, what: &str, rest: Option<&[(&str, usize)]>, kubernetes: &[(&str, usize)]) {
        let mut called = BTreeMap::new();
        for call in self.fixture.calls().await.iter().filter(|call| call.query.is_none()) {
            *called.entry(call.method.clone()).or_insert(0_usize) += 1;
        }
        self.fixture.admin.clear_calls().await.unwrap();
        let text = fs::read_to_string(&self.log).unwrap();
        fs::write(&self.log, "").unwrap();
        if let Some(rest) = rest {
            assert_eq!(called, counts(rest), "{what}");
            assert_eq!(requests(&text, self.fixture.ns()), counts(kubernetes), "{what}");
        }
    }

    async fn edit(&self, patch: &str) {
        let before = self.fixture.get("maoc", "web").await["metadata"]["generation"].as_i64().unwrap();
        self.fixture.kubectl(&["patch", "maoc", "web", "--type=merge", "-p", patch]).await;
        let applied = |object: &Value| object["status"]["appliedGeneration"] == before + 1;
        self.fixture.until("maoc", "web", "the edit is applied", applied).await;
    }
}

#[tokio::test]
async fn create_update_replace_and_delete_cost_exactly_the_budget() {
    let audited = Audited::set_up().await;
    let fixture = &audited.fixture;
    fixture.apply(&fixture.client("web", &json!({}))).await;
    fixture.wait_ready("web").await;
    let create = [
        ("patch oauthclients", 1),
        ("create secrets (dry run)", 1),
        ("create secrets", 1),
        ("patch oauthclients/status", 1),
    ];
    audited.assert_cost("create", Some(&[("POST", 1)]), &create).await;

    let one_write = [("patch oauthclients/status", 1)];
    audited.edit(r#"{"spec":{"redirectUris":["https://b.example/cb"]}}"#).await;
    audited.assert_cost("update", Some(&[("PUT", 1)]), &one_write).await;
    audited.edit(r#"{"spec":{"displayName":"Shop"}}"#).await;
    audited.assert_cost("update of metadata", Some(&[("GET", 1), ("PUT", 1)]), &one_write).await;

    let manifest = fixture.client("web", &json!({ "displayName": "Shop", "redirectUris": ["https://b.example/cb"] }));
    fixture.kubectl.run_with_input(&["replace", "-f", "-"], &manifest.to_string()).await.unwrap();
    harness::eventually(LONG, "object and Secret agree again", async || {
        let token = |object: &Value| object["metadata"]["annotations"]["meshagent.com/create-token"].clone();
        let (object, secret) = (fixture.get("maoc", "web").await, fixture.get("secret", "web-oauth").await);
        let recorded = object["status"]["secretResourceVersion"] == secret["metadata"]["resourceVersion"];
        if token(&object).is_string() && token(&object) == token(&secret) && recorded { Ok(()) } else { Err("not yet") }
    })
    .await
    .unwrap();
    let replace = [("patch oauthclients", 1), ("patch secrets", 1), ("patch oauthclients/status", 1)];
    audited.assert_cost("kubectl replace", Some(&[]), &replace).await;

    fixture.kubectl(&["delete", "maoc", "web", "--timeout=30s"]).await;
    audited.assert_cost("delete", Some(&[("DELETE", 1)]), &[("patch oauthclients", 1)]).await;
}

#[tokio::test]
async fn a_rotation_and_a_lost_credential_cost_exactly_the_budget() {
    let audited = Audited::set_up().await;
    let fixture = &audited.fixture;
    let no_overlap = json!({ "rotation": { "overlap": "0s" } });
    let calls = [("POST", 1), ("DELETE", 1)];
    let (before, _) = ready(fixture, "rotated", &no_overlap).await;
    audited.assert_cost("create", None, &[]).await;
    ask_to_rotate(fixture, "rotated", "monday").await;
    let over = |o: &Value| client_id(o) != client_id(&before) && retiring(o).is_empty();
    fixture.until("maoc", "rotated", "it is rotated", over).await;
    let rotate = [
        ("patch oauthclients", 1),
        ("patch secrets (dry run)", 1),
        ("patch secrets", 1),
        ("patch oauthclients/status", 2),
    ];
    audited.assert_cost("rotate", Some(&calls), &rotate).await;

    let (before, _) = ready(fixture, "lost", &no_overlap).await;
    audited.assert_cost("create", None, &[]).await;
    fixture.kubectl(&["delete", "secret", "lost-oauth"]).await;
    let over = |o: &Value| client_id(o) != client_id(&before) && retiring(o).is_empty();
    fixture.until("maoc", "lost", "its client is replaced", over).await;
    let lost = [
        ("patch oauthclients", 1),
        ("create secrets (dry run)", 1),
        ("create secrets", 1),
        ("patch oauthclients/status", 2),
    ];
    audited.assert_cost("lost credential", Some(&calls), &lost).await;
}

/// Creates `count` clients at once.
pub async fn apply_many(fixture: &Fixture, count: usize) {
    let items: Vec<Value> = (0..count).map(|n| fixture.client(&format!("web{n}"), &json!({}))).collect();
    let list = json!({ "apiVersion": "v1", "kind": "List", "items": items });
    fixture.kubectl.run_with_input(&["create", "-f", "-"], &list.to_string()).await.unwrap();
}

async fn objects(fixture: &Fixture) -> Vec<Value> {
    let text = fixture.kubectl(&["get", "maoc", "-o", "json"]).await;
    let list: Value = serde_json::from_str(&text).unwrap();
    list["items"].as_array().cloned().unwrap_or_default()
}

pub async fn until_all_ready(fixture: &Fixture, count: usize) {
    harness::eventually(4 * LONG, "all are Ready", async || {
        let ready = objects(fixture).await.iter().filter(|object| condition(object, "Ready") == "True/Ready").count();
        if ready == count { Ok(()) } else { Err(format!("{ready} are")) }
    })
    .await
    .unwrap();
}

async fn versions(fixture: &Fixture) -> Vec<String> {
    let text =
        fixture.kubectl(&["get", "maoc,secret,event", "-o", "jsonpath={.items[*].metadata.resourceVersion}"]).await;
    text.split(' ').map(str::to_owned).collect()
}

#[tokio::test]
async fn two_hundred_idle_clients_cost_two_gets_a_resync_and_no_write() {
    let mut fixture = Fixture::own("idle", &[]).await;
    fixture.stop_operator().await;
    let address = format!("127.0.0.1:{}", free_port().unwrap());
    let args = ["--http-address", &address, "--resync-interval", "3s"];
    fixture.operator = Some(start_operator_with(fixture.control_plane.get(), &args));
    apply_many(&fixture, 200).await;
    until_all_ready(&fixture, 200).await;
    // The wait covers the resync under way, and the project's own count of clients.
    fixture.until("cmaproj", &fixture.project_name, "all are counted", |o| o["status"]["clients"] == 200).await;
    let lists = async || fixture.calls().await.iter().filter(|call| call.query.is_some()).count();
    let so_far = lists().await;
    harness::eventually(LONG, "another resync", async || {
        let now = lists().await;
        if now >= so_far + 2 && now % 2 == 0 { Ok(()) } else { Err(now.to_string()) }
    })
    .await
    .unwrap();
    let (before, made) = (versions(&fixture).await, passes(&address).await);
    fixture.admin.clear_calls().await.unwrap();
    harness::eventually(LONG, "three resyncs", async || {
        let now = fixture.calls().await.len();
        if now >= 6 { Ok(()) } else { Err(now.to_string()) }
    })
    .await
    .unwrap();
    let calls = fixture.calls().await;
    assert!(calls.iter().all(|call| call.method == "GET" && call.query.is_some()), "something but listings was called");
    let offsets: Vec<String> = calls.iter().take(6).filter_map(|call| call.query.clone()).collect();
    let pages = ["count=100&offset=0", "count=100&offset=100"];
    assert_eq!(offsets, [pages, pages, pages].concat());
    assert_eq!(versions(&fixture).await, before);
    assert_eq!(passes(&address).await, made, "a listing that shows nothing new begins no pass");
    let clients = fixture.admin.state().await.unwrap().clients_of(fixture.project);
    let edited = ClientFields { redirect_uris: Some(vec!["https://studio.example".to_owned()]), ..Default::default() };
    fixture.admin.edit_client(fixture.project, &clients[7].client_id, &edited).await.unwrap();
    harness::eventually(LONG, "the one that was edited is repaired", async || {
        let now = fixture.admin.state().await.unwrap().clients_of(fixture.project);
        let repaired = now.iter().all(|client| client.redirect_uris == clients[0].redirect_uris);
        if repaired { Ok(()) } else { Err("it is not") }
    })
    .await
    .unwrap();
    fixture.resyncs(2).await;
    let more = passes(&address).await - made;
    assert!((1..=5).contains(&more), "{more} passes for one client");
}

/// How many passes over OAuthClients the operator has made.
async fn passes(address: &str) -> u64 {
    let metrics = reqwest::get(format!("http://{address}/metrics")).await.unwrap().text().await.unwrap();
    let series = r#"meshagent_operator_reconciles_total{kind="OAuthClient","#;
    let counted = metrics.lines().filter(|line| line.starts_with(series));
    counted.map(|line| line.rsplit(' ').next().unwrap().parse::<u64>().unwrap()).sum()
}

#[tokio::test]
async fn a_restart_with_a_thousand_converged_clients_costs_ten_gets_and_no_write() {
    let mut fixture = Fixture::own("restart", &[]).await;
    apply_many(&fixture, 1000).await;
    until_all_ready(&fixture, 1000).await;
    fixture.until("cmaproj", &fixture.project_name, "all are counted", |o| o["status"]["clients"] == 1000).await;
    fixture.stop_operator().await;
    let before = versions(&fixture).await;
    fixture.admin.clear_calls().await.unwrap();
    fixture.operator = Some(start_operator(fixture.control_plane.get(), &[]));
    harness::eventually(LONG, "the project was listed", async || {
        let calls = fixture.calls().await.len();
        if calls >= 10 { Ok(()) } else { Err(calls.to_string()) }
    })
    .await
    .unwrap();
    // A request that is handled shows that the passes that the listing enqueued are over: they were queued before it.
    fixture.kubectl(&["annotate", "maoc", "web0", "meshagent.com/reconcile-requested-at=now-1"]).await;
    fixture.until("maoc", "web0", "the request is handled", |o| o["status"]["lastHandledReconcileAt"] == "now-1").await;
    let calls = fixture.calls().await;
    let (lists, others): (Vec<_>, Vec<_>) = calls.iter().partition(|call| call.query.is_some());
    assert_eq!(lists.len(), 10);
    assert!(
        others.len() <= 1 && others.iter().all(|call| call.method == "GET"),
        "more than the look that was asked for"
    );
    let after = versions(&fixture).await;
    let changed = before.iter().filter(|version| !after.contains(version)).count();
    assert_eq!(changed, 1, "only the object that asked for a look was written");
    assert_eq!(after.len(), before.len(), "objects or Events came or went");
}

//! The Secret: another name, other keys, labels, annotations, another type; and who else may be in the way.

use std::collections::BTreeMap;
use std::pin::Pin;

use futures::{Stream, StreamExt};
use harness::eventually;
use k8s_openapi::api::core::v1::Secret;
use kube::ResourceExt;
use kube::api::{WatchEvent, WatchParams};
use serde_json::{Value, json};

use super::fixture::{Fixture, LONG, condition, datum, message};
use super::pace::put_policy;

type Events = Pin<Box<dyn Stream<Item = String> + Send>>;

/// Which Secrets of the namespace come and go from the beginning on, such as `web-oauth comes`.
async fn comings_and_goings(fixture: &Fixture) -> Events {
    let client = fixture.control_plane.get().admin().await.unwrap();
    let secrets: kube::Api<Secret> = kube::Api::namespaced(client, fixture.ns());
    let events = secrets.watch(&WatchParams::default(), "0").await.unwrap();
    Box::pin(events.filter_map(async |event| {
        let event = event.unwrap();
        // The event is not printed: it may hold a Secret.
        assert!(!matches!(event, WatchEvent::Error(_)), "the watch failed");
        match event {
            WatchEvent::Added(secret) => Some(format!("{} comes", secret.name_any())),
            WatchEvent::Deleted(secret) => Some(format!("{} goes", secret.name_any())),
            WatchEvent::Modified(_) | WatchEvent::Bookmark(_) | WatchEvent::Error(_) => None,
        }
    }))
}

/// A client that is Ready, with this in `spec.secret`.
async fn ready_with(prefix: &str, secret: &Value) -> Fixture {
    let fixture = Fixture::shared(prefix).await;
    fixture.apply(&fixture.client("web", &json!({ "secret": secret }))).await;
    fixture.wait_ready("web").await;
    fixture
}

/// Applies `spec.secret` and waits for it; at every check one of the Secrets holds an accepted credential.
async fn change(fixture: &Fixture, secret: &Value) {
    fixture.apply(&fixture.client("web", &json!({ "secret": secret }))).await;
    let generation = fixture.get("maoc", "web").await["metadata"]["generation"].clone();
    eventually(LONG, "the change is applied", async || {
        assert!(some_secret_is_accepted(fixture).await, "no Secret holds an accepted credential");
        let client = fixture.get("maoc", "web").await;
        let applied =
            client["status"]["appliedGeneration"] == generation && condition(&client, "Ready") == "True/Ready";
        if applied { Ok(()) } else { Err(client["status"].to_string()) }
    })
    .await
    .unwrap();
}

async fn secrets(fixture: &Fixture) -> Vec<Value> {
    let list: Value = serde_json::from_str(&fixture.kubectl(&["get", "secrets", "-o", "json"]).await).unwrap();
    list["items"].as_array().cloned().unwrap_or_default()
}

async fn some_secret_is_accepted(fixture: &Fixture) -> bool {
    for secret in secrets(fixture).await {
        if secret["data"]["CLIENT_ID"].is_string() && fixture.accepts(&secret).await {
            return true;
        }
    }
    false
}

async fn secret_names(fixture: &Fixture) -> Vec<String> {
    secrets(fixture).await.iter().map(|secret| secret["metadata"]["name"].as_str().unwrap().to_owned()).collect()
}

/// Asserts that the client is the one that was made first, and that no other was ever asked for.
async fn assert_same_client(fixture: &Fixture, client_id: &Value) {
    assert_eq!(&fixture.get("maoc", "web").await["status"]["clientId"], client_id);
    assert_eq!((fixture.count("POST").await, fixture.count("DELETE").await), (1, 0));
    assert_eq!(fixture.remote_ids().await.len(), 1);
}

/// U1.
#[tokio::test]
async fn under_another_name_the_secret_comes_before_the_former_goes_and_the_client_stays() {
    let fixture = ready_with("rename", &json!({})).await;
    let client_id = fixture.get("maoc", "web").await["status"]["clientId"].clone();
    let events = comings_and_goings(&fixture).await;
    change(&fixture, &json!({ "name": "login" })).await;
    assert_eq!(secret_names(&fixture).await, ["login"]);
    assert_eq!(fixture.get("maoc", "web").await["status"]["secretName"], "login");
    change(&fixture, &json!({})).await;
    assert_eq!(secret_names(&fixture).await, ["web-oauth"]);
    assert_same_client(&fixture, &client_id).await;
    assert_eq!(fixture.count("PUT").await, 0);
    let seen: Vec<String> = tokio::time::timeout(LONG, events.take(5).collect()).await.unwrap();
    let wanted = ["web-oauth comes", "login comes", "web-oauth goes", "web-oauth comes", "login goes"];
    assert_eq!(seen, wanted);
}

#[tokio::test]
async fn the_name_of_a_foreign_secret_is_a_conflict_and_the_former_secret_stays_in_use() {
    let fixture = ready_with("renamedb", &json!({})).await;
    fixture.kubectl(&["create", "secret", "generic", "db", "--from-literal=password=theirs"]).await;
    let client_id = fixture.get("maoc", "web").await["status"]["clientId"].clone();
    let (theirs, ours) = (fixture.get("secret", "db").await, fixture.get("secret", "web-oauth").await);
    fixture.apply(&fixture.client("web", &json!({ "secret": { "name": "db" } }))).await;
    let client = fixture
        .until("maoc", "web", "the conflict is said", |o| condition(o, "Stalled") == "True/SecretConflict")
        .await;
    assert!(message(&client, "Ready").contains("delete that Secret"), "{}", message(&client, "Ready"));
    assert!(fixture.get("secret", "db").await == theirs, "the foreign Secret was written");
    assert!(fixture.get("secret", "web-oauth").await == ours, "the former Secret was written");
    assert!(fixture.accepts(&ours).await);
    change(&fixture, &json!({ "name": "login" })).await;
    assert_eq!(secret_names(&fixture).await, ["db", "login"]);
    assert!(fixture.get("secret", "db").await == theirs, "the foreign Secret was written");
    assert_same_client(&fixture, &client_id).await;
}

/// U1, with a crash when there are two Secrets, as near as the eye of a watch allows.
#[tokio::test]
async fn killed_when_the_secret_has_its_new_name_it_ends_with_one_secret_and_the_same_client() {
    let fixture = Fixture::own("renamekill", &["--leader-elect", "false"]).await;
    fixture.apply(&fixture.client("web", &json!({}))).await;
    fixture.wait_ready("web").await;
    let client_id = fixture.get("maoc", "web").await["status"]["clientId"].clone();
    let mut events = comings_and_goings(&fixture).await;
    for name in ["login0", "login1", "login2", "login3", "login4"] {
        fixture.apply(&fixture.client("web", &json!({ "secret": { "name": name } }))).await;
        let process = fixture.operator.as_ref().unwrap().process();
        let comes = format!("{name} comes");
        while tokio::time::timeout(LONG, events.next()).await.unwrap().unwrap() != comes {}
        process.kill().unwrap();
        process.restart().unwrap();
        change(&fixture, &json!({ "name": name })).await;
        eventually(LONG, "the former Secret is gone", async || {
            let names = secret_names(&fixture).await;
            if names == [name] { Ok(()) } else { Err(names.join(", ")) }
        })
        .await
        .unwrap();
        assert_same_client(&fixture, &client_id).await;
    }
}

const FIELDS: [(&str, &str); 6] = [
    ("authorizeUrl", "AUTHORIZE_URL"),
    ("clientId", "CLIENT_ID"),
    ("clientSecret", "CLIENT_SECRET"),
    ("projectId", "PROJECT_ID"),
    ("scopes", "SCOPES"),
    ("tokenUrl", "TOKEN_URL"),
];

/// The data of the Secret, decoded, each under the field that wants it there. Not to be printed.
fn by_field(secret: &Value, keys: &Value) -> BTreeMap<&'static str, String> {
    let key = |field: &str, default| keys[field].as_str().unwrap_or(default).to_owned();
    let named = FIELDS.map(|(field, default)| (field, key(field, default)));
    named.into_iter().filter(|(_, key)| !key.is_empty()).map(|(field, key)| (field, datum(secret, &key))).collect()
}

/// Asks for these keys and waits until the Secret has exactly them, each with the value that was there before.
async fn rekey(fixture: &Fixture, keys: &Value, values: &BTreeMap<&'static str, String>) {
    fixture.apply(&fixture.client("web", &json!({ "secret": { "keys": keys } }))).await;
    let generation = fixture.get("maoc", "web").await["metadata"]["generation"].clone();
    fixture.until("maoc", "web", "the keys are applied", |o| o["status"]["appliedGeneration"] == generation).await;
    let secret = fixture.get("secret", "web-oauth").await;
    let wanted: BTreeMap<_, _> = values.iter().filter(|(field, _)| keys[**field] != "").collect();
    assert!(by_field(&secret, keys).iter().eq(wanted.iter().map(|(a, b)| (*a, *b))), "{keys}: a value is another");
    let held = secret["data"].as_object().unwrap().len();
    assert_eq!(held, wanted.len(), "{keys}: a stale key is left");
}

#[tokio::test]
async fn each_key_can_be_renamed_dropped_and_swapped_and_its_value_moves() {
    let fixture = ready_with("rekey", &json!({})).await;
    let client_id = fixture.get("maoc", "web").await["status"]["clientId"].clone();
    let values = by_field(&fixture.get("secret", "web-oauth").await, &json!({}));
    for (field, _) in FIELDS {
        rekey(&fixture, &json!({ field: "renamed" }), &values).await;
    }
    for field in ["authorizeUrl", "projectId", "scopes", "tokenUrl"] {
        rekey(&fixture, &json!({ field: "" }), &values).await;
    }
    rekey(&fixture, &json!({ "clientId": "CLIENT_SECRET", "clientSecret": "CLIENT_ID" }), &values).await;
    rekey(&fixture, &json!({ "clientSecret": "SCOPES", "scopes": "CLIENT_SECRET" }), &values).await;
    rekey(&fixture, &json!({}), &values).await;
    assert_same_client(&fixture, &client_id).await;
    assert_eq!(fixture.count("PUT").await, 0);
}

/// A stale key would hold the former secret for ever.
#[tokio::test]
async fn keys_that_are_renamed_with_a_rotation_leave_no_stale_key() {
    let fixture = ready_with("rekeyrotate", &json!({})).await;
    let client_id = fixture.get("maoc", "web").await["status"]["clientId"].clone();
    let mut manifest = fixture.client("web", &json!({ "secret": { "keys": { "clientSecret": "PASSWORD" } } }));
    manifest["metadata"]["annotations"] = json!({ "meshagent.com/rotate-requested-at": "now" });
    fixture.apply(&manifest).await;
    fixture.until("maoc", "web", "it is rotated", |o| o["status"]["clientId"] != client_id).await;
    fixture.until("maoc", "web", "it is Ready", |o| condition(o, "Ready") == "True/Ready").await;
    let secret = fixture.get("secret", "web-oauth").await;
    let keys: Vec<&String> = secret["data"].as_object().unwrap().keys().collect();
    assert_eq!(keys, ["AUTHORIZE_URL", "CLIENT_ID", "PASSWORD", "PROJECT_ID", "SCOPES", "TOKEN_URL"]);
    let (id, password) = (datum(&secret, "CLIENT_ID"), datum(&secret, "PASSWORD"));
    assert!(fixture.admin.verify(fixture.project, &id, &password).await.unwrap());
}

/// The Secret's labels and annotations, without the operator's own.
fn others(secret: &Value) -> [Value; 2] {
    ["labels", "annotations"].map(|field| {
        let mut entries = secret["metadata"][field].as_object().cloned().unwrap_or_default();
        entries.retain(|key, _| !key.starts_with("meshagent.com/") && key != "app.kubernetes.io/managed-by");
        Value::Object(entries)
    })
}

#[tokio::test]
async fn labels_and_annotations_are_added_changed_and_removed_and_those_of_others_stay() {
    let first = json!({ "labels": { "tier": "front", "a.example/b": "" }, "annotations": { "note": "one\ntwo" } });
    let fixture = ready_with("labels", &first).await;
    let client_id = fixture.get("maoc", "web").await["status"]["clientId"].clone();
    assert_eq!(
        others(&fixture.get("secret", "web-oauth").await),
        [first["labels"].clone(), first["annotations"].clone()]
    );
    fixture.kubectl(&["label", "secret", "web-oauth", "theirs=yes"]).await;
    fixture.kubectl(&["annotate", "secret", "web-oauth", "theirs=yes"]).await;
    let second = json!({ "labels": { "tier": "back", "c": "d" }, "annotations": { "reloader/match": "true" } });
    change(&fixture, &second).await;
    let wanted =
        [json!({ "tier": "back", "c": "d", "theirs": "yes" }), json!({ "reloader/match": "true", "theirs": "yes" })];
    assert_eq!(others(&fixture.get("secret", "web-oauth").await), wanted);
    change(&fixture, &json!({})).await;
    let theirs = json!({ "theirs": "yes" });
    assert_eq!(others(&fixture.get("secret", "web-oauth").await), [theirs.clone(), theirs]);
    assert_same_client(&fixture, &client_id).await;
    assert_eq!(fixture.count("PUT").await, 0);
}

#[tokio::test]
async fn a_secret_of_type_basic_auth_works_and_its_type_changes_only_with_its_name() {
    let keys = json!({ "clientId": "username", "clientSecret": "password" });
    let with = |name: &str, type_: &str| json!({ "name": name, "type": type_, "keys": keys });
    let fixture = ready_with("basic", &with("login", "kubernetes.io/basic-auth")).await;
    let client_id = fixture.get("maoc", "web").await["status"]["clientId"].clone();
    let accepted = async |name: &str, type_: &str| {
        let secret = fixture.get("secret", name).await;
        assert_eq!(secret["type"], type_);
        let (id, password) = (datum(&secret, "username"), datum(&secret, "password"));
        assert!(fixture.admin.verify(fixture.project, &id, &password).await.unwrap());
    };
    accepted("login", "kubernetes.io/basic-auth").await;
    for changed in [with("login", "Opaque"), json!({ "name": "login", "keys": keys })] {
        let said = fixture.refused(&fixture.client("web", &json!({ "secret": changed }))).await;
        assert!(said.contains("spec.secret.type") && said.contains("change secret.name too"), "{said}");
    }
    fixture.apply(&fixture.client("web", &json!({ "secret": with("other", "example.com/oauth") }))).await;
    fixture.until("maoc", "web", "it has the other name", |o| o["status"]["secretName"] == "other").await;
    fixture.wait_ready("web").await;
    accepted("other", "example.com/oauth").await;
    assert_eq!(secret_names(&fixture).await, ["other"]);
    assert_same_client(&fixture, &client_id).await;
}

/// K7.
#[tokio::test]
async fn what_cannot_be_written_into_an_immutable_secret_is_said_before_a_post_and_done_under_another_name() {
    let fixture = ready_with("immutablesecret", &json!({})).await;
    let client_id = fixture.get("maoc", "web").await["status"]["clientId"].clone();
    fixture.kubectl(&["patch", "secret", "web-oauth", "-p", r#"{"immutable":true}"#]).await;
    fixture.apply(&fixture.client("web", &json!({ "secret": { "keys": { "scopes": "" } } }))).await;
    fixture.until("maoc", "web", "the repair is refused", |o| condition(o, "Stalled") == "True/SecretRejected").await;
    fixture.apply(&fixture.client("web", &json!({}))).await;
    fixture.wait_ready("web").await;
    fixture.kubectl(&["annotate", "maoc", "web", "meshagent.com/rotate-requested-at=now"]).await;
    let client = fixture
        .until("maoc", "web", "the rotation is refused", |o| condition(o, "Synced") == "False/SecretRejected")
        .await;
    let said = message(&client, "Synced");
    assert!(said.contains("name another one in spec.secret.name"), "{said}");
    assert_same_client(&fixture, &client_id).await;
    assert!(fixture.accepts(&fixture.get("secret", "web-oauth").await).await);
    fixture.apply(&fixture.client("web", &json!({ "secret": { "name": "login" } }))).await;
    let client = fixture
        .until("maoc", "web", "it is rotated", |o| {
            o["status"]["clientId"] != client_id && condition(o, "Ready") == "True/Ready"
        })
        .await;
    assert_eq!(client["status"]["retiring"][0]["clientId"], client_id);
    assert!(fixture.accepts(&fixture.get("secret", "login").await).await);
    assert_eq!(secret_names(&fixture).await, ["login"]);
    assert_eq!((fixture.count("POST").await, fixture.count("DELETE").await), (2, 0));
}

/// K9.
#[tokio::test]
async fn the_second_of_two_clients_that_want_one_secret_is_told_and_nothing_is_made_for_it() {
    let fixture = ready_with("two", &json!({ "name": "login" })).await;
    let before = fixture.get("secret", "login").await;
    fixture.apply(&fixture.client("other", &json!({ "secret": { "name": "login" } }))).await;
    let other = fixture
        .until("maoc", "other", "the conflict is said", |o| condition(o, "Stalled") == "True/SecretConflict")
        .await;
    // A third client that is made afterwards shows that the second is not at work any more.
    fixture.apply(&fixture.client("third", &json!({}))).await;
    fixture.wait_ready("third").await;
    let versions = |object: &Value| object["metadata"]["resourceVersion"].clone();
    assert_eq!(versions(&fixture.get("maoc", "other").await), versions(&other));
    assert!(fixture.get("secret", "login").await == before, "the first one's Secret was written");
    assert!(fixture.accepts(&before).await);
    assert_eq!(fixture.count("POST").await, 2);
    fixture.kubectl(&["delete", "maoc", "other", "--timeout=30s"]).await;
    assert!(fixture.get("secret", "login").await == before, "the first one's Secret was written");
    fixture.wait_ready("web").await;
}

/// K4, K12.
#[tokio::test]
async fn a_secret_that_a_policy_or_a_quota_refuses_is_said_before_a_post_and_made_once_it_is_allowed() {
    let fixture = Fixture::own("refused", &[]).await;
    let name = fixture.ns();
    let quota = json!({ "apiVersion": "v1", "kind": "ResourceQuota",
        "metadata": { "name": "secrets", "namespace": name }, "spec": { "hard": { "count/secrets": "0" } } });
    fixture.apply(&quota).await;
    let counted = |quota: &Value| quota["status"]["hard"]["count/secrets"] == "0";
    fixture.until("resourcequota", "secrets", "the quota is in force", counted).await;
    let refused = |o: &Value| condition(o, "Synced").contains("SecretRejected");
    fixture.apply(&fixture.client("web", &json!({}))).await;
    let client = fixture.until("maoc", "web", "the quota is said", refused).await;
    assert!(message(&client, "Synced").contains("exceeded quota"), "{}", message(&client, "Synced"));
    let rule = json!({ "apiGroups": [""], "apiVersions": ["v1"], "operations": ["CREATE"], "resources": ["secrets"] });
    put_policy(&fixture, name, &rule, &json!({ "expression": "false", "message": "no Secrets here" })).await;
    // The policy is asked before the quota.
    asked_until(&fixture, "the policy is said", |o| message(o, "Synced").contains("no Secrets here")).await;
    fixture.kubectl(&["delete", "resourcequota", "secrets"]).await;
    assert_eq!(fixture.count("POST").await, 0);
    fixture.kubectl(&["delete", "validatingadmissionpolicybinding", name]).await;
    asked_until(&fixture, "it is made", |o| condition(o, "Ready") == "True/Ready").await;
    assert_eq!(fixture.count("POST").await, 1);
    assert!(fixture.accepts(&fixture.get("secret", "web-oauth").await).await);
}

/// Asks for a look at `web` now and again, until it is so.
async fn asked_until(fixture: &Fixture, what: &str, is: impl Fn(&Value) -> bool) {
    eventually(LONG, what, async || {
        let now = format!("meshagent.com/reconcile-requested-at={}", jiff::Timestamp::now());
        fixture.kubectl(&["annotate", "maoc", "web", "--overwrite", &now]).await;
        if is(&fixture.get("maoc", "web").await) { Ok(()) } else { Err("not yet") }
    })
    .await
    .unwrap();
}

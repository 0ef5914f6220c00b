//! The Secret: another name, other keys, labels, annotations, another type; and who else may be in the way.

use std::collections::BTreeMap;
use std::pin::Pin;

use futures::{Stream, StreamExt};
use harness::eventually;
use k8s_openapi::api::core::v1::Secret;
use kube::ResourceExt;
use kube::api::{WatchEvent, WatchParams};
use serde_json::{Value, json};

use super::ground::{Ground, LONG, condition, datum, message};

type Events = Pin<Box<dyn Stream<Item = String> + Send>>;

/// Which Secrets of the namespace come and go from the beginning on, such as `web-oauth comes`.
async fn comings_and_goings(ground: &Ground) -> Events {
    let client = ground.control_plane.get().admin().await.unwrap();
    let secrets: kube::Api<Secret> = kube::Api::namespaced(client, ground.ns());
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
async fn ready_with(prefix: &str, secret: &Value) -> Ground {
    let ground = Ground::shared(prefix).await;
    ground.apply(&ground.client("web", &json!({ "secret": secret }))).await;
    ground.wait_ready("web").await;
    ground
}

/// Applies `spec.secret` and waits until it is applied; at every look the credential is accepted from one of the Secrets.
async fn change(ground: &Ground, secret: &Value) {
    ground.apply(&ground.client("web", &json!({ "secret": secret }))).await;
    let generation = ground.get("maoc", "web").await["metadata"]["generation"].clone();
    eventually(LONG, "the change is applied", async || {
        assert!(some_secret_is_accepted(ground).await, "no Secret holds an accepted credential");
        let client = ground.get("maoc", "web").await;
        let applied =
            client["status"]["appliedGeneration"] == generation && condition(&client, "Ready") == "True/Ready";
        if applied { Ok(()) } else { Err(client["status"].to_string()) }
    })
    .await
    .unwrap();
}

async fn secrets(ground: &Ground) -> Vec<Value> {
    let list: Value = serde_json::from_str(&ground.kubectl(&["get", "secrets", "-o", "json"]).await).unwrap();
    list["items"].as_array().cloned().unwrap_or_default()
}

async fn some_secret_is_accepted(ground: &Ground) -> bool {
    for secret in secrets(ground).await {
        if secret["data"]["CLIENT_ID"].is_string() && ground.accepts(&secret).await {
            return true;
        }
    }
    false
}

async fn secret_names(ground: &Ground) -> Vec<String> {
    secrets(ground).await.iter().map(|secret| secret["metadata"]["name"].as_str().unwrap().to_owned()).collect()
}

/// The client is the one that was made first, and no other was ever asked for.
async fn assert_same_client(ground: &Ground, client_id: &Value) {
    assert_eq!(&ground.get("maoc", "web").await["status"]["clientId"], client_id);
    assert_eq!((ground.count("POST").await, ground.count("DELETE").await), (1, 0));
    assert_eq!(ground.remote_ids().await.len(), 1);
}

/// U1.
#[tokio::test]
async fn under_another_name_the_secret_comes_before_the_former_goes_and_the_client_stays() {
    let ground = ready_with("rename", &json!({})).await;
    let client_id = ground.get("maoc", "web").await["status"]["clientId"].clone();
    let events = comings_and_goings(&ground).await;
    change(&ground, &json!({ "name": "login" })).await;
    assert_eq!(secret_names(&ground).await, ["login"]);
    assert_eq!(ground.get("maoc", "web").await["status"]["secretName"], "login");
    change(&ground, &json!({})).await;
    assert_eq!(secret_names(&ground).await, ["web-oauth"]);
    assert_same_client(&ground, &client_id).await;
    assert_eq!(ground.count("PUT").await, 0);
    let seen: Vec<String> = tokio::time::timeout(LONG, events.take(5).collect()).await.unwrap();
    let wanted = ["web-oauth comes", "login comes", "web-oauth goes", "web-oauth comes", "login goes"];
    assert_eq!(seen, wanted);
}

#[tokio::test]
async fn the_name_of_a_foreign_secret_is_a_conflict_and_the_former_secret_stays_in_use() {
    let ground = ready_with("renamedb", &json!({})).await;
    ground.kubectl(&["create", "secret", "generic", "db", "--from-literal=password=theirs"]).await;
    let client_id = ground.get("maoc", "web").await["status"]["clientId"].clone();
    let (theirs, ours) = (ground.get("secret", "db").await, ground.get("secret", "web-oauth").await);
    ground.apply(&ground.client("web", &json!({ "secret": { "name": "db" } }))).await;
    let client =
        ground.until("maoc", "web", "the conflict is said", |o| condition(o, "Stalled") == "True/SecretConflict").await;
    assert!(message(&client, "Ready").contains("delete that Secret"), "{}", message(&client, "Ready"));
    assert!(ground.get("secret", "db").await == theirs, "the foreign Secret was written");
    assert!(ground.get("secret", "web-oauth").await == ours, "the former Secret was written");
    assert!(ground.accepts(&ours).await);
    change(&ground, &json!({ "name": "login" })).await;
    assert_eq!(secret_names(&ground).await, ["db", "login"]);
    assert!(ground.get("secret", "db").await == theirs, "the foreign Secret was written");
    assert_same_client(&ground, &client_id).await;
}

/// U1, with a crash when there are two Secrets, as near as the eye of a watch allows.
#[tokio::test]
async fn killed_when_the_secret_has_its_new_name_it_ends_with_one_secret_and_the_same_client() {
    let ground = Ground::own("renamekill", &["--leader-elect", "false"]).await;
    ground.apply(&ground.client("web", &json!({}))).await;
    ground.wait_ready("web").await;
    let client_id = ground.get("maoc", "web").await["status"]["clientId"].clone();
    let mut events = comings_and_goings(&ground).await;
    for name in ["login0", "login1", "login2", "login3", "login4"] {
        ground.apply(&ground.client("web", &json!({ "secret": { "name": name } }))).await;
        let process = ground.operator.as_ref().unwrap().process();
        let comes = format!("{name} comes");
        while tokio::time::timeout(LONG, events.next()).await.unwrap().unwrap() != comes {}
        process.kill().unwrap();
        process.restart().unwrap();
        change(&ground, &json!({ "name": name })).await;
        eventually(LONG, "the former Secret is gone", async || {
            let names = secret_names(&ground).await;
            if names == [name] { Ok(()) } else { Err(names.join(", ")) }
        })
        .await
        .unwrap();
        assert_same_client(&ground, &client_id).await;
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
async fn rekey(ground: &Ground, keys: &Value, values: &BTreeMap<&'static str, String>) {
    ground.apply(&ground.client("web", &json!({ "secret": { "keys": keys } }))).await;
    let generation = ground.get("maoc", "web").await["metadata"]["generation"].clone();
    ground.until("maoc", "web", "the keys are applied", |o| o["status"]["appliedGeneration"] == generation).await;
    let secret = ground.get("secret", "web-oauth").await;
    let wanted: BTreeMap<_, _> = values.iter().filter(|(field, _)| keys[**field] != "").collect();
    assert!(by_field(&secret, keys).iter().eq(wanted.iter().map(|(a, b)| (*a, *b))), "{keys}: a value is another");
    let held = secret["data"].as_object().unwrap().len();
    assert_eq!(held, wanted.len(), "{keys}: a stale key is left");
}

#[tokio::test]
async fn each_key_can_be_renamed_dropped_and_swapped_and_its_value_moves() {
    let ground = ready_with("rekey", &json!({})).await;
    let client_id = ground.get("maoc", "web").await["status"]["clientId"].clone();
    let values = by_field(&ground.get("secret", "web-oauth").await, &json!({}));
    for (field, _) in FIELDS {
        rekey(&ground, &json!({ field: "renamed" }), &values).await;
    }
    for field in ["authorizeUrl", "projectId", "scopes", "tokenUrl"] {
        rekey(&ground, &json!({ field: "" }), &values).await;
    }
    rekey(&ground, &json!({ "clientId": "CLIENT_SECRET", "clientSecret": "CLIENT_ID" }), &values).await;
    rekey(&ground, &json!({ "clientSecret": "SCOPES", "scopes": "CLIENT_SECRET" }), &values).await;
    rekey(&ground, &json!({}), &values).await;
    assert_same_client(&ground, &client_id).await;
    assert_eq!(ground.count("PUT").await, 0);
}

/// A stale key would hold the former secret for ever.
#[tokio::test]
async fn keys_that_are_renamed_with_a_rotation_leave_no_stale_key() {
    let ground = ready_with("rekeyrotate", &json!({})).await;
    let client_id = ground.get("maoc", "web").await["status"]["clientId"].clone();
    let mut manifest = ground.client("web", &json!({ "secret": { "keys": { "clientSecret": "PASSWORD" } } }));
    manifest["metadata"]["annotations"] = json!({ "meshagent.com/rotate-requested-at": "now" });
    ground.apply(&manifest).await;
    ground.until("maoc", "web", "it is rotated", |o| o["status"]["clientId"] != client_id).await;
    ground.until("maoc", "web", "it is Ready", |o| condition(o, "Ready") == "True/Ready").await;
    let secret = ground.get("secret", "web-oauth").await;
    let keys: Vec<&String> = secret["data"].as_object().unwrap().keys().collect();
    assert_eq!(keys, ["AUTHORIZE_URL", "CLIENT_ID", "PASSWORD", "PROJECT_ID", "SCOPES", "TOKEN_URL"]);
    let (id, password) = (datum(&secret, "CLIENT_ID"), datum(&secret, "PASSWORD"));
    assert!(ground.admin.verify(ground.project, &id, &password).await.unwrap());
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
    let ground = ready_with("labels", &first).await;
    let client_id = ground.get("maoc", "web").await["status"]["clientId"].clone();
    assert_eq!(
        others(&ground.get("secret", "web-oauth").await),
        [first["labels"].clone(), first["annotations"].clone()]
    );
    ground.kubectl(&["label", "secret", "web-oauth", "theirs=yes"]).await;
    ground.kubectl(&["annotate", "secret", "web-oauth", "theirs=yes"]).await;
    let second = json!({ "labels": { "tier": "back", "c": "d" }, "annotations": { "reloader/match": "true" } });
    change(&ground, &second).await;
    let wanted =
        [json!({ "tier": "back", "c": "d", "theirs": "yes" }), json!({ "reloader/match": "true", "theirs": "yes" })];
    assert_eq!(others(&ground.get("secret", "web-oauth").await), wanted);
    change(&ground, &json!({})).await;
    let theirs = json!({ "theirs": "yes" });
    assert_eq!(others(&ground.get("secret", "web-oauth").await), [theirs.clone(), theirs]);
    assert_same_client(&ground, &client_id).await;
    assert_eq!(ground.count("PUT").await, 0);
}

#[tokio::test]
async fn a_secret_of_type_basic_auth_works_and_its_type_changes_only_with_its_name() {
    let keys = json!({ "clientId": "username", "clientSecret": "password" });
    let with = |name: &str, type_: &str| json!({ "name": name, "type": type_, "keys": keys });
    let ground = ready_with("basic", &with("login", "kubernetes.io/basic-auth")).await;
    let client_id = ground.get("maoc", "web").await["status"]["clientId"].clone();
    let accepted = async |name: &str, type_: &str| {
        let secret = ground.get("secret", name).await;
        assert_eq!(secret["type"], type_);
        let (id, password) = (datum(&secret, "username"), datum(&secret, "password"));
        assert!(ground.admin.verify(ground.project, &id, &password).await.unwrap());
    };
    accepted("login", "kubernetes.io/basic-auth").await;
    for changed in [with("login", "Opaque"), json!({ "name": "login", "keys": keys })] {
        let said = ground.refused(&ground.client("web", &json!({ "secret": changed }))).await;
        assert!(said.contains("spec.secret.type") && said.contains("change secret.name too"), "{said}");
    }
    ground.apply(&ground.client("web", &json!({ "secret": with("other", "example.com/oauth") }))).await;
    ground.until("maoc", "web", "it has the other name", |o| o["status"]["secretName"] == "other").await;
    ground.wait_ready("web").await;
    accepted("other", "example.com/oauth").await;
    assert_eq!(secret_names(&ground).await, ["other"]);
    assert_same_client(&ground, &client_id).await;
}

/// K7.
#[tokio::test]
async fn what_cannot_be_written_into_an_immutable_secret_is_said_before_a_post_and_done_under_another_name() {
    let ground = ready_with("immutablesecret", &json!({})).await;
    let client_id = ground.get("maoc", "web").await["status"]["clientId"].clone();
    ground.kubectl(&["patch", "secret", "web-oauth", "-p", r#"{"immutable":true}"#]).await;
    ground.apply(&ground.client("web", &json!({ "secret": { "keys": { "scopes": "" } } }))).await;
    ground.until("maoc", "web", "the repair is refused", |o| condition(o, "Stalled") == "True/SecretRejected").await;
    ground.apply(&ground.client("web", &json!({}))).await;
    ground.wait_ready("web").await;
    ground.kubectl(&["annotate", "maoc", "web", "meshagent.com/rotate-requested-at=now"]).await;
    let client = ground
        .until("maoc", "web", "the rotation is refused", |o| condition(o, "Synced") == "False/SecretRejected")
        .await;
    let said = message(&client, "Synced");
    assert!(said.contains("name another one in spec.secret.name"), "{said}");
    assert_same_client(&ground, &client_id).await;
    assert!(ground.accepts(&ground.get("secret", "web-oauth").await).await);
    ground.apply(&ground.client("web", &json!({ "secret": { "name": "login" } }))).await;
    let client = ground
        .until("maoc", "web", "it is rotated", |o| {
            o["status"]["clientId"] != client_id && condition(o, "Ready") == "True/Ready"
        })
        .await;
    assert_eq!(client["status"]["retiring"][0]["clientId"], client_id);
    assert!(ground.accepts(&ground.get("secret", "login").await).await);
    assert_eq!(secret_names(&ground).await, ["login"]);
    assert_eq!((ground.count("POST").await, ground.count("DELETE").await), (2, 0));
}

/// K9.
#[tokio::test]
async fn the_second_of_two_clients_that_want_one_secret_is_told_and_nothing_is_made_for_it() {
    let ground = ready_with("two", &json!({ "name": "login" })).await;
    let before = ground.get("secret", "login").await;
    ground.apply(&ground.client("other", &json!({ "secret": { "name": "login" } }))).await;
    let other = ground
        .until("maoc", "other", "the conflict is said", |o| condition(o, "Stalled") == "True/SecretConflict")
        .await;
    // A third that is made afterwards shows that the second is not at work any more.
    ground.apply(&ground.client("third", &json!({}))).await;
    ground.wait_ready("third").await;
    let versions = |object: &Value| object["metadata"]["resourceVersion"].clone();
    assert_eq!(versions(&ground.get("maoc", "other").await), versions(&other));
    assert!(ground.get("secret", "login").await == before, "the first one's Secret was written");
    assert!(ground.accepts(&before).await);
    assert_eq!(ground.count("POST").await, 2);
    ground.kubectl(&["delete", "maoc", "other", "--timeout=30s"]).await;
    assert!(ground.get("secret", "login").await == before, "the first one's Secret was written");
    ground.wait_ready("web").await;
}

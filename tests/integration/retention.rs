//! What outlives its OAuthClient, and what does not.

use harness::eventually;
use serde_json::{Value, json};
use simulator::fault::{Fault, FaultRule, RouteMatch};

use super::adoption::{adopting, allow_adoption, changes, look, remote};
use super::calls::Audited;
use super::ground::{Ground, LONG, condition, datum, message};

/// Who owns a Secret.
fn owners(secret: &Value) -> &Value {
    &secret["metadata"]["ownerReferences"]
}

/// Whether a Secret says that it was left behind.
fn retained(secret: &Value) -> &Value {
    &secret["metadata"]["annotations"]["meshagent.com/retained"]
}

async fn until_gone(ground: &Ground, kind: &str, name: &str) {
    eventually(LONG, &format!("{kind} {name} is gone"), async || {
        if ground.exists(kind, name).await { Err("it is there") } else { Ok(()) }
    })
    .await
    .unwrap();
}

/// Waits for so many more listings of the project: as many resyncs, of as few clients.
pub async fn resyncs(ground: &Ground, more: usize) {
    let lists = async || ground.calls().await.iter().filter(|call| call.query.is_some()).count();
    let enough = lists().await + more;
    eventually(LONG, "some resyncs", async || {
        let now = lists().await;
        if now >= enough { Ok(()) } else { Err(now.to_string()) }
    })
    .await
    .unwrap();
}

async fn patch(ground: &Ground, name: &str, spec: &Value) -> i64 {
    let patch = json!({ "spec": spec }).to_string();
    ground.kubectl(&["patch", "maoc", name, "--type=merge", "-p", &patch]).await;
    ground.get("maoc", name).await["metadata"]["generation"].as_i64().unwrap()
}

async fn until_applied(ground: &Ground, name: &str, generation: i64) -> Value {
    let applied = |object: &Value| object["status"]["appliedGeneration"] == generation;
    ground.until("maoc", name, "the edit is applied", applied).await
}

/// U12.
#[tokio::test]
async fn what_is_retained_outlives_its_oauthclient_and_the_same_yaml_takes_it_back_within_the_budget() {
    let audited = Audited::lay().await;
    let ground = &audited.ground;
    let manifest = ground.client("web", &json!({ "deletionPolicy": "Retain" }));
    ground.apply(&manifest).await;
    ground.wait_ready("web").await;
    let (id, before) = (ground.remote_ids().await.remove(0), ground.get("secret", "web-oauth").await);
    assert_eq!((owners(&before), retained(&before)), (&json!(null), &json!(null)));

    audited.assert_cost("create", None, &[]).await;
    ground.kubectl(&["delete", "maoc", "web", "--timeout=30s"]).await;
    // The marker is part of the metadata, which a PUT replaces whole.
    let rest = [("GET", 1), ("PUT", 1)];
    let writes = [("patch secrets", 1), ("patch oauthclients", 1)];
    audited.assert_cost("retain", Some(&rest), &writes).await;
    let left = ground.get("secret", "web-oauth").await;
    assert_eq!((owners(&left), retained(&left)), (&json!(null), &json!("true")));
    assert_eq!(left["metadata"]["uid"], before["metadata"]["uid"]);
    assert!(left["data"] == before["data"], "the credential was changed");
    assert_eq!(ground.remote_ids().await, [id.as_str()]);
    assert_eq!(remote(ground).await[0].metadata["meshagent.com/retained"], "true");

    ground.apply(&manifest).await;
    ground.wait_ready("web").await;
    let writes = [("patch oauthclients", 1), ("patch secrets", 1), ("patch oauthclients/status", 1)];
    audited.assert_cost("re-adopt", Some(&rest), &writes).await;
    let (object, back) = (ground.get("maoc", "web").await, ground.get("secret", "web-oauth").await);
    assert_eq!(object["status"]["clientId"], id.as_str());
    assert!(back["data"] == before["data"], "the credential was changed");
    assert!(ground.accepts(&back).await, "the credential in the Secret is not accepted");
    assert_eq!((owners(&back), retained(&back)), (&json!(null), &json!(null)));
    assert_eq!(back["metadata"]["annotations"]["meshagent.com/owner-uid"], object["metadata"]["uid"]);
    let metadata = remote(ground).await.remove(0).metadata;
    let marker = ["meshagent.com/uid", "meshagent.com/retained", "meshagent.com/origin"].map(|key| &metadata[key]);
    assert_eq!(marker, [object["metadata"]["uid"].as_str().unwrap(), "false", "created"]);
}

/// U16.
#[tokio::test]
async fn cascading_deletion_keeps_what_is_retained_and_leaves_nothing_of_the_rest() {
    let ground = Ground::shared("cascade").await;
    let cases = [("foreground", "Retain"), ("orphan", "Retain"), ("foreground", "Delete"), ("orphan", "Delete")];
    let name = |cascade: &str, policy: &str| format!("{cascade}-{}", policy.to_lowercase());
    let mut kept = Vec::new();
    for (cascade, policy) in cases {
        ground.apply(&ground.client(&name(cascade, policy), &json!({ "deletionPolicy": policy }))).await;
    }
    for (cascade, policy) in cases {
        let name = name(cascade, policy);
        ground.wait_ready(&name).await;
        let secret = ground.get("secret", &format!("{name}-oauth")).await;
        ground.kubectl(&["delete", "maoc", &name, &format!("--cascade={cascade}"), "--timeout=60s"]).await;
        if policy == "Retain" {
            kept.push((format!("{name}-oauth"), secret));
        }
    }
    // By now the garbage collector has been told of all of them.
    for cascade in ["foreground", "orphan"] {
        until_gone(&ground, "secret", &format!("{cascade}-delete-oauth")).await;
    }
    let mut ids = Vec::new();
    for (name, before) in kept {
        let after = ground.get("secret", &name).await;
        assert_eq!(after["metadata"]["uid"], before["metadata"]["uid"]);
        assert!(after["data"] == before["data"], "the credential in {name} was changed");
        assert_eq!((owners(&after), retained(&after)), (&json!(null), &json!("true")));
        assert!(ground.accepts(&after).await, "the credential in {name} is not accepted");
        ids.push(datum(&after, "CLIENT_ID"));
    }
    ids.sort();
    let mut left = ground.remote_ids().await;
    left.sort();
    assert_eq!(left, ids);
    assert_eq!(changes(&ground).await, [4, 2, 2]);
}

#[tokio::test]
async fn a_changed_policy_moves_the_owner_reference_and_nothing_else_of_the_secret() {
    let ground = Ground::shared("policy").await;
    ground.apply(&ground.client("web", &json!({}))).await;
    ground.wait_ready("web").await;
    let first = ground.get("secret", "web-oauth").await;
    for policy in ["Retain", "Delete"] {
        let generation = patch(&ground, "web", &json!({ "deletionPolicy": policy })).await;
        until_applied(&ground, "web", generation).await;
        let secret = ground.get("secret", "web-oauth").await;
        let wanted = if policy == "Delete" { owners(&first).clone() } else { json!(null) };
        assert_eq!(owners(&secret), &wanted, "{policy}");
        assert!(secret["data"] == first["data"], "the credential was changed");
        assert_eq!(remote(&ground).await[0].metadata["meshagent.com/deletion-policy"], policy);
    }
    assert_eq!(changes(&ground).await, [1, 2, 0]);
    ground.kubectl(&["delete", "maoc", "web", "--timeout=30s"]).await;
    assert_eq!(ground.remote_ids().await, [""; 0]);
}

#[tokio::test]
async fn what_becomes_of_clients_that_do_not_say_is_for_the_operators_flag() {
    let ground = Ground::own("default", &["--default-deletion-policy", "Retain"]).await;
    ground.apply(&ground.client("silent", &json!({}))).await;
    ground.apply(&ground.client("outspoken", &json!({ "deletionPolicy": "Delete" }))).await;
    ground.wait_ready("silent").await;
    ground.wait_ready("outspoken").await;
    let silent = ground.get("secret", "silent-oauth").await;
    assert_eq!(owners(&silent), &json!(null));
    ground.kubectl(&["delete", "maoc", "silent", "outspoken", "--timeout=30s"]).await;
    until_gone(&ground, "secret", "outspoken-oauth").await;
    assert_eq!(retained(&ground.get("secret", "silent-oauth").await), "true");
    assert_eq!(ground.remote_ids().await, [datum(&silent, "CLIENT_ID")]);
}

/// U15 and K14.
#[tokio::test]
async fn without_its_finalizer_a_client_is_swept_unless_it_is_retained() {
    let soon = json!({ "orphans": { "minAge": "1s" } });
    let ground = Ground::own_with("nofinalizer", &["--resync-interval", "1s"], Default::default(), &soon).await;
    let retain = ground.client("retain", &json!({ "deletionPolicy": "Retain" }));
    ground.apply(&retain).await;
    ground.apply(&ground.client("delete", &json!({}))).await;
    ground.wait_ready("retain").await;
    ground.wait_ready("delete").await;
    let id = ground.get("maoc", "retain").await["status"]["clientId"].as_str().unwrap().to_owned();
    let process = ground.operator.as_ref().unwrap().process();
    process.kill().unwrap();
    for name in ["retain", "delete"] {
        ground.kubectl(&["delete", "maoc", name, "--wait=false"]).await;
        ground.kubectl(&["patch", "maoc", name, "--type=merge", "-p", r#"{"metadata":{"finalizers":null}}"#]).await;
        until_gone(&ground, "maoc", name).await;
    }
    assert_eq!(ground.remote_ids().await.len(), 2);
    process.restart().unwrap();
    ground.until_remote("the one is swept", |ids| ids == [id.as_str()]).await;
    resyncs(&ground, 5).await;
    assert_eq!(ground.remote_ids().await, [id.as_str()]);
    let struck_off = |project: &Value| project["status"]["orphans"] == json!(null);
    ground.until("cmaproj", &ground.project_name, "no orphan is left", struck_off).await;
    ground.apply(&retain).await;
    ground.wait_ready("retain").await;
    assert_eq!(ground.get("maoc", "retain").await["status"]["clientId"], id.as_str());
    assert!(ground.accepts(&ground.get("secret", "retain-oauth").await).await);
    assert_eq!((ground.count("POST").await, ground.count("DELETE").await), (2, 1));
}

/// U5.
#[tokio::test]
async fn a_suspended_client_is_left_as_it_is_until_it_is_resumed() {
    let ground = Ground::shared("suspend").await;
    ground.apply(&ground.client("web", &json!({}))).await;
    ground.wait_ready("web").await;
    let (before, secret) = (remote(&ground).await, ground.get("secret", "web-oauth").await);
    patch(&ground, "web", &json!({ "suspend": true })).await;
    let ready = |wanted: &'static str| move |object: &Value| condition(object, "Ready") == wanted;
    let said = ground.until("maoc", "web", "it is suspended", ready("True/Suspended")).await;
    assert_eq!(
        ["Synced", "Stalled", "Reconciling"].map(|type_| condition(&said, type_)),
        ["Unknown/Suspended", "", ""]
    );
    let suspended = ground.get("secret", "web-oauth").await;
    assert_eq!((owners(&suspended), retained(&suspended)), (&json!(null), &json!(null)));

    let uris = json!({ "redirectUris": ["https://new.example.com/cb"], "secret": { "labels": { "team": "red" } } });
    patch(&ground, "web", &uris).await;
    let said = ground.until("maoc", "web", "the edit is seen", ready("Unknown/Suspended")).await;
    assert_eq!(said["status"]["observedGeneration"], 3);
    assert_eq!(remote(&ground).await, before);
    assert_eq!(ground.get("secret", "web-oauth").await, suspended);

    let generation = patch(&ground, "web", &json!({ "suspend": null })).await;
    let said = until_applied(&ground, "web", generation).await;
    assert_eq!(condition(&said, "Ready"), "True/Ready");
    assert_eq!(remote(&ground).await[0].redirect_uris, ["https://new.example.com/cb"]);
    let resumed = ground.get("secret", "web-oauth").await;
    assert_eq!(owners(&resumed), owners(&secret));
    assert_eq!(resumed["metadata"]["labels"]["team"], "red");
    assert!(resumed["data"] == secret["data"], "the credential was changed");
    assert_eq!(changes(&ground).await, [1, 1, 0]);
}

/// U5.
#[tokio::test]
async fn a_suspended_client_that_is_deleted_stays_at_meshagent_even_if_that_cannot_be_told() {
    let ground = Ground::shared("suspended").await;
    for name in ["told", "untold"] {
        ground.apply(&ground.client(name, &json!({}))).await;
        ground.wait_ready(name).await;
        patch(&ground, name, &json!({ "suspend": true })).await;
        ground.until("maoc", name, "it is suspended", |o| condition(o, "Ready") == "True/Suspended").await;
    }
    let ids = ground.remote_ids().await;
    ground.kubectl(&["delete", "maoc", "told", "--timeout=30s"]).await;
    let away = Fault::Status { status: 503, body: None, headers: Default::default(), commit: false };
    ground.admin.fault(&FaultRule::on(RouteMatch::Any, away).in_project(ground.project)).await.unwrap();
    ground.kubectl(&["delete", "maoc", "untold", "--timeout=30s"]).await;
    assert_eq!(ground.remote_ids().await, ids);
    assert_eq!(ground.count("DELETE").await, 0);
    for name in ["told", "untold"] {
        let secret = ground.get("secret", &format!("{name}-oauth")).await;
        assert_eq!((owners(&secret), retained(&secret)), (&json!(null), &json!("true")), "{name}");
        assert!(ground.accepts(&secret).await, "the credential of {name} is not accepted");
        let id = datum(&secret, "CLIENT_ID");
        let client = remote(&ground).await.into_iter().find(|client| client.client_id == id).unwrap();
        assert_eq!(client.metadata["meshagent.com/retained"], (name == "told").to_string(), "{name}");
    }
}

#[tokio::test]
async fn the_secret_of_a_client_that_was_not_retained_is_in_the_way_of_the_same_yaml() {
    let ground = Ground::shared("notretained").await;
    ground.apply(&ground.client("web", &json!({}))).await;
    ground.wait_ready("web").await;
    let mut copy = ground.get("secret", "web-oauth").await;
    ground.kubectl(&["delete", "maoc", "web", "--timeout=30s"]).await;
    until_gone(&ground, "secret", "web-oauth").await;
    // As a backup brings it back.
    for field in ["ownerReferences", "uid", "resourceVersion", "managedFields"] {
        copy["metadata"].as_object_mut().unwrap().remove(field);
    }
    ground.kubectl.run_with_input(&["create", "-f", "-"], &copy.to_string()).await.unwrap();
    let restored = ground.get("secret", "web-oauth").await;
    ground.apply(&ground.client("web", &json!({}))).await;
    ground.until("maoc", "web", "it is told", |o| condition(o, "Stalled") == "True/SecretConflict").await;
    assert_eq!(ground.get("secret", "web-oauth").await, restored);
    assert_eq!(changes(&ground).await, [1, 0, 1]);
    ground.kubectl(&["delete", "secret", "web-oauth"]).await;
    look(&ground, "web", "now-1").await;
    ground.wait_ready("web").await;
    assert_eq!(changes(&ground).await, [2, 0, 1]);
}

/// A Secret's credential as a person copies it to another cluster.
async fn copy_credential(from: &Value, name: &str, to: &Ground) {
    let data = json!({ "CLIENT_ID": from["data"]["CLIENT_ID"], "CLIENT_SECRET": from["data"]["CLIENT_SECRET"] });
    let metadata = json!({ "name": name, "namespace": to.ns() });
    to.apply(&json!({ "apiVersion": "v1", "kind": "Secret", "metadata": metadata, "data": data })).await;
}

#[tokio::test]
async fn a_client_moves_to_another_cluster_with_a_copy_of_its_secret_of_whatever_name() {
    let old = Ground::shared("old").await;
    let new = old.beside("new").await;
    allow_adoption(&new).await;
    let names = [("web", "web-oauth"), ("api", "copied")];
    let mut moved = Vec::new();
    for (name, copy) in names {
        old.apply(&old.client(name, &json!({ "deletionPolicy": "Retain" }))).await;
        old.wait_ready(name).await;
        let secret = old.get("secret", &format!("{name}-oauth")).await;
        copy_credential(&secret, copy, &new).await;
        let mut manifest = adopting(&new, name, &datum(&secret, "CLIENT_ID"), &json!({}));
        let keys = json!({ "name": copy, "clientIdKey": "CLIENT_ID", "clientSecretKey": "CLIENT_SECRET" });
        manifest["spec"]["adopt"]["credentialSecretRef"] = keys;
        new.apply(&manifest).await;
        // Two clusters never work on one client.
        let refused = |object: &Value| condition(object, "Ready") == "False/AdoptionConflict";
        let said = message(&new.until("maoc", name, "the client is the old one's", refused).await, "Ready");
        assert!(said.contains(&format!("OAuthClient {}/{name} of another cluster", old.ns())), "{said}");
        moved.push((name, secret));
    }
    assert_eq!(changes(&old).await, [2, 0, 0]);
    old.kubectl(&["delete", "maoc", "web", "api", "--timeout=30s"]).await;
    for (name, before) in moved {
        look(&new, name, "now-1").await;
        new.wait_ready(name).await;
        let secret = new.get("secret", &format!("{name}-oauth")).await;
        let same = ["CLIENT_ID", "CLIENT_SECRET"].iter().all(|key| secret["data"][key] == before["data"][key]);
        assert!(same && new.accepts(&secret).await, "{name} has another credential");
        assert_eq!(new.get("maoc", name).await["status"]["clientId"], datum(&before, "CLIENT_ID"));
        assert!(old.accepts(&old.get("secret", &format!("{name}-oauth")).await).await);
    }
    // Marked as left by the one, and as taken over by the other.
    assert_eq!(changes(&old).await, [2, 4, 0]);
}

//! Clients and Secrets that outlive their OAuthClient, and those that do not.

use std::time::Duration;

use harness::eventually;
use serde_json::{Value, json};
use simulator::admin::Route;
use simulator::fault::{Fault, FaultRule, RouteMatch, Stage};

use super::adoption::{adopting, allow_adoption, changes, look, remote};
use super::calls::Audited;
use super::fixture::{Fixture, LONG, condition, datum, message};

/// The owners of a Secret.
fn owners(secret: &Value) -> &Value {
    &secret["metadata"]["ownerReferences"]
}

/// Whether a Secret says that it was retained.
fn retained(secret: &Value) -> &Value {
    &secret["metadata"]["annotations"]["meshagent.com/retained"]
}

async fn until_gone(fixture: &Fixture, kind: &str, name: &str) {
    eventually(LONG, &format!("{kind} {name} is gone"), async || {
        if fixture.exists(kind, name).await { Err("it is there") } else { Ok(()) }
    })
    .await
    .unwrap();
}

/// Waits for `more` listings of the project: as many resyncs, of as few clients.
pub async fn resyncs(fixture: &Fixture, more: usize) {
    let lists = async || fixture.calls().await.iter().filter(|call| call.query.is_some()).count();
    let enough = lists().await + more;
    eventually(LONG, "some resyncs", async || {
        let now = lists().await;
        if now >= enough { Ok(()) } else { Err(now.to_string()) }
    })
    .await
    .unwrap();
}

async fn patch(fixture: &Fixture, name: &str, spec: &Value) -> i64 {
    let patch = json!({ "spec": spec }).to_string();
    fixture.kubectl(&["patch", "maoc", name, "--type=merge", "-p", &patch]).await;
    fixture.get("maoc", name).await["metadata"]["generation"].as_i64().unwrap()
}

async fn until_applied(fixture: &Fixture, name: &str, generation: i64) -> Value {
    let applied = |object: &Value| object["status"]["appliedGeneration"] == generation;
    fixture.until("maoc", name, "the edit is applied", applied).await
}

/// U12.
#[tokio::test]
async fn what_is_retained_outlives_its_oauthclient_and_the_same_yaml_takes_it_back_within_the_budget() {
    let audited = Audited::set_up().await;
    let fixture = &audited.fixture;
    let manifest = fixture.client("web", &json!({ "deletionPolicy": "Retain" }));
    fixture.apply(&manifest).await;
    fixture.wait_ready("web").await;
    let (id, before) = (fixture.remote_ids().await.remove(0), fixture.get("secret", "web-oauth").await);
    assert_eq!((owners(&before), retained(&before)), (&json!(null), &json!(null)));

    audited.assert_cost("create", None, &[]).await;
    fixture.kubectl(&["delete", "maoc", "web", "--timeout=30s"]).await;
    // The marker is part of the metadata, which a PUT replaces whole.
    let rest = [("GET", 1), ("PUT", 1)];
    let writes = [("patch secrets", 1), ("patch oauthclients", 1)];
    audited.assert_cost("retain", Some(&rest), &writes).await;
    let left = fixture.get("secret", "web-oauth").await;
    assert_eq!((owners(&left), retained(&left)), (&json!(null), &json!("true")));
    assert_eq!(left["metadata"]["uid"], before["metadata"]["uid"]);
    assert!(left["data"] == before["data"], "the credential was changed");
    assert_eq!(fixture.remote_ids().await, [id.as_str()]);
    assert_eq!(remote(fixture).await[0].metadata["meshagent.com/retained"], "true");

    fixture.apply(&manifest).await;
    fixture.wait_ready("web").await;
    let writes = [("patch oauthclients", 1), ("patch secrets", 1), ("patch oauthclients/status", 1)];
    audited.assert_cost("re-adopt", Some(&rest), &writes).await;
    let (object, back) = (fixture.get("maoc", "web").await, fixture.get("secret", "web-oauth").await);
    assert_eq!(object["status"]["clientId"], id.as_str());
    assert!(back["data"] == before["data"], "the credential was changed");
    assert!(fixture.accepts(&back).await, "the credential in the Secret is not accepted");
    assert_eq!((owners(&back), retained(&back)), (&json!(null), &json!(null)));
    assert_eq!(back["metadata"]["annotations"]["meshagent.com/owner-uid"], object["metadata"]["uid"]);
    let metadata = remote(fixture).await.remove(0).metadata;
    let marker = ["meshagent.com/uid", "meshagent.com/retained", "meshagent.com/origin"].map(|key| &metadata[key]);
    assert_eq!(marker, [object["metadata"]["uid"].as_str().unwrap(), "false", "created"]);
}

/// U16.
#[tokio::test]
async fn cascading_deletion_keeps_what_is_retained_and_leaves_nothing_of_the_rest() {
    let fixture = Fixture::shared("cascade").await;
    let cases = [("foreground", "Retain"), ("orphan", "Retain"), ("foreground", "Delete"), ("orphan", "Delete")];
    let name = |cascade: &str, policy: &str| format!("{cascade}-{}", policy.to_lowercase());
    let mut kept = Vec::new();
    for (cascade, policy) in cases {
        fixture.apply(&fixture.client(&name(cascade, policy), &json!({ "deletionPolicy": policy }))).await;
    }
    for (cascade, policy) in cases {
        let name = name(cascade, policy);
        fixture.wait_ready(&name).await;
        let secret = fixture.get("secret", &format!("{name}-oauth")).await;
        fixture.kubectl(&["delete", "maoc", &name, &format!("--cascade={cascade}"), "--timeout=60s"]).await;
        if policy == "Retain" {
            kept.push((format!("{name}-oauth"), secret));
        }
    }
    // The garbage collector has been told of all of them by now.
    for cascade in ["foreground", "orphan"] {
        until_gone(&fixture, "secret", &format!("{cascade}-delete-oauth")).await;
    }
    let mut ids = Vec::new();
    for (name, before) in kept {
        let after = fixture.get("secret", &name).await;
        assert_eq!(after["metadata"]["uid"], before["metadata"]["uid"]);
        assert!(after["data"] == before["data"], "the credential in {name} was changed");
        assert_eq!((owners(&after), retained(&after)), (&json!(null), &json!("true")));
        assert!(fixture.accepts(&after).await, "the credential in {name} is not accepted");
        ids.push(datum(&after, "CLIENT_ID"));
    }
    ids.sort();
    let mut left = fixture.remote_ids().await;
    left.sort();
    assert_eq!(left, ids);
    assert_eq!(changes(&fixture).await, [4, 2, 2]);
}

#[tokio::test]
async fn a_changed_policy_moves_the_owner_reference_and_nothing_else_of_the_secret() {
    let fixture = Fixture::shared("policy").await;
    fixture.apply(&fixture.client("web", &json!({}))).await;
    fixture.wait_ready("web").await;
    let first = fixture.get("secret", "web-oauth").await;
    for policy in ["Retain", "Delete"] {
        let generation = patch(&fixture, "web", &json!({ "deletionPolicy": policy })).await;
        until_applied(&fixture, "web", generation).await;
        let secret = fixture.get("secret", "web-oauth").await;
        let wanted = if policy == "Delete" { owners(&first).clone() } else { json!(null) };
        assert_eq!(owners(&secret), &wanted, "{policy}");
        assert!(secret["data"] == first["data"], "the credential was changed");
        assert_eq!(remote(&fixture).await[0].metadata["meshagent.com/deletion-policy"], policy);
    }
    assert_eq!(changes(&fixture).await, [1, 2, 0]);
    fixture.kubectl(&["delete", "maoc", "web", "--timeout=30s"]).await;
    assert_eq!(fixture.remote_ids().await, [""; 0]);
}

#[tokio::test]
async fn what_becomes_of_clients_that_do_not_say_is_for_the_operators_flag() {
    let fixture = Fixture::own("default", &["--default-deletion-policy", "Retain"]).await;
    fixture.apply(&fixture.client("silent", &json!({}))).await;
    fixture.apply(&fixture.client("outspoken", &json!({ "deletionPolicy": "Delete" }))).await;
    fixture.wait_ready("silent").await;
    fixture.wait_ready("outspoken").await;
    let silent = fixture.get("secret", "silent-oauth").await;
    assert_eq!(owners(&silent), &json!(null));
    fixture.kubectl(&["delete", "maoc", "silent", "outspoken", "--timeout=30s"]).await;
    until_gone(&fixture, "secret", "outspoken-oauth").await;
    assert_eq!(retained(&fixture.get("secret", "silent-oauth").await), "true");
    assert_eq!(fixture.remote_ids().await, [datum(&silent, "CLIENT_ID")]);
}

/// U15 and K14.
#[tokio::test]
async fn without_its_finalizer_a_client_is_swept_unless_it_is_retained() {
    let soon = json!({ "orphans": { "minAge": "1s" } });
    let fixture = Fixture::own_with("nofinalizer", &["--resync-interval", "1s"], Default::default(), &soon).await;
    let retain = fixture.client("retain", &json!({ "deletionPolicy": "Retain" }));
    fixture.apply(&retain).await;
    fixture.apply(&fixture.client("delete", &json!({}))).await;
    fixture.wait_ready("retain").await;
    fixture.wait_ready("delete").await;
    let id = fixture.get("maoc", "retain").await["status"]["clientId"].as_str().unwrap().to_owned();
    let process = fixture.operator.as_ref().unwrap().process();
    process.kill().unwrap();
    for name in ["retain", "delete"] {
        fixture.kubectl(&["delete", "maoc", name, "--wait=false"]).await;
        fixture.kubectl(&["patch", "maoc", name, "--type=merge", "-p", r#"{"metadata":{"finalizers":null}}"#]).await;
        until_gone(&fixture, "maoc", name).await;
    }
    assert_eq!(fixture.remote_ids().await.len(), 2);
    process.restart().unwrap();
    fixture.until_remote("the one is swept", |ids| ids == [id.as_str()]).await;
    resyncs(&fixture, 5).await;
    assert_eq!(fixture.remote_ids().await, [id.as_str()]);
    let struck_off = |project: &Value| project["status"]["orphans"] == json!(null);
    fixture.until("cmaproj", &fixture.project_name, "no orphan is left", struck_off).await;
    fixture.apply(&retain).await;
    fixture.wait_ready("retain").await;
    assert_eq!(fixture.get("maoc", "retain").await["status"]["clientId"], id.as_str());
    assert!(fixture.accepts(&fixture.get("secret", "retain-oauth").await).await);
    assert_eq!((fixture.count("POST").await, fixture.count("DELETE").await), (2, 1));
}

/// U5.
#[tokio::test]
async fn a_suspended_client_is_left_as_it_is_until_it_is_resumed() {
    let fixture = Fixture::shared("suspend").await;
    fixture.apply(&fixture.client("web", &json!({}))).await;
    fixture.wait_ready("web").await;
    let (before, secret) = (remote(&fixture).await, fixture.get("secret", "web-oauth").await);
    patch(&fixture, "web", &json!({ "suspend": true })).await;
    let ready = |wanted: &'static str| move |object: &Value| condition(object, "Ready") == wanted;
    let said = fixture.until("maoc", "web", "it is suspended", ready("True/Suspended")).await;
    assert_eq!(
        ["Synced", "Stalled", "Reconciling"].map(|type_| condition(&said, type_)),
        ["Unknown/Suspended", "", ""]
    );
    let suspended = fixture.get("secret", "web-oauth").await;
    assert_eq!((owners(&suspended), retained(&suspended)), (&json!(null), &json!(null)));

    let uris = json!({ "redirectUris": ["https://new.example.com/cb"], "secret": { "labels": { "team": "red" } } });
    patch(&fixture, "web", &uris).await;
    let said = fixture.until("maoc", "web", "the edit is seen", ready("Unknown/Suspended")).await;
    assert_eq!(said["status"]["observedGeneration"], 3);
    assert_eq!(remote(&fixture).await, before);
    assert_eq!(fixture.get("secret", "web-oauth").await, suspended);

    let generation = patch(&fixture, "web", &json!({ "suspend": null })).await;
    let said = until_applied(&fixture, "web", generation).await;
    assert_eq!(condition(&said, "Ready"), "True/Ready");
    assert_eq!(remote(&fixture).await[0].redirect_uris, ["https://new.example.com/cb"]);
    let resumed = fixture.get("secret", "web-oauth").await;
    assert_eq!(owners(&resumed), owners(&secret));
    assert_eq!(resumed["metadata"]["labels"]["team"], "red");
    assert!(resumed["data"] == secret["data"], "the credential was changed");
    assert_eq!(changes(&fixture).await, [1, 1, 0]);
}

/// U5.
#[tokio::test]
async fn a_suspended_client_that_is_deleted_stays_at_meshagent_even_if_that_cannot_be_told() {
    let fixture = Fixture::shared("suspended").await;
    for name in ["told", "untold"] {
        fixture.apply(&fixture.client(name, &json!({}))).await;
        fixture.wait_ready(name).await;
        patch(&fixture, name, &json!({ "suspend": true })).await;
        fixture.until("maoc", name, "it is suspended", |o| condition(o, "Ready") == "True/Suspended").await;
    }
    let ids = fixture.remote_ids().await;
    fixture.kubectl(&["delete", "maoc", "told", "--timeout=30s"]).await;
    let away = Fault::Status { status: 503, body: None, headers: Default::default(), commit: false };
    fixture.admin.fault(&FaultRule::on(RouteMatch::Any, away).in_project(fixture.project)).await.unwrap();
    fixture.kubectl(&["delete", "maoc", "untold", "--timeout=30s"]).await;
    assert_eq!(fixture.remote_ids().await, ids);
    assert_eq!(fixture.count("DELETE").await, 0);
    for name in ["told", "untold"] {
        let secret = fixture.get("secret", &format!("{name}-oauth")).await;
        assert_eq!((owners(&secret), retained(&secret)), (&json!(null), &json!("true")), "{name}");
        assert!(fixture.accepts(&secret).await, "the credential of {name} is not accepted");
        let id = datum(&secret, "CLIENT_ID");
        let client = remote(&fixture).await.into_iter().find(|client| client.client_id == id).unwrap();
        assert_eq!(client.metadata["meshagent.com/retained"], (name == "told").to_string(), "{name}");
    }
}

#[tokio::test]
async fn the_secret_of_a_client_that_was_not_retained_is_in_the_way_of_the_same_yaml() {
    let fixture = Fixture::shared("notretained").await;
    fixture.apply(&fixture.client("web", &json!({}))).await;
    fixture.wait_ready("web").await;
    let mut copy = fixture.get("secret", "web-oauth").await;
    fixture.kubectl(&["delete", "maoc", "web", "--timeout=30s"]).await;
    until_gone(&fixture, "secret", "web-oauth").await;
    // A backup brings the Secret back without these fields.
    for field in ["ownerReferences", "uid", "resourceVersion", "managedFields"] {
        copy["metadata"].as_object_mut().unwrap().remove(field);
    }
    fixture.kubectl.run_with_input(&["create", "-f", "-"], &copy.to_string()).await.unwrap();
    let restored = fixture.get("secret", "web-oauth").await;
    fixture.apply(&fixture.client("web", &json!({}))).await;
    fixture.until("maoc", "web", "it is told", |o| condition(o, "Stalled") == "True/SecretConflict").await;
    assert_eq!(fixture.get("secret", "web-oauth").await, restored);
    assert_eq!(changes(&fixture).await, [1, 0, 1]);
    fixture.kubectl(&["delete", "secret", "web-oauth"]).await;
    look(&fixture, "web", "now-1").await;
    fixture.wait_ready("web").await;
    assert_eq!(changes(&fixture).await, [2, 0, 1]);
}

/// A Secret's credential as a person copies it to another cluster.
async fn copy_credential(from: &Value, name: &str, to: &Fixture) {
    let data = json!({ "CLIENT_ID": from["data"]["CLIENT_ID"], "CLIENT_SECRET": from["data"]["CLIENT_SECRET"] });
    let metadata = json!({ "name": name, "namespace": to.ns() });
    to.apply(&json!({ "apiVersion": "v1", "kind": "Secret", "metadata": metadata, "data": data })).await;
}

#[tokio::test]
async fn a_client_moves_to_another_cluster_with_a_copy_of_its_secret_of_whatever_name() {
    let old = Fixture::shared("old").await;
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
    // The PUTs mark each client as left by the one, and as taken over by the other.
    assert_eq!(changes(&old).await, [2, 4, 0]);
}

/// F28.
#[tokio::test]
async fn replaced_while_it_takes_back_what_was_retained_it_keeps_client_and_credential() {
    let fixture = Fixture::own("taken-back", &[]).await;
    let manifest = fixture.client("web", &json!({ "deletionPolicy": "Retain" }));
    fixture.apply(&manifest).await;
    fixture.wait_ready("web").await;
    let (id, before) = (fixture.remote_ids().await.remove(0), fixture.get("secret", "web-oauth").await);
    fixture.kubectl(&["delete", "maoc", "web", "--timeout=60s"]).await;

    let slow = Fault::Delay { duration: Duration::from_secs(5), stage: Stage::Before };
    fixture.admin.fault(&FaultRule::on(Route::ClientsUpdate, slow).in_project(fixture.project).times(1)).await.unwrap();
    fixture.apply(&manifest).await;
    eventually(LONG, "the Secret is taken over", async || {
        let secret = fixture.get("secret", "web-oauth").await;
        if retained(&secret).is_null() { Ok(()) } else { Err("it is not") }
    })
    .await
    .unwrap();
    fixture.kubectl.run_with_input(&["replace", "-f", "-"], &manifest.to_string()).await.unwrap();
    fixture.wait_ready("web").await;
    let (object, after) = (fixture.get("maoc", "web").await, fixture.get("secret", "web-oauth").await);
    assert_eq!(object["status"]["clientId"], id.as_str());
    assert!(after["data"] == before["data"], "the credential was changed");
    assert_eq!((fixture.count("POST").await, fixture.count("DELETE").await), (1, 0));
}

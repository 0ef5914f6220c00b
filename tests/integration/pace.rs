//! The pace at which failures are retried and told of, and what ends the wait.

use harness::eventually;
use serde_json::{Value, json};
use simulator::admin::{ClientFields, Fault, FaultRule, Route};

use super::calls::{apply_many, until_all_ready};
use super::fixture::{Fixture, LONG, condition, message};
use super::rotation::{client_id, events, ready};

const RESYNC: [&str; 2] = ["--resync-interval", "2s"];

/// Answers every call of the route with this status, each time with a new id in the message.
async fn refuse(fixture: &Fixture, route: Route, status: u16) {
    let body = json!({ "message": "permission denied, request id {uuid}" });
    let fault = Fault::Status { status, body: Some(body), headers: [].into(), commit: false };
    fixture.admin.fault(&FaultRule::on(route, fault).in_project(fixture.project)).await.unwrap();
}

/// The messages of the warnings about an object.
async fn warnings(fixture: &Fixture, name: &str) -> Vec<String> {
    let list: Value = serde_json::from_str(&fixture.kubectl(&["get", "events", "-o", "json"]).await).unwrap();
    let all = list["items"].as_array().cloned().unwrap_or_default();
    let about = all.iter().filter(|event| event["involvedObject"]["name"] == name && event["type"] == "Warning");
    about.map(|event| event["message"].as_str().unwrap_or_default().to_owned()).collect()
}

/// Waits until the object says so and its Event is there; then asserts that it is neither written nor told of again
/// over resyncs, each of which enqueues it.
async fn assert_held(fixture: &Fixture, name: &str, reason: &str) {
    let what = format!("{name} says {reason}");
    let held = fixture.until("maoc", name, &what, |object| message(object, "Synced").contains(reason)).await;
    let told = async || match warnings(fixture, name).await {
        none if none.is_empty() => Err("no Event"),
        some => Ok(some),
    };
    let before = eventually(LONG, "it is told", told).await.unwrap();
    fixture.resyncs(3).await;
    let after = fixture.get("maoc", name).await;
    assert_eq!(after["metadata"]["resourceVersion"], held["metadata"]["resourceVersion"], "{what}: {after}");
    assert_eq!((before.len(), warnings(fixture, name).await), (1, before), "{what}");
}

/// F1.
#[tokio::test]
async fn what_is_refused_in_ever_new_words_is_tried_once_and_told_once() {
    let fixture = Fixture::own("refused", &RESYNC).await;
    for status in [401, 403, 423] {
        let (made, edited, deleted) =
            (format!("made-{status}"), format!("edited-{status}"), format!("deleted-{status}"));
        ready(&fixture, &edited, &json!({})).await;
        ready(&fixture, &deleted, &json!({})).await;
        for route in [Route::ClientsCreate, Route::ClientsUpdate, Route::ClientsDelete] {
            refuse(&fixture, route, status).await;
        }
        fixture.admin.clear_calls().await.unwrap();
        fixture.apply(&fixture.client(&made, &json!({}))).await;
        fixture.apply(&fixture.client(&edited, &json!({ "redirectUris": ["https://b.example/cb"] }))).await;
        fixture.kubectl(&["delete", "maoc", &deleted, "--wait=false"]).await;
        for name in [&made, &edited, &deleted] {
            assert_held(&fixture, name, "permission denied, request id").await;
        }
        let counted = (fixture.count("POST").await, fixture.count("PUT").await, fixture.count("DELETE").await);
        assert_eq!(counted, (1, 1, 1), "{status}");
        fixture.admin.clear_faults().await.unwrap();
    }
}

/// Puts a policy of the cluster on this namespace: the resources that it is about, and its condition with a message.
pub async fn put_policy(fixture: &Fixture, name: &str, rule: &Value, validation: &Value) {
    let metadata = json!({ "name": name });
    let group = "admissionregistration.k8s.io/v1";
    let policy = json!({
        "apiVersion": group,
        "kind": "ValidatingAdmissionPolicy",
        "metadata": metadata,
        "spec": { "matchConstraints": { "resourceRules": [rule] }, "validations": [validation] },
    });
    let namespace = json!({ "matchLabels": { "kubernetes.io/metadata.name": fixture.ns() } });
    let binding = json!({
        "apiVersion": group,
        "kind": "ValidatingAdmissionPolicyBinding",
        "metadata": metadata,
        "spec": {
            "policyName": name,
            "validationActions": ["Deny"],
            "matchResources": { "namespaceSelector": namespace },
        },
    });
    fixture.apply(&policy).await;
    fixture.apply(&binding).await;
}

/// Waits until the policy is in force and refuses this command.
async fn until_refused(fixture: &Fixture, args: &[&str]) {
    let args: Vec<&str> = ["-n", fixture.ns()].iter().chain(args).copied().collect();
    eventually(LONG, "the policy is in force", async || {
        let output = fixture.kubectl.try_run(&args, "").await.unwrap();
        if output.status.success() { Err("not yet") } else { Ok(()) }
    })
    .await
    .unwrap();
}

/// F1.
#[tokio::test]
async fn a_secret_that_a_policy_refuses_in_ever_new_words_is_tried_once_and_nothing_is_made() {
    let fixture = Fixture::own("denied", &RESYNC).await;
    let rule = json!({ "apiGroups": [""], "apiVersions": ["v1"], "operations": ["CREATE"], "resources": ["secrets"] });
    let words = r#""denied, audit id " + string(object.metadata.uid)"#;
    put_policy(&fixture, "no-secrets", &rule, &json!({ "expression": "false", "messageExpression": words })).await;
    until_refused(&fixture, &["create", "secret", "generic", "probe", "--dry-run=server"]).await;
    fixture.apply(&fixture.client("web", &json!({}))).await;
    assert_held(&fixture, "web", "denied, audit id").await;
    let client = fixture.get("maoc", "web").await;
    assert_eq!(condition(&client, "Ready"), "False/SecretRejected");
    assert_eq!(fixture.count("POST").await, 0);
}

/// F5.
#[tokio::test]
async fn either_annotation_that_asks_for_a_look_is_heard_whatever_the_other_says() {
    let fixture = Fixture::shared("asked").await;
    ready(&fixture, "web", &json!({})).await;
    let (ours, flux) = ("meshagent.com/reconcile-requested-at", "reconcile.fluxcd.io/requestedAt");
    for (annotation, value) in [(ours, "a"), (flux, "b"), (ours, "c"), (flux, "d"), (flux, "e")] {
        let looks = fixture.count("GET").await;
        fixture.kubectl(&["annotate", "--overwrite", "maoc", "web", &format!("{annotation}={value}")]).await;
        fixture.until("maoc", "web", value, |object| object["status"]["lastHandledReconcileAt"] == value).await;
        assert!(fixture.count("GET").await > looks, "{annotation}={value}: nobody looked");
    }
}

/// F13.
#[tokio::test]
async fn a_put_that_fails_says_nothing_against_the_secret() {
    let fixture = Fixture::shared("put-503").await;
    let (_, secret) = ready(&fixture, "web", &json!({})).await;
    refuse(&fixture, Route::ClientsUpdate, 503).await;
    fixture.apply(&fixture.client("web", &json!({ "redirectUris": ["https://b.example/cb"] }))).await;
    let failed = fixture
        .until("maoc", "web", "it tells of the PUT", |object| {
            message(object, "Ready").contains("503") && message(object, "Synced").contains("503")
        })
        .await;
    assert!(condition(&failed, "SecretReady").starts_with("True/"), "{}", failed["status"]);
    assert!(fixture.accepts(&secret).await);
}

/// F18.
#[tokio::test]
async fn a_client_that_goes_is_told_once_however_often_its_finalizer_is_refused() {
    let fixture = Fixture::own("finalizer", &[]).await;
    let (client, _) = ready(&fixture, "web", &json!({})).await;
    let rule = json!({
        "apiGroups": ["meshagent.com"],
        "apiVersions": ["*"],
        "operations": ["UPDATE"],
        "resources": ["oauthclients"],
    });
    put_policy(&fixture, "no-updates", &rule, &json!({ "expression": "false", "message": "no updates today" })).await;
    until_refused(&fixture, &["annotate", "maoc", "web", "x=y", "--dry-run=server"]).await;
    fixture.kubectl(&["delete", "maoc", "web", "--wait=false"]).await;
    let process = fixture.operator.as_ref().unwrap().process();
    eventually(LONG, "it is tried again and again", async || {
        let tries = process.log().matches("not converged").count();
        if tries > 2 { Ok(()) } else { Err(tries) }
    })
    .await
    .unwrap();
    fixture.kubectl.run(&["delete", "validatingadmissionpolicybinding", "no-updates"]).await.unwrap();
    fixture.kubectl(&["wait", "maoc/web", "--for=delete", "--timeout=120s"]).await;
    let told = events(&fixture, "Deleted").await;
    assert_eq!(told, [format!("deleted client {}", client_id(&client))]);
}

/// F25.
#[tokio::test]
async fn a_foreign_secret_that_goes_is_noticed_though_nobody_watches_it() {
    let fixture = Fixture::shared("in-the-way").await;
    fixture.kubectl(&["create", "secret", "generic", "web-oauth"]).await;
    fixture.apply(&fixture.client("web", &json!({}))).await;
    fixture.until("maoc", "web", "it waits", |object| condition(object, "Ready") == "False/SecretConflict").await;
    fixture.kubectl(&["delete", "secret", "web-oauth"]).await;
    fixture.kubectl(&["wait", "maoc/web", "--for=condition=Ready", "--timeout=180s"]).await;
    assert_eq!(fixture.count("POST").await, 1);
}

/// F27.
#[tokio::test]
async fn a_listing_that_shows_what_was_refused_ends_the_hour_and_so_does_a_lost_secret() {
    let fixture = Fixture::own("hour", &RESYNC).await;
    let uris = |uri: &str| json!({ "redirectUris": [uri] });
    let (client, _) = ready(&fixture, "web", &json!({})).await;
    refuse(&fixture, Route::ClientsUpdate, 400).await;
    let refused = |object: &Value| condition(object, "Ready") == "False/RejectedByAPI";
    fixture.apply(&fixture.client("web", &uris("https://b.example/cb"))).await;
    fixture.until("maoc", "web", "it is refused", refused).await;
    let fields =
        ClientFields { redirect_uris: Some(vec!["https://b.example/cb".to_owned()]), ..ClientFields::default() };
    fixture.admin.edit_client(fixture.project, &client_id(&client), &fields).await.unwrap();
    fixture.wait_ready("web").await;
    assert_eq!((fixture.count("PUT").await, fixture.count("POST").await), (1, 1));
    fixture.apply(&fixture.client("web", &uris("https://c.example/cb"))).await;
    fixture.until("maoc", "web", "it is refused again", refused).await;
    fixture.kubectl(&["delete", "secret", "web-oauth"]).await;
    let replaced = |object: &Value| client_id(object) != client_id(&client);
    fixture.until("maoc", "web", "another client takes its place", replaced).await;
    assert_eq!(fixture.count("POST").await, 2);
}

/// F30.
#[tokio::test]
async fn a_project_that_hangs_keeps_nobody_elses_clients_waiting() {
    const CLIENTS: usize = 40;
    let fixture = Fixture::own("neighbours", &["--max-concurrent", "4"]).await;
    let slow = fixture.declare_project("slow").await;
    fixture.kubectl.run(&["wait", "cmaproj/slow", "--for=condition=Ready", "--timeout=60s"]).await.unwrap();
    let hang = FaultRule::on(Route::ClientsCreate, Fault::Hang { stage: Default::default() });
    fixture.admin.fault(&hang.in_project(slow.project_id)).await.unwrap();
    let waiting: Vec<Value> = (0..CLIENTS)
        .map(|n| {
            let project = json!({ "kind": "ClusterMeshAgentProject", "name": "slow" });
            fixture.client(&format!("slow{n}"), &json!({ "projectRef": project }))
        })
        .collect();
    fixture.apply(&json!({ "apiVersion": "v1", "kind": "List", "items": waiting })).await;
    let posts = async || {
        let calls = fixture.admin.calls().await.unwrap();
        calls.iter().filter(|call| call.project == Some(slow.project_id) && call.method == "POST").count()
    };
    eventually(LONG, "calls hang", async || match posts().await {
        0 => Err("none"),
        _some => Ok(()),
    })
    .await
    .unwrap();
    apply_many(&fixture, CLIENTS).await;
    // The clients of the slow project are not among these.
    until_all_ready(&fixture, CLIENTS).await;
    // The order counts: the calls that hang end with their deadline, one after the other.
    assert!(posts().await < CLIENTS, "the slow project was done first");
}

//! A client that is replaced because somebody asked for it.

use std::time::Duration;

use jiff::Timestamp;
use serde_json::{Value, json};
use simulator::admin::{ClientFields, Route};
use simulator::fault::{Fault, FaultRule, Stage};

use super::fixture::{Fixture, LONG, condition, datum, message};

const ROTATE: &str = "meshagent.com/rotate-requested-at";

/// Asks for a rotation as the documentation says.
pub async fn ask_to_rotate(fixture: &Fixture, name: &str, value: &str) {
    fixture.kubectl(&["annotate", "--overwrite", "maoc", name, &format!("{ROTATE}={value}")]).await;
}

/// The client id that the status names.
pub fn client_id(object: &Value) -> String {
    object["status"]["clientId"].as_str().unwrap_or_default().to_owned()
}

/// The ids of the former clients that still live.
pub fn retiring(object: &Value) -> Vec<String> {
    let retiring = object["status"]["retiring"].as_array().cloned().unwrap_or_default();
    retiring.iter().filter_map(|former| former["clientId"].as_str()).map(str::to_owned).collect()
}

/// The messages of the namespace's Events with this reason.
pub async fn events(fixture: &Fixture, reason: &str) -> Vec<String> {
    let list: Value = serde_json::from_str(&fixture.kubectl(&["get", "events", "-o", "json"]).await).unwrap();
    let all = list["items"].as_array().cloned().unwrap_or_default();
    let of_reason = all.iter().filter(|event| event["reason"] == reason);
    of_reason.map(|event| event["message"].as_str().unwrap_or_default().to_owned()).collect()
}

/// Requests a reconcile, and waits until it is handled: earlier requests have had their pass by then.
pub async fn look(fixture: &Fixture, name: &str, value: &str) -> Value {
    let request = format!("meshagent.com/reconcile-requested-at={value}");
    fixture.kubectl(&["annotate", "--overwrite", "maoc", name, &request]).await;
    fixture.until("maoc", name, "the look is taken", |o| o["status"]["lastHandledReconcileAt"] == value).await
}

/// A client that is Ready: its object and its Secret.
pub async fn ready(fixture: &Fixture, name: &str, spec: &Value) -> (Value, Value) {
    fixture.apply(&fixture.client(name, spec)).await;
    fixture.wait_ready(name).await;
    (fixture.get("maoc", name).await, fixture.get("secret", &format!("{name}-oauth")).await)
}

#[tokio::test]
async fn a_rotation_is_one_post_and_both_credentials_are_accepted_during_the_overlap() {
    let fixture = Fixture::shared("rotate").await;
    let (before, former) = ready(&fixture, "web", &json!({ "rotation": { "overlap": "2h" } })).await;
    ask_to_rotate(&fixture, "web", "monday").await;
    let after = fixture.until("maoc", "web", "it is rotated", |o| o["status"]["lastHandledRotateAt"] == "monday").await;
    let (old, new) = (client_id(&before), client_id(&after));
    assert_ne!(old, new);
    assert_eq!((fixture.count("POST").await, fixture.count("PUT").await, fixture.count("DELETE").await), (2, 0, 0));
    let replaced: Timestamp = after["status"]["lastReplacedAt"].as_str().unwrap().parse().unwrap();
    let end = replaced + Duration::from_secs(2 * 60 * 60);
    let swapped = after["status"]["retiring"][0]["replacedAt"].clone();
    // The pass began before the Secret was written, and pods that came meanwhile hold the former credential.
    assert!(swapped.as_str().unwrap().parse::<Timestamp>().unwrap() >= replaced, "{swapped}");
    let former_client = json!({ "clientId": old, "deleteAfter": end.to_string(), "replacedAt": swapped });
    assert_eq!(after["status"]["retiring"], json!([former_client]));
    assert_eq!(condition(&after, "Ready"), "True/Ready");
    let secret = fixture.get("secret", "web-oauth").await;
    assert_eq!(datum(&secret, "CLIENT_ID"), new);
    assert!(fixture.accepts(&secret).await, "the new credential is not accepted");
    assert!(fixture.accepts(&former).await, "the former credential is not accepted");
    let told = format!(
        "the client id changed from {old} to {new}, because a rotation was asked for; {old} is deleted at {end}, and its \
         sessions end with it. The new credential is in Secret web-oauth"
    );
    harness::eventually(LONG, "the Event", async || match events(&fixture, "Rotated").await {
        events if events == [told.clone()] => Ok(()),
        events => Err(format!("{events:?}")),
    })
    .await
    .unwrap();
}

#[tokio::test]
async fn without_an_overlap_the_former_client_is_deleted_at_once() {
    let fixture = Fixture::shared("no-overlap").await;
    let (before, former) = ready(&fixture, "web", &json!({ "rotation": { "overlap": "0s" } })).await;
    ask_to_rotate(&fixture, "web", "monday").await;
    let after = fixture
        .until("maoc", "web", "the former client is gone", |o| {
            client_id(o) != client_id(&before) && retiring(o).is_empty()
        })
        .await;
    assert_eq!(fixture.remote_ids().await, [client_id(&after)]);
    assert_eq!((fixture.count("POST").await, fixture.count("DELETE").await), (2, 1));
    assert!(!fixture.accepts(&former).await, "the former credential is still accepted");
    assert!(fixture.accepts(&fixture.get("secret", "web-oauth").await).await, "the new credential is not accepted");
}

#[tokio::test]
async fn a_request_that_was_carried_out_is_not_carried_out_again() {
    let fixture = Fixture::shared("latched").await;
    let (before, _) = ready(&fixture, "web", &json!({})).await;
    let mut manifest = fixture.client("web", &json!({}));
    manifest["metadata"]["annotations"] = json!({ ROTATE: "monday" });
    fixture.apply(&manifest).await;
    let rotated = fixture.until("maoc", "web", "it is rotated", |o| client_id(o) != client_id(&before)).await;
    ask_to_rotate(&fixture, "web", "monday").await;
    fixture.apply(&manifest).await;
    let from_git = ["apply", "--server-side", "--force-conflicts", "-f", "-"];
    fixture.kubectl.run_with_input(&from_git, &manifest.to_string()).await.unwrap();
    let after = look(&fixture, "web", "now-1").await;
    assert_eq!((client_id(&after), condition(&after, "Ready")), (client_id(&rotated), "True/Ready".to_owned()));
    assert_eq!(fixture.count("POST").await, 2);
}

#[tokio::test]
async fn a_request_that_came_with_the_object_or_outlived_its_status_is_not_carried_out() {
    let fixture = Fixture::shared("came-with").await;
    let mut manifest = fixture.client("web", &json!({}));
    manifest["metadata"]["annotations"] = json!({ ROTATE: "monday" });
    fixture.apply(&manifest).await;
    fixture.wait_ready("web").await;
    let before = fixture.get("maoc", "web").await;
    assert_eq!(before["status"]["lastHandledRotateAt"], "monday");
    let wipe = async |patch: &str, value: &str| {
        fixture.kubectl(&["patch", "maoc", "web", "--subresource=status", "--type=merge", "-p", patch]).await;
        look(&fixture, "web", value).await
    };
    for (patch, value) in [(r#"{"status":{"lastHandledRotateAt":null}}"#, "now-1"), (r#"{"status":null}"#, "now-2")] {
        let after = wipe(patch, value).await;
        assert_eq!(after["status"]["lastHandledRotateAt"], "monday", "{patch}");
        assert_eq!((client_id(&after), condition(&after, "Ready")), (client_id(&before), "True/Ready".to_owned()));
    }
    assert_eq!((fixture.count("POST").await, fixture.count("PUT").await, fixture.count("DELETE").await), (1, 0, 0));
    // The next value is a new request.
    ask_to_rotate(&fixture, "web", "tuesday").await;
    let rotated = fixture.until("maoc", "web", "it is rotated", |o| client_id(o) != client_id(&before)).await;
    assert_eq!(retiring(&rotated), [client_id(&before)]);
    assert_eq!(fixture.count("POST").await, 2);
}

#[tokio::test]
async fn requests_in_quick_succession_are_one_rotation_and_the_rest_waits_in_working_order() {
    let fixture = Fixture::shared("thrice").await;
    let (before, _) = ready(&fixture, "web", &json!({})).await;
    ask_to_rotate(&fixture, "web", "one").await;
    ask_to_rotate(&fixture, "web", "two").await;
    let rotated = fixture.until("maoc", "web", "it is rotated", |o| client_id(o) != client_id(&before)).await;
    ask_to_rotate(&fixture, "web", "three").await;
    let waiting = fixture.until("maoc", "web", "it waits", |o| condition(o, "Ready") == "True/Rotating").await;
    assert_eq!(client_id(&waiting), client_id(&rotated));
    assert_eq!(condition(&waiting, "Reconciling"), "True/Rotating");
    assert!(message(&waiting, "Reconciling").contains("less than ten minutes ago"), "{}", waiting["status"]);
    assert_ne!(waiting["status"]["lastHandledRotateAt"], "three");
    // An edit of the spec is applied while the rotation waits.
    let patch = r#"{"spec":{"redirectUris":["https://new.example.com/cb"]}}"#;
    fixture.kubectl(&["patch", "maoc", "web", "--type=merge", "-p", patch]).await;
    let edited = waiting["metadata"]["generation"].as_i64().unwrap() + 1;
    fixture.until("maoc", "web", "the edit is applied", |o| o["status"]["appliedGeneration"] == edited).await;
    let resting = look(&fixture, "web", "now-1").await;
    assert_eq!((fixture.count("POST").await, fixture.count("PUT").await), (2, 1));
    assert_eq!(fixture.remote_ids().await.len(), 2);
    assert!(fixture.accepts(&fixture.get("secret", "web-oauth").await).await, "the credential is not accepted");
    // The passes that the first one's own writes enqueued are over once another is Ready.
    ready(&fixture, "other", &json!({})).await;
    assert_eq!(fixture.get("maoc", "web").await["metadata"]["resourceVersion"], resting["metadata"]["resourceVersion"]);
    assert_eq!(condition(&resting, "Ready"), "True/Rotating");
}

#[tokio::test]
async fn flux_asks_for_a_look_by_its_own_annotation() {
    let fixture = Fixture::shared("flux").await;
    let (before, _) = ready(&fixture, "web", &json!({})).await;
    let edited = ClientFields { redirect_uris: Some(vec!["https://studio.example".to_owned()]), ..Default::default() };
    fixture.admin.edit_client(fixture.project, &client_id(&before), &edited).await.unwrap();
    let asked = "2026-01-02T03:04:05.678Z";
    fixture.kubectl(&["annotate", "maoc", "web", &format!("reconcile.fluxcd.io/requestedAt={asked}")]).await;
    fixture.until("maoc", "web", "the request is handled", |o| o["status"]["lastHandledReconcileAt"] == asked).await;
    let remote = fixture.admin.state().await.unwrap().clients_of(fixture.project);
    assert_eq!(remote[0].redirect_uris, ["https://shop.example.com/oauth/callback"]);
    assert_eq!((fixture.count("POST").await, fixture.count("PUT").await), (1, 1));
}

/// Asserts that the credential in the Secret is accepted at every check, until told to stop.
async fn always_accepted(fixture: &Fixture, secret: &str, mut stop: tokio::sync::oneshot::Receiver<()>) {
    while stop.try_recv().is_err() {
        let seen = fixture.get("secret", secret).await;
        if !fixture.accepts(&seen).await {
            // The credential may have been replaced, and its overlap have ended, between the two reads.
            assert_ne!(fixture.get("secret", secret).await, seen, "the credential in the Secret is not accepted");
        }
    }
}

/// Kills the operator for good and starts it again, once `struck` holds.
async fn kill_when(fixture: &Fixture, what: &str, struck: impl AsyncFn() -> bool) {
    harness::eventually(LONG, what, async || if struck().await { Ok(()) } else { Err("not yet") }).await.unwrap();
    let process = fixture.operator.as_ref().unwrap().process();
    process.kill().unwrap();
    fixture.admin.clear_faults().await.unwrap();
    process.restart().unwrap();
}

/// A fixture whose operator may be killed: without leader election, no Lease of a dead one has to end first.
async fn killable(prefix: &str) -> Fixture {
    Fixture::own(prefix, &["--leader-elect", "false", "--resync-interval", "5s"]).await
}

/// Waits until a rotation is over and nothing is left to be cleaned up.
async fn until_rotated(fixture: &Fixture, name: &str, former: &str) -> Value {
    fixture
        .until("maoc", name, "it is rotated and at rest", |o| {
            let unknown = &o["metadata"]["annotations"]["meshagent.com/unknown-tokens"];
            client_id(o) != former && condition(o, "Ready") == "True/Ready" && unknown.is_null()
        })
        .await
}

#[tokio::test]
async fn killed_before_or_after_the_post_of_a_rotation_one_client_and_the_former_are_left() {
    let fixture = killable("killed-post").await;
    for (name, stage) in [("before", Stage::Before), ("after", Stage::After)] {
        let (before, former_secret) = ready(&fixture, name, &json!({})).await;
        let former = client_id(&before);
        let others = fixture.remote_ids().await.len() - 1;
        fixture.admin.clear_calls().await.unwrap();
        let hang = FaultRule::on(Route::ClientsCreate, Fault::Hang { stage }).times(1);
        let rule = fixture.admin.fault(&hang).await.unwrap();
        let secret = format!("{name}-oauth");
        let (stop, stopped) = tokio::sync::oneshot::channel();
        let rotation = async {
            ask_to_rotate(&fixture, name, "monday").await;
            let struck = async || fixture.calls().await.iter().any(|call| call.fault == Some(rule.id));
            kill_when(&fixture, "the POST is under way", struck).await;
            let after = until_rotated(&fixture, name, &former).await;
            stop.send(()).unwrap();
            after
        };
        let (after, ()) = tokio::join!(rotation, always_accepted(&fixture, &secret, stopped));
        assert_eq!(retiring(&after), [former], "{name}");
        // The POSTs are the one that hung, and one more; what the first may have made is gone.
        assert_eq!(fixture.count("POST").await, 2, "{name}");
        assert_eq!(fixture.remote_ids().await.len(), others + 2, "{name}");
        assert!(fixture.accepts(&former_secret).await, "{name}: the former credential is not accepted");
    }
}

#[tokio::test]
async fn killed_before_or_after_the_former_client_is_deleted_only_the_new_one_is_left() {
    let fixture = killable("killed-delete").await;
    for (name, stage) in [("before", Stage::Before), ("after", Stage::After)] {
        let (before, _) = ready(&fixture, name, &json!({ "rotation": { "overlap": "0s" } })).await;
        let former = client_id(&before);
        let others = fixture.remote_ids().await.len() - 1;
        fixture.admin.clear_calls().await.unwrap();
        let hang = FaultRule::on(Route::ClientsDelete, Fault::Hang { stage }).times(1);
        let rule = fixture.admin.fault(&hang).await.unwrap();
        let secret = format!("{name}-oauth");
        let (stop, stopped) = tokio::sync::oneshot::channel();
        let rotation = async {
            ask_to_rotate(&fixture, name, "monday").await;
            let struck = async || fixture.calls().await.iter().any(|call| call.fault == Some(rule.id));
            kill_when(&fixture, "the DELETE is under way", struck).await;
            let after = fixture
                .until("maoc", name, "it is rotated", |o| client_id(o) != former && retiring(o).is_empty())
                .await;
            stop.send(()).unwrap();
            after
        };
        let (after, ()) = tokio::join!(rotation, always_accepted(&fixture, &secret, stopped));
        assert_eq!(condition(&after, "Ready"), "True/Ready", "{name}");
        assert_eq!((fixture.count("POST").await, fixture.count("DELETE").await), (1, 2), "{name}");
        let ids = fixture.remote_ids().await;
        assert_eq!((ids.len(), ids.contains(&client_id(&after))), (others + 1, true), "{name}");
    }
}

/// The operator's ClusterRole, without the right to record.
fn unable_to_record() -> Value {
    let mut role: Value =
        serde_saphyr::from_str(include_str!("../../charts/meshagent-operator/files/cluster-role.yaml")).unwrap();
    let rules = role["rules"].as_array_mut().unwrap();
    rules.retain(|rule| !rule["resources"].to_string().contains("oauthclients/status"));
    role
}

#[tokio::test]
async fn killed_between_the_secret_and_the_record_of_a_rotation_no_call_is_needed_to_end_it() {
    let fixture = killable("killed-record").await;
    let (before, former_secret) = ready(&fixture, "web", &json!({})).await;
    let can_record = async || {
        let user = super::fixture::OPERATOR;
        let args = ["auth", "can-i", "patch", "maoc", "--subresource=status", "-n", fixture.ns(), "--as", user];
        fixture.kubectl.try_run(&args, "").await.unwrap().stdout.trim() == "yes"
    };
    fixture.apply(&unable_to_record()).await;
    harness::eventually(LONG, "the right is gone", async || if can_record().await { Err("not yet") } else { Ok(()) })
        .await
        .unwrap();
    ask_to_rotate(&fixture, "web", "monday").await;
    let swapped = async || datum(&fixture.get("secret", "web-oauth").await, "CLIENT_ID") != client_id(&before);
    kill_when(&fixture, "the Secret is replaced", swapped).await;
    assert_eq!(client_id(&fixture.get("maoc", "web").await), client_id(&before), "it was recorded before the kill");
    fixture.kubectl.run(&["apply", "-f", "charts/meshagent-operator/files/cluster-role.yaml"]).await.unwrap();
    let after = until_rotated(&fixture, "web", &client_id(&before)).await;
    assert_eq!(retiring(&after), [client_id(&before)]);
    assert_eq!((fixture.count("POST").await, fixture.count("PUT").await, fixture.count("DELETE").await), (2, 0, 0));
    assert_eq!(fixture.remote_ids().await.len(), 2);
    assert!(fixture.accepts(&fixture.get("secret", "web-oauth").await).await, "the new credential is not accepted");
    assert!(fixture.accepts(&former_secret).await, "the former credential is not accepted");
    assert_eq!(after["status"]["lastHandledRotateAt"], "monday");
}

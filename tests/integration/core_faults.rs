//! Inputs that once broke the core: replaced objects, several requests at once, clocks, and fields that nobody can
//! read.

use std::collections::BTreeMap;
use std::time::Duration;

use harness::{eventually, free_port};
use serde_json::{Value, json};
use simulator::admin::{Fault, FaultRule, Route, Stage};

use super::fixture::{Fixture, LONG, condition, message, start_operator, start_operator_with};
use super::rotation::{ask_to_rotate, client_id, events, look, ready, retiring};

const RESYNC: [&str; 2] = ["--resync-interval", "2s"];

fn answers(status: u16) -> Fault {
    Fault::Status { status, body: None, headers: BTreeMap::default(), commit: false }
}

async fn patch_status(fixture: &Fixture, name: &str, status: &Value) {
    let patch = json!({ "status": status }).to_string();
    fixture.kubectl(&["patch", "maoc", name, "--subresource=status", "--type=merge", "-p", &patch]).await;
}

async fn replace(fixture: &Fixture, manifest: &Value) {
    eventually(LONG, "it is replaced", async || {
        fixture.kubectl.run_with_input(&["replace", "-f", "-"], &manifest.to_string()).await
    })
    .await
    .unwrap();
}

async fn until_posted(fixture: &Fixture, posts: usize) {
    eventually(
        LONG,
        "a POST is under way",
        async || {
            if fixture.count("POST").await >= posts { Ok(()) } else { Err("not yet") }
        },
    )
    .await
    .unwrap();
}

/// F3.
#[tokio::test]
async fn an_object_that_cannot_be_read_is_named_and_keeps_nobody_else_waiting() {
    let mut fixture = Fixture::own("unreadable", &[]).await;
    let (before, _) = ready(&fixture, "t", &json!({})).await;
    fixture.stop_operator().await;
    patch_status(&fixture, "t", &json!({ "lastReplacedAt": "9999-12-31T23:59:59-12:00" })).await;
    let address = format!("127.0.0.1:{}", free_port().unwrap());
    let args = ["--http-address", &address];
    fixture.operator = Some(start_operator_with(fixture.control_plane.get(), &args));
    fixture.apply(&fixture.client("other", &json!({}))).await;
    fixture.wait_ready("other").await;
    let asked = async |path: &str| {
        let answer = reqwest::get(format!("http://{address}/{path}")).await.unwrap();
        (answer.status().as_u16(), answer.text().await.unwrap())
    };
    assert_eq!(asked("readyz").await.0, 200);
    let series = format!(r#"meshagent_operator_unreadable_object{{kind="OAuthClient",object="{}/t"}} 1"#, fixture.ns());
    eventually(LONG, "the metric names it", async || {
        let (_, metrics) = asked("metrics").await;
        if metrics.contains(&series) { Ok(()) } else { Err("it does not") }
    })
    .await
    .unwrap();
    let log = fixture.operator.as_ref().unwrap().process().log();
    let named = log.lines().any(|line| line.contains("status.lastReplacedAt") && line.contains("\"t\""));
    assert!(named, "the log does not name the object and its field");
    // The object that cannot be read may use the project, so the project stays.
    fixture.kubectl(&["delete", "maoc", "other", "--timeout=30s"]).await;
    fixture.kubectl(&["delete", "cmaproj", &fixture.project_name, "--wait=false"]).await;
    let held = fixture
        .until("cmaproj", &fixture.project_name, "it says who may use it", |project| {
            condition(project, "Reconciling") == "True/Deleting"
        })
        .await;
    assert!(message(&held, "Ready").contains("/t (it cannot be read)"), "{}", message(&held, "Ready"));

    patch_status(&fixture, "t", &json!({ "lastReplacedAt": null })).await;
    let after = look(&fixture, "t", "corrected").await;
    assert_eq!((client_id(&after), condition(&after, "Ready").as_str()), (client_id(&before), "True/Ready"));
    // An object that becomes unreadable while the operator runs keeps nobody waiting either.
    patch_status(&fixture, "t", &json!({ "lastReplacedAt": "9999-12-31T23:59:59-12:00" })).await;
    fixture.apply(&fixture.client("third", &json!({}))).await;
    fixture.wait_ready("third").await;
    assert!(fixture.remote_ids().await.contains(&client_id(&before)));
}

/// F10.
#[tokio::test]
async fn a_replacement_that_a_wrong_clock_put_years_ahead_delays_nothing() {
    let mut fixture = Fixture::own("ahead", &RESYNC).await;
    let (before, _) = ready(&fixture, "web", &json!({})).await;
    fixture.stop_operator().await;
    patch_status(&fixture, "web", &json!({ "lastReplacedAt": "2099-01-01T00:00:00Z" })).await;
    fixture.kubectl(&["delete", "secret", "web-oauth"]).await;
    fixture.operator = Some(start_operator(fixture.control_plane.get(), &RESYNC));
    let after = fixture
        .until("maoc", "web", "the lost credential is replaced", |o| {
            client_id(o) != client_id(&before) && condition(o, "Ready") == "True/Ready"
        })
        .await;
    let replaced: String = after["status"]["lastReplacedAt"].as_str().unwrap().into();
    assert!(!replaced.starts_with("2099"), "{replaced}");
    assert_eq!(fixture.count("POST").await, 2);
}

/// F28.
#[tokio::test]
async fn replaced_twice_while_it_is_rotated_it_gets_one_new_client_and_loses_none_that_was_published() {
    let fixture = Fixture::own("f28", &RESYNC).await;
    let (before, former) = ready(&fixture, "web", &json!({})).await;
    let slow = Fault::Delay { duration: Duration::from_secs(5), stage: Stage::Before };
    fixture.admin.fault(&FaultRule::on(Route::ClientsCreate, slow).in_project(fixture.project).times(1)).await.unwrap();
    fixture.admin.fault(&FaultRule::on(Route::ClientsCreate, answers(503)).in_project(fixture.project)).await.unwrap();
    ask_to_rotate(&fixture, "web", "monday").await;
    until_posted(&fixture, 2).await;
    let mut manifest = fixture.client("web", &json!({}));
    manifest["metadata"]["annotations"] = json!({ "meshagent.com/rotate-requested-at": "monday" });
    replace(&fixture, &manifest).await;
    replace(&fixture, &manifest).await;
    let after = fixture
        .until("maoc", "web", "the new client is in use", |o| {
            client_id(o) != client_id(&before) && condition(o, "Ready").starts_with("True/")
        })
        .await;
    fixture.resyncs(3).await;
    assert_eq!((fixture.count("POST").await, fixture.count("DELETE").await), (2, 0));
    assert_eq!(retiring(&after), [client_id(&before)]);
    assert!(fixture.accepts(&former).await, "pods that hold the former credential were signed out");
    assert!(fixture.accepts(&fixture.get("secret", "web-oauth").await).await, "the new credential is not accepted");
    for reason in ["Created", "CredentialReplaced", "Deleted"] {
        for event in events(&fixture, reason).await {
            assert!(!event.contains("never published") && !event.contains("was altered"), "{event}");
        }
    }
}

/// F29.
#[tokio::test]
async fn an_edit_that_succeeds_at_last_is_ready_though_a_second_rotation_waits() {
    let fixture = Fixture::own("f29", &RESYNC).await;
    ready(&fixture, "web", &json!({})).await;
    ask_to_rotate(&fixture, "web", "monday").await;
    fixture.until("maoc", "web", "it is rotated", |o| o["status"]["lastHandledRotateAt"] == "monday").await;
    ask_to_rotate(&fixture, "web", "tuesday").await;
    fixture.until("maoc", "web", "the second waits", |o| condition(o, "Ready") == "True/Rotating").await;
    let refusing = FaultRule::on(Route::ClientsUpdate, answers(503)).in_project(fixture.project).times(12);
    fixture.admin.fault(&refusing).await.unwrap();
    fixture.apply(&fixture.client("web", &json!({ "redirectUris": ["https://b.example/cb"] }))).await;
    fixture.until("maoc", "web", "the edit is not applied", |o| condition(o, "Ready").starts_with("False/")).await;
    let after = fixture
        .until("maoc", "web", "the edit is applied", |o| {
            o["status"]["appliedGeneration"] == o["metadata"]["generation"]
        })
        .await;
    let said = ["Ready", "SecretReady", "Reconciling"].map(|type_| condition(&after, type_));
    assert_eq!(said, ["True/Rotating", "True/Ready", "True/Rotating"]);
}

/// F32, F33.
#[tokio::test]
async fn while_a_lost_credential_blocks_what_retires_goes_and_a_replaced_object_keeps_its_finalizer() {
    let fixture = Fixture::own("blocked", &RESYNC).await;
    let spec = json!({ "onCredentialLoss": "Block", "rotation": { "overlap": "20s" } });
    let (before, _) = ready(&fixture, "web", &spec).await;
    ask_to_rotate(&fixture, "web", "monday").await;
    let rotated =
        fixture.until("maoc", "web", "it is rotated", |o| o["status"]["lastHandledRotateAt"] == "monday").await;
    assert_eq!(retiring(&rotated), [client_id(&before)]);
    fixture.kubectl(&["delete", "secret", "web-oauth"]).await;
    fixture.until("maoc", "web", "the loss is said", |o| condition(o, "Ready") == "False/CredentialLost").await;
    let current = client_id(&rotated);
    fixture.until_remote("the former client is gone", |ids| ids == [current.as_str()]).await;
    replace(&fixture, &fixture.client("web", &spec)).await;
    let replaced = fixture
        .until("maoc", "web", "the finalizer is back", |o| {
            o["metadata"]["finalizers"] == json!(["meshagent.com/oauth-client"])
        })
        .await;
    assert_eq!(client_id(&replaced), current);
    fixture.kubectl(&["delete", "maoc", "web", "--timeout=30s"]).await;
    assert_eq!(fixture.remote_ids().await, Vec::<String>::new());
}

/// F34.
#[tokio::test]
async fn of_five_that_name_one_secret_at_once_four_leave_no_client_behind() {
    let fixture = Fixture::own("f34", &RESYNC).await;
    let names = ["a", "b", "c", "d", "e"];
    let spec = json!({ "secret": { "name": "shared" } });
    let all: Vec<Value> = names.iter().map(|name| fixture.client(name, &spec)).collect();
    let list = json!({ "apiVersion": "v1", "kind": "List", "items": all });
    fixture.apply(&list).await;
    let (mut winners, mut losers) = (0, 0);
    for name in names {
        let said = fixture
            .until("maoc", name, "it is decided", |o| {
                ["True/Ready", "False/SecretConflict"].contains(&condition(o, "Ready").as_str())
            })
            .await;
        match condition(&said, "Ready").as_str() {
            "True/Ready" => winners += 1,
            _ => losers += 1,
        }
    }
    assert_eq!((winners, losers), (1, 4));
    fixture.until_remote("one client is left", |ids| ids.len() == 1).await;
    assert!(fixture.accepts(&fixture.get("secret", "shared").await).await, "the credential is not accepted");
}

//! On call, at three in the morning.

use std::time::Duration;

use serde_json::json;
use simulator::fault::{Fault, FaultRule, RouteMatch};

use super::fixture::{Fixture, LONG, condition, message};

#[tokio::test]
async fn the_table_says_what_to_do_without_logs() {
    let fixture = Fixture::shared("table-oncall").await;
    fixture.kubectl(&["create", "secret", "generic", "taken"]).await;
    fixture.apply(&fixture.client("taken", &json!({ "secret": { "name": "taken" } }))).await;
    let nowhere = json!({ "projectRef": { "kind": "MeshAgentProject", "name": "nowhere" } });
    fixture.apply(&fixture.client("nowhere", &nowhere)).await;
    fixture.until("maoc", "taken", "it is stalled", |o| condition(o, "Stalled").starts_with("True")).await;
    let lost = fixture.until("maoc", "nowhere", "it waits", |o| condition(o, "Reconciling").starts_with("True")).await;
    assert!(message(&lost, "Ready").contains("MeshAgentProject"), "{}", message(&lost, "Ready"));
    let table = fixture.kubectl(&["get", "maoc", "-o", "wide"]).await;
    let row = |name: &str| table.lines().find(|line| line.starts_with(name)).unwrap_or_default().to_owned();
    let (taken, nowhere) = (row("taken"), row("nowhere"));
    assert!(taken.contains("SecretConflict") && taken.contains("delete that Secret"), "{taken}");
    assert!(nowhere.contains("ProjectNotFound") && nowhere.contains("create it"), "{nowhere}");
}

#[tokio::test]
async fn an_outage_turns_the_project_red_and_nothing_else_and_ends_without_a_storm() {
    let fixture = Fixture::own("outage", &["--resync-interval", "2s"]).await;
    for n in 0..5 {
        fixture.apply(&fixture.client(&format!("web{n}"), &json!({}))).await;
    }
    for n in 0..5 {
        fixture.wait_ready(&format!("web{n}")).await;
    }
    let unavailable = Fault::Status { status: 503, body: None, headers: Default::default(), commit: false };
    fixture.admin.fault(&FaultRule::on(RouteMatch::Any, unavailable)).await.unwrap();
    for n in 0..5 {
        let client = fixture
            .until("maoc", &format!("web{n}"), "it is not known to be synced", |o| {
                condition(o, "Synced") == "Unknown/APIUnavailable"
            })
            .await;
        assert_eq!(condition(&client, "Ready"), "True/APIUnavailable");
        assert_eq!((condition(&client, "Reconciling"), condition(&client, "Stalled")), Default::default());
    }
    let project = fixture.get("cmaproj", &fixture.project_name).await;
    assert_eq!(condition(&project, "Ready"), "False/APIUnavailable");
    fixture.admin.clear_faults().await.unwrap();
    fixture.admin.clear_calls().await.unwrap();
    for n in 0..5 {
        fixture.until("maoc", &format!("web{n}"), "it is well", |o| condition(o, "Ready") == "True/Ready").await;
    }
    let lists = async || fixture.calls().await.iter().filter(|call| call.status == Some(200)).count();
    harness::eventually(LONG, "two resyncs after it", async || {
        let seen = lists().await;
        if seen >= 2 { Ok(()) } else { Err(seen.to_string()) }
    })
    .await
    .unwrap();
    let calls = fixture.calls().await;
    let others = calls.iter().filter(|call| call.method != "GET" || call.query.is_none()).count();
    assert_eq!(others, 0, "the outage ended in more than listings");
    fixture.until("cmaproj", &fixture.project_name, "it is well too", |o| condition(o, "Ready") == "True/Ready").await;
}

#[tokio::test]
async fn a_key_that_is_replaced_either_way_is_picked_up() {
    let fixture = Fixture::shared("key").await;
    fixture.apply(&fixture.client("web", &json!({}))).await;
    fixture.wait_ready("web").await;
    let roles = simulator::state::Role::ALL;
    for way in ["delete and create", "apply over it"] {
        let access = fixture.admin.create_key(fixture.project, &roles).await.unwrap();
        if way == "delete and create" {
            let delete = ["delete", "secret", "-n", super::fixture::SYSTEM, &fixture.project_name];
            fixture.kubectl.run(&delete).await.unwrap();
        }
        fixture.put_key(access.api_key.expose()).await;
        harness::eventually(LONG, &format!("{way}: the new key is used"), async || {
            let calls = fixture.calls().await;
            let used = calls.iter().any(|call| call.key_id == Some(access.key.key_id) && call.status == Some(200));
            if used { Ok(()) } else { Err("it is not") }
        })
        .await
        .unwrap();
        fixture.until("cmaproj", &fixture.project_name, way, |o| condition(o, "Ready") == "True/Ready").await;
    }
}

#[tokio::test]
async fn a_look_that_is_asked_for_repairs_what_was_edited_in_studio() {
    let fixture = Fixture::shared("look").await;
    fixture.apply(&fixture.client("web", &json!({}))).await;
    fixture.wait_ready("web").await;
    let client_id = fixture.remote_ids().await.remove(0);
    let edited = simulator::admin::ClientFields {
        redirect_uris: Some(vec!["https://studio.example".to_owned()]),
        ..Default::default()
    };
    fixture.admin.edit_client(fixture.project, &client_id, &edited).await.unwrap();
    let asked = "meshagent.com/reconcile-requested-at=now-1";
    fixture.kubectl(&["annotate", "--overwrite", "maoc", "web", asked]).await;
    fixture.until("maoc", "web", "the request is handled", |o| o["status"]["lastHandledReconcileAt"] == "now-1").await;
    let remote = fixture.admin.state().await.unwrap().clients_of(fixture.project);
    assert_eq!(remote[0].redirect_uris, ["https://shop.example.com/oauth/callback"]);
    assert_eq!(fixture.count("PUT").await, 1);
}

#[tokio::test]
async fn a_client_that_was_deleted_in_studio_is_made_anew() {
    let fixture = Fixture::shared("studio").await;
    fixture.apply(&fixture.client("web", &json!({}))).await;
    fixture.wait_ready("web").await;
    let former = fixture.remote_ids().await.remove(0);
    fixture.admin.delete_client(fixture.project, &former).await.unwrap();
    fixture.kubectl(&["annotate", "maoc", "web", "meshagent.com/reconcile-requested-at=now-1"]).await;
    let after = fixture
        .until("maoc", "web", "another client is recorded", |object| {
            object["status"]["clientId"].as_str().is_some_and(|id| id != former)
        })
        .await;
    assert_eq!(fixture.remote_ids().await, [after["status"]["clientId"].as_str().unwrap()]);
    assert_eq!(after["status"]["retiring"], json!(null), "a client that is gone has nothing to retire");
}

#[tokio::test]
async fn a_retry_after_is_honoured_and_the_client_made_afterwards() {
    let fixture = Fixture::shared("limited").await;
    let headers = [("Retry-After".to_owned(), "5".to_owned())].into();
    let limited = Fault::Status { status: 429, body: None, headers, commit: false };
    let rule = FaultRule::on(simulator::admin::Route::ClientsCreate, limited).times(1).in_project(fixture.project);
    fixture.admin.fault(&rule).await.unwrap();
    fixture.apply(&fixture.client("web", &json!({}))).await;
    fixture.until("maoc", "web", "it says so", |object| condition(object, "Ready") == "False/RateLimited").await;
    fixture.wait_ready("web").await;
    let posts: Vec<_> = fixture.calls().await.into_iter().filter(|call| call.method == "POST").collect();
    assert_eq!(posts.len(), 2);
    let pause = posts[1].time.duration_since(posts[0].time);
    assert!(pause.unsigned_abs() >= Duration::from_millis(4_900), "{pause}");
    fixture.until_remote("one client", |ids| ids.len() == 1).await;
}

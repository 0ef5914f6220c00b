//! SIGTERM: the operator ends, whatever hangs, and the next one leads at once.

use std::time::Duration;

use harness::{Operator, eventually};
use serde_json::json;
use simulator::admin::{Fault, FaultRule, Route, Stage};

use super::fixture::{Fixture, LONG, start_operator};
use super::leader::holder;
use super::misbehaving::role_lacking;

/// The time after which a kubelet kills.
const KUBELET: Duration = Duration::from_secs(30);
/// A Lease that lasts longer than any test waits.
const LEASE: [&str; 2] = ["--lease-duration", "10m"];
const OVERDUE: &str = "did not end in time";

async fn until_logged(operator: &Operator, text: &str) {
    operator
        .process()
        .eventually(LONG, text, async || if operator.process().log().contains(text) { Ok(()) } else { Err("not yet") })
        .await
        .unwrap();
}

/// Ends the operator as a kubelet would, and returns what it logged since.
async fn terminate(operator: &Operator) -> String {
    let from = operator.process().log().len();
    let status = operator.process().terminate(KUBELET).await.unwrap();
    let log = operator.process().log().split_off(from);
    assert!(status.success(), "{status}: {log}");
    log
}

/// F9.
#[tokio::test]
async fn an_operator_whose_caches_never_fill_ends_at_once_and_the_next_one_leads() {
    let mut fixture = Fixture::own("unfilled", &LEASE).await;
    fixture.stop_operator().await;
    assert_eq!(holder(&fixture).await, "");
    fixture.apply(&role_lacking("meshagent.com", "oauthclients", &["list"])).await;
    for _ in 0..2 {
        let operator = start_operator(fixture.control_plane.get(), &LEASE);
        // A new leader shows that the operator before has released the Lease, which lasts ten minutes otherwise.
        until_logged(&operator, "this replica leads").await;
        until_logged(&operator, r#"cannot list resource \"oauthclients\""#).await;
        let log = terminate(&operator).await;
        assert!(log.contains("the Lease is released") && !log.contains(OVERDUE), "{log}");
        assert_eq!(holder(&fixture).await, "");
    }
}

/// F9.
#[tokio::test]
async fn calls_that_hang_are_left_in_time_to_release_the_lease() {
    let fixture = Fixture::own("hanging", &LEASE).await;
    let hangs = |route, stage| FaultRule::on(route, Fault::Hang { stage }).in_project(fixture.project);
    fixture.admin.fault(&hangs(Route::ClientsCreate, Stage::After)).await.unwrap();
    fixture.apply(&fixture.client("web", &json!({}))).await;
    fixture.until_remote("the POST is committed, and not answered", |ids| ids.len() == 1).await;
    let operator = fixture.operator.as_ref().unwrap();
    let log = terminate(operator).await;
    assert!(log.contains(OVERDUE) && log.contains("the Lease is released"), "{log}");
    assert_eq!(holder(&fixture).await, "");
    fixture.admin.clear_faults().await.unwrap();
    operator.process().restart().unwrap();
    fixture.wait_ready("web").await;
    fixture.until_remote("what the first POST made is gone", |ids| ids.len() == 1).await;
}

/// F9.
#[tokio::test]
async fn with_an_api_server_that_hangs_it_ends_before_it_is_killed() {
    let fixture = Fixture::own("frozen-server", &LEASE).await;
    let apiserver = fixture.control_plane.get().apiserver();
    apiserver.freeze().unwrap();
    let log = terminate(fixture.operator.as_ref().unwrap()).await;
    apiserver.thaw().unwrap();
    assert!(log.contains("the Lease was not released; it will expire"), "{log}");
}

/// F9.
#[tokio::test]
async fn a_replica_that_waits_for_its_turn_ends_at_once_and_leaves_the_lease_to_its_holder() {
    let fixture = Fixture::own("waiting", &LEASE).await;
    eventually(LONG, "somebody leads", async || match holder(&fixture).await {
        empty if empty.is_empty() => Err("nobody"),
        _leader => Ok(()),
    })
    .await
    .unwrap();
    let leader = holder(&fixture).await;
    let standby = start_operator(fixture.control_plane.get(), &LEASE);
    until_logged(&standby, "standing by; ").await;
    let log = terminate(&standby).await;
    assert!(!log.contains(OVERDUE) && !log.contains("released"), "{log}");
    assert_eq!(holder(&fixture).await, leader);
}

//! Two replicas, of which one leads.

use std::time::{Duration, Instant};

use harness::{Operator, eventually, free_port};
use serde_json::json;

use super::calls::{apply_many, until_all_ready};
use super::fixture::{Fixture, LONG, SYSTEM, start_operator, start_operator_with};

const CLIENTS: usize = 200;
/// A Lease long enough for a loaded machine to renew it, short enough to wait for its end.
const LEASE: Duration = Duration::from_secs(30);
const DURATION: [&str; 2] = ["--lease-duration", "30s"];

/// The holder of the Lease.
pub async fn holder(fixture: &Fixture) -> String {
    let args = ["get", "lease", "meshagent-operator", "-n", SYSTEM, "-o", "jsonpath={.spec.holderIdentity}"];
    fixture.kubectl.run(&args).await.unwrap()
}

/// Waits until this replica leads, by its own account and by the Lease's.
async fn until_leads(fixture: &Fixture, replica: &Operator) {
    replica
        .process()
        .eventually(LONG + LEASE, "the other replica leads", async || {
            let holder = holder(fixture).await;
            let leads = !holder.is_empty() && replica.process().log().contains(&holder);
            // A replica that stands by names the leader as well.
            if leads && replica.process().log().contains("this replica leads") { Ok(()) } else { Err(holder) }
        })
        .await
        .unwrap();
}

/// A leader, and a replica that stands by.
async fn two_replicas(prefix: &str) -> (Fixture, Operator) {
    let fixture = Fixture::own(prefix, &DURATION).await;
    let standby = start_operator(fixture.control_plane.get(), &DURATION);
    standby
        .process()
        .eventually(LONG, "it stands by", async || {
            if standby.process().log().contains("standing by; ") { Ok(()) } else { Err("not yet") }
        })
        .await
        .unwrap();
    (fixture, standby)
}

/// Declares many clients, and strikes the leader once some are created and others under way.
async fn amid_creates(fixture: &Fixture, strike: impl AsyncFnOnce()) {
    let struck = async {
        eventually(LONG, "some creates are done and others under way", async || {
            let posts = fixture.count("POST").await;
            if posts >= CLIENTS / 10 { Ok(()) } else { Err(posts.to_string()) }
        })
        .await
        .unwrap();
        leader(fixture).check_running().unwrap();
        strike().await;
        assert!(fixture.count("POST").await < CLIENTS, "nothing was left to do for the other one");
    };
    tokio::join!(apply_many(fixture, CLIENTS), struck);
}

fn leader(fixture: &Fixture) -> &harness::Process {
    fixture.operator.as_ref().unwrap().process()
}

/// Waits until each OAuthClient has its one client, and nothing is left to be cleaned up.
async fn until_one_client_each(fixture: &Fixture) {
    until_all_ready(fixture, CLIENTS).await;
    fixture.until_remote("one client each", |ids| ids.len() == CLIENTS).await;
    eventually(LONG, "no token is left to be cleaned up", async || {
        let objects = fixture.kubectl(&["get", "maoc", "-o", "json"]).await;
        if objects.contains("meshagent.com/unknown-tokens") { Err("there are some") } else { Ok(()) }
    })
    .await
    .unwrap();
}

#[tokio::test]
async fn a_leader_killed_amid_two_hundred_creates_is_replaced_and_each_has_one_client() {
    let (fixture, standby) = two_replicas("failover").await;
    let mut unknown = 0;
    amid_creates(&fixture, async || {
        leader(&fixture).kill().unwrap();
        // POSTs whose client is in no Secret are of unknown outcome: nobody has their answer.
        let secrets = fixture.kubectl(&["get", "secrets", "-o", "name"]).await.lines().count();
        unknown = fixture.count("POST").await - secrets;
    })
    .await;
    until_leads(&fixture, &standby).await;
    until_one_client_each(&fixture).await;
    let posts = fixture.count("POST").await;
    assert!(posts <= CLIENTS + unknown, "{posts} POSTs with {unknown} of unknown outcome");
    standby.process().check_running().unwrap();
}

/// F37: the Lease outlives the test's own pauses.
#[tokio::test]
async fn a_leader_frozen_past_its_lease_writes_nothing_when_it_wakes_and_ends() {
    let (fixture, standby) = two_replicas("frozen").await;
    amid_creates(&fixture, async || leader(&fixture).freeze().unwrap()).await;
    until_leads(&fixture, &standby).await;
    until_one_client_each(&fixture).await;
    let everything = async || {
        let versions = ["get", "maoc,secret", "-o", "jsonpath={.items[*].metadata.resourceVersion}"];
        let writes = fixture.calls().await.iter().filter(|call| call.method != "GET").count();
        (fixture.kubectl(&versions).await, writes)
    };
    let (before, thawed) = (everything().await, jiff::Timestamp::now());
    leader(&fixture).thaw().unwrap();
    let status = leader(&fixture).wait_exit(LONG).await.unwrap();
    assert_eq!(status.code(), Some(1));
    let log = leader(&fixture).log();
    assert!(log.contains("leadership is lost: the Lease was not renewed in time"), "{log}");
    assert_eq!(everything().await, before);
    // Events are written beside the passes: those of the standby may come late, but tell of what was before.
    let told = fixture.kubectl(&["get", "event", "-o", "jsonpath={.items[*].eventTime}"]).await;
    let is_earlier = |at: &str| at.parse::<jiff::Timestamp>().unwrap() < thawed;
    assert!(!told.is_empty() && told.split_whitespace().all(is_earlier), "{thawed}: {told}");
    assert_eq!(fixture.remote_ids().await.len(), CLIENTS);
    standby.process().check_running().unwrap();
}

#[tokio::test]
async fn a_leader_that_is_stopped_hands_over_at_once_to_a_standby_that_was_ready() {
    // The Lease lasts longer than the test waits: only one that was released is taken over.
    let long = ["--lease-duration", "10m"];
    let mut fixture = Fixture::own("handover", &long).await;
    let address = format!("127.0.0.1:{}", free_port().unwrap());
    let standby =
        start_operator_with(fixture.control_plane.get(), &[&["--http-address", &address][..], &long].concat());
    let asked = async |path: &str| {
        let answer = reqwest::get(format!("http://{address}/{path}")).await.map_err(|error| error.to_string())?;
        let (status, text) = (answer.status().as_u16(), answer.text().await.unwrap());
        Ok::<_, String>((status, text))
    };
    let leader = holder(&fixture).await;
    let standing_by = (200, format!("standing by; {leader} leads\n"));
    eventually(LONG, "the standby is ready", async || match asked("readyz").await {
        Ok(answer) if answer == standing_by => Ok(()),
        other => Err(format!("{other:?}")),
    })
    .await
    .unwrap();
    assert_eq!(asked("healthz").await.unwrap().0, 200);
    assert!(asked("metrics").await.unwrap().1.contains("meshagent_operator_leader 0\n"));
    fixture.stop_operator().await;
    until_leads(&fixture, &standby).await;
    assert!(asked("metrics").await.unwrap().1.contains("meshagent_operator_leader 1\n"));
    fixture.apply(&fixture.client("web", &json!({}))).await;
    fixture.wait_ready("web").await;
    assert_eq!((fixture.remote_ids().await.len(), fixture.count("POST").await), (1, 1));
}

#[tokio::test]
async fn a_leader_that_cannot_reach_the_api_server_ends_before_its_lease() {
    let fixture = Fixture::own("unreachable", &DURATION).await;
    let apiserver = fixture.control_plane.get().apiserver();
    apiserver.freeze().unwrap();
    let frozen = Instant::now();
    let ended = leader(&fixture).wait_exit(LONG).await;
    apiserver.thaw().unwrap();
    assert_eq!(ended.unwrap().code(), Some(1));
    // The leader's deadline is after two thirds of the Lease; the rest is for a loaded machine.
    assert!(frozen.elapsed() < LEASE, "{:?}", frozen.elapsed());
    let log = leader(&fixture).log();
    assert!(log.contains("leadership is lost: the Lease was not renewed in time"), "{log}");
}

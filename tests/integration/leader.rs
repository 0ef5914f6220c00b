//! Two replicas, of which one leads.

use std::time::{Duration, Instant};

use harness::{Operator, eventually, free_port};
use serde_json::json;

use super::calls::{apply_many, until_all_ready};
use super::ground::{Ground, LONG, SYSTEM, start_operator, start_operator_with};

const CLIENTS: usize = 200;
/// Long enough for a loaded machine to renew it, short enough to wait for its end.
const DURATION: [&str; 2] = ["--lease-duration", "5s"];

/// Who holds the Lease.
async fn holder(ground: &Ground) -> String {
    let args = ["get", "lease", "meshagent-operator", "-n", SYSTEM, "-o", "jsonpath={.spec.holderIdentity}"];
    ground.kubectl.run(&args).await.unwrap()
}

/// Waits until this replica leads, by its own account and by the Lease's.
async fn until_leads(ground: &Ground, replica: &Operator) {
    replica
        .process()
        .eventually(LONG, "the other replica leads", async || {
            let holder = holder(ground).await;
            let leads = !holder.is_empty() && replica.process().log().contains(&holder);
            // A replica that stands by names the leader as well.
            if leads && replica.process().log().contains("this replica leads") { Ok(()) } else { Err(holder) }
        })
        .await
        .unwrap();
}

/// A leader, and a replica that stands by.
async fn two_replicas(prefix: &str) -> (Ground, Operator) {
    let ground = Ground::own(prefix, &DURATION).await;
    let standby = start_operator(ground.control_plane.get(), &DURATION);
    standby
        .process()
        .eventually(LONG, "it stands by", async || {
            if standby.process().log().contains("standing by; ") { Ok(()) } else { Err("not yet") }
        })
        .await
        .unwrap();
    (ground, standby)
}

/// Declares many clients, and meanwhile does this to the leader, once some are created and others under way.
async fn amid_creates(ground: &Ground, strike: impl AsyncFnOnce()) {
    let struck = async {
        eventually(LONG, "some creates are done and others under way", async || {
            let posts = ground.count("POST").await;
            if posts >= CLIENTS / 10 { Ok(()) } else { Err(posts.to_string()) }
        })
        .await
        .unwrap();
        leader(ground).check_running().unwrap();
        strike().await;
        assert!(ground.count("POST").await < CLIENTS, "nothing was left to do for the other one");
    };
    tokio::join!(apply_many(ground, CLIENTS), struck);
}

fn leader(ground: &Ground) -> &harness::Process {
    ground.operator.as_ref().unwrap().process()
}

/// Waits until each OAuthClient has its one client, and nothing is left to be cleaned up.
async fn until_one_client_each(ground: &Ground) {
    until_all_ready(ground, CLIENTS).await;
    ground.until_remote("one client each", |ids| ids.len() == CLIENTS).await;
    eventually(LONG, "no token is left to be cleaned up", async || {
        let objects = ground.kubectl(&["get", "maoc", "-o", "json"]).await;
        if objects.contains("meshagent.com/unknown-tokens") { Err("there are some") } else { Ok(()) }
    })
    .await
    .unwrap();
}

#[tokio::test]
async fn a_leader_killed_amid_two_hundred_creates_is_replaced_and_each_has_one_client() {
    let (ground, standby) = two_replicas("failover").await;
    let mut unknown = 0;
    amid_creates(&ground, async || {
        leader(&ground).kill().unwrap();
        // What was POSTed and is in no Secret: nobody has its answer.
        let secrets = ground.kubectl(&["get", "secrets", "-o", "name"]).await.lines().count();
        unknown = ground.count("POST").await - secrets;
    })
    .await;
    until_leads(&ground, &standby).await;
    until_one_client_each(&ground).await;
    let posts = ground.count("POST").await;
    assert!(posts <= CLIENTS + unknown, "{posts} POSTs with {unknown} of unknown outcome");
    standby.process().check_running().unwrap();
}

#[tokio::test]
async fn a_leader_frozen_past_its_lease_writes_nothing_when_it_wakes_and_ends() {
    let (ground, standby) = two_replicas("frozen").await;
    amid_creates(&ground, async || leader(&ground).freeze().unwrap()).await;
    until_leads(&ground, &standby).await;
    until_one_client_each(&ground).await;
    let everything = async || {
        let versions = ["get", "maoc,secret,event", "-o", "jsonpath={.items[*].metadata.resourceVersion}"];
        let writes = ground.calls().await.iter().filter(|call| call.method != "GET").count();
        (ground.kubectl(&versions).await, writes)
    };
    let before = everything().await;
    leader(&ground).thaw().unwrap();
    let status = leader(&ground).wait_exit(LONG).await.unwrap();
    assert_eq!(status.code(), Some(1));
    let log = leader(&ground).log();
    assert!(log.contains("leadership is lost: the Lease was not renewed in time"), "{log}");
    assert_eq!(everything().await, before);
    assert_eq!(ground.remote_ids().await.len(), CLIENTS);
    standby.process().check_running().unwrap();
}

#[tokio::test]
async fn a_leader_that_is_stopped_hands_over_at_once_to_a_standby_that_was_ready() {
    let long = ["--lease-duration", "60s"];
    let mut ground = Ground::own("handover", &long).await;
    let address = format!("127.0.0.1:{}", free_port().unwrap());
    let standby = start_operator_with(ground.control_plane.get(), &[&["--http-address", &address][..], &long].concat());
    let asked = async |path: &str| {
        let answer = reqwest::get(format!("http://{address}/{path}")).await.map_err(|error| error.to_string())?;
        let (status, text) = (answer.status().as_u16(), answer.text().await.unwrap());
        Ok::<_, String>((status, text))
    };
    let leader = holder(&ground).await;
    let standing_by = (200, format!("standing by; {leader} leads\n"));
    eventually(LONG, "the standby is ready", async || match asked("readyz").await {
        Ok(answer) if answer == standing_by => Ok(()),
        other => Err(format!("{other:?}")),
    })
    .await
    .unwrap();
    assert_eq!(asked("healthz").await.unwrap().0, 200);
    assert!(asked("metrics").await.unwrap().1.contains("meshagent_operator_leader 0\n"));
    ground.stop_operator().await;
    let stopped = Instant::now();
    until_leads(&ground, &standby).await;
    assert!(stopped.elapsed() < Duration::from_secs(10), "{:?}", stopped.elapsed());
    assert!(asked("metrics").await.unwrap().1.contains("meshagent_operator_leader 1\n"));
    ground.apply(&ground.client("web", &json!({}))).await;
    ground.wait_ready("web").await;
    assert_eq!((ground.remote_ids().await.len(), ground.count("POST").await), (1, 1));
}

#[tokio::test]
async fn a_leader_that_cannot_reach_the_api_server_ends_before_its_lease() {
    let ground = Ground::own("unreachable", &DURATION).await;
    let apiserver = ground.control_plane.get().apiserver();
    apiserver.freeze().unwrap();
    let frozen = Instant::now();
    let ended = leader(&ground).wait_exit(LONG).await;
    apiserver.thaw().unwrap();
    assert_eq!(ended.unwrap().code(), Some(1));
    // Its deadline is after two thirds of the Lease; the rest is for a loaded machine.
    assert!(frozen.elapsed() < Duration::from_secs(5), "{:?}", frozen.elapsed());
    let log = leader(&ground).log();
    assert!(log.contains("leadership is lost: the Lease was not renewed in time"), "{log}");
}

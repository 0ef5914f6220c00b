//! Clusters that were restored from a backup of etcd: in their own place, and beside the living original.

use std::path::Path;

use harness::{ControlPlane, Kubectl, Operator, Options, eventually};
use serde_json::{Value, json};

use super::fixture::{Fixture, LONG, condition, start_operator};

/// Frequent resyncs show several sweeps. A disowned client must outlive them all, since a day has not passed.
const ARGS: [&str; 2] = ["--resync-interval", "1s"];

async fn client_id(fixture: &Fixture, name: &str) -> String {
    fixture.get("maoc", name).await["status"]["clientId"].as_str().unwrap().to_owned()
}

/// Asks for a rotation, and waits until the client is another one.
async fn rotate(fixture: &Fixture, name: &str) -> String {
    let former = client_id(fixture, name).await;
    fixture.kubectl(&["annotate", "maoc", name, "meshagent.com/rotate-requested-at=now"]).await;
    let rotated = fixture.until("maoc", name, "it is rotated", |object| {
        object["status"]["clientId"] != former.as_str() && condition(object, "Ready") == "True/Ready"
    });
    rotated.await["status"]["clientId"].as_str().unwrap().to_owned()
}

/// Waits until the project lists exactly these orphans.
async fn until_orphans(kubectl: &Kubectl, project: &str, wanted: &[&str]) {
    let mut wanted: Vec<&str> = wanted.to_vec();
    wanted.sort_unstable();
    eventually(LONG, "the project lists its orphans", async || {
        let text = kubectl.run(&["get", "cmaproj", project, "-o", "json"]).await.unwrap();
        let project: Value = serde_json::from_str(&text).unwrap();
        let orphans = project["status"]["orphans"].as_array().cloned().unwrap_or_default();
        let mut listed: Vec<&str> = orphans.iter().filter_map(|orphan| orphan["clientId"].as_str()).collect();
        listed.sort_unstable();
        if listed == wanted { Ok(()) } else { Err(format!("{listed:?}")) }
    })
    .await
    .unwrap();
}

/// Waits until the project was listed `count` times again.
async fn resyncs(fixture: &Fixture, count: usize) {
    let listings = async || fixture.calls().await.iter().filter(|call| call.query.is_some()).count();
    let before = listings().await;
    eventually(LONG, "more listings", async || {
        let now = listings().await;
        if now >= before + count { Ok(()) } else { Err(now.to_string()) }
    })
    .await
    .unwrap();
}

/// A fixture with a client that is Ready, and a backup of its cluster from then. Its operator has been stopped.
async fn backed_up(prefix: &str) -> (Fixture, tempfile::TempDir) {
    let mut fixture = Fixture::own(prefix, &ARGS).await;
    fixture.apply(&fixture.client("web", &json!({}))).await;
    fixture.wait_ready("web").await;
    fixture.stop_operator().await;
    let backup = tempfile::tempdir().unwrap();
    fixture.control_plane.get().back_up(backup.path()).await.unwrap();
    (fixture, backup)
}

#[tokio::test]
async fn after_etcd_was_restored_nothing_that_was_made_since_is_deleted_and_what_is_recorded_works() {
    let (mut fixture, backup) = backed_up("rewound").await;
    fixture.operator = Some(start_operator(fixture.control_plane.get(), &ARGS));
    let then = client_id(&fixture, "web").await;
    let since = rotate(&fixture, "web").await;
    fixture.apply(&fixture.client("new", &json!({}))).await;
    fixture.wait_ready("new").await;
    let new = client_id(&fixture, "new").await;
    fixture.stop_operator().await;

    fixture.control_plane.get().restore(backup.path()).await.unwrap();
    fixture.operator = Some(start_operator(fixture.control_plane.get(), &ARGS));
    until_orphans(&fixture.kubectl, &fixture.project_name, &[&since, &new]).await;
    resyncs(&fixture, 3).await;
    fixture.wait_ready("web").await;
    assert_eq!(client_id(&fixture, "web").await, then);
    assert!(
        fixture.accepts(&fixture.get("secret", "web-oauth").await).await,
        "the restored credential is not accepted"
    );
    assert_eq!((fixture.count("DELETE").await, fixture.remote_ids().await.len()), (0, 3));
}

/// A second cluster from the backup, with an operator, and `kubectl` for it.
async fn twin(backup: &Path) -> (ControlPlane, Operator, Kubectl) {
    let options = Options { etcd_data: Some(backup.to_owned()), ..Options::default() };
    let plane = ControlPlane::start(options).await.unwrap();
    let (operator, kubectl) = (start_operator(&plane, &ARGS), plane.kubectl().unwrap());
    (plane, operator, kubectl)
}

#[tokio::test]
async fn a_cluster_restored_beside_the_original_takes_and_deletes_nothing_of_what_the_original_makes() {
    let (mut fixture, backup) = backed_up("twins").await;
    let shared = client_id(&fixture, "web").await;
    fixture.operator = Some(start_operator(fixture.control_plane.get(), &ARGS));
    let (_plane, twin, kubectl) = twin(backup.path()).await;
    let rotated = rotate(&fixture, "web").await;

    // The twin has the same cluster id and an object of the same uid, which knows nothing of the rotation.
    until_orphans(&kubectl, &fixture.project_name, &[&rotated]).await;
    resyncs(&fixture, 4).await;
    twin.process().check_running().unwrap();
    let text = kubectl.run(&["get", "maoc", "web", "-n", fixture.ns(), "-o", "json"]).await.unwrap();
    let in_twin: Value = serde_json::from_str(&text).unwrap();
    assert_eq!(in_twin["status"]["clientId"], shared.as_str(), "the twin has adopted what the original made");
    assert_eq!(condition(&in_twin, "Ready"), "True/Ready");
    assert_eq!(client_id(&fixture, "web").await, rotated);
    assert!(
        fixture.accepts(&fixture.get("secret", "web-oauth").await).await,
        "the original's credential is not accepted"
    );
    assert_eq!((fixture.count("DELETE").await, fixture.count("POST").await), (0, 2));
}

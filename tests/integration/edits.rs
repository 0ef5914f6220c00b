//! Edits that come fast, late, twice, or where nobody expects them.

use std::time::Duration;

use futures::stream::{self, TryStreamExt};
use harness::{Options, eventually};
use kube::Api;
use kube::api::{Patch, PatchParams};
use meshagent_operator::api::OAuthClient;
use serde_json::{Value, json};
use simulator::admin::{Client, ClientFields, Fault, FaultRule, Route};

use super::fixture::{Fixture, LONG};

const TOKEN: &str = "meshagent.com/create-token";

/// The client that an OAuthClient named `web` has on record, and no other.
async fn only_client(fixture: &Fixture) -> Client {
    let recorded = fixture.get("maoc", "web").await["status"]["clientId"].as_str().unwrap().to_owned();
    fixture.until_remote("the recorded client is the only one", |ids| ids == [recorded.clone()]).await;
    fixture.admin.state().await.unwrap().clients_of(fixture.project).remove(0)
}

/// Asserts that this client is the recorded one and the only one still, that the Secret holds its credential, and that no
/// other was made.
async fn assert_kept(fixture: &Fixture, client: &Client) {
    assert_eq!(only_client(fixture).await.client_id, client.client_id);
    assert!(fixture.accepts(&fixture.get("secret", "web-oauth").await).await);
    assert_eq!(fixture.count("POST").await, 1);
}

/// A fixture whose project has clients that nobody names any more deleted after a second.
async fn impatient(prefix: &str) -> Fixture {
    let orphans = json!({ "orphans": { "minAge": "1s" } });
    Fixture::own_with(prefix, &["--resync-interval", "2s"], Options::default(), &orphans).await
}

/// Waits until the client at MeshAgent has this name, and so many PUTs were sent.
async fn until_named(fixture: &Fixture, name: &str, puts: usize) {
    eventually(LONG, &format!("it is named {name}"), async || {
        let (client, sent) = (only_client(fixture).await, fixture.count("PUT").await);
        if client.metadata["name"] == name && sent == puts { Ok(()) } else { Err(format!("{sent} PUTs")) }
    })
    .await
    .unwrap();
}

/// U4.
#[tokio::test]
async fn of_a_hundred_edits_in_a_row_the_last_is_applied_and_few_are_sent() {
    let fixture = Fixture::shared("fast").await;
    fixture.apply(&fixture.client("web", &json!({}))).await;
    fixture.wait_ready("web").await;
    let client = fixture.control_plane.get().admin().await.unwrap();
    let objects: Api<OAuthClient> = Api::namespaced(client, fixture.ns());
    let edit = async |name: String| {
        let patch = Patch::Merge(json!({ "spec": { "displayName": name } }));
        objects.patch("web", &PatchParams::default(), &patch).await.map(drop)
    };
    let edits = stream::iter((1..100).map(|number| Ok(format!("edit {number}"))));
    edits.try_for_each_concurrent(20, edit).await.unwrap();
    edit("the last".to_owned()).await.unwrap();
    let applied = |o: &Value| o["status"]["appliedGeneration"] == o["metadata"]["generation"];
    let client = fixture.until("maoc", "web", "the last edit is applied", applied).await;
    assert_eq!(client["metadata"]["generation"], 101);
    assert_eq!(only_client(&fixture).await.metadata["name"], "the last");
    let puts = fixture.count("PUT").await;
    assert!(puts <= 50, "{puts} PUTs for a hundred edits");
}

/// R10.
#[tokio::test]
async fn a_put_that_lands_after_a_newer_one_is_repaired() {
    let fixture = Fixture::own("late", &["--resync-interval", "2s"]).await;
    fixture.apply(&fixture.client("web", &json!({}))).await;
    fixture.wait_ready("web").await;
    let late = Fault::CommitLate { after: Duration::from_secs(8), status: 504 };
    fixture.admin.fault(&FaultRule::on(Route::ClientsUpdate, late).times(1)).await.unwrap();
    fixture.apply(&fixture.client("web", &json!({ "displayName": "old" }))).await;
    // The PUT that lands late, and its repetition.
    until_named(&fixture, "old", 2).await;
    fixture.apply(&fixture.client("web", &json!({ "displayName": "new" }))).await;
    until_named(&fixture, "new", 3).await;
    // The old one has landed when a repair is sent.
    until_named(&fixture, "new", 4).await;
}

/// P4.
#[tokio::test]
async fn of_two_clients_that_a_repeated_post_has_made_the_recorded_one_stays() {
    let fixture = impatient("repeated").await;
    fixture.admin.fault(&FaultRule::on(Route::ClientsCreate, Fault::Replay {}).times(1)).await.unwrap();
    fixture.apply(&fixture.client("web", &json!({}))).await;
    fixture.wait_ready("web").await;
    let client = only_client(&fixture).await;
    fixture.resyncs(2).await;
    assert_kept(&fixture, &client).await;
}

/// U10.
#[tokio::test]
async fn a_client_onto_which_the_marker_was_copied_takes_nobodys_place() {
    let fixture = impatient("copied").await;
    fixture.apply(&fixture.client("web", &json!({}))).await;
    fixture.wait_ready("web").await;
    let client = only_client(&fixture).await;
    let Client { grant_types, response_types, redirect_uris, scope, metadata, .. } = client.clone();
    let copy = ClientFields {
        grant_types: Some(grant_types),
        response_types: Some(response_types),
        redirect_uris: Some(redirect_uris),
        scope: Some(scope),
        metadata: Some(metadata),
        ..ClientFields::default()
    };
    fixture.admin.create_client(fixture.project, &copy).await.unwrap();
    fixture.resyncs(2).await;
    assert_kept(&fixture, &client).await;
}

/// U11.
#[tokio::test]
async fn a_token_that_was_edited_or_removed_comes_back_and_the_client_stays() {
    let fixture = Fixture::own("token", &["--resync-interval", "2s"]).await;
    fixture.apply(&fixture.client("web", &json!({}))).await;
    fixture.wait_ready("web").await;
    let client = only_client(&fixture).await;
    for edit in [format!("{TOKEN}=theirs"), format!("{TOKEN}-")] {
        fixture.kubectl(&["annotate", "maoc", "web", "--overwrite", &edit]).await;
        eventually(LONG, "object and Secret agree on a token", async || {
            let token = |object: &Value| object["metadata"]["annotations"][TOKEN].clone();
            let tokens = [token(&fixture.get("maoc", "web").await), token(&fixture.get("secret", "web-oauth").await)];
            let agree = tokens[0] == tokens[1] && tokens[0] != json!("theirs") && tokens[0].is_string();
            if agree { Ok(()) } else { Err(format!("{tokens:?}")) }
        })
        .await
        .unwrap();
        fixture.wait_ready("web").await;
    }
    assert_kept(&fixture, &client).await;
    assert_eq!(fixture.count("DELETE").await, 0);
}

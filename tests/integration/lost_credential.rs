//! Credentials that are lost: deleted, rewritten or altered, in Kubernetes or at MeshAgent.

use serde_json::{Value, json};
use simulator::admin::{ClientFields, Malformed, Route};
use simulator::fault::{Fault, FaultRule};

use super::fixture::{Fixture, LONG, condition, datum, message, start_operator};
use super::rotation::{ask_to_rotate, client_id, events, look, ready, retiring};

async fn patch_secret(fixture: &Fixture, patch: &Value) {
    fixture.kubectl(&["patch", "secret", "web-oauth", "--type=merge", "-p", &patch.to_string()]).await;
}

/// Another value of the client's secret, as a controller that mirrors Secrets might write.
fn altered() -> Value {
    json!({ "stringData": { "CLIENT_SECRET": "something-else" } })
}

async fn until_replaced(fixture: &Fixture, former: &str) -> Value {
    fixture
        .until("maoc", "web", "another client is recorded and Ready", |o| {
            client_id(o) != former && condition(o, "Ready") == "True/Ready"
        })
        .await
}

/// The one Event that tells of a replacement.
async fn told(fixture: &Fixture) -> String {
    harness::eventually(LONG, "the Event", async || match events(fixture, "CredentialReplaced").await.as_slice() {
        [event] => Ok(event.clone()),
        events => Err(format!("{events:?}")),
    })
    .await
    .unwrap()
}

#[tokio::test]
async fn a_secret_that_was_deleted_or_whose_value_was_altered_is_a_lost_credential() {
    let fixture = Fixture::shared("lost-ways").await;
    for (way, cause) in [("deleted", "its Secret was gone"), ("value", "the credential in its Secret was altered")] {
        let (name, secret) = (format!("web-{way}"), format!("web-{way}-oauth"));
        let (before, former_secret) = ready(&fixture, &name, &json!({})).await;
        let (former, posts) = (client_id(&before), fixture.count("POST").await);
        let patch = altered().to_string();
        match way {
            "deleted" => fixture.kubectl(&["delete", "secret", &secret]).await,
            _ => fixture.kubectl(&["patch", "secret", &secret, "--type=merge", "-p", &patch]).await,
        };
        let after = fixture
            .until("maoc", &name, "another client is recorded and Ready", |o| {
                client_id(o) != former && condition(o, "Ready") == "True/Ready"
            })
            .await;
        assert_eq!(retiring(&after), std::slice::from_ref(&former), "{way}");
        assert_eq!(fixture.count("POST").await, posts + 1, "{way}");
        let seen = fixture.get("secret", &secret).await;
        assert_eq!(datum(&seen, "CLIENT_ID"), client_id(&after), "{way}");
        assert!(fixture.accepts(&seen).await, "{way}: the new credential is not accepted");
        assert!(fixture.accepts(&former_secret).await, "{way}: pods may still hold the former credential");
        harness::eventually(LONG, "the Event", async || {
            let events = events(&fixture, "CredentialReplaced").await;
            let tells =
                |text: &String| text.contains(&former) && text.contains(&format!("because {cause}; {former} is"));
            if events.iter().any(tells) { Ok(()) } else { Err(format!("{way}: {events:?}")) }
        })
        .await
        .unwrap();
    }
    assert_eq!((fixture.count("PUT").await, fixture.count("DELETE").await), (0, 0));
}

/// The parts of a Secret that people and programs read.
fn essence(secret: &Value) -> Value {
    let mut seen = json!({
        "data": secret["data"],
        "type": secret["type"],
        "labels": secret["metadata"]["labels"],
        "annotations": secret["metadata"]["annotations"],
        "ownerReferences": secret["metadata"]["ownerReferences"],
    });
    // A token that was altered does not come back: object and Secret get a fresh one.
    seen["annotations"]["meshagent.com/create-token"].take();
    seen
}

#[tokio::test]
async fn whatever_else_of_the_secret_was_altered_is_repaired_and_the_client_stays() {
    let fixture = Fixture::shared("altered").await;
    let (before, secret) = ready(&fixture, "web", &json!({})).await;
    let metadata = |field: &str, value: Value| json!({ "metadata": { field: value } });
    let alterations = [
        metadata("labels", json!({ "meshagent.com/oauth-client": null })),
        metadata("labels", json!({ "meshagent.com/oauth-client": "other" })),
        metadata("labels", json!({ "app.kubernetes.io/managed-by": "Helm" })),
        metadata("ownerReferences", json!(null)),
        metadata("annotations", json!({ "meshagent.com/client-id": "something-else" })),
        metadata("annotations", json!({ "meshagent.com/client-id": null })),
        metadata("annotations", json!({ "meshagent.com/create-token": null })),
        metadata("annotations", json!({ "meshagent.com/keys": null })),
        metadata("annotations", json!({ "meshagent.com/values": null })),
        json!({ "stringData": { "CLIENT_ID": "something-else" } }),
        json!({ "stringData": { "TOKEN_URL": "https://elsewhere.example" } }),
        json!({ "data": { "SCOPES": null } }),
    ];
    for alteration in alterations {
        patch_secret(&fixture, &alteration).await;
        harness::eventually(LONG, &format!("repaired: {alteration}"), async || {
            let (object, now) = (fixture.get("maoc", "web").await, fixture.get("secret", "web-oauth").await);
            let token = |object: &Value| object["metadata"]["annotations"]["meshagent.com/create-token"].clone();
            let recorded = object["status"]["secretResourceVersion"] == now["metadata"]["resourceVersion"];
            let repaired = essence(&now) == essence(&secret) && token(&object) == token(&now);
            if repaired && recorded { Ok(()) } else { Err("not yet") }
        })
        .await
        .unwrap();
        let after = fixture.get("maoc", "web").await;
        assert_eq!((client_id(&after), retiring(&after)), (client_id(&before), Vec::new()), "{alteration}");
    }
    assert_eq!((fixture.count("POST").await, fixture.count("PUT").await, fixture.count("DELETE").await), (1, 0, 0));
}

#[tokio::test]
async fn what_was_altered_while_the_operator_was_down_is_seen_when_it_starts() {
    let mut fixture = Fixture::own("altered-down", &[]).await;
    let (before, former_secret) = ready(&fixture, "web", &json!({})).await;
    fixture.stop_operator().await;
    patch_secret(&fixture, &altered()).await;
    fixture.operator = Some(start_operator(fixture.control_plane.get(), &[]));
    let after = until_replaced(&fixture, &client_id(&before)).await;
    assert_eq!(retiring(&after), [client_id(&before)]);
    assert_eq!(fixture.count("POST").await, 2);
    assert!(fixture.accepts(&fixture.get("secret", "web-oauth").await).await, "the new credential is not accepted");
    assert!(fixture.accepts(&former_secret).await, "the former credential is not accepted");
    // Everything but the credential is repaired without a call.
    fixture.stop_operator().await;
    patch_secret(&fixture, &json!({ "metadata": { "ownerReferences": null } })).await;
    fixture.operator = Some(start_operator(fixture.control_plane.get(), &[]));
    fixture
        .until("secret", "web-oauth", "it has its owner", |secret| {
            secret["metadata"]["ownerReferences"] == former_secret["metadata"]["ownerReferences"]
        })
        .await;
    assert_eq!(client_id(&fixture.get("maoc", "web").await), client_id(&after));
    assert_eq!((fixture.count("POST").await, fixture.count("PUT").await, fixture.count("DELETE").await), (2, 0, 0));
}

#[tokio::test]
async fn a_secret_that_others_rewrite_is_replaced_once_and_then_a_person_decides() {
    let mut fixture = Fixture::own("rewritten", &["--lease-duration", "2s"]).await;
    let (before, _) = ready(&fixture, "web", &json!({})).await;
    patch_secret(&fixture, &altered()).await;
    let replaced = until_replaced(&fixture, &client_id(&before)).await;
    for n in 0..5 {
        patch_secret(&fixture, &json!({ "stringData": { "CLIENT_SECRET": format!("something-else-{n}") } })).await;
        let lost = |o: &Value| condition(o, "Ready") == "False/CredentialLost";
        fixture.until("maoc", "web", "its loss is said", lost).await;
        look(&fixture, "web", &format!("now-{n}")).await;
    }
    let stuck = fixture.get("maoc", "web").await;
    assert_eq!(condition(&stuck, "Stalled"), "True/CredentialLost");
    assert_eq!(condition(&stuck, "SecretReady"), "False/CredentialLost");
    let said = message(&stuck, "Ready");
    assert!(said.contains("find what deletes or rewrites") && said.contains("rotate-requested-at"), "{said}");
    assert_eq!(fixture.count("POST").await, 2);

    ask_to_rotate(&fixture, "web", "monday").await;
    let waits = fixture.until("maoc", "web", "the rotation waits", |o| condition(o, "Ready") == "False/Rotating").await;
    assert!(message(&waits, "Ready").contains("less than ten minutes ago"), "{}", message(&waits, "Ready"));
    assert_eq!(fixture.count("POST").await, 2);

    // The patched status lets ten minutes pass, as far as the operator can tell.
    fixture.stop_operator().await;
    let earlier = jiff::Timestamp::now() - std::time::Duration::from_secs(601);
    let patch = json!({ "status": { "lastReplacedAt": format!("{earlier:.0}") } }).to_string();
    fixture.kubectl(&["patch", "maoc", "web", "--subresource=status", "--type=merge", "-p", &patch]).await;
    fixture.operator = Some(start_operator(fixture.control_plane.get(), &[]));
    let rotated = until_replaced(&fixture, &client_id(&replaced)).await;
    assert_eq!(retiring(&rotated), [client_id(&before), client_id(&replaced)]);
    assert_eq!(fixture.count("POST").await, 3);
    assert!(fixture.accepts(&fixture.get("secret", "web-oauth").await).await, "the new credential is not accepted");
}

#[tokio::test]
async fn where_a_loss_blocks_nothing_is_made_until_a_rotation_is_asked_for() {
    let fixture = Fixture::shared("loss-blocks").await;
    let (before, _) = ready(&fixture, "web", &json!({ "onCredentialLoss": "Block" })).await;
    fixture.kubectl(&["delete", "secret", "web-oauth"]).await;
    let lost = |o: &Value| condition(o, "Ready") == "False/CredentialLost";
    let stuck = fixture.until("maoc", "web", "its loss is said", lost).await;
    assert_eq!(condition(&stuck, "Stalled"), "True/CredentialLost");
    assert!(message(&stuck, "Ready").contains("rotate-requested-at"), "{}", message(&stuck, "Ready"));
    look(&fixture, "web", "now-1").await;
    assert_eq!((fixture.count("POST").await, fixture.exists("secret", "web-oauth").await), (1, false));
    ask_to_rotate(&fixture, "web", "monday").await;
    let after = until_replaced(&fixture, &client_id(&before)).await;
    assert_eq!(retiring(&after), [client_id(&before)]);
    assert_eq!(fixture.count("POST").await, 2);
    assert!(fixture.accepts(&fixture.get("secret", "web-oauth").await).await, "the new credential is not accepted");
}

#[tokio::test]
async fn a_former_secret_that_is_put_back_ends_a_loss() {
    let fixture = Fixture::shared("put-back").await;
    let (before, secret) = ready(&fixture, "web", &json!({ "onCredentialLoss": "Block" })).await;
    patch_secret(&fixture, &altered()).await;
    fixture.until("maoc", "web", "its loss is said", |o| condition(o, "Ready") == "False/CredentialLost").await;
    patch_secret(&fixture, &json!({ "data": secret["data"] })).await;
    let after = fixture.until("maoc", "web", "it is Ready", |o| condition(o, "Ready") == "True/Ready").await;
    assert_eq!((client_id(&after), fixture.count("POST").await), (client_id(&before), 1));
}

#[tokio::test]
async fn a_client_deleted_in_studio_is_replaced_on_proof_and_the_event_says_who_deleted_it() {
    let fixture = Fixture::shared("studio-proof").await;
    let (before, _) = ready(&fixture, "web", &json!({})).await;
    let former = client_id(&before);
    fixture.admin.delete_client(fixture.project, &former).await.unwrap();
    let so_far = fixture.calls().await.len();
    look(&fixture, "web", "now-1").await;
    let after = until_replaced(&fixture, &former).await;
    let new = client_id(&after);
    assert_eq!((fixture.remote_ids().await, retiring(&after)), (vec![new.clone()], Vec::new()));
    let calls = fixture.calls().await.split_off(so_far);
    let place = |what: &str, is: &dyn Fn(&simulator::record::Call) -> bool| {
        calls.iter().position(is).unwrap_or_else(|| panic!("no {what}"))
    };
    let get =
        place("GET by id", &|call| call.method == "GET" && call.path.ends_with(&former) && call.status == Some(404));
    let listing = place("listing", &|call| call.sequence > calls[get].sequence && call.query.is_some());
    let post = place("POST", &|call| call.method == "POST");
    assert!(get < listing && listing < post, "the POST came before the proof");
    assert_eq!(calls.iter().filter(|call| call.method != "GET").count(), 1);
    let wanted = format!(
        "the client id changed from {former} to {new}, because the former client was deleted at MeshAgent; the sessions of \
         {former} ended with it. The new credential is in Secret web-oauth"
    );
    assert_eq!(told(&fixture).await, wanted);
}

/// A client of somebody else's in the same project, and a Secret's patch that claims it.
async fn foreign_client(fixture: &Fixture) -> (simulator::admin::Client, Value) {
    let fields: ClientFields = serde_json::from_value(json!({
        "grant_types": ["authorization_code"],
        "response_types": ["code"],
        "redirect_uris": ["https://theirs.example"],
        "scope": "openid",
    }))
    .unwrap();
    let made = fixture.admin.create_client(fixture.project, &fields).await.unwrap();
    let id = &made.client.client_id;
    let claim = json!({
        "metadata": { "annotations": { "meshagent.com/client-id": id } },
        "stringData": { "CLIENT_ID": id, "CLIENT_SECRET": made.client_secret.expose() },
    });
    (made.client, claim)
}

/// Asserts that a foreign client was only read, and is as it was.
async fn assert_only_read(fixture: &Fixture, client: &simulator::admin::Client) {
    let calls = fixture.calls().await;
    let about = calls.iter().filter(|call| call.path.contains(&client.client_id));
    let written: Vec<&str> = about.map(|call| call.method.as_str()).filter(|method| *method != "GET").collect();
    assert_eq!(written, [""; 0]);
    let remote = fixture.admin.state().await.unwrap().clients_of(fixture.project);
    assert_eq!(remote.iter().find(|one| one.client_id == client.client_id), Some(client));
}

#[tokio::test]
async fn a_secret_that_names_a_foreign_client_gives_nobody_that_client() {
    let fixture = Fixture::shared("claims").await;
    let (before, _) = ready(&fixture, "web", &json!({})).await;
    let (theirs, claim) = foreign_client(&fixture).await;
    patch_secret(&fixture, &claim).await;
    let after = until_replaced(&fixture, &client_id(&before)).await;
    assert_ne!(client_id(&after), theirs.client_id);
    assert_eq!(retiring(&after), [client_id(&before)]);
    assert_eq!(fixture.count("POST").await, 2);
    assert!(fixture.accepts(&fixture.get("secret", "web-oauth").await).await, "the new credential is not accepted");
    assert_only_read(&fixture, &theirs).await;
    fixture.kubectl(&["delete", "maoc", "web", "--timeout=30s"]).await;
    assert_eq!(fixture.remote_ids().await, std::slice::from_ref(&theirs.client_id));
    assert_only_read(&fixture, &theirs).await;
}

#[tokio::test]
async fn an_object_that_goes_while_its_secret_names_a_foreign_client_leaves_that_client_alone() {
    let fixture = Fixture::shared("claims-goes").await;
    ready(&fixture, "web", &json!({ "onCredentialLoss": "Block" })).await;
    let (theirs, claim) = foreign_client(&fixture).await;
    patch_secret(&fixture, &claim).await;
    fixture.until("maoc", "web", "its loss is said", |o| condition(o, "Ready") == "False/CredentialLost").await;
    fixture.kubectl(&["delete", "maoc", "web", "--timeout=30s"]).await;
    assert_eq!(fixture.remote_ids().await, std::slice::from_ref(&theirs.client_id));
    assert_only_read(&fixture, &theirs).await;
}

#[tokio::test]
async fn another_oauth_clients_client_cannot_be_claimed_by_a_secret() {
    let fixture = Fixture::shared("claims-ours").await;
    let (before, _) = ready(&fixture, "web", &json!({})).await;
    let (other, _) = ready(&fixture, "other", &json!({})).await;
    let secret = fixture.get("secret", "other-oauth").await;
    let claim = json!({
        "metadata": { "annotations": { "meshagent.com/client-id": client_id(&other) } },
        "data": { "CLIENT_ID": secret["data"]["CLIENT_ID"], "CLIENT_SECRET": secret["data"]["CLIENT_SECRET"] },
    });
    patch_secret(&fixture, &claim).await;
    let after = until_replaced(&fixture, &client_id(&before)).await;
    fixture.kubectl(&["delete", "maoc", "web", "--timeout=30s"]).await;
    assert_ne!(client_id(&after), client_id(&other));
    assert_eq!(fixture.remote_ids().await, [client_id(&other)]);
    assert!(fixture.accepts(&secret).await, "the other's credential is not accepted any more");
}

#[tokio::test]
async fn a_server_that_shows_no_secret_is_asked_once_in_ten_minutes_however_often_somebody_looks() {
    let fixture = Fixture::shared("no-secret").await;
    let (before, _) = ready(&fixture, "web", &json!({ "rotation": { "overlap": "0s" } })).await;
    let keyless = FaultRule::on(Route::ClientsCreate, Fault::Malformed { form: Malformed::NoSecret });
    fixture.admin.fault(&keyless.in_project(fixture.project)).await.unwrap();
    fixture.admin.delete_client(fixture.project, &client_id(&before)).await.unwrap();
    for n in 0..5 {
        let looked = look(&fixture, "web", &format!("now-{n}")).await;
        assert!(condition(&looked, "Ready").starts_with("False/"), "{}", looked["status"]);
    }
    let waits = fixture.until("maoc", "web", "the next one waits", |o| condition(o, "Ready") == "False/Rotating").await;
    assert!(message(&waits, "Ready").contains("less than ten minutes ago"), "{}", message(&waits, "Ready"));
    assert_eq!(condition(&waits, "Reconciling"), "True/Rotating");
    assert_eq!(fixture.count("POST").await, 2);
    assert_eq!(fixture.remote_ids().await, [""; 0], "what cannot be used is left behind");
}

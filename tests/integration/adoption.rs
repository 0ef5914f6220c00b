//! Clients that somebody made by hand, and that an OAuthClient takes over.

use serde_json::{Value, json};
use simulator::admin::{Client, ClientAccess, ClientFields};

use super::calls::Audited;
use super::fixture::{Fixture, condition, datum, message};

/// A client as somebody made it in MeshAgent Studio, with other settings than are declared later.
pub async fn made_by_hand(fixture: &Fixture) -> ClientAccess {
    let fields = ClientFields {
        grant_types: Some(vec!["authorization_code".to_owned()]),
        response_types: Some(vec!["code".to_owned()]),
        redirect_uris: Some(vec!["https://by-hand.example.com/cb".to_owned()]),
        scope: Some("openid".to_owned()),
        ..ClientFields::default()
    };
    fixture.admin.create_client(fixture.project, &fields).await.unwrap()
}

/// Lets the test's namespace adopt, as an administrator would: by an edit of the project.
pub async fn allow_adoption(fixture: &Fixture) {
    let namespaces = json!({ "adoption": { "allowedNamespaces": { "names": [fixture.ns()] } } });
    fixture.apply(&fixture.project_manifest(&namespaces)).await;
}

/// An OAuthClient that adopts a client without its credential.
pub fn adopting(fixture: &Fixture, name: &str, client_id: &str, more: &Value) -> Value {
    let mut manifest = fixture.client(name, more);
    manifest["spec"]["adopt"]["clientId"] = json!(client_id);
    manifest
}

/// An OAuthClient that adopts a client with the credential that a Secret holds under `id` and `secret`.
fn adopting_with(fixture: &Fixture, name: &str, client_id: &str, secret: &str, more: &Value) -> Value {
    let mut manifest = adopting(fixture, name, client_id, more);
    let reference = json!({ "name": secret, "clientIdKey": "id", "clientSecretKey": "secret" });
    manifest["spec"]["adopt"]["credentialSecretRef"] = reference;
    manifest
}

/// Writes a person's Secret with a credential in it.
async fn hand_over(fixture: &Fixture, name: &str, keys: [&str; 2], client_id: &str, access: &ClientAccess) {
    let secret = json!({
        "apiVersion": "v1",
        "kind": "Secret",
        "metadata": { "name": name, "namespace": fixture.ns() },
        "stringData": { (keys[0]): client_id, (keys[1]): access.client_secret.expose() },
    });
    fixture.apply(&secret).await;
}

/// The clients that MeshAgent holds.
pub async fn remote(fixture: &Fixture) -> Vec<Client> {
    fixture.admin.state().await.unwrap().clients_of(fixture.project)
}

/// How often each method that changes something was called: POST, PUT, DELETE.
pub async fn changes(fixture: &Fixture) -> [usize; 3] {
    [fixture.count("POST").await, fixture.count("PUT").await, fixture.count("DELETE").await]
}

async fn until_said(fixture: &Fixture, name: &str, wanted: &str) -> Value {
    let what = format!("{name} is {wanted}");
    fixture.until("maoc", name, &what, |object| condition(object, "Ready") == wanted).await
}

/// Requests a reconcile, and waits until it is handled.
pub async fn look(fixture: &Fixture, name: &str, asked: &str) -> Value {
    let annotation = format!("meshagent.com/reconcile-requested-at={asked}");
    fixture.kubectl(&["annotate", "--overwrite", "maoc", name, &annotation]).await;
    let handled = |object: &Value| object["status"]["lastHandledReconcileAt"] == asked;
    fixture.until("maoc", name, "the look is taken", handled).await
}

#[tokio::test]
async fn a_namespace_that_may_not_adopt_asks_nothing_and_adopts_once_the_project_allows_it() {
    let fixture = Fixture::shared("allow").await;
    let id = made_by_hand(&fixture).await.client.client_id;
    let calls = fixture.calls().await;
    fixture.apply(&adopting(&fixture, "web", &id, &json!({}))).await;
    let refused = until_said(&fixture, "web", "False/AdoptionNotAllowed").await;
    assert_eq!(condition(&refused, "Stalled"), "True/AdoptionNotAllowed");
    let said = message(&refused, "Ready");
    assert!(said.contains("spec.adoption.allowedNamespaces"), "{said}");
    assert_eq!(refused["metadata"]["finalizers"], json!(null), "nothing is to be held yet");
    assert_eq!(fixture.calls().await, calls);

    allow_adoption(&fixture).await;
    fixture.wait_ready("web").await;
    let methods: Vec<_> = fixture.calls().await.into_iter().filter(|call| call.query.is_none()).collect();
    let methods: Vec<&str> = methods.iter().map(|call| call.method.as_str()).collect();
    assert_eq!(methods, ["GET", "PUT"]);
    assert_eq!(fixture.kubectl(&["get", "secret", "-o", "name"]).await, "");
    let adopted = fixture.get("maoc", "web").await;
    let fields = ["clientId", "adopted", "secretName"].map(|field| adopted["status"][field].clone());
    assert_eq!(fields, [json!(id), json!(true), json!(null)]);
    let client = remote(&fixture).await.remove(0);
    assert_eq!(client.redirect_uris, ["https://shop.example.com/oauth/callback"]);
    assert_eq!(client.metadata["meshagent.com/origin"], "adopted");
    let wide = fixture.kubectl(&["get", "maoc", "-o", "wide"]).await;
    let message = format!("client {id} is as declared; it was adopted without its credential, so there is no Secret");
    assert!(wide.contains(&message), "{wide}");

    let patch = r#"{"spec":{"redirectUris":["https://new.example.com/cb"]}}"#;
    fixture.kubectl(&["patch", "maoc", "web", "--type=merge", "-p", patch]).await;
    fixture.until("maoc", "web", "the edit is applied", |o| o["status"]["appliedGeneration"] == 2).await;
    assert_eq!(remote(&fixture).await[0].redirect_uris, ["https://new.example.com/cb"]);
    assert_eq!(changes(&fixture).await, [0, 2, 0]);
}

#[tokio::test]
async fn a_credential_that_is_given_is_kept_and_published_also_when_it_comes_late() {
    let fixture = Fixture::shared("given").await;
    allow_adoption(&fixture).await;
    let access = made_by_hand(&fixture).await;
    let id = &access.client.client_id;
    fixture.apply(&adopting_with(&fixture, "web", id, "by-hand", &json!({}))).await;
    fixture.until("maoc", "web", "it waits", |o| condition(o, "Reconciling") == "True/CredentialsNotFound").await;
    assert_eq!(changes(&fixture).await, [0, 0, 0], "nothing is changed before the credential is there");
    hand_over(&fixture, "by-hand", ["id", "secret"], id, &access).await;
    fixture.wait_ready("web").await;
    let secret = fixture.get("secret", "web-oauth").await;
    assert_eq!(datum(&secret, "CLIENT_ID"), *id);
    assert!(datum(&secret, "CLIENT_SECRET") == access.client_secret.expose(), "another secret was published");
    assert!(fixture.accepts(&secret).await, "the credential in the Secret is not accepted");
    let keys: Vec<&String> = secret["data"].as_object().unwrap().keys().collect();
    assert_eq!(keys, ["AUTHORIZE_URL", "CLIENT_ID", "CLIENT_SECRET", "PROJECT_ID", "SCOPES", "TOKEN_URL"]);
    assert_eq!(secret["metadata"]["ownerReferences"], json!(null));
    assert_eq!(fixture.get("maoc", "web").await["status"]["clientId"], id.as_str());
    assert_eq!(changes(&fixture).await, [0, 1, 0]);
}

#[tokio::test]
async fn a_given_credential_of_another_client_is_refused_by_the_name_of_its_field() {
    let fixture = Fixture::shared("wrong").await;
    allow_adoption(&fixture).await;
    let access = made_by_hand(&fixture).await;
    let id = &access.client.client_id;
    hand_over(&fixture, "by-hand", ["id", "secret"], "another", &access).await;
    let before = remote(&fixture).await;
    fixture.apply(&adopting_with(&fixture, "web", id, "by-hand", &json!({}))).await;
    let refused = until_said(&fixture, "web", "False/InvalidSpec").await;
    let said = message(&refused, "Ready");
    assert!(said.contains("spec.adopt.credentialSecretRef") && said.contains("data key id"), "{said}");
    assert_eq!(remote(&fixture).await, before);
    assert!(!fixture.exists("secret", "web-oauth").await, "a Secret was written");
    hand_over(&fixture, "by-hand", ["id", "secret"], id, &access).await;
    look(&fixture, "web", "now-1").await;
    fixture.wait_ready("web").await;
    assert_eq!(changes(&fixture).await, [0, 1, 0]);
}

#[tokio::test]
async fn the_client_of_another_oauthclient_is_left_alone() {
    let fixture = Fixture::shared("taken").await;
    allow_adoption(&fixture).await;
    fixture.apply(&fixture.client("first", &json!({}))).await;
    fixture.wait_ready("first").await;
    let (before, id) = (remote(&fixture).await, fixture.remote_ids().await.remove(0));
    fixture.apply(&adopting(&fixture, "second", &id, &json!({ "redirectUris": ["https://b.example.com/cb"] }))).await;
    let refused = until_said(&fixture, "second", "False/AdoptionConflict").await;
    assert_eq!(condition(&refused, "Stalled"), "True/AdoptionConflict");
    let manager = format!("client {id} is managed by OAuthClient {}/first, so it is left alone", fixture.ns());
    assert!(message(&refused, "Ready").contains(&manager), "{}", message(&refused, "Ready"));
    fixture.kubectl(&["delete", "maoc", "second", "--timeout=30s"]).await;
    assert_eq!(remote(&fixture).await, before);
    assert_eq!(changes(&fixture).await, [1, 0, 0]);
}

#[tokio::test]
async fn a_secret_in_the_way_is_taken_over_only_if_it_holds_the_client() {
    let fixture = Fixture::shared("inway").await;
    allow_adoption(&fixture).await;
    let access = made_by_hand(&fixture).await;
    let id = &access.client.client_id;
    hand_over(&fixture, "by-hand", ["id", "secret"], id, &access).await;
    fixture.kubectl(&["create", "secret", "generic", "db", "--from-literal=password=theirs"]).await;
    let theirs = fixture.get("secret", "db").await;
    let spec = json!({ "secret": { "name": "db" } });
    fixture.apply(&adopting_with(&fixture, "web", id, "by-hand", &spec)).await;
    until_said(&fixture, "web", "False/SecretConflict").await;
    assert_eq!(fixture.get("secret", "db").await, theirs);
    assert_eq!(changes(&fixture).await, [0, 0, 0]);
    fixture.kubectl(&["delete", "maoc", "web", "--timeout=30s"]).await;
    assert_eq!(fixture.get("secret", "db").await, theirs);

    // The Secret may be there already, under another name than the credential's, if it holds the client.
    hand_over(&fixture, "login", ["CLIENT_ID", "CLIENT_SECRET"], id, &access).await;
    let uid = fixture.get("secret", "login").await["metadata"]["uid"].clone();
    let spec = json!({ "secret": { "name": "login" } });
    fixture.apply(&adopting_with(&fixture, "web", id, "by-hand", &spec)).await;
    fixture.wait_ready("web").await;
    let login = fixture.get("secret", "login").await;
    assert_eq!(login["metadata"]["uid"], uid, "it was made anew");
    assert_eq!(login["metadata"]["annotations"]["meshagent.com/client-id"], id.as_str());
    assert!(fixture.accepts(&login).await, "the credential in the Secret is not accepted");
    assert_eq!(changes(&fixture).await, [0, 1, 0]);
}

#[tokio::test]
async fn an_adopter_leaves_its_client_unless_it_is_told_to_delete_it() {
    let fixture = Fixture::shared("leave").await;
    allow_adoption(&fixture).await;
    let (kept, gone) = (made_by_hand(&fixture).await, made_by_hand(&fixture).await);
    let (kept_id, gone_id) = (&kept.client.client_id, &gone.client.client_id);
    hand_over(&fixture, "by-hand", ["id", "secret"], gone_id, &gone).await;
    fixture.apply(&adopting(&fixture, "kept", kept_id, &json!({}))).await;
    let spec = json!({ "deletionPolicy": "Delete" });
    fixture.apply(&adopting_with(&fixture, "gone", gone_id, "by-hand", &spec)).await;
    fixture.wait_ready("kept").await;
    fixture.wait_ready("gone").await;
    fixture.kubectl(&["delete", "maoc", "kept", "gone", "--timeout=60s"]).await;
    assert_eq!(fixture.remote_ids().await, [kept_id.as_str()]);
    assert_eq!(remote(&fixture).await[0].metadata["meshagent.com/retained"], "true");
    assert!(!fixture.exists("secret", "gone-oauth").await, "its Secret is left");
    assert!(fixture.exists("secret", "by-hand").await, "the Secret of a person was deleted");
    assert_eq!(fixture.count("DELETE").await, 1);
    // A client that was left is not managed, so another OAuthClient may adopt it.
    fixture.apply(&adopting(&fixture, "heir", kept_id, &json!({}))).await;
    fixture.wait_ready("heir").await;
    assert_eq!(fixture.count("POST").await, 0);
}

#[tokio::test]
async fn an_adopted_client_that_is_gone_is_never_made_anew() {
    let fixture = Fixture::shared("gone").await;
    allow_adoption(&fixture).await;
    let access = made_by_hand(&fixture).await;
    let id = &access.client.client_id;
    hand_over(&fixture, "by-hand", ["id", "secret"], id, &access).await;
    fixture.apply(&adopting_with(&fixture, "web", id, "by-hand", &json!({}))).await;
    fixture.wait_ready("web").await;
    // Status and marker remember the adoption when the field is gone from the spec.
    let removal = r#"[{"op":"remove","path":"/spec/adopt"}]"#;
    fixture.kubectl(&["patch", "maoc", "web", "--type=json", "-p", removal]).await;
    fixture.until("maoc", "web", "the edit is applied", |o| o["status"]["appliedGeneration"] == 2).await;
    fixture.admin.delete_client(fixture.project, id).await.unwrap();
    look(&fixture, "web", "now-1").await;
    let said = until_said(&fixture, "web", "False/AdoptedClientGone").await;
    assert_eq!(condition(&said, "Stalled"), "True/AdoptedClientGone");
    assert_eq!(fixture.remote_ids().await, [""; 0]);
    assert_eq!(changes(&fixture).await, [0, 1, 0]);
    fixture.kubectl(&["delete", "maoc", "web", "--timeout=30s"]).await;
}

#[tokio::test]
async fn a_rotation_of_an_adopted_client_is_refused_by_an_event() {
    let fixture = Fixture::shared("norotate").await;
    allow_adoption(&fixture).await;
    let access = made_by_hand(&fixture).await;
    let id = &access.client.client_id;
    hand_over(&fixture, "by-hand", ["id", "secret"], id, &access).await;
    fixture.apply(&adopting_with(&fixture, "web", id, "by-hand", &json!({}))).await;
    fixture.wait_ready("web").await;
    fixture.kubectl(&["annotate", "maoc", "web", "meshagent.com/rotate-requested-at=now-1"]).await;
    let handled = |object: &Value| object["status"]["lastHandledRotateAt"] == "now-1";
    let after = fixture.until("maoc", "web", "the request is answered", handled).await;
    assert_eq!(condition(&after, "Ready"), "True/Ready");
    assert_eq!(after["status"]["clientId"], id.as_str());
    let events = harness::eventually(super::fixture::LONG, "the Event is written", async || {
        let list = ["get", "events", "--field-selector", "involvedObject.name=web,type=Warning", "-o", "json"];
        let events: Value = serde_json::from_str(&fixture.kubectl(&list).await).unwrap();
        if events["items"][0].is_object() { Ok(events) } else { Err("it is not") }
    })
    .await
    .unwrap();
    assert!(events["items"][0]["message"].to_string().contains("rotat"), "{}", events["items"][0]["message"]);
    assert_eq!(changes(&fixture).await, [0, 1, 0]);
}

#[tokio::test]
async fn adopt_can_be_set_or_changed_only_while_there_is_no_client() {
    let fixture = Fixture::shared("late").await;
    allow_adoption(&fixture).await;
    let id = made_by_hand(&fixture).await.client.client_id;
    fixture.apply(&fixture.client("made", &json!({}))).await;
    fixture.apply(&adopting(&fixture, "adopted", &id, &json!({}))).await;
    fixture.wait_ready("made").await;
    fixture.wait_ready("adopted").await;
    for name in ["made", "adopted"] {
        let said = fixture.refused(&adopting(&fixture, name, "another", &json!({}))).await;
        assert!(said.contains("spec.adopt") && said.contains("create it anew"), "{name}: {said}");
    }
    let said = fixture.refused(&adopting_with(&fixture, "adopted", &id, "by-hand", &json!({}))).await;
    assert!(said.contains("spec.adopt"), "{said}");
    assert_eq!(changes(&fixture).await, [1, 1, 0]);
}

#[tokio::test]
async fn to_adopt_costs_exactly_the_budget() {
    let audited = Audited::set_up().await;
    let fixture = &audited.fixture;
    allow_adoption(fixture).await;
    let (plain, given) = (made_by_hand(fixture).await, made_by_hand(fixture).await);
    let (plain_id, given_id) = (&plain.client.client_id, &given.client.client_id);
    hand_over(fixture, "by-hand", ["id", "secret"], given_id, &given).await;
    let rest = [("GET", 1), ("PUT", 1)];

    audited.assert_cost("before", None, &[]).await;
    fixture.apply(&adopting(fixture, "plain", plain_id, &json!({}))).await;
    fixture.wait_ready("plain").await;
    let writes = [("patch oauthclients", 1), ("patch oauthclients/status", 1)];
    audited.assert_cost("to adopt without a credential", Some(&rest), &writes).await;

    fixture.apply(&adopting_with(fixture, "given", given_id, "by-hand", &json!({}))).await;
    fixture.wait_ready("given").await;
    let writes = [
        ("patch oauthclients", 1),
        ("create secrets (dry run)", 1),
        ("create secrets", 1),
        ("patch oauthclients/status", 1),
    ];
    audited.assert_cost("to adopt with its credential", Some(&rest), &writes).await;
}

//! Clients that somebody made by hand, and that an OAuthClient takes over.

use serde_json::{Value, json};
use simulator::admin::{Client, ClientAccess, ClientFields};

use super::calls::Audited;
use super::ground::{Ground, condition, datum, message};

/// A client as somebody made it in MeshAgent Studio, with other settings than are declared later.
pub async fn made_by_hand(ground: &Ground) -> ClientAccess {
    let fields = ClientFields {
        grant_types: Some(vec!["authorization_code".to_owned()]),
        response_types: Some(vec!["code".to_owned()]),
        redirect_uris: Some(vec!["https://by-hand.example.com/cb".to_owned()]),
        scope: Some("openid".to_owned()),
        ..ClientFields::default()
    };
    ground.admin.create_client(ground.project, &fields).await.unwrap()
}

/// Lets the test's namespace adopt, as an administrator would: by an edit of the project.
pub async fn allow_adoption(ground: &Ground) {
    let namespaces = json!({ "adoption": { "allowedNamespaces": { "names": [ground.ns()] } } });
    ground.apply(&ground.project_manifest(&namespaces)).await;
}

/// An OAuthClient that adopts a client without its credential.
pub fn adopting(ground: &Ground, name: &str, client_id: &str, more: &Value) -> Value {
    let mut manifest = ground.client(name, more);
    manifest["spec"]["adopt"]["clientId"] = json!(client_id);
    manifest
}

/// The same, with the credential that a Secret holds under `id` and `secret`.
fn adopting_with(ground: &Ground, name: &str, client_id: &str, secret: &str, more: &Value) -> Value {
    let mut manifest = adopting(ground, name, client_id, more);
    let reference = json!({ "name": secret, "clientIdKey": "id", "clientSecretKey": "secret" });
    manifest["spec"]["adopt"]["credentialSecretRef"] = reference;
    manifest
}

/// A Secret of a person's with a credential in it.
async fn hand_over(ground: &Ground, name: &str, keys: [&str; 2], client_id: &str, access: &ClientAccess) {
    let secret = json!({
        "apiVersion": "v1",
        "kind": "Secret",
        "metadata": { "name": name, "namespace": ground.ns() },
        "stringData": { (keys[0]): client_id, (keys[1]): access.client_secret.expose() },
    });
    ground.apply(&secret).await;
}

/// What MeshAgent holds.
pub async fn remote(ground: &Ground) -> Vec<Client> {
    ground.admin.state().await.unwrap().clients_of(ground.project)
}

/// How often each method that changes something was called: POST, PUT, DELETE.
pub async fn changes(ground: &Ground) -> [usize; 3] {
    [ground.count("POST").await, ground.count("PUT").await, ground.count("DELETE").await]
}

async fn until_said(ground: &Ground, name: &str, wanted: &str) -> Value {
    let what = format!("{name} is {wanted}");
    ground.until("maoc", name, &what, |object| condition(object, "Ready") == wanted).await
}

/// Asks for a look, and waits until it was taken.
pub async fn look(ground: &Ground, name: &str, asked: &str) -> Value {
    let annotation = format!("meshagent.com/reconcile-requested-at={asked}");
    ground.kubectl(&["annotate", "--overwrite", "maoc", name, &annotation]).await;
    let handled = |object: &Value| object["status"]["lastHandledReconcileAt"] == asked;
    ground.until("maoc", name, "the look is taken", handled).await
}

#[tokio::test]
async fn a_namespace_that_may_not_adopt_asks_nothing_and_adopts_once_the_project_allows_it() {
    let ground = Ground::shared("allow").await;
    let id = made_by_hand(&ground).await.client.client_id;
    let calls = ground.calls().await;
    ground.apply(&adopting(&ground, "web", &id, &json!({}))).await;
    let refused = until_said(&ground, "web", "False/AdoptionNotAllowed").await;
    assert_eq!(condition(&refused, "Stalled"), "True/AdoptionNotAllowed");
    let said = message(&refused, "Ready");
    assert!(said.contains("spec.adoption.allowedNamespaces"), "{said}");
    assert_eq!(refused["metadata"]["finalizers"], json!(null), "nothing is to be held yet");
    assert_eq!(ground.calls().await, calls);

    allow_adoption(&ground).await;
    ground.wait_ready("web").await;
    let methods: Vec<_> = ground.calls().await.into_iter().filter(|call| call.query.is_none()).collect();
    let methods: Vec<&str> = methods.iter().map(|call| call.method.as_str()).collect();
    assert_eq!(methods, ["GET", "PUT"]);
    assert_eq!(ground.kubectl(&["get", "secret", "-o", "name"]).await, "");
    let adopted = ground.get("maoc", "web").await;
    let fields = ["clientId", "adopted", "secretName"].map(|field| adopted["status"][field].clone());
    assert_eq!(fields, [json!(id), json!(true), json!(null)]);
    let client = remote(&ground).await.remove(0);
    assert_eq!(client.redirect_uris, ["https://shop.example.com/oauth/callback"]);
    assert_eq!(client.metadata["meshagent.com/origin"], "adopted");
    let wide = ground.kubectl(&["get", "maoc", "-o", "wide"]).await;
    let message = format!("client {id} is as declared; it was adopted without its credential, so there is no Secret");
    assert!(wide.contains(&message), "{wide}");

    let patch = r#"{"spec":{"redirectUris":["https://new.example.com/cb"]}}"#;
    ground.kubectl(&["patch", "maoc", "web", "--type=merge", "-p", patch]).await;
    ground.until("maoc", "web", "the edit is applied", |o| o["status"]["appliedGeneration"] == 2).await;
    assert_eq!(remote(&ground).await[0].redirect_uris, ["https://new.example.com/cb"]);
    assert_eq!(changes(&ground).await, [0, 2, 0]);
}

#[tokio::test]
async fn a_credential_that_is_given_is_kept_and_published_also_when_it_comes_late() {
    let ground = Ground::shared("given").await;
    allow_adoption(&ground).await;
    let access = made_by_hand(&ground).await;
    let id = &access.client.client_id;
    ground.apply(&adopting_with(&ground, "web", id, "by-hand", &json!({}))).await;
    ground.until("maoc", "web", "it waits", |o| condition(o, "Reconciling") == "True/CredentialsNotFound").await;
    assert_eq!(changes(&ground).await, [0, 0, 0], "nothing is changed before the credential is there");
    hand_over(&ground, "by-hand", ["id", "secret"], id, &access).await;
    ground.wait_ready("web").await;
    let secret = ground.get("secret", "web-oauth").await;
    assert_eq!(datum(&secret, "CLIENT_ID"), *id);
    assert!(datum(&secret, "CLIENT_SECRET") == access.client_secret.expose(), "another secret was published");
    assert!(ground.accepts(&secret).await, "the credential in the Secret is not accepted");
    let keys: Vec<&String> = secret["data"].as_object().unwrap().keys().collect();
    assert_eq!(keys, ["AUTHORIZE_URL", "CLIENT_ID", "CLIENT_SECRET", "PROJECT_ID", "SCOPES", "TOKEN_URL"]);
    assert_eq!(secret["metadata"]["ownerReferences"], json!(null));
    assert_eq!(ground.get("maoc", "web").await["status"]["clientId"], id.as_str());
    assert_eq!(changes(&ground).await, [0, 1, 0]);
}

#[tokio::test]
async fn a_given_credential_of_another_client_is_refused_by_the_name_of_its_field() {
    let ground = Ground::shared("wrong").await;
    allow_adoption(&ground).await;
    let access = made_by_hand(&ground).await;
    let id = &access.client.client_id;
    hand_over(&ground, "by-hand", ["id", "secret"], "another", &access).await;
    let before = remote(&ground).await;
    ground.apply(&adopting_with(&ground, "web", id, "by-hand", &json!({}))).await;
    let refused = until_said(&ground, "web", "False/InvalidSpec").await;
    let said = message(&refused, "Ready");
    assert!(said.contains("spec.adopt.credentialSecretRef") && said.contains("data key id"), "{said}");
    assert_eq!(remote(&ground).await, before);
    assert!(!ground.exists("secret", "web-oauth").await, "a Secret was written");
    hand_over(&ground, "by-hand", ["id", "secret"], id, &access).await;
    look(&ground, "web", "now-1").await;
    ground.wait_ready("web").await;
    assert_eq!(changes(&ground).await, [0, 1, 0]);
}

#[tokio::test]
async fn the_client_of_another_oauthclient_is_left_alone() {
    let ground = Ground::shared("taken").await;
    allow_adoption(&ground).await;
    ground.apply(&ground.client("first", &json!({}))).await;
    ground.wait_ready("first").await;
    let (before, id) = (remote(&ground).await, ground.remote_ids().await.remove(0));
    ground.apply(&adopting(&ground, "second", &id, &json!({ "redirectUris": ["https://b.example.com/cb"] }))).await;
    let refused = until_said(&ground, "second", "False/AdoptionConflict").await;
    assert_eq!(condition(&refused, "Stalled"), "True/AdoptionConflict");
    let manager = format!("client {id} is managed by OAuthClient {}/first, so it is left alone", ground.ns());
    assert!(message(&refused, "Ready").contains(&manager), "{}", message(&refused, "Ready"));
    ground.kubectl(&["delete", "maoc", "second", "--timeout=30s"]).await;
    assert_eq!(remote(&ground).await, before);
    assert_eq!(changes(&ground).await, [1, 0, 0]);
}

#[tokio::test]
async fn a_secret_in_the_way_is_taken_over_only_if_it_holds_the_client() {
    let ground = Ground::shared("inway").await;
    allow_adoption(&ground).await;
    let access = made_by_hand(&ground).await;
    let id = &access.client.client_id;
    hand_over(&ground, "by-hand", ["id", "secret"], id, &access).await;
    ground.kubectl(&["create", "secret", "generic", "db", "--from-literal=password=theirs"]).await;
    let theirs = ground.get("secret", "db").await;
    let spec = json!({ "secret": { "name": "db" } });
    ground.apply(&adopting_with(&ground, "web", id, "by-hand", &spec)).await;
    until_said(&ground, "web", "False/SecretConflict").await;
    assert_eq!(ground.get("secret", "db").await, theirs);
    assert_eq!(changes(&ground).await, [0, 0, 0]);
    ground.kubectl(&["delete", "maoc", "web", "--timeout=30s"]).await;
    assert_eq!(ground.get("secret", "db").await, theirs);

    // One of another name than the credential's, with the client in it.
    hand_over(&ground, "login", ["CLIENT_ID", "CLIENT_SECRET"], id, &access).await;
    let uid = ground.get("secret", "login").await["metadata"]["uid"].clone();
    let spec = json!({ "secret": { "name": "login" } });
    ground.apply(&adopting_with(&ground, "web", id, "by-hand", &spec)).await;
    ground.wait_ready("web").await;
    let login = ground.get("secret", "login").await;
    assert_eq!(login["metadata"]["uid"], uid, "it was made anew");
    assert_eq!(login["metadata"]["annotations"]["meshagent.com/client-id"], id.as_str());
    assert!(ground.accepts(&login).await, "the credential in the Secret is not accepted");
    assert_eq!(changes(&ground).await, [0, 1, 0]);
}

#[tokio::test]
async fn an_adopter_leaves_its_client_unless_it_is_told_to_delete_it() {
    let ground = Ground::shared("leave").await;
    allow_adoption(&ground).await;
    let (kept, gone) = (made_by_hand(&ground).await, made_by_hand(&ground).await);
    let (kept_id, gone_id) = (&kept.client.client_id, &gone.client.client_id);
    hand_over(&ground, "by-hand", ["id", "secret"], gone_id, &gone).await;
    ground.apply(&adopting(&ground, "kept", kept_id, &json!({}))).await;
    let spec = json!({ "deletionPolicy": "Delete" });
    ground.apply(&adopting_with(&ground, "gone", gone_id, "by-hand", &spec)).await;
    ground.wait_ready("kept").await;
    ground.wait_ready("gone").await;
    ground.kubectl(&["delete", "maoc", "kept", "gone", "--timeout=60s"]).await;
    assert_eq!(ground.remote_ids().await, [kept_id.as_str()]);
    assert_eq!(remote(&ground).await[0].metadata["meshagent.com/retained"], "true");
    assert!(!ground.exists("secret", "gone-oauth").await, "its Secret is left");
    assert!(ground.exists("secret", "by-hand").await, "the Secret of a person was deleted");
    assert_eq!(ground.count("DELETE").await, 1);
    // Nobody manages the one that was left, so another OAuthClient may have it.
    ground.apply(&adopting(&ground, "heir", kept_id, &json!({}))).await;
    ground.wait_ready("heir").await;
    assert_eq!(ground.count("POST").await, 0);
}

#[tokio::test]
async fn an_adopted_client_that_is_gone_is_never_made_anew() {
    let ground = Ground::shared("gone").await;
    allow_adoption(&ground).await;
    let access = made_by_hand(&ground).await;
    let id = &access.client.client_id;
    hand_over(&ground, "by-hand", ["id", "secret"], id, &access).await;
    ground.apply(&adopting_with(&ground, "web", id, "by-hand", &json!({}))).await;
    ground.wait_ready("web").await;
    // Without the field in the spec, status and marker remember it.
    let removal = r#"[{"op":"remove","path":"/spec/adopt"}]"#;
    ground.kubectl(&["patch", "maoc", "web", "--type=json", "-p", removal]).await;
    ground.until("maoc", "web", "the edit is applied", |o| o["status"]["appliedGeneration"] == 2).await;
    ground.admin.delete_client(ground.project, id).await.unwrap();
    look(&ground, "web", "now-1").await;
    let said = until_said(&ground, "web", "False/AdoptedClientGone").await;
    assert_eq!(condition(&said, "Stalled"), "True/AdoptedClientGone");
    assert_eq!(ground.remote_ids().await, [""; 0]);
    assert_eq!(changes(&ground).await, [0, 1, 0]);
    ground.kubectl(&["delete", "maoc", "web", "--timeout=30s"]).await;
}

#[tokio::test]
async fn a_rotation_of_an_adopted_client_is_refused_by_an_event() {
    let ground = Ground::shared("norotate").await;
    allow_adoption(&ground).await;
    let access = made_by_hand(&ground).await;
    let id = &access.client.client_id;
    hand_over(&ground, "by-hand", ["id", "secret"], id, &access).await;
    ground.apply(&adopting_with(&ground, "web", id, "by-hand", &json!({}))).await;
    ground.wait_ready("web").await;
    ground.kubectl(&["annotate", "maoc", "web", "meshagent.com/rotate-requested-at=now-1"]).await;
    let handled = |object: &Value| object["status"]["lastHandledRotateAt"] == "now-1";
    let after = ground.until("maoc", "web", "the request is answered", handled).await;
    assert_eq!(condition(&after, "Ready"), "True/Ready");
    assert_eq!(after["status"]["clientId"], id.as_str());
    let events = harness::eventually(super::ground::LONG, "the Event is written", async || {
        let list = ["get", "events", "--field-selector", "involvedObject.name=web,type=Warning", "-o", "json"];
        let events: Value = serde_json::from_str(&ground.kubectl(&list).await).unwrap();
        if events["items"][0].is_object() { Ok(events) } else { Err("it is not") }
    })
    .await
    .unwrap();
    assert!(events["items"][0]["message"].to_string().contains("rotat"), "{}", events["items"][0]["message"]);
    assert_eq!(changes(&ground).await, [0, 1, 0]);
}

#[tokio::test]
async fn adopt_can_be_set_or_changed_only_while_there_is_no_client() {
    let ground = Ground::shared("late").await;
    allow_adoption(&ground).await;
    let id = made_by_hand(&ground).await.client.client_id;
    ground.apply(&ground.client("made", &json!({}))).await;
    ground.apply(&adopting(&ground, "adopted", &id, &json!({}))).await;
    ground.wait_ready("made").await;
    ground.wait_ready("adopted").await;
    for name in ["made", "adopted"] {
        let said = ground.refused(&adopting(&ground, name, "another", &json!({}))).await;
        assert!(said.contains("spec.adopt") && said.contains("create it anew"), "{name}: {said}");
    }
    let said = ground.refused(&adopting_with(&ground, "adopted", &id, "by-hand", &json!({}))).await;
    assert!(said.contains("spec.adopt"), "{said}");
    assert_eq!(changes(&ground).await, [1, 1, 0]);
}

#[tokio::test]
async fn to_adopt_costs_exactly_the_budget() {
    let audited = Audited::lay().await;
    let ground = &audited.ground;
    allow_adoption(ground).await;
    let (plain, given) = (made_by_hand(ground).await, made_by_hand(ground).await);
    let (plain_id, given_id) = (&plain.client.client_id, &given.client.client_id);
    hand_over(ground, "by-hand", ["id", "secret"], given_id, &given).await;
    let rest = [("GET", 1), ("PUT", 1)];

    audited.assert_cost("before", None, &[]).await;
    ground.apply(&adopting(ground, "plain", plain_id, &json!({}))).await;
    ground.wait_ready("plain").await;
    let writes = [("patch oauthclients", 1), ("patch oauthclients/status", 1)];
    audited.assert_cost("to adopt without a credential", Some(&rest), &writes).await;

    ground.apply(&adopting_with(ground, "given", given_id, "by-hand", &json!({}))).await;
    ground.wait_ready("given").await;
    let writes = [
        ("patch oauthclients", 1),
        ("create secrets (dry run)", 1),
        ("create secrets", 1),
        ("patch oauthclients/status", 1),
    ];
    audited.assert_cost("to adopt with its credential", Some(&rest), &writes).await;
}

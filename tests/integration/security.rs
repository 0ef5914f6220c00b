//! The security engineer.

use serde_json::{Value, json};

use super::ground::{Ground, condition, datum, message};

#[tokio::test]
async fn a_foreign_secret_is_a_conflict_and_never_touched() {
    let ground = Ground::shared("foreign").await;
    ground.kubectl(&["create", "secret", "generic", "db", "--from-literal=password=theirs"]).await;
    let version = |secret: Value| secret["metadata"]["resourceVersion"].clone();
    let before = version(ground.get("secret", "db").await);
    ground.apply(&ground.client("web", &json!({ "secret": { "name": "db" } }))).await;
    let client = ground
        .until("maoc", "web", "the conflict is said", |object| condition(object, "Ready") == "False/SecretConflict")
        .await;
    assert!(message(&client, "Ready").contains("delete that Secret"), "{}", message(&client, "Ready"));
    assert_eq!(ground.count("POST").await, 0);
    ground.kubectl(&["delete", "maoc", "web", "--timeout=30s"]).await;
    assert_eq!(version(ground.get("secret", "db").await), before);
}

#[tokio::test]
async fn metadata_that_is_the_operators_is_refused_as_extra_metadata() {
    let ground = Ground::shared("extra").await;
    let before = ground.calls().await.len();
    for key in ["name", "logo_url", "theme", "remove_powered_by_meshagent", "meshagent.com/uid"] {
        let said = ground.refused(&ground.client("web", &json!({ "extraMetadata": { key: "x" } }))).await;
        assert!(said.contains("extraMetadata"), "{key}: {said}");
    }
    assert_eq!(ground.calls().await.len(), before);
}

#[tokio::test]
async fn secret_and_key_are_in_the_secrets_data_and_nowhere_else() {
    let ground = Ground::own("leak", &[]).await;
    ground.apply(&ground.client("web", &json!({}))).await;
    ground.wait_ready("web").await;
    let first = datum(&ground.get("secret", "web-oauth").await, "CLIENT_SECRET");
    let client_id = ground.get("maoc", "web").await["status"]["clientId"].clone();
    ground.kubectl(&["delete", "secret", "web-oauth"]).await;
    ground.until("maoc", "web", "it is replaced", |object| object["status"]["clientId"] != client_id).await;
    // A failure, too: the foreign Secret of another client.
    ground.kubectl(&["create", "secret", "generic", "taken"]).await;
    ground.apply(&ground.client("other", &json!({ "secret": { "name": "taken" } }))).await;
    ground.until("maoc", "other", "the conflict is said", |o| condition(o, "Ready").starts_with("False")).await;

    let secret = ground.get("secret", "web-oauth").await;
    let second = datum(&secret, "CLIENT_SECRET");
    let args = ["get", "secret", "-n", super::ground::SYSTEM, "-o", "json", &ground.project_name];
    let key = datum(&serde_json::from_str(&ground.kubectl.run(&args).await.unwrap()).unwrap(), "key");
    let mut metadata_alone = secret.clone();
    metadata_alone["data"] = Value::Null;
    let log = ground.operator.as_ref().unwrap().process().log();
    assert!(log.contains("controllers start"), "this is not the operator's log");
    let searched = [
        ("the log", log),
        ("objects", ground.kubectl(&["get", "maoc,events", "-o", "json", "--show-managed-fields"]).await),
        ("projects", ground.kubectl.run(&["get", "cmaproj", "-o", "json", "--show-managed-fields"]).await.unwrap()),
        ("the Secret's metadata", metadata_alone.to_string()),
    ];
    for (place, text) in searched {
        for (what, value) in [("the first secret", &first), ("the second secret", &second), ("the key", &key)] {
            assert!(value.len() > 20, "{what} was not read");
            assert!(!text.contains(value.as_str()), "{what} is in {place}");
        }
    }
    assert!(datum(&secret, "CLIENT_SECRET").contains(&second), "the control finds it");
}

//! Bad input: refused with the field and the fix, by the schema and, where a schema was loosened, by the operator.

use harness::Options;
use serde_json::{Value, json};

use super::ground::{Ground, condition, message};

/// What is refused, and a word of the message.
fn refused() -> Vec<(&'static str, Value, &'static str)> {
    vec![
        ("fragment", json!({ "redirectUris": ["https://a.example/#f"] }), "redirectUris"),
        ("javascript", json!({ "redirectUris": ["javascript:alert(1)"] }), "redirectUris"),
        ("relative", json!({ "redirectUris": ["/callback"] }), "redirectUris"),
        ("no-uri", json!({ "redirectUris": [] }), "redirectUris"),
        ("grant", json!({ "grantTypes": ["password"] }), "grantTypes"),
        ("response", json!({ "responseTypes": ["cookie"] }), "responseTypes"),
        ("scope", json!({ "scopes": ["two words"] }), "scopes"),
        ("logo", json!({ "branding": { "logoUrl": "ftp://a.example/logo.png" } }), "logoUrl"),
        ("theme", json!({ "branding": { "theme": "pink" } }), "theme"),
        ("metadata", json!({ "extraMetadata": { "name": "x" } }), "extraMetadata"),
        ("marker", json!({ "extraMetadata": { "meshagent.com/uid": "x" } }), "extraMetadata"),
        ("secret", json!({ "secret": { "name": "Not A Name" } }), "secret"),
        ("same-keys", json!({ "secret": { "keys": { "clientId": "A", "clientSecret": "A" } } }), "keys"),
    ]
}

#[tokio::test]
async fn the_schema_refuses_each_and_names_the_field() {
    let ground = Ground::shared("schema").await;
    for (name, spec, field) in refused() {
        let said = ground.refused(&ground.client(name, &spec)).await;
        assert!(said.contains(field), "{name}: {field} in {said}");
    }
    let kind = json!({ "projectRef": { "kind": "Project", "name": "x" } });
    assert!(ground.refused(&ground.client("kind", &kind)).await.contains("kind"));
    let many: Vec<String> = (0..1000).map(|n| format!("https://a.example/{n}")).collect();
    assert!(ground.refused(&ground.client("many", &json!({ "redirectUris": many }))).await.contains("100"));
}

#[tokio::test]
async fn what_must_not_change_is_refused_and_says_so() {
    let ground = Ground::shared("immutable").await;
    ground.apply(&ground.client("web", &json!({}))).await;
    ground.wait_ready("web").await;
    let changes = [
        (json!({ "secret": { "name": "other" } }), "secret.name"),
        (json!({ "secret": { "keys": { "clientId": "OTHER" } } }), "keys"),
        (json!({ "projectRef": { "kind": "ClusterMeshAgentProject", "name": "other" } }), "projectRef"),
    ];
    for (spec, field) in changes {
        let said = ground.refused(&ground.client("web", &spec)).await;
        assert!(said.contains(field), "{field} in {said}");
    }
    // Saying the default is no change.
    ground.apply(&ground.client("web", &json!({ "secret": { "keys": { "clientId": "CLIENT_ID" } } }))).await;
}

/// Takes everything out of a schema that refuses values.
fn loosen(value: &mut Value) {
    match value {
        Value::Object(fields) => {
            for rule in
                ["x-kubernetes-validations", "pattern", "enum", "maxLength", "minLength", "maxItems", "minItems"]
            {
                fields.remove(rule);
            }
            fields.values_mut().for_each(loosen);
        }
        Value::Array(items) => items.iter_mut().for_each(loosen),
        Value::Null | Value::Bool(_) | Value::Number(_) | Value::String(_) => {}
    }
}

#[tokio::test]
async fn the_operator_refuses_each_again_where_the_schema_was_loosened() {
    let ground = Ground::own_with("loose", &[], Options::default(), &json!({})).await;
    let mut crd = serde_json::from_str(
        &ground.kubectl.run(&["get", "crd", "oauthclients.meshagent.com", "-o", "json"]).await.unwrap(),
    )
    .unwrap();
    loosen(&mut crd);
    ground.kubectl.run_with_input(&["replace", "-f", "-"], &Value::to_string(&crd)).await.unwrap();
    harness::eventually(super::ground::LONG, "the loosened schema is served", async || {
        let probe = ground.client("probe", &json!({ "grantTypes": ["password"] })).to_string();
        let output = ground.kubectl.try_run(&["apply", "--dry-run=server", "-f", "-"], &probe).await.unwrap();
        if output.status.success() { Ok(()) } else { Err(output.stderr) }
    })
    .await
    .unwrap();
    for (name, spec, field) in refused() {
        ground.apply(&ground.client(name, &spec)).await;
        let client = ground
            .until("maoc", name, "it is refused", |object| condition(object, "Ready") == "False/InvalidSpec")
            .await;
        assert!(condition(&client, "Stalled").starts_with("True"));
        assert!(message(&client, "Ready").contains(field), "{name}: {field} in {}", message(&client, "Ready"));
    }
    let written = ground.calls().await.into_iter().filter(|call| call.method != "GET").count();
    assert_eq!(written, 0);
    ground.apply(&ground.client("fragment", &json!({}))).await;
    ground.wait_ready("fragment").await;
    assert_eq!(ground.count("POST").await, 1);
}

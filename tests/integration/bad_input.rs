//! Bad input: refused with the field and the fix, by the schema and, where a schema was loosened, by the operator.

use harness::Options;
use serde_json::{Value, json};

use super::ground::{Ground, condition, message};

/// Input that is refused: its name, the spec, and what is said of it: the field, and the fix by schema and operator.
struct Refused(&'static str, Value, &'static str, [&'static str; 2]);

fn refused() -> Vec<Refused> {
    let words = |schema, operator| [schema, operator];
    let both = |fix| [fix, fix];
    let uri = |uri: &str| json!({ "redirectUris": [uri] });
    let more = |key: &str| json!({ "extraMetadata": { key: "x" } });
    let absolute = words("write the whole URI", "write the whole URI");
    let alike = json!({ "secret": { "keys": { "clientId": "A", "clientSecret": "A" } } });
    vec![
        Refused("fragment", uri("https://a.example/#f"), "redirectUris", both("remove the #")),
        Refused("javascript", uri("javascript:alert(1)"), "redirectUris", absolute),
        Refused("data", uri("data:text/html,x"), "redirectUris", absolute),
        Refused("relative", uri("/callback"), "redirectUris", absolute),
        Refused("no-host", uri("https://"), "redirectUris", both("write it like https://app.example.com/callback")),
        Refused("user", uri("https://a@b.example/cb"), "redirectUris", both("remove what stands between // and @")),
        Refused("no-uri", json!({ "redirectUris": [] }), "redirectUris", both("add a redirect URI")),
        Refused("no-grant", json!({ "grantTypes": [] }), "grantTypes", both("leave the field out")),
        Refused("grant", json!({ "grantTypes": ["password"] }), "grantTypes", both("authorization_code")),
        Refused("response", json!({ "responseTypes": ["cookie"] }), "responseTypes", both("id_token")),
        Refused("scope", json!({ "scopes": ["two words"] }), "scopes", both("an item of its own")),
        Refused("shown", json!({ "displayName": "two\nlines" }), "displayName", both("remove them")),
        Refused("logo", json!({ "branding": { "logoUrl": "ftp://a.example/x" } }), "logoUrl", both("write it like")),
        Refused("theme", json!({ "branding": { "theme": "pink" } }), "theme", both("auto")),
        Refused("metadata", more("name"), "extraMetadata", both("use displayName instead")),
        Refused("branding", more("logo_url"), "extraMetadata", both("use branding instead")),
        Refused("marker", more("meshagent.com/uid"), "extraMetadata", words("another prefix", "does not begin with")),
        Refused("secret", json!({ "secret": { "name": "Not A Name" } }), "secret.name", both("use lower case letters")),
        Refused(
            "data-key",
            json!({ "secret": { "keys": { "scopes": "a b" } } }),
            "scopes",
            both("use letters, digits"),
        ),
        Refused("same-keys", alike, "keys", both("different names")),
        Refused(
            "kind",
            json!({ "projectRef": { "kind": "Project", "name": "x" } }),
            "kind",
            both("ClusterMeshAgentProject"),
        ),
    ]
}

#[tokio::test]
async fn the_schema_refuses_each_and_names_the_field() {
    let ground = Ground::shared("schema").await;
    for Refused(name, spec, field, [fix, _]) in refused() {
        let said = ground.refused(&ground.client(name, &spec)).await;
        assert!(said.contains(field) && said.contains(fix), "{name}: {field} and {fix} in {said}");
    }
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
    for Refused(name, spec, field, [_, fix]) in refused() {
        ground.apply(&ground.client(name, &spec)).await;
        let client = ground
            .until("maoc", name, "it is refused", |object| condition(object, "Ready") == "False/InvalidSpec")
            .await;
        assert!(condition(&client, "Stalled").starts_with("True"));
        let said = message(&client, "Ready");
        assert!(said.contains(field) && said.contains(fix), "{name}: {field} and {fix} in {said}");
    }
    let written = ground.calls().await.into_iter().filter(|call| call.method != "GET").count();
    assert_eq!(written, 0);
    ground.apply(&ground.client("fragment", &json!({}))).await;
    ground.wait_ready("fragment").await;
    assert_eq!(ground.count("POST").await, 1);
}

//! Bad input: refused with the field and the fix, by the schema and, where a schema was loosened, by the operator.

use harness::Options;
use serde_json::{Value, json};

use super::fixture::{Fixture, condition, message};

/// Input that is refused: its name, the spec, and what is said of it: the field, and the fix by schema and operator.
struct Refused(&'static str, Value, &'static str, [&'static str; 2]);

fn refused() -> Vec<Refused> {
    let words = |schema, operator| [schema, operator];
    let both = |fix| [fix, fix];
    let uri = |uri: &str| json!({ "redirectUris": [uri] });
    let more = |key: &str| json!({ "extraMetadata": { key: "x" } });
    let alike = json!({ "secret": { "keys": { "clientId": "A", "clientSecret": "A" } } });
    vec![
        Refused("fragment", uri("https://a.example/#f"), "redirectUris", both("remove the #")),
        Refused("javascript", uri("JavaScript:alert(1)"), "redirectUris", both("a scheme of its own")),
        Refused("data", uri("data:text/html,x"), "redirectUris", both("a scheme of its own")),
        Refused("relative", uri("/callback"), "redirectUris", both("write the whole URI")),
        Refused("no-host", uri("https://"), "redirectUris", both("write it like https://app.example.com/callback")),
        Refused("user", uri("https://a@b.example/cb"), "redirectUris", both("remove what stands between // and @")),
        Refused("port", uri("http://127.0.0.1:99999/cb"), "redirectUris", both("write another port")),
        Refused("host", uri("https://a..example/cb"), "redirectUris", both("single dots")),
        Refused("percent", uri("https://a.example/%"), "redirectUris", both("as %25")),
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
        Refused("policy", json!({ "deletionPolicy": "Orphan" }), "deletionPolicy", both("Retain")),
        Refused("on-loss", json!({ "onCredentialLoss": "Ignore" }), "onCredentialLoss", both("Block")),
        Refused("restart", json!({ "rollout": { "restart": "All" } }), "rollout.restart", both("Injected")),
        Refused(
            "overlap",
            json!({ "rotation": { "overlap": "1 day" } }),
            "rotation.overlap",
            both("30s, 15m, 12h or 90d"),
        ),
        Refused(
            "kind",
            json!({ "projectRef": { "kind": "Project", "name": "x" } }),
            "kind",
            both("ClusterMeshAgentProject"),
        ),
    ]
    .into_iter()
    .chain(refused_of_the_secret())
    .chain(refused_of_adoption())
    .collect()
}

/// Metadata and types of a Secret that are refused, because they have effects of their own.
fn refused_of_the_secret() -> Vec<Refused> {
    let both = |fix| [fix, fix];
    let secret = |field: &str, value: Value| json!({ "secret": { field: value } });
    let type_ = |type_: &str| secret("type", json!(type_));
    let label = |key: &str, value: &str| secret("labels", json!({ key: value }));
    let annotation = |key: &str| secret("annotations", json!({ key: "x" }));
    let (other_type, other_prefix) = (both("leave it out for Opaque"), both("choose another prefix"));
    let account = json!({ "secret": {
        "type": "kubernetes.io/service-account-token",
        "annotations": { "kubernetes.io/service-account.name": "default" },
    } });
    vec![
        Refused("account-token", account, "secret.type", other_type),
        Refused("bootstrap-token", type_("bootstrap.kubernetes.io/token"), "secret.type", other_type),
        Refused("tls", type_("kubernetes.io/tls"), "secret.type", other_type),
        Refused("helm", type_("helm.sh/release.v1"), "secret.type", other_type),
        Refused("no-type", type_(""), "secret.type", other_type),
        Refused("label-kubernetes", label("kubernetes.io/x", ""), "secret.labels", other_prefix),
        Refused("label-own", label("meshagent.com/oauth-client", "x"), "secret.labels", other_prefix),
        Refused("label-form", label("a b", ""), "secret.labels", both("use letters, digits")),
        Refused("label-value", label("tier", "a b"), "secret.labels", both("letters, digits")),
        Refused("instance", label("app.kubernetes.io/instance", "x"), "secret.labels", both("choose another label")),
        Refused(
            "managed-by",
            label("app.kubernetes.io/managed-by", "x"),
            "secret.labels",
            both("choose another label"),
        ),
        Refused("note-kubernetes", annotation("kubernetes.io/x"), "secret.annotations", other_prefix),
        Refused("note-own", annotation("meshagent.com/owner-uid"), "secret.annotations", other_prefix),
        Refused("note-form", annotation("/x"), "secret.annotations", both("use letters, digits")),
    ]
}

fn refused_of_adoption() -> Vec<Refused> {
    let words = |schema, operator| [schema, operator];
    let adopt =
        |id: &str, secret: &str| json!({ "adopt": { "clientId": id, "credentialSecretRef": { "name": secret } } });
    let (nobody, copy) = (json!({ "adopt": {} }), "copy it from MeshAgent Studio");
    vec![
        Refused("adopt-nobody", nobody, "adopt.clientId", words("Required value", copy)),
        Refused("adopt-empty", adopt("", "given"), "adopt.clientId", words(copy, copy)),
        Refused("adopt-spaces", adopt("a b", "given"), "adopt.clientId", words(copy, copy)),
        Refused("adopt-name", adopt("x", "No Name"), "credentialSecretRef.name", words("lower case", "lower case")),
    ]
}

#[tokio::test]
async fn the_schema_refuses_each_and_names_the_field() {
    let fixture = Fixture::shared("schema").await;
    let calls = fixture.calls().await;
    for Refused(name, spec, field, [fix, _]) in refused() {
        let said = fixture.refused(&fixture.client(name, &spec)).await;
        assert!(said.contains(field) && said.contains(fix), "{name}: {field} and {fix} in {said}");
    }
    let many: Vec<String> = (0..1000).map(|n| format!("https://a.example/{n}")).collect();
    assert!(fixture.refused(&fixture.client("many", &json!({ "redirectUris": many }))).await.contains("100"));
    assert_eq!(fixture.kubectl(&["get", "maoc", "-o", "name"]).await, "");
    assert_eq!(fixture.calls().await, calls);
}

#[tokio::test]
async fn what_must_not_change_is_refused_and_says_so() {
    let fixture = Fixture::shared("immutable").await;
    fixture.apply(&fixture.client("web", &json!({}))).await;
    fixture.wait_ready("web").await;
    let changes = [
        (json!({ "secret": { "type": "example.com/oauth" } }), "secret.type"),
        (json!({ "adopt": { "clientId": "x" } }), "spec.adopt"),
        (json!({ "projectRef": { "kind": "ClusterMeshAgentProject", "name": "other" } }), "projectRef"),
    ];
    for (spec, field) in changes {
        let said = fixture.refused(&fixture.client("web", &spec)).await;
        assert!(said.contains(field), "{field} in {said}");
    }
    // Saying the default is no change.
    fixture.apply(&fixture.client("web", &json!({ "secret": { "type": "Opaque" } }))).await;
}

/// Takes everything out of a schema that refuses values.
fn loosen(value: &mut Value) {
    match value {
        Value::Object(fields) => {
            let bounds =
                ["pattern", "enum", "maxLength", "minLength", "maxItems", "minItems", "maxProperties", "minProperties"];
            for rule in bounds.into_iter().chain(["x-kubernetes-validations"]) {
                fields.remove(rule);
            }
            // The required fields of a condition stay, without which the list of conditions has no keys.
            if fields.get("required") == Some(&json!(["clientId"])) {
                fields.remove("required");
            }
            fields.values_mut().for_each(loosen);
        }
        Value::Array(items) => items.iter_mut().for_each(loosen),
        Value::Null | Value::Bool(_) | Value::Number(_) | Value::String(_) => {}
    }
}

/// Serves a CRD without the rules that refuse values; `probe` is accepted only then.
async fn serve_loosened(fixture: &Fixture, crd: &str, probe: &Value) {
    let mut crd =
        serde_json::from_str(&fixture.kubectl.run(&["get", "crd", crd, "-o", "json"]).await.unwrap()).unwrap();
    loosen(&mut crd);
    fixture.kubectl.run_with_input(&["replace", "-f", "-"], &Value::to_string(&crd)).await.unwrap();
    harness::eventually(super::fixture::LONG, "the loosened schema is served", async || {
        let args = ["apply", "--dry-run=server", "-f", "-"];
        let output = fixture.kubectl.try_run(&args, &probe.to_string()).await.unwrap();
        if output.status.success() { Ok(()) } else { Err(output.stderr) }
    })
    .await
    .unwrap();
}

#[tokio::test]
async fn the_operator_refuses_each_again_where_the_schema_was_loosened() {
    let fixture = Fixture::own_with("loose", &[], Options::default(), &json!({})).await;
    let probe = fixture.client("probe", &json!({ "grantTypes": ["password"] }));
    serve_loosened(&fixture, "oauthclients.meshagent.com", &probe).await;
    for Refused(name, spec, field, [_, fix]) in refused() {
        fixture.apply(&fixture.client(name, &spec)).await;
        let client = fixture
            .until("maoc", name, "it is refused", |object| condition(object, "Ready") == "False/InvalidSpec")
            .await;
        assert!(condition(&client, "Stalled").starts_with("True"));
        let said = message(&client, "Ready");
        assert!(said.contains(field) && said.contains(fix), "{name}: {field} and {fix} in {said}");
    }
    let written = fixture.calls().await.into_iter().filter(|call| call.method != "GET").count();
    assert_eq!(written, 0);
    fixture.apply(&fixture.client("fragment", &json!({}))).await;
    fixture.wait_ready("fragment").await;
    assert_eq!(fixture.count("POST").await, 1);
    unreadable_selectors_allow_nobody(&fixture).await;
}

/// Selectors that would allow every namespace if what cannot be read were passed over: the selector, and what is said.
fn unreadable_selectors() -> [(Value, &'static str); 4] {
    let expression =
        |operator: &str| json!({ "matchExpressions": [{ "key": "env", "operator": operator, "values": [] }] });
    [
        (expression("NotIn"), "add values, or change the operator"),
        (expression("In"), "add values, or change the operator"),
        (expression("in"), "DoesNotExist"),
        (json!({ "matchLabels": {} }), "write selector: {} for all"),
    ]
}

fn allowing(fixture: &Fixture, selector: &Value) -> Value {
    fixture.project_manifest(&json!({ "allowedNamespaces": { "selector": selector } }))
}

/// F4.
#[tokio::test]
async fn a_selector_that_cannot_be_read_is_refused_where_it_is_written() {
    let fixture = Fixture::shared("selectors").await;
    for (selector, fix) in unreadable_selectors() {
        let said = fixture.refused(&allowing(&fixture, &selector)).await;
        assert!(said.contains("spec.allowedNamespaces.selector") && said.contains(fix), "{selector}: {fix} in {said}");
    }
}

/// F4: the project says what is wrong, and its namespaces get nothing.
async fn unreadable_selectors_allow_nobody(fixture: &Fixture) {
    let probe = allowing(fixture, &unreadable_selectors()[0].0);
    serve_loosened(fixture, "clustermeshagentprojects.meshagent.com", &probe).await;
    // The schema lets a misspelt field through in any case, so that the operator sees it.
    let misspelt = (json!({ "matchLabel": { "env": "prod" } }), "write matchLabels or matchExpressions");
    for (selector, fix) in unreadable_selectors().into_iter().chain([misspelt]) {
        fixture.apply(&allowing(fixture, &selector)).await;
        let what = format!("{selector} is refused");
        fixture
            .until("cmaproj", &fixture.project_name, &what, |object| {
                let said = message(object, "Ready");
                condition(object, "Ready") == "False/InvalidSpec" && said.contains("selector") && said.contains(fix)
            })
            .await;
    }
    fixture.apply(&fixture.client("late", &json!({}))).await;
    fixture.until("maoc", "late", "it waits", |object| condition(object, "Ready").starts_with("False/")).await;
    assert_eq!(fixture.count("POST").await, 1);
}

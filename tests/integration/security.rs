//! The security engineer.

use std::collections::BTreeMap;

use base64::Engine;
use harness::{Operator, free_port};
use serde_json::{Value, json};
use simulator::admin::{Fault, FaultRule, Malformed, Route};

use super::fixture::{Fixture, LONG, OPERATOR, SYSTEM, condition, datum, message, start_operator_with};

#[tokio::test]
async fn a_foreign_secret_is_a_conflict_and_never_touched() {
    let fixture = Fixture::shared("foreign").await;
    fixture.kubectl(&["create", "secret", "generic", "db", "--from-literal=password=theirs"]).await;
    let before = fixture.get("secret", "db").await;
    fixture.apply(&fixture.client("web", &json!({ "secret": { "name": "db" } }))).await;
    let client = fixture
        .until("maoc", "web", "the conflict is said", |object| condition(object, "Ready") == "False/SecretConflict")
        .await;
    assert_eq!(condition(&client, "Stalled"), "True/SecretConflict");
    assert!(message(&client, "Ready").contains("delete that Secret"), "{}", message(&client, "Ready"));
    assert_eq!(fixture.get("secret", "db").await, before);
    fixture.kubectl(&["delete", "maoc", "web", "--timeout=30s"]).await;
    assert_eq!(fixture.get("secret", "db").await, before);
    let written: Vec<_> = fixture.calls().await.into_iter().filter(|call| call.method != "GET").collect();
    assert_eq!(written, []);
}

#[tokio::test]
async fn metadata_that_is_the_operators_is_refused_as_extra_metadata() {
    let fixture = Fixture::shared("extra").await;
    let calls = fixture.calls().await;
    let refused = [
        ("name", "use displayName instead"),
        ("logo_url", "use branding instead"),
        ("theme", "use branding instead"),
        ("remove_powered_by_meshagent", "use branding instead"),
        ("meshagent.com/uid", "choose another prefix"),
        ("meshagent.com/whatever", "choose another prefix"),
    ];
    for (key, fix) in refused {
        let said = fixture.refused(&fixture.client("web", &json!({ "extraMetadata": { key: "x" } }))).await;
        assert!(said.contains("spec.extraMetadata: ") && said.contains(fix), "{key}: {said}");
    }
    assert_eq!(fixture.kubectl(&["get", "maoc", "-o", "name"]).await, "");
    assert_eq!(fixture.calls().await, calls);
}

#[tokio::test]
async fn the_operator_has_no_right_to_everything() {
    let fixture = Fixture::shared("rights").await;
    for namespace in [SYSTEM, fixture.ns()] {
        let listed =
            fixture.kubectl.run(&["auth", "can-i", "--list", "-n", namespace, "--as", OPERATOR]).await.unwrap();
        // Lines that begin with a space are about URLs, which everybody may read.
        let rules: Vec<_> = listed.lines().skip(1).filter(|line| !line.starts_with(' ')).collect();
        assert!(rules.iter().any(|rule| rule.starts_with("oauthclients.meshagent.com/status")), "{listed}");
        assert_eq!(rules.iter().filter(|rule| rule.contains('*')).count(), 0, "{listed}");
        assert_eq!(rules.iter().any(|rule| rule.starts_with("leases")), namespace == SYSTEM, "{listed}");
    }
}

#[tokio::test]
async fn whoever_edits_a_namespace_declares_clients_and_whoever_views_it_reads_them() {
    let fixture = Fixture::shared("roles").await;
    let bind = async |user: &str, role: &str| {
        let (user, role) = (format!("--user={user}"), format!("--clusterrole={role}"));
        fixture.kubectl(&["create", "rolebinding", role.trim_start_matches("--clusterrole="), &user, &role]).await;
    };
    bind("dev", "edit").await;
    bind("viewer", "view").await;
    let can = async |user: &str, verb: &str, what: &str, namespace: &str| {
        let args = ["auth", "can-i", verb, what, "-n", namespace, "--as", user];
        fixture.kubectl.try_run(&args, "").await.unwrap().stdout.trim() == "yes"
    };
    harness::eventually(LONG, "the roles are aggregated", async || {
        if can("dev", "create", "maoc", fixture.ns()).await { Ok(()) } else { Err("they are not") }
    })
    .await
    .unwrap();
    for verb in ["get", "list", "watch", "update", "patch", "delete"] {
        assert!(can("dev", verb, "maoc", fixture.ns()).await, "{verb}");
    }
    assert!(can("dev", "create", "maproj", fixture.ns()).await);
    assert!(can("viewer", "get", "maoc", fixture.ns()).await);
    assert!(!can("viewer", "create", "maoc", fixture.ns()).await);
    for user in ["dev", "viewer"] {
        assert!(!can(user, "get", &format!("secret/{}", fixture.project_name), SYSTEM).await, "{user} reads the key");
    }
}

/// Values that must be in one place only. Not `Debug`: a failing test must not print them.
#[derive(Default)]
struct Secrets(Vec<String>);

impl Secrets {
    fn add(&mut self, value: String) {
        // A value that is empty or short is found everywhere, or shows that nothing was read.
        assert!(value.len() > 20, "this is no secret");
        self.0.push(value);
    }

    /// How many of them a text holds, as they are or in one of the forms that Kubernetes and HTTP give them.
    fn in_text(&self, text: &str) -> usize {
        let forms = |value: &String| {
            let base64 = base64::engine::general_purpose::STANDARD.encode(value);
            let form_encoded = url::form_urlencoded::byte_serialize(value.as_bytes()).collect::<String>();
            [value.clone(), base64, form_encoded]
        };
        self.0.iter().filter(|value| forms(value).iter().any(|form| text.contains(form.as_str()))).count()
    }
}

/// The beginning of every client secret of the simulator, as it is and in base64: it finds those too that the test has
/// not read, because they were in an answer that was cut off.
const BEGINNINGS: [&str; 2] = ["mas-", "bWFz"];

/// The life of clients, from a first to a last day, with all that can go wrong on the way. Collects each secret, and
/// returns the last object that failed.
async fn a_whole_life(fixture: &Fixture, prefix: &str, key: &str, secrets: &mut Secrets) -> Value {
    let name = |what: &str| format!("{prefix}-{what}");
    let (lost, altered) = (name("lost"), name("altered"));
    let secret_of = async |client: &str| fixture.get("secret", &format!("{client}-oauth")).await;
    for client in [&lost, &altered] {
        fixture.apply(&fixture.client(client, &json!({}))).await;
        fixture.wait_ready(client).await;
        secrets.add(datum(&secret_of(client).await, "CLIENT_SECRET"));
    }
    let replaced = async |client: &str, how: &[&str]| {
        let former = fixture.get("maoc", client).await["status"]["clientId"].clone();
        fixture.kubectl(how).await;
        fixture.until("maoc", client, "it is replaced", |object| object["status"]["clientId"] != former).await;
        datum(&secret_of(client).await, "CLIENT_SECRET")
    };
    secrets.add(replaced(&lost, &["delete", "secret", &format!("{lost}-oauth")]).await);
    let by_hand = "mas-altered-by-hand+0123456789/abcdef==";
    secrets.add(by_hand.to_owned());
    let patch = json!({ "stringData": { "CLIENT_SECRET": by_hand } }).to_string();
    secrets.add(replaced(&altered, &["patch", "secret", &format!("{altered}-oauth"), "-p", &patch]).await);

    // Answers that hold a secret and cannot be read.
    for (n, fault) in [
        Fault::Malformed { form: Malformed::BrokenJson },
        Fault::Malformed { form: Malformed::NoId },
        Fault::Truncate {},
    ]
    .into_iter()
    .enumerate()
    {
        strike(fixture, fault).await;
        let client = name(&format!("unreadable{n}"));
        fixture.apply(&fixture.client(&client, &json!({}))).await;
        fixture.wait_ready(&client).await;
        secrets.add(datum(&secret_of(&client).await, "CLIENT_SECRET"));
    }
    fixture.kubectl(&["delete", "maoc", &lost, "--timeout=60s"]).await;
    let quoted = datum(&secret_of(&altered).await, "CLIENT_SECRET");
    refused_with_a_quotation(fixture, &name("refused"), key, &quoted).await
}

/// Applies a client that the server refuses, quoting what it was sent and what it should not say; returns the object as
/// it was then.
async fn refused_with_a_quotation(fixture: &Fixture, name: &str, key: &str, secret: &str) -> Value {
    let body = json!({ "message": format!("key {key} is not for this; client_secret={secret} is not either") });
    let quoting = Fault::Status { status: 400, body: Some(body), headers: BTreeMap::default(), commit: false };
    let rule = FaultRule::on(Route::ClientsCreate, quoting).in_project(fixture.project);
    let fault = fixture.admin.fault(&rule).await.unwrap();
    fixture.apply(&fixture.client(name, &json!({}))).await;
    let refused = fixture
        .until("maoc", name, "it is refused", |object| condition(object, "Ready") == "False/RejectedByAPI")
        .await;
    assert!(message(&refused, "Ready").contains("key [redacted] is not for this"), "the answer was not read");
    fixture.kubectl(&["delete", "maoc", name, "--timeout=60s"]).await;
    fixture.admin.remove_fault(fault.id).await.unwrap();
    refused
}

/// Lets a fault strike the next POST.
async fn strike(fixture: &Fixture, fault: Fault) {
    let rule = FaultRule::on(Route::ClientsCreate, fault).times(1).in_project(fixture.project);
    fixture.admin.fault(&rule).await.unwrap();
}

/// An operator that logs all that it can, as JSON, and the address of its metrics.
fn start_talkative_operator(fixture: &Fixture) -> (Operator, String) {
    let address = format!("127.0.0.1:{}", free_port().unwrap());
    let args = ["--http-address", &address, "--log-level", "trace", "--log-format", "json"];
    (start_operator_with(fixture.control_plane.get(), &args), address)
}

/// The key of the project, as its Secret has it.
async fn key(fixture: &Fixture) -> String {
    let args = ["get", "secret", "-n", SYSTEM, "-o", "json", &fixture.project_name];
    datum(&serde_json::from_str(&fixture.kubectl.run(&args).await.unwrap()).unwrap(), "key")
}

/// Gives the project a key that MeshAgent does not know, while its server quotes the one that it was sent.
async fn revoke_the_key(fixture: &Fixture, secrets: &mut Secrets) {
    let access = fixture.admin.create_key(fixture.project, &[]).await.unwrap();
    fixture.admin.revoke_key(access.key.key_id).await.unwrap();
    secrets.add(access.api_key.expose().to_owned());
    let body = json!(format!("Authorization: Bearer {} is not known", access.api_key.expose()));
    let quoting = Fault::Status { status: 401, body: Some(body), headers: BTreeMap::default(), commit: false };
    let rule = FaultRule::on(Route::ClientsList, quoting).in_project(fixture.project);
    fixture.admin.fault(&rule).await.unwrap();
    fixture.put_key(access.api_key.expose()).await;
    fixture
        .until("cmaproj", &fixture.project_name, "the key is refused", |o| {
            condition(o, "Ready") == "False/AuthenticationFailed"
        })
        .await;
}

/// The Secrets of this test's namespace, with and without their data.
async fn secrets_with_and_without_data(fixture: &Fixture) -> (String, String) {
    let text = fixture.kubectl(&["get", "secrets", "-o", "json", "--show-managed-fields"]).await;
    let mut list: Value = serde_json::from_str(&text).unwrap();
    for secret in list["items"].as_array_mut().unwrap() {
        secret.as_object_mut().unwrap().remove("data");
    }
    (text, list.to_string())
}

#[tokio::test]
async fn secret_and_key_are_in_the_secrets_data_and_nowhere_else() {
    let mut fixture = Fixture::own("leak", &[]).await;
    let (mut secrets, key) = (Secrets::default(), key(&fixture).await);
    secrets.add(key.clone());
    let first_refused = a_whole_life(&fixture, "text", &key, &mut secrets).await;
    let first_log = fixture.stop_operator().await.process().log();
    let (operator, address) = start_talkative_operator(&fixture);
    let second_refused = a_whole_life(&fixture, "json", &key, &mut secrets).await;
    revoke_the_key(&fixture, &mut secrets).await;

    let metrics = reqwest::get(format!("http://{address}/metrics")).await.unwrap().text().await.unwrap();
    let (secrets_whole, secrets_metadata) = secrets_with_and_without_data(&fixture).await;
    let of_kind = async |kinds: &str| {
        fixture.kubectl.run(&["get", kinds, "-A", "-o", "json", "--show-managed-fields"]).await.unwrap()
    };
    // Each place has a text that shows that it is what it is called.
    let places = [
        ("the first log", first_log, "controllers start"),
        ("the second log", operator.process().log(), "controllers start"),
        ("OAuthClients", of_kind("maoc").await, "credentialDigest"),
        ("the first that was refused", first_refused.to_string(), "RejectedByAPI"),
        ("the second that was refused", second_refused.to_string(), "RejectedByAPI"),
        ("projects", of_kind("cmaproj").await, "AuthenticationFailed"),
        ("events", of_kind("events").await, "CredentialReplaced"),
        ("the Secrets' metadata", secrets_metadata, "meshagent.com/client-id"),
        ("metrics", metrics, "meshagent_operator_"),
    ];
    for (place, text, wanted) in &places {
        assert!(text.contains(wanted), "{place}: these are not they");
    }
    let found = places.each_ref().map(|(place, text, _)| {
        let begun = BEGINNINGS.iter().filter(|beginning| text.contains(**beginning)).count();
        (*place, secrets.in_text(text) + begun)
    });
    assert_eq!(found, places.each_ref().map(|(place, _, _)| (*place, 0)));

    // The control: the same search finds what is there. Of each life the Secrets of four clients are left.
    assert_eq!(secrets.in_text(&secrets_whole), 8);
    assert!(secrets_whole.contains(BEGINNINGS[1]));
}

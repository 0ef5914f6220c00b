//! Projects: keys, ids, namespaces, and a server that says no.

use serde_json::{Value, json};
use simulator::admin::Settings;
use simulator::fault::{Fault, FaultRule, RouteMatch};
use simulator::state::Role;

use super::fixture::{Fixture, SYSTEM, condition, message};
use super::tls::{Terminator, authority};

pub async fn until_project(fixture: &Fixture, wanted: &str) -> Value {
    let what = format!("the project is {wanted}");
    fixture.until("cmaproj", &fixture.project_name, &what, |object| condition(object, "Ready") == wanted).await
}

/// Gives the project another key, upon which the operator lists the clients.
pub async fn change_key(fixture: &Fixture, roles: &[Role]) -> uuid::Uuid {
    let access = fixture.admin.create_key(fixture.project, roles).await.unwrap();
    fixture.put_key(access.api_key.expose()).await;
    access.key.key_id
}

#[tokio::test]
async fn a_project_says_which_key_is_missing_and_works_once_it_is_there() {
    let fixture = Fixture::shared("nokey").await;
    fixture.kubectl.run(&["delete", "secret", "-n", SYSTEM, &fixture.project_name]).await.unwrap();
    let project = until_project(&fixture, "False/CredentialsNotFound").await;
    let said = message(&project, "Ready");
    assert!(said.contains("kubectl create secret") && said.contains(SYSTEM), "{said}");
    let wrong = json!({
        "apiVersion": "v1",
        "kind": "Secret",
        "metadata": { "name": fixture.project_name, "namespace": SYSTEM },
        "stringData": { "other": "value" },
    });
    fixture.apply(&wrong).await;
    fixture
        .until("cmaproj", &fixture.project_name, "the missing data key is named", |object| {
            message(object, "Ready").contains("no data key key")
        })
        .await;
    fixture.apply(&fixture.client("web", &json!({}))).await;
    fixture.until("maoc", "web", "it waits", |o| condition(o, "Reconciling") == "True/CredentialsNotFound").await;
    change_key(&fixture, &Role::ALL).await;
    fixture.wait_ready("web").await;
}

#[tokio::test]
async fn a_key_of_another_project_is_refused_before_any_call() {
    let fixture = Fixture::shared("mismatch").await;
    let other = fixture.admin.create_project(None).await.unwrap();
    fixture.apply(&fixture.project_manifest(&json!({ "projectId": fixture.project.to_string() }))).await;
    until_project(&fixture, "True/Ready").await;
    fixture.put_key(other.api_key.expose()).await;
    let project = until_project(&fixture, "False/ProjectMismatch").await;
    assert!(condition(&project, "Stalled").starts_with("True"));
    let calls = fixture.admin.calls().await.unwrap();
    assert!(calls.iter().all(|call| call.project != Some(other.project_id)), "the other project was called");
}

#[tokio::test]
async fn a_client_stays_in_the_project_that_it_was_made_in() {
    let fixture = Fixture::shared("pinned").await;
    fixture.apply(&fixture.client("web", &json!({}))).await;
    fixture.wait_ready("web").await;
    let other = fixture.admin.create_project(None).await.unwrap();
    // The key alone says which project is meant, since the spec has no projectId.
    fixture.put_key(other.api_key.expose()).await;
    let client = fixture
        .until("maoc", "web", "the mismatch is said", |object| condition(object, "Synced") == "False/ProjectMismatch")
        .await;
    assert_eq!(client["status"]["projectId"], fixture.project.to_string());
    assert_eq!(fixture.remote_ids().await.len(), 1);
    assert_eq!(fixture.admin.state().await.unwrap().clients_of(other.project_id).len(), 0);
}

#[tokio::test]
async fn a_server_that_says_no_is_believed_about_the_key_and_never_about_absence() {
    let fixture = Fixture::shared("no").await;
    fixture.apply(&fixture.client("web", &json!({}))).await;
    fixture.wait_ready("web").await;
    let client_id = fixture.get("maoc", "web").await["status"]["clientId"].clone();
    let refused = |status| Fault::Status { status, body: None, headers: Default::default(), commit: false };
    let answers = [
        (401, "False/AuthenticationFailed"),
        (403, "False/PermissionDenied"),
        (423, "False/ProjectDisabled"),
        (404, "False/APIUnavailable"),
    ];
    for (status, said) in answers {
        let rule = FaultRule::on(RouteMatch::Any, refused(status)).in_project(fixture.project);
        let rule = fixture.admin.fault(&rule).await.unwrap();
        change_key(&fixture, &Role::ALL).await;
        until_project(&fixture, said).await;
        let asked = status.to_string();
        let annotation = format!("meshagent.com/reconcile-requested-at={asked}");
        fixture.kubectl(&["annotate", "--overwrite", "maoc", "web", &annotation]).await;
        let client = fixture
            .until("maoc", "web", "the request was handled", |o| {
                o["status"]["lastHandledReconcileAt"].as_str() == Some(&asked)
            })
            .await;
        assert!(condition(&client, "Ready").starts_with("True"), "{status}: {}", client["status"]);
        fixture.admin.remove_fault(rule.id).await.unwrap();
        change_key(&fixture, &Role::ALL).await;
        until_project(&fixture, "True/Ready").await;
    }
    assert_eq!((fixture.count("POST").await, fixture.count("DELETE").await), (1, 0));
    assert_eq!(fixture.get("maoc", "web").await["status"]["clientId"], client_id);
}

#[tokio::test]
async fn a_key_without_the_role_to_create_is_denied_and_says_which_roles_it_needs() {
    let fixture = Fixture::shared("role").await;
    change_key(&fixture, &[Role::OauthClientInventory]).await;
    until_project(&fixture, "True/Ready").await;
    fixture.apply(&fixture.client("web", &json!({}))).await;
    let client = fixture
        .until("maoc", "web", "it is denied", |object| condition(object, "Ready") == "False/PermissionDenied")
        .await;
    for role in ["oauth_client_creator", "oauth_client_inventory", "oauth_client_manager"] {
        assert!(message(&client, "Ready").contains(role), "{}", message(&client, "Ready"));
    }
    change_key(&fixture, &Role::ALL).await;
    fixture.wait_ready("web").await;
    fixture.until_remote("one client", |ids| ids.len() == 1).await;
}

#[tokio::test]
async fn a_revoked_key_and_a_disabled_project_are_named_and_nothing_is_lost() {
    let fixture = Fixture::shared("revoked").await;
    fixture.apply(&fixture.client("web", &json!({}))).await;
    fixture.wait_ready("web").await;
    let before = fixture.remote_ids().await;
    let revoked = fixture.admin.create_key(fixture.project, &Role::ALL).await.unwrap();
    fixture.admin.revoke_key(revoked.key.key_id).await.unwrap();
    fixture.put_key(revoked.api_key.expose()).await;
    let project = until_project(&fixture, "False/AuthenticationFailed").await;
    assert_eq!(condition(&project, "Stalled"), "True/AuthenticationFailed");
    let disabled = Settings { disabled: true, ..Settings::default() };
    fixture.admin.configure(fixture.project, &disabled).await.unwrap();
    change_key(&fixture, &Role::ALL).await;
    until_project(&fixture, "False/ProjectDisabled").await;
    fixture.admin.configure(fixture.project, &Settings::default()).await.unwrap();
    change_key(&fixture, &Role::ALL).await;
    until_project(&fixture, "True/Ready").await;
    fixture.wait_ready("web").await;
    assert_eq!(fixture.remote_ids().await, before);
    assert_eq!((fixture.count("POST").await, fixture.count("DELETE").await), (1, 0));
}

/// A DELETE's 404 is success when the API says it; from a gateway it would leave the client behind.
#[tokio::test]
async fn behind_a_gateway_that_answers_404_to_everything_nothing_is_made_and_no_client_is_left_behind() {
    let fixture = Fixture::shared("gateway").await;
    fixture.apply(&fixture.client("old", &json!({}))).await;
    fixture.wait_ready("old").await;
    let html = Some(json!("<html><body>404 Not Found</body></html>"));
    let gateway = Fault::Status { status: 404, body: html, headers: Default::default(), commit: false };
    let rule = FaultRule::on(RouteMatch::Any, gateway).in_project(fixture.project);
    let rule = fixture.admin.fault(&rule).await.unwrap();
    change_key(&fixture, &Role::ALL).await;
    until_project(&fixture, "False/APIUnavailable").await;
    fixture.apply(&fixture.client("new", &json!({}))).await;
    let new =
        fixture.until("maoc", "new", "it says that it waits", |o| condition(o, "Ready").starts_with("False/")).await;
    assert_eq!(new["status"]["clientId"], json!(null));
    fixture.kubectl(&["delete", "maoc", "old", "--wait=false"]).await;
    harness::eventually(super::fixture::LONG, "the deletion was tried, or is said to wait", async || {
        let gone = !fixture.exists("maoc", "old").await;
        let said = gone || {
            let old = fixture.get("maoc", "old").await;
            old["metadata"]["deletionTimestamp"].is_string() && !condition(&old, "Ready").starts_with("True")
        };
        if said { Ok(()) } else { Err("not yet") }
    })
    .await
    .unwrap();
    fixture.admin.remove_fault(rule.id).await.unwrap();
    change_key(&fixture, &Role::ALL).await;
    until_project(&fixture, "True/Ready").await;
    fixture.wait_ready("new").await;
    let new = fixture.get("maoc", "new").await["status"]["clientId"].as_str().map(str::to_owned);
    fixture.until_remote("only the new client is left", |ids| ids.iter().map(Some).eq([new.as_ref()])).await;
}

#[tokio::test]
async fn a_project_of_a_namespace_serves_the_clients_beside_it() {
    let fixture = Fixture::shared("team").await;
    let key = fixture.admin.create_key(fixture.project, &Role::ALL).await.unwrap();
    let secret = json!({
        "apiVersion": "v1",
        "kind": "Secret",
        "metadata": { "name": "meshagent", "namespace": fixture.ns() },
        "stringData": { "api-key": key.api_key.expose() },
    });
    let project = json!({
        "apiVersion": "meshagent.com/v1alpha1",
        "kind": "MeshAgentProject",
        "metadata": { "name": "team", "namespace": fixture.ns() },
        "spec": { "apiUrl": fixture.api_url, "apiKeySecretRef": { "name": "meshagent" } },
    });
    let reference = json!({ "projectRef": { "kind": "MeshAgentProject", "name": "team" } });
    // The client comes first: it waits for its project, and the project for its key.
    fixture.apply(&fixture.client("web", &reference)).await;
    fixture.until("maoc", "web", "it waits", |o| condition(o, "Reconciling") == "True/ProjectNotFound").await;
    fixture.apply(&project).await;
    fixture.until("maproj", "team", "it lacks its key", |o| condition(o, "Ready") == "False/CredentialsNotFound").await;
    fixture.apply(&secret).await;
    let project = fixture.until("maproj", "team", "it is Ready", |o| condition(o, "Ready") == "True/Ready").await;
    assert_eq!(project["status"]["projectId"], fixture.project.to_string());
    fixture.wait_ready("web").await;
    assert!(fixture.accepts(&fixture.get("secret", "web-oauth").await).await);
    let used = fixture.calls().await.into_iter().find(|call| call.method == "POST").and_then(|call| call.key_id);
    assert_eq!(used, Some(key.key.key_id), "the client was made with another key than its project's");
}

#[tokio::test]
async fn allowed_namespaces_left_out_means_none() {
    let fixture = Fixture::shared("none").await;
    fixture.apply(&fixture.project_manifest(&json!({ "allowedNamespaces": null }))).await;
    fixture.apply(&fixture.client("web", &json!({}))).await;
    let client = fixture
        .until("maoc", "web", "it is not allowed", |o| condition(o, "Ready") == "False/NamespaceNotAllowed")
        .await;
    let said = message(&client, "Ready");
    assert!(said.contains("left out means none") && said.contains("selector: {}"), "{said}");
    fixture.apply(&fixture.project_manifest(&json!({ "allowedNamespaces": { "selector": {} } }))).await;
    fixture.wait_ready("web").await;
}

#[tokio::test]
async fn a_capped_or_lying_listing_hides_nothing_for_good() {
    let fixture = Fixture::own("paged", &["--resync-interval", "2s"]).await;
    let capped = Settings { max_count: Some(2), ..Settings::default() };
    fixture.admin.configure(fixture.project, &capped).await.unwrap();
    for n in 0..5 {
        fixture.apply(&fixture.client(&format!("web{n}"), &json!({}))).await;
    }
    for n in 0..5 {
        fixture.wait_ready(&format!("web{n}")).await;
    }
    fixture.admin.clear_calls().await.unwrap();
    harness::eventually(super::fixture::LONG, "two resyncs", async || {
        let lists = fixture.calls().await.len();
        if lists >= 6 { Ok(()) } else { Err(lists.to_string()) }
    })
    .await
    .unwrap();
    assert!(fixture.calls().await.iter().all(|call| call.method == "GET"));
    assert_eq!(fixture.remote_ids().await.len(), 5);
}

/// R6: a server that cannot prove who it is never sees the key.
#[tokio::test]
async fn a_server_of_an_unknown_ca_never_sees_the_key_until_the_ca_bundle_names_that_ca() {
    let fixture = Fixture::shared("ca").await;
    let server = Terminator::before(&fixture.api_url);
    let project = |more: Value| {
        let mut fields = json!({ "apiUrl": server.url });
        fields.as_object_mut().unwrap().extend(more.as_object().cloned().unwrap());
        fixture.project_manifest(&fields)
    };
    let bundle = |kind: &str, text: &str| {
        json!({
            "apiVersion": "v1",
            "kind": kind,
            "metadata": { "name": format!("{}-ca", fixture.project_name), "namespace": SYSTEM },
            (if kind == "Secret" { "stringData" } else { "data" }): { "ca.crt": text },
        })
    };
    let reference =
        |kind: &str| json!({ "caBundleRef": { "kind": kind, "name": format!("{}-ca", fixture.project_name) } });
    fixture.apply(&project(json!({}))).await;
    let said = message(&until_project(&fixture, "False/APIUnavailable").await, "Ready");
    assert!(said.contains("caBundleRef") && said.contains("an authority that is not trusted here"), "{said}");
    fixture.apply(&project(reference("ConfigMap"))).await;
    let said = message(&until_project(&fixture, "False/CredentialsNotFound").await, "Ready");
    assert!(said.contains("kubectl create configmap") && said.contains(SYSTEM) && said.contains("ca.crt"), "{said}");
    fixture.apply(&bundle("ConfigMap", "-----BEGIN something that is no PEM")).await;
    let project_now = until_project(&fixture, "False/InvalidSpec").await;
    assert_eq!(condition(&project_now, "Stalled"), "True/InvalidSpec");
    let said = message(&project_now, "Ready");
    assert!(said.contains("data key ca.crt of ConfigMap") && !said.contains("something"), "{said}");
    fixture.apply(&bundle("ConfigMap", &authority().pem())).await;
    until_project(&fixture, "False/APIUnavailable").await;
    assert_eq!(server.requests(), 0, "the key was sent to a server that nobody vouches for");
    fixture.apply(&bundle("ConfigMap", &server.ca)).await;
    until_project(&fixture, "True/Ready").await;
    fixture.apply(&fixture.client("web", &json!({}))).await;
    fixture.wait_ready("web").await;
    fixture.apply(&bundle("Secret", &authority().pem())).await;
    fixture.apply(&project(reference("Secret"))).await;
    until_project(&fixture, "False/APIUnavailable").await;
    let before = server.requests();
    fixture.apply(&bundle("Secret", &format!("{}{}", authority().pem(), server.ca))).await;
    until_project(&fixture, "True/Ready").await;
    assert!(server.requests() > before);
    fixture.kubectl(&["delete", "maoc", "web", "--timeout=60s"]).await;
    fixture.until_remote("no client is left", <[String]>::is_empty).await;
}

#[tokio::test]
async fn a_project_of_a_namespace_that_names_a_server_which_is_not_allowed_is_refused_before_anything_is_read() {
    let fixture = Fixture::shared("host").await;
    let listener = std::net::TcpListener::bind("127.0.0.1:0").unwrap();
    listener.set_nonblocking(true).unwrap();
    let host = format!("http://{}", listener.local_addr().unwrap());
    let project = |api_url: &str| {
        json!({
            "apiVersion": "meshagent.com/v1alpha1",
            "kind": "MeshAgentProject",
            "metadata": { "name": "team", "namespace": fixture.ns() },
            "spec": { "apiUrl": api_url, "apiKeySecretRef": { "name": "meshagent" } },
        })
    };
    let user_info = host.replace("http://", "http://user@");
    assert!(fixture.refused(&project(&user_info)).await.contains("user name or password"));
    // The key is missing, which is not even noticed.
    fixture.apply(&project(&host)).await;
    let object =
        fixture.until("maproj", "team", "it is refused", |o| condition(o, "Ready") == "False/InvalidSpec").await;
    assert_eq!(condition(&object, "Stalled"), "True/InvalidSpec");
    let said = message(&object, "Ready");
    for part in ["spec.apiUrl", host.as_str(), "whoever runs the operator", "--allowed-api-hosts"] {
        assert!(said.contains(part), "{part} in {said}");
    }
    let key = fixture.admin.create_key(fixture.project, &Role::ALL).await.unwrap();
    let data = format!("--from-literal=api-key={}", key.api_key.expose());
    fixture.kubectl(&["create", "secret", "generic", "meshagent", &data]).await;
    let reference = json!({ "projectRef": { "kind": "MeshAgentProject", "name": "team" } });
    fixture.apply(&fixture.client("web", &reference)).await;
    fixture.until("maoc", "web", "it waits", |o| condition(o, "Reconciling") == "True/ProjectNotReady").await;
    let nobody = listener.accept().map(|_| ()).map_err(|error| error.kind());
    assert_eq!(nobody, Err(std::io::ErrorKind::WouldBlock), "the server was called");
    fixture.apply(&project(&fixture.api_url)).await;
    fixture.wait_ready("web").await;
}

//! Reads that lag behind, watches that break, and rights that are missing.

use std::time::Duration;

use harness::eventually;
use serde_json::{Value, json};
use simulator::admin::Settings;

use super::fixture::{Fixture, LONG, OPERATOR, SYSTEM, condition, message, start_operator};
use super::tls::authority;

/// S1, S2: whatever decides over a client's life is read with high consistency.
#[tokio::test]
async fn a_server_whose_fast_reads_lag_by_an_hour_misleads_nobody() {
    let fixture = Fixture::own("lag", &["--resync-interval", "2s"]).await;
    let lagging = Settings { fast_lag: Some(LONG * 60), ..Settings::default() };
    fixture.admin.configure(fixture.project, &lagging).await.unwrap();
    for name in ["kept", "edited", "deleted", "lost"] {
        fixture.apply(&fixture.client(name, &json!({}))).await;
        fixture.wait_ready(name).await;
    }
    let id = async |name: &str| fixture.get("maoc", name).await["status"]["clientId"].as_str().unwrap().to_owned();
    let (kept, edited, lost) = (id("kept").await, id("edited").await, id("lost").await);
    fixture.resyncs(2).await;
    assert_eq!((fixture.count("POST").await, fixture.count("PUT").await, fixture.count("DELETE").await), (4, 0, 0));
    fixture.admin.delete_client(fixture.project, &lost).await.unwrap();
    let client = fixture
        .until("maoc", "lost", "it is made anew", |o| {
            o["status"]["clientId"] != lost.as_str() && condition(o, "Ready") == "True/Ready"
        })
        .await;
    fixture.apply(&fixture.client("edited", &json!({ "scopes": ["openid"] }))).await;
    fixture.until("maoc", "edited", "the edit is applied", |o| o["status"]["appliedGeneration"] == 2).await;
    fixture.kubectl(&["delete", "maoc", "deleted", "--timeout=30s"]).await;
    fixture.resyncs(2).await;
    let mut wanted = [kept, edited, client["status"]["clientId"].as_str().unwrap().to_owned()];
    wanted.sort();
    let mut living = fixture.remote_ids().await;
    living.sort();
    assert_eq!(living, wanted);
    assert_eq!((fixture.count("POST").await, fixture.count("PUT").await, fixture.count("DELETE").await), (5, 1, 1));
}

/// S6.
#[tokio::test]
async fn what_came_and_went_while_nobody_watched_is_as_if_it_had_been_watched() {
    let mut fixture = Fixture::own("unwatched", &[]).await;
    for name in ["kept", "deleted", "replaced"] {
        fixture.apply(&fixture.client(name, &json!({}))).await;
        fixture.wait_ready(name).await;
    }
    let id = async |fixture: &Fixture, name: &str| fixture.get("maoc", name).await["status"]["clientId"].clone();
    let (kept, replaced) = (id(&fixture, "kept").await, id(&fixture, "replaced").await);
    fixture.stop_operator().await;
    fixture.apply(&fixture.client("brief", &json!({}))).await;
    fixture.kubectl(&["delete", "maoc", "brief", "--timeout=30s"]).await;
    fixture.kubectl(&["delete", "maoc", "deleted", "--wait=false"]).await;
    fixture.kubectl(&["patch", "maoc", "replaced", "--type=merge", "-p", r#"{"metadata":{"finalizers":null}}"#]).await;
    fixture.kubectl(&["delete", "maoc", "replaced", "--timeout=30s"]).await;
    fixture.apply(&fixture.client("replaced", &json!({}))).await;
    fixture.operator = Some(super::fixture::start_operator(fixture.control_plane.get(), &[]));
    let client = fixture
        .until("maoc", "replaced", "it has a client of its own", |o| condition(o, "Ready") == "True/Ready")
        .await;
    assert_ne!(client["status"]["clientId"], replaced);
    eventually(LONG, "the deleted one is gone", async || {
        if fixture.exists("maoc", "deleted").await { Err("it is there") } else { Ok(()) }
    })
    .await
    .unwrap();
    assert_eq!(id(&fixture, "kept").await, kept);
    assert_eq!((fixture.count("POST").await, fixture.count("DELETE").await), (4, 1));
}

/// S5, K3; F37: how long the API server takes to come back is not the operator's to say.
#[tokio::test]
async fn an_api_server_that_restarts_costs_no_call_and_what_happened_meanwhile_is_seen() {
    let fixture = Fixture::own("relist", &["--lease-duration", "10m"]).await;
    fixture.apply(&fixture.client("web", &json!({}))).await;
    fixture.wait_ready("web").await;
    let before = fixture.get("maoc", "web").await;
    fixture.admin.clear_calls().await.unwrap();
    let server = fixture.control_plane.get().apiserver();
    server.kill().unwrap();
    server.restart().unwrap();
    fixture.control_plane.get().ready(LONG).await.unwrap();
    fixture.apply(&fixture.client("other", &json!({}))).await;
    let operator = fixture.operator.as_ref().unwrap().process();
    operator
        .eventually(2 * LONG, "what came after it is seen", async || {
            let other = fixture.get("maoc", "other").await;
            if condition(&other, "Ready") == "True/Ready" { Ok(()) } else { Err(other["status"].to_string()) }
        })
        .await
        .unwrap();
    assert_eq!(fixture.get("maoc", "web").await["status"], before["status"]);
    let written = fixture.calls().await.iter().filter(|call| call.method != "GET").count();
    assert_eq!(written, 1, "more than the POST of the other");
}

/// A right of the operator, and what it needs it for.
struct Right {
    group: &'static str,
    resource: &'static str,
    verb: &'static str,
    needed_for: Need,
}

#[derive(Clone, Copy)]
enum Need {
    /// Beginning at all.
    Start,
    /// Making a client.
    Create,
    /// Making sure that a client whose Secret was deleted is to be replaced.
    Lose,
    /// Renaming the Secret's keys.
    Rekey,
    /// Renaming the Secret.
    Rename,
    /// Deleting a client.
    Delete,
}

fn rights() -> Vec<Right> {
    let of = |group, resource, verb, needed_for| Right { group, resource, verb, needed_for };
    let ours = "meshagent.com";
    let mut rights = vec![
        of(ours, "oauthclients", "get", Need::Lose),
        of(ours, "oauthclients", "patch", Need::Create),
        of(ours, "oauthclients/status", "patch", Need::Create),
        of("", "secrets", "create", Need::Create),
        of("", "secrets", "get", Need::Rekey),
        of("", "secrets", "patch", Need::Rekey),
        of("", "secrets", "delete", Need::Rename),
        of("apiextensions.k8s.io", "customresourcedefinitions", "list", Need::Delete),
        of("events.k8s.io", "events", "create", Need::Create),
    ];
    for resource in ["oauthclients", "meshagentprojects", "clustermeshagentprojects"] {
        rights.extend(["list", "watch"].map(|verb| of(ours, resource, verb, Need::Start)));
    }
    for resource in ["secrets", "configmaps", "namespaces"] {
        rights.extend(["list", "watch"].map(|verb| of("", resource, verb, Need::Start)));
    }
    rights
}

const ROLE: &str = include_str!("../../charts/meshagent-operator/files/cluster-role.yaml");

/// The operator's ClusterRole, without one right.
fn role_without(right: &Right) -> Value {
    let Right { group, resource, verb, needed_for: _ } = right;
    role_lacking(group, resource, &[verb])
}

/// The operator's ClusterRole.
pub fn whole_role() -> Value {
    serde_saphyr::from_str(ROLE).unwrap()
}

/// The operator's ClusterRole, without these verbs on this resource.
pub fn role_lacking(group: &str, resource: &str, lacking: &[&str]) -> Value {
    let mut role = whole_role();
    let mut rules = Vec::new();
    for rule in role["rules"].as_array().unwrap() {
        let list = |field: &str| rule[field].as_array().cloned().unwrap_or_default();
        let resources = list("resources");
        for (of, it) in list("apiGroups").iter().flat_map(|of| resources.iter().map(move |it| (of, it))) {
            let mut single = rule.clone();
            let concerned = of == group && it == resource;
            let lacks = |verb: &Value| concerned && lacking.iter().any(|lacking| verb == lacking);
            let verbs = list("verbs").into_iter().filter(|verb| !lacks(verb)).collect::<Vec<_>>();
            // The API server refuses a rule without verbs.
            if verbs.is_empty() {
                continue;
            }
            (single["verbs"], single["apiGroups"], single["resources"]) = (verbs.into(), json!([of]), json!([it]));
            rules.push(single);
        }
    }
    role["rules"] = rules.into();
    role
}

/// Does something for which the right is needed, to the client `web` or, to make or delete one, to another.
async fn need(fixture: &Fixture, need: Need, round: usize) {
    let other = format!("web{round}");
    match need {
        Need::Start => restart(fixture),
        Need::Create => fixture.apply(&fixture.client(&other, &json!({}))).await,
        Need::Lose => {
            fixture.apply(&fixture.client(&other, &json!({ "rotation": { "overlap": "0s" } }))).await;
            fixture.wait_ready(&other).await;
            fixture.kubectl(&["delete", "secret", &format!("{other}-oauth")]).await;
        }
        Need::Rekey => {
            let keys = json!({ "secret": { "keys": { "scopes": format!("SCOPES{round}") } } });
            fixture.apply(&fixture.client("web", &keys)).await;
        }
        Need::Rename => {
            fixture.apply(&fixture.client("web", &json!({ "secret": { "name": format!("login{round}") } }))).await;
        }
        Need::Delete => {
            fixture.apply(&fixture.client(&other, &json!({}))).await;
            fixture.wait_ready(&other).await;
            fixture.kubectl(&["delete", "maoc", &other, "--wait=false"]).await;
        }
    }
}

fn restart(fixture: &Fixture) {
    let process = fixture.operator.as_ref().unwrap().process();
    process.kill().unwrap();
    process.restart().unwrap();
}

/// The operator's words: in its log since `from`, and in the conditions of the OAuthClients.
async fn said(fixture: &Fixture, from: usize) -> String {
    let log = fixture.operator.as_ref().unwrap().process().log();
    // The log escapes quotes.
    let mut said = log.get(from..).unwrap_or(&log).replace('\\', "");
    let clients: Value = serde_json::from_str(&fixture.kubectl(&["get", "maoc", "-o", "json"]).await).unwrap();
    for client in clients["items"].as_array().into_iter().flatten() {
        said += &message(client, "Ready");
    }
    said
}

/// Gives the project a CA bundle: only then does the operator need the right to read ConfigMaps.
pub async fn give_ca_bundle(fixture: &Fixture) {
    let bundle = json!({
        "apiVersion": "v1",
        "kind": "ConfigMap",
        "metadata": { "name": "ca", "namespace": SYSTEM },
        "data": { "ca.crt": authority().pem() },
    });
    fixture.apply(&bundle).await;
    let reference = json!({ "caBundleRef": { "kind": "ConfigMap", "name": "ca" } });
    fixture.apply(&fixture.project_manifest(&reference)).await;
}

/// K11.
#[tokio::test]
async fn each_right_that_is_taken_away_is_named_and_given_back_all_is_well() {
    let fixture = Fixture::own("rbac", &["--leader-elect", "false"]).await;
    give_ca_bundle(&fixture).await;
    fixture.apply(&fixture.client("web", &json!({}))).await;
    fixture.wait_ready("web").await;
    let client_id = fixture.get("maoc", "web").await["status"]["clientId"].clone();
    for (round, right) in rights().iter().enumerate() {
        let Right { group, resource, verb, needed_for } = right;
        let what = format!("{verb} {resource}");
        let from = fixture.operator.as_ref().unwrap().process().log().len();
        fixture.apply(&role_without(right)).await;
        let (of, subresource) = resource.split_once('/').unwrap_or((resource, ""));
        let named = if of == "customresourcedefinitions" { "/oauthclients.meshagent.com" } else { "" };
        let (of, subresource) = (format!("{of}.{group}{named}"), format!("--subresource={subresource}"));
        let args = ["auth", "can-i", verb, &of, &subresource, "--as", OPERATOR, "-A"];
        eventually(LONG, "the right is taken away", async || {
            let answer = fixture.kubectl.try_run(&args, "").await.unwrap().stdout;
            if answer.trim() == "yes" { Err(what.clone()) } else { Ok(()) }
        })
        .await
        .unwrap();
        need(&fixture, *needed_for, round).await;
        let forbidden = format!("cannot {verb} resource \"{resource}\"");
        eventually(LONG, &format!("{what} is said to be missing"), async || {
            if said(&fixture, from).await.contains(&forbidden) { Ok(()) } else { Err("it is not") }
        })
        .await
        .unwrap();
        fixture.apply(&serde_saphyr::from_str(ROLE).unwrap()).await;
        until_well(&fixture, &what, round).await;
        assert_eq!(fixture.get("maoc", "web").await["status"]["clientId"], client_id, "{what}");
    }
}

/// Waits until all are Ready, or gone if they were deleted, once a reconcile is requested.
async fn until_well(fixture: &Fixture, what: &str, round: usize) {
    let asked = format!("meshagent.com/reconcile-requested-at=now-{round}");
    let ask = ["-n", fixture.ns(), "annotate", "--overwrite", "maoc", "--all", &asked];
    eventually(LONG, "somebody asks for a look", async || {
        // An object that goes meanwhile cannot be annotated any more.
        let asked = fixture.kubectl.try_run(&ask, "").await.unwrap();
        if asked.status.success() { Ok(()) } else { Err(asked.stderr) }
    })
    .await
    .unwrap();
    eventually(2 * LONG, &format!("all is well after {what}"), async || {
        let clients: Value = serde_json::from_str(&fixture.kubectl(&["get", "maoc", "-o", "json"]).await).unwrap();
        let items = clients["items"].as_array().cloned().unwrap_or_default();
        let ill = items.iter().find(|client| {
            condition(client, "Ready") != "True/Ready"
                || client["status"]["appliedGeneration"] != client["metadata"]["generation"]
                || !client["metadata"]["deletionTimestamp"].is_null()
        });
        ill.map_or(Ok(()), |ill| Err(ill["status"].to_string()))
    })
    .await
    .unwrap();
    let clients = fixture.kubectl(&["get", "maoc", "-o", "name"]).await.lines().count();
    assert_eq!(fixture.remote_ids().await.len(), clients, "{what}");
}

/// A listing that is compared with no OAuthClient takes each client for an orphan's, and has what is wanted right after a
/// start wait for the next one.
#[tokio::test]
async fn a_project_is_listed_once_the_oauthclients_are_seen() {
    let mut fixture = Fixture::own("late", &["--leader-elect", "false"]).await;
    fixture.apply(&fixture.client("web", &json!({}))).await;
    fixture.wait_ready("web").await;
    fixture.stop_operator().await;
    fixture.apply(&role_lacking("meshagent.com", "oauthclients", &["list"])).await;
    let args = ["auth", "can-i", "list", "oauthclients.meshagent.com", "--as", OPERATOR, "-A"];
    eventually(LONG, "the right is taken away", async || {
        let answer = fixture.kubectl.try_run(&args, "").await.unwrap().stdout;
        if answer.trim() == "yes" { Err(answer) } else { Ok(()) }
    })
    .await
    .unwrap();
    let before = fixture.count("GET").await;
    fixture.operator = Some(start_operator(fixture.control_plane.get(), &["--leader-elect", "false"]));
    tokio::time::sleep(Duration::from_secs(4)).await;
    assert_eq!(fixture.count("GET").await, before);
    fixture.apply(&whole_role()).await;
    fixture.resyncs(1).await;
}

//! Reads that lag behind, watches that break, and rights that are missing.

use harness::eventually;
use serde_json::{Value, json};
use simulator::admin::Settings;

use super::ground::{Ground, LONG, OPERATOR, SYSTEM, condition, message};
use super::tls::authority;

/// S1, S2: whatever decides over a client's life is read with high consistency.
#[tokio::test]
async fn a_server_whose_fast_reads_lag_by_an_hour_misleads_nobody() {
    let ground = Ground::own("lag", &["--resync-interval", "2s"]).await;
    let lagging = Settings { fast_lag: Some(LONG * 60), ..Settings::default() };
    ground.admin.configure(ground.project, &lagging).await.unwrap();
    for name in ["kept", "edited", "deleted", "lost"] {
        ground.apply(&ground.client(name, &json!({}))).await;
        ground.wait_ready(name).await;
    }
    let id = async |name: &str| ground.get("maoc", name).await["status"]["clientId"].as_str().unwrap().to_owned();
    let (kept, edited, lost) = (id("kept").await, id("edited").await, id("lost").await);
    ground.resyncs(2).await;
    assert_eq!((ground.count("POST").await, ground.count("PUT").await, ground.count("DELETE").await), (4, 0, 0));
    ground.admin.delete_client(ground.project, &lost).await.unwrap();
    let client = ground
        .until("maoc", "lost", "it is made anew", |o| {
            o["status"]["clientId"] != lost.as_str() && condition(o, "Ready") == "True/Ready"
        })
        .await;
    ground.apply(&ground.client("edited", &json!({ "scopes": ["openid"] }))).await;
    ground.until("maoc", "edited", "the edit is applied", |o| o["status"]["appliedGeneration"] == 2).await;
    ground.kubectl(&["delete", "maoc", "deleted", "--timeout=30s"]).await;
    ground.resyncs(2).await;
    let mut wanted = [kept, edited, client["status"]["clientId"].as_str().unwrap().to_owned()];
    wanted.sort();
    let mut living = ground.remote_ids().await;
    living.sort();
    assert_eq!(living, wanted);
    assert_eq!((ground.count("POST").await, ground.count("PUT").await, ground.count("DELETE").await), (5, 1, 1));
}

/// S6.
#[tokio::test]
async fn what_came_and_went_while_nobody_watched_is_as_if_it_had_been_watched() {
    let mut ground = Ground::own("unwatched", &[]).await;
    for name in ["kept", "deleted", "replaced"] {
        ground.apply(&ground.client(name, &json!({}))).await;
        ground.wait_ready(name).await;
    }
    let id = async |ground: &Ground, name: &str| ground.get("maoc", name).await["status"]["clientId"].clone();
    let (kept, replaced) = (id(&ground, "kept").await, id(&ground, "replaced").await);
    ground.stop_operator().await;
    ground.apply(&ground.client("brief", &json!({}))).await;
    ground.kubectl(&["delete", "maoc", "brief", "--timeout=30s"]).await;
    ground.kubectl(&["delete", "maoc", "deleted", "--wait=false"]).await;
    ground.kubectl(&["patch", "maoc", "replaced", "--type=merge", "-p", r#"{"metadata":{"finalizers":null}}"#]).await;
    ground.kubectl(&["delete", "maoc", "replaced", "--timeout=30s"]).await;
    ground.apply(&ground.client("replaced", &json!({}))).await;
    ground.operator = Some(super::ground::start_operator(ground.control_plane.get(), &[]));
    let client =
        ground.until("maoc", "replaced", "it has a client of its own", |o| condition(o, "Ready") == "True/Ready").await;
    assert_ne!(client["status"]["clientId"], replaced);
    eventually(LONG, "the deleted one is gone", async || {
        if ground.exists("maoc", "deleted").await { Err("it is there") } else { Ok(()) }
    })
    .await
    .unwrap();
    assert_eq!(id(&ground, "kept").await, kept);
    assert_eq!((ground.count("POST").await, ground.count("DELETE").await), (4, 1));
}

/// S5, K3.
#[tokio::test]
async fn an_api_server_that_restarts_costs_no_call_and_what_happened_meanwhile_is_seen() {
    let ground = Ground::own("relist", &[]).await;
    ground.apply(&ground.client("web", &json!({}))).await;
    ground.wait_ready("web").await;
    let before = ground.get("maoc", "web").await;
    ground.admin.clear_calls().await.unwrap();
    let server = ground.control_plane.get().apiserver();
    server.kill().unwrap();
    server.restart().unwrap();
    ground.control_plane.get().ready(LONG).await.unwrap();
    ground.apply(&ground.client("other", &json!({}))).await;
    eventually(2 * LONG, "what came after it is seen", async || {
        let other = ground.get("maoc", "other").await;
        if condition(&other, "Ready") == "True/Ready" { Ok(()) } else { Err(other["status"].to_string()) }
    })
    .await
    .unwrap();
    assert_eq!(ground.get("maoc", "web").await["status"], before["status"]);
    let written = ground.calls().await.iter().filter(|call| call.method != "GET").count();
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
    /// To begin at all.
    Start,
    /// To make a client.
    Create,
    /// To make sure that a client is to be replaced, whose Secret was deleted.
    Lose,
    /// To rename the Secret's keys.
    Rekey,
    /// To rename the Secret.
    Rename,
    /// To delete a client.
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
        of("apiextensions.k8s.io", "customresourcedefinitions", "get", Need::Delete),
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
    let mut role: Value = serde_saphyr::from_str(ROLE).unwrap();
    let mut rules = Vec::new();
    for rule in role["rules"].as_array().unwrap() {
        let list = |field: &str| rule[field].as_array().cloned().unwrap_or_default();
        for (group, resource) in
            list("apiGroups").iter().flat_map(|group| list("resources").into_iter().map(move |it| (group.clone(), it)))
        {
            let mut single = rule.clone();
            let concerned = group == right.group && resource == right.resource;
            let verbs = list("verbs").into_iter().filter(|verb| !concerned || verb != right.verb).collect::<Vec<_>>();
            // A rule without verbs is refused.
            if verbs.is_empty() {
                continue;
            }
            (single["verbs"], single["apiGroups"], single["resources"]) =
                (verbs.into(), json!([group]), json!([resource]));
            rules.push(single);
        }
    }
    role["rules"] = rules.into();
    role
}

/// Does something for which the right is needed, to the client `web` or, to make or delete one, to another.
async fn need(ground: &Ground, need: Need, round: usize) {
    let other = format!("web{round}");
    match need {
        Need::Start => restart(ground),
        Need::Create => ground.apply(&ground.client(&other, &json!({}))).await,
        Need::Lose => {
            ground.apply(&ground.client(&other, &json!({ "rotation": { "overlap": "0s" } }))).await;
            ground.wait_ready(&other).await;
            ground.kubectl(&["delete", "secret", &format!("{other}-oauth")]).await;
        }
        Need::Rekey => {
            let keys = json!({ "secret": { "keys": { "scopes": format!("SCOPES{round}") } } });
            ground.apply(&ground.client("web", &keys)).await;
        }
        Need::Rename => {
            ground.apply(&ground.client("web", &json!({ "secret": { "name": format!("login{round}") } }))).await;
        }
        Need::Delete => {
            ground.apply(&ground.client(&other, &json!({}))).await;
            ground.wait_ready(&other).await;
            ground.kubectl(&["delete", "maoc", &other, "--wait=false"]).await;
        }
    }
}

fn restart(ground: &Ground) {
    let process = ground.operator.as_ref().unwrap().process();
    process.kill().unwrap();
    process.restart().unwrap();
}

/// What the operator says, in its log since `from` and in the conditions of the OAuthClients.
async fn said(ground: &Ground, from: usize) -> String {
    let log = ground.operator.as_ref().unwrap().process().log();
    // The log escapes quotes.
    let mut said = log.get(from..).unwrap_or(&log).replace('\\', "");
    let clients: Value = serde_json::from_str(&ground.kubectl(&["get", "maoc", "-o", "json"]).await).unwrap();
    for client in clients["items"].as_array().into_iter().flatten() {
        said += &message(client, "Ready");
    }
    said
}

/// Only a project that names a CA bundle needs the right to read ConfigMaps.
async fn give_ca_bundle(ground: &Ground) {
    let bundle = json!({
        "apiVersion": "v1",
        "kind": "ConfigMap",
        "metadata": { "name": "ca", "namespace": SYSTEM },
        "data": { "ca.crt": authority().pem() },
    });
    ground.apply(&bundle).await;
    let reference = json!({ "caBundleRef": { "kind": "ConfigMap", "name": "ca" } });
    ground.apply(&ground.project_manifest(&reference)).await;
}

/// K11.
#[tokio::test]
async fn each_right_that_is_taken_away_is_named_and_given_back_all_is_well() {
    let ground = Ground::own("rbac", &["--leader-elect", "false"]).await;
    give_ca_bundle(&ground).await;
    ground.apply(&ground.client("web", &json!({}))).await;
    ground.wait_ready("web").await;
    let client_id = ground.get("maoc", "web").await["status"]["clientId"].clone();
    for (round, right) in rights().iter().enumerate() {
        let Right { group, resource, verb, needed_for } = right;
        let what = format!("{verb} {resource}");
        let from = ground.operator.as_ref().unwrap().process().log().len();
        ground.apply(&role_without(right)).await;
        let (of, subresource) = resource.split_once('/').unwrap_or((resource, ""));
        let named = if of == "customresourcedefinitions" { "/oauthclients.meshagent.com" } else { "" };
        let (of, subresource) = (format!("{of}.{group}{named}"), format!("--subresource={subresource}"));
        let args = ["auth", "can-i", verb, &of, &subresource, "--as", OPERATOR, "-A"];
        eventually(LONG, "the right is taken away", async || {
            let answer = ground.kubectl.try_run(&args, "").await.unwrap().stdout;
            if answer.trim() == "yes" { Err(what.clone()) } else { Ok(()) }
        })
        .await
        .unwrap();
        need(&ground, *needed_for, round).await;
        let forbidden = format!("cannot {verb} resource \"{resource}\"");
        eventually(LONG, &format!("{what} is said to be missing"), async || {
            if said(&ground, from).await.contains(&forbidden) { Ok(()) } else { Err("it is not") }
        })
        .await
        .unwrap();
        ground.apply(&serde_saphyr::from_str(ROLE).unwrap()).await;
        until_well(&ground, &what, round).await;
        assert_eq!(ground.get("maoc", "web").await["status"]["clientId"], client_id, "{what}");
    }
}

/// All are Ready, or gone if they were deleted, once somebody asks for a look.
async fn until_well(ground: &Ground, what: &str, round: usize) {
    let asked = format!("meshagent.com/reconcile-requested-at=now-{round}");
    let ask = ["-n", ground.ns(), "annotate", "--overwrite", "maoc", "--all", &asked];
    eventually(LONG, "somebody asks for a look", async || {
        // One that goes meanwhile cannot be annotated any more.
        let asked = ground.kubectl.try_run(&ask, "").await.unwrap();
        if asked.status.success() { Ok(()) } else { Err(asked.stderr) }
    })
    .await
    .unwrap();
    eventually(2 * LONG, &format!("all is well after {what}"), async || {
        let clients: Value = serde_json::from_str(&ground.kubectl(&["get", "maoc", "-o", "json"]).await).unwrap();
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
    let clients = ground.kubectl(&["get", "maoc", "-o", "name"]).await.lines().count();
    assert_eq!(ground.remote_ids().await.len(), clients, "{what}");
}

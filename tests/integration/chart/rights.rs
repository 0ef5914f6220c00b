//! Every right of the chart is used, and nothing is asked for without one: both read from the API server's audit log.

use std::collections::{BTreeMap, BTreeSet};
use std::fs;

use harness::{Options, Workdir, eventually};
use serde_json::{Value, json};

use super::release::{Cluster, SYSTEM, text, until_ready};
use crate::fixture::LONG;

/// One thing that an account may do: verb, group, resource, and the one name if the right is for one only.
pub(crate) type Right = (String, String, String, String);

/// The audit policy: all requests of the operator's service accounts, without bodies.
const POLICY: &str = r#"{"apiVersion":"audit.k8s.io/v1","kind":"Policy","omitStages":["RequestReceived"],"rules":[
    {"level":"Metadata","userGroups":["system:serviceaccounts:meshagent-operator"]},{"level":"None"}]}"#;

/// A control plane that keeps an audit log, and checks rights to owner references.
pub(crate) fn audited(workdir: &Workdir) -> (Options, std::path::PathBuf) {
    let policy = workdir.write("policy.json", POLICY).unwrap();
    let log = workdir.path().join("audit.log");
    let apiserver_args = vec![
        format!("--audit-policy-file={}", policy.display()),
        format!("--audit-log-path={}", log.display()),
        "--enable-admission-plugins=OwnerReferencesPermissionEnforcement".to_owned(),
    ];
    (Options { apiserver_args, ..Options::default() }, log)
}

/// The rights that the release's roles give.
pub(crate) async fn given(cluster: &Cluster) -> BTreeSet<Right> {
    let mut rights = BTreeSet::new();
    let list = [
        "get",
        "clusterroles,roles",
        "-n",
        SYSTEM,
        "-l",
        "app.kubernetes.io/instance=meshagent-operator",
        "-o",
        "json",
    ];
    let roles: Value = serde_json::from_str(&cluster.kubectl.run(&list).await.unwrap()).unwrap();
    let operators =
        roles["items"].as_array().unwrap().iter().filter(|role| role["metadata"]["name"] == "meshagent-operator");
    for rule in operators.flat_map(|role| role["rules"].as_array().unwrap()) {
        let all = |field: &str| -> Vec<String> { rule[field].as_array().into_iter().flatten().map(text).collect() };
        let names = if all("resourceNames").is_empty() { vec![String::new()] } else { all("resourceNames") };
        for (verb, group) in
            all("verbs").iter().flat_map(|verb| all("apiGroups").into_iter().map(move |group| (verb.clone(), group)))
        {
            for (resource, name) in
                all("resources").iter().flat_map(|one| names.iter().map(move |name| (one.clone(), name.clone())))
            {
                rights.insert((verb.clone(), group.clone(), resource, name));
            }
        }
    }
    rights
}

/// The rights that were asked for, each with the codes of the answers.
pub(crate) fn asked(log: &str) -> BTreeMap<Right, BTreeSet<u64>> {
    let mut asked: BTreeMap<Right, BTreeSet<u64>> = BTreeMap::new();
    for line in log.lines() {
        let event: Value = serde_json::from_str(line).unwrap();
        let object = &event["objectRef"];
        if object["resource"].is_null() {
            continue;
        }
        let resource = [text(&object["resource"]), text(&object["subresource"])];
        let resource = resource.join("/").trim_end_matches('/').to_owned();
        let code = event["responseStatus"]["code"].as_u64().unwrap_or_default();
        let right = (text(&event["verb"]), text(&object["apiGroup"]), resource, text(&object["name"]));
        // A server-side apply of what was not there needs the right to create it too.
        if right.0 == "patch" && code == 201 {
            asked
                .entry(("create".to_owned(), right.1.clone(), right.2.clone(), right.3.clone()))
                .or_default()
                .insert(code);
        }
        asked.entry(right).or_default().insert(code);
    }
    asked
}

/// Rights that no request in the log needed.
pub(crate) fn unused(given: &BTreeSet<Right>, asked: &BTreeMap<Right, BTreeSet<u64>>) -> Vec<Right> {
    let uses = |given: &Right, asked: &Right| {
        (&given.0, &given.1, &given.2) == (&asked.0, &asked.1, &asked.2) && (given.3.is_empty() || given.3 == asked.3)
    };
    given.iter().filter(|given| !asked.keys().any(|asked| uses(given, asked))).cloned().collect()
}

fn project(cluster: &Cluster, name: &str) -> Value {
    json!({
        "apiVersion": "meshagent.com/v1alpha1", "kind": "MeshAgentProject", "metadata": { "name": name, "namespace": "shop" },
        "spec": { "apiUrl": cluster.simulator.api(), "apiKeySecretRef": { "name": "key", "key": "apiKey" } },
    })
}

fn client(name: &str, kind: &str, project: &str, secret: Value) -> Value {
    json!({
        "apiVersion": "meshagent.com/v1alpha1", "kind": "OAuthClient", "metadata": { "name": name, "namespace": "shop" },
        "spec": {
            "projectRef": { "kind": kind, "name": project },
            "redirectUris": ["https://shop.example.com/oauth/callback"],
            "rotation": { "overlap": "0s" },
            "secret": secret,
        },
    })
}

/// A whole life of clients and projects, with everything that an operator is ever asked to do.
async fn a_whole_life(cluster: &Cluster) {
    cluster.kubectl.run(&["create", "namespace", "shop"]).await.unwrap();
    let ca = rcgen_authority();
    cluster
        .apply(&json!({
            "apiVersion": "v1", "kind": "ConfigMap", "metadata": { "name": "ca", "namespace": SYSTEM }, "data": { "ca.crt": ca },
        }))
        .await;
    let here =
        json!({ "spec": { "apiUrl": cluster.simulator.api(), "caBundleRef": { "kind": "ConfigMap", "name": "ca" } } });
    let patch = ["patch", "cmaproj", "default", "--type=merge", "-p", &here.to_string()];
    cluster.kubectl.run(&patch).await.unwrap();
    until_ready(cluster, "shop", "cmaproj", "default").await;
    cluster.put_key("shop", "key").await;
    cluster.apply(&project(cluster, "own")).await;
    let (cluster_kind, own_kind) = ("ClusterMeshAgentProject", "MeshAgentProject");
    cluster.apply(&client("web", cluster_kind, "default", json!({}))).await;
    cluster.apply(&client("app", own_kind, "own", json!({}))).await;
    let made = until_ready(cluster, "shop", "maoc", "web").await;
    until_ready(cluster, "shop", "maoc", "app").await;
    // One client is edited, its Secret renamed, and it is rotated; the Secret of the other is lost.
    cluster.apply(&client("web", cluster_kind, "default", json!({ "keys": { "scopes": "OTHER" } }))).await;
    until_ready(cluster, "shop", "maoc", "web").await;
    cluster.apply(&client("web", cluster_kind, "default", json!({ "name": "login" }))).await;
    until_ready(cluster, "shop", "maoc", "web").await;
    let rotate = ["annotate", "maoc", "web", "-n", "shop", "meshagent.com/rotate-requested-at=monday"];
    cluster.kubectl.run(&rotate).await.unwrap();
    eventually(LONG, "it is rotated", async || {
        let client = cluster.get("shop", "maoc", "web").await;
        if client["status"]["lastHandledRotateAt"] == "monday" { Ok(()) } else { Err(client["status"].to_string()) }
    })
    .await
    .unwrap();
    assert_ne!(until_ready(cluster, "shop", "maoc", "web").await["status"]["clientId"], made["status"]["clientId"]);
    cluster.kubectl.run(&["delete", "secret", "app-oauth", "-n", "shop"]).await.unwrap();
    eventually(LONG, "the lost credential is replaced", async || {
        cluster.kubectl.run(&["get", "secret", "app-oauth", "-n", "shop"]).await.map_err(|error| format!("{error:?}"))
    })
    .await
    .unwrap();
    until_ready(cluster, "shop", "maoc", "app").await;
    // Both clients are given up, since their projects cannot be asked: one of either kind.
    for (name, kind, project) in [("web", "cmaproj", "default"), ("app", "maproj", "own")] {
        let away = json!({ "spec": { "apiUrl": "http://127.0.0.1:9" } }).to_string();
        give_up(cluster, name, &["patch", kind, project, "-n", "shop", "--type=merge", "-p", &away]).await;
    }
    cluster.kubectl.run(&["delete", "maproj", "own", "-n", "shop", "--timeout=60s"]).await.unwrap();
    cluster.kubectl.run(&["delete", "cmaproj", "default", "--timeout=60s"]).await.unwrap();
}

async fn give_up(cluster: &Cluster, name: &str, turn_away: &[&str]) {
    let uid = text(&cluster.get("shop", "maoc", name).await["metadata"]["uid"]);
    cluster.kubectl.run(turn_away).await.unwrap();
    cluster.kubectl.run(&["delete", "maoc", name, "-n", "shop", "--wait=false"]).await.unwrap();
    let release = format!("meshagent.com/force-release={uid}");
    let annotate = ["annotate", "--overwrite", "maoc", name, "-n", "shop", &release];
    cluster.kubectl.try_run(&annotate, "").await.unwrap();
    cluster
        .kubectl
        .run(&["wait", &format!("maoc/{name}"), "-n", "shop", "--for=delete", "--timeout=90s"])
        .await
        .unwrap();
}

fn rcgen_authority() -> String {
    crate::tls::authority().pem()
}

#[tokio::test]
async fn every_right_of_an_installed_chart_is_needed_and_none_is_missing() {
    let workdir = Workdir::create("audit").unwrap();
    let (options, log) = audited(&workdir);
    let cluster = Cluster::start(options).await;
    let set = format!("defaultProject.secretName=meshagent-api-key,allowedApiHosts={{{}}}", cluster.simulator.api());
    let install = ["install", "meshagent-operator", "{chart}", "-n", SYSTEM, "--wait", "--timeout=90s", "--set", &set];
    cluster.helm.run(&install).await;
    let operator = cluster.run_operator(SYSTEM, "meshagent-operator").await;
    eventually(LONG, "the default project is applied", async || {
        cluster.kubectl.run(&["get", "cmaproj", "default"]).await.map_err(|error| format!("{error:?}"))
    })
    .await
    .unwrap();
    a_whole_life(&cluster).await;
    let status = operator.process().terminate(LONG).await.unwrap();
    assert!(status.success(), "{status}");
    let given = given(&cluster).await;
    let (asked, missing) = eventually(LONG, "every right is used", async || {
        let asked = asked(&fs::read_to_string(&log).unwrap());
        // The right to finalizers is asked about by the API server itself, which no audit log shows.
        let mut unused = unused(&given, &asked);
        unused.retain(|right| right.2 != "oauthclients/finalizers");
        let forbidden: Vec<_> =
            asked.iter().filter(|(_, codes)| codes.contains(&403)).map(|(right, _)| right.clone()).collect();
        if unused.is_empty() { Ok((asked, forbidden)) } else { Err(format!("unused: {unused:?}")) }
    })
    .await
    .unwrap();
    assert!(asked.len() > 20, "{asked:?}");
    assert_eq!(missing, Vec::<Right>::new(), "asked for without a right");
}

/// The audit log does not show this right, without which no Secret could be given its owner.
#[tokio::test]
async fn the_right_to_finalizers_is_needed_where_owner_references_are_checked() {
    let workdir = Workdir::create("audit").unwrap();
    let cluster = Cluster::start(audited(&workdir).0).await;
    let set = format!("defaultProject.secretName=meshagent-api-key,allowedApiHosts={{{}}}", cluster.simulator.api());
    cluster.helm.run(&["install", "meshagent-operator", "{chart}", "-n", SYSTEM, "--set", &set]).await;
    let mut role = cluster.get(SYSTEM, "clusterrole", "meshagent-operator").await;
    let whole = role.clone();
    let rules = role["rules"].as_array_mut().unwrap();
    rules.retain(|rule| rule["resources"] != json!(["oauthclients/finalizers"]));
    cluster.kubectl.run_with_input(&["replace", "-f", "-"], &role.to_string()).await.unwrap();
    let _operator = cluster.run_operator(SYSTEM, "meshagent-operator").await;
    cluster.kubectl.run(&["create", "namespace", "shop"]).await.unwrap();
    let here = json!({ "spec": { "apiUrl": cluster.simulator.api() } }).to_string();
    eventually(LONG, "the project is told where the simulator is", async || {
        let patch = ["patch", "cmaproj", "default", "--type=merge", "-p", &here];
        cluster.kubectl.run(&patch).await.map_err(|error| format!("{error:?}"))
    })
    .await
    .unwrap();
    cluster
        .apply(&json!({
            "apiVersion": "meshagent.com/v1alpha1", "kind": "OAuthClient", "metadata": { "name": "web", "namespace": "shop" },
            "spec": { "redirectUris": ["https://shop.example.com/oauth/callback"] },
        }))
        .await;
    eventually(LONG, "the Secret is refused", async || {
        let client = cluster.get("shop", "maoc", "web").await;
        let ready = crate::fixture::condition(&client, "Ready");
        if ready == "False/SecretRejected" { Ok(()) } else { Err(client["status"].to_string()) }
    })
    .await
    .unwrap();
    assert_eq!(cluster.changes().await, Vec::<String>::new());
    let mut whole = whole;
    whole["metadata"]["resourceVersion"].take();
    cluster.kubectl.run_with_input(&["replace", "-f", "-"], &whole.to_string()).await.unwrap();
    let ask = ["annotate", "maoc", "web", "-n", "shop", "meshagent.com/reconcile-requested-at=now"];
    cluster.kubectl.run(&ask).await.unwrap();
    until_ready(&cluster, "shop", "maoc", "web").await;
}

//! The life of a release: installed, upgraded, rolled back, uninstalled, installed again, scoped, and beside another.

use std::fs;
use std::path::Path;

use harness::{Operator, Options, eventually};
use serde_json::{Value, json};

use super::release::{Cluster, SYSTEM, until_ready};
use super::{Helm, chart};
use crate::fixture::{LONG, crds};

const WITH_PROJECT: &str = "defaultProject.secretName=meshagent-api-key";

fn web(namespace: &str, project: Option<&str>) -> Value {
    let mut client = json!({
        "apiVersion": "meshagent.com/v1alpha1", "kind": "OAuthClient", "metadata": { "name": "web", "namespace": namespace },
        "spec": { "redirectUris": ["https://shop.example.com/oauth/callback"] },
    });
    if let Some(name) = project {
        client["spec"]["projectRef"] = json!({ "kind": "MeshAgentProject", "name": name });
    }
    client
}

impl Cluster {
    async fn stop(&self, operator: Operator) {
        let status = operator.process().terminate(LONG).await.unwrap();
        assert!(status.success(), "{status}: {}", operator.process().log_tail());
    }
}

/// Clusters 1, 2; platform 8. The key comes after the release, and all is in one release.
#[tokio::test]
async fn one_install_ends_with_a_client_and_an_uninstall_leaves_all_that_users_have() {
    let cluster = Cluster::start(Options::default()).await;
    cluster.kubectl.run(&["delete", "secret", "meshagent-api-key", "-n", SYSTEM]).await.unwrap();
    cluster.install("meshagent-operator", SYSTEM, &["--set", WITH_PROJECT]).await;
    let operator = cluster.run_operator(SYSTEM, "meshagent-operator").await;
    cluster.point_at_simulator().await;
    cluster.put_key(SYSTEM, "meshagent-api-key").await;
    until_ready(&cluster, SYSTEM, "cmaproj", "default").await;
    cluster.kubectl.run(&["create", "namespace", "shop"]).await.unwrap();
    cluster.apply(&web("shop", None)).await;
    let before = until_ready(&cluster, "shop", "maoc", "web").await;
    let secret = cluster.get("shop", "secret", "web-oauth").await;
    assert_eq!(cluster.changes().await, ["POST"]);

    cluster.helm.run(&["uninstall", "meshagent-operator", "-n", SYSTEM, "--wait"]).await;
    cluster.stop(operator).await;
    let left = cluster.kubectl.run(&[
        "get",
        "all,sa,role,pdb",
        "-n",
        SYSTEM,
        "-l",
        "app.kubernetes.io/name=meshagent-operator",
        "-o",
        "name",
    ]);
    assert_eq!(left.await.unwrap(), "");
    assert_eq!(cluster.get("shop", "maoc", "web").await, before);
    assert_eq!(cluster.get("shop", "secret", "web-oauth").await, secret);
    for crd in ["oauthclients", "meshagentprojects", "clustermeshagentprojects"] {
        cluster.get(SYSTEM, "crd", &format!("{crd}.meshagent.com")).await;
    }

    // Helm takes over the definitions of a release of another name only if it is told to.
    let refused = ["install", "auth", "{chart}", "-n", SYSTEM, "--set", WITH_PROJECT];
    let refused = cluster.helm.try_run(&refused).await;
    assert!(
        !refused.status.success() && refused.stderr.contains("cannot be imported into the current release"),
        "{}",
        refused.stderr
    );
    cluster.install("auth", SYSTEM, &["--set", WITH_PROJECT, "--take-ownership"]).await;
    let operator = cluster.run_operator(SYSTEM, "auth-meshagent-operator").await;
    let asked = ["annotate", "maoc", "web", "-n", "shop", "meshagent.com/reconcile-requested-at=again"];
    cluster.kubectl.run(&asked).await.unwrap();
    cluster.wait(&["maoc/web", "-n", "shop", "--for=jsonpath={.status.lastHandledReconcileAt}=again"]).await;
    let after = until_ready(&cluster, "shop", "maoc", "web").await;
    assert_eq!(after["status"]["clientId"], before["status"]["clientId"]);
    assert_eq!(cluster.get("shop", "secret", "web-oauth").await, secret);
    assert_eq!(cluster.changes().await, ["POST"]);
    cluster.kubectl.run(&["delete", "maoc", "web", "-n", "shop", "--timeout=60s"]).await.unwrap();
    assert_eq!(cluster.changes().await, ["POST", "DELETE"]);
    cluster.stop(operator).await;
}

/// Clusters 4: the API server knows all that the chart renders and warns of nothing; and users see what they may.
#[tokio::test]
async fn what_the_chart_renders_is_accepted_without_a_warning() {
    let cluster = Cluster::start(Options::default()).await;
    cluster.kubectl.run_with_input(&["apply", "--server-side", "-f", "-"], &crds()).await.unwrap();
    for namespace in ["shop", "billing"] {
        cluster.kubectl.run(&["create", "namespace", namespace]).await.unwrap();
    }
    for values in
        ["crds.enabled=true", "networkPolicy.enabled=true,dashboard.enabled=true,watchNamespaces={shop,billing}"]
    {
        let rendered = cluster.helm.template(&["--set", values]).await;
        let args = ["apply", "--server-side", "--force-conflicts", "--dry-run=server", "--validate=strict", "-f", "-"];
        let output = cluster.kubectl.try_run(&args, &rendered).await.unwrap();
        assert!(output.status.success() && output.stderr.is_empty(), "{values}: {}{}", output.stdout, output.stderr);
    }
    cluster.install("meshagent-operator", SYSTEM, &["--take-ownership"]).await;
    for (role, verb, may) in
        [("view", "get", "yes"), ("view", "create", "no"), ("edit", "create", "yes"), ("admin", "delete", "yes")]
    {
        let user = format!("{role}-{verb}");
        let bind =
            ["create", "rolebinding", &user, "-n", "shop", &format!("--clusterrole={role}"), &format!("--user={user}")];
        cluster.kubectl.run(&bind).await.unwrap();
        eventually(LONG, "roles are aggregated", async || {
            let asked = cluster
                .kubectl
                .try_run(&["auth", "can-i", verb, "maoc", "-n", "shop", "--as", &user], "")
                .await
                .unwrap();
            if asked.stdout.trim() == may { Ok(()) } else { Err(format!("{role} {verb}: {}", asked.stdout)) }
        })
        .await
        .unwrap();
        let key = cluster
            .kubectl
            .try_run(&["auth", "can-i", "get", "secret", "-n", SYSTEM, "--as", &user], "")
            .await
            .unwrap();
        assert_eq!(key.stdout.trim(), "no", "{role} reads the project's key");
    }
}

/// kubectl alone installs it, without Helm, and the operator runs under the same rights.
#[tokio::test]
async fn the_plain_manifests_install_it_too() {
    let cluster = Cluster::start(Options::default()).await;
    let folder = chart().join("../../deploy").display().to_string();
    let apply = ["apply", "--server-side", "--force-conflicts", "-k", &folder];
    cluster.kubectl.run(&apply).await.unwrap();
    let rollout = ["rollout", "status", "deployment/meshagent-operator", "-n", SYSTEM, "--timeout=60s"];
    cluster.kubectl.run(&rollout).await.unwrap();
    let operator = cluster.run_operator(SYSTEM, "meshagent-operator").await;
    cluster.stop(operator).await;
    assert!(!cluster.kubectl.run(&["get", "crd", "-o", "yaml"]).await.unwrap().contains("managed-by: Helm"));
}

/// Clusters 5.
#[tokio::test]
async fn two_scoped_releases_see_their_own_namespace_and_no_other() {
    let cluster = Cluster::start(Options::default()).await;
    let mut operators = Vec::new();
    for (index, team) in ["shop", "billing"].into_iter().enumerate() {
        cluster.create_namespace(team).await;
        cluster.put_key(team, "key").await;
        let system = format!("operator-of-{team}");
        cluster.create_namespace(&system).await;
        let values = format!(
            "watchNamespaces={{{team}}},crds.enabled={},allowedApiHosts={{{}}}",
            index == 0,
            cluster.simulator.api()
        );
        cluster.install("meshagent-operator", &system, &["--set", &values]).await;
        operators.push((cluster.run_operator(&system, "meshagent-operator").await, system, team));
    }
    for (_, system, team) in &operators {
        let account = format!("system:serviceaccount:{system}:meshagent-operator");
        for namespace in ["shop", "billing", "default", "kube-system"] {
            for (verb, resource) in
                [("get", "secrets"), ("list", "secrets"), ("create", "secrets"), ("list", "oauthclients.meshagent.com")]
            {
                let asked = ["auth", "can-i", verb, resource, "-n", namespace, "--as", &account];
                let answer = cluster.kubectl.try_run(&asked, "").await.unwrap().stdout;
                let wanted = if namespace == *team { "yes" } else { "no" };
                assert_eq!(answer.trim(), wanted, "{account}: {verb} {resource} in {namespace}");
            }
        }
        cluster
            .apply(&json!({
                "apiVersion": "meshagent.com/v1alpha1", "kind": "MeshAgentProject", "metadata": { "name": "own", "namespace": team },
                "spec": { "apiUrl": cluster.simulator.api(), "apiKeySecretRef": { "name": "key", "key": "apiKey" } },
            }))
            .await;
        cluster.apply(&web(team, Some("own"))).await;
        until_ready(&cluster, team, "maoc", "web").await;
    }
    // One operator is stopped, and only its namespace waits.
    let (operator, _, team) = operators.remove(0);
    cluster.stop(operator).await;
    cluster.kubectl.run(&["delete", "maoc", "web", "-n", team, "--wait=false"]).await.unwrap();
    cluster.kubectl.run(&["delete", "maoc", "web", "-n", "billing", "--timeout=60s"]).await.unwrap();
    assert!(!cluster.get(team, "maoc", "web").await["metadata"]["deletionTimestamp"].is_null());
    let (operator, ..) = &operators[0];
    assert!(!operator.process().log().contains("cannot list"), "{}", operator.process().log_tail());
}

/// The chart of a version before, whose CRD knew no `suspend`.
fn former_chart(helm: &Helm) -> String {
    let folder = helm.home.path().join("former");
    copy(&chart(), &folder);
    let path = folder.join("files/crds.yaml");
    let mut definitions: Vec<Value> = serde_saphyr::from_multiple(&fs::read_to_string(&path).unwrap()).unwrap();
    let properties =
        &mut definitions[0]["spec"]["versions"][0]["schema"]["openAPIV3Schema"]["properties"]["spec"]["properties"];
    assert!(properties.as_object_mut().unwrap().remove("suspend").is_some());
    let text: Vec<String> = definitions.iter().map(Value::to_string).collect();
    fs::write(path, text.join("\n---\n")).unwrap();
    folder.display().to_string()
}

fn copy(from: &Path, to: &Path) {
    fs::create_dir_all(to).unwrap();
    for entry in fs::read_dir(from).unwrap() {
        let (source, target) = entry.map(|entry| (entry.path(), to.join(entry.file_name()))).unwrap();
        if source.is_dir() {
            copy(&source, &target);
        } else {
            fs::copy(&source, &target).unwrap();
        }
    }
}

/// Clusters 6.
#[tokio::test]
async fn an_upgrade_brings_new_fields_and_a_rollback_takes_no_object_away() {
    let cluster = Cluster::start(Options::default()).await;
    // Somebody applied the definitions before.
    cluster.kubectl.run_with_input(&["apply", "--server-side", "-f", "-"], &crds()).await.unwrap();
    let former = former_chart(&cluster.helm);
    let install =
        ["install", "meshagent-operator", &former, "-n", SYSTEM, "--wait", "--timeout=90s", "--take-ownership"];
    let forced = ["--set", WITH_PROJECT, "--force-conflicts"];
    cluster.helm.run(&[&install[..], &forced].concat()).await;
    let upgrade =
        ["upgrade", "meshagent-operator", "{chart}", "-n", SYSTEM, "--wait", "--timeout=90s", "--reuse-values"];
    cluster.helm.run(&upgrade).await;
    let operator = cluster.run_operator(SYSTEM, "meshagent-operator").await;
    cluster.point_at_simulator().await;
    cluster.kubectl.run(&["create", "namespace", "shop"]).await.unwrap();
    let mut client = web("shop", None);
    client["spec"]["suspend"] = json!(false);
    let strict = ["apply", "--validate=strict", "-f", "-"];
    cluster.kubectl.run_with_input(&strict, &client.to_string()).await.unwrap();
    let before = until_ready(&cluster, "shop", "maoc", "web").await;
    cluster.helm.run(&["rollback", "meshagent-operator", "1", "-n", SYSTEM, "--wait", "--timeout=90s"]).await;
    let after = until_ready(&cluster, "shop", "maoc", "web").await;
    assert_eq!(after["status"]["clientId"], before["status"]["clientId"]);
    assert_eq!(cluster.changes().await, ["POST"]);
    cluster.stop(operator).await;
}

/// Clusters 2, by the flag alone: before the CRD is there, and over a person's project.
#[tokio::test]
async fn the_default_project_waits_for_its_crd_and_leaves_a_persons_fields_alone() {
    let cluster = Cluster::start(Options::default()).await;
    let rendered = cluster.helm.template(&["--set", WITH_PROJECT, "--set", "crds.enabled=false"]).await;
    cluster.kubectl.run_with_input(&["apply", "-f", "-"], &rendered).await.unwrap();
    let deployment = cluster.get(SYSTEM, "deployment", "meshagent-operator").await;
    let args = &deployment["spec"]["template"]["spec"]["containers"][0]["args"];
    assert!(args.to_string().contains("--default-project-secret=meshagent-api-key/apiKey"), "{args}");
    let starting = cluster.run_operator(SYSTEM, "meshagent-operator");
    let definitions = crds();
    let later = async {
        tokio::time::sleep(std::time::Duration::from_secs(3)).await;
        cluster.kubectl.run_with_input(&["apply", "--server-side", "-f", "-"], &definitions).await.unwrap();
    };
    let (operator, ()) = tokio::join!(starting, later);
    cluster.point_at_simulator().await;
    let project = until_ready(&cluster, SYSTEM, "cmaproj", "default").await;
    let wanted = json!({
        "apiUrl": cluster.simulator.api(),
        "apiKeySecretRef": { "name": "meshagent-api-key", "key": "apiKey" },
        "allowedNamespaces": { "selector": {} },
    });
    assert_eq!(project["spec"], wanted);
    // A person allows one namespace instead, and another leader comes.
    let only = json!({ "spec": { "allowedNamespaces": { "names": ["shop"] }, "apiKeySecretRef": { "key": "other" } } })
        .to_string();
    cluster
        .kubectl
        .run(&["patch", "cmaproj", "default", "--type=merge", "--field-manager=person", "-p", &only])
        .await
        .unwrap();
    cluster.stop(operator).await;
    let operator = cluster.run_operator(SYSTEM, "meshagent-operator").await;
    let project = eventually(LONG, "the selector goes", async || {
        let project = cluster.get(SYSTEM, "cmaproj", "default").await;
        if project["spec"]["allowedNamespaces"]["selector"].is_null() {
            Ok(project)
        } else {
            Err(project["spec"].to_string())
        }
    })
    .await
    .unwrap();
    let wanted = json!({
        "apiUrl": cluster.simulator.api(),
        "apiKeySecretRef": { "name": "meshagent-api-key", "key": "other" },
        "allowedNamespaces": { "names": ["shop"] },
    });
    assert_eq!(project["spec"], wanted);
    cluster.stop(operator).await;
    leaves_a_persons_own_project_alone(&cluster).await;
}

async fn leaves_a_persons_own_project_alone(cluster: &Cluster) {
    cluster
        .kubectl
        .run(&["patch", "cmaproj", "default", "--type=merge", "-p", r#"{"metadata":{"finalizers":null}}"#])
        .await
        .unwrap();
    cluster.kubectl.run(&["delete", "cmaproj", "default", "--timeout=60s"]).await.unwrap();
    let theirs = json!({
        "apiVersion": "meshagent.com/v1alpha1", "kind": "ClusterMeshAgentProject", "metadata": { "name": "default" },
        "spec": {
            "apiUrl": cluster.simulator.api(),
            "apiKeySecretRef": { "name": "meshagent-api-key", "key": "apiKey" },
            "allowedNamespaces": { "names": ["mine"] },
        },
    });
    cluster.apply(&theirs).await;
    let operator = cluster.run_operator(SYSTEM, "meshagent-operator").await;
    operator
        .process()
        .eventually(LONG, "the operator says whose it is", async || {
            if operator.process().log().contains("is somebody else's") { Ok(()) } else { Err("not yet") }
        })
        .await
        .unwrap();
    let project = cluster.get(SYSTEM, "cmaproj", "default").await;
    assert_eq!(project["spec"], theirs["spec"]);
}

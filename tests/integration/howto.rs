//! The how-tos in docs/, tried word by word: see [`harness::howto`] for how a document is read.

use std::collections::BTreeSet;
use std::ffi::OsString;
use std::path::{Path, PathBuf};
use std::time::Duration;
use std::{env, fs};

use harness::howto::{Action, Document, Known, Shell, Step, compare};
use harness::{
    ControlPlane, Operator, OperatorOptions, Options, Simulator, SimulatorOptions, Workdir, built_binary, free_port,
};
use serde_json::{Value, json};
use simulator::admin::{Admin, ClientFields};

use super::chart::release::run_operator;
use super::fixture::crds;
use super::injection::replicas::{DEPLOYMENT, PodNetwork, Webhook};

/// The operator's own namespace, as documents call it.
const SYSTEM: &str = "meshagent-operator";
/// How long a command may take; the garbage collector looks for new types only every 30 seconds.
const PATIENCE: Duration = Duration::from_secs(180);

/// The things that a reader is said to have, beside a cluster with the CRDs and the operator:
/// - `clusters=2`: two clusters, `old` and `new` in the kubeconfig, the first the current one;
/// - `project`: the cluster project `default`, Ready, in each;
/// - `client`: a client that was made by hand, its credential in `CLIENT_ID` and `CLIENT_SECRET`;
/// - `cluster-id=…`: operators that were started with that `--cluster-id`;
/// - `operator=one`: an operator in the first cluster only;
/// - `cluster=empty`: neither definitions nor namespace nor operator, but a node whose pods become Ready; the operator is then
///   started as the release's Deployment would, under the release's rights, and so is its webhook.
const NEEDS: [&str; 6] = ["clusters", "project", "client", "cluster-id", "operator", "cluster"];

struct Stage {
    shell: Shell,
    // Fields drop in this order: no operator is to see the others vanish.
    clusters: Vec<Cluster>,
    simulator: Simulator,
    _kubeconfig: Workdir,
}

struct Cluster {
    name: &'static str,
    operator: Option<Operator>,
    webhook: Option<Webhook>,
    args: Vec<String>,
    /// Whether all that runs in it is of a release.
    was_empty: bool,
    plane: ControlPlane,
}

impl Cluster {
    async fn set_up(name: &'static str, args: Vec<String>) -> Self {
        let namespace = json!({ "apiVersion": "v1", "kind": "Namespace", "metadata": { "name": SYSTEM } });
        let manifests = format!("{}\n---\n{namespace}\n", crds());
        let plane = ControlPlane::start(Options { manifests, ..Options::default() }).await.unwrap();
        Self { name, operator: None, webhook: None, args, was_empty: false, plane }
    }

    async fn set_up_empty(name: &'static str) -> Self {
        let plane = ControlPlane::start(Options { with_node: true, ..Options::default() }).await.unwrap();
        Self { name, operator: None, webhook: None, args: Vec::new(), was_empty: true, plane }
    }

    async fn start_operator(&mut self) {
        if self.was_empty {
            self.operator = Some(run_operator(&self.plane, SYSTEM, "meshagent-operator").await);
            return;
        }
        let address = format!("127.0.0.1:{}", free_port().unwrap());
        let common =
            ["--namespace", SYSTEM, "--http-address", &address, "--log-level", "meshagent_operator=debug,info"];
        let operator = Operator::start(OperatorOptions {
            binary: env!("CARGO_BIN_EXE_meshagent-operator").into(),
            kubeconfig: self.plane.admin_kubeconfig().unwrap(),
            args: common.map(str::to_owned).into_iter().chain(self.args.clone()).collect(),
            env: Vec::new(),
        });
        self.operator = Some(operator.unwrap());
    }

    /// The project `default`, which all namespaces may use, as an administrator would have made it.
    async fn give_project(&self, simulator: &Simulator) {
        let objects = json!({ "apiVersion": "v1", "kind": "List", "items": [
            {
                "apiVersion": "v1",
                "kind": "Secret",
                "metadata": { "name": "meshagent-api-key", "namespace": SYSTEM },
                "stringData": { "apiKey": simulator.projects()[0].api_key },
            },
            {
                "apiVersion": "meshagent.com/v1alpha1",
                "kind": "ClusterMeshAgentProject",
                "metadata": { "name": "default" },
                "spec": {
                    "apiUrl": simulator.api(),
                    "apiKeySecretRef": { "name": "meshagent-api-key", "key": "apiKey" },
                    "allowedNamespaces": { "selector": {} },
                },
            },
        ]});
        let kubectl = self.plane.kubectl().unwrap();
        kubectl.run_with_input(&["apply", "-f", "-"], &objects.to_string()).await.unwrap();
        if self.operator.is_some() {
            let wait = ["wait", "cmaproj/default", "--for=condition=Ready", "--timeout=60s"];
            kubectl.run(&wait).await.unwrap();
        }
    }
}

impl Stage {
    async fn set_up(document: &Document) -> Self {
        let needs = |name: &str| document.needs.get(name).map(String::as_str);
        for name in document.needs.keys() {
            assert!(NEEDS.contains(&name.as_str()), "nobody knows how to provide {name}");
        }
        let args: Vec<String> = needs("cluster-id").iter().map(|id| format!("--cluster-id={id}")).collect();
        let simulator = Simulator::start(SimulatorOptions::default()).await.unwrap();
        let empty = needs("cluster") == Some("empty");
        let mut clusters =
            vec![if empty { Cluster::set_up_empty("old").await } else { Cluster::set_up("old", args.clone()).await }];
        if needs("clusters") == Some("2") {
            clusters.push(Cluster::set_up("new", args).await);
        }
        for (index, cluster) in clusters.iter_mut().enumerate() {
            if !empty && (index == 0 || needs("operator") != Some("one")) {
                cluster.start_operator().await;
            }
            if needs("project").is_some() {
                cluster.give_project(&simulator).await;
            }
        }
        let (kubeconfig, path) = kubeconfig(&clusters);
        let mut env = environment(&simulator, &path);
        if needs("client").is_some() {
            env.extend(a_client_made_by_hand(&simulator).await);
        }
        let shell = Shell::start(&in_repository(""), &env).unwrap();
        Self { shell, clusters, simulator, _kubeconfig: kubeconfig }
    }

    async fn carry_out(&mut self, step: &Step, known: &mut Known) {
        match &step.action {
            Action::Type { command, printed } => {
                let output = self.shell.run(command, PATIENCE).await.unwrap();
                let shown = printed.join("\n");
                let agrees = printed.is_empty() || compare(printed, &output, known);
                assert!(agrees, "$ {command}\n--- is said to print\n{shown}\n--- and printed\n{output}\n---");
            }
            Action::Stage(words) => {
                let told: Vec<&str> = words.split_whitespace().collect();
                let name = told.get(2).copied().unwrap_or("old");
                let cluster = self.clusters.iter_mut().find(|cluster| cluster.name == name).unwrap();
                match told[..] {
                    ["start", "operator", ..] => cluster.start_operator().await,
                    ["stop", "operator", ..] => {
                        let operator = cluster.operator.take().unwrap();
                        operator.process().terminate(PATIENCE).await.unwrap();
                    }
                    ["start", "webhook"] => {
                        let network = PodNetwork::open().await;
                        lead_service_to(&cluster.plane, network.port()).await;
                        let webhook = Webhook::start(&cluster.plane, network).await;
                        webhook.until_answering().await;
                        cluster.webhook = Some(webhook);
                    }
                    _ => unreachable!("nobody knows how to {words}"),
                }
            }
        }
    }
}

/// Leads the webhook's Service to another port than the chart's, which documents beside each other could not share.
async fn lead_service_to(plane: &ControlPlane, port: u16) {
    let here = json!([{ "op": "replace", "path": "/spec/ports/0/targetPort", "value": port }]).to_string();
    let patch = ["patch", "service", DEPLOYMENT, "-n", SYSTEM, "--type=json", "-p", &here];
    plane.kubectl().unwrap().run(&patch).await.unwrap();
}

fn in_repository(path: &str) -> PathBuf {
    Path::new(env!("CARGO_MANIFEST_DIR")).join(path)
}

/// One kubeconfig with a context for each cluster.
fn kubeconfig(clusters: &[Cluster]) -> (Workdir, PathBuf) {
    let mut merged = json!({
        "apiVersion": "v1", "kind": "Config", "current-context": clusters[0].name,
        "clusters": [], "users": [], "contexts": [],
    });
    for Cluster { name, plane, .. } in clusters {
        let text = fs::read_to_string(plane.admin_kubeconfig().unwrap()).unwrap();
        let own: Value = serde_json::from_str(&text).unwrap();
        let part = |list: &str, field: &str| json!({ "name": name, field: own[list][0][field] });
        merged["clusters"].as_array_mut().unwrap().push(part("clusters", "cluster"));
        merged["users"].as_array_mut().unwrap().push(part("users", "user"));
        let context = json!({ "name": name, "context": { "cluster": name, "user": name } });
        merged["contexts"].as_array_mut().unwrap().push(context);
    }
    let workdir = Workdir::create("howto").unwrap();
    let path = workdir.write("kubeconfig", &merged.to_string()).unwrap();
    (workdir, path)
}

/// The environment of a reader's shell.
fn environment(simulator: &Simulator, kubeconfig: &Path) -> Vec<(&'static str, OsString)> {
    let programs = [
        harness::tool("kubectl").unwrap(),
        harness::tool("signin").unwrap(),
        harness::tool("helm").unwrap(),
        built_binary("meshagent-operator").unwrap(),
    ];
    let directories = programs.iter().filter_map(|program| program.parent().map(Path::to_owned));
    let found = env::var_os("PATH").unwrap_or_default();
    vec![
        ("PATH", env::join_paths(directories.chain(env::split_paths(&found))).unwrap()),
        ("KUBECONFIG", kubeconfig.into()),
        // kubectl remembers a server's resource types by address, and a later control plane may get the same port.
        ("KUBECACHEDIR", kubeconfig.with_extension("cache").into()),
        ("HELM_CACHE_HOME", kubeconfig.with_extension("helm-cache").into()),
        ("HELM_CONFIG_HOME", kubeconfig.with_extension("helm-config").into()),
        ("HELM_DATA_HOME", kubeconfig.with_extension("helm-data").into()),
        ("TMPDIR", kubeconfig.parent().unwrap_or(Path::new(".")).into()),
        ("MESHAGENT_API_URL", simulator.api().into()),
        ("MESHAGENT_API_KEY", simulator.projects()[0].api_key.clone().into()),
        ("SIMULATOR", simulator.admin().into()),
    ]
}

async fn a_client_made_by_hand(simulator: &Simulator) -> [(&'static str, OsString); 2] {
    let fields = ClientFields {
        grant_types: Some(vec!["authorization_code".to_owned()]),
        response_types: Some(vec!["code".to_owned()]),
        redirect_uris: Some(vec!["https://shop.example.com/oauth/callback".to_owned()]),
        scope: Some("openid profile email".to_owned()),
        ..ClientFields::default()
    };
    let project = simulator.projects()[0].project_id.parse().unwrap();
    let made = Admin::new(simulator.admin()).unwrap().create_client(project, &fields).await.unwrap();
    [("CLIENT_ID", made.client.client_id.into()), ("CLIENT_SECRET", made.client_secret.expose().into())]
}

/// Does all that a document says, in order.
async fn try_out(name: &str) {
    let document = Document::read(&in_repository(&format!("docs/{name}.md"))).unwrap();
    let mut stage = Stage::set_up(&document).await;
    let known = &mut Known::new();
    for step in &document.steps {
        eprintln!("docs/{name}.md:{}", step.line);
        stage.carry_out(step, known).await;
    }
    for cluster in &stage.clusters {
        cluster.operator.iter().for_each(|operator| operator.process().check_running().unwrap());
    }
    stage.simulator.process().check_running().unwrap();
}

/// One test for each document, so that they run beside each other, and the names of all of them.
macro_rules! tried {
    ($($test:ident: $name:literal,)+) => {
        const TRIED: &[&str] = &[$($name),+];
        $(
            #[tokio::test]
            async fn $test() {
                try_out($name).await;
            }
        )+
    };
}

tried! {
    adopt_is_as_written: "adopt",
    back_up_and_restore_is_as_written: "back-up-and-restore",
    first_client_is_as_written: "first-client",
    install_is_as_written: "install",
    move_between_clusters_is_as_written: "move-between-clusters",
    pods_is_as_written: "pods",
    rotate_is_as_written: "rotate",
    troubleshoot_is_as_written: "troubleshoot",
    uninstall_is_as_written: "uninstall",
}

#[test]
fn every_document_with_commands_is_tried() {
    let mut with_commands = BTreeSet::new();
    for entry in fs::read_dir(in_repository("docs")).unwrap() {
        let path = entry.unwrap().path();
        if path.is_file() && !Document::read(&path).unwrap().steps.is_empty() {
            with_commands.insert(path.file_stem().unwrap().to_string_lossy().into_owned());
        }
    }
    assert_eq!(with_commands, TRIED.iter().map(|name| (*name).to_owned()).collect());
}

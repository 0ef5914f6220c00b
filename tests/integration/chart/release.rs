//! A release on a control plane with a node: kube-controller-manager makes its pods, kube-scheduler binds them, kwok says
//! that they are Ready, and the operator runs as a process with the arguments, the variables and the service account token
//! of such a pod.

use std::path::PathBuf;

use harness::{
    ControlPlane, Kubectl, Operator, OperatorOptions, Options, Simulator, SimulatorOptions, built_binary, eventually,
    free_port,
};
use serde_json::{Value, json};

use super::Helm;
use crate::fixture::LONG;

/// The namespace that the documents install into.
pub(crate) const SYSTEM: &str = "meshagent-operator";

pub(crate) struct Cluster {
    pub(crate) helm: Helm,
    pub(crate) kubectl: Kubectl,
    pub(crate) simulator: Simulator,
    pub(crate) plane: ControlPlane,
}

impl Cluster {
    /// A cluster, empty but for the namespace of the release and the Secret with the key of the simulated project.
    pub(crate) async fn start(options: Options) -> Self {
        let plane = ControlPlane::start(Options { with_node: true, ..options }).await.unwrap();
        let simulator = Simulator::start(SimulatorOptions {
            binary: Some(built_binary("meshagent-simulator").unwrap()),
            args: Vec::new(),
        });
        let simulator = simulator.await.unwrap();
        let cluster = Self {
            helm: Helm::of(&plane.admin_kubeconfig().unwrap()),
            kubectl: plane.kubectl().unwrap(),
            simulator,
            plane,
        };
        cluster.create_namespace(SYSTEM).await;
        cluster.put_key(SYSTEM, "meshagent-api-key").await;
        cluster
    }

    /// Creates a namespace that enforces the restricted profile, as careful clusters do.
    pub(crate) async fn create_namespace(&self, name: &str) {
        let profile = json!({ "pod-security.kubernetes.io/enforce": "restricted" });
        self.apply(&json!({
            "apiVersion": "v1", "kind": "Namespace", "metadata": { "name": name, "labels": profile },
        }))
        .await;
    }

    pub(crate) async fn put_key(&self, namespace: &str, name: &str) {
        self.apply(&json!({
            "apiVersion": "v1", "kind": "Secret", "metadata": { "name": name, "namespace": namespace },
            "stringData": { "apiKey": self.simulator.projects()[0].api_key },
        }))
        .await;
    }

    pub(crate) async fn apply(&self, manifest: &Value) {
        self.kubectl.run_with_input(&["apply", "-f", "-"], &manifest.to_string()).await.unwrap();
    }

    pub(crate) async fn get(&self, namespace: &str, kind: &str, name: &str) -> Value {
        let text = self.kubectl.run(&["get", "-n", namespace, kind, name, "-o", "json"]).await.unwrap();
        serde_json::from_str(&text).unwrap()
    }

    pub(crate) async fn wait(&self, args: &[&str]) {
        self.kubectl.run(&[&["wait", "--timeout=60s"], args].concat()).await.unwrap();
    }

    pub(crate) async fn install(&self, release: &str, namespace: &str, more: &[&str]) {
        let install = ["install", release, "{chart}", "-n", namespace, "--wait", "--timeout=90s"];
        self.helm.run(&[&install, more].concat()).await;
    }

    /// Tells the default project where the simulator is, as a person would.
    pub(crate) async fn point_at_simulator(&self) {
        let here = json!({ "spec": { "apiUrl": self.simulator.api() } }).to_string();
        eventually(LONG, "the default project is there", async || {
            let patch = ["patch", "cmaproj", "default", "--type=merge", "--field-manager=person", "-p", &here];
            self.kubectl.run(&patch).await.map_err(|error| format!("{error:?}"))
        })
        .await
        .unwrap();
    }

    /// The operator as the release's Deployment would run it.
    pub(crate) async fn run_operator(&self, namespace: &str, deployment: &str) -> Operator {
        run_operator(&self.plane, namespace, deployment).await
    }

    /// The simulator's calls that changed something, by method.
    pub(crate) async fn changes(&self) -> Vec<String> {
        let calls = self.simulator.calls().await.unwrap();
        let methods = calls.as_array().unwrap().iter().map(|call| text(&call["method"]));
        methods.filter(|method| method != "GET").collect()
    }
}

/// The operator as a release's Deployment would run it.
pub(crate) async fn run_operator(plane: &ControlPlane, namespace: &str, deployment: &str) -> Operator {
    let kubectl = plane.kubectl().unwrap();
    let deployment = kubectl.run(&["get", "-n", namespace, "deployment", deployment, "-o", "json"]).await.unwrap();
    let deployment: Value = serde_json::from_str(&deployment).unwrap();
    let pod = &deployment["spec"]["template"]["spec"];
    let container = &pod["containers"][0];
    let address = format!("127.0.0.1:{}", free_port().unwrap());
    let mut args: Vec<String> = container["args"].as_array().unwrap().iter().map(text).collect();
    assert_eq!(args.remove(0), "run");
    args.push(format!("--http-address={address}"));
    let env = container["env"].as_array().unwrap().iter().map(|entry| match text(&entry["name"]).as_str() {
        "MESHAGENT_OPERATOR_NAMESPACE" => (text(&entry["name"]), namespace.to_owned()),
        other => (other.to_owned(), text(&entry["value"])),
    });
    let operator = Operator::start(OperatorOptions {
        binary: env!("CARGO_BIN_EXE_meshagent-operator").into(),
        kubeconfig: kubeconfig_of(plane, namespace, &text(&pod["serviceAccountName"])).await,
        args,
        env: env.collect(),
    })
    .unwrap();
    let ready = format!("http://{address}/readyz");
    operator
        .process()
        .eventually(LONG, "the operator is ready", async || {
            let answer = reqwest::get(&ready).await.map_err(|error| error.to_string())?;
            let (status, text) = (answer.status(), answer.text().await.unwrap_or_default());
            if status.is_success() { Ok(()) } else { Err(text) }
        })
        .await
        .unwrap();
    operator
}

/// A kubeconfig with a token of the service account, asked for as a kubelet would.
async fn kubeconfig_of(plane: &ControlPlane, namespace: &str, account: &str) -> PathBuf {
    let ask = ["create", "token", account, "-n", namespace, "--duration=1h"];
    let token = plane.kubectl().unwrap().run(&ask).await.unwrap();
    let admin = std::fs::read_to_string(plane.admin_kubeconfig().unwrap()).unwrap();
    let mut config: Value = serde_json::from_str(&admin).unwrap();
    config["users"][0]["user"] = json!({ "token": token.trim() });
    plane.workdir().write(&format!("{namespace}-{account}.kubeconfig"), &config.to_string()).unwrap()
}

pub(crate) fn text(value: &Value) -> String {
    value.as_str().unwrap_or_default().to_owned()
}

/// Waits until an object is Ready, and the spec of an OAuthClient is applied.
pub(crate) async fn until_ready(cluster: &Cluster, namespace: &str, kind: &str, name: &str) -> Value {
    eventually(LONG, &format!("{kind}/{name} is Ready"), async || {
        let object = cluster.get(namespace, kind, name).await;
        let applied = object["status"]["appliedGeneration"] == object["metadata"]["generation"] || kind != "maoc";
        if applied && crate::fixture::condition(&object, "Ready") == "True/Ready" {
            Ok(object)
        } else {
            Err(object["status"].to_string())
        }
    })
    .await
    .unwrap()
}

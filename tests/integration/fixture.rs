//! The fixture of a test: a control plane with the CRDs, an operator, a simulated project of its own, and a namespace.

use std::path::{Path, PathBuf};
use std::time::Duration;

use harness::{
    ControlPlane, Kubectl, Namespace, Operator, OperatorOptions, Options, Simulator, SimulatorOptions, built_binary,
    eventually, free_port,
};
use serde_json::{Value, json};
use simulator::admin::{Admin, ProjectAccess, Role, Route};
use simulator::record::Call;
use tokio::sync::OnceCell;
use uuid::Uuid;

use super::states;

/// The operator's own namespace.
pub const SYSTEM: &str = "meshagent-system";
/// The operator's service account, as the API server names its user.
pub const OPERATOR: &str = "system:serviceaccount:meshagent-system:meshagent-operator";
/// The groups of the operator's service account.
pub const OPERATOR_GROUPS: [&str; 2] = ["system:serviceaccounts", "system:serviceaccounts:meshagent-system"];
/// How long anything may take on a loaded machine.
pub const LONG: Duration = Duration::from_secs(60);

/// The fixture of a test. The parts that it owns end with it.
pub struct Fixture {
    pub kubectl: Kubectl,
    pub admin: Admin,
    pub api_url: String,
    /// The simulated project, and the name of the cluster project that stands for it.
    pub project: Uuid,
    pub project_name: String,
    pub namespace: Namespace,
    pub control_plane: Plane,
    pub operator: Option<Operator>,
    pub simulator: Option<Simulator>,
}

/// The control plane that all tests share, or one that a test may break.
pub enum Plane {
    Shared(&'static ControlPlane),
    Own(Box<ControlPlane>),
}

impl Plane {
    pub fn get(&self) -> &ControlPlane {
        match self {
            Self::Shared(plane) => plane,
            Self::Own(plane) => plane,
        }
    }
}

struct Common {
    plane: &'static ControlPlane,
    simulator: Simulator,
    operator: Operator,
}

static COMMON: OnceCell<Common> = OnceCell::const_new();

/// The path of a file or folder of the repository.
pub fn in_repository(path: &str) -> PathBuf {
    Path::new(env!("CARGO_MANIFEST_DIR")).join(path)
}

/// The CRDs, as the program prints them.
pub fn crds() -> String {
    let mut text = Vec::new();
    meshagent_operator::cli::crds::run(&mut text).unwrap();
    String::from_utf8(text).unwrap()
}

fn manifests() -> String {
    let namespace = json!({ "apiVersion": "v1", "kind": "Namespace", "metadata": { "name": SYSTEM } });
    format!("{}\n---\n{namespace}\n---\n{}", crds(), rights().join("\n---\n"))
}

/// The rights that the chart gives to the operator and to users.
fn rights() -> Vec<String> {
    let mut role: Value =
        serde_saphyr::from_str(include_str!("../../charts/meshagent-operator/files/role.yaml")).unwrap();
    role["metadata"]["namespace"] = json!(SYSTEM);
    let name = "meshagent-operator";
    let binding = |kind: &str, role: &str, metadata: Value| {
        json!({
            "apiVersion": "rbac.authorization.k8s.io/v1",
            "kind": kind,
            "metadata": metadata,
            "roleRef": { "apiGroup": "rbac.authorization.k8s.io", "kind": role, "name": name },
            "subjects": [{ "kind": "ServiceAccount", "name": name, "namespace": SYSTEM }],
        })
    };
    vec![
        include_str!("../../charts/meshagent-operator/files/cluster-role.yaml").to_owned(),
        include_str!("../../charts/meshagent-operator/files/aggregate-roles.yaml").to_owned(),
        role.to_string(),
        binding("ClusterRoleBinding", "ClusterRole", json!({ "name": name })).to_string(),
        binding("RoleBinding", "Role", json!({ "name": name, "namespace": SYSTEM })).to_string(),
    ]
}

/// Starts the operator as its chart would: with its own rights, and no others.
pub fn start_operator(plane: &ControlPlane, args: &[&str]) -> Operator {
    let address = format!("127.0.0.1:{}", free_port().unwrap());
    let common = ["--http-address", &address, "--log-level", "meshagent_operator=debug,info"];
    start_operator_with(plane, &[&common, args].concat())
}

/// Starts the operator with its own rights, without the flags that tests usually want.
pub fn start_operator_with(plane: &ControlPlane, args: &[&str]) -> Operator {
    start_operator_at(plane.kubeconfig_for(OPERATOR, &OPERATOR_GROUPS).unwrap(), args)
}

/// Starts the operator for the cluster of a kubeconfig, without the flags that tests usually want.
pub fn start_operator_at(kubeconfig: PathBuf, args: &[&str]) -> Operator {
    Operator::start(OperatorOptions {
        binary: env!("CARGO_BIN_EXE_meshagent-operator").into(),
        kubeconfig,
        args: ["--namespace", SYSTEM].iter().chain(args).map(|arg| (*arg).to_owned()).collect(),
        env: Vec::new(),
    })
    .unwrap()
}

async fn start_simulator() -> Simulator {
    let binary = built_binary("meshagent-simulator").unwrap();
    Simulator::start(SimulatorOptions { binary: Some(binary), args: Vec::new() }).await.unwrap()
}

/// The flag by which projects of namespaces may name the simulator.
fn allowing(simulator: &Simulator) -> [&str; 2] {
    ["--allowed-api-hosts", simulator.api()]
}

impl Fixture {
    /// A fixture on the control plane, operator and simulator that tests share.
    pub async fn shared(prefix: &str) -> Self {
        let common = COMMON
            .get_or_init(async || {
                let plane = harness::shared(|| Options { manifests: manifests(), ..Options::default() }).unwrap();
                let simulator = start_simulator().await;
                let operator = start_operator(plane, &allowing(&simulator));
                Common { plane, simulator, operator }
            })
            .await;
        common.operator.process().check_running().unwrap();
        let (api, admin) = (common.simulator.api().to_owned(), common.simulator.admin().to_owned());
        Self::set_up(prefix, Plane::Shared(common.plane), api, &admin, &json!({})).await
    }

    /// A fixture in another cluster with an operator of its own, for the same project at MeshAgent.
    pub async fn beside(&self, prefix: &str) -> Self {
        let plane = ControlPlane::start(Options { manifests: manifests(), ..Options::default() }).await.unwrap();
        let operator = start_operator(&plane, &[]);
        let key = self.admin.create_key(self.project, &Role::ALL).await.unwrap();
        let access = ProjectAccess { project_id: self.project, api_key: key.api_key };
        let plane = Plane::Own(Box::new(plane));
        let mut fixture =
            Self::set_up_in(prefix, plane, self.api_url.clone(), self.admin.clone(), access, &json!({})).await;
        fixture.operator = Some(operator);
        fixture
    }

    /// A fixture on a control plane, an operator and a simulator of its own.
    pub async fn own(prefix: &str, operator_args: &[&str]) -> Self {
        Self::own_with(prefix, operator_args, Options::default(), &json!({})).await
    }

    /// A fixture of its own, with flags for the control plane and more fields for the project's spec.
    pub async fn own_with(prefix: &str, operator_args: &[&str], mut options: Options, project_spec: &Value) -> Self {
        options.manifests = manifests();
        let plane = ControlPlane::start(options).await.unwrap();
        let simulator = start_simulator().await;
        let operator = start_operator(&plane, &[&allowing(&simulator), operator_args].concat());
        let (api, admin) = (simulator.api().to_owned(), simulator.admin().to_owned());
        let mut fixture = Self::set_up(prefix, Plane::Own(Box::new(plane)), api, &admin, project_spec).await;
        (fixture.operator, fixture.simulator) = (Some(operator), Some(simulator));
        fixture
    }

    async fn set_up(prefix: &str, plane: Plane, api_url: String, admin: &str, project_spec: &Value) -> Self {
        let admin = Admin::new(admin).unwrap();
        let access = admin.create_project(None).await.unwrap();
        Self::set_up_in(prefix, plane, api_url, admin, access, project_spec).await
    }

    async fn set_up_in(
        prefix: &str,
        plane: Plane,
        api_url: String,
        admin: Admin,
        access: ProjectAccess,
        project_spec: &Value,
    ) -> Self {
        let namespace = Namespace::create(plane.get(), prefix).await.unwrap();
        let kubectl = plane.get().kubectl().unwrap();
        let project_name = namespace.name().to_owned();
        let fixture = Self {
            kubectl,
            admin,
            api_url,
            project: access.project_id,
            project_name,
            namespace,
            control_plane: plane,
            operator: None,
            simulator: None,
        };
        fixture.put_key(access.api_key.expose()).await;
        fixture.apply(&fixture.project_manifest(project_spec)).await;
        let project = format!("cmaproj/{}", fixture.project_name);
        fixture.kubectl.run(&["wait", &project, "--for=condition=Ready", "--timeout=60s"]).await.ok();
        fixture
    }

    /// The cluster project that stands for the simulated one, with more fields in its spec.
    pub fn project_manifest(&self, more: &Value) -> Value {
        let mut spec = json!({
            "apiUrl": self.api_url,
            "apiKeySecretRef": { "name": self.project_name, "key": "key" },
            "allowedNamespaces": { "names": [self.ns()] },
        });
        for (field, value) in more.as_object().into_iter().flatten() {
            spec[field] = value.clone();
        }
        json!({
            "apiVersion": "meshagent.com/v1alpha1",
            "kind": "ClusterMeshAgentProject",
            "metadata": { "name": self.project_name },
            "spec": spec,
        })
    }

    /// Declares one more project, of its own at MeshAgent, for all namespaces: its key is in a Secret of the same name.
    pub async fn declare_project(&self, name: &str) -> ProjectAccess {
        let access = self.admin.create_project(None).await.unwrap();
        self.put_key_of(name, access.api_key.expose()).await;
        let mut project = self.project_manifest(&json!({ "apiKeySecretRef": { "name": name, "key": "key" } }));
        project["metadata"]["name"] = json!(name);
        self.apply(&project).await;
        access
    }

    /// The manifest of an OAuthClient in this test's namespace and project.
    pub fn client(&self, name: &str, more: &Value) -> Value {
        let mut spec = json!({
            "projectRef": { "kind": "ClusterMeshAgentProject", "name": self.project_name },
            "redirectUris": ["https://shop.example.com/oauth/callback"],
            "scopes": ["profile:read", "rooms:connect"],
        });
        for (field, value) in more.as_object().into_iter().flatten() {
            spec[field] = value.clone();
        }
        json!({
            "apiVersion": "meshagent.com/v1alpha1",
            "kind": "OAuthClient",
            "metadata": { "name": name, "namespace": self.ns() },
            "spec": spec,
        })
    }

    /// Ends this fixture's operator as a user would, so that the next one leads at once.
    pub async fn stop_operator(&mut self) -> Operator {
        let operator = self.operator.take().unwrap();
        let status = operator.process().terminate(LONG).await.unwrap();
        assert!(status.success(), "{status}: {}", operator.process().log_tail());
        operator
    }

    pub fn ns(&self) -> &str {
        self.namespace.name()
    }

    /// Writes the project's key as an administrator would, over one that is there.
    pub async fn put_key(&self, key: &str) {
        self.put_key_of(&self.project_name, key).await;
    }

    async fn put_key_of(&self, project: &str, key: &str) {
        let secret = json!({
            "apiVersion": "v1",
            "kind": "Secret",
            "metadata": { "name": project, "namespace": SYSTEM },
            "stringData": { "key": key },
        });
        self.apply(&secret).await;
    }

    pub async fn apply(&self, manifest: &Value) {
        self.kubectl.run_with_input(&["apply", "-f", "-"], &manifest.to_string()).await.unwrap();
    }

    /// The error of a `kubectl apply` that is to be refused.
    pub async fn refused(&self, manifest: &Value) -> String {
        let args = ["apply", "--validate=strict", "-f", "-"];
        let output = self.kubectl.try_run(&args, &manifest.to_string()).await.unwrap();
        assert!(!output.status.success(), "it was accepted: {}", output.stdout);
        output.stderr
    }

    /// `kubectl` in this test's namespace.
    pub async fn kubectl(&self, args: &[&str]) -> String {
        let args: Vec<&str> = ["-n", self.ns()].iter().chain(args).copied().collect();
        self.kubectl.run(&args).await.unwrap()
    }

    pub async fn wait_ready(&self, name: &str) {
        let client = format!("maoc/{name}");
        self.kubectl(&["wait", &client, "--for=condition=Ready", "--timeout=60s"]).await;
    }

    /// An object as JSON, `managedFields` included.
    pub async fn get(&self, kind: &str, name: &str) -> Value {
        let text = self.kubectl(&["get", kind, name, "-o", "json", "--show-managed-fields"]).await;
        let object = serde_json::from_str(&text).unwrap();
        states::keep(&object);
        object
    }

    pub async fn exists(&self, kind: &str, name: &str) -> bool {
        !self.kubectl(&["get", kind, name, "--ignore-not-found", "-o", "name"]).await.is_empty()
    }

    /// Waits until the object is as `is` wants it; `is` says what is missing otherwise.
    pub async fn until(&self, kind: &str, name: &str, what: &str, is: impl Fn(&Value) -> bool) -> Value {
        eventually(LONG, what, async || {
            let object = self.get(kind, name).await;
            if is(&object) { Ok(object) } else { Err(object["status"].to_string()) }
        })
        .await
        .unwrap()
    }

    /// The calls of this test's project that reached the simulator.
    pub async fn calls(&self) -> Vec<Call> {
        let calls = self.admin.calls().await.unwrap();
        calls.into_iter().filter(|call| call.project == Some(self.project)).collect()
    }

    /// How many calls of a method for this test's project have reached the simulator.
    pub async fn count(&self, method: &str) -> usize {
        self.calls().await.iter().filter(|call| call.method == method).count()
    }

    /// Waits until the project was listed `more` times again.
    pub async fn resyncs(&self, more: usize) {
        let listings = async || {
            let calls = self.calls().await;
            calls.iter().filter(|call| call.route == Some(Route::ClientsList) && call.status == Some(200)).count()
        };
        let wanted = listings().await + more;
        eventually(LONG, "more resyncs", async || {
            let now = listings().await;
            if now >= wanted { Ok(()) } else { Err(now.to_string()) }
        })
        .await
        .unwrap();
    }

    /// The ids of the clients that the simulated project holds.
    pub async fn remote_ids(&self) -> Vec<String> {
        let state = self.admin.state().await.unwrap();
        state.clients_of(self.project).into_iter().map(|client| client.client_id).collect()
    }

    /// Whether MeshAgent accepts the credential in a Secret.
    pub async fn accepts(&self, secret: &Value) -> bool {
        let (client_id, client_secret) = (datum(secret, "CLIENT_ID"), datum(secret, "CLIENT_SECRET"));
        self.admin.verify(self.project, &client_id, &client_secret).await.unwrap()
    }

    pub async fn until_remote(&self, what: &str, is: impl Fn(&[String]) -> bool) {
        eventually(LONG, what, async || {
            let ids = self.remote_ids().await;
            if is(&ids) { Ok(()) } else { Err(format!("{ids:?}")) }
        })
        .await
        .unwrap();
    }
}

/// The status and the reason of a condition: `True/Ready`; empty if there is none.
pub fn condition(object: &Value, type_: &str) -> String {
    let conditions = object["status"]["conditions"].as_array().cloned().unwrap_or_default();
    let found = conditions.iter().find(|condition| condition["type"] == type_);
    let text = |value: &Value| value.as_str().unwrap_or_default().to_owned();
    found.map(|found| format!("{}/{}", text(&found["status"]), text(&found["reason"]))).unwrap_or_default()
}

/// The message of a condition.
pub fn message(object: &Value, type_: &str) -> String {
    let conditions = object["status"]["conditions"].as_array().cloned().unwrap_or_default();
    let found = conditions.iter().find(|condition| condition["type"] == type_);
    found.and_then(|found| found["message"].as_str()).unwrap_or_default().to_owned()
}

/// A datum of a Secret, decoded. Never print it.
pub fn datum(secret: &Value, key: &str) -> String {
    use base64::Engine;
    let text = secret["data"][key].as_str().unwrap_or_default();
    String::from_utf8(base64::engine::general_purpose::STANDARD.decode(text).unwrap()).unwrap()
}

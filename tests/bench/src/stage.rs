//! A control plane with the product's objects, the simulator, and the operator if it is started.

use std::path::Path;
use std::time::{Duration, Instant};

use harness::{ControlPlane, Operator, OperatorOptions, Options, Simulator, SimulatorOptions, built_binary, free_port};
use k8s_openapi::api::coordination::v1::Lease;
use k8s_openapi::api::core::v1::{Namespace, Secret};
use kube::api::{DynamicObject, ListParams, PostParams};
use kube::runtime::watcher;
use kube::{Api, Client};
use serde::de::DeserializeOwned;
use serde_json::{Value, json};
use simulator::admin::Admin;
use uuid::Uuid;

use crate::error::{Error, Result};
use crate::names::{FIRST, LABEL, NAMESPACE, OPERATOR, OPERATOR_GROUPS, SYSTEM, cluster_projects, oauth_clients};
use crate::observer::{Observer, Prefixes};
use crate::process::{self, Memory};
use crate::requests::{Audit, Requests};

/// How long a start may take on a loaded machine.
pub const START: Duration = Duration::from_secs(300);
/// How often something is looked at whose time is measured.
const LOOK: Duration = Duration::from_millis(10);
/// A process that takes less than a tick in each of so many looks is quiet.
const QUIET: (u32, Duration) = (4, Duration::from_millis(250));

/// CPU time by process.
pub type Cpu = Vec<(&'static str, Duration)>;

/// The running programs.
pub struct Stage {
    // Fields drop in this order: the operator is not to see the others vanish.
    operator: Option<Replica>,
    pub simulator: Simulator,
    pub plane: ControlPlane,
    pub admin: Admin,
    pub client: Client,
    audit: Audit,
}

/// A running operator, and where it tells of itself.
pub struct Replica {
    pub operator: Operator,
    address: String,
}

impl Replica {
    async fn is_ready(&self) -> bool {
        let answer = reqwest::get(format!("http://{}/readyz", self.address)).await;
        answer.is_ok_and(|answer| answer.status().is_success())
    }

    /// One of its gauges, by its name without the prefix.
    pub async fn gauge(&self, name: &str) -> Result<u64> {
        let doing = || Error::http("reading the operator's metrics");
        let answer = reqwest::get(format!("http://{}/metrics", self.address)).await.map_err(doing())?;
        let text = answer.text().await.map_err(doing())?;
        let series = format!("meshagent_operator_{name} ");
        let value = text.lines().find_map(|line| line.strip_prefix(&series));
        let value = value.and_then(|number| number.trim().parse().ok());
        value.ok_or_else(|| Error::Unexpected(format!("the operator's metrics do not tell {name}")))
    }
}

impl Stage {
    /// Starts all but the operator, with one project.
    pub async fn set_up() -> Result<Self> {
        let audit = Audit::of(OPERATOR)?;
        let manifests = include_str!("../../../crds/meshagent.com.yaml").to_owned();
        let options = Options { apiserver_args: audit.flags(), manifests, ..Options::default() };
        let plane = ControlPlane::start(options).await?;
        let simulator = Simulator::start(SimulatorOptions::default()).await?;
        let admin = Admin::new(simulator.admin())?;
        let client = plane.admin().await?;
        let deploy = Path::new(env!("CARGO_MANIFEST_DIR")).join("../../deploy");
        plane.kubectl()?.run(&["apply", "--server-side", "-k", &deploy.display().to_string()]).await?;
        let stage = Self { operator: None, simulator, plane, admin, client, audit };
        let namespace = parsed(json!({ "metadata": { "name": NAMESPACE } }))?;
        let namespaces: Api<Namespace> = Api::all(stage.client.clone());
        let created = namespaces.create(&PostParams::default(), &namespace).await;
        created.map_err(Error::kubernetes("creating the namespace"))?;
        let project = stage.simulator.projects().first().cloned();
        let project = project.ok_or_else(|| Error::Unexpected("the simulator has no project".to_owned()))?;
        stage.declare_project("default", &project.api_key).await?;
        Ok(stage)
    }

    /// Declares a project for all namespaces, with its key.
    pub async fn declare_project(&self, name: &str, api_key: &str) -> Result<()> {
        let key = parsed(json!({ "metadata": { "name": name }, "stringData": { "key": api_key } }))?;
        let secrets: Api<Secret> = Api::namespaced(self.client.clone(), SYSTEM);
        let stored = secrets.create(&PostParams::default(), &key).await;
        stored.map_err(Error::kubernetes(format!("storing the key of project {name}")))?;
        let project = DynamicObject::new(name, &cluster_projects()).data(json!({ "spec": {
            "apiUrl": self.simulator.api(),
            "apiKeySecretRef": { "name": name, "key": "key" },
            "allowedNamespaces": { "selector": {} },
        } }));
        let projects: Api<DynamicObject> = Api::all_with(self.client.clone(), &cluster_projects());
        let declared = projects.create(&PostParams::default(), &project).await;
        declared.map(drop).map_err(Error::kubernetes(format!("declaring project {name}")))
    }

    /// The id of the simulator's project.
    pub fn project(&self) -> Result<Uuid> {
        let project = self.simulator.projects().first();
        let id = project.and_then(|project| project.project_id.parse().ok());
        id.ok_or_else(|| Error::Unexpected("the simulator has no project".to_owned()))
    }

    /// The clients of the benchmark's namespace.
    pub fn objects(&self) -> Api<DynamicObject> {
        Api::namespaced_with(self.client.clone(), NAMESPACE, &oauth_clients())
    }

    /// The Secrets of the benchmark's namespace.
    pub fn secrets(&self) -> Api<Secret> {
        Api::namespaced(self.client.clone(), NAMESPACE)
    }

    /// Watches the clients whose names begin so, and the first one.
    pub fn observe(&self, mass: &str, probes: &str) -> Observer {
        let prefixes = Prefixes { mass: mass.to_owned(), probes: probes.to_owned() };
        Observer::start(self.objects(), watcher::Config::default(), prefixes)
    }

    /// Watches the first client alone.
    pub fn observe_first(&self) -> Observer {
        let prefixes = Prefixes { mass: FIRST.to_owned(), probes: FIRST.to_owned() };
        Observer::start(self.objects(), watcher::Config::default().fields(&format!("metadata.name={FIRST}")), prefixes)
    }

    /// Starts the operator with its own rights, and returns when that was.
    pub fn start_operator(&mut self, args: &[String]) -> Result<Instant> {
        let began = Instant::now();
        self.operator = Some(self.start_replica(args)?);
        Ok(began)
    }

    /// Starts one more operator with its own rights.
    pub fn start_replica(&self, args: &[String]) -> Result<Replica> {
        let address = format!("127.0.0.1:{}", free_port()?);
        let flags = [format!("--http-address={address}"), format!("--namespace={SYSTEM}")];
        let options = OperatorOptions {
            binary: built_binary("meshagent-operator")?,
            kubeconfig: self.plane.kubeconfig_for(OPERATOR, &OPERATOR_GROUPS)?,
            args: flags.iter().chain(args).cloned().collect(),
            env: vec![],
        };
        Ok(Replica { operator: Operator::start(options)?, address })
    }

    /// Waits until the operator says that it is ready.
    pub async fn operator_ready(&self) -> Result<()> {
        let end = Instant::now() + START;
        let Some(replica) = &self.operator else {
            return Err(Error::Unexpected("no operator was started".to_owned()));
        };
        loop {
            if replica.is_ready().await {
                return Ok(());
            }
            replica.operator.process().check_running()?;
            if Instant::now() > end {
                return Err(Error::Unexpected(format!("the operator is not ready within {START:?}")));
            }
            tokio::time::sleep(LOOK).await;
        }
    }

    /// Ends the operator as a user would, so that the next one leads at once.
    pub async fn stop_operator(&mut self) -> Result<()> {
        if let Some(replica) = self.operator.take() {
            let status = replica.operator.process().terminate(START).await?;
            if !status.success() {
                return Err(Error::Unexpected(format!("the operator ended with {status}")));
            }
        }
        Ok(())
    }

    /// Waits until the operator does nothing more, and returns when it last did something.
    pub async fn quiet(&self) -> Result<Instant> {
        let ((wanted, pause), now) = (QUIET, Instant::now());
        let Some(pid) = self.operator_pid() else {
            // The audit log tells of a request only after its answer, which a watch may overtake.
            tokio::time::sleep(pause * wanted).await;
            return Ok(now);
        };
        let (mut last, mut busy, mut quiet) = (process::cpu(pid)?, Instant::now(), 0);
        while quiet < wanted {
            tokio::time::sleep(pause).await;
            let now = process::cpu(pid)?;
            quiet += 1;
            // One tick is what a renewed Lease or a look at the clock may take.
            if now.saturating_sub(last) > Duration::from_millis(10) {
                (busy, quiet) = (Instant::now(), 0);
            }
            last = now;
        }
        Ok(busy)
    }

    fn operator_pid(&self) -> Option<u32> {
        self.operator.as_ref().and_then(|replica| replica.operator.process().pid())
    }

    /// The CPU time that the operator has taken.
    pub fn operator_cpu(&self) -> Result<Duration> {
        self.operator_pid().map_or(Ok(Duration::ZERO), process::cpu)
    }

    /// The operator's memory.
    pub fn memory(&self) -> Result<Memory> {
        self.operator_pid().map_or(Ok(Memory::default()), process::memory)
    }

    /// The CPU time that each process has taken.
    pub fn cpu(&self) -> Result<Cpu> {
        let controllers = self.plane.controller_manager().and_then(harness::Process::pid);
        let processes = [
            ("operator", self.operator_pid()),
            ("kube-apiserver", self.plane.apiserver().pid()),
            ("etcd", self.plane.etcd().pid()),
            ("kube-controller-manager", controllers),
            ("simulator", self.simulator.process().pid()),
            ("benchmark", Some(std::process::id())),
        ];
        let running = processes.into_iter().filter_map(|(name, pid)| Some((name, pid?)));
        running.map(|(name, pid)| Ok((name, process::cpu(pid)?))).collect()
    }

    /// Begins to count requests.
    pub async fn begin_count(&self) -> Result<()> {
        self.admin.clear_calls().await?;
        self.audit.begin()
    }

    /// The requests since the count was begun.
    pub async fn requests(&self) -> Result<Requests> {
        let mut requests = Requests::default();
        requests.count_calls(&self.admin.calls().await?);
        self.audit.count(NAMESPACE, &mut requests)?;
        Ok(requests)
    }

    /// How many OAuthClients, Secrets of clients, and Leases of the operator there are.
    pub async fn count_objects(&self) -> Result<[u64; 3]> {
        let listed = self.objects().list_metadata(&ListParams::default()).await;
        let clients = listed.map_err(Error::kubernetes("listing OAuthClients"))?.items.len();
        let leases: Api<Lease> = Api::namespaced(self.client.clone(), SYSTEM);
        let listed = leases.list_metadata(&ListParams::default()).await;
        let leases = listed.map_err(Error::kubernetes("listing Leases"))?.items.len();
        Ok([clients, self.count_secrets().await?, leases].map(|count| u64::try_from(count).unwrap_or(u64::MAX)))
    }

    /// How many Secrets of clients there are.
    pub async fn count_secrets(&self) -> Result<usize> {
        let listed = self.secrets().list_metadata(&ListParams::default().labels(LABEL)).await;
        listed.map(|listed| listed.items.len()).map_err(Error::kubernetes("listing Secrets"))
    }
}

/// The sums of CPU time between two looks.
pub fn cpu_between(before: &Cpu, after: &Cpu) -> Cpu {
    let at = |name: &str| before.iter().find(|(other, _)| *other == name).map_or(Duration::ZERO, |(_, time)| *time);
    after.iter().map(|(name, time)| (*name, time.saturating_sub(at(name)))).collect()
}

/// A Kubernetes object of its JSON.
pub fn parsed<T: DeserializeOwned>(object: Value) -> Result<T> {
    serde_json::from_value(object).map_err(|error| Error::Unexpected(format!("an object cannot be made: {error}")))
}

//! The webhook's replicas as processes. The API server calls them through the chart's Service: its EndpointSlices are those
//! of kube-controller-manager for the pods of the Deployment. A stand-in for the kubelet mounts their Secret, each at its own
//! time, and a stand-in for the network of pods connects the API server with those that are ready.

use std::collections::BTreeMap;
use std::fs;
use std::net::SocketAddr;
use std::path::PathBuf;
use std::sync::Arc;
use std::time::Duration;

use futures::future::join_all;
use harness::{
    ControlPlane, Kubectl, Operator, Options, Process, Program, Workdir, eventually, free_port, machine_address,
};
use k8s_openapi::api::core::v1::Secret;
use kube::Api;
use serde_json::Value;
use tokio::io::copy_bidirectional;
use tokio::net::{TcpListener, TcpStream};
use tokio::task::JoinSet;

use crate::chart::release::{Cluster, SYSTEM, text, until_ready};
use crate::fixture::LONG;

/// The configuration, and the Secret, of a release that is called as the chart.
pub(crate) const CONFIGURATION: &str = "meshagent-operator";
/// The Deployment of the webhook, and its Service.
pub(crate) const DEPLOYMENT: &str = "meshagent-operator-webhook";
pub(super) const CERTIFICATE: &str = "meshagent-operator-webhook-certificate";

/// One replica, and where its Secret is mounted.
struct Replica {
    process: Process,
    folder: PathBuf,
    https: SocketAddr,
    http: SocketAddr,
    _workdir: Workdir,
}

impl Replica {
    fn start(args: &[String]) -> Self {
        let workdir = Workdir::create("webhook").unwrap();
        let folder = workdir.path().join("certificates");
        fs::create_dir(&folder).unwrap();
        let [https, http] = [(); 2].map(|()| SocketAddr::from(([127, 0, 0, 1], free_port().unwrap())));
        let mut args = args.to_vec();
        args.retain(|arg| !arg.starts_with("--https-address"));
        args.push(format!("--https-address={https}"));
        args.push(format!("--http-address={http}"));
        args.push(format!("--certificates={}", folder.display()));
        let process = Process::start(Program {
            name: "the webhook".to_owned(),
            path: env!("CARGO_BIN_EXE_meshagent-operator").into(),
            args,
            env: vec![],
            log: workdir.path().join("webhook.log"),
            stdout: None,
        });
        Self { process: process.unwrap(), folder, https, http, _workdir: workdir }
    }

    async fn is_ready(&self) -> bool {
        let url = format!("http://{}/readyz", self.http);
        reqwest::get(url).await.is_ok_and(|answer| answer.status().is_success())
    }

    /// Writes the files of a Secret, in the order in which a careless kubelet might.
    fn mount(&self, files: &BTreeMap<String, Vec<u8>>) {
        for (name, content) in files {
            fs::write(self.folder.join(name), content).unwrap();
        }
    }
}

/// Where the pods of the webhook are reached: all have the address of this machine, and the port tells the tests' apart.
pub(crate) struct PodNetwork(TcpListener);

impl PodNetwork {
    pub(crate) async fn open() -> Self {
        Self(TcpListener::bind((machine_address().unwrap(), 0)).await.unwrap())
    }

    pub(crate) fn port(&self) -> u16 {
        self.0.local_addr().unwrap().port()
    }
}

/// The webhook of an installed release.
pub(crate) struct Webhook {
    replicas: Arc<Vec<Replica>>,
    kubectl: Kubectl,
    port: u16,
    _stand_ins: JoinSet<()>,
}

impl Webhook {
    /// Starts as many replicas as the release's Deployment has, as it would start them, behind the pods of that Deployment.
    pub(crate) async fn start(plane: &ControlPlane, network: PodNetwork) -> Self {
        let (kubectl, port) = (plane.kubectl().unwrap(), network.port());
        let get = ["get", "deployment", DEPLOYMENT, "-n", SYSTEM, "-o", "json"];
        let deployment: Value = serde_json::from_str(&kubectl.run(&get).await.unwrap()).unwrap();
        let pod = &deployment["spec"]["template"]["spec"];
        assert_eq!(pod["automountServiceAccountToken"], false);
        assert_eq!(pod["volumes"][0]["secret"]["secretName"], CERTIFICATE);
        let args: Vec<String> = pod["containers"][0]["args"].as_array().unwrap().iter().map(text).collect();
        let replicas = deployment["spec"]["replicas"].as_u64().unwrap();
        let replicas = Arc::new((0..replicas).map(|_| Replica::start(&args)).collect::<Vec<_>>());
        let secrets: Api<Secret> = Api::namespaced(plane.admin().await.unwrap(), SYSTEM);
        let mut stand_ins = JoinSet::new();
        stand_ins.spawn(mount(secrets, Arc::clone(&replicas)));
        stand_ins.spawn(connect(network.0, Arc::clone(&replicas)));
        Self { replicas, kubectl, port, _stand_ins: stand_ins }
    }

    /// Waits until every replica is ready, and the Service leads to as many pods.
    pub(crate) async fn until_answering(&self) {
        for replica in self.replicas.iter() {
            let ready = async || if replica.is_ready().await { Ok(()) } else { Err("not ready") };
            replica.process.eventually(LONG, "the webhook is ready", ready).await.unwrap();
        }
        self.until_endpoints(self.replicas.len()).await;
    }

    async fn until_endpoints(&self, number: usize) {
        let of_service = format!("kubernetes.io/service-name={DEPLOYMENT}");
        let get = ["get", "endpointslices", "-n", SYSTEM, "-l", &of_service, "-o", "json"];
        eventually(LONG, "the Service leads to the pods that are ready", async || {
            let slices: Value = serde_json::from_str(&self.kubectl.run(&get).await.unwrap()).unwrap();
            let slices = slices["items"].as_array().unwrap();
            let leads_here =
                slices.iter().all(|slice| slice["ports"].as_array().is_none_or(|ports| is_among(ports, self.port)));
            let endpoints = slices.iter().filter_map(|slice| slice["endpoints"].as_array()).flatten();
            let ready = endpoints.filter(|endpoint| endpoint["conditions"]["ready"] == true).count();
            if leads_here && ready == number { Ok(()) } else { Err(format!("{slices:?}")) }
        })
        .await
        .unwrap();
    }

    async fn scale(&self, replicas: usize) {
        let scale = ["scale", "deployment", DEPLOYMENT, "-n", SYSTEM, &format!("--replicas={replicas}")];
        self.kubectl.run(&scale).await.unwrap();
        self.until_endpoints(replicas).await;
    }

    /// Scales the Deployment to zero, and ends all replicas as it does.
    pub(super) async fn stop(&self) {
        self.scale(0).await;
        let ended = join_all(self.replicas.iter().map(|replica| replica.process.terminate(LONG))).await;
        for (status, replica) in ended.into_iter().zip(self.replicas.iter()) {
            assert!(status.unwrap().success(), "{}", replica.process.log_tail());
        }
    }

    /// Scales the Deployment back.
    pub(super) async fn restart(&self) {
        for replica in self.replicas.iter() {
            replica.process.restart().unwrap();
        }
        self.scale(self.replicas.len()).await;
        self.until_answering().await;
    }

    /// Kills a replica, and starts it again.
    pub(super) fn crash(&self, index: usize) {
        self.replicas[index].process.restart().unwrap();
    }

    pub(super) fn logs(&self) -> String {
        self.replicas.iter().map(|replica| replica.process.log()).collect()
    }
}

/// A cluster with an installed release, its operator and its webhook.
pub(crate) struct Injecting {
    pub(crate) cluster: Cluster,
    pub(super) operator: Operator,
    pub(super) webhook: Webhook,
}

impl Injecting {
    pub(crate) async fn start(values: &[&str]) -> Self {
        Self::start_on(Options::default(), values).await
    }

    pub(crate) async fn start_on(options: Options, values: &[&str]) -> Self {
        let cluster = Cluster::start(options).await;
        let network = PodNetwork::open().await;
        let own = format!("defaultProject.secretName=meshagent-api-key,injection.port={}", network.port());
        cluster.install("meshagent-operator", SYSTEM, &[&["--set", &own], values].concat()).await;
        let operator = cluster.run_operator(SYSTEM, "meshagent-operator").await;
        let webhook = Webhook::start(&cluster.plane, network).await;
        webhook.until_answering().await;
        cluster.point_at_simulator().await;
        until_ready(&cluster, SYSTEM, "cmaproj", "default").await;
        cluster.create_open_namespace("shop").await;
        Self { cluster, operator, webhook }
    }
}

impl Cluster {
    /// Creates a namespace whose pods may be admitted at once.
    pub(super) async fn create_open_namespace(&self, name: &str) {
        self.kubectl.run(&["create", "namespace", name]).await.unwrap();
        eventually(LONG, "the namespace has a service account", async || {
            self.kubectl
                .run(&["get", "serviceaccount", "default", "-n", name])
                .await
                .map_err(|error| format!("{error:?}"))
        })
        .await
        .unwrap();
    }
}

fn is_among(ports: &[Value], port: u16) -> bool {
    ports.iter().any(|one| one["name"] == "https" && one["port"] == port)
}

/// Mounts the Secret into each replica when it changes: into the second one seconds later.
async fn mount(secrets: Api<Secret>, replicas: Arc<Vec<Replica>>) {
    let mut mounted = vec![None; replicas.len()];
    for round in 0_usize.. {
        let secret = secrets.get_opt(CERTIFICATE).await.ok().flatten();
        if let Some(data) = secret.and_then(|secret| secret.data) {
            let files: BTreeMap<String, Vec<u8>> = data.into_iter().map(|(name, content)| (name, content.0)).collect();
            for (index, replica) in replicas.iter().enumerate() {
                let is_its_turn = mounted[index].is_none() || round.is_multiple_of(1 + 10 * index);
                if is_its_turn && mounted[index].as_ref() != Some(&files) {
                    replica.mount(&files);
                    mounted[index] = Some(files.clone());
                }
            }
        }
        tokio::time::sleep(Duration::from_millis(300)).await;
    }
}

/// Connects each caller with a replica that is ready, in turn.
async fn connect(listener: TcpListener, replicas: Arc<Vec<Replica>>) {
    let mut connections = JoinSet::new();
    let mut turn = 0;
    while let Ok((mut caller, _)) = listener.accept().await {
        turn += 1;
        let replicas = Arc::clone(&replicas);
        connections.spawn(async move {
            for index in 0..replicas.len() {
                let replica = &replicas[(turn + index) % replicas.len()];
                if !replica.is_ready().await {
                    continue;
                }
                if let Ok(mut replica) = TcpStream::connect(replica.https).await {
                    // Either side may end it.
                    let _ = copy_bidirectional(&mut caller, &mut replica).await;
                    return;
                }
            }
        });
    }
}

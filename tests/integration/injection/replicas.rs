//! The webhook's replicas as processes: a stand-in for the kubelet mounts their Secret, each at its own time, and a
//! stand-in for the Service connects the API server with those that are ready.

use std::collections::BTreeMap;
use std::fs;
use std::net::SocketAddr;
use std::path::PathBuf;
use std::sync::Arc;
use std::time::Duration;

use futures::future::join_all;
use harness::{ControlPlane, Operator, Options, Process, Program, Workdir, eventually, free_port};
use k8s_openapi::api::core::v1::Secret;
use kube::Api;
use meshagent_operator::serving_certificate::{Bundle, Pair};
use rustls::pki_types::{ServerName, UnixTime};
use serde_json::{Value, json};
use tokio::io::copy_bidirectional;
use tokio::net::{TcpListener, TcpStream};
use tokio::task::JoinSet;

use crate::chart::release::{Cluster, SYSTEM, text, until_ready};
use crate::fixture::LONG;

/// The configuration, and the Secret, of a release that is called as the chart.
pub(crate) const CONFIGURATION: &str = "meshagent-operator";
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

/// The webhook of an installed release.
pub(crate) struct Webhook {
    replicas: Arc<Vec<Replica>>,
    _stand_ins: JoinSet<()>,
}

impl Webhook {
    /// Starts as many replicas as the release's Deployment has, as it would start them, and lets the API server find them:
    /// no Service leads from here to a process of this machine.
    pub(crate) async fn start(plane: &ControlPlane) -> Self {
        let kubectl = plane.kubectl().unwrap();
        let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
        let url = format!("https://{}/inject", listener.local_addr().unwrap());
        let here = json!([{ "op": "replace", "path": "/webhooks/0/clientConfig", "value": { "url": url } }]);
        let patch = ["patch", "mutatingwebhookconfiguration", CONFIGURATION, "--type=json", "-p", &here.to_string()];
        kubectl.run(&patch).await.unwrap();
        let get = ["get", "deployment", "meshagent-operator-webhook", "-n", SYSTEM, "-o", "json"];
        let deployment: Value = serde_json::from_str(&kubectl.run(&get).await.unwrap()).unwrap();
        let pod = &deployment["spec"]["template"]["spec"];
        assert_eq!(pod["automountServiceAccountToken"], false);
        assert_eq!(pod["volumes"][0]["secret"]["secretName"], CERTIFICATE);
        let args: Vec<String> = pod["containers"][0]["args"].as_array().unwrap().iter().map(text).collect();
        let replicas = deployment["spec"]["replicas"].as_u64().unwrap();
        let replicas = Arc::new((0..replicas).map(|_| Replica::start(&args)).collect::<Vec<_>>());
        let secrets: Api<Secret> = Api::namespaced(plane.admin().await.unwrap(), SYSTEM);
        until_named(&secrets).await;
        let mut stand_ins = JoinSet::new();
        stand_ins.spawn(mount(secrets, Arc::clone(&replicas)));
        stand_ins.spawn(connect(listener, Arc::clone(&replicas)));
        Self { replicas, _stand_ins: stand_ins }
    }

    /// Waits until every replica is ready.
    pub(crate) async fn until_answering(&self) {
        for replica in self.replicas.iter() {
            let ready = async || if replica.is_ready().await { Ok(()) } else { Err("not ready") };
            replica.process.eventually(LONG, "the webhook is ready", ready).await.unwrap();
        }
    }

    /// Ends all replicas, as a Deployment at zero does.
    pub(super) async fn stop(&self) {
        let ended = join_all(self.replicas.iter().map(|replica| replica.process.terminate(LONG))).await;
        for (status, replica) in ended.into_iter().zip(self.replicas.iter()) {
            assert!(status.unwrap().success(), "{}", replica.process.log_tail());
        }
    }

    pub(super) async fn restart(&self) {
        for replica in self.replicas.iter() {
            replica.process.restart().unwrap();
        }
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
        let with_project = ["--set", "defaultProject.secretName=meshagent-api-key"];
        cluster.install("meshagent-operator", SYSTEM, &[&with_project, values].concat()).await;
        let operator = cluster.run_operator(SYSTEM, "meshagent-operator").await;
        let webhook = Webhook::start(&cluster.plane).await;
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

/// Waits until the operator has issued a certificate for this machine: it issued one for the Service before.
async fn until_named(secrets: &Api<Secret>) {
    eventually(LONG, "the certificate is one for this machine", async || {
        let secret = secrets.get(CERTIFICATE).await.map_err(|error| error.to_string())?;
        let field = |name: &str| secret.data.as_ref().unwrap()[name].0.clone();
        let pair = Pair::parse(&field("tls.crt"), &field("tls.key")).map_err(|problem| problem.to_string())?;
        let here = [ServerName::try_from("127.0.0.1").unwrap()];
        pair.verify(&Bundle::parse(&field("ca.crt")), &here, UnixTime::now()).map_err(|problem| problem.to_string())
    })
    .await
    .unwrap();
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

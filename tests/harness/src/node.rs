//! A node without containers: kube-scheduler binds pods to it, and kwok says that they run.

use std::{
    net::{IpAddr, UdpSocket},
    path::Path,
};

use k8s_openapi::api::core::v1::Node as Object;
use kube::{Api, Client, api::PostParams};
use serde_json::{Value, json};

use crate::{
    Error, Process, Result, Workdir, assets,
    components::{START, program},
};

/// The name of the node.
pub const NODE: &str = "node";

/// kube-scheduler, and kwok as the node's kubelet.
#[derive(Debug)]
pub(crate) struct Node {
    pub(crate) scheduler: Process,
    pub(crate) kwok: Process,
}

impl Node {
    /// Starts both, and waits until the node is Ready.
    pub(crate) async fn start(workdir: &Workdir, client: Client, scheduler: &Path, admin: &Path) -> Result<Self> {
        let nodes: Api<Object> = Api::all(client);
        let object = serde_json::from_value(json!({
            "apiVersion": "v1", "kind": "Node",
            "metadata": { "name": NODE, "labels": { "kubernetes.io/hostname": NODE, "kubernetes.io/os": "linux" } },
        }));
        let creating = || "creating the node".to_owned();
        let object = object.map_err(Error::kubernetes(creating()))?;
        nodes.create(&PostParams::default(), &object).await.map_err(Error::kubernetes(creating()))?;
        let node = Self { scheduler: start_scheduler(workdir, scheduler)?, kwok: start_kwok(workdir, admin)? };
        node.kwok
            .eventually(START, "the node is Ready and pods are bound to it", async || {
                let object = nodes.get(NODE).await.map_err(|error| error.to_string())?;
                let is_tainted = object.spec.is_some_and(|spec| spec.taints.is_some());
                let conditions = object.status.and_then(|status| status.conditions).unwrap_or_default();
                let is_ready = conditions.iter().any(|one| one.type_ == "Ready" && one.status == "True");
                if is_ready && !is_tainted { Ok(()) } else { Err(format!("{conditions:?}")) }
            })
            .await?;
        Ok(node)
    }
}

/// The address that this machine has beside loopback, at which its processes stand in for pods: no endpoint may be on
/// loopback.
///
/// # Errors
/// The machine has no such address.
pub fn machine_address() -> Result<IpAddr> {
    let failed = || Error::io("looking for an address of this machine beside loopback");
    let socket = UdpSocket::bind("0.0.0.0:0").map_err(failed())?;
    // Nothing is sent: the address is one for documentation, and its route names the address that would be sent from.
    socket.connect("192.0.2.1:9").map_err(failed())?;
    Ok(socket.local_addr().map_err(failed())?.ip())
}

fn start_scheduler(workdir: &Workdir, kubeconfig: &Path) -> Result<Process> {
    let args = vec![
        format!("--kubeconfig={}", kubeconfig.display()),
        "--leader-elect=false".to_owned(),
        // The port serves metrics only, which no test reads.
        "--secure-port=0".to_owned(),
    ];
    Process::start(program(workdir, "kube-scheduler", &assets::tool("kube-scheduler")?, args))
}

fn start_kwok(workdir: &Workdir, kubeconfig: &Path) -> Result<Process> {
    let stages = stages(&machine_address()?.to_string()).map(|stage| stage.to_string()).join("\n---\n");
    let stages = workdir.write("stages.yaml", &stages)?;
    let args = vec![
        format!("--kubeconfig={}", kubeconfig.display()),
        format!("--config={}", stages.display()),
        format!("--manage-single-node={NODE}"),
        // Without a Lease of its own the node is taken for lost after 50 seconds, and its pods for not ready.
        "--node-lease-duration-seconds=40".to_owned(),
        // Logs and exec of a pod are served at no port.
        "--node-port=0".to_owned(),
    ];
    let mut program = program(workdir, "kwok", &assets::tool("kwok")?, args);
    // A configuration of the user's own does not count.
    program.env = vec![("KWOK_WORKDIR".to_owned(), workdir.path().join("kwok").display().to_string())];
    Process::start(program)
}

/// What becomes of the node and its pods: the node is Ready, a pod runs at once at this address, and a deleted pod goes
/// at once. Whether an image, a Secret or a volume is there makes no difference.
fn stages(address: &str) -> [Value; 3] {
    let stage = |name: &str, kind: &str, when: Value, next: Value| {
        json!({
            "apiVersion": "kwok.x-k8s.io/v1alpha1", "kind": "Stage", "metadata": { "name": name },
            "spec": {
                "resourceRef": { "apiGroup": "v1", "kind": kind }, "selector": { "matchExpressions": when }, "next": next,
            },
        })
    };
    let is_ready = ".status.conditions.[] | select( .type == \"Ready\" ) | .status";
    let is_deleted = |operator: &str| json!({ "key": ".metadata.deletionTimestamp", "operator": operator });
    [
        stage(
            "node-ready",
            "Node",
            json!([{ "key": is_ready, "operator": "NotIn", "values": ["True"] }]),
            json!({ "statusTemplate": NODE_STATUS.replace("ADDRESS", address) }),
        ),
        stage(
            "pod-ready",
            "Pod",
            json!([is_deleted("DoesNotExist"), { "key": ".status.phase", "operator": "In", "values": ["Pending"] }]),
            json!({ "statusTemplate": POD_STATUS.replace("ADDRESS", address) }),
        ),
        stage("pod-gone", "Pod", json!([is_deleted("Exists")]), json!({ "delete": true })),
    ]
}

const NODE_STATUS: &str = r#"
addresses: [{ type: InternalIP, address: ADDRESS }, { type: Hostname, address: node }]
allocatable: &room { cpu: "1000", memory: 1Ti, pods: "10000" }
capacity: *room
conditions:
- { type: Ready, status: "True", reason: KubeletReady, lastHeartbeatTime: {{ Now | Quote }}, lastTransitionTime: {{ Now | Quote }} }
"#;

const POD_STATUS: &str = r#"
phase: Running
startTime: {{ Now | Quote }}
hostIP: ADDRESS
hostIPs: [{ ip: ADDRESS }]
podIP: ADDRESS
podIPs: [{ ip: ADDRESS }]
conditions:
{{ range $type := list "Initialized" "ContainersReady" "Ready" }}
- { type: {{ $type }}, status: "True", lastTransitionTime: {{ Now | Quote }} }
{{ end }}
containerStatuses:
{{ range .spec.containers }}
- name: {{ .name | Quote }}
  image: {{ .image | Quote }}
  imageID: ""
  ready: true
  started: true
  restartCount: 0
  state: { running: { startedAt: {{ Now | Quote }} } }
{{ end }}
"#;

//! The webhook under load: admissions over TLS, on connections that are kept open, by a process on one core.

use std::pin::pin;
use std::process::Stdio;
use std::sync::Arc;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::time::{Duration, Instant};

use harness::{Process, Program, Workdir, built_binary, free_port};
use rcgen::{
    BasicConstraints, CertificateParams, CertifiedIssuer, DnType, ExtendedKeyUsagePurpose, IsCa, KeyPair,
    KeyUsagePurpose,
};
use serde_json::json;
use tokio::process::Command;
use tokio::task::JoinSet;

use crate::error::{Error, Result};
use crate::process::{self, Memory};
use crate::stage::START;

/// How many connections an API server that is busy has open.
const CONNECTIONS: usize = 8;
/// How many admissions are measured at a time.
const ADMISSIONS: usize = 20_000;
/// How many are asked for first, so that everything is warm.
const WARM_UP: usize = 1_000;

/// The figures of the webhook.
pub struct Admissions {
    /// The core that the webhook was bound to; `None` where nothing can bind it.
    pub core: Option<&'static str>,
    /// A second, with all connections busy.
    pub rate: f64,
    pub cpu: Duration,
    /// How long each admission took, with all connections busy.
    pub busy: Vec<Duration>,
    /// How long each admission took, one after the other.
    pub single: Vec<Duration>,
    pub before: Memory,
    pub after: Memory,
}

/// The webhook, and who calls it.
pub struct Webhook {
    process: Process,
    caller: Arc<Caller>,
    core: Option<&'static str>,
    _workdir: Workdir,
}

impl Webhook {
    /// Measures the webhook alone.
    pub async fn measure(&self) -> Result<Admissions> {
        let Self { process, caller, core, .. } = self;
        let pid = process.pid().ok_or_else(|| Error::Unexpected("the webhook does not run".to_owned()))?;
        let before = process::memory(pid)?;
        admit(caller, WARM_UP, CONNECTIONS).await?;
        let (cpu, began) = (process::cpu(pid)?, Instant::now());
        let busy = admit(caller, ADMISSIONS, CONNECTIONS).await?;
        let rate = ADMISSIONS as f64 / began.elapsed().as_secs_f64();
        let cpu = process::cpu(pid)?.saturating_sub(cpu);
        let after = process::memory(pid)?;
        let single = admit(caller, ADMISSIONS / 10, 1).await?;
        Ok(Admissions { core: *core, rate, cpu, busy, single, before, after })
    }

    /// Asks for one admission after the other until something else is done, and returns how long each took.
    pub async fn admit_during(&self, work: impl Future<Output = Result<()>>) -> Result<Vec<Duration>> {
        let (mut times, mut work) = (Vec::new(), pin!(work));
        loop {
            tokio::select! {
                done = &mut work => return done.map(|()| times),
                took = self.caller.ask() => times.push(took?),
            }
        }
    }
}

/// Starts the webhook, bound to one core where that can be done.
pub async fn start() -> Result<Webhook> {
    let workdir = Workdir::create("webhook")?;
    let authority = certificates(&workdir)?;
    let [https, http] = [free_port()?, free_port()?];
    let binary = built_binary("meshagent-operator")?;
    let args = [
        "webhook".to_owned(),
        format!("--https-address=127.0.0.1:{https}"),
        format!("--http-address=127.0.0.1:{http}"),
        format!("--certificates={}", workdir.path().display()),
    ];
    let core = can_bind().await.then_some("0");
    // taskset becomes the program that it starts, so the process's number stays.
    let (path, args) = match core {
        Some(core) => {
            let bound = ["-c".to_owned(), core.to_owned(), binary.display().to_string()];
            ("taskset".into(), bound.into_iter().chain(args).collect())
        }
        None => (binary, args.to_vec()),
    };
    let log = workdir.path().join("webhook.log");
    let process =
        Process::start(Program { name: "the webhook".to_owned(), path, args, env: vec![], log, stdout: None })?;
    let ready = format!("http://127.0.0.1:{http}/readyz");
    let is_ready = async || reqwest::get(&ready).await.and_then(reqwest::Response::error_for_status);
    process.eventually(START, "the webhook is ready", is_ready).await?;
    let caller = Arc::new(Caller::new(https, &authority)?);
    Ok(Webhook { process, caller, core, _workdir: workdir })
}

/// Whether a process can be bound to a core here.
async fn can_bind() -> bool {
    let mut taskset = Command::new("taskset");
    taskset.args(["-c", "0", "true"]).stdin(Stdio::null()).stdout(Stdio::null()).stderr(Stdio::null());
    taskset.status().await.is_ok_and(|status| status.success())
}

/// Sends reviews.
struct Caller {
    http: reqwest::Client,
    url: String,
    review: String,
}

impl Caller {
    fn new(port: u16, authority: &str) -> Result<Self> {
        let making = || Error::http("making an HTTPS client");
        let authority = reqwest::Certificate::from_pem(authority.as_bytes()).map_err(making())?;
        let http = reqwest::Client::builder().no_proxy().tls_certs_only([authority]).build().map_err(making())?;
        Ok(Self { http, url: format!("https://127.0.0.1:{port}/inject"), review: review().to_string() })
    }

    async fn ask(&self) -> Result<Duration> {
        let (doing, began) = (|| Error::http("asking the webhook"), Instant::now());
        let request = self.http.post(&self.url).header("Content-Type", "application/json").body(self.review.clone());
        let answer = request.send().await.and_then(reqwest::Response::error_for_status).map_err(doing())?;
        let text = answer.text().await.map_err(doing())?;
        let took = began.elapsed();
        if text.contains("JSONPatch") { Ok(took) } else { Err(Error::Unexpected("a pod was given nothing".to_owned())) }
    }
}

/// Asks for so many admissions on so many connections, and returns how long each took.
async fn admit(caller: &Arc<Caller>, count: usize, connections: usize) -> Result<Vec<Duration>> {
    let left = Arc::new(AtomicUsize::new(count));
    let mut callers = JoinSet::new();
    for _ in 0..connections {
        let (caller, left) = (Arc::clone(caller), Arc::clone(&left));
        callers.spawn(async move {
            let mut times = Vec::new();
            while left.fetch_update(Ordering::Relaxed, Ordering::Relaxed, |left| left.checked_sub(1)).is_ok() {
                times.push(caller.ask().await?);
            }
            Ok::<_, Error>(times)
        });
    }
    let mut all = Vec::new();
    while let Some(ended) = callers.join_next().await {
        all.extend(ended.map_err(|error| Error::Unexpected(format!("a caller ended badly: {error}")))??);
    }
    Ok(all)
}

/// A review of a pod with two containers, as an API server sends it.
fn review() -> serde_json::Value {
    let container = |name: &str| {
        json!({
            "name": name, "image": format!("registry.example.com/{name}:1.2.3"), "imagePullPolicy": "IfNotPresent",
            "env": [{ "name": "LOG_LEVEL", "value": "info" }],
            "ports": [{ "containerPort": 8080, "protocol": "TCP" }],
            "resources": { "requests": { "cpu": "100m", "memory": "128Mi" }, "limits": { "memory": "256Mi" } },
            "volumeMounts": [{ "name": "kube-api-access", "mountPath": "/var/run/secrets/kubernetes.io/serviceaccount" }],
            "terminationMessagePath": "/dev/termination-log", "terminationMessagePolicy": "File",
        })
    };
    let pod = json!({
        "apiVersion": "v1", "kind": "Pod",
        "metadata": {
            "generateName": "shop-7d4b9c6f5-", "namespace": "shop",
            "labels": { "app": "shop", "pod-template-hash": "7d4b9c6f5", "meshagent.com/oauth-client": "web" },
        },
        "spec": {
            "containers": [container("app"), container("worker")],
            "restartPolicy": "Always", "serviceAccountName": "default", "schedulerName": "default-scheduler",
            "volumes": [{ "name": "kube-api-access", "emptyDir": {} }],
        },
    });
    json!({
        "apiVersion": "admission.k8s.io/v1", "kind": "AdmissionReview",
        "request": {
            "uid": "705ab4f5-6393-11e8-b7cc-42010a800002", "operation": "CREATE", "namespace": "shop",
            "kind": { "group": "", "version": "v1", "kind": "Pod" },
            "resource": { "group": "", "version": "v1", "resource": "pods" },
            "userInfo": { "username": "system:serviceaccount:kube-system:replicaset-controller" },
            "object": pod, "dryRun": false,
        },
    })
}

/// Writes a certificate with its key and its authority as their Secret is mounted, and returns the authority's, as PEM.
fn certificates(workdir: &Workdir) -> Result<String> {
    let mut params = CertificateParams::default();
    params.distinguished_name.push(DnType::CommonName, "the benchmark's authority");
    params.is_ca = IsCa::Ca(BasicConstraints::Constrained(0));
    params.key_usages = vec![KeyUsagePurpose::KeyCertSign, KeyUsagePurpose::DigitalSignature];
    let authority = CertifiedIssuer::self_signed(params, KeyPair::generate()?)?;
    let mut params = CertificateParams::new(vec!["127.0.0.1".to_owned()])?;
    params.extended_key_usages = vec![ExtendedKeyUsagePurpose::ServerAuth];
    params.key_usages = vec![KeyUsagePurpose::DigitalSignature];
    let key = KeyPair::generate()?;
    let certificate = params.signed_by(&key, &authority)?;
    workdir.write("tls.crt", &certificate.pem())?;
    workdir.write("tls.key", &key.serialize_pem())?;
    workdir.write("ca.crt", &authority.pem())?;
    Ok(authority.pem())
}

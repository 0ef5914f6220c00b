//! The flags of etcd, kube-apiserver and kube-controller-manager.

use std::{
    path::{Path, PathBuf},
    time::Duration,
};

use crate::{
    Error, Process, Program, Result, Workdir,
    access::Access,
    assets,
    certificates::{Authority, service_account_key},
    controlplane::Options,
    free_port,
};

/// How long a component may take to start on a loaded machine.
pub(crate) const START: Duration = Duration::from_secs(90);

/// The folder of etcd's data, in the control plane's.
pub(crate) const ETCD_DATA: &str = "etcd";

/// How often a start is tried when another process takes a port first.
const ATTEMPTS: usize = 5;

/// The files that components are started with.
pub(crate) struct Files {
    ca: PathBuf,
    server_certificate: PathBuf,
    server_key: PathBuf,
    service_account_public: PathBuf,
    service_account_private: PathBuf,
}

impl Files {
    pub(crate) fn write(workdir: &Workdir, authority: &Authority) -> Result<Self> {
        let server = authority.server()?;
        let (public, private) = service_account_key()?;
        Ok(Self {
            ca: workdir.write("ca.pem", &authority.certificate())?,
            server_certificate: workdir.write("server.pem", &server.certificate)?,
            server_key: workdir.write("server-key.pem", &server.key)?,
            service_account_public: workdir.write("service-account.pem", &public)?,
            service_account_private: workdir.write("service-account-key.pem", &private)?,
        })
    }
}

/// Starts etcd and returns the URL that it serves clients on.
pub(crate) async fn start_etcd(workdir: &Workdir, options: &Options) -> Result<(Process, String)> {
    let path = assets::tool("etcd")?;
    for _ in 1..ATTEMPTS {
        match try_etcd(workdir, &path, options).await {
            Err(error) if port_was_taken(&error) => {}
            started => return started,
        }
    }
    try_etcd(workdir, &path, options).await
}

async fn try_etcd(workdir: &Workdir, path: &Path, options: &Options) -> Result<(Process, String)> {
    let client = format!("http://127.0.0.1:{}", free_port()?);
    let peer = format!("http://127.0.0.1:{}", free_port()?);
    let mut args = vec![
        format!("--data-dir={}", workdir.path().join(ETCD_DATA).display()),
        format!("--listen-client-urls={client}"),
        format!("--advertise-client-urls={client}"),
        format!("--listen-peer-urls={peer}"),
        format!("--initial-advertise-peer-urls={peer}"),
        format!("--initial-cluster=default={peer}"),
        // A killed process loses nothing that it has written; only a crash of the machine would.
        "--unsafe-no-fsync".to_owned(),
        "--log-level=warn".to_owned(),
    ];
    args.extend_from_slice(&options.etcd_args);
    let process = Process::start(program(workdir, "etcd", path, args))?;
    let health = format!("{client}/health");
    process
        .eventually(START, "etcd is healthy", async || {
            reqwest::get(&health).await.and_then(reqwest::Response::error_for_status)
        })
        .await?;
    Ok((process, client))
}

/// Starts kube-apiserver and waits until it serves.
pub(crate) async fn start_apiserver(
    workdir: &Workdir,
    files: &Files,
    authority: Authority,
    etcd: &str,
    options: &Options,
) -> Result<(Process, Access)> {
    let path = assets::tool("kube-apiserver")?;
    let mut access = Access { url: String::new(), authority };
    for attempt in 1.. {
        let port = free_port()?;
        access.url = format!("https://127.0.0.1:{port}");
        let args = apiserver_args(workdir, files, etcd, port, options);
        let process = Process::start(program(workdir, "kube-apiserver", &path, args))?;
        match access.ready(&process, START).await {
            Ok(()) => return Ok((process, access)),
            Err(error) if attempt < ATTEMPTS && port_was_taken(&error) => {}
            Err(error) => return Err(error),
        }
    }
    Err(Error::NotRunning { process: "kube-apiserver".to_owned() })
}

fn apiserver_args(workdir: &Workdir, files: &Files, etcd: &str, port: u16, options: &Options) -> Vec<String> {
    let Files { ca, server_certificate, server_key, service_account_public, service_account_private } = files;
    let mut args = vec![
        format!("--etcd-servers={etcd}"),
        "--bind-address=127.0.0.1".to_owned(),
        // The default is the address of the default route, which a machine without a network lacks.
        "--advertise-address=127.0.0.1".to_owned(),
        // An endpoint may not be on the loopback interface.
        "--endpoint-reconciler-type=none".to_owned(),
        format!("--secure-port={port}"),
        format!("--cert-dir={}", workdir.path().join("apiserver").display()),
        format!("--tls-cert-file={}", server_certificate.display()),
        format!("--tls-private-key-file={}", server_key.display()),
        format!("--client-ca-file={}", ca.display()),
        "--authorization-mode=RBAC".to_owned(),
        "--service-account-issuer=https://kubernetes.default.svc".to_owned(),
        format!("--service-account-key-file={}", service_account_public.display()),
        format!("--service-account-signing-key-file={}", service_account_private.display()),
        "--service-cluster-ip-range=10.0.0.0/24".to_owned(),
        "--allow-privileged=true".to_owned(),
    ];
    if options.with_node {
        // Webhooks are called at the endpoints of their Services: no kube-proxy leads from a Service's address to them.
        args.push("--enable-aggregator-routing=true".to_owned());
    }
    args.extend_from_slice(&options.apiserver_args);
    args
}

/// Starts kube-controller-manager, with all its default controllers, each with its own service account.
pub(crate) fn start_controller_manager(
    workdir: &Workdir,
    files: &Files,
    kubeconfig: &Path,
    options: &Options,
) -> Result<Process> {
    let path = assets::tool("kube-controller-manager")?;
    let mut args = vec![
        format!("--kubeconfig={}", kubeconfig.display()),
        format!("--service-account-private-key-file={}", files.service_account_private.display()),
        format!("--root-ca-file={}", files.ca.display()),
        "--use-service-account-credentials=true".to_owned(),
        "--leader-elect=false".to_owned(),
        // The port serves metrics only, which no test reads.
        "--secure-port=0".to_owned(),
    ];
    args.extend_from_slice(&options.controller_manager_args);
    Process::start(program(workdir, "kube-controller-manager", &path, args))
}

pub(crate) fn program(workdir: &Workdir, name: &str, path: &Path, args: Vec<String>) -> Program {
    let log = workdir.path().join(format!("{name}.log"));
    Program { name: name.to_owned(), path: path.to_owned(), args, env: vec![], log, stdout: None }
}

fn port_was_taken(error: &Error) -> bool {
    error.to_string().contains("address already in use")
}

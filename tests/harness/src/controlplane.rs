//! etcd, kube-apiserver and kube-controller-manager as processes, and perhaps kube-scheduler and kwok.

use std::{
    fmt, fs,
    path::{Path, PathBuf},
    time::Duration,
};

use k8s_openapi::api::core::v1::ServiceAccount;
use kube::{Api, Client};

use crate::{
    Error, Kubectl, Process, Result, Workdir,
    access::Access,
    certificates::Authority,
    components::{self, Files, START},
    node::Node,
};

/// How a control plane is started; the default is what most tests want.
#[derive(Clone, Debug, Default)]
pub struct Options {
    /// More flags for etcd.
    pub etcd_args: Vec<String>,
    /// More flags for kube-apiserver; a flag given twice counts as given last.
    pub apiserver_args: Vec<String>,
    /// More flags for kube-controller-manager.
    pub controller_manager_args: Vec<String>,
    /// YAML or JSON applied before kube-controller-manager starts. Custom resource definitions belong here: its garbage
    /// collector looks for new types only every 30 seconds.
    pub manifests: String,
    /// The data of an etcd that was down when they were copied: the control plane holds what that one held.
    pub etcd_data: Option<PathBuf>,
    /// Leaves kube-controller-manager out: nothing is garbage-collected, namespaces are never emptied and pods are
    /// refused for want of service accounts.
    pub without_controller_manager: bool,
    /// Adds a [node](crate::NODE) without containers: kube-scheduler binds pods to it, and kwok says that they run, at
    /// the [machine's address](crate::machine_address), where the API server calls webhooks through their Services.
    /// Without it pods stay Pending.
    pub with_node: bool,
}

/// A running control plane. Dropping it kills its processes and removes its data.
pub struct ControlPlane {
    // Fields drop in this order: an API server without its etcd would fill its log.
    node: Option<Node>,
    controller_manager: Option<Process>,
    apiserver: Process,
    etcd: Process,
    access: Access,
    workdir: Workdir,
}

impl ControlPlane {
    /// Starts a control plane and waits until it serves. The first start on a machine builds it.
    ///
    /// # Errors
    /// A component cannot be built, or does not start; the error holds the end of its log.
    pub async fn start(options: Options) -> Result<Self> {
        crate::install_crypto_provider();
        let workdir = Workdir::create("controlplane")?;
        let authority = Authority::create()?;
        let files = Files::write(&workdir, &authority)?;
        if let Some(data) = &options.etcd_data {
            copy(data, &etcd_data(&workdir))?;
        }
        let (etcd, etcd_url) = components::start_etcd(&workdir, &options).await?;
        let (apiserver, access) = components::start_apiserver(&workdir, &files, authority, &etcd_url, &options).await?;
        let mut control_plane = Self { node: None, controller_manager: None, apiserver, etcd, access, workdir };
        if !options.manifests.is_empty() {
            let kubectl = Kubectl::new(&control_plane.admin_kubeconfig()?);
            kubectl.run_with_input(&["apply", "--server-side", "-f", "-"], &options.manifests).await?;
        }
        if !options.without_controller_manager {
            let kubeconfig = control_plane.kubeconfig_for("system:kube-controller-manager", &[])?;
            let process = components::start_controller_manager(&control_plane.workdir, &files, &kubeconfig, &options)?;
            control_plane.controllers_ready(&process).await?;
            control_plane.controller_manager = Some(process);
        }
        if options.with_node {
            let scheduler = control_plane.kubeconfig_for("system:kube-scheduler", &[])?;
            let (client, admin) = (control_plane.admin().await?, control_plane.admin_kubeconfig()?);
            control_plane.node = Some(Node::start(&control_plane.workdir, client, &scheduler, &admin).await?);
        }
        Ok(control_plane)
    }

    /// etcd, to be killed, frozen or restarted.
    #[must_use]
    pub fn etcd(&self) -> &Process {
        &self.etcd
    }

    /// kube-apiserver, to be killed, frozen or restarted; [`ControlPlane::ready`] waits until it serves again.
    #[must_use]
    pub fn apiserver(&self) -> &Process {
        &self.apiserver
    }

    /// kube-controller-manager, unless it was left out.
    #[must_use]
    pub fn controller_manager(&self) -> Option<&Process> {
        self.controller_manager.as_ref()
    }

    /// The URL of kube-apiserver.
    #[must_use]
    pub fn url(&self) -> &str {
        &self.access.url
    }

    /// The certificate that signed the server's, as PEM.
    #[must_use]
    pub fn ca_certificate(&self) -> String {
        self.access.authority.certificate()
    }

    /// The directory of data, certificates and logs.
    #[must_use]
    pub fn workdir(&self) -> &Workdir {
        &self.workdir
    }

    /// Waits until the API server says that it serves, which includes that it reaches etcd.
    ///
    /// # Errors
    /// The API server has ended, or takes longer than given.
    pub async fn ready(&self, within: Duration) -> Result<()> {
        self.access.ready(&self.apiserver, within).await
    }

    /// Ends all components in order, each with SIGTERM. Dropping is faster.
    ///
    /// # Errors
    /// A component does not end within a minute.
    pub async fn stop(self) -> Result<()> {
        self.go_down().await
    }

    /// Copies etcd's data into an empty folder. All components end for it and start again.
    ///
    /// # Errors
    /// A component does not end or start, or the data cannot be copied.
    pub async fn back_up(&self, to: &Path) -> Result<()> {
        self.go_down().await?;
        copy(&etcd_data(&self.workdir), to)?;
        self.come_up().await
    }

    /// Restores etcd's data from a backup. All components end for it and start again.
    ///
    /// # Errors
    /// A component does not end or start, or the data cannot be copied.
    pub async fn restore(&self, from: &Path) -> Result<()> {
        self.go_down().await?;
        let data = etcd_data(&self.workdir);
        fs::remove_dir_all(&data).map_err(Error::io(format!("removing {}", data.display())))?;
        copy(from, &data)?;
        self.come_up().await
    }

    async fn come_up(&self) -> Result<()> {
        self.etcd.restart()?;
        self.apiserver.restart()?;
        self.ready(START).await?;
        let node = self.node.iter().flat_map(|node| [&node.scheduler, &node.kwok]);
        node.chain(&self.controller_manager).try_for_each(Process::restart)
    }

    async fn go_down(&self) -> Result<()> {
        let minute = Duration::from_secs(60);
        let node = self.node.iter().flat_map(|node| [&node.scheduler, &node.kwok]);
        let processes = node.chain(&self.controller_manager).chain([&self.apiserver, &self.etcd]);
        for process in processes.filter(|process| process.pid().is_some()) {
            process.terminate(minute).await?;
        }
        Ok(())
    }

    /// Writes a kubeconfig with a certificate and key by which the server knows this user with these groups (two at
    /// most), and returns its path. The user has no rights but those that RBAC gives.
    ///
    /// # Errors
    /// The certificate cannot be made or the file not written.
    pub fn kubeconfig_for(&self, user: &str, groups: &[&str]) -> Result<PathBuf> {
        let name: String = user.chars().map(|c| if c.is_ascii_alphanumeric() { c } else { '-' }).collect();
        let content = self.access.kubeconfig(user, groups)?;
        self.workdir.write(&format!("{name}-{}.kubeconfig", groups.join("-").replace(':', "-")), &content)
    }

    /// A client of this user with these groups. It belongs to the calling test's runtime: make one in each test.
    ///
    /// # Errors
    /// The certificate or the client cannot be made.
    pub async fn client_for(&self, user: &str, groups: &[&str]) -> Result<Client> {
        self.access.client(user, groups).await
    }

    /// A client that may do everything.
    ///
    /// # Errors
    /// See [`ControlPlane::client_for`].
    pub async fn admin(&self) -> Result<Client> {
        self.client_for("admin", &["system:masters"]).await
    }

    /// A kubeconfig that may do everything.
    ///
    /// # Errors
    /// See [`ControlPlane::kubeconfig_for`].
    pub fn admin_kubeconfig(&self) -> Result<PathBuf> {
        self.kubeconfig_for("admin", &["system:masters"])
    }

    /// kubectl as a user who may do everything.
    ///
    /// # Errors
    /// See [`ControlPlane::kubeconfig_for`].
    pub fn kubectl(&self) -> Result<Kubectl> {
        Ok(Kubectl::new(&self.admin_kubeconfig()?))
    }

    /// Controllers work once one of them has given the first namespace its service account.
    async fn controllers_ready(&self, process: &Process) -> Result<()> {
        let accounts: Api<ServiceAccount> = Api::namespaced(self.admin().await?, "default");
        process
            .eventually(START, "kube-controller-manager makes service accounts", async || accounts.get("default").await)
            .await
            .map(|_| ())
    }
}

fn etcd_data(workdir: &Workdir) -> PathBuf {
    workdir.path().join(components::ETCD_DATA)
}

/// Copies a folder and all that is in it.
fn copy(from: &Path, to: &Path) -> Result<()> {
    let failed = || Error::io(format!("copying {} to {}", from.display(), to.display()));
    fs::create_dir_all(to).map_err(failed())?;
    for entry in fs::read_dir(from).map_err(failed())? {
        let (source, target) = entry.map(|entry| (entry.path(), to.join(entry.file_name()))).map_err(failed())?;
        if source.is_dir() {
            copy(&source, &target)?;
        } else {
            fs::copy(&source, &target).map_err(failed())?;
        }
    }
    Ok(())
}

impl fmt::Debug for ControlPlane {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let Self { node, controller_manager, apiserver, etcd, access, workdir } = self;
        f.debug_struct("ControlPlane")
            .field("node", node)
            .field("controller_manager", controller_manager)
            .field("apiserver", apiserver)
            .field("etcd", etcd)
            .field("url", &access.url)
            .field("workdir", workdir)
            .finish()
    }
}

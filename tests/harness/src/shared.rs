//! One control plane for all tests of a binary, a namespace each.

use std::{
    path::PathBuf,
    process::{Command, Stdio},
    sync::{
        OnceLock,
        atomic::{AtomicU32, Ordering},
    },
};

use k8s_openapi::api::core::v1::Namespace as KubernetesNamespace;
use kube::{Api, Client, api::PostParams};

use crate::{ControlPlane, Error, Options, Result, assets, watchdog};

static SHARED: OnceLock<Result<ControlPlane>> = OnceLock::new();

/// The control plane that the tests of this binary share, started by the first caller with its options. It ends with
/// the process. Tests that break or freeze a component start their own.
///
/// # Errors
/// The control plane did not start; all callers get the same error.
pub fn shared(options: impl FnOnce() -> Options + Send) -> Result<&'static ControlPlane, &'static Error> {
    // The control plane starts on a thread with a runtime of its own: each test has another runtime, which ends with
    // the test. Callers block here, and a runtime cannot be entered from within another.
    let start = || {
        std::thread::scope(|scope| {
            let starting = scope.spawn(|| {
                let runtime = tokio::runtime::Builder::new_current_thread()
                    .enable_all()
                    .build()
                    .map_err(Error::io("starting a runtime"))?;
                runtime.block_on(ControlPlane::start(options()))
            });
            starting.join().unwrap_or_else(|panic| std::panic::resume_unwind(panic))
        })
    };
    SHARED.get_or_init(start).as_ref()
}

/// A namespace of a fresh name. Dropping it asks for its deletion and does not wait.
#[derive(Debug)]
pub struct Namespace {
    name: String,
    delete: Command,
    logs: PathBuf,
}

impl Namespace {
    /// Makes a namespace.
    ///
    /// # Errors
    /// The API server refuses.
    pub async fn create(control_plane: &ControlPlane, prefix: &str) -> Result<Self> {
        Self::create_labelled(control_plane, prefix, &[]).await
    }

    /// Makes a namespace with labels.
    ///
    /// # Errors
    /// The API server refuses.
    pub async fn create_labelled(control_plane: &ControlPlane, prefix: &str, labels: &[(&str, &str)]) -> Result<Self> {
        static COUNT: AtomicU32 = AtomicU32::new(1);
        let name = format!("{prefix}-{}", COUNT.fetch_add(1, Ordering::Relaxed));
        let client: Client = control_plane.admin().await?;
        let mut namespace = KubernetesNamespace::default();
        namespace.metadata.name = Some(name.clone());
        let labels = labels.iter().map(|(key, value)| ((*key).to_owned(), (*value).to_owned()));
        namespace.metadata.labels = Some(labels.collect());
        Api::all(client)
            .create(&PostParams::default(), &namespace)
            .await
            .map_err(Error::kubernetes(format!("creating the namespace {name}")))?;
        let mut delete = Command::new(assets::tool("kubectl")?);
        delete
            .env("KUBECONFIG", control_plane.admin_kubeconfig()?)
            .env("KUBECACHEDIR", control_plane.workdir().path().join("kubectl-cache"))
            .args(["delete", "namespace", "--wait=false", &name])
            .stdin(Stdio::null())
            .stdout(Stdio::null())
            .stderr(Stdio::null());
        Ok(Self { name, delete, logs: control_plane.workdir().path().to_owned() })
    }

    /// The name of the namespace.
    #[must_use]
    pub fn name(&self) -> &str {
        &self.name
    }
}

impl Drop for Namespace {
    fn drop(&mut self) {
        if std::thread::panicking() {
            // A watchdog that cannot be told is gone, and then removes nothing.
            let _ = watchdog::keep(&self.logs);
            eprintln!("the control plane's logs are kept in {}", self.logs.display());
            return;
        }
        // The control plane may be gone or broken, and its data go with it anyway.
        if let Ok(mut child) = self.delete.spawn() {
            std::thread::spawn(move || child.wait());
        }
    }
}

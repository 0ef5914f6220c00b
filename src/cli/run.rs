//! `run`: clients, cluster id, health, controllers, and an orderly end.

use std::net::SocketAddr;
use std::path::PathBuf;
use std::time::Duration;

use k8s_openapi::api::core::v1::Namespace;
use kube::config::{KubeConfigOptions, Kubeconfig};
use kube::{Api, Client};
use tokio::sync::watch;

use crate::config::{Config, ConfigError, RawConfig};
use crate::controller::{self, Inputs};
use crate::decide::id::ClusterId;
use crate::http::{self, Health};
use crate::metrics::Metrics;
use crate::reconcile::failures::{DEADLINE, KubernetesError, within};
use crate::telemetry::{self, LogFormat};

/// Passes under way when the operator is told to stop may take so long.
const GRACE: Duration = Duration::from_secs(20);

/// The flags of `run`; each is also an environment variable.
#[derive(Clone, Debug, clap::Args)]
pub struct Flags {
    /// How often every project is listed and compared
    #[arg(long, env = "MESHAGENT_OPERATOR_RESYNC_INTERVAL", default_value = "10m", value_name = "DURATION")]
    resync_interval: String,
    /// Names this cluster in markers; no two clusters may share it [default: the uid of the namespace kube-system]
    #[arg(long, env = "MESHAGENT_OPERATOR_CLUSTER_ID", value_name = "ID")]
    cluster_id: Option<String>,
    /// Watch these namespaces only, separated by commas [default: all]
    #[arg(long, env = "MESHAGENT_OPERATOR_WATCH_NAMESPACES", value_delimiter = ',', value_name = "NAMES")]
    watch_namespaces: Vec<String>,
    /// How many OAuthClients are reconciled at once
    #[arg(long, env = "MESHAGENT_OPERATOR_MAX_CONCURRENT", default_value_t = 32, value_name = "NUMBER")]
    max_concurrent: u16,
    /// The operator's namespace, where cluster projects have their keys [default: the one it runs in, or the context's]
    #[arg(long, env = "MESHAGENT_OPERATOR_NAMESPACE", value_name = "NAME")]
    namespace: Option<String>,
    /// Where /healthz, /readyz and /metrics are served
    #[arg(long, env = "MESHAGENT_OPERATOR_HTTP_ADDRESS", default_value = "0.0.0.0:8080", value_name = "ADDRESS")]
    http_address: SocketAddr,
    /// How to reach the cluster [default: KUBECONFIG, or the service account]
    #[arg(long, env = "MESHAGENT_OPERATOR_KUBECONFIG", value_name = "FILE")]
    kubeconfig: Option<PathBuf>,
    /// How log lines look
    #[arg(long, env = "MESHAGENT_OPERATOR_LOG_FORMAT", default_value = "text", value_enum)]
    log_format: LogFormat,
    /// How much is logged: error, warn, info, debug, trace, or a filter
    #[arg(long, env = "MESHAGENT_OPERATOR_LOG_LEVEL", default_value = "info", value_name = "LEVEL")]
    log_level: String,
}

/// Why the operator could not start.
#[derive(Debug, thiserror::Error)]
pub enum RunError {
    /// A flag cannot be worked with.
    #[error(transparent)]
    Config(#[from] ConfigError),
    /// The log level is none.
    #[error(transparent)]
    LogLevel(#[from] telemetry::LogLevelError),
    /// The runtime could not start.
    #[error("the runtime cannot start")]
    Runtime(#[source] std::io::Error),
    /// There is no way to the cluster.
    #[error("there is no usable kubeconfig and no service account; set KUBECONFIG or --kubeconfig")]
    Kubeconfig(#[source] Box<dyn std::error::Error + Send + Sync>),
    /// The Kubernetes client could not be built.
    #[error("the Kubernetes client cannot be built from the kubeconfig")]
    Client(#[source] Box<kube::Error>),
    /// The namespace `kube-system` could not be read.
    #[error("the cluster's id cannot be read off the namespace kube-system; allow it, or set --cluster-id")]
    ClusterId(#[source] KubernetesError),
    /// The address is taken.
    #[error(transparent)]
    Listen(#[from] http::ListenError),
    /// Signals cannot be waited for.
    #[error("signals cannot be waited for")]
    Signals(#[source] std::io::Error),
}

/// Runs the operator until SIGTERM or SIGINT.
///
/// # Errors
/// If it cannot start.
pub fn run(flags: Flags) -> Result<(), RunError> {
    telemetry::start(flags.log_format, &flags.log_level)?;
    let kubeconfig = flags.kubeconfig.clone();
    let config = Config::read(RawConfig {
        resync_interval: flags.resync_interval,
        cluster_id: flags.cluster_id,
        watch_namespaces: flags.watch_namespaces,
        max_concurrent: flags.max_concurrent,
        namespace: flags.namespace,
        http_address: flags.http_address,
    })?;
    let runtime = tokio::runtime::Builder::new_multi_thread().enable_all().build().map_err(RunError::Runtime)?;
    let ended = runtime.block_on(work(config, kubeconfig));
    runtime.shutdown_timeout(Duration::from_secs(1));
    ended
}

async fn work(config: Config, kubeconfig: Option<PathBuf>) -> Result<(), RunError> {
    let (down, shutdown) = watch::channel(false);
    let stop = stop_signal()?;
    let (health, metrics) = (Health::default(), Metrics::default());
    let listener = http::listen(config.http_address).await?;
    let server = tokio::spawn(http::serve(listener, health.clone(), metrics.clone(), shutdown.clone()));
    let kubernetes = cluster_config(kubeconfig).await?;
    let namespace = config.namespace.clone().unwrap_or_else(|| kubernetes.default_namespace.clone());
    let watches = client(kubernetes.clone())?;
    // kube has no deadline of its own on ordinary calls, and repeats creates that a gateway gave up on.
    let mut kubernetes = kubernetes;
    kubernetes.read_timeout = Some(DEADLINE);
    kubernetes.default_retry = false;
    let requests = client(kubernetes)?;
    let cluster = match &config.cluster_id {
        Some(id) => id.clone(),
        None => cluster_id(&requests).await?,
    };
    tracing::info!(%cluster, namespace, version = env!("CARGO_PKG_VERSION"), "the operator starts");
    let inputs = Inputs { requests, watches, cluster, namespace, config, metrics, health, shutdown };
    let mut controllers = tokio::spawn(controller::run(inputs));
    tokio::select! {
        () = stop => tracing::info!("told to stop; passes under way end first"),
        _ = &mut controllers => tracing::error!("the controllers ended"),
    }
    // Both halves listen; a receiver that is gone has ended already.
    let _ = down.send(true);
    if !controllers.is_finished() && tokio::time::timeout(GRACE, controllers).await.is_err() {
        tracing::warn!("passes were still under way after {} s", GRACE.as_secs());
    }
    server.abort();
    Ok(())
}

async fn cluster_config(kubeconfig: Option<PathBuf>) -> Result<kube::Config, RunError> {
    match kubeconfig {
        Some(file) => {
            let read = Kubeconfig::read_from(file).map_err(|error| RunError::Kubeconfig(Box::new(error)))?;
            kube::Config::from_custom_kubeconfig(read, &KubeConfigOptions::default())
                .await
                .map_err(|error| RunError::Kubeconfig(Box::new(error)))
        }
        None => kube::Config::infer().await.map_err(|error| RunError::Kubeconfig(Box::new(error))),
    }
}

fn client(config: kube::Config) -> Result<Client, RunError> {
    Client::try_from(config).map_err(|error| RunError::Client(Box::new(error)))
}

async fn cluster_id(requests: &Client) -> Result<ClusterId, RunError> {
    let namespaces: Api<Namespace> = Api::all(requests.clone());
    let found = within("read the namespace kube-system", namespaces.get("kube-system")).await;
    let found = found.map_err(RunError::ClusterId)?;
    Ok(ClusterId::new(found.metadata.uid.unwrap_or_default()))
}

/// Ends with the first SIGTERM or SIGINT.
fn stop_signal() -> Result<impl Future<Output = ()>, RunError> {
    use tokio::signal::unix::{SignalKind, signal};
    let mut terminate = signal(SignalKind::terminate()).map_err(RunError::Signals)?;
    let mut interrupt = signal(SignalKind::interrupt()).map_err(RunError::Signals)?;
    Ok(async move {
        tokio::select! {
            _ = terminate.recv() => {}
            _ = interrupt.recv() => {}
        }
    })
}

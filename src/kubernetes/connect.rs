//! The clients of the cluster.

use std::path::{Path, PathBuf};
use std::time::Duration;

use axum::http::{HeaderValue, header};
use kube::Client;
use kube::client::ClientBuilder;
use kube::config::{Config, InferConfigError, KubeConfigOptions, Kubeconfig, KubeconfigError};
use url::Url;

use super::clock::Clock;
use crate::leader::{Leadership, WriteGate};
use crate::proxy::{Environment, InvalidProxy, Proxy};

/// How long name resolution, connection and TLS handshake may take.
const CONNECT: Duration = Duration::from_secs(10);
/// The longest silence of the API server in a request: until the head of its answer, and between two reads of its body.
const REQUEST_SILENCE: Duration = Duration::from_secs(15);
/// The longest silence of the API server in a watch: longer than between two bookmarks (a minute) and shorter than the
/// five minutes within which a silent watch, or the listing before it, must be noticed.
const WATCH_SILENCE: Duration = Duration::from_secs(240);
/// How long the connection may take to accept a part of a request.
const WRITE: Duration = Duration::from_secs(15);

/// Why the cluster cannot be reached at all.
#[derive(Debug, thiserror::Error)]
pub enum Error {
    /// The file that a flag names cannot be used.
    #[error("the kubeconfig {} cannot be used; set --kubeconfig to another file, or leave it out", path.display())]
    Kubeconfig {
        path: PathBuf,
        /// What is wrong with the file.
        source: KubeconfigError,
    },
    /// No file was named, and none found.
    #[error("no cluster was found; set --kubeconfig or KUBECONFIG, or run in a pod with a service account")]
    Infer(#[source] InferConfigError),
    /// The kubeconfig's proxy, or the environment's, cannot be used.
    #[error("the cluster cannot be reached by way of a proxy")]
    Proxy(#[source] InvalidProxy),
    /// The certificates or credentials cannot be used.
    #[error("the client of the cluster cannot be built; check certificates and credentials in the kubeconfig")]
    Client(#[source] kube::Error),
}

/// The configuration of the cluster, from the file that is given or from what kube finds by itself.
pub async fn cluster(kubeconfig: Option<&Path>, environment: &Environment) -> Result<Config, Error> {
    let (mut config, declared) = match kubeconfig {
        None => {
            (Config::infer().await.map_err(Error::Infer)?, Kubeconfig::read().ok().and_then(|file| proxy_url(&file)))
        }
        Some(path) => from_file(path).await.map_err(|source| Error::Kubeconfig { path: path.to_owned(), source })?,
    };
    let proxy = proxy(&config, declared.as_deref(), environment).map_err(Error::Proxy)?;
    if let Some(proxy) = &proxy {
        tracing::info!(%proxy, "the API server is reached by way of a proxy");
    }
    // kube's own choice matches NO_PROXY against the proxy instead of the cluster, and knows HTTPS_PROXY alone.
    config.proxy_url = proxy.and_then(|proxy| proxy.address("socks5").parse().ok());
    // The user agent tells audit logs and API priority and fairness who asks.
    let agent = HeaderValue::from_static(concat!("meshagent-operator/", env!("CARGO_PKG_VERSION")));
    config.headers.push((header::USER_AGENT, agent));
    Ok(config)
}

async fn from_file(path: &Path) -> Result<(Config, Option<String>), KubeconfigError> {
    let kubeconfig = Kubeconfig::read_from(path)?;
    let declared = proxy_url(&kubeconfig);
    Ok((Config::from_custom_kubeconfig(kubeconfig, &KubeConfigOptions::default()).await?, declared))
}

/// The `proxy-url` of the present context's cluster.
fn proxy_url(kubeconfig: &Kubeconfig) -> Option<String> {
    let present = kubeconfig.contexts.iter().find(|named| Some(&named.name) == kubeconfig.current_context.as_ref())?;
    let cluster = &present.context.as_ref()?.cluster;
    let named = kubeconfig.clusters.iter().find(|named| named.name == *cluster)?;
    named.cluster.as_ref()?.proxy_url.clone().filter(|url| !url.is_empty())
}

/// The proxy to the API server, as kubectl chooses it: a kubeconfig's own counts whatever `NO_PROXY` says.
fn proxy(config: &Config, declared: Option<&str>, environment: &Environment) -> Result<Option<Proxy>, InvalidProxy> {
    match (declared, Url::parse(&config.cluster_url.to_string())) {
        (Some(declared), _) => Proxy::parse("proxy-url in the kubeconfig", declared).map(Some),
        (None, Ok(server)) => environment.proxy_for(&server),
        (None, Err(_)) => Ok(None),
    }
}

/// The client for everything but watches. The client never sends a request twice, since a create that was answered 504
/// may have been carried out, and writes nothing while this replica does not lead.
pub fn requests(cluster: &Config, leadership: &Leadership, clock: &Clock) -> Result<Client, Error> {
    let gate = WriteGate::new(leadership.clone());
    Ok(ClientBuilder::try_from(once(cluster)).map_err(Error::Client)?.with_layer(clock).with_layer(&gate).build())
}

/// The client for the Lease by which replicas elect a leader, which a replica that does not lead must write. The client
/// never sends a request twice either.
pub fn leases(cluster: &Config, clock: &Clock) -> Result<Client, Error> {
    timed(once(cluster), clock)
}

fn once(cluster: &Config) -> Config {
    let mut config = within(cluster, REQUEST_SILENCE);
    config.default_retry = false;
    config
}

/// The client for watches, whose answers take their time. A listing or watch that is sent twice does no harm.
pub fn watches(cluster: &Config, clock: &Clock) -> Result<Client, Error> {
    timed(within(cluster, WATCH_SILENCE), clock)
}

fn timed(cluster: Config, clock: &Clock) -> Result<Client, Error> {
    Ok(ClientBuilder::try_from(cluster).map_err(Error::Client)?.with_layer(clock).build())
}

fn within(cluster: &Config, silence: Duration) -> Config {
    let mut config = cluster.clone();
    config.connect_timeout = Some(CONNECT);
    config.read_timeout = Some(silence);
    config.write_timeout = Some(WRITE);
    // The time that a pooled connection was idle would else count as the server's silence.
    config.reset_reader_on_write = true;
    config
}

#[cfg(test)]
mod tests;

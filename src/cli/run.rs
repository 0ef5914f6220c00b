//! `meshagent-operator run`: puts everything together, and takes it down in order.

use std::future::Future;
use std::pin::pin;
use std::time::Duration;

use futures::{Stream, StreamExt as _};
use kube::Client;
use tokio::net::TcpListener;
use tokio::sync::watch;

use super::{Error, cluster, kubernetes, signals};
use crate::config::{Config, Flags};
use crate::controller;
use crate::decide::id::ClusterId;
use crate::http::{self, Health};
use crate::metrics::Metrics;
use crate::telemetry;

/// How long work under way may take to end. Below the 30 s after which a kubelet kills.
const GRACE: Duration = Duration::from_secs(20);

/// Runs the operator until it is told to stop.
pub(super) fn run(flags: &Flags) -> Result<(), Error> {
    let config = Config::read(flags)?;
    telemetry::init(config.log_format, &config.log_level)?;
    tokio::runtime::Builder::new_multi_thread().enable_all().build().map_err(Error::Runtime)?.block_on(operate(config))
}

async fn operate(config: Config) -> Result<(), Error> {
    let signals = signals::to_stop().map_err(Error::Signals)?;
    let listener = listen(&config).await?;
    let found = kubernetes::cluster(config.kubeconfig.as_deref()).await?;
    let (requests, watches) = (kubernetes::requests(&found)?, kubernetes::watches(&found)?);
    let namespace = config.namespace.clone().unwrap_or(found.default_namespace);
    let (metrics, health) = (Metrics::new(), Health::new());
    let (stop, shutdown) = watch::channel(false);

    let control = {
        let (metrics, health) = (metrics.clone(), health.clone());
        async move {
            let Some(cluster) = identify(&config, &requests, &health, shutdown.clone()).await? else {
                return Ok(());
            };
            tracing::info!(%cluster, namespace, watch_namespaces = ?config.watch_namespaces, "controllers start");
            let inputs =
                controller::Inputs { requests, watches, cluster, namespace, config, metrics, health, shutdown };
            controller::run(inputs).await.map_err(Error::Controller)
        }
    };
    tokio::select! {
        // Health is served until the very end.
        never = http::serve(listener, health.clone(), metrics) => match never {},
        ended = until_stopped(control, signals, GRACE, &stop, &health) => ended,
    }
}

async fn listen(config: &Config) -> Result<TcpListener, Error> {
    let address = config.http_address;
    let failed = |source| Error::Listen { address, source };
    let listener = TcpListener::bind(address).await.map_err(failed)?;
    let address = listener.local_addr().map_err(failed)?;
    tracing::info!(version = env!("CARGO_PKG_VERSION"), %address, "health and metrics are served");
    Ok(listener)
}

/// The id of the cluster; `None` if the operator is told to stop before that is known.
async fn identify(
    config: &Config,
    requests: &Client,
    health: &Health,
    mut shutdown: watch::Receiver<bool>,
) -> Result<Option<ClusterId>, Error> {
    if let Some(given) = &config.cluster_id {
        return Ok(Some(given.clone()));
    }
    let scoped = !config.watch_namespaces.is_empty();
    let unreachable = |answer: &str| {
        tracing::warn!(answer, "the API server cannot be asked for the cluster's id; asking again");
        health.ready(false, "the API server cannot be asked for the cluster's id");
    };
    tokio::select! {
        id = cluster::id(requests, scoped, unreachable) => Ok(Some(id?)),
        // An error means that nobody is left who could ask to stop, which asks for it too.
        _ = shutdown.wait_for(|stop| *stop) => Ok(None),
    }
}

/// Lets the work go on until a signal comes, and then gives it time to end. A second signal ends it at once.
async fn until_stopped(
    work: impl Future<Output = Result<(), Error>>,
    mut signals: impl Stream<Item = &'static str> + Unpin,
    grace: Duration,
    stop: &watch::Sender<bool>,
    health: &Health,
) -> Result<(), Error> {
    let mut work = pin!(work);
    tokio::select! {
        ended = &mut work => return ended,
        Some(signal) = signals.next() => tracing::info!(signal, "stopping; work under way ends first"),
    }
    health.ready(false, "stopping");
    stop.send_replace(true);
    tokio::select! {
        ended = &mut work => {
            tracing::info!("stopped");
            ended
        }
        Some(signal) = signals.next() => {
            tracing::warn!(signal, "stopped at once; what was under way is taken up again at the next start");
            Ok(())
        }
        () = tokio::time::sleep(grace) => {
            tracing::warn!("work under way did not end in time; it is taken up again at the next start");
            Ok(())
        }
    }
}

#[cfg(test)]
mod tests;

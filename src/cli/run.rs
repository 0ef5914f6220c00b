//! `meshagent-operator run`: connects, waits for leadership, runs the controllers, and stops them in order.

use std::future::Future;
use std::pin::pin;
use std::sync::Arc;
use std::time::Duration;

use futures::{Stream, StreamExt as _};
use kube::Client;
use tokio::sync::watch;

use super::{Error, HEALTH_AND_METRICS, cluster, listen, run_in_runtime, signals};
use crate::config::{Config, Flags};
use crate::controller;
use crate::decide::id::ClusterId;
use crate::http::{self, Exposition, Health};
use crate::kubernetes::clock::Clock;
use crate::kubernetes::connect;
use crate::leader::{Candidacy, Candidate, Election, Leadership};
use crate::metrics::Metrics;
use crate::proxy::Environment;

/// The time that passes under way have to end. Then they are dropped, as in a crash, and the Lease is released.
const PASSES: Duration = Duration::from_secs(12);
/// The time for the whole shutdown, the release of the Lease included: less than the 30 s after which a kubelet kills.
const GRACE: Duration = Duration::from_secs(20);

/// Runs the operator until a signal stops it.
pub(super) fn run(flags: &Flags) -> Result<(), Error> {
    let config = Config::read(flags)?;
    run_in_runtime(&config.process.clone(), operate(config))
}

async fn operate(config: Config) -> Result<(), Error> {
    let signals = signals::to_stop().map_err(Error::Signals)?;
    let listener = listen("http-address", config.process.http_address, HEALTH_AND_METRICS).await?;
    let found = connect::cluster(config.kubeconfig.as_deref(), &Environment::of_process()).await?;
    let leadership = if config.leader_elect { Leadership::none() } else { Leadership::always() };
    let metrics = Metrics::new();
    let exposition: Exposition = Arc::new({
        let metrics = metrics.clone();
        move || metrics.text()
    });
    let clock = Clock::new({
        let metrics = metrics.clone();
        move |skew| metrics.clock_skew(skew)
    });
    let (requests, watches) = (connect::requests(&found, &leadership, &clock)?, connect::watches(&found, &clock)?);
    let leases = connect::leases(&found, &clock)?;
    let namespace = config.namespace.clone().unwrap_or(found.default_namespace);
    let health = Health::new();
    let (stop, shutdown) = watch::channel(false);

    let control = {
        let (metrics, health) = (metrics.clone(), health.clone());
        async move {
            let Some(cluster) = identify(&config, &requests, &health, shutdown.clone()).await? else {
                return Ok(());
            };
            let election = config.leader_elect.then(|| {
                let (namespace, leadership) = (namespace.clone(), leadership.clone());
                let duration = config.lease_duration;
                Election::new(Candidate { leases, namespace, hostname: hostname(), duration, leadership })
            });
            let inputs = controller::Inputs {
                requests,
                watches,
                cluster,
                namespace,
                config,
                metrics,
                leadership,
                clock,
                health,
                shutdown,
            };
            match election {
                Some(election) => lead(election, inputs).await,
                None => work(inputs).await,
            }
        }
    };
    tokio::select! {
        // Health is served until the very end.
        never = http::serve(listener, health.clone(), exposition) => match never {},
        ended = until_stopped(control, signals, GRACE, &stop, &health) => ended,
    }
}

/// The id of the cluster; `None` if a signal comes before it is known.
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
        // An error means that the sender is gone, which stops the operator too.
        _ = shutdown.wait_for(|stop| *stop) => Ok(None),
    }
}

/// Waits for leadership, works while it lasts, and releases the Lease at the end.
async fn lead(mut election: Election, inputs: controller::Inputs) -> Result<(), Error> {
    let (metrics, mut shutdown) = (inputs.metrics.clone(), inputs.shutdown.clone());
    tokio::select! {
        () = election.acquire(candidacy(&inputs.health)) => {}
        // An error means that the sender is gone, which stops the operator too.
        _ = shutdown.wait_for(|stop| *stop) => {
            // The last attempt to acquire it may have succeeded without an answer.
            election.release().await;
            return Ok(());
        }
    }
    tracing::info!(identity = election.identity(), "this replica leads");
    let ended = tokio::select! {
        // Polled first: a replica that has lost the Lease does nothing more, and passes under way are dropped.
        biased;
        lost = election.hold() => Err(Error::Leadership(lost)),
        ended = work(inputs) => ended,
    };
    metrics.leads(false);
    if ended.is_ok() {
        election.release().await;
    }
    ended
}

async fn work(inputs: controller::Inputs) -> Result<(), Error> {
    inputs.metrics.leads(true);
    let (cluster, namespaces) = (&inputs.cluster, &inputs.config.watch_namespaces);
    tracing::info!(%cluster, inputs.namespace, watch_namespaces = ?namespaces, "controllers start");
    let shutdown = inputs.shutdown.clone();
    until_overdue(controller::run(inputs), shutdown, PASSES).await.map_err(Error::Controller)
}

/// Runs the work; after the signal to stop, it has `limit` to end.
async fn until_overdue<E>(
    work: impl Future<Output = Result<(), E>>,
    mut shutdown: watch::Receiver<bool>,
    limit: Duration,
) -> Result<(), E> {
    let overdue = async {
        // An error means that the sender is gone, which stops the operator too.
        let _ = shutdown.wait_for(|stop| *stop).await;
        tokio::time::sleep(limit).await;
    };
    tokio::select! {
        ended = work => ended,
        () = overdue => {
            tracing::warn!("passes under way did not end in time; they are taken up again at the next start");
            Ok(())
        }
    }
}

/// Tells `/readyz` and the log what a replica waits for. A standby is ready. Only a change is logged.
fn candidacy(health: &Health) -> impl FnMut(Candidacy) {
    let mut said = None;
    move |candidacy| {
        if said.as_ref() == Some(&candidacy) {
            return;
        }
        match &candidacy {
            Candidacy::Standby { holder } => health.ready(true, format!("standing by; {holder} leads")),
            Candidacy::Troubled(trouble) => {
                tracing::warn!(problem = %trouble, "it cannot be found out who leads; trying again");
                health.ready(false, trouble.to_string());
            }
        }
        said = Some(candidacy);
    }
}

/// The host name, by which people find the pod that holds a Lease.
fn hostname() -> String {
    let name = std::fs::read_to_string("/proc/sys/kernel/hostname").unwrap_or_default();
    let name = name.trim();
    if name.is_empty() { "unnamed" } else { name }.to_owned()
}

/// Runs the work until a signal comes; then it has `grace` to end. A second signal ends it at once.
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

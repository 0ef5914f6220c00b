//! `meshagent-operator webhook`: serves admission reviews until it is told to stop, and for a while after.

use std::sync::Arc;
use std::time::Duration;

use futures::{Stream, StreamExt as _};
use tokio::sync::watch;

use super::{Error, HEALTH_AND_METRICS, listen, run_in_runtime, signals};
use crate::config::webhook::{WebhookConfig, WebhookFlags};
use crate::http::{self, Exposition, Health};
use crate::webhook::{self, WebhookMetrics};

/// How long reviews are answered after the signal to stop: until every API server has heard that the pod is not ready.
const DRAIN: Duration = Duration::from_secs(10);

/// Serves until a signal stops it.
pub(super) fn run(flags: &WebhookFlags) -> Result<(), Error> {
    let config = WebhookConfig::read(flags)?;
    run_in_runtime(&config.process.clone(), serve(config))
}

async fn serve(config: WebhookConfig) -> Result<(), Error> {
    let signals = signals::to_stop().map_err(Error::Signals)?;
    let http = listen("http-address", config.process.http_address, HEALTH_AND_METRICS).await?;
    let listener = listen("https-address", config.https_address, "reviews are answered").await?;
    let (health, metrics) = (Health::new(), WebhookMetrics::new());
    let exposition: Exposition = Arc::new({
        let metrics = metrics.clone();
        move || metrics.text()
    });
    let (drain, draining) = watch::channel(false);
    let inputs = webhook::Inputs {
        listener,
        certificates: config.certificates,
        defaults: config.injection,
        metrics,
        health: health.clone(),
        draining,
    };
    tokio::select! {
        never = http::serve(http, health.clone(), exposition) => match never {},
        never = webhook::serve(inputs) => match never {},
        () = until_drained(signals, DRAIN, &drain, &health) => Ok(()),
    }
}

/// Waits for a signal, and then for as long as reviews are still answered. A second signal ends it at once.
async fn until_drained(
    mut signals: impl Stream<Item = &'static str> + Unpin,
    limit: Duration,
    drain: &watch::Sender<bool>,
    health: &Health,
) {
    if let Some(signal) = signals.next().await {
        tracing::info!(signal, "stopping; reviews are answered for a while yet");
    }
    drain.send_replace(true);
    health.ready(false, "stopping");
    tokio::select! {
        Some(signal) = signals.next() => tracing::warn!(signal, "stopped at once"),
        () = tokio::time::sleep(limit) => tracing::info!("stopped"),
    }
}

#[cfg(test)]
mod tests {
    use futures::stream;

    use super::*;

    #[tokio::test(start_paused = true)]
    async fn reviews_are_answered_for_ten_seconds_after_the_signal_and_no_longer_after_a_second_one() {
        for (signals, seconds) in [(vec!["SIGTERM"], 10), (vec!["SIGTERM", "SIGTERM"], 0)] {
            let signals = stream::iter(signals).chain(stream::pending());
            let (drain, draining) = watch::channel(false);
            let start = tokio::time::Instant::now();
            until_drained(signals, DRAIN, &drain, &Health::new()).await;
            assert_eq!(start.elapsed(), Duration::from_secs(seconds));
            assert!(*draining.borrow());
        }
    }
}

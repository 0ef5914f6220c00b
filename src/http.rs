//! Health and metrics over HTTP: `/healthz`, `/readyz`, `/metrics`.

use std::convert::Infallible;
use std::fmt;
use std::sync::Arc;
use std::time::Duration;

use axum::Router;
use axum::extract::State;
use axum::http::{StatusCode, header};
use axum::response::{IntoResponse, Response};
use axum::routing::get;
use hyper::server::conn::http1;
use hyper_util::rt::{TokioIo, TokioTimer};
use hyper_util::service::TowerToHyperService;
use tokio::net::{TcpListener, TcpStream};
use tokio::sync::watch;
use tokio::task::JoinSet;

const OPEN_METRICS: &str = "application/openmetrics-text; version=1.0.0; charset=utf-8";

/// What writes a process's metrics as OpenMetrics text.
pub type Exposition = Arc<dyn Fn() -> Result<String, fmt::Error> + Send + Sync>;

/// Whether the operator is ready, and if not, why; clones share it.
#[derive(Clone)]
pub struct Health(Arc<watch::Sender<Readiness>>);

#[derive(Clone, Debug, PartialEq, Eq)]
struct Readiness {
    ready: bool,
    reason: String,
}

impl Health {
    /// The health of an operator that is starting, and so not ready.
    #[must_use]
    pub fn new() -> Self {
        Self(Arc::new(watch::Sender::new(Readiness { ready: false, reason: "starting".to_owned() })))
    }

    /// Says whether the operator is ready. The reason is shown to whoever asks, and logged when anything changes.
    pub fn ready(&self, ready: bool, reason: impl Into<String>) {
        let readiness = Readiness { ready, reason: reason.into() };
        self.0.send_if_modified(|now| {
            let changed = *now != readiness;
            if changed {
                tracing::info!(ready, reason = readiness.reason, "readiness changed");
                *now = readiness;
            }
            changed
        });
    }
}

impl Default for Health {
    fn default() -> Self {
        Self::new()
    }
}

/// What clients may take, so that slow ones do not pile up.
#[derive(Clone, Copy)]
struct Limits {
    /// The longest time of one connection, from its acceptance to the last byte of its answer; each carries one answer.
    conversation: Duration,
    /// The most connections at a time; more wait to be accepted.
    connections: usize,
}

const LIMITS: Limits = Limits { conversation: Duration::from_secs(10), connections: 100 };

/// Serves until it is dropped.
pub async fn serve(listener: TcpListener, health: Health, exposition: Exposition) -> Infallible {
    serve_within(LIMITS, listener, health, exposition).await
}

async fn serve_within(limits: Limits, listener: TcpListener, health: Health, exposition: Exposition) -> Infallible {
    let routes = routes(health, exposition);
    // The connections are dropped together with this future, which ends them.
    let mut connections = JoinSet::new();
    loop {
        tokio::select! {
            accepted = listener.accept(), if connections.len() < limits.connections => match accepted {
                Ok((stream, _)) => {
                    connections.spawn(converse(stream, routes.clone(), limits.conversation));
                }
                Err(error) => {
                    tracing::warn!(%error, "a connection could not be accepted");
                    // The process is out of descriptors: trying again at once would only spin.
                    tokio::time::sleep(Duration::from_millis(50)).await;
                }
            },
            Some(_) = connections.join_next() => {}
        }
    }
}

async fn converse(stream: TcpStream, routes: Router, limit: Duration) {
    let conversation = http1::Builder::new()
        .timer(TokioTimer::new())
        .keep_alive(false)
        .serve_connection(TokioIo::new(stream), TowerToHyperService::new(routes));
    match tokio::time::timeout(limit, conversation).await {
        Ok(Ok(())) => {}
        Ok(Err(error)) => tracing::debug!(%error, "a connection ended early"),
        Err(_) => tracing::debug!("a client was too slow"),
    }
}

fn routes(health: Health, exposition: Exposition) -> Router {
    let health = Router::new().route("/readyz", get(readyz)).with_state(health);
    Router::new()
        .route("/healthz", get(async || "ok\n"))
        .route("/metrics", get(metrics))
        .with_state(exposition)
        .merge(health)
}

async fn readyz(State(health): State<Health>) -> Response {
    let Readiness { ready, reason } = health.0.borrow().clone();
    let status = if ready { StatusCode::OK } else { StatusCode::SERVICE_UNAVAILABLE };
    (status, format!("{reason}\n")).into_response()
}

async fn metrics(State(exposition): State<Exposition>) -> Response {
    match exposition() {
        Ok(text) => ([(header::CONTENT_TYPE, OPEN_METRICS)], text).into_response(),
        Err(error) => {
            tracing::error!(%error, "the metrics cannot be written");
            StatusCode::INTERNAL_SERVER_ERROR.into_response()
        }
    }
}

#[cfg(test)]
mod tests;

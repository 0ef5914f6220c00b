//! Health and metrics over HTTP.

use std::net::SocketAddr;
use std::sync::{Arc, PoisonError, RwLock};
use std::time::Duration;

use axum::Router;
use axum::extract::State;
use axum::http::{StatusCode, header};
use axum::response::IntoResponse;
use axum::routing::get;
use tokio::net::TcpListener;
use tokio::sync::watch;

use crate::metrics::Metrics;

/// Whether the operator is at work. Clones share it.
#[derive(Clone, Debug)]
pub struct Health(Arc<RwLock<Result<(), String>>>);

impl Default for Health {
    fn default() -> Self {
        Self(Arc::new(RwLock::new(Err("starting".to_owned()))))
    }
}

impl Health {
    /// The caches are filled.
    pub fn ready(&self) {
        *self.0.write().unwrap_or_else(PoisonError::into_inner) = Ok(());
    }

    /// It is not at work yet, and why.
    pub fn not_ready(&self, why: &str) {
        *self.0.write().unwrap_or_else(PoisonError::into_inner) = Err(why.to_owned());
    }

    fn get(&self) -> Result<(), String> {
        self.0.read().unwrap_or_else(PoisonError::into_inner).clone()
    }
}

/// The address cannot be listened on.
#[derive(Debug, thiserror::Error)]
#[error("--http-address {address} cannot be listened on; give a free one")]
pub struct ListenError {
    address: SocketAddr,
    #[source]
    source: std::io::Error,
}

/// Takes the address.
///
/// # Errors
/// If it is taken or not this machine's.
pub async fn listen(address: SocketAddr) -> Result<TcpListener, ListenError> {
    TcpListener::bind(address).await.map_err(|source| ListenError { address, source })
}

/// Serves `/healthz`, `/readyz` and `/metrics` until shutdown.
pub async fn serve(listener: TcpListener, health: Health, metrics: Metrics, mut shutdown: watch::Receiver<bool>) {
    let served = axum::serve(listener, router(health, metrics)).with_graceful_shutdown(async move {
        // A sender that is gone ends the server as well.
        let _ = shutdown.wait_for(|down| *down).await;
    });
    if let Err(error) = served.await {
        tracing::error!(%error, "health and metrics are no longer served");
    }
}

fn router(health: Health, metrics: Metrics) -> Router {
    let readyz = async |State(health): State<Health>| match health.get() {
        Ok(()) => (StatusCode::OK, "ok\n".to_owned()),
        Err(why) => (StatusCode::SERVICE_UNAVAILABLE, format!("{why}\n")),
    };
    let text = async |State(metrics): State<Metrics>| {
        let format = [(header::CONTENT_TYPE, "application/openmetrics-text; version=1.0.0; charset=utf-8")];
        (format, metrics.text()).into_response()
    };
    Router::new()
        .route("/healthz", get(async || "ok\n"))
        .route("/readyz", get(readyz).with_state(health))
        .route("/metrics", get(text).with_state(metrics))
        .layer(axum::middleware::from_fn(within_time))
}

/// No answer here takes long.
async fn within_time(request: axum::extract::Request, next: axum::middleware::Next) -> axum::response::Response {
    match tokio::time::timeout(Duration::from_secs(10), next.run(request)).await {
        Ok(response) => response,
        Err(_) => StatusCode::SERVICE_UNAVAILABLE.into_response(),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    async fn status(client: &reqwest::Client, url: String) -> (u16, String) {
        let response = client.get(url).send().await.unwrap();
        (response.status().as_u16(), response.text().await.unwrap())
    }

    #[tokio::test]
    async fn readiness_says_why_not_and_health_and_metrics_answer() {
        // Another test may have installed it.
        let _ = rustls::crypto::ring::default_provider().install_default();
        let listener = listen(SocketAddr::from(([127, 0, 0, 1], 0))).await.unwrap();
        let base = format!("http://{}", listener.local_addr().unwrap());
        let (health, (down, shutdown)) = (Health::default(), watch::channel(false));
        let server = tokio::spawn(serve(listener, health.clone(), Metrics::default(), shutdown));
        let client = reqwest::Client::new();
        assert_eq!(status(&client, format!("{base}/readyz")).await, (503, "starting\n".to_owned()));
        health.ready();
        assert_eq!(status(&client, format!("{base}/readyz")).await, (200, "ok\n".to_owned()));
        assert_eq!(status(&client, format!("{base}/healthz")).await, (200, "ok\n".to_owned()));
        let (code, text) = status(&client, format!("{base}/metrics")).await;
        assert!(code == 200 && text.ends_with("# EOF\n"), "{code} {text}");
        drop(client);
        down.send(true).unwrap();
        server.await.unwrap();
    }
}

//! The admission webhook: it answers the API server's reviews of labelled pods, by what [`crate::decide::inject`] says.
//!
//! The webhook has no rights and needs none: it talks to nobody, and reads nothing but its own certificate.

mod admission;
mod certificate;
mod listener;
mod metrics;

use std::convert::Infallible;
use std::path::PathBuf;
use std::sync::Arc;
use std::time::Duration;

use rustls::ServerConfig;
use tokio::net::TcpListener;
use tokio::sync::watch;

use crate::decide::inject::Defaults;
use crate::http::Health;
use certificate::{Mounted, Served};
use listener::Limits;

pub use admission::PATH;
pub use metrics::{Outcome, WebhookMetrics};

/// How often the mounted files are read. The kubelet takes up to a minute to bring a new Secret anyway.
const LOOK: Duration = Duration::from_secs(2);

/// What the webhook is started with.
pub struct Inputs {
    /// Where the API server calls.
    pub listener: TcpListener,
    /// The folder where the Secret with certificate, key and bundle is mounted.
    pub certificates: PathBuf,
    pub defaults: Defaults,
    pub metrics: WebhookMetrics,
    /// The readiness, which says whether the certificate can be served with.
    pub health: Health,
    /// Becomes true when the process is to end: each connection then ends with its next answer.
    pub draining: watch::Receiver<bool>,
}

/// Serves until it is dropped.
pub async fn serve(inputs: Inputs) -> Infallible {
    let Inputs { listener, certificates, defaults, metrics, health, draining } = inputs;
    let served = Arc::new(Served::default());
    let mut tls = ServerConfig::builder().with_no_client_auth().with_cert_resolver(Arc::clone(&served) as _);
    // HTTP/2 would let one connection of a client carry any number of requests.
    tls.alpn_protocols = vec![b"http/1.1".to_vec()];
    let routes = admission::routes(defaults, metrics);
    let mounted = Mounted { folder: certificates, served };
    tokio::select! {
        never = mounted.follow(LOOK, &health, draining.clone()) => match never {},
        never = listener::serve(Limits::USUAL, listener, Arc::new(tls), routes, draining) => match never {},
    }
}

#[cfg(test)]
mod tests;

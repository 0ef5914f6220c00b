//! TLS connections: how many there may be, and how long each step of one may take.

use std::convert::Infallible;
use std::sync::Arc;
use std::time::Duration;

use axum::extract::State;
use axum::http::{HeaderValue, header};
use axum::response::Response;
use axum::{Router, middleware};
use hyper::server::conn::http1;
use hyper_util::rt::{TokioIo, TokioTimer};
use hyper_util::service::TowerToHyperService;
use rustls::ServerConfig;
use tokio::net::{TcpListener, TcpStream};
use tokio::sync::watch;
use tokio::task::JoinSet;
use tokio_rustls::TlsAcceptor;

/// What clients may take, so that slow ones do not pile up.
#[derive(Clone, Copy)]
pub(super) struct Limits {
    /// The longest time of a TLS handshake.
    pub(super) handshake: Duration,
    /// The longest time until the head of a request is there, counted from the end of the one before.
    pub(super) head: Duration,
    /// The most connections at a time; more wait to be accepted.
    pub(super) connections: usize,
}

impl Limits {
    /// An API server keeps a few connections open, and closes idle ones itself after 90 seconds: one that the server closed
    /// might just be taking a review.
    pub(super) const USUAL: Self =
        Self { handshake: Duration::from_secs(5), head: Duration::from_secs(120), connections: 512 };
}

/// Serves until it is dropped. While the process is about to end, each connection ends with its next answer.
pub(super) async fn serve(
    limits: Limits,
    listener: TcpListener,
    tls: Arc<ServerConfig>,
    routes: Router,
    draining: watch::Receiver<bool>,
) -> Infallible {
    let (acceptor, routes) =
        (TlsAcceptor::from(tls), routes.layer(middleware::map_response_with_state(draining, last)));
    // The connections are dropped together with this future, which ends them.
    let mut connections = JoinSet::new();
    loop {
        tokio::select! {
            accepted = listener.accept(), if connections.len() < limits.connections => match accepted {
                Ok((stream, _)) => {
                    connections.spawn(converse(limits, stream, acceptor.clone(), routes.clone()));
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

async fn converse(limits: Limits, stream: TcpStream, acceptor: TlsAcceptor, routes: Router) {
    // Answers are small, and each is waited for.
    let _ = stream.set_nodelay(true);
    let stream = match tokio::time::timeout(limits.handshake, acceptor.accept(stream)).await {
        Ok(Ok(stream)) => stream,
        Ok(Err(error)) => return tracing::debug!(%error, "a TLS handshake failed"),
        Err(_) => return tracing::debug!("a TLS handshake took too long"),
    };
    let conversation = http1::Builder::new()
        .timer(TokioTimer::new())
        .header_read_timeout(limits.head)
        .serve_connection(TokioIo::new(stream), TowerToHyperService::new(routes));
    if let Err(error) = conversation.await {
        tracing::debug!(%error, "a connection ended early");
    }
}

/// Ends a connection with the answer while the process is about to end. An idle connection is not closed: the client
/// might just be sending a review, and could not tell whether anybody read it.
async fn last(State(draining): State<watch::Receiver<bool>>, mut response: Response) -> Response {
    if *draining.borrow() {
        response.headers_mut().insert(header::CONNECTION, HeaderValue::from_static("close"));
    }
    response
}

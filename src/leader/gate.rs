//! A gate that lets a write through to the API server only while this replica leads.

use std::task::{Context, Poll};

use axum::http::Request;
use futures::future::BoxFuture;
use tower::{BoxError, Layer, Service};

use super::Leadership;

/// A write that was not sent.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
#[error("nothing was sent, since this replica does not lead any more")]
pub struct NotLeading;

/// The layer around a client's service.
#[derive(Clone, Debug)]
pub struct WriteGate(Leadership);

impl WriteGate {
    /// A gate that is open while this replica leads.
    #[must_use]
    pub fn new(leadership: Leadership) -> Self {
        Self(leadership)
    }
}

impl<S> Layer<S> for WriteGate {
    type Service = Gated<S>;

    fn layer(&self, service: S) -> Gated<S> {
        Gated { service, leadership: self.0.clone() }
    }
}

/// A client's service behind the gate.
#[derive(Debug)]
pub struct Gated<S> {
    service: S,
    leadership: Leadership,
}

impl<S, B> Service<Request<B>> for Gated<S>
where
    S: Service<Request<B>, Error: Into<BoxError>, Future: Send + 'static>,
{
    type Response = S::Response;
    type Error = BoxError;
    type Future = BoxFuture<'static, Result<S::Response, BoxError>>;

    fn poll_ready(&mut self, context: &mut Context<'_>) -> Poll<Result<(), BoxError>> {
        self.service.poll_ready(context).map_err(Into::into)
    }

    fn call(&mut self, request: Request<B>) -> Self::Future {
        if !request.method().is_safe() && !self.leadership.is_current() {
            return Box::pin(async { Err(NotLeading.into()) });
        }
        let answer = self.service.call(request);
        Box::pin(async { answer.await.map_err(Into::into) })
    }
}

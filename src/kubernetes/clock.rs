//! This machine's clock against the API server's, measured by the `Date` of its answers.

use std::fmt;
use std::sync::Arc;
use std::task::{Context, Poll};

use axum::http::header::{DATE, HeaderMap};
use axum::http::{Request, Response};
use futures::future::BoxFuture;
use jiff::{SignedDuration, Timestamp};
use tokio::sync::watch;
use tower::{Layer, Service};

use crate::decide::time::{ClockState, SkewBounds, refined};

/// A function that is told how far this machine's clock is ahead of the API server's, whenever that changes.
type Observer = dyn Fn(SignedDuration) + Send + Sync;

/// The API server's clock, as far as it is known; clones share it. The type is a layer around a client's service as
/// well, by which the clock is measured.
#[derive(Clone)]
pub struct Clock(Arc<Measured>);

struct Measured {
    skew: watch::Sender<SignedDuration>,
    observer: Box<Observer>,
}

impl fmt::Debug for Clock {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        formatter.debug_tuple("Clock").field(&self.skew()).finish()
    }
}

impl Clock {
    /// A clock that is taken to agree with this machine's until an answer says otherwise.
    #[must_use]
    pub fn new(observer: impl Fn(SignedDuration) + Send + Sync + 'static) -> Self {
        Self(Arc::new(Measured { skew: watch::Sender::new(SignedDuration::ZERO), observer: Box::new(observer) }))
    }

    /// The API server's time: a record by it does not depend on which replica leads.
    #[must_use]
    pub fn now(&self) -> Timestamp {
        let now = Timestamp::now();
        now.checked_sub(self.skew()).unwrap_or(now)
    }

    /// How far this machine's clock is ahead.
    #[must_use]
    pub fn skew(&self) -> SignedDuration {
        *self.0.skew.borrow()
    }

    /// Whether this machine's clock can be trusted.
    #[must_use]
    pub fn state(&self) -> ClockState {
        ClockState::of(self.skew())
    }

    /// Waits until this machine's clock is wrong if it was not `before`, or is no longer wrong if it was.
    pub async fn changed(&self, before: ClockState) -> ClockState {
        let mut skew = self.0.skew.subscribe();
        let is_new = |skew: &SignedDuration| ClockState::of(*skew).may_delete() != before.may_delete();
        // The wait cannot fail: `self` holds the sender.
        skew.wait_for(is_new).await.map_or(before, |skew| ClockState::of(*skew))
    }

    /// Learns from the head of an answer to a request that was sent at this time.
    fn read(&self, sent: Timestamp, answered: Timestamp, head: &HeaderMap) {
        let date = head.get(DATE).and_then(|date| date.to_str().ok());
        let date = date.and_then(|date| httpdate::parse_http_date(date).ok());
        let date = date.and_then(|date| Timestamp::try_from(date).ok());
        if let Some(seen) = date.and_then(|date| SkewBounds::of(sent, answered, date)) {
            self.measured(seen);
        }
    }

    fn measured(&self, seen: SkewBounds) {
        self.0.skew.send_if_modified(|skew| {
            let before = *skew;
            *skew = refined(before, seen);
            let (was, is) = (ClockState::of(before), ClockState::of(*skew));
            if was != is {
                tell(is, *skew);
            }
            if before != *skew {
                (self.0.observer)(*skew);
            }
            before != *skew
        });
    }
}

fn tell(state: ClockState, skew: SignedDuration) {
    let ahead = skew.as_secs_f64();
    match state {
        ClockState::Right => tracing::info!("this machine's clock agrees with the API server's again"),
        ClockState::Off => {
            tracing::warn!(ahead_seconds = ahead, "this machine's clock is off; the API server's is gone by");
        }
        ClockState::Wrong => tracing::warn!(
            ahead_seconds = ahead,
            "this machine's clock is more than a minute off; nothing is deleted because of a time until it is set right"
        ),
    }
}

impl<S> Layer<S> for Clock {
    type Service = Timed<S>;

    fn layer(&self, service: S) -> Timed<S> {
        Timed { service, clock: self.clone() }
    }
}

/// A client's service whose answers tell the time.
#[derive(Clone)]
pub struct Timed<S> {
    service: S,
    clock: Clock,
}

impl<S, B, R> Service<Request<B>> for Timed<S>
where
    S: Service<Request<B>, Response = Response<R>, Future: Send + 'static>,
{
    type Response = S::Response;
    type Error = S::Error;
    type Future = BoxFuture<'static, Result<S::Response, S::Error>>;

    fn poll_ready(&mut self, context: &mut Context<'_>) -> Poll<Result<(), S::Error>> {
        self.service.poll_ready(context)
    }

    fn call(&mut self, request: Request<B>) -> Self::Future {
        let (sent, clock) = (Timestamp::now(), self.clock.clone());
        let answer = self.service.call(request);
        Box::pin(async move {
            let answer = answer.await?;
            clock.read(sent, Timestamp::now(), answer.headers());
            Ok(answer)
        })
    }
}

#[cfg(test)]
mod tests;

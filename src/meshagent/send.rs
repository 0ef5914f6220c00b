//! One attempt: a request goes out under a deadline, and the answer comes back whole, or an error classified once.

use std::time::{Duration, SystemTime};

use reqwest::header::{ACCEPT, AUTHORIZATION, HeaderValue, LOCATION, RETRY_AFTER};
use reqwest::{Method, Response};
use tokio::time::{Instant, timeout, timeout_at};
use url::Url;
use zeroize::Zeroizing;

use super::connection::{Gate, Observer, Timeouts};
use super::error::{CallError, CallObservation, Kind, NotSent, Route, Unavailable, classify};
use super::message;
use super::pause::{Pause, pause_for};
use super::wire::{ClientPatch, NewClient};
use crate::secret::ApiKey;

/// A page of a hundred clients with generous metadata is a tenth of it.
const LARGEST_ANSWER: usize = 8 << 20;
/// What is read of an error's body, of which 300 characters are shown.
const LARGEST_ERROR: usize = 16 << 10;
/// An error's status is known already; its text is not worth waiting for.
const ERROR_TEXT_TIMEOUT: Duration = Duration::from_secs(2);

/// Everything that the attempts of one project share.
pub(super) struct Transport {
    pub(super) http: reqwest::Client,
    pub(super) key: ApiKey,
    pub(super) timeouts: Timeouts,
    pub(super) pause: Pause,
    pub(super) observer: Observer,
    pub(super) gate: Gate,
}

/// A request, ready to be sent.
pub(super) struct Call<'a> {
    pub(super) route: Route,
    pub(super) url: Url,
    pub(super) body: Body<'a>,
}

/// What a request carries.
pub(super) enum Body<'a> {
    Nothing,
    Client(&'a NewClient),
    Patch(&'a ClientPatch),
}

/// A complete answer with a status of 2xx.
pub(super) struct Answer {
    pub(super) status: u16,
    /// May hold a client's secret.
    pub(super) body: Zeroizing<Vec<u8>>,
}

/// What is known and what was said; the route is added by the caller.
struct Failure {
    kind: Kind,
    detail: String,
}

impl Transport {
    /// Sends the request once, unless the project pauses, or it would write and this process may not.
    pub(super) async fn attempt(&self, call: &Call<'_>, deadline: Instant) -> Result<Answer, CallError> {
        let route = call.route;
        if let Some(until) = self.pause.until(Instant::now()) {
            let kind = Kind::NotSent(NotSent::Paused { until });
            return Err(CallError { route, kind, detail: String::new() });
        }
        if route.writes() && !(self.gate)() {
            let kind = Kind::NotSent(NotSent::NotLeader);
            return Err(CallError { route, kind, detail: String::new() });
        }
        let started = Instant::now();
        let mut status = None;
        let answer = timeout_at(deadline, self.exchange(call, &mut status)).await.unwrap_or_else(|_| {
            Err(Failure { kind: Kind::Unavailable(Unavailable::Timeout), detail: "the deadline passed".to_owned() })
        });
        (self.observer)(CallObservation { route, status, duration: started.elapsed() });
        answer.map_err(|Failure { kind, detail }| {
            if let Kind::RateLimited { retry_after } = &kind {
                self.pause.extend(Instant::now(), *retry_after);
            }
            CallError { route, kind, detail }
        })
    }

    async fn exchange(&self, call: &Call<'_>, status: &mut Option<u16>) -> Result<Answer, Failure> {
        let mut bearer = HeaderValue::try_from(Zeroizing::new(format!("Bearer {}", self.key.expose())).as_str())
            .map_err(|_| failure(Kind::NotSent(NotSent::UnusableRequest), String::new()))?;
        bearer.set_sensitive(true);
        let request = match call.route {
            Route::CreateClient => self.http.request(Method::POST, call.url.clone()),
            // From a read it may be concluded that something is absent, so the server must not answer from a cache.
            Route::ListClients | Route::GetClient => {
                self.http.request(Method::GET, call.url.clone()).header("consistency", "high")
            }
            Route::UpdateClient => self.http.request(Method::PUT, call.url.clone()),
            Route::DeleteClient => self.http.request(Method::DELETE, call.url.clone()),
        };
        let request = match call.body {
            Body::Nothing => request,
            Body::Client(client) => request.json(client),
            Body::Patch(patch) => request.json(patch),
        };
        let request = request.header(ACCEPT, "application/json").header(AUTHORIZATION, bearer);
        let response = request.send().await.map_err(|error| self.broken(&error))?;
        let code = response.status().as_u16();
        *status = Some(code);
        if response.status().is_success() {
            Ok(Answer { status: code, body: self.whole_body(response).await? })
        } else {
            Err(self.refused(response).await)
        }
    }

    async fn whole_body(&self, mut response: Response) -> Result<Zeroizing<Vec<u8>>, Failure> {
        let too_large = || {
            let detail = format!("more than {} MiB", LARGEST_ANSWER >> 20);
            failure(Kind::Unavailable(Unavailable::TooLarge), detail)
        };
        let announced = response.content_length().map_or(Ok(0), usize::try_from).unwrap_or(usize::MAX);
        if announced > LARGEST_ANSWER {
            return Err(too_large());
        }
        // Reserved at once where the length is known: each growth would leave a copy behind that is not zeroed.
        let mut body = Zeroizing::new(Vec::with_capacity(announced));
        while let Some(chunk) = response.chunk().await.map_err(|error| self.broken(&error))? {
            if chunk.len() > LARGEST_ANSWER - body.len() {
                return Err(too_large());
            }
            body.extend_from_slice(&chunk);
        }
        Ok(body)
    }

    async fn refused(&self, mut response: Response) -> Failure {
        let status = response.status().as_u16();
        let header = response.headers().get(RETRY_AFTER).map(HeaderValue::as_bytes);
        let kind = classify(status, pause_for(header, SystemTime::now()));
        if let Kind::Unavailable(Unavailable::Redirect(_)) = kind {
            let target = response.headers().get(LOCATION).and_then(|header| header.to_str().ok());
            let host =
                target.and_then(|target| Url::parse(target).ok()).and_then(|url| url.host_str().map(str::to_owned));
            let detail = host.map(|host| format!("it points to the host {host}")).unwrap_or_default();
            return failure(kind, message::one_line(&detail, self.key.expose()));
        }
        let mut body = Zeroizing::new(Vec::new());
        let text = async {
            while body.len() < LARGEST_ERROR {
                let Ok(Some(chunk)) = response.chunk().await else { break };
                let room = LARGEST_ERROR - body.len();
                body.extend(chunk.iter().take(room));
            }
        };
        // Whatever came in time is shown.
        let _ = timeout(ERROR_TEXT_TIMEOUT, text).await;
        failure(kind, message::of_body(&body, self.key.expose()))
    }

    fn broken(&self, error: &reqwest::Error) -> Failure {
        failure(transport_kind(error), message::one_line(&message::root_cause(error).to_string(), self.key.expose()))
    }
}

fn failure(kind: Kind, detail: String) -> Failure {
    Failure { kind, detail }
}

/// What a failure without an answer means. Until the connection stands and its TLS handshake is done, nothing is sent.
fn transport_kind(error: &reqwest::Error) -> Kind {
    if error.is_builder() {
        Kind::NotSent(NotSent::UnusableRequest)
    } else if error.is_connect() {
        Kind::NotSent(if error.is_dns() {
            NotSent::NameNotResolved
        } else if message::root_cause(error).is::<rustls::Error>() {
            NotSent::Tls
        } else {
            NotSent::NoConnection
        })
    } else if error.is_timeout() {
        Kind::Unavailable(Unavailable::Timeout)
    } else {
        Kind::Unavailable(Unavailable::ConnectionBroken)
    }
}

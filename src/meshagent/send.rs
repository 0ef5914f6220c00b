//! One attempt: a request goes out under a deadline, and the answer comes back whole, or an error classified once.

use std::time::{Duration, SystemTime};

use reqwest::header::{ACCEPT, ACCEPT_ENCODING, AUTHORIZATION, CONTENT_ENCODING, HeaderValue, LOCATION, RETRY_AFTER};
use reqwest::{Method, Response};
use tokio::time::{Instant, timeout, timeout_at};
use url::Url;
use zeroize::Zeroizing;

use super::certificate;
use super::connection::{Gate, Observer, Timeouts};
use super::error::{CallError, CallObservation, Kind, NotSent, Route, Unavailable, classify};
use super::message::{self, Known};
use super::pause::{Pause, pause_for};
use super::wire::{ClientPatch, NewClient};
use crate::proxy::Proxy;
use crate::secret::ApiKey;

/// The largest answer: a page of a hundred clients with generous metadata is a tenth of it.
pub(super) const LARGEST_ANSWER: usize = 8 << 20;
/// The most that is read of an error's body, of which 300 characters are shown.
const LARGEST_ERROR: usize = 16 << 10;
/// The time for an error's text: its status is known already, and the text is not worth waiting for.
const ERROR_TEXT_TIMEOUT: Duration = Duration::from_secs(2);

/// Everything that the attempts of one project share.
pub(super) struct Transport {
    pub(super) http: reqwest::Client,
    pub(super) key: ApiKey,
    pub(super) proxy: Option<Proxy>,
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
    /// The body, which may hold a client's secret.
    pub(super) body: Zeroizing<Vec<u8>>,
}

/// A failure without its route, which the caller adds.
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
        let method = match call.route {
            Route::CreateClient => Method::POST,
            Route::ListClients | Route::GetClient => Method::GET,
            Route::UpdateClient => Method::PUT,
            Route::DeleteClient => Method::DELETE,
        };
        let request = self.http.request(method, call.url.clone());
        let request = match call.body {
            Body::Nothing => request,
            Body::Client(client) => request.json(client),
            Body::Patch(patch) => request.json(patch),
        };
        let request = request
            // A read may prove that something is absent, so the server must not answer from a cache. The official SDK
            // sends it with writes as well.
            .header("consistency", "high")
            .header(ACCEPT, "application/json")
            // A proxy that compresses all the same is understood: see the features of reqwest.
            .header(ACCEPT_ENCODING, "identity")
            .header(AUTHORIZATION, bearer);
        let known = Known { key: self.key.expose(), path: call.url.path() };
        let response = request.send().await.map_err(|error| self.unanswered(&error, known))?;
        let code = response.status().as_u16();
        *status = Some(code);
        if response.status().is_success() {
            match coding(&response).filter(|_| call.route.answers_with_clients()) {
                Some(coding) => Err(failure(Kind::Unavailable(Unavailable::Malformed), coding)),
                None => Ok(Answer { status: code, body: whole_body(response, known).await? }),
            }
        } else {
            Err(refused(response, known).await)
        }
    }

    fn unanswered(&self, error: &reqwest::Error, known: Known<'_>) -> Failure {
        let Failure { kind, mut detail } = broken(error, known);
        if let Some(proxy) = &self.proxy {
            detail.push_str(&format!(" (by way of the proxy {proxy})"));
        }
        failure(kind, detail)
    }
}

/// What to say of an answer in a content coding that cannot be read. reqwest removes the header from what it decodes.
fn coding(response: &Response) -> Option<String> {
    let coding = response.headers().get(CONTENT_ENCODING)?;
    let coding = coding.to_str().unwrap_or("unknown");
    let unread = !coding.is_empty() && !coding.eq_ignore_ascii_case("identity");
    unread.then(|| {
        format!("it comes in the content coding {coding}, which was not asked for; check gateways and proxies")
    })
}

async fn whole_body(mut response: Response, known: Known<'_>) -> Result<Zeroizing<Vec<u8>>, Failure> {
    let too_large = || {
        let detail = format!("more than {} MiB", LARGEST_ANSWER >> 20);
        failure(Kind::Unavailable(Unavailable::TooLarge), detail)
    };
    let announced = response.content_length().map_or(Ok(0), usize::try_from).unwrap_or(usize::MAX);
    if announced > LARGEST_ANSWER {
        return Err(too_large());
    }
    // The length is reserved at once where it is known: each growth would leave a copy behind that is not zeroed.
    let mut body = Zeroizing::new(Vec::with_capacity(announced));
    while let Some(chunk) = response.chunk().await.map_err(|error| broken(&error, known))? {
        if chunk.len() > LARGEST_ANSWER - body.len() {
            return Err(too_large());
        }
        body.extend_from_slice(&chunk);
    }
    Ok(body)
}

async fn refused(mut response: Response, known: Known<'_>) -> Failure {
    let status = response.status().as_u16();
    let header = response.headers().get(RETRY_AFTER).map(HeaderValue::as_bytes);
    let kind = classify(status, pause_for(header, SystemTime::now()));
    if let Kind::Unavailable(Unavailable::Redirect(_)) = kind {
        let target = response.headers().get(LOCATION).and_then(|header| header.to_str().ok());
        let host = target.and_then(|target| Url::parse(target).ok()).and_then(|url| url.host_str().map(str::to_owned));
        let detail = host.map(|host| format!("it points to the host {host}")).unwrap_or_default();
        return failure(kind, message::one_line(&detail, known));
    }
    if let Some(coding) = coding(&response) {
        return failure(kind, message::one_line(&coding, known));
    }
    let mut body = Zeroizing::new(Vec::new());
    let text = async {
        while body.len() < LARGEST_ERROR {
            let Ok(Some(chunk)) = response.chunk().await else { break };
            let room = LARGEST_ERROR - body.len();
            body.extend(chunk.iter().take(room));
        }
    };
    // The text that came in time is shown.
    let _ = timeout(ERROR_TEXT_TIMEOUT, text).await;
    failure(kind, message::of_body(&body, known))
}

fn broken(error: &reqwest::Error, known: Known<'_>) -> Failure {
    let cause = message::root_cause(error);
    let said = cause.downcast_ref::<rustls::Error>().map_or_else(|| cause.to_string(), certificate::words);
    failure(transport_kind(error), message::one_line(&said, known))
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

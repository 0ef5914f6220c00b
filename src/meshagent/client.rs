//! One method per route of the API.

use std::fmt;
use std::sync::Arc;

use tokio::time::Instant;
use url::Url;

use super::api_url::ApiUrl;
use super::connection::{BuildError, Connection, http_client};
use super::error::{CallError, Kind, NotSent, Route, Unavailable};
use super::list::{Listing, MOST_BYTES, Next};
use super::message;
use super::pause::Pause;
use super::send::{Answer, Body, Call, LARGEST_ANSWER, Transport};
use super::wire::{self, Malformed};
use crate::secret::ClientSecret;

/// The OAuth clients of one project, seen with one key. Clones share connections and the pause after a 429.
#[derive(Clone)]
pub struct MeshAgent(Arc<Inner>);

struct Inner {
    base_url: ApiUrl,
    project_id: String,
    transport: Transport,
}

/// What became of a POST.
#[derive(Debug)]
pub enum Posted {
    /// The client exists, and this is the only time that its secret is seen.
    Created {
        /// The client as the server answered it.
        client: wire::Client,
        /// The secret, shown once.
        secret: ClientSecret,
    },
    /// No client was created, for certain.
    Rejected(CallError),
    /// A client may exist.
    Unknown {
        /// Why the outcome is not known.
        error: CallError,
        /// The id of a client that does exist, but whose secret was not in the answer.
        client_id: Option<String>,
    },
}

impl MeshAgent {
    /// Checks the settings; makes no call.
    pub fn new(config: Connection) -> Result<Self, BuildError> {
        let http = http_client(&config.timeouts, config.ca_bundle.as_deref(), config.proxy.as_ref())?;
        Self::over(http, config)
    }

    fn over(http: reqwest::ClientBuilder, config: Connection) -> Result<Self, BuildError> {
        let Connection { base_url, project_id, key, ca_bundle: _, proxy, timeouts, observer, gate } = config;
        base_url.join(&[&project_id]).ok_or(BuildError::ProjectId)?;
        let http = http.build().map_err(|error| BuildError::Client(message::root_cause(&error).to_string()))?;
        let transport = Transport { http, key, proxy, timeouts, pause: Pause::default(), observer, gate };
        Ok(Self(Arc::new(Inner { base_url, project_id, transport })))
    }

    /// Creates a client. The request is sent once, whatever happens.
    pub async fn create_client(&self, request: &wire::NewClient) -> Posted {
        let route = Route::CreateClient;
        let answer = match self.send(route, &[], Body::Client(request)).await {
            Ok(answer) => answer,
            Err(error) if error.is_definite() => return Posted::Rejected(error),
            Err(error) => return Posted::Unknown { error, client_id: None },
        };
        match wire::created(&answer.body) {
            Ok((client, secret)) => Posted::Created { client, secret },
            Err(wire::Incomplete { client_id, problem }) => {
                Posted::Unknown { error: malformed(route, problem), client_id }
            }
        }
    }

    /// All clients of the project, each once, as the server's authoritative data has them; kept is what `read` makes of
    /// each, page by page. Since pages are counted by offset, a concurrent change can hide a client: the absence of one
    /// proves nothing by itself.
    pub async fn list_clients<T>(&self, read: impl Fn(wire::Client) -> T) -> Result<Vec<T>, CallError> {
        let route = Route::ListClients;
        let unavailable = |kind| CallError { route, kind: Kind::Unavailable(kind), detail: String::new() };
        let latest = Instant::now() + self.0.transport.timeouts.listing;
        let too_large = |detail| CallError { detail, ..unavailable(Unavailable::TooLarge) };
        let mut listing = Listing::default();
        let mut request = listing.first();
        loop {
            let mut url = self.url(route, &[])?;
            url.query_pairs_mut()
                .append_pair("count", &request.count.to_string())
                .append_pair("offset", &request.offset.to_string());
            let answer = self.0.transport.call(&Call { route, url, body: Body::Nothing }, Some(latest)).await;
            let next = match answer {
                Ok(answer) => {
                    let page = wire::page(&answer.body).map_err(|problem| malformed(route, problem))?;
                    listing.absorb(page, answer.body.len(), &read)
                }
                Err(CallError { kind: Kind::Unavailable(Unavailable::TooLarge), .. }) => listing.shrink(),
                Err(error) => return Err(error),
            };
            match next {
                Next::Ask(next) => request = next,
                Next::Done => return Ok(listing.into_clients()),
                Next::TooManyPages(pages) => return Err(unavailable(Unavailable::EndlessListing { pages })),
                Next::TooManyBytes => return Err(too_large(format!("more than {} MiB in all", MOST_BYTES >> 20))),
                Next::TooLargeAlone(place) => {
                    let most = LARGEST_ANSWER >> 20;
                    return Err(too_large(format!("the client at offset {place} alone has more than {most} MiB")));
                }
            }
        }
    }

    /// One client, as the server's authoritative data has it. `None` is a 404, and a gateway can say that too.
    pub async fn get_client(&self, id: &str) -> Result<Option<wire::Client>, CallError> {
        let route = Route::GetClient;
        let answer = match self.send(route, &[id], Body::Nothing).await {
            Ok(answer) => answer,
            Err(CallError { kind: Kind::NotFound, .. }) => return Ok(None),
            Err(error) => return Err(error),
        };
        let client = wire::client(&answer.body).map_err(|problem| malformed(route, problem))?;
        if client.client_id != id {
            return Err(malformed(route, Malformed("it shows another client".to_owned())));
        }
        Ok(Some(client))
    }

    /// Changes the fields that are set. Sending it again after an unknown outcome is safe. Any 2xx is a success,
    /// whatever its body says, as every official SDK has it; the next read proves whether the change was carried out.
    pub async fn update_client(&self, id: &str, patch: &wire::ClientPatch) -> Result<(), CallError> {
        self.send(Route::UpdateClient, &[id], Body::Patch(patch)).await.map(|_| ())
    }

    /// Deletes a client; one that is gone already is a success. A client that counts as deleted may never be searched
    /// for again, so a 2xx other than the documented 204 is proved by a read.
    pub async fn delete_client(&self, id: &str) -> Result<(), CallError> {
        let route = Route::DeleteClient;
        let status = match self.send(route, &[id], Body::Nothing).await {
            Ok(Answer { status: 204, .. }) | Err(CallError { kind: Kind::NotFound, .. }) => return Ok(()),
            Ok(Answer { status, .. }) => status,
            Err(error) => return Err(error),
        };
        match self.get_client(id).await? {
            None => Ok(()),
            Some(_) => Err(malformed(route, Malformed(format!("status {status}, but the client is still there")))),
        }
    }

    /// The end of the pause that a 429 asked for; `None` outside of one.
    pub fn paused_until(&self) -> Option<Instant> {
        self.0.transport.pause.until(Instant::now())
    }

    /// The project that all calls are about.
    pub fn project_id(&self) -> &str {
        &self.0.project_id
    }

    async fn send(&self, route: Route, below: &[&str], body: Body<'_>) -> Result<Answer, CallError> {
        let url = self.url(route, below)?;
        self.0.transport.call(&Call { route, url, body }, None).await
    }

    fn url(&self, route: Route, below: &[&str]) -> Result<Url, CallError> {
        let mut segments = vec!["accounts", "projects", &self.0.project_id, "oauth", "clients"];
        segments.extend(below);
        self.0.base_url.join(&segments).ok_or_else(|| CallError {
            route,
            kind: Kind::NotSent(NotSent::UnusableRequest),
            detail: String::new(),
        })
    }
}

impl fmt::Debug for MeshAgent {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let Inner { base_url, project_id, transport: _ } = &*self.0;
        f.debug_struct("MeshAgent")
            .field("base_url", &base_url.to_string())
            .field("project_id", project_id)
            .finish_non_exhaustive()
    }
}

fn malformed(route: Route, Malformed(detail): Malformed) -> CallError {
    CallError { route, kind: Kind::Unavailable(Unavailable::Malformed), detail }
}

#[cfg(test)]
mod tests;

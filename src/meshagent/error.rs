//! A failed call, classified once: what is known of its effect, and whose move it is.

use std::fmt;
use std::time::Duration;

use tokio::time::Instant;

/// The five calls, as metrics and messages name them.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub enum Route {
    /// `POST /oauth/clients`
    CreateClient,
    /// `GET /oauth/clients`
    ListClients,
    /// `GET /oauth/clients/{client_id}`
    GetClient,
    /// `PUT /oauth/clients/{client_id}`
    UpdateClient,
    /// `DELETE /oauth/clients/{client_id}`
    DeleteClient,
}

impl Route {
    /// Verb and path template: one value for each route, whatever the ids.
    pub fn as_str(self) -> &'static str {
        match self {
            Self::CreateClient => "POST /oauth/clients",
            Self::ListClients => "GET /oauth/clients",
            Self::GetClient => "GET /oauth/clients/{client_id}",
            Self::UpdateClient => "PUT /oauth/clients/{client_id}",
            Self::DeleteClient => "DELETE /oauth/clients/{client_id}",
        }
    }

    /// Whether the call may change something.
    pub(super) fn writes(self) -> bool {
        match self {
            Self::CreateClient | Self::UpdateClient | Self::DeleteClient => true,
            Self::ListClients | Self::GetClient => false,
        }
    }

    /// Whether a success is known by its body.
    pub(super) fn answers_with_clients(self) -> bool {
        match self {
            Self::CreateClient | Self::ListClients | Self::GetClient => true,
            Self::UpdateClient | Self::DeleteClient => false,
        }
    }

    /// Whether sending the call twice leaves what sending it once leaves.
    pub(super) fn is_idempotent(self) -> bool {
        match self {
            Self::CreateClient => false,
            Self::ListClients | Self::GetClient | Self::UpdateClient | Self::DeleteClient => true,
        }
    }
}

impl fmt::Display for Route {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(self.as_str())
    }
}

/// One attempt that went out on the network, for metrics. Calls refused in a pause are not among them.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct CallObservation {
    pub route: Route,
    /// The status of the answer; none if there was no answer.
    pub status: Option<u16>,
    /// The time from the first byte of the connection to the last of the answer, or to the failure.
    pub duration: Duration,
}

/// A failed call. Its message names the call, what is known, and what the server or the network said, shortened and
/// without secrets; there is no further source to print.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
#[error("{route}: {kind}{}{detail}", if detail.is_empty() { "" } else { ": " })]
pub struct CallError {
    pub route: Route,
    /// What is known about the failure.
    pub kind: Kind,
    /// What was said, at most about 300 characters; may be empty.
    pub detail: String,
}

/// What is known about a failed call.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
pub enum Kind {
    /// Nothing of the request reached the server.
    #[error("not sent: {0}")]
    NotSent(NotSent),
    /// 400, 409, 422 or another definite 4xx: nothing was changed, and asking again will not help.
    #[error("refused with status {status}")]
    Rejected { status: u16 },
    /// 401: the key is wrong or no longer valid. Says nothing about what exists.
    #[error("the API key was not accepted (401); check that it is complete, current and of this server")]
    AuthenticationFailed,
    /// 403: the key may not do this. Says nothing about what exists.
    #[error(
        "permission denied (403); the key needs the roles oauth_client_creator, oauth_client_inventory and \
         oauth_client_manager"
    )]
    PermissionDenied,
    /// 404: the client, or the project, or the path does not exist.
    #[error("not found (404)")]
    NotFound,
    /// 423: the project is disabled.
    #[error("the project is disabled (423)")]
    Disabled,
    /// 429: all calls of the project pause.
    #[error("rate limited (429); calls pause for {} s", retry_after.as_secs())]
    RateLimited {
        /// The length of the pause, already bounded.
        retry_after: Duration,
    },
    /// Whether the call was carried out is not known.
    #[error("{0}")]
    Unavailable(Unavailable),
}

/// Why nothing was sent.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
pub enum NotSent {
    /// A 429 paused the project.
    #[error("the server asked for a pause (429)")]
    Paused {
        /// The end of the pause.
        until: Instant,
    },
    /// This process leads no longer, and only the leader may change something.
    #[error("this replica does not lead any more")]
    NotLeader,
    /// The server's name has no address.
    #[error("the server's name could not be resolved; check apiUrl and the cluster's DNS")]
    NameNotResolved,
    /// No connection: refused, unreachable, or not within the time allowed.
    #[error("no connection to the server; check apiUrl, proxies and network policies")]
    NoConnection,
    /// The server could not prove who it is, or does not speak TLS.
    #[error("no trusted TLS connection to the server; check apiUrl, caBundleRef and the server's certificate")]
    Tls,
    /// The request cannot be built: an id that cannot stand in a path, or is far too long.
    #[error("the request cannot be built; check the client id")]
    UnusableRequest,
}

/// Why the outcome is not known.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
pub enum Unavailable {
    /// 5xx, 408, 425, 499, or a status that the API does not document.
    #[error("the server answered with status {0}")]
    Status(u16),
    /// A 3xx, which is not followed, since the key would go along.
    #[error("the server redirects (status {0}), which is not followed with the key; set apiUrl to the final address")]
    Redirect(u16),
    /// No answer, or not all of it, within the time allowed.
    #[error("no complete answer in time")]
    Timeout,
    /// The connection broke after the request may have been sent.
    #[error("the connection broke")]
    ConnectionBroken,
    /// An answer that is not of the documented form.
    #[error("the answer is not of the documented form")]
    Malformed,
    /// More bytes than a sound server sends.
    #[error("the answer is too large")]
    TooLarge,
    /// A listing that does not end.
    #[error("the listing did not end within {pages} pages")]
    EndlessListing {
        /// How many pages were read.
        pages: usize,
    },
}

impl CallError {
    /// Whether the request had no effect, for certain.
    pub(super) fn is_definite(&self) -> bool {
        match self.kind {
            Kind::NotSent(_)
            | Kind::Rejected { .. }
            | Kind::AuthenticationFailed
            | Kind::PermissionDenied
            | Kind::NotFound
            | Kind::Disabled => true,
            // The architecture counts 429 as unknown: a gateway may answer it after the request was forwarded.
            Kind::RateLimited { .. } | Kind::Unavailable(_) => false,
        }
    }

    /// Whether the server took the key, but its answer is more than can be read: calls with small answers may work.
    #[must_use]
    pub fn is_too_much(&self) -> bool {
        match &self.kind {
            Kind::Unavailable(unavailable) => match unavailable {
                Unavailable::TooLarge | Unavailable::EndlessListing { .. } => true,
                Unavailable::Status(_)
                | Unavailable::Redirect(_)
                | Unavailable::Timeout
                | Unavailable::ConnectionBroken
                | Unavailable::Malformed => false,
            },
            Kind::NotSent(_)
            | Kind::Rejected { .. }
            | Kind::AuthenticationFailed
            | Kind::PermissionDenied
            | Kind::NotFound
            | Kind::Disabled
            | Kind::RateLimited { .. } => false,
        }
    }

    /// Whether an idempotent call may be repeated at once: a stumble of the network or of a gateway.
    pub(super) fn is_transient(&self) -> bool {
        match &self.kind {
            Kind::NotSent(not_sent) => match not_sent {
                NotSent::NameNotResolved | NotSent::NoConnection => true,
                NotSent::Paused { .. } | NotSent::NotLeader | NotSent::Tls | NotSent::UnusableRequest => false,
            },
            Kind::Unavailable(unavailable) => match unavailable {
                Unavailable::Status(status) => matches!(status, 502..=504),
                Unavailable::ConnectionBroken => true,
                Unavailable::Redirect(_)
                | Unavailable::Timeout
                | Unavailable::Malformed
                | Unavailable::TooLarge
                | Unavailable::EndlessListing { .. } => false,
            },
            Kind::Rejected { .. }
            | Kind::AuthenticationFailed
            | Kind::PermissionDenied
            | Kind::NotFound
            | Kind::Disabled
            | Kind::RateLimited { .. } => false,
        }
    }
}

/// The meaning of a status that is not 2xx, given in this one place. `retry_after` counts for 429 only.
pub(super) fn classify(status: u16, retry_after: Duration) -> Kind {
    match status {
        401 => Kind::AuthenticationFailed,
        403 => Kind::PermissionDenied,
        404 => Kind::NotFound,
        423 => Kind::Disabled,
        429 => Kind::RateLimited { retry_after },
        300..=399 => Kind::Unavailable(Unavailable::Redirect(status)),
        // Gateways answer so when they give up on a request that the server may still carry out.
        408 | 425 | 499 => Kind::Unavailable(Unavailable::Status(status)),
        400..=499 => Kind::Rejected { status },
        _ => Kind::Unavailable(Unavailable::Status(status)),
    }
}

#[cfg(test)]
mod tests;

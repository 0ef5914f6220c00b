//! MeshAgent's REST API for OAuth clients, with all that may go wrong with it.
//!
//! Pure: [`wire`] (the shapes), [`error`] (a failed call, classified once), [`api_url`], [`allowed_hosts`], and the rules
//! for messages, pauses and listings. IO: [`client`], one method per route, over `send` (one attempt) and `retry`.

pub mod allowed_hosts;
pub mod api_url;
mod certificate;
pub mod client;
pub mod connection;
pub mod convert;
pub mod error;
pub mod failure;
mod list;
mod message;
mod pause;
mod retry;
mod send;
#[cfg(test)]
mod testserver;
pub mod wire;

pub use allowed_hosts::{AllowedHosts, ApiHost};
pub use api_url::{ApiUrl, ApiUrlError};
pub use client::{MeshAgent, Posted};
pub use connection::{BuildError, Connection, Gate, Observer, Timeouts};
pub use error::{CallError, CallObservation, Kind, NotSent, Route, Unavailable};

//! The custom resources: what people write, and what the operator answers.
//!
//! Everything that a user wrote arrives here as text, even where the schema allows a few words only: an object that the
//! API server let in under a loosened schema must not fail to decode, because one such object would end the watch of
//! all. [`crate::decide::client::desired`] reads the text into types.

pub mod condition;
pub mod crds;
pub mod duration;
pub mod event;
pub(crate) mod fault;
pub mod limits;
pub mod names;
pub mod oauth_client;
pub mod project;
mod schema;
pub mod time;
pub mod words;

pub use condition::{ConditionStatus, ConditionType, Reason};
pub use oauth_client::{OAuthClient, OAuthClientSpec, OAuthClientStatus};
pub use project::{ClusterMeshAgentProject, MeshAgentProject, MeshAgentProjectSpec, ProjectStatus};

#[cfg(test)]
mod tests;

//! The connection to a project.

use std::sync::Arc;

use super::snapshot::Snapshot;
use crate::meshagent::MeshAgent;
use crate::secret::ApiKey;

/// A project that can be called.
#[derive(Debug)]
pub struct ProjectClient {
    /// The client of the project's API, with the key that worked last.
    pub api: MeshAgent,
    /// The key of `api`.
    pub api_key: ApiKey,
    /// The certificates that are trusted besides the public ones, as they were read.
    pub ca_bundle: Option<Vec<u8>>,
    /// The project's id at MeshAgent.
    pub project_id: String,
    /// The address where users sign in.
    pub authorize_url: String,
    /// The address where codes become tokens.
    pub token_url: String,
    /// The snapshot of the project's clients.
    pub snapshot: Arc<Snapshot>,
}

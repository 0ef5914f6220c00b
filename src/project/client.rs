//! The connection to a project.

use std::sync::Arc;

use super::snapshot::Snapshot;
use crate::meshagent::MeshAgent;
use crate::secret::ApiKey;

/// A project that can be called.
#[derive(Debug)]
pub struct ProjectClient {
    /// Calls it, with the key that worked last.
    pub api: MeshAgent,
    /// That key.
    pub api_key: ApiKey,
    /// The certificates that are trusted besides the public ones, as they were read.
    pub ca_bundle: Option<Vec<u8>>,
    /// Its id at MeshAgent.
    pub project_id: String,
    /// Where users sign in.
    pub authorize_url: String,
    /// Where codes become tokens.
    pub token_url: String,
    /// Its clients.
    pub snapshot: Arc<Snapshot>,
}

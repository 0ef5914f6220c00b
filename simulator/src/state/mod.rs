//! Projects, keys and clients in memory. Pure: time is an argument, ids and secrets come from a generator.

use std::collections::{BTreeMap, HashMap};
use std::time::Duration;

use serde::{Deserialize, Serialize};
use uuid::Uuid;

pub mod client;
mod history;
mod project;
pub mod settings;

pub use project::{Consistency, CreateError, Listing, Page, Project, UpdateError};

use crate::generate::Generate;
use crate::key::{self, KeyIds};
use crate::secret::Secret;

/// A role of a key.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Role {
    /// `oauthClients:create`.
    OauthClientCreator,
    /// `oauthClients:read`.
    OauthClientInventory,
    /// `oauthClients:update` and `oauthClients:delete`.
    OauthClientManager,
    /// The project permission without which no client may hold the scope `llm_proxy`.
    CanUseLlmProxy,
}

impl Role {
    /// Every role: what a key gets unless it is told otherwise.
    pub const ALL: [Self; 4] =
        [Self::OauthClientCreator, Self::OauthClientInventory, Self::OauthClientManager, Self::CanUseLlmProxy];

    /// The role's name on the wire.
    pub fn name(self) -> &'static str {
        match self {
            Self::OauthClientCreator => "oauth_client_creator",
            Self::OauthClientInventory => "oauth_client_inventory",
            Self::OauthClientManager => "oauth_client_manager",
            Self::CanUseLlmProxy => "can_use_llm_proxy",
        }
    }
}

/// An API key, without its secret.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
pub struct Key {
    /// The key's id, which its text shows too.
    pub key_id: Uuid,
    /// The one project that it opens.
    pub project_id: Uuid,
    /// The roles that the key has there.
    pub roles: Vec<Role>,
}

impl Key {
    /// Whether the key has the role.
    pub fn has(&self, role: Role) -> bool {
        self.roles.contains(&role)
    }
}

/// Everything that the server knows.
#[derive(Debug)]
pub struct State {
    default_lag: Duration,
    projects: BTreeMap<Uuid, Project>,
    keys: HashMap<Secret, Key>,
}

impl State {
    /// An empty server, whose `fast` reads lag that much unless a project's settings say otherwise.
    pub fn new(default_lag: Duration) -> Self {
        Self { default_lag, projects: BTreeMap::new(), keys: HashMap::new() }
    }

    /// Adds a project; `false` if there is one of that id.
    pub fn add_project(&mut self, id: Uuid) -> bool {
        if self.projects.contains_key(&id) {
            return false;
        }
        self.projects.insert(id, Project::new(id, self.default_lag));
        true
    }

    /// Makes a key for a project.
    pub fn add_key(&mut self, project_id: Uuid, roles: Vec<Role>, generator: &mut dyn Generate) -> (Key, Secret) {
        let ids = KeyIds { key_id: generator.uuid(), project_id };
        let text = key::format(ids, &generator.uuid().to_string());
        let key = Key { key_id: ids.key_id, project_id, roles };
        self.keys.insert(text.clone(), key.clone());
        (key, text)
    }

    /// Revokes a key; `false` if there is none of that id.
    pub fn revoke_key(&mut self, key_id: Uuid) -> bool {
        let before = self.keys.len();
        self.keys.retain(|_, key| key.key_id != key_id);
        self.keys.len() < before
    }

    /// The key of that text.
    pub fn key(&self, text: &str) -> Option<&Key> {
        self.keys.get(&Secret::new(text))
    }

    /// A project's keys, by id.
    pub fn keys_of(&self, project_id: Uuid) -> Vec<Key> {
        let mut keys: Vec<_> = self.keys.values().filter(|key| key.project_id == project_id).cloned().collect();
        keys.sort_by_key(|key| key.key_id);
        keys
    }

    /// One project.
    pub fn project(&self, id: Uuid) -> Option<&Project> {
        self.projects.get(&id)
    }

    /// One project, to be changed.
    pub fn project_mut(&mut self, id: Uuid) -> Option<&mut Project> {
        self.projects.get_mut(&id)
    }

    /// All projects, by id.
    pub fn projects(&self) -> impl Iterator<Item = &Project> {
        self.projects.values()
    }

    /// The project that holds a client now. Client ids are unique across projects.
    pub fn project_of(&self, client_id: &str) -> Option<&Project> {
        self.projects.values().find(|project| project.client(client_id).is_some())
    }
}

#[cfg(test)]
mod tests;

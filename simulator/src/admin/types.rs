//! The types that the admin side speaks, shared by server and client.

use serde::{Deserialize, Serialize};
use uuid::Uuid;

use crate::secret::Secret;
use crate::state::client::Client;
use crate::state::settings::Settings;
use crate::state::{Key, Role};

/// `POST /projects`.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase", deny_unknown_fields, default)]
pub struct NewProject {
    /// The project's id; left out, one is drawn.
    pub id: Option<Uuid>,
}

/// A project with the key that opens it.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
pub struct ProjectAccess {
    pub project_id: Uuid,
    /// A key with every role.
    pub api_key: Secret,
}

/// `POST /projects/{id}/keys`.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase", deny_unknown_fields, default)]
pub struct NewKey {
    /// The roles of the key; left out: all.
    pub roles: Option<Vec<Role>>,
}

/// A new key.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
pub struct KeyAccess {
    /// The key, described.
    pub key: Key,
    /// The key itself.
    pub api_key: Secret,
}

/// A client as somebody in MeshAgent Studio makes it: with its secret.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
pub struct ClientAccess {
    /// The client, in the API's own form.
    pub client: Client,
    /// The client's secret.
    pub client_secret: Secret,
}

/// `POST /projects/{id}/verify`.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase", deny_unknown_fields)]
pub struct Credential {
    pub client_id: String,
    /// The secret to try.
    pub client_secret: Secret,
}

/// The verdict on a credential.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Verdict {
    /// Whether the credential is good.
    pub accepted: bool,
}

/// `GET /state`: everything but secrets.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct StateView {
    /// The projects, by id.
    pub projects: Vec<ProjectView>,
}

impl StateView {
    /// The clients of a project as they are; none if there is no such project.
    pub fn clients_of(&self, project_id: Uuid) -> Vec<Client> {
        let project = self.projects.iter().find(|project| project.project_id == project_id);
        project.map(|project| project.clients.clone()).unwrap_or_default()
    }
}

/// One project.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
pub struct ProjectView {
    pub project_id: Uuid,
    /// How its server behaves.
    pub settings: Settings,
    /// The project's keys.
    pub keys: Vec<Key>,
    /// The project's clients as they are, in the API's own form.
    pub clients: Vec<Client>,
}

/// The admin side's answer to a request that it refuses.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Refusal {
    pub message: String,
}

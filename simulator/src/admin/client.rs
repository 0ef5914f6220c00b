//! A typed client of the admin side.

use std::time::Duration;

use reqwest::{Method, Response, StatusCode};
use serde::Serialize;
use serde::de::DeserializeOwned;
use uuid::Uuid;

use super::types::{
    ClientAccess, Credential, KeyAccess, NewKey, NewProject, ProjectAccess, Refusal, StateView, Verdict,
};
use crate::fault::{FaultRule, InstalledFault};
use crate::record::Call;
use crate::secret::Secret;
use crate::state::Role;
use crate::state::client::ClientFields;
use crate::state::settings::Settings;

// The admin side answers from memory: a longer wait means that it hangs.
const DEADLINE: Duration = Duration::from_secs(10);

/// Why the admin side did not do what it was asked.
#[derive(Debug, thiserror::Error)]
pub enum AdminError {
    /// The admin side cannot be reached, or its answer cannot be read.
    #[error("{operation}")]
    Call {
        /// Method and path.
        operation: String,
        /// What went wrong.
        source: reqwest::Error,
    },
    /// The admin side refused.
    #[error("{operation}: {status}: {message}")]
    Refused {
        /// Method and path.
        operation: String,
        status: StatusCode,
        /// The reason of the admin side.
        message: String,
    },
    /// No HTTP client could be made.
    #[error("making an HTTP client")]
    NoClient(#[source] reqwest::Error),
}

/// The admin side of a simulator.
#[derive(Clone, Debug)]
pub struct Admin {
    url: String,
    http: reqwest::Client,
}

impl Admin {
    /// A client for the simulator whose admin side has this URL.
    pub fn new(url: impl Into<String>) -> Result<Self, AdminError> {
        // reqwest asks for a TLS provider even if only http is spoken. A provider that the program has chosen stays.
        let provider = rustls::crypto::ring::default_provider();
        if provider.install_default().is_err() {
            tracing::trace!("a TLS provider is installed already");
        }
        let http = reqwest::Client::builder().no_proxy().timeout(DEADLINE).build().map_err(AdminError::NoClient)?;
        Ok(Self { url: url.into().trim_end_matches('/').to_owned(), http })
    }

    /// The calls since the record was last cleared.
    pub async fn calls(&self) -> Result<Vec<Call>, AdminError> {
        self.get("/calls").await
    }

    /// Forgets all calls.
    pub async fn clear_calls(&self) -> Result<(), AdminError> {
        self.delete("/calls").await
    }

    /// Adds a fault.
    pub async fn fault(&self, rule: &FaultRule) -> Result<InstalledFault, AdminError> {
        self.send(Method::POST, "/faults", rule).await
    }

    /// The faults in force, spent ones included.
    pub async fn faults(&self) -> Result<Vec<InstalledFault>, AdminError> {
        self.get("/faults").await
    }

    /// Removes one fault.
    pub async fn remove_fault(&self, id: u64) -> Result<(), AdminError> {
        self.delete(&format!("/faults/{id}")).await
    }

    /// Removes all faults.
    pub async fn clear_faults(&self) -> Result<(), AdminError> {
        self.delete("/faults").await
    }

    /// Projects, keys and clients, without secrets.
    pub async fn state(&self) -> Result<StateView, AdminError> {
        self.get("/state").await
    }

    /// Adds a project; without an id, one is drawn.
    pub async fn create_project(&self, id: Option<Uuid>) -> Result<ProjectAccess, AdminError> {
        self.send(Method::POST, "/projects", &NewProject { id }).await
    }

    /// Replaces a project's settings whole.
    pub async fn configure(&self, project: Uuid, settings: &Settings) -> Result<Settings, AdminError> {
        self.send(Method::PUT, &format!("/projects/{project}"), settings).await
    }

    /// Makes a key with these roles.
    pub async fn create_key(&self, project: Uuid, roles: &[Role]) -> Result<KeyAccess, AdminError> {
        let key = NewKey { roles: Some(roles.to_vec()) };
        self.send(Method::POST, &format!("/projects/{project}/keys"), &key).await
    }

    /// Revokes a key.
    pub async fn revoke_key(&self, key_id: Uuid) -> Result<(), AdminError> {
        self.delete(&format!("/keys/{key_id}")).await
    }

    /// Makes a client as somebody in MeshAgent Studio would.
    pub async fn create_client(&self, project: Uuid, fields: &ClientFields) -> Result<ClientAccess, AdminError> {
        self.send(Method::POST, &format!("/projects/{project}/clients"), fields).await
    }

    /// Edits a client as somebody in MeshAgent Studio would.
    pub async fn edit_client(&self, project: Uuid, client_id: &str, fields: &ClientFields) -> Result<(), AdminError> {
        let path = format!("/projects/{project}/clients/{client_id}");
        self.call(Method::PUT, &path, Some(fields)).await.map(|_| ())
    }

    /// Deletes a client as somebody in MeshAgent Studio would.
    pub async fn delete_client(&self, project: Uuid, client_id: &str) -> Result<(), AdminError> {
        self.delete(&format!("/projects/{project}/clients/{client_id}")).await
    }

    /// Whether the API would accept this credential.
    pub async fn verify(&self, project: Uuid, client_id: &str, client_secret: &str) -> Result<bool, AdminError> {
        let credential = Credential { client_id: client_id.to_owned(), client_secret: Secret::new(client_secret) };
        let verdict: Verdict = self.send(Method::POST, &format!("/projects/{project}/verify"), &credential).await?;
        Ok(verdict.accepted)
    }

    async fn get<T: DeserializeOwned>(&self, path: &str) -> Result<T, AdminError> {
        let answer = self.call(Method::GET, path, None::<&()>).await?;
        answer.json().await.map_err(|source| AdminError::Call { operation: format!("GET {path}"), source })
    }

    async fn send<T: DeserializeOwned>(
        &self,
        method: Method,
        path: &str,
        body: &impl Serialize,
    ) -> Result<T, AdminError> {
        let operation = format!("{method} {path}");
        let answer = self.call(method, path, Some(body)).await?;
        answer.json().await.map_err(|source| AdminError::Call { operation, source })
    }

    async fn delete(&self, path: &str) -> Result<(), AdminError> {
        self.call(Method::DELETE, path, None::<&()>).await.map(|_| ())
    }

    async fn call(&self, method: Method, path: &str, body: Option<&impl Serialize>) -> Result<Response, AdminError> {
        let operation = format!("{method} {path}");
        let mut request = self.http.request(method, format!("{}{path}", self.url));
        if let Some(body) = body {
            request = request.json(body);
        }
        let failed = |source| AdminError::Call { operation: operation.clone(), source };
        let answer = request.send().await.map_err(failed)?;
        let status = answer.status();
        if status.is_success() {
            return Ok(answer);
        }
        let text = answer.text().await.map_err(failed)?;
        let message = serde_json::from_str::<Refusal>(&text).map_or(text, |refusal| refusal.message);
        Err(AdminError::Refused { operation, status, message })
    }
}

//! What the operator says of an OAuthClient.

use k8s_openapi::apimachinery::pkg::apis::meta::v1::{Condition, Time};
use schemars::JsonSchema;
use serde::{Deserialize, Serialize};

use crate::api::schema;

/// What the operator found and did. Written by the operator only.
#[derive(Clone, Debug, Default, PartialEq, Deserialize, Serialize, JsonSchema)]
#[serde(rename_all = "camelCase")]
pub struct OAuthClientStatus {
    /// The metadata.generation that the operator has looked at last; -1 if none yet. It advances on failures too.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub observed_generation: Option<i64>,

    /// `Ready`, `Synced`, `SecretReady`, and, only while true, `Reconciling` and `Stalled`. Their messages say what to do.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    #[schemars(schema_with = "schema::conditions")]
    pub conditions: Option<Vec<Condition>>,

    /// The client's id in MeshAgent.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub client_id: Option<String>,

    /// The MeshAgent project that the client lives in, kept from the first success on.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub project_id: Option<String>,

    /// The Secret that holds the credential.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub secret_name: Option<String>,

    /// The Secret's resourceVersion when it was last read or written; another one makes the operator look again.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub secret_resource_version: Option<String>,

    /// SHA-256 over uid, client id and client secret: shows that a credential was altered without telling it.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub credential_digest: Option<String>,

    /// The metadata.generation that was last carried out in full.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub applied_generation: Option<i64>,

    /// When the client was last replaced by a new one.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub last_replaced_at: Option<Time>,

    /// Whether the client existed before and was taken over. It is never recreated then.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub adopted: Option<bool>,

    /// While MeshAgent keeps another value than was sent: SHA-256 over what is wanted and what is kept. It is not sent
    /// again until one of them changes.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub persisting_drift: Option<String>,

    /// Former clients that still work until they are deleted.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub retiring: Option<Vec<Retiring>>,

    /// The metadata keys that the operator has set on the client.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub managed_metadata_keys: Option<Vec<String>>,

    /// The request to look again that was last acted on: the value of `meshagent.com/reconcile-requested-at` or of
    /// `reconcile.fluxcd.io/requestedAt`.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub last_handled_reconcile_at: Option<String>,

    /// The value of the other of those two annotations, if both are there: acted on earlier.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub also_handled_reconcile_at: Option<String>,

    /// The value of `meshagent.com/rotate-requested-at` that was last acted on.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub last_handled_rotate_at: Option<String>,
}

/// A former client that still works until it is deleted.
#[derive(Clone, Debug, PartialEq, Eq, Deserialize, Serialize, JsonSchema)]
#[serde(rename_all = "camelCase")]
pub struct Retiring {
    /// The former client's id in MeshAgent.
    pub client_id: String,
    /// When its overlap ends. It is deleted then, or once no pod holds its credential any more, 7 days later at most.
    pub delete_after: Time,
    /// When it was replaced. Pods that were created before may hold its credential.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub replaced_at: Option<Time>,
    /// Up to five pods for which it lives on after its overlap: each was created before it was replaced, and holds its
    /// credential in its environment.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub pods: Option<Vec<String>>,
    /// How many more such pods there are.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub more_pods: Option<i64>,
}

impl Retiring {
    /// A former client for which no pod is known to live on.
    #[must_use]
    pub fn new(client_id: impl Into<String>, replaced_at: Option<Time>, delete_after: Time) -> Self {
        Self { client_id: client_id.into(), delete_after, replaced_at, pods: None, more_pods: None }
    }
}

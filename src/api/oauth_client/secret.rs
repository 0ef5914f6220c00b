//! The Secret, as the spec describes it.

use std::collections::BTreeMap;

use kube::KubeSchema;
use serde::{Deserialize, Serialize};

use crate::api::{limits, schema};

/// The Secret that the credential is written to.
#[derive(KubeSchema, Clone, Debug, Default, PartialEq, Deserialize, Serialize)]
#[serde(rename_all = "camelCase")]
pub struct SecretSpec {
    /// Name of the Secret. Default: `<name>-oauth`. Rule: the name of a Kubernetes object. If it changes, the credential
    /// is written under the new name before the former Secret goes. A Secret of this name that is not the operator's is
    /// never written, unless it holds the client that is adopted or was retained by an OAuthClient of this name.
    #[serde(skip_serializing_if = "Option::is_none")]
    #[schemars(length(max = limits::OBJECT_NAME))]
    #[x_kube(validation = schema::object_name("secret.name"))]
    pub name: Option<String>,

    /// Names of the data keys. Default: `CLIENT_ID`, `CLIENT_SECRET`, `PROJECT_ID`, `AUTHORIZE_URL`, `TOKEN_URL`,
    /// `SCOPES`. Rule: no two alike; the empty text leaves a key out, but for the first two.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub keys: Option<SecretKeysSpec>,

    /// Labels of the Secret, for its consumers. Default: none besides the operator's own. Rule: up to 30; refused are keys
    /// under `kubernetes.io/` and `meshagent.com/`, `app.kubernetes.io/instance` (by which Argo CD would take the Secret
    /// for its own) and `app.kubernetes.io/managed-by`.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    #[schemars(schema_with = "schema::secret_labels")]
    pub labels: Option<BTreeMap<String, String>>,

    /// Annotations of the Secret, for its consumers: an application in another namespace gets the credential by those of a
    /// reflector, which keeps its copy current, since a copy made by hand goes stale, and goes when it keeps the owner
    /// reference. Default: none besides the operator's own. Rule: up to 30 with values of up to 4096 characters, 64 KiB
    /// together; refused are control characters, and keys under `kubernetes.io/` and `meshagent.com/`.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    #[schemars(schema_with = "schema::secret_annotations")]
    pub annotations: Option<BTreeMap<String, String>>,

    /// Type of the Secret. Default: `Opaque`. Rule: refused are types under `kubernetes.io/` other than
    /// `kubernetes.io/basic-auth` (whose keys must be named `username` and `password`) and types under `helm.sh/`. It
    /// changes only together with `secret.name`, since Kubernetes keeps the type of a Secret for ever.
    #[serde(rename = "type", skip_serializing_if = "Option::is_none")]
    #[schemars(length(max = limits::OBJECT_NAME))]
    #[x_kube(validation = schema::secret_type())]
    pub type_: Option<String>,
}

/// Names of the data keys in the Secret.
#[derive(KubeSchema, Clone, Debug, Default, PartialEq, Deserialize, Serialize)]
#[serde(rename_all = "camelCase")]
#[x_kube(
    validation = schema::secret_keys_distinct(),
)]
pub struct SecretKeysSpec {
    /// Data key of the client id. Default: `CLIENT_ID`. Rule: letters, digits, `-`, `_` and `.`.
    #[serde(skip_serializing_if = "Option::is_none")]
    #[schemars(length(max = limits::OBJECT_NAME))]
    #[x_kube(validation = schema::data_key("secret.keys.clientId"))]
    pub client_id: Option<String>,

    /// Data key of the client secret. Default: `CLIENT_SECRET`. Rule: letters, digits, `-`, `_` and `.`.
    #[serde(skip_serializing_if = "Option::is_none")]
    #[schemars(length(max = limits::OBJECT_NAME))]
    #[x_kube(validation = schema::data_key("secret.keys.clientSecret"))]
    pub client_secret: Option<String>,

    /// Data key of the project id. Default: `PROJECT_ID`. Rule: letters, digits, `-`, `_` and `.`; the empty text, `""`,
    /// leaves it out of the Secret.
    #[serde(skip_serializing_if = "Option::is_none")]
    #[schemars(length(max = limits::OBJECT_NAME))]
    #[x_kube(validation = schema::droppable_data_key("secret.keys.projectId"))]
    pub project_id: Option<String>,

    /// Data key of the authorization endpoint's address. Default: `AUTHORIZE_URL`. Rule: letters, digits, `-`, `_` and
    /// `.`; the empty text, `""`, leaves it out of the Secret.
    #[serde(skip_serializing_if = "Option::is_none")]
    #[schemars(length(max = limits::OBJECT_NAME))]
    #[x_kube(validation = schema::droppable_data_key("secret.keys.authorizeUrl"))]
    pub authorize_url: Option<String>,

    /// Data key of the token endpoint's address. Default: `TOKEN_URL`. Rule: letters, digits, `-`, `_` and `.`; the empty
    /// text, `""`, leaves it out of the Secret.
    #[serde(skip_serializing_if = "Option::is_none")]
    #[schemars(length(max = limits::OBJECT_NAME))]
    #[x_kube(validation = schema::droppable_data_key("secret.keys.tokenUrl"))]
    pub token_url: Option<String>,

    /// Data key of the scopes, separated by spaces. Default: `SCOPES`. Rule: letters, digits, `-`, `_` and `.`; the empty
    /// text, `""`, leaves it out of the Secret.
    #[serde(skip_serializing_if = "Option::is_none")]
    #[schemars(length(max = limits::OBJECT_NAME))]
    #[x_kube(validation = schema::droppable_data_key("secret.keys.scopes"))]
    pub scopes: Option<String>,
}

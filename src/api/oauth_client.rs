//! `OAuthClient`: an OAuth client of a MeshAgent project, and the Secret that holds its credential.
//!
//! The texts of the fields are what `kubectl explain` shows: what it is, its default, its rule.

use std::collections::BTreeMap;

use k8s_openapi::apimachinery::pkg::apis::meta::v1::{Condition, Time};
use kube::{CustomResource, KubeSchema};
use schemars::JsonSchema;
use serde::{Deserialize, Serialize};

use super::{limits, schema};

/// What the OAuth client shall be. Every field has a default, but `authorization_code`, the default grant type, needs a
/// redirect URI.
#[derive(CustomResource, KubeSchema, Clone, Debug, Default, PartialEq, Deserialize, Serialize)]
#[serde(rename_all = "camelCase")]
#[kube(
    group = "meshagent.com",
    version = "v1alpha1",
    kind = "OAuthClient",
    plural = "oauthclients",
    shortname = "maoc",
    category = "meshagent",
    namespaced,
    derive = "PartialEq",
    status = "OAuthClientStatus",
    doc = "An OAuth client of a MeshAgent project. The operator creates it, keeps it as declared, and writes its client id \
           and secret to a Secret in the same namespace. Deleting the object deletes the client and the Secret.",
    validation = Rule::new("size(self.metadata.name) <= 63")
        .message("metadata.name is longer than 63 bytes, the longest value of the label that the Secret carries; choose a \
                  shorter name"),
    validation = Rule::new("!has(oldSelf.status) || !has(oldSelf.status.clientId) || \
            (has(self.spec.projectRef) ? self.spec.projectRef.kind + '/' + self.spec.projectRef.name \
            : 'ClusterMeshAgentProject/default') == \
            (has(oldSelf.spec.projectRef) ? oldSelf.spec.projectRef.kind + '/' + oldSelf.spec.projectRef.name \
            : 'ClusterMeshAgentProject/default')")
        .message("spec.projectRef cannot change once the client exists, because a client cannot move to another project; \
                  put the former value back, or delete this OAuthClient and create it anew")
        .field_path(".spec.projectRef")
        .reason(Reason::FieldValueForbidden),
)]
#[x_kube(
    validation = Rule::new("(has(self.grantTypes) && !('authorization_code' in self.grantTypes)) || \
            (has(self.redirectUris) && size(self.redirectUris) > 0)")
        .message("redirectUris is empty, but the grant type authorization_code (the default) needs at least one; add a \
                  redirect URI, or set grantTypes to [client_credentials]")
        .field_path(".redirectUris")
        .reason(Reason::FieldValueRequired),
    validation = schema::secret_name_immutable(),
    validation = schema::secret_keys_immutable(),
)]
pub struct OAuthClientSpec {
    /// The project that the client lives in. Default: the ClusterMeshAgentProject `default`. Rule: immutable once the
    /// client exists; to leave it out and to name the default are the same.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub project_ref: Option<ProjectRef>,

    /// The client's name in MeshAgent Studio. Default: `<namespace>/<name>`. Rule: up to 256 characters, without line
    /// breaks, control characters and characters that change the direction of writing.
    #[serde(skip_serializing_if = "Option::is_none")]
    #[schemars(length(max = limits::DISPLAY_NAME))]
    #[x_kube(validation = schema::shown_text("displayName"))]
    pub display_name: Option<String>,

    /// Where MeshAgent may send a user back to after sign-in; a set, each URI kept exactly as written. Default: none.
    /// Rule: up to 100 absolute URIs without a fragment, each up to 2048 characters; `https`, `http`, or for native apps
    /// a reversed domain name as the scheme, like `com.example.app:/callback`. `javascript:`, `data:` and others are
    /// refused, and so are user names and passwords in a URI. The grant type `authorization_code` needs at least one.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    #[schemars(schema_with = "schema::redirect_uris")]
    pub redirect_uris: Option<Vec<String>>,

    /// How the client may obtain tokens; a set. Default: `authorization_code`. Rule: one or more of
    /// `authorization_code`, `refresh_token`, `client_credentials`; `authorization_code` needs a redirect URI.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    #[schemars(schema_with = "schema::grant_types")]
    pub grant_types: Option<Vec<String>>,

    /// What the authorization endpoint may answer; a set. Default: `code` if `authorization_code` is granted, else none.
    /// Rule: any of `code`, `token`, `id_token`.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    #[schemars(schema_with = "schema::response_types")]
    pub response_types: Option<Vec<String>>,

    /// What the client may ask for, like `profile:read` or `rooms:connect`; a set. Default: `openid`, `profile`, `email`.
    /// An empty list means none. Rule: up to 100 tokens of up to 256 printable ASCII characters, without spaces, quotes
    /// and backslashes.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    #[schemars(schema_with = "schema::scopes")]
    pub scopes: Option<Vec<String>>,

    /// How the sign-in page looks. Default: as MeshAgent's.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub branding: Option<Branding>,

    /// Further metadata of the client. Default: none. Keys that others set on the client are kept; keys that were set
    /// from here and are no longer wanted are removed. Rule: up to 50 entries, keys of up to 128 and values of up to 1024
    /// characters. Refused are `name` (use `displayName`), `logo_url`, `theme` and `remove_powered_by_meshagent` (use
    /// `branding`), and keys under `meshagent.com/`, which are the operator's own. Not for secrets: metadata can be read
    /// by whoever can read the project's clients.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    #[schemars(schema_with = "schema::extra_metadata")]
    pub extra_metadata: Option<BTreeMap<String, String>>,

    /// The Secret that the client id and secret are written to, in the same namespace. Default: the Secret
    /// `<name>-oauth` with the keys `CLIENT_ID`, `CLIENT_SECRET`, `PROJECT_ID`, `AUTHORIZE_URL`, `TOKEN_URL`, `SCOPES`.
    /// Rule: immutable.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub secret: Option<SecretSpec>,
}

/// The project that a client lives in.
#[derive(KubeSchema, Clone, Debug, Default, PartialEq, Deserialize, Serialize)]
#[serde(rename_all = "camelCase")]
pub struct ProjectRef {
    /// Kind of the project. Rule: required; `MeshAgentProject` (in the same namespace) or `ClusterMeshAgentProject`.
    #[schemars(required, schema_with = "schema::project_kind")]
    #[serde(skip_serializing_if = "Option::is_none")]
    pub kind: Option<String>,

    /// Name of the project. Rule: required; the `metadata.name` of an object of that kind.
    #[serde(skip_serializing_if = "Option::is_none")]
    #[schemars(required, length(max = limits::OBJECT_NAME))]
    #[x_kube(validation = schema::object_name("projectRef.name"))]
    pub name: Option<String>,
}

/// How the sign-in page looks.
#[derive(KubeSchema, Clone, Debug, Default, PartialEq, Deserialize, Serialize)]
#[serde(rename_all = "camelCase")]
pub struct Branding {
    /// Address of the logo. Default: none. Rule: an absolute `http` or `https` URL of up to 2048 characters.
    #[serde(skip_serializing_if = "Option::is_none")]
    #[schemars(length(max = limits::URI))]
    #[x_kube(validation = schema::logo_url())]
    pub logo_url: Option<String>,

    /// Colours. Default: none, which leaves the choice to MeshAgent. Rule: `light`, `dark` or `auto`.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    #[schemars(schema_with = "schema::theme")]
    pub theme: Option<String>,

    /// Whether the words "powered by MeshAgent" are left out. Default: none, which leaves the choice to MeshAgent.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub remove_powered_by: Option<bool>,
}

/// The Secret that the credential is written to.
#[derive(KubeSchema, Clone, Debug, Default, PartialEq, Deserialize, Serialize)]
#[serde(rename_all = "camelCase")]
pub struct SecretSpec {
    /// Name of the Secret. Default: `<name>-oauth`. Rule: the name of a Kubernetes object; immutable, and it can be
    /// neither added nor removed later. A Secret of this name that is not the operator's is never written.
    #[serde(skip_serializing_if = "Option::is_none")]
    #[schemars(length(max = limits::OBJECT_NAME))]
    #[x_kube(validation = schema::object_name("secret.name"))]
    pub name: Option<String>,

    /// Names of the data keys. Default: `CLIENT_ID`, `CLIENT_SECRET`, `PROJECT_ID`, `AUTHORIZE_URL`, `TOKEN_URL`,
    /// `SCOPES`. Rule: immutable, no two alike; the empty text leaves a key out, but for the first two.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub keys: Option<SecretKeysSpec>,
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

    /// Former clients that still work until they are deleted.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub retiring: Option<Vec<Retiring>>,

    /// The keys of `extraMetadata` that the operator has set on the client.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub managed_metadata_keys: Option<Vec<String>>,

    /// The value of `meshagent.com/reconcile-requested-at` that was last acted on.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub last_handled_reconcile_at: Option<String>,
}

/// A former client that still works until it is deleted.
#[derive(Clone, Debug, PartialEq, Eq, Deserialize, Serialize, JsonSchema)]
#[serde(rename_all = "camelCase")]
pub struct Retiring {
    /// The former client's id in MeshAgent.
    pub client_id: String,
    /// When it is deleted.
    pub delete_after: Time,
}

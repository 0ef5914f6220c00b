//! `OAuthClient`: an OAuth client of a MeshAgent project, and the Secret that holds its credential.
//!
//! The texts of the fields are what `kubectl explain` shows: what it is, its default, its rule.

mod lifecycle;
mod secret;
mod status;

use std::collections::BTreeMap;

use kube::{CustomResource, KubeSchema};
use serde::{Deserialize, Serialize};

pub use lifecycle::{AdoptSpec, CredentialSecretRef, RolloutSpec, RotationSpec};
pub use secret::{SecretKeysSpec, SecretSpec};
pub use status::{OAuthClientStatus, Retiring};

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
    validation = schema::adopt_set_before_the_client_exists(),
)]
#[x_kube(
    validation = Rule::new("(has(self.grantTypes) && !('authorization_code' in self.grantTypes)) || \
            (has(self.redirectUris) && size(self.redirectUris) > 0)")
        .message("redirectUris is empty, but the grant type authorization_code (the default) needs at least one; add a \
                  redirect URI, or set grantTypes to [client_credentials]")
        .field_path(".redirectUris")
        .reason(Reason::FieldValueRequired),
    validation = schema::secret_type_changes_with_the_name(),
)]
pub struct OAuthClientSpec {
    /// The project that the client lives in. Default: the ClusterMeshAgentProject `default`. Rule: immutable once the
    /// client exists; to leave it out and to name the default are the same.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub project_ref: Option<ProjectRef>,

    /// The application's name at sign-in, where end users read it, and in MeshAgent Studio. Default: `<name>`, the
    /// metadata.name. Rule: up to 256 characters, without line breaks, control characters and characters that change the
    /// direction of writing.
    #[serde(skip_serializing_if = "Option::is_none")]
    #[schemars(length(max = limits::DISPLAY_NAME))]
    #[x_kube(validation = schema::shown_text("displayName"))]
    pub display_name: Option<String>,

    /// Where MeshAgent may send a user back to after sign-in; a set, each URI kept exactly as written. Default: none.
    /// Rule: up to 100 absolute URIs without fragment and user name, each up to 2048 characters with 32 times `&` at most;
    /// `https`, `http`, or for native apps any other scheme, like `com.example.app:/callback` or `vscode://vendor.app/cb`,
    /// but those that a browser acts on by itself: `javascript`, `data`, `vbscript`, `file`, `blob`, `filesystem`, `about`,
    /// `ws`, `wss`, `ftp`, `mailto`, `tel`, `sms`, `urn`, `view-source`. The grant type `authorization_code` needs at least
    /// one.
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
    /// An empty list means none. Calls of MeshAgent's LLM proxies need `llm:invoke`, the header `Meshagent-Project-Id` with
    /// the project's id (`PROJECT_ID` in the Secret), and a user with the role `llm_proxy_user`. Rule: up to 100 tokens of up to 256 printable ASCII characters, without spaces, quotes
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

    /// An existing client to take over instead of creating one. Default: none. Rule: only while this OAuthClient has no
    /// client; the project must allow the namespace to adopt. An adopted client is never recreated, and stays when the
    /// OAuthClient is deleted unless `deletionPolicy` says otherwise. To remove the field later changes nothing.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub adopt: Option<AdoptSpec>,

    /// The Secret that the client id and secret are written to, in the same namespace. Default: the Secret
    /// `<name>-oauth` with the keys `CLIENT_ID`, `CLIENT_SECRET`, `PROJECT_ID`, `AUTHORIZE_URL`, `TOKEN_URL`, `SCOPES`.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub secret: Option<SecretSpec>,

    /// What becomes of the client when this OAuthClient is deleted. Default: the operator's flag
    /// `--default-deletion-policy`, which is `Delete` if unset; `Retain` for an adopted client. Rule: `Delete`, or `Retain`
    /// to leave the client and its Secret behind; the same YAML applied again takes both back.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    #[schemars(schema_with = "schema::deletion_policy")]
    pub deletion_policy: Option<String>,

    /// What happens when the credential in the Secret is gone or was altered. Default: `Recreate`. Rule: `Recreate` to
    /// replace the client, which changes the client id, at most once in an overlap; `Block` to say so and wait for a person
    /// who asks for a rotation.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    #[schemars(schema_with = "schema::on_credential_loss")]
    pub on_credential_loss: Option<String>,

    /// Whether the operator leaves client and Secret alone for now. Default: `false`. A new OAuthClient that is suspended
    /// has no client and no Secret and is not Ready until the field is removed, so what waits for it, like a Flux
    /// Kustomization with `wait`, goes on waiting until its timeout; one that was Ready stays so. Deleting a suspended
    /// OAuthClient leaves its client and Secret behind, as `deletionPolicy: Retain` does.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub suspend: Option<bool>,

    /// How a client is replaced by a new one. Default: the former client lives for `24h`. A rotation happens on request
    /// only, by the annotation `meshagent.com/rotate-requested-at`: it changes the client id, and sessions of the former
    /// client end with it.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub rotation: Option<RotationSpec>,

    /// What becomes of pods that hold a former credential. Default: nothing; they run on until somebody restarts them.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub rollout: Option<RolloutSpec>,
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
    /// Address of the logo. Default: none. Rule: an absolute `http` or `https` URL of up to 2048 characters without user
    /// name.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    #[schemars(schema_with = "schema::logo_url")]
    pub logo_url: Option<String>,

    /// Colours. Default: none, which leaves the choice to MeshAgent. Rule: `light`, `dark` or `auto`.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    #[schemars(schema_with = "schema::theme")]
    pub theme: Option<String>,

    /// Whether the words "powered by MeshAgent" are left out. Default: none, which leaves the choice to MeshAgent.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub remove_powered_by: Option<bool>,
}

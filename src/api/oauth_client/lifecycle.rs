//! How a client comes, is replaced, and goes, as the spec describes it.

use kube::KubeSchema;
use serde::{Deserialize, Serialize};

use crate::api::{limits, schema};

/// An existing client to take over.
#[derive(KubeSchema, Clone, Debug, Default, PartialEq, Deserialize, Serialize)]
#[serde(rename_all = "camelCase")]
pub struct AdoptSpec {
    /// Id of the client in MeshAgent. Rule: required; printable ASCII without spaces, up to 256 characters.
    #[serde(skip_serializing_if = "Option::is_none")]
    #[schemars(required, length(max = limits::CLIENT_ID))]
    #[x_kube(validation = schema::client_id())]
    pub client_id: Option<String>,

    /// A Secret in the same namespace that holds the client's credential, which MeshAgent does not show again. Default:
    /// none; then the client is managed and no Secret is written. It may be the Secret that is written to.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub credential_secret_ref: Option<CredentialSecretRef>,
}

/// A Secret that holds the credential of a client to be adopted.
#[derive(KubeSchema, Clone, Debug, Default, PartialEq, Deserialize, Serialize)]
#[serde(rename_all = "camelCase")]
pub struct CredentialSecretRef {
    /// Name of the Secret. Rule: required.
    #[serde(skip_serializing_if = "Option::is_none")]
    #[schemars(required, length(max = limits::OBJECT_NAME))]
    #[x_kube(validation = schema::object_name("adopt.credentialSecretRef.name"))]
    pub name: Option<String>,

    /// Data key of the client id. Default: `CLIENT_ID`. Rule: letters, digits, `-`, `_` and `.`; its value must be
    /// `adopt.clientId`.
    #[serde(skip_serializing_if = "Option::is_none")]
    #[schemars(length(max = limits::OBJECT_NAME))]
    #[x_kube(validation = schema::data_key("adopt.credentialSecretRef.clientIdKey"))]
    pub client_id_key: Option<String>,

    /// Data key of the client secret. Default: `CLIENT_SECRET`. Rule: letters, digits, `-`, `_` and `.`.
    #[serde(skip_serializing_if = "Option::is_none")]
    #[schemars(length(max = limits::OBJECT_NAME))]
    #[x_kube(validation = schema::data_key("adopt.credentialSecretRef.clientSecretKey"))]
    pub client_secret_key: Option<String>,
}

/// How a client is replaced by a new one.
#[derive(KubeSchema, Clone, Debug, Default, PartialEq, Deserialize, Serialize)]
#[serde(rename_all = "camelCase")]
pub struct RotationSpec {
    /// How long a former client lives after it was replaced, since pods may still hold its secret. Default: `24h`. Rule:
    /// one whole number with a unit, `s`, `m`, `h` or `d`, like `12h` or `90d`, up to `3650d`.
    #[serde(skip_serializing_if = "Option::is_none")]
    #[schemars(length(max = limits::DURATION))]
    #[x_kube(validation = schema::duration("rotation.overlap"))]
    pub overlap: Option<String>,
}

/// What becomes of pods that hold a former credential.
#[derive(KubeSchema, Clone, Debug, Default, PartialEq, Deserialize, Serialize)]
#[serde(rename_all = "camelCase")]
pub struct RolloutSpec {
    /// Which workloads are restarted once the client was replaced. Default: `None`. Rule: `None`, or `Injected` for the
    /// Deployments, StatefulSets, DaemonSets and Argo Rollouts in this namespace whose pods the webhook gave a former
    /// credential as variables. The operator needs a right for it: the chart's `rollout.enabled`.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    #[schemars(schema_with = "schema::restart")]
    pub restart: Option<String>,
}

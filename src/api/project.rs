//! `MeshAgentProject` and `ClusterMeshAgentProject`: how to reach a MeshAgent project.

use std::collections::BTreeMap;

use k8s_openapi::apimachinery::pkg::apis::meta::v1::{Condition, LabelSelectorRequirement, Time};
use kube::{CustomResource, KubeSchema};
use schemars::JsonSchema;
use serde::{Deserialize, Deserializer, Serialize};
use serde_json::Value;

use super::{limits, schema};

/// How to reach the project, and what becomes of clients that nobody declares any more.
#[derive(CustomResource, KubeSchema, Clone, Debug, Default, PartialEq, Deserialize, Serialize)]
#[serde(rename_all = "camelCase")]
#[kube(
    group = "meshagent.com",
    version = "v1alpha1",
    kind = "MeshAgentProject",
    plural = "meshagentprojects",
    shortname = "maproj",
    category = "meshagent",
    namespaced,
    derive = "PartialEq",
    status = "ProjectStatus",
    doc = "A MeshAgent project, for the OAuthClients of this namespace whose projectRef names it."
)]
pub struct MeshAgentProjectSpec {
    /// The project's id in MeshAgent. Default: the one that the API key carries. Rule: required if the key carries none
    /// (only keys of the form `ma-…` do), and if it carries one, the same as that.
    #[serde(skip_serializing_if = "Option::is_none")]
    #[schemars(length(max = limits::PROJECT_ID))]
    #[x_kube(validation = Rule::new("self.matches(r'^[A-Za-z0-9][A-Za-z0-9._-]*$')")
        .message("projectId is not an id of a MeshAgent project; copy it from MeshAgent Studio, or leave the field out if the \
                  key begins with ma-"))]
    pub project_id: Option<String>,

    /// Address of the MeshAgent API. Default: `https://api.meshagent.com`. Rule: an absolute `http` or `https` URL of up to
    /// 2048 characters without user name, query and fragment; it may have a port from 1 to 65535 and a path, and a host name
    /// does not end with a dot. Upper case in scheme and host means the same as lower case, and so does a slash at the
    /// end as none. Scheme, host and port of a MeshAgentProject's are among those that whoever runs the operator allows by `--allowed-api-hosts`, of which
    /// `https://api.meshagent.com` is the only one unless the flag says otherwise; a ClusterMeshAgentProject may name any.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    #[schemars(schema_with = "schema::api_url")]
    pub api_url: Option<String>,

    /// The Secret that holds the project's API key: in the namespace of a MeshAgentProject, and for a
    /// ClusterMeshAgentProject in the operator's. Rule: required. The key needs the roles `oauth_client_creator`,
    /// `oauth_client_inventory` and `oauth_client_manager`. A changed key is taken up within seconds.
    #[serde(skip_serializing_if = "Option::is_none")]
    #[schemars(required)]
    pub api_key_secret_ref: Option<SecretKeyRef>,

    /// Certificates in PEM that are trusted for apiUrl besides the public ones: a data key of a Secret or ConfigMap, in the
    /// namespace of a MeshAgentProject, and for a ClusterMeshAgentProject in the operator's. Default: none. A changed
    /// bundle is taken up within seconds.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub ca_bundle_ref: Option<CaBundleRef>,

    /// What becomes of clients that the operator made and whose OAuthClient is gone. Default: deleted after `24h`.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub orphans: Option<OrphansSpec>,
}

/// How to reach the project, who may use it, and what becomes of clients that nobody declares any more.
#[derive(CustomResource, KubeSchema, Clone, Debug, Default, PartialEq, Deserialize, Serialize)]
#[serde(rename_all = "camelCase")]
#[kube(
    group = "meshagent.com",
    version = "v1alpha1",
    kind = "ClusterMeshAgentProject",
    plural = "clustermeshagentprojects",
    shortname = "cmaproj",
    category = "meshagent",
    derive = "PartialEq",
    status = "ProjectStatus",
    doc = "A MeshAgent project, for the OAuthClients of the namespaces that it allows. OAuthClients without a projectRef use \
           the one that is named default."
)]
pub struct ClusterMeshAgentProjectSpec {
    /// What both kinds of project have.
    #[serde(flatten)]
    pub project: MeshAgentProjectSpec,

    /// The namespaces whose OAuthClients may use the project: those named, and those that the selector matches. Default:
    /// none. A namespace that no longer matches is frozen: its clients are not changed, but deleting an OAuthClient still
    /// deletes its client.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub allowed_namespaces: Option<AllowedNamespaces>,

    /// Who may take over clients that the project holds already. Default: nobody.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub adoption: Option<AdoptionSpec>,
}

/// Who may take over clients that a project holds already.
#[derive(KubeSchema, Clone, Debug, Default, PartialEq, Deserialize, Serialize)]
#[serde(rename_all = "camelCase")]
pub struct AdoptionSpec {
    /// The namespaces whose OAuthClients may take over an existing client by spec.adopt: those named, and those that the
    /// selector matches. Default: none, because whoever may adopt can take any client of the project whose id is known,
    /// and client ids are public. Rule: counts only for namespaces that may use the project too.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub allowed_namespaces: Option<AllowedNamespaces>,
}

/// Namespaces, by name or by label.
#[derive(KubeSchema, Clone, Debug, Default, PartialEq, Deserialize, Serialize)]
#[serde(rename_all = "camelCase")]
pub struct AllowedNamespaces {
    /// Namespaces by name. Default: none. Rule: up to 1000 names, each in full.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    #[schemars(schema_with = "schema::namespace_names")]
    pub names: Option<Vec<String>>,

    /// Namespaces by label: those that match all of `matchLabels` and `matchExpressions`. Default: none. The empty selector,
    /// `{}`, matches all namespaces. Rule: up to 50 labels and 20 expressions of up to 250 values; nothing in it is empty.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    #[schemars(schema_with = "schema::namespace_selector")]
    pub selector: Option<NamespaceSelector>,
}

/// A label selector that keeps what it does not know, so that a misspelt field does not turn it into the empty selector.
#[derive(Clone, Debug, Default, PartialEq, Deserialize, Serialize)]
#[serde(rename_all = "camelCase")]
pub struct NamespaceSelector {
    #[serde(default, skip_serializing_if = "Option::is_none", deserialize_with = "null_as_empty")]
    pub match_labels: Option<BTreeMap<String, String>>,
    #[serde(default, skip_serializing_if = "Option::is_none", deserialize_with = "null_as_empty")]
    pub match_expressions: Option<Vec<LabelSelectorRequirement>>,
    /// Fields of other names.
    #[serde(flatten)]
    pub unknown: BTreeMap<String, Value>,
}

/// What was written without a value is empty and not absent.
fn null_as_empty<'de, D: Deserializer<'de>, T: Default + Deserialize<'de>>(value: D) -> Result<Option<T>, D::Error> {
    Option::deserialize(value).map(|value: Option<T>| Some(value.unwrap_or_default()))
}

/// The Secret that holds an API key.
#[derive(KubeSchema, Clone, Debug, Default, PartialEq, Deserialize, Serialize)]
#[serde(rename_all = "camelCase")]
pub struct SecretKeyRef {
    /// Name of the Secret. Rule: required.
    #[serde(skip_serializing_if = "Option::is_none")]
    #[schemars(required, length(max = limits::OBJECT_NAME))]
    #[x_kube(validation = schema::object_name("apiKeySecretRef.name"))]
    pub name: Option<String>,

    /// The data key in it. Default: `api-key`. Rule: letters, digits, `-`, `_` and `.`.
    #[serde(skip_serializing_if = "Option::is_none")]
    #[schemars(length(max = limits::OBJECT_NAME))]
    #[x_kube(validation = schema::data_key("apiKeySecretRef.key"))]
    pub key: Option<String>,
}

/// The Secret or ConfigMap that holds certificates.
#[derive(KubeSchema, Clone, Debug, Default, PartialEq, Deserialize, Serialize)]
#[serde(rename_all = "camelCase")]
pub struct CaBundleRef {
    /// Kind of the object. Rule: required; `Secret` or `ConfigMap`.
    #[serde(skip_serializing_if = "Option::is_none")]
    #[schemars(required, schema_with = "schema::ca_bundle_kind")]
    pub kind: Option<String>,

    /// Name of the object. Rule: required.
    #[serde(skip_serializing_if = "Option::is_none")]
    #[schemars(required, length(max = limits::OBJECT_NAME))]
    #[x_kube(validation = schema::object_name("caBundleRef.name"))]
    pub name: Option<String>,

    /// The data key in it, with certificates one after the other. Default: `ca.crt`. Rule: letters, digits, `-`, `_` and
    /// `.`.
    #[serde(skip_serializing_if = "Option::is_none")]
    #[schemars(length(max = limits::OBJECT_NAME))]
    #[x_kube(validation = schema::data_key("caBundleRef.key"))]
    pub key: Option<String>,
}

/// What becomes of clients that the operator made and whose OAuthClient is gone.
#[derive(KubeSchema, Clone, Debug, Default, PartialEq, Deserialize, Serialize)]
#[serde(rename_all = "camelCase")]
pub struct OrphansSpec {
    /// What is done with them. Default: `Delete`. Rule: `Delete`, or `Report` to list them in the status only.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    #[schemars(schema_with = "schema::orphan_policy")]
    pub policy: Option<String>,

    /// How long a client has to be an orphan before it is deleted, so that a cluster restored from a backup does not
    /// delete the clients of the one that it was copied from. Default: `24h`. Rule: one whole number with a unit, `s`, `m`,
    /// `h` or `d`, like `12h` or `90d`, up to `3650d`.
    #[serde(skip_serializing_if = "Option::is_none")]
    #[schemars(length(max = limits::DURATION))]
    #[x_kube(validation = schema::duration("orphans.minAge"))]
    pub min_age: Option<String>,
}

/// What the operator found and did. Written by the operator only.
#[derive(Clone, Debug, Default, PartialEq, Deserialize, Serialize, JsonSchema)]
#[serde(rename_all = "camelCase")]
pub struct ProjectStatus {
    /// The metadata.generation that the operator has looked at last; -1 if none yet. It advances on failures too.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub observed_generation: Option<i64>,

    /// `Ready` (a call with the API key succeeded), and, only while true, `Reconciling` and `Stalled`. Their messages say
    /// what to do.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    #[schemars(schema_with = "schema::conditions")]
    pub conditions: Option<Vec<Condition>>,

    /// The project's id in MeshAgent.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub project_id: Option<String>,

    /// How many OAuthClients use the project.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub clients: Option<i64>,

    /// Clients that the operator made and whose OAuthClient is gone, the oldest first, 50 at most.
    #[serde(skip_serializing_if = "Option::is_none")]
    #[schemars(length(max = limits::ORPHANS))]
    pub orphans: Option<Vec<Orphan>>,

    /// How many orphans are not listed.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub orphans_omitted: Option<i64>,

    /// The last value of the annotation meshagent.com/accept-loss that was handled; empty if there was none.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub last_handled_accept_loss: Option<String>,
}

/// A client that the operator made and whose OAuthClient is gone.
#[derive(Clone, Debug, PartialEq, Eq, Deserialize, Serialize, JsonSchema)]
#[serde(rename_all = "camelCase")]
pub struct Orphan {
    /// The client's id in MeshAgent.
    pub client_id: String,
    /// The namespace of the OAuthClient that it was made for.
    pub namespace: String,
    /// The name of the OAuthClient that it was made for.
    pub name: String,
    /// When it was first found without its OAuthClient.
    pub since: Time,
}

//! Names of the product that the benchmark writes and reads, as users and operator do.

use kube::api::{ApiResource, GroupVersionKind};

/// The namespace of the operator, as `deploy/` has it.
pub const SYSTEM: &str = "meshagent-operator";
/// The namespace of the clients.
pub const NAMESPACE: &str = "bench";
/// The client that is there before all others.
pub const FIRST: &str = "bench-first";
/// The operator's service account, as the API server names its user.
pub const OPERATOR: &str = "system:serviceaccount:meshagent-operator:meshagent-operator";
/// The groups of the operator's service account.
pub const OPERATOR_GROUPS: [&str; 2] = ["system:serviceaccounts", "system:serviceaccounts:meshagent-operator"];

/// The annotation that asks for a rotation.
pub const ROTATE: &str = "meshagent.com/rotate-requested-at";
/// The annotation with the token of a create.
pub const TOKEN: &str = "meshagent.com/create-token";
/// The annotation with tokens whose outcome is unknown.
pub const UNKNOWN: &str = "meshagent.com/unknown-tokens";
/// The finalizer of a client.
pub const FINALIZER: &str = "meshagent.com/oauth-client";
/// The label of Secrets, and of pods that want one.
pub const LABEL: &str = "meshagent.com/oauth-client";
/// The field manager of the operator's writes.
pub const MANAGER: &str = "meshagent-operator";

/// OAuthClients.
pub fn oauth_clients() -> ApiResource {
    resource("OAuthClient", "oauthclients")
}

/// ClusterMeshAgentProjects.
pub fn cluster_projects() -> ApiResource {
    resource("ClusterMeshAgentProject", "clustermeshagentprojects")
}

/// MeshAgentProjects.
pub fn projects() -> ApiResource {
    resource("MeshAgentProject", "meshagentprojects")
}

fn resource(kind: &str, plural: &str) -> ApiResource {
    ApiResource::from_gvk_with_plural(&GroupVersionKind::gvk("meshagent.com", "v1alpha1", kind), plural)
}

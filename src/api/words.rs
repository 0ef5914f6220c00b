//! The words that fields allow, for the schema and for the code that reads them.

/// Grant types of a client.
pub const GRANT_TYPES: [&str; 3] = ["authorization_code", "refresh_token", "client_credentials"];
/// Response types of a client.
pub const RESPONSE_TYPES: [&str; 3] = ["code", "token", "id_token"];
/// Themes of the sign-in page.
pub const THEMES: [&str; 3] = ["light", "dark", "auto"];
/// Kinds that a `projectRef` may name.
pub const PROJECT_KINDS: [&str; 2] = ["MeshAgentProject", "ClusterMeshAgentProject"];
/// Kinds that hold a CA bundle.
pub const CA_BUNDLE_KINDS: [&str; 2] = ["Secret", "ConfigMap"];
/// What becomes of a client with its object.
pub const DELETION_POLICIES: [&str; 2] = ["Delete", "Retain"];
/// What happens when a credential is lost.
pub const ON_CREDENTIAL_LOSS: [&str; 2] = ["Recreate", "Block"];
/// Which workloads are restarted once a client was replaced.
pub const RESTARTS: [&str; 2] = ["None", "Injected"];
/// What is done with orphans.
pub const ORPHAN_POLICIES: [&str; 2] = ["Delete", "Report"];
/// Operators of a label selector.
pub const OPERATORS: [&str; 4] = ["In", "NotIn", "Exists", "DoesNotExist"];

/// Schemes that no redirect URI may have, in lower case: a browser runs, shows or sends what they hold by itself.
pub const REFUSED_SCHEMES: [&str; 15] = [
    "javascript",
    "data",
    "vbscript",
    "file",
    "blob",
    "filesystem",
    "about",
    "ws",
    "wss",
    "ftp",
    "mailto",
    "tel",
    "sms",
    "urn",
    "view-source",
];

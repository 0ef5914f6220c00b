//! How much a spec may hold. The API server computes the cost of a validation rule from these, and refuses a CRD whose
//! lists and strings have no bounds.

/// Redirect URIs of one client.
pub const REDIRECT_URIS: usize = 100;
/// Characters of a URI or URL.
pub const URI: usize = 2048;
/// Ampersands of a redirect URI. The API server stores each in six bytes, and the largest spec has to fit into etcd.
pub const AMPERSANDS: usize = 32;
/// Entries of `grantTypes` and `responseTypes`; repeated ones count.
pub const TYPES: usize = 16;
/// Scopes of one client.
pub const SCOPES: usize = 100;
/// Characters of a scope.
pub const SCOPE: usize = 256;
/// Characters of a display name. The default, `<name>`, has 63 at most.
pub const DISPLAY_NAME: usize = 256;
/// Entries of `extraMetadata`.
pub const METADATA_ENTRIES: usize = 50;
/// Characters of a key in `extraMetadata`.
pub const METADATA_KEY: usize = 128;
/// Characters of a value in `extraMetadata`.
pub const METADATA_VALUE: usize = 1024;
/// Bytes of an OAuthClient's `metadata.name`: the longest value of a label.
pub const CLIENT_NAME: usize = 63;
/// Characters of a Kubernetes object's name, and of a Secret's data key.
pub const OBJECT_NAME: usize = 253;
/// Characters of a client id.
pub const CLIENT_ID: usize = 256;
/// Labels, and annotations, of a Secret that the spec asks for.
pub const SECRET_METADATA: usize = 30;
/// Characters of the key of a label or annotation: a prefix, a slash, a name.
pub const QUALIFIED_NAME: usize = 317;
/// Characters of an annotation's value.
pub const ANNOTATION_VALUE: usize = 4096;
/// Bytes of all annotations of a Secret that the spec asks for, keys and values: Kubernetes allows 256 KiB, of which the
/// operator and others need some.
pub const ANNOTATIONS: usize = 64 << 10;
/// Characters of a label's value.
pub const LABEL_VALUE: usize = 63;
/// Characters of a project id.
pub const PROJECT_ID: usize = 128;
/// Characters of a duration; ten years in seconds are the longest.
pub const DURATION: usize = 10;
/// Namespaces that a cluster project names one by one.
pub const NAMESPACES: usize = 1000;
/// Characters of a namespace's name.
pub const NAMESPACE: usize = 63;
/// Entries of a selector's `matchLabels`.
pub const MATCH_LABELS: usize = 50;
/// Entries of a selector's `matchExpressions`.
pub const MATCH_EXPRESSIONS: usize = 20;
/// Values of one entry of `matchExpressions`.
pub const MATCH_VALUES: usize = 250;
/// Orphans that a project's status lists.
pub const ORPHANS: usize = 50;
/// Characters of a condition's message.
pub const CONDITION_MESSAGE: usize = 32_768;

#[cfg(test)]
mod tests;

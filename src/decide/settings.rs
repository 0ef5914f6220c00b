//! What a client looks like, in the one form that spec and wire are both brought into before they are compared.

use std::collections::{BTreeMap, BTreeSet};

use serde::{Deserialize, Serialize};

/// The settings of an OAuth client that the operator manages. Lists whose order means nothing are sets.
#[derive(Clone, Debug, Default, PartialEq, Eq, Hash, Serialize, Deserialize)]
pub struct Settings {
    /// Absolute URIs, exactly as they are written in the spec or on the wire.
    pub redirect_uris: BTreeSet<String>,
    /// `authorization_code`, `refresh_token`, `client_credentials`; a server may name others.
    pub grant_types: BTreeSet<String>,
    /// `code`, `token`, `id_token`; a server may name others.
    pub response_types: BTreeSet<String>,
    /// Scope tokens; on the wire one string, separated by spaces.
    pub scopes: BTreeSet<String>,
    /// Display name (`name`), login branding and further metadata.
    pub metadata: BTreeMap<String, String>,
}

//! What the Secret of an OAuthClient is called and holds, for those who write it and those who hand it on to pods.

/// A value that the operator publishes in the Secret of an OAuthClient.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub enum Published {
    ClientId,
    ClientSecret,
    AuthorizeUrl,
    TokenUrl,
    Scopes,
    ProjectId,
}

impl Published {
    /// All of them, in the order in which a container gets them.
    pub const ALL: [Self; 6] =
        [Self::ClientId, Self::ClientSecret, Self::AuthorizeUrl, Self::TokenUrl, Self::Scopes, Self::ProjectId];

    /// The name of the value in `spec.secret.keys`, and in annotations of pods.
    #[must_use]
    pub const fn field(self) -> &'static str {
        match self {
            Self::ClientId => "clientId",
            Self::ClientSecret => "clientSecret",
            Self::AuthorizeUrl => "authorizeUrl",
            Self::TokenUrl => "tokenUrl",
            Self::Scopes => "scopes",
            Self::ProjectId => "projectId",
        }
    }

    /// The value's data key in the Secret, unless `spec.secret.keys` says otherwise.
    #[must_use]
    pub const fn data_key(self) -> &'static str {
        match self {
            Self::ClientId => "CLIENT_ID",
            Self::ClientSecret => "CLIENT_SECRET",
            Self::AuthorizeUrl => "AUTHORIZE_URL",
            Self::TokenUrl => "TOKEN_URL",
            Self::Scopes => "SCOPES",
            Self::ProjectId => "PROJECT_ID",
        }
    }

    /// The variable that an injected container finds the value in. MeshAgent's own tools read those of the pair.
    #[must_use]
    pub const fn variable(self) -> &'static str {
        match self {
            Self::ClientId => "MESHAGENT_OAUTH_CLIENT_ID",
            Self::ClientSecret => "MESHAGENT_OAUTH_CLIENT_SECRET",
            Self::AuthorizeUrl => "MESHAGENT_OAUTH_AUTHORIZE_URL",
            Self::TokenUrl => "MESHAGENT_OAUTH_TOKEN_URL",
            Self::Scopes => "MESHAGENT_OAUTH_SCOPES",
            Self::ProjectId => "MESHAGENT_PROJECT_ID",
        }
    }

    /// Whether the value is one of the pair that makes a credential, which no Secret lacks.
    #[must_use]
    pub const fn is_credential(self) -> bool {
        matches!(self, Self::ClientId | Self::ClientSecret)
    }
}

/// The name of an OAuthClient's Secret, unless `spec.secret.name` says otherwise.
#[must_use]
pub fn secret_name(client: &str) -> String {
    format!("{client}-oauth")
}

/// The Secret that a pod of an OAuthClient reads: the one that its annotation names, or that client's own.
#[must_use]
pub fn secret_of_pod(client: &str, named: Option<&str>) -> String {
    named.map_or_else(|| secret_name(client), |named| named.trim().to_owned())
}

//! The names that a pass reasons with, each its own type, so that none is taken for another.

use std::fmt;
use std::sync::Arc;

use serde::{Deserialize, Serialize};

macro_rules! name {
    ($(#[$doc:meta])* $name:ident) => {
        $(#[$doc])*
        #[derive(Clone, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
        #[serde(from = "String", into = "String")]
        pub struct $name(Arc<str>);

        impl $name {
            /// Takes the text as it stands.
            #[must_use]
            pub fn new(text: impl AsRef<str>) -> Self {
                Self(Arc::from(text.as_ref()))
            }

            /// The text, as it stands on the wire.
            #[must_use]
            pub fn as_str(&self) -> &str {
                &self.0
            }
        }

        impl From<String> for $name {
            fn from(text: String) -> Self {
                Self::new(text)
            }
        }

        impl From<$name> for String {
            fn from(name: $name) -> Self {
                name.as_str().to_owned()
            }
        }

        impl fmt::Display for $name {
            fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
                f.write_str(&self.0)
            }
        }

        impl fmt::Debug for $name {
            fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
                f.write_str(&self.0)
            }
        }
    };
}

name!(
    /// A cluster, as markers name it: `--cluster-id`, by default the uid of the namespace `kube-system`.
    ClusterId
);
name!(
    /// `metadata.uid` of an OAuthClient.
    Uid
);
name!(
    /// `client_id` of a client at MeshAgent. Public.
    ClientId
);
name!(
    /// `metadata.resourceVersion`: opaque, compared for equality only.
    Version
);
name!(
    /// SHA-256, in hexadecimal, over uid, client id and client secret.
    CredentialDigest
);
name!(
    /// SHA-256, in hexadecimal, over what would be sent to MeshAgent and what it keeps instead.
    DriftDigest
);
name!(
    /// The token of one POST: `<uid>.<random>`. A token only ever moves on; a replaced one never returns.
    Token
);

impl Token {
    /// The token that a random text makes for the object with this uid.
    #[must_use]
    pub fn mint(uid: &Uid, random: &str) -> Self {
        Self::new(format!("{uid}.{random}"))
    }

    /// A token as an annotation holds it; `None` if it belongs to another uid (copied YAML, a restored backup).
    #[must_use]
    pub fn read(text: &str, uid: &Uid) -> Option<Self> {
        let random = text.strip_prefix(uid.as_str())?.strip_prefix('.')?;
        (!random.is_empty() && !random.contains(char::is_whitespace)).then(|| Self::new(text))
    }
}

//! The sign-in endpoints: authorization code with PKCE (S256 only), refresh tokens that rotate, client credentials.
//! The endpoints take what MeshAgent's own tools send, unless a project's settings are strict.
//! Pure: the user signs in at once, time and randomness are arguments.

use std::collections::{BTreeMap, HashMap, HashSet};
use std::sync::Arc;
use std::time::Duration;

use uuid::Uuid;

mod authorize;
mod credentials;
mod id_token;
mod request;
mod signing_key;
mod token;
mod user;

pub use authorize::{Authorized, authorize};
pub use request::{TokenRequest, asking_client_id};
pub use signing_key::{IdTokens, SigningKey};
pub use token::token;
pub use user::{Bearer, profile};

use crate::secret::Secret;

/// How long an authorization code may be redeemed.
pub const CODE_LIFETIME: Duration = Duration::from_secs(300);
/// How long an access token lives.
pub const TOKEN_LIFETIME: Duration = Duration::from_secs(3600);

/// The codes and tokens that were handed out.
#[derive(Debug, Default)]
pub struct Sessions {
    codes: HashMap<Secret, Code>,
    refresh_tokens: HashMap<Secret, RefreshToken>,
    access_tokens: HashMap<Secret, AccessToken>,
    // Sign-ins whose code or refresh token was presented twice.
    revoked: HashSet<Uuid>,
}

#[derive(Debug)]
struct Code {
    sign_in: Uuid,
    client_id: String,
    redirect_uri: String,
    scope: String,
    challenge: String,
    nonce: Option<String>,
    expires: Duration,
    used: bool,
}

#[derive(Debug)]
struct RefreshToken {
    sign_in: Uuid,
    client_id: String,
    scope: String,
    used: bool,
}

#[derive(Debug)]
struct AccessToken {
    // The sign-in; none for a client's own token.
    sign_in: Option<Uuid>,
    client_id: String,
    expires: Duration,
}

/// The issuer of tokens, and the time.
#[derive(Clone, Debug)]
pub struct Issuer {
    /// The base URL of the API.
    pub url: String,
    /// Seconds since 1970, for the claims of an id token.
    pub unix_time: i64,
    /// The time since the simulator's start.
    pub now: Duration,
    /// The key for id tokens; none: the client's own secret.
    pub signing_key: Option<Arc<SigningKey>>,
}

/// An error of RFC 6749.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
#[error("{code}: {description}")]
pub struct OAuthError {
    /// The registered code, such as `invalid_grant`.
    pub code: &'static str,
    /// What is wrong, in words.
    pub description: String,
}

impl OAuthError {
    fn new(code: &'static str, description: impl Into<String>) -> Self {
        Self { code, description: description.into() }
    }
}

/// The parameters of a query, a form or a JSON object; each may be given once.
#[derive(Debug, Default)]
pub struct Parameters(BTreeMap<String, String>);

impl Parameters {
    /// Reads a form-encoded text. An empty value counts as none.
    pub fn parse(text: &[u8]) -> Result<Self, OAuthError> {
        let mut parameters = BTreeMap::new();
        for (name, value) in url::form_urlencoded::parse(text).filter(|(_, value)| !value.is_empty()) {
            if parameters.insert(name.to_string(), value.into_owned()).is_some() {
                return Err(OAuthError::new("invalid_request", format!("{name} is given more than once")));
            }
        }
        Ok(Self(parameters))
    }

    fn get(&self, name: &str) -> Option<&str> {
        self.0.get(name).map(String::as_str)
    }

    fn require(&self, name: &str) -> Result<&str, OAuthError> {
        self.get(name).ok_or_else(|| OAuthError::new("invalid_request", format!("{name} is missing")))
    }
}

// The scope asked for, if all of it was granted to the client; all that was granted, if none is asked for.
fn granted_scope(asked: Option<&str>, granted: &str) -> Result<String, OAuthError> {
    let Some(asked) = asked else {
        return Ok(granted.to_owned());
    };
    let holds = |scope: &&str| granted.split_ascii_whitespace().any(|held| held == *scope);
    match asked.split_ascii_whitespace().find(|scope| !holds(scope)) {
        Some(scope) => Err(OAuthError::new("invalid_scope", format!("the scope {scope} was not granted"))),
        None => Ok(asked.to_owned()),
    }
}

#[cfg(test)]
mod tests;

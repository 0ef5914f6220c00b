//! An OAuth client and the rules that a request for one must keep.

use std::collections::BTreeMap;

use serde::{Deserialize, Serialize};
use url::Url;
use uuid::Uuid;

use super::settings::Normalise;

const GRANT_TYPES: [&str; 3] = ["authorization_code", "refresh_token", "client_credentials"];
const RESPONSE_TYPES: [&str; 3] = ["code", "token", "id_token"];

/// A client as the API shows it, without its secret.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Client {
    /// The client's id, given by the server.
    pub client_id: String,
    /// The project that holds it.
    pub project_id: Uuid,
    /// The grant types that it may use.
    pub grant_types: Vec<String>,
    /// The response types that it may use.
    pub response_types: Vec<String>,
    /// The URIs that sign-in may send the user back to.
    pub redirect_uris: Vec<String>,
    /// Scopes, separated by spaces.
    pub scope: String,
    /// Free metadata.
    pub metadata: BTreeMap<String, String>,
    /// Whether MeshAgent itself made the client.
    pub official: bool,
}

impl Client {
    /// Whether the scope was granted.
    pub fn has_scope(&self, scope: &str) -> bool {
        self.scope.split_ascii_whitespace().any(|granted| granted == scope)
    }

    /// Whether the grant type was granted.
    pub fn has_grant(&self, grant: &str) -> bool {
        self.grant_types.iter().any(|granted| granted == grant)
    }

    fn check(&self) -> Result<(), Invalid> {
        known("grant_types", &self.grant_types, &GRANT_TYPES)?;
        known("response_types", &self.response_types, &RESPONSE_TYPES)?;
        if self.grant_types.is_empty() {
            return Err(Invalid("grant_types must not be empty".to_owned()));
        }
        if self.has_grant("authorization_code") && self.redirect_uris.is_empty() {
            return Err(Invalid("authorization_code needs at least one redirect URI in redirect_uris".to_owned()));
        }
        for uri in &self.redirect_uris {
            check_redirect_uri(uri)?;
        }
        let scope_character = |c: char| c == ' ' || (c.is_ascii_graphic() && c != '"' && c != '\\');
        if !self.scope.chars().all(scope_character) {
            return Err(Invalid("scope must be names separated by spaces".to_owned()));
        }
        Ok(())
    }
}

fn known(field: &str, values: &[String], allowed: &[&str]) -> Result<(), Invalid> {
    match values.iter().find(|value| !allowed.contains(&value.as_str())) {
        Some(value) => Err(Invalid(format!("{field} holds {value:?}; allowed are {}", allowed.join(", ")))),
        None => Ok(()),
    }
}

fn check_redirect_uri(uri: &str) -> Result<(), Invalid> {
    let parsed = Url::parse(uri).map_err(|_| Invalid(format!("redirect_uris holds {uri:?}, not an absolute URI")))?;
    match parsed.fragment() {
        Some(_) => Err(Invalid(format!("redirect_uris holds {uri:?}, which has a fragment"))),
        None => Ok(()),
    }
}

/// What is wrong with a request, in words for its sender.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
#[error("{0}")]
pub struct Invalid(pub String);

/// The body of a POST or PUT. A field that is not known is refused: a misspelt one would otherwise pass every test.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct ClientFields {
    /// See [`Client::grant_types`].
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub grant_types: Option<Vec<String>>,
    /// See [`Client::response_types`].
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub response_types: Option<Vec<String>>,
    /// See [`Client::redirect_uris`].
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub redirect_uris: Option<Vec<String>>,
    /// See [`Client::scope`].
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub scope: Option<String>,
    /// The metadata, which a PUT replaces as a whole.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub metadata: Option<BTreeMap<String, String>>,
    /// See [`Client::official`].
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub official: Option<bool>,
}

impl ClientFields {
    /// Reads a request's body.
    pub fn parse(body: &[u8]) -> Result<Self, Invalid> {
        serde_json::from_slice(body).map_err(|error| Invalid(format!("the body is not a valid client: {error}")))
    }

    /// The new client that a POST asks for.
    pub fn into_client(self, client_id: String, project_id: Uuid, normalise: &Normalise) -> Result<Client, Invalid> {
        let Self { grant_types, response_types, redirect_uris, scope, metadata, official } = self;
        let missing = |field: &str| Invalid(format!("{field} is required"));
        let mut client = Client {
            client_id,
            project_id,
            grant_types: grant_types.ok_or_else(|| missing("grant_types"))?,
            response_types: response_types.ok_or_else(|| missing("response_types"))?,
            redirect_uris: redirect_uris.ok_or_else(|| missing("redirect_uris"))?,
            scope: scope.ok_or_else(|| missing("scope"))?,
            metadata: metadata.unwrap_or_default(),
            official: official.unwrap_or_default(),
        };
        client.check()?;
        normalise.apply(&mut client);
        Ok(client)
    }

    /// The client that a PUT turns `client` into.
    pub fn onto(self, client: &Client, normalise: &Normalise) -> Result<Client, Invalid> {
        let Self { grant_types, response_types, redirect_uris, scope, metadata, official } = self;
        let mut client = Client {
            client_id: client.client_id.clone(),
            project_id: client.project_id,
            grant_types: grant_types.unwrap_or_else(|| client.grant_types.clone()),
            response_types: response_types.unwrap_or_else(|| client.response_types.clone()),
            redirect_uris: redirect_uris.unwrap_or_else(|| client.redirect_uris.clone()),
            scope: scope.unwrap_or_else(|| client.scope.clone()),
            metadata: metadata.unwrap_or_else(|| client.metadata.clone()),
            official: official.unwrap_or(client.official),
        };
        client.check()?;
        normalise.apply(&mut client);
        Ok(client)
    }
}

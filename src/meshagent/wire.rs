//! What travels: requests as the API documents them, answers in every form that servers are known to give them.

use std::collections::BTreeMap;

use serde::{Deserialize, Deserializer, Serialize};

use crate::secret::ClientSecret;

/// The body of `POST /oauth/clients`.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize)]
pub struct NewClient {
    /// `authorization_code`, `refresh_token`, `client_credentials`.
    pub grant_types: Vec<String>,
    /// `code`, `token`, `id_token`.
    pub response_types: Vec<String>,
    /// Absolute URIs.
    pub redirect_uris: Vec<String>,
    /// Scope names, separated by spaces.
    pub scope: String,
    /// Display name, branding, the operator's marker and whatever else is to be kept with the client.
    pub metadata: BTreeMap<String, String>,
    /// The official flag, left out unless set.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub official: Option<bool>,
}

/// The body of `PUT /oauth/clients/{client_id}`: only the fields that are set are sent, the others stay as they are.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize)]
pub struct ClientPatch {
    /// See [`NewClient::grant_types`].
    #[serde(skip_serializing_if = "Option::is_none")]
    pub grant_types: Option<Vec<String>>,
    /// See [`NewClient::response_types`].
    #[serde(skip_serializing_if = "Option::is_none")]
    pub response_types: Option<Vec<String>>,
    /// See [`NewClient::redirect_uris`].
    #[serde(skip_serializing_if = "Option::is_none")]
    pub redirect_uris: Option<Vec<String>>,
    /// See [`NewClient::scope`].
    #[serde(skip_serializing_if = "Option::is_none")]
    pub scope: Option<String>,
    /// The whole metadata: it replaces what is there, so foreign keys that are to stay must be in it.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub metadata: Option<BTreeMap<String, String>>,
    /// See [`NewClient::official`].
    #[serde(skip_serializing_if = "Option::is_none")]
    pub official: Option<bool>,
}

/// A client as the server shows it. Lists, scope and metadata that are missing or null are empty.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Client {
    /// The id, never empty.
    pub client_id: String,
    /// The grant types, in the server's order.
    pub grant_types: Vec<String>,
    /// The response types, in the server's order.
    pub response_types: Vec<String>,
    /// The redirect URIs, in the server's order.
    pub redirect_uris: Vec<String>,
    /// The scope as one string, names separated by white space.
    pub scope: String,
    /// The project of the client, if the server shows it.
    pub project_id: Option<String>,
    /// The metadata. Values that are not strings are their JSON text.
    pub metadata: BTreeMap<String, String>,
    /// The official flag, if the server shows it.
    pub official: Option<bool>,
}

/// An answer that is not of the documented form: what is wrong with it, without any of its content.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) struct Malformed(pub(super) String);

/// A POST's answer without a usable id and secret. Where an id is known, that client exists and can be deleted.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) struct Incomplete {
    pub(super) client_id: Option<String>,
    pub(super) problem: Malformed,
}

/// One page of a listing. `total` is the server's claim, if it made one.
#[derive(Debug, PartialEq, Eq)]
pub(super) struct Page {
    pub(super) clients: Vec<Client>,
    pub(super) total: Option<u64>,
}

/// Reads the answer to a POST: a client with its secret.
pub(super) fn created(body: &[u8]) -> Result<(Client, ClientSecret), Incomplete> {
    let incomplete = |client_id, problem| Incomplete { client_id, problem };
    let (client, secret) = match client_with_secret(body) {
        Ok(parts) => parts,
        // The field that cannot be read may be another; the id is enough to delete a client that nobody will ever use.
        Err(problem) => return Err(incomplete(readable_id(body), problem)),
    };
    match secret {
        Some(secret) => Ok((client, secret)),
        None => Err(incomplete(Some(client.client_id), Malformed("no usable client_secret in it".to_owned()))),
    }
}

/// Reads the answer to a GET of one client; a secret that an older server includes is dropped.
pub(super) fn client(body: &[u8]) -> Result<Client, Malformed> {
    client_with_secret(body).map(|(client, _)| client)
}

/// Reads one page of a listing. An answer without a list is malformed, never an empty listing: from a client's absence
/// in it, the client's loss may be concluded.
pub(super) fn page(body: &[u8]) -> Result<Page, Malformed> {
    let RawPage { clients, total } = parse(body)?;
    let total = total.as_ref().and_then(serde_json::Value::as_u64);
    let clients = match (clients, total) {
        (Some(clients), _) => clients,
        (None, Some(0)) => Vec::new(),
        (None, _) => return Err(Malformed("no list of clients in it".to_owned())),
    };
    let clients = clients.into_iter().map(|raw| Ok(raw.into_client()?.0)).collect::<Result<_, Malformed>>()?;
    Ok(Page { clients, total })
}

fn client_with_secret(body: &[u8]) -> Result<(Client, Option<ClientSecret>), Malformed> {
    match parse::<Wrapped>(body)?.client {
        Some(raw) => raw.into_client(),
        None => parse::<RawClient>(body)?.into_client(),
    }
}

fn readable_id(body: &[u8]) -> Option<String> {
    #[derive(Deserialize)]
    struct Identified {
        client_id: Option<String>,
        client: Option<Box<Identified>>,
    }
    let Identified { client_id, client } = parse(body).ok()?;
    client.and_then(|inner| inner.client_id).or(client_id).filter(|id| !id.is_empty())
}

fn parse<'a, T: Deserialize<'a>>(body: &'a [u8]) -> Result<T, Malformed> {
    // The first byte is checked, since serde also reads a struct from an array of its fields.
    let problem = match body.trim_ascii_start().first() {
        Some(b'{') => return serde_json::from_slice(body).map_err(|error| malformed(&error)),
        Some(b'<') => "it is an HTML page",
        Some(_) => "it is not a JSON object",
        None => "it is empty",
    };
    Err(Malformed(problem.to_owned()))
}

/// serde_json's own message quotes what it met, which may be a secret.
fn malformed(error: &serde_json::Error) -> Malformed {
    let problem = match error.classify() {
        serde_json::error::Category::Io | serde_json::error::Category::Eof => "it ends too early",
        serde_json::error::Category::Syntax => "it is not JSON",
        serde_json::error::Category::Data => "a field is missing or has an unexpected type",
    };
    Malformed(format!("{problem} (line {}, column {})", error.line(), error.column()))
}

#[derive(Deserialize)]
struct Wrapped {
    #[serde(default)]
    client: Option<RawClient>,
}

#[derive(Deserialize)]
struct RawPage {
    clients: Option<Vec<RawClient>>,
    // A claim that is not a number is no claim.
    total: Option<serde_json::Value>,
}

#[derive(Deserialize)]
struct RawClient {
    client_id: Option<String>,
    #[serde(default, deserialize_with = "usable_secret")]
    client_secret: Option<ClientSecret>,
    grant_types: Option<Vec<String>>,
    response_types: Option<Vec<String>>,
    redirect_uris: Option<Vec<String>>,
    scope: Option<String>,
    project_id: Option<String>,
    metadata: Option<BTreeMap<String, serde_json::Value>>,
    official: Option<bool>,
}

impl RawClient {
    fn into_client(self) -> Result<(Client, Option<ClientSecret>), Malformed> {
        let client_id = self
            .client_id
            .filter(|id| !id.is_empty())
            .ok_or_else(|| Malformed("a client without client_id in it".to_owned()))?;
        let client = Client {
            client_id,
            grant_types: self.grant_types.unwrap_or_default(),
            response_types: self.response_types.unwrap_or_default(),
            redirect_uris: self.redirect_uris.unwrap_or_default(),
            scope: self.scope.unwrap_or_default(),
            project_id: self.project_id,
            metadata: self.metadata.unwrap_or_default().into_iter().map(|(key, value)| (key, text(value))).collect(),
            official: self.official,
        };
        Ok((client, self.client_secret))
    }
}

fn text(value: serde_json::Value) -> String {
    if let serde_json::Value::String(text) = value { text } else { value.to_string() }
}

/// A secret that cannot be used must not hide the client's id, so it counts as none instead of failing the answer.
fn usable_secret<'de, D: Deserializer<'de>>(deserializer: D) -> Result<Option<ClientSecret>, D::Error> {
    #[derive(Deserialize)]
    #[serde(untagged)]
    enum Field {
        Usable(ClientSecret),
        Other(serde::de::IgnoredAny),
    }
    Ok(match Field::deserialize(deserializer)? {
        Field::Usable(secret) => Some(secret),
        Field::Other(_) => None,
    })
}

#[cfg(test)]
mod tests;

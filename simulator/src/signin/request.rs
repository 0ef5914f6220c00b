//! The requests to the sign-in endpoints, in every encoding that is taken.

use std::collections::BTreeMap;

use axum::http::{HeaderMap, header};
use serde_json::{Map, Value};

use super::credentials::named_in;
use super::{OAuthError, Parameters};
use crate::api::header_text;

/// A request to the token endpoint.
#[derive(Clone, Copy)]
pub struct TokenRequest<'a> {
    /// The `Authorization` header.
    pub authorization: Option<&'a str>,
    /// The `Content-Type` header.
    pub content_type: &'a str,
    /// The body, in that encoding.
    pub body: &'a [u8],
}

/// How the parameters were encoded.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Encoding {
    /// A form, the only encoding that RFC 6749 has.
    Form,
    /// An object of strings, as MeshAgent's Flutter library sends it.
    Json,
}

impl<'a> TokenRequest<'a> {
    /// Finds the parts in an HTTP request.
    pub fn of(headers: &'a HeaderMap, body: &'a [u8]) -> Self {
        let content_type = header_text(headers, header::CONTENT_TYPE.as_str()).unwrap_or_default();
        Self { authorization: header_text(headers, header::AUTHORIZATION.as_str()), content_type, body }
    }

    /// The client id that the request names, proved or not.
    pub fn claimed_client_id(&self) -> Option<String> {
        let named = self.parameters().ok().and_then(|(parameters, _)| parameters.get("client_id").map(str::to_owned));
        named.or_else(|| named_in(self.authorization?))
    }

    pub(super) fn parameters(&self) -> Result<(Parameters, Encoding), OAuthError> {
        let media = self.content_type.split(';').next().unwrap_or_default().trim().to_ascii_lowercase();
        match media.as_str() {
            "application/x-www-form-urlencoded" => Ok((Parameters::parse(self.body)?, Encoding::Form)),
            "application/json" => Ok((Parameters::parse_json(self.body)?, Encoding::Json)),
            _ => Err(not_a_form()),
        }
    }
}

/// The client id that a request to the authorization endpoint names.
pub fn asking_client_id(query: &[u8]) -> Option<String> {
    Parameters::parse(query).ok().and_then(|parameters| parameters.get("client_id").map(str::to_owned))
}

pub(super) fn not_a_form() -> OAuthError {
    OAuthError::new("invalid_request", "the body must be application/x-www-form-urlencoded")
}

impl Parameters {
    // An empty value and `null` count as none.
    fn parse_json(text: &[u8]) -> Result<Self, OAuthError> {
        let refused = |why: String| OAuthError::new("invalid_request", why);
        // The parser's own error may quote a secret.
        let object: Map<String, Value> =
            serde_json::from_slice(text).map_err(|_| refused("the body is not a JSON object".to_owned()))?;
        let mut parameters = BTreeMap::new();
        for (name, value) in object {
            match value {
                Value::Null => {}
                Value::String(text) if text.is_empty() => {}
                Value::String(text) => drop(parameters.insert(name, text)),
                Value::Bool(_) | Value::Number(_) | Value::Array(_) | Value::Object(_) => {
                    return Err(refused(format!("{name} must be a string")));
                }
            }
        }
        Ok(Self(parameters))
    }
}

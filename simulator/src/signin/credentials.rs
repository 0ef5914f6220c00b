//! How a client proves who it is at the token endpoint.

use base64::Engine;
use base64::engine::general_purpose::STANDARD;
use percent_encoding::percent_decode_str;

use super::{OAuthError, Parameters};
use crate::secret::Secret;
use crate::state::State;
use crate::state::client::Client;

struct Pair {
    client_id: String,
    secret: Secret,
}

/// The client that the request proves to be, by HTTP Basic or by `client_id` and `client_secret` in the form.
pub(super) fn authenticate<'state>(
    state: &'state State,
    authorization: Option<&str>,
    form: &Parameters,
) -> Result<&'state Client, OAuthError> {
    let pairs = match (authorization, form.get("client_secret")) {
        (Some(_), Some(_)) => {
            let description = "credentials are given both by Authorization and in the body";
            return Err(OAuthError::new("invalid_request", description));
        }
        (Some(header), None) => {
            let pairs = basic(header).ok_or_else(|| OAuthError::new("invalid_client", "Authorization is not Basic"))?;
            if let Some(named) = form.get("client_id")
                && pairs.iter().all(|pair| pair.client_id != named)
            {
                return Err(OAuthError::new("invalid_request", "client_id is not the one in Authorization"));
            }
            pairs
        }
        (None, Some(secret)) => {
            vec![Pair { client_id: form.require("client_id")?.to_owned(), secret: Secret::new(secret) }]
        }
        (None, None) => return Err(OAuthError::new("invalid_client", "no client credentials are given")),
    };
    let accepted = pairs.iter().find_map(|pair| {
        let project = state.project_of(&pair.client_id)?;
        let client = project.client(&pair.client_id)?;
        project.accepts(&pair.client_id, pair.secret.expose()).then_some((project, client))
    });
    let (project, client) =
        accepted.ok_or_else(|| OAuthError::new("invalid_client", "unknown client, or the secret is wrong"))?;
    if project.settings.disabled {
        return Err(OAuthError::new("unauthorized_client", "the project is disabled"));
    }
    Ok(client)
}

/// The client id that a request to the token endpoint names, proved or not: for the record of calls.
pub fn claimed_client_id(authorization: Option<&str>, form: &[u8]) -> Option<String> {
    let named = Parameters::parse(form).ok().and_then(|form| form.get("client_id").map(str::to_owned));
    named.or_else(|| authorization.and_then(basic)?.into_iter().next().map(|pair| pair.client_id))
}

// RFC 6749 has both halves form-encoded; common libraries send them raw. Both readings are tried.
fn basic(header: &str) -> Option<Vec<Pair>> {
    let (scheme, encoded) = header.split_once(' ')?;
    if !scheme.eq_ignore_ascii_case("basic") {
        return None;
    }
    let text = String::from_utf8(STANDARD.decode(encoded.trim()).ok()?).ok()?;
    let (id, secret) = text.split_once(':')?;
    let raw = Pair { client_id: id.to_owned(), secret: Secret::new(secret) };
    let decoded = form_decoded(id).zip(form_decoded(secret));
    let decoded = decoded.map(|(client_id, secret)| Pair { client_id, secret: Secret::new(secret) });
    Some([raw].into_iter().chain(decoded).collect())
}

fn form_decoded(text: &str) -> Option<String> {
    let spaced = text.replace('+', " ");
    percent_decode_str(&spaced).decode_utf8().ok().map(|decoded| decoded.into_owned())
}

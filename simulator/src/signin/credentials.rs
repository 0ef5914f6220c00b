//! How a client proves who it is at the token endpoint.

use base64::Engine;
use base64::engine::general_purpose::STANDARD;
use percent_encoding::percent_decode_str;

use super::{OAuthError, Parameters};
use crate::secret::Secret;
use crate::state::client::Client;
use crate::state::{Project, State};

struct Pair {
    client_id: String,
    secret: Secret,
}

/// The client that the request proves to be, by HTTP Basic or by `client_id` and `client_secret` among the parameters.
/// A public client only names itself: the verifier of its challenge, or its refresh token, stands for it.
pub(super) fn authenticate<'state>(
    state: &'state State,
    authorization: Option<&str>,
    parameters: &Parameters,
) -> Result<(&'state Project, &'state Client), OAuthError> {
    let (project, client) = match (authorization, parameters.get("client_secret")) {
        (Some(_), Some(_)) => {
            let description = "credentials are given both by Authorization and in the body";
            return Err(OAuthError::new("invalid_request", description));
        }
        (Some(header), None) => accepted(state, &from_header(header, parameters)?)?,
        (None, Some(secret)) => {
            let client_id = parameters.require("client_id")?.to_owned();
            accepted(state, &[Pair { client_id, secret: Secret::new(secret) }])?
        }
        (None, None) => public(state, parameters)?,
    };
    if project.settings.disabled {
        return Err(OAuthError::new("unauthorized_client", "the project is disabled"));
    }
    Ok((project, client))
}

fn from_header(header: &str, parameters: &Parameters) -> Result<Vec<Pair>, OAuthError> {
    let pairs = basic(header).ok_or_else(|| OAuthError::new("invalid_client", "Authorization is not Basic"))?;
    if let Some(named) = parameters.get("client_id")
        && pairs.iter().all(|pair| pair.client_id != named)
    {
        return Err(OAuthError::new("invalid_request", "client_id is not the one in Authorization"));
    }
    Ok(pairs)
}

fn accepted<'state>(state: &'state State, pairs: &[Pair]) -> Result<(&'state Project, &'state Client), OAuthError> {
    let accepted = pairs.iter().find_map(|pair| {
        let project = state.project_of(&pair.client_id)?;
        let client = project.client(&pair.client_id)?;
        project.accepts(&pair.client_id, pair.secret.expose()).then_some((project, client))
    });
    accepted.ok_or_else(|| OAuthError::new("invalid_client", "unknown client, or the secret is wrong"))
}

fn public<'state>(
    state: &'state State,
    parameters: &Parameters,
) -> Result<(&'state Project, &'state Client), OAuthError> {
    let refused = |why: &str| OAuthError::new("invalid_client", why);
    let client_id = parameters.get("client_id").ok_or_else(|| refused("no client credentials are given"))?;
    let project = state.project_of(client_id).ok_or_else(|| refused("unknown client"))?;
    let client = project.client(client_id).ok_or_else(|| refused("unknown client"))?;
    // Only the secret stands for a client that acts for itself (RFC 6749, 4.4).
    let for_itself = parameters.get("grant_type") == Some("client_credentials");
    if for_itself || project.settings.strict_sign_in {
        return Err(refused("no client secret is given"));
    }
    Ok((project, client))
}

/// The client id in HTTP Basic, proved or not.
pub(super) fn named_in(header: &str) -> Option<String> {
    basic(header)?.into_iter().next().map(|pair| pair.client_id)
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

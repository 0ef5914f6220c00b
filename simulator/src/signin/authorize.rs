//! `GET /oauth/authorize`.

use url::Url;

use super::{CODE_LIFETIME, Code, Issuer, OAuthError, Parameters, Sessions, granted_scope};
use crate::generate::{Generate, SecretKind};
use crate::state::State;
use crate::state::client::Client;

/// The place that the browser is sent to.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Authorized {
    /// The redirect URI with `code` or `error`, and `state`.
    pub location: String,
}

/// Signs the user in. An error is shown to the user, not sent to the redirect URI: neither the client nor the URI can
/// be trusted then (RFC 6749, 4.1.2.1).
pub fn authorize(
    state: &State,
    sessions: &mut Sessions,
    query: &[u8],
    issuer: &Issuer,
    generator: &mut dyn Generate,
) -> Result<Authorized, OAuthError> {
    let parameters = Parameters::parse(query)?;
    let client_id = parameters.require("client_id")?;
    let project = state
        .project_of(client_id)
        .ok_or_else(|| OAuthError::new("invalid_client", "no OAuth client has this client_id"))?;
    let client = project.client(client_id).ok_or_else(|| OAuthError::new("invalid_client", "no such OAuth client"))?;
    let redirect_uri = parameters.require("redirect_uri")?;
    if !client.redirect_uris.iter().any(|registered| registered == redirect_uri) {
        return Err(OAuthError::new("invalid_request", "redirect_uri is not registered for this client"));
    }
    let mut location =
        Url::parse(redirect_uri).map_err(|_| OAuthError::new("invalid_request", "redirect_uri is not absolute"))?;

    let outcome = if project.settings.disabled {
        Err(OAuthError::new("access_denied", "the project is disabled"))
    } else {
        check_method(&parameters, project.settings.strict_sign_in)
            .and_then(|()| code(client, redirect_uri, &parameters, issuer, generator))
    };
    {
        let mut answer = location.query_pairs_mut();
        match outcome {
            Ok(code) => {
                let text = generator.secret(SecretKind::Code);
                answer.append_pair("code", text.expose());
                sessions.codes.insert(text, code);
            }
            Err(OAuthError { code, description }) => {
                answer.append_pair("error", code).append_pair("error_description", &description);
            }
        }
        if let Some(state) = parameters.get("state") {
            answer.append_pair("state", state);
        }
    }
    Ok(Authorized { location: location.into() })
}

// A method that is left out means `plain` (RFC 7636, 4.3). MeshAgent's Flutter library leaves it out and means S256.
fn check_method(parameters: &Parameters, strict: bool) -> Result<(), OAuthError> {
    match parameters.get("code_challenge_method") {
        Some("S256") => Ok(()),
        None if !strict => Ok(()),
        Some(_) | None => Err(OAuthError::new("invalid_request", "code_challenge_method must be S256")),
    }
}

fn code(
    client: &Client,
    redirect_uri: &str,
    parameters: &Parameters,
    issuer: &Issuer,
    generator: &mut dyn Generate,
) -> Result<Code, OAuthError> {
    let response_type = parameters.require("response_type")?;
    if !client.response_types.iter().any(|granted| granted == response_type) {
        let description = format!("the response type {response_type} was not granted");
        return Err(OAuthError::new("unauthorized_client", description));
    }
    if response_type != "code" {
        return Err(OAuthError::new("unsupported_response_type", "only the response type code is served"));
    }
    if !client.has_grant("authorization_code") {
        return Err(OAuthError::new("unauthorized_client", "the grant type authorization_code was not granted"));
    }
    let challenge = parameters.require("code_challenge")?;
    Ok(Code {
        sign_in: generator.uuid(),
        client_id: client.client_id.clone(),
        redirect_uri: redirect_uri.to_owned(),
        scope: granted_scope(parameters.get("scope"), &client.scope)?,
        challenge: challenge.to_owned(),
        nonce: parameters.get("nonce").map(str::to_owned),
        expires: issuer.now + CODE_LIFETIME,
        used: false,
    })
}

//! `POST /oauth/token`.

use base64::Engine;
use base64::engine::general_purpose::URL_SAFE_NO_PAD;
use serde_json::{Map, Value};
use sha2::{Digest, Sha256};
use uuid::Uuid;

use super::credentials::authenticate;
use super::id_token::id_token;
use super::request::{Encoding, TokenRequest, not_a_form};
use super::{AccessToken, Issuer, OAuthError, Parameters, RefreshToken, Sessions, TOKEN_LIFETIME, granted_scope};
use crate::generate::{Generate, SecretKind};
use crate::state::State;
use crate::state::client::Client;

// The scope, sign-in and nonce that a grant entitles to.
struct Grant {
    scope: String,
    // The sign-in to which a refresh token belongs; none for a client's own tokens.
    sign_in: Option<Uuid>,
    nonce: Option<String>,
}

/// Answers tokens, or an error of RFC 6749.
pub fn token(
    state: &State,
    sessions: &mut Sessions,
    request: TokenRequest<'_>,
    issuer: &Issuer,
    generator: &mut dyn Generate,
) -> Result<Value, OAuthError> {
    let (form, encoding) = request.parameters()?;
    let (project, client) = authenticate(state, request.authorization, &form)?;
    if project.settings.strict_sign_in && encoding != Encoding::Form {
        return Err(not_a_form());
    }
    let grant_type = form.require("grant_type")?;
    if !["authorization_code", "refresh_token", "client_credentials"].contains(&grant_type) {
        return Err(OAuthError::new("unsupported_grant_type", "this grant type is not served"));
    }
    if !client.has_grant(grant_type) {
        let description = format!("the grant type {grant_type} was not granted");
        return Err(OAuthError::new("unauthorized_client", description));
    }
    let grant = match grant_type {
        "authorization_code" => sessions.redeem_code(client, &form, issuer)?,
        "refresh_token" => sessions.redeem_refresh_token(client, &form)?,
        _ => Grant { scope: granted_scope(form.get("scope"), &client.scope)?, sign_in: None, nonce: None },
    };
    Ok(answer(state, sessions, client, grant, issuer, generator))
}

impl Sessions {
    fn redeem_code(&mut self, client: &Client, form: &Parameters, issuer: &Issuer) -> Result<Grant, OAuthError> {
        let refused = |why: &str| OAuthError::new("invalid_grant", why);
        let text = crate::secret::Secret::new(form.require("code")?);
        let code = self.codes.get_mut(&text).filter(|code| code.client_id == client.client_id);
        let code = code.ok_or_else(|| refused("the code is unknown or was issued to another client"))?;
        if code.used {
            // The code leaked: its first redeemer loses the tokens (RFC 6749, 4.1.2).
            self.revoked.insert(code.sign_in);
            return Err(refused("the code was used before; its tokens are revoked"));
        }
        if issuer.now >= code.expires {
            return Err(refused("the code has expired"));
        }
        if form.require("redirect_uri")? != code.redirect_uri {
            return Err(refused("redirect_uri is not the one of the authorization request"));
        }
        let verifier = form.require("code_verifier")?;
        if URL_SAFE_NO_PAD.encode(Sha256::digest(verifier)) != code.challenge {
            return Err(refused("code_verifier does not match code_challenge"));
        }
        code.used = true;
        Ok(Grant { scope: code.scope.clone(), sign_in: Some(code.sign_in), nonce: code.nonce.clone() })
    }

    fn redeem_refresh_token(&mut self, client: &Client, form: &Parameters) -> Result<Grant, OAuthError> {
        let refused = |why: &str| OAuthError::new("invalid_grant", why);
        let text = crate::secret::Secret::new(form.require("refresh_token")?);
        let token = self.refresh_tokens.get_mut(&text).filter(|token| token.client_id == client.client_id);
        let token = token.ok_or_else(|| refused("the refresh token is unknown or was issued to another client"))?;
        if token.used {
            self.revoked.insert(token.sign_in);
            return Err(refused("the refresh token was used before; the sign-in is revoked"));
        }
        if self.revoked.contains(&token.sign_in) {
            return Err(refused("the sign-in is revoked"));
        }
        let scope = granted_scope(form.get("scope"), &token.scope)?;
        token.used = true;
        Ok(Grant { scope, sign_in: Some(token.sign_in), nonce: None })
    }
}

fn answer(
    state: &State,
    sessions: &mut Sessions,
    client: &Client,
    grant: Grant,
    issuer: &Issuer,
    generator: &mut dyn Generate,
) -> Value {
    let Grant { scope, sign_in, nonce } = grant;
    let mut answer = Map::new();
    let access_token = generator.secret(SecretKind::Access);
    answer.insert("access_token".to_owned(), access_token.expose().into());
    answer.insert("token_type".to_owned(), "Bearer".into());
    answer.insert("expires_in".to_owned(), TOKEN_LIFETIME.as_secs().into());
    let client_id = client.client_id.clone();
    let held = AccessToken { sign_in, client_id, expires: issuer.now + TOKEN_LIFETIME };
    sessions.access_tokens.insert(access_token, held);
    if let Some(sign_in) = sign_in {
        let secret = state.project(client.project_id).and_then(|project| project.secret(&client.client_id));
        if let (Some(secret), true) = (secret, scope.split_ascii_whitespace().any(|scope| scope == "openid"))
            && let Some(id_token) = id_token(&client.client_id, secret, nonce.as_deref(), issuer)
        {
            answer.insert("id_token".to_owned(), id_token.into());
        }
        if client.has_grant("refresh_token") {
            let text = generator.secret(SecretKind::Refresh);
            answer.insert("refresh_token".to_owned(), text.expose().into());
            let client_id = client.client_id.clone();
            let token = RefreshToken { sign_in, client_id, scope: scope.clone(), used: false };
            sessions.refresh_tokens.insert(text, token);
        }
    }
    answer.insert("scope".to_owned(), scope.into());
    Value::Object(answer)
}

//! OpenID Connect discovery and keys, served if id tokens are signed with RS256. MeshAgent is not known to have them.

use serde_json::json;

use super::answer::Answer;
use super::{World, nothing};

/// `GET /.well-known/openid-configuration`.
pub(super) fn configuration(world: &World) -> Answer {
    if world.signing_key.is_none() {
        return nothing();
    }
    let url = &world.url;
    let body = json!({
        "issuer": url,
        "authorization_endpoint": format!("{url}/oauth/authorize"),
        "token_endpoint": format!("{url}/oauth/token"),
        "jwks_uri": format!("{url}/.well-known/jwks.json"),
        "response_types_supported": ["code"],
        "grant_types_supported": ["authorization_code", "refresh_token", "client_credentials"],
        "subject_types_supported": ["public"],
        "id_token_signing_alg_values_supported": ["RS256"],
        "token_endpoint_auth_methods_supported": ["client_secret_basic", "client_secret_post", "none"],
        "code_challenge_methods_supported": ["S256"],
        "claims_supported": ["iss", "sub", "aud", "iat", "exp", "nonce", "email", "name"],
    });
    Answer::json(200, body)
}

/// `GET /.well-known/jwks.json`.
pub(super) fn keys(world: &World) -> Answer {
    world.signing_key.as_ref().map_or_else(nothing, |key| Answer::json(200, key.key_set()))
}

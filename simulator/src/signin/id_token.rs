//! Id tokens, signed with HS256 under the client's own secret or with RS256 under the server's key.

use base64::Engine;
use base64::engine::general_purpose::URL_SAFE_NO_PAD;
use hmac::{Hmac, Mac};
use serde_json::{Value, json};
use sha2::Sha256;

use super::signing_key::SigningKey;
use super::user::{EMAIL, SUBJECT};
use super::{Issuer, TOKEN_LIFETIME};
use crate::secret::Secret;

/// An id token for the client; `None` if it cannot be signed.
pub(super) fn id_token(client_id: &str, secret: &Secret, nonce: Option<&str>, issuer: &Issuer) -> Option<String> {
    let lifetime = i64::try_from(TOKEN_LIFETIME.as_secs()).ok()?;
    let mut claims = json!({
        "iss": issuer.url,
        "sub": SUBJECT,
        "aud": client_id,
        "iat": issuer.unix_time,
        "exp": issuer.unix_time + lifetime,
        "email": EMAIL,
        "name": "Simulated User",
    });
    if let (Some(nonce), Value::Object(claims)) = (nonce, &mut claims) {
        claims.insert("nonce".to_owned(), nonce.into());
    }
    match &issuer.signing_key {
        Some(key) => with_rs256(&claims, key),
        None => with_hs256(&claims, secret),
    }
}

fn with_rs256(claims: &Value, key: &SigningKey) -> Option<String> {
    let signed = unsigned(&json!({"alg": "RS256", "typ": "JWT", "kid": key.key_id()}), claims);
    let signature = key.sign(&signed)?;
    Some(format!("{signed}.{}", URL_SAFE_NO_PAD.encode(signature)))
}

fn with_hs256(claims: &Value, secret: &Secret) -> Option<String> {
    let signed = unsigned(&json!({"alg": "HS256", "typ": "JWT"}), claims);
    let mut mac = Hmac::<Sha256>::new_from_slice(secret.expose().as_bytes()).ok()?;
    mac.update(signed.as_bytes());
    Some(format!("{signed}.{}", URL_SAFE_NO_PAD.encode(mac.finalize().into_bytes())))
}

fn unsigned(header: &Value, claims: &Value) -> String {
    let encode = |value: &Value| URL_SAFE_NO_PAD.encode(value.to_string());
    format!("{}.{}", encode(header), encode(claims))
}

//! Id tokens, signed with HS256 under the client's own secret: the one key that both sides hold already.

use base64::Engine;
use base64::engine::general_purpose::URL_SAFE_NO_PAD;
use hmac::{Hmac, Mac};
use serde_json::{Value, json};
use sha2::Sha256;

use super::{Issuer, TOKEN_LIFETIME};
use crate::secret::Secret;

/// The one user there is.
pub(super) const SUBJECT: &str = "simulated-user";

/// An id token for the client; `None` if no key can be made of the secret.
pub(super) fn id_token(client_id: &str, secret: &Secret, nonce: Option<&str>, issuer: &Issuer) -> Option<String> {
    let lifetime = i64::try_from(TOKEN_LIFETIME.as_secs()).ok()?;
    let mut claims = json!({
        "iss": issuer.url,
        "sub": SUBJECT,
        "aud": client_id,
        "iat": issuer.unix_time,
        "exp": issuer.unix_time + lifetime,
        "email": "user@example.com",
        "name": "Simulated User",
    });
    if let (Some(nonce), Value::Object(claims)) = (nonce, &mut claims) {
        claims.insert("nonce".to_owned(), nonce.into());
    }
    let encode = |value: &Value| URL_SAFE_NO_PAD.encode(value.to_string());
    let signed = format!("{}.{}", encode(&json!({"alg": "HS256", "typ": "JWT"})), encode(&claims));
    let mut mac = Hmac::<Sha256>::new_from_slice(secret.expose().as_bytes()).ok()?;
    mac.update(signed.as_bytes());
    Some(format!("{signed}.{}", URL_SAFE_NO_PAD.encode(mac.finalize().into_bytes())))
}

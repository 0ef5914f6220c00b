//! The key under which id tokens are signed with RS256, and its public half as others fetch it. It is made anew at each
//! start and kept nowhere.

use std::fmt;

use base64::Engine;
use base64::engine::general_purpose::URL_SAFE_NO_PAD;
use rsa::PrivateKey;
use rsa::rand_core::TryCryptoRng;
use rsa::sha2::Sha256;
use rsa::traits::PublicKeyParts;
use serde_json::{Value, json};
use sha2::Digest;

const BITS: usize = 2048;

/// How id tokens are signed.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, clap::ValueEnum)]
#[value(rename_all = "UPPER")]
pub enum IdTokens {
    /// With HMAC under the client's own secret: the one key that both sides hold already.
    #[default]
    Hs256,
    /// With RSA. Discovery and keys are served.
    Rs256,
}

/// An RSA key. `Debug` shows its id only.
pub struct SigningKey {
    private: PrivateKey,
    key_id: String,
}

impl SigningKey {
    /// Makes a key. It takes about a second.
    pub fn generate<R: TryCryptoRng>(randomness: &mut R) -> Result<Self, rsa::Error> {
        let private = PrivateKey::new(randomness, BITS)?;
        let (exponent, modulus) = components(&private);
        // The key's thumbprint (RFC 7638).
        let members = format!(r#"{{"e":"{exponent}","kty":"RSA","n":"{modulus}"}}"#);
        let key_id = URL_SAFE_NO_PAD.encode(sha2::Sha256::digest(members));
        Ok(Self { private, key_id })
    }

    /// The key's id, as in the header of a token.
    pub fn key_id(&self) -> &str {
        &self.key_id
    }

    /// The public half as a JSON Web Key Set.
    pub fn key_set(&self) -> Value {
        let (e, n) = components(&self.private);
        json!({"keys": [{"kty": "RSA", "use": "sig", "alg": "RS256", "kid": self.key_id, "n": n, "e": e}]})
    }

    /// A signature (RSASSA-PKCS1-v1_5 over SHA-256); `None` if the system has no randomness for its blinding.
    pub(super) fn sign(&self, message: &str) -> Option<Vec<u8>> {
        self.private.pkcs1v15_sign::<Sha256>(message.as_bytes()).ok()
    }
}

impl fmt::Debug for SigningKey {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        formatter.debug_struct("SigningKey").field("key_id", &self.key_id).finish_non_exhaustive()
    }
}

// Exponent and modulus.
fn components(key: &PrivateKey) -> (String, String) {
    let public = key.as_public_key();
    (URL_SAFE_NO_PAD.encode(public.e_bytes()), URL_SAFE_NO_PAD.encode(public.n_bytes()))
}

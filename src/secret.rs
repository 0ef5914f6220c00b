//! Values that must not be seen: redacted `Debug`, no `Display`, no `Serialize`, zeroed on drop.

use std::fmt;

use base64::Engine as _;
use base64::alphabet::URL_SAFE;
use base64::engine::{DecodePaddingMode, GeneralPurpose, GeneralPurposeConfig};
use secrecy::{ExposeSecret as _, SecretString};
use serde::Deserialize;
use sha2::{Digest as _, Sha256};
use zeroize::Zeroizing;

/// The secret of an OAuth client. MeshAgent shows it once, in the answer to the POST.
#[derive(Clone)]
pub struct ClientSecret(SecretString);

/// A key for MeshAgent's API; it is sent as a bearer token.
#[derive(Clone)]
pub struct ApiKey(SecretString);

/// Why a value is of no use as a secret. Never holds the value.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
pub enum SecretValueError {
    /// Nothing is left once trailing white space is trimmed.
    #[error("the value is empty")]
    Empty,
    /// The value goes into headers and forms as it is, so it must be ASCII.
    #[error("the value holds characters that are not ASCII; store exactly what MeshAgent showed")]
    NotAscii,
    /// A line break, tab or other control character inside the value.
    #[error("the value holds control characters such as a line break; store exactly what MeshAgent showed")]
    ControlCharacter,
}

impl ClientSecret {
    /// Trims trailing white space, which editors and shells leave behind, and checks the rest.
    pub fn new(value: impl AsRef<[u8]>) -> Result<Self, SecretValueError> {
        checked(value.as_ref()).map(Self)
    }

    /// The value itself, for the one place that must write it.
    pub fn expose(&self) -> &str {
        self.0.expose_secret()
    }
}

impl ApiKey {
    /// Trims trailing white space, which editors and shells leave behind, and checks the rest.
    pub fn new(value: impl AsRef<[u8]>) -> Result<Self, SecretValueError> {
        checked(value.as_ref()).map(Self)
    }

    /// The value itself, for the one place that must send it.
    pub fn expose(&self) -> &str {
        self.0.expose_secret()
    }

    /// The project that a key of the form `ma-<key id>-<project id>-<secret>` belongs to, as a lower-case hyphenated
    /// UUID; nothing for keys of another form, such as OAuth access tokens.
    pub fn project_id(&self) -> Option<String> {
        // The secret comes last since it may itself hold the separator.
        let mut parts = self.expose().splitn(4, '-');
        let (prefix, key_id, project_id, secret) = (parts.next()?, parts.next()?, parts.next()?, parts.next()?);
        if prefix != "ma" || secret.is_empty() {
            return None;
        }
        compact_uuid(key_id)?;
        compact_uuid(project_id).map(|id| id.hyphenated().to_string())
    }
}

/// [`digest_of`] the three parts.
pub fn digest(uid: &str, client_id: &str, secret: &ClientSecret) -> String {
    digest_of([uid, client_id, secret.expose()])
}

/// SHA-256, in hex, over the parts, each preceded by its length: no two lists of parts share an input.
pub fn digest_of<'a>(parts: impl IntoIterator<Item = &'a str>) -> String {
    let mut hash = Sha256::new();
    for part in parts {
        hash.update((part.len() as u64).to_be_bytes());
        hash.update(part.as_bytes());
    }
    hash.finalize().iter().map(|byte| format!("{byte:02x}")).collect()
}

fn checked(value: &[u8]) -> Result<SecretString, SecretValueError> {
    let value = value.trim_ascii_end();
    if value.is_empty() {
        return Err(SecretValueError::Empty);
    }
    if !value.is_ascii() {
        return Err(SecretValueError::NotAscii);
    }
    if value.iter().any(u8::is_ascii_control) {
        return Err(SecretValueError::ControlCharacter);
    }
    let text = str::from_utf8(value).map_err(|_| SecretValueError::NotAscii)?;
    Ok(SecretString::from(text))
}

/// A UUID's 16 bytes in URL-safe base64 without padding, where `.` stands for `-`.
fn compact_uuid(text: &str) -> Option<uuid::Uuid> {
    // Other decoders ignore the four bits that 22 characters have to spare, so a key that works may have them set.
    let lenient = GeneralPurposeConfig::new()
        .with_decode_padding_mode(DecodePaddingMode::RequireNone)
        .with_decode_allow_trailing_bits(true);
    let bytes = GeneralPurpose::new(&URL_SAFE, lenient).decode(text.replace('.', "-")).ok()?;
    uuid::Uuid::from_slice(&bytes).ok()
}

impl fmt::Debug for ClientSecret {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("ClientSecret([redacted])")
    }
}

impl fmt::Debug for ApiKey {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("ApiKey([redacted])")
    }
}

// Plain comparison: both sides are held by this process, so nobody can time it from outside.
impl PartialEq for ClientSecret {
    fn eq(&self, other: &Self) -> bool {
        self.expose() == other.expose()
    }
}

impl Eq for ClientSecret {}

impl PartialEq for ApiKey {
    fn eq(&self, other: &Self) -> bool {
        self.expose() == other.expose()
    }
}

impl Eq for ApiKey {}

impl<'de> Deserialize<'de> for ClientSecret {
    fn deserialize<D: serde::Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        let text = Zeroizing::new(String::deserialize(deserializer)?);
        Self::new(text.as_bytes()).map_err(serde::de::Error::custom)
    }
}

#[cfg(test)]
mod tests;

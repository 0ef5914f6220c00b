//! Values that must not be seen: redacted `Debug`, no `Display`, no `Serialize`, zeroed on drop.

use std::fmt;

use base64::Engine as _;
use base64::alphabet::{STANDARD, URL_SAFE};
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

/// Why a value is of no use as a secret. The error never holds the value.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
pub enum SecretValueError {
    /// The value is empty once trailing white space is trimmed.
    #[error("the value is empty")]
    Empty,
    /// The value is UTF-16, which some shells write where a file was asked for.
    #[error("the value is UTF-16 text; store it as UTF-8 without a byte order mark")]
    Utf16,
    /// The value goes into headers and forms as it is, so it must be ASCII.
    #[error(
        "the value holds characters that are not ASCII, perhaps a byte order mark; store exactly what MeshAgent showed"
    )]
    NotAscii,
    /// A line break, tab or other control character inside the value.
    #[error("the value holds control characters such as a line break; store exactly what MeshAgent showed")]
    ControlCharacter,
    /// White space before the value.
    #[error("the value begins with white space; store it without")]
    LeadingSpace,
    /// Quotes that a shell would have removed.
    #[error("the value is in quotes; store it without them")]
    Quoted,
    /// The `Authorization` header's value.
    #[error("the value begins with the word Bearer, which belongs to the HTTP header; store the key alone")]
    Scheme,
    /// A whole file of settings.
    #[error("the value is a JSON document; store the one field alone")]
    Json,
    /// A line of a settings file.
    #[error("the value is a whole line such as NAME=value; store what follows the name alone")]
    Assignment,
    /// Base64 of a key: encoded by hand under `data`, which the API server decodes once.
    #[error(
        "the value is a key in base64, encoded twice; write the key itself under stringData, or encode it once under data"
    )]
    EncodedTwice,
    /// Characters that a bearer token never has (RFC 6750, 2.1).
    #[error("the value holds a space, quote, bracket or other character that no key has; store the key alone")]
    NoKey,
}

impl ClientSecret {
    /// Trims trailing white space, which editors and shells leave behind, and checks the rest.
    pub fn new(value: impl AsRef<[u8]>) -> Result<Self, SecretValueError> {
        checked(value.as_ref()).map(Self)
    }

    /// A secret that somebody stored by hand, with the slips of doing so refused. MeshAgent's own answers may hold any
    /// characters, so [`new`](Self::new) is not as strict.
    pub fn stored_by_hand(value: impl AsRef<[u8]>) -> Result<Self, SecretValueError> {
        without_slip(value.as_ref()).map(Self)
    }

    /// The value itself, for the one place that must write it.
    pub fn expose(&self) -> &str {
        self.0.expose_secret()
    }
}

impl ApiKey {
    /// Trims trailing white space, which editors and shells leave behind, and refuses whatever is no key for certain.
    pub fn new(value: impl AsRef<[u8]>) -> Result<Self, SecretValueError> {
        let value = without_slip(value.as_ref())?;
        let text = value.expose_secret();
        if text.split_ascii_whitespace().next().is_some_and(|word| word.eq_ignore_ascii_case("bearer")) {
            return Err(SecretValueError::Scheme);
        }
        if text.contains(|c: char| c == ' ' || "\"'`\\,;$()[]{}<>".contains(c)) {
            return Err(SecretValueError::NoKey);
        }
        if is_encoded_key(text) { Err(SecretValueError::EncodedTwice) } else { Ok(Self(value)) }
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

/// The value, unless it shows one of the slips of people who copy values into files and manifests.
fn without_slip(value: &[u8]) -> Result<SecretString, SecretValueError> {
    let text = value.trim_ascii();
    // The check for a document comes before that for control characters: several lines are better called a document.
    if text.starts_with(b"{") && text.ends_with(b"}") {
        return Err(SecretValueError::Json);
    }
    if is_assignment(text) {
        return Err(SecretValueError::Assignment);
    }
    let checked = checked(text)?;
    if value.first().is_some_and(u8::is_ascii_whitespace) {
        return Err(SecretValueError::LeadingSpace);
    }
    if let [first @ (b'"' | b'\'' | b'`'), .., last] = text
        && first == last
    {
        return Err(SecretValueError::Quoted);
    }
    Ok(checked)
}

/// Whether the text is like `MESHAGENT_API_KEY=…`, `export CLIENT_SECRET=…` or `apiKey: …`. The name alone tells it
/// from a value that holds a `=`.
fn is_assignment(text: &[u8]) -> bool {
    let text = text.strip_prefix(b"export ").unwrap_or(text);
    let length = text.iter().take_while(|byte| byte.is_ascii_alphanumeric() || **byte == b'_').count();
    let (name, rest) = text.split_at(length);
    let name = name.to_ascii_lowercase();
    let named = [&b"key"[..], b"secret", b"token"].iter().any(|end| name.ends_with(end));
    match rest.trim_ascii_start() {
        // `=` at the very end is the padding of base64.
        [b'=', value, ..] => named && *value != b'=',
        [b':', value, ..] => named && matches!(value, b' ' | b'"' | b'\''),
        [] | [_, ..] => false,
    }
}

fn is_encoded_key(text: &str) -> bool {
    let lenient = GeneralPurposeConfig::new().with_decode_padding_mode(DecodePaddingMode::Indifferent);
    let decoded = GeneralPurpose::new(&STANDARD, lenient).decode(text).map(Zeroizing::new);
    decoded.is_ok_and(|bytes| bytes.trim_ascii_start().starts_with(b"ma-"))
}

fn checked(value: &[u8]) -> Result<SecretString, SecretValueError> {
    let value = value.trim_ascii_end();
    if value.is_empty() {
        return Err(SecretValueError::Empty);
    }
    if value.starts_with(&[0xff, 0xfe]) || value.starts_with(&[0xfe, 0xff]) {
        return Err(SecretValueError::Utf16);
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

//! The form of a project API key: `ma-<key id>-<project id>-<secret>`.

use base64::Engine;
use base64::engine::general_purpose::URL_SAFE_NO_PAD;
use uuid::Uuid;

use crate::secret::Secret;

/// The two ids that a key shows.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct KeyIds {
    /// The key's own id.
    pub key_id: Uuid,
    /// The project that it belongs to.
    pub project_id: Uuid,
}

/// Builds a key. The secret may hold `-`.
pub fn format(ids: KeyIds, secret: &str) -> Secret {
    Secret::new(format!("ma-{}-{}-{secret}", encode(ids.key_id), encode(ids.project_id)))
}

/// Reads the ids off a key; `None` if it is of another form.
pub fn parse(key: &str) -> Option<KeyIds> {
    let mut parts = key.strip_prefix("ma-")?.splitn(3, '-');
    let key_id = decode(parts.next()?)?;
    let project_id = decode(parts.next()?)?;
    parts.next().filter(|secret| !secret.is_empty())?;
    Some(KeyIds { key_id, project_id })
}

fn encode(id: Uuid) -> String {
    URL_SAFE_NO_PAD.encode(id.as_bytes()).replace('-', ".")
}

fn decode(text: &str) -> Option<Uuid> {
    let bytes = URL_SAFE_NO_PAD.decode(text.replace('.', "-")).ok()?;
    Uuid::from_slice(&bytes).ok()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_key_shows_both_ids_again_even_when_ids_and_secret_would_hold_a_dash() {
        // 0xfb repeated encodes to `-` in URL-safe base64.
        let ids = KeyIds { key_id: Uuid::from_bytes([0xfb; 16]), project_id: Uuid::from_u128(7) };
        let key = format(ids, "a-b-c");
        assert_eq!(key.expose().split('-').count(), 6, "only the separators and the secret may hold a dash");
        assert_eq!(parse(key.expose()), Some(ids));
    }

    #[test]
    fn other_forms_are_not_read() {
        for key in ["", "ma-", "ma-x-y-z", "token", "ma-AAAAAAAAAAAAAAAAAAAAAA-AAAAAAAAAAAAAAAAAAAAAA-"] {
            assert_eq!(parse(key), None);
        }
    }
}

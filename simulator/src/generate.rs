//! The source of ids and secrets: an argument, so that the state stays repeatable.

use base64::Engine;
use base64::engine::general_purpose::STANDARD;
use uuid::Uuid;

use crate::secret::Secret;

/// The purpose of a secret. Each kind has a prefix of its own, by which the record of calls can recognise a secret
/// wherever it turns up.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum SecretKind {
    /// An OAuth client's secret.
    Client,
    /// An authorization code.
    Code,
    /// An access token.
    Access,
    /// A refresh token.
    Refresh,
}

impl SecretKind {
    fn prefix(self) -> &'static str {
        match self {
            Self::Client => "mas-",
            Self::Code => "mac-",
            Self::Access => "maa-",
            Self::Refresh => "mar-",
        }
    }
}

/// Draws ids and secrets.
pub trait Generate: Send {
    /// A new id.
    fn uuid(&mut self) -> Uuid;

    /// A new secret. The standard base64 alphabet is on purpose: `+`, `/` and `=` tell apart the clients that
    /// form-encode their credentials from those that do not.
    fn secret(&mut self, kind: SecretKind) -> Secret {
        let mut bytes = Vec::with_capacity(32);
        bytes.extend_from_slice(self.uuid().as_bytes());
        bytes.extend_from_slice(self.uuid().as_bytes());
        Secret::new(format!("{}{}", kind.prefix(), STANDARD.encode(bytes)))
    }
}

/// The operating system's randomness.
#[derive(Clone, Copy, Debug, Default)]
pub struct Random;

impl Generate for Random {
    fn uuid(&mut self) -> Uuid {
        Uuid::new_v4()
    }
}

/// Counts up: for tests.
#[cfg(test)]
#[derive(Clone, Copy, Debug, Default)]
pub(crate) struct Counting(u128);

#[cfg(test)]
impl Generate for Counting {
    fn uuid(&mut self) -> Uuid {
        self.0 += 1;
        Uuid::from_u128(self.0)
    }
}

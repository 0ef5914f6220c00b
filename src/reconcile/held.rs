//! What outlives a pass: a token that was never POSTed, or a credential that was not published yet. It lives in this
//! process only, and ends with it, with its object, or once it is published.

use std::collections::HashMap;
use std::sync::{Mutex, MutexGuard, PoisonError};

use crate::decide::failure::Failure;
use crate::decide::id::{ClientId, Digest, Token, Uid};
use crate::decide::observed::Held;
use crate::secret::ClientSecret;

/// What this process holds, by the object's uid.
#[derive(Debug, Default)]
pub struct Vault(Mutex<HashMap<Uid, Holding>>);

#[derive(Debug)]
enum Holding {
    Unspent(Token),
    Credential { token: Token, client_id: ClientId, digest: Digest, secret: ClientSecret },
    Keyless { client_id: ClientId, failure: Failure },
}

impl Vault {
    /// What is held for the object, without the secret.
    #[must_use]
    pub fn held(&self, uid: &Uid) -> Held {
        match self.open().get(uid) {
            None => Held::Nothing,
            Some(Holding::Unspent(token)) => Held::Unspent(token.clone()),
            Some(Holding::Credential { token, client_id, digest, .. }) => {
                Held::Credential { token: token.clone(), client_id: client_id.clone(), digest: digest.clone() }
            }
            Some(Holding::Keyless { client_id, failure }) => {
                Held::Keyless { client_id: client_id.clone(), failure: failure.clone() }
            }
        }
    }

    /// The secret of a credential that is held under this token.
    #[must_use]
    pub fn secret(&self, uid: &Uid, wanted: &Token) -> Option<ClientSecret> {
        match self.open().get(uid) {
            Some(Holding::Credential { token, secret, .. }) if token == wanted => Some(secret.clone()),
            Some(Holding::Unspent(_) | Holding::Credential { .. } | Holding::Keyless { .. }) | None => None,
        }
    }

    /// Keeps a token that was written to the object and not POSTed.
    pub fn keep_unspent(&self, uid: &Uid, token: Token) {
        self.open().insert(uid.clone(), Holding::Unspent(token));
    }

    /// Keeps a credential until it is published.
    pub fn keep_credential(&self, uid: &Uid, token: Token, client_id: ClientId, digest: Digest, secret: ClientSecret) {
        self.open().insert(uid.clone(), Holding::Credential { token, client_id, digest, secret });
    }

    /// Keeps the id of a client whose secret nobody was shown, until it is deleted.
    pub fn keep_keyless(&self, uid: &Uid, client_id: ClientId, failure: Failure) {
        self.open().insert(uid.clone(), Holding::Keyless { client_id, failure });
    }

    /// Forgets what is held for the object.
    pub fn forget(&self, uid: &Uid) {
        self.open().remove(uid);
    }

    /// How many credentials wait to be published.
    #[must_use]
    pub fn credentials(&self) -> usize {
        self.open().values().filter(|holding| matches!(holding, Holding::Credential { .. })).count()
    }

    fn open(&self) -> MutexGuard<'_, HashMap<Uid, Holding>> {
        // A panic elsewhere leaves the map whole: each change is one insert or remove.
        self.0.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

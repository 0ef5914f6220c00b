//! What outlives a pass, in the memory of this process only: a token that was never POSTed, or a credential that is not
//! published yet. An entry ends with its publication, its object, or the process.

use std::collections::{HashMap, HashSet};
use std::sync::{Mutex, MutexGuard, PoisonError};
use std::time::Duration;

use jiff::Timestamp;

use crate::decide::client::observed::{Cooldown, Pending};
use crate::decide::client::posts::Posts;
use crate::decide::failure::Failure;
use crate::decide::id::{ClientId, CredentialDigest, Token, Uid};
use crate::decide::marker::Origin;
use crate::secret::{self, ClientSecret};

/// What this process holds, and when it last POSTed, by the object's uid.
#[derive(Debug, Default)]
pub struct PendingStore {
    holdings: Mutex<HashMap<Uid, Entry>>,
    /// The last POST for each object that had a client already, and the row that it is in.
    posted: Mutex<HashMap<Uid, (Timestamp, Posts)>>,
}

#[derive(Debug)]
enum Entry {
    Unspent(Token),
    Credential { token: Token, client_id: ClientId, digest: CredentialDigest, secret: ClientSecret, origin: Origin },
    Keyless { client_id: ClientId, failure: Failure },
}

impl PendingStore {
    /// What is held for the object, without the secret.
    #[must_use]
    pub fn pending(&self, uid: &Uid) -> Pending {
        match self.open().get(uid) {
            None => Pending::Nothing,
            Some(Entry::Unspent(token)) => Pending::Unspent(token.clone()),
            Some(Entry::Credential { token, client_id, digest, origin, .. }) => Pending::Credential {
                token: token.clone(),
                client_id: client_id.clone(),
                digest: digest.clone(),
                origin: *origin,
            },
            Some(Entry::Keyless { client_id, failure }) => {
                Pending::Keyless { client_id: client_id.clone(), failure: failure.clone() }
            }
        }
    }

    /// The secret of a credential that is held under this token.
    #[must_use]
    pub fn secret(&self, uid: &Uid, wanted: &Token) -> Option<ClientSecret> {
        match self.open().get(uid) {
            Some(Entry::Credential { token, secret, .. }) if token == wanted => Some(secret.clone()),
            Some(Entry::Unspent(_) | Entry::Credential { .. } | Entry::Keyless { .. }) | None => None,
        }
    }

    /// Keeps a token that was written to the object and not POSTed.
    pub fn keep_unspent(&self, uid: &Uid, token: Token) {
        self.open().insert(uid.clone(), Entry::Unspent(token));
    }

    /// Keeps a credential until it is published, and returns its digest.
    pub fn keep_credential(
        &self,
        uid: &Uid,
        token: Token,
        client_id: ClientId,
        secret: ClientSecret,
        origin: Origin,
    ) -> CredentialDigest {
        let digest = CredentialDigest::new(secret::digest(uid.as_str(), client_id.as_str(), &secret));
        let holding = Entry::Credential { token, client_id, digest: digest.clone(), secret, origin };
        self.open().insert(uid.clone(), holding);
        digest
    }

    /// Keeps the id of a client whose secret nobody was shown, until it is deleted.
    pub fn keep_keyless(&self, uid: &Uid, client_id: ClientId, failure: Failure) {
        self.open().insert(uid.clone(), Entry::Keyless { client_id, failure });
    }

    /// Forgets what is held for the object.
    pub fn forget(&self, uid: &Uid) {
        self.open().remove(uid);
    }

    /// Remembers a POST for an object that has a client already. `useful`: the answer held a client and its secret.
    pub fn posted(&self, uid: &Uid, useful: bool, now: Timestamp) {
        let mut posted = self.posted.lock().unwrap_or_else(PoisonError::into_inner);
        let (_, posts) = posted.get(uid).copied().unwrap_or((now, Posts::default()));
        posted.insert(uid.clone(), (now, posts.and(useful)));
    }

    /// The cooldown after the last POSTs for the object.
    #[must_use]
    pub fn cooldown(&self, uid: &Uid, now: Timestamp) -> Cooldown {
        let posted = self.posted.lock().unwrap_or_else(PoisonError::into_inner);
        posted.get(uid).map_or(Cooldown::None, |(last, posts)| {
            posts.cooldown(Duration::try_from(now.duration_since(*last)).unwrap_or_default())
        })
    }

    /// Forgets all objects but these.
    pub fn keep(&self, uids: &HashSet<Uid>) {
        self.open().retain(|uid, _| uids.contains(uid));
        self.posted.lock().unwrap_or_else(PoisonError::into_inner).retain(|uid, _| uids.contains(uid));
    }

    /// How many credentials wait to be published.
    #[must_use]
    pub fn credentials(&self) -> usize {
        self.open().values().filter(|holding| matches!(holding, Entry::Credential { .. })).count()
    }

    fn open(&self) -> MutexGuard<'_, HashMap<Uid, Entry>> {
        // A panic elsewhere leaves the map whole: each change is one insert or remove.
        self.holdings.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_is_remembered_of_posts_goes_with_the_object() {
        let (pending, uid) = (PendingStore::default(), Uid::new("u"));
        let at = |minute: i64| Timestamp::from_second(60 * minute).unwrap();
        assert_eq!(pending.cooldown(&uid, at(0)), Cooldown::None);
        for minute in [0, 10, 20] {
            pending.posted(&uid, false, at(minute));
        }
        assert_eq!([pending.cooldown(&uid, at(79)), pending.cooldown(&uid, at(80))], [Cooldown::Long, Cooldown::None]);
        pending.keep(&HashSet::new());
        assert_eq!(pending.cooldown(&uid, at(21)), Cooldown::None);
    }
}

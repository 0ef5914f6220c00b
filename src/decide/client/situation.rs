//! The facts that a pass decides by, from what Kubernetes and the project hold: which Secret to go by, what the object
//! asks for, which clients matter to it, and whether they are as applied. The model calls the same functions.

use std::collections::BTreeSet;

use super::change::Wanted;
use super::desired::{Essentials, Present};
use super::next::Desired;
use super::observed::{Credential, Object, Observed, Pending, Remote, Secret, Stored};
use crate::decide::failure::Failure;
use crate::decide::id::{ClientId, Version};
use crate::decide::marker::{Owner, Policy};

/// An OAuthClient as it is declared.
#[derive(Clone, Copy, Debug)]
pub struct Declared<'a> {
    /// The parts of the spec that have to be known even if the rest is broken.
    pub essentials: &'a Essentials,
    /// The spec, or why it cannot be carried out.
    pub spec: Result<&'a Present, &'a Failure>,
    /// Whether the object is being deleted.
    pub deleting: bool,
    /// Whether a person gave up on a client that cannot be deleted.
    pub forced: bool,
    /// Whether the status says that the client was adopted.
    pub adopted: bool,
    /// What becomes of a client whose OAuthClient does not say.
    pub default_policy: Policy,
}

impl Declared<'_> {
    /// What the OAuthClient asks for, with the owner that its markers name.
    #[must_use]
    pub fn desired(&self, owner: Owner) -> Desired {
        let Self { essentials, spec, deleting, forced, adopted, default_policy } = *self;
        match spec {
            _ if deleting => Desired::Absent(essentials.deletion(adopted, default_policy, forced)),
            Ok(present) => {
                let policy = essentials.policy(adopted, default_policy);
                Desired::Present(Box::new(Wanted::new(present, owner, policy)))
            }
            Err(failure) => Desired::Invalid(failure.clone()),
        }
    }

    /// Whether the OAuthClient owns its Secret.
    #[must_use]
    pub fn owns_secret(&self) -> bool {
        self.essentials.owns_secret(self.adopted, self.default_policy)
    }
}

/// Which of two names a Secret is under.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub enum Place {
    /// The name that the spec wants.
    Wanted,
    /// The name that the status recorded, if that is another.
    Former,
}

/// The Secret to go by.
#[derive(Clone, Debug, PartialEq, Eq, Hash)]
pub struct Located {
    /// What the Secret is to the object.
    pub secret: Secret,
    /// Which name the Secret is under.
    pub place: Place,
    /// The version of the Secret under the former name, if both are ours: that Secret is to go.
    pub leftover: Option<Version>,
}

/// The Secret to go by: the one that is wanted, or ours under its former name while no Secret is under the wanted name.
#[must_use]
pub fn locate(wanted: Secret, former: Secret) -> Located {
    match (wanted, former) {
        (Secret::Absent, Secret::Ours(stored)) => {
            let secret = Secret::Ours(Stored { misplaced: true, ..stored });
            Located { secret, place: Place::Former, leftover: None }
        }
        (Secret::Ours(stored), Secret::Ours(left)) => {
            Located { secret: Secret::Ours(stored), place: Place::Wanted, leftover: Some(left.version) }
        }
        (secret, _) => Located { secret, place: Place::Wanted, leftover: None },
    }
}

/// The clients that matter to an object because somebody names them: its status, its Secret, its spec, this process.
/// Clients whose marker names its uid matter as well.
#[must_use]
pub fn named<'a>(
    object: &'a Object,
    secret: &'a Secret,
    pending: &'a Pending,
    desired: &'a Desired,
) -> BTreeSet<&'a ClientId> {
    let stored = match secret {
        Secret::Absent => None,
        Secret::Foreign(foreign) => foreign.former.as_ref().map(|(client_id, _)| client_id),
        Secret::Ours(stored) => stored.client_id.as_ref(),
    };
    let adopted = match desired {
        Desired::Present(wanted) => wanted.adopt.as_ref().map(|adopt| &adopt.client_id),
        Desired::Invalid(_) | Desired::Absent(_) => None,
    };
    let retiring = object.recorded.retiring.iter().map(|former| &former.client_id);
    retiring.chain(&object.recorded.client_id).chain(stored).chain(adopted).chain(pending.client_id()).collect()
}

/// Whether the recorded client's Secret is as it was applied, as far as the pass knows: false only on proof, or without
/// a recorded client.
#[must_use]
pub fn secret_matches(observed: &Observed) -> bool {
    let recorded = &observed.object.recorded;
    let published = observed.secret.stored().is_some_and(|stored| match stored.credential {
        Credential::Unread | Credential::AsRecorded => true,
        Credential::Other(_) | Credential::Broken => false,
    });
    recorded.client_id.is_some() && (published || recorded.is_secretless())
}

/// Whether a client is as it was applied, as far as the pass knows: false only on proof.
#[must_use]
pub fn client_matches(desired: &Desired, observed: &Observed, client_id: &ClientId) -> bool {
    let recorded = &observed.object.recorded;
    let client = match observed.remote.get(client_id) {
        Some(Remote::Absent | Remote::Deleted) => return false,
        Some(Remote::Listed(client) | Remote::PutIgnored(client) | Remote::Read(client)) => client,
        Some(Remote::Missing) | None => return true,
    };
    match (desired, &observed.object.token) {
        (Desired::Present(wanted), Some(token)) => {
            wanted.change(client, &recorded.managed_keys, token, recorded.adopted).is_none()
        }
        (Desired::Present(_) | Desired::Invalid(_) | Desired::Absent(_), _) => true,
    }
}

#[cfg(test)]
mod tests;

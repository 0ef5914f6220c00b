//! How the object goes, what the garbage collector does then, and what is retained.

use meshagent_operator::decide::client::observed::CrdState;
use meshagent_operator::decide::id::{ClientId, Uid};

use super::spec::Adoption;
use super::{Declared, World};
use crate::shared::Shared;

/// How the object is being deleted.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub enum DeletedBy {
    /// A person deletes the object in the background or with `--cascade=orphan`.
    Plain,
    /// A person deletes the object; the garbage collector takes what the object owns although our finalizer still holds
    /// it.
    Foreground,
    /// The object goes with the CRD.
    WithDefinition,
}

/// The client that a released object retained.
#[derive(Clone, Debug, PartialEq, Eq, Hash)]
pub struct Left {
    pub client_id: ClientId,
    /// Whether the client's Secret was left as well.
    pub with_secret: bool,
    /// Whether the client had to be left: a deletion while the CRD goes as well may end either way.
    pub certain: bool,
}

impl World {
    pub fn delete(&mut self, deletion: DeletedBy, orphaning: bool) {
        if deletion == DeletedBy::WithDefinition {
            self.crd = CrdState::Away;
        }
        self.touch(|declared| {
            declared.deletion.get_or_insert(deletion);
            declared.object.orphaning |= orphaning;
        });
    }

    /// Notes what an object that is gone leaves, by its policy.
    pub fn leave(&mut self, declared: &Declared) {
        let object = &declared.object;
        let retains =
            declared.spec.retains(object.recorded.adopted) || declared.deletion == Some(DeletedBy::WithDefinition);
        let ours = |secret: &&Shared<super::StoredSecret>| secret.uid.as_ref() == Some(&object.uid);
        let secret = self.secrets.iter().flatten().find(ours);
        let in_secret = secret.and_then(|secret| secret.client_id.clone());
        let adopted = object.recorded.adopted || declared.spec.adopts != Adoption::No;
        if !retains && self.crd == CrdState::Established || adopted {
            return;
        }
        let with_secret = secret.is_some();
        if let Some(client_id) = in_secret.or_else(|| object.recorded.client_id.clone()) {
            self.left = Some(Left { client_id, with_secret, certain: retains });
        }
    }

    /// Whether the garbage collector takes a Secret: its owners are gone, or one is being deleted in the foreground.
    pub fn is_garbage(&self, name: usize) -> bool {
        let Some(secret) = &self.secrets[name] else { return false };
        let living = self.uid();
        let foreground = |uid: &Uid| {
            living == Some(uid)
                && self.declared.as_ref().is_some_and(|declared| declared.deletion == Some(DeletedBy::Foreground))
        };
        let orphaning = self.declared.as_ref().is_some_and(|declared| declared.object.orphaning);
        !secret.owners.is_empty()
            && (secret.owners.iter().all(|uid| living != Some(uid)) || secret.owners.iter().any(foreground))
            && !orphaning
    }

    pub fn collect(&mut self, name: usize) {
        let owner_lives =
            self.secrets[name].as_ref().is_some_and(|it| it.owners.iter().any(|uid| self.uid() == Some(uid)));
        if owner_lives {
            // A living owner means foreground deletion.
            self.tampered += 1;
            let kept = |declared: &Shared<Declared>| declared.spec.retains(declared.object.recorded.adopted);
            if !self.policy_changed && self.declared.as_ref().is_some_and(kept) {
                self.violation = Some("the garbage collector took a Secret that was to stay");
            }
        }
        self.secrets[name] = None;
    }

    /// Takes the object's ownership off its Secrets, and then the garbage collector's own finalizer off the object, as
    /// `--cascade=orphan` does.
    pub fn strip_owners(&mut self) {
        let Some(uid) = self.uid().cloned() else { return };
        let version = self.secret_version();
        for secret in self.secrets.iter_mut().flatten().filter(|secret| secret.owners.contains(&uid)) {
            secret.change(|secret| {
                secret.owners.remove(&uid);
                secret.version = version.clone();
            });
            self.orphaned = true;
        }
        self.touch(|declared| declared.object.orphaning = false);
    }
}

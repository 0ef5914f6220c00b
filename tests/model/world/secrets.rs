//! Secrets: what they are to the object, and the steps that write them.

use std::collections::BTreeSet;

use meshagent_operator::api::Reason;
use meshagent_operator::decide::client::next::SecretWrite;
use meshagent_operator::decide::client::observed::{Answer, Object, Secret, Stored};
use meshagent_operator::decide::client::secret::{DataFacts, PairFacts, SecretFacts, judge};
use meshagent_operator::decide::client::situation::{self, Located, Place};
use meshagent_operator::decide::failure::Failure;
use meshagent_operator::decide::id::{ClientId, CredentialDigest, Token, Uid, Version};

use super::spec::{Adoption, NAMES, Spec};
use super::{FOREIGN, Fence, Pass, World};
use crate::shared::Shared;

/// The text of a client secret that somebody altered.
pub const ALTERED: &str = "altered";

/// The Secret in etcd.
#[derive(Clone, Debug, PartialEq, Eq, Hash)]
pub struct StoredSecret {
    pub version: Version,
    pub uid: Option<Uid>,
    pub token: Option<Token>,
    pub client_id: Option<ClientId>,
    pub retained: bool,
    pub data: Option<Data>,
    pub owners: BTreeSet<Uid>,
}

/// A credential in a Secret's data.
#[derive(Clone, Debug, PartialEq, Eq, Hash)]
pub struct Data {
    pub client_id: ClientId,
    /// The client whose secret it is; or [`ALTERED`].
    pub secret: ClientId,
}

/// The Secrets under the two names.
pub type Secrets = [Option<Shared<StoredSecret>>; 2];

impl Data {
    pub fn of(client_id: &ClientId) -> Self {
        Self { client_id: client_id.clone(), secret: client_id.clone() }
    }
}

pub fn digest(uid: &Uid, client_id: &ClientId, secret: &ClientId) -> CredentialDigest {
    CredentialDigest::new(format!("{uid}/{client_id}/{secret}"))
}

/// The name under which the status has the Secret, if that is not the one that the spec wants.
pub fn former_name(object: &Object, spec: &Spec) -> Option<usize> {
    let recorded = object.recorded.secret_name.as_deref()?;
    NAMES.iter().position(|name| *name == recorded).filter(|name| *name != spec.name)
}

/// The Secret to go by, where it is, and the version of the one that is left over under its former name.
pub fn locate(world: &World, secrets: &Secrets, object: &Object, spec: &Spec, whole: bool) -> Whereabouts {
    let at = |name: usize| view(world, secrets[name].as_deref(), object, spec, whole);
    let former = former_name(object, spec);
    let (wanted, there) = (at(spec.name), former.map_or(Secret::Absent, at));
    let there = if world.intact(Fence::Locate) { there } else { Secret::Absent };
    let Located { secret, place, leftover } = situation::locate(wanted, there);
    let place = match (place, former) {
        (Place::Former, Some(former)) => former,
        (Place::Former | Place::Wanted, _) => spec.name,
    };
    Whereabouts { secret, place, leftover }
}

/// A Secret to go by, and under which of the names it is.
#[derive(Clone, Debug, PartialEq, Eq, Hash)]
pub struct Whereabouts {
    pub secret: Secret,
    pub place: usize,
    pub leftover: Option<Version>,
}

/// The ownership of one Secret; `whole`: its data was read as well.
pub fn view(world: &World, secret: Option<&StoredSecret>, object: &Object, spec: &Spec, whole: bool) -> Secret {
    let Some(secret) = secret else { return Secret::Absent };
    let adopted = object.recorded.adopted;
    let owned = secret.owners.contains(&object.uid);
    let facts = SecretFacts {
        version: secret.version.clone(),
        owner_uid: secret.uid.clone(),
        token: secret.token.clone(),
        client_id: secret.client_id.clone(),
        owned,
        retained: secret.retained,
        metadata_fits: owned == world.owns_secret(spec, adopted) && !secret.retained,
        data: whole.then(|| data_facts(secret, object, spec)),
    };
    judge(facts, &object.uid, &object.recorded)
}

fn data_facts(secret: &StoredSecret, object: &Object, spec: &Spec) -> DataFacts {
    let named = secret.client_id.as_ref().or(object.recorded.client_id.as_ref());
    let Some(data) = &secret.data else {
        return DataFacts { fits: false, adoptable: false, pairs: Vec::new() };
    };
    let with = |client_id: &ClientId| digest(&object.uid, client_id, &data.secret);
    DataFacts {
        fits: Some(&data.client_id) == named,
        adoptable: data.client_id.as_str() == FOREIGN && spec.adopts != Adoption::No,
        pairs: vec![PairFacts {
            as_recorded: object.recorded.client_id.as_ref().map(with),
            as_annotated: secret.client_id.as_ref().filter(|annotated| **annotated == data.client_id).map(with),
        }],
    }
}

impl World {
    /// Whether the Secret goes with the object.
    pub fn owns_secret(&self, spec: &Spec, adopted: bool) -> bool {
        spec.owns_secret(adopted) || !self.intact(Fence::OwnsSecret)
    }

    pub fn secret_version(&mut self) -> Version {
        self.secret_writes += 1;
        Version::new(self.secret_writes.to_string())
    }

    /// The API server's answer to a write of the Secret at a place.
    fn stored(&self, pass: &Pass, place: usize) -> Answer {
        match view(self, self.secrets[place].as_deref(), &pass.observed.object, &pass.spec, true) {
            Secret::Ours(stored) => Answer::Stored(Stored { misplaced: place != pass.spec.name, ..stored }),
            Secret::Absent | Secret::Foreign(_) => Answer::Conflict,
        }
    }

    fn is_at(&self, place: usize, version: &Version) -> bool {
        self.secrets[place].as_ref().is_some_and(|secret| &secret.version == version)
    }

    pub fn may_write(&self, pass: &Pass, write: &SecretWrite) -> bool {
        match write {
            SecretWrite::Create => self.secrets[pass.spec.name].is_none() || !self.intact(Fence::CreateNotApply),
            SecretWrite::Replace(version) => self.is_at(pass.place, version),
        }
    }

    /// I4: no Secret is written that is neither ours, nor left to us, nor to be adopted.
    fn guard_secret(&mut self, pass: &Pass, place: usize) {
        let Some(secret) = &self.secrets[place] else { return };
        let holds_foreign = secret.data.as_ref().is_some_and(|data| data.client_id.as_str() == FOREIGN);
        let adopted = holds_foreign && pass.spec.adopts != Adoption::No;
        let left = self.left.as_ref().is_some_and(|left| secret.client_id.as_ref() == Some(&left.client_id));
        if secret.uid.as_ref() != Some(&pass.observed.object.uid) && !adopted && !left {
            self.violation = Some("I4: a foreign Secret was written");
        }
    }

    pub fn publish(&mut self, pass: &Pass, client_id: &ClientId, token: &Token, write: &SecretWrite) -> Answer {
        if !self.may_write(pass, write) {
            return Answer::Conflict;
        }
        let uid = pass.observed.object.uid.clone();
        let owns = self.owns_secret(&pass.spec, pass.observed.object.recorded.adopted);
        // A patch leaves owners and whatever else is there alone.
        let (place, owners, retained) = match write {
            SecretWrite::Create => {
                (pass.spec.name, if owns { BTreeSet::from([uid.clone()]) } else { BTreeSet::new() }, false)
            }
            SecretWrite::Replace(_) => {
                let present = self.secrets[pass.place].as_deref().cloned();
                let (owners, retained) = present.map_or_else(Default::default, |it| (it.owners, it.retained));
                (pass.place, owners, retained)
            }
        };
        self.guard_secret(pass, place);
        if self.declared.as_ref().is_some_and(|it| it.object.recorded.client_id.is_some()) {
            self.stood.insert(client_id.clone());
        }
        let secret = StoredSecret {
            version: self.secret_version(),
            uid: Some(uid),
            token: Some(token.clone()),
            client_id: Some(client_id.clone()),
            retained,
            data: Some(Data::of(client_id)),
            owners,
        };
        self.secrets[place] = Some(Shared::new(secret));
        self.stored(pass, place)
    }

    /// A patch of the Secret under its version.
    fn patch_secret(&mut self, pass: &Pass, version: &Version, change: impl FnOnce(&mut StoredSecret)) -> Answer {
        if !self.is_at(pass.place, version) {
            return Answer::Conflict;
        }
        self.guard_secret(pass, pass.place);
        let next = self.secret_version();
        if let Some(secret) = &mut self.secrets[pass.place] {
            secret.change(|secret| {
                change(secret);
                secret.version = next;
            });
        }
        self.stored(pass, pass.place)
    }

    pub fn move_token(&mut self, pass: &Pass, token: &Token, client_id: &ClientId, version: &Version) -> Answer {
        self.patch_secret(pass, version, |secret| {
            secret.token = Some(token.clone());
            secret.client_id = Some(client_id.clone());
        })
    }

    /// Reshapes the Secret; with a token, takes it over.
    pub fn reshape(&mut self, pass: &Pass, client_id: &ClientId, token: Option<&Token>, version: &Version) -> Answer {
        if self.is_at(pass.place, version) && self.secrets[pass.place].as_ref().is_some_and(|it| it.data.is_none()) {
            return Answer::Failed(Failure::stalled(Reason::SecretConflict, ""));
        }
        let uid = pass.observed.object.uid.clone();
        let owns = self.owns_secret(&pass.spec, pass.observed.object.recorded.adopted);
        self.patch_secret(pass, version, |secret| {
            secret.owners.remove(&uid);
            secret.owners.extend(owns.then(|| uid.clone()));
            secret.uid = Some(uid);
            secret.client_id = Some(client_id.clone());
            secret.retained = false;
            if let Some(data) = &mut secret.data {
                data.client_id = client_id.clone();
            }
            if let Some(token) = token {
                secret.token = Some(token.clone());
            }
        })
    }

    pub fn relocate(&mut self, pass: &mut Pass, client_id: &ClientId, version: &Version) -> Answer {
        let Some(token) = pass.observed.object.token.clone() else { return Answer::Conflict };
        if !self.is_at(pass.place, version) {
            return Answer::Conflict;
        }
        let Some(data) = self.secrets[pass.place].as_ref().and_then(|secret| secret.data.clone()) else {
            return Answer::Failed(Failure::stalled(Reason::SecretConflict, ""));
        };
        let answer = self.publish(pass, client_id, &token, &SecretWrite::Create);
        pass.place = pass.spec.name;
        if let Some(secret) = &mut self.secrets[pass.place]
            && matches!(answer, Answer::Stored(_))
        {
            // The published secret is the one of the former Secret.
            secret.change(|secret| secret.data = Some(Data { client_id: client_id.clone(), secret: data.secret }));
            return self.stored(pass, pass.place);
        }
        answer
    }

    pub fn delete_secret(&mut self, pass: &Pass, leftover: bool, version: &Version) -> Answer {
        let former = former_name(&pass.observed.object, &pass.spec).filter(|_| leftover);
        let place = former.unwrap_or(pass.place);
        if self.secrets[place].is_some() && !self.is_at(place, version) {
            return Answer::Conflict;
        }
        self.guard_secret(pass, place);
        self.secrets[place] = None;
        Answer::SecretGone
    }

    pub fn release_secret(&mut self, pass: &Pass, retained: bool, version: &Version) -> Answer {
        let uid = pass.observed.object.uid.clone();
        if retained && !self.intact(Fence::OwnerOffFirst) {
            // Ownership comes off only once the finalizer is gone.
            self.owner_stays = Some(uid);
            return match &pass.observed.secret {
                Secret::Ours(stored) => Answer::Stored(Stored { owned: false, retained: true, ..stored.clone() }),
                Secret::Absent | Secret::Foreign(_) => Answer::Conflict,
            };
        }
        self.orphaned |= !retained;
        self.patch_secret(pass, version, |secret| {
            secret.owners.remove(&uid);
            secret.retained |= retained;
        })
    }

    /// Takes ownership off after the finalizer, with the fence `OwnerOffFirst` out.
    pub fn owner_off_late(&mut self) {
        let Some(uid) = self.owner_stays.take() else { return };
        let version = self.secret_version();
        for secret in self.secrets.iter_mut().flatten().filter(|secret| secret.uid.as_ref() == Some(&uid)) {
            secret.change(|secret| {
                secret.owners.remove(&uid);
                secret.retained = true;
                secret.version = version.clone();
            });
        }
    }

    pub fn take_credential(&self, pass: &Pass, client_id: &ClientId) -> Answer {
        let given = match pass.spec.adopts {
            Adoption::Given => true,
            Adoption::InPlace => {
                let data = self.secrets[0].as_ref().and_then(|secret| secret.data.as_ref());
                data.is_some_and(|data| &data.client_id == client_id)
            }
            Adoption::No | Adoption::WithoutCredential => return Answer::Conflict,
        };
        if !given {
            return Answer::Failed(Failure::retry(Reason::CredentialsNotFound, ""));
        }
        let digest = digest(&pass.observed.object.uid, client_id, client_id);
        Answer::Taken { client_id: client_id.clone(), digest }
    }

    /// Lets a person change the Secret that the status or the spec names.
    pub fn tamper(&mut self, change: impl FnOnce(&mut Option<Shared<StoredSecret>>, Version)) {
        let Some(declared) = &self.declared else { return };
        let Whereabouts { place, .. } = locate(self, &self.secrets, &declared.object, &declared.spec, true);
        let version = self.secret_version();
        change(&mut self.secrets[place], version);
        self.tampered += 1;
    }
}

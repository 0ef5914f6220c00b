//! What the object of the model asks for.

use std::collections::BTreeSet;

use meshagent_operator::decide::client::change::Wanted;
use meshagent_operator::decide::client::desired::lifecycle::{Adopt, CredentialRef, OnLoss};
use meshagent_operator::decide::client::next::Deletion;
use meshagent_operator::decide::id::{ClientId, ClusterId, Uid};
use meshagent_operator::decide::marker::{Owner, Policy};
use meshagent_operator::decide::settings::Settings;

use super::FOREIGN;

/// The names that the Secret may have.
pub const NAMES: [&str; 2] = ["s0", "s1"];

/// The spec.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, Default)]
pub struct Spec {
    /// Which of two settings.
    pub variant: u8,
    pub policy: Option<Policy>,
    pub adopts: Adoption,
    pub suspended: bool,
    /// Which of [`NAMES`] the Secret is to have.
    pub name: usize,
}

/// Whether the client of somebody else is to be adopted, and where its credential is.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, Default)]
pub enum Adoption {
    #[default]
    No,
    WithoutCredential,
    /// In a Secret of another name, which is always there.
    Given,
    /// In the very Secret that the spec names.
    InPlace,
}

impl Spec {
    /// What becomes of the client with the object, as the product reads it off the spec. `adopted`: as recorded.
    pub fn policy(&self, adopted: bool) -> Policy {
        let adopted = adopted || self.adopts != Adoption::No;
        self.policy.unwrap_or(if adopted { Policy::Retain } else { Policy::Delete })
    }

    pub fn leaving(&self, adopted: bool) -> Deletion {
        let policy = if self.suspended { Policy::Retain } else { self.policy(adopted) };
        Deletion { policy, forced: false }
    }

    /// Whether the Secret goes with the object.
    pub fn owns_secret(&self, adopted: bool) -> bool {
        self.policy(adopted) == Policy::Delete && !self.suspended && !adopted && self.adopts == Adoption::No
    }

    pub fn settings(&self) -> Settings {
        let scope = if self.variant == 0 { "a" } else { "b" };
        Settings { scopes: BTreeSet::from([scope.to_owned()]), ..Settings::default() }
    }

    /// The client that is asked for.
    pub fn wanted(&self, uid: &Uid, adopted: bool) -> Wanted {
        let adopt = |secret: Option<&str>| Adopt {
            client_id: ClientId::new(FOREIGN),
            credential: secret.map(|secret| CredentialRef {
                secret: secret.into(),
                client_id_key: "id".into(),
                client_secret_key: "secret".into(),
            }),
        };
        Wanted {
            settings: self.settings(),
            owner: Owner { cluster: ClusterId::new("k"), namespace: "n".into(), name: "o".into(), uid: uid.clone() },
            policy: self.policy(adopted),
            adopt: match self.adopts {
                Adoption::No => None,
                Adoption::WithoutCredential => Some(adopt(None)),
                Adoption::Given => Some(adopt(Some("given"))),
                Adoption::InPlace => Some(adopt(Some(NAMES[0]))),
            },
            on_loss: OnLoss::Recreate,
            suspended: self.suspended,
            secret_name: NAMES[self.name].into(),
        }
    }
}

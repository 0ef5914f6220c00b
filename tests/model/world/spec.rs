//! The spec of the model's object.

use std::cell::RefCell;
use std::collections::{BTreeSet, HashMap};
use std::rc::Rc;

use meshagent_operator::api::oauth_client::OAuthClientSpec;
use meshagent_operator::decide::client::change::Wanted;
use meshagent_operator::decide::client::desired::lifecycle::{Adopt, CredentialRef, Lifecycle};
use meshagent_operator::decide::client::desired::{Essentials, Present};
use meshagent_operator::decide::client::next::Desired;
use meshagent_operator::decide::client::situation::Declared;
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
    /// The credential is in a Secret of another name, which is always there.
    Given,
    /// The credential is in the very Secret that the spec names.
    InPlace,
}

thread_local! {
    /// The specs of a run are few, and each is asked for in every step.
    static PRESENT: RefCell<HashMap<Spec, Rc<Present>>> = RefCell::default();
}

impl Spec {
    /// The fields that the product reads off the spec even if the rest is broken.
    pub fn essentials(&self) -> Essentials {
        Essentials {
            policy: self.policy,
            adopts: self.adopts != Adoption::No,
            suspended: self.suspended,
            secret_name: NAMES[self.name].into(),
        }
    }

    /// The spec, as the product reads a valid one.
    fn present(&self) -> Rc<Present> {
        PRESENT.with_borrow_mut(|known| Rc::clone(known.entry(*self).or_insert_with(|| Rc::new(self.read()))))
    }

    fn read(&self) -> Present {
        let adopt = |secret: Option<&str>| Adopt {
            client_id: ClientId::new(FOREIGN),
            credential: secret.map(|secret| CredentialRef {
                secret: secret.into(),
                client_id_key: "id".into(),
                client_secret_key: "secret".into(),
            }),
        };
        let plain =
            serde_json::json!({ "redirectUris": ["https://a.example"], "secret": { "name": NAMES[self.name] } });
        let plain: OAuthClientSpec = serde_json::from_value(plain).unwrap_or_default();
        let Ok(read) = Present::read(&plain, "o") else { unreachable!("the spec is valid") };
        let lifecycle = Lifecycle {
            adopt: match self.adopts {
                Adoption::No => None,
                Adoption::WithoutCredential => Some(adopt(None)),
                Adoption::Given => Some(adopt(Some("given"))),
                Adoption::InPlace => Some(adopt(Some(NAMES[0]))),
            },
            policy: self.policy,
            suspended: self.suspended,
            ..read.lifecycle
        };
        Present { settings: self.settings(), lifecycle, ..read }
    }

    /// The desired state. `adopted` is as recorded.
    pub fn desired(&self, uid: &Uid, adopted: bool, deleting: bool) -> Desired {
        let (essentials, present) = (self.essentials(), self.present());
        let declared = Declared {
            essentials: &essentials,
            spec: Ok(&present),
            deleting,
            forced: false,
            adopted,
            default_policy: Policy::Delete,
        };
        declared.desired(Owner {
            cluster: ClusterId::new("k"),
            namespace: "n".into(),
            name: "o".into(),
            uid: uid.clone(),
        })
    }

    /// The client that is asked for.
    pub fn wanted(&self, uid: &Uid, adopted: bool) -> Wanted {
        match self.desired(uid, adopted, false) {
            Desired::Present(wanted) => *wanted,
            Desired::Invalid(_) | Desired::Absent(_) => unreachable!("the spec is valid, and not deleted"),
        }
    }

    /// Whether the client outlives the object.
    pub fn retains(&self, adopted: bool) -> bool {
        self.essentials().deletion(adopted, Policy::Delete, false).policy == Policy::Retain
    }

    /// Whether the Secret goes with the object.
    pub fn owns_secret(&self, adopted: bool) -> bool {
        self.essentials().owns_secret(adopted, Policy::Delete)
    }

    pub fn settings(&self) -> Settings {
        let scope = if self.variant == 0 { "a" } else { "b" };
        Settings { scopes: BTreeSet::from([scope.to_owned()]), ..Settings::default() }
    }
}

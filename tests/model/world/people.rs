//! The actions of people.

use std::collections::BTreeSet;

use meshagent_operator::decide::client::observed::CrdState;
use meshagent_operator::decide::id::{ClientId, Uid};
use meshagent_operator::decide::marker::Policy;

use super::secrets::{ALTERED, Data, StoredSecret};
use super::{DeletedBy, FOREIGN, World};
use crate::shared::Shared;

/// One thing that a person does.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub enum UserAction {
    Delete,
    DeleteInForeground,
    /// Deletes with `--cascade=orphan`.
    DeleteAndOrphan,
    /// Deletes the CRD, and with it all objects. The CRD comes back with the next object.
    DeleteCrd,
    Create,
    /// `kubectl replace` of the YAML in git: annotations and finalizer go, status stays.
    Replace,
    /// Asks for a rotation, or takes the request back.
    AskForRotation,
    Edit,
    /// Lets the client stay when its object goes, or go with it.
    ChangePolicy,
    /// Stops the operator, or lets it go on.
    Suspend,
    RenameSecret,
    DeleteSecret,
    /// Overwrites the client secret in the Secret's data.
    AlterSecret,
    /// Lets the Secret's annotation name somebody else's client.
    AlterAnnotation,
    /// Lets annotation and data name somebody else's client.
    AlterBoth,
    DeleteInStudio,
    /// Changes the client's settings.
    EditInStudio,
    /// Takes the marker off the client.
    EraseInStudio,
    /// Puts a server before the operators that holds no client of theirs, or the right one back.
    MislayAll,
}

impl UserAction {
    pub const COUNT: usize = 19;
    pub const ALL: [Self; Self::COUNT] = [
        Self::Delete,
        Self::DeleteInForeground,
        Self::DeleteAndOrphan,
        Self::DeleteCrd,
        Self::Create,
        Self::Replace,
        Self::AskForRotation,
        Self::Edit,
        Self::ChangePolicy,
        Self::Suspend,
        Self::RenameSecret,
        Self::DeleteSecret,
        Self::AlterSecret,
        Self::AlterAnnotation,
        Self::AlterBoth,
        Self::DeleteInStudio,
        Self::EditInStudio,
        Self::EraseInStudio,
        Self::MislayAll,
    ];
}

impl World {
    /// Whether the action has something to be done to.
    pub fn allows(&self, action: UserAction) -> bool {
        let Some(declared) = &self.declared else {
            return action == UserAction::Create && !self.is_behind_the_definition();
        };
        let recorded = declared.object.recorded.client_id.as_ref();
        match action {
            UserAction::Create => false,
            UserAction::Delete | UserAction::DeleteInForeground | UserAction::DeleteAndOrphan => {
                declared.deletion.is_none()
            }
            UserAction::DeleteCrd => self.crd == CrdState::Established,
            // A change of the policy while the object goes may end either way.
            UserAction::ChangePolicy | UserAction::Suspend => declared.deletion.is_none(),
            UserAction::Replace | UserAction::Edit | UserAction::RenameSecret => true,
            UserAction::AskForRotation => recorded.is_some(),
            UserAction::DeleteSecret
            | UserAction::AlterSecret
            | UserAction::AlterAnnotation
            | UserAction::AlterBoth => {
                self.secrets.iter().flatten().any(|secret| secret.uid.as_ref() == Some(&declared.object.uid))
            }
            UserAction::MislayAll => true,
            UserAction::DeleteInStudio | UserAction::EditInStudio | UserAction::EraseInStudio => {
                recorded.is_some_and(|client_id| self.remote.contains_key(client_id))
            }
        }
    }

    /// Whether an operator may still ask for the CRD because of an object that went with a former one. Nobody
    /// brings the CRD back so soon.
    fn is_behind_the_definition(&self) -> bool {
        let gone = |uid: &Uid| self.uid() != Some(uid);
        let behind = |operator: &super::Operator| {
            let cached = operator.cached.as_ref().map(|declared| &declared.object.uid);
            let at_work = operator.pass.as_ref().map(|pass| &pass.observed.object.uid);
            cached.into_iter().chain(at_work).any(gone)
        };
        self.crd == CrdState::Away && self.operators.iter().any(behind)
    }

    pub fn act(&mut self, action: UserAction) {
        self.budget.user_actions[action as usize] -= 1;
        match action {
            UserAction::Delete => self.delete(DeletedBy::Plain, false),
            UserAction::DeleteInForeground => self.delete(DeletedBy::Foreground, false),
            UserAction::DeleteAndOrphan => self.delete(DeletedBy::Plain, true),
            UserAction::DeleteCrd => self.delete(DeletedBy::WithDefinition, false),
            UserAction::Create => self.create(),
            UserAction::Replace => self.replace(),
            UserAction::AskForRotation => {
                self.touch(|declared| declared.object.rotation_asked = !declared.object.rotation_asked);
            }
            UserAction::Edit => self.edit(|spec| spec.variant = 1 - spec.variant),
            UserAction::ChangePolicy => self.edit(|spec| {
                let retains = spec.policy == Some(Policy::Retain);
                spec.policy = Some(if retains { Policy::Delete } else { Policy::Retain });
            }),
            UserAction::Suspend => self.edit(|spec| spec.suspended = !spec.suspended),
            UserAction::RenameSecret => self.edit(|spec| spec.name = 1 - spec.name),
            UserAction::DeleteSecret => self.tamper(|secret, _| *secret = None),
            UserAction::AlterSecret => self.alter(|secret| {
                if let Some(data) = &mut secret.data {
                    data.secret = ClientId::new(ALTERED);
                }
            }),
            UserAction::AlterAnnotation => self.alter(|secret| secret.client_id = Some(ClientId::new(FOREIGN))),
            UserAction::AlterBoth => self.alter(|secret| {
                secret.client_id = Some(ClientId::new(FOREIGN));
                secret.data = Some(Data::of(&ClientId::new(FOREIGN)));
            }),
            UserAction::DeleteInStudio => self.in_studio(|world, client_id| {
                world.remote.change(|remote| {
                    remote.remove(&client_id);
                });
                world.deleted_in_studio.insert(client_id);
            }),
            UserAction::EditInStudio => self.in_studio(|world, client_id| {
                world.remote.change(|remote| {
                    if let Some(client) = remote.get_mut(&client_id) {
                        client.settings.scopes = BTreeSet::from(["edited".to_owned()]);
                    }
                });
            }),
            UserAction::MislayAll if self.mislaid.is_empty() => {
                self.mislaid = std::mem::take(&mut self.remote);
            }
            UserAction::MislayAll => self.find_again(),
            UserAction::EraseInStudio => self.in_studio(|world, client_id| {
                world.remote.change(|remote| {
                    if let Some(client) = remote.get_mut(&client_id) {
                        client.settings.metadata.clear();
                        client.marker = None;
                    }
                });
                world.erased.insert(client_id);
            }),
        }
    }

    /// Lets the right server answer again.
    pub fn find_again(&mut self) {
        let mislaid = std::mem::take(&mut self.mislaid);
        self.remote.change(|remote| remote.extend(mislaid.iter().map(|(id, client)| (id.clone(), client.clone()))));
    }

    fn edit(&mut self, change: impl Fn(&mut super::Spec)) {
        let before = self.spec;
        change(&mut self.spec);
        let spec = self.spec;
        self.policy_changed |= (before.policy, before.suspended) != (spec.policy, spec.suspended);
        self.touch(|declared| declared.spec = spec);
    }

    fn alter(&mut self, change: impl FnOnce(&mut StoredSecret)) {
        self.tamper(|secret, version| {
            if let Some(secret) = secret {
                secret.change(|secret| {
                    change(secret);
                    secret.version = version;
                });
            }
        });
    }

    fn in_studio(&mut self, action: impl FnOnce(&mut Self, ClientId)) {
        let recorded = self.declared.as_ref().and_then(|declared| declared.object.recorded.client_id.clone());
        if let Some(client_id) = recorded {
            action(self, client_id);
        }
    }

    fn replace(&mut self) {
        // The annotations take with them what they knew of POSTs of unknown outcome.
        let forgotten = self.declared.as_ref().map_or(0, |declared| declared.object.unknown.len() + 1);
        let forgotten = u8::try_from(forgotten).unwrap_or(u8::MAX);
        self.astray += forgotten;
        self.forgotten += forgotten;
        self.touch(|declared| {
            declared.object.token = None;
            declared.object.unknown.clear();
            declared.object.finalizer = false;
        });
    }

    /// Writes a Secret under the first name that holds the foreign client's credential; with annotations as if an
    /// object had left it behind, if a person forges them.
    pub fn write_by_hand(&mut self, uid: Option<Uid>, client_id: Option<ClientId>) {
        let secret = StoredSecret {
            version: self.secret_version(),
            retained: uid.is_some(),
            uid,
            token: None,
            client_id,
            data: Some(Data::of(&ClientId::new(FOREIGN))),
            owners: BTreeSet::new(),
        };
        self.secrets[0] = Some(Shared::new(secret));
    }
}

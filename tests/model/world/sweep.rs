//! The sweep: the product's own judgement, between effects that anything may come between.

use meshagent_operator::decide::client::next::Removal;
use meshagent_operator::decide::client::observed::{CrdState, RemoteClient};
use meshagent_operator::decide::id::ClientId;
use meshagent_operator::decide::marker::{Marker, Policy};
use meshagent_operator::decide::orphan::disowned::Grace;
use meshagent_operator::decide::orphan::judge::{Judgement, OwnerState, Scope, is_to_be_judged, judge};

use super::secrets::{Secrets, view};
use super::{Clients, Declared, Fence, World};
use crate::shared::Shared;

/// The sweep, between its effects.
#[derive(Clone, Debug, PartialEq, Eq, Hash, Default)]
pub enum Sweep {
    #[default]
    Idle,
    /// The sweep has read and lists next, with the fence `ListBeforeRead` out.
    ReadTooEarly(Option<Shared<Declared>>, Secrets),
    Listed(Shared<Clients>),
    Judged(Vec<(ClientId, Finding)>),
}

/// The action on a client.
#[derive(Clone, Debug, PartialEq, Eq, Hash)]
pub enum Finding {
    Remove(Grace),
    /// Marks the client as retained, if it still has this marker.
    MarkRetained(Marker),
}

impl World {
    pub fn sweep_begins(&mut self) {
        self.sweep = if self.intact(Fence::ListBeforeRead) {
            Sweep::Listed(self.remote.clone())
        } else {
            Sweep::ReadTooEarly(self.declared.clone(), self.secrets.clone())
        };
    }

    /// Judges the listed clients. The age that the rule asks for may pass at any time; for twins it never does.
    pub fn sweep_judges(&mut self) {
        let (listed, declared, secrets) = match std::mem::take(&mut self.sweep) {
            Sweep::Listed(listed) => (listed, self.declared.clone(), self.secrets.clone()),
            Sweep::ReadTooEarly(declared, secrets) => (self.remote.clone(), declared, secrets),
            Sweep::Idle | Sweep::Judged(_) => return,
        };
        let finding = |(client_id, client): (&ClientId, &RemoteClient)| {
            let marker = client.marker.as_ref()?;
            let finding = match self.judge(client_id, marker, declared.as_deref(), &secrets)? {
                // No time passes between twins.
                Judgement::Orphan(Grace::AfterMinAge) if self.twin.is_some() => return None,
                Judgement::Orphan(grace) => Finding::Remove(grace),
                Judgement::Retained => Finding::MarkRetained(marker.clone()),
                Judgement::Owned | Judgement::Unknown => return None,
            };
            Some((client_id.clone(), finding))
        };
        let judged: Vec<_> = listed.iter().filter_map(finding).collect();
        self.sweep = if judged.is_empty() { Sweep::Idle } else { Sweep::Judged(judged) };
    }

    /// The product's judgement by what this world's API server says; `None`: the product does not ask.
    fn judge(
        &self,
        client_id: &ClientId,
        marker: &Marker,
        declared: Option<&Declared>,
        secrets: &Secrets,
    ) -> Option<Judgement> {
        let scope = Scope { cluster: &marker.owner.cluster, namespaces: &[] };
        let cached = self.operators[0].cached.as_deref().map(|declared| declared.object.named());
        if !is_to_be_judged(scope, client_id, marker, cached.as_ref()) {
            return None;
        }
        if !self.intact(Fence::Judge) {
            return Some(Judgement::Orphan(Grace::AtOnce));
        }
        let Some(Declared { object, spec, deletion }) = declared.filter(|it| it.object.uid == marker.owner.uid) else {
            let owner = match self.crd {
                CrdState::Away => OwnerState::Undefined,
                CrdState::Established => OwnerState::Gone { retained: self.says_retained(client_id, marker, secrets) },
            };
            // A client of age was an orphan in an earlier round too, and is one by this round's listing. A client that
            // was marked and taken back since that listing was begun is not: this would be its first round.
            let moved = self.remote.get(client_id).is_some_and(|client| client.marker.as_ref() != Some(marker));
            return Some(judge(client_id, marker, owner))
                .filter(|judgement| !moved || *judgement == Judgement::Retained);
        };
        // The product reads the Secret under the name that the spec wants, and no other.
        let secret = view(self, secrets[spec.name].as_deref(), object, spec, true);
        let owner = OwnerState::Present { object, secret: &secret, deleting: deletion.is_some() };
        Some(judge(client_id, marker, owner))
    }

    fn says_retained(&self, client_id: &ClientId, marker: &Marker, secrets: &Secrets) -> bool {
        self.intact(Fence::RetainedSecret)
            && secrets.iter().flatten().any(|secret| {
                secret.retained
                    && secret.client_id.as_ref() == Some(client_id)
                    && secret.uid.as_ref() == Some(&marker.owner.uid)
            })
    }

    pub fn sweep_acts(&mut self) {
        let Sweep::Judged(judged) = std::mem::take(&mut self.sweep) else { return };
        for (client_id, finding) in judged {
            match finding {
                Finding::Remove(grace) => {
                    if grace == Grace::AtOnce {
                        self.guard_stood(&client_id);
                    }
                    self.remove(&client_id, Removal::Disowned, None);
                }
                Finding::MarkRetained(listed) => self.remote.change(|remote| {
                    if let Some(client) = remote.get_mut(&client_id)
                        && client.marker.as_ref() == Some(&listed)
                    {
                        client.marker = Some(Marker { retained: true, policy: Policy::Retain, ..listed });
                    }
                }),
            }
        }
    }
}

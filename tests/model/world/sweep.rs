//! The sweep, as `src/sweep.rs` does it, over the product's own rule.

use meshagent_operator::decide::client::next::Removal;
use meshagent_operator::decide::client::observed::{CrdState, RemoteClient};
use meshagent_operator::decide::id::ClientId;
use meshagent_operator::decide::marker::{Marker, Origin, Policy};
use meshagent_operator::decide::orphan::disowned::{Evidence, Grace, disowned};

use super::secrets::{Secrets, view};
use super::{Clients, Declared, Fence, World};
use crate::shared::Shared;

/// The sweep, between its effects.
#[derive(Clone, Debug, PartialEq, Eq, Hash, Default)]
pub enum Sweep {
    #[default]
    Idle,
    /// With the fence `ListBeforeRead` out: it has read, and lists next.
    ReadTooEarly(Option<Shared<Declared>>, Secrets),
    Listed(Shared<Clients>),
    Judged(Vec<(ClientId, Judgement)>),
}

/// What is done with a client.
#[derive(Clone, Debug, PartialEq, Eq, Hash)]
pub enum Judgement {
    Remove(Grace),
    /// Mark it as left behind, if its marker is this one still.
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

    /// The age that the rule asks for may pass at any time; for twins it never does.
    pub fn sweep_judges(&mut self) {
        let (listed, declared, secrets) = match std::mem::take(&mut self.sweep) {
            Sweep::Listed(listed) => (listed, self.declared.clone(), self.secrets.clone()),
            Sweep::ReadTooEarly(declared, secrets) => (self.remote.clone(), declared, secrets),
            Sweep::Idle | Sweep::Judged(_) => return,
        };
        let verdict = |(client_id, client): (&ClientId, &RemoteClient)| {
            let verdict = self.judge(client_id, client.marker.as_ref()?, declared.as_deref(), &secrets)?;
            let too_young = self.twin.is_some() && verdict == Judgement::Remove(Grace::AfterMinAge);
            (!too_young).then(|| (client_id.clone(), verdict))
        };
        let judged: Vec<_> = listed.iter().filter_map(verdict).collect();
        self.sweep = if judged.is_empty() { Sweep::Idle } else { Sweep::Judged(judged) };
    }

    fn judge(
        &self,
        client_id: &ClientId,
        marker: &Marker,
        declared: Option<&Declared>,
        secrets: &Secrets,
    ) -> Option<Judgement> {
        if marker.retained || marker.origin == Origin::Adopted {
            return None;
        }
        let Some(declared) = declared.filter(|declared| declared.object.uid == marker.owner.uid) else {
            if self.crd == CrdState::Away || marker.policy == Policy::Retain {
                return None;
            }
            let superseded = secrets.iter().flatten().any(|secret| {
                secret.retained
                    && secret.client_id.as_ref() == Some(client_id)
                    && secret.uid.as_ref() == Some(&marker.owner.uid)
            });
            if superseded && self.intact(Fence::RetainedSecret) {
                return Some(Judgement::MarkRetained(marker.clone()));
            }
            // What is old enough was an orphan in an earlier round too, and is so by this round's listing. Something that
            // was marked and taken back since that listing was begun is not: it would be its first round.
            let moved = self.remote.get(client_id).is_some_and(|client| client.marker.as_ref() != Some(marker));
            return disowned(client_id, marker, Evidence::Gone).filter(|_| !moved).map(Judgement::Remove);
        };
        if declared.deletion.is_some() {
            return None;
        }
        let Declared { object, spec, .. } = declared;
        // Under the name that the spec wants, no other.
        let secret = view(secrets[spec.name].as_deref(), object, spec, true);
        disowned(client_id, marker, Evidence::Present(object, &secret)).map(Judgement::Remove)
    }

    pub fn sweep_acts(&mut self) {
        let Sweep::Judged(judged) = std::mem::take(&mut self.sweep) else { return };
        for (client_id, verdict) in judged {
            match verdict {
                Judgement::Remove(_) => self.remove(&client_id, Removal::Disowned, None),
                Judgement::MarkRetained(listed) => self.remote.change(|remote| {
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

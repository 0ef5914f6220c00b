//! MeshAgent: the steps that change clients.

use meshagent_operator::api::Reason;
use meshagent_operator::decide::client::change::Change;
use meshagent_operator::decide::client::next::Removal;
use meshagent_operator::decide::client::observed::{Answer, Cooldown, Object, Observed, RemoteClient, Secret};
use meshagent_operator::decide::client::situation;
use meshagent_operator::decide::failure::Failure;
use meshagent_operator::decide::id::{ClientId, Token};
use meshagent_operator::decide::marker::Policy;

use super::secrets::digest;
use super::spec::{Adoption, Spec};
use super::{Clients, FOREIGN, Fence, Pass, World};

impl World {
    /// A client as MeshAgent shows it to a pass.
    pub fn shown(&self, pass: &Pass, client_id: &ClientId) -> Option<RemoteClient> {
        let client = self.remote.get(client_id)?.clone();
        Some(self.with_fences(client, client_id, &pass.observed.object, &pass.spec, &pass.observed.secret))
    }

    /// Shows the client as it is; with a fence out, a client that the Secret names passes for one that our marker
    /// vouches for.
    fn with_fences(
        &self,
        client: RemoteClient,
        client_id: &ClientId,
        object: &Object,
        spec: &Spec,
        secret: &Secret,
    ) -> RemoteClient {
        let mut vouched = spec.wanted(&object.uid, false).marker(&Token::mint(&object.uid, "vouched"));
        match secret {
            Secret::Ours(stored) if !self.intact(Fence::SecretVouches) => {
                let named = stored.client_id.as_ref() == Some(client_id) && !object.recorded.names(client_id);
                if named { RemoteClient { marker: Some(vouched), ..client } } else { client }
            }
            Secret::Foreign(foreign) if !self.intact(Fence::Consent) => match &foreign.former {
                Some((named, uid)) if named == client_id => {
                    vouched.owner.uid = uid.clone();
                    vouched.retained = true;
                    RemoteClient { marker: Some(vouched), ..client }
                }
                Some(_) | None => client,
            },
            Secret::Ours(_) | Secret::Foreign(_) | Secret::Absent => client,
        }
    }

    /// The clients of a listing that matter to a pass, as they are shown.
    pub fn listed(&self, clients: &Clients, pass: &Pass) -> Clients {
        let Observed { object, secret, pending, .. } = &pass.observed;
        let desired = pass.desired(self);
        let named = situation::named(object, secret, pending, &desired);
        let marked = |client: &RemoteClient| client.marker.as_ref().is_some_and(|it| it.owner.uid == object.uid);
        let matter = clients.iter().filter(|(client_id, client)| named.contains(client_id) || marked(client));
        let shown = |(client_id, client): (&ClientId, &RemoteClient)| {
            let client = self.with_fences(client.clone(), client_id, object, &pass.spec, secret);
            (client_id.clone(), client)
        };
        matter.map(shown).collect()
    }

    pub fn listing(&self, pass: &Pass) -> Clients {
        self.listed(&self.remote, pass)
    }

    /// Notes that the POST of this token was sent.
    pub fn send(&mut self, pass: &Pass, token: &Token, who: usize) {
        if pass.observed.object.recorded.client_id.is_some() && self.operators[who].cooldown() != Cooldown::None {
            self.violation = Some("a client was POSTed less than ten minutes after the last attempt");
        }
        if self.posted.contains(token) {
            self.violation = Some("a token was POSTed twice");
        }
        let recorded = pass.observed.object.recorded.client_id.as_ref();
        if recorded.is_some_and(|client_id| self.mislaid.contains_key(client_id)) {
            self.violation = Some("a client that another server lacks was replaced");
        }
        let uid = &pass.observed.object.uid;
        if let Some(left) = &self.left
            && left.with_secret
            && self.tampered == 0
            && self.uid() == Some(uid)
            && self.remote.contains_key(&left.client_id)
            && self.declared.as_ref().is_some_and(|declared| declared.object.recorded.client_id.is_none())
        {
            self.violation = Some("a client was retained with its Secret, and another was POSTed");
        }
        self.posted.change(|posted| {
            posted.insert(token.clone());
        });
    }

    /// Whether the project holds as many clients as it may.
    pub fn is_full(&self) -> bool {
        self.budget.limit.is_some_and(|limit| self.remote.len() >= usize::from(limit))
    }

    pub fn post(&mut self, pass: &Pass, token: &Token, who: usize) -> Answer {
        if self.is_full() {
            return Answer::Refused(Failure::stalled(Reason::LimitReached, ""));
        }
        self.send(pass, token, who);
        let uid = &pass.observed.object.uid;
        let client_id = ClientId::new(format!("c-{token}"));
        let client = pass.spec.wanted(uid, pass.observed.object.recorded.adopted).client(token);
        self.remote.change(|remote| {
            remote.insert(client_id.clone(), client.clone());
        });
        Answer::Created { digest: digest(uid, &client_id, &client_id), client_id, client }
    }

    pub fn put(&mut self, pass: &Pass, client_id: &ClientId, change: &Change, result: &RemoteClient) -> Answer {
        if client_id.as_str() == FOREIGN && !self.adopts(pass) {
            self.violation = Some("I4: a foreign client was changed");
        }
        if !self.remote.contains_key(client_id) {
            return Answer::Failed(Failure::retry(Reason::APIUnavailable, ""));
        }
        self.remote.change(|remote| {
            if let Some(present) = remote.get_mut(client_id) {
                // The PUT sends only what differs, so what the pass did not see stays.
                *present = change.applied_to(present);
            }
        });
        Answer::Updated(result.clone())
    }

    /// Whether the object of a pass has adopted the foreign client, or may.
    fn adopts(&self, pass: &Pass) -> bool {
        pass.spec.adopts != Adoption::No || pass.observed.object.recorded.adopted
    }

    /// I7: nothing that stood in the Secret of an object with a client is deleted at once, unless somebody took it out.
    pub fn guard_stood(&mut self, client_id: &ClientId) {
        if self.tampered == 0
            && self.remote.contains_key(client_id)
            && self.stood.contains(client_id)
            && self.declared.as_ref().is_some_and(|it| it.deletion.is_none())
        {
            self.violation = Some("I7: a client that had stood in the Secret was deleted before an overlap");
        }
    }

    pub fn remove(&mut self, client_id: &ClientId, because: Removal, pass: Option<&Pass>) {
        if pass.is_some() && matches!(because, Removal::Disowned | Removal::OwnWaste) {
            self.guard_stood(client_id);
        }

        if client_id.as_str() == FOREIGN {
            let explicit = pass.is_some_and(|pass| {
                self.adopts(pass) && pass.spec.policy == Some(Policy::Delete) && because == Removal::ObjectDeleted
            });
            if explicit {
                self.deleted_on_purpose = true;
            } else {
                self.violation = Some("I4: a foreign client was deleted");
            }
        }
        if let Some(declared) = &self.declared {
            let recorded = &declared.object.recorded;
            if declared.deletion.is_none() && recorded.client_id.as_ref() == Some(client_id) {
                self.violation = Some("I4: the recorded client of a living object was deleted");
            }
            if declared.deletion == Some(super::DeletedBy::WithDefinition) && because == Removal::ObjectDeleted {
                self.violation = Some("a client was deleted although nobody deleted its object");
            }
            let former = recorded.retiring.iter().find(|former| &former.client_id == client_id);
            if because == Removal::Retired && former.is_some_and(|former| !former.due) {
                self.violation = Some("I4: a former client was deleted before its overlap had ended");
            }
        }
        if because == Removal::Disowned && self.left.as_ref().is_some_and(|it| it.certain && &it.client_id == client_id)
        {
            self.violation = Some("what was retained was deleted");
        }
        if self.remote.contains_key(client_id) {
            self.remote.change(|remote| {
                remote.remove(client_id);
            });
        }
    }
}

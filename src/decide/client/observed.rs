//! What one pass knows. Every fact names what it is about, so that none outlives its subject.

mod answer;
mod facts;

use std::collections::BTreeMap;

use super::next::Step;
use crate::api::Reason;
use crate::decide::failure::Failure;
use crate::decide::id::{ClientId, CredentialDigest, Token, Version};
use crate::decide::marker::Origin;

pub use answer::Answer;
pub use facts::{
    Content, Cooldown, CrdState, Credential, Foreign, Object, Pending, Recorded, Remote, RemoteClient, Replaced,
    Retiring, Secret, Stored,
};

/// The number of steps that a pass has absorbed: what was learnt at a higher tick was learnt later.
pub type Tick = u32;

// Then a pass gives way to whoever else is writing.
const MOST_CONFLICTS: u8 = 3;

/// All that a pass knows.
#[derive(Clone, Debug, PartialEq, Eq, Hash)]
pub struct Observed {
    /// Now, in steps.
    pub tick: Tick,
    /// The OAuthClient, as cached, as answered to our last write, or as read live.
    pub object: Object,
    /// Whether etcd no longer holds the object that the pass began with.
    pub object_gone: bool,
    /// The Secret that the spec names, likewise.
    pub secret: Secret,
    /// When object and Secret were last read from etcd, both together.
    pub live: Option<Tick>,
    /// Whether a write met a newer version than it named, so that nothing may be concluded before a live read.
    pub stale: bool,
    /// How often others got in this pass's way: a write met a newer version, or what was recorded changed meanwhile.
    pub conflicts: u8,
    /// What is known of remote clients: the recorded one and all with our uid in their marker.
    pub remote: BTreeMap<ClientId, Remote>,
    /// When the last whole listing of the project with `Consistency: high` in this pass was begun.
    pub listing: Option<Tick>,
    /// What this process holds for the object.
    pub pending: Pending,
    /// How many intents this pass has written.
    pub intents: u8,
    /// Whether writing the Secret was tried without effect, and would have worked.
    pub dry_run_passed: bool,
    /// The Secret under its former name, once the credential is under the wanted one: it is to go.
    pub leftover: Option<Version>,
    /// Whether the project lets the object's namespace adopt.
    pub may_adopt: bool,
    /// What this process' former POSTs for the object bar.
    pub cooldown: Cooldown,
    /// Whether a limit on clients was met, and what the object's own POSTs left is removed before the next.
    pub limited: bool,
    /// Whether OAuthClients are kept at all; asked before anything is deleted.
    pub crd: Option<CrdState>,
    /// Whether the client that is given up is known to whoever runs the project.
    pub abandoned: bool,
    /// Why the project cannot be used; nothing remote is done then.
    pub project: Option<Failure>,
    /// The step of this pass that failed, and why: the pass records it and ends.
    pub failure: Option<Failure>,
    /// Whether that step was a call of MeshAgent.
    pub failed_remotely: bool,
    /// Whether the pass has written (or found in no need of writing) its status, and no token or Secret since.
    pub recorded: bool,
}

impl Observed {
    /// What a pass knows when it begins: what the caches hold.
    #[must_use]
    pub fn begin(object: Object, secret: Secret, remote: BTreeMap<ClientId, RemoteClient>, pending: Pending) -> Self {
        Self {
            tick: 0,
            object,
            object_gone: false,
            secret,
            live: None,
            stale: false,
            conflicts: 0,
            remote: remote.into_iter().map(|(id, client)| (id, Remote::Listed(client))).collect(),
            listing: None,
            pending,
            intents: 0,
            dry_run_passed: false,
            leftover: None,
            may_adopt: false,
            cooldown: Cooldown::None,
            limited: false,
            crd: None,
            abandoned: false,
            project: None,
            failure: None,
            failed_remotely: false,
            recorded: false,
        }
    }

    /// Folds in what a step was answered.
    pub fn absorb(&mut self, step: &Step, answer: Answer) {
        self.tick += 1;
        if step.spends_token() {
            // Whatever the answer is: a token that was POSTed, or may be in the Secret, is never POSTed again.
            self.pending = Pending::Nothing;
        }
        match answer {
            Answer::Live(object, secret, leftover) => self.absorb_live(object, secret, leftover),
            Answer::Intent(object, token) => self.absorb_intent(object, token),
            Answer::Object(object) => self.object = object,
            Answer::Released => self.object.finalizer = false,
            Answer::Stored(stored) => self.absorb_stored(step, stored),
            Answer::SecretGone => {
                if let Step::DeleteSecret { leftover: true, .. } = step {
                    self.leftover = None;
                } else {
                    self.secret = Secret::Absent;
                }
            }
            Answer::Data(credential, in_shape) => {
                if let Secret::Ours(stored) = &mut self.secret {
                    (stored.credential, stored.in_shape) = (credential, in_shape);
                }
            }
            Answer::DryRunPassed => self.dry_run_passed = true,
            Answer::Created { client_id, digest, client } => self.absorb_created(step, client_id, digest, client),
            Answer::Taken { client_id, digest } => {
                if let Step::TakeCredential { token, .. } = step {
                    let token = token.clone();
                    self.pending = Pending::Credential { token, client_id, digest, origin: Origin::Adopted };
                }
            }
            Answer::CrdState(definition) => self.crd = Some(definition),
            Answer::Abandoned => self.abandoned = true,
            Answer::Refused(failure) => self.absorb_refused(step, failure),
            Answer::Unknown(failure, keyless) => self.absorb_unknown(failure, keyless),
            Answer::Listing(clients) => self.absorb_listing(clients),
            Answer::Client(client) => self.absorb_client(step, client.map_or(Remote::Missing(self.tick), Remote::Read)),
            Answer::Updated(client) => self.absorb_client(step, Remote::Read(client)),
            Answer::Deleted => self.absorb_client(step, Remote::Deleted),
            Answer::Forgotten => self.pending = Pending::Nothing,
            Answer::Recorded(object) => self.absorb_recorded(object),
            Answer::Conflict => self.absorb_conflict(),
            Answer::Failed(failure) => {
                // A record that failed ends the pass: to record the failure would fail as well, again and again.
                self.stale |= matches!(step, Step::Record(_));
                self.failure = Some(failure);
                self.failed_remotely = step.is_remote();
            }
        }
    }

    fn absorb_intent(&mut self, object: Object, token: Token) {
        self.object = object;
        self.pending = Pending::Unspent(token);
        self.intents += 1;
        self.recorded = false;
        self.dry_run_passed = false;
        self.listing = None;
    }

    fn absorb_recorded(&mut self, object: Object) {
        self.object = object;
        self.recorded = true;
        // Clean goes by a listing begun later: until now others could POST under the tokens that it strikes.
        self.listing = None;
        if let Secret::Ours(Stored { credential, .. }) = &mut self.secret
            && let Credential::Other(digest) = credential
            && self.object.recorded.digest.as_ref() == Some(digest)
        {
            *credential = Credential::AsRecorded;
        }
    }

    fn absorb_stored(&mut self, step: &Step, stored: Stored) {
        if matches!(step, Step::Publish { .. }) {
            self.pending = Pending::Nothing;
            self.listing = None;
        }
        if let Step::Relocate { version, .. } = step {
            self.leftover = Some(version.clone());
        }
        let misshapen = matches!(step, Step::Reshape { .. }) && !stored.in_shape;
        let not_left = |retained: bool| stored.owned || retained && !stored.retained;
        let changed_back = misshapen || matches!(step, Step::ReleaseSecret { retained, .. } if not_left(*retained));
        if changed_back {
            let message = "something in the cluster, such as an admission webhook, changes what the operator writes to the \
                           Secret; make an exception of Secrets that are labelled app.kubernetes.io/managed-by=meshagent-operator";
            self.failure = Some(Failure::stalled(Reason::SecretRejected, message));
            self.failed_remotely = false;
        }
        self.secret = Secret::Ours(stored);
        self.recorded = false;
    }

    /// Against a limit, what the object's own POSTs of unknown outcome may have left is removed once before the next.
    fn absorb_refused(&mut self, step: &Step, failure: Failure) {
        if let Step::Post { token } = step {
            self.pending = Pending::Unspent(token.clone());
        }
        let first = failure.reason == Reason::LimitReached && !self.limited;
        if first && self.object.recorded.client_id.is_none() && !self.object.unknown.is_empty() {
            self.limited = true;
        } else {
            self.failure = Some(failure);
        }
    }

    fn absorb_conflict(&mut self) {
        self.stale = true;
        self.conflicts += 1;
        self.dry_run_passed = false;
        if self.conflicts >= MOST_CONFLICTS {
            self.failure = Some(Failure::retry(Reason::Updating, "others change it at the same time; trying again"));
            self.failed_remotely = false;
        }
    }

    fn absorb_live(&mut self, object: Option<Object>, secret: Secret, leftover: Option<Version>) {
        match object {
            Some(object) if object.uid == self.object.uid => {
                if self.recorded && (object != self.object || secret != self.secret) {
                    // What was recorded was so of an older view only.
                    self.recorded = false;
                    self.absorb_conflict();
                }
                self.object = object;
            }
            Some(_) | None => self.object_gone = true,
        }
        self.secret = secret;
        self.leftover = leftover;
        self.live = Some(self.tick);
        self.stale = false;
    }

    fn absorb_created(&mut self, step: &Step, client_id: ClientId, digest: CredentialDigest, client: RemoteClient) {
        self.remote.insert(client_id.clone(), Remote::Read(client));
        self.listing = None;
        self.count_post();
        if let Step::Post { token } = step {
            self.pending = Pending::Credential { token: token.clone(), client_id, digest, origin: Origin::Created };
        }
    }

    fn absorb_unknown(&mut self, failure: Failure, keyless: Option<ClientId>) {
        self.listing = None;
        self.count_post();
        match keyless {
            Some(client_id) => self.pending = Pending::Keyless { client_id, failure },
            None => self.failure = Some(failure),
        }
    }

    /// A pass whose POST came to nothing is as little to POST again as the next one is.
    fn count_post(&mut self) {
        if self.cooldown == Cooldown::None {
            self.cooldown = Cooldown::Short;
        }
    }

    fn absorb_listing(&mut self, clients: BTreeMap<ClientId, RemoteClient>) {
        self.listing = Some(self.tick);
        let listed = |known: &Remote| matches!(known, Remote::Listed(_) | Remote::PutIgnored(_));
        self.remote.retain(|id, known| clients.contains_key(id) || !listed(known));
        let mut contradicted = false;
        for (id, known) in &mut self.remote {
            if matches!(known, Remote::Missing(_)) {
                if clients.contains_key(id) {
                    contradicted = true;
                } else {
                    *known = Remote::Absent;
                }
            }
        }
        if contradicted {
            self.absorb_contradiction();
        }
        for (id, client) in clients {
            let known = self.remote.entry(id).or_insert_with(|| Remote::Listed(client.clone()));
            match known {
                Remote::Listed(_) | Remote::PutIgnored(_) | Remote::Missing(_) | Remote::Absent => {
                    *known = Remote::Listed(client);
                }
                // Read by its id or deleted in this pass: a listing knows no better.
                Remote::Read(_) | Remote::Deleted => {}
            }
        }
    }

    /// A client that is listed cannot be read by its id. It may have come back meanwhile, but not again and again.
    fn absorb_contradiction(&mut self) {
        self.conflicts += 1;
        if self.conflicts >= MOST_CONFLICTS {
            let message = "MeshAgent lists a client that it cannot find by its id; trying again";
            self.failure = Some(Failure::retry(Reason::APIUnavailable, message));
            self.failed_remotely = true;
        }
    }

    fn absorb_client(&mut self, step: &Step, known: Remote) {
        let (Step::Get { client_id } | Step::Put { client_id, .. } | Step::Delete { client_id, .. }) = step else {
            return;
        };
        if known == Remote::Deleted {
            match &self.pending {
                Pending::Credential { client_id: pending, .. } if pending == client_id => {
                    self.pending = Pending::Nothing
                }
                Pending::Keyless { client_id: pending, failure } if pending == client_id => {
                    self.failure = Some(failure.clone());
                    self.pending = Pending::Nothing;
                }
                Pending::Nothing | Pending::Unspent(_) | Pending::Credential { .. } | Pending::Keyless { .. } => {}
            }
        }
        self.remote.insert(client_id.clone(), known);
    }
}

#[cfg(test)]
mod tests;

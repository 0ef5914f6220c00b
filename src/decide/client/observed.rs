//! What one pass knows: the fold of its answers. Every fact names what it is about, so that none outlives its subject.

mod answer;
mod facts;
mod ownership;

use std::collections::BTreeMap;

use serde::{Deserialize, Serialize};

use super::next::{SecretWrite, Step};
use crate::api::Reason;
use crate::decide::failure::Failure;
use crate::decide::id::{ClientId, Token, Version};
use crate::decide::marker::Origin;
use crate::decide::time::ClockState;

pub use answer::Answer;
pub use facts::{
    Content, Cooldown, CrdState, Credential, FailedAt, Foreign, Named, Object, Pending, ProjectFacts, ProjectState,
    Recorded, Remote, RemoteClient, Replaced, Retiring, Secret, StepFailure, Stored,
};
pub use ownership::Ownership;

/// The number of steps that a pass has absorbed: what was learnt at a higher tick was learnt later.
pub type Tick = u32;

// The number of conflicts after which a pass gives way to the other writers.
const MOST_CONFLICTS: u8 = 3;

/// All that a pass knows.
#[derive(Clone, Debug, PartialEq, Eq, Hash, Serialize, Deserialize)]
pub struct Observed {
    /// The number of steps absorbed so far.
    pub tick: Tick,
    /// The OAuthClient, as cached, as answered to our last write, or as read live.
    pub object: Object,
    /// Whether etcd no longer holds the object that the pass began with.
    pub object_gone: bool,
    /// The Secret to go by, as cached, as answered to our last write, or as read live.
    pub secret: Secret,
    /// The version of the Secret under its former name, once the credential is under the wanted one: that Secret is to
    /// go.
    pub leftover: Option<Version>,
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
    /// What this process has that no other has: an unspent token, or a credential that is not published.
    pub pending: Pending,
    /// How many intents this pass has written.
    pub intents: u8,
    /// The write of the Secret that the API server accepted in a dry run.
    pub dry_run: Option<SecretWrite>,
    /// The project that the object uses.
    pub project: ProjectFacts,
    /// Whether anything may be deleted because of a time.
    pub clock: ClockState,
    /// Whether this process' former POSTs for the object let it POST again.
    pub cooldown: Cooldown,
    /// Whether a limit on clients was met, and what the object's own POSTs left is removed before the next.
    pub limited: bool,
    /// Whether OAuthClients are kept at all; asked before anything is deleted.
    pub crd: Option<CrdState>,
    /// Whether the client that is given up is known to whoever runs the project.
    pub abandoned: bool,
    /// The step of this pass that failed: the pass records why, and ends.
    pub failure: Option<StepFailure>,
    /// Whether the pass has written (or found in no need of writing) its status, and no token or Secret since.
    pub recorded: bool,
}

/// What a pass begins with: what the caches show, and what this process remembers.
#[derive(Clone, Debug)]
pub struct Beginning {
    /// The OAuthClient, as cached.
    pub object: Object,
    /// The Secret to go by, as cached.
    pub secret: Secret,
    /// The version of the Secret under its former name, if the wanted one is ours as well.
    pub leftover: Option<Version>,
    /// The clients that matter to the object, as last listed.
    pub remote: BTreeMap<ClientId, Remote>,
    /// What this process has not published or spent.
    pub pending: Pending,
    /// Whether this process' former POSTs for the object let it POST again.
    pub cooldown: Cooldown,
    /// The project that the object uses.
    pub project: ProjectFacts,
    /// Whether anything may be deleted because of a time.
    pub clock: ClockState,
}

impl Observed {
    /// What a pass knows before its first step.
    #[must_use]
    pub fn begin(beginning: Beginning) -> Self {
        let Beginning { object, secret, leftover, remote, pending, cooldown, project, clock } = beginning;
        Self {
            tick: 0,
            object,
            object_gone: false,
            secret,
            leftover,
            live: None,
            stale: false,
            conflicts: 0,
            remote,
            listing: None,
            pending,
            intents: 0,
            dry_run: None,
            clock,
            project,
            cooldown,
            limited: false,
            crd: None,
            abandoned: false,
            failure: None,
            recorded: false,
        }
    }

    /// Folds in what a step was answered. An answer that does not fit its step fails the pass: nothing is concluded
    /// from it.
    pub fn absorb(&mut self, step: &Step, answer: Answer) {
        self.tick += 1;
        if step.spends_token() {
            // A token that was POSTed, or may be in the Secret, is never POSTed again, whatever the answer is.
            self.pending = Pending::Nothing;
        }
        match (step, answer) {
            (_, Answer::Conflict) => self.absorb_conflict(),
            (_, Answer::Failed(failure)) => self.absorb_failure(step, failure),
            (Step::ReadLive, Answer::Live(object, secret, leftover)) => self.absorb_live(object, secret, leftover),
            (Step::ReadSecret, Answer::Data(credential, in_shape)) => self.absorb_data(credential, in_shape),
            (Step::List, Answer::Listing(clients)) => self.absorb_listing(clients),
            (Step::Get { client_id }, Answer::Client(client)) => {
                self.remote.insert(client_id.clone(), client.map_or(Remote::Missing, Remote::Read));
            }
            (Step::WriteIntent { .. }, Answer::Intent(object, token)) => self.absorb_intent(object, token),
            (Step::AddFinalizer { .. } | Step::StrikeUnknown { .. }, Answer::Object(object)) => self.object = object,
            (Step::DryRun { write }, Answer::DryRunPassed) => self.dry_run = Some(write.clone()),
            (Step::Post { token }, Answer::Created { client_id, digest, client }) => {
                self.remote.insert(client_id.clone(), Remote::Read(client));
                self.count_post();
                let token = token.clone();
                self.pending = Pending::Credential { token, client_id, digest, origin: Origin::Created };
            }
            (Step::Post { token }, Answer::Refused(failure)) => self.absorb_refused(step, token, failure),
            (Step::Post { .. }, Answer::Unknown(failure, keyless)) => self.absorb_unknown(failure, keyless),
            (Step::TakeCredential { token, .. }, Answer::Taken { client_id, digest }) => {
                let token = token.clone();
                self.pending = Pending::Credential { token, client_id, digest, origin: Origin::Adopted };
            }
            (
                Step::Publish { .. }
                | Step::MoveToken { .. }
                | Step::TakeOver { .. }
                | Step::Relocate { .. }
                | Step::Reshape { .. }
                | Step::ReleaseSecret { .. },
                Answer::Stored(stored),
            ) => self.absorb_stored(step, stored),
            (Step::DeleteSecret { leftover: true, .. }, Answer::SecretGone) => self.leftover = None,
            (Step::DeleteSecret { leftover: false, .. }, Answer::SecretGone) => self.secret = Secret::Absent,
            (Step::Put { client_id, .. }, Answer::Updated(client)) => {
                self.remote.insert(client_id.clone(), Remote::Read(client));
            }
            (Step::Delete { client_id, .. }, Answer::Deleted) => self.absorb_deleted(client_id),
            (Step::CheckCrd, Answer::Crd(state)) => self.crd = Some(state),
            (Step::Abandon { .. }, Answer::Abandoned) => self.abandoned = true,
            (Step::Forget, Answer::Forgotten) => self.pending = Pending::Nothing,
            (Step::Record(_), Answer::Recorded(object)) => self.absorb_recorded(object),
            (Step::RemoveFinalizer { .. }, Answer::Released) => self.object.finalizer = false,
            (_, _) => {
                let message = "the operator cannot use an answer that does not fit its step, which is a defect of it; please \
                               report it, with the log. Trying again";
                self.absorb_failure(step, Failure::retry(Reason::Updating, message));
            }
        }
    }

    fn absorb_failure(&mut self, step: &Step, failure: Failure) {
        // A record that failed ends the pass: recording the failure would fail as well, again and again.
        self.stale |= matches!(step, Step::Record(_));
        self.failure = Some(StepFailure { at: FailedAt::of(step, &failure), failure });
    }

    fn fail(&mut self, failure: Failure, at: FailedAt) {
        self.failure = Some(StepFailure { failure, at });
    }

    fn absorb_data(&mut self, credential: Credential, in_shape: bool) {
        if let Secret::Ours(stored) = &mut self.secret {
            (stored.credential, stored.in_shape) = (credential, in_shape);
        }
    }

    fn absorb_intent(&mut self, object: Object, token: Token) {
        self.object = object;
        self.pending = Pending::Unspent(token);
        self.intents += 1;
        self.recorded = false;
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
            self.fail(Failure::stalled(Reason::SecretRejected, message), FailedAt::Kubernetes);
        }
        self.secret = Secret::Ours(stored);
        self.recorded = false;
    }

    /// A refusal fails the pass, but for the first one against a limit while nothing was recorded: what the object's
    /// own POSTs of unknown outcome may have left is removed before the next POST.
    fn absorb_refused(&mut self, step: &Step, token: &Token, failure: Failure) {
        self.pending = Pending::Unspent(token.clone());
        let first = failure.reason == Reason::LimitReached && !self.limited;
        if first && self.object.recorded.client_id.is_none() && !self.object.unknown.is_empty() {
            self.limited = true;
        } else {
            self.absorb_failure(step, failure);
        }
    }

    fn absorb_conflict(&mut self) {
        self.stale = true;
        self.conflicts += 1;
        if self.conflicts >= MOST_CONFLICTS {
            let message = "others change it at the same time; trying again";
            self.fail(Failure::retry(Reason::Updating, message), FailedAt::Kubernetes);
        }
    }

    fn absorb_live(&mut self, object: Option<Object>, secret: Secret, leftover: Option<Version>) {
        match object {
            Some(object) if object.uid == self.object.uid => {
                if self.recorded && (object != self.object || secret != self.secret) {
                    // The record tells of an older view only.
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

    fn absorb_unknown(&mut self, failure: Failure, keyless: Option<ClientId>) {
        self.count_post();
        match keyless {
            Some(client_id) => self.pending = Pending::Keyless { client_id, failure },
            None => self.fail(failure, FailedAt::MeshAgent),
        }
    }

    /// A POST makes every earlier listing old, and starts the cooldown within the pass as it does for the next one.
    fn count_post(&mut self) {
        self.listing = None;
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
            if *known == Remote::Missing {
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
                Remote::Listed(_) | Remote::PutIgnored(_) | Remote::Missing | Remote::Absent => {
                    *known = Remote::Listed(client);
                }
                // A listing knows no better than a read by id or a DELETE of this pass.
                Remote::Read(_) | Remote::Deleted => {}
            }
        }
    }

    /// A client that is listed cannot be read by its id. The client may have come back meanwhile, but not again and
    /// again.
    fn absorb_contradiction(&mut self) {
        self.conflicts += 1;
        if self.conflicts >= MOST_CONFLICTS {
            let message = "MeshAgent lists a client that it cannot find by its id; trying again";
            self.fail(Failure::retry(Reason::APIUnavailable, message), FailedAt::MeshAgent);
        }
    }

    fn absorb_deleted(&mut self, client_id: &ClientId) {
        match &self.pending {
            Pending::Credential { client_id: pending, .. } if pending == client_id => self.pending = Pending::Nothing,
            Pending::Keyless { client_id: pending, failure } if pending == client_id => {
                let failure = failure.clone();
                self.pending = Pending::Nothing;
                self.fail(failure, FailedAt::MeshAgent);
            }
            Pending::Nothing | Pending::Unspent(_) | Pending::Credential { .. } | Pending::Keyless { .. } => {}
        }
        self.remote.insert(client_id.clone(), Remote::Deleted);
    }

    /// Takes in, before each step, why the object's client is not replaced if it is gone. A pass that knew the reason
    /// once does not forget it: what the pass proved to be gone may be there again.
    pub fn heed_many_gone(&mut self, many_gone: Option<Failure>) {
        if many_gone.is_some() {
            self.project.many_gone = many_gone;
        }
    }

    /// Why the project cannot be used for this object; nothing is asked of MeshAgent then.
    #[must_use]
    pub fn project_failure(&self) -> Option<Failure> {
        let ProjectFacts { id, state, many_gone: _ } = &self.project;
        match (id, &self.object.recorded.project_id, state) {
            (Some(project), Some(pinned), _) if project != pinned => Some(Failure::stalled(
                Reason::ProjectMismatch,
                format!(
                    "the client lives in project {pinned}, but the key or the spec now names project {project}; put the \
                     former key or projectId back, or delete this OAuthClient and create it anew"
                ),
            )),
            (_, _, ProjectState::Failed(failure)) => Some(failure.clone()),
            (_, _, ProjectState::Usable { .. }) => None,
        }
    }
}

#[cfg(test)]
mod tests;

//! What one pass knows. Every fact names what it is about, so that none outlives its subject.

mod answer;

use std::collections::{BTreeMap, BTreeSet};

use super::failure::Failure;
use super::id::{ClientId, Digest, Token, Uid, Version};
use super::marker::Marker;
use super::next::Step;
use super::settings::Settings;
use crate::api::Reason;

pub use answer::Answer;

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
    pub held: Held,
    /// How many intents this pass has written.
    pub intents: u8,
    /// Whether writing the Secret was tried without effect, and would have worked.
    pub rehearsed: bool,
    /// Why the project cannot be used; nothing remote is done then.
    pub project: Option<Failure>,
    /// The step of this pass that failed, and why: the pass records it and ends.
    pub failure: Option<Failure>,
    /// Whether the pass has written (or found in no need of writing) its status, and no token or Secret since.
    pub recorded: bool,
}

/// The parts of an OAuthClient that decide.
#[derive(Clone, Debug, PartialEq, Eq, Hash)]
pub struct Object {
    /// `metadata.uid`.
    pub uid: Uid,
    /// `metadata.resourceVersion`.
    pub version: Version,
    /// Whether our finalizer is on it.
    pub finalizer: bool,
    /// The token in its annotation, if it is of this uid.
    pub token: Option<Token>,
    /// Tokens whose POST has no known outcome and whose clients were not cleaned yet.
    pub unknown: BTreeSet<Token>,
    /// What its status says.
    pub recorded: Recorded,
    /// Whether an annotation asks for a rotation that was not done yet.
    pub rotation_asked: bool,
    /// When the credential was last replaced, as far as that bars the next replacement.
    pub replaced: Replaced,
}

/// The parts of a status that decide.
#[derive(Clone, Debug, Default, PartialEq, Eq, Hash)]
pub struct Recorded {
    /// `status.clientId`.
    pub client_id: Option<ClientId>,
    /// `status.secretResourceVersion`.
    pub secret_version: Option<Version>,
    /// `status.credentialDigest`.
    pub digest: Option<Digest>,
    /// `status.retiring`.
    pub retiring: Vec<Retiring>,
    /// `status.managedMetadataKeys`: metadata keys of `extraMetadata` and branding that the operator set last.
    pub managed_keys: BTreeSet<String>,
}

/// A former client that lives until its overlap ends.
#[derive(Clone, Debug, PartialEq, Eq, Hash)]
pub struct Retiring {
    /// The former client.
    pub client_id: ClientId,
    /// Whether its overlap has ended.
    pub due: bool,
}

/// How long ago the credential was replaced.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub enum Replaced {
    /// Never, or longer ago than the overlap.
    LongAgo,
    /// Within the overlap: a lost credential is not replaced again.
    WithinOverlap,
    /// Within ten minutes: nothing is POSTed again, whatever the reason.
    JustNow,
}

/// The Secret that the spec names.
#[derive(Clone, Debug, PartialEq, Eq, Hash)]
pub enum Secret {
    /// There is none.
    Absent,
    /// There is one that is not this object's. It is never written.
    Foreign,
    /// It is this object's, by the uid in its annotation.
    Ours(Stored),
}

/// A Secret of ours.
#[derive(Clone, Debug, PartialEq, Eq, Hash)]
pub struct Stored {
    /// `metadata.resourceVersion`.
    pub version: Version,
    /// The token in its annotation.
    pub token: Option<Token>,
    /// The client id in its annotation.
    pub client_id: Option<ClientId>,
    /// What is known of the credential in its data.
    pub credential: Credential,
    /// Whether labels, owner, key names and public values are as the spec wants them.
    pub in_shape: bool,
}

/// What is known of the credential in the Secret's data.
#[derive(Clone, Debug, PartialEq, Eq, Hash)]
pub enum Credential {
    /// The data was not read, and the Secret has another version than status recorded.
    Unread,
    /// It is the recorded client's, by version or by digest.
    AsRecorded,
    /// It is another than the recorded one, and whole: the client id in the data is the annotation's. Its digest.
    Other(Digest),
    /// The data holds no credential.
    Broken,
}

/// What is known of one client at MeshAgent.
#[derive(Clone, Debug, PartialEq, Eq, Hash)]
pub enum Remote {
    /// Seen in a listing: good enough to compare with, not to replace its metadata.
    Listed(RemoteClient),
    /// Read by its id in this pass, or written by this pass.
    Read(RemoteClient),
    /// A `GET` by id said 404 at this tick. Proves nothing by itself.
    Missing(Tick),
    /// A listing that was begun after that 404 does not hold it either: there is no such client.
    Absent,
    /// Deleted by this pass.
    Deleted,
}

/// A client at MeshAgent.
#[derive(Clone, Debug, PartialEq, Eq, Hash)]
pub struct RemoteClient {
    /// Its settings; the metadata without the marker.
    pub settings: Settings,
    /// Its marker, if it bears a whole one.
    pub marker: Option<Marker>,
}

/// What this process holds for the object, and no other process can.
#[derive(Clone, Debug, PartialEq, Eq, Hash)]
pub enum Held {
    /// Nothing.
    Nothing,
    /// A token that this process wrote to the object and that was never POSTed.
    Unspent(Token),
    /// A credential that was not published yet. (The secret itself is kept by the process, not here.)
    Credential {
        /// The token of its POST.
        token: Token,
        /// Its client.
        client_id: ClientId,
        /// Its digest.
        digest: Digest,
    },
    /// A client that a POST made without showing its secret, so that nobody can ever use it; and what to say of it.
    Keyless {
        /// Its id.
        client_id: ClientId,
        /// Why the pass cannot go on once it is removed.
        failure: Failure,
    },
}

impl Recorded {
    /// Whether the status speaks for a client: as the object's own, or as one that retires.
    #[must_use]
    pub fn names(&self, client_id: &ClientId) -> bool {
        self.client_id.as_ref() == Some(client_id) || self.retiring.iter().any(|former| &former.client_id == client_id)
    }
}

impl Secret {
    /// What is stored, if the Secret is ours.
    #[must_use]
    pub fn stored(&self) -> Option<&Stored> {
        match self {
            Self::Absent | Self::Foreign => None,
            Self::Ours(stored) => Some(stored),
        }
    }
}

impl Held {
    /// The client that this process holds.
    #[must_use]
    pub fn client_id(&self) -> Option<&ClientId> {
        match self {
            Self::Nothing | Self::Unspent(_) => None,
            Self::Credential { client_id, .. } | Self::Keyless { client_id, .. } => Some(client_id),
        }
    }
}

impl Observed {
    /// What a pass knows when it begins: what the caches hold.
    #[must_use]
    pub fn begin(object: Object, secret: Secret, remote: BTreeMap<ClientId, RemoteClient>, held: Held) -> Self {
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
            held,
            intents: 0,
            rehearsed: false,
            project: None,
            failure: None,
            recorded: false,
        }
    }

    /// Folds in what a step was answered.
    pub fn absorb(&mut self, step: &Step, answer: Answer) {
        self.tick += 1;
        if matches!(step, Step::Post { .. } | Step::MoveToken { .. }) {
            // Spent whatever the answer is: a token that was POSTed, or may be in the Secret, is never POSTed again.
            self.held = Held::Nothing;
        }
        match answer {
            Answer::Live(object, secret) => self.absorb_live(object, secret),
            Answer::Intent(object, token) => {
                self.object = object;
                self.held = Held::Unspent(token);
                self.intents += 1;
                self.recorded = false;
                self.rehearsed = false;
                self.listing = None;
            }
            Answer::Object(object) => self.object = object,
            Answer::Released => self.object.finalizer = false,
            Answer::Stored(stored) => {
                if matches!(step, Step::Publish { .. }) {
                    self.held = Held::Nothing;
                    self.listing = None;
                }
                self.secret = Secret::Ours(stored);
                self.recorded = false;
            }
            Answer::Data(credential, in_shape) => {
                if let Secret::Ours(stored) = &mut self.secret {
                    (stored.credential, stored.in_shape) = (credential, in_shape);
                }
            }
            Answer::Rehearsed => self.rehearsed = true,
            Answer::Created { client_id, digest, client } => self.absorb_created(step, client_id, digest, client),
            Answer::Refused(failure) => {
                if let Step::Post { token } = step {
                    self.held = Held::Unspent(token.clone());
                }
                self.failure = Some(failure);
            }
            Answer::Unknown(failure, keyless) => self.absorb_unknown(failure, keyless),
            Answer::Listing(clients) => self.absorb_listing(clients),
            Answer::Client(client) => self.absorb_client(step, client.map_or(Remote::Missing(self.tick), Remote::Read)),
            Answer::Updated(client) => self.absorb_client(step, Remote::Read(client)),
            Answer::Deleted => self.absorb_client(step, Remote::Deleted),
            Answer::Forgotten => self.held = Held::Nothing,
            Answer::Recorded(object) => {
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
            Answer::Conflict => self.absorb_conflict(),
            Answer::Failed(failure) => {
                // A record that failed ends the pass: to record the failure would fail as well, again and again.
                self.stale |= matches!(step, Step::Record(_));
                self.failure = Some(failure);
            }
        }
    }

    fn absorb_conflict(&mut self) {
        self.stale = true;
        self.conflicts += 1;
        self.rehearsed = false;
        if self.conflicts >= MOST_CONFLICTS {
            self.failure = Some(Failure::retry(Reason::Updating, "others change it at the same time; trying again"));
        }
    }

    fn absorb_live(&mut self, object: Option<Object>, secret: Secret) {
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
        self.live = Some(self.tick);
        self.stale = false;
    }

    fn absorb_created(&mut self, step: &Step, client_id: ClientId, digest: Digest, client: RemoteClient) {
        self.remote.insert(client_id.clone(), Remote::Read(client));
        self.listing = None;
        if let Step::Post { token } = step {
            self.held = Held::Credential { token: token.clone(), client_id, digest };
        }
    }

    fn absorb_unknown(&mut self, failure: Failure, keyless: Option<ClientId>) {
        self.listing = None;
        match keyless {
            Some(client_id) => self.held = Held::Keyless { client_id, failure },
            None => self.failure = Some(failure),
        }
    }

    fn absorb_listing(&mut self, clients: BTreeMap<ClientId, RemoteClient>) {
        self.listing = Some(self.tick);
        self.remote.retain(|id, known| clients.contains_key(id) || !matches!(known, Remote::Listed(_)));
        for (id, known) in &mut self.remote {
            if matches!(known, Remote::Missing(_)) && !clients.contains_key(id) {
                *known = Remote::Absent;
            }
        }
        for (id, client) in clients {
            let known = self.remote.entry(id).or_insert_with(|| Remote::Listed(client.clone()));
            match known {
                Remote::Listed(_) | Remote::Missing(_) | Remote::Absent => *known = Remote::Listed(client),
                // Read by its id or deleted in this pass: a listing knows no better.
                Remote::Read(_) | Remote::Deleted => {}
            }
        }
    }

    fn absorb_client(&mut self, step: &Step, known: Remote) {
        let (Step::Get { client_id } | Step::Put { client_id, .. } | Step::Delete { client_id, .. }) = step else {
            return;
        };
        if known == Remote::Deleted {
            match &self.held {
                Held::Credential { client_id: held, .. } if held == client_id => self.held = Held::Nothing,
                Held::Keyless { client_id: held, failure } if held == client_id => {
                    self.failure = Some(failure.clone());
                    self.held = Held::Nothing;
                }
                Held::Nothing | Held::Unspent(_) | Held::Credential { .. } | Held::Keyless { .. } => {}
            }
        }
        self.remote.insert(client_id.clone(), known);
    }
}

#[cfg(test)]
mod tests;

//! The facts that a pass reasons with.

use std::collections::BTreeSet;

use serde::{Deserialize, Serialize};

use crate::api::Reason;
use crate::decide::client::next::Step;
use crate::decide::failure::Failure;
use crate::decide::id::{ClientId, CredentialDigest, DriftDigest, Token, Uid, Version};
use crate::decide::marker::{Marker, Origin};
use crate::decide::settings::Settings;

/// The parts of an OAuthClient that decide.
#[derive(Clone, Debug, PartialEq, Eq, Hash, Serialize, Deserialize)]
pub struct Object {
    /// `metadata.uid`.
    pub uid: Uid,
    /// `metadata.resourceVersion`.
    pub version: Version,
    /// Whether our finalizer is on the object.
    pub finalizer: bool,
    /// The token in the annotation, if it is of this uid.
    pub token: Option<Token>,
    /// Tokens whose POST has no known outcome and whose clients were not cleaned yet.
    pub unknown: BTreeSet<Token>,
    /// What the status says.
    pub recorded: Recorded,
    /// Whether an annotation asks for a rotation that was not done yet.
    pub rotation_asked: bool,
    /// When the credential was last replaced, as far as that bars the next replacement.
    pub replaced: Replaced,
    /// Whether the object is deleted with `--cascade=orphan`: then the garbage collector leaves what it owns.
    pub orphaning: bool,
}

/// The parts of a status that decide.
#[derive(Clone, Debug, Default, PartialEq, Eq, Hash, Serialize, Deserialize)]
pub struct Recorded {
    /// `status.clientId`.
    pub client_id: Option<ClientId>,
    /// `status.secretResourceVersion`.
    pub secret_version: Option<Version>,
    /// `status.credentialDigest`.
    pub digest: Option<CredentialDigest>,
    /// `status.retiring`.
    pub retiring: Vec<Retiring>,
    /// `status.managedMetadataKeys`: metadata keys of `extraMetadata` and branding that the operator set last.
    pub managed_keys: BTreeSet<String>,
    /// `status.secretName`.
    pub secret_name: Option<String>,
    /// `status.adopted`: the client existed before, and is never recreated.
    pub adopted: bool,
    /// `status.persistingDrift`.
    pub drift: Option<DriftDigest>,
    /// `status.projectId`: the project that the object's clients live in.
    pub project_id: Option<String>,
}

/// The clients that an object names.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Named {
    /// `metadata.uid` of the object.
    pub uid: Uid,
    /// `status.clientId`.
    pub own: Option<ClientId>,
    /// The clients of `status.retiring`.
    pub retiring: Box<[ClientId]>,
}

/// A former client that lives until its overlap ends.
#[derive(Clone, Debug, PartialEq, Eq, Hash, Serialize, Deserialize)]
pub struct Retiring {
    /// The former client.
    pub client_id: ClientId,
    /// Whether its overlap has ended.
    pub due: bool,
}

/// How long ago the credential was replaced.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, Serialize, Deserialize)]
pub enum Replaced {
    /// The last replacement is longer ago than the overlap, or there was none.
    LongAgo,
    /// The last replacement is within the overlap: a lost credential is not replaced again.
    WithinOverlap,
    /// The last replacement is within ten minutes: no client is POSTed again, whatever the reason.
    JustNow,
}

/// Whether this process' POSTs for the object, after its first success, let it POST again.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Hash, Serialize, Deserialize)]
pub enum Cooldown {
    /// The process may POST.
    #[default]
    None,
    /// The last POST was less than ten minutes ago.
    Short,
    /// The last three POSTs gave no usable answer, and the last was less than an hour ago.
    Long,
}

/// The project that an object uses.
#[derive(Clone, Debug, PartialEq, Eq, Hash, Serialize, Deserialize)]
pub struct ProjectFacts {
    /// The project's id at MeshAgent, if there is a project client.
    pub id: Option<String>,
    /// Whether the project can be used.
    pub state: ProjectState,
    /// Why the object's client is not replaced if it is gone: many others are gone as well.
    pub many_gone: Option<Failure>,
}

/// Whether a project can be used.
#[derive(Clone, Debug, PartialEq, Eq, Hash, Serialize, Deserialize)]
pub enum ProjectState {
    /// The project can be used.
    Usable {
        /// Whether the project lets the object's namespace adopt clients that exist.
        may_adopt: bool,
    },
    /// The project cannot be used, and why.
    Failed(Failure),
}

/// A step of a pass that failed.
#[derive(Clone, Debug, PartialEq, Eq, Hash, Serialize, Deserialize)]
pub struct StepFailure {
    /// Why the step failed, and when it is tried again.
    pub failure: Failure,
    /// The kind of call that failed.
    pub at: FailedAt,
}

/// The kind of call in which a step failed.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, Serialize, Deserialize)]
pub enum FailedAt {
    /// A read or write of the Kubernetes API.
    Kubernetes,
    /// A call of MeshAgent other than a DELETE.
    MeshAgent,
    /// The DELETE of a client.
    Removal,
    /// The POST of a client, or the dry run of the Secret before it, that was refused: nothing has changed by it, and
    /// other calls may be accepted.
    Creation,
}

/// Whether the API server keeps OAuthClients.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, Serialize, Deserialize)]
pub enum CrdState {
    Established,
    /// The CRD is being deleted, is gone or is not established: a CRD that goes takes its objects along, and nobody
    /// deleted them one by one.
    Away,
}

/// The Secret that the spec names.
#[derive(Clone, Debug, PartialEq, Eq, Hash, Serialize, Deserialize)]
pub enum Secret {
    /// No such Secret exists.
    Absent,
    /// The Secret is not this object's. The pass does not write it, unless the object may take it over.
    Foreign(Foreign),
    /// The Secret is this object's, by the uid in its annotation.
    Ours(Stored),
}

/// A Secret that is not ours.
#[derive(Clone, Debug, PartialEq, Eq, Hash, Serialize, Deserialize)]
pub struct Foreign {
    /// `metadata.resourceVersion`.
    pub version: Version,
    /// The client, and the uid of the OAuthClient, that the annotations name, if the Secret was an operator's.
    pub former: Option<(ClientId, Uid)>,
    /// What is known of the data.
    pub content: Content,
}

/// What is known of the data of a Secret that is not ours.
#[derive(Clone, Debug, PartialEq, Eq, Hash, Serialize, Deserialize)]
pub enum Content {
    /// The data was not read.
    Unread,
    /// The data does not hold the client that the object adopts.
    Other,
    /// The data holds the id, and a secret, of the client that the object adopts.
    Adoptable,
}

/// A Secret of ours.
#[derive(Clone, Debug, PartialEq, Eq, Hash, Serialize, Deserialize)]
pub struct Stored {
    /// `metadata.resourceVersion`.
    pub version: Version,
    /// The token in the annotation.
    pub token: Option<Token>,
    /// The client id in the annotation.
    pub client_id: Option<ClientId>,
    /// What is known of the credential in the data.
    pub credential: Credential,
    /// Whether labels, owner, key names and public values are as the spec wants them.
    pub in_shape: bool,
    /// Whether the Secret is the one that `status.secretName` names, and the spec names another.
    pub misplaced: bool,
    /// Whether the object owns the Secret, so that the Secret goes with the object.
    pub owned: bool,
    /// Whether the annotations say that the Secret was retained.
    pub retained: bool,
}

/// What is known of the credential in the Secret's data.
#[derive(Clone, Debug, PartialEq, Eq, Hash, Serialize, Deserialize)]
pub enum Credential {
    /// The data was not read, and the Secret has another version than status recorded.
    Unread,
    /// The credential is the recorded client's, by version or by digest.
    AsRecorded,
    /// The credential is another than the recorded one, and whole: the client id in the data is the annotation's. With
    /// the digest.
    Other(CredentialDigest),
    /// The data holds no credential.
    Broken,
}

/// What is known of one client at MeshAgent.
#[derive(Clone, Debug, PartialEq, Eq, Hash, Serialize, Deserialize)]
pub enum Remote {
    /// The client as a listing showed it: good enough to compare with, not to replace its metadata.
    Listed(RemoteClient),
    /// The client as a listing showed it that was begun after this process' last PUT of it: still as before that PUT.
    PutIgnored(RemoteClient),
    /// The client as this pass read it by its id, or wrote it.
    Read(RemoteClient),
    /// A `GET` by id said 404, which proves nothing by itself.
    Missing,
    /// A listing that was begun after that 404 does not hold it either: there is no such client.
    Absent,
    /// This pass deleted the client.
    Deleted,
}

/// A client at MeshAgent.
#[derive(Clone, Debug, PartialEq, Eq, Hash, Serialize, Deserialize)]
pub struct RemoteClient {
    /// The settings; the metadata is without the marker.
    pub settings: Settings,
    /// The marker, if the client bears a whole one.
    pub marker: Option<Marker>,
}

/// What this process holds for the object, and no other process can.
#[derive(Clone, Debug, PartialEq, Eq, Hash, Serialize, Deserialize)]
pub enum Pending {
    /// Nothing.
    Nothing,
    /// A token that this process wrote to the object and that was never POSTed.
    Unspent(Token),
    /// A credential that was not published yet. (The process keeps the secret itself, outside of this type.)
    Credential {
        /// The token of its POST.
        token: Token,
        client_id: ClientId,
        digest: CredentialDigest,
        /// Whether this process made the client, or was given its credential to adopt it.
        origin: Origin,
    },
    /// A client that a POST made without showing its secret, so that nobody can ever use it; and what to say of it.
    Keyless {
        client_id: ClientId,
        /// Why the pass cannot go on once the client is removed.
        failure: Failure,
    },
}

impl FailedAt {
    /// The kind of call in which a step failed.
    #[must_use]
    pub fn of(step: &Step, failure: &Failure) -> Self {
        match (step, failure.reason) {
            (Step::Delete { .. }, _) => Self::Removal,
            (Step::Post { .. }, Reason::RejectedByAPI | Reason::LimitReached | Reason::PermissionDenied)
            | (Step::DryRun { .. }, Reason::SecretRejected) => Self::Creation,
            (step, _) if step.is_remote() => Self::MeshAgent,
            _ => Self::Kubernetes,
        }
    }

    /// Whether a call of MeshAgent failed.
    #[must_use]
    pub fn is_remote(self) -> bool {
        match self {
            Self::Kubernetes => false,
            Self::MeshAgent | Self::Removal | Self::Creation => true,
        }
    }
}

impl Object {
    /// The clients that the object names.
    #[must_use]
    pub fn named(&self) -> Named {
        let Recorded { client_id, retiring, .. } = &self.recorded;
        let retiring = retiring.iter().map(|former| former.client_id.clone()).collect();
        Named { uid: self.uid.clone(), own: client_id.clone(), retiring }
    }
}

impl Named {
    /// Whether the status names a client, as the object's own or as one that retires.
    #[must_use]
    pub fn names(&self, client_id: &ClientId) -> bool {
        self.own.as_ref() == Some(client_id) || self.retiring.contains(client_id)
    }
}

impl Recorded {
    /// Whether the status names a client, as the object's own or as one that retires.
    #[must_use]
    pub fn names(&self, client_id: &ClientId) -> bool {
        self.client_id.as_ref() == Some(client_id) || self.retiring.iter().any(|former| &former.client_id == client_id)
    }

    /// Whether the client was adopted without its credential, so that there is no Secret.
    #[must_use]
    pub fn is_secretless(&self) -> bool {
        self.client_id.is_some() && self.adopted && self.secret_name.is_none()
    }
}

impl Remote {
    /// The client as last seen, if it is there for all that is known.
    #[must_use]
    pub fn client(&self) -> Option<&RemoteClient> {
        match self {
            Self::Listed(client) | Self::PutIgnored(client) | Self::Read(client) => Some(client),
            Self::Missing | Self::Absent | Self::Deleted => None,
        }
    }
}

impl Secret {
    /// What is stored, if the Secret is ours.
    #[must_use]
    pub fn stored(&self) -> Option<&Stored> {
        match self {
            Self::Absent | Self::Foreign(_) => None,
            Self::Ours(stored) => Some(stored),
        }
    }
}

impl Pending {
    /// The unpublished client that this process created. An adopted client is not ours to delete.
    #[must_use]
    pub fn client_id(&self) -> Option<&ClientId> {
        match self {
            Self::Nothing | Self::Unspent(_) | Self::Credential { origin: Origin::Adopted, .. } => None,
            Self::Credential { client_id, origin: Origin::Created, .. } | Self::Keyless { client_id, .. } => {
                Some(client_id)
            }
        }
    }
}

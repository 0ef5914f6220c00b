//! One step of a pass, and what its end says.

use std::collections::BTreeSet;

use serde::{Deserialize, Serialize};

use crate::api::Reason;
use crate::decide::client::change::Change;
use crate::decide::client::observed::RemoteClient;
use crate::decide::failure::Failure;
use crate::decide::id::{ClientId, CredentialDigest, DriftDigest, Token, Version};

/// One effect, or one reading.
#[derive(Clone, Debug, PartialEq, Eq, Hash, Serialize, Deserialize)]
pub enum Step {
    /// Read object and Secret from etcd.
    ReadLive,
    /// Read the Secret's data.
    ReadSecret,
    /// Read the project's whole listing, with `Consistency: high`.
    List,
    /// Read one client by its id, with `Consistency: high`.
    Get { client_id: ClientId },
    /// Write a new token, the finalizer and the tokens of unknown outcome to the object, in one patch.
    WriteIntent {
        /// The version that the object must still have.
        version: Version,
        /// The tokens of unknown outcome from now on.
        unknown: BTreeSet<Token>,
    },
    /// Write the Secret without effect.
    DryRun {
        /// Whether the Secret is created or replaced.
        write: SecretWrite,
    },
    /// Create the client, once per token, ever.
    Post {
        /// The token that its marker bears.
        token: Token,
    },
    /// Write the credential that this process holds into the Secret.
    Publish {
        client_id: ClientId,
        /// The token of its POST.
        token: Token,
        /// Whether the Secret is created or replaced.
        write: SecretWrite,
    },
    /// Write the object's fresh token into the Secret, whose credential stays.
    MoveToken {
        /// The fresh token.
        token: Token,
        /// The client that the credential is of; the annotation names it from now on.
        client_id: ClientId,
        /// The version that the Secret must still have.
        version: Version,
    },
    /// Take the credential of the client that the object adopts from where the spec says, in the place of a POST.
    TakeCredential {
        /// The token that is published with the credential.
        token: Token,
        client_id: ClientId,
    },
    /// Take over a Secret that holds the client's credential and is not ours. The credential stays.
    TakeOver {
        client_id: ClientId,
        /// The object's fresh token.
        token: Token,
        /// The version that the Secret must still have.
        version: Version,
    },
    /// Create the Secret under the name that the spec wants, with token and credential of the Secret under the former
    /// name.
    Relocate {
        /// The client that the Secret's annotation names from now on.
        client_id: ClientId,
        /// The version that the Secret under the former name must still have.
        version: Version,
    },
    /// Delete a Secret of ours.
    DeleteSecret {
        /// Whether the Secret is the one under the former name, whose credential is under the wanted name now.
        leftover: bool,
        /// The version that the Secret must still have.
        version: Version,
    },
    /// Take the object's ownership off the Secret, so that it stays when the object goes.
    ReleaseSecret {
        /// Whether the object is going, and the Secret is marked as retained.
        retained: bool,
        /// The version that the Secret must still have.
        version: Version,
    },
    /// Bring the Secret's labels, owner, key names and public values into shape. The credential stays.
    Reshape {
        /// The client that the Secret's annotation names from now on.
        client_id: ClientId,
        /// The version that the Secret must still have.
        version: Version,
    },
    /// Change a client.
    Put {
        client_id: ClientId,
        change: Box<Change>,
        /// The client after the change.
        result: Box<RemoteClient>,
    },
    /// Delete a client.
    Delete { client_id: ClientId, because: Removal },
    /// Ask whether OAuthClients are still kept, or their CRD is being deleted.
    CheckCrd,
    /// Put clients that are given up into the project's status, or say so if there is no project.
    Abandon { client_ids: Vec<ClientId> },
    /// Forget what this process holds: it is published, or it is nobody's any more.
    Forget,
    /// Write the status, if it differs.
    Record(Box<Record>),
    /// Put the finalizer back on an object that has a client.
    AddFinalizer {
        /// The version that the object must still have.
        version: Version,
    },
    /// Take cleaned tokens off the object.
    StrikeUnknown {
        /// The version that the object must still have.
        version: Version,
    },
    /// Let the object go.
    RemoveFinalizer {
        /// The version that the object must still have.
        version: Version,
    },
    /// End the pass.
    Rest,
}

impl Step {
    /// Whether the step uses the object's token up.
    #[must_use]
    pub fn spends_token(&self) -> bool {
        matches!(self, Self::Post { .. } | Self::MoveToken { .. } | Self::TakeOver { .. })
    }

    /// Whether the step needs a project that can be used: it calls MeshAgent, leads to a call, or writes what the
    /// project says into the Secret.
    #[must_use]
    pub fn needs_project(&self) -> bool {
        match self {
            Self::ReadLive
            | Self::ReadSecret
            | Self::Publish { .. }
            | Self::ReleaseSecret { .. }
            | Self::DeleteSecret { .. }
            | Self::CheckCrd
            | Self::Abandon { .. }
            | Self::Forget
            | Self::Record(_)
            | Self::AddFinalizer { .. }
            | Self::RemoveFinalizer { .. }
            | Self::Rest => false,
            Self::List
            | Self::Get { .. }
            | Self::WriteIntent { .. }
            | Self::DryRun { .. }
            | Self::Post { .. }
            | Self::MoveToken { .. }
            | Self::TakeCredential { .. }
            | Self::TakeOver { .. }
            | Self::Relocate { .. }
            | Self::Reshape { .. }
            | Self::Put { .. }
            | Self::Delete { .. }
            | Self::StrikeUnknown { .. } => true,
        }
    }

    /// Whether the step is a call of MeshAgent.
    #[must_use]
    pub fn is_remote(&self) -> bool {
        matches!(self, Self::List | Self::Get { .. } | Self::Post { .. } | Self::Put { .. } | Self::Delete { .. })
    }
}

/// How the Secret is written.
#[derive(Clone, Debug, PartialEq, Eq, Hash, Serialize, Deserialize)]
pub enum SecretWrite {
    /// The Secret is created, so that another one of its name shows.
    Create,
    /// The Secret is replaced, if it still has this version.
    Replace(Version),
}

/// Why a client is deleted.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, Serialize, Deserialize)]
pub enum Removal {
    /// The client's OAuthClient is deleted.
    ObjectDeleted,
    /// The client's overlap has ended.
    Retired,
    /// This process made the client and never published it.
    OwnWaste,
    /// The client's POST had no known outcome, and another client took its place.
    Disowned,
}

/// What the status is to say of a pass.
#[derive(Clone, Debug, PartialEq, Eq, Hash, Serialize, Deserialize)]
pub struct Record {
    /// The version that the object must still have.
    pub version: Version,
    /// How the pass ended.
    pub conclusion: Conclusion,
    /// What the Secret holds, when the pass made sure of it.
    pub published: Option<Published>,
    /// Former clients that still live; those named here for the first time begin their overlap now.
    pub retiring: Vec<ClientId>,
}

/// The client that is in use, and where its credential is.
#[derive(Clone, Debug, PartialEq, Eq, Hash, Serialize, Deserialize)]
pub struct Published {
    pub client_id: ClientId,
    /// The client's credential; `None` for a client that was adopted without one.
    pub credential: Option<StoredCredential>,
    /// Whether the client existed before it was taken over.
    pub adopted: bool,
    /// What MeshAgent keeps although another value was sent.
    pub drift: Option<DriftDigest>,
}

/// A credential in the Secret.
#[derive(Clone, Debug, PartialEq, Eq, Hash, Serialize, Deserialize)]
pub struct StoredCredential {
    pub version: Version,
    /// The credential's digest; `None`: as recorded.
    pub digest: Option<CredentialDigest>,
}

/// How a pass ended.
#[derive(Clone, Debug, PartialEq, Eq, Hash, Serialize, Deserialize)]
pub enum Conclusion {
    /// All is as declared.
    Converged,
    /// All is as declared but a rotation that was asked for; why it is yet to be carried out.
    RotationWaits(Failure),
    /// The pass could not go on.
    Blocked(Failure),
}

impl Conclusion {
    /// Whether a pass that made sure of client and Secret, and ends so, found them in use as declared: no more is left
    /// than a value that MeshAgent keeps otherwise, or a rotation that waits.
    #[must_use]
    pub fn leaves_as_declared(&self) -> bool {
        match self {
            Self::Converged | Self::RotationWaits(_) => true,
            Self::Blocked(failure) => failure.reason == Reason::DriftPersists,
        }
    }

    /// What keeps the pass from having done all that is asked for.
    #[must_use]
    pub fn failure(&self) -> Option<&Failure> {
        match self {
            Self::Converged => None,
            Self::RotationWaits(failure) | Self::Blocked(failure) => Some(failure),
        }
    }
}

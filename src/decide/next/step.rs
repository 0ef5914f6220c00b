//! One step of a pass, and what its end says.

use std::collections::BTreeSet;

use crate::decide::change::Change;
use crate::decide::failure::Failure;
use crate::decide::id::{ClientId, Digest, Token, Version};
use crate::decide::observed::RemoteClient;

/// One effect, or one reading.
#[derive(Clone, Debug, PartialEq, Eq, Hash)]
pub enum Step {
    /// Read object and Secret from etcd.
    ReadLive,
    /// Read the Secret's data.
    ReadSecret,
    /// Read the project's whole listing, with `Consistency: high`.
    List,
    /// Read one client by its id, with `Consistency: high`.
    Get {
        /// Which.
        client_id: ClientId,
    },
    /// Write a new token, the finalizer and the tokens of unknown outcome to the object, in one patch.
    WriteIntent {
        /// The version that the object must still have.
        version: Version,
        /// The tokens of unknown outcome from now on.
        unknown: BTreeSet<Token>,
    },
    /// Write the Secret without effect.
    Rehearse {
        /// How.
        write: SecretWrite,
    },
    /// Create the client. Once per token, ever.
    Post {
        /// The token that its marker bears.
        token: Token,
    },
    /// Write the credential that this process holds into the Secret.
    Publish {
        /// The client.
        client_id: ClientId,
        /// The token of its POST.
        token: Token,
        /// Its digest.
        digest: Digest,
        /// How.
        write: SecretWrite,
    },
    /// Write the object's fresh token into the Secret, whose credential stays.
    MoveToken {
        /// The fresh token.
        token: Token,
        /// The version that the Secret must still have.
        version: Version,
    },
    /// Bring the Secret's labels, owner, key names and public values into shape. The credential stays.
    Reshape {
        /// The client that its annotation names from now on.
        client_id: ClientId,
        /// The version that the Secret must still have.
        version: Version,
    },
    /// Change a client.
    Put {
        /// Which.
        client_id: ClientId,
        /// How.
        change: Box<Change>,
        /// The client after it.
        result: Box<RemoteClient>,
    },
    /// Delete a client.
    Delete {
        /// Which.
        client_id: ClientId,
        /// Why.
        because: Removal,
    },
    /// Forget what this process holds: it is published, or it is nobody's any more.
    Forget,
    /// Write the status, if it differs.
    Record(Box<Record>),
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
    /// Nothing more to do in this pass.
    Rest,
}

/// How the Secret is written.
#[derive(Clone, Debug, PartialEq, Eq, Hash)]
pub enum SecretWrite {
    /// Created, so that another one shows.
    Create,
    /// Replaced, if it still has this version.
    Replace(Version),
}

/// Why a client is deleted.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub enum Removal {
    /// Its OAuthClient is deleted.
    ObjectDeleted,
    /// Its overlap has ended.
    Retired,
    /// This process made it, and it was never published.
    OwnWaste,
    /// Its POST had no known outcome, and another client took its place.
    Disowned,
}

/// What the status is to say of a pass.
#[derive(Clone, Debug, PartialEq, Eq, Hash)]
pub struct Record {
    /// The version that the object must still have.
    pub version: Version,
    /// How the pass ended.
    pub verdict: Verdict,
    /// What the Secret holds, when the pass made sure of it.
    pub published: Option<Published>,
    /// Former clients that still live; those named here for the first time begin their overlap now.
    pub retiring: Vec<ClientId>,
}

/// The credential that the Secret holds.
#[derive(Clone, Debug, PartialEq, Eq, Hash)]
pub struct Published {
    /// Its client.
    pub client_id: ClientId,
    /// The Secret's version.
    pub secret_version: Version,
    /// Its digest; `None`: as recorded.
    pub digest: Option<Digest>,
}

/// How a pass ended.
#[derive(Clone, Debug, PartialEq, Eq, Hash)]
pub enum Verdict {
    /// All is as declared.
    Converged,
    /// It could not go on.
    Blocked(Failure),
}

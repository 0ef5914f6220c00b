//! What a step was answered.

use std::collections::BTreeMap;

use serde::{Deserialize, Serialize};

use super::{CrdState, Credential, Object, RemoteClient, Secret, Stored};
use crate::decide::failure::Failure;
use crate::decide::id::{ClientId, CredentialDigest, Token, Version};

/// What a step was answered.
#[derive(Clone, Debug, PartialEq, Eq, Hash, Serialize, Deserialize)]
pub enum Answer {
    /// The object (unless it is gone) and the Secret, read from etcd; and the version of the Secret under the former
    /// name, if the wanted one is ours as well.
    Live(Option<Object>, Secret, Option<Version>),
    /// The object as our write left it, and our new token, which is unspent.
    Intent(Object, Token),
    /// The object as our write left it.
    Object(Object),
    /// The object was released: its finalizer is gone.
    Released,
    /// The Secret as our write left it, holding what the pass says it holds.
    Stored(Stored),
    /// The Secret is deleted.
    SecretGone,
    /// What the Secret's data holds, and whether its shape is as wanted.
    Data(Credential, bool),
    /// Writing the Secret would work.
    DryRunPassed,
    /// The client that a POST made.
    Created {
        client_id: ClientId,
        /// The digest of the client's credential.
        digest: CredentialDigest,
        /// The client as it was asked for.
        client: RemoteClient,
    },
    /// The credential of the client to be adopted is in hand.
    Taken { client_id: ClientId, digest: CredentialDigest },
    /// Whether OAuthClients are kept.
    Crd(CrdState),
    /// The clients that are given up are in the project's status.
    Abandoned,
    /// The POST was refused or never sent: its token stays unspent.
    Refused(Failure),
    /// The POST has no known outcome, or it made a client without showing its secret; the id of that client.
    Unknown(Failure, Option<ClientId>),
    /// A client by its id; `None` if the answer was 404.
    Client(Option<RemoteClient>),
    /// All clients of the project that matter to this object: its recorded ones, and those with its uid.
    Listing(BTreeMap<ClientId, RemoteClient>),
    /// The client now has these settings.
    Updated(RemoteClient),
    /// The client is gone.
    Deleted,
    /// What was held is forgotten.
    Forgotten,
    /// The status is written, or needed no writing; the object as it stands.
    Recorded(Object),
    /// A write named a version that is not the present one, or something is there that the pass did not know of.
    Conflict,
    /// The step failed.
    Failed(Failure),
}

//! The reasons of Events that tell of something done. What goes wrong is told under the condition's reason.

/// Something that was done to a client.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub enum EventReason {
    /// A client was created.
    Created,
    /// A client or its Secret was changed.
    Updated,
    /// A client was deleted.
    Deleted,
    /// A client was replaced on request.
    Rotated,
    /// A client was replaced because it or its credential was gone.
    CredentialReplaced,
    /// A client was retained.
    Released,
    /// A pod waits for its credential.
    CredentialAwaited,
    /// A workload was restarted for a new credential.
    Restarted,
    /// A workload that has a former credential is not restarted.
    RestartPending,
    /// The operator has no right to restart workloads.
    RestartNotPermitted,
}

impl EventReason {
    /// All of them, in the order of the documentation.
    pub const ALL: [Self; 10] = [
        Self::Created,
        Self::Updated,
        Self::Deleted,
        Self::Rotated,
        Self::CredentialReplaced,
        Self::Released,
        Self::CredentialAwaited,
        Self::Restarted,
        Self::RestartPending,
        Self::RestartNotPermitted,
    ];

    /// The name in the Event.
    #[must_use]
    pub const fn as_str(self) -> &'static str {
        match self {
            Self::Created => "Created",
            Self::Updated => "Updated",
            Self::Deleted => "Deleted",
            Self::Rotated => "Rotated",
            Self::CredentialReplaced => "CredentialReplaced",
            Self::Released => "Released",
            Self::CredentialAwaited => "CredentialAwaited",
            Self::Restarted => "Restarted",
            Self::RestartPending => "RestartPending",
            Self::RestartNotPermitted => "RestartNotPermitted",
        }
    }

    /// What happened, for the reference.
    #[must_use]
    pub const fn meaning(self) -> &'static str {
        match self {
            Self::Created => "A client was created, and its credential is in the Secret.",
            Self::Updated => "A client was changed, or its Secret was repaired.",
            Self::Deleted => {
                "A client was deleted: its OAuthClient was, or its overlap ended, or it was never published."
            }
            Self::Rotated => {
                "A client was replaced on request: the client id changed, and sessions of the old one end with it."
            }
            Self::CredentialReplaced => {
                "A client was replaced because it or its credential was gone: the client id changed, and sessions of the \
                 old one end with it."
            }
            Self::Released => "A client was retained in MeshAgent, with its Secret, and is no longer managed.",
            Self::CredentialAwaited => {
                "On a pod: it waits for the Secret with its credential; the text says for which OAuthClient, and why."
            }
            Self::Restarted => {
                "On a workload: its pods had a former credential in their environment, and are being replaced."
            }
            Self::RestartPending => {
                "On a workload, or a pod without one: it has a former credential in its environment and is not \
                 restarted; the text says why, and what to do."
            }
            Self::RestartNotPermitted => {
                "On an OAuthClient that wants restarts: the operator has no right to restart workloads, or to see pods."
            }
        }
    }
}

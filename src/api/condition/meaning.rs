//! What conditions and reasons mean, and what to do about them: the texts of the reference.

use super::{ConditionType, Reason};

impl ConditionType {
    /// What it says, for the reference.
    #[must_use]
    pub const fn meaning(self) -> &'static str {
        match self {
            Self::Ready => {
                "Of an OAuthClient: the credential in the Secret belongs to a live client that matches the spec. It turns \
                 False only on proof, so a client stays Ready while MeshAgent cannot be asked. Of a project: a call with \
                 its API key succeeded."
            }
            Self::Synced => {
                "The client in MeshAgent is known to match the spec; Unknown while MeshAgent cannot be asked."
            }
            Self::SecretReady => "The Secret holds the credential.",
            Self::Reconciling => {
                "Something is under way or awaited. Present only while so; kstatus reads it as InProgress."
            }
            Self::Stalled => "Nothing will change without a person. Present only while so; kstatus reads it as Failed.",
        }
    }
}

impl Reason {
    /// What has happened, for the reference.
    #[must_use]
    pub const fn meaning(self) -> &'static str {
        match self {
            Self::Ready => "All is as declared.",
            Self::Creating => "The client is being created.",
            Self::Updating => "The client is being changed.",
            Self::Deleting => "The object is being deleted.",
            Self::Rotating => "The client is being replaced, on request or because its credential was lost.",
            Self::ProjectNotFound => "No object is there for `projectRef`.",
            Self::ProjectNotReady => "The project's key has not worked yet.",
            Self::ProjectDisabled => "MeshAgent has disabled the project (423).",
            Self::CredentialsNotFound => {
                "A Secret or ConfigMap that holds the API key, the CA bundle or the credential of a client to be adopted, or \
                 the key in it, is missing."
            }
            Self::NamespaceNotAllowed => "The ClusterMeshAgentProject does not allow this namespace.",
            Self::RateLimited => "MeshAgent asked for fewer calls (429).",
            Self::APIUnavailable => "MeshAgent does not answer, or not as documented.",
            Self::InvalidSpec => "The spec cannot be carried out as it is written.",
            Self::SecretConflict => "A Secret of this name belongs to somebody else.",
            Self::SecretRejected => "The Kubernetes API refuses the Secret: quota, admission, permissions.",
            Self::AdoptionConflict => "Another OAuthClient manages the client to be adopted.",
            Self::AdoptionNotAllowed => "The project does not allow this namespace to adopt.",
            Self::PermissionDenied => "The API key may not do this (403).",
            Self::AuthenticationFailed => "The API key is not accepted (401).",
            Self::ProjectMismatch => "Key or spec name another project than the one where the client lives.",
            Self::CredentialLost => "The credential is lost, and is not replaced without a request.",
            Self::AdoptedClientGone => "The adopted client no longer exists.",
            Self::RejectedByAPI => "MeshAgent refuses these settings (400, 409, 422).",
            Self::LimitReached => "The project holds as many clients as it may.",
            Self::DriftPersists => "MeshAgent keeps another value than was sent.",
            Self::Suspended => "`suspend` is set.",
        }
    }

    /// What a person does about it, for the reference.
    #[must_use]
    pub const fn remedy(self) -> &'static str {
        match self {
            Self::Ready => "Nothing.",
            Self::Creating | Self::Updating | Self::Deleting | Self::Rotating => {
                "Wait a moment; if it lasts, the message says what it waits for."
            }
            Self::ProjectNotFound => "Create the project, or correct `projectRef`.",
            Self::ProjectNotReady => "Look at the project: its own condition says what is wrong.",
            Self::ProjectDisabled => "Enable the project in MeshAgent Studio.",
            Self::CredentialsNotFound => "Create what the message names; it says how.",
            Self::NamespaceNotAllowed => "Add the namespace to the project's `allowedNamespaces`.",
            Self::RateLimited | Self::APIUnavailable => {
                "Nothing; it is tried again by itself, and clients keep working."
            }
            Self::InvalidSpec => "Correct the field that the message names.",
            Self::SecretConflict => "Delete that Secret, or set another `secret.name`.",
            Self::SecretRejected => {
                "Remove the obstacle that the message quotes: raise the quota, or correct the policy."
            }
            Self::AdoptionConflict => {
                "Adopt it in one place only: delete one of the two OAuthClients; `Retain` keeps the client."
            }
            Self::AdoptionNotAllowed => "Add the namespace to the project's `adoption.allowedNamespaces`.",
            Self::PermissionDenied => "Give the API key the roles that the message names.",
            Self::AuthenticationFailed => "Put a valid API key into the project's Secret.",
            Self::ProjectMismatch => "Put the former project or key back. A client cannot move to another project.",
            Self::CredentialLost => "Request a rotation: annotate the object with `meshagent.com/rotate-requested-at`.",
            Self::AdoptedClientGone => "Delete the OAuthClient, and create one without `adopt`.",
            Self::RejectedByAPI => "Correct the setting that the message quotes; it is tried again every hour.",
            Self::LimitReached => "Delete clients that nobody needs, or have the limit raised.",
            Self::DriftPersists => "Write the value that MeshAgent keeps; the message names the field.",
            Self::Suspended => "Set `suspend` to false when the work may go on.",
        }
    }
}

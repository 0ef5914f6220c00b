//! What conditions and reasons mean, and what to do about them: the texts of docs/reference.md and of the table in
//! docs/troubleshoot.md, which are generated from here.

use super::{ConditionType, Reason};

impl ConditionType {
    /// What it says. Markdown of docs/reference.md.
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
    /// What has happened.
    #[must_use]
    pub const fn meaning(self) -> &'static str {
        match self {
            Self::Ready => "All is as declared.",
            Self::Creating => "The client is being created or taken over, and a step has to be repeated.",
            Self::Updating => "The client is being changed, and a step has to be repeated.",
            Self::Deleting => "The object is being deleted.",
            Self::Rotating => "The client is being replaced, on request or because its credential was lost.",
            Self::ProjectNotFound => "No object is there for `projectRef`, or no cluster project `default`.",
            Self::ProjectNotReady => {
                "The project's key has not worked yet, or the operator may not read what the project needs."
            }
            Self::ProjectDisabled => "MeshAgent has disabled the project (423).",
            Self::CredentialsNotFound => {
                "A Secret or ConfigMap that holds the API key, the CA bundle or the credential of a client to be adopted, or \
                 the data key in it, is missing."
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
            Self::ProjectMismatch => {
                "Key or spec name another MeshAgent project than the one where the clients live. Nothing is touched."
            }
            Self::ManyClientsGone => {
                "Of a project: more than three and more than a fifth of its clients are gone at once, as if another server \
                 had answered. None of them is replaced."
            }
            Self::CredentialLost => {
                "The Secret's credential is gone or altered, and is not replaced without a request."
            }
            Self::AdoptedClientGone => "The adopted client no longer exists, and an adopted client is never recreated.",
            Self::RejectedByAPI => "MeshAgent refuses these settings (400, 409, 422).",
            Self::LimitReached => "The project holds as many clients as it may.",
            Self::DriftPersists => {
                "MeshAgent keeps another value than was sent, for example a host in lower case. The client works meanwhile."
            }
            Self::Suspended => "`spec.suspend` is set: nothing is written.",
        }
    }

    /// What a person does about it. Markdown of docs/troubleshoot.md, whose sections it links to.
    #[must_use]
    #[expect(clippy::too_many_lines, reason = "a table, one row for each reason")]
    pub const fn remedy(self) -> &'static str {
        match self {
            Self::Ready => "Nothing.",
            Self::Creating | Self::Updating => "Wait; it is tried again by itself. If it lasts, the message says why.",
            Self::Deleting => {
                "Wait; the message says what for. If MeshAgent is gone for good: \
                 [force-release](#an-oauthclient-cannot-be-deleted)."
            }
            Self::Rotating => "Wait: at most one replacement in ten minutes.",
            Self::ProjectNotFound => "Create the project, or correct `projectRef`. Whatever waits goes on by itself.",
            Self::ProjectNotReady => {
                "`kubectl describe cmaproj default`: its condition names the cause, or the right that the operator lacks."
            }
            Self::ProjectDisabled => "Enable the project in MeshAgent Studio.",
            Self::CredentialsNotFound => {
                "Create what the message names; it says how. For the API key: [a new one](#the-api-key-is-refused)."
            }
            Self::NamespaceNotAllowed => {
                "Add it to `spec.allowedNamespaces` of the project, or put the label back that its selector asks for. Until \
                 then nothing is changed and nothing is lost."
            }
            Self::RateLimited => "Nothing; it goes on by itself. If it lasts, look for other users of the project.",
            Self::APIUnavailable => {
                "Nothing for the clients: they stay Ready and work. If MeshAgent is up, look at `apiUrl`, proxy and network \
                 policy between it and the operator."
            }
            Self::InvalidSpec => "Correct the field that the message names.",
            Self::SecretConflict => {
                "Delete that Secret, or set another `spec.secret.name`: [how](#a-secret-is-in-the-way)."
            }
            Self::SecretRejected => {
                "The message quotes the refusal: raise the quota, correct the policy, or give the operator back its role."
            }
            Self::AdoptionConflict => {
                "The message names it. Keep one of the two: delete the other, after setting `deletionPolicy: Retain` on it."
            }
            Self::AdoptionNotAllowed => {
                "Add it to `spec.adoption.allowedNamespaces` of the ClusterMeshAgentProject: [adopt.md](adopt.md)."
            }
            Self::PermissionDenied => {
                "Give the key the roles `oauth_client_creator`, `oauth_client_inventory` and `oauth_client_manager`; or \
                 [use another](#the-api-key-is-refused)."
            }
            Self::AuthenticationFailed => "Make [a new API key](#the-api-key-is-refused).",
            Self::ProjectMismatch => {
                "Put the former key or `projectId` back. A project that is in use stays the same one: \
                 [how to use another](#a-project-is-to-become-another-one)."
            }
            Self::ManyClientsGone => {
                "Put the right server back, and all is as it was; or accept the loss: \
                 [how](#many-clients-are-gone-at-once)."
            }
            Self::CredentialLost => {
                "Find who deletes or rewrites the Secret, then ask for a new client: [rotate.md](rotate.md). The client id \
                 changes."
            }
            Self::AdoptedClientGone => "Delete the OAuthClient, and create it without `adopt`. The client id changes.",
            Self::RejectedByAPI => "Correct the setting that the message quotes. Otherwise it is tried every hour.",
            Self::LimitReached => {
                "Delete clients that nobody needs, or have the limit raised; then [look now](#look-now), since it is tried \
                 only every hour."
            }
            Self::DriftPersists => "Write the value that MeshAgent keeps; the message names the field.",
            Self::Suspended => "Set it to `false` when the work may go on.",
        }
    }
}

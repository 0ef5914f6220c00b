//! Conditions and their reasons. They report; nothing is decided from them but how long something has lasted.

use jiff::Timestamp;
use k8s_openapi::apimachinery::pkg::apis::meta::v1::Condition;
use serde::{Deserialize, Serialize};

use super::limits;
use super::time::{not_ahead, stamp};

mod meaning;

/// What a condition is about.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub enum ConditionType {
    /// The credential in the Secret belongs to a live client that matches the spec.
    Ready,
    /// The remote client is known to match the spec.
    Synced,
    /// The Secret holds the credential.
    SecretReady,
    /// Something is under way; present only while it is. One of kstatus's two.
    Reconciling,
    /// Nothing will change without a person; present only while so. One of kstatus's two.
    Stalled,
}

impl ConditionType {
    /// All types, in the order in which a status lists them.
    pub const ALL: [Self; 5] = [Self::Ready, Self::Synced, Self::SecretReady, Self::Reconciling, Self::Stalled];

    /// The name in a status.
    #[must_use]
    pub const fn as_str(self) -> &'static str {
        match self {
            Self::Ready => "Ready",
            Self::Synced => "Synced",
            Self::SecretReady => "SecretReady",
            Self::Reconciling => "Reconciling",
            Self::Stalled => "Stalled",
        }
    }
}

/// Whether a condition holds.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub enum ConditionStatus {
    /// It holds.
    True,
    /// It does not hold.
    False,
    /// It could not be found out.
    Unknown,
}

impl ConditionStatus {
    /// The word in a status.
    #[must_use]
    pub const fn as_str(self) -> &'static str {
        match self {
            Self::True => "True",
            Self::False => "False",
            Self::Unknown => "Unknown",
        }
    }

    /// The status that a word stands for. The CRDs allow no other words.
    #[must_use]
    pub fn of(word: &str) -> Self {
        [Self::True, Self::False].into_iter().find(|status| status.as_str() == word).unwrap_or(Self::Unknown)
    }
}

/// Why a condition is as it is. The names are what people search for, and frozen with the first release.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
pub enum Reason {
    /// All is as declared.
    Ready,
    /// The client is being created.
    Creating,
    /// The client is being changed.
    Updating,
    /// The object is being deleted.
    Deleting,
    /// The client is being replaced, on request or because its credential was lost.
    Rotating,
    /// No object is there for `projectRef`.
    ProjectNotFound,
    /// The project's key has not worked yet.
    ProjectNotReady,
    /// MeshAgent has disabled the project (423).
    ProjectDisabled,
    /// The Secret with the API key, or the key in it, is missing.
    CredentialsNotFound,
    /// The cluster project does not allow this namespace.
    NamespaceNotAllowed,
    /// MeshAgent asked for fewer calls (429).
    RateLimited,
    /// MeshAgent does not answer.
    APIUnavailable,
    /// The spec cannot be carried out as it is written.
    InvalidSpec,
    /// A Secret of this name belongs to somebody else.
    SecretConflict,
    /// The Kubernetes API refuses the Secret: quota, admission, permissions.
    SecretRejected,
    /// Another OAuthClient manages the client to be adopted.
    AdoptionConflict,
    /// The project does not allow this namespace to adopt.
    AdoptionNotAllowed,
    /// The API key may not do this (403).
    PermissionDenied,
    /// The API key is not accepted (401).
    AuthenticationFailed,
    /// Key or spec name another project than the one where the client lives.
    ProjectMismatch,
    /// Many clients of a project are gone at once, and none is replaced without a person's word.
    ManyClientsGone,
    /// The credential is lost, and is not replaced without a request.
    CredentialLost,
    /// The adopted client no longer exists.
    AdoptedClientGone,
    /// MeshAgent refuses these settings (400, 409, 422).
    RejectedByAPI,
    /// The project holds as many clients as it may.
    LimitReached,
    /// MeshAgent keeps another value than was sent.
    DriftPersists,
    /// `suspend` is set.
    Suspended,
}

impl Reason {
    /// All reasons, in the order of the documentation.
    pub const ALL: [Self; 27] = [
        Self::Ready,
        Self::Creating,
        Self::Updating,
        Self::Deleting,
        Self::Rotating,
        Self::ProjectNotFound,
        Self::ProjectNotReady,
        Self::ProjectDisabled,
        Self::CredentialsNotFound,
        Self::NamespaceNotAllowed,
        Self::RateLimited,
        Self::APIUnavailable,
        Self::InvalidSpec,
        Self::SecretConflict,
        Self::SecretRejected,
        Self::AdoptionConflict,
        Self::AdoptionNotAllowed,
        Self::PermissionDenied,
        Self::AuthenticationFailed,
        Self::ProjectMismatch,
        Self::ManyClientsGone,
        Self::CredentialLost,
        Self::AdoptedClientGone,
        Self::RejectedByAPI,
        Self::LimitReached,
        Self::DriftPersists,
        Self::Suspended,
    ];

    /// The name in a status, an Event and the Reason column.
    #[must_use]
    pub const fn as_str(self) -> &'static str {
        match self {
            Self::Ready => "Ready",
            Self::Creating => "Creating",
            Self::Updating => "Updating",
            Self::Deleting => "Deleting",
            Self::Rotating => "Rotating",
            Self::ProjectNotFound => "ProjectNotFound",
            Self::ProjectNotReady => "ProjectNotReady",
            Self::ProjectDisabled => "ProjectDisabled",
            Self::CredentialsNotFound => "CredentialsNotFound",
            Self::NamespaceNotAllowed => "NamespaceNotAllowed",
            Self::RateLimited => "RateLimited",
            Self::APIUnavailable => "APIUnavailable",
            Self::InvalidSpec => "InvalidSpec",
            Self::SecretConflict => "SecretConflict",
            Self::SecretRejected => "SecretRejected",
            Self::AdoptionConflict => "AdoptionConflict",
            Self::AdoptionNotAllowed => "AdoptionNotAllowed",
            Self::PermissionDenied => "PermissionDenied",
            Self::AuthenticationFailed => "AuthenticationFailed",
            Self::ProjectMismatch => "ProjectMismatch",
            Self::ManyClientsGone => "ManyClientsGone",
            Self::CredentialLost => "CredentialLost",
            Self::AdoptedClientGone => "AdoptedClientGone",
            Self::RejectedByAPI => "RejectedByAPI",
            Self::LimitReached => "LimitReached",
            Self::DriftPersists => "DriftPersists",
            Self::Suspended => "Suspended",
        }
    }

    /// The reason of this name, if it is one of the operator's.
    #[must_use]
    pub fn of(name: &str) -> Option<Self> {
        Self::ALL.into_iter().find(|reason| reason.as_str() == name)
    }
}

/// What is to be said about one condition, apart from when and for which generation.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Finding {
    /// What it is about.
    pub type_: ConditionType,
    /// Whether it holds.
    pub status: ConditionStatus,
    pub reason: Reason,
    /// What a person should know, and do.
    pub message: String,
}

/// The condition of this type, if the status has one.
#[must_use]
pub fn find(conditions: &[Condition], type_: ConditionType) -> Option<&Condition> {
    conditions.iter().find(|condition| condition.type_ == type_.as_str())
}

/// The conditions that a status shall have: one for each finding, in the order of [`ConditionType::ALL`]. Our types
/// without a finding go, and those that somebody else wrote stay. A condition keeps its transition time until its
/// status changes: stamped with `now` on each pass, every pass would cause the next one. A time that a wrong clock wrote
/// ahead of ours turns into `now` once.
#[must_use]
pub fn merge(present: &[Condition], findings: &[Finding], generation: i64, now: Timestamp) -> Vec<Condition> {
    let said = ConditionType::ALL.iter().filter_map(|type_| findings.iter().find(|finding| finding.type_ == *type_));
    let ours = said.map(|finding| {
        let before = find(present, finding.type_).filter(|before| before.status == finding.status.as_str());
        let since = before.map_or(now, |before| not_ahead(before.last_transition_time.0, now));
        Condition {
            type_: finding.type_.as_str().to_owned(),
            status: finding.status.as_str().to_owned(),
            reason: finding.reason.as_str().to_owned(),
            message: bounded(&finding.message),
            observed_generation: Some(generation),
            last_transition_time: stamp(since),
        }
    });
    let is_ours = |condition: &&Condition| ConditionType::ALL.iter().any(|type_| condition.type_ == type_.as_str());
    let foreign = present.iter().filter(|condition| !is_ours(condition)).cloned();
    ours.chain(foreign).collect()
}

/// The message, cut to what the schema allows: a longer one would make the API server refuse the whole status.
#[must_use]
pub fn bounded(message: &str) -> String {
    message.chars().take(limits::CONDITION_MESSAGE).collect()
}

#[cfg(test)]
mod tests;

//! How a client comes, is replaced, and goes: adoption, deletion policy, lost credentials, overlap, suspension.

use std::time::Duration;

use serde::{Deserialize, Serialize};

use super::essentials::Essentials;
use crate::api::oauth_client::{AdoptSpec, CredentialSecretRef, OAuthClientSpec, RotationSpec};
use crate::api::{duration, words};
use crate::decide::id::ClientId;
use crate::decide::marker::Policy;
use crate::decide::problem::Problems;
use crate::decide::published::Published;
use crate::decide::syntax;

/// How long a former client lives after it was replaced, by default.
pub const DEFAULT_OVERLAP: Duration = Duration::from_secs(24 * 60 * 60);

/// How a client comes, is replaced, and goes.
#[derive(Clone, Debug, PartialEq, Eq, Hash)]
pub struct Lifecycle {
    /// The existing client to take over.
    pub adopt: Option<Adopt>,
    /// What becomes of the client with its object; `None`: what the operator's flag or the adoption says.
    pub policy: Option<Policy>,
    /// What happens when the credential is lost.
    pub on_loss: OnLoss,
    /// Whether nothing is to be written for now.
    pub suspended: bool,
    /// How long a former client lives after it was replaced.
    pub overlap: Duration,
}

/// An existing client to take over.
#[derive(Clone, Debug, PartialEq, Eq, Hash, Serialize, Deserialize)]
pub struct Adopt {
    pub client_id: ClientId,
    /// The place of the credential, if it is to be published.
    pub credential: Option<CredentialRef>,
}

/// A Secret that holds the credential of a client to be adopted.
#[derive(Clone, Debug, PartialEq, Eq, Hash, Serialize, Deserialize)]
pub struct CredentialRef {
    pub secret: String,
    /// The data key of the client id.
    pub client_id_key: String,
    /// The data key of the client secret.
    pub client_secret_key: String,
}

/// What happens when the credential in the Secret is gone or was altered.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, Serialize, Deserialize)]
pub enum OnLoss {
    /// The client is replaced.
    Recreate,
    /// The client stays, and a person has to ask for a rotation.
    Block,
}

impl Lifecycle {
    pub(super) fn read(spec: &OAuthClientSpec, essentials: &Essentials, problems: &mut Problems) -> Self {
        let on_loss = spec.on_credential_loss.as_deref().unwrap_or("Recreate");
        if let Some(policy) = spec.deletion_policy.as_deref() {
            problems.one_of("spec.deletionPolicy", policy, &words::DELETION_POLICIES);
        }
        problems.one_of("spec.onCredentialLoss", on_loss, &words::ON_CREDENTIAL_LOSS);
        if let Some(restart) = spec.rollout.as_ref().and_then(|rollout| rollout.restart.as_deref()) {
            problems.one_of("spec.rollout.restart", restart, &words::RESTARTS);
        }
        Self {
            adopt: spec.adopt.as_ref().map(|adopt| Adopt::read(adopt, problems)),
            policy: essentials.policy,
            on_loss: if on_loss == "Block" { OnLoss::Block } else { OnLoss::Recreate },
            suspended: essentials.suspended,
            overlap: overlap(spec).unwrap_or_else(|error| {
                let (problem, fix) = error.problem_and_fix();
                problems.refuse("spec.rotation.overlap", problem.to_owned(), fix.to_owned());
                DEFAULT_OVERLAP
            }),
        }
    }
}

/// How long a former client lives after it was replaced.
///
/// # Errors
/// Returns why the text is no duration.
pub fn overlap(spec: &OAuthClientSpec) -> Result<Duration, duration::DurationError> {
    match spec.rotation.as_ref() {
        Some(RotationSpec { overlap: Some(overlap) }) => duration::parse(overlap),
        Some(RotationSpec { overlap: None }) | None => Ok(DEFAULT_OVERLAP),
    }
}

impl Adopt {
    fn read(adopt: &AdoptSpec, problems: &mut Problems) -> Self {
        let AdoptSpec { client_id, credential_secret_ref } = adopt;
        let client_id = client_id.as_deref().unwrap_or_default();
        problems.check("spec.adopt.clientId", syntax::client_id(client_id));
        Self {
            client_id: ClientId::new(client_id),
            credential: credential_secret_ref.as_ref().map(|reference| CredentialRef::read(reference, problems)),
        }
    }
}

impl CredentialRef {
    fn read(reference: &CredentialSecretRef, problems: &mut Problems) -> Self {
        let CredentialSecretRef { name, client_id_key, client_secret_key } = reference.clone();
        let read = Self {
            secret: name.unwrap_or_default(),
            client_id_key: client_id_key.unwrap_or_else(|| Published::ClientId.data_key().to_owned()),
            client_secret_key: client_secret_key.unwrap_or_else(|| Published::ClientSecret.data_key().to_owned()),
        };
        let field = |name: &str| format!("spec.adopt.credentialSecretRef.{name}");
        problems.check(&field("name"), syntax::object_name(&read.secret));
        problems.check(&field("clientIdKey"), syntax::data_key(&read.client_id_key));
        problems.check(&field("clientSecretKey"), syntax::data_key(&read.client_secret_key));
        read
    }
}

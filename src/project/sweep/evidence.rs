//! What etcd holds for the object that a marker names, read live. Absence is proved, never inferred.

use jiff::Timestamp;
use k8s_openapi::api::core::v1::Secret;
use kube::api::ListParams;
use kube::{Api, Client, ResourceExt};

use crate::api::OAuthClient;
use crate::api::names::{CLIENT_ID_ANNOTATION, OAUTH_CLIENT_LABEL, OWNER_UID_ANNOTATION, RETAINED_ANNOTATION};
use crate::decide::client::desired::Essentials;
use crate::decide::client::holders::Holders;
use crate::decide::client::observed::{self, CrdState, Object};
use crate::decide::client::{object, secret};
use crate::decide::id::ClientId;
use crate::decide::marker::Owner;
use crate::decide::orphan::judge::OwnerState;
use crate::kubernetes::crd::crd_state;
use crate::kubernetes::{KubernetesError, within};

/// What was found of the object that a marker names: an [`OwnerState`] that owns its data.
#[derive(Debug)]
pub(super) enum Testimony {
    Present { object: Box<Object>, secret: observed::Secret, deleting: bool },
    Inherited,
    Gone { retained: bool },
    Undefined,
    Unknown,
}

impl Testimony {
    pub(super) fn state(&self) -> OwnerState<'_> {
        match self {
            Self::Present { object, secret, deleting } => OwnerState::Present { object, secret, deleting: *deleting },
            Self::Inherited => OwnerState::Inherited,
            Self::Gone { retained } => OwnerState::Gone { retained: *retained },
            Self::Undefined => OwnerState::Undefined,
            Self::Unknown => OwnerState::Unknown,
        }
    }
}

/// The witness of one sweep, which asks the API server.
pub(super) struct Witness<'a> {
    requests: &'a Client,
    now: Timestamp,
    /// The state of the CRD as told last; `Some(None)`: the API server does not tell.
    crd: Option<Option<CrdState>>,
    /// Whether the API server could not be reached: asking for the next object would only cost time.
    unreachable: bool,
}

impl<'a> Witness<'a> {
    pub(super) fn new(requests: &'a Client, now: Timestamp) -> Self {
        Self { requests, now, crd: None, unreachable: false }
    }

    /// Finds out what became of the object of a client. Before a deletion the CRD is read `anew`, and after the object,
    /// since a CRD that goes takes its objects along.
    pub(super) async fn testify(&mut self, client_id: &ClientId, owner: &Owner, anew: bool) -> Testimony {
        if self.unreachable {
            return Testimony::Unknown;
        }
        match self.find(client_id, owner).await {
            Ok(Some(found)) => found,
            Ok(None) => self.absent(client_id, owner, anew).await,
            Err(Unknown { reached }) => {
                self.unreachable = !reached;
                Testimony::Unknown
            }
        }
    }

    /// Reads the object; `None` if the API server says that there is none, or shows one of another uid.
    async fn find(&self, client_id: &ClientId, owner: &Owner) -> Result<Option<Testimony>, Unknown> {
        let Owner { cluster: _, namespace, name, uid } = owner;
        // The marker is text from outside, and becomes part of a path.
        if !is_name(namespace) || !is_name(name) {
            return Err(Unknown { reached: true });
        }
        let objects: Api<OAuthClient> = Api::namespaced(self.requests.clone(), namespace);
        match within("read the OAuthClient of a marker", objects.get(name)).await {
            Ok(object) if object.metadata.uid.as_deref() == Some(uid.as_str()) => {
                self.with_secret(&object, owner).await.map(Some)
            }
            Ok(another) if speaks_for(&another, client_id) => Ok(Some(Testimony::Inherited)),
            Ok(_) => Ok(None),
            Err(error) if error.proves_absence_of::<OAuthClient>(name) => Ok(None),
            Err(error) => Err(Unknown::of(&error)),
        }
    }

    async fn with_secret(&self, object: &OAuthClient, owner: &Owner) -> Result<Testimony, Unknown> {
        let name = Essentials::read(&object.spec, &object.name_any()).secret_name;
        if !is_name(&name) {
            return Err(Unknown { reached: true });
        }
        let secrets: Api<Secret> = Api::namespaced(self.requests.clone(), &owner.namespace);
        let stored = match within("read the Secret of a marker's OAuthClient", secrets.get(&name)).await {
            Ok(secret) => Some(secret),
            Err(error) if error.proves_absence_of::<Secret>(&name) => None,
            Err(error) => return Err(Unknown::of(&error)),
        };
        let facts = object::facts(object, &Holders::Unseen, self.now);
        let secret = secret::view(stored.as_ref(), &facts.uid, &facts.recorded, None);
        let deleting = object.metadata.deletion_timestamp.is_some();
        Ok(Testimony::Present { object: Box::new(facts), secret, deleting })
    }

    /// What the object's absence proves: something only while the CRD is established.
    async fn absent(&mut self, client_id: &ClientId, owner: &Owner, anew: bool) -> Testimony {
        let crd = match self.crd.filter(|_| !anew) {
            Some(crd) => crd,
            None => crd_state(self.requests).await,
        };
        self.crd = Some(crd);
        match crd {
            Some(CrdState::Established) => match self.is_retained(client_id, owner).await {
                Some(retained) => Testimony::Gone { retained },
                None => Testimony::Unknown,
            },
            Some(CrdState::Away) => Testimony::Undefined,
            None => Testimony::Unknown,
        }
    }

    /// Whether a Secret says that the client was retained with it. `None`: the API server does not tell.
    async fn is_retained(&self, client_id: &ClientId, owner: &Owner) -> Option<bool> {
        let secrets: Api<Secret> = Api::namespaced(self.requests.clone(), &owner.namespace);
        let of_that_name = ListParams::default().labels(&format!("{OAUTH_CLIENT_LABEL}={}", owner.name));
        let found =
            within("list the Secrets of a marker's OAuthClient", secrets.list_metadata(&of_that_name)).await.ok()?;
        Some(found.items.iter().any(|secret| {
            let annotation = |key: &str| secret.annotations().get(key).map(String::as_str);
            annotation(RETAINED_ANNOTATION).is_some()
                && annotation(CLIENT_ID_ANNOTATION) == Some(client_id.as_str())
                && annotation(OWNER_UID_ANNOTATION) == Some(owner.uid.as_str())
        }))
    }
}

/// The API server did not tell.
struct Unknown {
    /// Whether the API server was reached at all.
    reached: bool,
}

impl Unknown {
    fn of(error: &KubernetesError) -> Self {
        let reached = match error {
            KubernetesError::Call { source, .. } => {
                !matches!(**source, kube::Error::Service(_) | kube::Error::HyperError(_))
            }
            KubernetesError::Deadline { .. } => false,
        };
        Self { reached }
    }
}

fn speaks_for(object: &OAuthClient, client_id: &ClientId) -> bool {
    let adopted = object.spec.adopt.as_ref().and_then(|adopt| adopt.client_id.as_deref());
    let recorded = object.status.as_ref().and_then(|status| status.client_id.as_deref());
    [adopted, recorded].contains(&Some(client_id.as_str()))
}

fn is_name(text: &str) -> bool {
    let plain = |byte: u8| byte.is_ascii_lowercase() || byte.is_ascii_digit() || matches!(byte, b'-' | b'.');
    text.bytes().all(plain) && text.bytes().any(|byte| byte.is_ascii_alphanumeric())
}

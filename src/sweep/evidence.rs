//! What etcd holds for the object that a marker names, read live. Absence is proved, never inferred.

use k8s_openapi::api::core::v1::Secret;
use k8s_openapi::apiextensions_apiserver::pkg::apis::apiextensions::v1::CustomResourceDefinition;
use kube::{Api, Client};

use crate::api::OAuthClient;
use crate::decide::marker::Owner;
use crate::reconcile::failures::{KubernetesError, within};
use crate::reconcile::secret_name;

const CRD: &str = "oauthclients.meshagent.com";

/// Whether the object that a marker names is there.
#[derive(Debug)]
pub(super) enum Found {
    /// The API server itself says that it is not, or one of another uid is. Proves something only while the definition
    /// is [`Definition::Established`].
    Absent,
    /// It is; with its Secret, if there is one.
    Present(Box<OAuthClient>, Option<Box<Secret>>),
    /// Not known.
    Unknown {
        /// Whether the API server was reached. If not, asking for the next object would only cost time.
        reached: bool,
    },
}

/// Whether the API server keeps OAuthClients at all.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Definition {
    /// It does: one that is not there is gone.
    Established,
    /// The CRD is gone, going or not served: its objects went with it, and nobody deleted them one by one.
    Away,
    /// Not known.
    Unknown,
}

/// Looks for the object, and then for its Secret.
pub(super) async fn look_for(owner: &Owner, requests: &Client) -> Found {
    let Owner { cluster: _, namespace, name, uid } = owner;
    // The marker is text from outside, and stands in a path.
    if !is_name(namespace) || !is_name(name) {
        return Found::Unknown { reached: true };
    }
    let objects: Api<OAuthClient> = Api::namespaced(requests.clone(), namespace);
    match within("read the OAuthClient of a marker", objects.get(name)).await {
        Ok(object) if object.metadata.uid.as_deref() == Some(uid.as_str()) => {
            with_secret(object, owner, requests).await
        }
        Ok(_) => Found::Absent,
        Err(error) if error.proves_absence_of::<OAuthClient>(name) => Found::Absent,
        Err(error) => unknown(&error),
    }
}

async fn with_secret(object: OAuthClient, owner: &Owner, requests: &Client) -> Found {
    let name = secret_name(&object);
    if !is_name(&name) {
        return Found::Unknown { reached: true };
    }
    let secrets: Api<Secret> = Api::namespaced(requests.clone(), &owner.namespace);
    match within("read the Secret of a marker's OAuthClient", secrets.get(&name)).await {
        Ok(secret) => Found::Present(Box::new(object), Some(Box::new(secret))),
        Err(error) if error.proves_absence_of::<Secret>(&name) => Found::Present(Box::new(object), None),
        Err(error) => unknown(&error),
    }
}

/// Asks for the definition of OAuthClients.
pub(super) async fn definition(requests: &Client) -> Definition {
    let crds: Api<CustomResourceDefinition> = Api::all(requests.clone());
    let crd = match within("read the CRD", crds.get(CRD)).await {
        Ok(crd) => crd,
        Err(error) if error.proves_absence_of::<CustomResourceDefinition>(CRD) => return Definition::Away,
        Err(_) => return Definition::Unknown,
    };
    let conditions = crd.status.as_ref().and_then(|status| status.conditions.as_deref()).unwrap_or_default();
    let holds = |type_| conditions.iter().any(|found| found.type_ == type_ && found.status == "True");
    if crd.metadata.deletion_timestamp.is_none() && holds("Established") && !holds("Terminating") {
        Definition::Established
    } else {
        Definition::Away
    }
}

fn unknown(error: &KubernetesError) -> Found {
    let reached = match error {
        KubernetesError::Call { source, .. } => {
            !matches!(**source, kube::Error::Service(_) | kube::Error::HyperError(_))
        }
        KubernetesError::Deadline { .. } => false,
    };
    Found::Unknown { reached }
}

fn is_name(text: &str) -> bool {
    let plain = |byte: u8| byte.is_ascii_lowercase() || byte.is_ascii_digit() || matches!(byte, b'-' | b'.');
    text.bytes().all(plain) && text.bytes().any(|byte| byte.is_ascii_alphanumeric())
}

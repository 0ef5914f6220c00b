//! What etcd holds for the object that a marker names, read live. Absence is proved, never inferred.

use k8s_openapi::api::core::v1::Secret;
use kube::api::ListParams;
use kube::{Api, Client, ResourceExt};

use crate::api::OAuthClient;
use crate::api::names::{CLIENT_ID_ANNOTATION, OAUTH_CLIENT_LABEL, OWNER_UID_ANNOTATION, RETAINED_ANNOTATION};
use crate::client::secret_name;
use crate::decide::id::ClientId;
use crate::decide::marker::Owner;
use crate::kubernetes::{KubernetesError, within};

/// Whether the object that a marker names is there.
#[derive(Debug)]
pub(super) enum Found {
    /// The API server itself says that it is not, or one of another uid is. Proves something only while the definition
    /// is [`CrdState::Established`](crate::decide::client::observed::CrdState).
    Absent,
    /// Another of its name is there, and adopts or has adopted the client.
    Inherited,
    /// It is; with its Secret, if there is one.
    Present(Box<OAuthClient>, Option<Box<Secret>>),
    /// Not known.
    Unknown {
        /// Whether the API server was reached. If not, asking for the next object would only cost time.
        reached: bool,
    },
}

/// Looks for the object, and then for its Secret.
pub(super) async fn look_for(client_id: &ClientId, owner: &Owner, requests: &Client) -> Found {
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
        Ok(another) if speaks_for(&another, client_id) => Found::Inherited,
        Ok(_) => Found::Absent,
        Err(error) if error.proves_absence_of::<OAuthClient>(name) => Found::Absent,
        Err(error) => unknown(&error),
    }
}

fn speaks_for(object: &OAuthClient, client_id: &ClientId) -> bool {
    let adopted = object.spec.adopt.as_ref().and_then(|adopt| adopt.client_id.as_deref());
    let recorded = object.status.as_ref().and_then(|status| status.client_id.as_deref());
    [adopted, recorded].contains(&Some(client_id.as_str()))
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

/// Whether a Secret says that the client was left behind with it. `None`: the API server does not tell.
pub(super) async fn is_retained(client_id: &ClientId, owner: &Owner, requests: &Client) -> Option<bool> {
    let secrets: Api<Secret> = Api::namespaced(requests.clone(), &owner.namespace);
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

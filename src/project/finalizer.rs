//! The finalizer of a project in use: the project does not vanish under its OAuthClients, nor does the key in memory
//! with which their clients are deleted.

use kube::api::{Patch, PatchParams};
use kube::{Client, ResourceExt};
use serde_json::json;

use super::object::ProjectObject;
use crate::api::names::{MANAGER, PROJECT_FINALIZER};
use crate::kubernetes::{KubernetesError, within};

/// Whether our finalizer is on the object.
#[must_use]
pub fn is_on(object: &impl ResourceExt) -> bool {
    object.finalizers().iter().any(|finalizer| finalizer == PROJECT_FINALIZER)
}

/// Whether the object is being deleted.
#[must_use]
pub fn is_deleted(object: &impl ResourceExt) -> bool {
    object.meta().deletion_timestamp.is_some()
}

/// Puts the finalizer on, also after somebody's `kubectl replace` took it off. Returns the object if that changed it.
///
/// # Errors
/// Returns the error of the write.
pub async fn add<K: ProjectObject>(requests: &Client, object: &K) -> Result<Option<K>, KubernetesError> {
    if is_deleted(object) || is_on(object) {
        return Ok(None);
    }
    let finalizers = object.finalizers().iter().cloned().chain([PROJECT_FINALIZER.to_owned()]).collect();
    write(requests, object, finalizers).await.map(Some)
}

/// Takes the finalizer off.
///
/// # Errors
/// Returns the error of the write.
pub async fn remove<K: ProjectObject>(requests: &Client, object: &K) -> Result<K, KubernetesError> {
    let mut finalizers = object.finalizers().to_vec();
    finalizers.retain(|finalizer| finalizer != PROJECT_FINALIZER);
    write(requests, object, finalizers).await
}

async fn write<K: ProjectObject>(requests: &Client, object: &K, finalizers: Vec<String>) -> Result<K, KubernetesError> {
    let patch = json!({ "metadata": { "resourceVersion": object.resource_version(), "finalizers": finalizers } });
    let api = K::api(requests.clone(), object.namespace().as_deref());
    let params = PatchParams { field_manager: Some(MANAGER.to_owned()), ..PatchParams::default() };
    let patch = Patch::Merge(patch);
    within("write the project's finalizer", api.patch(&object.name_any(), &params, &patch)).await
}

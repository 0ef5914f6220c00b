//! Workloads at the API server: found by what made a pod, read, and patched.

use k8s_openapi::api::apps::v1::ReplicaSet;
use k8s_openapi::api::core::v1::ObjectReference;
use k8s_openapi::apimachinery::pkg::apis::meta::v1::OwnerReference;
use kube::api::{Patch, PatchParams};
use kube::core::DynamicObject;
use kube::{Api, Client, ResourceExt as _};
use serde_json::Value;

use crate::api::names::MANAGER;
use crate::decide::client::holders::{Holder, controller};
use crate::decide::restart::{REPLICA_SET_REVISION, Workload, WorkloadKind};
use crate::kubernetes::{KubernetesError, within};

/// A workload that can be restarted.
#[derive(Clone)]
pub(super) struct Target {
    pub(super) kind: WorkloadKind,
    pub(super) reference: ObjectReference,
}

impl Target {
    pub(super) fn uid(&self) -> &str {
        self.reference.uid.as_deref().unwrap_or_default()
    }

    fn name(&self) -> &str {
        self.reference.name.as_deref().unwrap_or_default()
    }
}

pub(super) struct Workloads {
    requests: Client,
}

impl Workloads {
    pub(super) fn new(requests: Client) -> Self {
        Self { requests }
    }

    /// What would make a pod anew, and the revision that it made the pod by: of a ReplicaSet, its Deployment or Rollout.
    /// `None`: it is gone.
    pub(super) async fn maker(
        &self,
        namespace: &str,
        owner: &OwnerReference,
        pod: &Holder,
    ) -> Result<Option<(OwnerReference, Option<String>)>, KubernetesError> {
        if owner.kind != "ReplicaSet" || !owner.api_version.starts_with("apps/") {
            return Ok(Some((owner.clone(), pod.revision.clone())));
        }
        let sets: Api<ReplicaSet> = Api::namespaced(self.requests.clone(), namespace);
        let set = found(within("read a ReplicaSet", sets.get_metadata(&owner.name)).await)?;
        Ok(set.filter(|set| set.uid().as_ref() == Some(&owner.uid)).map(|set| {
            let revision = set.annotations().get(REPLICA_SET_REVISION).cloned();
            (controller(&set.metadata).cloned().unwrap_or_else(|| owner.clone()), revision)
        }))
    }

    /// The workload as it is now; `None` if it is gone.
    pub(super) async fn read(&self, target: &Target) -> Result<Option<Workload>, KubernetesError> {
        let object = found(within("read a workload", self.api(target).get(target.name())).await)?;
        let is_same = |object: &DynamicObject| object.metadata.uid.as_deref() == Some(target.uid());
        Ok(object.filter(is_same).map(|object| Workload::new(target.kind, object)))
    }

    /// Patches a workload, and returns whether that was done: somebody may have changed or deleted it meanwhile.
    pub(super) async fn patch(&self, target: &Target, patch: &Value) -> Result<bool, KubernetesError> {
        let manager = PatchParams { field_manager: Some(MANAGER.to_owned()), ..PatchParams::default() };
        let (api, patch) = (self.api(target), Patch::Merge(patch));
        match within("restart a workload", api.patch(target.name(), &manager, &patch)).await {
            Err(error) if error.is_conflict() => Ok(false),
            answer => found(answer).map(|found| found.is_some()),
        }
    }

    fn api(&self, target: &Target) -> Api<DynamicObject> {
        let namespace = target.reference.namespace.as_deref().unwrap_or_default();
        Api::namespaced_with(self.requests.clone(), namespace, &target.kind.resource())
    }
}

/// What was found; `None` if the API server answers that it is not there.
fn found<T>(answer: Result<T, KubernetesError>) -> Result<Option<T>, KubernetesError> {
    match answer {
        Ok(found) => Ok(Some(found)),
        Err(error) if error.status().is_some_and(|status| status.code == 404) => Ok(None),
        Err(error) => Err(error),
    }
}

/// What the API server said of a change that it does not take; `None` if nobody knows whether it has, or it is busy.
pub(super) fn refusal(error: &KubernetesError) -> Option<&str> {
    let status = error.status().filter(|status| matches!(status.code, 400 | 403 | 404..=407 | 410..=428))?;
    Some(&status.message)
}

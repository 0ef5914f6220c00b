//! Workloads that can be restarted, and what of them decides.

use jiff::Timestamp;
use k8s_openapi::apimachinery::pkg::apis::meta::v1::OwnerReference;
use kube::core::{ApiResource, DynamicObject};
use serde_json::Value;

use crate::api::names::{CREDENTIAL_ANNOTATION, OAUTH_CLIENT_LABEL, SECRET_NAME_ANNOTATION};
use crate::decide::client::holders::controller;
use crate::decide::published::secret_of_pod;

/// On a ReplicaSet, and on the Deployment that it is the latest of: the same number.
pub const REPLICA_SET_REVISION: &str = "deployment.kubernetes.io/revision";

/// A kind of workload that can be restarted.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub enum WorkloadKind {
    Deployment,
    StatefulSet,
    DaemonSet,
    /// Of Argo Rollouts.
    Rollout,
}

impl WorkloadKind {
    /// The kind of an owner, if it is one of them.
    #[must_use]
    pub fn of(owner: &OwnerReference) -> Option<Self> {
        let group = owner.api_version.split_once('/').map_or("", |(group, _)| group);
        match (group, owner.kind.as_str()) {
            ("apps", "Deployment") => Some(Self::Deployment),
            ("apps", "StatefulSet") => Some(Self::StatefulSet),
            ("apps", "DaemonSet") => Some(Self::DaemonSet),
            ("argoproj.io", "Rollout") => Some(Self::Rollout),
            _ => None,
        }
    }

    /// The resource that the API server keeps the kind under.
    #[must_use]
    pub fn resource(self) -> ApiResource {
        let (group, version, kind) = match self {
            Self::Deployment => ("apps", "v1", "Deployment"),
            Self::StatefulSet => ("apps", "v1", "StatefulSet"),
            Self::DaemonSet => ("apps", "v1", "DaemonSet"),
            Self::Rollout => ("argoproj.io", "v1alpha1", "Rollout"),
        };
        ApiResource::from_gvk(&kube::core::GroupVersionKind::gvk(group, version, kind))
    }
}

/// A workload as the API server shows it.
#[derive(Clone, Debug)]
pub struct Workload {
    pub(super) kind: WorkloadKind,
    pub(super) object: DynamicObject,
}

impl Workload {
    #[must_use]
    pub fn new(kind: WorkloadKind, object: DynamicObject) -> Self {
        Self { kind, object }
    }

    pub(super) fn name(&self) -> &str {
        self.object.metadata.name.as_deref().unwrap_or_default()
    }

    pub(super) fn namespace(&self) -> &str {
        self.object.metadata.namespace.as_deref().unwrap_or_default()
    }

    pub(super) fn version(&self) -> Option<&str> {
        self.object.metadata.resource_version.as_deref()
    }

    pub(super) fn is_being_deleted(&self) -> bool {
        self.object.metadata.deletion_timestamp.is_some()
    }

    pub(super) fn controller(&self) -> Option<&OwnerReference> {
        controller(&self.object.metadata)
    }

    pub(super) fn is_paused(&self) -> bool {
        self.field("/spec/paused") == Some(&Value::Bool(true))
    }

    pub(super) fn has_no_replicas(&self) -> bool {
        self.field("/spec/replicas").and_then(Value::as_i64) == Some(0)
    }

    /// Whether pods are replaced only when somebody deletes them: all, or those below a partition.
    pub(super) fn holds_pods_back(&self) -> bool {
        let is_on_delete = self.field("/spec/updateStrategy/type").and_then(Value::as_str) == Some("OnDelete");
        let partition = self.field("/spec/updateStrategy/rollingUpdate/partition").and_then(Value::as_i64);
        is_on_delete || partition.is_some_and(|partition| partition > 0)
    }

    /// The OAuthClient that the pod template names, if any; `None` if there is no template here.
    pub(super) fn client(&self) -> Option<Option<&str>> {
        let labels = self.field("/spec/template/metadata/labels")?;
        Some(labels.get(OAUTH_CLIENT_LABEL).and_then(Value::as_str))
    }

    /// Whether all pods are of the latest template, and available: the API server shows it once the controller does.
    #[must_use]
    pub fn has_rolled_out(&self) -> bool {
        let status = |field: &str| self.object.data["status"][field].as_i64().unwrap_or(0);
        let wanted = self.field("/spec/replicas").and_then(Value::as_i64).unwrap_or(1);
        let all = |wanted: i64, fields: &[&str]| fields.iter().all(|field| status(field) == wanted);
        self.is_observed()
            && match self.kind {
                WorkloadKind::Deployment | WorkloadKind::StatefulSet => {
                    all(wanted, &["replicas", "updatedReplicas", "availableReplicas"])
                }
                WorkloadKind::DaemonSet => {
                    all(status("desiredNumberScheduled"), &["updatedNumberScheduled", "numberAvailable"])
                }
                WorkloadKind::Rollout => self.time("/status/restartedAt") >= self.restart_at(),
            }
    }

    fn is_observed(&self) -> bool {
        let observed = self.field("/status/observedGeneration").and_then(Value::as_i64);
        observed.zip(self.object.metadata.generation).is_none_or(|(seen, now)| seen >= now)
    }

    /// The client that the pods were restarted for last.
    pub(super) fn restarted_for(&self) -> Option<&str> {
        self.field("/spec/template/metadata/annotations")?.get(CREDENTIAL_ANNOTATION)?.as_str()
    }

    /// The time before which pods of an Argo Rollout are restarted.
    pub(super) fn restart_at(&self) -> Option<Timestamp> {
        self.time("/spec/restartAt")
    }

    fn time(&self, pointer: &str) -> Option<Timestamp> {
        self.field(pointer)?.as_str()?.parse().ok()
    }

    /// The Secret that pods of the present template read; `None` if there is no template here.
    #[must_use]
    pub fn secret(&self, client: &str) -> Option<String> {
        let metadata = self.field("/spec/template/metadata")?;
        Some(secret_of_pod(client, metadata["annotations"][SECRET_NAME_ANNOTATION].as_str()))
    }

    /// Whether a rollout that is under way replaces the pods of a revision: they are not of the latest, or the latest is
    /// not known yet.
    pub(super) fn is_replacing(&self, revision: Option<&str>) -> bool {
        let latest = match self.kind {
            WorkloadKind::Deployment => {
                let annotations = self.object.metadata.annotations.as_ref();
                annotations.and_then(|all| all.get(REPLICA_SET_REVISION)).map(String::as_str)
            }
            WorkloadKind::StatefulSet => self.field("/status/updateRevision").and_then(Value::as_str),
            WorkloadKind::DaemonSet | WorkloadKind::Rollout => None,
        };
        !self.is_observed() || latest.zip(revision).is_some_and(|(latest, revision)| latest != revision)
    }

    fn field(&self, pointer: &str) -> Option<&Value> {
        self.object.data.pointer(pointer)
    }
}

//! Either kind of project, alike to whoever looks at one.

use std::fmt::Debug;
use std::sync::atomic::{AtomicBool, Ordering};

use kube::runtime::reflector::{ObjectRef, Store};
use kube::{Api, Client, Resource, ResourceExt};
use serde::de::DeserializeOwned;
use tokio::sync::mpsc::UnboundedSender;

use crate::api::project::ProjectStatus;
use crate::api::{ClusterMeshAgentProject, MeshAgentProject, MeshAgentProjectSpec};
use crate::decide::client::desired::ProjectKind;
use crate::project::{Allowed, ProjectKey};

/// Either kind of project.
pub(super) trait Declared:
    Resource<DynamicType = ()> + Clone + Debug + DeserializeOwned + Send + Sync + 'static
{
    /// Which of the two.
    const KIND: ProjectKind;
    fn settings(&self) -> &MeshAgentProjectSpec;
    fn allowed(&self) -> Allowed;
    fn adoption(&self) -> Allowed;
    fn present_status(&self) -> ProjectStatus;
    fn api(client: Client, namespace: Option<&str>) -> Api<Self>;

    fn key(&self) -> ProjectKey {
        ProjectKey { kind: Self::KIND, namespace: self.namespace(), name: self.name_any() }
    }
}

impl Declared for ClusterMeshAgentProject {
    const KIND: ProjectKind = ProjectKind::ClusterMeshAgentProject;

    fn settings(&self) -> &MeshAgentProjectSpec {
        &self.spec.project
    }

    fn allowed(&self) -> Allowed {
        Allowed::read(self.spec.allowed_namespaces.as_ref())
    }

    fn adoption(&self) -> Allowed {
        Allowed::read(self.spec.adoption.as_ref().and_then(|adoption| adoption.allowed_namespaces.as_ref()))
    }

    fn present_status(&self) -> ProjectStatus {
        self.status.clone().unwrap_or_default()
    }

    fn api(client: Client, _: Option<&str>) -> Api<Self> {
        Api::all(client)
    }
}

impl Declared for MeshAgentProject {
    const KIND: ProjectKind = ProjectKind::MeshAgentProject;

    fn settings(&self) -> &MeshAgentProjectSpec {
        &self.spec
    }

    fn allowed(&self) -> Allowed {
        Allowed::Own
    }

    fn adoption(&self) -> Allowed {
        Allowed::Own
    }

    fn present_status(&self) -> ProjectStatus {
        self.status.clone().unwrap_or_default()
    }

    fn api(client: Client, namespace: Option<&str>) -> Api<Self> {
        match namespace {
            Some(namespace) => Api::namespaced(client, namespace),
            None => Api::all(client),
        }
    }
}

/// Projects as declared, so that one that was not looked at yet is not taken for one that is not there.
#[derive(Debug)]
pub(super) struct DeclaredProjects {
    pub(super) cluster: Vec<Store<ClusterMeshAgentProject>>,
    pub(super) namespaced: Vec<Store<MeshAgentProject>>,
    /// What wakes them.
    pub(super) wakes:
        (UnboundedSender<ObjectRef<ClusterMeshAgentProject>>, UnboundedSender<ObjectRef<MeshAgentProject>>),
    pub(super) filled: AtomicBool,
}

impl DeclaredProjects {
    /// Whether there is such a project, or may be.
    pub(super) fn may_exist(&self, key: &ProjectKey) -> bool {
        let found = match key.kind {
            ProjectKind::ClusterMeshAgentProject => find(&self.cluster, key).is_some(),
            ProjectKind::MeshAgentProject => find(&self.namespaced, key).is_some(),
        };
        found || !self.filled.load(Ordering::Acquire)
    }

    /// One of its users is gone: if it is only held for those, it may go as well.
    pub(super) fn lost_a_user(&self, key: &ProjectKey) {
        let (cluster, namespaced) = &self.wakes;
        match key.kind {
            ProjectKind::ClusterMeshAgentProject => wake_if_deleted(find(&self.cluster, key).as_deref(), cluster),
            ProjectKind::MeshAgentProject => wake_if_deleted(find(&self.namespaced, key).as_deref(), namespaced),
        }
    }

    /// Wakes those that wait to be deleted until all their users are known.
    pub(super) fn wake_deleted(&self) {
        let (cluster, namespaced) = &self.wakes;
        self.cluster.iter().flat_map(Store::state).for_each(|object| wake_if_deleted(Some(&*object), cluster));
        self.namespaced.iter().flat_map(Store::state).for_each(|object| wake_if_deleted(Some(&*object), namespaced));
    }
}

fn find<K: Declared>(stores: &[Store<K>], key: &ProjectKey) -> Option<std::sync::Arc<K>> {
    let reference = ObjectRef::new(&key.name);
    let reference = match &key.namespace {
        Some(namespace) => reference.within(namespace),
        None => reference,
    };
    stores.iter().find_map(|store| store.get(&reference))
}

fn wake_if_deleted<K: Declared>(object: Option<&K>, wake: &UnboundedSender<ObjectRef<K>>) {
    if let Some(object) = object.filter(|object| object.meta().deletion_timestamp.is_some()) {
        // The receiver ends at shutdown.
        let _ = wake.send(ObjectRef::from_obj(object));
    }
}

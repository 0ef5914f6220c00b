//! The declared projects: one that was not checked yet is not taken for one that does not exist.

use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};

use kube::runtime::reflector::{ObjectRef, Store};
use tokio::sync::mpsc::UnboundedSender;

use crate::api::{ClusterMeshAgentProject, MeshAgentProject};
use crate::decide::project::reference::{ProjectKey, ProjectKind};
use crate::kubernetes::readable::UnreadableObjects;
use crate::project::ProjectObject;

/// The stores of projects.
#[derive(Debug)]
pub(super) struct DeclaredProjects {
    pub(super) cluster: Vec<Store<ClusterMeshAgentProject>>,
    pub(super) namespaced: Vec<Store<MeshAgentProject>>,
    /// The queues that enqueue a project.
    pub(super) queues:
        (UnboundedSender<ObjectRef<ClusterMeshAgentProject>>, UnboundedSender<ObjectRef<MeshAgentProject>>),
    pub(super) filled: AtomicBool,
    pub(super) unreadable: UnreadableObjects,
}

impl DeclaredProjects {
    /// Whether there is such a project, or may be.
    pub(super) fn may_exist(&self, key: &ProjectKey) -> bool {
        self.is_cached(key) || !self.filled.load(Ordering::Acquire)
    }

    /// What is wrong with a project that could never be decoded.
    pub(super) fn problem(&self, key: &ProjectKey) -> Option<String> {
        if self.is_cached(key) {
            return None;
        }
        let (namespace, name) = (key.namespace.as_deref(), &*key.name);
        match key.kind {
            ProjectKind::ClusterMeshAgentProject => self.unreadable.problem::<ClusterMeshAgentProject>(namespace, name),
            ProjectKind::MeshAgentProject => self.unreadable.problem::<MeshAgentProject>(namespace, name),
        }
    }

    fn is_cached(&self, key: &ProjectKey) -> bool {
        match key.kind {
            ProjectKind::ClusterMeshAgentProject => find(&self.cluster, key).is_some(),
            ProjectKind::MeshAgentProject => find(&self.namespaced, key).is_some(),
        }
    }

    /// Enqueues a project that is being deleted and has lost a user: it may be free to go now.
    pub(super) fn lost_a_user(&self, key: &ProjectKey) {
        let (cluster, namespaced) = &self.queues;
        match key.kind {
            ProjectKind::ClusterMeshAgentProject => enqueue_if_deleted(find(&self.cluster, key).as_deref(), cluster),
            ProjectKind::MeshAgentProject => enqueue_if_deleted(find(&self.namespaced, key).as_deref(), namespaced),
        }
    }

    /// Enqueues a project.
    pub(super) fn enqueue(&self, key: &ProjectKey) {
        let (cluster, namespaced) = &self.queues;
        match key.kind {
            ProjectKind::ClusterMeshAgentProject => {
                find(&self.cluster, key).iter().for_each(|found| send(&**found, cluster));
            }
            ProjectKind::MeshAgentProject => {
                find(&self.namespaced, key).iter().for_each(|found| send(&**found, namespaced));
            }
        }
    }

    /// Enqueues all projects.
    pub(super) fn enqueue_all(&self) {
        let (cluster, namespaced) = &self.queues;
        self.cluster.iter().flat_map(Store::state).for_each(|object| send(&*object, cluster));
        self.namespaced.iter().flat_map(Store::state).for_each(|object| send(&*object, namespaced));
    }

    /// Enqueues the projects that are being deleted: they wait until all their users are known.
    pub(super) fn enqueue_deleted(&self) {
        let (cluster, namespaced) = &self.queues;
        self.cluster.iter().flat_map(Store::state).for_each(|object| enqueue_if_deleted(Some(&*object), cluster));
        self.namespaced.iter().flat_map(Store::state).for_each(|object| enqueue_if_deleted(Some(&*object), namespaced));
    }
}

fn find<K: ProjectObject>(stores: &[Store<K>], key: &ProjectKey) -> Option<Arc<K>> {
    let reference = ObjectRef::new(&key.name);
    let reference = match &key.namespace {
        Some(namespace) => reference.within(namespace),
        None => reference,
    };
    stores.iter().find_map(|store| store.get(&reference))
}

fn enqueue_if_deleted<K: ProjectObject>(object: Option<&K>, queue: &UnboundedSender<ObjectRef<K>>) {
    if let Some(object) = object.filter(|object| object.meta().deletion_timestamp.is_some()) {
        send(object, queue);
    }
}

fn send<K: ProjectObject>(object: &K, queue: &UnboundedSender<ObjectRef<K>>) {
    // The receiver ends at shutdown.
    let _ = queue.send(ObjectRef::from_obj(object));
}

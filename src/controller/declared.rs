//! Either kind of project, alike to whoever looks at one.

use std::fmt::Debug;

use kube::{Api, Client, Resource, ResourceExt};
use serde::de::DeserializeOwned;

use crate::api::project::ProjectStatus;
use crate::api::{ClusterMeshAgentProject, MeshAgentProject, MeshAgentProjectSpec};
use crate::decide::desired::ProjectKind;
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

//! The two kinds of projects behind one trait.

use std::fmt::Debug;

use kube::{Api, Client, Resource, ResourceExt};
use serde::de::DeserializeOwned;

use crate::api::project::ProjectStatus;
use crate::api::{ClusterMeshAgentProject, MeshAgentProject};
use crate::decide::problem::InvalidSpec;
use crate::decide::project::access::Allowed;
use crate::decide::project::reference::{ProjectKey, ProjectKind};
use crate::decide::project::spec::ProjectSettings;
use crate::kubernetes::readable::Readable;
use crate::kubernetes::scoped;

/// Either kind of project.
pub trait ProjectObject:
    Resource<DynamicType = ()> + Clone + PartialEq + Debug + DeserializeOwned + Send + Sync + 'static
{
    /// The kind.
    const KIND: ProjectKind;
    /// The settings by which the project is reached, if its spec is valid.
    fn settings(&self) -> Result<ProjectSettings, InvalidSpec>;
    /// Who may use the project.
    fn allowed(&self) -> Allowed;
    /// Who may adopt clients that the project holds already.
    fn adoption(&self) -> Allowed;
    /// The status as cached; empty if there is none yet.
    fn present_status(&self) -> ProjectStatus;
    /// The API of all objects of the kind, or of those in a namespace.
    fn api(client: Client, namespace: Option<&str>) -> Api<Self>;
    /// The same API, for a watch.
    fn watched(client: Client, namespace: Option<&str>) -> Api<Readable<Self>>;

    /// The key that names the project in the cluster.
    fn key(&self) -> ProjectKey {
        ProjectKey { kind: Self::KIND, namespace: self.namespace(), name: self.name_any().into() }
    }
}

impl ProjectObject for ClusterMeshAgentProject {
    const KIND: ProjectKind = ProjectKind::ClusterMeshAgentProject;

    fn settings(&self) -> Result<ProjectSettings, InvalidSpec> {
        ProjectSettings::read_cluster(&self.spec)
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

    fn watched(client: Client, _: Option<&str>) -> Api<Readable<Self>> {
        Api::all(client)
    }
}

impl ProjectObject for MeshAgentProject {
    const KIND: ProjectKind = ProjectKind::MeshAgentProject;

    fn settings(&self) -> Result<ProjectSettings, InvalidSpec> {
        ProjectSettings::read(&self.spec)
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
        scoped(client, namespace)
    }

    fn watched(client: Client, namespace: Option<&str>) -> Api<Readable<Self>> {
        scoped(client, namespace)
    }
}

//! Which project an OAuthClient names.

use std::fmt;

use crate::api::OAuthClient;
use crate::api::oauth_client::ProjectRef as ProjectRefSpec;
use crate::decide::problem::Problems;
use crate::decide::syntax;

/// The kinds of project.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub enum ProjectKind {
    /// A project for the OAuthClients of its own namespace.
    MeshAgentProject,
    /// A project for the OAuthClients of the namespaces that it allows.
    ClusterMeshAgentProject,
}

impl ProjectKind {
    const ALL: [Self; 2] = [Self::MeshAgentProject, Self::ClusterMeshAgentProject];

    /// The kind as it is written in manifests.
    #[must_use]
    pub const fn as_str(self) -> &'static str {
        match self {
            Self::MeshAgentProject => "MeshAgentProject",
            Self::ClusterMeshAgentProject => "ClusterMeshAgentProject",
        }
    }

    /// The resource's short name, as kubectl takes it.
    #[must_use]
    pub const fn short_name(self) -> &'static str {
        match self {
            Self::MeshAgentProject => "maproj",
            Self::ClusterMeshAgentProject => "cmaproj",
        }
    }
}

/// The cluster project that OAuthClients without a reference use.
pub const DEFAULT_PROJECT: &str = "default";

/// Which object declares a client's project.
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct ProjectRef {
    pub kind: ProjectKind,
    /// The object's name; a [`ProjectKind::MeshAgentProject`] is in the OAuthClient's namespace.
    pub name: String,
}

impl Default for ProjectRef {
    fn default() -> Self {
        Self { kind: ProjectKind::ClusterMeshAgentProject, name: DEFAULT_PROJECT.to_owned() }
    }
}

impl ProjectRef {
    /// Reads `spec.projectRef` of an OAuthClient.
    pub(in crate::decide) fn read(reference: Option<&ProjectRefSpec>, problems: &mut Problems) -> Self {
        let read = Self::unjudged(reference);
        if let Some(ProjectRefSpec { kind, .. }) = reference {
            let kinds = ProjectKind::ALL.map(ProjectKind::as_str);
            problems.one_of("spec.projectRef.kind", kind.as_deref().unwrap_or_default(), &kinds);
            problems.check("spec.projectRef.name", syntax::object_name(&read.name));
        }
        read
    }

    /// A kind that the API does not know counts as the cluster's: such a spec is refused, but its object must still be
    /// deletable.
    fn unjudged(reference: Option<&ProjectRefSpec>) -> Self {
        let Some(ProjectRefSpec { kind, name }) = reference else {
            return Self::default();
        };
        let kind = ProjectKind::ALL.into_iter().find(|known| kind.as_deref() == Some(known.as_str()));
        Self { kind: kind.unwrap_or(ProjectKind::ClusterMeshAgentProject), name: name.clone().unwrap_or_default() }
    }
}

/// The name of a project in the cluster.
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct ProjectKey {
    pub kind: ProjectKind,
    /// The namespace; `None` for a cluster project.
    pub namespace: Option<String>,
    pub name: Box<str>,
}

impl fmt::Display for ProjectKey {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let Self { kind, namespace, name } = self;
        match namespace {
            Some(namespace) => write!(f, "{} {namespace}/{name}", kind.as_str()),
            None => write!(f, "{} {name}", kind.as_str()),
        }
    }
}

impl ProjectKey {
    /// The project that an OAuthClient names, whether or not its spec is valid.
    #[must_use]
    pub fn of(object: &OAuthClient) -> Self {
        let ProjectRef { kind, name } = ProjectRef::unjudged(object.spec.project_ref.as_ref());
        let namespace = match kind {
            ProjectKind::MeshAgentProject => object.metadata.namespace.clone(),
            ProjectKind::ClusterMeshAgentProject => None,
        };
        Self { kind, namespace, name: name.into() }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use serde_json::json;

    #[test]
    fn an_object_names_its_project_even_if_its_spec_is_broken() {
        let named = |reference| {
            let mut object = OAuthClient::new("web", crate::api::OAuthClientSpec::default());
            object.metadata.namespace = Some("shop".to_owned());
            object.spec.project_ref = serde_json::from_value(reference).unwrap();
            ProjectKey::of(&object).to_string()
        };
        assert_eq!(named(json!(null)), "ClusterMeshAgentProject default");
        assert_eq!(named(json!({ "kind": "MeshAgentProject", "name": "mine" })), "MeshAgentProject shop/mine");
        assert_eq!(named(json!({ "kind": "ClusterMeshAgentProject", "name": "prod" })), "ClusterMeshAgentProject prod");
        assert_eq!(named(json!({ "kind": "Project", "name": "prod" })), "ClusterMeshAgentProject prod");
    }
}

//! Which project an OAuthClient may use, and how.

use std::collections::{BTreeMap, HashMap};
use std::sync::{Arc, PoisonError, RwLock};

use k8s_openapi::api::core::v1::Namespace;
use kube::ResourceExt;
use kube::core::{PartialObjectMeta, Selector, SelectorExt};
use kube::runtime::reflector::{ObjectRef, Store};

use super::snapshot::Snapshot;
use crate::api::project::AllowedNamespaces;
use crate::api::{OAuthClient, Reason};
use crate::decide::desired::{ProjectKind, ProjectRef};
use crate::decide::failure::Failure;
use crate::meshagent::MeshAgent;

/// The name of a project in the cluster.
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct ProjectKey {
    /// Its kind.
    pub kind: ProjectKind,
    /// Its namespace; none for the cluster's.
    pub namespace: Option<String>,
    /// Its name.
    pub name: String,
}

impl std::fmt::Display for ProjectKey {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        let Self { kind, namespace, name } = self;
        match namespace {
            Some(namespace) => write!(f, "{} {namespace}/{name}", kind.as_str()),
            None => write!(f, "{} {name}", kind.as_str()),
        }
    }
}

impl ProjectKey {
    /// The project that an OAuthClient names. A kind that the API does not know counts as the cluster's: such a spec is
    /// refused elsewhere.
    #[must_use]
    pub fn of(object: &OAuthClient) -> Self {
        let default = ProjectRef::default();
        let Some(reference) = &object.spec.project_ref else {
            return Self { kind: default.kind, namespace: None, name: default.name };
        };
        let name = reference.name.clone().unwrap_or_default();
        match reference.kind.as_deref() {
            Some("MeshAgentProject") => {
                Self { kind: ProjectKind::MeshAgentProject, namespace: object.namespace(), name }
            }
            Some(_) | None => Self { kind: ProjectKind::ClusterMeshAgentProject, namespace: None, name },
        }
    }
}

/// A project that can be called.
#[derive(Debug)]
pub struct Project {
    /// Calls it, with the key that worked last.
    pub api: MeshAgent,
    /// Its id at MeshAgent.
    pub project_id: String,
    /// Where users sign in.
    pub authorize_url: String,
    /// Where codes become tokens.
    pub token_url: String,
    /// Its clients.
    pub snapshot: Arc<Snapshot>,
}

/// Which namespaces may use a project.
#[derive(Clone, Debug)]
pub enum Allowed {
    /// The one that it is in.
    Own,
    /// Those that are named or have matching labels.
    Some {
        /// By name.
        names: Vec<String>,
        /// By label.
        selector: Option<Selector>,
    },
}

impl Allowed {
    /// Reads `allowedNamespaces` of a cluster project. Left out means none; an empty selector means all.
    #[must_use]
    pub fn read(allowed: Option<&AllowedNamespaces>) -> Self {
        let AllowedNamespaces { names, selector } = allowed.cloned().unwrap_or_default();
        // A selector that cannot be read selects nothing.
        let selector = selector.and_then(|selector| Selector::try_from(selector).ok());
        Self::Some { names: names.unwrap_or_default(), selector }
    }

    fn allows(&self, namespace: &str, labels: &BTreeMap<String, String>) -> bool {
        match self {
            Self::Own => true,
            Self::Some { names, selector } => {
                names.iter().any(|name| name == namespace)
                    || selector.as_ref().is_some_and(|selector| selector.matches(labels))
            }
        }
    }
}

/// What this process knows of a project.
#[derive(Clone, Debug)]
pub struct Known {
    /// How to call it, with the last key that worked; kept while the key or the object is away.
    pub project: Option<Arc<Project>>,
    /// Why it is not Ready.
    pub failure: Option<Failure>,
    /// Who may use it.
    pub allowed: Allowed,
}

/// The project of an OAuthClient.
#[derive(Clone, Debug)]
pub struct Resolution {
    /// How to call it.
    pub project: Option<Arc<Project>>,
    /// Why it may not be used now.
    pub failure: Option<Failure>,
}

/// All projects.
#[derive(Clone, Debug)]
pub struct Projects {
    known: Arc<RwLock<HashMap<ProjectKey, Known>>>,
    namespaces: Store<PartialObjectMeta<Namespace>>,
}

impl Projects {
    /// Knows no project yet. The store holds the labels of all namespaces.
    #[must_use]
    pub fn new(namespaces: Store<PartialObjectMeta<Namespace>>) -> Self {
        Self { known: Arc::default(), namespaces }
    }

    /// What is known of a project.
    #[must_use]
    pub fn get(&self, key: &ProjectKey) -> Option<Known> {
        self.known.read().unwrap_or_else(PoisonError::into_inner).get(key).cloned()
    }

    /// Puts down what is known now. Returns whether its usability changed.
    pub fn put(&self, key: &ProjectKey, known: Known) -> bool {
        let mut all = self.known.write().unwrap_or_else(PoisonError::into_inner);
        let failure = known.failure.clone();
        let before = all.insert(key.clone(), known);
        before.is_none_or(|before| before.failure != failure)
    }

    /// The object is gone; its last connection stays, for the clients that are deleted with it.
    pub fn gone(&self, key: &ProjectKey) {
        let mut all = self.known.write().unwrap_or_else(PoisonError::into_inner);
        let project = all.remove(key).and_then(|known| known.project);
        if project.is_some() {
            let known = Known { project, failure: Some(not_found(key)), allowed: Allowed::read(None) };
            all.insert(key.clone(), known);
        }
    }

    /// The project of an OAuthClient, `exists` saying whether there is such an object. `None`: this process has not
    /// looked at it yet, so nothing may be said.
    #[must_use]
    pub fn resolve(&self, object: &OAuthClient, deleting: bool, exists: bool) -> Option<Resolution> {
        let key = ProjectKey::of(object);
        let Some(Known { project, failure, allowed }) = self.get(&key) else {
            return (!exists).then(|| Resolution { project: None, failure: Some(not_found(&key)) });
        };
        let namespace = object.namespace().unwrap_or_default();
        let allowed = self.allows(&allowed, &namespace);
        let failure = match (failure, deleting && project.is_some()) {
            // The key that worked last is good enough to clean up with.
            (Some(failure), true) if is_about_the_object(failure.reason) => None,
            (None, true) => None,
            (None, false) if !allowed => Some(not_allowed(&key, &namespace)),
            (failure, _) => failure,
        };
        Some(Resolution { project, failure })
    }

    fn allows(&self, allowed: &Allowed, namespace: &str) -> bool {
        let found = self.namespaces.get(&ObjectRef::new(namespace));
        let labels = found.map(|namespace| namespace.labels().clone()).unwrap_or_default();
        allowed.allows(namespace, &labels)
    }
}

fn is_about_the_object(reason: Reason) -> bool {
    matches!(reason, Reason::ProjectNotFound | Reason::CredentialsNotFound)
}

fn not_found(key: &ProjectKey) -> Failure {
    Failure::wait(Reason::ProjectNotFound, format!("there is no {key}; create it, or correct spec.projectRef"))
}

fn not_allowed(key: &ProjectKey, namespace: &str) -> Failure {
    Failure::wait(
        Reason::NamespaceNotAllowed,
        format!(
            "{key} does not allow namespace {namespace}; add it to spec.allowedNamespaces of the project (left out means \
             none, selector: {{}} means all)"
        ),
    )
}

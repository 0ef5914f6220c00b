//! Which project an OAuthClient may use, and how.

use std::collections::{BTreeMap, HashMap};
use std::sync::{Arc, PoisonError, RwLock, RwLockWriteGuard};

use k8s_openapi::api::core::v1::Namespace;
use kube::ResourceExt;
use kube::core::{PartialObjectMeta, Selector, SelectorExt};
use kube::runtime::reflector::{ObjectRef, Store};

use super::snapshot::Snapshot;
use crate::api::project::{AllowedNamespaces, Orphan};
use crate::api::{OAuthClient, Reason};
use crate::decide::client::desired::{ProjectKind, ProjectRef};
use crate::decide::failure::{Disposition, Failure};
use crate::meshagent::MeshAgent;
use crate::secret::ApiKey;

/// The name of a project in the cluster.
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct ProjectKey {
    pub kind: ProjectKind,
    /// Its namespace; none for the cluster's.
    pub namespace: Option<String>,
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
    /// That key.
    pub api_key: ApiKey,
    /// The certificates that are trusted besides the public ones, as they were read.
    pub ca_bundle: Option<Vec<u8>>,
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
#[derive(Clone, Debug, PartialEq)]
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
    /// Reads `allowedNamespaces` of a cluster project, or of its `adoption`. Left out means none; an empty selector means
    /// all.
    #[must_use]
    pub fn read(allowed: Option<&AllowedNamespaces>) -> Self {
        let AllowedNamespaces { names, selector } = allowed.cloned().unwrap_or_default();
        // A selector that cannot be read selects nothing.
        let selector = selector.and_then(|selector| Selector::try_from(selector).ok());
        Self::Some { names: names.unwrap_or_default(), selector }
    }

    /// `None` if that depends on labels that are not known.
    fn allows(&self, namespace: &str, labels: Option<&BTreeMap<String, String>>) -> Option<bool> {
        match self {
            Self::Own => Some(true),
            Self::Some { names, selector } => {
                if names.iter().any(|name| name == namespace) {
                    return Some(true);
                }
                let Some(selector) = selector else { return Some(false) };
                if selector.selects_all() {
                    return Some(true);
                }
                labels.map(|labels| selector.matches(labels))
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
    /// Who may take over clients that it holds already.
    pub adoption: Allowed,
}

/// The project of an OAuthClient.
#[derive(Clone, Debug)]
pub struct Resolution {
    /// How to call it.
    pub project: Option<Arc<Project>>,
    /// Why it may not be used now.
    pub failure: Option<Failure>,
    /// Whether the OAuthClient may take over an existing client by `spec.adopt`. False too while that depends on labels
    /// of its namespace that this process has not seen yet; it is woken when they are.
    pub may_adopt: bool,
}

/// All projects.
#[derive(Clone, Debug)]
pub struct Projects {
    known: Arc<RwLock<HashMap<ProjectKey, Known>>>,
    abandoned: Arc<RwLock<HashMap<ProjectKey, Vec<Orphan>>>>,
    namespaces: Store<PartialObjectMeta<Namespace>>,
}

impl Projects {
    /// Knows no project yet. The store holds the labels of all namespaces.
    #[must_use]
    pub fn new(namespaces: Store<PartialObjectMeta<Namespace>>) -> Self {
        Self { known: Arc::default(), abandoned: Arc::default(), namespaces }
    }

    /// Somebody gave up on these clients: they are orphans from now on.
    pub fn abandon(&self, key: &ProjectKey, orphans: Vec<Orphan>) {
        let mut abandoned = self.abandoned.write().unwrap_or_else(PoisonError::into_inner);
        let known = abandoned.entry(key.clone()).or_default();
        known.retain(|known| orphans.iter().all(|orphan| orphan.client_id != known.client_id));
        known.extend(orphans);
    }

    /// The clients that somebody gave up on since this was last asked.
    #[must_use]
    pub fn take_abandoned(&self, key: &ProjectKey) -> Vec<Orphan> {
        self.abandoned.write().unwrap_or_else(PoisonError::into_inner).remove(key).unwrap_or_default()
    }

    /// What is known of a project.
    #[must_use]
    pub fn get(&self, key: &ProjectKey) -> Option<Known> {
        self.known.read().unwrap_or_else(PoisonError::into_inner).get(key).cloned()
    }

    /// Puts down what is known now. Returns whether its users are to be told.
    ///
    /// An outage keeps the words in which it was first put: each try words it a little differently, and each of many
    /// users would write that into its status.
    pub fn put(&self, key: &ProjectKey, mut known: Known) -> bool {
        let mut all = self.write();
        let before = all.get(key).and_then(|before| before.failure.as_ref());
        if let (Some(before), Some(failure)) = (before, known.failure.as_mut())
            && is_passing(before)
            && is_passing(failure)
            && before.reason == failure.reason
        {
            failure.message.clone_from(&before.message);
        }
        let said = |failure: &Failure| (failure.reason, failure.message.clone());
        let changed = !all.contains_key(key) || before.map(said) != known.failure.as_ref().map(said);
        all.insert(key.clone(), known);
        changed
    }

    /// Puts down who may use a project that is known, and who may adopt, which is to count at once, whether its server
    /// answers or not. Returns whether its users are to be told.
    pub fn allow(&self, key: &ProjectKey, allowed: Allowed, adoption: Allowed) -> bool {
        let mut all = self.write();
        let differs = |known: &Known| known.allowed != allowed || known.adoption != adoption;
        let Some(known) = all.get_mut(key).filter(|known| differs(known)) else {
            return false;
        };
        (known.allowed, known.adoption) = (allowed, adoption);
        true
    }

    /// The object is gone. While it is `in_use` its last connection stays, for the clients that are deleted with it.
    pub fn gone(&self, key: &ProjectKey, in_use: bool) {
        let mut all = self.write();
        let project = all.remove(key).and_then(|known| known.project).filter(|_| in_use);
        if project.is_some() {
            let none = Allowed::read(None);
            let known = Known { project, failure: Some(not_found(key)), allowed: none.clone(), adoption: none };
            all.insert(key.clone(), known);
        }
    }

    /// The project of an OAuthClient, `exists` saying whether there is such an object. `None`: this process has not
    /// looked at it or at the namespace yet, so nothing may be said.
    #[must_use]
    pub fn resolve(&self, object: &OAuthClient, deleting: bool, exists: bool) -> Option<Resolution> {
        let key = ProjectKey::of(object);
        let Some(Known { project, failure, allowed, adoption }) = self.get(&key) else {
            let failure = Some(not_found(&key));
            return (!exists).then_some(Resolution { project: None, failure, may_adopt: false });
        };
        let namespace = object.namespace().unwrap_or_default();
        // A watch that was interrupted does not say what was deleted meanwhile.
        let failure = if exists { failure } else { Some(not_found(&key)) };
        let failure = match failure {
            // The key that worked last is good enough to clean up with.
            Some(failure) if deleting && project.is_some() && is_about_the_object(failure.reason) => None,
            Some(failure) if failure.reason == Reason::ProjectNotFound => Some(failure),
            failure if deleting => failure.map(|failure| for_users(&key, failure)),
            failure => {
                if self.allows(&allowed, &namespace)? {
                    failure.map(|failure| for_users(&key, failure))
                } else {
                    Some(not_allowed(&key, &namespace))
                }
            }
        };
        let may_adopt = self.allows(&adoption, &namespace).unwrap_or(false);
        Some(Resolution { project, failure, may_adopt })
    }

    /// `None` if that depends on labels that this process has not seen yet: a namespace that an object is in exists.
    fn allows(&self, allowed: &Allowed, namespace: &str) -> Option<bool> {
        let found = self.namespaces.get(&ObjectRef::new(namespace));
        allowed.allows(namespace, found.as_ref().map(|namespace| namespace.labels()))
    }

    fn write(&self) -> RwLockWriteGuard<'_, HashMap<ProjectKey, Known>> {
        self.known.write().unwrap_or_else(PoisonError::into_inner)
    }
}

/// Whether the failure may pass by itself, so that there will be many tries.
fn is_passing(failure: &Failure) -> bool {
    match failure.disposition {
        Disposition::Retry(_) => true,
        Disposition::Stalled | Disposition::StalledHourly | Disposition::Wait => false,
    }
}

/// A project's failure as its users are told. What is wrong with the project's own spec is no fault of theirs.
fn for_users(key: &ProjectKey, failure: Failure) -> Failure {
    if matches!(failure.reason, Reason::InvalidSpec | Reason::RejectedByAPI) {
        let message = format!("{key} cannot be used ({}): {}", failure.reason.as_str(), failure.message);
        return Failure::wait(Reason::ProjectNotReady, message);
    }
    failure
}

fn is_about_the_object(reason: Reason) -> bool {
    matches!(reason, Reason::ProjectNotFound | Reason::CredentialsNotFound)
}

fn not_found(key: &ProjectKey) -> Failure {
    let fix = match key.kind {
        ProjectKind::MeshAgentProject => "create it in this namespace",
        ProjectKind::ClusterMeshAgentProject => "create it, or have it created by whoever runs the cluster",
    };
    let message = format!(
        "there is no {key}; {fix} (kubectl explain {}.spec says how), or correct spec.projectRef",
        key.kind.as_str().to_lowercase()
    );
    Failure::wait(Reason::ProjectNotFound, message)
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

#[cfg(test)]
mod tests;

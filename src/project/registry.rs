//! The registry of projects: which one an OAuthClient may use, and how.

use std::collections::HashMap;
use std::sync::{Arc, PoisonError, RwLock, RwLockWriteGuard};

use k8s_openapi::api::core::v1::Namespace;
use kube::ResourceExt;
use kube::core::PartialObjectMeta;
use kube::runtime::reflector::{ObjectRef, Store};

use super::client::ProjectClient;
use super::losses::Register;
use crate::api::OAuthClient;
use crate::api::project::Orphan;
use crate::decide::failure::{Disposition, Failure};
use crate::decide::id::ClientId;
use crate::decide::project::access::{self, Access, Allowed, Offer, User};
use crate::decide::project::reference::ProjectKey;

/// What this process knows of a project.
#[derive(Clone, Debug)]
pub struct ProjectState {
    /// The project client, with the last key that worked; kept while the key or the object is away.
    pub project: Option<Arc<ProjectClient>>,
    /// Why the project is not Ready.
    pub failure: Option<Failure>,
    /// Whether the project takes calls all the same: only a listing is more than can be read.
    pub answers: bool,
    /// Who may use the project.
    pub allowed: Allowed,
    /// Who may adopt clients that the project holds already.
    pub adoption: Allowed,
}

/// The project of an OAuthClient.
#[derive(Clone, Debug)]
pub struct Resolution {
    /// The project client, if the project can be called.
    pub project: Option<Arc<ProjectClient>>,
    /// Why the project may not be used now.
    pub failure: Option<Failure>,
    /// Whether the OAuthClient may take over an existing client by `spec.adopt`. False too while that depends on labels
    /// of its namespace that this process has not seen yet; the object is enqueued once they are seen.
    pub may_adopt: bool,
    /// Why the client of the object, if it is gone, is not replaced.
    pub many_gone: Option<Failure>,
}

impl Resolution {
    /// The resolution for a project that this process cannot call.
    #[must_use]
    pub const fn failed(failure: Failure) -> Self {
        Self { project: None, failure: Some(failure), may_adopt: false, many_gone: None }
    }
}

/// All projects.
#[derive(Clone, Debug)]
pub struct Projects {
    known: Arc<RwLock<HashMap<ProjectKey, ProjectState>>>,
    abandoned: Arc<RwLock<HashMap<ProjectKey, Vec<Orphan>>>>,
    namespaces: Store<PartialObjectMeta<Namespace>>,
    withheld: Arc<RwLock<Option<String>>>,
    losses: Arc<Register>,
}

impl Projects {
    /// A registry without projects yet. The store holds the labels of all namespaces.
    #[must_use]
    pub fn new(namespaces: Store<PartialObjectMeta<Namespace>>, losses: Register) -> Self {
        let losses = Arc::new(losses);
        Self { known: Arc::default(), abandoned: Arc::default(), namespaces, withheld: Arc::default(), losses }
    }

    /// The register of losses.
    #[must_use]
    pub fn losses(&self) -> &Register {
        &self.losses
    }

    /// Why the recorded client of an object, if it is gone, is not replaced.
    #[must_use]
    pub fn many_gone(&self, object: &OAuthClient) -> Option<Failure> {
        let client_id = object.status.as_ref()?.client_id.as_ref()?;
        self.losses.hindrance(&ProjectKey::of(object), &ClientId::new(client_id))
    }

    /// Remembers how the API server refuses to show the operator namespaces; `None` if it shows them. Returns whether
    /// that has changed.
    pub fn withhold_namespaces(&self, said: Option<String>) -> bool {
        let mut withheld = self.withheld.write().unwrap_or_else(PoisonError::into_inner);
        let news = withheld.is_some() != said.is_some();
        *withheld = said;
        news
    }

    /// The API server's words when it refuses to show the operator namespaces.
    #[must_use]
    pub fn namespaces_withheld(&self) -> Option<String> {
        self.withheld.read().unwrap_or_else(PoisonError::into_inner).clone()
    }

    /// Adds clients that a person gave up on: they are orphans from now on.
    pub fn abandon(&self, key: &ProjectKey, orphans: Vec<Orphan>) {
        let mut abandoned = self.abandoned.write().unwrap_or_else(PoisonError::into_inner);
        let known = abandoned.entry(key.clone()).or_default();
        known.retain(|known| orphans.iter().all(|orphan| orphan.client_id != known.client_id));
        known.extend(orphans);
    }

    /// Takes the clients that a person gave up on since the last call.
    #[must_use]
    pub fn take_abandoned(&self, key: &ProjectKey) -> Vec<Orphan> {
        self.abandoned.write().unwrap_or_else(PoisonError::into_inner).remove(key).unwrap_or_default()
    }

    /// What is known of a project.
    #[must_use]
    pub fn get(&self, key: &ProjectKey) -> Option<ProjectState> {
        self.known.read().unwrap_or_else(PoisonError::into_inner).get(key).cloned()
    }

    /// Sets what is known of a project. Returns whether its users are to be enqueued.
    ///
    /// An outage keeps the words in which it was first put: each try words it a little differently, and each of many
    /// users would write that into its status.
    pub fn put(&self, key: &ProjectKey, mut known: ProjectState) -> bool {
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

    /// Sets who may use a known project, and who may adopt: that counts at once, whether the server answers or not.
    /// Returns whether the project's users are to be enqueued.
    pub fn allow(&self, key: &ProjectKey, allowed: Allowed, adoption: Allowed) -> bool {
        let mut all = self.write();
        let differs = |known: &ProjectState| known.allowed != allowed || known.adoption != adoption;
        let Some(known) = all.get_mut(key).filter(|known| differs(known)) else {
            return false;
        };
        (known.allowed, known.adoption) = (allowed, adoption);
        true
    }

    /// Forgets a project whose object is gone. While it is `in_use` its last connection stays, for the clients that are
    /// deleted with it.
    pub fn gone(&self, key: &ProjectKey, in_use: bool) {
        self.losses.forget(key);
        let mut all = self.write();
        let project = all.remove(key).and_then(|known| known.project).filter(|_| in_use);
        if project.is_some() {
            let none = Allowed::read(None);
            let failure = Some(access::not_found(key));
            let state = ProjectState { project, failure, answers: false, allowed: none.clone(), adoption: none };
            all.insert(key.clone(), state);
        }
    }

    /// The project of an OAuthClient; `exists` says whether there is such an object. `None` while this process has not
    /// checked the project, or not seen the namespace: nothing may be concluded yet.
    #[must_use]
    pub fn resolve(&self, object: &OAuthClient, deleting: bool, exists: bool) -> Option<Resolution> {
        let key = ProjectKey::of(object);
        let state = self.get(&key);
        let offer = state.as_ref().map(|ProjectState { project, failure, answers, allowed, adoption }| Offer {
            connected: project.is_some(),
            failure: failure.as_ref(),
            answers: *answers,
            allowed,
            adoption,
        });
        let namespace = object.namespace().unwrap_or_default();
        let seen = self.namespaces.get(&ObjectRef::new(&namespace));
        let labels = seen.as_ref().map(|namespace| namespace.labels());
        let withheld = self.namespaces_withheld();
        let user = User { namespace: &namespace, labels, withheld: withheld.as_deref(), deleting };
        let Access { failure, may_adopt } = access::resolve(&key, offer, exists, user)?;
        let many_gone = self.many_gone(object);
        Some(Resolution { project: state.and_then(|state| state.project), failure, may_adopt, many_gone })
    }

    fn write(&self) -> RwLockWriteGuard<'_, HashMap<ProjectKey, ProjectState>> {
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

#[cfg(test)]
mod tests;

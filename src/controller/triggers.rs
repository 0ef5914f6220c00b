//! Who wakes an OAuthClient besides its own watches: its project, and its namespace.

use std::collections::HashMap;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};

use kube::ResourceExt;
use kube::runtime::reflector::{ObjectRef, Store};
use tokio::sync::mpsc::UnboundedSender;

use crate::api::OAuthClient;
use crate::project::ProjectKey;

/// One watched scope: all namespaces, or one.
#[derive(Clone, Debug)]
pub(super) struct Scope {
    pub(super) objects: Store<OAuthClient>,
    pub(super) wake: UnboundedSender<ObjectRef<OAuthClient>>,
}

/// All scopes.
#[derive(Clone, Debug)]
pub(super) struct Triggers {
    scopes: Vec<Scope>,
    filled: Arc<AtomicBool>,
}

impl Triggers {
    /// Of caches that are not filled yet.
    pub(super) fn new(scopes: Vec<Scope>) -> Self {
        Self { scopes, filled: Arc::default() }
    }

    /// All caches are filled: from now on what they lack is not there.
    pub(super) fn set_filled(&self) {
        self.filled.store(true, Ordering::Release);
    }

    /// The OAuthClients that use a project, as `<namespace>/<name>` in order; `None` while that is not known.
    pub(super) fn known_users(&self, key: &ProjectKey) -> Option<Vec<String>> {
        if !self.filled.load(Ordering::Acquire) {
            return None;
        }
        let users = self.scopes.iter().flat_map(|scope| scope.objects.state());
        let name = |object: Arc<OAuthClient>| {
            let (namespace, name) = (object.namespace().unwrap_or_default(), object.name_any());
            (&ProjectKey::of(&object) == key).then(|| format!("{namespace}/{name}"))
        };
        let mut names: Vec<String> = users.filter_map(name).collect();
        names.sort();
        Some(names)
    }

    /// Wakes all OAuthClients of a project.
    pub(super) fn wake_users(&self, key: &ProjectKey) {
        self.wake(|object| &ProjectKey::of(object) == key);
    }

    /// Wakes all OAuthClients.
    pub(super) fn wake_all(&self) {
        self.wake(|_| true);
    }

    /// Wakes all OAuthClients of a namespace.
    pub(super) fn wake_namespace(&self, namespace: &str) {
        self.wake(|object| object.metadata.namespace.as_deref() == Some(namespace));
    }

    fn wake(&self, concerns: impl Fn(&OAuthClient) -> bool) {
        for scope in &self.scopes {
            for object in scope.objects.state().into_iter().filter(|object| concerns(object)) {
                // The receiver ends with the controller, at shutdown.
                let _ = scope.wake.send(ObjectRef::from_obj(&*object));
            }
        }
    }

    /// How many OAuthClients use a project.
    pub(super) fn users(&self, key: &ProjectKey) -> i64 {
        let users = self.scopes.iter().flat_map(|scope| scope.objects.state());
        i64::try_from(users.filter(|object| &ProjectKey::of(object) == key).count()).unwrap_or(i64::MAX)
    }

    /// How many OAuthClients use each project, counted in one walk; those without users are left out.
    pub(super) fn users_by_project(&self) -> HashMap<ProjectKey, i64> {
        let mut users = HashMap::new();
        for object in self.scopes.iter().flat_map(|scope| scope.objects.state()) {
            *users.entry(ProjectKey::of(&object)).or_insert(0) += 1;
        }
        users
    }

    pub(super) fn stores(&self) -> Vec<Store<OAuthClient>> {
        self.scopes.iter().map(|scope| scope.objects.clone()).collect()
    }
}

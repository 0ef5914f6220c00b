//! Who wakes an OAuthClient besides its own watches: its project, and its namespace.

use kube::runtime::reflector::{ObjectRef, Store};
use tokio::sync::mpsc::UnboundedSender;

use crate::api::OAuthClient;
use crate::decide::project::reference::ProjectKey;
use crate::kubernetes::readable::UnreadableObjects;
use crate::project::Users;

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
    users: Users,
}

impl Triggers {
    /// Of caches that are not filled yet.
    pub(super) fn new(scopes: Vec<Scope>, unreadable: UnreadableObjects) -> Self {
        let users = Users::new(scopes.iter().map(|scope| scope.objects.clone()).collect(), unreadable);
        Self { users, scopes }
    }

    /// All caches are filled: from now on what they lack is not there.
    pub(super) fn set_filled(&self) {
        self.users.set_filled();
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

    /// Who uses a project.
    pub(super) fn users(&self) -> &Users {
        &self.users
    }

    pub(super) fn stores(&self) -> Vec<Store<OAuthClient>> {
        self.scopes.iter().map(|scope| scope.objects.clone()).collect()
    }
}

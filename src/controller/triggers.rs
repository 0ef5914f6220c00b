//! What enqueues OAuthClients besides their own watches: a change of their project, or of their namespace.

use kube::Resource as _;
use kube::runtime::reflector::{ObjectRef, Store};
use tokio::sync::mpsc::UnboundedSender;

use crate::decide::project::reference::ProjectKey;
use crate::kubernetes::readable::UnreadableObjects;
use crate::project::{CachedClient, Users};

/// The OAuthClients of one watched scope (all namespaces, or one), and the queue of its controller.
#[derive(Clone, Debug)]
pub(super) struct Scope {
    pub(super) objects: Store<CachedClient>,
    pub(super) queue: UnboundedSender<ObjectRef<CachedClient>>,
}

/// The OAuthClients of all scopes.
#[derive(Clone, Debug)]
pub(super) struct Triggers {
    scopes: Vec<Scope>,
    users: Users,
}

impl Triggers {
    /// Triggers over caches that are not filled yet.
    pub(super) fn new(scopes: Vec<Scope>, unreadable: UnreadableObjects) -> Self {
        let users = Users::new(scopes.iter().map(|scope| scope.objects.clone()).collect(), unreadable);
        Self { users, scopes }
    }

    /// Says that all caches are filled: from now on, what they lack does not exist.
    pub(super) fn set_filled(&self) {
        self.users.set_filled();
    }

    /// Enqueues all OAuthClients of a project.
    pub(super) fn enqueue_users(&self, key: &ProjectKey) {
        self.enqueue(|object| &object.facts.project == key);
    }

    /// Enqueues all OAuthClients.
    pub(super) fn enqueue_all(&self) {
        self.enqueue(|_| true);
    }

    /// Enqueues all OAuthClients of a namespace.
    pub(super) fn enqueue_namespace(&self, namespace: &str) {
        self.enqueue(|object| object.meta().namespace.as_deref() == Some(namespace));
    }

    /// Enqueues OAuthClients with former clients: the one of this namespace and name, or all.
    pub(super) fn enqueue_retiring(&self, only: Option<(&str, &str)>) {
        let is_retiring = |object: &CachedClient| !object.facts.named.retiring.is_empty();
        let Some((namespace, name)) = only else { return self.enqueue(is_retiring) };
        let reference = ObjectRef::new(name).within(namespace);
        for scope in &self.scopes {
            if scope.objects.get(&reference).is_some_and(|object| is_retiring(&object)) {
                // The receiver ends with the controller, at shutdown.
                let _ = scope.queue.send(reference.clone());
            }
        }
    }

    fn enqueue(&self, is_concerned: impl Fn(&CachedClient) -> bool) {
        for scope in &self.scopes {
            for object in scope.objects.state().into_iter().filter(|object| is_concerned(object)) {
                // The receiver ends with the controller, at shutdown.
                let _ = scope.queue.send(ObjectRef::from_obj(&*object));
            }
        }
    }

    /// The index of which OAuthClients use which project.
    pub(super) fn users(&self) -> &Users {
        &self.users
    }

    pub(super) fn stores(&self) -> Vec<Store<CachedClient>> {
        self.scopes.iter().map(|scope| scope.objects.clone()).collect()
    }
}

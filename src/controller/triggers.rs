//! What enqueues OAuthClients: what their watches show, a change of their project, or of their namespace.

use std::collections::HashSet;
use std::future::{Ready, ready};
use std::sync::Arc;

use k8s_openapi::apimachinery::pkg::apis::meta::v1::OwnerReference;
use kube::Resource as _;
use kube::runtime::reflector::{ObjectRef, Store};
use kube::runtime::watcher;
use tokio::sync::mpsc::UnboundedSender;

use crate::api::OAuthClient;
use crate::api::names::{GROUP, OAUTH_CLIENT_LABEL};
use crate::decide::project::reference::ProjectKey;
use crate::kubernetes::cached_secret::CachedSecret;
use crate::kubernetes::readable::UnreadableObjects;
use crate::project::{CachedClient, News, Users};

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

    /// Enqueues the OAuthClients of a project: those that the news of its clients concern, or all.
    pub(super) fn enqueue_users(&self, key: &ProjectKey, news: Option<&News>) {
        let all = || self.enqueue(|object| &object.facts.project == key);
        let Some(news) = news else { return all() };
        let users: Vec<Arc<CachedClient>> = self.users.of(key).collect();
        let Some(concerned) = news.concerned(&users) else { return all() };
        for object in concerned {
            self.enqueue_one(&ObjectRef::from_obj(&**object), |_| true);
        }
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
        self.enqueue_one(&ObjectRef::new(name).within(namespace), is_retiring);
    }

    fn enqueue_one(&self, reference: &ObjectRef<CachedClient>, is_concerned: impl Fn(&CachedClient) -> bool) {
        for scope in &self.scopes {
            if scope.objects.get(reference).is_some_and(|object| is_concerned(&object)) {
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

/// The OAuthClients of a Secret, by its label and by its owner reference: an alteration of either is to be noticed.
pub(super) fn owners(secret: &CachedSecret) -> HashSet<ObjectRef<CachedClient>> {
    let Ok(metadata) = secret.unpack() else { return HashSet::new() };
    let by_label = metadata.labels.as_ref().and_then(|labels| labels.get(OAUTH_CLIENT_LABEL));
    let ours = |owner: &&OwnerReference| owner.kind == OAuthClient::kind(&()) && owner.api_version.starts_with(GROUP);
    let by_reference = metadata.owner_references.iter().flatten().filter(ours).map(|owner| &owner.name);
    let namespace = metadata.namespace.as_deref().unwrap_or_default();
    by_label.into_iter().chain(by_reference).map(|name| ObjectRef::new(name).within(namespace)).collect()
}

/// Asks for what an object of a watch concerns, in place of the object itself: the intake lets it in. What is left are errors,
/// in a stream of the type that kube's controller wants.
pub(super) fn asking<K, I>(
    enqueue: UnboundedSender<ObjectRef<CachedClient>>,
    concerned: impl Fn(K) -> I,
) -> impl FnMut(watcher::Result<K>) -> Ready<Option<watcher::Result<CachedClient>>>
where
    I: IntoIterator<Item = ObjectRef<CachedClient>>,
{
    move |touched| {
        ready(match touched {
            Ok(object) => {
                // The receiver ends with the controller, at shutdown.
                concerned(object).into_iter().for_each(|concerned| drop(enqueue.send(concerned)));
                None
            }
            Err(error) => Some(Err(error)),
        })
    }
}

#[cfg(test)]
mod tests {
    use k8s_openapi::api::core::v1::Secret;
    use kube::core::PartialObjectMeta;
    use serde_json::json;

    use super::*;

    #[test]
    fn a_secret_enqueues_the_client_of_its_label_and_the_one_that_owns_it() {
        let owners_of = |metadata: serde_json::Value| {
            let secret = json!({ "apiVersion": "v1", "kind": "Secret", "metadata": metadata });
            owners(&serde_json::from_value::<PartialObjectMeta<Secret>>(secret).unwrap().try_into().unwrap())
        };
        let client = |name| ObjectRef::new(name).within("shop");
        let owner = json!({ "apiVersion": "meshagent.com/v1alpha1", "kind": "OAuthClient", "name": "web", "uid": "u" });
        let theirs = json!({ "apiVersion": "apps/v1", "kind": "Deployment", "name": "theirs", "uid": "u" });
        let (label, moved) =
            (json!({ "meshagent.com/oauth-client": "web" }), json!({ "meshagent.com/oauth-client": "other" }));
        let both = owners_of(json!({ "namespace": "shop", "labels": label, "ownerReferences": [owner, theirs] }));
        assert_eq!(both, HashSet::from([client("web")]));
        let altered = owners_of(json!({ "namespace": "shop", "labels": moved, "ownerReferences": [owner] }));
        assert_eq!(altered, HashSet::from([client("web"), client("other")]));
        let unowned = owners_of(json!({ "namespace": "shop", "labels": label }));
        assert_eq!(unowned, HashSet::from([client("web")]));
    }
}

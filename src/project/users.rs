//! The users of each project, from the caches.

use std::collections::HashMap;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};

use kube::runtime::reflector::Store;
use kube::{Resource, ResourceExt};

use super::cached_client::{CachedClient, ClientFacts};
use super::snapshot::OnRecord;
use crate::api::OAuthClient;
use crate::decide::marker::Owner;
use crate::decide::project::reference::ProjectKey;
use crate::kubernetes::cached;
use crate::kubernetes::readable::{UnreadableObject, UnreadableObjects};

/// All cached OAuthClients. One that cannot be decoded may use any project, and keeps all from being deleted.
#[derive(Clone, Debug, Default)]
pub struct Users {
    stores: Vec<Store<CachedClient>>,
    unreadable: UnreadableObjects,
    filled: Arc<AtomicBool>,
}

impl Users {
    /// Users from caches that are not filled yet.
    #[must_use]
    pub fn new(stores: Vec<Store<CachedClient>>, unreadable: UnreadableObjects) -> Self {
        Self { stores, unreadable, filled: Arc::default() }
    }

    /// Says that all caches are filled: from now on, what they lack does not exist.
    pub fn set_filled(&self) {
        self.filled.store(true, Ordering::Release);
    }

    /// Whether all caches are filled.
    #[must_use]
    pub fn are_filled(&self) -> bool {
        self.filled.load(Ordering::Acquire)
    }

    /// The OAuthClients that use a project, as `<namespace>/<name>` in order; `None` while that is not known.
    #[must_use]
    pub fn names(&self, key: &ProjectKey) -> Option<Vec<String>> {
        if !self.are_filled() {
            return None;
        }
        let name =
            |object: &Arc<CachedClient>| format!("{}/{}", object.namespace().unwrap_or_default(), object.name_any());
        let mut names: Vec<String> = self.of(key).map(|object| name(&object)).collect();
        names.sort();
        let perhaps = |object: UnreadableObject| format!("{}/{} (it cannot be read)", object.namespace, object.name);
        let unreadable = self.unreadable.of::<OAuthClient>().into_iter().filter(|object| !self.is_cached(object));
        names.extend(unreadable.map(perhaps));
        Some(names)
    }

    /// Whether anybody uses a project, or may; `None` while that is not known.
    #[must_use]
    pub fn any(&self, key: &ProjectKey) -> Option<bool> {
        let may = || self.unreadable.of::<OAuthClient>().iter().any(|object| !self.is_cached(object));
        self.are_filled().then(|| self.of(key).next().is_some() || may())
    }

    /// How many OAuthClients use a project.
    #[must_use]
    pub fn count(&self, key: &ProjectKey) -> i64 {
        i64::try_from(self.of(key).count()).unwrap_or(i64::MAX)
    }

    /// How many OAuthClients use each project, counted in one walk; projects without users are left out.
    #[must_use]
    pub fn by_project(&self) -> HashMap<ProjectKey, i64> {
        let mut users: HashMap<ProjectKey, i64> = HashMap::new();
        for object in self.stores.iter().flat_map(Store::state) {
            match users.get_mut(&object.facts.project) {
                Some(users) => *users += 1,
                None => drop(users.insert(object.facts.project.clone(), 1)),
            }
        }
        users
    }

    /// The clients that the users of a project have on record there; `None` while that is not known. Clients of objects
    /// that are being deleted are left out: they are to go.
    #[must_use]
    pub fn on_record(&self, key: &ProjectKey, project_id: &str) -> OnRecord {
        let recorded = |object: Arc<CachedClient>| {
            let ClientFacts { named, project_id: recorded, .. } = &object.facts;
            let elsewhere = recorded.as_deref().is_some_and(|recorded| recorded != project_id);
            let is_deleting = object.meta().deletion_timestamp.is_some();
            named.own.clone().filter(|_| !is_deleting && !elsewhere)
        };
        self.filled.load(Ordering::Acquire).then(|| self.of(key).filter_map(recorded).collect())
    }

    /// The object that a marker names, or another of that name.
    #[must_use]
    pub fn find(&self, Owner { namespace, name, .. }: &Owner) -> Option<Arc<CachedClient>> {
        self.stores.iter().find_map(|store| cached(store, namespace, name))
    }

    fn is_cached(&self, UnreadableObject { kind: _, namespace, name }: &UnreadableObject) -> bool {
        self.stores.iter().any(|store| cached(store, namespace, name).is_some())
    }

    /// The users of a project.
    pub fn of<'a>(&'a self, key: &'a ProjectKey) -> impl Iterator<Item = Arc<CachedClient>> + 'a {
        self.stores.iter().flat_map(Store::state).filter(move |object| &object.facts.project == key)
    }
}

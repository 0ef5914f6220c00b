//! Watches in which one object that cannot be decoded costs the others nothing: the API server takes times and types
//! that no client can read, and a listing with one such object would fail as a whole, again and again.

use std::borrow::Cow;
use std::collections::{BTreeMap, BTreeSet};
use std::fmt::{Debug, Display};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};

use futures::{Stream, StreamExt};
use k8s_openapi::apimachinery::pkg::apis::meta::v1::ObjectMeta;
use kube::runtime::reflector::{Lookup, ObjectRef, Store};
use kube::runtime::watcher::{self, Event};
use kube::runtime::{WatchStreamExt, watcher as watch_objects};
use kube::{Api, Resource, ResourceExt};
use serde::de::{DeserializeOwned, Deserializer, Error};
use serde::{Deserialize, de};
use serde_json::Value;

use super::watch_backoff::WatchBackoff;

/// The objects on a page of a listing: a page is decoded whole, with all that is thrown away.
const PAGE: u32 = 100;
/// The annotation in which `kubectl apply` keeps the whole object as it was applied.
const LAST_APPLIED: &str = "kubectl.kubernetes.io/last-applied-configuration";

/// An object as a watch shows it.
#[derive(Clone, Debug)]
pub enum Readable<K> {
    /// The object without `metadata.managedFields` and kubectl's copy of what was applied last: no user of a watch asks
    /// who wrote which field, and they are most of its size.
    Whole(Box<K>),
    /// The object cannot be decoded.
    Unreadable {
        /// The object's name, namespace, uid and version.
        metadata: Box<ObjectMeta>,
        /// The field, and what is wrong with it.
        problem: String,
    },
}

impl<'de, K: DeserializeOwned> Deserialize<'de> for Readable<K> {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        let mut object = Value::deserialize(deserializer)?;
        let Some(metadata) = object.get_mut("metadata").and_then(Value::as_object_mut) else {
            return Err(D::Error::missing_field("metadata"));
        };
        metadata.remove("managedFields");
        if let Some(annotations) = metadata.get_mut("annotations").and_then(Value::as_object_mut) {
            annotations.remove(LAST_APPLIED);
        }
        let text = |field: &str| metadata.get(field).and_then(Value::as_str).map(str::to_owned);
        let named = ObjectMeta {
            name: text("name"),
            namespace: text("namespace"),
            uid: text("uid"),
            resource_version: text("resourceVersion"),
            ..ObjectMeta::default()
        };
        Ok(match serde_path_to_error::deserialize(object) {
            Ok(object) => Self::Whole(Box::new(object)),
            Err(error) => Self::Unreadable { metadata: Box::new(named), problem: problem(&error) },
        })
    }
}

/// The field and what is wrong with it, in a line of bounded length.
fn problem<E: de::Error>(error: &serde_path_to_error::Error<E>) -> String {
    let text = format!("{}: {}", error.path(), error.inner());
    text.chars().filter(|c| !c.is_control()).take(300).collect()
}

impl<K: Resource> Resource for Readable<K> {
    type DynamicType = K::DynamicType;
    type Scope = K::Scope;

    fn kind(dt: &Self::DynamicType) -> Cow<'_, str> {
        K::kind(dt)
    }

    fn group(dt: &Self::DynamicType) -> Cow<'_, str> {
        K::group(dt)
    }

    fn version(dt: &Self::DynamicType) -> Cow<'_, str> {
        K::version(dt)
    }

    fn plural(dt: &Self::DynamicType) -> Cow<'_, str> {
        K::plural(dt)
    }

    fn metadata_api() -> bool {
        K::metadata_api()
    }

    fn meta(&self) -> &ObjectMeta {
        match self {
            Self::Whole(object) => object.meta(),
            Self::Unreadable { metadata, .. } => metadata,
        }
    }

    fn meta_mut(&mut self) -> &mut ObjectMeta {
        match self {
            Self::Whole(object) => object.meta_mut(),
            Self::Unreadable { metadata, .. } => metadata,
        }
    }
}

/// An object that cannot be decoded: its kind, its namespace (empty for kinds of the cluster) and its name.
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub struct UnreadableObject {
    pub kind: String,
    pub namespace: String,
    pub name: String,
}

/// The objects that cannot be decoded now, with their problems. Clones share them.
#[derive(Clone, Debug, Default)]
pub struct UnreadableObjects(Arc<Mutex<BTreeMap<UnreadableObject, String>>>);

impl UnreadableObjects {
    /// All objects that cannot be decoded, in order.
    #[must_use]
    pub fn all(&self) -> BTreeMap<UnreadableObject, String> {
        self.known().clone()
    }

    /// The objects of a kind that cannot be decoded, in order.
    #[must_use]
    pub fn of<K: Resource<DynamicType = ()>>(&self) -> Vec<UnreadableObject> {
        self.known().keys().filter(|object| object.kind == K::kind(&())).cloned().collect()
    }

    /// What is wrong with an object, if it cannot be decoded.
    #[must_use]
    pub fn problem<K: Resource<DynamicType = ()>>(&self, namespace: Option<&str>, name: &str) -> Option<String> {
        let (kind, namespace) = (K::kind(&()).into_owned(), namespace.unwrap_or_default().to_owned());
        self.known().get(&UnreadableObject { kind, namespace, name: name.to_owned() }).cloned()
    }

    fn add(&self, object: UnreadableObject, problem: &str) {
        let UnreadableObject { kind, namespace, name } = object.clone();
        let before = self.known().insert(object, problem.to_owned());
        if before.as_deref() != Some(problem) {
            tracing::error!(
                kind,
                namespace,
                name,
                "the object cannot be read and is left as it is until that field is corrected or removed; all others are \
                 looked after: {problem}"
            );
        }
    }

    fn forget(&self, object: &UnreadableObject) {
        if self.known().remove(object).is_some() {
            let UnreadableObject { kind, namespace, name } = object;
            tracing::info!(kind, namespace, name, "the object can be read again, or is gone");
        }
    }

    fn known(&self) -> MutexGuard<'_, BTreeMap<UnreadableObject, String>> {
        self.0.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

/// Watches objects of a kind, with backoff, in the form in which a cache keeps them. An object that cannot be decoded is left
/// out; it stays as `cached` if it could be decoded before, so that what this process remembers of it is not lost.
pub fn watch_readable<K, C>(
    objects: Api<Readable<K>>,
    config: watcher::Config,
    cached: Store<C>,
    unreadable: UnreadableObjects,
) -> impl Stream<Item = watcher::Result<Event<C>>> + Send
where
    K: Resource<DynamicType = ()> + Clone + Debug + DeserializeOwned + Send + Sync + 'static,
    C: TryFrom<K, Error: Display> + Lookup<DynamicType = ()> + Clone + Send + Sync + 'static,
{
    let mut sieve = Sieve { cached, unreadable, own: BTreeSet::new(), unseen: BTreeSet::new() };
    watch_objects(objects, config.page_size(PAGE)).backoff(WatchBackoff::default()).filter_map(move |event| {
        std::future::ready(match event {
            Ok(event) => sieve.readable(event).map(Ok),
            Err(error) => Some(Err(error)),
        })
    })
}

/// What one watch has met.
struct Sieve<C: Lookup<DynamicType = ()> + 'static> {
    cached: Store<C>,
    unreadable: UnreadableObjects,
    /// The objects that this watch left out.
    own: BTreeSet<UnreadableObject>,
    /// The objects of `own` that a listing under way has not shown again.
    unseen: BTreeSet<UnreadableObject>,
}

impl<C: Lookup<DynamicType = ()> + Clone + 'static> Sieve<C> {
    fn readable<K>(&mut self, event: Event<Readable<K>>) -> Option<Event<C>>
    where
        K: Resource<DynamicType = ()>,
        C: TryFrom<K, Error: Display>,
    {
        match event {
            Event::Init => {
                self.unseen = self.own.clone();
                Some(Event::Init)
            }
            Event::InitApply(object) => self.read(object).or_else(|left| self.before(&left)).ok().map(Event::InitApply),
            Event::InitDone => {
                std::mem::take(&mut self.unseen).iter().for_each(|gone| self.forget(gone));
                Some(Event::InitDone)
            }
            Event::Apply(object) => self.read(object).ok().map(Event::Apply),
            Event::Delete(object) => {
                let named = named(&object);
                self.forget(&named);
                kept(object).or_else(|_| self.before(&named)).ok().map(Event::Delete)
            }
        }
    }

    fn read<K>(&mut self, object: Readable<K>) -> Result<C, UnreadableObject>
    where
        K: Resource<DynamicType = ()>,
        C: TryFrom<K, Error: Display>,
    {
        let named = named(&object);
        match kept(object) {
            Ok(object) => {
                self.forget(&named);
                Ok(object)
            }
            Err(problem) => {
                self.unseen.remove(&named);
                self.own.insert(named.clone());
                self.unreadable.add(named.clone(), &problem);
                Err(named)
            }
        }
    }

    /// The object as it was when it could be decoded.
    fn before(&self, UnreadableObject { kind: _, namespace, name }: &UnreadableObject) -> Result<C, ()> {
        let reference = ObjectRef::new(name);
        let reference = if namespace.is_empty() { reference } else { reference.within(namespace) };
        self.cached.get(&reference).map(|object| (*object).clone()).ok_or(())
    }

    fn forget(&mut self, object: &UnreadableObject) {
        if self.own.remove(object) {
            self.unreadable.forget(object);
        }
    }
}

/// An object in the form in which a cache keeps it, or why that cannot be.
fn kept<K, C: TryFrom<K, Error: Display>>(object: Readable<K>) -> Result<C, String> {
    match object {
        Readable::Whole(object) => C::try_from(*object).map_err(|error| error.to_string()),
        Readable::Unreadable { metadata: _, problem } => Err(problem),
    }
}

fn named<K: Resource<DynamicType = ()>>(object: &Readable<K>) -> UnreadableObject {
    UnreadableObject {
        kind: K::kind(&()).into_owned(),
        namespace: ResourceExt::namespace(object).unwrap_or_default(),
        name: object.name_any(),
    }
}

#[cfg(test)]
mod tests;

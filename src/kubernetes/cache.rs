//! How an object is found in a cache.

use std::hash::Hash;
use std::sync::Arc;

use kube::runtime::reflector::{Lookup, ObjectRef, Store};

/// The object of this namespace and name in a cache.
#[must_use]
pub fn cached<K>(store: &Store<K>, namespace: &str, name: &str) -> Option<Arc<K>>
where
    K: Lookup<DynamicType: Default + Eq + Hash + Clone> + Clone + 'static,
{
    store.get(&ObjectRef::new(name).within(namespace))
}

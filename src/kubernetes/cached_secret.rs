//! Secrets as they are cached, and how an object is found in a cache.

use std::borrow::Cow;
use std::hash::Hash;
use std::sync::Arc;

use k8s_openapi::api::core::v1::Secret;
use k8s_openapi::apimachinery::pkg::apis::meta::v1::ObjectMeta;
use kube::Resource;
use kube::core::PartialObjectMeta;
use kube::runtime::reflector::{Lookup, ObjectRef, Store};

use super::packed::{Packed, Typical, UnpackError};

/// A cached Secret: its metadata.
#[derive(Clone)]
pub struct CachedSecret {
    namespace: Box<str>,
    name: Box<str>,
    metadata: Packed<ObjectMeta>,
}

impl CachedSecret {
    /// The metadata as the watch showed them.
    ///
    /// # Errors
    /// Returns an error if this process's memory is damaged.
    pub fn unpack(&self) -> Result<ObjectMeta, UnpackError> {
        self.metadata.unpack()
    }
}

/// Metadata are those of a credential's Secret.
impl Typical for ObjectMeta {
    const TYPICAL: &'static str = include_str!("typical_secret.json");
}

impl From<PartialObjectMeta<Secret>> for CachedSecret {
    fn from(PartialObjectMeta { metadata, .. }: PartialObjectMeta<Secret>) -> Self {
        let text = |field: &Option<String>| field.as_deref().unwrap_or_default().into();
        Self { namespace: text(&metadata.namespace), name: text(&metadata.name), metadata: Packed::new(&metadata) }
    }
}

impl Lookup for CachedSecret {
    type DynamicType = ();

    fn kind((): &()) -> Cow<'_, str> {
        <Secret as Resource>::kind(&())
    }

    fn group((): &()) -> Cow<'_, str> {
        <Secret as Resource>::group(&())
    }

    fn version((): &()) -> Cow<'_, str> {
        <Secret as Resource>::version(&())
    }

    fn plural((): &()) -> Cow<'_, str> {
        <Secret as Resource>::plural(&())
    }

    fn name(&self) -> Option<Cow<'_, str>> {
        Some(Cow::Borrowed(&self.name))
    }

    fn namespace(&self) -> Option<Cow<'_, str>> {
        Some(Cow::Borrowed(&self.namespace))
    }

    /// Not kept with the key of a cache, as the uid is not.
    fn resource_version(&self) -> Option<Cow<'_, str>> {
        None
    }

    fn uid(&self) -> Option<Cow<'_, str>> {
        None
    }
}

/// The object of this namespace and name in a cache.
#[must_use]
pub fn cached<K>(store: &Store<K>, namespace: &str, name: &str) -> Option<Arc<K>>
where
    K: Lookup<DynamicType: Default + Eq + Hash + Clone> + Clone + 'static,
{
    store.get(&ObjectRef::new(name).within(namespace))
}

#[cfg(test)]
mod tests {
    use serde_json::{Value, json};

    use super::*;

    fn cached_secret(metadata: &Value) -> CachedSecret {
        let object = json!({ "apiVersion": "meta.k8s.io/v1", "kind": "PartialObjectMetadata", "metadata": metadata });
        serde_json::from_value::<PartialObjectMeta<Secret>>(object).unwrap().into()
    }

    #[test]
    fn a_cache_finds_a_secret_by_namespace_and_name() {
        let metadata = json!({ "name": "a", "namespace": "shop", "uid": "u", "resourceVersion": "7" });
        let secret = cached_secret(&metadata);
        assert_eq!(json!(secret.unpack().unwrap()), metadata);
        assert_eq!(secret.to_object_ref(()), ObjectRef::new("a").within("shop"));
    }

    #[test]
    fn what_a_typical_secret_shares_with_others_takes_no_room() {
        let written: Value = serde_json::from_str(ObjectMeta::TYPICAL).unwrap();
        let (length, packed) = (written.to_string().len(), cached_secret(&written).metadata.size());
        assert!(packed * 10 < length, "{length} bytes were packed into {packed}");
    }
}

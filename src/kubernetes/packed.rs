//! Objects as caches keep them: of thousands that are kept, few are read at a time, so each is one compressed text rather
//! than trees of strings, beside the little that walks over all of them ask for.

use std::borrow::Cow;
use std::fmt::{self, Debug, Formatter};
use std::sync::Arc;

use k8s_openapi::api::core::v1::Secret;
use k8s_openapi::apimachinery::pkg::apis::meta::v1::ObjectMeta;
use kube::Resource;
use kube::core::PartialObjectMeta;
use kube::runtime::reflector::{ObjectRef, Store};
use lz4_flex::block::{compress_prepend_size_with_dict, decompress_size_prepended_with_dict};
use serde::de::{DeserializeOwned, Error as _};
use serde::{Deserialize, Deserializer, Serialize};

/// A kind of object that a cache keeps packed.
pub trait Packable: Resource<DynamicType = ()> + Clone + DeserializeOwned {
    /// What is unpacked: the object, or the part of it that is read.
    type Content: Serialize + DeserializeOwned;
    /// What walks over all objects ask for.
    type Facts: Clone + Debug + Send + Sync;

    /// A text that most of these objects resemble, as they are serialized: what they share with it takes no room.
    const TYPICAL: &'static str;

    /// The part of the object that is kept.
    fn content(&self) -> &Self::Content;

    /// The facts that are kept unpacked.
    fn facts(&self) -> Self::Facts;
}

/// An object whose content is packed. Its metadata are what kube reads of an object that it watches: namespace, name, version
/// and time of deletion.
#[derive(Clone)]
pub struct Packed<K: Packable> {
    metadata: ObjectMeta,
    /// What walks over all objects ask for.
    pub facts: K::Facts,
    text: Box<[u8]>,
}

/// What was packed does not unpack: this process's memory is damaged.
#[derive(Debug, thiserror::Error)]
pub enum UnpackError {
    #[error("a cached object does not decompress: {0}")]
    Decompress(#[from] lz4_flex::block::DecompressError),
    #[error("a cached object cannot be decoded: {0}")]
    Decode(#[from] serde_json::Error),
}

impl<K: Packable> Packed<K> {
    /// Packs an object.
    ///
    /// # Errors
    /// Returns an error if the object cannot be serialized.
    pub fn new(object: &K) -> serde_json::Result<Self> {
        let ObjectMeta { namespace, name, resource_version, deletion_timestamp, .. } = object.meta().clone();
        let text = serde_json::to_vec(object.content())?;
        Ok(Self {
            metadata: ObjectMeta { namespace, name, resource_version, deletion_timestamp, ..ObjectMeta::default() },
            facts: object.facts(),
            text: compress_prepend_size_with_dict(&text, K::TYPICAL.as_bytes()).into_boxed_slice(),
        })
    }

    /// The size of the packed content, in bytes.
    #[cfg(test)]
    pub fn size(&self) -> usize {
        self.text.len()
    }

    /// The content as it was before it was packed.
    ///
    /// # Errors
    /// Returns an error if the text is damaged.
    pub fn unpack(&self) -> Result<K::Content, UnpackError> {
        let text = decompress_size_prepended_with_dict(&self.text, K::TYPICAL.as_bytes())?;
        Ok(serde_json::from_slice(&text)?)
    }
}

impl<K: Packable> Debug for Packed<K> {
    fn fmt(&self, f: &mut Formatter<'_>) -> fmt::Result {
        let ObjectMeta { namespace, name, .. } = &self.metadata;
        write!(
            f,
            "{} {}/{}",
            K::kind(&()),
            namespace.as_deref().unwrap_or_default(),
            name.as_deref().unwrap_or_default()
        )
    }
}

impl<'de, K: Packable> Deserialize<'de> for Packed<K> {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        Self::new(&K::deserialize(deserializer)?).map_err(D::Error::custom)
    }
}

impl<K: Packable> Resource for Packed<K> {
    type DynamicType = ();
    type Scope = K::Scope;

    fn kind((): &()) -> Cow<'_, str> {
        K::kind(&())
    }

    fn group((): &()) -> Cow<'_, str> {
        K::group(&())
    }

    fn version((): &()) -> Cow<'_, str> {
        K::version(&())
    }

    fn plural((): &()) -> Cow<'_, str> {
        K::plural(&())
    }

    fn metadata_api() -> bool {
        K::metadata_api()
    }

    fn meta(&self) -> &ObjectMeta {
        &self.metadata
    }

    fn meta_mut(&mut self) -> &mut ObjectMeta {
        &mut self.metadata
    }
}

/// The object of this namespace and name in a cache.
#[must_use]
pub fn cached<K: Packable>(store: &Store<Packed<K>>, namespace: &str, name: &str) -> Option<Arc<Packed<K>>> {
    store.get(&ObjectRef::new(name).within(namespace))
}

/// A cached Secret: its metadata.
pub type CachedSecret = Packed<PartialObjectMeta<Secret>>;

impl Packable for PartialObjectMeta<Secret> {
    type Content = ObjectMeta;
    type Facts = ();

    const TYPICAL: &'static str = include_str!("packed/secret.json");

    fn content(&self) -> &ObjectMeta {
        &self.metadata
    }

    fn facts(&self) {}
}

#[cfg(test)]
mod tests;

//! Secrets as they are cached.

use std::borrow::Cow;

use k8s_openapi::api::core::v1::Secret;
use k8s_openapi::apimachinery::pkg::apis::meta::v1::ObjectMeta;
use kube::Resource;
use kube::core::PartialObjectMeta;
use kube::runtime::reflector::Lookup;

use super::packed::{PackError, Packed, Typical};

/// A cached Secret: its metadata.
#[derive(Clone, PartialEq)]
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
    pub fn unpack(&self) -> Result<ObjectMeta, PackError> {
        self.metadata.unpack()
    }
}

/// Metadata are those of a credential's Secret.
impl Typical for ObjectMeta {
    const TYPICAL: &'static str = include_str!("typical_secret.json");
}

impl TryFrom<PartialObjectMeta<Secret>> for CachedSecret {
    type Error = PackError;

    fn try_from(PartialObjectMeta { metadata, .. }: PartialObjectMeta<Secret>) -> Result<Self, PackError> {
        let text = |field: &Option<String>| field.as_deref().unwrap_or_default().into();
        let (namespace, name) = (text(&metadata.namespace), text(&metadata.name));
        Ok(Self { namespace, name, metadata: Packed::new(&metadata)? })
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

#[cfg(test)]
mod tests {
    use kube::runtime::reflector::ObjectRef;
    use serde_json::{Value, json};

    use super::*;

    fn cached_secret(metadata: &Value) -> CachedSecret {
        let object = json!({ "apiVersion": "meta.k8s.io/v1", "kind": "PartialObjectMetadata", "metadata": metadata });
        serde_json::from_value::<PartialObjectMeta<Secret>>(object).unwrap().try_into().unwrap()
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

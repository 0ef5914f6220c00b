use std::collections::BTreeMap;

use kube::ResourceExt;
use proptest::prelude::*;
use serde_json::{Value, json};

use super::*;

fn secret(metadata: Value) -> Value {
    json!({ "apiVersion": "meta.k8s.io/v1", "kind": "PartialObjectMetadata", "metadata": metadata })
}

fn packed(metadata: Value) -> CachedSecret {
    serde_json::from_value(secret(metadata)).unwrap()
}

fn texts() -> impl Strategy<Value = BTreeMap<String, String>> {
    prop::collection::btree_map("\\PC{0,12}", "(meshagent\\.com/|\\PC|\u{0}){0,40}", 0..8)
}

proptest! {
    #[test]
    fn an_object_is_unpacked_as_it_was_packed(labels in texts(), annotations in texts()) {
        let written = json!({ "name": "web-oauth", "namespace": "shop", "labels": labels, "annotations": annotations });
        let metadata = packed(written).unpack().unwrap();
        prop_assert_eq!(metadata.labels, Some(labels));
        prop_assert_eq!(metadata.annotations, Some(annotations));
        prop_assert_eq!(metadata.name.as_deref(), Some("web-oauth"));
    }
}

/// lz4 takes larger texts in another way, and reaches back no further than 64 KiB.
#[test]
fn the_largest_annotations_are_unpacked_as_they_were_packed() {
    let random =
        |seed: u64| (0..seed).fold(seed, |random, _| random.wrapping_mul(6_364_136_223_846_793_005).wrapping_add(1));
    let noise: String = (0..4000).map(|seed| format!("{:016x}", random(seed))).collect();
    let long = format!("{noise}{}{noise}", "meshagent.com/".repeat(9000));
    assert!(long.len() > 250_000);
    let written = json!({ "name": "a", "namespace": "shop", "annotations": { "notes": long } });
    assert_eq!(json!(packed(written.clone()).unpack().unwrap()), written);
}

#[test]
fn kube_reads_namespace_name_version_and_deletion_of_a_packed_object() {
    let written = json!({ "name": "a", "namespace": "shop", "resourceVersion": "7", "uid": "u",
        "deletionTimestamp": "2026-01-01T00:00:00Z" });
    let secret = packed(written.clone());
    assert_eq!((secret.namespace().as_deref(), secret.name_any().as_str()), (Some("shop"), "a"));
    // Without a version, the watch would end with each object and list all again.
    assert_eq!(secret.resource_version().as_deref(), Some("7"));
    assert!(secret.meta().deletion_timestamp.is_some());
    assert_eq!(json!(secret.unpack().unwrap()), written);
}

#[test]
fn what_a_typical_secret_shares_with_others_takes_no_room() {
    let written: Value = serde_json::from_str(PartialObjectMeta::<Secret>::TYPICAL).unwrap();
    let (written, packed) = (written.to_string().len(), packed(written).size());
    assert!(packed * 10 < written, "{written} bytes were packed into {packed}");
}

#[test]
fn what_is_damaged_is_an_error() {
    let mut secret = packed(json!({ "name": "a", "namespace": "shop" }));
    secret.text = secret.text.iter().copied().take(secret.text.len() / 2).collect();
    assert!(secret.unpack().is_err());
    secret.text = Box::default();
    assert!(matches!(secret.unpack(), Err(UnpackError::Decompress(_))));
}

#[test]
fn an_object_that_cannot_be_decoded_is_not_packed() {
    let broken = serde_json::from_value::<CachedSecret>(secret(json!({ "name": 5 })));
    assert!(broken.unwrap_err().to_string().contains("invalid type"));
}

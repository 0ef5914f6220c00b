use std::collections::BTreeSet;

use serde_json::json;

use super::*;
use crate::decide::client::observed::{self, Content, Credential, Recorded};
use crate::decide::id::CredentialDigest;
use crate::secret::digest;

fn object(spec: Value) -> OAuthClient {
    let mut object: OAuthClient = serde_json::from_value(json!({
        "apiVersion": "meshagent.com/v1alpha1", "kind": "OAuthClient",
        "metadata": { "name": "web", "namespace": "shop", "uid": "u" },
        "spec": { "redirectUris": ["https://a.example"] },
    }))
    .unwrap();
    let mut fields = serde_json::to_value(&object.spec).unwrap();
    fields.as_object_mut().unwrap().extend(spec.as_object().unwrap().clone());
    object.spec = serde_json::from_value(fields).unwrap();
    object
}

fn shape(spec: Value, owned: bool) -> Shape {
    let object = object(spec);
    let present = Present::read(&object.spec, "web").unwrap();
    let setting = Endpoints { project_id: "p", authorize_url: "https://m/a", token_url: "https://m/t", owned };
    Shape::new(&object, &present, setting).unwrap()
}

fn written(shape: &Shape, client_id: &str, value: &str) -> Secret {
    let token = Token::mint(&Uid::new("u"), "r");
    let mut secret = shape.with_credential(&token, &ClientId::new(client_id), &ClientSecret::new(value).unwrap());
    secret.metadata.resource_version = Some("7".to_owned());
    secret
}

/// The Secret after a merge patch, as the API server carries it out.
fn patched(secret: &Secret, patch: &Value) -> Secret {
    fn merge(target: &mut Value, patch: &Value) {
        let Value::Object(patch) = patch else {
            *target = patch.clone();
            return;
        };
        if !target.is_object() {
            *target = json!({});
        }
        for (key, value) in patch {
            if value.is_null() {
                target.as_object_mut().unwrap().remove(key);
            } else {
                merge(&mut target[key.as_str()], value);
            }
        }
    }
    let mut value = serde_json::to_value(secret).unwrap();
    merge(&mut value, patch);
    serde_json::from_value(value).unwrap()
}

fn keys(secret: &Secret) -> BTreeSet<&str> {
    secret.data.iter().flatten().map(|(key, _)| key.as_str()).collect()
}

fn recorded(client_id: &str, value: &str) -> Recorded {
    Recorded {
        client_id: Some(ClientId::new(client_id)),
        digest: Some(CredentialDigest::new(digest("u", client_id, &ClientSecret::new(value).unwrap()))),
        ..Recorded::default()
    }
}

fn stored(secret: &Secret, recorded: &Recorded, shape: &Shape) -> observed::Stored {
    match view(Some(secret), &Uid::new("u"), recorded, Some(shape)) {
        observed::Secret::Ours(stored) => stored,
        other @ (observed::Secret::Absent | observed::Secret::Foreign(_)) => panic!("it is not ours: {other:?}"),
    }
}

#[test]
fn what_is_written_is_in_shape() {
    let shape = shape(json!({ "secret": { "labels": { "tier": "web" }, "annotations": { "note": "x" } } }), true);
    let secret = written(&shape, "c", "s");
    let seen = stored(&secret, &recorded("c", "s"), &shape);
    assert_eq!((seen.in_shape, seen.owned, seen.credential), (true, true, Credential::AsRecorded));
}

#[test]
fn keys_are_renamed_and_dropped_with_the_credential_kept_and_what_others_added_too() {
    let before = shape(json!({}), true);
    let mut secret = written(&before, "c", "s");
    secret.data.as_mut().unwrap().insert("theirs".to_owned(), ByteString(b"x".to_vec()));
    let keys_now = json!({ "clientId": "id", "clientSecret": "CLIENT_ID", "projectId": "", "scopes": "CLIENT_SECRET" });
    let after = shape(json!({ "secret": { "keys": keys_now } }), true);
    assert!(!stored(&secret, &recorded("c", "s"), &after).in_shape);
    let patch = after.reshaping(&Version::new("7"), None, &ClientId::new("c"), &secret).unwrap();
    let secret = patched(&secret, &patch);
    let wanted = ["AUTHORIZE_URL", "CLIENT_ID", "CLIENT_SECRET", "TOKEN_URL", "id", "theirs"];
    assert_eq!(keys(&secret), BTreeSet::from(wanted));
    let seen = stored(&secret, &recorded("c", "s"), &after);
    assert_eq!((seen.in_shape, seen.credential), (true, Credential::AsRecorded));
    assert_eq!(after.find_secret(&secret).unwrap().expose(), "s");
}

#[test]
fn another_type_is_put_to_kubernetes_which_refuses_it() {
    let secret = written(&shape(json!({}), true), "c", "s");
    let after = shape(json!({ "secret": { "type": "example.com/login" } }), true);
    assert!(!stored(&secret, &recorded("c", "s"), &after).in_shape);
    let patch = after.reshaping(&Version::new("7"), None, &ClientId::new("c"), &secret).unwrap();
    assert_eq!(patch["type"], "example.com/login");
}

#[test]
fn a_credential_that_replaces_another_leaves_no_key_that_is_no_longer_wanted() {
    let asked = json!({ "secret": { "labels": { "tier": "web" }, "annotations": { "note": "x" } } });
    let former = written(&shape(asked, true), "c", "s");
    let after = shape(json!({ "secret": { "keys": { "clientSecret": "PASSWORD", "scopes": "" } } }), true);
    let (token, secret) = (Token::mint(&Uid::new("u"), "r"), ClientSecret::new("t").unwrap());
    let patch = after.replacing(&Version::new("7"), &token, &ClientId::new("d"), &secret, Some(&former));
    let secret = patched(&former, &patch);
    let wanted = ["AUTHORIZE_URL", "CLIENT_ID", "PASSWORD", "PROJECT_ID", "TOKEN_URL"];
    assert_eq!(keys(&secret), BTreeSet::from(wanted));
    assert!(!secret.labels().contains_key("tier") && !secret.annotations().contains_key("note"));
    assert!(stored(&secret, &recorded("d", "t"), &after).in_shape);
}

#[test]
fn labels_and_annotations_that_are_no_longer_wanted_go_and_those_of_others_stay() {
    let asked = json!({ "secret": { "labels": { "tier": "web" }, "annotations": { "note": "x" } } });
    let mut secret = written(&shape(asked, true), "c", "s");
    secret.metadata.labels.as_mut().unwrap().insert("theirs".to_owned(), "y".to_owned());
    let after = shape(json!({}), true);
    let patch = after.reshaping(&Version::new("7"), None, &ClientId::new("c"), &secret).unwrap();
    let secret = patched(&secret, &patch);
    let labels: Vec<_> = secret.labels().keys().cloned().collect();
    assert_eq!(labels, ["app.kubernetes.io/managed-by", "meshagent.com/oauth-client", "theirs"]);
    assert!(!secret.annotations().contains_key("note"));
    assert!(stored(&secret, &recorded("c", "s"), &after).in_shape);
}

#[test]
fn the_owner_comes_and_goes_with_the_policy_and_other_owners_stay() {
    let owned = shape(json!({}), true);
    let mut secret = written(&owned, "c", "s");
    let other = OwnerReference { uid: "other".to_owned(), ..OwnerReference::default() };
    secret.metadata.owner_references.as_mut().unwrap().push(other.clone());
    let kept = shape(json!({}), false);
    assert!(!stored(&secret, &recorded("c", "s"), &kept).in_shape);
    let patch = kept.reshaping(&Version::new("7"), None, &ClientId::new("c"), &secret).unwrap();
    let secret = patched(&secret, &patch);
    assert_eq!(secret.metadata.owner_references, Some(vec![other.clone()]));
    let seen = stored(&secret, &recorded("c", "s"), &kept);
    assert_eq!((seen.in_shape, seen.owned), (true, false));
    let patch = owned.reshaping(&Version::new("7"), None, &ClientId::new("c"), &secret).unwrap();
    assert_eq!(patched(&secret, &patch).metadata.owner_references.unwrap().len(), 2);
}

#[test]
fn a_secret_that_is_left_behind_loses_its_owner_and_says_so_until_it_is_taken_back() {
    let shape = shape(json!({}), true);
    let secret = written(&shape, "c", "s");
    let left = patched(&secret, &leaving(&Version::new("7"), &Uid::new("u"), true, Some(&secret)));
    let seen = stored(&left, &recorded("c", "s"), &shape);
    assert_eq!((seen.owned, seen.retained, seen.in_shape), (false, true, false));
    let token = Token::mint(&Uid::new("u"), "fresh");
    let patch = shape.reshaping(&Version::new("7"), Some(&token), &ClientId::new("c"), &left).unwrap();
    let back = stored(&patched(&left, &patch), &recorded("c", "s"), &shape);
    assert_eq!((back.owned, back.retained, back.in_shape, back.token), (true, false, true, Some(token)));
}

#[test]
fn an_altered_annotation_is_repaired_and_does_not_lose_the_credential() {
    let shape = shape(json!({}), true);
    let mut secret = written(&shape, "c", "s");
    let annotations = secret.metadata.annotations.as_mut().unwrap();
    annotations.insert(KEYS_ANNOTATION.to_owned(), r#"{"clientId":"a","clientSecret":"b"}"#.to_owned());
    let seen = stored(&secret, &recorded("c", "s"), &shape);
    assert_eq!((seen.in_shape, seen.credential), (false, Credential::AsRecorded));
}

#[test]
fn another_value_is_another_credential_and_none_is_broken() {
    let shape = shape(json!({}), true);
    let other = written(&shape, "c", "altered");
    let known = CredentialDigest::new(digest("u", "c", &ClientSecret::new("altered").unwrap()));
    assert_eq!(stored(&other, &recorded("c", "s"), &shape).credential, Credential::Other(known));
    let mut empty = written(&shape, "c", "s");
    empty.data = None;
    assert_eq!(stored(&empty, &recorded("c", "s"), &shape).credential, Credential::Broken);
}

#[test]
fn a_foreign_secret_tells_whether_it_holds_the_client_to_be_adopted() {
    let adopt = |name: &str| {
        shape(
            json!({ "adopt": { "clientId": "c", "credentialSecretRef": { "name": name, "clientIdKey": "a",
            "clientSecretKey": "b" } } }),
            false,
        )
    };
    let data = |id: &str| BTreeMap::from([("a", id), ("b", "s")].map(|(k, v)| (k.to_owned(), ByteString(v.into()))));
    let content =
        |secret: &Secret, shape: &Shape| match view(Some(secret), &Uid::new("u"), &Recorded::default(), Some(shape)) {
            observed::Secret::Foreign(foreign) => foreign.content,
            other @ (observed::Secret::Absent | observed::Secret::Ours(_)) => panic!("it is ours: {other:?}"),
        };
    let secret = |id: &str| Secret { data: Some(data(id)), ..Secret::default() };
    assert_eq!(content(&secret("c"), &adopt("web-oauth")), Content::Adoptable);
    assert_eq!(content(&secret("d"), &adopt("web-oauth")), Content::Other);
    assert_eq!(content(&secret("c"), &adopt("elsewhere")), Content::Other, "these keys are another Secret's");
    assert_eq!(content(&secret("c"), &shape(json!({}), true)), Content::Other, "nothing is adopted");
}

//! F2: one object at every limit at once.

use std::collections::BTreeMap;

use serde_json::{Value, json};

use super::*;
use crate::api::OAuthClient;
use crate::decide::client::desired::Present;
use crate::decide::client::secret::{Endpoints, Shape};
use crate::decide::id::{ClientId, Token, Uid};
use crate::secret::ClientSecret;

/// What etcd takes in one request, if nobody has told it otherwise (`--max-request-bytes`).
const ETCD: usize = 1_572_864;
/// What is left of it for status, managedFields, and annotations of others on the object.
const MARGIN: usize = 256 << 10;

/// A text of so many characters, ended by `n`, so that no two are alike.
fn text(character: char, length: usize, n: usize) -> String {
    let mut text: String = std::iter::repeat_n(character, length - 3).collect();
    text.push_str(&format!("{n:03}"));
    text
}

/// An OAuthClient at every limit at once, its texts of this character where any is allowed.
fn largest(character: char) -> OAuthClient {
    let uri = |n| format!("https://a.example/?{}{}", "&".repeat(AMPERSANDS), text('x', URI - 19 - AMPERSANDS, n));
    let scope = |n| text('<', SCOPE, n);
    let name = |n| text('n', OBJECT_NAME, n);
    let metadata = |n| (text(character, METADATA_KEY, n), text(character, METADATA_VALUE, n));
    let bytes_of_each = ANNOTATIONS / SECRET_METADATA;
    let annotation = |n| {
        let key = text('a', LABEL_VALUE, n);
        let length = ((bytes_of_each - key.len()) / character.len_utf8()).min(ANNOTATION_VALUE);
        (key, std::iter::repeat_n(character, length).collect::<String>())
    };
    let label = |n| (format!("{}/{}", text('p', OBJECT_NAME, n), text('l', LABEL_VALUE, n)), text('v', LABEL_VALUE, n));
    serde_json::from_value(json!({
        "apiVersion": "meshagent.com/v1alpha1", "kind": "OAuthClient",
        "metadata": {"name": text('n', CLIENT_NAME, 0), "namespace": text('n', NAMESPACE, 0), "uid": "u"},
        "spec": {
            "projectRef": {"kind": "ClusterMeshAgentProject", "name": name(0)},
            "displayName": text(character, DISPLAY_NAME, 0),
            "redirectUris": (0..REDIRECT_URIS).map(uri).collect::<Vec<_>>(),
            "grantTypes": vec!["authorization_code"; TYPES],
            "responseTypes": vec!["id_token"; TYPES],
            "scopes": (0..SCOPES).map(scope).collect::<Vec<_>>(),
            "branding": {"logoUrl": format!("https://a.example/{}", "&".repeat(URI - 18)), "theme": "light"},
            "extraMetadata": (0..METADATA_ENTRIES).map(metadata).collect::<BTreeMap<_, _>>(),
            "secret": {
                "name": name(0),
                "type": name(0),
                "keys": {
                    "clientId": name(1), "clientSecret": name(2), "projectId": name(3), "authorizeUrl": name(4),
                    "tokenUrl": name(5), "scopes": name(6),
                },
                "labels": (0..SECRET_METADATA).map(label).collect::<BTreeMap<_, _>>(),
                "annotations": (0..SECRET_METADATA).map(annotation).collect::<BTreeMap<_, _>>(),
            },
        },
    }))
    .unwrap()
}

/// Bytes of an object as the API server stores it: Go writes these characters of JSON in six bytes.
fn stored(object: &impl serde::Serialize) -> usize {
    let text = serde_json::to_string(object).unwrap();
    let escaped = text.chars().filter(|character| ['<', '>', '&'].contains(character)).count();
    let separators = text.chars().filter(|character| ['\u{2028}', '\u{2029}'].contains(character)).count();
    text.len() + 5 * escaped + 3 * separators
}

#[test]
fn an_object_at_every_limit_at_once_fits_into_etcd_with_its_status() {
    for character in ['<', '"', 'ä', '店', '💡'] {
        let object = largest(character);
        let read = Present::read(&object.spec, object.metadata.name.as_deref().unwrap());
        assert!(read.is_ok(), "{character:?}: {}", read.unwrap_err());
        let bytes = stored(&object);
        assert!(bytes + MARGIN <= ETCD, "{character:?}: {bytes} bytes");
    }
}

#[test]
fn the_secret_of_such_an_object_fits_into_what_kubernetes_allows() {
    for character in ['<', '💡'] {
        let object = largest(character);
        let present = Present::read(&object.spec, object.metadata.name.as_deref().unwrap()).unwrap();
        let url = format!("https://a.example/{}", "x".repeat(URI));
        let endpoints =
            Endpoints { project_id: &text('p', PROJECT_ID, 0), authorize_url: &url, token_url: &url, owned: true };
        let shape = Shape::new(&object, &present, endpoints).unwrap();
        let (token, id) = (Token::mint(&Uid::new("u"), "r"), ClientId::new(text('c', CLIENT_ID, 0)));
        let secret = shape.with_credential(&token, &id, &ClientSecret::new("s".repeat(4096)).unwrap());
        let annotations: usize =
            secret.metadata.annotations.iter().flatten().map(|(key, value)| key.len() + value.len()).sum();
        assert!(annotations <= 128 << 10, "{annotations} bytes of the 256 KiB that all annotations may have");
        let data: usize = secret.data.iter().flatten().map(|(_, value)| value.0.len()).sum();
        assert!(data <= 512 << 10, "{data} bytes of the MiB that a Secret may hold");
        let whole: Value = serde_json::to_value(&secret).unwrap();
        assert!(stored(&whole) + MARGIN <= ETCD, "{} bytes", stored(&whole));
    }
}

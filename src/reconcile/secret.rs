//! The Secret: what it is to look like, and what one that exists is to its object.

use std::collections::BTreeMap;

use k8s_openapi::ByteString;
use k8s_openapi::api::core::v1::Secret;
use k8s_openapi::apimachinery::pkg::apis::meta::v1::{ObjectMeta, OwnerReference};
use kube::{Resource, ResourceExt};
use serde_json::{Value, json};
use sha2::{Digest as _, Sha256};

use crate::api::OAuthClient;
use crate::api::names::{
    CLIENT_ID_ANNOTATION, CREATE_TOKEN_ANNOTATION, KEYS_ANNOTATION, MANAGED_BY_LABEL, MANAGER, OAUTH_CLIENT_LABEL,
    OWNER_UID_ANNOTATION, VALUES_ANNOTATION,
};
use crate::decide::desired::{Present, SecretKeys};
use crate::decide::id::{ClientId, Digest, Token, Uid, Version};
use crate::decide::observed::{self, Credential, Recorded, Stored};
use crate::secret::{ClientSecret, digest};

/// Where a project's clients sign in, as the Secret names it.
#[derive(Clone, Copy, Debug)]
pub struct Endpoints<'a> {
    /// The project's id.
    pub project_id: &'a str,
    /// The authorization endpoint.
    pub authorize_url: &'a str,
    /// The token endpoint.
    pub token_url: &'a str,
}

/// What the Secret of an OAuthClient is to look like, but for the credential.
#[derive(Clone, Debug)]
pub struct Shape {
    namespace: String,
    name: String,
    uid: Uid,
    owner: OwnerReference,
    labels: BTreeMap<String, String>,
    keys: SecretKeys,
    values: BTreeMap<String, String>,
}

impl Shape {
    /// The shape that a valid spec asks for, in the project that it names.
    #[must_use]
    pub fn new(object: &OAuthClient, present: &Present, endpoints: Endpoints<'_>) -> Option<Self> {
        let owner = object.controller_owner_ref(&())?;
        let keys = &present.secret.keys;
        let scopes: Vec<&str> = present.settings.scopes.iter().map(String::as_str).collect();
        let values = [
            (&keys.project_id, endpoints.project_id.to_owned()),
            (&keys.authorize_url, endpoints.authorize_url.to_owned()),
            (&keys.token_url, endpoints.token_url.to_owned()),
            (&keys.scopes, scopes.join(" ")),
        ];
        Some(Self {
            namespace: object.namespace()?,
            name: present.secret.name.clone(),
            uid: Uid::new(&owner.uid),
            labels: BTreeMap::from([
                (OAUTH_CLIENT_LABEL.to_owned(), object.name_any()),
                (MANAGED_BY_LABEL.to_owned(), MANAGER.to_owned()),
            ]),
            owner: OwnerReference { block_owner_deletion: Some(true), ..owner },
            keys: keys.clone(),
            values: values.into_iter().filter_map(|(key, value)| Some((key.clone()?, value))).collect(),
        })
    }

    /// The whole Secret, to be created.
    #[must_use]
    pub fn with_credential(&self, token: &Token, client_id: &ClientId, secret: &ClientSecret) -> Secret {
        Secret {
            metadata: ObjectMeta {
                name: Some(self.name.clone()),
                namespace: Some(self.namespace.clone()),
                labels: Some(self.labels.clone()),
                annotations: Some(self.annotations(Some(token), client_id)),
                owner_references: Some(vec![self.owner.clone()]),
                ..ObjectMeta::default()
            },
            type_: Some("Opaque".to_owned()),
            data: Some(self.data(client_id, Some(secret))),
            ..Secret::default()
        }
    }

    /// A merge patch that puts a credential in the place of another, if the Secret still has this version.
    #[must_use]
    pub fn replacing(&self, version: &Version, token: &Token, client_id: &ClientId, secret: &ClientSecret) -> Value {
        json!({
            "metadata": self.metadata_patch(version, Some(token), client_id),
            "data": self.data(client_id, Some(secret)),
        })
    }

    /// A merge patch that brings a Secret into shape and leaves its client secret as it is, if it still has this
    /// version. Data keys that do not belong to it go.
    #[must_use]
    pub fn reshaping(&self, version: &Version, client_id: &ClientId, present: &Secret) -> Value {
        let mut data = json!(self.data(client_id, None));
        for key in present.data.iter().flat_map(BTreeMap::keys) {
            if key != &self.keys.client_secret && data.get(key).is_none() {
                data[key] = Value::Null;
            }
        }
        json!({ "metadata": self.metadata_patch(version, None, client_id), "data": data })
    }

    fn metadata_patch(&self, version: &Version, token: Option<&Token>, client_id: &ClientId) -> Value {
        json!({
            "resourceVersion": version.as_str(),
            "labels": self.labels,
            "annotations": self.annotations(token, client_id),
            "ownerReferences": [self.owner],
        })
    }

    fn annotations(&self, token: Option<&Token>, client_id: &ClientId) -> BTreeMap<String, String> {
        let keys = json!({ "clientId": self.keys.client_id, "clientSecret": self.keys.client_secret });
        let mut annotations = BTreeMap::from([
            (OWNER_UID_ANNOTATION.to_owned(), self.uid.to_string()),
            (CLIENT_ID_ANNOTATION.to_owned(), client_id.to_string()),
            (KEYS_ANNOTATION.to_owned(), keys.to_string()),
            (VALUES_ANNOTATION.to_owned(), self.values_digest()),
        ]);
        annotations.extend(token.map(|token| (CREATE_TOKEN_ANNOTATION.to_owned(), token.to_string())));
        annotations
    }

    /// So that the metadata alone tells whether the public values are the wanted ones.
    fn values_digest(&self) -> String {
        let mut hasher = Sha256::new();
        for (key, value) in &self.values {
            for part in [key, value] {
                hasher.update(u64::try_from(part.len()).unwrap_or(u64::MAX).to_be_bytes());
                hasher.update(part);
            }
        }
        hasher.finalize().iter().map(|byte| format!("{byte:02x}")).collect()
    }

    fn data(&self, client_id: &ClientId, secret: Option<&ClientSecret>) -> BTreeMap<String, ByteString> {
        let bytes = |text: &str| ByteString(text.as_bytes().to_vec());
        let mut data: BTreeMap<_, _> = self.values.iter().map(|(key, value)| (key.clone(), bytes(value))).collect();
        data.insert(self.keys.client_id.clone(), bytes(client_id.as_str()));
        data.extend(secret.map(|secret| (self.keys.client_secret.clone(), bytes(secret.expose()))));
        data
    }

    fn fits_metadata(&self, metadata: &ObjectMeta) -> bool {
        let holds = |present: Option<&BTreeMap<String, String>>, key: &str, value: &str| {
            present.and_then(|present| present.get(key)).is_some_and(|found| found == value)
        };
        let annotations = metadata.annotations.as_ref();
        let keys = json!({ "clientId": self.keys.client_id, "clientSecret": self.keys.client_secret });
        self.labels.iter().all(|(key, value)| holds(metadata.labels.as_ref(), key, value))
            && holds(annotations, KEYS_ANNOTATION, &keys.to_string())
            && holds(annotations, VALUES_ANNOTATION, &self.values_digest())
            && metadata.owner_references.as_ref().is_some_and(|owners| owners.contains(&self.owner))
    }

    fn fits_data(&self, secret: &Secret, client_id: &ClientId) -> bool {
        let mut data = secret.data.clone().unwrap_or_default();
        data.remove(&self.keys.client_secret).is_some() && data == self.data(client_id, None)
    }
}

/// What a Secret whose metadata alone is known is to the object. Without a shape it counts as in shape.
#[must_use]
pub fn view_metadata(
    metadata: Option<&ObjectMeta>,
    uid: &Uid,
    recorded: &Recorded,
    shape: Option<&Shape>,
) -> observed::Secret {
    let Some(metadata) = metadata else {
        return observed::Secret::Absent;
    };
    let annotation = |key: &str| metadata.annotations.as_ref().and_then(|annotations| annotations.get(key));
    if annotation(OWNER_UID_ANNOTATION).is_none_or(|owner| owner != uid.as_str()) {
        return observed::Secret::Foreign;
    }
    let version = Version::new(metadata.resource_version.as_deref().unwrap_or_default());
    let unchanged = recorded.secret_version.as_ref() == Some(&version);
    observed::Secret::Ours(Stored {
        token: annotation(CREATE_TOKEN_ANNOTATION).and_then(|token| Token::read(token, uid)),
        client_id: annotation(CLIENT_ID_ANNOTATION).map(ClientId::new),
        credential: if unchanged { Credential::AsRecorded } else { Credential::Unread },
        in_shape: shape.is_none_or(|shape| shape.fits_metadata(metadata)),
        version,
    })
}

/// What a Secret that was read whole is to the object. Without a shape it counts as in shape.
#[must_use]
pub fn view(secret: Option<&Secret>, uid: &Uid, recorded: &Recorded, shape: Option<&Shape>) -> observed::Secret {
    let metadata = secret.map(|secret| &secret.metadata);
    match (view_metadata(metadata, uid, recorded, shape), secret) {
        (observed::Secret::Ours(stored), Some(secret)) => {
            let named = match (&stored.client_id, &recorded.client_id) {
                (Some(client_id), _) | (None, Some(client_id)) => Some(client_id),
                (None, None) => None,
            };
            let in_shape = stored.in_shape
                && shape.is_none_or(|shape| named.is_some_and(|client_id| shape.fits_data(secret, client_id)));
            let credential = credential(secret, uid, recorded, stored.client_id.as_ref());
            observed::Secret::Ours(Stored { in_shape, credential, ..stored })
        }
        (view, _) => view,
    }
}

/// The credential in the data, under the key names that the Secret itself records.
fn credential(secret: &Secret, uid: &Uid, recorded: &Recorded, annotated: Option<&ClientId>) -> Credential {
    let keys: Value = secret
        .annotations()
        .get(KEYS_ANNOTATION)
        .and_then(|keys| serde_json::from_str(keys).ok())
        .unwrap_or(Value::Null);
    let datum = |name: &str| {
        let key = keys.get(name)?.as_str()?;
        secret.data.as_ref()?.get(key)
    };
    let Some(value) = datum("clientSecret").and_then(|bytes| ClientSecret::new(&bytes.0).ok()) else {
        return Credential::Broken;
    };
    let digest_with = |client_id: &ClientId| Digest::new(digest(uid.as_str(), client_id.as_str(), &value));
    if let (Some(client_id), Some(known)) = (&recorded.client_id, &recorded.digest)
        && &digest_with(client_id) == known
    {
        return Credential::AsRecorded;
    }
    match annotated {
        Some(client_id) if datum("clientId").is_some_and(|id| id.0 == client_id.as_str().as_bytes()) => {
            Credential::Other(digest_with(client_id))
        }
        Some(_) | None => Credential::Broken,
    }
}

//! What the Secret is to look like.

mod view;

use std::collections::BTreeMap;

use k8s_openapi::ByteString;
use k8s_openapi::api::core::v1::Secret;
use k8s_openapi::apimachinery::pkg::apis::meta::v1::{ObjectMeta, OwnerReference};
use kube::{Resource, ResourceExt};
use serde_json::{Map, Value, json};

pub use view::{DataFacts, PairFacts, SecretFacts, judge, view, view_metadata};

use crate::api::OAuthClient;
use crate::api::names::{
    CLIENT_ID_ANNOTATION, CREATE_TOKEN_ANNOTATION, KEYS_ANNOTATION, MANAGED_BY_LABEL, MANAGER, OAUTH_CLIENT_LABEL,
    OWNER_UID_ANNOTATION, RETAINED_ANNOTATION, VALUES_ANNOTATION,
};
use crate::decide::client::desired::lifecycle::Adopt;
use crate::decide::client::desired::{Present, SecretKeys, SecretLayout};
use crate::decide::id::{ClientId, Token, Uid, Version};
use crate::secret::{ClientSecret, digest_of};

/// What else than the spec decides how the Secret looks.
#[derive(Clone, Copy, Debug)]
pub struct Endpoints<'a> {
    pub project_id: &'a str,
    /// The authorization endpoint.
    pub authorize_url: &'a str,
    /// The token endpoint.
    pub token_url: &'a str,
    /// Whether the Secret goes with the object.
    pub owned: bool,
}

/// What the Secret of an OAuthClient is to look like, but for the credential.
#[derive(Clone, Debug)]
pub struct Shape {
    namespace: String,
    uid: Uid,
    owner: OwnerReference,
    owned: bool,
    layout: SecretLayout,
    labels: BTreeMap<String, String>,
    values: BTreeMap<String, String>,
    adopt: Option<Adopt>,
}

/// What the data keys hold, by the fields of the spec that name them.
const DATA_KEYS: [&str; 6] = ["clientId", "clientSecret", "projectId", "authorizeUrl", "tokenUrl", "scopes"];

/// The data keys of a credential.
#[derive(Clone, Debug, PartialEq, Eq)]
struct KeyPair {
    client_id: String,
    client_secret: String,
}

impl Shape {
    /// The shape that a valid spec asks for, in the project that it names.
    #[must_use]
    pub fn new(object: &OAuthClient, present: &Present, setting: Endpoints<'_>) -> Option<Self> {
        let Endpoints { project_id, authorize_url, token_url, owned } = setting;
        let owner = object.controller_owner_ref(&())?;
        let layout = present.secret.clone();
        let SecretKeys {
            client_id: _,
            client_secret: _,
            project_id: id_key,
            authorize_url: a,
            token_url: t,
            scopes: s,
        } = &layout.keys;
        let scopes: Vec<&str> = present.settings.scopes.iter().map(String::as_str).collect();
        let values = [
            (id_key, project_id.to_owned()),
            (a, authorize_url.to_owned()),
            (t, token_url.to_owned()),
            (s, scopes.join(" ")),
        ];
        let mut labels = layout.labels.clone();
        labels.insert(OAUTH_CLIENT_LABEL.to_owned(), object.name_any());
        labels.insert(MANAGED_BY_LABEL.to_owned(), MANAGER.to_owned());
        Some(Self {
            namespace: object.namespace()?,
            uid: Uid::new(&owner.uid),
            owner: OwnerReference { block_owner_deletion: Some(true), ..owner },
            owned,
            labels,
            values: values.into_iter().filter_map(|(key, value)| Some((key.clone()?, value))).collect(),
            adopt: present.lifecycle.adopt.clone(),
            layout,
        })
    }

    /// The whole Secret, to be created.
    #[must_use]
    pub fn with_credential(&self, token: &Token, client_id: &ClientId, secret: &ClientSecret) -> Secret {
        Secret {
            metadata: ObjectMeta {
                name: Some(self.layout.name.clone()),
                namespace: Some(self.namespace.clone()),
                labels: Some(self.labels.clone()),
                annotations: Some(self.annotations(Some(token), client_id)),
                owner_references: self.owned.then(|| vec![self.owner.clone()]),
                ..ObjectMeta::default()
            },
            type_: Some(self.layout.type_.clone()),
            data: Some(self.data(client_id, Some(secret))),
            ..Secret::default()
        }
    }

    /// A merge patch that puts a credential in the place of another, if the Secret still has this version. Owners and
    /// what is there besides stay; what the operator wrote into `present` and the spec no longer wants goes.
    #[must_use]
    pub fn replacing(
        &self,
        version: &Version,
        token: &Token,
        client_id: &ClientId,
        secret: &ClientSecret,
        present: Option<&Secret>,
    ) -> Value {
        let written = present.map(Written::read).unwrap_or_default();
        let mut data = json!(self.data(client_id, Some(secret)));
        drop_others(&mut data, &written.keys);
        let mut labels = json!(self.labels);
        drop_others(&mut labels, &written.labels);
        let mut annotations = json!(self.annotations(Some(token), client_id));
        drop_others(&mut annotations, &written.annotations);
        json!({
            "metadata": {
                "resourceVersion": version.as_str(),
                "labels": labels,
                "annotations": annotations,
            },
            "data": data,
        })
    }

    /// A merge patch that brings a Secret into shape and keeps its credential, if it still has this version; with a
    /// token if it is to get another. `None` if it holds no credential.
    ///
    /// What the operator wrote before and the spec no longer wants goes; what others added stays.
    #[must_use]
    pub fn reshaping(
        &self,
        version: &Version,
        token: Option<&Token>,
        client_id: &ClientId,
        present: &Secret,
    ) -> Option<Value> {
        let secret = self.find_secret(present)?;
        let written = Written::read(present);
        let mut data = json!(self.data(client_id, Some(&secret)));
        drop_others(&mut data, &written.keys);
        let mut labels = json!(self.labels);
        drop_others(&mut labels, &written.labels);
        let mut annotations = json!(self.annotations(token, client_id));
        drop_others(&mut annotations, &written.annotations);
        annotations[RETAINED_ANNOTATION] = Value::Null;
        let mut owners = owners_but(present, &self.uid);
        owners.extend(self.owned.then(|| self.owner.clone()));
        Some(json!({
            "metadata": {
                "resourceVersion": version.as_str(),
                "labels": labels,
                "annotations": annotations,
                "ownerReferences": owners,
            },
            "type": self.layout.type_,
            "data": data,
        }))
    }

    /// The client secret in a Secret's data: under the names that the Secret itself records, that the spec wants, or
    /// under which an adopted one is given.
    #[must_use]
    pub fn find_secret(&self, present: &Secret) -> Option<ClientSecret> {
        let data = present.data.as_ref()?;
        let mut values = self.pairs(present).into_iter().filter_map(|pair| data.get(&pair.client_secret));
        values.find_map(|value| ClientSecret::new(&value.0).ok())
    }

    fn pairs(&self, present: &Secret) -> Vec<KeyPair> {
        let SecretKeys { client_id, client_secret, .. } = &self.layout.keys;
        let wanted = KeyPair { client_id: client_id.clone(), client_secret: client_secret.clone() };
        let given = self.adopt.as_ref().and_then(|adopt| adopt.credential.as_ref());
        let given = given.filter(|given| given.secret == self.layout.name).map(|given| KeyPair {
            client_id: given.client_id_key.clone(),
            client_secret: given.client_secret_key.clone(),
        });
        Written::read(present).pair.into_iter().chain(given).chain([wanted]).collect()
    }

    fn annotations(&self, token: Option<&Token>, client_id: &ClientId) -> BTreeMap<String, String> {
        let mut annotations = self.layout.annotations.clone();
        annotations.extend([
            (OWNER_UID_ANNOTATION.to_owned(), self.uid.to_string()),
            (CLIENT_ID_ANNOTATION.to_owned(), client_id.to_string()),
            (KEYS_ANNOTATION.to_owned(), self.keys_text()),
            (VALUES_ANNOTATION.to_owned(), self.values_digest()),
        ]);
        annotations.extend(token.map(|token| (CREATE_TOKEN_ANNOTATION.to_owned(), token.to_string())));
        annotations
    }

    /// The names of all that is written at the wish of the spec, so that it can be found and removed later.
    fn keys_text(&self) -> String {
        let SecretKeys { client_id, client_secret, project_id, authorize_url, token_url, scopes } = &self.layout.keys;
        let named = [
            Some(client_id),
            Some(client_secret),
            project_id.as_ref(),
            authorize_url.as_ref(),
            token_url.as_ref(),
            scopes.as_ref(),
        ];
        let named = DATA_KEYS.into_iter().zip(named);
        let mut keys: Map<String, Value> =
            named.filter_map(|(field, key)| Some((field.to_owned(), json!(key?)))).collect();
        for (field, entries) in [("labels", &self.layout.labels), ("annotations", &self.layout.annotations)] {
            if !entries.is_empty() {
                keys.insert(field.to_owned(), json!(entries.keys().collect::<Vec<_>>()));
            }
        }
        // The type is recorded so that a change of it is written: Kubernetes refuses another type, and says so only
        // then.
        keys.insert("type".to_owned(), json!(self.layout.type_));
        Value::Object(keys).to_string()
    }

    /// The digest of the public values, by which the metadata alone tells whether they are the wanted ones.
    fn values_digest(&self) -> String {
        digest_of(self.values.iter().flat_map(|(key, value)| [key.as_str(), value.as_str()]))
    }

    fn data(&self, client_id: &ClientId, secret: Option<&ClientSecret>) -> BTreeMap<String, ByteString> {
        let bytes = |text: &str| ByteString(text.as_bytes().to_vec());
        let mut data: BTreeMap<_, _> = self.values.iter().map(|(key, value)| (key.clone(), bytes(value))).collect();
        data.insert(self.layout.keys.client_id.clone(), bytes(client_id.as_str()));
        data.extend(secret.map(|secret| (self.layout.keys.client_secret.clone(), bytes(secret.expose()))));
        data
    }

    fn fits_metadata(&self, metadata: &ObjectMeta) -> bool {
        let all_in = |wanted: &BTreeMap<String, String>, present: Option<&BTreeMap<String, String>>| {
            wanted.iter().all(|(key, value)| present.and_then(|present| present.get(key)) == Some(value))
        };
        let mut annotations = self.layout.annotations.clone();
        annotations.insert(KEYS_ANNOTATION.to_owned(), self.keys_text());
        annotations.insert(VALUES_ANNOTATION.to_owned(), self.values_digest());
        let owners = metadata.owner_references.as_deref().unwrap_or_default();
        let fits_owner = if self.owned {
            owners.contains(&self.owner)
        } else {
            owners.iter().all(|owner| owner.uid != self.uid.as_str())
        };
        let present = metadata.annotations.as_ref();
        all_in(&self.labels, metadata.labels.as_ref())
            && all_in(&annotations, present)
            && present.is_none_or(|present| !present.contains_key(RETAINED_ANNOTATION))
            && fits_owner
    }

    fn fits_data(&self, secret: &Secret, client_id: &ClientId) -> bool {
        let present = secret.data.clone().unwrap_or_default();
        present.contains_key(&self.layout.keys.client_secret)
            && self.data(client_id, None).iter().all(|(key, value)| present.get(key) == Some(value))
    }
}

/// A merge patch that takes the object's ownership off a Secret, if it still has this version; `retained`: the patch
/// says that the Secret was retained.
#[must_use]
pub fn leaving(version: &Version, uid: &Uid, retained: bool, present: Option<&Secret>) -> Value {
    let mut metadata = json!({ "resourceVersion": version.as_str() });
    if retained {
        metadata["annotations"] = json!({ RETAINED_ANNOTATION: "true" });
    }
    if let Some(present) = present {
        metadata["ownerReferences"] = json!(owners_but(present, uid));
    }
    json!({ "metadata": metadata })
}

fn owners_but(present: &Secret, uid: &Uid) -> Vec<OwnerReference> {
    let owners = present.metadata.owner_references.iter().flatten();
    owners.filter(|owner| owner.uid != uid.as_str()).cloned().collect()
}

/// Makes a merge patch take out what was written before and is not wanted any more.
fn drop_others(wanted: &mut Value, written: &[String]) {
    for key in written {
        if wanted.get(key).is_none() {
            wanted[key] = Value::Null;
        }
    }
}

/// What a Secret's annotation says of what was written into it.
#[derive(Default)]
struct Written {
    pair: Option<KeyPair>,
    keys: Vec<String>,
    labels: Vec<String>,
    annotations: Vec<String>,
}

impl Written {
    fn read(present: &Secret) -> Self {
        let text = present.annotations().get(KEYS_ANNOTATION);
        let Some(Value::Object(written)) = text.and_then(|text| serde_json::from_str(text).ok()) else {
            return Self::default();
        };
        let key = |field: &str| Some(written.get(field)?.as_str()?.to_owned());
        let list = |field: &str| {
            let items = written.get(field).and_then(Value::as_array).into_iter().flatten();
            items.filter_map(|item| item.as_str().map(str::to_owned)).collect()
        };
        let pair = key("clientId").zip(key("clientSecret"));
        Self {
            pair: pair.map(|(client_id, client_secret)| KeyPair { client_id, client_secret }),
            keys: DATA_KEYS.into_iter().filter_map(key).collect(),
            labels: list("labels"),
            annotations: list("annotations"),
        }
    }
}

#[cfg(test)]
mod tests;

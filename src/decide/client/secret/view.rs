//! What a Secret that exists is to its object: first the facts that are read off it, then the judgement.

use k8s_openapi::api::core::v1::Secret;
use k8s_openapi::apimachinery::pkg::apis::meta::v1::ObjectMeta;

use super::{KeyPair, Shape, Written};
use crate::api::names::{CLIENT_ID_ANNOTATION, CREATE_TOKEN_ANNOTATION, OWNER_UID_ANNOTATION, RETAINED_ANNOTATION};
use crate::decide::client::observed::{self, Content, Credential, Foreign, Recorded, Stored};
use crate::decide::id::{ClientId, CredentialDigest, Token, Uid, Version};
use crate::secret::{ClientSecret, digest};

/// What is read off a Secret.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct SecretFacts {
    /// `metadata.resourceVersion`.
    pub version: Version,
    /// The uid of the OAuthClient in the annotation.
    pub owner_uid: Option<Uid>,
    /// The token in the annotation, if it is of the object's uid.
    pub token: Option<Token>,
    /// The client id in the annotation.
    pub client_id: Option<ClientId>,
    /// Whether an owner reference names the object.
    pub owned: bool,
    /// Whether the annotations say that the Secret is retained.
    pub retained: bool,
    /// Whether labels, annotations and owner are as the spec wants them.
    pub metadata_fits: bool,
    /// What is read off the data; `None` if only the metadata is known.
    pub data: Option<DataFacts>,
}

/// What is read off a Secret's data.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct DataFacts {
    /// Whether the data holds the id of the annotated (or else the recorded) client, a secret, and the public values as
    /// the spec wants them.
    pub fits: bool,
    /// Whether the data holds the id, and a secret, of the client that the spec adopts.
    pub adoptable: bool,
    /// The digests of what the data holds, for each pair of data keys that may hold a credential.
    pub pairs: Vec<PairFacts>,
}

/// What a pair of data keys holds.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct PairFacts {
    /// The digest of the pair's secret as the recorded client's.
    pub as_recorded: Option<CredentialDigest>,
    /// The digest of the pair's secret as the annotated client's, if the pair's id is the annotated one.
    pub as_annotated: Option<CredentialDigest>,
}

/// What a Secret with these facts is to the object with this uid and this record.
#[must_use]
pub fn judge(facts: SecretFacts, uid: &Uid, recorded: &Recorded) -> observed::Secret {
    let SecretFacts { version, owner_uid, token, client_id, owned, retained, metadata_fits, data } = facts;
    if owner_uid.as_ref() != Some(uid) {
        let content = match data {
            None => Content::Unread,
            Some(DataFacts { adoptable: true, .. }) => Content::Adoptable,
            Some(DataFacts { adoptable: false, .. }) => Content::Other,
        };
        return observed::Secret::Foreign(Foreign { version, former: client_id.zip(owner_uid), content });
    }
    let credential = match &data {
        Some(data) => credential(data, recorded),
        None if recorded.secret_version.as_ref() == Some(&version) => Credential::AsRecorded,
        None => Credential::Unread,
    };
    let in_shape = metadata_fits && data.is_none_or(|data| data.fits);
    observed::Secret::Ours(Stored {
        version,
        token,
        client_id,
        credential,
        in_shape,
        misplaced: false,
        owned,
        retained,
    })
}

/// The recorded credential, wherever it is found; else the first that is whole.
fn credential(data: &DataFacts, recorded: &Recorded) -> Credential {
    let is_recorded = |pair: &PairFacts| pair.as_recorded.is_some() && pair.as_recorded == recorded.digest;
    if data.pairs.iter().any(is_recorded) {
        return Credential::AsRecorded;
    }
    let whole = data.pairs.iter().find_map(|pair| pair.as_annotated.clone());
    whole.map_or(Credential::Broken, Credential::Other)
}

/// What a Secret whose metadata alone is known is to the object. Without a shape it counts as in shape.
#[must_use]
pub fn view_metadata(
    metadata: Option<&ObjectMeta>,
    uid: &Uid,
    recorded: &Recorded,
    shape: Option<&Shape>,
) -> observed::Secret {
    metadata.map_or(observed::Secret::Absent, |metadata| judge(metadata_facts(metadata, uid, shape), uid, recorded))
}

/// What a Secret that was read whole is to the object. Without a shape it counts as in shape.
#[must_use]
pub fn view(secret: Option<&Secret>, uid: &Uid, recorded: &Recorded, shape: Option<&Shape>) -> observed::Secret {
    let Some(secret) = secret else {
        return observed::Secret::Absent;
    };
    let facts = metadata_facts(&secret.metadata, uid, shape);
    let data = data_facts(secret, facts.client_id.as_ref(), uid, recorded, shape);
    judge(SecretFacts { data: Some(data), ..facts }, uid, recorded)
}

fn metadata_facts(metadata: &ObjectMeta, uid: &Uid, shape: Option<&Shape>) -> SecretFacts {
    let annotation = |key: &str| metadata.annotations.as_ref().and_then(|annotations| annotations.get(key));
    SecretFacts {
        version: Version::new(metadata.resource_version.as_deref().unwrap_or_default()),
        owner_uid: annotation(OWNER_UID_ANNOTATION).map(Uid::new),
        token: annotation(CREATE_TOKEN_ANNOTATION).and_then(|token| Token::read(token, uid)),
        client_id: annotation(CLIENT_ID_ANNOTATION).map(ClientId::new),
        owned: metadata.owner_references.iter().flatten().any(|owner| owner.uid == uid.as_str()),
        retained: annotation(RETAINED_ANNOTATION).is_some(),
        metadata_fits: shape.is_none_or(|shape| shape.fits_metadata(metadata)),
        data: None,
    }
}

fn data_facts(
    secret: &Secret,
    annotated: Option<&ClientId>,
    uid: &Uid,
    recorded: &Recorded,
    shape: Option<&Shape>,
) -> DataFacts {
    let named = annotated.or(recorded.client_id.as_ref());
    // The key names are those that the Secret itself records, or that the spec wants.
    let pairs = shape.map_or_else(|| Written::read(secret).pair.into_iter().collect(), |shape| shape.pairs(secret));
    let pair_facts = |KeyPair { client_id, client_secret }: KeyPair| {
        let value = datum(secret, &client_secret).and_then(|bytes| ClientSecret::new(bytes).ok())?;
        let with = |client_id: &ClientId| CredentialDigest::new(digest(uid.as_str(), client_id.as_str(), &value));
        let holds = |annotated: &&ClientId| datum(secret, &client_id) == Some(annotated.as_str().as_bytes());
        Some(PairFacts {
            as_recorded: recorded.client_id.as_ref().map(with),
            as_annotated: annotated.filter(holds).map(with),
        })
    };
    DataFacts {
        fits: shape.is_none_or(|shape| named.is_some_and(|client_id| shape.fits_data(secret, client_id))),
        adoptable: shape.is_some_and(|shape| shape.holds_adopted(secret)),
        pairs: pairs.into_iter().filter_map(pair_facts).collect(),
    }
}

impl Shape {
    /// Whether the data hold the id, and a secret, of the client that the spec adopts.
    fn holds_adopted(&self, secret: &Secret) -> bool {
        let Some(adopt) = &self.adopt else { return false };
        let holds = |pair: &KeyPair| {
            let id = datum(secret, &pair.client_id);
            id == Some(adopt.client_id.as_str().as_bytes()) && datum(secret, &pair.client_secret).is_some()
        };
        self.pairs(secret).iter().any(holds)
    }
}

fn datum<'a>(secret: &'a Secret, key: &str) -> Option<&'a [u8]> {
    Some(&secret.data.as_ref()?.get(key)?.0)
}

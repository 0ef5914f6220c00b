//! What a Secret that exists is to its object.

use k8s_openapi::api::core::v1::Secret;
use k8s_openapi::apimachinery::pkg::apis::meta::v1::ObjectMeta;

use super::{KeyPair, Shape, Written};
use crate::api::names::{CLIENT_ID_ANNOTATION, CREATE_TOKEN_ANNOTATION, OWNER_UID_ANNOTATION, RETAINED_ANNOTATION};
use crate::decide::client::observed::{self, Content, Credential, Foreign, Recorded, Stored};
use crate::decide::id::{ClientId, CredentialDigest, Token, Uid, Version};
use crate::secret::{ClientSecret, digest};

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
    let version = Version::new(metadata.resource_version.as_deref().unwrap_or_default());
    let client_id = annotation(CLIENT_ID_ANNOTATION).map(ClientId::new);
    let owner = annotation(OWNER_UID_ANNOTATION).map(Uid::new);
    if owner.as_ref() != Some(uid) {
        return observed::Secret::Foreign(Foreign { version, former: client_id.zip(owner), content: Content::Unread });
    }
    let unchanged = recorded.secret_version.as_ref() == Some(&version);
    observed::Secret::Ours(Stored {
        token: annotation(CREATE_TOKEN_ANNOTATION).and_then(|token| Token::read(token, uid)),
        client_id,
        credential: if unchanged { Credential::AsRecorded } else { Credential::Unread },
        in_shape: shape.is_none_or(|shape| shape.fits_metadata(metadata)),
        misplaced: false,
        owned: metadata.owner_references.iter().flatten().any(|owner| owner.uid == uid.as_str()),
        retained: annotation(RETAINED_ANNOTATION).is_some(),
        version,
    })
}

/// What a Secret that was read whole is to the object. Without a shape it counts as in shape.
#[must_use]
pub fn view(secret: Option<&Secret>, uid: &Uid, recorded: &Recorded, shape: Option<&Shape>) -> observed::Secret {
    let metadata = secret.map(|secret| &secret.metadata);
    match (view_metadata(metadata, uid, recorded, shape), secret) {
        (observed::Secret::Ours(stored), Some(secret)) => {
            let named = stored.client_id.as_ref().or(recorded.client_id.as_ref());
            let in_shape = stored.in_shape
                && shape.is_none_or(|shape| named.is_some_and(|client_id| shape.fits_data(secret, client_id)));
            let credential = credential(secret, uid, recorded, stored.client_id.as_ref(), shape);
            observed::Secret::Ours(Stored { in_shape, credential, ..stored })
        }
        (observed::Secret::Foreign(foreign), Some(secret)) => {
            let adoptable = shape.is_some_and(|shape| shape.holds_adopted(secret));
            let content = if adoptable { Content::Adoptable } else { Content::Other };
            observed::Secret::Foreign(Foreign { content, ..foreign })
        }
        (view, _) => view,
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

/// The credential in the data, under the key names that the Secret itself records, or that the spec wants.
fn credential(
    secret: &Secret,
    uid: &Uid,
    recorded: &Recorded,
    annotated: Option<&ClientId>,
    shape: Option<&Shape>,
) -> Credential {
    let pairs = shape.map_or_else(|| Written::read(secret).pair.into_iter().collect(), |shape| shape.pairs(secret));
    let mut found = Credential::Broken;
    for KeyPair { client_id, client_secret } in pairs {
        let Some(value) = datum(secret, &client_secret).and_then(|bytes| ClientSecret::new(bytes).ok()) else {
            continue;
        };
        let digest_with =
            |client_id: &ClientId| CredentialDigest::new(digest(uid.as_str(), client_id.as_str(), &value));
        if let (Some(recorded_id), Some(known)) = (&recorded.client_id, &recorded.digest)
            && &digest_with(recorded_id) == known
        {
            return Credential::AsRecorded;
        }
        if let Some(annotated) = annotated
            && datum(secret, &client_id) == Some(annotated.as_str().as_bytes())
            && found == Credential::Broken
        {
            found = Credential::Other(digest_with(annotated));
        }
    }
    found
}

//! The marker: what the operator writes into a client's metadata, so that it knows later whose the client is.

use std::collections::BTreeMap;

use serde::{Deserialize, Serialize};

use super::id::{ClusterId, Token, Uid};

/// The prefix of all keys of the marker; `extraMetadata` may not use it.
pub const PREFIX: &str = "meshagent.com/";

const CLUSTER: &str = "meshagent.com/cluster-id";
const NAMESPACE: &str = "meshagent.com/namespace";
const NAME: &str = "meshagent.com/name";
const UID: &str = "meshagent.com/uid";
const TOKEN: &str = "meshagent.com/create-token";
const POLICY: &str = "meshagent.com/deletion-policy";
const ORIGIN: &str = "meshagent.com/origin";
const RETAINED: &str = "meshagent.com/retained";
const KEYS: [&str; 8] = [CLUSTER, NAMESPACE, NAME, UID, TOKEN, POLICY, ORIGIN, RETAINED];

/// The OAuthClient that a client at MeshAgent belongs to.
#[derive(Clone, Debug, PartialEq, Eq, Hash, Serialize, Deserialize)]
pub struct Owner {
    /// The cluster that the object lives in.
    pub cluster: ClusterId,
    /// `metadata.namespace` of the OAuthClient.
    pub namespace: String,
    /// `metadata.name` of the OAuthClient.
    pub name: String,
    /// `metadata.uid` of the OAuthClient.
    pub uid: Uid,
}

/// What becomes of the client when its OAuthClient is deleted.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, Serialize, Deserialize)]
pub enum Policy {
    /// The client is deleted.
    Delete,
    /// The client stays.
    Retain,
}

/// How the client came to bear a marker.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, Serialize, Deserialize)]
pub enum Origin {
    /// The operator created the client.
    Created,
    /// The client existed, and an OAuthClient took it over.
    Adopted,
}

/// What the operator writes into a client's metadata.
#[derive(Clone, Debug, PartialEq, Eq, Hash, Serialize, Deserialize)]
pub struct Marker {
    /// The OAuthClient that the client belongs to.
    pub owner: Owner,
    /// The token of the POST that made the client.
    pub token: Token,
    /// The deletion policy when the marker was last written.
    pub policy: Policy,
    /// How the client came to be marked.
    pub origin: Origin,
    /// Whether the OAuthClient was deleted and left the client behind.
    pub retained: bool,
}

impl Marker {
    /// Reads the marker off a client's metadata; `None` if any part is missing or not of the form that the operator
    /// writes: a client is ours by a whole marker, never by a piece of one.
    #[must_use]
    pub fn read(metadata: &BTreeMap<String, String>) -> Option<Self> {
        let uid = Uid::new(metadata.get(UID)?);
        Some(Self {
            token: Token::read(metadata.get(TOKEN)?, &uid)?,
            policy: match metadata.get(POLICY)?.as_str() {
                "Delete" => Policy::Delete,
                "Retain" => Policy::Retain,
                _ => return None,
            },
            origin: match metadata.get(ORIGIN)?.as_str() {
                "created" => Origin::Created,
                "adopted" => Origin::Adopted,
                _ => return None,
            },
            retained: match metadata.get(RETAINED)?.as_str() {
                "true" => true,
                "false" => false,
                _ => return None,
            },
            owner: Owner {
                cluster: ClusterId::new(metadata.get(CLUSTER)?),
                namespace: metadata.get(NAMESPACE)?.clone(),
                name: metadata.get(NAME)?.clone(),
                uid,
            },
        })
    }

    /// Writes the marker into a client's metadata, over what stands there.
    pub fn write(&self, metadata: &mut BTreeMap<String, String>) {
        let policy = match self.policy {
            Policy::Delete => "Delete",
            Policy::Retain => "Retain",
        };
        let origin = match self.origin {
            Origin::Created => "created",
            Origin::Adopted => "adopted",
        };
        let retained = if self.retained { "true" } else { "false" };
        let values = [
            self.owner.cluster.as_str(),
            &self.owner.namespace,
            &self.owner.name,
            self.owner.uid.as_str(),
            self.token.as_str(),
            policy,
            origin,
            retained,
        ];
        for (key, value) in KEYS.into_iter().zip(values) {
            metadata.insert(key.to_owned(), value.to_owned());
        }
    }

    /// Whether a former OAuthClient of the same name retained the client, so that an object of that name may take it
    /// back: the uid alone differs, and the former object wanted the client to outlive it.
    #[must_use]
    pub fn is_retained_for(&self, owner: &Owner) -> bool {
        let Owner { cluster, namespace, name, uid } = &self.owner;
        let same_name = (cluster, namespace, name) == (&owner.cluster, &owner.namespace, &owner.name);
        same_name && uid != &owner.uid && (self.retained || self.policy == Policy::Retain)
    }

    /// Takes the marker's keys out of a client's metadata and leaves the rest.
    #[must_use]
    pub fn strip(mut metadata: BTreeMap<String, String>) -> BTreeMap<String, String> {
        metadata.retain(|key, _| !KEYS.contains(&key.as_str()));
        metadata
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn marker() -> Marker {
        let uid = Uid::new("0b5c");
        Marker {
            token: Token::mint(&uid, "r1"),
            policy: Policy::Delete,
            origin: Origin::Created,
            retained: false,
            owner: Owner { cluster: ClusterId::new("c"), namespace: "shop".into(), name: "web".into(), uid },
        }
    }

    #[test]
    fn a_marker_reads_as_it_was_written_and_leaves_foreign_keys_alone() {
        let foreign = BTreeMap::from([("team".to_owned(), "red".to_owned())]);
        let others = [
            Marker { policy: Policy::Retain, ..marker() },
            Marker { origin: Origin::Adopted, ..marker() },
            Marker { retained: true, ..marker() },
        ];
        for marker in [marker()].into_iter().chain(others) {
            let mut metadata = foreign.clone();
            marker.write(&mut metadata);
            assert_eq!(Marker::read(&metadata), Some(marker));
            assert_eq!(Marker::strip(metadata), foreign);
        }
    }

    #[test]
    fn a_marker_with_any_other_word_is_no_marker() {
        for key in [POLICY, ORIGIN, RETAINED, TOKEN] {
            let mut metadata = BTreeMap::new();
            marker().write(&mut metadata);
            metadata.insert(key.to_owned(), "else".to_owned());
            assert_eq!(Marker::read(&metadata), None, "{key}");
        }
    }

    #[test]
    fn a_marker_with_any_part_missing_is_no_marker() {
        for key in KEYS {
            let mut metadata = BTreeMap::new();
            marker().write(&mut metadata);
            metadata.remove(key);
            assert_eq!(Marker::read(&metadata), None, "without {key}");
        }
    }

    #[test]
    fn what_was_left_behind_is_left_to_the_next_object_of_that_name_only() {
        let heir = |name: &str, uid: &str| Owner { name: name.into(), uid: Uid::new(uid), ..marker().owner };
        let left = [
            Marker { retained: true, ..marker() },
            Marker { policy: Policy::Retain, ..marker() },
            Marker { origin: Origin::Adopted, policy: Policy::Retain, ..marker() },
        ];
        for left in left {
            assert!(left.is_retained_for(&heir("web", "1a2b")));
            assert!(!left.is_retained_for(&heir("api", "1a2b")), "another name");
            assert!(!left.is_retained_for(&heir("web", "0b5c")), "the object itself");
            let elsewhere = Owner { cluster: ClusterId::new("d"), ..heir("web", "1a2b") };
            assert!(!left.is_retained_for(&elsewhere), "another cluster");
        }
        assert!(!marker().is_retained_for(&heir("web", "1a2b")), "it is to go with its object");
    }

    #[test]
    fn a_token_of_another_uid_is_void() {
        let uid = Uid::new("0b5c");
        assert_eq!(Token::read("0b5c.r1", &uid), Some(Token::mint(&uid, "r1")));
        assert_eq!(Token::read("0b5d.r1", &uid), None);
        assert_eq!(Token::read("0b5c.", &uid), None);
        assert_eq!(Token::read("0b5c", &uid), None);
    }
}

//! What differs between a client as it is and as it is wanted.

use std::collections::{BTreeMap, BTreeSet};

use serde::{Deserialize, Serialize};

use super::desired::lifecycle::{Adopt, OnLoss};
use super::desired::{Lifecycle, Present};
use super::observed::RemoteClient;
use crate::decide::id::{ClientId, DriftDigest, Token};
use crate::decide::marker::{Marker, Origin, Owner, Policy};
use crate::decide::settings::Settings;
use crate::secret::digest_of;

/// A client as an OAuthClient wants it.
#[derive(Clone, Debug, PartialEq, Eq, Hash, Serialize, Deserialize)]
pub struct Wanted {
    /// The settings; the metadata is without the marker.
    pub settings: Settings,
    /// The OAuthClient that the client is to belong to.
    pub owner: Owner,
    /// What becomes of the client with its object.
    pub policy: Policy,
    /// The existing client to take over.
    pub adopt: Option<Adopt>,
    /// What happens when the credential is lost.
    pub on_loss: OnLoss,
    /// Whether nothing is to be written for now.
    pub suspended: bool,
    /// The name of the Secret that the credential is published in.
    pub secret_name: String,
}

impl Wanted {
    /// The client that a valid spec asks for.
    #[must_use]
    pub fn new(present: &Present, owner: Owner, policy: Policy) -> Self {
        let Lifecycle { adopt, policy: _, on_loss, suspended, overlap: _ } = &present.lifecycle;
        Self {
            settings: present.settings.clone(),
            owner,
            policy,
            adopt: adopt.clone(),
            on_loss: *on_loss,
            suspended: *suspended,
            secret_name: present.secret.name.clone(),
        }
    }

    /// The marker that a client made by the POST with this token bears.
    #[must_use]
    pub fn marker(&self, token: &Token) -> Marker {
        Marker {
            owner: self.owner.clone(),
            token: token.clone(),
            policy: self.policy,
            origin: Origin::Created,
            retained: false,
        }
    }

    /// Whether the spec asks to take this client over.
    #[must_use]
    pub fn adopts(&self, client_id: &ClientId) -> bool {
        self.adopt.as_ref().is_some_and(|adopt| &adopt.client_id == client_id)
    }

    /// The client that the POST with this token makes.
    #[must_use]
    pub fn client(&self, token: &Token) -> RemoteClient {
        RemoteClient { settings: self.settings.clone(), marker: Some(self.marker(token)) }
    }

    /// The change that a PUT has to carry, or `None` if the client is as wanted.
    ///
    /// `managed` are the metadata keys that the operator set last: keys of these that it no longer wants are removed,
    /// all others that it does not know are kept. `token` is for a client whose marker is lost or of another object; a
    /// marker keeps its own otherwise. `adopted`: the client existed before it had a marker.
    #[must_use]
    pub fn change(
        &self,
        client: &RemoteClient,
        managed: &BTreeSet<String>,
        token: &Token,
        adopted: bool,
    ) -> Option<Change> {
        let now = &client.settings;
        let mut metadata = now.metadata.clone();
        metadata.retain(|key, _| !managed.contains(key) || self.settings.metadata.contains_key(key));
        metadata.extend(self.settings.metadata.clone());
        let kept = client.marker.as_ref().filter(|marker| marker.owner.uid == self.owner.uid);
        let origin = if adopted { Origin::Adopted } else { Origin::Created };
        let marker = Marker { origin, ..self.marker(kept.map_or(token, |marker| &marker.token)) };
        let same_metadata = metadata == now.metadata && client.marker.as_ref() == Some(&marker);
        let change = Change {
            redirect_uris: differing(&now.redirect_uris, &self.settings.redirect_uris),
            grant_types: differing(&now.grant_types, &self.settings.grant_types),
            response_types: differing(&now.response_types, &self.settings.response_types),
            scopes: differing(&now.scopes, &self.settings.scopes),
            metadata: (!same_metadata).then_some((metadata, marker)),
        };
        (change != Change::default()).then_some(change)
    }
}

fn differing(now: &BTreeSet<String>, wanted: &BTreeSet<String>) -> Option<BTreeSet<String>> {
    (now != wanted).then(|| wanted.clone())
}

/// The fields that a PUT carries: only those that differ.
#[derive(Clone, Debug, Default, PartialEq, Eq, Hash, Serialize, Deserialize)]
pub struct Change {
    /// The redirect URIs from now on.
    pub redirect_uris: Option<BTreeSet<String>>,
    /// The grant types from now on.
    pub grant_types: Option<BTreeSet<String>>,
    /// The response types from now on.
    pub response_types: Option<BTreeSet<String>>,
    /// The scopes from now on.
    pub scopes: Option<BTreeSet<String>>,
    /// The whole metadata from now on (the API replaces it whole), and the marker in it.
    pub metadata: Option<(BTreeMap<String, String>, Marker)>,
}

impl Change {
    /// The fields that change, by the names that the spec gives them.
    #[must_use]
    pub fn fields(&self) -> Vec<&'static str> {
        let Self { redirect_uris, grant_types, response_types, scopes, metadata } = self;
        let changed = [
            ("redirectUris", redirect_uris.is_some()),
            ("grantTypes", grant_types.is_some()),
            ("responseTypes", response_types.is_some()),
            ("scopes", scopes.is_some()),
            ("metadata", metadata.is_some()),
        ];
        changed.into_iter().filter_map(|(field, changed)| changed.then_some(field)).collect()
    }

    /// The client after the change.
    #[must_use]
    pub fn applied_to(&self, client: &RemoteClient) -> RemoteClient {
        let now = &client.settings;
        let (metadata, marker) = match &self.metadata {
            Some((metadata, marker)) => (metadata.clone(), Some(marker.clone())),
            None => (now.metadata.clone(), client.marker.clone()),
        };
        RemoteClient {
            settings: Settings {
                redirect_uris: self.redirect_uris.as_ref().unwrap_or(&now.redirect_uris).clone(),
                grant_types: self.grant_types.as_ref().unwrap_or(&now.grant_types).clone(),
                response_types: self.response_types.as_ref().unwrap_or(&now.response_types).clone(),
                scopes: self.scopes.as_ref().unwrap_or(&now.scopes).clone(),
                metadata,
            },
            marker,
        }
    }
}

/// What tells one drift from another: SHA-256, in hexadecimal, over what would be sent and what is kept instead.
#[must_use]
pub fn drift(change: &Change, client: &RemoteClient) -> DriftDigest {
    let parts = |RemoteClient { settings, marker }: &RemoteClient| {
        let Settings { redirect_uris, grant_types, response_types, scopes, metadata } = settings;
        let lists = [
            ("redirectUris", redirect_uris),
            ("grantTypes", grant_types),
            ("responseTypes", response_types),
            ("scopes", scopes),
        ];
        let mut metadata = metadata.clone();
        if let Some(marker) = marker {
            marker.write(&mut metadata);
        }
        let lists = lists.into_iter().flat_map(|(name, set)| [name.to_owned()].into_iter().chain(set.iter().cloned()));
        lists.chain(metadata.into_iter().flat_map(|(key, value)| [key, value])).collect::<Vec<_>>()
    };
    let parts = [&change.applied_to(client), client].map(parts).concat();
    DriftDigest::new(digest_of(parts.iter().map(String::as_str)))
}

#[cfg(test)]
mod tests {
    use super::*;

    fn client(scopes: &[&str]) -> RemoteClient {
        let scopes = scopes.iter().map(ToString::to_string).collect();
        RemoteClient { settings: Settings { scopes, ..Settings::default() }, marker: None }
    }

    fn to(scopes: &[&str]) -> Change {
        Change { scopes: Some(client(scopes).settings.scopes), ..Change::default() }
    }

    #[test]
    fn a_drift_is_another_when_what_is_wanted_or_what_is_kept_is_another() {
        let digest = drift(&to(&["a", "b"]), &client(&["a"]));
        assert_eq!(digest, drift(&to(&["b", "a"]), &client(&["a"])));
        assert_ne!(digest, drift(&to(&["a", "b", "c"]), &client(&["a"])), "another spec");
        assert_ne!(digest, drift(&to(&["a", "b"]), &client(&["b"])), "another remote");
        assert_ne!(
            drift(&to(&["ab"]), &client(&[])),
            drift(&to(&["a", "b"]), &client(&[])),
            "parts do not run together"
        );
    }
}

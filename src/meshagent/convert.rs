//! The conversion of clients between the wire and `decide`.

use std::collections::BTreeSet;

use crate::decide::client::change::Change;
use crate::decide::client::observed::RemoteClient;
use crate::decide::marker::Marker;
use crate::decide::settings::Settings;
use crate::meshagent::wire;

/// A client as it was read, its marker apart from the rest of its metadata. The order of lists means nothing.
#[must_use]
pub fn read(client: wire::Client) -> RemoteClient {
    let wire::Client { redirect_uris, grant_types, response_types, scope, metadata, .. } = client;
    RemoteClient {
        marker: Marker::read(&metadata),
        settings: Settings {
            redirect_uris: redirect_uris.into_iter().collect(),
            grant_types: grant_types.into_iter().collect(),
            response_types: response_types.into_iter().collect(),
            scopes: scope.split_whitespace().map(str::to_owned).collect(),
            metadata: Marker::strip(metadata),
        },
    }
}

/// The request that makes a client.
#[must_use]
pub fn new_client(client: &RemoteClient) -> wire::NewClient {
    let Settings { redirect_uris, grant_types, response_types, scopes, metadata } = client.settings.clone();
    let mut metadata = metadata;
    if let Some(marker) = &client.marker {
        marker.write(&mut metadata);
    }
    wire::NewClient {
        grant_types: list(&grant_types),
        response_types: list(&response_types),
        redirect_uris: list(&redirect_uris),
        scope: joined(&scopes),
        metadata,
        official: None,
    }
}

/// The request that changes a client, with only the fields that differ.
#[must_use]
pub fn patch(change: &Change) -> wire::ClientPatch {
    let Change { redirect_uris, grant_types, response_types, scopes, metadata } = change;
    wire::ClientPatch {
        grant_types: grant_types.as_ref().map(list),
        response_types: response_types.as_ref().map(list),
        redirect_uris: redirect_uris.as_ref().map(list),
        scope: scopes.as_ref().map(joined),
        metadata: metadata.clone().map(|(mut metadata, marker)| {
            marker.write(&mut metadata);
            metadata
        }),
        official: None,
    }
}

fn list(set: &BTreeSet<String>) -> Vec<String> {
    set.iter().cloned().collect()
}

fn joined(scopes: &BTreeSet<String>) -> String {
    list(scopes).join(" ")
}

#[cfg(test)]
mod tests {
    use std::collections::BTreeMap;

    use super::*;
    use crate::decide::id::{ClusterId, Token, Uid};
    use crate::decide::marker::{Origin, Owner, Policy};

    fn set(items: &[&str]) -> BTreeSet<String> {
        items.iter().map(ToString::to_string).collect()
    }

    fn marker() -> Marker {
        let uid = Uid::new("u");
        Marker {
            token: Token::mint(&uid, "r"),
            policy: Policy::Delete,
            origin: Origin::Created,
            retained: false,
            owner: Owner { cluster: ClusterId::new("c"), namespace: "shop".into(), name: "web".into(), uid },
        }
    }

    fn client() -> RemoteClient {
        RemoteClient {
            settings: Settings {
                redirect_uris: set(&["https://b.example", "https://a.example"]),
                grant_types: set(&["authorization_code", "refresh_token"]),
                response_types: set(&["code", "token"]),
                scopes: set(&["openid", "email"]),
                metadata: BTreeMap::from([("name".to_owned(), "shop/web".to_owned())]),
            },
            marker: Some(marker()),
        }
    }

    fn answered(asked: wire::NewClient) -> wire::Client {
        let wire::NewClient { grant_types, response_types, redirect_uris, scope, metadata, official } = asked;
        wire::Client {
            client_id: "id".into(),
            grant_types,
            response_types,
            redirect_uris,
            scope,
            metadata,
            official,
            ..wire::Client::default()
        }
    }

    #[test]
    fn a_client_reads_as_it_was_asked_for() {
        assert_eq!(read(answered(new_client(&client()))), client());
    }

    #[test]
    fn order_and_repetition_on_the_wire_mean_nothing() {
        let mut shown = answered(new_client(&client()));
        shown.redirect_uris = ["https://a.example", "https://b.example", "https://a.example"].map(String::from).into();
        shown.scope = " openid  email\topenid ".to_owned();
        assert_eq!(read(shown), client());
    }

    #[test]
    fn a_broken_marker_is_none_is_not_compared_and_goes_with_the_next_metadata() {
        let mut shown = answered(new_client(&client()));
        shown.metadata.insert("meshagent.com/uid".to_owned(), "somebody's".to_owned());
        let broken = read(shown);
        assert_eq!(broken, RemoteClient { marker: None, ..client() });
        let change = Change { metadata: Some((broken.settings.metadata, marker())), ..Change::default() };
        let sent = patch(&change);
        assert_eq!(sent.metadata, Some(new_client(&client()).metadata));
    }

    #[test]
    fn a_patch_carries_only_what_differs() {
        assert_eq!(patch(&Change::default()), wire::ClientPatch::default());
        let change = Change { scopes: Some(set(&["openid", "email"])), ..Change::default() };
        let sent = wire::ClientPatch { scope: Some("email openid".to_owned()), ..wire::ClientPatch::default() };
        assert_eq!(patch(&change), sent);
        let none = Change { redirect_uris: Some(BTreeSet::new()), ..Change::default() };
        let sent = wire::ClientPatch { redirect_uris: Some(vec![]), ..wire::ClientPatch::default() };
        assert_eq!(patch(&none), sent, "an empty list is said");
    }
}

//! Between the wire and what decides: a client in one form on both sides.

use std::collections::BTreeSet;

use super::change::Change;
use super::marker::Marker;
use super::observed::RemoteClient;
use super::settings::Settings;
use crate::meshagent::wire;

/// A client as it was read, its marker apart from the rest of its metadata.
#[must_use]
pub fn read(client: &wire::Client) -> RemoteClient {
    RemoteClient {
        marker: Marker::read(&client.metadata),
        settings: Settings {
            redirect_uris: client.redirect_uris(),
            grant_types: client.grant_types(),
            response_types: client.response_types(),
            scopes: client.scopes(),
            metadata: Marker::strip(client.metadata.clone()),
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

    #[test]
    fn a_client_reads_as_it_was_asked_for() {
        let uid = Uid::new("u");
        let set = |items: [&str; 2]| items.map(str::to_owned).into_iter().collect::<BTreeSet<_>>();
        let client = RemoteClient {
            settings: Settings {
                redirect_uris: set(["https://b.example", "https://a.example"]),
                grant_types: set(["authorization_code", "refresh_token"]),
                response_types: set(["code", "token"]),
                scopes: set(["openid", "email"]),
                metadata: BTreeMap::from([("name".to_owned(), "shop/web".to_owned())]),
            },
            marker: Some(Marker {
                token: Token::mint(&uid, "r"),
                policy: Policy::Delete,
                origin: Origin::Created,
                owner: Owner { cluster: ClusterId::new("c"), namespace: "shop".into(), name: "web".into(), uid },
            }),
        };
        let asked = new_client(&client);
        let answered = wire::Client {
            client_id: "id".into(),
            grant_types: asked.grant_types,
            response_types: asked.response_types,
            redirect_uris: asked.redirect_uris,
            scope: asked.scope,
            metadata: asked.metadata,
            ..wire::Client::default()
        };
        assert_eq!(read(&answered), client);
    }
}

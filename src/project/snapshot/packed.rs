//! A client as a snapshot keeps it: of thousands that are kept, few are read at a time, so each is one text rather than trees
//! of strings.

use crate::decide::client::observed::RemoteClient;
use crate::decide::id::{ClusterId, Token, Uid};
use crate::decide::marker::{Marker, Origin, Owner, Policy};
use crate::decide::settings::Settings;

/// A client that is packed. Two are equal if the clients are.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct PackedClient {
    /// The uid of the OAuthClient that the marker names, if the client bears a whole one.
    pub uid: Option<Uid>,
    /// The rest of the marker and the settings, as postcard writes them.
    text: Box<[u8]>,
}

/// A marker without the uid: cluster, namespace, name, token, policy, origin, and whether the client was retained.
type Rest = (ClusterId, String, String, Token, Policy, Origin, bool);

impl PackedClient {
    /// Packs a client. (One that cannot be serialized would not unpack: strings and numbers all can.)
    pub fn new(RemoteClient { settings, marker }: RemoteClient) -> Self {
        let uid = marker.as_ref().map(|marker| marker.owner.uid.clone());
        let rest = marker.map(|Marker { owner, token, policy, origin, retained }| {
            let Owner { cluster, namespace, name, uid: _ } = owner;
            (cluster, namespace, name, token, policy, origin, retained)
        });
        let text = postcard::to_allocvec(&(rest, settings)).unwrap_or_default();
        Self { uid, text: text.into_boxed_slice() }
    }

    /// The client as it was before it was packed; `None` only if this process's memory is damaged.
    #[must_use]
    pub fn unpack(&self) -> Option<RemoteClient> {
        let (rest, settings): (_, Settings) = postcard::from_bytes(&self.text).ok()?;
        Some(RemoteClient { settings, marker: self.marked(rest) })
    }

    /// The marker, if the client bears a whole one.
    #[must_use]
    pub fn marker(&self) -> Option<Marker> {
        let (rest, _) = postcard::take_from_bytes(&self.text).ok()?;
        self.marked(rest)
    }

    fn marked(&self, rest: Option<Rest>) -> Option<Marker> {
        let (uid, (cluster, namespace, name, token, policy, origin, retained)) = self.uid.clone().zip(rest)?;
        Some(Marker { owner: Owner { cluster, namespace, name, uid }, token, policy, origin, retained })
    }
}

#[cfg(test)]
mod tests {
    use std::collections::BTreeSet;

    use proptest::option;
    use proptest::prelude::*;

    use super::*;

    fn set() -> impl Strategy<Value = BTreeSet<String>> {
        prop::collection::btree_set("(a|é|🙂|\\PC| |\u{0}){0,4}", 0..4)
    }

    fn settings() -> impl Strategy<Value = Settings> {
        let metadata = prop::collection::btree_map("(a|é|\u{0}){0,4}", "(a|🙂|\u{0}){0,4}", 0..4);
        (set(), set(), set(), set(), metadata).prop_map(
            |(redirect_uris, grant_types, response_types, scopes, metadata)| Settings {
                redirect_uris,
                grant_types,
                response_types,
                scopes,
                metadata,
            },
        )
    }

    fn marker() -> impl Strategy<Value = Marker> {
        let (text, policy) = ("(a|é|\u{0}){0,3}", prop_oneof![Just(Policy::Delete), Just(Policy::Retain)]);
        let origin = prop_oneof![Just(Origin::Created), Just(Origin::Adopted)];
        ([text; 5], policy, origin, any::<bool>()).prop_map(|(texts, policy, origin, retained)| {
            let [cluster, namespace, name, uid, token] = texts;
            let owner = Owner { cluster: ClusterId::new(cluster), namespace, name, uid: Uid::new(uid) };
            Marker { owner, token: Token::new(token), policy, origin, retained }
        })
    }

    fn client() -> impl Strategy<Value = RemoteClient> {
        (settings(), option::of(marker())).prop_map(|(settings, marker)| RemoteClient { settings, marker })
    }

    proptest! {
        #[test]
        fn a_client_is_unpacked_as_it_was_packed_and_packed_alike_only_if_it_is(one in client(), other in client()) {
            let packed = |client: &RemoteClient| PackedClient::new(client.clone());
            prop_assert_eq!(packed(&one).unpack(), Some(one.clone()));
            prop_assert_eq!(packed(&one).marker(), one.marker.clone());
            prop_assert_eq!(packed(&one) == packed(&other), one == other);
        }
    }
}

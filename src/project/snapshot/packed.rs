//! A client as a snapshot keeps it: of thousands that are kept, few are read at a time, so each is one text and the places
//! where its parts end, rather than trees of strings.

use std::collections::BTreeMap;

use crate::decide::client::observed::RemoteClient;
use crate::decide::marker::Marker;
use crate::decide::settings::Settings;

/// A client whose settings are packed. Two are equal if the clients are.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct PackedClient {
    /// The marker, if the client bears a whole one.
    pub marker: Option<Marker>,
    /// All strings of the settings, one behind the other.
    text: Box<str>,
    /// Where each string ends in the text, in bytes.
    ends: Box<[u32]>,
    /// How many strings are redirect URIs, grant types, response types and scopes; the rest are keys and values.
    counts: [u32; 4],
}

impl PackedClient {
    /// Packs a client. (An answer of MeshAgent is at most some megabytes, so that no number here overflows.)
    pub fn new(client: RemoteClient) -> Self {
        let RemoteClient { settings, marker } = client;
        let Settings { redirect_uris, grant_types, response_types, scopes, metadata } = settings;
        let sets = [redirect_uris, grant_types, response_types, scopes];
        let counts = std::array::from_fn(|set| number(sets[set].len()));
        let (mut text, mut ends) = (String::new(), Vec::new());
        let pairs = metadata.iter().flat_map(|(key, value)| [key, value]);
        for string in sets.iter().flatten().chain(pairs) {
            text.push_str(string);
            ends.push(number(text.len()));
        }
        Self { marker, text: text.into_boxed_str(), ends: ends.into_boxed_slice(), counts }
    }

    /// The client as it was before it was packed.
    #[must_use]
    pub fn unpack(&self) -> RemoteClient {
        let begins = [0].into_iter().chain(self.ends.iter().copied());
        let places = begins.zip(self.ends.iter().copied());
        let mut strings = places.map(|(begin, end)| self.text.get(begin as usize..end as usize).unwrap_or_default());
        let mut set = |count: u32| strings.by_ref().take(count as usize).map(str::to_owned).collect();
        let [redirect_uris, grant_types, response_types, scopes] = self.counts.map(&mut set);
        let mut metadata = BTreeMap::new();
        while let (Some(key), Some(value)) = (strings.next(), strings.next()) {
            metadata.insert(key.to_owned(), value.to_owned());
        }
        let settings = Settings { redirect_uris, grant_types, response_types, scopes, metadata };
        RemoteClient { settings, marker: self.marker.clone() }
    }
}

fn number(length: usize) -> u32 {
    u32::try_from(length).unwrap_or(u32::MAX)
}

#[cfg(test)]
mod tests {
    use std::collections::BTreeSet;

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

    proptest! {
        #[test]
        fn a_client_is_unpacked_as_it_was_packed_and_packed_alike_only_if_it_is(one in settings(), other in settings()) {
            let client = |settings: &Settings| RemoteClient { settings: settings.clone(), marker: None };
            let packed = |settings: &Settings| PackedClient::new(client(settings));
            prop_assert_eq!(packed(&one).unpack(), client(&one));
            prop_assert_eq!(packed(&one) == packed(&other), one == other);
        }
    }
}

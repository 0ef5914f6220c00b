//! The one rule by which anything at MeshAgent is removed although no OAuthClient names it any more.

use crate::decide::client::observed::{Object, Secret};
use crate::decide::id::ClientId;
use crate::decide::marker::{Marker, Origin, Policy};

/// What etcd holds for the object that a marker names. The evidence is read *after* the listing that showed the client:
/// a client that is made after the listing is then never judged, and a client that is made before it was published or
/// lost by the time of the read.
#[derive(Clone, Copy, Debug)]
pub enum Evidence<'a> {
    /// The API server says that there is no such object, or one of another uid, and the CRD is established.
    Gone,
    /// The object and its Secret.
    Present(&'a Object, &'a Secret),
}

/// How soon a disowned client may be removed.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub enum Grace {
    /// The client may go now: its POST is known to be this cluster's own, of unknown outcome.
    AtOnce,
    /// The client may go after `orphans.minAge`: in an etcd snapshot restored beside the original, clients of the
    /// original look disowned.
    AfterMinAge,
}

/// Whether a client with our cluster's marker is disowned, and how soon it may go. `None`: it is left alone.
///
/// A client is disowned if its object is gone, or if its object is at rest and names it neither as its client nor as
/// retiring. Nobody can come to own it later, since tokens only move on.
#[must_use]
pub fn disowned(client_id: &ClientId, marker: &Marker, evidence: Evidence<'_>) -> Option<Grace> {
    if marker.retained || marker.origin == Origin::Adopted {
        return None;
    }
    match evidence {
        Evidence::Gone => match marker.policy {
            Policy::Delete => Some(Grace::AfterMinAge),
            Policy::Retain => None,
        },
        Evidence::Present(object, secret) => {
            if object.recorded.names(client_id) || !at_rest(object, secret) {
                return None;
            }
            Some(if object.unknown.contains(&marker.token) { Grace::AtOnce } else { Grace::AfterMinAge })
        }
    }
}

/// Whether status and Secret agree on a client, object and Secret on the token. The status alone decides for an adopted
/// client without a credential, which has no Secret.
#[must_use]
pub fn at_rest(object: &Object, secret: &Secret) -> bool {
    if object.recorded.client_id.is_none() || object.token.is_none() {
        return false;
    }
    if object.recorded.is_secretless() {
        return true;
    }
    match secret {
        Secret::Absent | Secret::Foreign(_) => false,
        Secret::Ours(stored) => stored.client_id == object.recorded.client_id && stored.token == object.token,
    }
}

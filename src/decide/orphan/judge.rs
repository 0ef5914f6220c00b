//! What the sweep does with a client of a listing, by what the API server says of the object that its marker names.

use std::time::Duration;

use jiff::Timestamp;

use super::disowned::{Evidence, Grace, disowned};
use crate::decide::client::observed::{Named, Object, Secret};
use crate::decide::id::{ClientId, ClusterId};
use crate::decide::marker::{Marker, Origin, Owner, Policy};
use crate::decide::project::spec::{OrphanPolicy, Orphans};
use crate::decide::time::{ClockState, not_ahead};

/// What this operator may judge.
#[derive(Clone, Copy, Debug)]
pub struct Scope<'a> {
    /// This cluster; clients of other clusters are left alone.
    pub cluster: &'a ClusterId,
    /// The watched namespaces; all, if empty. An object elsewhere cannot be judged.
    pub namespaces: &'a [String],
}

/// Whether the API server is to be asked about a client's object: the client is of this cluster and of a watched
/// namespace, is not to stay, and is not among those that its object names as `cached`.
#[must_use]
pub fn is_to_be_judged(scope: Scope<'_>, client_id: &ClientId, marker: &Marker, cached: Option<&Named>) -> bool {
    let Owner { cluster, namespace, name: _, uid } = &marker.owner;
    let in_scope = scope.namespaces.is_empty() || scope.namespaces.contains(namespace);
    if cluster != scope.cluster || !in_scope || stays(marker) {
        return false;
    }
    match cached.filter(|named| &named.uid == uid) {
        Some(named) => !named.names(client_id),
        // A client that is to be retained stays without its object too, so the sweep has nothing to ask for.
        None => match marker.policy {
            Policy::Delete => true,
            Policy::Retain => false,
        },
    }
}

fn stays(marker: &Marker) -> bool {
    marker.retained || marker.origin == Origin::Adopted
}

/// What the API server says of the object that a marker names, read after the listing that showed the client.
#[derive(Clone, Copy, Debug)]
pub enum OwnerState<'a> {
    /// The object is there, with its Secret.
    Present { object: &'a Object, secret: &'a Secret, deleting: bool },
    /// The next object of that name adopts or has the client.
    Inherited,
    /// There is no such object, and the CRD is established.
    Gone {
        /// Whether a Secret says that the client was retained.
        retained: bool,
    },
    /// There is no such object because its CRD is away: no orphan ages meanwhile.
    Undefined,
    /// The API server does not tell.
    Unknown,
}

/// What a client is.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub enum Judgement {
    /// An OAuthClient owns the client, or left it on purpose.
    Owned,
    /// The client is retained by its OAuthClient, but its marker does not say so yet: MeshAgent could not be told.
    Retained,
    /// No OAuthClient owns the client.
    Orphan(Grace),
    /// The owner is not known.
    Unknown,
}

/// Judges a client that is to be judged.
#[must_use]
pub fn judge(client_id: &ClientId, marker: &Marker, owner: OwnerState<'_>) -> Judgement {
    if stays(marker) {
        return Judgement::Owned;
    }
    let evidence = match owner {
        // The deletion takes care of all that bears the object's uid.
        OwnerState::Inherited | OwnerState::Undefined | OwnerState::Present { deleting: true, .. } => {
            return Judgement::Owned;
        }
        OwnerState::Unknown => return Judgement::Unknown,
        OwnerState::Gone { retained: true } => return Judgement::Retained,
        OwnerState::Gone { retained: false } => Evidence::Gone,
        OwnerState::Present { object, secret, deleting: false } => Evidence::Present(object, secret),
    };
    disowned(client_id, marker, evidence).map_or(Judgement::Owned, Judgement::Orphan)
}

/// How long a client has been an orphan.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Age {
    /// When the client was first found to be an orphan.
    pub since: Timestamp,
    /// Whether an earlier sweep found it to be one.
    pub known: bool,
    /// How long until the client may be deleted; `None`: it is only reported.
    pub left: Option<Duration>,
}

impl Age {
    /// The age of a client that was first found to be an orphan at `known`, if it was found before. A time that a wrong
    /// clock wrote ahead of ours counts as now, and no client is of age by a clock that is wrong.
    #[must_use]
    pub fn of(known: Option<Timestamp>, rule: Orphans, clock: ClockState, now: Timestamp) -> Self {
        let since = known.map_or(now, |known| if clock.may_delete() { not_ahead(known, now) } else { known });
        let age = Duration::try_from(now.duration_since(since)).unwrap_or_default();
        let left = match rule.policy {
            OrphanPolicy::Delete => Some(clock.wait(rule.min_age.saturating_sub(age))),
            OrphanPolicy::Report => None,
        };
        Self { since, known: known.is_some(), left }
    }

    /// Whether the client may be deleted whatever its grace.
    #[must_use]
    pub fn is_ripe(&self) -> bool {
        self.left == Some(Duration::ZERO)
    }
}

/// What is done with a client.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub enum Treatment {
    /// Leave the client alone.
    Leave,
    /// Write into the client's marker that it is retained.
    MarkRetained,
    /// Delete the client.
    Delete,
    /// List the client among the project's orphans, and judge it again after this long, if at all.
    List(Option<Duration>),
}

/// What is done with a client that was judged.
#[must_use]
pub fn treat(judgement: Judgement, age: &Age) -> Treatment {
    match judgement {
        Judgement::Owned => Treatment::Leave,
        Judgement::Retained => Treatment::MarkRetained,
        Judgement::Orphan(Grace::AtOnce) => Treatment::Delete,
        Judgement::Orphan(Grace::AfterMinAge) if age.is_ripe() => Treatment::Delete,
        Judgement::Orphan(Grace::AfterMinAge) => Treatment::List(age.left),
        // An orphan that was known before is not forgotten because the API server does not tell.
        Judgement::Unknown if age.known => Treatment::List(None),
        Judgement::Unknown => Treatment::Leave,
    }
}

#[cfg(test)]
mod tests;

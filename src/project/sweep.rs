//! The sweep: what a listing shows of clients that nobody declares any more.
//!
//! A finalizer alone cannot promise that none is left: its patch can be answered with success and yet be lost in a race
//! with a deletion, and a POST can commit long after its object is gone.

mod evidence;

use std::collections::BTreeMap;
use std::time::Duration;

use jiff::Timestamp;
use k8s_openapi::api::core::v1::Secret;
use k8s_openapi::apimachinery::pkg::apis::meta::v1::Time;
use kube::Client;
use kube::runtime::reflector::{ObjectRef, Store};

use crate::api::OAuthClient;
use crate::api::project::Orphan;
use crate::decide::client::change::Change;
use crate::decide::client::object;
use crate::decide::client::observed::{CrdState, RemoteClient};
use crate::decide::client::secret;
use crate::decide::id::{ClientId, ClusterId};
use crate::decide::marker::{Marker, Origin, Owner, Policy};
use crate::decide::orphan::disowned::{Evidence, Grace, disowned};
use crate::decide::project::spec::{OrphanPolicy, Orphans};
use crate::kubernetes::crd::crd_state;
use crate::meshagent::convert;
use crate::project::{Listing, Project};
use evidence::{Found, is_retained, look_for};

/// After a deletion that failed.
const RETRY: Duration = Duration::from_secs(60);

/// What the sweep looks with.
pub struct Sweep<'a> {
    /// For live reads.
    pub requests: &'a Client,
    /// Markers of other clusters are none of its business.
    pub cluster: &'a ClusterId,
    /// The OAuthClients as cached: those that name their client need no live read.
    pub objects: Vec<Store<OAuthClient>>,
    /// The namespaces that are watched; all, if empty. An object elsewhere cannot be judged.
    pub namespaces: &'a [String],
    pub now: Timestamp,
}

/// What a sweep found.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Swept {
    /// The clients that are left because they are not old enough, or are only to be reported; the oldest first.
    pub orphans: Vec<Orphan>,
    /// How long until there is something to do.
    pub next: Option<Duration>,
}

/// One sweep under way.
struct Round<'a> {
    project: &'a Project,
    rule: Orphans,
    /// Since when the orphans that were known before have been such.
    since: BTreeMap<&'a str, Timestamp>,
    crd: Option<Option<CrdState>>,
    /// The API server could not be reached.
    blind: bool,
    /// MeshAgent did not carry out a deletion.
    refused: bool,
    swept: Swept,
}

/// What is found about one client.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Judgement {
    /// It is somebody's, or was left on purpose.
    Keep,
    /// Its OAuthClient left it behind, and its marker does not say so yet: MeshAgent could not be told.
    Retained,
    /// It is nobody's.
    Orphan(Grace),
    /// Not known: nothing is done, and nothing that was known before is forgotten.
    Unknown,
}

impl Sweep<'_> {
    /// Removes what may go of a listing's disowned clients, and says which are left. `listing` was begun before any
    /// read that is made here; `known` are the orphans that were found before, also by a former process.
    pub async fn sweep<'a>(
        &self,
        project: &'a Project,
        listing: &Listing,
        known: impl IntoIterator<Item = &'a Orphan>,
        rule: Orphans,
    ) -> Swept {
        let mut since = BTreeMap::new();
        for Orphan { client_id, since: Time(at), .. } in known {
            let earliest = since.entry(client_id.as_str()).or_insert(*at);
            *earliest = (*earliest).min(*at);
        }
        let swept = Swept::default();
        let mut round = Round { project, rule, since, crd: None, blind: false, refused: false, swept };
        for (client_id, client) in listing {
            if let Some(marker) = client.marker.as_ref().filter(|marker| self.is_to_be_judged(client_id, marker)) {
                self.settle(&mut round, client_id, client, marker).await;
            }
        }
        let mut swept = round.swept;
        swept.orphans.sort_by(|one, other| (one.since.0, &one.client_id).cmp(&(other.since.0, &other.client_id)));
        swept
    }

    /// Whether a client is one that this cluster made, in a namespace that is watched, and not named by its object as
    /// cached.
    fn is_to_be_judged(&self, client_id: &ClientId, marker: &Marker) -> bool {
        let Owner { cluster, namespace, name, uid } = &marker.owner;
        let in_scope = self.namespaces.is_empty() || self.namespaces.contains(namespace);
        let stays = marker.retained || marker.origin == Origin::Adopted;
        if cluster != self.cluster || !in_scope || stays {
            return false;
        }
        let reference = ObjectRef::<OAuthClient>::new(name).within(namespace);
        let cached = self.objects.iter().find_map(|store| store.get(&reference));
        match cached.map(|object| object::facts(&object, self.now)).filter(|facts| &facts.uid == uid) {
            Some(facts) => !facts.recorded.names(client_id),
            // Without its object a retained one stays, so there is nothing to ask for.
            None => match marker.policy {
                Policy::Delete => true,
                Policy::Retain => false,
            },
        }
    }

    async fn settle(&self, round: &mut Round<'_>, client_id: &ClientId, client: &RemoteClient, marker: &Marker) {
        let known = round.since.get(client_id.as_str()).copied();
        let since = known.unwrap_or(self.now);
        let age = Duration::try_from(self.now.duration_since(since)).unwrap_or_default();
        let of_age = round.rule.policy == OrphanPolicy::Delete && age >= round.rule.min_age;
        let grace = match self.judge(round, client_id, marker, of_age).await {
            Judgement::Keep => return,
            Judgement::Retained => return mark_retained(round.project, client_id, client, marker).await,
            Judgement::Orphan(grace) => grace,
            Judgement::Unknown => {
                if known.is_some() {
                    round.swept.keep(client_id, &marker.owner, since, None);
                }
                return;
            }
        };
        // Its object's own deletion may have been quicker.
        if !round.project.snapshot.holds(client_id) {
            return;
        }
        let due = grace == Grace::AtOnce || of_age;
        if due && !round.refused {
            round.refused = !remove(round.project, client_id, &marker.owner).await;
            if !round.refused {
                return;
            }
        }
        let next = match round.rule.policy {
            OrphanPolicy::Delete => Some(round.rule.min_age.saturating_sub(age)),
            OrphanPolicy::Report => None,
        };
        // What was due is still here, so something went wrong.
        let next = if due { Some(RETRY) } else { next };
        round.swept.keep(client_id, &marker.owner, since, next);
    }

    async fn judge(&self, round: &mut Round<'_>, client_id: &ClientId, marker: &Marker, of_age: bool) -> Judgement {
        if round.blind {
            return Judgement::Unknown;
        }
        let grace = match look_for(client_id, &marker.owner, self.requests).await {
            Found::Inherited => None,
            Found::Present(object, secret) => self.weigh(client_id, marker, &object, secret.as_deref()),
            Found::Absent => {
                // Before a deletion it is asked after the object, since a CRD that goes takes its objects along.
                let found = match round.crd.filter(|_| !of_age) {
                    Some(found) => found,
                    None => crd_state(self.requests).await,
                };
                round.crd = Some(found);
                match found {
                    Some(CrdState::Established) => match is_retained(client_id, &marker.owner, self.requests).await {
                        Some(true) => return Judgement::Retained,
                        Some(false) => disowned(client_id, marker, Evidence::Gone),
                        None => return Judgement::Unknown,
                    },
                    // No orphan ages while the CRD is away.
                    Some(CrdState::Away) => None,
                    None => return Judgement::Unknown,
                }
            }
            Found::Unknown { reached } => {
                round.blind = !reached;
                return Judgement::Unknown;
            }
        };
        grace.map_or(Judgement::Keep, Judgement::Orphan)
    }

    fn weigh(
        &self,
        client_id: &ClientId,
        marker: &Marker,
        object: &OAuthClient,
        stored: Option<&Secret>,
    ) -> Option<Grace> {
        if object.metadata.deletion_timestamp.is_some() {
            // Its own deletion takes care of all that bears its uid.
            return None;
        }
        let facts = object::facts(object, self.now);
        let view = secret::view(stored, &facts.uid, &facts.recorded, None);
        disowned(client_id, marker, Evidence::Present(&facts, &view))
    }
}

/// Tells MeshAgent that a client was left behind. If that fails, the next sweep tries it again.
async fn mark_retained(project: &Project, client_id: &ClientId, client: &RemoteClient, marker: &Marker) {
    let marker = Marker { retained: true, policy: Policy::Retain, ..marker.clone() };
    // The whole metadata is replaced, so it has to be the present one.
    let present = match project.api.get_client(client_id.as_str()).await {
        Ok(Some(present)) => convert::read(&present),
        Ok(None) | Err(_) => return,
    };
    if present.marker != client.marker {
        return;
    }
    let change = Change { metadata: Some((present.settings.metadata.clone(), marker)), ..Change::default() };
    match project.api.update_client(client_id.as_str(), &convert::patch(&change)).await {
        Ok(()) => {
            project.snapshot.wrote(client_id, change.applied_to(&present));
            tracing::info!(%client_id, "marked a client that was left behind");
        }
        Err(error) => tracing::warn!(%client_id, %error, "a client that was left behind could not be marked"),
    }
}

async fn remove(project: &Project, client_id: &ClientId, owner: &Owner) -> bool {
    let Owner { cluster: _, namespace, name, uid } = owner;
    match project.api.delete_client(client_id.as_str()).await {
        Ok(()) => {
            project.snapshot.deleted(client_id);
            tracing::info!(%client_id, namespace, name, %uid, "deleted an orphan");
            true
        }
        Err(error) => {
            tracing::warn!(%client_id, namespace, name, %error, "an orphan could not be deleted");
            false
        }
    }
}

impl Swept {
    /// More orphans, which no listing has shown yet.
    pub fn add(&mut self, orphans: Vec<Orphan>) {
        for orphan in orphans {
            if self.orphans.iter().all(|known| known.client_id != orphan.client_id) {
                self.orphans.push(orphan);
            }
        }
    }

    fn keep(&mut self, client_id: &ClientId, owner: &Owner, since: Timestamp, next: Option<Duration>) {
        self.orphans.push(Orphan {
            client_id: client_id.to_string(),
            namespace: owner.namespace.clone(),
            name: owner.name.clone(),
            since: Time(Timestamp::from_second(since.as_second()).unwrap_or(since)),
        });
        self.next = [self.next, next].into_iter().flatten().min();
    }
}

#[cfg(test)]
mod tests;

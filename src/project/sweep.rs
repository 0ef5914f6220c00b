//! The sweep: what a listing shows of clients that nobody declares any more.
//!
//! A finalizer alone cannot promise that none is left: its patch can be answered with success and yet be lost in a race
//! with a deletion, and a POST can commit long after its object is gone.

mod evidence;

use std::collections::BTreeMap;
use std::time::Duration;

use jiff::Timestamp;
use k8s_openapi::apimachinery::pkg::apis::meta::v1::Time;
use kube::Client;

use super::client::ProjectClient;
use super::snapshot::Listing;
use super::users::Users;
use crate::api::project::Orphan;
use crate::decide::client::change::Change;
use crate::decide::id::ClientId;
use crate::decide::marker::{Marker, Owner, Policy};
use crate::decide::orphan::judge::{Age, Scope, Treatment, is_to_be_judged, judge, treat};
use crate::decide::project::spec::Orphans;
use crate::decide::time::ClockState;
use crate::meshagent::convert;
use evidence::Witness;

/// The wait after a deletion that failed.
const RETRY: Duration = Duration::from_secs(60);

/// One sweep over a listing, with all that it judges by.
#[derive(Clone, Copy)]
pub struct Sweep<'a> {
    pub requests: &'a Client,
    /// The OAuthClients as cached: those that name their client need no live read.
    pub users: &'a Users,
    /// The clients that may be judged.
    pub scope: Scope<'a>,
    /// Whether orphans may be deleted because of their age.
    pub clock: ClockState,
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

impl Sweep<'_> {
    /// Deletes the disowned clients of a listing that may go, and returns those that are left. `listing` was begun
    /// before any read that is made here; `known` are the orphans that were found before, also by a former process.
    pub async fn sweep<'a>(
        &self,
        project: &ProjectClient,
        listing: &Listing,
        known: impl IntoIterator<Item = &'a Orphan>,
        rule: Orphans,
    ) -> Swept {
        let since = first_found(known);
        let (mut witness, mut swept, mut refused) = (Witness::new(self.requests, self.now), Swept::default(), false);
        for (client_id, client) in listing {
            let Some(marker) = client.marker().filter(|marker| self.is_to_be_judged(client_id, marker)) else {
                continue;
            };
            let age = Age::of(since.get(client_id.as_str()).copied(), rule, self.clock, self.now);
            let owner = witness.testify(client_id, &marker.owner, age.is_ripe()).await;
            let treatment = treat(judge(client_id, &marker, owner.state()), &age);
            // The object's own deletion may have been quicker.
            let there = project.snapshot.holds(client_id);
            let next = match treatment {
                Treatment::Leave => continue,
                Treatment::Delete | Treatment::List(_) if !there => continue,
                Treatment::MarkRetained => {
                    mark_retained(project, client_id, &marker).await;
                    continue;
                }
                // After one refused deletion, the same key would be refused again.
                Treatment::Delete if refused => Some(RETRY),
                Treatment::Delete if delete(project, client_id, &marker.owner).await => continue,
                Treatment::Delete => {
                    refused = true;
                    Some(RETRY)
                }
                Treatment::List(next) => next,
            };
            swept.list(client_id, &marker.owner, age.since, next);
        }
        swept.orphans.sort_by(|one, other| (one.since.0, &one.client_id).cmp(&(other.since.0, &other.client_id)));
        swept
    }

    fn is_to_be_judged(&self, client_id: &ClientId, marker: &Marker) -> bool {
        let cached = self.users.find(&marker.owner);
        is_to_be_judged(self.scope, client_id, marker, cached.as_ref().map(|object| &object.facts.named))
    }
}

/// The time at which each known orphan was first found.
fn first_found<'a>(known: impl IntoIterator<Item = &'a Orphan>) -> BTreeMap<&'a str, Timestamp> {
    let mut since = BTreeMap::new();
    for Orphan { client_id, since: Time(at), .. } in known {
        let earliest = since.entry(client_id.as_str()).or_insert(*at);
        *earliest = (*earliest).min(*at);
    }
    since
}

/// Tells MeshAgent that a client was retained. If that fails, the next sweep tries it again.
async fn mark_retained(project: &ProjectClient, client_id: &ClientId, marker: &Marker) {
    // A PUT replaces the whole metadata, so it has to be made from the present one.
    let present = match project.api.get_client(client_id.as_str()).await {
        Ok(Some(present)) => convert::read(present),
        Ok(None) | Err(_) => return,
    };
    if present.marker.as_ref() != Some(marker) {
        return;
    }
    let marker = Marker { retained: true, policy: Policy::Retain, ..marker.clone() };
    let change = Change { metadata: Some((present.settings.metadata.clone(), marker)), ..Change::default() };
    match project.api.update_client(client_id.as_str(), &convert::patch(&change)).await {
        Ok(()) => {
            project.snapshot.wrote(client_id, change.applied_to(&present));
            tracing::info!(%client_id, "marked a client that was retained");
        }
        Err(error) => tracing::warn!(%client_id, %error, "a client that was retained could not be marked"),
    }
}

async fn delete(project: &ProjectClient, client_id: &ClientId, owner: &Owner) -> bool {
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
    /// Adds orphans that no listing has shown yet.
    pub fn add(&mut self, orphans: Vec<Orphan>) {
        for orphan in orphans {
            if self.orphans.iter().all(|known| known.client_id != orphan.client_id) {
                self.orphans.push(orphan);
            }
        }
    }

    fn list(&mut self, client_id: &ClientId, owner: &Owner, since: Timestamp, next: Option<Duration>) {
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

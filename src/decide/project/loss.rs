//! The brake: many of a project's clients that are gone at once are taken for another server that answers (a stale
//! replica, another environment, a restored backup) rather than for so many losses, and are not made anew.

use std::collections::{BTreeMap, BTreeSet};
use std::time::{Duration, Instant};

use super::reference::{ProjectKey, ProjectKind};
use crate::api::Reason;
use crate::api::names::ACCEPT_LOSS_ANNOTATION;
use crate::decide::failure::Failure;
use crate::decide::id::ClientId;

/// The number of losses at once that is never too many.
const FEW: usize = 3;
/// The share of the recorded clients that is never too many: one client of so many.
const FRACTION: usize = 5;

/// Whether so many clients are too many to be gone at once.
#[must_use]
pub const fn is_many(gone: usize, recorded: usize) -> bool {
    gone > FEW && gone.saturating_mul(FRACTION) > recorded
}

/// What a listing shows of the clients that OAuthClients had on record when it was begun.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct RollCall {
    pub recorded: usize,
    pub missing: BTreeSet<ClientId>,
}

/// What is known of a project's losses, from one listing to the next.
#[derive(Clone, Debug, Default)]
pub struct Losses {
    recorded: usize,
    /// The recorded clients that the last listing lacks, and when that was first seen.
    missing: BTreeMap<ClientId, Instant>,
    /// The clients that were gone and replaced, and when; each counts on for the resync interval.
    replaced: BTreeMap<ClientId, Instant>,
    /// Whether many of the missing clients were lost within the resync interval.
    lost_at_once: bool,
    /// Whether the brake is on: none of the missing clients is replaced.
    engaged: bool,
    /// Whether the last listing was read while it was not known which clients are on record.
    uncounted: bool,
    /// The value of the annotation, as last read.
    asked: String,
    /// How many losses a person accepted.
    accepted: Option<usize>,
}

/// Clients that are gone at once, too many to be replaced.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct ManyGone {
    pub gone: usize,
    pub recorded: usize,
    /// The number whose acceptance is a new request.
    accept: usize,
    /// What a person accepted, if that is too few.
    accepted: Option<usize>,
}

impl Losses {
    /// Takes in what a listing has shown; `None`: the clients on record were not known when it was begun.
    pub fn listed(&mut self, roll: Option<&RollCall>, now: Instant, interval: Duration) {
        self.uncounted = roll.is_none();
        let Some(RollCall { recorded, missing }) = roll else { return };
        let since = |id: &ClientId| (id.clone(), self.missing.get(id).copied().unwrap_or(now));
        (self.recorded, self.missing) = (*recorded, missing.iter().map(since).collect());
        self.replaced.retain(|_, at| now.saturating_duration_since(*at) < interval);
        // A client that has been missing for longer was not lost at once with the rest, unless the brake is on already.
        let engaged = self.engaged;
        let counts = |since: Instant| engaged || now.saturating_duration_since(since) < interval;
        let mut gone: BTreeSet<&ClientId> =
            self.missing.iter().filter(|(_, since)| counts(**since)).map(|(id, _)| id).collect();
        self.lost_at_once = is_many(gone.len(), self.recorded);
        gone.extend(self.replaced.keys());
        let gone = gone.len();
        if self.is_settled() && self.accepted.take().is_some() {
            // The accepted loss is made good: a loss that follows is another.
            self.replaced.clear();
            self.engaged = false;
            return;
        }
        self.engaged = is_many(gone, self.recorded) && !self.covers(gone);
    }

    /// Takes in that a client that is gone is about to be replaced.
    pub fn replaced(&mut self, client_id: &ClientId, now: Instant) {
        self.replaced.insert(client_id.clone(), now);
    }

    /// Takes in the annotation's value, and the value that was `handled` last. Returns whether the brake comes off by
    /// it.
    pub fn ask(&mut self, asked: &str, handled: Option<&str>) -> bool {
        asked.clone_into(&mut self.asked);
        // A request from before the loss accepts nothing.
        self.accepted = request(asked, handled).filter(|_| !self.is_settled());
        let released = self.engaged && self.covers(self.gone());
        if released {
            self.engaged = false;
            // What was replaced before is accepted with the rest.
            self.replaced.clear();
        }
        released
    }

    /// Whether no loss waits for anybody's word, or for what an accepted one is replaced by.
    #[must_use]
    pub fn is_settled(&self) -> bool {
        !self.uncounted && !self.engaged && !self.lost_at_once
    }

    /// What keeps clients from being replaced.
    #[must_use]
    pub fn many_gone(&self) -> Option<ManyGone> {
        if !self.engaged {
            return None;
        }
        let (gone, recorded) = (self.gone(), self.recorded);
        // The same value once more would be no new request.
        let accept = if self.asked == gone.to_string() { gone + 1 } else { gone };
        Some(ManyGone { gone, recorded, accept, accepted: self.accepted })
    }

    /// How many recorded clients the last listing lacks.
    #[must_use]
    pub fn missing(&self) -> usize {
        self.missing.len()
    }

    /// Why the recorded client of an OAuthClient is not replaced.
    #[must_use]
    pub fn hindrance(&self, key: &ProjectKey, client_id: &ClientId) -> Option<Failure> {
        if self.uncounted {
            let message = "whether many clients of the project are gone at once is not known yet; trying again";
            return Some(Failure::retry(Reason::ProjectNotReady, message));
        }
        let lost = self.missing.contains_key(client_id);
        (lost && self.engaged).then(|| ManyGone::for_client(key, client_id))
    }

    fn gone(&self) -> usize {
        self.missing.keys().chain(self.replaced.keys()).collect::<BTreeSet<_>>().len()
    }

    fn covers(&self, gone: usize) -> bool {
        self.accepted.is_some_and(|accepted| gone <= accepted)
    }
}

/// The loss that a new value of the annotation accepts. A status that never handled one takes the present value as
/// handled.
fn request(asked: &str, handled: Option<&str>) -> Option<usize> {
    handled.filter(|handled| *handled != asked).and_then(|_| asked.trim().parse().ok())
}

/// The value that is handled after a pass. A request stays open while a loss waits for it, through restarts.
#[must_use]
pub fn handled_request<'a>(asked: &'a str, handled: Option<&'a str>, settled: bool) -> &'a str {
    handled.filter(|_| !settled).unwrap_or(asked)
}

impl ManyGone {
    /// What the project says.
    #[must_use]
    pub fn for_project(&self, key: &ProjectKey) -> Failure {
        let Self { gone, recorded, accept: _, accepted } = self;
        let short = accepted.map(|accepted| format!(" {ACCEPT_LOSS_ANNOTATION}={accepted} does not cover them."));
        Failure::stalled(
            Reason::ManyClientsGone,
            format!(
                "{gone} of the {recorded} clients that OAuthClients have here are gone at once, as if another server had \
                 answered than the one that they were made on; none of them is replaced.{} Put the right server back, and all \
                 is as it was; or, if they are lost, have them replaced: {}",
                short.unwrap_or_default(),
                self.command(key)
            ),
        )
    }

    /// What an OAuthClient whose client is among them says: no number, since a status keeps words that differ in numbers
    /// alone.
    fn for_client(key: &ProjectKey, client_id: &ClientId) -> Failure {
        Failure::stalled(
            Reason::ProjectNotReady,
            format!(
                "{key} is ManyClientsGone: client {client_id} is gone, and too many others with it, so it is not replaced. If \
                 the server is put right, all is as it was; if they are lost, have them replaced as the project says: kubectl \
                 describe {}",
                in_kubectl(key)
            ),
        )
    }

    fn command(&self, key: &ProjectKey) -> String {
        format!("kubectl annotate --overwrite {} {ACCEPT_LOSS_ANNOTATION}={}", in_kubectl(key), self.accept)
    }
}

/// The project as kubectl is told of it.
fn in_kubectl(key: &ProjectKey) -> String {
    let ProjectKey { kind, namespace, name } = key;
    let place = match (kind, namespace) {
        (ProjectKind::MeshAgentProject, Some(namespace)) => format!(" -n {namespace}"),
        (ProjectKind::MeshAgentProject, None) | (ProjectKind::ClusterMeshAgentProject, _) => String::new(),
    };
    format!("{} {name}{place}", kind.short_name())
}

#[cfg(test)]
mod tests;

//! Prometheus metrics, all named `meshagent_operator_…`. Labels take few values: kinds, routes, reasons and projects,
//! never ids of clients, and names of objects only while something is wrong with them.
//!
//! No label is called `namespace`: Prometheus would rename it, since a target has one.

mod scrape;

use std::fmt;
use std::sync::Arc;
use std::sync::atomic::AtomicU64;
use std::time::Duration;

use jiff::{SignedDuration, Timestamp};
use prometheus_client::encoding::{EncodeLabelSet, text};
use prometheus_client::metrics::counter::Counter;
use prometheus_client::metrics::family::Family;
use prometheus_client::metrics::gauge::Gauge;
use prometheus_client::metrics::histogram::Histogram;
use prometheus_client::registry::{Registry, Unit};

use crate::decide::failure::{Disposition, Failure};
use crate::meshagent::{CallObservation, Observer};
pub use scrape::ClientState;
use scrape::{Clients, Tasks, Unreadable};

/// Bounds in seconds: from a pass without calls to one that meets several deadlines.
const RECONCILE_BUCKETS: [f64; 10] = [0.001, 0.005, 0.025, 0.1, 0.25, 0.5, 1.0, 5.0, 20.0, 60.0];
/// Bounds in seconds: from a server next door to the deadline of a call.
const CALL_BUCKETS: [f64; 9] = [0.01, 0.025, 0.05, 0.1, 0.25, 0.5, 1.0, 5.0, 15.0];

type Histograms<L> = Family<L, Histogram, fn() -> Histogram>;

/// How a pass ended.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Outcome {
    /// All is as declared.
    Converged,
    /// It waits for something that other people or controllers do.
    Waiting,
    /// Only a change by somebody ends it.
    Stalled,
    /// It failed and may work the next time.
    Retry,
}

impl Outcome {
    /// The outcome of a reconcile that failed, or did not.
    #[must_use]
    pub fn of(failure: Option<&Failure>) -> Self {
        match failure.map(|failure| failure.disposition) {
            None => Self::Converged,
            Some(Disposition::Wait) => Self::Waiting,
            Some(Disposition::Retry(_)) => Self::Retry,
            Some(Disposition::Stalled | Disposition::StalledHourly) => Self::Stalled,
        }
    }

    /// The value of the label `outcome`.
    #[must_use]
    pub const fn as_str(self) -> &'static str {
        match self {
            Self::Converged => "converged",
            Self::Waiting => "waiting",
            Self::Stalled => "stalled",
            Self::Retry => "retry",
        }
    }
}

#[derive(Clone, Debug, PartialEq, Eq, Hash, EncodeLabelSet)]
struct Pass {
    kind: &'static str,
    outcome: &'static str,
}

#[derive(Clone, Debug, PartialEq, Eq, Hash, EncodeLabelSet)]
struct Kind {
    kind: &'static str,
}

#[derive(Clone, Debug, PartialEq, Eq, Hash, EncodeLabelSet)]
struct Call {
    route: &'static str,
    status: String,
}

#[derive(Clone, Debug, PartialEq, Eq, Hash, EncodeLabelSet)]
struct Route {
    route: &'static str,
}

#[derive(Clone, Debug, PartialEq, Eq, Hash, EncodeLabelSet)]
struct Project {
    project: String,
}

#[derive(Clone, Debug, PartialEq, Eq, Hash, EncodeLabelSet)]
struct Webhook {
    configuration: String,
}

/// All metrics; clones share them.
#[derive(Clone)]
pub struct Metrics {
    registry: Arc<Registry>,
    reconciles: Family<Pass, Counter>,
    reconcile_duration: Histograms<Kind>,
    rest_calls: Family<Call, Counter>,
    rest_call_duration: Histograms<Route>,
    clients: Clients,
    orphans: Family<Project, Gauge>,
    clients_gone: Family<Project, Gauge>,
    credentials_held: Gauge,
    last_resync: Family<Project, Gauge>,
    leader: Gauge,
    events_lost: Counter,
    unreadable: Unreadable,
    clock_skew: Gauge<f64, AtomicU64>,
    webhook_reachable: Family<Webhook, Gauge>,
}

impl Metrics {
    /// Metrics before the first observation.
    #[must_use]
    pub fn new() -> Self {
        let mut metrics = Self {
            registry: Arc::default(),
            reconciles: Family::default(),
            reconcile_duration: Family::new_with_constructor(|| Histogram::new(RECONCILE_BUCKETS)),
            rest_calls: Family::default(),
            rest_call_duration: Family::new_with_constructor(|| Histogram::new(CALL_BUCKETS)),
            clients: Clients::default(),
            orphans: Family::default(),
            clients_gone: Family::default(),
            credentials_held: Gauge::default(),
            last_resync: Family::default(),
            leader: Gauge::default(),
            events_lost: Counter::default(),
            unreadable: Unreadable::default(),
            clock_skew: Gauge::default(),
            webhook_reachable: Family::default(),
        };
        metrics.registry = Arc::new(metrics.registered());
        metrics
    }

    fn registered(&self) -> Registry {
        let mut registry = Registry::with_prefix("meshagent_operator");
        let passes = self.reconciles.clone();
        registry.register("reconciles", "Passes over an object by kind and outcome", passes);
        registry.register_with_unit(
            "reconcile_duration",
            "How long a pass took",
            Unit::Seconds,
            self.reconcile_duration.clone(),
        );
        registry.register(
            "rest_calls",
            "Attempts of calls to MeshAgent by route and status; none means no answer",
            self.rest_calls.clone(),
        );
        registry.register_with_unit(
            "rest_call_duration",
            "How long an attempt of a call to MeshAgent took",
            Unit::Seconds,
            self.rest_call_duration.clone(),
        );
        self.register_scraped(&mut registry);
        registry.register(
            "orphans",
            "Clients at MeshAgent that this cluster made and whose OAuthClient is gone",
            self.orphans.clone(),
        );
        registry.register(
            "clients_gone",
            "Clients of OAuthClients that the last listing of their project lacks",
            self.clients_gone.clone(),
        );
        registry.register(
            "credentials_held",
            "Credentials in memory that could not be written to their Secret yet",
            self.credentials_held.clone(),
        );
        registry.register("leader", "1 in the replica that leads, 0 in one that waits", self.leader.clone());
        registry.register(
            "events_lost",
            "Kubernetes Events that were not written: too many were waiting, or the API server did not take them",
            self.events_lost.clone(),
        );
        registry.register_with_unit(
            "clock_skew",
            "How far the clock of this replica's machine is ahead of the API server's; below zero: behind",
            Unit::Seconds,
            self.clock_skew.clone(),
        );
        registry.register(
            "webhook_reachable",
            "1 if the webhook answered the leader as the API server calls it, 0 if not",
            self.webhook_reachable.clone(),
        );
        registry.register_with_unit(
            "last_successful_resync_timestamp",
            "When a project was last compared whole with what is declared",
            Unit::Seconds,
            self.last_resync.clone(),
        );
        registry
    }

    /// Registers what is counted when a scrape asks for it.
    fn register_scraped(&self, registry: &mut Registry) {
        registry.register_collector(Box::new(self.clients.clone()));
        registry.register_collector(Box::new(self.unreadable.clone()));
        registry.register_collector(Box::new(Tasks));
    }

    /// Counts a pass that ended, with its duration. `kind` is the kind of its object.
    pub fn reconciled(&self, kind: &'static str, outcome: Outcome, duration: Duration) {
        let outcome = outcome.as_str();
        self.reconciles.get_or_create(&Pass { kind, outcome }).inc();
        self.reconcile_duration.get_or_create(&Kind { kind }).observe(duration.as_secs_f64());
    }

    /// An observer that counts each attempt of a call.
    #[must_use]
    pub fn observer(&self) -> Observer {
        let metrics = self.clone();
        Arc::new(move |observation| metrics.called(observation))
    }

    fn called(&self, observation: CallObservation) {
        let CallObservation { route, status, duration } = observation;
        let route = route.as_str();
        let status = status.map_or_else(|| "none".to_owned(), |status| status.to_string());
        self.rest_calls.get_or_create(&Call { route, status }).inc();
        self.rest_call_duration.get_or_create(&Route { route }).observe(duration.as_secs_f64());
    }

    /// Sets where a scrape finds the OAuthClients. Only the first source counts.
    pub fn set_clients(&self, source: impl Fn(&mut dyn FnMut(ClientState<'_>)) + Send + Sync + 'static) {
        self.clients.set(source);
    }

    /// Sets where a scrape finds the objects that cannot be decoded, in order, each as its kind and `namespace/name`. Only
    /// the first source counts.
    pub fn set_unreadable(&self, source: impl Fn() -> Vec<[String; 2]> + Send + Sync + 'static) {
        self.unreadable.set(source);
    }

    /// Sets how many orphans a project has.
    pub fn set_orphans(&self, project: &str, number: i64) {
        self.orphans.get_or_create(&labelled(project)).set(number);
    }

    /// Sets how many clients on record the last listing of a project lacks.
    pub fn set_clients_gone(&self, project: &str, number: i64) {
        self.clients_gone.get_or_create(&labelled(project)).set(number);
    }

    /// Sets when a project was last compared as a whole with what is declared.
    pub fn resynced(&self, project: &str, now: Timestamp) {
        self.last_resync.get_or_create(&labelled(project)).set(now.as_second());
    }

    /// Removes the series of a project that is gone: an alert on the age of its last resync would never end.
    pub fn forget_project(&self, project: &str) {
        self.orphans.remove(&labelled(project));
        self.clients_gone.remove(&labelled(project));
        self.last_resync.remove(&labelled(project));
    }

    /// Sets how many credentials are pending: in memory, and in no Secret yet.
    pub fn credentials_held(&self, number: i64) {
        self.credentials_held.set(number);
    }

    /// Sets whether this replica leads.
    pub fn leads(&self, leads: bool) {
        self.leader.set(i64::from(leads));
    }

    /// Counts Events that were not written.
    pub fn events_lost(&self, number: u64) {
        self.events_lost.inc_by(number);
    }

    /// Sets how far the clock of this machine is ahead of the API server's.
    pub fn clock_skew(&self, skew: SignedDuration) {
        self.clock_skew.set(skew.as_secs_f64());
    }

    /// Sets whether the webhook of this configuration answers as the API server calls it.
    pub fn webhook_reachable(&self, configuration: &str, reachable: bool) {
        let webhook = Webhook { configuration: configuration.to_owned() };
        self.webhook_reachable.get_or_create(&webhook).set(i64::from(reachable));
    }

    /// All metrics as OpenMetrics text.
    ///
    /// # Errors
    /// When a metric cannot be written as text.
    pub fn text(&self) -> Result<String, fmt::Error> {
        let mut written = String::new();
        text::encode(&mut written, &self.registry)?;
        Ok(written)
    }
}

impl Default for Metrics {
    fn default() -> Self {
        Self::new()
    }
}

fn labelled(project: &str) -> Project {
    Project { project: project.to_owned() }
}

#[cfg(test)]
mod tests;

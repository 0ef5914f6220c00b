//! What is measured, for Prometheus.

use std::collections::BTreeMap;
use std::sync::Arc;
use std::time::Duration;

use jiff::Timestamp;
use prometheus_client::encoding::EncodeLabelSet;
use prometheus_client::encoding::text::encode;
use prometheus_client::metrics::counter::Counter;
use prometheus_client::metrics::family::Family;
use prometheus_client::metrics::gauge::Gauge;
use prometheus_client::metrics::histogram::{Histogram, exponential_buckets};
use prometheus_client::registry::Registry;

use crate::decide::failure::{Disposition, Failure};
use crate::meshagent::{CallObservation, Observer};

/// How a reconcile ended.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Outcome {
    /// All is as declared.
    Converged,
    /// It waits for others, or tries again.
    Waiting,
    /// Only a change by somebody helps.
    Stalled,
}

impl Outcome {
    /// The outcome of a reconcile that failed, or did not.
    #[must_use]
    pub fn of(failure: Option<&Failure>) -> Self {
        match failure.map(|failure| failure.disposition) {
            None => Self::Converged,
            Some(Disposition::Wait | Disposition::Retry(_)) => Self::Waiting,
            Some(Disposition::Stalled | Disposition::StalledHourly) => Self::Stalled,
        }
    }

    const fn as_str(self) -> &'static str {
        match self {
            Self::Converged => "converged",
            Self::Waiting => "waiting",
            Self::Stalled => "stalled",
        }
    }
}

#[derive(Clone, Debug, Hash, PartialEq, Eq, EncodeLabelSet)]
struct ByOutcome {
    kind: &'static str,
    outcome: &'static str,
}

#[derive(Clone, Debug, Hash, PartialEq, Eq, EncodeLabelSet)]
struct ByKind {
    kind: &'static str,
}

#[derive(Clone, Debug, Hash, PartialEq, Eq, EncodeLabelSet)]
struct ByStatus {
    route: &'static str,
    status: String,
}

#[derive(Clone, Debug, Hash, PartialEq, Eq, EncodeLabelSet)]
struct ByRoute {
    route: &'static str,
}

#[derive(Clone, Debug, Hash, PartialEq, Eq, EncodeLabelSet)]
struct ByReason {
    reason: String,
}

#[derive(Clone, Debug, Hash, PartialEq, Eq, EncodeLabelSet)]
struct ByProject {
    project: String,
}

type Durations<L> = Family<L, Histogram, fn() -> Histogram>;

/// All that is measured. Clones share it.
#[derive(Clone, Debug)]
pub struct Metrics {
    registry: Arc<Registry>,
    reconciles: Family<ByOutcome, Counter>,
    reconcile_duration: Durations<ByKind>,
    calls: Family<ByStatus, Counter>,
    call_duration: Durations<ByRoute>,
    clients: Family<ByReason, Gauge>,
    orphans: Family<ByProject, Gauge>,
    credentials_held: Gauge,
    last_resync: Family<ByProject, Gauge>,
}

fn seconds() -> Histogram {
    // 5 ms to 41 s.
    Histogram::new(exponential_buckets(0.005, 2.0, 14))
}

impl Default for Metrics {
    fn default() -> Self {
        let durations: fn() -> Histogram = seconds;
        let mut metrics = Self {
            registry: Arc::default(),
            reconciles: Family::default(),
            reconcile_duration: Family::new_with_constructor(durations),
            calls: Family::default(),
            call_duration: Family::new_with_constructor(durations),
            clients: Family::default(),
            orphans: Family::default(),
            credentials_held: Gauge::default(),
            last_resync: Family::default(),
        };
        metrics.registry = Arc::new(metrics.register());
        metrics
    }
}

impl Metrics {
    fn register(&self) -> Registry {
        let mut registry = Registry::with_prefix("meshagent_operator");
        registry.register("reconciles", "Reconciles, by how they ended", self.reconciles.clone());
        let help = "Duration of a reconcile, in seconds";
        registry.register("reconcile_duration_seconds", help, self.reconcile_duration.clone());
        registry.register("rest_calls", "Calls of MeshAgent's API, by status (none: no answer)", self.calls.clone());
        let help = "Duration of a call of MeshAgent's API, in seconds";
        registry.register("rest_call_duration_seconds", help, self.call_duration.clone());
        registry.register("clients", "OAuthClients, by the reason of their condition Ready", self.clients.clone());
        registry.register("orphans", "Marked clients whose OAuthClient is gone", self.orphans.clone());
        let help = "Credentials that were created and could not be written to their Secret yet";
        registry.register("credentials_held", help, self.credentials_held.clone());
        let help = "When a project's clients were last listed, in seconds since 1970";
        registry.register("last_successful_resync_timestamp_seconds", help, self.last_resync.clone());
        registry
    }

    /// A reconcile has ended.
    pub fn reconciled(&self, kind: &'static str, outcome: Outcome, duration: Duration) {
        self.reconciles.get_or_create(&ByOutcome { kind, outcome: outcome.as_str() }).inc();
        self.reconcile_duration.get_or_create(&ByKind { kind }).observe(duration.as_secs_f64());
    }

    /// For the REST client, which tells of each call.
    #[must_use]
    pub fn observer(&self) -> Observer {
        let metrics = self.clone();
        Arc::new(move |CallObservation { route, status, duration }| {
            let status = status.map_or_else(|| "none".to_owned(), |status| status.to_string());
            metrics.calls.get_or_create(&ByStatus { route: route.as_str(), status }).inc();
            metrics.call_duration.get_or_create(&ByRoute { route: route.as_str() }).observe(duration.as_secs_f64());
        })
    }

    /// How many OAuthClients there are, by the reason of their condition Ready.
    pub fn set_clients(&self, reasons: BTreeMap<String, i64>) {
        self.clients.clear();
        for (reason, count) in reasons {
            self.clients.get_or_create(&ByReason { reason }).set(count);
        }
    }

    /// How many orphans a project has.
    pub fn set_orphans(&self, project: &str, count: i64) {
        self.orphans.get_or_create(&ByProject { project: project.to_owned() }).set(count);
    }

    /// A project's clients were listed.
    pub fn resynced(&self, project: &str, now: Timestamp) {
        self.last_resync.get_or_create(&ByProject { project: project.to_owned() }).set(now.as_second());
    }

    /// A project is gone.
    pub fn forget_project(&self, project: &str) {
        let labels = ByProject { project: project.to_owned() };
        self.orphans.remove(&labels);
        self.last_resync.remove(&labels);
    }

    /// How many credentials wait to be published.
    pub fn credentials_held(&self, count: i64) {
        self.credentials_held.set(count);
    }

    /// All of it, in the OpenMetrics text format.
    #[must_use]
    pub fn text(&self) -> String {
        let mut text = String::new();
        // Writing to a String does not fail.
        let _ = encode(&mut text, &self.registry);
        text
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_is_measured_is_in_the_text() {
        let metrics = Metrics::default();
        metrics.reconciled("OAuthClient", Outcome::Converged, Duration::from_millis(7));
        metrics.set_clients(BTreeMap::from([("Ready".to_owned(), 3)]));
        metrics.set_orphans("ClusterMeshAgentProject default", 2);
        let text = metrics.text();
        let lines = [
            "meshagent_operator_reconciles_total{kind=\"OAuthClient\",outcome=\"converged\"} 1",
            "meshagent_operator_clients{reason=\"Ready\"} 3",
            "meshagent_operator_orphans{project=\"ClusterMeshAgentProject default\"} 2",
            "meshagent_operator_credentials_held 0",
        ];
        for line in lines {
            assert!(text.lines().any(|found| found == line), "{line} in:\n{text}");
        }
    }

    #[test]
    fn a_reason_that_no_client_has_any_more_is_gone_and_so_is_a_project() {
        let metrics = Metrics::default();
        metrics.set_clients(BTreeMap::from([("Creating".to_owned(), 1)]));
        metrics.set_orphans("p", 1);
        metrics.set_clients(BTreeMap::new());
        metrics.forget_project("p");
        assert!(!metrics.text().contains("Creating") && !metrics.text().contains("project=\"p\""));
    }
}

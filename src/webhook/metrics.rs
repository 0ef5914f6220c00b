//! The webhook's own metrics: how many reviews it answered, how, and how fast.

use std::fmt;
use std::sync::Arc;
use std::time::Duration;

use prometheus_client::encoding::{EncodeLabelSet, text};
use prometheus_client::metrics::counter::Counter;
use prometheus_client::metrics::family::Family;
use prometheus_client::metrics::histogram::Histogram;
use prometheus_client::registry::{Registry, Unit};

/// Bounds in seconds: from a pod in memory to the API server's patience.
const BUCKETS: [f64; 9] = [0.0001, 0.0005, 0.001, 0.005, 0.02, 0.1, 0.5, 1.0, 5.0];

/// How a review was answered.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Outcome {
    /// The pod was changed.
    Injected,
    /// The pod has everything, or is none of ours.
    Unchanged,
    /// The pod's annotations cannot be carried out.
    Refused,
    /// The request was no review, too long or too slow.
    Malformed,
}

impl Outcome {
    const fn as_str(self) -> &'static str {
        match self {
            Self::Injected => "injected",
            Self::Unchanged => "unchanged",
            Self::Refused => "refused",
            Self::Malformed => "malformed",
        }
    }
}

#[derive(Clone, Debug, PartialEq, Eq, Hash, EncodeLabelSet)]
struct Labels {
    outcome: &'static str,
}

/// The metrics; clones share them.
#[derive(Clone)]
pub struct WebhookMetrics(Arc<Families>);

struct Families {
    registry: Registry,
    admissions: Family<Labels, Counter>,
    duration: Histogram,
}

impl WebhookMetrics {
    #[must_use]
    pub fn new() -> Self {
        let mut registry = Registry::with_prefix("meshagent_operator_webhook");
        let (admissions, duration) = (Family::default(), Histogram::new(BUCKETS));
        registry.register("admissions", "Reviews of pods, by how they were answered", admissions.clone());
        let help = "Time from the head of a review to its answer";
        registry.register_with_unit("admission_duration", help, Unit::Seconds, duration.clone());
        Self(Arc::new(Families { registry, admissions, duration }))
    }

    /// Counts a review and the time that its answer took.
    pub fn observe(&self, outcome: Outcome, took: Duration) {
        self.0.admissions.get_or_create(&Labels { outcome: outcome.as_str() }).inc();
        self.0.duration.observe(took.as_secs_f64());
    }

    /// The metrics as OpenMetrics text.
    ///
    /// # Errors
    /// Returns an error if a value cannot be written as text.
    pub fn text(&self) -> Result<String, fmt::Error> {
        let mut text = String::new();
        text::encode(&mut text, &self.0.registry)?;
        Ok(text)
    }
}

impl Default for WebhookMetrics {
    fn default() -> Self {
        Self::new()
    }
}

//! Leader election: of several replicas one works, and every write stops when it stops leading.
//!
//! The algorithm is client-go's on a Lease, which is taken and renewed by PUT under the resourceVersion that was read,
//! so that of two replicas one wins. A replica judges a Lease by its own monotonic clock only: a Lease has expired if
//! it was *seen* unchanged for as long as its holder asked for. The times in it are for people.
//!
//! A leader leads for two thirds of the duration from the start of its last successful renewal, whatever happens to the
//! process: nothing has to run for [`Leadership::is_current`] to become false. The last third is for writes that were
//! on their way, before anyone else may take over.

mod election;
mod gate;
mod record;

use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};
use std::time::Duration;

use tokio::time::Instant;

use crate::meshagent::Gate;

pub use election::{Candidacy, Candidate, Election};
pub use gate::{Gated, NotLeading, WriteGate};

/// The Lease's name.
pub const LEASE: &str = "meshagent-operator";

/// The longest time between two reads of a Lease, or two renewals: a replica that waits notices within it that the
/// Lease was released, however long the Lease lasts.
const LONGEST_RETRY: Duration = Duration::from_secs(2);

/// Whether this process leads, for whoever is about to write; clones share it.
#[derive(Clone, Debug)]
pub struct Leadership(Arc<Term>);

#[derive(Debug)]
struct Term {
    start: Instant,
    /// The end of the term, in nanoseconds since `start`: an atomic, so that no writer waits for a lock.
    end: AtomicU64,
}

impl Leadership {
    /// The leadership of a process that does not lead yet.
    #[must_use]
    pub fn none() -> Self {
        Self(Arc::new(Term { start: Instant::now(), end: AtomicU64::new(0) }))
    }

    /// The leadership of a process that leads for ever, without an election.
    #[must_use]
    pub fn always() -> Self {
        Self(Arc::new(Term { start: Instant::now(), end: AtomicU64::new(u64::MAX) }))
    }

    /// Whether this process leads now. Each writer asks right before a write goes out.
    #[must_use]
    pub fn is_current(&self) -> bool {
        self.nanoseconds(Instant::now()) < self.0.end.load(Ordering::Acquire)
    }

    /// [`Leadership::is_current`] as MeshAgent's client asks for it.
    #[must_use]
    pub fn gate(&self) -> Gate {
        let leadership = self.clone();
        Arc::new(move || leadership.is_current())
    }

    /// When the leadership ends if it is not renewed.
    fn deadline(&self) -> Instant {
        self.0.start + Duration::from_nanos(self.0.end.load(Ordering::Acquire))
    }

    fn lead_until(&self, end: Instant) {
        self.0.end.store(self.nanoseconds(end), Ordering::Release);
    }

    fn end(&self) {
        self.0.end.store(0, Ordering::Release);
    }

    /// The nanoseconds from the first instant: none for an earlier one, and those of 584 years at most.
    fn nanoseconds(&self, instant: Instant) -> u64 {
        let since = instant.saturating_duration_since(self.0.start);
        u64::try_from(since.as_nanos()).unwrap_or(u64::MAX - 1)
    }
}

/// How long each part of an election takes, in client-go's proportions.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
struct Timing {
    /// The time without a renewal after which another replica takes over.
    lease: Duration,
    /// The time without a renewal after which the leader stops.
    renew: Duration,
    /// The time between two tries.
    retry: Duration,
    /// The longest time of one try: short enough for another one before the leader must stop.
    request: Duration,
}

impl Timing {
    fn of(lease: Duration) -> Self {
        Self { lease, renew: lease * 2 / 3, retry: (lease * 2 / 15).min(LONGEST_RETRY), request: lease / 3 }
    }
}

/// Why the Lease could not be read or written.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
pub enum Trouble {
    /// The operator's namespace does not exist.
    #[error("the namespace {namespace} does not exist; create it, or set --namespace to the operator's own")]
    NoNamespace {
        /// The namespace that the Lease was to be in.
        namespace: String,
    },
    /// The operator lacks a right on the Lease.
    #[error(
        "the operator may not {verb} the Lease {LEASE} in namespace {namespace} ({answer}); bind a Role there that has \
         get, create and update on leases in the group coordination.k8s.io, or set --leader-elect=false for one replica"
    )]
    Forbidden {
        /// The verb that is missing, as a Role names it.
        verb: &'static str,
        /// The namespace of the Lease.
        namespace: String,
        /// What the API server said.
        answer: String,
    },
    /// The request failed for another reason.
    #[error("cannot {verb} the Lease {LEASE} in namespace {namespace}: {answer}")]
    Request {
        /// The verb that was tried, as a Role names it.
        verb: &'static str,
        /// The namespace of the Lease.
        namespace: String,
        /// What the API server said, or the network.
        answer: String,
    },
    /// The API server did not answer in time.
    #[error("no answer about the Lease {LEASE} in namespace {namespace} in time")]
    NoAnswer {
        /// The namespace of the Lease.
        namespace: String,
    },
}

/// Why this replica leads no longer.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
pub enum Lost {
    /// The Lease was not renewed before its renew deadline.
    #[error("leadership is lost: the Lease was not renewed in time{}", because(.0.as_ref()))]
    NotRenewed(Option<Trouble>),
    /// Another replica holds the Lease.
    #[error("leadership is lost: {holder} holds the Lease")]
    Taken { holder: String },
    /// Somebody deleted or emptied the Lease, which lets another replica take it at once.
    #[error("leadership is lost: the Lease was deleted, or its holder was removed from it")]
    Gone,
}

fn because(trouble: Option<&Trouble>) -> String {
    trouble.map(|trouble| format!("; {trouble}")).unwrap_or_default()
}

#[cfg(test)]
mod tests;

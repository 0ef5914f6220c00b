//! What stands in the Lease: pure functions from one content to the next, and when the Lease has expired.

use std::time::Duration;

use jiff::Timestamp;
use k8s_openapi::api::coordination::v1::{Lease, LeaseSpec};
use k8s_openapi::apimachinery::pkg::apis::meta::v1::{MicroTime, ObjectMeta};
use tokio::time::Instant;

use super::LEASE;

/// The holder of the Lease; `None` if it was released.
pub(super) fn holder(lease: &Lease) -> Option<&str> {
    lease.spec.as_ref()?.holder_identity.as_deref().filter(|holder| !holder.is_empty())
}

/// The Lease as its first holder creates it.
pub(super) fn first(identity: &str, duration: Duration, now: Timestamp) -> Lease {
    let metadata = ObjectMeta { name: Some(LEASE.to_owned()), ..ObjectMeta::default() };
    let lease = Lease { metadata, spec: None };
    Lease { spec: Some(LeaseSpec { lease_transitions: Some(0), ..taken(&lease, identity, duration, now) }), ..lease }
}

/// The Lease as another holder takes it over, under the resourceVersion that was read.
pub(super) fn succeeded(lease: &Lease, identity: &str, duration: Duration, now: Timestamp) -> Lease {
    Lease { metadata: lease.metadata.clone(), spec: Some(taken(lease, identity, duration, now)) }
}

fn taken(lease: &Lease, identity: &str, duration: Duration, now: Timestamp) -> LeaseSpec {
    let former = lease.spec.clone().unwrap_or_default();
    LeaseSpec {
        holder_identity: Some(identity.to_owned()),
        lease_duration_seconds: Some(seconds(duration)),
        acquire_time: Some(MicroTime(now)),
        renew_time: Some(MicroTime(now)),
        lease_transitions: Some(former.lease_transitions.unwrap_or(0).saturating_add(1)),
        ..former
    }
}

/// The Lease as its holder renews it.
pub(super) fn renewed(lease: &Lease, duration: Duration, now: Timestamp) -> Lease {
    let former = lease.spec.clone().unwrap_or_default();
    let lease_duration_seconds = Some(seconds(duration));
    let spec = LeaseSpec { renew_time: Some(MicroTime(now)), lease_duration_seconds, ..former };
    Lease { metadata: lease.metadata.clone(), spec: Some(spec) }
}

/// The Lease as its holder releases it. The duration must be above zero, and short in case a replica goes by it.
pub(super) fn released(lease: &Lease, now: Timestamp) -> Lease {
    let former = lease.spec.clone().unwrap_or_default();
    let spec = LeaseSpec {
        holder_identity: Some(String::new()),
        lease_duration_seconds: Some(1),
        acquire_time: Some(MicroTime(now)),
        renew_time: Some(MicroTime(now)),
        ..former
    };
    Lease { metadata: lease.metadata.clone(), spec: Some(spec) }
}

fn seconds(duration: Duration) -> i32 {
    i32::try_from(duration.as_secs()).unwrap_or(i32::MAX).max(1)
}

/// What stood in the Lease, and since when it was seen to stand there.
pub(super) struct Sighting {
    spec: LeaseSpec,
    since: Instant,
}

impl Sighting {
    /// The sighting now: the former one, if the spec has not changed. Metadata is left out: an edit of a label does not
    /// renew the Lease.
    pub(super) fn next(former: Option<Self>, lease: &Lease, now: Instant) -> Self {
        let spec = lease.spec.clone().unwrap_or_default();
        match former {
            Some(former) if former.spec == spec => former,
            Some(_) | None => Self { spec, since: now },
        }
    }

    /// Whether the holder has let the time pass that it asked for, by this replica's clock; `own`: if it asked for
    /// none.
    pub(super) fn has_expired(&self, now: Instant, own: Duration) -> bool {
        let asked = self.spec.lease_duration_seconds.and_then(|seconds| u64::try_from(seconds).ok());
        now.saturating_duration_since(self.since) >= asked.map_or(own, Duration::from_secs)
    }
}

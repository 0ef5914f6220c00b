//! What an OAuthClient's status says of a pass, and when the object is reconciled again.

mod address;
mod conditions;
mod requeue;
mod status;

use std::collections::BTreeSet;

use jiff::Timestamp;

use super::holders::Holders;
use super::next::Record;
use super::object;
use crate::api::condition::merge;
use crate::api::oauth_client::{OAuthClient, OAuthClientStatus};
use crate::decide::time::ClockState;

pub use address::addressed;
pub use requeue::requeue;
pub use status::overlap_ends;

/// How a pass ended.
pub struct ReportInput<'a> {
    /// The object as last read.
    pub object: &'a OAuthClient,
    /// What the pass concluded.
    pub record: &'a Record,
    /// Whether the object is being deleted.
    pub deleting: bool,
    /// The id of the project that was used.
    pub project_id: Option<&'a str>,
    /// The Secret that the spec names.
    pub secret_name: Option<&'a str>,
    /// The metadata keys that the spec wants now.
    pub managed_metadata_keys: &'a BTreeSet<String>,
    /// Whether the client is what was applied before; false only on proof.
    pub client_matches: bool,
    /// Whether the Secret is what was applied before; false only on proof, or if no client was ever recorded.
    pub secret_matches: bool,
    /// Whether this pass published a client in place of a former one.
    pub replaced: bool,
    pub now: Timestamp,
    /// The time of the record: `now` is that of the pass's beginning, and the Secret may have been written since.
    pub recorded_at: Timestamp,
    /// The pods that hold former credentials.
    pub holders: &'a Holders,
    /// Whether former clients may be deleted on their day.
    pub clock: ClockState,
}

/// The whole status that the object shall have; the present one if there is nothing new to say.
#[must_use]
pub fn report(input: &ReportInput<'_>) -> OAuthClientStatus {
    let present = input.object.status.clone().unwrap_or_default();
    let present = if input.clock.may_delete() { status::by_our_clock(present, input.now) } else { present };
    let generation = generation(input.object);
    let conditions = present.conditions.clone().unwrap_or_default();
    let retiring = status::retiring(input, present.retiring.as_deref().unwrap_or_default());
    let status = match &input.record.published {
        Some(published) => status::applied(input, published, present),
        None => OAuthClientStatus {
            last_handled_rotate_at: status::rotation_still_asked(input.object, &present),
            ..present
        },
    };
    let findings = match input.record.conclusion.failure() {
        None => conditions::converged(&status, &retiring),
        Some(failure) => conditions::halted(input, &status, failure),
    };
    // A blocked pass handles the request too, as in Flux: the request was acted on, and the conditions tell with what
    // success.
    let [last_handled_reconcile_at, also_handled_reconcile_at] = object::handled_reconcile_requests(input.object);
    OAuthClientStatus {
        observed_generation: Some(generation),
        conditions: Some(merge(&conditions, &findings, generation, input.now)),
        retiring: (!retiring.is_empty()).then_some(retiring),
        last_handled_reconcile_at: Some(last_handled_reconcile_at.unwrap_or_default()),
        also_handled_reconcile_at,
        ..status
    }
}

fn generation(object: &OAuthClient) -> i64 {
    object.metadata.generation.unwrap_or_default()
}

#[cfg(test)]
mod tests;

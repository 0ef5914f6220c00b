//! What a pass records besides its conditions.

use super::{ReportInput, generation};
use crate::api::oauth_client::{OAuthClient, OAuthClientStatus, Retiring};
use crate::decide::client::desired::lifecycle::{DEFAULT_OVERLAP, overlap};
use crate::decide::client::next::{Conclusion, Published};
use crate::decide::client::object;
use crate::decide::time::{ahead, later, stamp};

use jiff::Timestamp;

/// The rotation request that counts as handled after a pass that carried none out: a request that a new object came
/// with counts as handled.
pub(super) fn rotation_still_asked(object: &OAuthClient, present: &OAuthClientStatus) -> Option<String> {
    let handled = present.last_handled_rotate_at.clone();
    handled.or_else(|| Some(object::rotation_request(object).to_owned()))
}

/// The present status with its times by our clock. A replica whose clock was further ahead than two may be apart says
/// nothing of when it replaced the client, and the overlaps that it began then end by as much earlier: else nobody
/// would replace the client again, or delete the former one, until that clock's time has come.
pub(super) fn by_our_clock(present: OAuthClientStatus, now: Timestamp) -> OAuthClientStatus {
    let Some(replaced_at) = present.last_replaced_at.as_ref().map(|at| at.0) else {
        return present;
    };
    let Some(ahead) = ahead(replaced_at, now) else {
        return present;
    };
    let put_right = |former: Retiring| {
        let end = former.delete_after.0;
        let by_that_clock = former.replaced_at.as_ref().map_or(end, |at| end.max(at.0)) >= replaced_at;
        let earlier = |at: Timestamp| stamp(if by_that_clock { at.checked_sub(ahead).unwrap_or(at) } else { at });
        let swapped = former.replaced_at.as_ref().map(|at| earlier(at.0));
        Retiring { delete_after: earlier(end), replaced_at: swapped, ..former }
    };
    let retiring = present.retiring.map(|retiring| retiring.into_iter().map(put_right).collect());
    OAuthClientStatus { last_replaced_at: None, retiring, ..present }
}

/// The present status with what a pass made sure of.
pub(super) fn applied(input: &ReportInput<'_>, published: &Published, present: OAuthClientStatus) -> OAuthClientStatus {
    let waits = matches!(&input.record.conclusion, Conclusion::RotationWaits(_));
    let still_asked = if waits { rotation_still_asked(input.object, &present) } else { None };
    let OAuthClientStatus {
        observed_generation,
        conditions,
        client_id,
        project_id,
        secret_name: _,
        secret_resource_version: _,
        credential_digest,
        applied_generation: _,
        last_replaced_at,
        adopted: _,
        persisting_drift: _,
        retiring,
        managed_metadata_keys: _,
        last_handled_reconcile_at,
        also_handled_reconcile_at,
        last_handled_rotate_at: _,
    } = present;
    let Published { client_id: published_id, credential, adopted, drift } = published;
    let another = client_id.as_deref() != Some(published_id.as_str());
    // A pass that published and then died left no record of it, but the client differs from the recorded one. A
    // replacement whose record was written although its answer was lost does not count twice.
    let replaced = another && (input.replaced || client_id.is_some());
    let digest = credential.as_ref().map(|kept| kept.digest.as_ref().map_or(credential_digest, told));
    let keys: Vec<String> = input.managed_metadata_keys.iter().cloned().collect();
    OAuthClientStatus {
        observed_generation,
        conditions,
        client_id: told(published_id.as_str()),
        project_id: project_id.or_else(|| input.project_id.map(str::to_owned)),
        secret_name: credential.as_ref().and(input.secret_name).map(str::to_owned),
        secret_resource_version: credential.as_ref().map(|kept| kept.version.to_string()),
        credential_digest: digest.flatten(),
        applied_generation: Some(generation(input.object)),
        last_replaced_at: if replaced { Some(stamp(input.recorded_at)) } else { last_replaced_at },
        adopted: adopted.then_some(true),
        persisting_drift: drift.as_ref().and_then(told),
        retiring,
        managed_metadata_keys: (!keys.is_empty()).then_some(keys),
        last_handled_reconcile_at,
        also_handled_reconcile_at,
        last_handled_rotate_at: still_asked.or_else(|| told(object::rotation_request(input.object))),
    }
}

fn told(text: impl ToString) -> Option<String> {
    Some(text.to_string())
}

/// Former clients keep the end of their overlap, and name the pods for which they live on; the overlap of a new one
/// begins when that is recorded. A client that was never recorded retires while it still stands in the Secret: the next
/// one that is published replaces it, and its overlap lasts from then on.
pub(super) fn retiring(input: &ReportInput<'_>, present: &[Retiring]) -> Vec<Retiring> {
    let recorded = input.object.status.as_ref().and_then(|status| status.client_id.as_deref());
    let published = input.record.published.as_ref().map(|published| published.client_id.as_str());
    let swapped = published.is_some() && published != recorded;
    let ids = input.record.retiring.iter().map(|client_id| client_id.as_str());
    ids.map(|client_id| {
        let known = present.iter().find(|known| known.client_id == client_id);
        let ends = stamp(overlap_ends(input.object, input.now, input.recorded_at));
        let mut former = known.cloned().unwrap_or_else(|| Retiring::new(client_id, None, ends.clone()));
        if swapped && former.replaced_at.is_none() {
            former.replaced_at = Some(stamp(input.recorded_at));
            former.delete_after = former.delete_after.max(ends);
        }
        input.holders.with_pods(former, input.now)
    })
    .collect()
}

/// When the overlap of a client ends that is `replaced` at this time, in a pass that began at another: calls may take
/// longer than a short overlap. One of no length has ended already, so that the same pass deletes the client.
#[must_use]
pub fn overlap_ends(object: &OAuthClient, began: Timestamp, replaced: Timestamp) -> Timestamp {
    let overlap = overlap(&object.spec).unwrap_or(DEFAULT_OVERLAP);
    if overlap.is_zero() { began } else { later(replaced, overlap) }
}

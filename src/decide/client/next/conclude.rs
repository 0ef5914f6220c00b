//! How a pass ends: delete former clients that are due, then record, then clean, then rest.

use super::step::{Conclusion, Published, Record, Removal, Step};
use crate::api::Reason;
use crate::decide::client::observed::{FailedAt, Observed, Remote, Retiring, StepFailure};
use crate::decide::failure::Failure;
use crate::decide::id::ClientId;
use crate::decide::orphan::{Evidence, Grace, at_rest, disowned};

/// Ends a pass that cannot go on. A former client goes on its day all the same: a leaked credential waits for nobody.
pub(super) fn blocked(observed: &Observed, failure: Failure) -> Step {
    let former = due_former(observed, observed.object.recorded.client_id.as_ref());
    match former.filter(|_| still_answers(observed) && failure.reason != Reason::Suspended) {
        Some(step) if !observed.object_gone && !observed.stale => step,
        Some(_) | None => blocked_without_calls(observed, failure),
    }
}

/// Ends a pass that cannot go on, without a call of MeshAgent.
pub(super) fn blocked_without_calls(observed: &Observed, failure: Failure) -> Step {
    conclude(observed, Conclusion::Blocked(failure), None)
}

/// Whether a failure of this pass leaves hope for another call of MeshAgent.
fn still_answers(observed: &Observed) -> bool {
    match &observed.failure {
        // MeshAgent refused this call, and may accept another.
        Some(StepFailure { failure, at: FailedAt::MeshAgent }) => failure.reason == Reason::RejectedByAPI,
        Some(StepFailure { at: FailedAt::Removal, .. }) => false,
        Some(StepFailure { at: FailedAt::Kubernetes | FailedAt::Creation, .. }) | None => true,
    }
}

/// Ends a pass: record, then clean, then rest. An object with a client has a finalizer, whatever `kubectl replace` did.
pub(super) fn conclude(observed: &Observed, conclusion: Conclusion, published: Option<Published>) -> Step {
    // A pass that gave way to others knows no version that a record could be written under.
    if observed.object_gone || observed.stale {
        return Step::Rest;
    }
    let object = &observed.object;
    let writable = observed.failure.as_ref().is_none_or(|failure| failure.at != FailedAt::Kubernetes);
    let has_client = object.recorded.client_id.is_some() || published.is_some();
    if has_client && !object.finalizer && writable {
        return Step::AddFinalizer { version: object.version.clone() };
    }
    let recorded = &object.recorded;
    // A former client that went after the record is struck off by another record, and not deleted a second time.
    let struck = recorded.retiring.iter().any(|retiring| removed(observed, &retiring.client_id));
    if observed.recorded && !struck {
        let in_use = conclusion == Conclusion::Converged || published.is_some() && conclusion.leaves_as_declared();
        return if in_use { clean(observed) } else { Step::Rest };
    }
    let mut retiring: Vec<ClientId> = recorded.retiring.iter().map(|retiring| retiring.client_id.clone()).collect();
    if let Some(published) = &published {
        retiring.extend(recorded.client_id.clone());
        retiring.retain(|client_id| client_id != &published.client_id);
    }
    retiring.retain(|client_id| !removed(observed, client_id));
    Step::Record(Box::new(Record { version: observed.object.version.clone(), conclusion, published, retiring }))
}

/// The DELETE of a former client whose overlap has ended, and that the Secret does not hold. `present`: the client that
/// is in use. No overlap ends by a clock that is wrong.
pub(super) fn due_former(observed: &Observed, present: Option<&ClientId>) -> Option<Step> {
    let is_due = |former: &&Retiring| {
        let in_use = Some(&former.client_id) == present || observed.holds(&former.client_id);
        former.due && observed.clock.may_delete() && !in_use && !removed(observed, &former.client_id)
    };
    let due = observed.object.recorded.retiring.iter().find(is_due)?;
    Some(Step::Delete { client_id: due.client_id.clone(), because: Removal::Retired })
}

/// Removes what the POSTs of unknown outcome left, now that the credential is in place and recorded.
fn clean(observed: &Observed) -> Step {
    let object = &observed.object;
    if object.unknown.is_empty() {
        return Step::Rest;
    }
    let Some(listed) = observed.listing else {
        return Step::List;
    };
    if observed.live.is_none_or(|live| live <= listed) {
        return Step::ReadLive;
    }
    if !at_rest(object, &observed.secret) {
        // Others are at work on the object: what the tokens made cannot be told from what others are publishing.
        return Step::Rest;
    }
    let evidence = Evidence::Present(object, &observed.secret);
    let mut clients = observed.of_this_uid();
    let waste = clients.find(|(client_id, _, marker)| disowned(client_id, marker, evidence) == Some(Grace::AtOnce));
    match waste {
        Some((client_id, ..)) => Step::Delete { client_id: client_id.clone(), because: Removal::Disowned },
        None => Step::StrikeUnknown { version: object.version.clone() },
    }
}

/// Whether this pass knows that the client is gone.
pub(super) fn removed(observed: &Observed, client_id: &ClientId) -> bool {
    match observed.remote.get(client_id) {
        Some(Remote::Deleted | Remote::Absent) => true,
        Some(Remote::Listed(_) | Remote::PutIgnored(_) | Remote::Read(_) | Remote::Missing) | None => false,
    }
}

//! How a pass ends: record, then clean, then rest.

use super::of_this_uid;
use super::step::{Conclusion, Published, Record, Removal, Step};
use crate::api::Reason;
use crate::decide::client::observed::{Observed, Remote};
use crate::decide::failure::Failure;
use crate::decide::id::ClientId;
use crate::decide::orphan::disowned::{Evidence, Grace, at_rest, disowned};

pub(super) fn blocked(observed: &Observed, failure: Failure) -> Step {
    conclude(observed, Conclusion::Blocked(failure), None)
}

/// Ends the pass: record, then clean, then rest.
pub(super) fn conclude(observed: &Observed, conclusion: Conclusion, published: Option<Published>) -> Step {
    // A pass that gave way to others knows no version that a record could be written under.
    if observed.object_gone || observed.stale {
        return Step::Rest;
    }
    let conclusion = match (&observed.project, conclusion) {
        (Some(failure), Conclusion::Converged) => Conclusion::Blocked(failure.clone()),
        (_, conclusion) => conclusion,
    };
    let recorded = &observed.object.recorded;
    // A former client that went after the record is struck off by another one, and not deleted a second time.
    let struck = recorded.retiring.iter().any(|retiring| removed(observed, &retiring.client_id));
    if observed.recorded && !struck {
        return match conclusion {
            Conclusion::Converged => clean(observed),
            // The client is in use and recorded, whatever value MeshAgent keeps, and whatever is to take its place.
            Conclusion::Blocked(failure)
                if published.is_some() && matches!(failure.reason, Reason::DriftPersists | Reason::Rotating) =>
            {
                clean(observed)
            }
            Conclusion::Blocked(_) => Step::Rest,
        };
    }
    let mut retiring: Vec<ClientId> = recorded.retiring.iter().map(|retiring| retiring.client_id.clone()).collect();
    if let Some(published) = &published {
        retiring.extend(recorded.client_id.clone());
        retiring.retain(|client_id| client_id != &published.client_id);
    }
    retiring.retain(|client_id| !removed(observed, client_id));
    Step::Record(Box::new(Record { version: observed.object.version.clone(), conclusion, published, retiring }))
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
        // Others are at work on it: what the tokens made cannot be told from what they are publishing.
        return Step::Rest;
    }
    let evidence = Evidence::Present(object, &observed.secret);
    let disowned = of_this_uid(observed).find(|(client_id, client)| {
        client.marker.as_ref().is_some_and(|marker| disowned(client_id, marker, evidence) == Some(Grace::AtOnce))
    });
    match disowned {
        Some((client_id, _)) => Step::Delete { client_id: client_id.clone(), because: Removal::Disowned },
        None => Step::StrikeUnknown { version: object.version.clone() },
    }
}

/// Whether this pass knows that the client is gone.
pub(super) fn removed(observed: &Observed, client_id: &ClientId) -> bool {
    match observed.remote.get(client_id) {
        Some(Remote::Deleted | Remote::Absent) => true,
        Some(Remote::Listed(_) | Remote::PutIgnored(_) | Remote::Read(_) | Remote::Missing(_)) | None => false,
    }
}

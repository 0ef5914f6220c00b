//! An OAuthClient that a person has stopped.

use super::adoption::is_secretless;
use super::conclude::conclude;
use super::converge::converge;
use super::secretless::converge_secretless;
use super::step::{Conclusion, Published, Step};
use crate::api::Reason;
use crate::decide::client::change::Wanted;
use crate::decide::client::observed::{Observed, Ownership, Secret, StepFailure};
use crate::decide::failure::Failure;

/// Takes the object's ownership off the Secret, so that it outlives a deletion, and writes nothing else but the status.
/// What this process holds is kept.
pub(super) fn suspend(wanted: &Wanted, observed: &Observed) -> Step {
    if let Some(StepFailure { failure, .. }) = &observed.failure {
        return conclude(observed, Conclusion::Blocked(failure.clone()), None);
    }
    if observed.stale {
        return Step::ReadLive;
    }
    if let Secret::Ours(stored) = &observed.secret
        && stored.owned
    {
        return Step::ReleaseSecret { version: stored.version.clone(), retained: false };
    }
    let message = "suspended: client and Secret are left as they are; set spec.suspend to false to go on";
    let conclusion = Conclusion::Blocked(Failure::wait(Reason::Suspended, message));
    // A request for a rotation is carried out later, so it is not recorded as handled now.
    let published = as_wanted(wanted, observed).filter(|_| !observed.object.rotation_asked);
    conclude(observed, conclusion, published)
}

/// The client, if all is as the spec wants it, so that a pass that is not suspended would change nothing either.
fn as_wanted(wanted: &Wanted, observed: &Observed) -> Option<Published> {
    let published = if is_secretless(wanted, observed) {
        converge_secretless(wanted, observed)
    } else if let Ownership::Published(stored, token, client_id) = observed.ownership() {
        converge(wanted, observed, stored, token, client_id)
    } else {
        return None;
    };
    // Any other step would do something.
    if let Step::Record(record) = published { record.published } else { None }
}

//! A client that was adopted without its credential: compared and recorded; there is no Secret.

use super::adoption;
use super::compare::{Comparison, compare};
use super::conclude::{blocked, conclude};
use super::step::{Conclusion, Published, Step};
use super::token::intent;
use crate::decide::client::change::Wanted;
use crate::decide::client::observed::Observed;

pub(super) fn converge_secretless(wanted: &Wanted, observed: &Observed) -> Step {
    let object = &observed.object;
    let Some(client_id) = object.recorded.client_id.as_ref().or(wanted.adopt.as_ref().map(|it| &it.client_id)) else {
        return blocked(observed, adoption::gone(None));
    };
    let Some(token) = object.token.as_ref().filter(|_| object.finalizer) else {
        // The intent comes before the first PUT, so that a deletion finds the finalizer; a client that cannot be
        // adopted gets none.
        return adoption::check(wanted, observed, client_id).unwrap_or_else(|| intent(observed));
    };
    let drift = match compare(wanted, observed, token, client_id) {
        Comparison::Step(step) => return step,
        Comparison::Gone => {
            let many_gone = observed.project.many_gone.clone();
            return blocked(observed, many_gone.unwrap_or_else(|| adoption::gone(Some(client_id))));
        }
        Comparison::Anothers | Comparison::Nobodys => {
            return blocked(observed, adoption::conflict(wanted, observed, client_id));
        }
        Comparison::Same => None,
        Comparison::Drift(drift) => Some(drift),
    };
    let (conclusion, drift) =
        drift.map_or((Conclusion::Converged, None), |(failure, digest)| (Conclusion::Blocked(failure), Some(digest)));
    let published = Published { client_id: client_id.clone(), credential: None, adopted: true, drift };
    conclude(observed, conclusion, Some(published))
}

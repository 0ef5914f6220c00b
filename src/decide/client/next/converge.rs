//! A published client: compared, repaired, recorded.

use super::adoption::{conflict, is_adopted, is_marked_adopted};
use super::compare::{Comparison, compare};
use super::conclude::{blocked, conclude, due_former};
use super::cooldown::{Because, rotation_waits};
use super::create::create;
use super::step::{Conclusion, Published, Step, StoredCredential};
use crate::decide::client::change::Wanted;
use crate::decide::client::observed::{Credential, Observed, Stored};
use crate::decide::id::{ClientId, Token};

/// The Secret counts: its client is compared with what is wanted, and recorded.
pub(super) fn converge(
    wanted: &Wanted,
    observed: &Observed,
    stored: &Stored,
    token: &Token,
    client_id: &ClientId,
) -> Step {
    let recorded = observed.object.recorded.client_id.as_ref();
    let adopted = is_adopted(wanted, observed);
    // A Secret that has to move is left first: it may be immutable, which may be why it has to move.
    let rotates = observed.object.rotation_asked && !adopted && !stored.misplaced && recorded == Some(client_id);
    let waits = rotation_waits(observed).filter(|_| rotates);
    if rotates && waits.is_none() {
        return create(wanted, observed, Because::Rotation);
    }
    let (client_id, annotated) = match (&stored.credential, recorded) {
        (Credential::Unread, _) => return Step::ReadSecret,
        (Credential::Broken, _) => return create(wanted, observed, Because::of_missing_secret(observed)),
        (Credential::Other(_), Some(recorded)) if recorded == client_id => {
            return create(wanted, observed, Because::of_missing_secret(observed));
        }
        (Credential::Other(_), Some(_) | None) => (client_id, true),
        // The data is the recorded client's, whatever the annotation says: the annotation was altered.
        (Credential::AsRecorded, Some(recorded)) => (recorded, recorded == client_id),
        (Credential::AsRecorded, None) => return Step::ReadSecret,
    };
    let drift = match compare(wanted, observed, token, client_id) {
        Comparison::Step(step) => return step,
        Comparison::Gone => return create(wanted, observed, Because::Gone),
        Comparison::Anothers => return blocked(observed, conflict(wanted, observed, client_id)),
        // The Secret is no proof: anybody who may write it could name any client in it.
        Comparison::Nobodys => return create(wanted, observed, Because::of_missing_secret(observed)),
        Comparison::Same => None,
        Comparison::Drift(drift) => Some(drift),
    };
    if let Some(step) = repair(observed, stored, client_id, annotated) {
        return step;
    }
    let digest = match &stored.credential {
        Credential::Other(digest) => Some(digest.clone()),
        Credential::Unread | Credential::AsRecorded | Credential::Broken => None,
    };
    let (conclusion, drift) =
        drift.map_or((Conclusion::Converged, None), |(failure, digest)| (Conclusion::Blocked(failure), Some(digest)));
    // A rotation that waits is said last: all other work is done meanwhile.
    let conclusion = waits.map_or(conclusion, Conclusion::RotationWaits);
    let credential = Some(StoredCredential { version: stored.version.clone(), digest });
    let adopted = adopted || is_marked_adopted(observed.remote.get(client_id));
    conclude(observed, conclusion, Some(Published { client_id: client_id.clone(), credential, adopted, drift }))
}

/// What is left to do before the record: the Secret's place and shape, the Secret under the former name, former
/// clients.
fn repair(observed: &Observed, stored: &Stored, client_id: &ClientId, annotated: bool) -> Option<Step> {
    let (client, version) = (client_id.clone(), stored.version.clone());
    if stored.retained && observed.live.is_none() {
        // The writer of that mark saw the object being deleted: this pass' view of the object may be older.
        return Some(Step::ReadLive);
    }
    if stored.misplaced {
        return Some(Step::Relocate { client_id: client, version });
    }
    if !annotated || !stored.in_shape {
        return Some(Step::Reshape { client_id: client, version });
    }
    if let Some(version) = &observed.leftover {
        return Some(Step::DeleteSecret { leftover: true, version: version.clone() });
    }
    due_former(observed, Some(client_id))
}

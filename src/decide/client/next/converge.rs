//! A published client: compared, repaired, recorded.

use super::adopt::{conflict, is_adopted, is_free};
use super::conclude::{blocked, conclude, removed};
use super::create::{Because, create, rotation_waits};
use super::step::{Conclusion, Published, Removal, Step, StoredCredential};
use crate::api::Reason;
use crate::decide::client::change::{Change, Wanted, drift};
use crate::decide::client::observed::{Credential, Observed, Remote, RemoteClient, Stored};
use crate::decide::failure::Failure;
use crate::decide::id::{ClientId, DriftDigest, Token};

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
    // A Secret that has to move is left first: it may be immutable, and that be why it has to move.
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
        // Whoever may write the Secret could name any client in it.
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
    // Said last: whatever else there is to do is done while a rotation waits.
    let conclusion = waits.map_or(conclusion, Conclusion::Blocked);
    let credential = Some(StoredCredential { version: stored.version.clone(), digest });
    let adopted = adopted || super::adopt::is_marked_adopted(observed.remote.get(client_id));
    conclude(observed, conclusion, Some(Published { client_id: client_id.clone(), credential, adopted, drift }))
}

/// What is left to do before the record: the Secret's place and shape, the one under its former name, former clients.
fn repair(observed: &Observed, stored: &Stored, client_id: &ClientId, annotated: bool) -> Option<Step> {
    let (client, version) = (client_id.clone(), stored.version.clone());
    if stored.retained && observed.live.is_none() {
        // Who wrote that saw the object being deleted: this pass' view of the object may be older.
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
    let mut retiring = observed.object.recorded.retiring.iter();
    let due = retiring
        .find(|former| former.due && &former.client_id != client_id && !removed(observed, &former.client_id))?;
    Some(Step::Delete { client_id: due.client_id.clone(), because: Removal::Retired })
}

/// How a client stands to what is wanted.
pub(super) enum Comparison {
    /// More is to be known, or it is to be changed.
    Step(Step),
    /// It does not exist.
    Gone,
    /// It bears the marker of another OAuthClient.
    Anothers,
    /// Nothing but the Secret says that it is ours.
    Nobodys,
    /// It is as wanted.
    Same,
    /// MeshAgent keeps another value than was sent.
    Drift((Failure, DriftDigest)),
}

pub(super) fn compare(wanted: &Wanted, observed: &Observed, token: &Token, client_id: &ClientId) -> Comparison {
    let get = || Comparison::Step(Step::Get { client_id: client_id.clone() });
    let (client, read, unmoved) = match observed.remote.get(client_id) {
        None => return get(),
        Some(Remote::Missing(_)) => return Comparison::Step(Step::List),
        Some(Remote::Absent | Remote::Deleted) => return Comparison::Gone,
        Some(Remote::Listed(client)) => (client, false, false),
        Some(Remote::PutIgnored(client)) => (client, false, true),
        Some(Remote::Read(client)) => (client, true, false),
    };
    let recorded = &observed.object.recorded;
    let certain = recorded.client_id.as_ref() == Some(client_id) || wanted.adopts(client_id);
    match &client.marker {
        Some(marker) if marker.owner == wanted.owner || marker.is_retained_for(&wanted.owner) => {}
        Some(marker) if wanted.adopts(client_id) && is_free(marker, wanted) => {}
        Some(_) if certain => return Comparison::Anothers,
        None if certain => {}
        Some(_) | None => return Comparison::Nobodys,
    }
    let adopted = is_adopted(wanted, observed) || super::adopt::is_marked_adopted(observed.remote.get(client_id));
    let Some(change) = wanted.change(client, &recorded.managed_keys, token, adopted) else {
        return Comparison::Same;
    };
    let digest = drift(&change, client);
    if unmoved || recorded.drift.as_ref() == Some(&digest) {
        return Comparison::Drift((persists(&change), digest));
    }
    if change.metadata.is_some() && !read { get() } else { Comparison::Step(put(client_id, change, client)) }
}

fn put(client_id: &ClientId, change: Change, client: &RemoteClient) -> Step {
    let (client_id, result) = (client_id.clone(), Box::new(change.applied_to(client)));
    Step::Put { client_id, result, change: Box::new(change) }
}

fn persists(change: &Change) -> Failure {
    let fields = change.fields().join(", ");
    Failure::stalled(
        Reason::DriftPersists,
        format!(
            "MeshAgent keeps another value of {fields} than was sent, and is not sent it again until one of the two changes; \
             write the value in spec as MeshAgent keeps it"
        ),
    )
}

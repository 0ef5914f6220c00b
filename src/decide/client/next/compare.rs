//! A client at MeshAgent, compared with what is wanted.

use super::adoption::{is_adopted, is_free, is_marked_adopted};
use super::step::Step;
use crate::api::Reason;
use crate::decide::client::change::{Change, Wanted, drift};
use crate::decide::client::observed::{Observed, Remote, RemoteClient};
use crate::decide::failure::Failure;
use crate::decide::id::{ClientId, DriftDigest, Token};

/// How a client compares with what is wanted.
pub(super) enum Comparison {
    /// The pass has to know more of the client, or to change it.
    Step(Step),
    /// The client does not exist.
    Gone,
    /// The client bears the marker of another OAuthClient.
    Anothers,
    /// The Secret alone says that the client is ours.
    Nobodys,
    /// The client is as wanted.
    Same,
    /// MeshAgent keeps another value than was sent.
    Drift((Failure, DriftDigest)),
}

pub(super) fn compare(wanted: &Wanted, observed: &Observed, token: &Token, client_id: &ClientId) -> Comparison {
    let get = || Comparison::Step(Step::Get { client_id: client_id.clone() });
    let (client, read, put_ignored) = match observed.remote.get(client_id) {
        None => return get(),
        Some(Remote::Missing) => return Comparison::Step(Step::List),
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
    let adopted = is_adopted(wanted, observed) || is_marked_adopted(observed.remote.get(client_id));
    let Some(change) = wanted.change(client, &recorded.managed_keys, token, adopted) else {
        return Comparison::Same;
    };
    let digest = drift(&change, client);
    if put_ignored || recorded.drift.as_ref() == Some(&digest) {
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

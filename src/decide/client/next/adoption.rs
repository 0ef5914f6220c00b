//! Whether a client that existed before may be, or was, taken over.

use super::conclude::blocked;
use super::step::Step;
use crate::api::Reason;
use crate::decide::client::change::Wanted;
use crate::decide::client::observed::{Observed, ProjectState, Remote};
use crate::decide::failure::Failure;
use crate::decide::id::ClientId;
use crate::decide::marker::{Marker, Origin, Owner};

/// Whether the object's client existed before, so that it is never recreated. The status says so, and the marker.
pub(super) fn is_adopted(wanted: &Wanted, observed: &Observed) -> bool {
    let recorded = &observed.object.recorded;
    let Some(client_id) = &recorded.client_id else {
        return wanted.adopt.is_some();
    };
    recorded.adopted || wanted.adopts(client_id) || is_marked_adopted(observed.remote.get(client_id))
}

pub(super) fn is_marked_adopted(known: Option<&Remote>) -> bool {
    marker(known).is_some_and(|marker| marker.origin == Origin::Adopted)
}

fn marker(known: Option<&Remote>) -> Option<&Marker> {
    known?.client()?.marker.as_ref()
}

/// Whether the client is, or is to be, managed without a Secret: nobody gave its credential.
pub(super) fn is_secretless(wanted: &Wanted, observed: &Observed) -> bool {
    let recorded = &observed.object.recorded;
    match (&recorded.client_id, &wanted.adopt) {
        (Some(_), _) => recorded.is_secretless(),
        (None, Some(adopt)) => adopt.credential.is_none(),
        (None, None) => false,
    }
}

/// Why the spec's wish to adopt is not followed.
pub(super) fn refusal(wanted: &Wanted, observed: &Observed) -> Option<Failure> {
    let adopt = wanted.adopt.as_ref()?;
    match (&observed.object.recorded.client_id, &observed.project.state) {
        (Some(recorded), _) if recorded != &adopt.client_id => Some(Failure::stalled(
            Reason::InvalidSpec,
            format!(
                "spec.adopt.clientId names another client than {recorded}, which this OAuthClient has; put the former value \
                 back, or delete this OAuthClient and create it anew"
            ),
        )),
        (Some(_), _) | (None, ProjectState::Usable { may_adopt: true }) => None,
        (None, ProjectState::Failed(failure)) => Some(failure.clone()),
        (None, ProjectState::Usable { may_adopt: false }) => Some(Failure::stalled(
            Reason::AdoptionNotAllowed,
            "the project does not allow this namespace to adopt clients; have it added to spec.adoption.allowedNamespaces of \
             the project, or leave spec.adopt out to create a client",
        )),
    }
}

/// The step that comes before the adoption and makes sure that the client exists and is free; `None`: both are certain.
pub(super) fn check(wanted: &Wanted, observed: &Observed, client_id: &ClientId) -> Option<Step> {
    match observed.remote.get(client_id) {
        None | Some(Remote::Listed(_) | Remote::PutIgnored(_)) => Some(Step::Get { client_id: client_id.clone() }),
        Some(Remote::Missing) => Some(Step::List),
        Some(Remote::Absent | Remote::Deleted) => Some(blocked(observed, gone(Some(client_id)))),
        Some(Remote::Read(client)) => match &client.marker {
            Some(marker) if !is_free(marker, wanted) => Some(blocked(observed, conflict(wanted, observed, client_id))),
            Some(_) | None => None,
        },
    }
}

/// Whether a marker leaves the client to this object. The marker of a former object of the same name does: its writer
/// may have frozen, and written it when that object was gone.
pub(super) fn is_free(marker: &Marker, wanted: &Wanted) -> bool {
    marker.retained || Owner { uid: wanted.owner.uid.clone(), ..marker.owner.clone() } == wanted.owner
}

pub(super) fn gone(client_id: Option<&ClientId>) -> Failure {
    let client = client_id.map(|client_id| format!("client {client_id}")).unwrap_or_else(|| "the client".to_owned());
    Failure::stalled(
        Reason::AdoptedClientGone,
        format!(
            "{client} does not exist in the project any more, and an adopted client is never recreated; delete this \
             OAuthClient, and create it without spec.adopt for a new client"
        ),
    )
}

pub(super) fn conflict(wanted: &Wanted, observed: &Observed, client_id: &ClientId) -> Failure {
    let manager = marker(observed.remote.get(client_id)).map(|Marker { owner, .. }| {
        let elsewhere = if owner.cluster == wanted.owner.cluster { "" } else { " of another cluster" };
        format!("OAuthClient {}/{}{elsewhere}", owner.namespace, owner.name)
    });
    Failure::stalled(
        Reason::AdoptionConflict,
        format!(
            "client {client_id} is managed by {}, so it is left alone; keep one of the two: delete this OAuthClient, or the \
             other after setting deletionPolicy: Retain on it",
            manager.as_deref().unwrap_or("another OAuthClient")
        ),
    )
}

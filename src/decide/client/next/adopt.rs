//! A client that was there before: adopted by the spec, or left behind by a former OAuthClient of the same name.

use super::blocked;
use super::conclude::conclude;
use super::converge::{Comparison, compare};
use super::create::{Because, with_fresh_token};
use super::secret_conflict;
use super::step::{Conclusion, Published, SecretWrite, Step};
use crate::api::Reason;
use crate::decide::client::change::Wanted;
use crate::decide::client::observed::{Content, Foreign, Observed, Remote, Secret};
use crate::decide::failure::Failure;
use crate::decide::id::{ClientId, Uid};
use crate::decide::marker::{Marker, Origin, Owner};

/// Whether the object's client existed before, so that it is never recreated. The status remembers it, and the marker.
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
    match &observed.object.recorded.client_id {
        Some(recorded) if recorded != &adopt.client_id => Some(Failure::stalled(
            Reason::InvalidSpec,
            format!(
                "spec.adopt.clientId names another client than {recorded}, which this OAuthClient has; put the former value \
                 back, or delete this OAuthClient and create it anew"
            ),
        )),
        Some(_) => None,
        None if observed.project.is_some() => observed.project.clone(),
        None if observed.may_adopt => None,
        None => Some(Failure::stalled(
            Reason::AdoptionNotAllowed,
            "the project does not allow this namespace to adopt clients; have it added to spec.adoption.allowedNamespaces of \
             the project, or leave spec.adopt out to create a client",
        )),
    }
}

/// The client is compared and recorded; there is no Secret.
pub(super) fn converge_secretless(wanted: &Wanted, observed: &Observed) -> Step {
    let object = &observed.object;
    let Some(client_id) = object.recorded.client_id.as_ref().or(wanted.adopt.as_ref().map(|it| &it.client_id)) else {
        return blocked(observed, gone(None));
    };
    let Some(token) = object.token.as_ref().filter(|_| object.finalizer) else {
        // Before the first PUT, so that a deletion finds the finalizer; but no intent for what cannot be adopted.
        return match look(wanted, observed, client_id) {
            Look::Fine => super::create::intent(observed),
            Look::Step(step) => step,
        };
    };
    let drift = match compare(wanted, observed, token, client_id) {
        Comparison::Step(step) => return step,
        Comparison::Gone => return blocked(observed, gone(Some(client_id))),
        Comparison::Anothers | Comparison::Nobodys => return blocked(observed, conflict(wanted, observed, client_id)),
        Comparison::Same => None,
        Comparison::Drift(drift) => Some(drift),
    };
    let (conclusion, drift) =
        drift.map_or((Conclusion::Converged, None), |(failure, digest)| (Conclusion::Blocked(failure), Some(digest)));
    let published = Published { client_id: client_id.clone(), credential: None, adopted: true, drift };
    conclude(observed, conclusion, Some(published))
}

/// What is done for an adopted client in the place of a POST.
pub(super) fn instead_of_creating(wanted: &Wanted, observed: &Observed, because: Because) -> Step {
    let recorded = observed.object.recorded.client_id.as_ref();
    if because == Because::Gone {
        return blocked(observed, gone(recorded));
    }
    let given = wanted.adopt.as_ref().and_then(|adopt| Some((adopt, adopt.credential.as_ref()?)));
    let Some((adopt, credential)) = given else {
        return blocked(
            observed,
            Failure::stalled(
                Reason::CredentialLost,
                "the Secret's credential is gone or was altered, and an adopted client is never recreated; put the former \
                 Secret back, or delete this OAuthClient and adopt the client anew with spec.adopt.credentialSecretRef",
            ),
        );
    };
    match look(wanted, observed, &adopt.client_id) {
        Look::Step(step) => step,
        Look::Fine => with_fresh_token(observed, |token| {
            let client_id = adopt.client_id.clone();
            let write = match &observed.secret {
                // It is the very Secret that holds the credential.
                Secret::Foreign(foreign) if credential.secret == wanted.secret_name => {
                    return Step::TakeOver { client_id, token: token.clone(), version: foreign.version.clone() };
                }
                Secret::Foreign(foreign) => SecretWrite::Replace(foreign.version.clone()),
                Secret::Ours(stored) => SecretWrite::Replace(stored.version.clone()),
                Secret::Absent => SecretWrite::Create,
            };
            if observed.dry_run_passed {
                Step::TakeCredential { token: token.clone(), client_id }
            } else {
                Step::DryRun { write }
            }
        }),
    }
}

/// A Secret that is not ours: it is left alone, unless it is to be adopted with its client, or was left to us.
pub(super) fn foreign(wanted: &Wanted, observed: &Observed, foreign: &Foreign) -> Step {
    if observed.object.recorded.client_id.is_some() {
        return blocked(observed, secret_conflict());
    }
    match (&wanted.adopt, &foreign.former) {
        (Some(_), _) => adopt_with(wanted, observed, foreign),
        (None, Some((client_id, uid))) => take_back(wanted, observed, foreign, (client_id, uid)),
        (None, None) => blocked(observed, secret_conflict()),
    }
}

/// Whether the data of the Secret hold the client that is adopted.
pub(super) fn may_take_over(foreign: &Foreign) -> bool {
    foreign.content == Content::Adoptable
}

fn adopt_with(wanted: &Wanted, observed: &Observed, foreign: &Foreign) -> Step {
    match foreign.content {
        Content::Unread if observed.live.is_none() => Step::ReadLive,
        Content::Adoptable => instead_of_creating(wanted, observed, Because::First),
        Content::Unread | Content::Other => blocked(observed, secret_conflict()),
    }
}

/// Takes back what a former OAuthClient of this name left behind, if its client says so too.
fn take_back(wanted: &Wanted, observed: &Observed, foreign: &Foreign, (client_id, uid): (&ClientId, &Uid)) -> Step {
    let left = |marker: &Marker| marker.is_retained_for(&wanted.owner) && &marker.owner.uid == uid;
    match observed.remote.get(client_id) {
        // A listing may be of before it was left.
        None | Some(Remote::Listed(_) | Remote::PutIgnored(_)) => Step::Get { client_id: client_id.clone() },
        Some(Remote::Missing(_)) => Step::List,
        Some(Remote::Read(client)) if client.marker.as_ref().is_some_and(left) => with_fresh_token(observed, |token| {
            Step::TakeOver { client_id: client_id.clone(), token: token.clone(), version: foreign.version.clone() }
        }),
        Some(Remote::Read(_) | Remote::Absent | Remote::Deleted) => blocked(observed, secret_conflict()),
    }
}

enum Look {
    Fine,
    Step(Step),
}

/// Makes sure that the client is there and nobody else's.
fn look(wanted: &Wanted, observed: &Observed, client_id: &ClientId) -> Look {
    match observed.remote.get(client_id) {
        None | Some(Remote::Listed(_) | Remote::PutIgnored(_)) => {
            Look::Step(Step::Get { client_id: client_id.clone() })
        }
        Some(Remote::Missing(_)) => Look::Step(Step::List),
        Some(Remote::Absent | Remote::Deleted) => Look::Step(blocked(observed, gone(Some(client_id)))),
        Some(Remote::Read(client)) => match &client.marker {
            Some(marker) if !is_free(marker, wanted) => {
                Look::Step(blocked(observed, conflict(wanted, observed, client_id)))
            }
            Some(_) | None => Look::Fine,
        },
    }
}

/// Whether a marker leaves the client to this object. One that names a former object of the same name does: whoever
/// wrote it may have frozen, and written it when that object was gone.
pub(super) fn is_free(marker: &Marker, wanted: &Wanted) -> bool {
    marker.retained || Owner { uid: wanted.owner.uid.clone(), ..marker.owner.clone() } == wanted.owner
}

fn gone(client_id: Option<&ClientId>) -> Failure {
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

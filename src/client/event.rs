//! The Events of a pass: what happened in it, in words for people.

use super::pass::Pass;
use crate::api::event::EventReason;
use crate::api::{ConditionType, OAuthClient, condition};
use crate::decide::client::next::{Desired, Record, Removal, Step};
use crate::decide::client::observed::{Answer, Observed, Remote, Secret};
use crate::decide::id::ClientId;
use crate::decide::time::whole_seconds;
use crate::kubernetes::events::{Event, EventType};

/// What an Event tells of the time before a step.
pub(super) struct Before {
    client_id: Option<ClientId>,
    complaint: Option<(String, String)>,
    cause: &'static str,
    reason: EventReason,
    gone: bool,
    rotation_refused: bool,
}

impl Before {
    pub(super) fn of(pass: &Pass<'_>) -> Self {
        let gone = is_gone(&pass.observed);
        let (reason, cause) = why_replaced(&pass.observed, gone);
        let adopted = pass.object.status.as_ref().is_some_and(|status| status.adopted == Some(true));
        Self {
            client_id: pass.observed.object.recorded.client_id.clone(),
            complaint: complaint(&pass.object),
            cause,
            reason,
            gone,
            rotation_refused: pass.observed.object.rotation_asked && adopted,
        }
    }
}

/// Whether the recorded client was found to be gone at MeshAgent.
fn is_gone(observed: &Observed) -> bool {
    let recorded = observed.object.recorded.client_id.as_ref();
    recorded.is_some_and(|client_id| observed.remote.get(client_id) == Some(&Remote::Absent))
}

/// Why a client that is published now takes the place of another: the Event's reason, and the words.
fn why_replaced(observed: &Observed, gone: bool) -> (EventReason, &'static str) {
    if observed.object.rotation_asked {
        return (EventReason::Rotated, "a rotation was asked for");
    }
    let lost = match &observed.secret {
        _ if gone => "the former client was deleted at MeshAgent",
        Secret::Absent => "its Secret was gone",
        Secret::Foreign(_) | Secret::Ours(_) => "the credential in its Secret was altered",
    };
    (EventReason::CredentialReplaced, lost)
}

/// Reason and message of the condition `Synced`, unless it is True.
fn complaint(object: &OAuthClient) -> Option<(String, String)> {
    let conditions = object.status.as_ref()?.conditions.as_deref()?;
    let synced = condition::find(conditions, ConditionType::Synced)?;
    (synced.status != "True").then(|| (synced.reason.clone(), synced.message.clone()))
}

fn normal(reason: EventReason, text: String) -> Event {
    Event { type_: EventType::Normal, reason: reason.as_str().to_owned(), text }
}

fn warning(reason: &str, text: String) -> Event {
    Event { type_: EventType::Warning, reason: reason.to_owned(), text }
}

/// The Events that tell of a step that was carried out.
pub(super) fn tell(before: &Before, pass: &Pass<'_>, step: &Step, answer: &Answer) -> Vec<Event> {
    let secret = &pass.secret_name;
    match (step, answer) {
        (Step::Publish { client_id, .. }, Answer::Stored(_)) => vec![published(before, pass, client_id)],
        (Step::TakeOver { client_id, .. }, Answer::Stored(_)) => {
            vec![normal(EventReason::Updated, format!("took over client {client_id} with Secret {secret}"))]
        }
        (Step::Put { client_id, change, .. }, Answer::Updated(_)) => {
            vec![normal(EventReason::Updated, format!("updated {} of client {client_id}", change.fields().join(", ")))]
        }
        (Step::Reshape { .. }, Answer::Stored(_)) => {
            vec![normal(EventReason::Updated, format!("repaired Secret {secret}"))]
        }
        (Step::Relocate { .. }, Answer::Stored(_)) => {
            vec![normal(
                EventReason::Updated,
                format!("wrote the credential to Secret {secret}; the former Secret goes"),
            )]
        }
        (Step::Delete { client_id, because }, Answer::Deleted) => vec![deleted(client_id, *because)],
        (Step::Abandon { client_ids }, Answer::Abandoned) => {
            let clients = client_ids.iter().map(ClientId::as_str).collect::<Vec<_>>().join(", ");
            vec![warning(
                EventReason::Released.as_str(),
                format!("gave up on {clients}, which may still exist at MeshAgent"),
            )]
        }
        (Step::ReleaseSecret { retained: true, .. }, Answer::Stored(_)) => {
            vec![normal(
                EventReason::Released,
                format!("left the client and Secret {secret} behind; the same YAML takes them back"),
            )]
        }
        (Step::Record(record), Answer::Recorded(_)) if pass.status_written => recorded(before, pass, record),
        _ => Vec::new(),
    }
}

fn published(before: &Before, pass: &Pass<'_>, client_id: &ClientId) -> Event {
    let secret = &pass.secret_name;
    let Some(former) = &before.client_id else {
        let adopts = matches!(&pass.desired, Desired::Present(wanted) if wanted.adopts(client_id));
        let did = if adopts { "took over" } else { "created" };
        return normal(EventReason::Created, format!("{did} client {client_id}; its credential is in Secret {secret}"));
    };
    if former == client_id {
        return normal(
            EventReason::Updated,
            format!("wrote the credential of client {client_id} to Secret {secret} again"),
        );
    }
    let end = whole_seconds(pass.overlap_ends());
    let cause = before.cause;
    let fate = if before.gone {
        format!("the sessions of {former} ended with it")
    } else {
        format!("{former} is deleted at {end}, and its sessions end with it")
    };
    normal(
        before.reason,
        format!(
            "the client id changed from {former} to {client_id}, because {cause}; {fate}. The new credential is in Secret \
             {secret}"
        ),
    )
}

fn deleted(client_id: &ClientId, because: Removal) -> Event {
    normal(
        EventReason::Deleted,
        match because {
            Removal::ObjectDeleted => format!("deleted client {client_id}"),
            Removal::Retired => format!("deleted former client {client_id}: its overlap has ended"),
            Removal::OwnWaste | Removal::Disowned => {
                format!("deleted client {client_id}: it was created, but never published")
            }
        },
    )
}

fn recorded(before: &Before, pass: &Pass<'_>, record: &Record) -> Vec<Event> {
    let mut events = Vec::new();
    if before.rotation_refused && record.published.is_some() {
        let text = "no rotation: the client was adopted, and an adopted client is never replaced. For a new one, delete this \
                    OAuthClient and create it without spec.adopt";
        events.push(warning(EventReason::Rotated.as_str(), text.to_owned()));
    }
    match complaint(&pass.object) {
        Some((reason, text)) if before.complaint.as_ref() != Some(&(reason.clone(), text.clone())) => {
            events.push(warning(&reason, text));
        }
        Some(_) | None => {}
    }
    events
}

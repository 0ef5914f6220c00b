//! What happened in a pass, in words for people: the Events.

use super::pass::Pass;
use crate::api::{ConditionType, OAuthClient, condition};
use crate::decide::id::ClientId;
use crate::decide::next::{Removal, Step};
use crate::decide::observed::Answer;

/// Something worth telling whoever looks at the object.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Note {
    /// Good news or bad.
    pub kind: NoteKind,
    /// The Event's reason.
    pub reason: String,
    /// What happened, in a sentence that names the resource.
    pub text: String,
}

/// Good news or bad.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum NoteKind {
    /// Something was done.
    Normal,
    /// Something is wrong.
    Warning,
}

/// What was so before a step.
pub(super) struct Before {
    client_id: Option<ClientId>,
    complaint: Option<(String, String)>,
}

impl Before {
    pub(super) fn of(pass: &Pass<'_>) -> Self {
        Self { client_id: pass.observed.object.recorded.client_id.clone(), complaint: complaint(&pass.object) }
    }
}

/// Reason and message of what the object complains of.
fn complaint(object: &OAuthClient) -> Option<(String, String)> {
    let conditions = object.status.as_ref()?.conditions.as_deref()?;
    let synced = condition::find(conditions, ConditionType::Synced)?;
    (synced.status != "True").then(|| (synced.reason.clone(), synced.message.clone()))
}

/// What a step that was carried out is worth telling.
pub(super) fn tell(before: &Before, pass: &Pass<'_>, step: &Step, answer: &Answer) -> Vec<Note> {
    let normal = |reason: &str, text: String| Note { kind: NoteKind::Normal, reason: reason.to_owned(), text };
    let secret = &pass.secret_name;
    match (step, answer) {
        (Step::Publish { client_id, .. }, Answer::Stored(_)) => vec![match &before.client_id {
            None => normal("Created", format!("created client {client_id}; its credential is in Secret {secret}")),
            Some(former) => normal(
                "CredentialReplaced",
                format!(
                    "the client id changed from {former} to {client_id}, because the former client or its credential \
                     was gone; sessions of {former} end with it, 24 hours from now at the latest. The new credential is \
                     in Secret {secret}"
                ),
            ),
        }],
        (Step::Put { client_id, change, .. }, Answer::Updated(_)) => {
            vec![normal("Updated", format!("updated {} of client {client_id}", change.fields().join(", ")))]
        }
        (Step::Reshape { .. }, Answer::Stored(_)) => vec![normal("Updated", format!("repaired Secret {secret}"))],
        (Step::Delete { client_id, because }, Answer::Deleted) => vec![normal(
            "Deleted",
            match because {
                Removal::ObjectDeleted => format!("deleted client {client_id}"),
                Removal::Retired => format!("deleted former client {client_id}: its overlap has ended"),
                Removal::OwnWaste | Removal::Disowned => {
                    format!("deleted client {client_id}: it was created, but never published")
                }
            },
        )],
        (Step::Record(_), Answer::Recorded(_)) if pass.status_written => match complaint(&pass.object) {
            Some((reason, text)) if before.complaint.as_ref() != Some(&(reason.clone(), text.clone())) => {
                vec![Note { kind: NoteKind::Warning, reason, text }]
            }
            Some(_) | None => Vec::new(),
        },
        _ => Vec::new(),
    }
}

//! Events: what happened to an object, for whoever looks at it.
//!
//! Written by hand and not by kube's recorder, whose deduplication leaves the note out: a message that changes would be
//! lost for minutes. Notes come from transitions only, so there is little to deduplicate.

use k8s_openapi::api::events::v1::Event;
use k8s_openapi::apimachinery::pkg::apis::meta::v1::{MicroTime, ObjectMeta};
use kube::api::PostParams;
use kube::{Api, Client, Resource, ResourceExt};

use crate::api::OAuthClient;
use crate::api::names::MANAGER;
use crate::reconcile::{Note, NoteKind};

/// The API server refuses longer notes.
const LONGEST_NOTE: usize = 1000;

/// Writes the notes as Events beside the object. A failure is logged and has no other consequence.
pub(super) async fn publish(client: &Client, object: &OAuthClient, notes: &[Note], now: jiff::Timestamp) {
    let Some(namespace) = object.namespace() else { return };
    let events: Api<Event> = Api::namespaced(client.clone(), &namespace);
    for note in notes {
        let event = Event {
            metadata: ObjectMeta {
                // Names are at most 253 bytes; an OAuthClient's is at most 63.
                name: Some(format!("{}.{}", object.name_any(), uuid::Uuid::new_v4().simple())),
                namespace: Some(namespace.clone()),
                ..ObjectMeta::default()
            },
            event_time: Some(MicroTime(now)),
            reporting_controller: Some(MANAGER.to_owned()),
            reporting_instance: Some(MANAGER.to_owned()),
            action: Some("Reconcile".to_owned()),
            reason: Some(note.reason.clone()),
            type_: Some(
                match note.kind {
                    NoteKind::Normal => "Normal",
                    NoteKind::Warning => "Warning",
                }
                .to_owned(),
            ),
            note: Some(note.text.chars().take(LONGEST_NOTE).collect()),
            regarding: Some(object.object_ref(&())),
            ..Event::default()
        };
        let params = PostParams::default();
        let written = tokio::time::timeout(crate::reconcile::failures::DEADLINE, events.create(&params, &event));
        match written.await {
            Ok(Ok(_)) => {}
            // In a terminating namespace this is always so.
            Ok(Err(error)) => tracing::debug!(reason = note.reason, %error, "the event was not written"),
            Err(_) => tracing::debug!(reason = note.reason, "the event was not written in time"),
        }
    }
}

//! Events: what happened to an object, for people who inspect it.
//!
//! The operator does without kube's recorder, whose deduplication leaves the note out: a message that changes would be
//! lost for minutes. Events are sent beside the passes, and give way when many are waiting: no pass waits for an Event.

use futures::StreamExt;
use futures::stream::unfold;
use k8s_openapi::api::core::v1::ObjectReference;
use k8s_openapi::api::events::v1::Event as KubernetesEvent;
use k8s_openapi::apimachinery::pkg::apis::meta::v1::{MicroTime, ObjectMeta};
use kube::api::PostParams;
use kube::{Api, Client, Resource};
use tokio::sync::mpsc::{Receiver, Sender, channel};

use crate::api::names::MANAGER;
use crate::kubernetes::within;

/// What happened to an object, for people who inspect it.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Event {
    /// Good news or bad.
    pub type_: EventType,
    /// A word that people search for: a condition's reason, or what was done.
    pub reason: String,
    /// What happened, in a sentence that names the resource.
    pub text: String,
}

/// Good news or bad, as Kubernetes tells them apart.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum EventType {
    /// Something was done.
    Normal,
    /// Something is wrong.
    Warning,
}

/// The longest note that the API server accepts, in bytes.
const LONGEST_NOTE: usize = 1024;
/// The most passes that may wait to be told of.
const MOST_WAITING: usize = 1000;
/// The most Events written at a time.
const CONCURRENCY: usize = 4;

/// The sender of Events; clones share it.
#[derive(Clone, Debug)]
pub struct Events(Sender<Told>);

/// The Events that wait to be written.
#[derive(Debug)]
pub struct Queue(Receiver<Told>);

/// What happened in one pass.
#[derive(Debug)]
struct Told {
    regarding: ObjectReference,
    events: Vec<Event>,
    at: jiff::Timestamp,
}

/// A queue, and the sender that fills it.
#[must_use]
pub fn queue() -> (Events, Queue) {
    let (sender, receiver) = channel(MOST_WAITING);
    (Events(sender), Queue(receiver))
}

impl Events {
    /// Hands Events in that are to be written beside the object.
    ///
    /// Returns whether they will be written; too many may be waiting already.
    pub fn publish<K: Resource<DynamicType = ()>>(&self, object: &K, events: Vec<Event>) -> bool {
        events.is_empty() || self.publish_regarding(object.object_ref(&()), events)
    }

    /// Hands Events in that are to be written beside the object that is referred to, as [`Events::publish`] does.
    pub fn publish_regarding(&self, regarding: ObjectReference, events: Vec<Event>) -> bool {
        let (namespace, name) = (regarding.namespace.clone(), regarding.name.clone());
        let is_taken = self.0.try_send(Told { regarding, events, at: jiff::Timestamp::now() }).is_ok();
        if !is_taken {
            tracing::warn!(namespace, name, "Events are lost: too many are waiting to be written");
        }
        is_taken
    }
}

impl Queue {
    /// Writes Events until every sender is gone.
    pub async fn write(self, client: Client) {
        let waiting = unfold(self.0, async |mut receiver| receiver.recv().await.map(|told| (told, receiver)));
        waiting.for_each_concurrent(CONCURRENCY, async |told| write(&client, told).await).await;
    }
}

async fn write(client: &Client, Told { regarding, events, at }: Told) {
    // The Events of objects without a namespace are in the namespace `default`.
    let namespace = regarding.namespace.clone().unwrap_or_else(|| "default".to_owned());
    let name = regarding.name.clone().unwrap_or_default();
    let api: Api<KubernetesEvent> = Api::namespaced(client.clone(), &namespace);
    for event in events {
        let written = KubernetesEvent {
            metadata: ObjectMeta {
                name: Some(format!("{}.{}", beginning(&name), uuid::Uuid::new_v4().simple())),
                namespace: Some(namespace.clone()),
                ..ObjectMeta::default()
            },
            event_time: Some(MicroTime(at)),
            reporting_controller: Some(MANAGER.to_owned()),
            reporting_instance: Some(MANAGER.to_owned()),
            action: Some("Reconcile".to_owned()),
            reason: Some(event.reason.clone()),
            type_: Some(
                match event.type_ {
                    EventType::Normal => "Normal",
                    EventType::Warning => "Warning",
                }
                .to_owned(),
            ),
            note: Some(note(&event.text).to_owned()),
            regarding: Some(regarding.clone()),
            ..KubernetesEvent::default()
        };
        if let Err(error) = within("write an Event", api.create(&PostParams::default(), &written)).await {
            let why = error.of_object().message;
            tracing::warn!(namespace, name, reason = event.reason, "an Event is lost: {why}; it said: {}", event.text);
        }
    }
}

/// The beginning of an object's name, as an Event's name has room for it: names are at most 253 bytes, and ASCII.
fn beginning(name: &str) -> &str {
    name.get(..220).map_or(name, |cut| cut.trim_end_matches(['.', '-']))
}

/// The text, cut to what the API server accepts, between two characters.
fn note(text: &str) -> &str {
    let ends = text.char_indices().map(|(start, character)| start + character.len_utf8());
    let end = ends.take_while(|end| *end <= LONGEST_NOTE).last().unwrap_or_default();
    text.get(..end).unwrap_or_default()
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    proptest! {
        /// F6.
        #[test]
        fn a_note_is_cut_between_characters_to_what_the_api_server_accepts(text in "(a|é|ネ|🙂){0,1100}") {
            let note = note(&text);
            prop_assert!(note.len() <= LONGEST_NOTE && text.starts_with(note));
            prop_assert!(note == text || note.len() > LONGEST_NOTE - 4, "no more is cut than has to be");
        }
    }
}

//! Events: what happened to an object, for people who inspect it.
//!
//! The operator does without kube's recorder, whose deduplication leaves the note out: a message that changes would be
//! lost for minutes. Events are sent beside the passes, and the oldest give way when many are waiting: no pass waits for
//! an Event.

use std::sync::Arc;
use std::time::{Duration, Instant};

use futures::StreamExt;
use futures::stream::unfold;
use k8s_openapi::api::core::v1::ObjectReference;
use k8s_openapi::api::events::v1::Event as KubernetesEvent;
use k8s_openapi::apimachinery::pkg::apis::meta::v1::{MicroTime, ObjectMeta};
use kube::api::PostParams;
use kube::{Api, Client, Resource};
use tokio::sync::broadcast::error::RecvError;
use tokio::sync::broadcast::{Receiver, Sender, channel};

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
/// The most Events that may wait to be written: of more, the oldest are lost. (A power of two, as tokio makes it one.)
const MOST_WAITING: usize = 8192;
/// The most Events written at a time.
const CONCURRENCY: usize = 4;
/// How often the log says that Events are lost because many are waiting.
const WARN_INTERVAL: Duration = Duration::from_secs(60);

/// The sender of Events; clones share it.
#[derive(Clone, Debug)]
pub struct Events(Sender<Arc<Told>>);

/// The Events that wait to be written.
#[derive(Debug)]
pub struct Queue {
    receiver: Receiver<Arc<Told>>,
    /// When the log last said that Events are lost because many are waiting.
    warned: Option<Instant>,
}

/// One Event, the object that it is about, and when that happened.
#[derive(Debug)]
struct Told {
    regarding: ObjectReference,
    event: Event,
    at: jiff::Timestamp,
}

/// A queue, and the sender that fills it.
#[must_use]
pub fn queue() -> (Events, Queue) {
    let (sender, receiver) = channel(MOST_WAITING);
    (Events(sender), Queue { receiver, warned: None })
}

impl Events {
    /// Hands Events in that are to be written beside the object.
    pub fn publish<K: Resource<DynamicType = ()>>(&self, object: &K, events: Vec<Event>) {
        for event in events {
            self.publish_regarding(object.object_ref(&()), event);
        }
    }

    /// Hands an Event in that is to be written beside the object that is referred to.
    pub fn publish_regarding(&self, regarding: ObjectReference, event: Event) {
        // The receiver ends with the process.
        let _ = self.0.send(Arc::new(Told { regarding, event, at: jiff::Timestamp::now() }));
    }
}

impl Queue {
    /// Writes Events until every sender is gone. `lost` is told how many could not be written.
    pub async fn write(self, client: Client, lost: impl Fn(u64)) {
        let waiting = unfold(self, |queue| queue.next(&lost));
        let write = async |told: Arc<Told>| {
            if !write(&client, &told).await {
                lost(1);
            }
        };
        waiting.for_each_concurrent(CONCURRENCY, write).await;
    }

    async fn next(mut self, lost: impl Fn(u64)) -> Option<(Arc<Told>, Self)> {
        loop {
            match self.receiver.recv().await {
                Ok(told) => return Some((told, self)),
                Err(RecvError::Closed) => return None,
                Err(RecvError::Lagged(count)) => {
                    lost(count);
                    if self.warned.is_none_or(|warned| warned.elapsed() >= WARN_INTERVAL) {
                        self.warned = Some(Instant::now());
                        tracing::warn!(count, "Events are lost, the oldest first: {MOST_WAITING} are waiting");
                    }
                }
            }
        }
    }
}

/// Writes an Event. Returns whether that worked.
async fn write(client: &Client, Told { regarding, event, at }: &Told) -> bool {
    // The Events of objects without a namespace are in the namespace `default`.
    let namespace = regarding.namespace.clone().unwrap_or_else(|| "default".to_owned());
    let name = regarding.name.clone().unwrap_or_default();
    let api: Api<KubernetesEvent> = Api::namespaced(client.clone(), &namespace);
    let written = KubernetesEvent {
        metadata: ObjectMeta {
            name: Some(format!("{}.{}", beginning(&name), uuid::Uuid::new_v4().simple())),
            namespace: Some(namespace.clone()),
            ..ObjectMeta::default()
        },
        event_time: Some(MicroTime(*at)),
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
    let answer = within("write an Event", api.create(&PostParams::default(), &written)).await;
    if let Err(error) = &answer {
        let why = error.of_object().message;
        tracing::warn!(namespace, name, reason = event.reason, "an Event is lost: {why}; it said: {}", event.text);
    }
    answer.is_ok()
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
    use std::sync::atomic::{AtomicU64, Ordering};

    use super::*;
    use proptest::prelude::*;

    #[tokio::test]
    async fn of_more_events_than_may_wait_the_newest_are_kept_and_the_lost_ones_counted() {
        let (events, mut queue) = queue();
        for number in 0..MOST_WAITING + 3 {
            let event = Event { type_: EventType::Normal, reason: "Updated".to_owned(), text: number.to_string() };
            events.publish_regarding(ObjectReference::default(), event);
        }
        drop(events);
        let (lost, mut kept) = (AtomicU64::new(0), Vec::new());
        let count = |count| {
            lost.fetch_add(count, Ordering::Relaxed);
        };
        while let Some((told, left)) = queue.next(count).await {
            kept.push(told.event.text.clone());
            queue = left;
        }
        assert_eq!(lost.into_inner(), 3);
        assert_eq!((kept.len(), kept.first().map(String::as_str)), (MOST_WAITING, Some("3")));
    }

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

//! Events about restarts: each once an hour, since the API server forgets them.

use std::collections::HashMap;
use std::time::{Duration, Instant};

use k8s_openapi::api::core::v1::ObjectReference;

use crate::api::event::EventReason;
use crate::kubernetes::events::{Event, EventType, Events};

/// How long what was said counts as said: an Event lives for an hour, unless the cluster says otherwise.
const AGAIN: Duration = Duration::from_secs(60 * 60);

/// What objects were told, by uid.
pub(super) struct Told {
    events: Events,
    last: HashMap<String, (String, Instant)>,
}

impl Told {
    pub(super) fn new(events: Events) -> Self {
        Self { events, last: HashMap::new() }
    }

    /// Writes an Event about an object, unless the last one about it had the same `essence`.
    pub(super) fn tell(&mut self, object: &ObjectReference, reason: EventReason, essence: String, text: String) {
        self.last.retain(|_, (_, at)| at.elapsed() < AGAIN);
        let uid = object.uid.clone().unwrap_or_default();
        if self.last.get(&uid).is_some_and(|(said, _)| *said == essence) {
            return;
        }
        let (namespace, name) = (object.namespace.as_deref(), object.name.as_deref());
        tracing::info!(namespace, name, kind = object.kind, reason = reason.as_str(), "{text}");
        let type_ = if reason == EventReason::Restarted { EventType::Normal } else { EventType::Warning };
        let event = Event { type_, reason: reason.as_str().to_owned(), text };
        self.events.publish_regarding(object.clone(), event);
        self.last.insert(uid, (essence, Instant::now()));
    }
}

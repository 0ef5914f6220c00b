//! The objects that wait for a slot of one project. Those whose change a person may wait for take turns with the bulk,
//! and in each of the two the namespaces take turns, so that nobody waits behind thousands of others.

use std::collections::{BTreeMap, HashMap, VecDeque};

use tokio::sync::mpsc::UnboundedSender;

use super::Object;
use crate::api::OAuthClient;
use crate::decide::client::object;

/// How soon a pass is wanted.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Priority {
    /// The pass carries a change of a client out that somebody asked for.
    Interactive,
    /// The pass creates, resyncs or repairs, perhaps as one of thousands.
    Bulk,
}

impl Priority {
    /// The priority of a pass over an object: whether a client is recorded, and something else asked of it since.
    #[must_use]
    pub fn of(object: &OAuthClient) -> Self {
        let is_changed = object.status.as_ref().filter(|status| status.client_id.is_some()).is_some_and(|status| {
            object.metadata.deletion_timestamp.is_some()
                || status.observed_generation != object.metadata.generation
                || object::rotation_requested(object)
                || object::reconcile_requested(object)
        });
        if is_changed { Self::Interactive } else { Self::Bulk }
    }
}

/// An object, and where it is sent once it has a slot.
type Waiting = (Object, UnboundedSender<Object>);

/// The objects that wait for a slot of one project.
#[derive(Debug, Default)]
pub(super) struct Queue {
    interactive: Rota,
    bulk: Rota,
    bulk_is_next: bool,
}

impl Queue {
    pub(super) fn is_empty(&self) -> bool {
        self.interactive.is_empty() && self.bulk.is_empty()
    }

    /// Adds an object; `number` is its place behind all with a lower one of the same priority and namespace.
    pub(super) fn push(&mut self, priority: Priority, number: u64, object: Object, enqueue: UnboundedSender<Object>) {
        self.of(priority).push(number, (object, enqueue));
    }

    pub(super) fn remove(&mut self, priority: Priority, number: u64, object: &Object) {
        self.of(priority).remove(number, object);
    }

    /// Takes the next object out.
    pub(super) fn pop(&mut self) -> Option<Waiting> {
        let Self { interactive, bulk, bulk_is_next } = self;
        let (first, second) = if *bulk_is_next { (bulk, interactive) } else { (interactive, bulk) };
        *bulk_is_next = !*bulk_is_next;
        first.pop().or_else(|| second.pop())
    }

    fn of(&mut self, priority: Priority) -> &mut Rota {
        match priority {
            Priority::Interactive => &mut self.interactive,
            Priority::Bulk => &mut self.bulk,
        }
    }
}

/// Objects whose namespaces take turns.
#[derive(Debug, Default)]
struct Rota {
    /// The namespaces that have objects here, the next one first.
    turns: VecDeque<String>,
    namespaces: HashMap<String, BTreeMap<u64, Waiting>>,
}

impl Rota {
    fn is_empty(&self) -> bool {
        self.turns.is_empty()
    }

    fn push(&mut self, number: u64, waiting: Waiting) {
        let namespace = namespace(&waiting.0);
        let own = self.namespaces.entry(namespace.clone()).or_default();
        if own.is_empty() {
            self.turns.push_back(namespace);
        }
        own.insert(number, waiting);
    }

    fn remove(&mut self, number: u64, object: &Object) {
        let namespace = namespace(object);
        let Some(own) = self.namespaces.get_mut(&namespace) else { return };
        own.remove(&number);
        if own.is_empty() {
            self.namespaces.remove(&namespace);
            self.turns.retain(|turn| *turn != namespace);
        }
    }

    fn pop(&mut self) -> Option<Waiting> {
        let namespace = self.turns.pop_front()?;
        let own = self.namespaces.get_mut(&namespace)?;
        let next = own.pop_first().map(|(_, waiting)| waiting);
        if own.is_empty() {
            self.namespaces.remove(&namespace);
        } else {
            self.turns.push_back(namespace);
        }
        next
    }
}

fn namespace(object: &Object) -> String {
    object.namespace.clone().unwrap_or_default()
}

//! What waits to be reconciled. kube's controller takes in all that is triggered at once, begins a pass for each, and keeps
//! the room that this took for ever: after a listing of thousands that is more than the objects need. So few are let in at a
//! time, and the others wait here.

use std::collections::{HashMap, VecDeque};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::task::{Context, Poll, Waker};

use futures::stream::{Stream, StreamExt as _, poll_fn};
use kube::runtime::reflector::ObjectRef;

use crate::project::CachedClient;

/// The most objects that are in the controller and whose passes have not begun.
const MOST_INSIDE: usize = 128;
/// The room that is kept for objects that wait.
const KEPT: usize = 1024;

type Object = ObjectRef<CachedClient>;

/// The intake of one controller; clones share it.
#[derive(Clone, Debug, Default)]
pub(super) struct Intake(Arc<Mutex<State>>);

#[derive(Debug, Default)]
struct State {
    places: HashMap<Arc<Object>, Place>,
    /// The objects that wait, the next one first.
    waiting: VecDeque<Arc<Object>>,
    inside: usize,
    waker: Option<Waker>,
}

/// Where an object is.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Place {
    Waiting,
    /// In the controller; its pass has not begun.
    Inside,
    /// Its pass is under way.
    Running {
        /// It was asked for again meanwhile.
        again: bool,
    },
}

impl Intake {
    /// The objects to reconcile, out of those that are asked for: each once, and not while its pass is under way.
    pub(super) fn admit(
        &self,
        asked: impl Stream<Item = Object> + Send + 'static,
    ) -> impl Stream<Item = Object> + 'static {
        let (intake, mut asked) = (self.clone(), Box::pin(asked.fuse()));
        poll_fn(move |context| {
            let mut state = intake.open();
            while let Poll::Ready(Some(object)) = asked.as_mut().poll_next(context) {
                state.ask(object);
            }
            state.next(context)
        })
    }

    /// Notes that the pass of an object has begun, which is under way as long as the value lives.
    pub(super) fn begin(&self, object: &Object) -> Running {
        self.open().set(object, Place::Running { again: false });
        Running { intake: self.clone(), object: object.clone() }
    }

    /// Notes that an object has no pass, since it is gone.
    pub(super) fn leave(&self, object: &Object) {
        self.open().end(object);
    }

    fn open(&self) -> MutexGuard<'_, State> {
        self.0.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

/// A pass that is under way.
pub(super) struct Running {
    intake: Intake,
    object: Object,
}

impl Drop for Running {
    fn drop(&mut self) {
        self.intake.open().end(&self.object);
    }
}

impl State {
    fn ask(&mut self, object: Object) {
        match self.places.get_mut(&object) {
            None => {
                let object = Arc::new(object);
                self.places.insert(Arc::clone(&object), Place::Waiting);
                self.waiting.push_back(object);
            }
            Some(Place::Running { again }) => *again = true,
            Some(Place::Waiting | Place::Inside) => {}
        }
    }

    fn next(&mut self, context: &Context<'_>) -> Poll<Option<Object>> {
        if self.inside < MOST_INSIDE {
            // An object whose pass began without it, since kube tries some again by itself, waits no more.
            while let Some(object) = self.waiting.pop_front() {
                if self.places.get(&object) == Some(&Place::Waiting) {
                    self.set(&object, Place::Inside);
                    return Poll::Ready(Some((*object).clone()));
                }
            }
        }
        self.waker = Some(context.waker().clone());
        Poll::Pending
    }

    fn set(&mut self, object: &Object, place: Place) {
        let before = match self.places.get_mut(object) {
            Some(present) => Some(std::mem::replace(present, place)),
            None => self.places.insert(Arc::new(object.clone()), place),
        };
        self.inside += usize::from(place == Place::Inside);
        self.left(before);
    }

    fn end(&mut self, object: &Object) {
        let before = self.places.remove(object);
        if before == Some(Place::Running { again: true }) {
            self.ask(object.clone());
        }
        if self.places.is_empty() {
            self.places.shrink_to(KEPT);
            self.waiting.shrink_to(KEPT);
        }
        self.left(before);
    }

    /// Notes that an object has left its place, and wakes the stream if that lets another in.
    fn left(&mut self, before: Option<Place>) {
        self.inside -= usize::from(before == Some(Place::Inside));
        if !self.waiting.is_empty()
            && self.inside < MOST_INSIDE
            && let Some(waker) = self.waker.take()
        {
            waker.wake();
        }
    }
}

#[cfg(test)]
mod tests;

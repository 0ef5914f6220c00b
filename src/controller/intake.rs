//! What waits to be reconciled. kube's controller takes in all that is triggered at once, begins a pass for each, and keeps
//! the room that this took for ever: after a listing of thousands that is more than the objects need. So few are let in at a
//! time, and the others wait here. What kube tries again by itself, when a pass asked for it, does not come through here.

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
    /// The objects that wait, the next one first; among them some that have left their place since.
    waiting: VecDeque<Arc<Object>>,
    inside: usize,
    waker: Option<Waker>,
}

/// Where an object is. `again` says that it was asked for since it was let in, or since kube looked it up for a pass: then
/// that pass may not see what it was asked for, and another has to follow.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Place {
    Waiting,
    /// In the controller: kube has not looked it up yet, or its pass has not begun.
    Inside {
        again: bool,
    },
    /// Its pass is under way.
    Running {
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

    /// Notes that kube has just looked an object up for a pass. Called at once, before the cache can change: what is asked
    /// for from now on is newer.
    pub(super) fn take(&self, object: &Object) -> Taken {
        self.open().put(object, Place::Inside { again: false });
        Taken { intake: self.clone(), object: object.clone() }
    }

    /// Notes that kube has looked an object up and not found it. The object may have been made again since.
    pub(super) fn miss(&self, object: &Object) {
        let mut state = self.open();
        if let Some(Place::Inside { .. }) = state.places.get(object) {
            state.end(object);
        }
    }

    fn open(&self) -> MutexGuard<'_, State> {
        self.0.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

/// An object that kube has taken for a pass, which is under way as long as this lives.
pub(super) struct Taken {
    intake: Intake,
    object: Object,
}

impl Taken {
    /// Notes that the pass has begun.
    pub(super) fn begin(&self) {
        let mut state = self.intake.open();
        if let Some(Place::Inside { again }) = state.places.get(&self.object).copied() {
            state.put(&self.object, Place::Running { again });
        }
    }
}

impl Drop for Taken {
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
            Some(Place::Waiting) => {}
            Some(Place::Inside { again } | Place::Running { again }) => *again = true,
        }
    }

    fn next(&mut self, context: &Context<'_>) -> Poll<Option<Object>> {
        if self.inside < MOST_INSIDE {
            while let Some(object) = self.waiting.pop_front() {
                if self.places.get(&object) == Some(&Place::Waiting) {
                    self.put(&object, Place::Inside { again: false });
                    return Poll::Ready(Some((*object).clone()));
                }
            }
        }
        self.waker = Some(context.waker().clone());
        Poll::Pending
    }

    fn put(&mut self, object: &Object, place: Place) {
        let before = match self.places.get_mut(object) {
            Some(present) => Some(std::mem::replace(present, place)),
            None => self.places.insert(Arc::new(object.clone()), place),
        };
        self.inside += usize::from(matches!(place, Place::Inside { .. }));
        self.leave(before);
    }

    /// Ends what was under way with an object, and goes on with what was asked for meanwhile.
    fn end(&mut self, object: &Object) {
        let before = self.places.remove(object);
        if let Some(Place::Inside { again: true } | Place::Running { again: true }) = before {
            self.ask(object.clone());
        }
        if self.places.len() < self.places.capacity() / 4 {
            self.places.shrink_to(KEPT);
            self.waiting.shrink_to(KEPT);
        }
        self.leave(before);
    }

    /// Counts an object out of its place, and wakes the stream if that lets another in.
    fn leave(&mut self, before: Option<Place>) {
        self.inside -= usize::from(matches!(before, Some(Place::Inside { .. })));
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

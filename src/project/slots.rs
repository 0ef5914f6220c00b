//! The slots of passes: so many in all, no more than its share for one project, and one for a project that is silent.
//!
//! A pass that finds no slot does not wait: its object is queued behind the others of its project, and enqueued again
//! once a slot is its own. Projects take turns; within one, changes take turns with the bulk, and within each of the two the
//! namespaces do. A call of MeshAgent that takes long gives its slot back until its answer comes, so that projects that
//! hang, however many, keep no slot from the others.

mod queue;

use std::collections::{HashMap, VecDeque};
use std::pin::pin;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::time::Duration;

use kube::runtime::reflector::ObjectRef;
use tokio::sync::mpsc::UnboundedSender;

use super::cached_client::CachedClient;
use crate::decide::client::observed::Answer;
use crate::decide::project::reference::ProjectKey;
pub use queue::Priority;
use queue::Queue;

/// How long a call may go without an answer before it gives its slot back.
const PATIENCE: Duration = Duration::from_secs(1);
/// How many overdue calls since its last answer make a project silent. One alone may be one client's fault.
const SILENT_FROM: u32 = 2;

type Object = ObjectRef<CachedClient>;
/// The lane of a pass: its project, or none for passes that call none.
type LaneKey = Option<ProjectKey>;

/// All slots; clones share them.
#[derive(Clone, Debug)]
pub struct Slots(Arc<Mutex<State>>);

#[derive(Debug)]
struct State {
    total: usize,
    busy: usize,
    lanes: HashMap<LaneKey, Lane>,
    /// The lanes in which objects are queued, the next one first.
    turns: VecDeque<LaneKey>,
    queued: HashMap<Object, Place>,
    /// The lane of each object that was granted a slot and enqueued for its pass.
    granted: HashMap<Object, LaneKey>,
    sequence: u64,
}

/// The place of a queued object: its lane and priority, and its number there.
#[derive(Debug)]
struct Place {
    key: LaneKey,
    priority: Priority,
    number: u64,
}

#[derive(Debug, Default)]
struct Lane {
    /// How many passes run, those included whose slot was given back.
    busy: usize,
    /// How many calls became overdue since the last answer.
    unanswered: u32,
    queue: Queue,
}

impl Slots {
    /// Slots for `total` passes at a time, and for at least one.
    #[must_use]
    pub fn new(total: u16) -> Self {
        let state = State {
            total: usize::from(total.max(1)),
            busy: 0,
            lanes: HashMap::new(),
            turns: VecDeque::new(),
            queued: HashMap::new(),
            granted: HashMap::new(),
            sequence: 0,
        };
        Self(Arc::new(Mutex::new(state)))
    }

    /// A slot for a pass over the object, which may call this project. Without a free slot, the object is queued, and
    /// sent to `enqueue` once it has one.
    #[must_use]
    pub fn enter(
        &self,
        project: Option<&ProjectKey>,
        priority: Priority,
        object: &Object,
        enqueue: &UnboundedSender<Object>,
    ) -> Option<Slot> {
        let key = project.cloned();
        let entered = self.state().enter(&key, priority, object, enqueue);
        entered.then(|| Slot { slots: self.clone(), key })
    }

    /// Forgets an object that is gone or needs no slot, with its place in the queue or the slot that it was granted.
    pub fn forget(&self, object: &Object) {
        let mut state = self.state();
        state.unqueue(object);
        if let Some(key) = state.granted.remove(object) {
            state.release(&key);
        }
    }

    /// Forgets the silence of projects that nobody uses any more.
    pub fn keep(&self, is_used: impl Fn(&ProjectKey) -> bool) {
        let idle = |lane: &Lane| lane.busy == 0 && lane.queue.is_empty();
        self.state().lanes.retain(|key, lane| !idle(lane) || key.as_ref().is_some_and(&is_used));
    }

    fn state(&self) -> MutexGuard<'_, State> {
        self.0.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

impl State {
    fn enter(&mut self, key: &LaneKey, priority: Priority, object: &Object, enqueue: &UnboundedSender<Object>) -> bool {
        match self.granted.remove(object) {
            Some(granted) if &granted == key => return true,
            Some(granted) => self.release(&granted),
            None => {}
        }
        match self.queued.get(object) {
            Some(place) if place.key == *key && place.priority == priority => return false,
            Some(_) => self.unqueue(object),
            None => {}
        }
        let (free, share) = (self.busy < self.total, self.share(key));
        let lane = self.lanes.entry(key.clone()).or_default();
        if free && lane.queue.is_empty() && lane.has_room(share) {
            lane.busy += 1;
            self.busy += 1;
            return true;
        }
        if lane.queue.is_empty() {
            self.turns.push_back(key.clone());
        }
        self.sequence += 1;
        let number = self.sequence;
        lane.queue.push(priority, number, object.clone(), enqueue.clone());
        self.queued.insert(object.clone(), Place { key: key.clone(), priority, number });
        false
    }

    /// The most slots of a lane. One project leaves a quarter to the others even before it is known not to answer.
    fn share(&self, key: &LaneKey) -> usize {
        if key.is_some() { self.total - self.total / 4 } else { self.total }
    }

    fn unqueue(&mut self, object: &Object) {
        if let Some(Place { key, priority, number }) = self.queued.remove(object) {
            if let Some(lane) = self.lanes.get_mut(&key) {
                lane.queue.remove(priority, number, object);
                if lane.queue.is_empty() {
                    self.turns.retain(|turn| turn != &key);
                }
            }
            self.drop_if_idle(&key);
        }
    }

    fn release(&mut self, key: &LaneKey) {
        self.busy = self.busy.saturating_sub(1);
        if let Some(lane) = self.lanes.get_mut(key) {
            lane.busy = lane.busy.saturating_sub(1);
        }
        self.drop_if_idle(key);
        self.grant();
    }

    fn drop_if_idle(&mut self, key: &LaneKey) {
        let idle = |lane: &Lane| lane.busy == 0 && lane.unanswered == 0 && lane.queue.is_empty();
        if self.lanes.get(key).is_some_and(idle) {
            self.lanes.remove(key);
        }
    }

    /// Gives free slots to queued objects, lane by lane.
    fn grant(&mut self) {
        let mut full = 0;
        while self.busy < self.total && full < self.turns.len() {
            let Some(key) = self.turns.pop_front() else { return };
            let share = self.share(&key);
            let Some(lane) = self.lanes.get_mut(&key) else { continue };
            if !lane.has_room(share) {
                full += 1;
                self.turns.push_back(key);
                continue;
            }
            let Some((object, enqueue)) = lane.queue.pop() else { continue };
            lane.busy += 1;
            self.busy += 1;
            if !lane.queue.is_empty() {
                self.turns.push_back(key.clone());
            }
            self.queued.remove(&object);
            // The receiver ends with its controller, at shutdown.
            let _ = enqueue.send(object.clone());
            self.granted.insert(object, key);
        }
    }

    fn lend(&mut self, key: &LaneKey) {
        self.busy = self.busy.saturating_sub(1);
        if key.is_some()
            && let Some(lane) = self.lanes.get_mut(key)
        {
            lane.unanswered = lane.unanswered.saturating_add(1);
        }
        self.grant();
    }

    fn answered(&mut self, key: &LaneKey) {
        if let Some(lane) = self.lanes.get_mut(key)
            && lane.unanswered > 0
        {
            lane.unanswered = 0;
            self.grant();
        }
    }
}

impl Lane {
    fn has_room(&self, share: usize) -> bool {
        self.busy < if self.unanswered < SILENT_FROM { share } else { 1 }
    }
}

/// The right to run one pass; ends when it is dropped.
#[derive(Debug)]
pub struct Slot {
    slots: Slots,
    key: LaneKey,
}

impl Slot {
    /// Waits for a call of the project. While it is overdue, another pass has the slot; afterwards this one goes on at
    /// once, as it may hold a credential that is to be written.
    pub async fn call(&self, call: impl Future<Output = Answer>) -> Answer {
        let mut call = pin!(call);
        if let Ok(answer) = tokio::time::timeout(PATIENCE, &mut call).await {
            self.slots.state().answered(&self.key);
            return answer;
        }
        let lent = Lent::of(self);
        let answer = call.await;
        drop(lent);
        if !matches!(answer, Answer::Failed(_) | Answer::Unknown(..)) {
            self.slots.state().answered(&self.key);
        }
        answer
    }
}

impl Drop for Slot {
    fn drop(&mut self) {
        self.slots.state().release(&self.key);
    }
}

/// A slot that was given back for the time of a call.
struct Lent<'a>(&'a Slot);

impl<'a> Lent<'a> {
    fn of(slot: &'a Slot) -> Self {
        slot.slots.state().lend(&slot.key);
        Self(slot)
    }
}

impl Drop for Lent<'_> {
    fn drop(&mut self) {
        self.0.slots.state().busy += 1;
    }
}

#[cfg(test)]
mod tests;

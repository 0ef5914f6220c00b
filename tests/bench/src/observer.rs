//! Who watches the clients and notes when each has reached what the benchmark waits for.

use std::collections::HashMap;
use std::pin::pin;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::time::{Duration, Instant};

use futures::StreamExt;
use kube::api::DynamicObject;
use kube::runtime::{WatchStreamExt, watcher};
use kube::{Api, ResourceExt};
use tokio::sync::watch;
use tokio::task::JoinHandle;

use crate::error::{Error, Result};
use crate::names::{FIRST, ROTATE};

/// What the names begin with of the clients that count, besides the first one.
#[derive(Clone, Debug)]
pub struct Prefixes {
    /// Of the many.
    pub mass: String,
    /// Of single ones.
    pub probes: String,
}

/// What is waited for of each client.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Goal {
    /// It is Ready.
    Ready,
    /// This generation of it is applied, and it is Ready.
    Applied(i64),
    /// The rotation that was asked for is over, and the former client is gone.
    Rotated,
    /// It is gone.
    Gone,
}

impl Goal {
    fn is_met(self, object: &DynamicObject, gone: bool) -> bool {
        let status = &object.data["status"];
        let ready = || {
            let conditions = status["conditions"].as_array().into_iter().flatten();
            conditions.into_iter().any(|condition| condition["type"] == "Ready" && condition["status"] == "True")
        };
        match self {
            Self::Gone => gone,
            Self::Ready => !gone && ready(),
            Self::Applied(generation) => {
                object.metadata.generation == Some(generation) && status["appliedGeneration"] == generation && ready()
            }
            Self::Rotated => {
                let asked = object.annotations().get(ROTATE).map(String::as_str);
                let over = status["retiring"].as_array().is_none_or(Vec::is_empty);
                asked.is_some() && status["lastHandledRotateAt"].as_str() == asked && over
            }
        }
    }
}

/// How many have reached the goal.
#[derive(Clone, Copy, Debug, Default)]
pub struct Met {
    /// Of the many.
    pub mass: usize,
    /// Of all but the first one.
    pub all: usize,
    /// Whether the first one has.
    pub first: bool,
}

struct State {
    prefixes: Prefixes,
    goal: Goal,
    met: HashMap<String, Instant>,
}

/// A watch of clients. Dropping it ends it.
pub struct Observer {
    state: Arc<Mutex<State>>,
    met: Arc<watch::Sender<Met>>,
    task: JoinHandle<()>,
}

impl Drop for Observer {
    fn drop(&mut self) {
        self.task.abort();
    }
}

impl Observer {
    /// Begins to watch.
    pub fn start(objects: Api<DynamicObject>, config: watcher::Config, prefixes: Prefixes) -> Self {
        let state = Arc::new(Mutex::new(State { prefixes, goal: Goal::Ready, met: HashMap::new() }));
        let met = Arc::new(watch::Sender::new(Met::default()));
        let task = tokio::spawn(follow(objects, config, Arc::clone(&state), Arc::clone(&met)));
        Self { state, met, task }
    }

    /// Waits for another goal from now on: only what is seen later counts.
    pub fn aim(&self, goal: Goal) {
        let mut state = open(&self.state);
        (state.goal, state.met) = (goal, HashMap::new());
        self.met.send_replace(Met::default());
    }

    /// Waits until so many have reached the goal.
    pub async fn until(&self, what: &str, within: Duration, enough: impl Fn(Met) -> bool) -> Result<()> {
        let mut met = self.met.subscribe();
        let waited = tokio::time::timeout(within, met.wait_for(|met| enough(*met))).await;
        // The sender lives as long as this.
        let reached = waited.map(|_| ());
        reached.map_err(|_| {
            let Met { mass, all, first } = *self.met.borrow();
            let said = format!("{mass} of the many have, {all} of all, the first one: {first}");
            Error::Unexpected(format!("{what}: not within {within:?}; {said}"))
        })
    }

    /// When each has reached the goal, the first one apart.
    pub fn times(&self) -> HashMap<String, Instant> {
        open(&self.state).met.clone()
    }
}

fn open(state: &Mutex<State>) -> MutexGuard<'_, State> {
    state.lock().unwrap_or_else(PoisonError::into_inner)
}

async fn follow(
    objects: Api<DynamicObject>,
    config: watcher::Config,
    state: Arc<Mutex<State>>,
    met: Arc<watch::Sender<Met>>,
) {
    let mut events = pin!(watcher(objects, config).default_backoff());
    while let Some(event) = events.next().await {
        match event {
            Ok(watcher::Event::Apply(object) | watcher::Event::InitApply(object)) => note(&object, false, &state, &met),
            Ok(watcher::Event::Delete(object)) => note(&object, true, &state, &met),
            Ok(watcher::Event::Init | watcher::Event::InitDone) => {}
            Err(error) => eprintln!("the clients cannot be watched, which is tried again: {error}"),
        }
    }
}

fn note(object: &DynamicObject, gone: bool, state: &Mutex<State>, met: &watch::Sender<Met>) {
    let mut state = open(state);
    let name = object.name_any();
    if !state.goal.is_met(object, gone) || state.met.contains_key(&name) {
        return;
    }
    if name == FIRST {
        return met.send_modify(|met| met.first = true);
    }
    let mass = name.starts_with(&state.prefixes.mass);
    if !mass && !name.starts_with(&state.prefixes.probes) {
        return;
    }
    state.met.insert(name, Instant::now());
    met.send_modify(|met| *met = Met { mass: met.mass + usize::from(mass), all: met.all + 1, first: met.first });
}

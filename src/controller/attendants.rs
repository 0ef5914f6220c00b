//! What goes on beside the passes: namespaces and their labels, pods, restarts, the clock, and what is gone.

use std::collections::HashMap;
use std::sync::Arc;
use std::time::{Duration, Instant};

use futures::FutureExt as _;
use kube::runtime::reflector::{ObjectRef, Store};
use kube::{Client, Resource as _};
use tokio::sync::mpsc::UnboundedSender;
use tokio::sync::watch;
use tokio::task::JoinSet;

use super::client::Shared;
use super::declared::DeclaredProjects;
use super::namespaces::{Audience, NamespaceWriter};
use super::pods::Caches;
use super::restarts::Restarting;
use super::triggers::Triggers;
use super::until_shutdown;
use crate::api::Reason;
use crate::decide::project::reference::ProjectKey;
use crate::decide::time::ClockState;
use crate::kubernetes::clock::Clock;
use crate::kubernetes::readable::{UnreadableObject, UnreadableObjects};
use crate::metrics::ClientState;
use crate::project::{CachedClient, ProjectObject, Ready};

/// What metrics say of a reason that somebody else wrote.
const NOT_OURS: &str = "Other";
/// How often what is known of objects that are gone is forgotten.
const GONE_INTERVAL: Duration = Duration::from_secs(10);

/// Starts all that goes on beside the passes; and scrapes see the objects from now on.
pub(super) fn start_attendants(
    tasks: &mut JoinSet<()>,
    (watches, writer, caches): (Client, NamespaceWriter, Vec<Caches>),
    shared: &Arc<Shared>,
    triggers: &Triggers,
    shutdown: &watch::Receiver<bool>,
) {
    let (stores, unreadable_objects) = (triggers.stores(), shared.unreadable.clone());
    shared.metrics.set_clients(move |show| show_states(&stores, show));
    shared.metrics.set_unreadable(move || unreadable(&unreadable_objects));
    let (projects, declared) = (shared.projects.clone(), Arc::clone(&shared.declared));
    let audience = Audience { projects, declared: Arc::clone(&declared), triggers: triggers.clone() };
    let (requests, pods, events) = (shared.requests.clone(), shared.pods.clone(), shared.events.clone());
    let told = (events, shared.clock.clone());
    let restarting = Restarting::new(shared.restarts.clone(), requests, pods, &caches, told);
    let mut attendants = shared.pods.tasks(&watches, caches, triggers, (&shared.events, &shared.clock));
    attendants.push(restarting.keep().boxed());
    attendants.push(audience.watch(watches, writer, shared.unreadable.clone()).boxed());
    attendants.push(heed_the_gone(Arc::clone(shared), triggers.clone(), Arc::clone(&declared)).boxed());
    attendants.push(heed_clock(shared.clock.clone(), triggers.clone(), declared).boxed());
    for attendant in attendants {
        tasks.spawn(until_shutdown(attendant, shutdown.clone()));
    }
}

/// Enqueues everything when the clock's state changes: projects report it, and what waited for a right clock goes on.
async fn heed_clock(clock: Clock, triggers: Triggers, declared: Arc<DeclaredProjects>) {
    let mut state = ClockState::Right;
    loop {
        state = clock.changed(state).await;
        declared.enqueue_all();
        triggers.enqueue_all();
    }
}

/// Forgets now and then what is known of objects that are gone, and enqueues projects whose number of clients changed.
async fn heed_the_gone(shared: Arc<Shared>, triggers: Triggers, declared: Arc<DeclaredProjects>) {
    let (cluster, own) = &declared.queues;
    let mut interval = tokio::time::interval(GONE_INTERVAL);
    interval.set_missed_tick_behavior(tokio::time::MissedTickBehavior::Delay);
    loop {
        interval.tick().await;
        let users = triggers.users().by_project();
        forget_the_gone(&triggers.stores(), &users, &shared);
        enqueue_where_numbers_changed(&declared.cluster, &users, cluster);
        enqueue_where_numbers_changed(&declared.namespaced, &users, own);
    }
}

fn enqueue_where_numbers_changed<K>(
    stores: &[Store<K>],
    users: &HashMap<ProjectKey, i64>,
    queue: &UnboundedSender<ObjectRef<K>>,
) where
    K: ProjectObject,
{
    for object in stores.iter().flat_map(Store::state) {
        if object.present_status().clients != Some(users.get(&object.key()).copied().unwrap_or(0)) {
            // The receiver ends at shutdown.
            let _ = queue.send(ObjectRef::from_obj(&*object));
        }
    }
}

/// Forgets what is remembered of objects that are gone.
fn forget_the_gone(stores: &[Store<CachedClient>], users: &HashMap<ProjectKey, i64>, shared: &Shared) {
    let uids = stores.iter().flat_map(Store::state).map(|object| object.facts.named.uid.clone()).collect();
    shared.memory.keep(&uids, Instant::now());
    shared.pending.keep(&uids);
    shared.slots.keep(|project| users.contains_key(project));
}

/// The objects that cannot be decoded, each as its kind and name.
fn unreadable(objects: &UnreadableObjects) -> Vec<[String; 2]> {
    let named = |UnreadableObject { kind, namespace, name }: UnreadableObject| {
        [kind, if namespace.is_empty() { name } else { format!("{namespace}/{name}") }]
    };
    objects.all().into_keys().map(named).collect()
}

/// Shows each OAuthClient with its Ready condition, as the caches hold it.
fn show_states(stores: &[Store<CachedClient>], show: &mut dyn FnMut(ClientState<'_>)) {
    for object in stores.iter().flat_map(Store::state) {
        let (metadata, facts) = (object.meta(), &object.facts);
        show(ClientState {
            namespace: metadata.namespace.as_deref().unwrap_or_default(),
            name: metadata.name.as_deref().unwrap_or_default(),
            ready: facts.ready.map(|Ready(status, reason)| (status.as_str(), reason.map_or(NOT_OURS, Reason::as_str))),
            living_on: facts.living_on,
        });
    }
}

//! The controllers: watches, the clock, and who enqueues whom. One per kind, and per namespace if some are watched.

mod attendants;
mod circumstances;
mod client;
mod declared;
mod default_project;
mod filled;
mod intake;
mod key_watch;
mod memory;
mod namespaces;
mod pods;
mod project;
mod restarts;
mod task;
mod triggers;

use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::time::Instant;

use futures::Stream;
use futures::future::join_all;
use futures::stream::unfold;
use kube::runtime::reflector::{self, ObjectRef, Store};
use kube::runtime::{controller, watcher};
use kube::{Client, Resource};
use tokio::sync::mpsc::{UnboundedReceiver, UnboundedSender, unbounded_channel};
use tokio::sync::{oneshot, watch};
use tokio::task::JoinSet;

use crate::api::{ClusterMeshAgentProject, MeshAgentProject, OAuthClient};
use crate::client::pending::PendingStore;
use crate::config::{Config, WebhookNames};
use crate::decide::id::ClusterId;
use crate::decide::project::access;
use crate::decide::project::reference::ProjectKey;
use crate::http::Health;
use crate::kubernetes::clock::Clock;
use crate::kubernetes::crd::CrdReader;
use crate::kubernetes::events::{self, Queue};
use crate::kubernetes::readable::UnreadableObjects;
use crate::leader::Leadership;
use crate::metrics::Metrics;
use crate::project::{CachedClient, Checks, ProjectObject, Projects, Register, Resolution, Slots};
use crate::registration::{Registration, Unstored};
use attendants::start_attendants;
use client::Watches;
use declared::DeclaredProjects;
use key_watch::KeyWatches;
use memory::Memory;
use pods::Pods;
use restarts::Restarts;
use triggers::{Scope, Triggers};

/// What the controllers are started with.
pub struct Inputs {
    /// The client for reads and writes: with timeouts, without retries of its own.
    pub requests: Client,
    /// The client for watches.
    pub watches: Client,
    /// This cluster, as markers name it.
    pub cluster: ClusterId,
    /// The operator's own namespace, where cluster projects have their keys.
    pub namespace: String,
    /// The settings.
    pub config: Config,
    /// The metrics.
    pub metrics: Metrics,
    /// The leadership on which every write depends; for the writes of `requests` it is in that client.
    pub leadership: Leadership,
    /// The clock of the API server, against this machine's.
    pub clock: Clock,
    /// The readiness, told when the caches are filled.
    pub health: Health,
    /// The shutdown: becomes true when the process is to end.
    pub shutdown: watch::Receiver<bool>,
}

impl client::Shared {
    /// The project of an object; `None` before this process has checked it.
    fn resolve_for(&self, object: &OAuthClient, deleting: bool) -> Option<Resolution> {
        let key = ProjectKey::of(object);
        match self.declared.problem(&key) {
            Some(problem) => Some(Resolution::failed(access::unreadable(&key, &problem))),
            None => self.projects.resolve(object, deleting, self.declared.may_exist(&key)),
        }
    }
}

/// One kind of project: its stores with their writers, by scope, and the queue of their controllers.
struct ProjectScopes<K: Resource<DynamicType = ()> + Clone + 'static> {
    scopes: Vec<(Option<String>, Store<K>, reflector::store::Writer<K>)>,
    queue: UnboundedSender<ObjectRef<K>>,
    queued: UnboundedReceiver<ObjectRef<K>>,
}

impl<K: Resource<DynamicType = ()> + Clone + 'static> ProjectScopes<K> {
    fn new(namespaces: impl IntoIterator<Item = Option<String>>) -> Self {
        let (queue, queued) = unbounded_channel();
        let scopes = namespaces.into_iter().map(|namespace| {
            let (store, writer) = reflector::store();
            (namespace, store, writer)
        });
        Self { scopes: scopes.collect(), queue, queued }
    }

    fn stores(&self) -> Vec<Store<K>> {
        self.scopes.iter().map(|(_, store, _)| store.clone()).collect()
    }
}

/// A controller ended before the operator was told to stop.
#[derive(Debug, thiserror::Error)]
#[error("a controller ended before its time")]
pub struct RunError(#[source] tokio::task::JoinError);

/// Runs all controllers until shutdown; passes under way end first.
///
/// # Errors
/// Returns an error if one of them panics.
pub async fn run(inputs: Inputs) -> Result<(), RunError> {
    let mut tasks = JoinSet::new();
    start_keeping_objects(&mut tasks, &inputs);
    let Inputs { requests, watches, cluster, namespace, config, metrics, leadership, clock, health, shutdown } = inputs;
    let scopes = scopes(&config.watch_namespaces);
    let unreadable = UnreadableObjects::default();
    let (namespaces, namespace_writer) = reflector::store();
    let projects = Projects::new(namespaces, Register::new(config.resync_interval));
    let cluster_projects = ProjectScopes::<ClusterMeshAgentProject>::new([None]);
    let own_projects = ProjectScopes::<MeshAgentProject>::new(scopes.clone());
    let declared = declared_projects(&cluster_projects, &own_projects, &unreadable);
    let (clients, triggers) = client_scopes(&watches, scopes, &unreadable);
    let (events, queue) = events::queue();
    let writer = JoinSet::from_iter([write_events(queue, requests.clone(), metrics.clone())]);
    let shared = Arc::new(client::Shared {
        events: events.clone(),
        users: triggers.users().clone(),
        requests: requests.clone(),
        cluster: cluster.clone(),
        projects: projects.clone(),
        declared: Arc::clone(&declared),
        default_policy: config.default_deletion_policy,
        pending: PendingStore::default(),
        crd: CrdReader::new(requests.clone()),
        memory: Memory::default(),
        slots: Slots::new(config.max_concurrent),
        pods: Pods::default(),
        unreadable: unreadable.clone(),
        restarts: Restarts::default(),
        clock: clock.clone(),
        metrics: metrics.clone(),
    });
    let project_shared = Arc::new(project::Shared {
        requests,
        watches: watches.clone(),
        namespace,
        watch_namespaces: config.watch_namespaces.clone(),
        allowed_api_hosts: config.allowed_api_hosts,
        cluster,
        projects,
        checks: Checks::default(),
        triggers: triggers.clone(),
        resync_interval: config.resync_interval,
        unreadable: unreadable.clone(),
        metrics,
        events,
        leadership,
        clock,
        started: Instant::now(),
    });
    let caches = clients.iter().map(|(watches, _)| watches.caches()).collect();
    start_attendants(&mut tasks, (watches, namespace_writer, caches), &shared, &triggers, &shutdown);
    let mut projects = start_projects(&mut tasks, cluster_projects, &project_shared, &shutdown);
    projects.extend(start_projects(&mut tasks, own_projects, &project_shared, &shutdown));
    let filling = Filling { projects, clients: start_clients(&mut tasks, clients, &shared, &shutdown) };
    tasks.spawn(until_shutdown(announce_readiness(filling, triggers, declared, health), shutdown));
    joined(tasks).await?;
    // The passes have ended; their Events are still on their way.
    drop((shared, project_shared));
    joined(writer).await
}

/// Starts what the leader keeps besides: the default project, and the webhook's certificate.
fn start_keeping_objects(tasks: &mut JoinSet<()>, inputs: &Inputs) {
    let Inputs { requests, config, shutdown, .. } = inputs;
    if let Some(secret) = config.default_project_secret.clone() {
        tasks.spawn(until_shutdown(default_project::apply(requests.clone(), secret), shutdown.clone()));
    }
    if let Some(WebhookNames { configuration, secret }) = config.webhook.clone() {
        let registration = Registration {
            requests: requests.clone(),
            watches: inputs.watches.clone(),
            clock: inputs.clock.clone(),
            namespace: inputs.namespace.clone(),
            configuration,
            secret,
            metrics: inputs.metrics.clone(),
            unstored: Unstored::default(),
        };
        tasks.spawn(until_shutdown(registration.keep(), shutdown.clone()));
    }
}

async fn write_events(queue: Queue, requests: Client, metrics: Metrics) {
    queue.write(requests, |lost| metrics.events_lost(lost)).await;
}

async fn joined(mut tasks: JoinSet<()>) -> Result<(), RunError> {
    while let Some(ended) = tasks.join_next().await {
        ended.map_err(RunError)?;
    }
    Ok(())
}

fn declared_projects(
    cluster: &ProjectScopes<ClusterMeshAgentProject>,
    own: &ProjectScopes<MeshAgentProject>,
    unreadable: &UnreadableObjects,
) -> Arc<DeclaredProjects> {
    Arc::new(DeclaredProjects {
        cluster: cluster.stores(),
        namespaced: own.stores(),
        queues: (cluster.queue.clone(), own.queue.clone()),
        filled: AtomicBool::new(false),
        unreadable: unreadable.clone(),
    })
}

/// The watched scopes: all namespaces at once, or each of some.
fn scopes(namespaces: &[String]) -> Vec<Option<String>> {
    if namespaces.is_empty() { vec![None] } else { namespaces.iter().cloned().map(Some).collect() }
}

type Queued = UnboundedReceiver<ObjectRef<CachedClient>>;

/// The watches of OAuthClients with their queues, scope by scope.
fn client_scopes(
    client: &Client,
    scopes: Vec<Option<String>>,
    unreadable: &UnreadableObjects,
) -> (Vec<(Watches, Queued)>, Triggers) {
    let (mut clients, mut triggers) = (Vec::new(), Vec::new());
    for namespace in scopes {
        let (queue, queued) = unbounded_channel();
        let watches = Watches::new(client.clone(), namespace, queue.clone());
        triggers.push(Scope { objects: watches.objects(), queue });
        clients.push((watches, queued));
    }
    (clients, Triggers::new(triggers, unreadable.clone()))
}

fn start_clients(
    tasks: &mut JoinSet<()>,
    clients: Vec<(Watches, Queued)>,
    shared: &Arc<client::Shared>,
    shutdown: &watch::Receiver<bool>,
) -> Vec<oneshot::Receiver<()>> {
    let start = |(watches, queued): (Watches, Queued)| {
        let (filled, is_filled) = oneshot::channel();
        tasks.spawn(watches.run(Arc::clone(shared), received(queued), filled, shutdown.clone()));
        is_filled
    };
    clients.into_iter().map(start).collect()
}

fn start_projects<K>(
    tasks: &mut JoinSet<()>,
    kind: ProjectScopes<K>,
    shared: &Arc<project::Shared>,
    shutdown: &watch::Receiver<bool>,
) -> Vec<oneshot::Receiver<()>>
where
    K: ProjectObject,
{
    let key_watches = KeyWatches::new(kind.queue);
    let (mut senders, mut filling) = (Vec::new(), Vec::new());
    for (namespace, store, writer) in kind.scopes {
        let (queue, own) = unbounded_channel();
        senders.push((store.clone(), queue));
        let (shared, shutdown, key_watches) = (Arc::clone(shared), shutdown.clone(), key_watches.clone());
        let (filled, is_filled) = oneshot::channel();
        filling.push(is_filled);
        tasks.spawn(project::run(shared, namespace, (store, writer), key_watches, received(own), filled, shutdown));
    }
    // One channel for the kind, one controller for each scope: each gets what its store holds.
    let mut queued = kind.queued;
    let route = async move {
        while let Some(reference) = queued.recv().await {
            for (store, queue) in &senders {
                if store.get(&reference).is_some() {
                    // The receiver ends with its controller, at shutdown.
                    let _ = queue.send(reference.clone());
                }
            }
        }
    };
    tasks.spawn(until_shutdown(route, shutdown.clone()));
    filling
}

fn received<T: Send + 'static>(receiver: UnboundedReceiver<T>) -> impl Stream<Item = T> + Send + 'static {
    unfold(receiver, async |mut receiver| receiver.recv().await.map(|item| (item, receiver)))
}

async fn until_shutdown(work: impl Future<Output = ()>, mut shutdown: watch::Receiver<bool>) {
    tokio::select! {
        () = work => {}
        _ = shutdown.wait_for(|down| *down) => {}
    }
}

/// Logs that a watch failed, for instance because the CRD of what is watched is gone. The watch starts again by itself.
fn tell_of_failed_watch<E>(kind: &str, error: &controller::Error<E, watcher::Error>) {
    if let controller::Error::QueueError(error) = error {
        tracing::warn!(%error, "{kind} cannot be watched; it is tried again");
    }
}

/// The caches that are to be filled before anything is concluded from what they lack.
struct Filling {
    projects: Vec<oneshot::Receiver<()>>,
    clients: Vec<oneshot::Receiver<()>>,
}

/// Reports when the caches are filled.
async fn announce_readiness(filling: Filling, triggers: Triggers, declared: Arc<DeclaredProjects>, health: Health) {
    health.ready(false, "waiting for the caches: are the CRDs applied, and may the operator list them?");
    // A sender that is gone has ended with its watch: the process is going down, and is not ready.
    if join_all(filling.projects).await.iter().any(Result::is_err) {
        return;
    }
    declared.filled.store(true, Ordering::Release);
    if join_all(filling.clients).await.iter().any(Result::is_err) {
        return;
    }
    triggers.set_filled();
    declared.enqueue_deleted();
    health.ready(true, "the caches are filled");
    // A project that the caches lack is only now known to be missing, which its users report.
    triggers.enqueue_all();
}

//! The controller of projects, of either kind: what enqueues a project, and who is told of it.

use std::fmt::Debug;
use std::future::pending;
use std::hash::Hash;
use std::sync::Arc;
use std::time::{Duration, Instant};

use futures::Stream;
use futures::StreamExt;
use kube::runtime::controller::{self, Action};
use kube::runtime::reflector::{self, ObjectRef, Store};
use kube::runtime::{Controller, WatchStreamExt, watcher};
use kube::{Client, ResourceExt};
use tokio::sync::{oneshot, watch};

use super::filled::Filled;
use super::key_watch::KeyWatches;
use super::triggers::Triggers;
use super::{task, tell_of_failed_watch};
use crate::decide::id::ClusterId;
use crate::decide::orphan::judge::Scope;
use crate::decide::project::reference::ProjectKey;
use crate::kubernetes::KubernetesError;
use crate::kubernetes::clock::Clock;
use crate::kubernetes::events::Events;
use crate::kubernetes::readable::{UnreadableObjects, watch_readable};
use crate::kubernetes::touched::touched;
use crate::kubernetes::watch_backoff::NoPause;
use crate::leader::Leadership;
use crate::meshagent::AllowedHosts;
use crate::metrics::Metrics;
use crate::project::{Checks, Executor, ProjectObject, Projects, WRITE_RETRY, access, finalizer};

/// The wait after a panic.
const PANIC_RETRY: Duration = Duration::from_secs(60);

/// How long a project waits for the caches of OAuthClients at the start: a listing before is compared with nothing, and
/// would take clients for orphans whose objects are not seen yet.
const LONGEST_FILLING: Duration = Duration::from_secs(10);
/// How soon it is looked again whether they are filled.
const FILLING: Duration = Duration::from_millis(100);

/// What the passes of all projects share.
pub(super) struct Shared {
    pub(super) requests: Client,
    pub(super) watches: Client,
    /// The operator's own namespace, where cluster projects have their keys.
    pub(super) namespace: String,
    pub(super) watch_namespaces: Vec<String>,
    pub(super) allowed_api_hosts: AllowedHosts,
    pub(super) cluster: ClusterId,
    pub(super) projects: Projects,
    pub(super) checks: Checks,
    pub(super) triggers: Triggers,
    pub(super) resync_interval: Duration,
    pub(super) unreadable: UnreadableObjects,
    pub(super) metrics: Metrics,
    pub(super) events: Events,
    pub(super) leadership: Leadership,
    pub(super) clock: Clock,
    /// When the controllers were started.
    pub(super) started: Instant,
}

impl Shared {
    /// Whether a project is listed yet.
    fn may_list(&self) -> bool {
        self.triggers.users().are_filled() || self.started.elapsed() >= LONGEST_FILLING
    }

    fn forget(&self, key: &ProjectKey) {
        self.checks.forget(key);
        self.projects.gone(key, self.triggers.users().any(key).unwrap_or(true));
        self.metrics.forget_project(&key.to_string());
        self.triggers.enqueue_users(key, None);
    }
}

/// Runs the controller of one kind in one scope until shutdown. `requested` are projects that others enqueue.
pub(super) async fn run<K>(
    shared: Arc<Shared>,
    namespace: Option<String>,
    (store, writer): (Store<K>, reflector::store::Writer<K>),
    key_watches: KeyWatches<K>,
    requested: impl Stream<Item = ObjectRef<K>> + Send + 'static,
    filled: oneshot::Sender<()>,
    shutdown: watch::Receiver<bool>,
) where
    K: ProjectObject,
    K::DynamicType: Hash + Eq + Clone + Debug + Unpin,
{
    let cache = Filled::default();
    let api = K::watched(shared.watches.clone(), namespace.as_deref());
    let events = watch_readable(api, watcher::Config::default(), store.clone(), shared.unreadable.clone())
        .reflect(writer)
        .inspect(cache.tell(filled));
    let context = Arc::new(Context { shared, key_watches });
    let (known, gone) = (store.clone(), Arc::clone(&context));
    let objects = touched(events, store.clone()).inspect(move |object| {
        if let Ok(object) = object
            && known.get(&ObjectRef::from_obj(object)).is_none_or(|present| present.uid() != object.uid())
        {
            gone.forget(&object.key());
        }
    });
    let (known, gone) = (store.clone(), Arc::clone(&context));
    let controller = Controller::for_stream(objects, store)
        .reconcile_on(requested)
        .trigger_backoff(NoPause)
        .graceful_shutdown_on(super::until_shutdown(pending(), shutdown.clone()))
        .run(spawn_pass, after_panic, context)
        .for_each(async |ended| match ended {
            Ok(_) => {}
            // A pass that was under way when its object went has remembered it again.
            Err(controller::Error::ObjectNotFound(object)) => {
                let key = ProjectKey { kind: K::KIND, namespace: object.namespace, name: object.name.into() };
                if gone.shared.checks.knows(&key) && known.find(|present| present.key() == key).is_none() {
                    gone.forget(&key);
                }
            }
            Err(error) => tell_of_failed_watch(K::KIND.as_str(), &error),
        });
    cache.run(controller, shutdown).await;
}

struct Context<K: ProjectObject> {
    shared: Arc<Shared>,
    key_watches: KeyWatches<K>,
}

/// A pass that panicked.
#[derive(Debug, thiserror::Error)]
#[error("a reconcile of a project panicked; it is tried again")]
struct Panicked;

async fn spawn_pass<K: ProjectObject>(object: Arc<K>, context: Arc<Context<K>>) -> Result<Action, Panicked> {
    task::run(async move { context.pass(&object).await }).await.map_err(|_| Panicked)
}

fn after_panic<K: ProjectObject>(object: Arc<K>, error: &Panicked, _: Arc<Context<K>>) -> Action {
    tracing::error!(project = %object.key(), "{error}");
    Action::requeue(PANIC_RETRY)
}

impl<K: ProjectObject> Context<K> {
    /// Forgets a project that is gone.
    fn forget(&self, key: &ProjectKey) {
        self.key_watches.forget(key);
        self.shared.forget(key);
    }

    /// Puts the finalizer on or takes it off, and reconciles the project as long as it is there.
    async fn pass(&self, object: &K) -> Action {
        if !self.shared.may_list() {
            return Action::requeue(FILLING);
        }
        let (requests, users) = (&self.shared.requests, self.shared.triggers.users());
        let unused = || users.names(&object.key()).is_some_and(|users| users.is_empty());
        if finalizer::is_deleted(object) && finalizer::is_on(object) && unused() {
            return match finalizer::remove(requests, object).await {
                Ok(_) => {
                    tracing::info!(project = %object.key(), "released: no OAuthClient uses it any more");
                    Action::await_change()
                }
                Err(error) => self.after_failure(object, &error).unwrap_or_else(|| Action::requeue(WRITE_RETRY)),
            };
        }
        match finalizer::add(requests, object).await {
            Ok(changed) => Action::requeue(self.reconcile(changed.as_ref().unwrap_or(object)).await),
            Err(error) => match self.after_failure(object, &error) {
                Some(action) => action,
                None => Action::requeue(self.reconcile(object).await.min(WRITE_RETRY)),
            },
        }
    }

    /// The action after a finalizer that was not written, if the watch brings the object's newer version or its end.
    fn after_failure(&self, object: &K, error: &KubernetesError) -> Option<Action> {
        if error.is_conflict() || error.proves_absence_of::<K>(&object.name_any()) {
            return Some(Action::await_change());
        }
        tracing::warn!(project = %object.key(), "{}", error.of_object().message);
        None
    }

    async fn reconcile(&self, object: &K) -> Duration {
        let Shared { requests, watches, projects, checks, triggers, resync_interval, metrics, events, .. } =
            &*self.shared;
        let (key, gate) = (object.key(), self.shared.leadership.gate());
        let namespace = object.namespace().unwrap_or_else(|| self.shared.namespace.clone());
        let settings = access::settings(object, &self.shared.allowed_api_hosts);
        if let Ok(settings) = &settings {
            self.key_watches.follow(watches, object, &access::sources(&namespace, settings));
        }
        let executor = Executor {
            requests,
            namespace: &namespace,
            projects,
            checks,
            users: triggers.users(),
            enqueue_users: &|news| triggers.enqueue_users(&key, news),
            scope: Scope { cluster: &self.shared.cluster, namespaces: &self.shared.watch_namespaces },
            resync_interval: *resync_interval,
            metrics,
            events,
            gate: &gate,
            clock: &self.shared.clock,
        };
        executor.reconcile(object, &settings).await
    }
}

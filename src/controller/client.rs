//! The controller of OAuthClients: what enqueues them, and what follows from how a pass ended.

use std::collections::{HashMap, HashSet};
use std::future::pending;
use std::sync::Arc;
use std::time::{Duration, Instant};

use futures::{Stream, StreamExt};
use k8s_openapi::api::core::v1::Secret;
use k8s_openapi::apimachinery::pkg::apis::meta::v1::OwnerReference;
use kube::core::PartialObjectMeta;
use kube::runtime::controller::Action;
use kube::runtime::reflector::{self, ObjectRef, Store};
use kube::runtime::{Controller, WatchStreamExt, watcher};
use kube::{Api, Client, Resource, ResourceExt};
use tokio::sync::mpsc::UnboundedSender;
use tokio::sync::{oneshot, watch};

use super::circumstances::Circumstances;
use super::filled::Filled;
use super::memory::{CHECK_INTERVAL, Memory, Suppressed, Suppression};
use super::pods::{Caches, Pods};
use super::restarts::Restarts;
use super::{task, tell_of_failed_watch};
use crate::api::names::{GROUP, OAUTH_CLIENT_LABEL};
use crate::api::{ConditionType, OAuthClient, condition};
use crate::client::pending::PendingStore;
use crate::client::{self, Awaited, Executor, Start, former_secret_name, reconcile, secret_name};
use crate::decide::id::{ClusterId, Uid, Version};
use crate::decide::marker::Policy;
use crate::decide::project::reference::ProjectKey;
use crate::kubernetes::clock::Clock;
use crate::kubernetes::crd::CrdReader;
use crate::kubernetes::events::{Event, Events};
use crate::kubernetes::readable::{UnreadableObject, UnreadableObjects, watch_readable};
use crate::kubernetes::watch_backoff::NoPause;
use crate::kubernetes::{scoped, within};
use crate::metrics::{ClientState, Metrics, Outcome};
use crate::project::{Priority, Projects, Resolution, Slot, Slots, Users};

/// How soon a lagging cache is checked again.
const CATCH_UP: Duration = Duration::from_millis(100);

/// What all passes share.
pub(super) struct Shared {
    pub(super) requests: Client,
    pub(super) cluster: ClusterId,
    pub(super) projects: Projects,
    pub(super) users: Users,
    pub(super) declared: Arc<super::DeclaredProjects>,
    pub(super) default_policy: Policy,
    pub(super) pending: PendingStore,
    pub(super) crd: CrdReader,
    pub(super) memory: Memory,
    pub(super) slots: Slots,
    pub(super) pods: Pods,
    pub(super) restarts: Restarts,
    pub(super) unreadable: UnreadableObjects,
    pub(super) events: Events,
    pub(super) clock: Clock,
    pub(super) metrics: Metrics,
}

/// The watches of one scope: all namespaces, or one.
pub(super) struct Watches {
    objects: Store<OAuthClient>,
    secrets: Store<PartialObjectMeta<Secret>>,
    namespace: Option<String>,
    watches: Client,
    object_writer: reflector::store::Writer<OAuthClient>,
    secret_writer: reflector::store::Writer<PartialObjectMeta<Secret>>,
    enqueue: UnboundedSender<ObjectRef<OAuthClient>>,
}

impl Watches {
    /// `enqueue` leads to the stream that [`Watches::run`] is given.
    pub(super) fn new(
        watches: Client,
        namespace: Option<String>,
        enqueue: UnboundedSender<ObjectRef<OAuthClient>>,
    ) -> Self {
        let (objects, object_writer) = reflector::store();
        let (secrets, secret_writer) = reflector::store();
        Self { objects, secrets, namespace, watches, object_writer, secret_writer, enqueue }
    }

    /// The OAuthClients as cached.
    pub(super) fn objects(&self) -> Store<OAuthClient> {
        self.objects.clone()
    }

    /// The caches of this scope.
    pub(super) fn caches(&self) -> Caches {
        let (objects, secrets) = (self.objects.clone(), self.secrets.clone());
        Caches { scope: self.namespace.clone(), objects, secrets }
    }

    /// Runs until shutdown; then passes under way end first. `requested` are objects that others enqueue.
    pub(super) async fn run(
        self,
        shared: Arc<Shared>,
        requested: impl Stream<Item = ObjectRef<OAuthClient>> + Send + 'static,
        filled: oneshot::Sender<()>,
        shutdown: watch::Receiver<bool>,
    ) {
        let (namespace, cache) = (self.namespace.as_deref(), Filled::default());
        let declared = Arc::clone(&shared.declared);
        let unreadable = shared.unreadable.clone();
        let api = scoped(self.watches.clone(), namespace);
        let objects = watch_readable(api, watcher::Config::default(), self.objects.clone(), unreadable.clone())
            .reflect(self.object_writer)
            .inspect(cache.tell(filled))
            .inspect(move |event| {
                if let Ok(watcher::Event::Delete(object)) = event {
                    declared.lost_a_user(&ProjectKey::of(object));
                }
            })
            .touched_objects();
        let labelled = watcher::Config::default().labels(OAUTH_CLIENT_LABEL);
        let api = scoped(self.watches.clone(), namespace);
        let secrets = watch_readable::<PartialObjectMeta<Secret>>(api, labelled, self.secrets.clone(), unreadable)
            .reflect(self.secret_writer)
            .touched_objects();
        let (slots, restarts) = (shared.slots.clone(), shared.restarts.clone());
        let context = Arc::new(Context { shared, secrets: self.secrets, enqueue: self.enqueue });
        // The controller is unbounded: the slots say how many passes run, and none waits in the controller's queue.
        let controller = Controller::for_stream(objects, self.objects)
            .watches_stream(secrets, |secret: PartialObjectMeta<Secret>| owners(&secret))
            .reconcile_on(requested)
            .trigger_backoff(NoPause)
            .graceful_shutdown_on(super::until_shutdown(pending(), shutdown.clone()))
            .run(reconcile_object, after_panic, context)
            .for_each(async |ended| match ended {
                Ok(_) => {}
                Err(kube::runtime::controller::Error::ObjectNotFound(gone)) => {
                    let namespace = gone.namespace.unwrap_or_default();
                    slots.forget(&ObjectRef::new(&gone.name).within(&namespace));
                    restarts.forget(&(namespace, gone.name));
                }
                Err(error) => tell_of_failed_watch("OAuthClients or their Secrets", &error),
            });
        cache.run(controller, shutdown).await;
    }
}

/// The OAuthClients of a Secret, by its label and by its owner reference: an alteration of either is to be noticed.
fn owners(secret: &PartialObjectMeta<Secret>) -> HashSet<ObjectRef<OAuthClient>> {
    let by_label = secret.labels().get(OAUTH_CLIENT_LABEL);
    let ours = |owner: &&OwnerReference| owner.kind == OAuthClient::kind(&()) && owner.api_version.starts_with(GROUP);
    let by_reference = secret.owner_references().iter().filter(ours).map(|owner| &owner.name);
    let namespace = secret.namespace().unwrap_or_default();
    by_label.into_iter().chain(by_reference).map(|name| ObjectRef::new(name).within(&namespace)).collect()
}

struct Context {
    shared: Arc<Shared>,
    secrets: Store<PartialObjectMeta<Secret>>,
    enqueue: UnboundedSender<ObjectRef<OAuthClient>>,
}

/// A pass that panicked.
#[derive(Debug, thiserror::Error)]
#[error("a reconcile panicked; it is tried again")]
struct Panicked;

async fn reconcile_object(object: Arc<OAuthClient>, context: Arc<Context>) -> Result<Action, Panicked> {
    task::run(async move { context.pass(&object).await }).await.map_err(|_| Panicked)
}

fn after_panic(object: Arc<OAuthClient>, error: &Panicked, _: Arc<Context>) -> Action {
    tracing::error!(namespace = object.namespace(), name = object.name_any(), "{error}");
    Action::requeue(Duration::from_secs(60))
}

/// What the caches show of an object.
struct Cached<'a> {
    object: &'a OAuthClient,
    uid: Uid,
    namespace: String,
    secret: Option<Arc<PartialObjectMeta<Secret>>>,
    /// The Secret under its former name.
    former: Option<Arc<PartialObjectMeta<Secret>>>,
}

impl Cached<'_> {
    fn secret_versions(&self) -> [Option<Version>; 2] {
        [&self.secret, &self.former]
            .map(|secret| secret.as_ref().and_then(|secret| secret.resource_version()).map(Version::new))
    }
}

impl Context {
    fn cached<'a>(&self, object: &'a OAuthClient) -> Cached<'a> {
        let namespace = object.namespace().unwrap_or_default();
        let secret = |name: &str| self.secrets.get(&ObjectRef::new(name).within(&namespace));
        Cached {
            object,
            uid: Uid::new(object.metadata.uid.as_deref().unwrap_or_default()),
            secret: secret(&secret_name(object)),
            former: former_secret_name(object).and_then(secret),
            namespace,
        }
    }

    async fn pass(&self, object: &OAuthClient) -> Action {
        let shared = &self.shared;
        let cached = self.cached(object);
        let [secret, former] = cached.secret_versions();
        let version = Version::new(object.resource_version().unwrap_or_default());
        if shared.memory.is_behind(&cached.uid, &version, secret.as_ref(), Instant::now()) {
            return Action::requeue(CATCH_UP);
        }
        let Some(resolution) = shared.resolve_for(object, object.metadata.deletion_timestamp.is_some()) else {
            // The project is not checked yet, or the namespace is not seen yet: either enqueues the object once it is.
            return Action::await_change();
        };
        let circumstances = Circumstances::of(object, &resolution);
        let secrets = [secret.as_ref(), former.as_ref()];
        let awaited = match shared.memory.suppressed(&cached.uid, &circumstances, secrets, Instant::now()) {
            None => None,
            Some(Suppressed::For(left)) => return Action::requeue(left),
            Some(Suppressed::Unless(awaited)) => Some(awaited),
        };
        // A pass whose project cannot be used makes no call: it does not wait for a project that hangs.
        let called = (resolution.failure.is_none() && awaited.is_none()).then(|| ProjectKey::of(object));
        let (priority, reference) = (Priority::of(object), ObjectRef::from_obj(object));
        let Some(slot) = shared.slots.enter(called.as_ref(), priority, &reference, &self.enqueue) else {
            return Action::await_change();
        };
        match awaited {
            Some(awaited) => self.check_awaited(&cached, &awaited).await,
            None => self.reconcile(&cached, &resolution, &slot).await,
        }
    }

    /// Reads the Secret that a suppressed object waits for, and enqueues the object if it has changed.
    async fn check_awaited(&self, Cached { object, uid, namespace, .. }: &Cached<'_>, awaited: &Awaited) -> Action {
        let secrets: Api<Secret> = Api::namespaced(self.shared.requests.clone(), namespace);
        let name = &awaited.secret;
        let found = match within("read the Secret", secrets.get_metadata(name)).await {
            Ok(secret) => Some(secret.resource_version().map(Version::new)),
            Err(error) if error.proves_absence_of::<Secret>(name) => Some(None),
            Err(_) => None,
        };
        if self.shared.memory.checked(uid, found, Instant::now()) {
            return Action::requeue(CHECK_INTERVAL);
        }
        self.shared.memory.unsuppress(uid);
        // The receiver ends with the controller, at shutdown.
        let _ = self.enqueue.send(ObjectRef::from_obj(*object));
        Action::await_change()
    }

    async fn reconcile(&self, cached: &Cached<'_>, resolution: &Resolution, slot: &Slot) -> Action {
        let (shared, Cached { object, uid, namespace, secret, former }) = (&self.shared, cached);
        let executor = Executor {
            objects: Api::namespaced(shared.requests.clone(), namespace),
            secrets: Api::namespaced(shared.requests.clone(), namespace),
            project: resolution.project.as_deref(),
            pending: &shared.pending,
            crd: &shared.crd,
            projects: &shared.projects,
            users: &shared.users,
            slot,
            requests: &shared.requests,
        };
        let started = Instant::now();
        let holders = shared.pods.holders(namespace, &object.name_any());
        let start = Start {
            object: (*object).clone(),
            secret: secret.as_ref().map(|secret| &secret.metadata),
            former: former.as_ref().map(|former| &former.metadata),
            resolution,
            cluster: &shared.cluster,
            default_policy: shared.default_policy,
            pending: &shared.pending,
            holders: &holders,
            clock: shared.clock.state(),
            now: shared.clock.now(),
            time: &shared.clock,
        };
        let ended = reconcile(&executor, start, shared.memory.backoff(uid)).await;
        shared.metrics.reconciled("OAuthClient", Outcome::of(ended.failure.as_ref()), started.elapsed());
        shared.metrics.credentials_held(i64::try_from(shared.pending.credentials()).unwrap_or(i64::MAX));
        let project = ProjectKey::of(object);
        if shared.projects.losses().has_news(&project) {
            shared.declared.enqueue(&project);
        }
        let many_gone = shared.projects.many_gone(&ended.object);
        self.conclude(cached, &Resolution { many_gone, ..resolution.clone() }, ended)
    }

    /// Remembers and tells how a pass ended.
    fn conclude(&self, cached: &Cached<'_>, resolution: &Resolution, mut ended: client::Outcome) -> Action {
        let (memory, Cached { uid, namespace, .. }) = (&self.shared.memory, cached);
        let circumstances = Circumstances::of(&ended.object, resolution);
        let events = std::mem::take(&mut ended.events);
        let events = memory.news(uid, &circumstances.asked, ended.failure.is_some(), events);
        log(namespace, &ended, &events);
        let now = Instant::now();
        memory.remember(uid, ended.failure.is_some(), ended.superseded.clone(), now);
        if let Some(wait) = ended.suppressed_for() {
            let mut known = ended.superseded.secrets;
            known.insert(ended.secret_version);
            let secrets = cached.secret_versions().map(|cached| known.iter().cloned().chain([cached]).collect());
            let until = now.checked_add(wait).unwrap_or(now);
            let awaited = ended.awaited.map(|awaited| (awaited, now + CHECK_INTERVAL));
            ended.requeue = Some(if awaited.is_some() { wait.min(CHECK_INTERVAL) } else { wait });
            memory.suppress(uid, Suppression { until, circumstances, secrets, awaited });
        }
        self.shared.events.publish(&ended.object, events);
        self.shared.restarts.note(&ended.object, &self.shared.pods, self.shared.clock.now());
        ended.requeue.map_or_else(Action::await_change, Action::requeue)
    }
}

fn log(namespace: &str, ended: &client::Outcome, events: &[Event]) {
    let name = ended.object.name_any();
    match &ended.failure {
        Some(failure) => {
            tracing::info!(namespace, name, reason = failure.reason.as_str(), "not converged: {}", failure.message);
        }
        None => tracing::debug!(namespace, name, "converged"),
    }
    for event in events {
        tracing::info!(namespace, name, reason = event.reason, "{}", event.text);
    }
}

/// Forgets what is remembered of objects that are gone.
pub(super) fn forget_the_gone(stores: &[Store<OAuthClient>], users: &HashMap<ProjectKey, i64>, shared: &Shared) {
    let uid = |object: Arc<OAuthClient>| Uid::new(object.metadata.uid.as_deref().unwrap_or_default());
    let uids = stores.iter().flat_map(Store::state).map(uid).collect();
    shared.memory.keep(&uids, Instant::now());
    shared.pending.keep(&uids);
    shared.slots.keep(|project| users.contains_key(project));
}

/// The objects that cannot be decoded, each as its kind and name.
pub(super) fn unreadable(objects: &UnreadableObjects) -> Vec<[String; 2]> {
    let named = |UnreadableObject { kind, namespace, name }: UnreadableObject| {
        [kind, if namespace.is_empty() { name } else { format!("{namespace}/{name}") }]
    };
    objects.all().into_keys().map(named).collect()
}

/// Shows each OAuthClient with its Ready condition, as the caches hold it.
pub(super) fn show_states(stores: &[Store<OAuthClient>], show: &mut dyn FnMut(ClientState<'_>)) {
    for object in stores.iter().flat_map(Store::state) {
        let conditions = object.status.as_ref().and_then(|status| status.conditions.as_deref()).unwrap_or_default();
        let ready = condition::find(conditions, ConditionType::Ready);
        let retiring = object.status.as_ref().and_then(|status| status.retiring.as_deref()).unwrap_or_default();
        show(ClientState {
            namespace: object.metadata.namespace.as_deref().unwrap_or_default(),
            name: object.metadata.name.as_deref().unwrap_or_default(),
            ready: ready.map(|ready| (ready.status.as_str(), ready.reason.as_str())),
            living_on: retiring.iter().filter(|former| former.pods.is_some()).count(),
        });
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use serde_json::json;

    #[test]
    fn a_secret_enqueues_the_client_of_its_label_and_the_one_that_owns_it() {
        let owners_of = |metadata: serde_json::Value| {
            let secret = json!({ "apiVersion": "v1", "kind": "Secret", "metadata": metadata });
            owners(&serde_json::from_value(secret).unwrap())
        };
        let client = |name| ObjectRef::new(name).within("shop");
        let owner = json!({ "apiVersion": "meshagent.com/v1alpha1", "kind": "OAuthClient", "name": "web", "uid": "u" });
        let theirs = json!({ "apiVersion": "apps/v1", "kind": "Deployment", "name": "theirs", "uid": "u" });
        let (label, moved) =
            (json!({ "meshagent.com/oauth-client": "web" }), json!({ "meshagent.com/oauth-client": "other" }));
        let both = owners_of(json!({ "namespace": "shop", "labels": label, "ownerReferences": [owner, theirs] }));
        assert_eq!(both, HashSet::from([client("web")]));
        let altered = owners_of(json!({ "namespace": "shop", "labels": moved, "ownerReferences": [owner] }));
        assert_eq!(altered, HashSet::from([client("web"), client("other")]));
        let unowned = owners_of(json!({ "namespace": "shop", "labels": label }));
        assert_eq!(unowned, HashSet::from([client("web")]));
    }
}

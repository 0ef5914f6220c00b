//! The controller of OAuthClients: what enqueues them, and what follows from how a pass ended.

use std::future::pending;
use std::sync::Arc;
use std::time::{Duration, Instant};

use futures::{Stream, StreamExt};
use k8s_openapi::api::core::v1::Secret;
use k8s_openapi::apimachinery::pkg::apis::meta::v1::ObjectMeta;
use kube::core::PartialObjectMeta;
use kube::runtime::controller::Action;
use kube::runtime::reflector::{ObjectRef, Store};
use kube::runtime::{Controller, WatchStreamExt, reflector, watcher};
use kube::{Api, Client, ResourceExt};
use tokio::sync::mpsc::UnboundedSender;
use tokio::sync::{oneshot, watch};

use super::circumstances::{Asked, Circumstances};
use super::filled::Filled;
use super::intake::Intake;
use super::memory::{CHECK_INTERVAL, Memory, Suppressed, Suppression};
use super::pods::{Caches, Pods};
use super::restarts::Restarts;
use super::triggers::{asking, owners};
use super::{task, tell_of_failed_watch};
use crate::api::OAuthClient;
use crate::api::names::OAUTH_CLIENT_LABEL;
use crate::client::pending::PendingStore;
use crate::client::{self, Awaited, Executor, Start, former_secret_name, reconcile, secret_name};
use crate::decide::client::object;
use crate::decide::id::{ClusterId, Uid, Version};
use crate::decide::marker::Policy;
use crate::decide::project::reference::ProjectKey;
use crate::kubernetes::cached_secret::CachedSecret;
use crate::kubernetes::clock::Clock;
use crate::kubernetes::crd::CrdReader;
use crate::kubernetes::events::{Event, Events};
use crate::kubernetes::packed::PackError;
use crate::kubernetes::readable::{Readable, UnreadableObjects, watch_readable};
use crate::kubernetes::touched::touched;
use crate::kubernetes::watch_backoff::NoPause;
use crate::kubernetes::{cached, scoped, within};
use crate::metrics::{Metrics, Outcome};
use crate::project::{CachedClient, Priority, Projects, Resolution, Slot, Slots, Users};

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
    objects: Store<CachedClient>,
    secrets: Store<CachedSecret>,
    namespace: Option<String>,
    watches: Client,
    object_writer: reflector::store::Writer<CachedClient>,
    secret_writer: reflector::store::Writer<CachedSecret>,
    enqueue: UnboundedSender<ObjectRef<CachedClient>>,
}

impl Watches {
    /// `enqueue` leads to the stream that [`Watches::run`] is given.
    pub(super) fn new(
        watches: Client,
        namespace: Option<String>,
        enqueue: UnboundedSender<ObjectRef<CachedClient>>,
    ) -> Self {
        let (objects, object_writer) = reflector::store();
        let (secrets, secret_writer) = reflector::store();
        Self { objects, secrets, namespace, watches, object_writer, secret_writer, enqueue }
    }

    /// The OAuthClients as cached.
    pub(super) fn objects(&self) -> Store<CachedClient> {
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
        requested: impl Stream<Item = ObjectRef<CachedClient>> + Send + 'static,
        filled: oneshot::Sender<()>,
        shutdown: watch::Receiver<bool>,
    ) {
        let (namespace, cache) = (self.namespace.as_deref(), Filled::default());
        let declared = Arc::clone(&shared.declared);
        let unreadable = shared.unreadable.clone();
        let api: Api<Readable<OAuthClient>> = scoped(self.watches.clone(), namespace);
        let events = watch_readable(api, watcher::Config::default(), self.objects.clone(), unreadable.clone())
            .reflect(self.object_writer)
            .inspect(cache.tell(filled));
        let known = self.objects.clone();
        let ask_for_object = move |object: CachedClient| {
            let reference = ObjectRef::from_obj(&object);
            if known.get(&reference).is_none() {
                declared.lost_a_user(&object.facts.project);
            }
            [reference]
        };
        let objects = touched(events, self.objects.clone()).filter_map(asking(self.enqueue.clone(), ask_for_object));
        let labelled = watcher::Config::default().labels(OAUTH_CLIENT_LABEL);
        let api: Api<Readable<PartialObjectMeta<Secret>>> = scoped(self.watches.clone(), namespace);
        let events = watch_readable(api, labelled, self.secrets.clone(), unreadable);
        let events = reflector(self.secret_writer, events);
        let ask_for_owners = |secret: CachedSecret| owners(&secret);
        let secrets = touched(events, self.secrets.clone()).filter_map(asking(self.enqueue.clone(), ask_for_owners));
        let intake = Intake::default();
        let (slots, restarts) = (shared.slots.clone(), shared.restarts.clone());
        let context =
            Arc::new(Context { shared, secrets: self.secrets, enqueue: self.enqueue, intake: intake.clone() });
        // The controller is unbounded: the slots say how many passes run, and none waits in the controller's queue.
        let controller = Controller::for_stream(objects, self.objects)
            .watches_stream(secrets, |_: CachedClient| None)
            .reconcile_on(intake.admit(requested))
            .trigger_backoff(NoPause)
            .graceful_shutdown_on(super::until_shutdown(pending(), shutdown.clone()))
            .run(reconcile_object, after_failure, context)
            .for_each(async |ended| match ended {
                Ok(_) => {}
                Err(kube::runtime::controller::Error::ObjectNotFound(gone)) => {
                    let namespace = gone.namespace.unwrap_or_default();
                    let object = ObjectRef::new(&gone.name).within(&namespace);
                    intake.miss(&object);
                    slots.forget(&object);
                    restarts.forget(&(namespace, gone.name));
                }
                Err(error) => tell_of_failed_watch("OAuthClients or their Secrets", &error),
            });
        cache.run(controller, shutdown).await;
    }
}

struct Context {
    shared: Arc<Shared>,
    secrets: Store<CachedSecret>,
    enqueue: UnboundedSender<ObjectRef<CachedClient>>,
    intake: Intake,
}

/// A pass that came to no end.
#[derive(Debug, thiserror::Error)]
enum PassError {
    #[error("a reconcile panicked; it is tried again")]
    Panicked,
    #[error(transparent)]
    Damaged(#[from] PackError),
}

fn reconcile_object(
    object: Arc<CachedClient>,
    context: Arc<Context>,
) -> impl Future<Output = Result<Action, PassError>> + Send {
    let taken = context.intake.take(&ObjectRef::from_obj(&*object));
    async move {
        taken.begin();
        task::run(async move { context.pass(&object).await }).await.map_err(|_| PassError::Panicked)?
    }
}

fn after_failure(object: Arc<CachedClient>, error: &PassError, _: Arc<Context>) -> Action {
    tracing::error!(namespace = object.namespace(), name = object.name_any(), "{error}");
    Action::requeue(Duration::from_secs(60))
}

/// What the caches show of an object.
struct Cached {
    object: OAuthClient,
    reference: ObjectRef<CachedClient>,
    uid: Uid,
    namespace: String,
    /// The metadata of the Secret that the spec names.
    secret: Option<ObjectMeta>,
    /// The metadata of the Secret under its former name.
    former: Option<ObjectMeta>,
}

impl Cached {
    fn secret_versions(&self) -> [Option<Version>; 2] {
        let version = |secret: &ObjectMeta| secret.resource_version.as_deref().map(Version::new);
        [&self.secret, &self.former].map(|secret| secret.as_ref().and_then(version))
    }
}

/// How a pass begins.
enum Begun {
    /// Not now: the object keeps its place among those that wait for a slot, and the slot that it was granted.
    Later(Action),
    /// Nothing is to be done until then, so the object needs no slot.
    AtRest(Action),
    /// The Secret that the object waits for is looked at.
    Check(Box<Cached>, Awaited, Slot),
    /// The object is reconciled.
    Reconcile(Box<Cached>, Box<Resolution>, Slot),
}

impl Context {
    /// An object and its Secrets as the caches have them.
    fn unpacked(&self, packed: &CachedClient) -> Result<Cached, PackError> {
        let (object, namespace) = (packed.unpack()?, packed.namespace().unwrap_or_default());
        let secret = |name: &str| cached(&self.secrets, &namespace, name).map(|secret| secret.unpack()).transpose();
        Ok(Cached {
            reference: ObjectRef::from_obj(packed),
            uid: packed.facts.named.uid.clone(),
            secret: secret(&secret_name(&object))?,
            former: former_secret_name(&object).map(secret).transpose()?.flatten(),
            object,
            namespace,
        })
    }

    /// Many passes are begun at once, and most of them end with their beginning: only what goes on has room for more.
    async fn pass(&self, packed: &CachedClient) -> Result<Action, PassError> {
        match self.begin(packed)? {
            Begun::Later(action) => Ok(action),
            Begun::AtRest(action) => {
                self.shared.slots.forget(&ObjectRef::from_obj(packed));
                Ok(action)
            }
            Begun::Check(cached, awaited, _slot) => Ok(Box::pin(self.check_awaited(&cached, &awaited)).await),
            Begun::Reconcile(cached, resolution, slot) => Ok(Box::pin(self.reconcile(cached, *resolution, slot)).await),
        }
    }

    fn begin(&self, packed: &CachedClient) -> Result<Begun, PackError> {
        let (shared, cached) = (&self.shared, self.unpacked(packed)?);
        let Cached { object, uid, reference, .. } = &cached;
        let [secret, former] = cached.secret_versions();
        let version = Version::new(object.resource_version().unwrap_or_default());
        if shared.memory.is_behind(uid, &version, secret.as_ref(), Instant::now()) {
            return Ok(Begun::Later(Action::requeue(CATCH_UP)));
        }
        let Some(resolution) = shared.resolve_for(object, object.metadata.deletion_timestamp.is_some()) else {
            // The project is not checked yet, or the namespace is not seen yet: either enqueues the object once it is.
            return Ok(Begun::AtRest(Action::await_change()));
        };
        let suppressed = |circumstances: Circumstances| {
            shared.memory.suppressed(uid, &circumstances, [secret.as_ref(), former.as_ref()], Instant::now())
        };
        let circumstances = shared.memory.may_suppress(uid).then(|| self.circumstances(object, &resolution));
        let awaited = match circumstances.and_then(suppressed) {
            None => None,
            Some(Suppressed::For(left)) => return Ok(Begun::AtRest(Action::requeue(left))),
            Some(Suppressed::Unless(awaited)) => Some(awaited),
        };
        // A pass whose project cannot be used makes no call: it does not wait for a project that hangs.
        let called = (resolution.failure.is_none() && awaited.is_none()).then(|| ProjectKey::of(object));
        let Some(slot) = shared.slots.enter(called.as_ref(), Priority::of(object), reference, &self.enqueue) else {
            return Ok(Begun::Later(Action::await_change()));
        };
        let cached = Box::new(cached);
        Ok(match awaited {
            Some(awaited) => Begun::Check(cached, awaited, slot),
            None => Begun::Reconcile(cached, Box::new(resolution), slot),
        })
    }

    fn circumstances(&self, object: &OAuthClient, resolution: &Resolution) -> Circumstances {
        let (shared, namespace) = (&self.shared, object.namespace().unwrap_or_default());
        let holders = shared.pods.holders(&namespace, &object.name_any());
        let due = object::due(object, &holders, shared.clock.state(), shared.clock.now());
        Circumstances::of(object, resolution, due)
    }

    /// Reads the Secret that a suppressed object waits for, and enqueues the object if it has changed.
    async fn check_awaited(&self, Cached { reference, uid, namespace, .. }: &Cached, awaited: &Awaited) -> Action {
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
        let _ = self.enqueue.send(reference.clone());
        Action::await_change()
    }

    async fn reconcile(&self, cached: Box<Cached>, mut resolution: Resolution, slot: Slot) -> Action {
        let (shared, secret_versions) = (&self.shared, cached.secret_versions());
        let Cached { object, uid, namespace, secret, former, .. } = *cached;
        let executor = Executor {
            objects: Api::namespaced(shared.requests.clone(), &namespace),
            secrets: Api::namespaced(shared.requests.clone(), &namespace),
            project: resolution.project.as_deref(),
            pending: &shared.pending,
            crd: &shared.crd,
            projects: &shared.projects,
            users: &shared.users,
            slot: &slot,
            requests: &shared.requests,
        };
        let (started, project) = (Instant::now(), ProjectKey::of(&object));
        let holders = shared.pods.holders(&namespace, &object.name_any());
        let start = Start {
            object,
            secret: secret.as_ref(),
            former: former.as_ref(),
            resolution: &resolution,
            cluster: &shared.cluster,
            default_policy: shared.default_policy,
            pending: &shared.pending,
            holders: &holders,
            clock: shared.clock.state(),
            now: shared.clock.now(),
            time: &shared.clock,
        };
        let ended = reconcile(&executor, start, shared.memory.backoff(&uid)).await;
        shared.metrics.reconciled("OAuthClient", Outcome::of(ended.failure.as_ref()), started.elapsed());
        shared.metrics.credentials_held(i64::try_from(shared.pending.credentials()).unwrap_or(i64::MAX));
        if shared.projects.losses().has_news(&project) {
            shared.declared.enqueue(&project);
        }
        resolution.many_gone = shared.projects.many_gone(&ended.object);
        self.conclude((&uid, &namespace), secret_versions, &resolution, ended)
    }

    /// Remembers and tells how a pass ended.
    fn conclude(
        &self,
        (uid, namespace): (&Uid, &str),
        secret_versions: [Option<Version>; 2],
        resolution: &Resolution,
        mut ended: client::Outcome,
    ) -> Action {
        let memory = &self.shared.memory;
        let events = std::mem::take(&mut ended.events);
        let events = memory.news(uid, &Asked::of(&ended.object), ended.failure.is_some(), events);
        log(namespace, &ended, &events);
        let now = Instant::now();
        memory.remember(uid, ended.failure.is_some(), ended.superseded.clone(), now);
        if let Some(wait) = ended.suppressed_for() {
            let mut known = ended.superseded.secrets;
            known.insert(ended.secret_version);
            let secrets = secret_versions.map(|cached| known.iter().cloned().chain([cached]).collect());
            let until = now.checked_add(wait).unwrap_or(now);
            let awaited = ended.awaited.map(|awaited| (awaited, now + CHECK_INTERVAL));
            ended.requeue = Some(if awaited.is_some() { wait.min(CHECK_INTERVAL) } else { wait });
            let circumstances = self.circumstances(&ended.object, resolution);
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

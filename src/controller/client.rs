//! The controller of OAuthClients: what wakes it, and what it does with how a pass ended.

use std::collections::{BTreeMap, HashSet};
use std::sync::Arc;
use std::time::{Duration, Instant};

use futures::{Stream, StreamExt};
use k8s_openapi::api::core::v1::Secret;
use k8s_openapi::apimachinery::pkg::apis::meta::v1::OwnerReference;
use kube::core::PartialObjectMeta;
use kube::runtime::controller::{Action, Config as ControllerConfig};
use kube::runtime::reflector::{self, ObjectRef, Store};
use kube::runtime::{Controller, WatchStreamExt, watcher};
use kube::{Api, Client, Resource, ResourceExt};
use tokio::sync::{oneshot, watch};

use super::filled;
use super::memory::{Asked, Memory};
use super::tell_of_failed_watch;
use crate::api::names::{GROUP, OAUTH_CLIENT_LABEL};
use crate::api::{ConditionType, OAuthClient, condition};
use crate::client::pending::PendingStore;
use crate::client::{Executor, Start, former_secret_name, reconcile, secret_name};
use crate::decide::id::{ClusterId, Uid, Version};
use crate::decide::marker::Policy;
use crate::decide::project::reference::ProjectKey;
use crate::kubernetes::crd::CrdReader;
use crate::kubernetes::events;
use crate::metrics::{Metrics, Outcome};
use crate::project::Projects;

/// How soon a lagging cache is looked at again.
const CATCH_UP: Duration = Duration::from_millis(100);

/// What all passes share.
pub(super) struct Shared {
    pub(super) requests: Client,
    pub(super) cluster: ClusterId,
    pub(super) projects: Projects,
    pub(super) declared: Arc<super::DeclaredProjects>,
    pub(super) default_policy: Policy,
    pub(super) pending: PendingStore,
    pub(super) crd: CrdReader,
    pub(super) memory: Memory,
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
}

fn scoped<K>(client: Client, namespace: Option<&str>) -> Api<K>
where
    K: Resource<Scope = kube::core::NamespaceResourceScope, DynamicType = ()>,
{
    match namespace {
        Some(namespace) => Api::namespaced(client, namespace),
        None => Api::all(client),
    }
}

impl Watches {
    pub(super) fn new(watches: Client, namespace: Option<String>) -> Self {
        let (objects, object_writer) = reflector::store();
        let (secrets, secret_writer) = reflector::store();
        Self { objects, secrets, namespace, watches, object_writer, secret_writer }
    }

    /// The OAuthClients as cached.
    pub(super) fn objects(&self) -> Store<OAuthClient> {
        self.objects.clone()
    }

    /// Runs until shutdown; then passes under way end first. `requested` are objects that others want looked at.
    pub(super) async fn run(
        self,
        shared: Arc<Shared>,
        concurrency: u16,
        requested: impl Stream<Item = ObjectRef<OAuthClient>> + Send + 'static,
        filled: oneshot::Sender<()>,
        mut shutdown: watch::Receiver<bool>,
    ) {
        let namespace = self.namespace.as_deref();
        let declared = Arc::clone(&shared.declared);
        // Our own bookkeeping of who wrote which field is of no use here and is most of an object's size.
        let objects = watcher(scoped(self.watches.clone(), namespace), watcher::Config::default())
            .default_backoff()
            .modify(|object: &mut OAuthClient| object.managed_fields_mut().clear())
            .reflect(self.object_writer)
            .inspect(filled::tell(filled))
            .inspect(move |event| {
                if let Ok(watcher::Event::Delete(object)) = event {
                    declared.lost_a_user(&ProjectKey::of(object));
                }
            })
            .touched_objects();
        let labelled = watcher::Config::default().labels(OAUTH_CLIENT_LABEL);
        let secrets = watcher(scoped::<PartialObjectMeta<Secret>>(self.watches.clone(), namespace), labelled)
            .default_backoff()
            .modify(|secret| secret.managed_fields_mut().clear())
            .reflect(self.secret_writer)
            .touched_objects();
        let context = Arc::new(Context { shared, secrets: self.secrets });
        Controller::for_stream(objects, self.objects)
            .with_config(ControllerConfig::default().concurrency(concurrency))
            .watches_stream(secrets, |secret: PartialObjectMeta<Secret>| owners(&secret))
            .reconcile_on(requested)
            .graceful_shutdown_on(async move {
                // An error means that the sender is gone, and with it the process's other half.
                let _ = shutdown.wait_for(|down| *down).await;
            })
            .run(wake, after_panic, context)
            .for_each(async |ended| {
                ended.err().iter().for_each(|error| tell_of_failed_watch("OAuthClients or their Secrets", error))
            })
            .await;
    }
}

/// By the label and by the owner reference: whichever of them was altered, it is to be noticed.
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
}

/// A pass that panicked.
#[derive(Debug, thiserror::Error)]
#[error("a reconcile panicked; it is tried again")]
struct Panicked;

async fn wake(object: Arc<OAuthClient>, context: Arc<Context>) -> Result<Action, Panicked> {
    // A task of its own: a panic ends this pass and no other, and passes use all cores.
    tokio::spawn(async move { context.pass(&object).await }).await.map_err(|_| Panicked)
}

fn after_panic(object: Arc<OAuthClient>, error: &Panicked, _: Arc<Context>) -> Action {
    tracing::error!(namespace = object.namespace(), name = object.name_any(), "{error}");
    Action::requeue(Duration::from_secs(60))
}

impl Context {
    async fn pass(&self, object: &OAuthClient) -> Action {
        let shared = &self.shared;
        let uid = Uid::new(object.metadata.uid.as_deref().unwrap_or_default());
        let namespace = object.namespace().unwrap_or_default();
        let secret = self.secrets.get(&ObjectRef::new(&secret_name(object)).within(&namespace));
        let former =
            former_secret_name(object).and_then(|former| self.secrets.get(&ObjectRef::new(former).within(&namespace)));
        let secret_version = secret.as_ref().and_then(|secret| secret.resource_version()).map(Version::new);
        let version = Version::new(object.resource_version().unwrap_or_default());
        if shared.memory.is_behind(&uid, &version, secret_version.as_ref(), Instant::now()) {
            return Action::requeue(CATCH_UP);
        }
        if let Some(wait) = shared.memory.held(&uid, &Asked::of(object), Instant::now()) {
            return Action::requeue(wait);
        }
        let deleting = object.metadata.deletion_timestamp.is_some();
        let Some(resolution) = shared.resolve_for(object, deleting) else {
            // This process has not looked at the project yet; it asks for a pass once it has.
            return Action::await_change();
        };
        let executor = Executor {
            objects: Api::namespaced(shared.requests.clone(), &namespace),
            secrets: Api::namespaced(shared.requests.clone(), &namespace),
            project: resolution.project.as_deref(),
            pending: &shared.pending,
            crd: &shared.crd,
            projects: &shared.projects,
            requests: &shared.requests,
        };
        let started = Instant::now();
        let now = jiff::Timestamp::now();
        let start = Start {
            object: object.clone(),
            secret: secret.as_ref().map(|secret| &secret.metadata),
            former: former.as_ref().map(|former| &former.metadata),
            resolution: &resolution,
            cluster: &shared.cluster,
            default_policy: shared.default_policy,
            pending: &shared.pending,
            now,
        };
        let ended = reconcile(&executor, start, shared.memory.backoff(&uid)).await;
        shared.memory.remember(&uid, ended.failure.is_some(), ended.superseded.clone(), Instant::now());
        if let Some(wait) = ended.hold().filter(|_| resolution.failure.is_none()) {
            shared.memory.hold(&uid, Asked::of(&ended.object), wait, Instant::now());
        }
        shared.metrics.reconciled("OAuthClient", Outcome::of(ended.failure.as_ref()), started.elapsed());
        shared.metrics.credentials_held(i64::try_from(shared.pending.credentials()).unwrap_or(i64::MAX));
        log(&namespace, &object.name_any(), &ended);
        if !ended.events.is_empty() {
            events::publish(&shared.requests, &ended.object, &ended.events, now).await;
        }
        ended.requeue.map_or_else(Action::await_change, Action::requeue)
    }
}

fn log(namespace: &str, name: &str, ended: &crate::client::Outcome) {
    match &ended.failure {
        Some(failure) => {
            tracing::info!(namespace, name, reason = failure.reason.as_str(), "not converged: {}", failure.message);
        }
        None => tracing::debug!(namespace, name, "converged"),
    }
    for event in &ended.events {
        tracing::info!(namespace, name, reason = event.reason, "{}", event.text);
    }
}

/// Counts the cached objects by Ready's reason, and forgets what is remembered of those that are gone.
pub(super) fn take_stock(stores: &[Store<OAuthClient>], shared: &Shared) {
    let mut reasons = BTreeMap::new();
    let mut uids = HashSet::new();
    for object in stores.iter().flat_map(Store::state) {
        uids.insert(Uid::new(object.metadata.uid.as_deref().unwrap_or_default()));
        let conditions = object.status.as_ref().and_then(|status| status.conditions.as_deref()).unwrap_or_default();
        let reason = condition::find(conditions, ConditionType::Ready).map_or("Pending", |ready| &ready.reason);
        *reasons.entry(reason.to_owned()).or_insert(0) += 1;
    }
    shared.memory.keep(&uids);
    shared.pending.keep(&uids);
    shared.metrics.set_clients(reasons);
}

#[cfg(test)]
mod tests {
    use super::*;
    use serde_json::json;

    #[test]
    fn a_secret_wakes_the_client_of_its_label_and_the_one_that_owns_it() {
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

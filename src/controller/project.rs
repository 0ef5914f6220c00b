//! The controller of projects, of either kind: key, connection, listing, status. One listing serves Ready, the resync of
//! all OAuthClients, and the sweep.

use std::collections::HashMap;
use std::fmt::Debug;
use std::hash::Hash;
use std::str::FromStr;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::time::Duration;

use futures::Stream;
use futures::StreamExt;
use jiff::Timestamp;
use k8s_openapi::api::core::v1::Secret;
use kube::api::{Patch, PatchParams};
use kube::runtime::controller::Action;
use kube::runtime::reflector::{self, ObjectRef, Store};
use kube::runtime::{Controller, WatchStreamExt, watcher};
use kube::{Api, Client, ResourceExt};
use serde_json::json;
use tokio::sync::{oneshot, watch};
use tokio::time::Instant;

use super::declared::Declared;
use super::filled;
use super::key_watch::KeyWatches;
use super::project_status::{self, Said};
use super::triggers::Triggers;
use crate::api::Reason;
use crate::api::names::MANAGER;
use crate::decide::desired::project::{ApiKeyRef, Orphans, ProjectSettings};
use crate::decide::failure::{Disposition, Failure};
use crate::decide::id::ClusterId;
use crate::meshagent::{ApiUrl, Connection, MeshAgent, Timeouts};
use crate::metrics::{Metrics, Outcome};
use crate::project::{Known, Listing, Project, ProjectKey, Projects, Snapshot};
use crate::reconcile::failures::{call_failure, within};
use crate::secret::ApiKey;
use crate::sweep::{Sweep, Swept};

/// How often something stalled is tried again, besides on every change.
const STALLED_RETRY: Duration = Duration::from_secs(600);
/// The longest wait between tries to reach a project.
const LONGEST_BACKOFF: Duration = Duration::from_secs(60);
/// A status that differs only in numbers is not written more often.
const STATUS_INTERVAL: Duration = Duration::from_secs(10);

/// What all projects share.
pub(super) struct Shared {
    pub(super) requests: Client,
    pub(super) watches: Client,
    /// The operator's own namespace, where cluster projects have their keys.
    pub(super) namespace: String,
    pub(super) watch_namespaces: Vec<String>,
    pub(super) cluster: ClusterId,
    pub(super) projects: Projects,
    pub(super) triggers: Triggers,
    pub(super) resync_interval: Duration,
    pub(super) metrics: Metrics,
    pub(super) looked: Mutex<HashMap<ProjectKey, Looked>>,
}

/// When and with what a project was last looked at.
#[derive(Clone, Debug)]
pub(super) struct Looked {
    generation: Option<i64>,
    api_key: Option<ApiKey>,
    /// Until then the last listing is good enough; nothing after a failure.
    fresh_until: Option<Instant>,
    failures: u32,
    swept: Swept,
    status_written: Option<Instant>,
}

impl Shared {
    fn looked(&self) -> MutexGuard<'_, HashMap<ProjectKey, Looked>> {
        self.looked.lock().unwrap_or_else(PoisonError::into_inner)
    }

    pub(super) fn forget(&self, key: &ProjectKey) {
        self.looked().remove(key);
        self.projects.gone(key);
        self.metrics.forget_project(&key.to_string());
        self.triggers.wake_users(key);
    }
}

/// Runs the controller of one kind in one scope until shutdown. `requested` are projects that others want looked at.
pub(super) async fn run<K>(
    shared: Arc<Shared>,
    namespace: Option<String>,
    (store, writer): (Store<K>, reflector::store::Writer<K>),
    key_watches: KeyWatches<K>,
    requested: impl Stream<Item = ObjectRef<K>> + Send + 'static,
    filled: oneshot::Sender<()>,
    mut shutdown: watch::Receiver<bool>,
) where
    K: Declared,
    K::DynamicType: Hash + Eq + Clone + Debug + Unpin,
{
    let (gone, watches) = (Arc::clone(&shared), key_watches.clone());
    let objects = watcher(K::api(shared.watches.clone(), namespace.as_deref()), watcher::Config::default())
        .default_backoff()
        .modify(|object: &mut K| object.managed_fields_mut().clear())
        .reflect(writer)
        .inspect(filled::tell(filled))
        .inspect(move |event| {
            if let Ok(watcher::Event::Delete(object)) = event {
                watches.forget(&object.key());
                gone.forget(&object.key());
            }
        })
        .touched_objects();
    let context = Arc::new(Context { shared, key_watches });
    Controller::for_stream(objects, store)
        .reconcile_on(requested)
        .graceful_shutdown_on(async move {
            let _ = shutdown.wait_for(|down| *down).await;
        })
        .run(wake, after_panic, context)
        .for_each(|_| std::future::ready(()))
        .await;
}

struct Context<K: Declared> {
    shared: Arc<Shared>,
    key_watches: KeyWatches<K>,
}

/// A look that panicked.
#[derive(Debug, thiserror::Error)]
#[error("looking at a project panicked; it is tried again")]
struct Panicked;

async fn wake<K: Declared>(object: Arc<K>, context: Arc<Context<K>>) -> Result<Action, Panicked> {
    tokio::spawn(async move { context.look(&object).await }).await.map_err(|_| Panicked)
}

fn after_panic<K: Declared>(object: Arc<K>, error: &Panicked, _: Arc<Context<K>>) -> Action {
    tracing::error!(project = %object.key(), "{error}");
    Action::requeue(LONGEST_BACKOFF)
}

/// What a look came to.
struct Outlook {
    project: Option<Arc<Project>>,
    failure: Option<Failure>,
    listing: Option<Arc<Listing>>,
}

impl<K: Declared> Context<K> {
    async fn look(&self, object: &K) -> Action {
        let (shared, key, started) = (&self.shared, object.key(), Instant::now());
        let before = shared.looked().get(&key).cloned();
        let settings = ProjectSettings::read(object.settings());
        let api_key = match &settings {
            Ok(settings) => self.read_key(object, &settings.api_key).await,
            Err(invalid) => Err(Failure::stalled(Reason::InvalidSpec, invalid.to_string())),
        };
        if let Some(wait) = still_fresh(before.as_ref(), object, api_key.as_ref().ok()) {
            return self.say_numbers(object, wait).await;
        }
        let outlook = match (&settings, &api_key) {
            (Ok(settings), Ok(api_key)) => self.list(&key, settings, api_key).await,
            (_, Err(failure)) => self.out_of_reach(&key, failure.clone()),
            (Err(_), Ok(_)) => return Action::requeue(STALLED_RETRY),
        };
        let known =
            Known { project: outlook.project.clone(), failure: outlook.failure.clone(), allowed: object.allowed() };
        let changed = shared.projects.put(&key, known);
        let rule = settings.as_ref().ok().map(|settings| settings.orphans);
        let swept = match self.sweep(object, &outlook, rule).await {
            Some(swept) => swept,
            None => before.as_ref().map(|before| before.swept.clone()).unwrap_or_default(),
        };
        if changed || outlook.listing.is_some() {
            shared.triggers.wake_users(&key);
        }
        let wait = self.remember(object, &outlook, api_key.ok(), swept, before);
        shared.metrics.reconciled(K::KIND.as_str(), Outcome::of(outlook.failure.as_ref()), started.elapsed());
        if let Some(failure) = &outlook.failure {
            tracing::warn!(project = %key, reason = failure.reason.as_str(), "{}", failure.message);
        }
        self.say(object, outlook.failure.as_ref()).await;
        Action::requeue(wait)
    }

    /// A look that needs no call: the last listing is fresh. Only numbers may have changed.
    async fn say_numbers(&self, object: &K, wait: Duration) -> Action {
        let key = object.key();
        let written = self.shared.looked().get(&key).and_then(|looked| looked.status_written);
        let pause = written.map_or(Duration::ZERO, |written| STATUS_INTERVAL.saturating_sub(written.elapsed()));
        // Who may use it is read on every change, listing or not.
        let known = self.shared.projects.get(&key);
        if let Some(known) = known {
            self.shared.projects.put(&key, Known { allowed: object.allowed(), ..known });
        }
        if !pause.is_zero() {
            return Action::requeue(pause.min(wait));
        }
        self.say(object, None).await;
        Action::requeue(wait)
    }

    /// Sweeps what a fresh listing shows.
    async fn sweep(&self, object: &K, outlook: &Outlook, rule: Option<Orphans>) -> Option<Swept> {
        let (project, listing) = (outlook.project.as_ref()?, outlook.listing.as_ref()?);
        let Shared { requests, cluster, watch_namespaces, .. } = &*self.shared;
        let now = Timestamp::now();
        self.shared.metrics.resynced(&object.key().to_string(), now);
        let objects = self.shared.triggers.stores();
        let sweep = Sweep { requests, cluster, objects, namespaces: watch_namespaces, now };
        let known = object.present_status().orphans.unwrap_or_default();
        let swept = sweep.sweep(project, listing, &known, rule?).await;
        let orphans = i64::try_from(swept.orphans.len()).unwrap_or(i64::MAX);
        self.shared.metrics.set_orphans(&object.key().to_string(), orphans);
        Some(swept)
    }

    /// What the next look has to know, and when it comes.
    fn remember(
        &self,
        object: &K,
        outlook: &Outlook,
        api_key: Option<ApiKey>,
        swept: Swept,
        before: Option<Looked>,
    ) -> Duration {
        let failures = match &outlook.failure {
            None => 0,
            Some(_) => before.as_ref().map_or(0, |before| before.failures).saturating_add(1).min(16),
        };
        let wait = self.wait(outlook.failure.as_ref(), failures, swept.next);
        let looked = Looked {
            generation: object.meta().generation,
            api_key,
            fresh_until: outlook.failure.is_none().then(|| Instant::now() + wait),
            failures,
            status_written: before.and_then(|before| before.status_written),
            swept,
        };
        self.shared.looked().insert(object.key(), looked);
        wait
    }

    /// How long until the next look.
    fn wait(&self, failure: Option<&Failure>, failures: u32, orphan: Option<Duration>) -> Duration {
        match failure.map(|failure| failure.disposition) {
            None => self.shared.resync_interval.min(orphan.unwrap_or(Duration::MAX)).max(Duration::from_secs(1)),
            Some(Disposition::Retry(Some(after))) => after.max(Duration::from_secs(1)),
            Some(Disposition::Retry(None)) => Duration::from_secs(1)
                .saturating_mul(2_u32.saturating_pow(failures.saturating_sub(1)))
                .min(LONGEST_BACKOFF),
            Some(Disposition::Stalled | Disposition::StalledHourly | Disposition::Wait) => STALLED_RETRY,
        }
    }

    /// Where a project's key is: its own namespace, or the operator's.
    fn key_namespace(&self, object: &K) -> String {
        object.namespace().unwrap_or_else(|| self.shared.namespace.clone())
    }

    async fn read_key(&self, object: &K, reference: &ApiKeyRef) -> Result<ApiKey, Failure> {
        let namespace = self.key_namespace(object);
        let ApiKeyRef { secret, key } = reference;
        self.key_watches.follow(&self.shared.watches, object, &namespace, secret);
        let missing = |what: &str| {
            let fix = format!(
                "kubectl create secret generic {secret} -n {namespace} --from-literal={key}=\"$MESHAGENT_API_KEY\""
            );
            Failure::wait(Reason::CredentialsNotFound, format!("{what}; create it: {fix}"))
        };
        let secrets: Api<Secret> = Api::namespaced(self.shared.requests.clone(), &namespace);
        let found = match within("read the API key", secrets.get(secret)).await {
            Ok(found) => found,
            Err(error) if error.proves_absence_of("secrets") => {
                return Err(missing(&format!("there is no Secret {secret} in namespace {namespace}")));
            }
            Err(error) => {
                return Err(Failure { reason: Reason::ProjectNotReady, ..error.of_object() });
            }
        };
        let value =
            found.data.as_ref().and_then(|data| data.get(key)).ok_or_else(|| {
                missing(&format!("the Secret {secret} in namespace {namespace} has no data key {key}"))
            })?;
        ApiKey::new(&value.0).map_err(|error| {
            Failure::stalled(
                Reason::AuthenticationFailed,
                format!("the data key {key} of Secret {secret} in namespace {namespace} is no API key: {error}"),
            )
        })
    }

    /// Connects and lists. Until a new key has worked, the connection that worked last is kept.
    async fn list(&self, key: &ProjectKey, settings: &ProjectSettings, api_key: &ApiKey) -> Outlook {
        let before = self.shared.projects.get(key).and_then(|known| known.project);
        let project = match self.connect(settings, api_key, before.as_deref()) {
            Ok(project) => Arc::new(project),
            Err(failure) => return self.out_of_reach(key, failure),
        };
        match project.snapshot.list(&project.api).await {
            Ok(listing) => Outlook { project: Some(project), failure: None, listing: Some(listing) },
            Err(error) => self.out_of_reach(key, call_failure(&error)),
        }
    }

    fn out_of_reach(&self, key: &ProjectKey, failure: Failure) -> Outlook {
        let project = self.shared.projects.get(key).and_then(|known| known.project);
        Outlook { project, failure: Some(failure), listing: None }
    }

    fn connect(
        &self,
        settings: &ProjectSettings,
        api_key: &ApiKey,
        before: Option<&Project>,
    ) -> Result<Project, Failure> {
        let invalid = |problem: String| Failure::stalled(Reason::InvalidSpec, problem);
        let project_id = project_id(settings.project_id.as_deref(), api_key)?;
        let base_url = ApiUrl::from_str(&settings.api_url).map_err(|error| invalid(format!("spec.apiUrl: {error}")))?;
        let (authorize_url, token_url) = (base_url.authorize_url(), base_url.token_url());
        let api = MeshAgent::new(Connection {
            base_url,
            project_id: project_id.clone(),
            key: api_key.clone(),
            ca_bundle: None,
            timeouts: Timeouts::default(),
            observer: self.shared.metrics.observer(),
        })
        .map_err(|error| invalid(error.to_string()))?;
        let same = before.filter(|before| before.project_id == project_id && before.token_url == token_url);
        let snapshot = same.map_or_else(|| Arc::new(Snapshot::default()), |before| Arc::clone(&before.snapshot));
        Ok(Project { api, project_id, authorize_url, token_url, snapshot })
    }

    /// Writes the status, if it differs. A failure is logged; the next look writes it.
    async fn say(&self, object: &K, failure: Option<&Failure>) {
        let key = object.key();
        let project_id = self.shared.projects.get(&key).and_then(|known| known.project).map(|p| p.project_id.clone());
        let swept = self.shared.looked().get(&key).map(|looked| looked.swept.clone()).unwrap_or_default();
        let present = object.present_status();
        let said = Said {
            generation: object.meta().generation.unwrap_or_default(),
            failure,
            project_id,
            clients: self.shared.triggers.users(&key),
            swept: &swept,
            now: Timestamp::now(),
        };
        let status = project_status::status(&present, &said);
        if status == present {
            return;
        }
        let patch = json!({
            "metadata": { "resourceVersion": object.resource_version() },
            "status": crate::reconcile::difference(&json!(present), &json!(status)),
        });
        let api = K::api(self.shared.requests.clone(), object.namespace().as_deref());
        let params = PatchParams { field_manager: Some(MANAGER.to_owned()), ..PatchParams::default() };
        match within("write the project's status", api.patch_status(&key.name, &params, &Patch::Merge(patch))).await {
            Ok(_) => {
                if let Some(looked) = self.shared.looked().get_mut(&key) {
                    looked.status_written = Some(Instant::now());
                }
            }
            // The newer version wakes this project again.
            Err(error) if error.is_conflict() => {}
            Err(error) => tracing::warn!(project = %key, "{}", error.of_object().message),
        }
    }
}

/// How long the last listing is still good enough, if nothing changed since.
fn still_fresh<K: Declared>(before: Option<&Looked>, object: &K, api_key: Option<&ApiKey>) -> Option<Duration> {
    let before = before?;
    let same = before.generation == object.meta().generation && before.api_key.as_ref() == api_key && api_key.is_some();
    let left = before.fresh_until?.saturating_duration_since(Instant::now());
    (same && !left.is_zero()).then_some(left)
}

/// The project's id, from the spec and from the key; if both name one, they must agree.
fn project_id(declared: Option<&str>, api_key: &ApiKey) -> Result<String, Failure> {
    match (declared, api_key.project_id()) {
        (Some(declared), Some(carried)) if !declared.eq_ignore_ascii_case(&carried) => Err(Failure::stalled(
            Reason::ProjectMismatch,
            format!("the API key belongs to project {carried}, but spec.projectId is {declared}; correct one of them"),
        )),
        (Some(declared), _) => Ok(declared.to_owned()),
        (None, Some(carried)) => Ok(carried),
        (None, None) => Err(Failure::stalled(
            Reason::InvalidSpec,
            "spec.projectId is missing, and the API key is not of the form that carries it (ma-…); set spec.projectId",
        )),
    }
}

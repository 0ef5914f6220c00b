//! The controller of projects, of either kind: key, connection, listing, status. One listing serves Ready, the resync of
//! all OAuthClients, and the sweep.

mod access;
mod connect;
mod hold;
mod pace;

use std::collections::HashMap;
use std::fmt::Debug;
use std::hash::Hash;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::time::Duration;

use futures::Stream;
use futures::StreamExt;
use jiff::Timestamp;
use kube::api::{Patch, PatchParams};
use kube::runtime::controller::Action;
use kube::runtime::reflector::{self, ObjectRef, Store};
use kube::runtime::{Controller, WatchStreamExt, watcher};
use kube::{Client, ResourceExt};
use serde_json::json;
use tokio::sync::{oneshot, watch};
use tokio::time::Instant;

use super::declared::Declared;
use super::filled;
use super::key_watch::KeyWatches;
use super::project_status::{self, Said};
use super::tell_of_failed_watch;
use super::triggers::Triggers;
use crate::api::Reason;
use crate::api::names::MANAGER;
use crate::decide::failure::{Disposition, Failure};
use crate::decide::id::ClusterId;
use crate::decide::project::spec::{Orphans, ProjectSettings};
use crate::kubernetes::within;
use crate::leader::Leadership;
use crate::meshagent::AllowedHosts;
use crate::metrics::{Metrics, Outcome};
use crate::project::sweep::{Sweep, Swept};
use crate::project::{Known, Listing, Project, ProjectKey, Projects};
use access::Access;
use pace::{Looked, SpecVersion};

/// After a key that the Kubernetes API did not give out.
const KEY_RETRY: Duration = Duration::from_secs(5);
/// After a status or finalizer that the Kubernetes API did not take.
const WRITE_RETRY: Duration = Duration::from_secs(10);
/// After a panic.
const PANIC_RETRY: Duration = Duration::from_secs(60);

/// What all projects share.
pub(super) struct Shared {
    pub(super) requests: Client,
    pub(super) watches: Client,
    /// The operator's own namespace, where cluster projects have their keys.
    pub(super) namespace: String,
    pub(super) watch_namespaces: Vec<String>,
    pub(super) allowed_api_hosts: AllowedHosts,
    pub(super) cluster: ClusterId,
    pub(super) projects: Projects,
    pub(super) triggers: Triggers,
    pub(super) resync_interval: Duration,
    pub(super) metrics: Metrics,
    pub(super) leadership: Leadership,
    pub(super) looked: Mutex<HashMap<ProjectKey, Looked>>,
}

impl Shared {
    fn looked(&self) -> MutexGuard<'_, HashMap<ProjectKey, Looked>> {
        self.looked.lock().unwrap_or_else(PoisonError::into_inner)
    }

    pub(super) fn forget(&self, key: &ProjectKey) {
        self.looked().remove(key);
        self.projects.gone(key, self.triggers.users(key) > 0);
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
        .for_each(async |ended| ended.err().iter().for_each(|error| tell_of_failed_watch(K::KIND.as_str(), error)))
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
    tokio::spawn(async move { context.attend(&object).await }).await.map_err(|_| Panicked)
}

fn after_panic<K: Declared>(object: Arc<K>, error: &Panicked, _: Arc<Context<K>>) -> Action {
    tracing::error!(project = %object.key(), "{error}");
    Action::requeue(PANIC_RETRY)
}

/// What a look came to.
struct Outlook {
    project: Option<Arc<Project>>,
    failure: Option<Failure>,
    listing: Option<Arc<Listing>>,
}

impl<K: Declared> Context<K> {
    /// Holds or releases the object, and looks at it as long as it is there.
    async fn attend(&self, object: &K) -> Action {
        if self.is_free(object) {
            return self.release(object).await;
        }
        match self.hold(object).await {
            Ok(held) => Action::requeue(self.look(held.as_ref().unwrap_or(object)).await),
            // Of its newer version, or of its end, the watch tells.
            Err(error) if error.is_conflict() || error.proves_absence_of::<K>(&object.name_any()) => {
                Action::await_change()
            }
            Err(error) => {
                tracing::warn!(project = %object.key(), "{}", error.of_object().message);
                Action::requeue(self.look(object).await.min(WRITE_RETRY))
            }
        }
    }

    /// Returns how long until the next look.
    async fn look(&self, object: &K) -> Duration {
        let (shared, key, started) = (&self.shared, object.key(), Instant::now());
        if shared.projects.allow(&key, object.allowed(), object.adoption()) {
            shared.triggers.wake_users(&key);
        }
        let before = shared.looked().get(&key).cloned();
        let settings = ProjectSettings::read(object.settings())
            .map_err(|invalid| Failure::stalled(Reason::InvalidSpec, invalid.to_string()))
            .and_then(|settings| access::allowed_server(K::KIND, &shared.allowed_api_hosts, settings));
        let access = match &settings {
            Ok(settings) => self.read_access(object, settings).await,
            Err(invalid) => Err(invalid.clone()),
        };
        let good_for =
            |before: &Looked| before.good_for(&SpecVersion::of(object), access.as_ref().ok()?, Instant::now());
        if let Some(wait) = before.as_ref().and_then(good_for) {
            return wait.min(self.say(object).await);
        }
        if let Err(failure) = &access
            && self.works_without(&key, failure)
        {
            tracing::warn!(project = %key, "the API key was not read again: {}", failure.message);
            return KEY_RETRY;
        }
        let outlook = match (&settings, &access) {
            (Ok(settings), Ok(access)) => self.list(&key, settings, access).await,
            (Err(failure), _) | (_, Err(failure)) => self.out_of_reach(&key, self.past_mending(object, failure)),
        };
        let known = Known {
            project: outlook.project.clone(),
            failure: outlook.failure.clone(),
            allowed: object.allowed(),
            adoption: object.adoption(),
        };
        if shared.projects.put(&key, known) || outlook.listing.is_some() {
            shared.triggers.wake_users(&key);
        }
        let rule = settings.as_ref().ok().map(|settings| settings.orphans);
        let swept = match self.sweep(object, &outlook, rule, before.as_ref()).await {
            Some(swept) => swept,
            // The status outlives this process: what it lists is not forgotten because nothing can be listed now.
            None => before.as_ref().map(|before| before.swept.clone()).unwrap_or_else(|| {
                let orphans = object.present_status().orphans.unwrap_or_default();
                Swept { orphans, next: None }
            }),
        };
        shared.metrics.reconciled(K::KIND.as_str(), Outcome::of(outlook.failure.as_ref()), started.elapsed());
        if let Some(failure) = &outlook.failure {
            tracing::warn!(project = %key, reason = failure.reason.as_str(), "{}", failure.message);
        }
        let wait = self.remember(object, outlook.failure, access.ok(), swept, before);
        wait.min(self.say(object).await)
    }

    /// Whether the key in memory does, while the Kubernetes API cannot be asked for it: a hiccup there is no reason to
    /// tell all users that their project is not ready.
    fn works_without(&self, key: &ProjectKey, failure: &Failure) -> bool {
        let passing = match failure.disposition {
            Disposition::Retry(_) => true,
            Disposition::Stalled | Disposition::StalledHourly | Disposition::Wait => false,
        };
        passing && self.shared.projects.get(key).is_some_and(|known| known.project.is_some() && known.failure.is_none())
    }

    /// Sweeps what a fresh listing shows.
    async fn sweep(
        &self,
        object: &K,
        outlook: &Outlook,
        rule: Option<Orphans>,
        before: Option<&Looked>,
    ) -> Option<Swept> {
        let (project, listing) = (outlook.project.as_ref()?, outlook.listing.as_ref()?);
        let Shared { requests, cluster, watch_namespaces, .. } = &*self.shared;
        let now = Timestamp::now();
        self.shared.metrics.resynced(&object.key().to_string(), now);
        let objects = self.shared.triggers.stores();
        let sweep = Sweep { requests, cluster, objects, namespaces: watch_namespaces, now };
        // The status outlives this process, and memory holds those that the status has no room for.
        let said = object.present_status().orphans.unwrap_or_default();
        let known = said.iter().chain(before.iter().flat_map(|before| &before.swept.orphans));
        let swept = sweep.sweep(project, listing, known, rule?).await;
        let orphans = i64::try_from(swept.orphans.len()).unwrap_or(i64::MAX);
        self.shared.metrics.set_orphans(&object.key().to_string(), orphans);
        Some(swept)
    }

    /// What the next look has to know, and when it comes.
    fn remember(
        &self,
        object: &K,
        failure: Option<Failure>,
        access: Option<Access>,
        swept: Swept,
        before: Option<Looked>,
    ) -> Duration {
        let failures = pace::failures(before.as_ref(), failure.as_ref());
        let wait = pace::wait(failure.as_ref(), failures, self.shared.resync_interval, swept.next);
        let looked = Looked {
            edition: SpecVersion::of(object),
            access,
            failure,
            failures,
            until: Instant::now() + wait,
            swept,
            status_written: before.and_then(|before| before.status_written),
        };
        self.shared.looked().insert(object.key(), looked);
        wait
    }

    /// Writes the status, if it differs. Returns how long until that is to be tried again.
    async fn say(&self, object: &K) -> Duration {
        let key = object.key();
        let abandoned = self.shared.projects.take_abandoned(&key);
        let looked = self.shared.looked().get_mut(&key).map(|looked| {
            looked.swept.add(abandoned);
            looked.clone()
        });
        let Some(looked) = looked else {
            return Duration::MAX;
        };
        let project_id = self.shared.projects.get(&key).and_then(|known| known.project).map(|p| p.project_id.clone());
        let present = object.present_status();
        let said = Said {
            generation: object.meta().generation.unwrap_or_default(),
            failure: looked.failure.as_ref(),
            project_id,
            clients: self.shared.triggers.users(&key),
            swept: &looked.swept,
            held: self.why_held(object),
            now: Timestamp::now(),
        };
        let status = project_status::status(&present, &said);
        let pause = looked.status_pause(Instant::now());
        if status == present {
            return Duration::MAX;
        }
        if !pause.is_zero() && !project_status::is_urgent(&present, &status) {
            return pause;
        }
        let patch = json!({
            "metadata": { "resourceVersion": object.resource_version() },
            "status": crate::client::difference(&json!(present), &json!(status)),
        });
        let api = K::api(self.shared.requests.clone(), object.namespace().as_deref());
        let params = PatchParams { field_manager: Some(MANAGER.to_owned()), ..PatchParams::default() };
        match within("write the project's status", api.patch_status(&key.name, &params, &Patch::Merge(patch))).await {
            Ok(_) => {
                if let Some(looked) = self.shared.looked().get_mut(&key) {
                    looked.status_written = Some(Instant::now());
                }
                Duration::MAX
            }
            // The newer version wakes this project again.
            Err(error) if error.is_conflict() => Duration::MAX,
            Err(error) => {
                tracing::warn!(project = %key, "{}", error.of_object().message);
                WRITE_RETRY
            }
        }
    }
}

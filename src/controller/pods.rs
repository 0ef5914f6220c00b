//! The pods that were given a credential, by their metadata alone: who still holds a former one, and who waits for one.

use std::collections::{BTreeMap, HashMap};
use std::mem;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::time::{Duration, Instant};

use futures::future::BoxFuture;
use futures::{FutureExt as _, StreamExt as _};
use jiff::Timestamp;
use k8s_openapi::api::core::v1::Pod;
use k8s_openapi::apimachinery::pkg::apis::meta::v1::ObjectMeta;
use kube::core::PartialObjectMeta;
use kube::runtime::reflector::Store;
use kube::runtime::watcher::{self, Event as Change};
use kube::runtime::{WatchStreamExt as _, watcher as watch_objects};
use kube::{Api, Client, Resource as _};

use super::namespaces::forbidden;
use super::triggers::Triggers;
use crate::api::event::EventReason;
use crate::api::names::OAUTH_CLIENT_LABEL;
use crate::decide::client::holders::{Holder, Holders, controller, holder};
use crate::decide::inject::waiting::{Promise, promise, why};
use crate::decide::words;
use crate::kubernetes::cached;
use crate::kubernetes::cached_secret::CachedSecret;
use crate::kubernetes::clock::Clock;
use crate::kubernetes::events::{Event, EventType, Events};
use crate::kubernetes::readable::Readable;
use crate::kubernetes::scoped;
use crate::kubernetes::watch_backoff::WatchBackoff;
use crate::project::CachedClient;

/// Pods that run, or will: those that have ended hold nothing.
const RUNNING: &str = "status.phase!=Succeeded,status.phase!=Failed";
/// How often it is asked which pods wait.
const WAITING_INTERVAL: Duration = Duration::from_secs(5);
/// How old a pod is at least that is told why it waits: Secret and pod often come together.
const SETTLED: Duration = Duration::from_secs(5);

/// How long the API server refuses to show pods before overlaps alone count: if it has never shown any, and if it has.
const REFUSED_AT_FIRST: Duration = Duration::from_secs(20);
const REFUSED_LATER: Duration = Duration::from_secs(10 * 60);
/// How long after a refusal another one still belongs to it: a watch that is refused is tried again every ten seconds.
const REFUSED_IN_A_ROW: Duration = Duration::from_secs(30);

/// A watched scope: all namespaces, or one.
type Scope = Option<String>;

/// The labelled pods of all scopes; clones share them.
#[derive(Clone, Default)]
pub(super) struct Pods(Arc<Mutex<HashMap<Scope, Seen>>>);

/// The pods of one scope.
#[derive(Default)]
struct Seen {
    state: State,
    /// The first and the last of the refusals in a row to show the pods.
    refused: Option<(Instant, Instant)>,
    /// The OAuthClient that each pod was given the credential of, by namespace and name, as it was first seen. Another value of
    /// its label changes nothing of that until the pods are listed anew; a pod whose label is taken off counts as gone.
    clients: HashMap<(String, String), String>,
    /// By namespace and OAuthClient, and by name.
    holders: HashMap<(String, String), BTreeMap<String, Holder>>,
    /// Pods whose Secret was not there when that was looked for last, by namespace and name.
    waiting: BTreeMap<(String, String), Waiting>,
}

/// Whether the pods of a scope are known.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
enum State {
    #[default]
    Unknown,
    /// The operator has no right to see them.
    Unseen,
    Seen,
}

struct Waiting {
    pod: PartialObjectMeta<Pod>,
    promise: Promise,
    /// What the pod was told last, without what changes from one text to the next.
    told: Option<String>,
}

/// The caches of one scope that say what a pod waits for.
pub(super) struct Caches {
    pub(super) scope: Scope,
    pub(super) objects: Store<CachedClient>,
    pub(super) secrets: Store<CachedSecret>,
}

impl Pods {
    /// The pods that hold credentials of an OAuthClient.
    pub(super) fn holders(&self, namespace: &str, name: &str) -> Holders {
        let scopes = self.open();
        let seen = scopes.get(&None).or_else(|| scopes.get(&Some(namespace.to_owned())));
        match seen.map(|seen| (seen.state, &seen.holders)) {
            None | Some((State::Unknown, _)) => Holders::Unknown,
            Some((State::Unseen, _)) => Holders::Unseen,
            Some((State::Seen, holders)) => {
                let key = (namespace.to_owned(), name.to_owned());
                Holders::Seen(holders.get(&key).into_iter().flat_map(BTreeMap::values).cloned().collect())
            }
        }
    }

    /// What goes on for ever: the watch of each scope, and telling pods why they wait.
    pub(super) fn tasks(
        &self,
        watches: &Client,
        caches: Vec<Caches>,
        triggers: &Triggers,
        (events, clock): (&Events, &Clock),
    ) -> Vec<BoxFuture<'static, ()>> {
        let watched = caches.iter().map(|caches| caches.scope.clone());
        let watch = |scope| self.clone().watch(watches.clone(), scope, triggers.clone()).boxed();
        let mut tasks: Vec<_> = watched.map(watch).collect();
        tasks.push(self.clone().tell(caches, triggers.clone(), events.clone(), clock.clone()).boxed());
        tasks
    }

    /// Watches the pods of a scope for ever.
    async fn watch(self, watches: Client, scope: Scope, triggers: Triggers) {
        self.open().entry(scope.clone()).or_default();
        loop {
            // A watch from its last version on would report nothing when the right is back, so a new one begins.
            self.watch_until_given_up(watches.clone(), &scope, &triggers).await;
        }
    }

    /// Watches the pods of a scope until they may not be seen any more. A pod that is gone enqueues its OAuthClient, if a
    /// former client retires there.
    async fn watch_until_given_up(&self, watches: Client, scope: &Scope, triggers: &Triggers) {
        let pods: Api<Readable<PartialObjectMeta<Pod>>> = scoped(watches, scope.as_deref());
        let running = watcher::Config::default().labels(OAUTH_CLIENT_LABEL).fields(RUNNING);
        let mut changes = watch_objects(pods, running).backoff(WatchBackoff::default()).boxed();
        let mut listed = Seen::default();
        while let Some(change) = changes.next().await {
            match change {
                Ok(Change::Init) => listed = Seen { state: State::Seen, ..Seen::default() },
                Ok(Change::InitApply(pod)) => listed.add(pod.meta()),
                Ok(Change::InitDone) => {
                    self.with(scope, |seen| {
                        for (key, waiting) in &mut listed.waiting {
                            waiting.told = seen.waiting.remove(key).and_then(|before| before.told);
                        }
                        *seen = mem::take(&mut listed);
                    });
                    triggers.enqueue_retiring(None);
                }
                Ok(Change::Apply(pod)) => self.with(scope, |seen| seen.add(pod.meta())),
                Ok(Change::Delete(pod)) => {
                    let mut client = None;
                    self.with(scope, |seen| client = seen.remove(pod.meta()));
                    if let Some((namespace, client)) = client {
                        triggers.enqueue_retiring(Some((&namespace, &client)));
                    }
                }
                Err(error) if self.failed(scope, &error, triggers) => return,
                Err(_) => {}
            }
        }
    }

    /// Notes that pods cannot be watched, and returns whether they may not be seen from now on. Who has no right to it for
    /// long goes by overlaps alone; a refusal may also come of roles that are just made anew, and a client that is
    /// deleted does not come back.
    fn failed(&self, scope: &Scope, error: &watcher::Error, triggers: &Triggers) -> bool {
        if forbidden(error).is_none() {
            tracing::warn!(%error, "pods cannot be watched; it is tried again");
            return false;
        }
        let mut given_up = false;
        self.with(scope, |seen| given_up = seen.refuse(Instant::now()));
        if given_up {
            tracing::warn!("pods may not be watched, so former clients end with their overlap, whoever holds them");
            triggers.enqueue_retiring(None);
        }
        given_up
    }

    /// Tells pods why they wait, now and then, for ever.
    async fn tell(self, caches: Vec<Caches>, triggers: Triggers, events: Events, clock: Clock) {
        loop {
            tokio::time::sleep(WAITING_INTERVAL).await;
            if !triggers.users().are_filled() {
                continue;
            }
            for Caches { scope, objects, secrets } in &caches {
                self.with(scope, |seen| seen.tell(objects, secrets, &events, clock.now()));
            }
        }
    }

    fn with(&self, scope: &Scope, change: impl FnOnce(&mut Seen)) {
        if let Some(seen) = self.open().get_mut(scope) {
            change(seen);
        }
    }

    fn open(&self) -> MutexGuard<'_, HashMap<Scope, Seen>> {
        self.0.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

impl Seen {
    /// Counts a refusal to show the pods, and returns whether it has lasted so long that they count as unseen from now on.
    fn refuse(&mut self, now: Instant) -> bool {
        let in_a_row = self.refused.filter(|(_, last)| now.duration_since(*last) <= REFUSED_IN_A_ROW);
        let first = in_a_row.map_or(now, |(first, _)| first);
        self.refused = Some((first, now));
        let patience = match self.state {
            State::Unknown => REFUSED_AT_FIRST,
            State::Seen => REFUSED_LATER,
            State::Unseen => return false,
        };
        let given_up = now.duration_since(first) >= patience;
        if given_up {
            *self = Self { state: State::Unseen, ..Self::default() };
        }
        given_up
    }

    fn add(&mut self, metadata: &ObjectMeta) {
        let Some(promise) = promise(metadata) else { return };
        let (namespace, name) = address(metadata);
        let key = (namespace.clone(), name.clone());
        if let Some(client) = self.clients.get(&key) {
            let holders = self.holders.get_mut(&(namespace, client.clone()));
            if let Some(known) = holders.and_then(|holders| holders.get_mut(&name)) {
                known.ending = metadata.deletion_timestamp.is_some();
                known.owner = controller(metadata).cloned();
            }
            return;
        }
        self.clients.insert(key.clone(), promise.client.clone());
        if let Some((client, holder)) = holder(metadata) {
            self.holders.entry((namespace.clone(), client.to_owned())).or_default().insert(name.clone(), holder);
        }
        let pod = PartialObjectMeta {
            metadata: ObjectMeta {
                name: Some(name),
                namespace: Some(namespace),
                uid: metadata.uid.clone(),
                creation_timestamp: metadata.creation_timestamp.clone(),
                ..ObjectMeta::default()
            },
            ..PartialObjectMeta::default()
        };
        self.waiting.insert(key, Waiting { pod, promise, told: None });
    }

    /// Forgets a pod, and returns namespace and name of its OAuthClient.
    fn remove(&mut self, metadata: &ObjectMeta) -> Option<(String, String)> {
        let (namespace, name) = address(metadata);
        let key = (namespace.clone(), name.clone());
        self.waiting.remove(&key);
        let client = (namespace, self.clients.remove(&key)?);
        if let Some(holders) = self.holders.get_mut(&client) {
            holders.remove(&name);
            if holders.is_empty() {
                self.holders.remove(&client);
            }
        }
        Some(client)
    }

    /// Tells each pod that waits why, if that is news; forgets those whose Secret is there.
    fn tell(&mut self, objects: &Store<CachedClient>, secrets: &Store<CachedSecret>, events: &Events, now: Timestamp) {
        // A cache that is not filled lacks Secrets that are there.
        if secrets.wait_until_ready().now_or_never().is_none() {
            return;
        }
        self.waiting.retain(|(namespace, _), waiting| cached(secrets, namespace, &waiting.promise.secret).is_none());
        for ((namespace, _), Waiting { pod, promise, told }) in &mut self.waiting {
            let created = pod.metadata.creation_timestamp.as_ref().map(|at| at.0);
            let age = created.and_then(|created| Duration::try_from(now.duration_since(created)).ok());
            if age.is_none_or(|age| age < SETTLED) {
                continue;
            }
            let client = cached(objects, namespace, &promise.client).map(|client| client.unpack());
            let Ok(client) = client.transpose() else { continue };
            let Some(text) = why(promise, namespace, client.as_ref()) else { continue };
            let essence = words::essence(&text);
            if told.as_ref() != Some(&essence) {
                let reason = EventReason::CredentialAwaited.as_str().to_owned();
                events.publish(pod, vec![Event { type_: EventType::Warning, reason, text }]);
                *told = Some(essence);
            }
        }
    }
}

fn address(metadata: &ObjectMeta) -> (String, String) {
    (metadata.namespace.clone().unwrap_or_default(), metadata.name.clone().unwrap_or_default())
}

#[cfg(test)]
mod tests {
    use super::*;

    /// Whether the pods are given up after refusals at these seconds.
    fn given_up(state: State, seconds: &[u64]) -> bool {
        let (mut seen, begin) = (Seen { state, ..Seen::default() }, Instant::now());
        let given_up: Vec<bool> = seconds.iter().map(|at| seen.refuse(begin + Duration::from_secs(*at))).collect();
        assert_eq!(given_up.last() == Some(&true), seen.state == State::Unseen);
        assert!(given_up.iter().rev().skip(1).all(|earlier| !earlier), "{given_up:?}");
        given_up.last() == Some(&true)
    }

    #[test]
    fn pods_are_given_up_after_refusals_in_a_row_for_as_long_as_a_role_may_take() {
        let every_ten_seconds: Vec<u64> = (0..=60).map(|number| number * 10).collect();
        assert!(given_up(State::Seen, &every_ten_seconds));
        assert!(!given_up(State::Seen, &every_ten_seconds[..60]));
        assert!(given_up(State::Unknown, &[0, 10, 20]));
    }

    #[test]
    fn refusals_with_other_answers_between_are_none_in_a_row() {
        // An API server that starts refuses everybody for a moment.
        assert!(!given_up(State::Seen, &[0, 3600, 3601, 7200]));
        assert!(!given_up(State::Unknown, &[0, 60]));
    }
}

//! Restarts of workloads whose pods hold a former credential: who is looked at when, and what is asked of the API server.

use std::collections::{BTreeMap, BTreeSet, HashMap};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::time::{Duration, Instant};

use k8s_openapi::api::apps::v1::ReplicaSet;
use k8s_openapi::api::core::v1::{ObjectReference, Secret};
use k8s_openapi::apimachinery::pkg::apis::meta::v1::OwnerReference;
use kube::api::{Patch, PatchParams};
use kube::core::{DynamicObject, PartialObjectMeta};
use kube::runtime::reflector::{ObjectRef, Store};
use kube::{Api, Client, Resource as _, ResourceExt as _};
use serde_json::Value;
use tokio::sync::Notify;

use super::pods::{Caches, Pods};
use crate::api::OAuthClient;
use crate::api::event::EventReason;
use crate::api::names::{CLIENT_ID_ANNOTATION, MANAGER};
use crate::decide::client::holders::{Holder, Holders, controller};
use crate::decide::restart::{
    AT_ONCE, Due, Obstacle, REPLICA_SET_REVISION, Verdict, Workload, WorkloadKind, due, judge, not_permitted,
    of_other_owner, reference,
};
use crate::decide::words;
use crate::kubernetes::events::{Event, EventType, Events};
use crate::kubernetes::{KubernetesError, within};

/// How often it is seen to what is due, while something is.
const INTERVAL: Duration = Duration::from_secs(2);
/// How long what the API server showed of a workload counts.
const LOOK_AGAIN: Duration = Duration::from_secs(30);
/// How long a workload that rolls keeps others from it: one that is stuck does not hold up all.
const LONGEST_ROLL: Duration = Duration::from_secs(10 * 60);
/// How long an OAuthClient without stale pods stays due: the watch of pods may be behind.
const SETTLED: Duration = Duration::from_secs(30);

/// Namespace and name of an OAuthClient.
type Key = (String, String);

/// The OAuthClients whose pods are to be restarted; clones share them.
#[derive(Clone, Default)]
pub(super) struct Restarts(Arc<Noted>);

#[derive(Default)]
struct Noted {
    wanted: Mutex<BTreeMap<Key, Wanted>>,
    news: Notify,
}

#[derive(Clone)]
struct Wanted {
    due: Due,
    object: ObjectReference,
    since: Instant,
}

impl Restarts {
    /// Notes after a pass whether restarts are due for the object.
    pub(super) fn note(&self, object: &OAuthClient) {
        let key = (object.namespace().unwrap_or_default(), object.name_any());
        let Some(due) = due(object) else { return self.forget(&key) };
        let wanted = Wanted { due, object: object.object_ref(&()), since: Instant::now() };
        self.open().insert(key, wanted);
        self.0.news.notify_one();
    }

    /// Forgets an OAuthClient that is gone.
    pub(super) fn forget(&self, key: &Key) {
        self.open().remove(key);
    }

    /// Forgets an OAuthClient that has no stale pods, unless a pass has noted it again or the watch of pods may be behind.
    fn settle(&self, key: &Key, since: Instant) {
        let mut wanted = self.open();
        if since.elapsed() > SETTLED && wanted.get(key).is_some_and(|wanted| wanted.since == since) {
            wanted.remove(key);
        }
    }

    fn open(&self) -> MutexGuard<'_, BTreeMap<Key, Wanted>> {
        self.0.wanted.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

/// What makes the pods of an OAuthClient, or a pod that nothing makes, by namespace and uid.
type MakerKey = (String, String);

/// The stale pods of one maker.
struct Stale {
    wanted: Wanted,
    client: Key,
    owner: Option<OwnerReference>,
    /// One of the pods: they were made alike.
    pod: Holder,
}

/// What is known of a maker.
struct Known {
    at: Instant,
    /// The client that its pods are to hold the credential of.
    client_id: String,
    state: State,
}

enum State {
    /// Nobody has restarted the workload yet.
    Startable { kind: WorkloadKind, workload: ObjectReference, patch: Value },
    /// The workload of this uid replaces its pods.
    Rolling { uid: String, since: Instant },
    /// Nothing is done, until it is looked at again.
    Waiting,
}

/// The keeper of restarts, which goes on for ever.
pub(super) struct Restarting {
    pub(super) restarts: Restarts,
    pub(super) requests: Client,
    pub(super) pods: Pods,
    pub(super) secrets: Vec<Store<PartialObjectMeta<Secret>>>,
    pub(super) events: Events,
    known: HashMap<MakerKey, Known>,
    /// What objects were told last, by uid.
    told: HashMap<String, String>,
}

impl Restarting {
    pub(super) fn new(restarts: Restarts, requests: Client, pods: Pods, caches: &[Caches], events: Events) -> Self {
        let secrets = caches.iter().map(|caches| caches.secrets.clone()).collect();
        Self { restarts, requests, pods, secrets, events, known: HashMap::new(), told: HashMap::new() }
    }

    pub(super) async fn keep(mut self) {
        loop {
            if self.restarts.open().is_empty() {
                (self.known, self.told) = Default::default();
                self.restarts.0.news.notified().await;
            }
            tokio::time::sleep(INTERVAL).await;
            self.round().await;
        }
    }

    /// Looks at what is not known, and then restarts as many as may roll at once.
    async fn round(&mut self) {
        let stale = self.stale();
        self.known.retain(|maker, _| stale.contains_key(maker));
        let mut refused = BTreeMap::new();
        for (maker, stale) in &stale {
            // One refusal in a round is enough: the rights are the same for all of its workloads.
            if self.is_known(maker, &stale.wanted.due) || refused.contains_key(&stale.client) {
                continue;
            }
            match self.look(stale).await {
                Ok(state) => self.remember(maker, stale, state),
                Err(error) => self.failed(maker, stale, &error, &mut refused),
            }
        }
        for (maker, stale) in &stale {
            if self.rolling() >= AT_ONCE {
                break;
            }
            if let Err(error) = self.restart(maker, stale).await {
                self.failed(maker, stale, &error, &mut refused);
            }
        }
        for (stale, said) in refused.into_values() {
            self.not_permitted(&stale.wanted, &said);
        }
    }

    /// The stale pods of all OAuthClients, by what made them. Those whose Secret has not the present credential yet are
    /// left for later.
    fn stale(&mut self) -> BTreeMap<MakerKey, Stale> {
        let mut all = BTreeMap::new();
        let wanted = self.restarts.open().clone();
        for ((namespace, name), wanted) in wanted {
            let holders = self.pods.holders(&namespace, &name);
            if holders == Holders::Unseen {
                self.not_permitted(&wanted, "it may not see pods");
            }
            let pods = wanted.due.stale(&holders);
            let client = (namespace.clone(), name);
            if pods.is_empty() && matches!(holders, Holders::Seen(_)) {
                self.restarts.settle(&client, wanted.since);
            }
            if !self.is_published(&namespace, &wanted.due) {
                continue;
            }
            for pod in pods {
                let maker = pod.owner.as_ref().map_or(&pod.uid, |owner| &owner.uid).clone();
                let stale = || Stale {
                    wanted: wanted.clone(),
                    client: client.clone(),
                    owner: pod.owner.clone(),
                    pod: pod.clone(),
                };
                all.entry((namespace.clone(), maker)).or_insert_with(stale);
            }
        }
        all
    }

    /// Whether the Secret holds the credential for which pods are restarted.
    fn is_published(&self, namespace: &str, due: &Due) -> bool {
        let secret = ObjectRef::new(&due.secret).within(namespace);
        let found = self.secrets.iter().find_map(|secrets| secrets.get(&secret));
        found.is_some_and(|secret| secret.annotations().get(CLIENT_ID_ANNOTATION) == Some(&due.client_id))
    }

    fn is_known(&self, maker: &MakerKey, due: &Due) -> bool {
        self.known.get(maker).is_some_and(|known| {
            let waits_its_turn = matches!(known.state, State::Startable { .. });
            known.client_id == due.client_id && (waits_its_turn || known.at.elapsed() < LOOK_AGAIN)
        })
    }

    /// What the API server shows of a workload with stale pods.
    async fn look(&mut self, stale: &Stale) -> Result<State, KubernetesError> {
        let namespace = &stale.client.0;
        let Some(owner) = stale.owner.clone() else {
            let pod = ObjectReference {
                api_version: Some("v1".to_owned()),
                kind: Some("Pod".to_owned()),
                namespace: Some(namespace.clone()),
                name: Some(stale.pod.pod.clone()),
                uid: Some(stale.pod.uid.clone()),
                ..ObjectReference::default()
            };
            return Ok(self.pending(stale, &pod, &Obstacle::of_bare_pod()));
        };
        let Some((owner, revision)) = self.maker(namespace, owner, &stale.pod).await? else {
            return Ok(State::Waiting);
        };
        let Some(kind) = WorkloadKind::of(&owner) else {
            return Ok(self.pending(stale, &reference(namespace, &owner), &of_other_owner(&owner)));
        };
        let workload = reference(namespace, &owner);
        let Some(object) = found(within("read a workload", self.api(kind, namespace).get(&owner.name)).await)? else {
            return Ok(State::Waiting);
        };
        Ok(match judge(&Workload::new(kind, object), revision.as_deref(), &stale.wanted.due) {
            Verdict::Restart(patch) => State::Startable { kind, workload, patch },
            Verdict::Rolling => State::Rolling { uid: owner.uid, since: Instant::now() },
            Verdict::Pending(obstacle) => self.pending(stale, &workload, &obstacle),
            Verdict::Leaving => State::Waiting,
        })
    }

    /// What would make the pods anew, and the revision that it made these by: of a ReplicaSet, its Deployment or Rollout.
    /// `None`: it is gone.
    async fn maker(
        &self,
        namespace: &str,
        owner: OwnerReference,
        pod: &Holder,
    ) -> Result<Option<(OwnerReference, Option<String>)>, KubernetesError> {
        if owner.kind != "ReplicaSet" || !owner.api_version.starts_with("apps/") {
            return Ok(Some((owner, pod.revision.clone())));
        }
        let sets: Api<ReplicaSet> = Api::namespaced(self.requests.clone(), namespace);
        let set = found(within("read a ReplicaSet", sets.get_metadata(&owner.name)).await)?;
        Ok(set.map(|set| {
            let revision = set.annotations().get(REPLICA_SET_REVISION).cloned();
            (controller(&set.metadata).cloned().unwrap_or(owner), revision)
        }))
    }

    fn not_permitted(&mut self, wanted: &Wanted, said: &str) {
        let text = not_permitted(said);
        self.tell(wanted, &wanted.object, EventType::Warning, EventReason::RestartNotPermitted, text);
    }

    fn pending(&mut self, stale: &Stale, object: &ObjectReference, obstacle: &Obstacle) -> State {
        let text = obstacle.sentence(&stale.client.1);
        self.tell(&stale.wanted, object, EventType::Warning, EventReason::RestartPending, text);
        State::Waiting
    }

    fn remember(&mut self, maker: &MakerKey, stale: &Stale, state: State) {
        let client_id = stale.wanted.due.client_id.clone();
        let before = self.known.remove(maker).filter(|before| before.client_id == client_id).map(|before| before.state);
        let state = match (state, before) {
            // It has rolled since it was first seen to.
            (State::Rolling { uid, .. }, Some(State::Rolling { since, .. })) => State::Rolling { uid, since },
            (state, _) => state,
        };
        self.known.insert(maker.clone(), Known { at: Instant::now(), client_id, state });
    }

    /// How many workloads roll, as far as they count.
    fn rolling(&self) -> usize {
        let rolling = self.known.values().filter_map(|known| match &known.state {
            State::Rolling { uid, since } if since.elapsed() < LONGEST_ROLL => Some(uid),
            State::Rolling { .. } | State::Startable { .. } | State::Waiting => None,
        });
        rolling.collect::<BTreeSet<_>>().len()
    }

    /// Restarts a workload that waits for its turn.
    async fn restart(&mut self, maker: &MakerKey, stale: &Stale) -> Result<(), KubernetesError> {
        let Some(Known { state: State::Startable { kind, workload, patch }, .. }) = self.known.get(maker) else {
            return Ok(());
        };
        let (workload, name) = (workload.clone(), workload.name.clone().unwrap_or_default());
        let manager = PatchParams { field_manager: Some(MANAGER.to_owned()), ..PatchParams::default() };
        let (api, patch) = (self.api(*kind, &stale.client.0), Patch::Merge(patch));
        let patched = match within("restart a workload", api.patch(&name, &manager, &patch)).await {
            // Somebody has changed it meanwhile: it is looked at again.
            Err(error) if error.is_conflict() => None,
            answer => found(answer)?,
        };
        if patched.is_none() {
            self.known.remove(maker);
            return Ok(());
        }
        let client = &stale.client.1;
        let text = format!("had a former credential of OAuthClient {client} in its environment; its pods are replaced");
        self.tell(&stale.wanted, &workload, EventType::Normal, EventReason::Restarted, text);
        let uid = workload.uid.unwrap_or_default();
        self.remember(maker, stale, State::Rolling { uid, since: Instant::now() });
        Ok(())
    }

    fn api(&self, kind: WorkloadKind, namespace: &str) -> Api<DynamicObject> {
        Api::namespaced_with(self.requests.clone(), namespace, &kind.resource())
    }

    /// Notes that a workload could not be looked at or restarted. It is tried again.
    fn failed<'a>(
        &mut self,
        maker: &MakerKey,
        stale: &'a Stale,
        error: &KubernetesError,
        refused: &mut BTreeMap<Key, (&'a Stale, String)>,
    ) {
        let startable = self.known.get(maker).and_then(|known| match &known.state {
            State::Startable { workload, .. } => Some(workload.clone()),
            State::Rolling { .. } | State::Waiting => None,
        });
        let namespace = &stale.client.0;
        if let Some(said) = error.forbids() {
            refused.entry(stale.client.clone()).or_insert_with(|| (stale, said.to_owned()));
        } else if let (Some(workload), Some(status)) = (startable, error.status().filter(|status| status.code < 500)) {
            let obstacle = Obstacle::refused(&status.message);
            let _ = self.pending(stale, &workload, &obstacle);
        } else {
            tracing::warn!(namespace, "a workload cannot be restarted: {}; it is tried again", error.in_words());
        }
        self.remember(maker, stale, State::Waiting);
    }

    /// Writes an Event, unless it says what was said last for the same client.
    fn tell(&mut self, wanted: &Wanted, object: &ObjectReference, type_: EventType, reason: EventReason, text: String) {
        let essence = format!("{} {} {}", wanted.due.client_id, reason.as_str(), words::essence(&text));
        let uid = object.uid.clone().unwrap_or_default();
        if self.told.get(&uid) == Some(&essence) {
            return;
        }
        let (namespace, name) = (object.namespace.as_deref(), object.name.as_deref());
        tracing::info!(namespace, name, kind = object.kind, reason = reason.as_str(), "{text}");
        let event = Event { type_, reason: reason.as_str().to_owned(), text };
        if self.events.publish_regarding(object.clone(), vec![event]) {
            self.told.insert(uid, essence);
        }
    }
}

/// What was found; `None` if the API server answers that it is not there.
fn found<T>(answer: Result<T, KubernetesError>) -> Result<Option<T>, KubernetesError> {
    match answer {
        Ok(found) => Ok(Some(found)),
        Err(error) if error.status().is_some_and(|status| status.code == 404) => Ok(None),
        Err(error) => Err(error),
    }
}

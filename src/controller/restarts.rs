//! Restarts of workloads whose pods hold a former credential: what is looked at when, and what is asked of the API server.

mod told;
mod workloads;

use std::collections::{BTreeMap, BTreeSet, HashMap};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::time::{Duration, Instant};

use jiff::Timestamp;
use k8s_openapi::api::core::v1::ObjectReference;
use kube::runtime::reflector::Store;
use kube::{Client, Resource as _, ResourceExt as _};
use serde_json::Value;
use tokio::sync::Notify;

use super::pods::{Caches, Pods};
use crate::api::OAuthClient;
use crate::api::event::EventReason;
use crate::api::names::CLIENT_ID_ANNOTATION;
use crate::decide::client::holders::{Holder, Holders};
use crate::decide::restart::{
    Due, Obstacle, Pace, Verdict, WorkloadKind, due, judge, lacks_right, not_permitted, of_other_owner, reference,
    unseen,
};
use crate::decide::time::later;
use crate::decide::words;
use crate::kubernetes::cached_secret::CachedSecret;
use crate::kubernetes::clock::Clock;
use crate::kubernetes::events::Events;
use crate::kubernetes::{KubernetesError, cached};
use told::Told;
use workloads::{Target, Workloads, refusal};

/// How often it is seen to what is due, while something is.
const INTERVAL: Duration = Duration::from_secs(2);
/// How long what the API server showed of a workload counts.
const LOOK_AGAIN: Duration = Duration::from_secs(30);
/// How long an OAuthClient without stale pods stays due: the watch of pods may be behind.
const SETTLED: Duration = Duration::from_secs(30);
/// The most workloads that are looked at in a round.
const MOST_LOOKS: usize = 50;

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
    /// Notes after a pass whether restarts are due for the object: not if its client was replaced a while ago, and no pod
    /// is from before.
    pub(super) fn note(&self, object: &OAuthClient, pods: &Pods, now: Timestamp) {
        let key = (object.namespace().unwrap_or_default(), object.name_any());
        let is_settled = |due: &Due| {
            let holders = pods.holders(&key.0, &key.1);
            let is_long_ago = later(due.replaced_at, SETTLED) < now;
            is_long_ago && holders != Holders::Unknown && due.stale(&holders).is_empty()
        };
        let Some(due) = due(object).filter(|due| !is_settled(due)) else { return self.forget(&key) };
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

/// Pods that were made alike: their OAuthClient, the uid of what made them or of the pod itself, and the revision.
type MakerKey = (Key, String, Option<String>);

/// Stale pods that were made alike.
struct Stale {
    wanted: Wanted,
    client: Key,
    /// One of the pods.
    pod: Holder,
}

/// What is known of a maker.
struct Known {
    at: Instant,
    /// The client that its pods are to hold the credential of.
    client_id: String,
    /// The restart that waits for its turn, if it is one that can be restarted.
    restart: Option<Restart>,
}

/// A workload, and the patch that restarts it.
#[derive(Clone)]
struct Restart {
    target: Target,
    patch: Value,
}

/// The rights that were refused in a round, by OAuthClient and kind of maker: one refusal is enough.
type Refused = BTreeSet<(Key, String)>;

/// The keeper of restarts, which goes on for ever.
pub(super) struct Restarting {
    restarts: Restarts,
    workloads: Workloads,
    pods: Pods,
    secrets: Vec<Store<CachedSecret>>,
    clock: Clock,
    told: Told,
    pace: Pace,
    known: HashMap<MakerKey, Known>,
    /// The workloads that roll, by uid.
    rolling: HashMap<String, Target>,
}

impl Restarting {
    pub(super) fn new(
        restarts: Restarts,
        requests: Client,
        pods: Pods,
        caches: &[Caches],
        (events, clock): (Events, Clock),
    ) -> Self {
        Self {
            restarts,
            workloads: Workloads::new(requests),
            pods,
            secrets: caches.iter().map(|caches| caches.secrets.clone()).collect(),
            clock,
            told: Told::new(events),
            pace: Pace::default(),
            known: HashMap::new(),
            rolling: HashMap::new(),
        }
    }

    pub(super) async fn keep(mut self) {
        loop {
            if self.restarts.open().is_empty() && self.rolling.is_empty() {
                self.pace = Pace::default();
                self.restarts.0.news.notified().await;
            }
            tokio::time::sleep(INTERVAL).await;
            self.round().await;
        }
    }

    /// Looks at what is not known, and then restarts as many as may roll at once.
    async fn round(&mut self) {
        self.see_who_has_rolled_out().await;
        let stale = self.stale();
        self.known.retain(|maker, _| stale.contains_key(maker));
        let mut refused = Refused::new();
        for maker in self.to_look_at(&stale) {
            if let Some(stale) = stale.get(&maker) {
                self.look(&maker, stale, &mut refused).await;
            }
        }
        // Until all are known, some may roll that are not counted.
        if stale.iter().any(|(maker, stale)| self.looked_at(maker, stale).is_none()) {
            return;
        }
        for (maker, stale) in &stale {
            if !self.pace.has_room(Instant::now()) {
                break;
            }
            self.take_turn(maker, stale, &mut refused).await;
        }
    }

    /// Gives free the places of workloads whose pods are all new and available. One of which nobody knows keeps its place,
    /// and one that is stuck has none any more.
    async fn see_who_has_rolled_out(&mut self) {
        for (uid, target) in self.rolling.clone() {
            let read = self.workloads.read(&target).await;
            let has_ended = read.is_ok_and(|workload| workload.is_none_or(|workload| workload.has_rolled_out()));
            if has_ended {
                self.pace.has_ended(&uid);
            }
            if has_ended || self.pace.is_stuck(&uid, Instant::now()) {
                self.rolling.remove(&uid);
            }
        }
    }

    /// The stale pods of all OAuthClients, those that were made alike together. Those whose Secret has not the present
    /// credential yet are left for later.
    fn stale(&mut self) -> BTreeMap<MakerKey, Stale> {
        let mut all = BTreeMap::new();
        let wanted = self.restarts.open().clone();
        for (client, wanted) in wanted {
            let holders = self.pods.holders(&client.0, &client.1);
            if holders == Holders::Unseen {
                self.not_permitted(&wanted, unseen());
            }
            let pods = wanted.due.stale(&holders);
            if pods.is_empty() && holders != Holders::Unknown {
                self.restarts.settle(&client, wanted.since);
            }
            if !wanted.due.is_over(self.clock.now()) || !self.is_published(&client.0, &wanted.due) {
                continue;
            }
            for pod in pods {
                let uid = pod.owner.as_ref().map_or(&pod.uid, |owner| &owner.uid).clone();
                let stale = || Stale { wanted: wanted.clone(), client: client.clone(), pod: pod.clone() };
                all.entry((client.clone(), uid, pod.revision.clone())).or_insert_with(stale);
            }
        }
        all
    }

    /// Whether the Secret holds the credential for which pods are restarted.
    fn is_published(&self, namespace: &str, due: &Due) -> bool {
        let found = self.secrets.iter().find_map(|secrets| cached(secrets, namespace, &due.secret));
        let metadata = found.and_then(|secret| secret.unpack().ok());
        let annotations = metadata.and_then(|metadata| metadata.annotations);
        annotations.is_some_and(|annotations| annotations.get(CLIENT_ID_ANNOTATION) == Some(&due.client_id))
    }

    /// The makers to look at in this round: those that are not known first, then those that were looked at longest ago.
    fn to_look_at(&self, stale: &BTreeMap<MakerKey, Stale>) -> Vec<MakerKey> {
        let is_old = |at: &Option<Instant>| at.is_none_or(|at| at.elapsed() >= LOOK_AGAIN);
        let makers = stale.iter().map(|(maker, stale)| (self.looked_at(maker, stale), maker));
        let mut makers: Vec<_> = makers.filter(|(at, _)| is_old(at)).collect();
        makers.sort();
        makers.into_iter().take(MOST_LOOKS).map(|(_, maker)| maker.clone()).collect()
    }

    /// When a maker was looked at last, for the present client.
    fn looked_at(&self, maker: &MakerKey, stale: &Stale) -> Option<Instant> {
        self.known_for(maker, stale).map(|known| known.at)
    }

    fn known_for(&self, maker: &MakerKey, stale: &Stale) -> Option<&Known> {
        self.known.get(maker).filter(|known| known.client_id == stale.wanted.due.client_id)
    }

    /// Looks at what made stale pods, and remembers what is to be done.
    async fn look(&mut self, maker: &MakerKey, stale: &Stale, refused: &mut Refused) {
        let kind = stale.pod.owner.as_ref().map(|owner| owner.kind.clone()).unwrap_or_default();
        let of_kind = (stale.client.clone(), kind);
        let restart = if refused.contains(&of_kind) { Ok(None) } else { self.restart_of(stale).await };
        let restart = restart.unwrap_or_else(|error| {
            if let Some(said) = error.forbids() {
                self.not_permitted(&stale.wanted, not_permitted(said));
                refused.insert(of_kind);
            } else {
                tell_of_failure(stale, &error);
            }
            None
        });
        let client_id = stale.wanted.due.client_id.clone();
        self.known.insert(maker.clone(), Known { at: Instant::now(), client_id, restart });
    }

    /// The restart that stale pods wait for; `None` if there is nothing to be done, or nothing that can be.
    async fn restart_of(&mut self, stale: &Stale) -> Result<Option<Restart>, KubernetesError> {
        let (namespace, due) = (&stale.client.0, &stale.wanted.due);
        let Some(owner) = &stale.pod.owner else {
            self.pending(stale, &pod_reference(stale), &Obstacle::of_bare_pod());
            return Ok(None);
        };
        let Some((owner, revision)) = self.workloads.maker(namespace, owner, &stale.pod).await? else {
            return Ok(None);
        };
        let reference = reference(namespace, &owner);
        let Some(kind) = WorkloadKind::of(&owner) else {
            self.pending(stale, &reference, &of_other_owner(&owner));
            return Ok(None);
        };
        let target = Target { kind, reference };
        let Some(workload) = self.workloads.read(&target).await? else { return Ok(None) };
        let read = workload.secret(&due.name).unwrap_or_else(|| stale.pod.secret.clone());
        match judge(&workload, revision.as_deref(), due) {
            Verdict::Restart(_) if read != due.secret => {
                self.pending(stale, &target.reference, &Obstacle::of_other_secret(&read, &due.secret));
            }
            Verdict::Restart(_) if !self.pace.may_restart(&owner.uid, &due.client_id) => {
                self.pending(stale, &target.reference, &Obstacle::undone());
            }
            Verdict::Restart(patch) => return Ok(Some(Restart { target, patch })),
            Verdict::Rolling if !workload.has_rolled_out() => self.rolls(target),
            Verdict::Pending(obstacle) => self.pending(stale, &target.reference, &obstacle),
            Verdict::Rolling | Verdict::Leaving => {}
        }
        Ok(None)
    }

    /// Counts a workload that rolls. While there is no room, none more need be followed.
    fn rolls(&mut self, target: Target) {
        if self.pace.has_room(Instant::now()) {
            self.pace.rolls(target.uid(), Instant::now());
            self.rolling.insert(target.uid().to_owned(), target);
        }
    }

    /// Restarts a workload that waits for its turn, as it is now.
    async fn take_turn(&mut self, maker: &MakerKey, stale: &Stale, refused: &mut Refused) {
        let Some(Known { at, restart: Some(_), .. }) = self.known_for(maker, stale) else { return };
        if at.elapsed() >= LOOK_AGAIN {
            self.look(maker, stale, refused).await;
        }
        let is_wanted = self.restarts.open().get(&stale.client).is_some_and(|now| now.due == stale.wanted.due);
        let restart = self.known_for(maker, stale).and_then(|known| known.restart.clone());
        let Some(Restart { target, patch }) = restart.filter(|_| is_wanted) else { return };
        let (client_id, uid) = (stale.wanted.due.client_id.clone(), target.uid().to_owned());
        // It takes its place even if the answer is lost.
        self.pace.starts(&uid, Instant::now());
        let rolled_before = self.rolling.insert(uid.clone(), target.clone()).is_some();
        let known = Known { at: Instant::now(), client_id: client_id.clone(), restart: None };
        self.known.insert(maker.clone(), known);
        let keeps_place = match self.workloads.patch(&target, &patch).await {
            Ok(true) => {
                self.pace.was_restarted(&uid, &client_id);
                let (client, essence) = (&stale.client.1, format!("{client_id} restarted"));
                let text = format!(
                    "had a former credential of OAuthClient {client} in its environment; its pods are replaced"
                );
                self.told.tell(&target.reference, EventReason::Restarted, essence, text);
                true
            }
            // Somebody has changed it meanwhile: it is looked at again.
            Ok(false) => {
                self.known.remove(maker);
                false
            }
            Err(error) => !self.was_refused(stale, &target, &error),
        };
        if !keeps_place && !rolled_before {
            self.rolling.remove(&uid);
            self.pace.has_ended(&uid);
        }
    }

    /// Says why a workload could not be restarted, and returns whether it certainly was not. It is tried again.
    fn was_refused(&mut self, stale: &Stale, target: &Target, error: &KubernetesError) -> bool {
        let refusal = refusal(error);
        match (error.forbids(), refusal) {
            (Some(said), _) if lacks_right(said) => self.not_permitted(&stale.wanted, not_permitted(said)),
            (_, Some(said)) => self.pending(stale, &target.reference, &Obstacle::refused(said)),
            (_, None) => tell_of_failure(stale, error),
        }
        refusal.is_some()
    }

    fn not_permitted(&mut self, wanted: &Wanted, text: String) {
        let essence = format!("{} not permitted", wanted.due.client_id);
        self.told.tell(&wanted.object, EventReason::RestartNotPermitted, essence, text);
    }

    fn pending(&mut self, stale: &Stale, object: &ObjectReference, obstacle: &Obstacle) {
        let text = obstacle.sentence(&stale.client.1);
        let essence = format!("{} {}", stale.wanted.due.client_id, words::essence(&text));
        self.told.tell(object, EventReason::RestartPending, essence, text);
    }
}

fn tell_of_failure(stale: &Stale, error: &KubernetesError) {
    let (namespace, pod) = (&stale.client.0, &stale.pod.pod);
    tracing::warn!(namespace, pod, "a workload cannot be restarted: {}; it is tried again", error.in_words());
}

fn pod_reference(stale: &Stale) -> ObjectReference {
    ObjectReference {
        api_version: Some("v1".to_owned()),
        kind: Some("Pod".to_owned()),
        namespace: Some(stale.client.0.clone()),
        name: Some(stale.pod.pod.clone()),
        uid: Some(stale.pod.uid.clone()),
        ..ObjectReference::default()
    }
}

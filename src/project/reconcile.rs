//! One pass over one project: reads its key, lists its clients, enqueues its users, sweeps, and writes its status. One
//! listing serves Ready, the resync of all OAuthClients, and the sweep.

use std::sync::Arc;
use std::time::Duration;

use kube::{Client, ResourceExt};
use tokio::time::Instant;

use super::access::{self, Access};
use super::checks::{Check, Checks};
use super::client::ProjectClient;
use super::connect::connect;
use super::finalizer;
use super::losses::Roll;
use super::object::ProjectObject;
use super::registry::{ProjectState, Projects};
use super::snapshot::{Listing, News};
use super::sweep::{Sweep, Swept};
use super::users::Users;
use crate::api::Reason;
use crate::decide::failure::Failure;
use crate::decide::orphan::judge::Scope;
use crate::decide::project::identity::check_pin;
use crate::decide::project::reference::ProjectKey;
use crate::decide::project::schedule::{self, Plan, SpecVersion};
use crate::decide::project::spec::{Orphans, ProjectSettings};
use crate::kubernetes::clock::Clock;
use crate::kubernetes::events::Events;
use crate::meshagent::Gate;
use crate::meshagent::failure::call_failure;
use crate::metrics::{Metrics, Outcome};

/// The wait after a key that the Kubernetes API did not give out.
const KEY_RETRY: Duration = Duration::from_secs(5);
/// The wait after a status or finalizer that the Kubernetes API did not take.
pub const WRITE_RETRY: Duration = Duration::from_secs(10);

/// The executor of one pass over one project.
#[derive(Clone, Copy)]
pub struct Executor<'a> {
    pub requests: &'a Client,
    /// The namespace of the project's key.
    pub namespace: &'a str,
    /// What is known of all projects.
    pub projects: &'a Projects,
    /// The last check of each project.
    pub checks: &'a Checks,
    /// The users of all projects.
    pub users: &'a Users,
    /// Enqueues this project's users: those that the news of its clients concern, or all.
    pub enqueue_users: &'a (dyn Fn(Option<&News>) + Send + Sync),
    /// The clients that may be swept.
    pub scope: Scope<'a>,
    /// How often a project is listed.
    pub resync_interval: Duration,
    pub metrics: &'a Metrics,
    pub events: &'a Events,
    /// The gate, closed when this process may not write any more.
    pub gate: &'a Gate,
    /// The clock of the API server.
    pub clock: &'a Clock,
}

/// What a pass knows before it calls the project.
struct Known {
    access: Result<Access, Failure>,
    spec: SpecVersion,
    in_use: Option<bool>,
    before: Option<Check>,
    /// Whether no client on record was missing.
    calm: bool,
    started: Instant,
}

/// What came of calling a project.
struct Called {
    client: Option<Arc<ProjectClient>>,
    listing: Result<Arc<Listing>, Failure>,
    /// Whether the project takes calls, even if its listing is more than can be read.
    answers: bool,
}

impl Executor<'_> {
    /// Carries one pass out. Returns how long until the next.
    pub async fn reconcile<K: ProjectObject>(
        &self,
        object: &K,
        settings: &Result<ProjectSettings, Failure>,
    ) -> Duration {
        let (key, started) = (object.key(), Instant::now());
        // A change of who may use the project counts at once, whether its server answers or not.
        if self.projects.allow(&key, object.allowed(), object.adoption()) {
            (self.enqueue_users)(None);
        }
        self.hear_acceptance(object);
        let before = self.checks.get(&key);
        let access = match settings {
            Ok(settings) => access::read(self.requests, self.namespace, settings).await,
            Err(invalid) => Err(invalid.clone()),
        };
        let (spec, in_use) = (SpecVersion::of(object.meta()), self.in_use(object));
        let last = before.as_ref().zip(access.as_ref().ok());
        let (settled, calm) = (self.projects.losses().is_settled(&key), self.projects.losses().is_calm(&key));
        let good_for = last.and_then(|(before, now)| before.good_for(&spec, now, in_use, settled));
        let lasted = self.checks.unread_for(&key, access.is_err());
        let unread = access.as_ref().err().map(|failure| (failure, lasted));
        match schedule::plan(good_for, unread, self.works(object)) {
            Plan::Rest(left) => return left.min(self.write_status(object).await),
            Plan::GoOn => {
                if let Err(failure) = &access {
                    tracing::warn!(project = %key, "the API key was not read again: {}", failure.message);
                }
                return KEY_RETRY;
            }
            Plan::Check => {}
        }
        let known = Known { access, spec, in_use, before, calm, started };
        self.check(object, settings, known).await
    }

    /// Calls the project, and takes in what came of it. Returns how long until the next pass.
    async fn check<K: ProjectObject>(
        &self,
        object: &K,
        settings: &Result<ProjectSettings, Failure>,
        known: Known,
    ) -> Duration {
        let Known { access, spec, in_use, before, calm, started } = known;
        let key = object.key();
        let called = self.call(object, settings, &access).await;
        self.hear_acceptance(object);
        let failure = called.listing.as_ref().err().cloned();
        let state = ProjectState {
            project: called.client.clone(),
            failure: failure.clone(),
            answers: called.answers,
            allowed: object.allowed(),
            adoption: object.adoption(),
        };
        let connected = self.projects.get(&key).and_then(|known| known.project);
        let changed = self.projects.put(&key, state)
            || connected.as_ref().map(Arc::as_ptr) != called.client.as_ref().map(Arc::as_ptr);
        let as_before = before.as_ref().filter(|before| !changed && calm && before.spec == spec);
        let whole = self.resync(&key, &called, changed, as_before.and_then(|before| before.whole));
        let rule = settings.as_ref().ok().map(|settings| settings.orphans);
        let swept = self.sweep(object, &called, rule, before.as_ref()).await;
        self.metrics.reconciled(K::KIND.as_str(), Outcome::of(failure.as_ref()), started.elapsed());
        if let Some(failure) = &failure {
            tracing::warn!(project = %key, reason = failure.reason.as_str(), "{}", failure.message);
        }
        let failures = schedule::failures(before.as_ref().map_or(0, |before| before.failures), failure.as_ref());
        let wait = schedule::next_check(failure.as_ref(), failures, self.resync_interval, swept.next);
        let next = schedule::until_listed(wait, self.projects.losses().is_settled(&key));
        let status_written = before.and_then(|before| before.status_written);
        let (access, at) = (access.ok(), Instant::now());
        self.checks.put(
            key,
            Check {
                spec,
                access,
                failure,
                in_use,
                failures,
                at,
                wait,
                swept,
                status_written,
                unread_since: None,
                whole,
            },
        );
        next.min(self.write_status(object).await)
    }

    /// Enqueues the users that a call of the project concerns, and returns when all were enqueued last, if its listing counts.
    /// `whole`: when that was before, if nothing but its clients can have changed since.
    fn resync(&self, key: &ProjectKey, called: &Called, changed: bool, whole: Option<Instant>) -> Option<Instant> {
        let Some(listed) = called.client.as_ref().filter(|_| called.listing.is_ok()) else {
            if changed {
                (self.enqueue_users)(None);
            }
            return None;
        };
        let (news, calm) = (listed.snapshot.news(), self.projects.losses().is_calm(key));
        let whole = whole.filter(|whole| calm && !schedule::is_whole(whole.elapsed()));
        (self.enqueue_users)(whole.map(|_| &news));
        whole.or_else(|| Some(Instant::now()))
    }

    /// Whether the key in memory worked when it was tried last.
    fn works<K: ProjectObject>(&self, object: &K) -> bool {
        self.projects.get(&object.key()).is_some_and(|known| known.project.is_some() && known.failure.is_none())
    }

    /// Connects and lists. Until a new key or CA bundle has worked, the connection that worked last is kept.
    async fn call<K: ProjectObject>(
        &self,
        object: &K,
        settings: &Result<ProjectSettings, Failure>,
        access: &Result<Access, Failure>,
    ) -> Called {
        let before = self.projects.get(&object.key()).and_then(|known| known.project);
        let client = match self.connect(object, settings, access, before.as_ref()) {
            Ok(client) => client,
            Err(failure) => return Called { client: before, listing: Err(failure), answers: false },
        };
        let (key, users, losses) = (object.key(), self.users, self.projects.losses());
        let roll = Roll { users, losses, key: &key, project_id: &client.project_id };
        match client.snapshot.list(&client.api, &roll).await {
            Ok(listing) => Called { client: Some(client), listing: Ok(listing), answers: true },
            Err(error) => {
                let answers = error.is_too_much();
                let client = if answers { Some(client) } else { before };
                Called { client, listing: Err(call_failure(&error)), answers }
            }
        }
    }

    /// Builds the connection; makes no call.
    fn connect<K: ProjectObject>(
        &self,
        object: &K,
        settings: &Result<ProjectSettings, Failure>,
        access: &Result<Access, Failure>,
        before: Option<&Arc<ProjectClient>>,
    ) -> Result<Arc<ProjectClient>, Failure> {
        let (settings, access) = match (settings, access) {
            (Ok(settings), Ok(access)) => (settings, access),
            (Err(failure), _) | (_, Err(failure)) => return Err(past_mending(object, before.is_some(), failure)),
        };
        let client = connect(settings, access, before, self.metrics.observer(), self.gate.clone())?;
        let recorded = object.present_status().project_id;
        let pinned = recorded.as_deref().or(before.map(|before| before.project_id.as_str()));
        check_pin(pinned, &client.project_id, self.in_use(object))?;
        Ok(client)
    }

    /// Whether anybody uses the project. Until the caches are filled the status tells.
    fn in_use<K: ProjectObject>(&self, object: &K) -> Option<bool> {
        let recorded = || object.present_status().clients.map(|clients| clients > 0);
        self.users.any(&object.key()).or_else(recorded)
    }

    /// Sweeps what a fresh listing shows.
    async fn sweep<K: ProjectObject>(
        &self,
        object: &K,
        called: &Called,
        rule: Option<Orphans>,
        before: Option<&Check>,
    ) -> Swept {
        // The status outlives this process, and memory holds the orphans that the status has no room for.
        let listed = object.present_status().orphans.unwrap_or_default();
        let (Some(client), Ok(listing), Some(rule)) = (&called.client, &called.listing, rule) else {
            // The listed orphans are not forgotten because nothing can be swept now.
            return before.map_or(Swept { orphans: listed, next: None }, |before| before.swept.clone());
        };
        let (key, now) = (object.key().to_string(), self.clock.now());
        self.metrics.resynced(&key, now);
        let gone = self.projects.losses().missing(&object.key());
        self.metrics.set_clients_gone(&key, i64::try_from(gone).unwrap_or(i64::MAX));
        let Self { requests, users, scope, .. } = *self;
        let sweep = Sweep { requests, users, scope, clock: self.clock.state(), now };
        let known = listed.iter().chain(before.iter().flat_map(|before| &before.swept.orphans));
        let swept = sweep.sweep(client, listing, known, rule).await;
        self.metrics.set_orphans(&key, i64::try_from(swept.orphans.len()).unwrap_or(i64::MAX));
        swept
    }
}

/// The failure, with the way out when a missing key cannot be put back because its namespace is being deleted.
fn past_mending<K: ProjectObject>(object: &K, works: bool, failure: &Failure) -> Failure {
    let mut failure = failure.clone();
    let deleted = finalizer::is_deleted(object) && object.namespace().is_some();
    if deleted && !works && failure.reason == Reason::CredentialsNotFound {
        failure.message.push_str(
            "; if the namespace is being deleted too, nothing can be created in it: then annotate each OAuthClient with \
             meshagent.com/force-release=<its uid>, which leaves its client behind in MeshAgent",
        );
    }
    failure
}

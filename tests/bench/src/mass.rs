//! What users do to many clients at once, and how long it takes until it is done. The same for the operator and for the
//! bare client.

use std::sync::atomic::{AtomicBool, Ordering};
use std::time::{Duration, Instant};

use futures::stream::{self, TryStreamExt};
use kube::api::{DeleteParams, DynamicObject, Patch, PatchParams, PostParams};
use serde_json::{Value, json};

use crate::bare::{CONCURRENCY, Sender};
use crate::error::{Error, Result};
use crate::names::{FIRST, NAMESPACE, ROTATE, oauth_clients};
use crate::observer::{Goal, Met, Observer};
use crate::requests::Requests;
use crate::stage::{Cpu, Stage, cpu_between};

/// How many requests of users are under way at a time: enough that no one waits for them.
const USERS: usize = 8;
/// How often one more client is applied, or one is edited, while the many converge.
const PROBE: Duration = Duration::from_millis(250);
/// How long the garbage collector is looked at.
const COLLECTED: Duration = Duration::from_secs(10);
/// The longest time for one client of many, on a loaded machine.
const EACH: Duration = Duration::from_millis(200);

/// One change of many clients.
#[derive(Clone, Debug)]
pub struct Phase {
    pub count: usize,
    pub took: Duration,
    pub cpu: Cpu,
    /// All requests, until everything was at rest again.
    pub requests: Requests,
    /// How many Events were written when the change was done; others waited for a writer.
    pub events: usize,
}

impl Phase {
    /// How many were done in a second.
    pub fn rate(&self) -> f64 {
        self.count as f64 / self.took.as_secs_f64()
    }

    /// The CPU time of one process.
    pub fn cpu_of(&self, name: &str) -> Duration {
        self.cpu.iter().find(|(other, _)| *other == name).map_or(Duration::ZERO, |(_, time)| *time)
    }
}

/// The creation of many clients, and what became of single ones meanwhile.
#[derive(Clone, Debug)]
pub struct Created {
    pub phase: Phase,
    /// From apply to Ready, of one client at a time.
    pub ready: Vec<Duration>,
    /// From an edit of a client that was there before until it was applied.
    pub edited: Vec<Duration>,
    /// How many clients there are now, the first one apart.
    pub clients: usize,
}

/// The many clients.
pub struct Mass<'a> {
    pub stage: &'a mut Stage,
    pub observer: Observer,
    count: usize,
    probes: String,
    names: Vec<String>,
}

impl<'a> Mass<'a> {
    /// So many clients that are to be; `batch` tells their names from those of others.
    pub fn new(stage: &'a mut Stage, count: usize, batch: &str) -> Self {
        let (prefix, probes) = (format!("web-{batch}"), format!("probe-{batch}"));
        let observer = stage.observe(&prefix, &probes);
        let names = (0..count).map(|number| format!("{prefix}{number}")).collect();
        Self { stage, observer, count, probes, names }
    }

    fn patience(&self) -> Duration {
        let count = u32::try_from(self.count).unwrap_or(u32::MAX);
        Duration::from_secs(120) + EACH * count
    }

    /// Creates the first client.
    pub async fn create_first(&self) -> Result<()> {
        create(self.stage, FIRST, "default").await.map(drop)
    }

    /// Creates all clients, and meanwhile now and then one more, and edits the first one again and again.
    pub async fn create(&mut self) -> Result<Created> {
        self.stage.begin_count().await?;
        self.observer.aim(Goal::Ready);
        let (before, began, over) = (self.stage.cpu()?, Instant::now(), AtomicBool::new(false));
        let all = async {
            self.each(async |name| create(self.stage, name, "default").await.map(drop)).await?;
            let enough = |met: Met| met.mass == self.count;
            self.observer.until("all are Ready", self.patience(), enough).await?;
            over.store(true, Ordering::Relaxed);
            Ok::<_, Error>(())
        };
        let ((), probes, edited) = tokio::try_join!(all, self.probe(&over), self.edit_first(&over))?;
        let clients = self.count + probes.len();
        self.observer.until("the probes are Ready", self.patience(), |met| met.all == clients).await?;
        let (cpu, events) = (cpu_between(&before, &self.stage.cpu()?), self.stage.requests().await?.events);
        let times = self.observer.times();
        let ended = self.names.iter().filter_map(|name| times.get(name)).max().copied().unwrap_or(began);
        // Only what was Ready by then counts: the last probes came late.
        let count = times.values().filter(|time| **time <= ended).count();
        let ready = probes.iter().filter_map(|(name, applied)| Some(times.get(name)?.duration_since(*applied)));
        let ready = ready.collect();
        self.names.extend(probes.into_iter().map(|(name, _)| name));
        self.stage.quiet().await?;
        let phase = Phase { count, took: ended - began, cpu, requests: self.stage.requests().await?, events };
        Ok(Created { phase, ready, edited, clients })
    }

    /// Writes all clients as an operator would leave them.
    pub async fn load(&self, sender: &Sender) -> Result<()> {
        let names = stream::iter(self.names.iter().map(Ok));
        let written = names.try_for_each_concurrent(CONCURRENCY, async |name: &String| {
            let object = create(self.stage, name, "default").await?;
            sender.load(&object).await.map(drop)
        });
        written.await
    }

    /// Applies one more client now and then.
    async fn probe(&self, over: &AtomicBool) -> Result<Vec<(String, Instant)>> {
        let (mut probes, mut pace) = (Vec::new(), tokio::time::interval(PROBE));
        loop {
            pace.tick().await;
            if over.load(Ordering::Relaxed) {
                return Ok(probes);
            }
            let (name, applied) = (format!("{}{}", self.probes, probes.len()), Instant::now());
            create(self.stage, &name, "default").await?;
            probes.push((name, applied));
        }
    }

    /// Edits the first client, again once it is applied.
    async fn edit_first(&self, over: &AtomicBool) -> Result<Vec<Duration>> {
        let (observer, objects) = (self.stage.observe_first(), self.stage.objects());
        let first = objects.get(FIRST).await.map_err(Error::kubernetes("reading the first client"))?;
        let (mut edits, mut pace) = (Vec::new(), tokio::time::interval(PROBE));
        for generation in first.metadata.generation.unwrap_or_default() + 1.. {
            pace.tick().await;
            if over.load(Ordering::Relaxed) {
                break;
            }
            observer.aim(Goal::Applied(generation));
            let began = Instant::now();
            edit(self.stage, FIRST, generation).await?;
            observer.until("an edit is applied", self.patience(), |met| met.first).await?;
            edits.push(began.elapsed());
        }
        Ok(edits)
    }

    /// Edits all clients.
    pub async fn edit(&mut self) -> Result<Phase> {
        self.change("all are edited", Goal::Applied(2), async |name| edit(self.stage, name, 2).await).await
    }

    /// Asks for a rotation of the first client.
    pub async fn rotate_first(&self) -> Result<(Duration, Requests)> {
        let observer = self.stage.observe_first();
        observer.aim(Goal::Rotated);
        self.stage.begin_count().await?;
        let began = Instant::now();
        rotate(self.stage, FIRST, "monday").await?;
        observer.until("the first client is rotated", self.patience(), |met| met.first).await?;
        let took = began.elapsed();
        self.stage.quiet().await?;
        Ok((took, self.stage.requests().await?))
    }

    /// Asks for a rotation of all clients.
    pub async fn rotate(&mut self) -> Result<Phase> {
        self.change("all are rotated", Goal::Rotated, async |name| rotate(self.stage, name, "monday").await).await
    }

    /// Deletes all clients.
    pub async fn delete(&mut self) -> Result<Phase> {
        let objects = self.stage.objects();
        let delete = async |name: &str| {
            let deleted = objects.delete(name, &DeleteParams::default()).await;
            deleted.map(drop).map_err(Error::kubernetes(format!("deleting {name}")))
        };
        self.change("all are gone", Goal::Gone, delete).await
    }

    /// How many Secrets of clients that are gone the garbage collector removes in a second.
    pub async fn collected(&self) -> Result<f64> {
        let (before, began) = (self.stage.count_secrets().await?, Instant::now());
        tokio::time::sleep(COLLECTED).await;
        let after = self.stage.count_secrets().await?;
        Ok(before.saturating_sub(after) as f64 / began.elapsed().as_secs_f64())
    }

    async fn change(&self, what: &str, goal: Goal, one: impl AsyncFn(&str) -> Result<()>) -> Result<Phase> {
        self.stage.begin_count().await?;
        self.observer.aim(goal);
        let (before, began, count) = (self.stage.cpu()?, Instant::now(), self.names.len());
        self.each(one).await?;
        self.observer.until(what, self.patience(), |met| met.all == count).await?;
        let (cpu, events) = (cpu_between(&before, &self.stage.cpu()?), self.stage.requests().await?.events);
        let took = self.observer.times().into_values().max().unwrap_or(began) - began;
        self.stage.quiet().await?;
        Ok(Phase { count, took, cpu, requests: self.stage.requests().await?, events })
    }

    async fn each(&self, one: impl AsyncFn(&str) -> Result<()>) -> Result<()> {
        let names = stream::iter(self.names.iter().map(Ok));
        names.try_for_each_concurrent(USERS, async |name: &String| one(name).await).await
    }
}

/// Creates a client in a project.
pub async fn create(stage: &Stage, name: &str, project: &str) -> Result<DynamicObject> {
    let client = DynamicObject::new(name, &oauth_clients()).within(NAMESPACE).data(json!({ "spec": {
        "projectRef": { "kind": "ClusterMeshAgentProject", "name": project },
        "redirectUris": ["https://shop.example.com/oauth/callback"],
        "scopes": ["profile:read", "rooms:connect"],
        "rotation": { "overlap": "0s" },
    } }));
    let created = stage.objects().create(&PostParams::default(), &client).await;
    created.map_err(Error::kubernetes(format!("creating {name}")))
}

/// Asks for a rotation of a client; another word asks again.
pub async fn rotate(stage: &Stage, name: &str, asked: &str) -> Result<()> {
    patched(stage, name, &json!({ "metadata": { "annotations": { ROTATE: asked } } })).await
}

/// Changes the redirect URI of a client.
pub async fn edit(stage: &Stage, name: &str, number: i64) -> Result<()> {
    let uri = format!("https://shop.example.com/oauth/callback/{number}");
    patched(stage, name, &json!({ "spec": { "redirectUris": [uri] } })).await
}

async fn patched(stage: &Stage, name: &str, patch: &Value) -> Result<()> {
    let patched = stage.objects().patch(name, &PatchParams::default(), &Patch::Merge(patch)).await;
    patched.map(drop).map_err(Error::kubernetes(format!("changing {name}")))
}

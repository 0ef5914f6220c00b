//! A bare client: it sends the requests that the operator sends, with the operator's concurrency, rights and watches,
//! and decides, checks and remembers next to nothing. What it reaches is what the API server allows.

mod requests;

use std::collections::{HashMap, HashSet};
use std::fmt::Debug;
use std::pin::pin;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};

use futures::StreamExt;
use k8s_openapi::api::core::v1::{Namespace, Pod, Secret};
use kube::api::{DynamicObject, PartialObjectMeta};
use kube::runtime::{WatchStreamExt, watcher};
use kube::{Api, Client, Resource, ResourceExt};
use serde::de::DeserializeOwned;
use tokio::sync::{Semaphore, watch};
use tokio::task::JoinSet;

use crate::error::{Error, Result};
use crate::names::{
    FINALIZER, LABEL, OPERATOR, OPERATOR_GROUPS, ROTATE, SYSTEM, cluster_projects, oauth_clients, projects,
};
use crate::stage::Stage;
use requests::Done;
pub use requests::Sender;

/// How many clients of one project the operator works on at a time: three quarters of `--max-concurrent`, which is 32.
pub const CONCURRENCY: usize = 24;

/// How many Events the operator writes at a time.
const EVENT_WRITERS: usize = 4;

/// What a client asks for.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Work {
    Create,
    Edit,
    Rotate,
    Delete,
}

impl Work {
    /// What is asked for; `None` if nothing is, or if it is under way.
    fn of(object: &DynamicObject) -> Option<Self> {
        let status = &object.data["status"];
        let ours = object.finalizers().iter().any(|finalizer| finalizer == FINALIZER);
        let asked = object.annotations().get(ROTATE).map(String::as_str);
        match (object.metadata.deletion_timestamp.is_some(), ours, status["appliedGeneration"].as_i64()) {
            (true, true, _) => Some(Self::Delete),
            (false, false, None) => Some(Self::Create),
            (true, false, _) | (false, true, None) | (false, false, Some(_)) => None,
            (false, true, Some(_)) if asked.is_some() && status["lastHandledRotateAt"].as_str() != asked => {
                Some(Self::Rotate)
            }
            (false, true, Some(applied)) => (object.metadata.generation != Some(applied)).then_some(Self::Edit),
        }
    }
}

/// What is under way, and the versions up to which everything is done.
#[derive(Default)]
struct Progress {
    busy: HashSet<String>,
    done: HashMap<String, u64>,
}

/// A bare client at work. Dropping it ends it.
pub struct Bare {
    failed: watch::Receiver<Option<String>>,
    _tasks: JoinSet<()>,
}

impl Bare {
    /// Opens the operator's watches and begins to work.
    pub async fn start(stage: &Stage, sender: Sender) -> Result<Self> {
        let watches = stage.plane.client_for(OPERATOR, &OPERATOR_GROUPS).await?;
        let (failed, has_failed) = watch::channel(None);
        let mut tasks = JoinSet::new();
        tasks.spawn(work(Api::all_with(watches.clone(), &oauth_clients()), Arc::new(sender), failed));
        let labelled = || watcher::Config::default().labels(LABEL);
        tasks.spawn(drain(metadata::<Secret>(&watches), labelled()));
        let running = "status.phase!=Succeeded,status.phase!=Failed";
        tasks.spawn(drain(metadata::<Pod>(&watches), labelled().fields(running)));
        tasks.spawn(drain(metadata::<Namespace>(&watches), watcher::Config::default()));
        let keys: Api<PartialObjectMeta<Secret>> = Api::namespaced(watches.clone(), SYSTEM);
        tasks.spawn(drain(keys, watcher::Config::default().fields("metadata.name=default")));
        for kind in [cluster_projects(), projects()] {
            let objects: Api<DynamicObject> = Api::all_with(watches.clone(), &kind);
            tasks.spawn(drain(objects, watcher::Config::default()));
        }
        Ok(Self { failed: has_failed, _tasks: tasks })
    }

    /// Carries out what users do, and fails if the bare client fails meanwhile.
    pub async fn during<T>(&self, users: impl Future<Output = Result<T>>) -> Result<T> {
        let mut failed = self.failed.clone();
        tokio::select! {
            done = users => done,
            said = failed.wait_for(Option::is_some) => {
                let said = said.ok().and_then(|said| said.clone()).unwrap_or_default();
                Err(Error::Unexpected(format!("the bare client: {said}")))
            }
        }
    }
}

fn metadata<K: Resource<DynamicType = ()>>(client: &Client) -> Api<PartialObjectMeta<K>> {
    Api::all(client.clone())
}

async fn drain<K>(objects: Api<K>, config: watcher::Config)
where
    K: Resource + Clone + DeserializeOwned + Debug + Send + 'static,
{
    watcher(objects, config).default_backoff().for_each(|_| std::future::ready(())).await;
}

async fn work(objects: Api<DynamicObject>, sender: Arc<Sender>, failed: watch::Sender<Option<String>>) {
    let (progress, slots, failed) =
        (Arc::<Mutex<Progress>>::default(), Arc::new(Semaphore::new(CONCURRENCY)), Arc::new(failed));
    let (writers, mut tasks) = (Arc::new(Semaphore::new(EVENT_WRITERS)), JoinSet::new());
    let mut events = pin!(watcher(objects, watcher::Config::default()).default_backoff());
    while let Some(event) = events.next().await {
        while tasks.try_join_next().is_some() {}
        let object = match event {
            Ok(watcher::Event::Apply(object) | watcher::Event::InitApply(object)) => object,
            Ok(watcher::Event::Delete(_) | watcher::Event::Init | watcher::Event::InitDone) | Err(_) => continue,
        };
        let Some(work) = Work::of(&object).filter(|_| begin(&progress, &object)) else { continue };
        let (sender, slots, writers) = (Arc::clone(&sender), Arc::clone(&slots), Arc::clone(&writers));
        let (progress, failed) = (Arc::clone(&progress), Arc::clone(&failed));
        tasks.spawn(async move {
            // The semaphores are never closed.
            let slot = slots.acquire().await;
            let told = match carry_out(&sender, work, &object).await {
                Ok(done) => {
                    end(&progress, &done.object);
                    drop(slot);
                    let _writer = writers.acquire().await;
                    sender.tell(&done).await
                }
                Err(error) => Err(error),
            };
            if let Err(error) = told {
                failed.send_replace(Some(error.chain()));
            }
        });
    }
}

async fn carry_out(sender: &Sender, work: Work, object: &DynamicObject) -> Result<Done> {
    match work {
        Work::Create => sender.create(object).await,
        Work::Edit => sender.edit(object).await,
        Work::Rotate => sender.rotate(object).await,
        Work::Delete => sender.delete(object).await,
    }
}

/// Whether this version is news: the watch also shows what the bare client itself wrote.
fn begin(progress: &Mutex<Progress>, object: &DynamicObject) -> bool {
    let (name, mut progress) = (object.name_any(), open(progress));
    let seen = number(&object.resource_version().unwrap_or_default());
    progress.done.get(&name).is_none_or(|done| seen > *done) && progress.busy.insert(name)
}

fn end(progress: &Mutex<Progress>, object: &DynamicObject) {
    let (name, mut progress) = (object.name_any(), open(progress));
    progress.busy.remove(&name);
    progress.done.insert(name, number(&object.resource_version().unwrap_or_default()));
}

/// A resourceVersion as a number, by which clients may order versions since Kubernetes 1.35.
fn number(version: &str) -> u64 {
    version.parse().unwrap_or_default()
}

fn open(progress: &Mutex<Progress>) -> MutexGuard<'_, Progress> {
    progress.lock().unwrap_or_else(PoisonError::into_inner)
}

//! The Secrets that hold API keys carry no label of ours, so each is watched by its name.

use std::collections::HashMap;
use std::sync::{Arc, Mutex, PoisonError};

use futures::StreamExt;
use k8s_openapi::api::core::v1::Secret;
use kube::core::PartialObjectMeta;
use kube::runtime::reflector::ObjectRef;
use kube::runtime::{WatchStreamExt, watcher};
use kube::{Api, Client};
use tokio::sync::mpsc::UnboundedSender;
use tokio::task::JoinHandle;

use super::declared::Declared;
use crate::project::ProjectKey;

/// One watch for each project, on the metadata of its key's Secret.
#[derive(Clone)]
pub(super) struct KeyWatches<K: Declared> {
    watches: Arc<Mutex<HashMap<ProjectKey, Watch>>>,
    wake: UnboundedSender<ObjectRef<K>>,
}

struct Watch {
    secret: (String, String),
    task: JoinHandle<()>,
}

impl Drop for Watch {
    fn drop(&mut self) {
        self.task.abort();
    }
}

impl<K: Declared> KeyWatches<K> {
    /// Wakes projects through this channel.
    pub(super) fn new(wake: UnboundedSender<ObjectRef<K>>) -> Self {
        Self { watches: Arc::default(), wake }
    }

    /// From now on the project is woken when the Secret of this name changes.
    pub(super) fn follow(&self, client: &Client, project: &K, namespace: &str, name: &str) {
        let secret = (namespace.to_owned(), name.to_owned());
        let mut watches = self.watches.lock().unwrap_or_else(PoisonError::into_inner);
        if watches.get(&project.key()).is_some_and(|watch| watch.secret == secret) {
            return;
        }
        let secrets: Api<PartialObjectMeta<Secret>> = Api::namespaced(client.clone(), namespace);
        let by_name = watcher::Config::default().fields(&format!("metadata.name={name}"));
        let (wake, reference) = (self.wake.clone(), ObjectRef::from_obj(project));
        let changes = watcher(secrets, by_name).default_backoff().touched_objects();
        let task = tokio::spawn(changes.for_each(move |change| {
            if change.is_ok() {
                // The receiver ends with the controller, at shutdown.
                let _ = wake.send(reference.clone());
            }
            std::future::ready(())
        }));
        watches.insert(project.key(), Watch { secret, task });
    }

    /// The project is gone.
    pub(super) fn forget(&self, key: &ProjectKey) {
        self.watches.lock().unwrap_or_else(PoisonError::into_inner).remove(key);
    }
}

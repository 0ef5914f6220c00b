//! The watches of keys and CA bundles: their objects carry no label of ours, so each is watched by its name.

use std::collections::{BTreeMap, BTreeSet, HashMap};
use std::fmt::Debug;
use std::sync::{Arc, Mutex, PoisonError};

use futures::StreamExt;
use k8s_openapi::NamespaceResourceScope;
use k8s_openapi::api::core::v1::{ConfigMap, Secret};
use kube::core::PartialObjectMeta;
use kube::runtime::reflector::ObjectRef;
use kube::runtime::watcher::Event;
use kube::runtime::{WatchStreamExt, watcher};
use kube::{Api, Client, Resource};
use serde::de::DeserializeOwned;
use tokio::sync::mpsc::UnboundedSender;
use tokio::task::JoinHandle;

use crate::decide::project::reference::ProjectKey;
use crate::decide::project::spec::BundleKind;
use crate::kubernetes::readable::Readable;
use crate::kubernetes::watch_backoff::WatchBackoff;
use crate::project::ProjectObject;
use crate::project::access::Source;

/// One watch for each source of each project, on metadata.
#[derive(Clone)]
pub(super) struct KeyWatches<K: ProjectObject> {
    watches: Arc<Mutex<HashMap<ProjectKey, BTreeMap<Source, Watch>>>>,
    queue: UnboundedSender<ObjectRef<K>>,
}

struct Watch(JoinHandle<()>);

impl Drop for Watch {
    fn drop(&mut self) {
        self.0.abort();
    }
}

impl<K: ProjectObject> KeyWatches<K> {
    /// Watches that enqueue projects through this channel.
    pub(super) fn new(queue: UnboundedSender<ObjectRef<K>>) -> Self {
        Self { watches: Arc::default(), queue }
    }

    /// Watches these sources, and no others of the project: a change of one enqueues the project.
    pub(super) fn follow(&self, client: &Client, project: &K, sources: &BTreeSet<Source>) {
        let mut watches = self.watches.lock().unwrap_or_else(PoisonError::into_inner);
        let own = watches.entry(project.key()).or_default();
        own.retain(|source, _| sources.contains(source));
        for source in sources {
            own.entry(source.clone()).or_insert_with(|| match source.kind {
                BundleKind::Secret => self.watch::<Secret>(client, project, source),
                BundleKind::ConfigMap => self.watch::<ConfigMap>(client, project, source),
            });
        }
    }

    fn watch<T>(&self, client: &Client, project: &K, Source { kind: _, namespace, name }: &Source) -> Watch
    where
        T: Resource<DynamicType = (), Scope = NamespaceResourceScope> + Clone + Debug + Send + Sync + 'static,
        PartialObjectMeta<T>: DeserializeOwned,
    {
        let objects: Api<Readable<PartialObjectMeta<T>>> = Api::namespaced(client.clone(), namespace);
        let by_name = watcher::Config::default().fields(&format!("metadata.name={name}"));
        let (queue, reference) = (self.queue.clone(), ObjectRef::from_obj(project));
        let events = watcher(objects, by_name).backoff(WatchBackoff::default());
        Watch(tokio::spawn(events.for_each(move |event| {
            // The end of a listing too: it may lack the object.
            if let Ok(Event::Apply(_) | Event::Delete(_) | Event::InitDone) = event {
                // The receiver ends with the controller, at shutdown.
                let _ = queue.send(reference.clone());
            }
            std::future::ready(())
        })))
    }

    /// Ends the watches of a project that is gone.
    pub(super) fn forget(&self, key: &ProjectKey) {
        self.watches.lock().unwrap_or_else(PoisonError::into_inner).remove(key);
    }
}

//! The labels of all namespaces, by which projects allow their use.

use std::pin::pin;
use std::sync::Arc;
use std::time::{Duration, Instant};

use futures::StreamExt;
use k8s_openapi::api::core::v1::Namespace;
use kube::core::PartialObjectMeta;
use kube::runtime::reflector::store::Writer;
use kube::runtime::watcher;
use kube::{Api, Client, ResourceExt};

use super::declared::DeclaredProjects;
use super::triggers::Triggers;
use crate::kubernetes::readable::{Readable, UnreadableObjects, watch_readable};
use crate::project::Projects;

/// How often the operator checks whether it may see namespaces again.
const WITHHELD_RETRY: Duration = Duration::from_secs(15);

/// The writer that fills the cache of labels.
pub(super) type NamespaceWriter = Writer<PartialObjectMeta<Namespace>>;

/// Who is told of namespaces.
pub(super) struct Audience {
    pub(super) projects: Projects,
    pub(super) declared: Arc<DeclaredProjects>,
    pub(super) triggers: Triggers,
}

impl Audience {
    /// Keeps the labels of all namespaces, and enqueues the OAuthClients of one that changed.
    pub(super) async fn watch(self, client: Client, mut writer: NamespaceWriter, unreadable: UnreadableObjects) {
        let mut before = None;
        loop {
            let said = self.watch_until_withheld(client.clone(), &mut writer, unreadable.clone()).await;
            // An API server that has just started refuses everybody for a moment: only a second refusal in a row
            // counts.
            if before.replace(Instant::now()).is_some_and(|before: Instant| before.elapsed() < 2 * WITHHELD_RETRY) {
                self.withhold(said);
            }
            // A watch from its last version on would report nothing when the right is back, so a new one begins.
            tokio::time::sleep(WITHHELD_RETRY).await;
        }
    }

    async fn watch_until_withheld(
        &self,
        client: Client,
        writer: &mut NamespaceWriter,
        unreadable: UnreadableObjects,
    ) -> Option<String> {
        let cached = writer.as_reader();
        let api: Api<Readable<PartialObjectMeta<Namespace>>> = Api::all(client);
        let mut events = pin!(watch_readable(api, watcher::Config::default(), cached, unreadable));
        while let Some(event) = events.next().await {
            match event {
                Ok(event) => {
                    writer.apply_watcher_event(&event);
                    self.tell(&event);
                }
                Err(error) => {
                    tracing::warn!(%error, "namespaces cannot be watched; their labels count as they were last seen");
                    if let Some(said) = forbidden(&error) {
                        return Some(said.to_owned());
                    }
                }
            }
        }
        None
    }

    fn tell(&self, event: &watcher::Event<PartialObjectMeta<Namespace>>) {
        match event {
            watcher::Event::Apply(namespace) => self.triggers.enqueue_namespace(&namespace.name_any()),
            // Some OAuthClients wait for their namespace's labels, and a gap in the watch may hide a change of labels.
            watcher::Event::InitDone => {
                self.withhold(None);
                self.triggers.enqueue_all();
            }
            watcher::Event::Init | watcher::Event::InitApply(_) | watcher::Event::Delete(_) => {}
        }
    }

    /// Remembers what is withheld. A change enqueues everything: projects report it, and so do the OAuthClients that
    /// wait for it.
    fn withhold(&self, said: Option<String>) {
        if self.projects.withhold_namespaces(said) {
            self.declared.enqueue_all();
            self.triggers.enqueue_all();
        }
    }
}

/// The API server's words if it refuses a watch for want of a right.
pub(super) fn forbidden(error: &watcher::Error) -> Option<&str> {
    let status = match error {
        watcher::Error::InitialListFailed(kube::Error::Api(status))
        | watcher::Error::WatchStartFailed(kube::Error::Api(status))
        | watcher::Error::WatchError(status)
        | watcher::Error::WatchFailed(kube::Error::Api(status)) => status,
        watcher::Error::InitialListFailed(_)
        | watcher::Error::WatchStartFailed(_)
        | watcher::Error::WatchFailed(_)
        | watcher::Error::NoResourceVersion => return None,
    };
    (status.code == 403).then_some(status.message.as_str())
}

#[cfg(test)]
mod tests {
    use super::*;
    use kube::core::Status;

    /// F26.
    #[test]
    fn only_a_missing_right_is_told_as_one() {
        let listed = |code, reason| {
            let status = Status::failure("namespaces is forbidden", reason).with_code(code);
            watcher::Error::InitialListFailed(kube::Error::Api(Box::new(status)))
        };
        assert_eq!(forbidden(&listed(403, "Forbidden")), Some("namespaces is forbidden"));
        assert_eq!(forbidden(&listed(410, "Expired")), None);
        assert_eq!(forbidden(&watcher::Error::NoResourceVersion), None);
    }
}

//! The write of a project's status.

use std::time::Duration;

use kube::ResourceExt;
use kube::api::{Patch, PatchParams};
use serde_json::json;
use tokio::time::Instant;

use super::finalizer;
use super::object::ProjectObject;
use super::reconcile::{Executor, WRITE_RETRY};
use crate::api::names::{ACCEPT_LOSS_ANNOTATION, MANAGER};
use crate::api::project::ProjectStatus;
use crate::api::{ConditionType, Reason, condition};
use crate::decide::failure::Failure;
use crate::decide::project::loss::handled_request;
use crate::decide::project::no_access::namespaces_withheld;
use crate::decide::project::report::{ReportInput, is_urgent, report};
use crate::decide::project::schedule;
use crate::decide::time::remark;
use crate::kubernetes::events::{Event, EventType};
use crate::kubernetes::patch::difference;
use crate::kubernetes::within;

impl Executor<'_> {
    /// Writes the status, if it differs. Returns how long until that is to be tried again.
    pub(super) async fn write_status<K: ProjectObject>(&self, object: &K) -> Duration {
        let key = object.key();
        let abandoned = self.projects.take_abandoned(&key);
        let Some(check) = self.checks.change(&key, |check| check.swept.add(abandoned)) else {
            return Duration::MAX;
        };
        let in_use_by = self
            .users
            .names(&key)
            .filter(|users| !users.is_empty() && finalizer::is_deleted(object) && finalizer::is_on(object));
        let (present, unseen) = (object.present_status(), self.unseen(object));
        let many_gone = self.projects.losses().many_gone(&key).map(|many| many.for_project(&key));
        let settled = check.failure.is_none() && self.projects.losses().is_settled(&key);
        let accept_loss = handled_request(asked(object), present.last_handled_accept_loss.as_deref(), settled);
        let status = report(
            &present,
            &ReportInput {
                generation: object.meta().generation.unwrap_or_default(),
                failure: check.failure.as_ref().or(many_gone.as_ref()),
                project_id: self.projects.get(&key).and_then(|known| known.project).map(|p| p.project_id.clone()),
                clients: self.users.count(&key),
                orphans: &check.swept.orphans,
                unseen: unseen.as_deref(),
                accept_loss,
                in_use_by: in_use_by.as_deref(),
                clock: remark(self.clock.skew()).as_deref(),
                now: self.clock.now(),
            },
        );
        if status == present {
            return Duration::MAX;
        }
        let pause = schedule::status_pause(check.status_written.map(|written| written.elapsed()));
        if !pause.is_zero() && !is_urgent(&present, &status) {
            return pause;
        }
        let patch = json!({
            "metadata": { "resourceVersion": object.resource_version() },
            "status": difference(&json!(present), &json!(status)),
        });
        let api = K::api(self.requests.clone(), object.namespace().as_deref());
        let params = PatchParams { field_manager: Some(MANAGER.to_owned()), ..PatchParams::default() };
        match within("write the project's status", api.patch_status(&key.name, &params, &Patch::Merge(patch))).await {
            Ok(_) => {
                self.checks.change(&key, |check| check.status_written = Some(Instant::now()));
                if says_many_gone(&status) && !says_many_gone(&present) {
                    self.events.publish(object, many_gone.map(warning).into_iter().collect());
                }
                Duration::MAX
            }
            // The newer version enqueues this project again.
            Err(error) if error.is_conflict() => Duration::MAX,
            Err(error) => {
                tracing::warn!(project = %key, "{}", error.of_object().message);
                WRITE_RETRY
            }
        }
    }

    /// Reads which loss a person accepts, and enqueues the users if they waited for it.
    pub(super) fn hear_acceptance<K: ProjectObject>(&self, object: &K) {
        let handled = object.present_status().last_handled_accept_loss;
        if self.projects.losses().ask(&object.key(), asked(object), handled.as_deref()) {
            tracing::info!(project = %object.key(), "the loss of clients is accepted; they are replaced");
            (self.enqueue_users)(None);
        }
    }

    /// The labels of namespaces that the project goes by and that may not be seen, in words.
    fn unseen<K: ProjectObject>(&self, object: &K) -> Option<String> {
        let said = self.projects.namespaces_withheld()?;
        let concerned = object.allowed().goes_by_labels() || object.adoption().goes_by_labels();
        concerned.then(|| namespaces_withheld(&object.key(), &said).message)
    }
}

/// The loss that a person accepts, as it is written.
fn asked<K: ProjectObject>(object: &K) -> &str {
    object.annotations().get(ACCEPT_LOSS_ANNOTATION).map(String::as_str).unwrap_or_default()
}

fn says_many_gone(status: &ProjectStatus) -> bool {
    let ready = condition::find(status.conditions.as_deref().unwrap_or_default(), ConditionType::Ready);
    ready.is_some_and(|ready| ready.reason == Reason::ManyClientsGone.as_str())
}

fn warning(failure: Failure) -> Event {
    Event { type_: EventType::Warning, reason: failure.reason.as_str().to_owned(), text: failure.message }
}

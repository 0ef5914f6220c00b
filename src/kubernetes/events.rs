//! Events: what happened to an object, for whoever looks at it.
//!
//! Written by hand and not by kube's recorder, whose deduplication leaves the note out: a message that changes would be
//! lost for minutes. Notes come from transitions only, so there is little to deduplicate.

use k8s_openapi::api::events::v1::Event as KubernetesEvent;
use k8s_openapi::apimachinery::pkg::apis::meta::v1::{MicroTime, ObjectMeta};
use kube::api::PostParams;
use kube::{Api, Client, Resource, ResourceExt};

use crate::api::OAuthClient;
use crate::api::names::MANAGER;

/// What happened to an object, for whoever looks at it.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Event {
    /// Good news or bad.
    pub type_: EventType,
    /// A word that people search for: a condition's reason, or what was done.
    pub reason: String,
    /// What happened, in a sentence that names the resource.
    pub text: String,
}

/// Good news or bad, as Kubernetes tells them apart.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum EventType {
    /// Something was done.
    Normal,
    /// Something is wrong.
    Warning,
}

/// The API server refuses longer notes.
const LONGEST_NOTE: usize = 1000;

/// Writes Events beside the object. A failure is logged and has no other consequence.
pub async fn publish(client: &Client, object: &OAuthClient, happened: &[Event], now: jiff::Timestamp) {
    let Some(namespace) = object.namespace() else { return };
    let events: Api<KubernetesEvent> = Api::namespaced(client.clone(), &namespace);
    for told in happened {
        let event = KubernetesEvent {
            metadata: ObjectMeta {
                // Names are at most 253 bytes; an OAuthClient's is at most 63.
                name: Some(format!("{}.{}", object.name_any(), uuid::Uuid::new_v4().simple())),
                namespace: Some(namespace.clone()),
                ..ObjectMeta::default()
            },
            event_time: Some(MicroTime(now)),
            reporting_controller: Some(MANAGER.to_owned()),
            reporting_instance: Some(MANAGER.to_owned()),
            action: Some("Reconcile".to_owned()),
            reason: Some(told.reason.clone()),
            type_: Some(
                match told.type_ {
                    EventType::Normal => "Normal",
                    EventType::Warning => "Warning",
                }
                .to_owned(),
            ),
            note: Some(told.text.chars().take(LONGEST_NOTE).collect()),
            regarding: Some(object.object_ref(&())),
            ..KubernetesEvent::default()
        };
        let params = PostParams::default();
        let written = tokio::time::timeout(super::DEADLINE, events.create(&params, &event));
        match written.await {
            Ok(Ok(_)) => {}
            // In a terminating namespace this is always so.
            Ok(Err(error)) => tracing::debug!(reason = told.reason, %error, "the event was not written"),
            Err(_) => tracing::debug!(reason = told.reason, "the event was not written in time"),
        }
    }
}

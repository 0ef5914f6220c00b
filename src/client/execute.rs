//! One arm per step. Nothing is decided here.

mod abandon;
mod remote;
mod secret;

use std::collections::BTreeSet;

use k8s_openapi::api::core::v1::Secret;
use kube::api::{Patch, PatchParams};
use kube::{Api, Client, ResourceExt};
use serde_json::{Value, json};

use super::pass::{Pass, former_secret_name};
use super::pending::PendingStore;
use crate::kubernetes::{KubernetesError, within};

use crate::api::names::{CLIENT_ID_ANNOTATION, CREATE_TOKEN_ANNOTATION, FINALIZER, MANAGER, UNKNOWN_TOKENS_ANNOTATION};
use crate::api::{OAuthClient, Reason};
use crate::decide::client::next::{Record, Step};
use crate::decide::client::object;
use crate::decide::client::observed::{self, Answer};
use crate::decide::client::secret::view;
use crate::decide::failure::Failure;
use crate::decide::id::{Token, Version};
use crate::kubernetes::crd::CrdReader;
use crate::project::{ProjectClient, Projects, Slot};

/// Why nothing is deleted when it cannot be told whether anybody deleted it.
const UNDEFINED: &str = "the API server does not tell whether the CRD of OAuthClients is being deleted, in which case the \
                         client would stay; the operator needs the right to get that CRD. Trying again";

/// What the steps are carried out with.
#[derive(Clone)]
pub struct Executor<'a> {
    /// The OAuthClients of the object's namespace.
    pub objects: Api<OAuthClient>,
    /// The Secrets of the object's namespace.
    pub secrets: Api<Secret>,
    /// The object's project, if it can be reached.
    pub project: Option<&'a ProjectClient>,
    /// What this process holds.
    pub pending: &'a PendingStore,
    /// Whether OAuthClients are kept.
    pub definitions: &'a CrdReader,
    /// Where clients that are given up are made known.
    pub projects: &'a Projects,
    /// The right to run this pass.
    pub slot: &'a Slot,
    /// For the project's status.
    pub requests: &'a Client,
}

impl Executor<'_> {
    /// Carries one step out, and keeps the pass's object up to date.
    pub(super) async fn execute(&self, pass: &mut Pass<'_>, step: &Step) -> Answer {
        match step {
            Step::ReadLive => self.read_live(pass).await,
            Step::ReadSecret => self.read_secret(pass).await,
            Step::WriteIntent { version, unknown } => self.write_intent(pass, version, unknown).await,
            Step::StrikeUnknown { version } => {
                let annotations = json!({ UNKNOWN_TOKENS_ANNOTATION: null });
                let patch = json!({ "metadata": { "resourceVersion": version.as_str(), "annotations": annotations } });
                match self.patch_object(pass, "strike cleaned tokens off", &patch).await {
                    Ok(()) => Answer::Object(pass.facts()),
                    Err(answer) => *answer,
                }
            }
            Step::DryRun { write } => self.dry_run_secret(pass, write).await,
            Step::Publish { client_id, token, write, .. } => self.publish(pass, client_id, token, write).await,
            Step::MoveToken { token, version } => {
                self.pending.forget(&pass.observed.object.uid);
                let mut annotations = json!({ CREATE_TOKEN_ANNOTATION: token.as_str() });
                // The Secret holds the recorded client; if only that annotation is gone, the Secret would not count.
                if let Some(client_id) = &pass.observed.object.recorded.client_id {
                    annotations[CLIENT_ID_ANNOTATION] = json!(client_id.as_str());
                }
                let patch = json!({ "metadata": { "resourceVersion": version.as_str(), "annotations": annotations } });
                self.patch_secret(pass, "move the token of the Secret", &patch).await
            }
            Step::Reshape { client_id, version } => self.reshape(pass, client_id, None, version).await,
            Step::TakeOver { client_id, token, version } => {
                self.pending.forget(&pass.observed.object.uid);
                self.reshape(pass, client_id, Some(token), version).await
            }
            Step::TakeCredential { token, client_id } => self.take_credential(pass, token, client_id).await,
            Step::Relocate { client_id, version } => self.relocate(pass, client_id, version).await,
            Step::DeleteSecret { leftover, version } => self.delete_secret(pass, *leftover, version).await,
            Step::ReleaseSecret { retained, version } => self.release_secret(pass, *retained, version).await,
            Step::CheckCrd => match self.definitions.ask().await {
                Some(definition) => Answer::CrdState(definition),
                None => Answer::Failed(Failure::retry(Reason::Deleting, UNDEFINED)),
            },
            Step::Abandon { client_ids } => self.abandon(pass, client_ids).await,
            Step::Forget => {
                self.pending.forget(&pass.observed.object.uid);
                Answer::Forgotten
            }
            Step::Record(record) => self.record(pass, record).await,
            Step::RemoveFinalizer { version } => self.remove_finalizer(pass, version).await,
            Step::List => either(self.list(pass).await),
            Step::Get { client_id } => either(self.get(pass, client_id).await),
            Step::Post { token } => either(self.post(pass, token).await),
            Step::Put { client_id, change, result } => either(self.put(pass, client_id, change, result).await),
            Step::Delete { client_id, .. } => either(self.delete(pass, client_id).await),
            Step::Rest => Answer::Forgotten,
        }
    }

    async fn read_live(&self, pass: &mut Pass<'_>) -> Answer {
        let name = pass.object.name_any();
        let object = match within("read the OAuthClient", self.objects.get(&name)).await {
            Ok(object) => Some(object),
            Err(error) if error.proves_absence_of::<OAuthClient>(&name) => None,
            Err(error) => return Answer::Failed(error.of_object()),
        };
        let here = object.filter(|object| object.metadata.uid.as_deref() == Some(pass.observed.object.uid.as_str()));
        if let Some(object) = here.clone() {
            pass.take(object);
        }
        match self.look_at_secrets(pass).await {
            Ok((secret, leftover)) => Answer::Live(here.map(|_| pass.facts()), secret, leftover),
            Err(error) => Answer::Failed(error.of_object()),
        }
    }

    /// Reads the Secret under the name that the spec wants, and under its former name if that is another.
    async fn look_at_secrets(
        &self,
        pass: &mut Pass<'_>,
    ) -> Result<(observed::Secret, Option<Version>), KubernetesError> {
        let wanted = self.get_secret(&pass.secret_name).await?;
        let former = match former_secret_name(&pass.object) {
            Some(former) => self.get_secret(former).await?,
            None => None,
        };
        let facts = pass.facts();
        let view_of = |secret: Option<&Secret>| view(secret, &facts.uid, &facts.recorded, pass.shape.as_ref());
        let (wanted, former) = (view_of(wanted.as_ref()), view_of(former.as_ref()));
        Ok(pass.locate(wanted, former))
    }

    pub(super) async fn get_secret(&self, name: &str) -> Result<Option<Secret>, KubernetesError> {
        match within("read the Secret", self.secrets.get(name)).await {
            Ok(secret) => Ok(Some(secret)),
            Err(error) if error.proves_absence_of::<Secret>(name) => Ok(None),
            Err(error) => Err(error),
        }
    }

    async fn read_secret(&self, pass: &Pass<'_>) -> Answer {
        match self.get_secret(&pass.place).await {
            Ok(Some(secret)) => {
                let object = &pass.observed.object;
                match view(Some(&secret), &object.uid, &object.recorded, pass.shape.as_ref()) {
                    // Another version than the pass knows of may have another token as well.
                    observed::Secret::Ours(stored) if pass.secret_version().as_ref() == Some(&stored.version) => {
                        Answer::Data(stored.credential, stored.in_shape)
                    }
                    observed::Secret::Ours(_) | observed::Secret::Absent | observed::Secret::Foreign(_) => {
                        Answer::Conflict
                    }
                }
            }
            Ok(None) => Answer::Conflict,
            Err(error) => Answer::Failed(error.of_object()),
        }
    }

    async fn write_intent(&self, pass: &mut Pass<'_>, version: &Version, unknown: &BTreeSet<Token>) -> Answer {
        let uid = pass.observed.object.uid.clone();
        let token = Token::mint(&uid, &uuid::Uuid::new_v4().simple().to_string());
        let mut finalizers = pass.object.finalizers().to_vec();
        if !finalizers.iter().any(|finalizer| finalizer == FINALIZER) {
            finalizers.push(FINALIZER.to_owned());
        }
        let unknown = if unknown.is_empty() { Value::Null } else { json!(object::unknown_tokens_text(unknown)) };
        let annotations = json!({ CREATE_TOKEN_ANNOTATION: token.as_str(), UNKNOWN_TOKENS_ANNOTATION: unknown });
        let patch = json!({ "metadata": {
            "resourceVersion": version.as_str(),
            "finalizers": finalizers,
            "annotations": annotations,
        } });
        match self.patch_object(pass, "write the intent", &patch).await {
            Ok(()) => {
                self.pending.keep_unspent(&uid, token.clone());
                Answer::Intent(pass.facts(), token)
            }
            Err(answer) => *answer,
        }
    }

    async fn remove_finalizer(&self, pass: &mut Pass<'_>, version: &Version) -> Answer {
        let mut finalizers = pass.object.finalizers().to_vec();
        finalizers.retain(|finalizer| finalizer != FINALIZER);
        let patch = json!({ "metadata": { "resourceVersion": version.as_str(), "finalizers": finalizers } });
        match self.patch_object(pass, "release the OAuthClient", &patch).await {
            Ok(()) => Answer::Released,
            Err(answer) => *answer,
        }
    }

    /// Patches the object's metadata; the pass goes on with what came back.
    async fn patch_object(
        &self,
        pass: &mut Pass<'_>,
        operation: &'static str,
        patch: &Value,
    ) -> Result<(), Box<Answer>> {
        let (name, params) = (pass.object.name_any(), PatchParams::apply(MANAGER));
        let params = PatchParams { force: false, ..params };
        match within(operation, self.objects.patch(&name, &params, &Patch::Merge(patch))).await {
            Ok(object) => {
                pass.take(object);
                Ok(())
            }
            Err(error) if error.is_conflict() || error.proves_absence_of::<OAuthClient>(&name) => {
                Err(Box::new(Answer::Conflict))
            }
            Err(error) => Err(Box::new(Answer::Failed(error.of_object()))),
        }
    }

    async fn record(&self, pass: &mut Pass<'_>, record: &Record) -> Answer {
        let Some(patch) = pass.status_patch(record) else {
            return Answer::Recorded(pass.facts());
        };
        let (name, params) = (pass.object.name_any(), PatchParams::default());
        let params = PatchParams { field_manager: Some(MANAGER.to_owned()), ..params };
        match within("record the status", self.objects.patch_status(&name, &params, &Patch::Merge(patch))).await {
            Ok(object) => {
                pass.take(object);
                pass.status_written = true;
                Answer::Recorded(pass.facts())
            }
            Err(error) if error.is_conflict() || error.proves_absence_of::<OAuthClient>(&name) => Answer::Conflict,
            Err(error) => Answer::Failed(error.of_object()),
        }
    }
}

/// An answer, whichever way it was reached.
fn either(answer: Result<Answer, Box<Answer>>) -> Answer {
    answer.unwrap_or_else(|answer| *answer)
}

//! One arm per step. Nothing is decided here.

use std::collections::BTreeSet;

use k8s_openapi::api::core::v1::Secret;
use kube::Api;
use kube::ResourceExt;
use kube::api::{Patch, PatchParams, PostParams};
use serde_json::{Value, json};

use super::failures::{KubernetesError, within};
use super::held::Vault;
use super::pass::Pass;
use super::secret;
use crate::api::OAuthClient;
use crate::api::names::{CREATE_TOKEN_ANNOTATION, FINALIZER, MANAGER, UNKNOWN_TOKENS_ANNOTATION};
use crate::decide::id::{ClientId, Token, Version};
use crate::decide::next::{Record, SecretWrite, Step};
use crate::decide::observed::{self, Answer, Stored};
use crate::decide::reading;
use crate::project::Project;
use crate::secret::ClientSecret;

/// What the steps are carried out with.
#[derive(Clone, Debug)]
pub struct Hands<'a> {
    /// The OAuthClients of the object's namespace.
    pub objects: Api<OAuthClient>,
    /// The Secrets of the object's namespace.
    pub secrets: Api<Secret>,
    /// The object's project, if it can be reached.
    pub project: Option<&'a Project>,
    /// What this process holds.
    pub vault: &'a Vault,
}

impl Hands<'_> {
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
            Step::Rehearse { write } => self.rehearse(pass, write).await,
            Step::Publish { client_id, token, write, .. } => self.publish(pass, client_id, token, write).await,
            Step::MoveToken { token, version } => {
                self.vault.forget(&pass.observed.object.uid);
                let annotations = json!({ CREATE_TOKEN_ANNOTATION: token.as_str() });
                let patch = json!({ "metadata": { "resourceVersion": version.as_str(), "annotations": annotations } });
                self.patch_secret(pass, "move the token of the Secret", &patch).await
            }
            Step::Reshape { client_id, version } => self.reshape(pass, client_id, version).await,
            Step::Forget => {
                self.vault.forget(&pass.observed.object.uid);
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
        match self.get_secret(pass).await {
            Ok(secret) => {
                let facts = pass.facts();
                let view = secret::view(secret.as_ref(), &facts.uid, &facts.recorded, pass.shape.as_ref());
                Answer::Live(here.map(|_| facts), view)
            }
            Err(error) => Answer::Failed(error.of_object()),
        }
    }

    async fn get_secret(&self, pass: &Pass<'_>) -> Result<Option<Secret>, KubernetesError> {
        match within("read the Secret", self.secrets.get(&pass.secret_name)).await {
            Ok(secret) => Ok(Some(secret)),
            Err(error) if error.proves_absence_of::<Secret>(&pass.secret_name) => Ok(None),
            Err(error) => Err(error),
        }
    }

    async fn read_secret(&self, pass: &Pass<'_>) -> Answer {
        match self.get_secret(pass).await {
            Ok(Some(secret)) => {
                let object = &pass.observed.object;
                match secret::view(Some(&secret), &object.uid, &object.recorded, pass.shape.as_ref()) {
                    // Another version than the pass knows of may have another token as well.
                    observed::Secret::Ours(stored) if pass.secret_version().as_ref() == Some(&stored.version) => {
                        Answer::Data(stored.credential, stored.in_shape)
                    }
                    observed::Secret::Ours(_) | observed::Secret::Absent | observed::Secret::Foreign => {
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
        let unknown = if unknown.is_empty() { Value::Null } else { json!(reading::unknown_tokens_text(unknown)) };
        let annotations = json!({ CREATE_TOKEN_ANNOTATION: token.as_str(), UNKNOWN_TOKENS_ANNOTATION: unknown });
        let patch = json!({ "metadata": {
            "resourceVersion": version.as_str(),
            "finalizers": finalizers,
            "annotations": annotations,
        } });
        match self.patch_object(pass, "write the intent", &patch).await {
            Ok(()) => {
                self.vault.keep_unspent(&uid, token.clone());
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

    async fn rehearse(&self, pass: &Pass<'_>, write: &SecretWrite) -> Answer {
        let Ok(placeholder) = ClientSecret::new("rehearsal") else {
            return Answer::Rehearsed;
        };
        let (client_id, token) = (ClientId::new("rehearsal"), Token::new("rehearsal"));
        match self.write_secret(pass, &client_id, &token, &placeholder, write, true).await {
            Ok(_) => Answer::Rehearsed,
            Err(answer) => *answer,
        }
    }

    async fn publish(&self, pass: &Pass<'_>, client_id: &ClientId, token: &Token, write: &SecretWrite) -> Answer {
        let uid = &pass.observed.object.uid;
        let Some(secret) = self.vault.secret(uid, token) else {
            return Answer::Conflict;
        };
        match self.write_secret(pass, client_id, token, &secret, write, false).await {
            Ok(stored) => {
                self.vault.forget(uid);
                Answer::Stored(stored)
            }
            Err(answer) => *answer,
        }
    }

    async fn write_secret(
        &self,
        pass: &Pass<'_>,
        client_id: &ClientId,
        token: &Token,
        secret: &ClientSecret,
        write: &SecretWrite,
        dry_run: bool,
    ) -> Result<Stored, Box<Answer>> {
        let Some(shape) = &pass.shape else {
            return Err(Box::new(Answer::Failed(pass.without_project())));
        };
        let field_manager = Some(MANAGER.to_owned());
        let written = match write {
            SecretWrite::Create => {
                let params = PostParams { dry_run, field_manager };
                let whole = shape.with_credential(token, client_id, secret);
                within("create the Secret", self.secrets.create(&params, &whole)).await
            }
            SecretWrite::Replace(version) => {
                let params = PatchParams { dry_run, field_manager, ..PatchParams::default() };
                let patch = Patch::Merge(shape.replacing(version, token, client_id, secret));
                within("replace the credential", self.secrets.patch(&pass.secret_name, &params, &patch)).await
            }
        };
        stored(pass, written)
    }

    async fn reshape(&self, pass: &Pass<'_>, client_id: &ClientId, version: &Version) -> Answer {
        let Some(shape) = &pass.shape else {
            return Answer::Failed(pass.without_project());
        };
        match self.get_secret(pass).await {
            Ok(Some(present)) if present.metadata.resource_version.as_deref() == Some(version.as_str()) => {
                let patch = shape.reshaping(version, client_id, &present);
                self.patch_secret(pass, "bring the Secret into shape", &patch).await
            }
            Ok(_) => Answer::Conflict,
            Err(error) => Answer::Failed(error.of_object()),
        }
    }

    async fn patch_secret(&self, pass: &Pass<'_>, operation: &'static str, patch: &Value) -> Answer {
        let params = PatchParams { field_manager: Some(MANAGER.to_owned()), ..PatchParams::default() };
        let written = within(operation, self.secrets.patch(&pass.secret_name, &params, &Patch::Merge(patch))).await;
        stored(pass, written).map_or_else(|answer| *answer, Answer::Stored)
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

/// The Secret after a write, or the answer if there was none.
fn stored(pass: &Pass<'_>, written: Result<Secret, KubernetesError>) -> Result<Stored, Box<Answer>> {
    let object = &pass.observed.object;
    match written {
        Ok(secret) => match secret::view(Some(&secret), &object.uid, &object.recorded, pass.shape.as_ref()) {
            observed::Secret::Ours(stored) => Ok(stored),
            observed::Secret::Absent | observed::Secret::Foreign => Err(Box::new(Answer::Conflict)),
        },
        Err(error) if error.is_conflict() || error.proves_absence_of::<Secret>(&pass.secret_name) => {
            Err(Box::new(Answer::Conflict))
        }
        Err(error) => Err(Box::new(Answer::Failed(error.of_secret()))),
    }
}

//! The steps that read and write the OAuthClient.

use std::collections::BTreeSet;

use k8s_openapi::api::core::v1::Secret;
use kube::ResourceExt;
use kube::api::{Patch, PatchParams};
use serde_json::{Value, json};

use super::Executor;
use crate::api::OAuthClient;
use crate::api::names::{CREATE_TOKEN_ANNOTATION, FINALIZER, MANAGER, UNKNOWN_TOKENS_ANNOTATION};
use crate::client::pass::{Pass, former_secret_name};
use crate::decide::client::next::Record;
use crate::decide::client::object;
use crate::decide::client::observed::Answer;
use crate::decide::client::secret::view;
use crate::decide::client::situation::Located;
use crate::decide::id::{Token, Version};
use crate::kubernetes::{KubernetesError, within};

impl Executor<'_> {
    pub(super) async fn read_live(&self, pass: &mut Pass<'_>) -> Answer {
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
        match self.read_secrets(pass).await {
            Ok(Located { secret, leftover, place: _ }) => Answer::Live(here.map(|_| pass.facts()), secret, leftover),
            Err(error) => Answer::Failed(error.of_object()),
        }
    }

    /// Reads the Secret under the name that the spec wants, and under its former name if that is another.
    async fn read_secrets(&self, pass: &mut Pass<'_>) -> Result<Located, KubernetesError> {
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

    pub(super) async fn write_intent(
        &self,
        pass: &mut Pass<'_>,
        version: &Version,
        unknown: &BTreeSet<Token>,
    ) -> Answer {
        let uid = pass.observed.object.uid.clone();
        let token = Token::mint(&uid, &uuid::Uuid::new_v4().simple().to_string());
        let unknown = if unknown.is_empty() { Value::Null } else { json!(object::unknown_tokens_text(unknown)) };
        let patch = json!({ "metadata": {
            "resourceVersion": version.as_str(),
            "finalizers": with_finalizer(&pass.object),
            "annotations": { CREATE_TOKEN_ANNOTATION: token.as_str(), UNKNOWN_TOKENS_ANNOTATION: unknown },
        } });
        match self.patch_object(pass, "write the intent", &patch).await {
            Ok(()) => {
                self.pending.keep_unspent(&uid, token.clone());
                Answer::Intent(pass.facts(), token)
            }
            Err(answer) => *answer,
        }
    }

    pub(super) async fn add_finalizer(&self, pass: &mut Pass<'_>, version: &Version) -> Answer {
        let finalizers = with_finalizer(&pass.object);
        let patch = json!({ "metadata": { "resourceVersion": version.as_str(), "finalizers": finalizers } });
        match self.patch_object(pass, "put the finalizer back", &patch).await {
            Ok(()) => Answer::Object(pass.facts()),
            Err(answer) => *answer,
        }
    }

    pub(super) async fn remove_finalizer(&self, pass: &mut Pass<'_>, version: &Version) -> Answer {
        let mut finalizers = pass.object.finalizers().to_vec();
        finalizers.retain(|finalizer| finalizer != FINALIZER);
        let patch = json!({ "metadata": { "resourceVersion": version.as_str(), "finalizers": finalizers } });
        match self.patch_object(pass, "release the OAuthClient", &patch).await {
            Ok(()) => {
                // The API server answers with the very version that it removes, which a cache may show a moment longer.
                pass.superseded.objects.insert(version.clone());
                Answer::Released
            }
            Err(answer) => *answer,
        }
    }

    pub(super) async fn strike_unknown(&self, pass: &mut Pass<'_>, version: &Version) -> Answer {
        let annotations = json!({ UNKNOWN_TOKENS_ANNOTATION: null });
        let patch = json!({ "metadata": { "resourceVersion": version.as_str(), "annotations": annotations } });
        match self.patch_object(pass, "strike cleaned tokens off", &patch).await {
            Ok(()) => Answer::Object(pass.facts()),
            Err(answer) => *answer,
        }
    }

    /// Patches the object's metadata; the pass goes on with the answer.
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

    pub(super) async fn record(&self, pass: &mut Pass<'_>, record: &Record) -> Answer {
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

/// The object's finalizers, ours among them.
fn with_finalizer(object: &OAuthClient) -> Vec<String> {
    let mut finalizers = object.finalizers().to_vec();
    if !object::has_finalizer(object) {
        finalizers.push(FINALIZER.to_owned());
    }
    finalizers
}

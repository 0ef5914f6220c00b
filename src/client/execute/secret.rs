//! The steps that write Secrets.

use k8s_openapi::api::core::v1::Secret;
use kube::api::{DeleteParams, Patch, PatchParams, PostParams, Preconditions};
use serde_json::{Value, json};

use super::Executor;
use crate::api::Reason;
use crate::api::names::{CLIENT_ID_ANNOTATION, CREATE_TOKEN_ANNOTATION, MANAGER};
use crate::client::Awaited;
use crate::client::pass::{Pass, former_secret_name};
use crate::decide::client::desired::lifecycle::CredentialRef;
use crate::decide::client::next::{Desired, SecretWrite};
use crate::decide::client::observed::{self, Answer, Stored};
use crate::decide::client::secret::{self, view};
use crate::decide::failure::Failure;
use crate::decide::id::{ClientId, Token, Version};
use crate::decide::marker::Origin;
use crate::kubernetes::{KubernetesError, within};
use crate::secret::ClientSecret;

/// The most data keys that a message names.
const NAMED: usize = 5;

impl Executor<'_> {
    pub(in crate::client) async fn get_secret(&self, name: &str) -> Result<Option<Secret>, KubernetesError> {
        match within("read the Secret", self.secrets.get(name)).await {
            Ok(secret) => Ok(Some(secret)),
            Err(error) if error.proves_absence_of::<Secret>(name) => Ok(None),
            Err(error) => Err(error),
        }
    }

    pub(in crate::client) async fn read_secret(&self, pass: &Pass<'_>) -> Answer {
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

    /// Writes the object's fresh token into the Secret, whose credential stays.
    pub(in crate::client) async fn move_token(
        &self,
        pass: &Pass<'_>,
        token: &Token,
        client_id: &ClientId,
        version: &Version,
    ) -> Answer {
        self.pending.forget(&pass.observed.object.uid);
        // The annotation of the client is written as well: if it alone is gone, the Secret would not count without it.
        let annotations = json!({ CREATE_TOKEN_ANNOTATION: token.as_str(), CLIENT_ID_ANNOTATION: client_id.as_str() });
        let patch = json!({ "metadata": { "resourceVersion": version.as_str(), "annotations": annotations } });
        self.patch_secret(pass, "move the token of the Secret", &patch).await
    }

    pub(in crate::client) async fn dry_run_secret(&self, pass: &Pass<'_>, write: &SecretWrite) -> Answer {
        let Ok(placeholder) = ClientSecret::new("dry-run") else {
            return Answer::DryRunPassed;
        };
        let (client_id, token) = (ClientId::new("dry-run"), Token::new("dry-run"));
        match self.write_secret(pass, &client_id, &token, &placeholder, write, true).await {
            Ok(_) => Answer::DryRunPassed,
            Err(answer) => *answer,
        }
    }

    pub(in crate::client) async fn publish(
        &self,
        pass: &Pass<'_>,
        client_id: &ClientId,
        token: &Token,
        write: &SecretWrite,
    ) -> Answer {
        let uid = &pass.observed.object.uid;
        let Some(secret) = self.pending.secret(uid, token) else {
            return Answer::Conflict;
        };
        match self.write_secret(pass, client_id, token, &secret, write, false).await {
            Ok(stored) => {
                self.pending.forget(uid);
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
        let written = match write {
            SecretWrite::Create => self.create(&shape.with_credential(token, client_id, secret), dry_run).await,
            SecretWrite::Replace(version) => {
                let field_manager = Some(MANAGER.to_owned());
                let params = PatchParams { dry_run, field_manager, ..PatchParams::default() };
                let present = self.get_if_reshaped(pass, version, dry_run).await?;
                let patch = Patch::Merge(shape.replacing(version, token, client_id, secret, present.as_ref()));
                within("replace the credential", self.secrets.patch(&pass.place, &params, &patch)).await
            }
        };
        stored(pass, written)
    }

    /// The Secret whose credential is replaced, if the spec wants other keys than it has: a key that is left would hold
    /// the former secret for ever, since nothing would name it any more.
    async fn get_if_reshaped(
        &self,
        pass: &Pass<'_>,
        version: &Version,
        dry_run: bool,
    ) -> Result<Option<Secret>, Box<Answer>> {
        let reshaped = pass.observed.secret.stored().is_some_and(|stored| !stored.in_shape);
        match self.get_secret_if(reshaped && !dry_run, &pass.place).await {
            Ok(present) => Ok(present.filter(|present| is_of(present, version))),
            Err(error) => Err(Box::new(Answer::Failed(error.of_object()))),
        }
    }

    async fn create(&self, whole: &Secret, dry_run: bool) -> Result<Secret, KubernetesError> {
        let params = PostParams { dry_run, field_manager: Some(MANAGER.to_owned()) };
        within("create the Secret", self.secrets.create(&params, whole)).await
    }

    /// Brings the Secret into shape. With a token, the Secret is the object's own from now on.
    pub(in crate::client) async fn reshape(
        &self,
        pass: &Pass<'_>,
        client_id: &ClientId,
        token: Option<&Token>,
        version: &Version,
    ) -> Answer {
        let Some(shape) = &pass.shape else {
            return Answer::Failed(pass.without_project());
        };
        match self.get_secret(&pass.place).await {
            Ok(Some(present)) if is_of(&present, version) => {
                match shape.reshaping(version, token, client_id, &present) {
                    Some(patch) => self.patch_secret(pass, "bring the Secret into shape", &patch).await,
                    None => Answer::Failed(no_credential(&pass.place)),
                }
            }
            Ok(_) => Answer::Conflict,
            Err(error) => Answer::Failed(error.of_object()),
        }
    }

    pub(in crate::client) async fn patch_secret(
        &self,
        pass: &Pass<'_>,
        operation: &'static str,
        patch: &Value,
    ) -> Answer {
        let params = PatchParams { field_manager: Some(MANAGER.to_owned()), ..PatchParams::default() };
        let written = within(operation, self.secrets.patch(&pass.place, &params, &Patch::Merge(patch))).await;
        stored(pass, written).map_or_else(|answer| *answer, Answer::Stored)
    }

    /// Creates the Secret under the wanted name, from the one under the former.
    pub(in crate::client) async fn relocate(
        &self,
        pass: &mut Pass<'_>,
        client_id: &ClientId,
        version: &Version,
    ) -> Answer {
        let Some(shape) = &pass.shape else {
            return Answer::Failed(pass.without_project());
        };
        let Some(token) = pass.observed.object.token.clone() else {
            return Answer::Conflict;
        };
        let former = match self.get_secret(&pass.place).await {
            Ok(former) => former.filter(|former| is_of(former, version)),
            Err(error) => return Answer::Failed(error.of_object()),
        };
        let Some(former) = former else {
            return Answer::Conflict;
        };
        let Some(secret) = shape.find_secret(&former) else {
            return Answer::Failed(no_credential(&pass.place));
        };
        let written = self.create(&shape.with_credential(&token, client_id, &secret), false).await;
        pass.place.clone_from(&pass.secret_name);
        stored(pass, written).map_or_else(|answer| *answer, Answer::Stored)
    }

    /// Deletes a Secret of ours, if it still has this version.
    pub(in crate::client) async fn delete_secret(&self, pass: &Pass<'_>, leftover: bool, version: &Version) -> Answer {
        let name = match former_secret_name(&pass.object) {
            Some(former) if leftover => former,
            Some(_) | None => &pass.place,
        };
        let preconditions = Preconditions { resource_version: Some(version.to_string()), uid: None };
        let params = DeleteParams { preconditions: Some(preconditions), ..DeleteParams::default() };
        match within("delete the Secret", self.secrets.delete(name, &params)).await {
            Ok(_) => Answer::SecretGone,
            Err(error) if error.proves_absence_of::<Secret>(name) => Answer::SecretGone,
            Err(error) if error.is_conflict() => Answer::Conflict,
            Err(error) => Answer::Failed(error.of_secret()),
        }
    }

    /// Takes the object's ownership off the Secret.
    pub(in crate::client) async fn release_secret(&self, pass: &Pass<'_>, retained: bool, version: &Version) -> Answer {
        let owned = pass.observed.secret.stored().is_some_and(|stored| stored.owned);
        let present = match self.get_secret_if(owned, &pass.place).await {
            Ok(present) => present,
            Err(error) => return Answer::Failed(error.of_object()),
        };
        let patch = secret::leaving(version, &pass.observed.object.uid, retained, present.as_ref());
        self.patch_secret(pass, "release the Secret", &patch).await
    }

    async fn get_secret_if(&self, needed: bool, name: &str) -> Result<Option<Secret>, KubernetesError> {
        if needed { self.get_secret(name).await } else { Ok(None) }
    }

    /// Takes the credential of the client to be adopted from the Secret that the spec names.
    pub(in crate::client) async fn take_credential(
        &self,
        pass: &mut Pass<'_>,
        token: &Token,
        client_id: &ClientId,
    ) -> Answer {
        let uid = &pass.observed.object.uid;
        let reference = match &pass.desired {
            Desired::Present(wanted) => wanted.adopt.as_ref().and_then(|adopt| adopt.credential.clone()),
            Desired::Invalid(_) | Desired::Absent(_) => None,
        };
        let Some(reference) = reference else {
            return Answer::Conflict;
        };
        let given = match self.get_secret(&reference.secret).await {
            Ok(given) => given,
            Err(error) => return Answer::Failed(error.of_object()),
        };
        match given_credential(given.as_ref(), &reference, client_id) {
            Ok(secret) => {
                let (client_id, token) = (client_id.clone(), token.clone());
                let digest = self.pending.keep_credential(uid, token, client_id.clone(), secret, Origin::Adopted);
                Answer::Taken { client_id, digest }
            }
            Err(failure) => {
                let version = given.and_then(|given| given.metadata.resource_version).map(Version::new);
                pass.awaited = Some(Awaited { secret: reference.secret.clone(), version });
                Answer::Failed(failure)
            }
        }
    }
}

/// The secret in a Secret that a person made, if it is the wanted client's.
fn given_credential(
    given: Option<&Secret>,
    reference: &CredentialRef,
    client_id: &ClientId,
) -> Result<ClientSecret, Failure> {
    let CredentialRef { secret, client_id_key, client_secret_key } = reference;
    let field = "spec.adopt.credentialSecretRef";
    let missing = |what: String| Failure::wait(Reason::CredentialsNotFound, format!("{field}: {what}"));
    let Some(given) = given else {
        return Err(missing(format!("there is no Secret {secret} in this namespace; create it, or correct the name")));
    };
    let datum = |key: &str| {
        let found = given.data.as_ref().and_then(|data| data.get(key));
        found.ok_or_else(|| {
            let present: Vec<&str> = given.data.iter().flatten().map(|(key, _)| key.as_str()).take(NAMED).collect();
            let present = if present.is_empty() { "no data".to_owned() } else { present.join(", ") };
            let fix = "name the right key in the field's clientIdKey or clientSecretKey, or add it";
            missing(format!("the Secret {secret} has no data key {key}; it has {present}: {fix}"))
        })
    };
    let wrong = |what: &str| Failure::stalled(Reason::InvalidSpec, format!("{field}: {what}"));
    if datum(client_id_key)?.0.trim_ascii_end() != client_id.as_str().as_bytes() {
        return Err(wrong(&format!(
            "the data key {client_id_key} of Secret {secret} does not hold spec.adopt.clientId; correct one of the two"
        )));
    }
    ClientSecret::stored_by_hand(&datum(client_secret_key)?.0)
        .map_err(|error| wrong(&format!("the data key {client_secret_key} of Secret {secret}: {error}")))
}

fn no_credential(name: &str) -> Failure {
    Failure::stalled(
        Reason::SecretConflict,
        format!("the Secret {name} holds no credential; delete that Secret, or put the credential back"),
    )
}

fn is_of(secret: &Secret, version: &Version) -> bool {
    secret.metadata.resource_version.as_deref() == Some(version.as_str())
}

/// The Secret after a write, or the answer if there was none.
fn stored(pass: &Pass<'_>, written: Result<Secret, KubernetesError>) -> Result<Stored, Box<Answer>> {
    let object = &pass.observed.object;
    match written {
        Ok(secret) => match view(Some(&secret), &object.uid, &object.recorded, pass.shape.as_ref()) {
            observed::Secret::Ours(stored) => Ok(Stored { misplaced: pass.place != pass.secret_name, ..stored }),
            observed::Secret::Absent | observed::Secret::Foreign(_) => Err(Box::new(Answer::Conflict)),
        },
        Err(error) if error.is_conflict() || error.proves_absence_of::<Secret>(&pass.place) => {
            Err(Box::new(Answer::Conflict))
        }
        Err(error) => Err(Box::new(Answer::Failed(error.of_secret()))),
    }
}

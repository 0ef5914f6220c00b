//! The steps that call MeshAgent.

use super::execute::Hands;
use super::failures::call_failure;
use super::pass::Pass;
use crate::decide::change::Change;
use crate::decide::id::{ClientId, Digest, Token};
use crate::decide::next::Desired;
use crate::decide::observed::{Answer, RemoteClient};
use crate::decide::remote;
use crate::meshagent::{CallError, Posted};
use crate::project::Project;
use crate::secret::digest;

impl Hands<'_> {
    /// The project that a call goes to, or the answer if there is none.
    fn reach(&self, pass: &Pass<'_>) -> Result<&Project, Box<Answer>> {
        self.project.ok_or_else(|| Box::new(Answer::Failed(pass.without_project())))
    }

    pub(super) async fn list(&self, pass: &Pass<'_>) -> Result<Answer, Box<Answer>> {
        let project = self.reach(pass)?;
        project.snapshot.list(&project.api).await.map_err(failed)?;
        Ok(Answer::Listing(pass.relevant(project)))
    }

    pub(super) async fn get(&self, pass: &Pass<'_>, client_id: &ClientId) -> Result<Answer, Box<Answer>> {
        let client = self.reach(pass)?.api.get_client(client_id.as_str()).await.map_err(failed)?;
        Ok(Answer::Client(client.as_ref().map(remote::read)))
    }

    pub(super) async fn put(
        &self,
        pass: &Pass<'_>,
        client_id: &ClientId,
        change: &Change,
        result: &RemoteClient,
    ) -> Result<Answer, Box<Answer>> {
        let project = self.reach(pass)?;
        project.api.update_client(client_id.as_str(), &remote::patch(change)).await.map_err(failed)?;
        project.snapshot.wrote(client_id, result.clone());
        Ok(Answer::Updated(result.clone()))
    }

    pub(super) async fn delete(&self, pass: &Pass<'_>, client_id: &ClientId) -> Result<Answer, Box<Answer>> {
        let project = self.reach(pass)?;
        project.api.delete_client(client_id.as_str()).await.map_err(failed)?;
        project.snapshot.deleted(client_id);
        if pass.observed.held.client_id() == Some(client_id) {
            self.vault.forget(&pass.observed.object.uid);
        }
        Ok(Answer::Deleted)
    }

    /// Once per token, ever: it is spent before the call goes out, whatever becomes of this future.
    pub(super) async fn post(&self, pass: &Pass<'_>, token: &Token) -> Result<Answer, Box<Answer>> {
        let project = self.reach(pass)?;
        let wanted = match &pass.desired {
            Desired::Present(wanted) => wanted,
            Desired::Invalid(failure) => return Ok(Answer::Refused(failure.clone())),
            Desired::Absent => return Ok(Answer::Refused(pass.without_project())),
        };
        let uid = &pass.observed.object.uid;
        self.vault.forget(uid);
        let client = wanted.client(token);
        Ok(match project.api.create_client(&remote::new_client(&client)).await {
            Posted::Created { client: created, secret } => {
                let client_id = ClientId::new(&created.client_id);
                let digest = Digest::new(digest(uid.as_str(), client_id.as_str(), &secret));
                self.vault.keep_credential(uid, token.clone(), client_id.clone(), digest.clone(), secret);
                project.snapshot.wrote(&client_id, client.clone());
                Answer::Created { client_id, digest, client }
            }
            Posted::Rejected(error) => {
                self.vault.keep_unspent(uid, token.clone());
                Answer::Refused(call_failure(&error))
            }
            Posted::Unknown { error, client_id } => {
                let failure = call_failure(&error);
                let client_id = client_id.map(ClientId::new);
                if let Some(client_id) = &client_id {
                    self.vault.keep_keyless(uid, client_id.clone(), failure.clone());
                }
                Answer::Unknown(failure, client_id)
            }
        })
    }
}

fn failed(error: CallError) -> Box<Answer> {
    Box::new(Answer::Failed(call_failure(&error)))
}

//! The steps that call MeshAgent.

use super::Executor;
use crate::api::Reason;
use crate::client::pass::Pass;
use crate::decide::client::change::Change;
use crate::decide::client::next::Desired;
use crate::decide::client::observed::{Answer, Remote, RemoteClient};
use crate::decide::failure::Failure;
use crate::decide::id::{ClientId, Token};
use crate::decide::marker::Origin;
use crate::decide::project::reference::ProjectKey;
use crate::meshagent::convert;
use crate::meshagent::failure::{call_failure, post_failure};
use crate::meshagent::{CallError, Posted};
use crate::project::{ProjectClient, Roll};

impl Executor<'_> {
    /// The project that a call goes to, or the answer if there is none.
    fn reach(&self, pass: &Pass<'_>) -> Result<&ProjectClient, Box<Answer>> {
        self.project.ok_or_else(|| Box::new(Answer::Failed(pass.without_project())))
    }

    pub(in crate::client) async fn list(&self, pass: &Pass<'_>) -> Result<Answer, Box<Answer>> {
        let project = self.reach(pass)?;
        let (key, users, losses) = (ProjectKey::of(&pass.object), self.users, self.projects.losses());
        let roll = Roll { users, losses, key: &key, project_id: &project.project_id };
        project.snapshot.list(&project.api, &roll).await.map_err(failed)?;
        let listed =
            pass.relevant().into_iter().filter_map(|(client_id, known)| Some((client_id, known.client()?.clone())));
        Ok(Answer::Listing(listed.collect()))
    }

    pub(in crate::client) async fn get(&self, pass: &Pass<'_>, client_id: &ClientId) -> Result<Answer, Box<Answer>> {
        let project = self.reach(pass)?;
        let begun = project.snapshot.moment();
        let client = project.api.get_client(client_id.as_str()).await.map_err(failed)?;
        let client = client.map(convert::read);
        if let Some(client) = &client {
            project.snapshot.saw(client_id, begun, client.clone());
        }
        Ok(Answer::Client(client))
    }

    pub(in crate::client) async fn put(
        &self,
        pass: &Pass<'_>,
        client_id: &ClientId,
        change: &Change,
        result: &RemoteClient,
    ) -> Result<Answer, Box<Answer>> {
        let project = self.reach(pass)?;
        project.api.update_client(client_id.as_str(), &convert::patch(change)).await.map_err(failed)?;
        match pass.observed.remote.get(client_id).and_then(Remote::client) {
            Some(before) => project.snapshot.changed(client_id, before.clone(), result.clone()),
            None => project.snapshot.wrote(client_id, result.clone()),
        }
        Ok(Answer::Updated(result.clone()))
    }

    pub(in crate::client) async fn delete(&self, pass: &Pass<'_>, client_id: &ClientId) -> Result<Answer, Box<Answer>> {
        let project = self.reach(pass)?;
        project.api.delete_client(client_id.as_str()).await.map_err(failed)?;
        project.snapshot.deleted(client_id);
        if pass.observed.pending.client_id() == Some(client_id) {
            self.pending.forget(&pass.observed.object.uid);
        }
        Ok(Answer::Deleted)
    }

    /// POSTs a client, once per token ever: the token is spent before the call, whatever becomes of this future.
    pub(in crate::client) async fn post(&self, pass: &Pass<'_>, token: &Token) -> Result<Answer, Box<Answer>> {
        let project = self.reach(pass)?;
        let wanted = match &pass.desired {
            Desired::Present(wanted) => wanted,
            Desired::Invalid(failure) => return Ok(Answer::Refused(failure.clone())),
            Desired::Absent(_) => return Ok(Answer::Refused(pass.without_project())),
        };
        let object = &pass.observed.object;
        let uid = &object.uid;
        let back = |id: &ClientId| is_gone(pass, id) && project.snapshot.holds(id);
        if object.recorded.client_id.as_ref().is_some_and(back) {
            let message = "the client that was gone is listed again; looking anew";
            return Ok(Answer::Refused(Failure::retry(Reason::Updating, message)));
        }
        self.pending.forget(uid);
        if let Some(client_id) = object.recorded.client_id.as_ref().filter(|id| is_gone(pass, id)) {
            self.projects.losses().replaced(&ProjectKey::of(&pass.object), client_id);
        }
        let has_client = object.recorded.client_id.is_some();
        let sent = |useful| {
            if has_client {
                self.pending.posted(uid, useful, pass.now);
            }
        };
        let client = wanted.client(token);
        Ok(match project.api.create_client(&convert::new_client(&client)).await {
            Posted::Created { client: created, secret } => {
                sent(true);
                let (client_id, token) = (ClientId::new(&created.client_id), token.clone());
                let digest = self.pending.keep_credential(uid, token, client_id.clone(), secret, Origin::Created);
                project.snapshot.wrote(&client_id, client.clone());
                Answer::Created { client_id, digest, client }
            }
            Posted::Rejected(error) => {
                self.pending.keep_unspent(uid, token.clone());
                Answer::Refused(post_failure(&error))
            }
            Posted::Unknown { error, client_id } => {
                sent(false);
                let failure = call_failure(&error);
                let client_id = client_id.map(ClientId::new);
                if let Some(client_id) = &client_id {
                    self.pending.keep_keyless(uid, client_id.clone(), failure.clone());
                }
                Answer::Unknown(failure, client_id)
            }
        })
    }
}

fn is_gone(pass: &Pass<'_>, client_id: &ClientId) -> bool {
    pass.observed.remote.get(client_id) == Some(&Remote::Absent)
}

fn failed(error: CallError) -> Box<Answer> {
    Box::new(Answer::Failed(call_failure(&error)))
}

//! The steps that call MeshAgent.

use super::execute::Hands;
use super::failures::call_failure;
use super::pass::Pass;
use crate::decide::change::Wanted;
use crate::decide::id::{ClientId, Digest, Token, Uid};
use crate::decide::next::{Desired, Step};
use crate::decide::observed::{Answer, Held};
use crate::decide::remote;
use crate::meshagent::Posted;
use crate::project::Project;
use crate::secret::digest;

impl Hands<'_> {
    /// The steps that call MeshAgent.
    pub(super) async fn call(&self, pass: &Pass<'_>, project: &Project, step: &Step) -> Answer {
        let failed = |error| Answer::Failed(call_failure(&error));
        match step {
            Step::List => match project.snapshot.list(&project.api).await {
                Ok(_) => Answer::Listing(pass.relevant(project)),
                Err(error) => failed(error),
            },
            Step::Get { client_id } => match project.api.get_client(client_id.as_str()).await {
                Ok(client) => Answer::Client(client.as_ref().map(remote::read)),
                Err(error) => failed(error),
            },
            Step::Post { token } => match &pass.desired {
                Desired::Present(wanted) => self.post(&pass.observed.object.uid, project, wanted, token).await,
                Desired::Invalid(failure) => Answer::Refused(failure.clone()),
                Desired::Absent => Answer::Refused(pass.without_project()),
            },
            Step::Put { client_id, change, result } => {
                match project.api.update_client(client_id.as_str(), &remote::patch(change)).await {
                    Ok(()) => {
                        project.snapshot.wrote(client_id, (**result).clone());
                        Answer::Updated((**result).clone())
                    }
                    Err(error) => failed(error),
                }
            }
            Step::Delete { client_id, .. } => match project.api.delete_client(client_id.as_str()).await {
                Ok(()) => {
                    project.snapshot.deleted(client_id);
                    self.forget_deleted(&pass.observed.held, &pass.observed.object.uid, client_id);
                    Answer::Deleted
                }
                Err(error) => failed(error),
            },
            Step::ReadLive
            | Step::ReadSecret
            | Step::WriteIntent { .. }
            | Step::Rehearse { .. }
            | Step::Publish { .. }
            | Step::MoveToken { .. }
            | Step::Reshape { .. }
            | Step::Forget
            | Step::Record(_)
            | Step::StrikeUnknown { .. }
            | Step::RemoveFinalizer { .. }
            | Step::Rest => Answer::Forgotten,
        }
    }

    fn forget_deleted(&self, held: &Held, uid: &Uid, deleted: &ClientId) {
        match held {
            Held::Credential { client_id, .. } | Held::Keyless { client_id, .. } if client_id == deleted => {
                self.vault.forget(uid);
            }
            Held::Nothing | Held::Unspent(_) | Held::Credential { .. } | Held::Keyless { .. } => {}
        }
    }

    /// Once per token, ever: it is spent before the call goes out, whatever becomes of this future.
    async fn post(&self, uid: &Uid, project: &Project, wanted: &Wanted, token: &Token) -> Answer {
        self.vault.forget(uid);
        let client = wanted.client(token);
        match project.api.create_client(&remote::new_client(&client)).await {
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
        }
    }
}

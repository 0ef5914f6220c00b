//! The executor: one arm per step, no decisions.

mod abandon;
mod object;
mod remote;
mod secret;

use k8s_openapi::api::core::v1::Secret;
use kube::{Api, Client};

use super::pass::Pass;
use super::pending::PendingStore;
use crate::api::{OAuthClient, Reason};
use crate::decide::client::next::Step;
use crate::decide::client::observed::Answer;
use crate::decide::failure::Failure;
use crate::kubernetes::crd::CrdReader;
use crate::project::{ProjectClient, Projects, Slot, Users};

/// The message when the API server does not tell whether the object is going with its CRD: nothing is deleted then.
const UNTOLD: &str = "the API server does not tell whether the CRD of OAuthClients is being deleted, in which case the \
                      client would stay; the operator needs the right to list that CRD. Trying again";

/// The executor of a pass's steps.
#[derive(Clone)]
pub struct Executor<'a> {
    /// The OAuthClients of the object's namespace.
    pub objects: Api<OAuthClient>,
    /// The Secrets of the object's namespace.
    pub secrets: Api<Secret>,
    /// The client of the object's project, if that can be reached.
    pub project: Option<&'a ProjectClient>,
    /// The tokens and credentials that this process has not published.
    pub pending: &'a PendingStore,
    /// The reader of the CRD: whether the API server keeps OAuthClients.
    pub crd: &'a CrdReader,
    /// All projects: abandoned clients and losses are noted there.
    pub projects: &'a Projects,
    /// The users of projects: a listing is compared with their clients.
    pub users: &'a Users,
    /// The right to run this pass.
    pub slot: &'a Slot,
    /// The Kubernetes client that writes the project's status.
    pub requests: &'a Client,
}

impl Executor<'_> {
    /// Carries one step out, and keeps the pass's object up to date.
    pub(super) async fn execute(&self, pass: &mut Pass<'_>, step: &Step) -> Answer {
        match step {
            Step::ReadLive => self.read_live(pass).await,
            Step::ReadSecret => self.read_secret(pass).await,
            Step::WriteIntent { version, unknown } => self.write_intent(pass, version, unknown).await,
            Step::AddFinalizer { version } => self.add_finalizer(pass, version).await,
            Step::StrikeUnknown { version } => self.strike_unknown(pass, version).await,
            Step::DryRun { write } => self.dry_run_secret(pass, write).await,
            Step::Publish { client_id, token, write } => self.publish(pass, client_id, token, write).await,
            Step::MoveToken { token, client_id, version } => self.move_token(pass, token, client_id, version).await,
            Step::Reshape { client_id, version } => self.reshape(pass, client_id, None, version).await,
            Step::TakeOver { client_id, token, version } => {
                self.pending.forget(&pass.observed.object.uid);
                self.reshape(pass, client_id, Some(token), version).await
            }
            Step::TakeCredential { token, client_id } => self.take_credential(pass, token, client_id).await,
            Step::Relocate { client_id, version } => self.relocate(pass, client_id, version).await,
            Step::DeleteSecret { leftover, version } => self.delete_secret(pass, *leftover, version).await,
            Step::ReleaseSecret { retained, version } => self.release_secret(pass, *retained, version).await,
            Step::CheckCrd => match self.crd.check().await {
                Some(state) => Answer::Crd(state),
                None => Answer::Failed(Failure::retry(Reason::Deleting, UNTOLD)),
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
}

/// The answer in either arm.
fn either(answer: Result<Answer, Box<Answer>>) -> Answer {
    answer.unwrap_or_else(|answer| *answer)
}

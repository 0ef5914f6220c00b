//! The way to a new client: intent, dry run, POST; or, for an adopted client, its credential in the place of the POST.

use super::adoption::{self, is_adopted};
use super::conclude::blocked;
use super::cooldown::{Because, wait};
use super::retire::retire_published;
use super::step::{Removal, SecretWrite, Step};
use super::token::with_fresh_token;
use crate::api::Reason;
use crate::decide::client::change::Wanted;
use crate::decide::client::desired::lifecycle::OnLoss;
use crate::decide::client::observed::{Content, Foreign, Observed, Secret};
use crate::decide::failure::Failure;

/// The number of POSTs of unknown outcome from which waste is removed before the next, while nothing was ever recorded.
const PURGE_FROM: usize = 3;

const BLOCKED: &str = "the Secret's credential is gone or was altered, and spec.onCredentialLoss is Block; put the former \
                       Secret back, or replace the client: kubectl annotate --overwrite maoc <name> \
                       meshagent.com/rotate-requested-at=\"$(date -Is)\". Until then the client stays; former clients go \
                       at the times in status.retiring";

/// The next step on the way to a new client.
pub(super) fn create(wanted: &Wanted, observed: &Observed, because: Because) -> Step {
    // A client that is gone together with many others is taken for mislaid, whatever else is the matter with it.
    if let Some(failure) = &observed.project.many_gone {
        return blocked(observed, failure.clone());
    }
    // A pass goes on after a rotation that was refused, and creates nothing more.
    if let Some(refused) = &observed.failure {
        return blocked(observed, refused.failure.clone());
    }
    if is_adopted(wanted, observed) {
        return instead_of_creating(wanted, observed, because);
    }
    if because == Because::Lost && wanted.on_loss == OnLoss::Block {
        return blocked(observed, Failure::stalled(Reason::CredentialLost, BLOCKED));
    }
    if let Some(failure) = wait(observed, because) {
        return blocked(observed, failure);
    }
    if let Some(step) = retire_published(observed) {
        return step;
    }
    with_fresh_token(observed, |token| {
        let post = || Step::Post { token: token.clone() };
        purge(observed).unwrap_or_else(|| after_dry_run(observed, post))
    })
}

/// The step, once the API server has accepted the Secret that it leads to.
fn after_dry_run(observed: &Observed, step: impl FnOnce() -> Step) -> Step {
    let write = match &observed.secret {
        Secret::Ours(stored) => SecretWrite::Replace(stored.version.clone()),
        // A foreign Secret is replaced only if it holds the client to be adopted.
        Secret::Foreign(Foreign { version, content: Content::Adoptable, .. }) => SecretWrite::Replace(version.clone()),
        Secret::Absent | Secret::Foreign(_) => SecretWrite::Create,
    };
    if observed.dry_run.as_ref() == Some(&write) { step() } else { Step::DryRun { write } }
}

/// Removes what POSTs of unknown outcome made before the next POST: while nothing was ever recorded, and once there are
/// several of them or a limit was met.
fn purge(observed: &Observed) -> Option<Step> {
    let object = &observed.object;
    if object.recorded.client_id.is_some() || object.unknown.len() < PURGE_FROM && !observed.limited {
        return None;
    }
    remove_waste(observed)
}

/// Removes the clients of an object that was never recorded and bears this pass' own token: nobody can publish them any
/// more. `None`: there are none.
pub(super) fn remove_waste(observed: &Observed) -> Option<Step> {
    let Some(listed) = observed.listing else {
        return Some(Step::List);
    };
    if observed.live.is_none_or(|live| live <= listed) {
        return Some(Step::ReadLive);
    }
    // The clients' tokens stay on the object: a POST that is under way elsewhere may still commit under one of them.
    observed
        .of_this_uid()
        .find(|(client_id, ..)| !observed.holds(client_id))
        .map(|(client_id, ..)| Step::Delete { client_id: client_id.clone(), because: Removal::Disowned })
}

/// What is done for an adopted client in the place of a POST.
pub(super) fn instead_of_creating(wanted: &Wanted, observed: &Observed, because: Because) -> Step {
    let recorded = observed.object.recorded.client_id.as_ref();
    if because == Because::Gone {
        return blocked(observed, adoption::gone(recorded));
    }
    let given = wanted.adopt.as_ref().and_then(|adopt| Some((adopt, adopt.credential.as_ref()?)));
    let Some((adopt, credential)) = given else {
        return blocked(
            observed,
            Failure::stalled(
                Reason::CredentialLost,
                "the Secret's credential is gone or was altered, and an adopted client is never recreated; put the former \
                 Secret back, or delete this OAuthClient and adopt the client anew with spec.adopt.credentialSecretRef",
            ),
        );
    };
    if let Some(step) = adoption::check(wanted, observed, &adopt.client_id) {
        return step;
    }
    with_fresh_token(observed, |token| {
        let (client_id, token) = (adopt.client_id.clone(), token.clone());
        match &observed.secret {
            // The foreign Secret is the one that holds the credential.
            Secret::Foreign(foreign) if credential.secret == wanted.secret_name => {
                Step::TakeOver { client_id, token, version: foreign.version.clone() }
            }
            Secret::Foreign(_) | Secret::Ours(_) | Secret::Absent => {
                after_dry_run(observed, || Step::TakeCredential { token, client_id })
            }
        }
    })
}

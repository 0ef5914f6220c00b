//! How soon a client may be replaced: once in ten minutes, whatever the cause.

use crate::api::Reason;
use crate::decide::client::observed::{Cooldown, FailedAt, Observed, Replaced};
use crate::decide::failure::{Disposition, Failure};

/// Why a client is to be created.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Because {
    /// The object never had a client.
    First,
    /// The recorded client is gone at MeshAgent.
    Gone,
    /// The credential is gone or altered.
    Lost,
    /// A person asked for a rotation.
    Rotation,
    /// The Secret holds a client that was never recorded, and that cannot be taken back.
    Unrecorded,
}

impl Because {
    /// Why a client whose credential is not in the Secret is created.
    pub(super) fn of_missing_secret(observed: &Observed) -> Self {
        match observed.object.recorded.client_id {
            None => Self::First,
            Some(_) if observed.object.rotation_asked => Self::Rotation,
            Some(_) => Self::Lost,
        }
    }
}

/// Why no client may be created yet.
pub(super) fn wait(observed: &Observed, because: Because) -> Option<Failure> {
    after_replacement(observed.object.replaced, because).or_else(|| after_post(observed))
}

/// Why a rotation that was asked for is not carried out yet. The wait delays nothing else.
pub(super) fn rotation_waits(observed: &Observed) -> Option<Failure> {
    refused(observed).cloned().or_else(|| wait(observed, Because::Rotation))
}

/// Why the client that this pass was to make in the place of another one was refused.
pub(super) fn refused(observed: &Observed) -> Option<&Failure> {
    let refused = observed.failure.as_ref().filter(|failed| failed.at == FailedAt::Creation);
    refused.filter(|_| observed.object.rotation_asked).map(|failed| &failed.failure)
}

/// What the POSTs of this process forbid, once there was a success.
fn after_post(observed: &Observed) -> Option<Failure> {
    observed.object.recorded.client_id.as_ref()?;
    match observed.cooldown {
        Cooldown::None => None,
        Cooldown::Short => Some(Failure::wait(
            Reason::Rotating,
            "the last attempt to replace the client was less than ten minutes ago; the next one waits",
        )),
        Cooldown::Long => Some(Failure {
            disposition: Disposition::StalledHourly,
            ..Failure::stalled(
                Reason::Rotating,
                "three attempts in a row to replace the client were not answered with a usable client; the next one is made \
                 an hour after the last. Look at the MeshAgent server",
            )
        }),
    }
}

/// What the last replacement forbids.
fn after_replacement(replaced: Replaced, because: Because) -> Option<Failure> {
    match (replaced, because) {
        (Replaced::LongAgo, _) | (_, Because::First) => None,
        (Replaced::WithinOverlap, Because::Gone | Because::Rotation | Because::Unrecorded) => None,
        (Replaced::JustNow, Because::Gone | Because::Rotation | Because::Unrecorded) => {
            Some(Failure::wait(Reason::Rotating, "replaced less than ten minutes ago; the next replacement waits"))
        }
        (Replaced::WithinOverlap | Replaced::JustNow, Because::Lost) => Some(Failure::stalled(
            Reason::CredentialLost,
            "the Secret's credential was lost again soon after it was replaced; find what deletes or rewrites the \
             Secret, then replace the client: kubectl annotate --overwrite maoc <name> \
             meshagent.com/rotate-requested-at=\"$(date -Is)\". Unasked it is replaced once the overlap of the last \
             replacement has ended",
        )),
    }
}

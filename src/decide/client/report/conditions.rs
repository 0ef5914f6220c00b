//! What a pass says in conditions.
//!
//! What a blocked pass says depends on its reason and on whether the client is in order: the present generation was
//! applied once, and nothing has proved since that client or Secret are no longer what was applied.
//!
//! | reason | in order | not in order |
//! | --- | --- | --- |
//! | something is under way | Ready, Reconciling unless tried hourly only | Reconciling |
//! | waits for a project | Ready, not Synced | Reconciling, after ten minutes Stalled |
//! | MeshAgent cannot be asked | Ready, Synced unknown | Reconciling |
//! | needs a person | Ready, not Synced | Stalled |
//! | drift persists | Ready, not Synced | Stalled |
//! | suspended | Ready, Synced unknown | Ready unknown if the generation was never applied |
//!
//! Reconciling and Stalled exclude each other, so that kstatus reads the same whatever it looks at first.

use k8s_openapi::apimachinery::pkg::apis::meta::v1::Condition;

use super::{ReportInput, addressed, generation};
use crate::api::OAuthClient;
use crate::api::condition::{ConditionStatus, ConditionType, Finding, Reason, bounded, find};
use crate::api::oauth_client::{OAuthClientStatus, Retiring};
use crate::decide::failure::{Disposition, Failure};
use crate::decide::time::{PATIENCE, later, remaining};
use crate::decide::words;

/// What a reason says of the chances that it goes away: the rows of the table.
#[derive(Clone, Copy, PartialEq, Eq)]
pub(super) enum Kind {
    /// The operator is at work.
    Underway,
    /// Somebody is expected to bring what is missing: in one sync, a project may come a second after its client.
    Awaited,
    /// MeshAgent cannot be asked.
    Unreachable,
    /// A person has to act.
    Stuck,
    /// MeshAgent keeps another value than was sent.
    Drift,
    /// A person has stopped the operator.
    Suspended,
}

impl Kind {
    pub(super) const fn of(reason: Reason) -> Self {
        match reason {
            Reason::Ready | Reason::Creating | Reason::Updating | Reason::Deleting | Reason::Rotating => Self::Underway,
            Reason::ProjectNotFound
            | Reason::ProjectNotReady
            | Reason::ProjectDisabled
            | Reason::CredentialsNotFound
            | Reason::NamespaceNotAllowed => Self::Awaited,
            Reason::RateLimited | Reason::APIUnavailable => Self::Unreachable,
            Reason::InvalidSpec
            | Reason::SecretConflict
            | Reason::SecretRejected
            | Reason::AdoptionConflict
            | Reason::AdoptionNotAllowed
            | Reason::PermissionDenied
            | Reason::AuthenticationFailed
            | Reason::ProjectMismatch
            | Reason::ManyClientsGone
            | Reason::CredentialLost
            | Reason::AdoptedClientGone
            | Reason::RejectedByAPI
            | Reason::LimitReached => Self::Stuck,
            Reason::DriftPersists => Self::Drift,
            Reason::Suspended => Self::Suspended,
        }
    }
}

/// What a successful pass says.
pub(super) fn converged(status: &OAuthClientStatus, retiring: &[Retiring]) -> Vec<Finding> {
    let client = status.client_id.as_deref().unwrap_or_default();
    let holds = |type_, message| finding(type_, ConditionStatus::True, Reason::Ready, message);
    let as_declared = format!("client {client} is as declared");
    let Some(secret) = &status.secret_name else {
        let without = format!("{as_declared}; it was adopted without its credential, so there is no Secret");
        return vec![holds(ConditionType::Ready, without), holds(ConditionType::Synced, as_declared)];
    };
    let ready = format!("{as_declared}; its credential is in Secret {secret}{}", living_on(retiring));
    vec![holds(ConditionType::Ready, ready), holds(ConditionType::Synced, as_declared), secret_holds(client, secret)]
}

/// Which former clients live on for pods, and what ends that; without names of pods, which come and go.
fn living_on(retiring: &[Retiring]) -> String {
    let living = retiring.iter().filter(|former| former.pods.is_some()).map(|former| former.client_id.as_str());
    let living: Vec<&str> = living.collect();
    if living.is_empty() {
        return String::new();
    }
    let living = living.join(", ");
    format!("; former client {living} lives on for pods that hold its credential, see status.retiring; restart them")
}

/// What a blocked pass says.
pub(super) fn halted(input: &ReportInput<'_>, present: &OAuthClientStatus, failure: &Failure) -> Vec<Finding> {
    let kind = Kind::of(failure.reason);
    let failure = &addressed(input.object, failure);
    let in_order = in_order(input, present, kind);
    let message = if input.deleting { not_deleted_yet(input.object, failure) } else { failure.message.clone() };
    let message = as_first_said(present, failure.reason, generation(input.object), message);
    let say = |type_, status, message: &str| finding(type_, status, failure.reason, message.to_owned());
    let client = present.client_id.as_deref().unwrap_or_default();
    let secretless = is_secretless(present);
    let secret = present.secret_name.as_deref().or(input.secret_name).unwrap_or_default();

    let ready = if in_order {
        // The reason of Ready is Synced's, so that the column shows what is the matter.
        let credential = if secretless { String::new() } else { format!(" and its credential in Secret {secret}") };
        let stay = if secretless { "stays" } else { "stay" };
        let usable = format!("client {client}{credential} {stay} in use as last applied; {message}");
        say(ConditionType::Ready, ConditionStatus::True, &usable)
    } else if kind == Kind::Suspended && !was_applied(input, present) {
        say(ConditionType::Ready, ConditionStatus::Unknown, &message)
    } else {
        say(ConditionType::Ready, ConditionStatus::False, &message)
    };
    let synced = match kind {
        Kind::Unreachable | Kind::Suspended => ConditionStatus::Unknown,
        Kind::Underway if in_order => ConditionStatus::Unknown,
        Kind::Underway | Kind::Awaited | Kind::Stuck | Kind::Drift => ConditionStatus::False,
    };
    let secret_ready = if secret_is_lost(input, present, failure.reason) {
        say(ConditionType::SecretReady, ConditionStatus::False, &message)
    } else {
        secret_holds(client, secret)
    };
    let secret_ready = (!secretless).then_some(secret_ready);
    let progress = progress(input, present, failure, in_order).map(|type_| say(type_, ConditionStatus::True, &message));
    let synced = say(ConditionType::Synced, synced, &message);
    [ready, synced].into_iter().chain(secret_ready).chain(progress).collect()
}

/// The words in which the failure stands in the status, if the new ones differ in ids, numbers or times at most: each
/// try would else write a status and an Event.
fn as_first_said(present: &OAuthClientStatus, reason: Reason, generation: i64, message: String) -> String {
    let message = bounded(&message);
    let said = find(present.conditions.as_deref().unwrap_or_default(), ConditionType::Synced).filter(|said| {
        said.status != ConditionStatus::True.as_str()
            && said.reason == reason.as_str()
            && said.observed_generation == Some(generation)
            && words::same(&said.message, &message)
    });
    said.map_or(message, |said| said.message.clone())
}

/// Whether the client was adopted without its credential.
fn is_secretless(status: &OAuthClientStatus) -> bool {
    status.client_id.is_some() && status.adopted == Some(true) && status.secret_name.is_none()
}

/// Why an object that is being deleted is still there, and the way out.
fn not_deleted_yet(object: &OAuthClient, failure: &Failure) -> String {
    let (metadata, text) = (&object.metadata, |text: &Option<String>| text.clone().unwrap_or_default());
    // The Kubernetes API stands in the way.
    if matches!(failure.reason, Reason::Deleting | Reason::SecretRejected) {
        return format!("cannot be deleted yet: {}", failure.message);
    }
    format!(
        "cannot be deleted yet: {}. To give up on the client at MeshAgent: kubectl annotate --overwrite maoc {} -n {} \
         meshagent.com/force-release={}",
        failure.message,
        text(&metadata.name),
        text(&metadata.namespace),
        text(&metadata.uid)
    )
}

/// Whether the client works as declared for all that is known. Ready turns False on proof only, and then True again
/// only by a pass that succeeds: a pass that cannot ask proves nothing.
fn in_order(input: &ReportInput<'_>, present: &OAuthClientStatus, kind: Kind) -> bool {
    let as_applied = kind == Kind::Drift
        || has_compared(input)
        || input.client_matches && input.secret_matches && !is_false(present, ConditionType::Ready);
    was_applied(input, present) && as_applied
}

/// Whether this very pass made sure of client and Secret, whatever failed before and whatever waits.
fn has_compared(input: &ReportInput<'_>) -> bool {
    input.record.published.is_some() && input.record.conclusion.leaves_as_declared()
}

/// Whether the present generation was applied once. (Deletion counts as a generation of its own.)
fn was_applied(input: &ReportInput<'_>, present: &OAuthClientStatus) -> bool {
    !input.deleting && present.client_id.is_some() && present.applied_generation == Some(generation(input.object))
}

/// Whether the Secret is the part that is wrong. A fault of the client alone leaves the credential usable.
fn secret_is_lost(input: &ReportInput<'_>, present: &OAuthClientStatus, reason: Reason) -> bool {
    let stood_lost = is_false(present, ConditionType::SecretReady) && !has_compared(input);
    !input.secret_matches
        || present.client_id.is_none()
        || matches!(reason, Reason::SecretConflict | Reason::CredentialLost)
        || stood_lost
}

/// Which of kstatus's two conditions is present, if any.
fn progress(
    input: &ReportInput<'_>,
    present: &OAuthClientStatus,
    failure: &Failure,
    in_order: bool,
) -> Option<ConditionType> {
    let kind = Kind::of(failure.reason);
    let given_up = match failure.disposition {
        Disposition::Stalled | Disposition::StalledHourly => true,
        Disposition::Wait | Disposition::Retry(_) => false,
    };
    match kind {
        Kind::Underway if in_order && !given_up => Some(ConditionType::Reconciling),
        Kind::Underway | Kind::Awaited | Kind::Unreachable | Kind::Stuck | Kind::Drift if in_order => None,
        Kind::Suspended => None,
        Kind::Stuck | Kind::Drift => Some(ConditionType::Stalled),
        Kind::Underway | Kind::Unreachable | Kind::Awaited if given_up => Some(ConditionType::Stalled),
        Kind::Awaited if waited_long(input, present) => Some(ConditionType::Stalled),
        Kind::Underway | Kind::Unreachable | Kind::Awaited => Some(ConditionType::Reconciling),
    }
}

/// Whether the wait has lasted ten minutes, counted from Reconciling's transition; or has turned into Stalled already,
/// for this generation: an edit begins a new wait.
fn waited_long(input: &ReportInput<'_>, present: &OAuthClientStatus) -> bool {
    let conditions = present.conditions.as_deref().unwrap_or_default();
    let gave_up = |condition: &Condition| {
        let awaited = |reason: &&Reason| Kind::of(**reason) == Kind::Awaited;
        let reasons = &mut Reason::ALL.iter().filter(awaited);
        condition.observed_generation == Some(generation(input.object))
            && reasons.any(|reason| reason.as_str() == condition.reason)
    };
    let overdue =
        |condition: &Condition| remaining(later(condition.last_transition_time.0, PATIENCE), input.now).is_zero();
    find(conditions, ConditionType::Stalled).is_some_and(gave_up)
        || find(conditions, ConditionType::Reconciling).is_some_and(overdue)
}

fn secret_holds(client: &str, secret: &str) -> Finding {
    let message = format!("Secret {secret} holds the credential of client {client}");
    finding(ConditionType::SecretReady, ConditionStatus::True, Reason::Ready, message)
}

const fn finding(type_: ConditionType, status: ConditionStatus, reason: Reason, message: String) -> Finding {
    Finding { type_, status, reason, message }
}

fn is_false(status: &OAuthClientStatus, type_: ConditionType) -> bool {
    let conditions = status.conditions.as_deref().unwrap_or_default();
    find(conditions, type_).is_some_and(|condition| condition.status == ConditionStatus::False.as_str())
}

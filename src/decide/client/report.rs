//! What an OAuthClient's status says of a pass, and when the object is looked at again.
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

use std::collections::BTreeSet;
use std::time::Duration;

use jiff::{SignedDuration, Timestamp};
use k8s_openapi::apimachinery::pkg::apis::meta::v1::{Condition, Time};

use super::desired::lifecycle::{DEFAULT_OVERLAP, overlap};
use super::next::{Conclusion, Published, Record};
use super::object;
use crate::api::condition::{ConditionStatus, ConditionType, Finding, Reason, find, merge};
use crate::api::oauth_client::{OAuthClient, OAuthClientStatus, Retiring};
use crate::decide::failure::{Disposition, Failure};

/// How long somebody may take to bring what a client waits for, and how often a stalled one is tried again.
const PATIENCE: Duration = Duration::from_secs(10 * 60);
/// How often that is tried which the server refused for good.
const LONG_PATIENCE: Duration = Duration::from_secs(60 * 60);

/// How a pass ended.
pub struct ReportInput<'a> {
    /// The object as last read.
    pub object: &'a OAuthClient,
    /// What the pass concluded.
    pub record: &'a Record,
    /// Whether the object is being deleted.
    pub deleting: bool,
    /// The id of the project that was used.
    pub project_id: Option<&'a str>,
    /// The Secret that the spec names.
    pub secret_name: Option<&'a str>,
    /// The metadata keys that the spec wants now.
    pub managed_metadata_keys: &'a BTreeSet<String>,
    /// Whether client and Secret are, as far as anybody knows, what was applied before; false only on proof.
    pub matches: bool,
    /// Whether this pass published a client in place of a former one.
    pub replaced: bool,
    pub now: Timestamp,
}

/// The whole status that the object shall have. It equals the present one if there is nothing new to say.
#[must_use]
pub fn report(input: &ReportInput<'_>) -> OAuthClientStatus {
    let present = input.object.status.clone().unwrap_or_default();
    let generation = generation(input.object);
    let conditions = present.conditions.clone().unwrap_or_default();
    let retiring = retiring(input, present.retiring.as_deref().unwrap_or_default());
    let status = match &input.record.published {
        Some(published) => applied(input, published, present),
        None => OAuthClientStatus { last_handled_rotate_at: rotation_still_asked(input.object, &present), ..present },
    };
    let findings = match &input.record.conclusion {
        Conclusion::Converged => settled(&status),
        Conclusion::Blocked(failure) => halted(input, &status, failure),
    };
    OAuthClientStatus {
        observed_generation: Some(generation),
        conditions: Some(merge(&conditions, &findings, generation, input.now)),
        retiring: (!retiring.is_empty()).then_some(retiring),
        // On blocked passes too, as Flux does: the request was acted on, and the conditions tell with what success.
        last_handled_reconcile_at: Some(object::reconcile_request(input.object).to_owned()),
        ..status
    }
}

/// When the object is looked at again, by the status that the pass gave it. `None`: only events wake it.
#[must_use]
pub fn requeue(input: &ReportInput<'_>, status: &OAuthClientStatus, backoff: Duration) -> Option<Duration> {
    let retiring = status.retiring.iter().flatten();
    let overlaps = retiring.map(|retiring| remaining(retiring.delete_after.0, input.now));
    match &input.record.conclusion {
        Conclusion::Converged => overlaps.min(),
        Conclusion::Blocked(failure) => {
            let again = match failure.disposition {
                Disposition::Stalled | Disposition::Wait => PATIENCE,
                Disposition::StalledHourly => LONG_PATIENCE,
                Disposition::Retry(after) => after.unwrap_or(backoff),
            };
            // What is due already waits for what blocks the pass: woken for it, the object would spin.
            let overlaps = overlaps.filter(|left| !left.is_zero());
            overlaps.chain(until_stalled(input, status, failure)).chain([again]).min()
        }
    }
}

/// How long until Reconciling has to turn into Stalled, if it ever does.
fn until_stalled(input: &ReportInput<'_>, status: &OAuthClientStatus, failure: &Failure) -> Option<Duration> {
    let conditions = status.conditions.as_deref()?;
    find(conditions, ConditionType::Reconciling)
        .filter(|_| Kind::of(failure.reason) == Kind::Awaited)
        .map(|condition| remaining(later(condition.last_transition_time.0, PATIENCE), input.now))
}

/// What a reason says of the chances that it goes away: the rows of the table.
#[derive(Clone, Copy, PartialEq, Eq)]
enum Kind {
    /// The operator is at work.
    Underway,
    /// Somebody is expected to bring what is missing: in one sync, a project may come a second after its client.
    Awaited,
    /// MeshAgent cannot be asked.
    Unreachable,
    /// It needs a person.
    Stuck,
    /// MeshAgent keeps another value than was sent.
    Drift,
    /// A person has stopped the operator.
    Suspended,
}

impl Kind {
    const fn of(reason: Reason) -> Self {
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
            | Reason::CredentialLost
            | Reason::AdoptedClientGone
            | Reason::RejectedByAPI
            | Reason::LimitReached => Self::Stuck,
            Reason::DriftPersists => Self::Drift,
            Reason::Suspended => Self::Suspended,
        }
    }
}

/// What is handled of requests for a rotation when a pass did not carry one out: what an object came with never is.
fn rotation_still_asked(object: &OAuthClient, present: &OAuthClientStatus) -> Option<String> {
    let handled = present.last_handled_rotate_at.clone();
    handled.or_else(|| Some(object::rotation_request(object).to_owned()))
}

/// The present status with what a pass made sure of.
fn applied(input: &ReportInput<'_>, published: &Published, present: OAuthClientStatus) -> OAuthClientStatus {
    let waits = matches!(&input.record.conclusion, Conclusion::Blocked(failure) if failure.reason == Reason::Rotating);
    let still_asked = if waits { rotation_still_asked(input.object, &present) } else { None };
    let OAuthClientStatus {
        observed_generation,
        conditions,
        client_id,
        project_id,
        secret_name: _,
        secret_resource_version: _,
        credential_digest,
        applied_generation: _,
        last_replaced_at,
        adopted: _,
        persisting_drift: _,
        retiring,
        managed_metadata_keys: _,
        last_handled_reconcile_at,
        last_handled_rotate_at: _,
    } = present;
    let Published { client_id: published_id, credential, adopted, drift } = published;
    let another = client_id.as_deref() != Some(published_id.as_str());
    // A pass that published and then died left no word of it, but the client differs from the recorded one. One whose
    // record was written although its answer was lost does not count twice.
    let replaced = another && (input.replaced || client_id.is_some());
    let digest = credential.as_ref().map(|kept| kept.digest.as_ref().map_or(credential_digest, told));
    let keys: Vec<String> = input.managed_metadata_keys.iter().cloned().collect();
    OAuthClientStatus {
        observed_generation,
        conditions,
        client_id: told(published_id.as_str()),
        project_id: project_id.or_else(|| input.project_id.map(str::to_owned)),
        secret_name: credential.as_ref().and(input.secret_name).map(str::to_owned),
        secret_resource_version: credential.as_ref().map(|kept| kept.version.to_string()),
        credential_digest: digest.flatten(),
        applied_generation: Some(generation(input.object)),
        last_replaced_at: if replaced { Some(stamp(input.now)) } else { last_replaced_at },
        adopted: adopted.then_some(true),
        persisting_drift: drift.as_ref().and_then(told),
        retiring,
        managed_metadata_keys: (!keys.is_empty()).then_some(keys),
        last_handled_reconcile_at,
        last_handled_rotate_at: still_asked.or_else(|| told(object::rotation_request(input.object))),
    }
}

fn told(text: impl ToString) -> Option<String> {
    Some(text.to_string())
}

/// What a successful pass says.
fn settled(status: &OAuthClientStatus) -> Vec<Finding> {
    let client = status.client_id.as_deref().unwrap_or_default();
    let holds = |type_, message| finding(type_, ConditionStatus::True, Reason::Ready, message);
    let as_declared = format!("client {client} is as declared");
    let Some(secret) = &status.secret_name else {
        let without = format!("{as_declared}; it was adopted without its credential, so there is no Secret");
        return vec![holds(ConditionType::Ready, without), holds(ConditionType::Synced, as_declared)];
    };
    vec![
        holds(ConditionType::Ready, format!("{as_declared}; its credential is in Secret {secret}")),
        holds(ConditionType::Synced, as_declared),
        secret_holds(client, secret),
    ]
}

/// What a pass says that could not go on.
fn halted(input: &ReportInput<'_>, present: &OAuthClientStatus, failure: &Failure) -> Vec<Finding> {
    let kind = Kind::of(failure.reason);
    let in_order = in_order(input, present, kind);
    let message = if input.deleting { not_deleted_yet(input.object, failure) } else { failure.message.clone() };
    let say = |type_, status, message: &str| finding(type_, status, failure.reason, message.to_owned());
    let client = present.client_id.as_deref().unwrap_or_default();
    let secretless = is_secretless(present);
    let secret = present.secret_name.as_deref().or(input.secret_name).unwrap_or_default();

    let ready = if in_order {
        // Its reason is Synced's, so that the column shows what is the matter.
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

/// Whether the client was adopted without its credential.
fn is_secretless(status: &OAuthClientStatus) -> bool {
    status.client_id.is_some() && status.adopted == Some(true) && status.secret_name.is_none()
}

/// Why an object that is being deleted is still there, and the way out.
fn not_deleted_yet(object: &OAuthClient, failure: &Failure) -> String {
    let (metadata, text) = (&object.metadata, |text: &Option<String>| text.clone().unwrap_or_default());
    // It is the Kubernetes API that stands in the way.
    if matches!(failure.reason, Reason::Deleting | Reason::Updating | Reason::SecretRejected) {
        return format!("cannot be deleted yet: {}", failure.message);
    }
    format!(
        "cannot be deleted yet: {}. To give up on the client at MeshAgent: kubectl annotate maoc {} -n {} \
         meshagent.com/force-release={}",
        failure.message,
        text(&metadata.name),
        text(&metadata.namespace),
        text(&metadata.uid)
    )
}

/// Whether the client works as declared for all that is known. Ready turns False on proof only, and then True again
/// only by a pass that succeeds: one that cannot ask has no proof of the contrary.
fn in_order(input: &ReportInput<'_>, present: &OAuthClientStatus, kind: Kind) -> bool {
    // Only who has just compared client and Secret can say that drift persists.
    let as_applied = kind == Kind::Drift || input.matches && !is_false(present, ConditionType::Ready);
    was_applied(input, present) && as_applied
}

/// Whether the present generation was applied once. (Deletion counts as a generation of its own.)
fn was_applied(input: &ReportInput<'_>, present: &OAuthClientStatus) -> bool {
    !input.deleting && present.client_id.is_some() && present.applied_generation == Some(generation(input.object))
}

fn secret_is_lost(input: &ReportInput<'_>, present: &OAuthClientStatus, reason: Reason) -> bool {
    !input.matches
        || present.client_id.is_none()
        || matches!(reason, Reason::SecretConflict | Reason::CredentialLost)
        || is_false(present, ConditionType::SecretReady)
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

/// Former clients keep the end of their overlap; those that are new among them begin it now.
fn retiring(input: &ReportInput<'_>, present: &[Retiring]) -> Vec<Retiring> {
    let ids = input.record.retiring.iter().map(|client_id| client_id.as_str());
    ids.map(|client_id| {
        let known = present.iter().find(|known| known.client_id == client_id);
        known.cloned().unwrap_or_else(|| Retiring {
            client_id: client_id.to_owned(),
            delete_after: stamp(overlap_ends(input.object, input.now)),
        })
    })
    .collect()
}

/// When the overlap of a client ends that is replaced now.
#[must_use]
pub fn overlap_ends(object: &OAuthClient, now: Timestamp) -> Timestamp {
    later(now, overlap(&object.spec).unwrap_or(DEFAULT_OVERLAP))
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

fn generation(object: &OAuthClient) -> i64 {
    object.metadata.generation.unwrap_or_default()
}

fn later(time: Timestamp, by: Duration) -> Timestamp {
    time.checked_add(by).unwrap_or(Timestamp::MAX)
}

/// The time left until `end`; none if it has passed.
fn remaining(end: Timestamp, now: Timestamp) -> Duration {
    let left: SignedDuration = end.duration_since(now);
    left.try_into().unwrap_or_default()
}

/// In whole seconds, which is what the wire keeps: with the rest, what was written would differ from what is read back.
fn stamp(time: Timestamp) -> Time {
    Time(Timestamp::from_second(time.as_second()).unwrap_or(time))
}

#[cfg(test)]
mod tests;

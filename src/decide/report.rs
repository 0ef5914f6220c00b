//! How a pass ended, as the object's status says it, and when the object is looked at again.

use std::collections::BTreeSet;
use std::time::Duration;

use jiff::Timestamp;
use k8s_openapi::apimachinery::pkg::apis::meta::v1::{Condition, Time};

use super::failure::{Disposition, Failure};
use super::next::{Record, Verdict};
use super::reading::{self, OVERLAP};
use crate::api::condition::{self, ConditionStatus, Finding};
use crate::api::oauth_client::Retiring;
use crate::api::{ConditionType, OAuthClient, OAuthClientStatus, Reason};

/// After so long a client that waits for something is said to be stalled.
const STALLED_AFTER: Duration = Duration::from_secs(10 * 60);
/// How often something stalled is tried again.
const STALLED_RETRY: Duration = Duration::from_secs(10 * 60);
/// How often something that the server refused for good is tried again.
const HOURLY: Duration = Duration::from_secs(60 * 60);

/// How a pass ended.
#[derive(Clone, Copy, Debug)]
pub struct Ending<'a> {
    /// The object, as last read or written.
    pub object: &'a OAuthClient,
    /// What the pass has to say.
    pub record: &'a Record,
    /// Whether the object is being deleted.
    pub deleting: bool,
    /// The project that was used.
    pub project_id: Option<&'a str>,
    /// The Secret that the spec names.
    pub secret_name: &'a str,
    /// The metadata keys that the spec wants now.
    pub managed_metadata_keys: &'a BTreeSet<String>,
    /// Whether the recorded client and its Secret are as they were applied; not, only on proof.
    pub matches: bool,
    /// Whether this pass published a client in the place of a former one.
    pub replaced: bool,
    /// Now.
    pub now: Timestamp,
}

/// The status that the object shall have. Equal to the one it has if nothing new is to be said.
#[must_use]
pub fn report(ending: &Ending<'_>) -> OAuthClientStatus {
    let Ending { object, record, .. } = *ending;
    let generation = object.metadata.generation.unwrap_or_default();
    let present = object.status.clone().unwrap_or_default();
    let mut status = OAuthClientStatus {
        observed_generation: Some(generation),
        retiring: retiring(ending, &present),
        last_handled_reconcile_at: Some(reading::reconcile_request(object).to_owned()),
        ..present.clone()
    };
    if let (Verdict::Converged, Some(published)) = (&record.verdict, &record.published) {
        status.client_id = Some(published.client_id.to_string());
        status.project_id = present.project_id.or_else(|| ending.project_id.map(str::to_owned));
        status.secret_name = Some(ending.secret_name.to_owned());
        status.secret_resource_version = Some(published.secret_version.to_string());
        status.credential_digest = published.digest.as_ref().map(ToString::to_string).or(present.credential_digest);
        status.applied_generation = Some(generation);
        status.managed_metadata_keys = Some(ending.managed_metadata_keys.iter().cloned().collect());
        if ending.replaced {
            status.last_replaced_at = Some(Time(whole_seconds(ending.now)));
        }
    }
    let conditions = present.conditions.unwrap_or_default();
    let findings = findings(ending, &status, &conditions);
    status.conditions = Some(condition::merge(&conditions, &findings, generation, ending.now));
    status
}

/// Former clients that still live. One that is new among them begins its overlap now.
fn retiring(ending: &Ending<'_>, present: &OAuthClientStatus) -> Option<Vec<Retiring>> {
    let known = present.retiring.as_deref().unwrap_or_default();
    let retiring = ending.record.retiring.iter().map(|client_id| {
        known.iter().find(|former| former.client_id == client_id.as_str()).cloned().unwrap_or_else(|| Retiring {
            client_id: client_id.to_string(),
            delete_after: Time(whole_seconds(ending.now.saturating_add(OVERLAP).unwrap_or(ending.now))),
        })
    });
    let retiring: Vec<Retiring> = retiring.collect();
    (!retiring.is_empty()).then_some(retiring)
}

fn whole_seconds(time: Timestamp) -> Timestamp {
    Timestamp::from_second(time.as_second()).unwrap_or(time)
}

/// What is true of the object apart from the conditions: how much of it was ever carried out.
#[derive(Clone, Copy, PartialEq, Eq)]
enum Progress {
    /// No client was ever recorded.
    Never,
    /// A client was, but the present generation is not applied yet.
    Edited,
    /// The present generation was applied once.
    Applied,
}

fn progress(ending: &Ending<'_>, status: &OAuthClientStatus) -> Progress {
    match (&status.client_id, status.applied_generation) {
        (None, _) => Progress::Never,
        (Some(_), applied) if applied == ending.object.metadata.generation => Progress::Applied,
        (Some(_), _) => Progress::Edited,
    }
}

fn findings(ending: &Ending<'_>, status: &OAuthClientStatus, conditions: &[Condition]) -> Vec<Finding> {
    match &ending.record.verdict {
        Verdict::Converged => {
            let client_id = status.client_id.as_deref().unwrap_or_default();
            let secret = ending.secret_name;
            let all = format!("client {client_id} is as declared; its credential is in Secret {secret}");
            vec![
                finding(ConditionType::Ready, ConditionStatus::True, Reason::Ready, &all),
                finding(
                    ConditionType::Synced,
                    ConditionStatus::True,
                    Reason::Ready,
                    &format!("client {client_id} is as declared"),
                ),
                finding(
                    ConditionType::SecretReady,
                    ConditionStatus::True,
                    Reason::Ready,
                    &format!("the credential of client {client_id} is in Secret {secret}"),
                ),
            ]
        }
        Verdict::Blocked(failure) => blocked(ending, failure, progress(ending, status), conditions),
    }
}

fn blocked(ending: &Ending<'_>, failure: &Failure, progress: Progress, conditions: &[Condition]) -> Vec<Finding> {
    let Failure { reason, message, .. } = failure;
    let reason = if ending.deleting { Reason::Deleting } else { *reason };
    let said = if ending.deleting {
        format!("the client at MeshAgent is not deleted yet ({}): {message}", failure.reason.as_str())
    } else {
        message.clone()
    };
    let ready = progress == Progress::Applied && ending.matches && !ending.deleting;
    let yes_or_no = |yes| {
        if yes { ConditionStatus::True } else { ConditionStatus::False }
    };
    let unreachable = matches!(failure.reason, Reason::RateLimited | Reason::APIUnavailable);
    let synced = if unreachable { ConditionStatus::Unknown } else { ConditionStatus::False };
    let mut findings = vec![
        finding(ConditionType::Ready, yes_or_no(ready), reason, &said),
        finding(ConditionType::Synced, synced, reason, &said),
        secret_ready(ending, progress, reason, &said),
    ];
    // A converged client whose project waits, or that nobody can help, is neither in progress nor failed.
    let under_way = matches!(reason, Reason::Creating | Reason::Updating | Reason::Deleting | Reason::Rotating);
    if !ready || under_way {
        let type_ =
            if stalled(ending, failure, conditions) { ConditionType::Stalled } else { ConditionType::Reconciling };
        findings.push(finding(type_, ConditionStatus::True, reason, &said));
    }
    findings
}

fn secret_ready(ending: &Ending<'_>, progress: Progress, reason: Reason, said: &str) -> Finding {
    if progress == Progress::Never || !ending.matches {
        return finding(ConditionType::SecretReady, ConditionStatus::False, reason, said);
    }
    let text = format!("the credential is in Secret {}", ending.secret_name);
    finding(ConditionType::SecretReady, ConditionStatus::True, Reason::Ready, &text)
}

/// Whether nothing will change by itself. What waits for others is so after ten minutes, counted from when it began to
/// wait; an outage never is.
fn stalled(ending: &Ending<'_>, failure: &Failure, conditions: &[Condition]) -> bool {
    match failure.disposition {
        Disposition::Stalled | Disposition::StalledHourly => true,
        Disposition::Retry(_) => false,
        Disposition::Wait => waiting_since(conditions).is_some_and(|since| {
            ending.now.duration_since(since) >= jiff::SignedDuration::try_from(STALLED_AFTER).unwrap_or_default()
        }),
    }
}

/// Since when the object has been in progress; if it is stalled already, long ago.
fn waiting_since(conditions: &[Condition]) -> Option<Timestamp> {
    let stalled = condition::find(conditions, ConditionType::Stalled).map(|_| Timestamp::UNIX_EPOCH);
    let waiting = condition::find(conditions, ConditionType::Reconciling).map(|c| c.last_transition_time.0);
    stalled.or(waiting)
}

fn finding(type_: ConditionType, status: ConditionStatus, reason: Reason, message: &str) -> Finding {
    Finding { type_, status, reason, message: message.to_owned() }
}

/// When the object is looked at again, besides on events; `None`: only then.
#[must_use]
pub fn requeue(ending: &Ending<'_>, status: &OAuthClientStatus, backoff: Duration) -> Option<Duration> {
    let until = |time: Timestamp| Duration::try_from(time.duration_since(ending.now)).unwrap_or_default();
    let retirement = status.retiring.iter().flatten().map(|former| until(former.delete_after.0)).min();
    let failure = match &ending.record.verdict {
        Verdict::Converged => None,
        Verdict::Blocked(failure) => Some(match failure.disposition {
            Disposition::Stalled => STALLED_RETRY,
            Disposition::StalledHourly => HOURLY,
            Disposition::Retry(after) => after.unwrap_or(backoff),
            Disposition::Wait => {
                let conditions = status.conditions.as_deref().unwrap_or_default();
                condition::find(conditions, ConditionType::Reconciling)
                    .and_then(|waiting| waiting.last_transition_time.0.checked_add(STALLED_AFTER).ok())
                    .map_or(STALLED_RETRY, |mark| until(mark) + Duration::from_secs(1))
            }
        }),
    };
    [failure, retirement].into_iter().flatten().min().map(|wait| wait.max(Duration::from_millis(100)))
}

//! What a project's status says.

use std::time::Duration;

use jiff::Timestamp;
use k8s_openapi::apimachinery::pkg::apis::meta::v1::Condition;

use crate::api::condition::{self, ConditionStatus, Finding};
use crate::api::project::ProjectStatus;
use crate::api::{ConditionType, Reason, limits};
use crate::decide::failure::{Disposition, Failure};
use crate::project::sweep::Swept;

/// A wait for other people that lasts longer is said to be Stalled.
const PATIENCE: Duration = Duration::from_secs(600);

/// What there is to say.
pub(super) struct Said<'a> {
    pub(super) generation: i64,
    pub(super) failure: Option<&'a Failure>,
    pub(super) project_id: Option<String>,
    pub(super) clients: i64,
    pub(super) swept: &'a Swept,
    /// Why it cannot be deleted yet, if it is being deleted.
    pub(super) held: Option<String>,
    pub(super) now: Timestamp,
}

/// The status that says it; equal to the present one if nothing is new.
pub(super) fn status(present: &ProjectStatus, said: &Said<'_>) -> ProjectStatus {
    let conditions = present.conditions.as_deref().unwrap_or_default();
    let orphans: Vec<_> = said.swept.orphans.iter().take(limits::ORPHANS).cloned().collect();
    let omitted = said.swept.orphans.len() - orphans.len();
    let findings = findings(said.failure, said.held.as_deref(), conditions, said.now);
    ProjectStatus {
        observed_generation: Some(said.generation),
        conditions: Some(condition::merge(conditions, &findings, said.generation, said.now)),
        project_id: said.project_id.clone().or_else(|| present.project_id.clone()),
        clients: Some(said.clients),
        orphans: (!orphans.is_empty()).then_some(orphans),
        orphans_omitted: (omitted > 0).then(|| i64::try_from(omitted).unwrap_or(i64::MAX)),
    }
}

/// Whether the status says something new that people wait for: that the project is usable or not, and why, that it cannot
/// be deleted yet, or that their edit was looked at. Numbers, orphans and wording can wait.
pub(super) fn is_urgent(present: &ProjectStatus, status: &ProjectStatus) -> bool {
    let verdict = |status: &ProjectStatus| {
        let said = |type_| condition::find(status.conditions.as_deref().unwrap_or_default(), type_);
        let words = |found: &Condition| (found.status.clone(), found.reason.clone());
        [ConditionType::Ready, ConditionType::Reconciling].map(|type_| said(type_).map(words))
    };
    present.observed_generation != status.observed_generation || verdict(present) != verdict(status)
}

/// Whether the wait for other people has lasted ten minutes, or was found to have before.
fn waited_long(present: &[Condition], reason: Reason, now: Timestamp) -> bool {
    let since = |found: &Condition| Duration::try_from(now.duration_since(found.last_transition_time.0)).ok();
    let waiting = condition::find(present, ConditionType::Reconciling).and_then(since);
    let stalled = condition::find(present, ConditionType::Stalled);
    waiting.is_some_and(|waited| waited >= PATIENCE) || stalled.is_some_and(|found| found.reason == reason.as_str())
}

fn findings(failure: Option<&Failure>, held: Option<&str>, present: &[Condition], now: Timestamp) -> Vec<Finding> {
    let finding = |type_, status, reason, message: &str| Finding { type_, status, reason, message: message.to_owned() };
    let kind = failure.map(|failure| match failure.disposition {
        Disposition::Stalled | Disposition::StalledHourly => ConditionType::Stalled,
        Disposition::Wait if waited_long(present, failure.reason, now) => ConditionType::Stalled,
        Disposition::Wait | Disposition::Retry(_) => ConditionType::Reconciling,
    });
    let (status, reason, message) = match failure {
        None => (ConditionStatus::True, Reason::Ready, "the API key works"),
        Some(failure) => (ConditionStatus::False, failure.reason, failure.message.as_str()),
    };
    let whole = held.map(|held| format!("{message}. But {held}"));
    let mut findings = vec![finding(ConditionType::Ready, status, reason, whole.as_deref().unwrap_or(message))];
    if let Some(held) = held {
        findings.push(finding(ConditionType::Reconciling, ConditionStatus::True, Reason::Deleting, held));
    }
    // What is under way is the deletion; what is wrong besides, Ready says.
    if let Some(kind) = kind.filter(|kind| held.is_none() || *kind == ConditionType::Stalled) {
        findings.push(finding(kind, ConditionStatus::True, reason, message));
    }
    findings
}

#[cfg(test)]
mod tests;

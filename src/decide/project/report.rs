//! What a project's status says of a check.

use std::time::Duration;

use jiff::Timestamp;
use k8s_openapi::apimachinery::pkg::apis::meta::v1::Condition;

use crate::api::condition::{self, ConditionStatus, Finding};
use crate::api::project::{Orphan, ProjectStatus};
use crate::api::{ConditionType, Reason, limits};
use crate::decide::failure::{Disposition, Failure};
use crate::decide::time::PATIENCE;

/// How many users a message names.
const NAMED: usize = 5;

/// How a check ended.
#[derive(Clone, Debug)]
pub struct ReportInput<'a> {
    pub generation: i64,
    /// Why the project cannot be used.
    pub failure: Option<&'a Failure>,
    /// The project's id in MeshAgent, if it is known.
    pub project_id: Option<String>,
    /// How many OAuthClients use the project.
    pub clients: i64,
    /// Clients without an OAuthClient, the oldest first.
    pub orphans: &'a [Orphan],
    /// The labels of namespaces that the project goes by and that may not be seen, in words; the project can be used
    /// still.
    pub unseen: Option<&'a str>,
    /// The value of the annotation by which a loss is accepted, as far as it is handled.
    pub accept_loss: &'a str,
    /// The users, as `<namespace>/<name>`, of a project that is being deleted and stays because of them.
    pub in_use_by: Option<&'a [String]>,
    /// What is to be said of the operator's clock.
    pub clock: Option<&'a str>,
    pub now: Timestamp,
}

/// The status that the object shall have; the present one if there is nothing new to say.
#[must_use]
pub fn report(present: &ProjectStatus, input: &ReportInput<'_>) -> ProjectStatus {
    let conditions = present.conditions.as_deref().unwrap_or_default();
    let orphans: Vec<_> = input.orphans.iter().take(limits::ORPHANS).cloned().collect();
    let omitted = input.orphans.len() - orphans.len();
    let in_use = input.in_use_by.map(in_use);
    let also: Vec<&str> = [input.unseen, input.clock, in_use.as_deref()].into_iter().flatten().collect();
    let findings = findings(input.failure, in_use.as_deref(), &also, conditions, input.now);
    ProjectStatus {
        observed_generation: Some(input.generation),
        conditions: Some(condition::merge(conditions, &findings, input.generation, input.now)),
        project_id: input.project_id.clone().or_else(|| present.project_id.clone()),
        clients: Some(input.clients),
        orphans: (!orphans.is_empty()).then_some(orphans),
        last_handled_accept_loss: Some(input.accept_loss.to_owned()),
        orphans_omitted: (omitted > 0).then(|| i64::try_from(omitted).unwrap_or(i64::MAX)),
    }
}

/// Whether the status says something new that people wait for: that the project is usable or not, and why, that it
/// cannot be deleted yet, or that their edit was observed. Numbers, orphans and wording can wait.
#[must_use]
pub fn is_urgent(present: &ProjectStatus, status: &ProjectStatus) -> bool {
    let readiness = |status: &ProjectStatus| {
        let found = |type_| condition::find(status.conditions.as_deref().unwrap_or_default(), type_);
        let words = |found: &Condition| (found.status.clone(), found.reason.clone());
        [ConditionType::Ready, ConditionType::Reconciling].map(|type_| found(type_).map(words))
    };
    present.observed_generation != status.observed_generation || readiness(present) != readiness(status)
}

/// Whether the wait for other people has lasted ten minutes, or was found to have before.
fn waited_long(present: &[Condition], reason: Reason, now: Timestamp) -> bool {
    let since = |found: &Condition| Duration::try_from(now.duration_since(found.last_transition_time.0)).ok();
    let waiting = condition::find(present, ConditionType::Reconciling).and_then(since);
    let stalled = condition::find(present, ConditionType::Stalled);
    waiting.is_some_and(|waited| waited >= PATIENCE) || stalled.is_some_and(|found| found.reason == reason.as_str())
}

/// The conditions of a check; `also`: what Ready says besides.
fn findings(
    failure: Option<&Failure>,
    in_use: Option<&str>,
    also: &[&str],
    present: &[Condition],
    now: Timestamp,
) -> Vec<Finding> {
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
    let whole = also.iter().fold(message.to_owned(), |whole, also| format!("{whole}. But {also}"));
    let mut findings = vec![finding(ConditionType::Ready, status, reason, &whole)];
    if let Some(in_use) = in_use {
        findings.push(finding(ConditionType::Reconciling, ConditionStatus::True, Reason::Deleting, in_use));
    }
    // The deletion is under way; Ready says what is wrong besides.
    if let Some(kind) = kind.filter(|kind| in_use.is_none() || *kind == ConditionType::Stalled) {
        findings.push(finding(kind, ConditionStatus::True, reason, message));
    }
    findings
}

/// Who stands in the way of a deletion, and what to do.
fn in_use(users: &[String]) -> String {
    let named = users.iter().take(NAMED).map(String::as_str).collect::<Vec<_>>().join(", ");
    let more = match users.len().saturating_sub(NAMED) {
        0 => String::new(),
        more => format!(" and {more} more"),
    };
    let (count, use_it) = (users.len(), if users.len() == 1 { "OAuthClient uses" } else { "OAuthClients use" });
    format!(
        "the project cannot be deleted yet: {count} {use_it} it: {named}{more}; delete them, and it goes by itself (if one \
         does not go, its status says why)"
    )
}

#[cfg(test)]
mod tests;

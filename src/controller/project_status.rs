//! What a project's status says.

use std::time::Duration;

use jiff::Timestamp;
use k8s_openapi::apimachinery::pkg::apis::meta::v1::Condition;

use crate::api::condition::{self, ConditionStatus, Finding};
use crate::api::project::ProjectStatus;
use crate::api::{ConditionType, Reason, limits};
use crate::decide::failure::{Disposition, Failure};
use crate::sweep::Swept;

/// A wait for other people that lasts longer is said to be Stalled.
const PATIENCE: Duration = Duration::from_secs(600);

/// What there is to say.
pub(super) struct Said<'a> {
    pub(super) generation: i64,
    pub(super) failure: Option<&'a Failure>,
    pub(super) project_id: Option<String>,
    pub(super) clients: i64,
    pub(super) swept: &'a Swept,
    pub(super) now: Timestamp,
}

/// The status that says it; equal to the present one if nothing is new.
pub(super) fn status(present: &ProjectStatus, said: &Said<'_>) -> ProjectStatus {
    let conditions = present.conditions.as_deref().unwrap_or_default();
    let orphans: Vec<_> = said.swept.orphans.iter().take(limits::ORPHANS).cloned().collect();
    let omitted = said.swept.orphans.len() - orphans.len();
    let findings = findings(said.failure, conditions, said.now);
    ProjectStatus {
        observed_generation: Some(said.generation),
        conditions: Some(condition::merge(conditions, &findings, said.generation, said.now)),
        project_id: said.project_id.clone().or_else(|| present.project_id.clone()),
        clients: Some(said.clients),
        orphans: (!orphans.is_empty()).then_some(orphans),
        orphans_omitted: (omitted > 0).then(|| i64::try_from(omitted).unwrap_or(i64::MAX)),
    }
}

/// Whether the status says something new that people wait for: that the project is usable or not, and why, or that
/// their edit was looked at. Numbers, orphans and wording can wait.
pub(super) fn is_urgent(present: &ProjectStatus, status: &ProjectStatus) -> bool {
    let verdict = |status: &ProjectStatus| {
        let ready = condition::find(status.conditions.as_deref()?, ConditionType::Ready)?;
        Some((ready.status.clone(), ready.reason.clone()))
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

fn findings(failure: Option<&Failure>, present: &[Condition], now: Timestamp) -> Vec<Finding> {
    let finding = |type_, status, reason, message: &str| Finding { type_, status, reason, message: message.to_owned() };
    let Some(Failure { reason, message, disposition }) = failure else {
        let text = "the API key works";
        return vec![finding(ConditionType::Ready, ConditionStatus::True, Reason::Ready, text)];
    };
    let kind = match disposition {
        Disposition::Stalled | Disposition::StalledHourly => ConditionType::Stalled,
        Disposition::Wait if waited_long(present, *reason, now) => ConditionType::Stalled,
        Disposition::Wait | Disposition::Retry(_) => ConditionType::Reconciling,
    };
    vec![
        finding(ConditionType::Ready, ConditionStatus::False, *reason, message),
        finding(kind, ConditionStatus::True, *reason, message),
    ]
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::api::project::Orphan;
    use k8s_openapi::apimachinery::pkg::apis::meta::v1::Time;

    fn said<'a>(failure: Option<&'a Failure>, swept: &'a Swept) -> Said<'a> {
        let now = Timestamp::from_second(1_000).unwrap();
        Said { generation: 2, failure, project_id: Some("p".to_owned()), clients: 3, swept, now }
    }

    #[test]
    fn the_same_said_twice_is_the_same_status() {
        let swept = Swept::default();
        let first = status(&ProjectStatus::default(), &said(None, &swept));
        let later = Said { now: Timestamp::from_second(2_000).unwrap(), ..said(None, &swept) };
        assert_eq!(status(&first, &later), first);
    }

    #[test]
    fn a_long_list_of_orphans_is_cut_and_says_so() {
        let now = Timestamp::from_second(1_000).unwrap();
        let orphan = |n: usize| Orphan {
            client_id: n.to_string(),
            namespace: "shop".to_owned(),
            name: "web".to_owned(),
            since: Time(now),
        };
        let swept = Swept { orphans: (0..limits::ORPHANS + 7).map(orphan).collect(), next: None };
        let status = status(&ProjectStatus::default(), &said(None, &swept));
        assert_eq!(status.orphans.map(|orphans| orphans.len()), Some(limits::ORPHANS));
        assert_eq!(status.orphans_omitted, Some(7));
    }

    #[test]
    fn what_only_a_change_can_mend_is_stalled_and_an_outage_is_not() {
        let types = |failure: &Failure| -> Vec<_> {
            findings(Some(failure), &[], Timestamp::UNIX_EPOCH).into_iter().map(|f| f.type_).collect()
        };
        assert_eq!(
            types(&Failure::stalled(Reason::ProjectMismatch, "")),
            [ConditionType::Ready, ConditionType::Stalled]
        );
        assert_eq!(
            types(&Failure::retry(Reason::APIUnavailable, "")),
            [ConditionType::Ready, ConditionType::Reconciling]
        );
    }

    #[test]
    fn a_wait_for_people_is_stalled_after_ten_minutes_and_stays_so_until_the_reason_changes() {
        let swept = Swept::default();
        let missing = Failure::wait(Reason::CredentialsNotFound, "no Secret");
        let told = |present: &ProjectStatus, failure: &Failure, second: i64| {
            let now = Timestamp::from_second(second).unwrap();
            status(present, &Said { now, ..said(Some(failure), &swept) })
        };
        let shows = |status: &ProjectStatus| {
            let conditions = status.conditions.clone().unwrap();
            conditions.into_iter().map(|found| format!("{}={}", found.type_, found.status)).collect::<Vec<_>>()
        };
        let (waiting, stalled) = (["Ready=False", "Reconciling=True"], ["Ready=False", "Stalled=True"]);
        let first = told(&ProjectStatus::default(), &missing, 1_000);
        assert_eq!(shows(&first), waiting);
        assert_eq!(shows(&told(&first, &missing, 1_599)), waiting);
        let long = told(&first, &missing, 1_600);
        assert_eq!(shows(&long), stalled);
        assert_eq!(told(&long, &missing, 1_700), long);
        assert_eq!(shows(&told(&long, &Failure::wait(Reason::ProjectDisabled, "423"), 1_700)), waiting);
    }

    #[test]
    fn numbers_and_wording_can_wait_and_a_verdict_cannot() {
        let swept = Swept::default();
        let ready = status(&ProjectStatus::default(), &said(None, &swept));
        assert!(is_urgent(&ProjectStatus::default(), &ready));
        assert!(!is_urgent(&ready, &status(&ready, &Said { clients: 4, ..said(None, &swept) })));
        assert!(is_urgent(&ready, &status(&ready, &Said { generation: 3, ..said(None, &swept) })));
        let down = status(&ready, &said(Some(&Failure::retry(Reason::APIUnavailable, "request 1")), &swept));
        assert!(is_urgent(&ready, &down));
        let still = status(&down, &said(Some(&Failure::retry(Reason::APIUnavailable, "request 2")), &swept));
        assert!(!is_urgent(&down, &still));
    }
}

//! What a project's status says.

use jiff::Timestamp;

use crate::api::condition::{self, ConditionStatus, Finding};
use crate::api::project::ProjectStatus;
use crate::api::{ConditionType, Reason, limits};
use crate::decide::failure::{Disposition, Failure};
use crate::sweep::Swept;

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
    ProjectStatus {
        observed_generation: Some(said.generation),
        conditions: Some(condition::merge(conditions, &findings(said.failure), said.generation, said.now)),
        project_id: said.project_id.clone().or_else(|| present.project_id.clone()),
        clients: Some(said.clients),
        orphans: (!orphans.is_empty()).then_some(orphans),
        orphans_omitted: (omitted > 0).then(|| i64::try_from(omitted).unwrap_or(i64::MAX)),
    }
}

fn findings(failure: Option<&Failure>) -> Vec<Finding> {
    let finding = |type_, status, reason, message: &str| Finding { type_, status, reason, message: message.to_owned() };
    let Some(Failure { reason, message, disposition }) = failure else {
        let text = "the API key works";
        return vec![finding(ConditionType::Ready, ConditionStatus::True, Reason::Ready, text)];
    };
    let kind = match disposition {
        Disposition::Stalled | Disposition::StalledHourly => ConditionType::Stalled,
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
        let types = |failure: &Failure| -> Vec<_> { findings(Some(failure)).into_iter().map(|f| f.type_).collect() };
        assert_eq!(
            types(&Failure::stalled(Reason::ProjectMismatch, "")),
            [ConditionType::Ready, ConditionType::Stalled]
        );
        assert_eq!(
            types(&Failure::retry(Reason::APIUnavailable, "")),
            [ConditionType::Ready, ConditionType::Reconciling]
        );
    }
}

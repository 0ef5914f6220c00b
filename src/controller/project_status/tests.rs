use super::*;
use crate::api::project::Orphan;
use k8s_openapi::apimachinery::pkg::apis::meta::v1::Time;

fn said<'a>(failure: Option<&'a Failure>, swept: &'a Swept) -> Said<'a> {
    let now = Timestamp::from_second(1_000).unwrap();
    Said { generation: 2, failure, project_id: Some("p".to_owned()), clients: 3, swept, held: None, now }
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
        findings(Some(failure), None, &[], Timestamp::UNIX_EPOCH).into_iter().map(|f| f.type_).collect()
    };
    assert_eq!(types(&Failure::stalled(Reason::ProjectMismatch, "")), [ConditionType::Ready, ConditionType::Stalled]);
    assert_eq!(types(&Failure::retry(Reason::APIUnavailable, "")), [ConditionType::Ready, ConditionType::Reconciling]);
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
    let held = Said { held: Some("it is used".to_owned()), ..said(None, &swept) };
    assert!(is_urgent(&ready, &status(&ready, &held)));
    let down = status(&ready, &said(Some(&Failure::retry(Reason::APIUnavailable, "request 1")), &swept));
    assert!(is_urgent(&ready, &down));
    let still = status(&down, &said(Some(&Failure::retry(Reason::APIUnavailable, "request 2")), &swept));
    assert!(!is_urgent(&down, &still));
}

#[test]
fn a_project_that_is_held_says_so_beside_whether_it_works() {
    let told = |failure: Option<&Failure>| -> Vec<_> {
        let found = findings(failure, Some("the project cannot be deleted yet"), &[], Timestamp::UNIX_EPOCH);
        let shown =
            |f: Finding| format!("{}={}/{}: {}", f.type_.as_str(), f.status.as_str(), f.reason.as_str(), f.message);
        found.into_iter().map(shown).collect()
    };
    let deleting = "Reconciling=True/Deleting: the project cannot be deleted yet";
    assert_eq!(told(None), ["Ready=True/Ready: the API key works. But the project cannot be deleted yet", deleting]);
    let missing = Failure::wait(Reason::CredentialsNotFound, "no Secret");
    let ready = "Ready=False/CredentialsNotFound: no Secret. But the project cannot be deleted yet";
    assert_eq!(told(Some(&missing)), [ready, deleting]);
    let wrong = Failure::stalled(Reason::AuthenticationFailed, "401");
    let ready = "Ready=False/AuthenticationFailed: 401. But the project cannot be deleted yet";
    assert_eq!(told(Some(&wrong)), [ready, deleting, "Stalled=True/AuthenticationFailed: 401"]);
}

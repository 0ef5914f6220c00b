use super::*;
use k8s_openapi::apimachinery::pkg::apis::meta::v1::Time;

fn input(failure: Option<&Failure>) -> ReportInput<'_> {
    let now = Timestamp::from_second(1_000).unwrap();
    let project_id = Some("p".to_owned());
    ReportInput {
        generation: 2,
        failure,
        project_id,
        clients: 3,
        orphans: &[],
        unseen: None,
        accept_loss: "",
        in_use_by: None,
        clock: None,
        now,
    }
}

#[test]
fn the_same_report_twice_is_the_same_status() {
    let first = report(&ProjectStatus::default(), &input(None));
    let later = ReportInput { now: Timestamp::from_second(2_000).unwrap(), ..input(None) };
    assert_eq!(report(&first, &later), first);
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
    let orphans: Vec<Orphan> = (0..limits::ORPHANS + 7).map(orphan).collect();
    let status = report(&ProjectStatus::default(), &ReportInput { orphans: &orphans, ..input(None) });
    assert_eq!(status.orphans.map(|orphans| orphans.len()), Some(limits::ORPHANS));
    assert_eq!(status.orphans_omitted, Some(7));
}

#[test]
fn what_only_a_change_can_mend_is_stalled_and_an_outage_is_not() {
    let types = |failure: &Failure| -> Vec<_> {
        findings(Some(failure), None, &[], &[], Timestamp::UNIX_EPOCH).into_iter().map(|f| f.type_).collect()
    };
    assert_eq!(types(&Failure::stalled(Reason::ProjectMismatch, "")), [ConditionType::Ready, ConditionType::Stalled]);
    assert_eq!(types(&Failure::retry(Reason::APIUnavailable, "")), [ConditionType::Ready, ConditionType::Reconciling]);
}

#[test]
fn a_wait_for_people_is_stalled_after_ten_minutes_and_stays_so_until_the_reason_changes() {
    let missing = Failure::wait(Reason::CredentialsNotFound, "no Secret");
    let told = |present: &ProjectStatus, failure: &Failure, second: i64| {
        let now = Timestamp::from_second(second).unwrap();
        report(present, &ReportInput { now, ..input(Some(failure)) })
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
fn numbers_and_wording_can_wait_and_readiness_cannot() {
    let ready = report(&ProjectStatus::default(), &input(None));
    assert!(is_urgent(&ProjectStatus::default(), &ready));
    assert!(!is_urgent(&ready, &report(&ready, &ReportInput { clients: 4, ..input(None) })));
    assert!(is_urgent(&ready, &report(&ready, &ReportInput { generation: 3, ..input(None) })));
    let users = ["shop/web".to_owned()];
    let in_use = ReportInput { in_use_by: Some(&users), ..input(None) };
    assert!(is_urgent(&ready, &report(&ready, &in_use)));
    let down = report(&ready, &input(Some(&Failure::retry(Reason::APIUnavailable, "request 1"))));
    assert!(is_urgent(&ready, &down));
    let still = report(&down, &input(Some(&Failure::retry(Reason::APIUnavailable, "request 2"))));
    assert!(!is_urgent(&down, &still));
}

#[test]
fn a_project_in_use_says_so_beside_whether_it_works() {
    let told = |failure: Option<&Failure>| -> Vec<_> {
        let in_use = "the project cannot be deleted yet";
        let found = findings(failure, Some(in_use), &[in_use], &[], Timestamp::UNIX_EPOCH);
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

#[test]
fn the_first_five_users_are_named_and_the_others_counted() {
    let users = |count: usize| (0..count).map(|n| format!("shop/web{n}")).collect::<Vec<_>>();
    let rest = "; delete them, and it goes by itself (if one does not go, its status says why)";
    assert_eq!(in_use(&users(1)), format!("the project cannot be deleted yet: 1 OAuthClient uses it: shop/web0{rest}"));
    let five = "shop/web0, shop/web1, shop/web2, shop/web3, shop/web4";
    assert_eq!(in_use(&users(5)), format!("the project cannot be deleted yet: 5 OAuthClients use it: {five}{rest}"));
    assert_eq!(
        in_use(&users(7)),
        format!("the project cannot be deleted yet: 7 OAuthClients use it: {five} and 2 more{rest}")
    );
}

/// F35.
#[test]
fn a_clock_that_is_wrong_is_said_of_a_project_that_stays_ready() {
    let clock = crate::decide::time::remark(jiff::SignedDuration::from_hours(1));
    let status = report(&ProjectStatus::default(), &ReportInput { clock: clock.as_deref(), ..input(None) });
    let ready = condition::find(status.conditions.as_deref().unwrap(), ConditionType::Ready).unwrap().clone();
    assert_eq!((ready.status.as_str(), ready.reason.as_str()), ("True", "Ready"));
    assert!(ready.message.starts_with("the API key works. But the clock of the operator's machine is 60 min ahead"));
    assert_eq!(report(&status, &input(None)).conditions.unwrap()[0].message, "the API key works");
}

/// F26.
#[test]
fn a_note_is_said_beside_and_changes_nothing_else() {
    let status = report(&ProjectStatus::default(), &ReportInput { unseen: Some("labels are not seen"), ..input(None) });
    let conditions = status.conditions.unwrap();
    let said: Vec<_> = conditions.iter().map(|found| (found.status.as_str(), found.message.as_str())).collect();
    assert_eq!(said, [("True", "the API key works. But labels are not seen")]);
}

/// F24.
#[test]
fn what_was_accepted_last_is_recorded() {
    let status = report(&ProjectStatus::default(), &ReportInput { accept_loss: "7", ..input(None) });
    assert_eq!(status.last_handled_accept_loss.as_deref(), Some("7"));
}

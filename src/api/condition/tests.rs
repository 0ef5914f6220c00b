use super::*;

use k8s_openapi::apimachinery::pkg::apis::meta::v1::Time;

fn at(second: i64) -> Timestamp {
    Timestamp::from_second(second).unwrap()
}

fn ready(status: ConditionStatus, reason: Reason, message: &str) -> Finding {
    Finding { type_: ConditionType::Ready, status, reason, message: message.to_owned() }
}

fn written(type_: &str, status: &str, reason: &str, message: &str, generation: i64, since: i64) -> Condition {
    Condition {
        type_: type_.to_owned(),
        status: status.to_owned(),
        reason: reason.to_owned(),
        message: message.to_owned(),
        observed_generation: Some(generation),
        last_transition_time: Time(at(since)),
    }
}

#[test]
fn a_new_condition_is_stamped_in_whole_seconds() {
    let now = at(100) + jiff::SignedDuration::from_nanos(5);
    let merged = merge(&[], &[ready(ConditionStatus::False, Reason::Creating, "wait")], 1, now);
    assert_eq!(merged, [written("Ready", "False", "Creating", "wait", 1, 100)]);
}

#[test]
fn the_transition_time_moves_only_when_the_status_does() {
    let before = [written("Ready", "False", "Creating", "wait", 1, 100)];
    let same = merge(&before, &[ready(ConditionStatus::False, Reason::InvalidSpec, "mend it")], 2, at(200));
    assert_eq!(same, [written("Ready", "False", "InvalidSpec", "mend it", 2, 100)]);
    let other = merge(&same, &[ready(ConditionStatus::True, Reason::Ready, "")], 3, at(300));
    assert_eq!(other, [written("Ready", "True", "Ready", "", 3, 300)]);
}

/// F10.
#[test]
fn a_transition_that_a_wrong_clock_wrote_ahead_of_ours_is_now_once() {
    let before = [written("Ready", "False", "Creating", "wait", 1, 9_999)];
    let again = [ready(ConditionStatus::False, Reason::Creating, "wait")];
    let merged = merge(&before, &again, 1, at(200));
    assert_eq!(merged, [written("Ready", "False", "Creating", "wait", 1, 200)]);
    assert_eq!(merge(&merged, &again, 1, at(300)), merged);
}

#[test]
fn merging_what_is_there_changes_nothing() {
    let findings = [ready(ConditionStatus::Unknown, Reason::Suspended, "suspended")];
    let once = merge(&[], &findings, 4, at(100));
    assert_eq!(merge(&once, &findings, 4, at(999)), once);
}

#[test]
fn a_type_without_a_finding_goes_and_a_foreign_one_stays() {
    let foreign = written("example.com/Audited", "True", "Audited", "", 1, 50);
    let before = [
        foreign.clone(),
        written("Stalled", "True", "InvalidSpec", "mend it", 1, 60),
        written("Reconciling", "True", "Creating", "", 1, 60),
    ];
    let synced = Finding {
        type_: ConditionType::Synced,
        status: ConditionStatus::True,
        ..ready(ConditionStatus::True, Reason::Ready, "")
    };
    let merged = merge(&before, &[synced, ready(ConditionStatus::True, Reason::Ready, "")], 2, at(70));
    let wanted = [written("Ready", "True", "Ready", "", 2, 70), written("Synced", "True", "Ready", "", 2, 70), foreign];
    assert_eq!(merged, wanted);
}

#[test]
fn a_message_is_cut_to_what_the_schema_allows() {
    let long = "ä".repeat(limits::CONDITION_MESSAGE + 1);
    let merged = merge(&[], &[ready(ConditionStatus::False, Reason::RejectedByAPI, &long)], 1, at(1));
    assert_eq!(merged[0].message, "ä".repeat(limits::CONDITION_MESSAGE));
}

#[test]
fn each_reason_has_one_name_of_the_form_that_kubernetes_asks_for() {
    let names: std::collections::BTreeSet<&str> = Reason::ALL.iter().map(|reason| reason.as_str()).collect();
    assert_eq!(names.len(), Reason::ALL.len());
    for (reason, name) in Reason::ALL.iter().map(|reason| (format!("{reason:?}"), reason.as_str())) {
        assert_eq!(reason, name);
        assert!(name.bytes().all(|byte| byte.is_ascii_alphabetic()), "{name}");
    }
}

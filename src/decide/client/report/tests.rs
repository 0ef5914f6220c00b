use super::*;
use crate::decide::client::holders::Holder;
use std::collections::BTreeMap;
use std::time::Duration;

use jiff::SignedDuration;
use k8s_openapi::apimachinery::pkg::apis::meta::v1::{Condition, Time};
use proptest::prelude::*;

use crate::api::condition::{ConditionType, Reason, find};
use crate::api::oauth_client::{Retiring, RotationSpec};
use crate::decide::client::desired::lifecycle::DEFAULT_OVERLAP;
use crate::decide::client::next::{Conclusion, Published, StoredCredential};
use crate::decide::failure::{Disposition, Failure};
use crate::decide::id::{ClientId, CredentialDigest, Version};

const NOW: i64 = 1_000_000;
/// When the conditions of the objects below got their statuses.
const BEFORE: i64 = NOW - 5000;
const MINUTE: i64 = 60;
const TEN_MINUTES: Option<Duration> = Some(Duration::from_secs(600));

const WORKING: [Reason; 4] = [Reason::Creating, Reason::Updating, Reason::Deleting, Reason::Rotating];
const AWAITED: [Reason; 5] = [
    Reason::ProjectNotFound,
    Reason::ProjectNotReady,
    Reason::ProjectDisabled,
    Reason::CredentialsNotFound,
    Reason::NamespaceNotAllowed,
];
const UNREACHABLE: [Reason; 2] = [Reason::RateLimited, Reason::APIUnavailable];
const STUCK: [Reason; 13] = [
    Reason::InvalidSpec,
    Reason::SecretConflict,
    Reason::SecretRejected,
    Reason::AdoptionConflict,
    Reason::AdoptionNotAllowed,
    Reason::PermissionDenied,
    Reason::AuthenticationFailed,
    Reason::ProjectMismatch,
    Reason::ManyClientsGone,
    Reason::CredentialLost,
    Reason::AdoptedClientGone,
    Reason::RejectedByAPI,
    Reason::LimitReached,
];

fn at(second: i64) -> Timestamp {
    Timestamp::from_second(second).unwrap()
}

fn says(type_: &str, status: &str, reason: &str, message: &str, generation: i64, since: i64) -> Condition {
    Condition {
        type_: type_.to_owned(),
        status: status.to_owned(),
        reason: reason.to_owned(),
        message: message.to_owned(),
        observed_generation: Some(generation),
        last_transition_time: Time(at(since)),
    }
}

const READY: &str = "client c-1 is as declared; its credential is in Secret web-oauth";
const SYNCED: &str = "client c-1 is as declared";
const HELD: &str = "Secret web-oauth holds the credential of client c-1";
const STAYS: &str = "client c-1 and its credential in Secret web-oauth stay in use as last applied; mend it";

/// An object that was never reconciled.
fn new() -> OAuthClient {
    let mut object = OAuthClient::new("web", Default::default());
    object.metadata.generation = Some(1);
    object.status = Some(OAuthClientStatus { observed_generation: Some(-1), ..OAuthClientStatus::default() });
    object
}

/// The status of an object whose client `c-1` is as its first generation wants it.
fn converged_status() -> OAuthClientStatus {
    OAuthClientStatus {
        observed_generation: Some(1),
        conditions: Some(vec![
            says("Ready", "True", "Ready", READY, 1, BEFORE),
            says("Synced", "True", "Ready", SYNCED, 1, BEFORE),
            says("SecretReady", "True", "Ready", HELD, 1, BEFORE),
        ]),
        client_id: Some("c-1".into()),
        project_id: Some("p-1".into()),
        secret_name: Some("web-oauth".into()),
        secret_resource_version: Some("5".into()),
        credential_digest: Some("d-1".into()),
        applied_generation: Some(1),
        last_replaced_at: None,
        retiring: None,
        managed_metadata_keys: Some(vec!["cost".into(), "team".into()]),
        last_handled_reconcile_at: Some(String::new()),
        also_handled_reconcile_at: None,
        last_handled_rotate_at: Some(String::new()),
        adopted: None,
        persisting_drift: None,
    }
}

fn converged() -> OAuthClient {
    let mut object = new();
    object.status = Some(converged_status());
    object
}

/// A converged object after an edit that was not applied yet.
fn edited() -> OAuthClient {
    let mut object = converged();
    object.metadata.generation = Some(2);
    object
}

/// What a pass met, to be varied by a test.
#[derive(Clone, Debug)]
struct Pass {
    object: OAuthClient,
    record: Record,
    deleting: bool,
    keys: BTreeSet<String>,
    client_matches: bool,
    secret_matches: bool,
    replaced: bool,
    holders: Holders,
    now: i64,
}

impl Pass {
    fn ended(object: OAuthClient, conclusion: Conclusion) -> Self {
        let retiring = object.status.iter().flat_map(|status| status.retiring.iter().flatten());
        Self {
            record: Record {
                version: Version::new("7"),
                published: match conclusion {
                    Conclusion::Converged | Conclusion::RotationWaits(_) => Some(published("c-1", "5", None)),
                    Conclusion::Blocked(_) => None,
                },
                conclusion,
                retiring: retiring.map(|retiring| ClientId::new(&retiring.client_id)).collect(),
            },
            deleting: false,
            keys: BTreeSet::from(["team".into(), "cost".into()]),
            client_matches: true,
            secret_matches: true,
            replaced: false,
            holders: Holders::Unseen,
            now: NOW,
            object,
        }
    }

    fn blocked(object: OAuthClient, reason: Reason) -> Self {
        let disposition = if AWAITED.contains(&reason) {
            Disposition::Wait
        } else if STUCK.contains(&reason) {
            Disposition::Stalled
        } else {
            Disposition::Retry(None)
        };
        Self::failed(object, reason, disposition)
    }

    fn failed(object: OAuthClient, reason: Reason, disposition: Disposition) -> Self {
        let failure = Failure { reason, message: "mend it".into(), disposition };
        Self::ended(object, Conclusion::Blocked(failure))
    }

    fn rotation_waits(object: OAuthClient, reason: Reason) -> Self {
        Self::ended(object, Conclusion::RotationWaits(Failure::wait(reason, "later")))
    }

    fn input(&self) -> ReportInput<'_> {
        ReportInput {
            object: &self.object,
            record: &self.record,
            deleting: self.deleting,
            project_id: Some("p-1"),
            secret_name: Some("web-oauth"),
            managed_metadata_keys: &self.keys,
            client_matches: self.client_matches,
            secret_matches: self.secret_matches,
            replaced: self.replaced,
            clock: ClockState::Right,
            holders: &self.holders,
            now: at(self.now),
            recorded_at: at(self.now),
        }
    }

    fn report(&self) -> OAuthClientStatus {
        report(&self.input())
    }

    fn conditions(&self) -> Vec<Condition> {
        self.report().conditions.unwrap()
    }

    fn requeue(&self) -> Option<Duration> {
        requeue(&self.input(), &self.report(), Duration::from_secs(8))
    }

    /// The pass that follows, which meets the same so much later.
    fn again(&self, seconds: i64) -> Self {
        let mut next = self.clone();
        next.object.status = Some(self.report());
        next.now += seconds;
        next
    }
}

fn published(client_id: &str, version: &str, digest: Option<&str>) -> Published {
    Published {
        client_id: ClientId::new(client_id),
        credential: Some(StoredCredential {
            version: Version::new(version),
            digest: digest.map(CredentialDigest::new),
        }),
        adopted: false,
        drift: None,
    }
}

/// What is said of a client that never came to be, with one of kstatus's two.
fn not_there(reason: Reason, synced: &str, progress: &str) -> Vec<Condition> {
    ["Ready", "Synced", "SecretReady", progress]
        .into_iter()
        .zip(["False", synced, "False", "True"])
        .map(|(type_, status)| says(type_, status, reason.as_str(), "mend it", 1, NOW))
        .collect()
}

/// What is said of a client that is in order although the pass was blocked.
fn stays(reason: Reason, synced: &str) -> Vec<Condition> {
    let reason = reason.as_str();
    vec![
        says("Ready", "True", reason, STAYS, 1, BEFORE),
        says("Synced", synced, reason, "mend it", 1, NOW),
        says("SecretReady", "True", "Ready", HELD, 1, BEFORE),
    ]
}

#[test]
fn a_rotation_that_waits_is_not_taken_for_handled_and_the_client_stays_in_use() {
    let mut object = edited();
    let annotation = ("meshagent.com/rotate-requested-at".into(), "monday".into());
    object.metadata.annotations = Some(BTreeMap::from([annotation]));
    let pass = Pass::rotation_waits(object, Reason::Rotating);
    let status = pass.report();
    assert_eq!((status.last_handled_rotate_at.as_deref(), status.applied_generation), (Some(""), Some(2)));
    let found = status.conditions.unwrap();
    let said: Vec<_> = found.iter().map(|found| (&*found.type_, &*found.status, &*found.reason)).collect();
    let wanted = [
        ("Ready", "True", "Rotating"),
        ("Synced", "Unknown", "Rotating"),
        ("SecretReady", "True", "Ready"),
        ("Reconciling", "True", "Rotating"),
    ];
    assert_eq!(said, wanted);
}

#[test]
fn a_rotation_that_is_refused_leaves_the_client_ready_and_the_request_open() {
    let mut object = edited();
    object.metadata.annotations = Some([("meshagent.com/rotate-requested-at".into(), "monday".into())].into());
    let status = Pass::rotation_waits(object, Reason::LimitReached).report();
    assert_eq!((status.last_handled_rotate_at.as_deref(), status.applied_generation), (Some(""), Some(2)));
    let found = status.conditions.unwrap();
    let said: Vec<_> = found.iter().map(|found| (&*found.type_, &*found.status, &*found.reason)).collect();
    let wanted =
        [("Ready", "True", "LimitReached"), ("Synced", "False", "LimitReached"), ("SecretReady", "True", "Ready")];
    assert_eq!(said, wanted);
}

/// F10.
#[test]
fn what_a_clock_wrote_that_was_a_year_ahead_is_put_back_once_by_as_much() {
    let year = 365 * 24 * 60 * MINUTE;
    let retiring = |client_id: &str, second| Retiring::new(client_id, None, Time(at(second)));
    // Its overlap of no length began with the pass, and the record came a second later.
    let at_once = |by| Retiring::new("c-8", Some(Time(at(NOW + by))), Time(at(NOW + by - 1)));
    let mut object = converged();
    let status = object.status.as_mut().unwrap();
    status.last_replaced_at = Some(Time(at(NOW + year)));
    status.retiring = Some(vec![retiring("c-0", NOW + 50), at_once(year), retiring("c-9", NOW + year + 3600)]);
    let mut pass = Pass::failed(object, Reason::Rotating, Disposition::Wait);
    pass.record.retiring = ["c-0", "c-8", "c-9"].map(ClientId::new).into();
    let status = pass.report();
    assert_eq!(status.last_replaced_at, None);
    let put_back = [retiring("c-0", NOW + 50), at_once(0), retiring("c-9", NOW + 3600)];
    assert_eq!(status.retiring.as_deref(), Some(&put_back[..]));
    pass.object.status = Some(status.clone());
    assert_eq!(pass.report(), status);
}

/// F29.
#[test]
fn a_pass_that_has_just_compared_everything_is_ready_whatever_failed_before_and_whatever_waits() {
    let mut failed = Pass::blocked(edited(), Reason::APIUnavailable);
    (failed.client_matches, failed.secret_matches) = (false, false);
    let status = failed.report();
    assert!(!is_true(&status, ConditionType::Ready) && !is_true(&status, ConditionType::SecretReady));
    let mut pass = Pass::rotation_waits(edited(), Reason::Rotating);
    pass.object.status = Some(status);
    let status = pass.report();
    for type_ in [ConditionType::Ready, ConditionType::SecretReady, ConditionType::Reconciling] {
        assert!(is_true(&status, type_), "{type_:?}: {:?}", status.conditions);
    }
}

#[test]
fn every_reason_stands_in_one_row() {
    let mut rows = [&WORKING[..], &AWAITED, &UNREACHABLE, &STUCK].concat();
    rows.extend([Reason::Ready, Reason::DriftPersists, Reason::Suspended]);
    rows.sort_unstable();
    let mut all = Reason::ALL;
    all.sort_unstable();
    assert_eq!(rows, all);
}

#[test]
fn a_new_client_is_reconciling_while_the_operator_works_or_waits_for_its_project() {
    for reason in [&WORKING[..], &AWAITED].concat() {
        let pass = Pass::blocked(new(), reason);
        let told = if reason == Reason::Updating { Reason::Creating } else { reason };
        assert_eq!(pass.conditions(), not_there(told, "False", "Reconciling"));
    }
}

#[test]
fn a_step_that_has_to_be_repeated_is_part_of_a_creation_a_change_or_a_deletion() {
    let mut deleted = Pass::blocked(converged(), Reason::Updating);
    deleted.deleting = true;
    deleted.object.metadata.deletion_timestamp = Some(Time(at(NOW)));
    let passes = [Pass::blocked(new(), Reason::Updating), Pass::blocked(edited(), Reason::Updating), deleted];
    let told = passes.map(|pass| {
        let status = pass.report();
        let ready = find(status.conditions.as_deref().unwrap(), ConditionType::Ready).unwrap();
        ready.reason.clone()
    });
    assert_eq!(told, ["Creating", "Updating", "Deleting"]);
}

#[test]
fn whether_a_new_client_is_synced_is_unknown_while_nobody_can_be_asked() {
    for reason in UNREACHABLE {
        let pass = Pass::blocked(new(), reason);
        assert_eq!(pass.conditions(), not_there(reason, "Unknown", "Reconciling"));
    }
}

#[test]
fn a_new_client_that_needs_a_person_is_stalled() {
    for reason in STUCK {
        let pass = Pass::blocked(new(), reason);
        assert_eq!(pass.conditions(), not_there(reason, "False", "Stalled"));
    }
}

#[test]
fn a_new_client_that_is_suspended_is_neither_ready_nor_under_way() {
    let pass = Pass::blocked(new(), Reason::Suspended);
    let wanted = [
        says("Ready", "Unknown", "Suspended", "mend it", 1, NOW),
        says("Synced", "Unknown", "Suspended", "mend it", 1, NOW),
        says("SecretReady", "False", "Suspended", "mend it", 1, NOW),
    ];
    assert_eq!(pass.conditions(), wanted);
}

#[test]
fn a_client_in_order_stays_ready_while_the_operator_works_on_it() {
    for reason in WORKING {
        let pass = Pass::blocked(converged(), reason);
        let mut wanted = stays(reason, "Unknown");
        wanted.push(says("Reconciling", "True", reason.as_str(), "mend it", 1, NOW));
        assert_eq!(pass.conditions(), wanted);
    }
}

#[test]
fn a_client_in_order_stays_ready_whatever_becomes_of_its_project_or_needs_a_person() {
    for reason in AWAITED {
        assert_eq!(Pass::blocked(converged(), reason).conditions(), stays(reason, "False"));
    }
    for reason in STUCK {
        let mut wanted = stays(reason, "False");
        if [Reason::SecretConflict, Reason::CredentialLost].contains(&reason) {
            wanted[2] = says("SecretReady", "False", reason.as_str(), "mend it", 1, NOW);
        }
        assert_eq!(Pass::blocked(converged(), reason).conditions(), wanted);
    }
}

#[test]
fn a_client_in_order_stays_ready_while_nobody_can_be_asked() {
    for reason in UNREACHABLE {
        assert_eq!(Pass::blocked(converged(), reason).conditions(), stays(reason, "Unknown"));
    }
}

#[test]
fn a_client_in_order_stays_ready_when_drift_persists_or_it_is_suspended() {
    let drift = Pass::blocked(converged(), Reason::DriftPersists);
    assert_eq!(drift.conditions(), stays(Reason::DriftPersists, "False"));
    let suspended = Pass::blocked(converged(), Reason::Suspended);
    assert_eq!(suspended.conditions(), stays(Reason::Suspended, "Unknown"));
}

#[test]
fn a_converged_client_that_no_longer_matches_is_not_ready() {
    for (reasons, synced, progress) in [
        (&WORKING[..], "False", "Reconciling"),
        (&AWAITED, "False", "Reconciling"),
        (&UNREACHABLE, "Unknown", "Reconciling"),
        (&STUCK, "False", "Stalled"),
    ] {
        for reason in reasons {
            let mut pass = Pass::blocked(converged(), *reason);
            pass.secret_matches = false;
            assert_eq!(pass.conditions(), not_there(*reason, synced, progress));
        }
    }
}

/// F13.
#[test]
fn a_secret_stays_ready_whatever_is_wrong_with_its_client_alone() {
    let about_the_secret = [Reason::SecretConflict, Reason::CredentialLost];
    for reason in Reason::ALL {
        for (client_matches, object) in [(false, converged()), (false, edited()), (true, edited())] {
            let mut pass = Pass::blocked(object, reason);
            pass.client_matches = client_matches;
            let status = pass.report();
            let secret_ready = !about_the_secret.contains(&reason);
            assert_eq!(is_true(&status, ConditionType::SecretReady), secret_ready, "{reason:?}");
            assert!(!is_true(&status, ConditionType::Synced), "{reason:?}");
            // Drift is found by comparing the client, so a client that does not match is the drift itself.
            let ready = reason == Reason::DriftPersists && pass.object == converged();
            assert_eq!(is_true(&status, ConditionType::Ready), ready, "{reason:?}");
        }
    }
}

/// F1.
#[test]
fn words_that_differ_in_ids_and_times_are_written_once_until_the_next_edit() {
    let said = |object: OAuthClient, id: &str| {
        let mut pass = Pass::blocked(object, Reason::PermissionDenied);
        pass.record.conclusion = Conclusion::Blocked(Failure::stalled(
            Reason::PermissionDenied,
            format!("permission denied at 2026-11-26T{id}Z, request id {id}"),
        ));
        pass
    };
    for object in [new(), converged(), edited()] {
        let first = said(object, "11:26:23").report();
        let mut again = new();
        again.metadata.generation = first.observed_generation;
        again.status = Some(first.clone());
        assert_eq!(said(again.clone(), "11:36:23").report().conditions, first.conditions);
        again.metadata.generation = Some(9);
        assert_ne!(said(again, "11:36:23").report().conditions, first.conditions);
    }
}

#[test]
fn a_client_that_was_proved_wrong_is_ready_again_only_when_a_pass_succeeds() {
    let mut gone = Pass::blocked(converged(), Reason::CredentialLost);
    gone.secret_matches = false;
    let status = gone.report();
    let mut object = converged();
    object.status = Some(status);

    let away = Pass::blocked(object.clone(), Reason::APIUnavailable);
    assert_eq!(away.conditions(), not_there(Reason::APIUnavailable, "Unknown", "Reconciling"));
    let mended = Pass::ended(object, Conclusion::Converged);
    let wanted = [
        says("Ready", "True", "Ready", READY, 1, NOW),
        says("Synced", "True", "Ready", SYNCED, 1, NOW),
        says("SecretReady", "True", "Ready", HELD, 1, NOW),
    ];
    assert_eq!(mended.conditions(), wanted);
}

#[test]
fn an_edit_that_is_not_applied_is_never_ready() {
    for (reasons, synced, progress) in [
        (&WORKING[..], "False", "Reconciling"),
        (&AWAITED, "False", "Reconciling"),
        (&UNREACHABLE, "Unknown", "Reconciling"),
        (&STUCK[..1], "False", "Stalled"),
    ] {
        for reason in reasons {
            let said = reason.as_str();
            let wanted = [
                says("Ready", "False", said, "mend it", 2, NOW),
                says("Synced", synced, said, "mend it", 2, NOW),
                says("SecretReady", "True", "Ready", HELD, 2, BEFORE),
                says(progress, "True", said, "mend it", 2, NOW),
            ];
            assert_eq!(Pass::blocked(edited(), *reason).conditions(), wanted);
        }
    }
}

#[test]
fn an_object_that_cannot_be_deleted_yet_says_why() {
    let mut pass = Pass::blocked(converged(), Reason::ProjectNotFound);
    pass.deleting = true;
    pass.object.metadata.namespace = Some("shop".into());
    pass.object.metadata.uid = Some("0b5c".into());
    let message = "cannot be deleted yet: mend it. To give up on the client at MeshAgent: kubectl annotate --overwrite maoc web -n \
                   shop meshagent.com/force-release=0b5c";
    let wanted = [
        says("Ready", "False", "ProjectNotFound", message, 1, NOW),
        says("Synced", "False", "ProjectNotFound", message, 1, NOW),
        says("SecretReady", "True", "Ready", HELD, 1, BEFORE),
        says("Reconciling", "True", "ProjectNotFound", message, 1, NOW),
    ];
    assert_eq!(pass.conditions(), wanted);
}

#[test]
fn a_wait_turns_into_stalled_after_ten_minutes_and_stays_so() {
    for reason in AWAITED {
        let first = Pass::blocked(new(), reason);
        assert_eq!(first.again(599).conditions(), not_there(reason, "False", "Reconciling"));
        let stalled = first.again(599).again(1);
        let mut wanted = not_there(reason, "False", "Stalled");
        wanted[3].last_transition_time = Time(at(NOW + 600));
        assert_eq!(stalled.conditions(), wanted);
        assert_eq!(stalled.again(600).conditions(), wanted);
    }
}

#[test]
fn ten_minutes_count_from_the_transition_of_reconciling_whatever_its_reason_was() {
    let mut object = new();
    object.status = Some(Pass::blocked(new(), Reason::APIUnavailable).report());
    let mut pass = Pass::blocked(object, Reason::ProjectNotReady);
    pass.now += 600;
    let mut wanted = not_there(Reason::ProjectNotReady, "False", "Stalled");
    for moved in [1, 3] {
        wanted[moved].last_transition_time = Time(at(NOW + 600));
    }
    assert_eq!(pass.conditions(), wanted);
}

#[test]
fn an_edit_begins_a_new_wait() {
    let stalled = Pass::blocked(new(), Reason::ProjectNotFound).again(600).again(600);
    let mut edited = stalled;
    edited.object.metadata.generation = Some(2);
    let mut wanted = not_there(Reason::ProjectNotFound, "False", "Reconciling");
    for condition in &mut wanted {
        condition.observed_generation = Some(2);
    }
    wanted[3].last_transition_time = Time(at(NOW + 1200));
    assert_eq!(edited.conditions(), wanted);
}

#[test]
fn a_new_wait_begins_after_something_else_had_stalled_the_client() {
    let mut pass = Pass::blocked(new(), Reason::InvalidSpec).again(MINUTE);
    pass.record = Pass::blocked(new(), Reason::ProjectNotFound).record;
    let mut wanted = not_there(Reason::ProjectNotFound, "False", "Reconciling");
    wanted[3].last_transition_time = Time(at(NOW + MINUTE));
    assert_eq!(pass.conditions(), wanted);
}

#[test]
fn an_api_that_is_away_never_stalls_a_client() {
    for reason in UNREACHABLE {
        let pass = Pass::blocked(new(), reason).again(86_400);
        assert_eq!(pass.conditions(), not_there(reason, "Unknown", "Reconciling"));
    }
}

#[test]
fn what_a_pass_has_given_up_is_stalled_whatever_its_reason() {
    let pass = Pass::failed(new(), Reason::APIUnavailable, Disposition::StalledHourly);
    assert_eq!(pass.conditions(), not_there(Reason::APIUnavailable, "Unknown", "Stalled"));
}

#[test]
fn a_first_success_records_all_that_was_made() {
    let mut pass = Pass::ended(new(), Conclusion::Converged);
    pass.record.published = Some(published("c-1", "5", Some("d-1")));
    let mut wanted = converged_status();
    for condition in wanted.conditions.iter_mut().flatten() {
        condition.last_transition_time = Time(at(NOW));
    }
    assert_eq!(pass.report(), wanted);
}

#[test]
fn a_pass_that_finds_all_as_it_was_changes_nothing() {
    assert_eq!(Pass::ended(converged(), Conclusion::Converged).report(), converged_status());
}

#[test]
fn an_applied_edit_is_recorded_and_the_pinned_project_stays() {
    let mut object = edited();
    object.status.as_mut().unwrap().project_id = Some("pinned".into());
    let mut pass = Pass::ended(object, Conclusion::Converged);
    pass.keys = BTreeSet::new();
    let wanted = OAuthClientStatus {
        observed_generation: Some(2),
        conditions: Some(vec![
            says("Ready", "True", "Ready", READY, 2, BEFORE),
            says("Synced", "True", "Ready", SYNCED, 2, BEFORE),
            says("SecretReady", "True", "Ready", HELD, 2, BEFORE),
        ]),
        project_id: Some("pinned".into()),
        applied_generation: Some(2),
        managed_metadata_keys: None,
        ..converged_status()
    };
    assert_eq!(pass.report(), wanted);
}

#[test]
fn a_blocked_pass_loses_nothing_that_was_recorded() {
    let mut object = edited();
    let before = object.status.as_mut().unwrap();
    before.last_replaced_at = Some(Time(at(BEFORE)));
    let before = before.clone();
    let pass = Pass::blocked(object, Reason::InvalidSpec);
    let after = pass.report();
    let wanted = OAuthClientStatus { observed_generation: Some(2), conditions: after.conditions.clone(), ..before };
    assert_eq!(after, wanted);
}

fn replacing(replaced: bool) -> Pass {
    let mut object = converged();
    object.status.as_mut().unwrap().retiring =
        Some(vec![Retiring::new("c-0", Some(Time(at(NOW - 50))), Time(at(NOW + 100)))]);
    let mut pass = Pass::ended(object, Conclusion::Converged);
    pass.record.published = Some(published("c-2", "6", Some("d-2")));
    pass.record.retiring = vec![ClientId::new("c-0"), ClientId::new("c-1")];
    pass.replaced = replaced;
    pass
}

#[test]
fn a_replaced_client_retires_for_its_overlap_and_the_others_keep_theirs() {
    // A pass that died before its record, and is followed by one that replaces nothing, has replaced the client too.
    for replaced in [true, false] {
        let after = replacing(replaced).report();
        let wanted = OAuthClientStatus {
            conditions: after.conditions.clone(),
            client_id: Some("c-2".into()),
            secret_resource_version: Some("6".into()),
            credential_digest: Some("d-2".into()),
            last_replaced_at: Some(Time(at(NOW))),
            retiring: Some(vec![
                Retiring::new("c-0", Some(Time(at(NOW - 50))), Time(at(NOW + 100))),
                Retiring::new("c-1", Some(Time(at(NOW))), Time(at(NOW + 86_400))),
            ]),
            ..converged_status()
        };
        assert_eq!(after, wanted);
    }
}

/// I7: the POST of a replacement may be answered late, and a client that was retired before it was replaced may have
/// waited for that; its users have the whole overlap all the same.
#[test]
fn an_overlap_lasts_from_when_the_credential_is_replaced() {
    let ends = |overlap: &str| {
        let mut pass = replacing(true);
        let retired = Retiring::new("c-0", None, Time(at(NOW + 100)));
        pass.object.status.as_mut().unwrap().retiring = Some(vec![retired]);
        pass.object.spec.rotation = Some(RotationSpec { overlap: Some(overlap.into()) });
        let input = ReportInput { recorded_at: at(NOW + 25), ..pass.input() };
        let retiring = report(&input).retiring.unwrap();
        retiring.iter().map(|former| former.delete_after.0.as_second() - NOW).collect::<Vec<_>>()
    };
    assert_eq!(ends("2m"), [145, 145]);
    assert_eq!(ends("0s"), [100, 0]);
}

/// Its overlap has ended, and a pod from before still runs: status and message say so, and the next pass is in days.
#[test]
fn a_former_client_lives_on_for_pods_and_says_so() {
    let mut object = converged();
    let former = Retiring::new("c-0", Some(Time(at(NOW - 200))), Time(at(NOW - 100)));
    object.status.as_mut().unwrap().retiring = Some(vec![former.clone()]);
    let mut pass = Pass::ended(object, Conclusion::Converged);
    pass.holders = Holders::Seen(vec![Holder::new("web-0", at(NOW - 300))]);
    let living_on = Retiring { pods: Some(vec!["web-0".into()]), ..former.clone() };
    assert_eq!(pass.report().retiring, Some(vec![living_on]));
    let ready = pass.conditions().into_iter().find(|condition| condition.type_ == "Ready").unwrap();
    let said = "; former client c-0 lives on for pods that hold its credential, see status.retiring; restart them";
    assert!(ready.status == "True" && ready.message.ends_with(said), "{}", ready.message);
    assert_eq!(pass.requeue(), Some(Duration::from_secs(7 * 86_400 - 100)));
    // The pod has ended, and another one came since.
    let mut pass = pass.again(1);
    pass.holders = Holders::Seen(vec![Holder::new("web-1", at(NOW))]);
    assert_eq!(pass.report().retiring, Some(vec![former]));
    assert_eq!(pass.requeue(), Some(Duration::ZERO));
}

#[test]
fn a_replacement_is_dated_although_the_status_was_lost() {
    let dated = [true, false].map(|replaced| {
        let mut pass = replacing(replaced);
        pass.object.status = None;
        pass.report().last_replaced_at
    });
    assert_eq!(dated, [Some(Time(at(NOW))), None]);
}

#[test]
fn a_replacement_that_is_recorded_already_is_not_dated_anew() {
    let pass = replacing(true);
    assert_eq!(pass.again(30).report(), pass.report());
}

#[test]
fn a_former_client_that_is_deleted_leaves_the_status() {
    let mut pass = replacing(true);
    pass.record.retiring = Vec::new();
    assert_eq!(pass.report().retiring, None);
}

/// F5.
#[test]
fn either_request_to_look_again_is_handled_by_every_pass_and_its_value_stands_in_the_status() {
    const OURS: &str = "meshagent.com/reconcile-requested-at";
    const FLUX: &str = "reconcile.fluxcd.io/requestedAt";
    let mut object = new();
    // The requests, ours and Flux's, one after the other; and the handled values after each.
    let asked = [
        (["", ""], "", None, false),
        (["a", ""], "a", None, true),
        (["a", "b"], "b", Some("a"), true),
        (["c", "b"], "c", Some("b"), true),
        (["c", "b"], "c", Some("b"), false),
        (["d", "e"], "e", Some("d"), true),
        (["d", ""], "d", None, false),
    ];
    for ([ours, flux], last, also, is_new) in asked {
        let annotations = [(OURS, ours), (FLUX, flux)].map(|(name, value)| (name.to_owned(), value.to_owned()));
        object.metadata.annotations = Some(BTreeMap::from(annotations));
        assert_eq!(object::reconcile_requested(&object), is_new, "{last}");
        let handled = |pass: Pass| {
            let status = pass.report();
            (status.last_handled_reconcile_at.clone(), status.also_handled_reconcile_at.clone(), status)
        };
        let (last_handled, also_handled, _) = handled(Pass::ended(object.clone(), Conclusion::Converged));
        assert_eq!((last_handled.as_deref(), also_handled.as_deref()), (Some(last), also));
        let (last_handled, also_handled, status) = handled(Pass::blocked(object.clone(), Reason::APIUnavailable));
        assert_eq!((last_handled.as_deref(), also_handled.as_deref()), (Some(last), also));
        object.status = Some(status);
        assert!(!object::reconcile_requested(&object), "{last} is handled");
    }
}

#[test]
fn a_client_in_order_is_requeued_when_the_first_overlap_ends_and_else_by_events_only() {
    assert_eq!(Pass::ended(converged(), Conclusion::Converged).requeue(), None);
    assert_eq!(replacing(true).requeue(), Some(Duration::from_secs(100)));
    let mut late = replacing(true);
    late.now += 200;
    assert_eq!(late.requeue(), Some(Duration::ZERO));
}

/// F35.
#[test]
fn an_overlap_that_has_ended_by_a_clock_that_is_wrong_is_looked_at_again_and_does_not_spin() {
    let mut pass = replacing(true);
    pass.now += 200;
    let status = pass.report();
    let looked = |clock| requeue(&ReportInput { clock, ..pass.input() }, &status, Duration::from_secs(8));
    assert_eq!(looked(ClockState::Off), Some(Duration::ZERO));
    assert_eq!(looked(ClockState::Wrong), Some(crate::decide::time::CLOCK_RECHECK));
}

#[test]
fn a_blocked_pass_is_tried_again_as_its_failure_says() {
    let tried = |object, reason, disposition| Pass::failed(object, reason, disposition).requeue();
    let pause = |seconds| Disposition::Retry(Some(Duration::from_secs(seconds)));
    let seen = [
        tried(new(), Reason::InvalidSpec, Disposition::Stalled),
        tried(new(), Reason::LimitReached, Disposition::StalledHourly),
        tried(new(), Reason::APIUnavailable, Disposition::Retry(None)),
        tried(new(), Reason::RateLimited, pause(30)),
        // A short pause that is asked for without end is no pace.
        tried(new(), Reason::RateLimited, pause(3)),
        tried(converged(), Reason::ProjectNotReady, Disposition::Wait),
    ];
    let seconds = [600, 3600, 8, 30, 8, 600].map(|seconds| Some(Duration::from_secs(seconds)));
    assert_eq!(seen, seconds);
}

#[test]
fn a_waiting_client_is_requeued_when_it_has_to_turn_into_stalled() {
    let pass = Pass::blocked(new(), Reason::ProjectNotFound);
    assert_eq!(pass.requeue(), TEN_MINUTES);
    assert_eq!(pass.again(400).requeue(), Some(Duration::from_secs(200)));
    assert_eq!(pass.again(400).again(200).requeue(), TEN_MINUTES);
}

#[test]
fn an_overlap_requeues_a_blocked_client_unless_it_has_ended_already() {
    let mut pass = replacing(false);
    pass.record = Record { retiring: vec![ClientId::new("c-0")], ..Pass::blocked(new(), Reason::LimitReached).record };
    assert_eq!(pass.requeue(), Some(Duration::from_secs(100)));
    pass.now += 100;
    assert_eq!(pass.requeue(), TEN_MINUTES);
}

fn any_object() -> impl Strategy<Value = OAuthClient> {
    let reasons = prop::sample::select(Reason::ALL.to_vec());
    let blocked =
        (any_base(), reasons, any::<bool>(), any::<bool>()).prop_map(|(object, reason, matches, deleting)| {
            let mut pass = Pass::blocked(object, reason);
            (pass.client_matches, pass.secret_matches, pass.deleting, pass.now) =
                (matches, matches, deleting, NOW - 300);
            pass.again(0).object
        });
    prop_oneof![any_base(), blocked]
}

fn any_base() -> impl Strategy<Value = OAuthClient> {
    prop::sample::select(vec![new(), converged(), edited(), replacing(false).object])
}

fn any_pass() -> impl Strategy<Value = Pass> {
    let dispositions = prop::sample::select(vec![
        Disposition::Stalled,
        Disposition::StalledHourly,
        Disposition::Wait,
        Disposition::Retry(None),
    ]);
    let reasons = prop::sample::select(Reason::ALL.to_vec());
    let blocked =
        (any_object(), reasons, dispositions).prop_map(|(object, reason, how)| Pass::failed(object, reason, how));
    let done = any_object().prop_map(|object| Pass::ended(object, Conclusion::Converged));
    let replaced = Just(replacing(true));
    let flags = any::<[bool; 4]>();
    (prop_oneof![blocked, done, replaced], flags).prop_map(|(mut pass, [client, secret, deleting, replaced])| {
        (pass.client_matches, pass.secret_matches) = (client, secret);
        (pass.deleting, pass.replaced) = (deleting, replaced);
        pass
    })
}

fn is_true(status: &OAuthClientStatus, type_: ConditionType) -> bool {
    find(status.conditions.as_deref().unwrap_or_default(), type_).is_some_and(|condition| condition.status == "True")
}

proptest! {
    #[test]
    fn a_second_report_of_the_same_facts_says_the_same(pass in any_pass(), later in 0_i64..299) {
        prop_assert_eq!(pass.again(later).report(), pass.report());
    }

    #[test]
    fn a_status_is_read_back_as_it_was_written(pass in any_pass(), nanoseconds in 0_i64..1_000_000_000) {
        let mut input = pass.input();
        input.now += SignedDuration::from_nanos(nanoseconds);
        let status = report(&input);
        let text = serde_json::to_string(&status).unwrap();
        prop_assert_eq!(serde_json::from_str::<OAuthClientStatus>(&text).unwrap(), status);
    }

    #[test]
    fn kstatus_finds_one_answer(pass in any_pass()) {
        let status = pass.report();
        let applied = status.applied_generation == pass.object.metadata.generation;
        let [ready, reconciling, stalled] = [ConditionType::Ready, ConditionType::Reconciling, ConditionType::Stalled]
            .map(|type_| is_true(&status, type_));
        prop_assert!(!(reconciling && stalled), "both are present");
        prop_assert!(applied || !ready, "ready although the edit is not applied");
        prop_assert!(!(ready && stalled), "ready and stalled");
        let said = status.conditions.iter().flatten();
        for condition in said.filter(|condition| ["Reconciling", "Stalled"].contains(&condition.type_.as_str())) {
            prop_assert_eq!(&condition.status, "True");
        }
        prop_assert_eq!(status.observed_generation, pass.object.metadata.generation);
    }

    #[test]
    fn a_blocked_object_is_always_looked_at_again(pass in any_pass()) {
        let blocked = pass.record.conclusion.failure().is_some();
        let again = pass.requeue();
        prop_assert!(!blocked || again.is_some_and(|again| !again.is_zero()), "{:?}", again);
        prop_assert!(again.is_none_or(|again| again <= DEFAULT_OVERLAP), "{:?}", again);
    }
}

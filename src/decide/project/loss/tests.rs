use super::*;

use proptest::prelude::*;

const RESYNC: Duration = Duration::from_secs(600);

fn key() -> ProjectKey {
    ProjectKey { kind: ProjectKind::ClusterMeshAgentProject, namespace: None, name: "default".into() }
}

fn id(number: usize) -> ClientId {
    ClientId::new(format!("c{number}"))
}

fn roll(recorded: usize, missing: impl IntoIterator<Item = usize>) -> RollCall {
    RollCall { recorded, missing: missing.into_iter().map(id).collect() }
}

/// The losses after these listings, so many seconds after the start.
fn after(listings: &[(u64, RollCall)]) -> Losses {
    let (mut losses, start) = (Losses::default(), Instant::now());
    for (seconds, roll) in listings {
        losses.listed(Some(roll), start + Duration::from_secs(*seconds), RESYNC);
    }
    losses
}

fn is_engaged(losses: &Losses) -> bool {
    losses.many_gone().is_some()
}

/// F24.
#[test]
fn many_are_more_than_three_and_more_than_a_fifth() {
    assert_eq!([is_many(3, 3), is_many(4, 4), is_many(4, 19), is_many(4, 20)], [false, true, true, false]);
    assert_eq!([is_many(20, 100), is_many(21, 100)], [false, true]);
}

/// F24.
#[test]
fn a_listing_without_most_clients_holds_those_that_it_lacks_and_no_others() {
    let losses = after(&[(0, roll(10, [])), (1, roll(10, 0..7))]);
    assert!(is_engaged(&losses) && losses.missing() == 7 && !losses.is_settled());
    let said = losses.hindrance(&key(), &id(3)).unwrap();
    assert_eq!(said.reason, Reason::ProjectNotReady);
    assert!(said.message.contains("ManyClientsGone") && said.message.contains("client c3"), "{}", said.message);
    assert_eq!(losses.hindrance(&key(), &id(8)), None, "it is there");
}

/// F24.
#[test]
fn a_few_losses_hold_nothing_until_the_fourth_within_the_interval() {
    let (mut losses, start) = (Losses::default(), Instant::now());
    let at = |seconds| start + Duration::from_secs(seconds);
    losses.listed(Some(&roll(10, 0..3)), at(0), RESYNC);
    assert!(!is_engaged(&losses), "three are few");
    (0..3).for_each(|number| losses.replaced(&id(number), at(1)));
    losses.listed(Some(&roll(10, [7])), at(300), RESYNC);
    assert!(is_engaged(&losses), "the fourth within the interval");
    losses.listed(Some(&roll(10, [7])), at(700), RESYNC);
    assert!(!is_engaged(&losses), "one alone is a single loss again");
}

/// F24: the brake is on though few are missing, and it is their loss that a person is asked to accept.
#[test]
fn a_loss_that_a_few_made_many_is_accepted_as_any_other() {
    let (mut losses, start) = (Losses::default(), Instant::now());
    let at = |seconds| start + Duration::from_secs(seconds);
    losses.listed(Some(&roll(10, 0..3)), at(0), RESYNC);
    (0..3).for_each(|number| losses.replaced(&id(number), at(1)));
    losses.listed(Some(&roll(10, [7])), at(300), RESYNC);
    let said = losses.many_gone().unwrap().for_project(&key()).message;
    assert!(said.ends_with("accept-loss=4") && !losses.is_settled(), "{said}");
    assert!(!losses.ask("3", Some("")) && is_engaged(&losses), "it does not cover four");
    losses.listed(Some(&roll(10, [7])), at(301), RESYNC);
    assert!(is_engaged(&losses) && !losses.is_settled());
    assert!(losses.ask("4", Some("")) && losses.hindrance(&key(), &id(7)).is_none() && losses.is_settled());
    // The request counts as handled now, and the proof that the client is gone is another listing.
    losses.ask("4", Some("4"));
    losses.listed(Some(&roll(10, [7])), at(302), RESYNC);
    assert_eq!((losses.hindrance(&key(), &id(7)), losses.is_settled()), (None, true));
}

/// F24: suspended and adopted clients are not replaced, and do not keep their project listed every half minute for ever.
#[test]
fn what_nobody_replaces_is_settled_after_the_interval_once_it_is_accepted() {
    let mut losses = Losses::default();
    let start = Instant::now();
    losses.listed(Some(&roll(7, 0..7)), start, RESYNC);
    assert!(losses.ask("7", Some("")) && !losses.is_settled());
    losses.listed(Some(&roll(7, 0..7)), start + RESYNC / 2, RESYNC);
    assert!(!is_engaged(&losses) && !losses.is_settled());
    losses.listed(Some(&roll(7, 0..7)), start + RESYNC, RESYNC);
    assert!(!is_engaged(&losses) && losses.is_settled());
}

/// F24.
#[test]
fn what_has_been_missing_for_long_was_not_lost_at_once() {
    assert!(!is_engaged(&after(&[(0, roll(10, 0..3)), (900, roll(10, 0..4))])));
}

/// F24.
#[test]
fn the_brake_stays_on_as_long_as_they_are_missing_and_goes_when_they_come_back() {
    let missing = [(0, roll(7, 0..7)), (900, roll(7, 0..7)), (9_000, roll(7, 0..7))];
    assert!(is_engaged(&after(&missing)));
    let back = after(&[(0, roll(7, 0..7)), (60, roll(7, []))]);
    assert!(!is_engaged(&back) && back.is_settled());
}

/// F24.
#[test]
fn an_accepted_number_covers_up_to_that_many_and_the_next_loss_needs_another() {
    let mut losses = after(&[(0, roll(7, 0..7))]);
    assert!(!losses.ask("6", Some("")) && is_engaged(&losses), "it does not cover seven");
    assert!(losses.ask("7", Some("")) && !is_engaged(&losses));
    let now = Instant::now();
    (0..4).for_each(|number| losses.replaced(&id(number), now));
    losses.listed(Some(&roll(7, 4..7)), now, RESYNC);
    assert!(!is_engaged(&losses) && losses.is_settled(), "the rest is few");
    assert!(!losses.ask("7", Some("7")));
    losses.listed(Some(&roll(7, 4..7)), now, RESYNC);
    assert!(!is_engaged(&losses), "what was accepted counts no more");
    losses.listed(Some(&roll(7, 3..7)), now, RESYNC);
    assert!(is_engaged(&losses), "another loss");
    let said = losses.many_gone().unwrap().for_project(&key()).message;
    assert!(said.ends_with("kubectl annotate --overwrite cmaproj default meshagent.com/accept-loss=4"), "{said}");
}

/// F24.
#[test]
fn a_request_is_new_by_its_value_and_stays_open_while_a_loss_waits_for_it() {
    assert_eq!(request("7", Some("")), Some(7));
    assert_eq!(request("7", Some("7")), None, "done");
    assert_eq!(request("7", None), None, "it came with the object");
    assert_eq!([request("all", Some("")), request("-1", Some(""))], [None; 2]);
    assert_eq!(handled_request("7", Some(""), false), "");
    assert_eq!(handled_request("7", Some(""), true), "7");
    assert_eq!(handled_request("7", None, false), "7");
}

/// F24.
#[test]
fn the_command_asks_for_a_new_value_and_names_the_namespace_of_a_project_that_has_one() {
    let mut losses = after(&[(0, roll(7, 0..7))]);
    losses.ask("7", Some("7"));
    let own =
        ProjectKey { kind: ProjectKind::MeshAgentProject, namespace: Some("shop".to_owned()), name: "team".into() };
    let said = losses.many_gone().unwrap().for_project(&own);
    assert_eq!(said.reason, Reason::ManyClientsGone);
    assert!(said.message.starts_with("7 of the 7 clients"), "{}", said.message);
    assert!(said.message.ends_with("annotate --overwrite maproj team -n shop meshagent.com/accept-loss=8"));
}

/// F24.
#[test]
fn while_it_is_not_known_what_is_on_record_nothing_is_replaced() {
    let mut losses = Losses::default();
    losses.listed(None, Instant::now(), RESYNC);
    assert!(losses.hindrance(&key(), &id(1)).is_some() && !is_engaged(&losses));
    losses.listed(Some(&roll(7, [1])), Instant::now(), RESYNC);
    assert_eq!(losses.hindrance(&key(), &id(1)), None);
}

proptest! {
    /// F24.
    #[test]
    fn whatever_listings_say_more_than_the_rule_allows_is_never_missing_and_free(
        listings in proptest::collection::vec((proptest::collection::btree_set(0_usize..12, 0..12), any::<bool>()), 1..12),
    ) {
        let (mut losses, start) = (Losses::default(), Instant::now());
        for (second, (missing, replaces)) in listings.into_iter().enumerate() {
            let now = start + Duration::from_secs(second as u64);
            losses.listed(Some(&roll(12, missing.iter().copied())), now, RESYNC);
            let free: Vec<_> = missing.iter().filter(|n| losses.hindrance(&key(), &id(**n)).is_none()).collect();
            prop_assert!(!is_many(free.len(), 12), "{free:?}");
            if replaces {
                free.into_iter().for_each(|number| losses.replaced(&id(*number), now));
            }
        }
    }
}

//! A client that is gone together with many others of its project.

use super::*;

fn many_gone() -> Failure {
    Failure::stalled(Reason::ProjectNotReady, "the project is ManyClientsGone")
}

/// A pass over a converged object whose client is proved to be gone.
fn gone(object: Object, secret: Secret) -> Observed {
    let mut seen = observed(object, secret, &[], Pending::Nothing);
    seen.absorb(&Step::Get { client_id: id("c") }, Answer::Client(None));
    seen.absorb(&Step::List, Answer::Listing(BTreeMap::new()));
    seen
}

/// F24.
#[test]
fn a_client_that_is_gone_with_many_others_is_not_replaced_and_a_single_one_is() {
    let mut seen = gone(recorded(), stored("t", "c", Credential::AsRecorded));
    assert_eq!(next(&present(), &seen), intent("5", &[]));
    seen.project.many_gone = Some(many_gone());
    let Step::Record(record) = next(&present(), &seen) else { panic!("it goes on") };
    assert_eq!(record.conclusion, Conclusion::Blocked(many_gone()));
    assert_eq!((record.published, record.retiring.as_slice()), (None, [].as_slice()));
}

/// F24.
#[test]
fn neither_a_rotation_nor_a_lost_secret_nor_a_replace_gets_past_the_brake() {
    let rotating = Object { rotation_asked: true, ..recorded() };
    let replaced = Object { token: None, ..recorded() };
    let of = |object, secret| {
        let mut seen = gone(object, secret);
        seen.project.many_gone = Some(many_gone());
        seen.absorb(&Step::ReadLive, Answer::Live(Some(seen.object.clone()), seen.secret.clone(), None));
        reason(&next(&present(), &seen))
    };
    let as_recorded = || stored("t", "c", Credential::AsRecorded);
    let said = [
        of(rotating, as_recorded()),
        of(recorded(), Secret::Absent),
        of(recorded(), stored("t", "c", Credential::Broken)),
        of(replaced, as_recorded()),
    ];
    assert_eq!(said, [Some(Reason::ProjectNotReady); 4]);
}

/// F24.
#[test]
fn the_brake_holds_neither_a_client_that_is_there_nor_a_new_one_nor_a_deletion() {
    let mut seen = at_rest();
    seen.project.many_gone = Some(many_gone());
    let Step::Record(record) = next(&present(), &seen) else { panic!("it is converged") };
    assert_eq!(record.conclusion, Conclusion::Converged);
    let seen = established(gone(recorded(), stored("t", "c", Credential::AsRecorded)));
    assert!(matches!(next(&leaving(), &seen), Step::RemoveFinalizer { .. }));
}

/// F24.
#[test]
fn an_adopted_client_that_is_gone_with_many_others_is_not_said_to_be_gone_for_good() {
    let mut seen = gone(Object { recorded: Recorded { adopted: true, ..recorded().recorded }, ..recorded() }, {
        stored("t", "c", Credential::AsRecorded)
    });
    assert_eq!(reason(&next(&present(), &seen)), Some(Reason::AdoptedClientGone));
    seen.project.many_gone = Some(many_gone());
    assert_eq!(reason(&next(&present(), &seen)), Some(Reason::ProjectNotReady));
}

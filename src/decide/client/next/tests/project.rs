//! The row of a project that cannot be used, and objects that are gone.

use super::*;
use crate::decide::client::next::step::Record;

fn away() -> Failure {
    Failure::retry(Reason::APIUnavailable, "away")
}

fn without_project(mut seen: Observed) -> Observed {
    seen.project.state = ProjectState::Failed(away());
    seen
}

fn blocked(failure: Failure, seen: &Observed) -> Step {
    Step::Record(Box::new(Record {
        version: seen.object.version.clone(),
        conclusion: Conclusion::Blocked(failure),
        published: None,
        retiring: Vec::new(),
    }))
}

#[test]
fn nothing_is_said_to_be_as_declared_while_the_project_cannot_be_used() {
    let seen = without_project(at_rest());
    let Step::Record(converged) = next(&present(), &at_rest()) else { panic!("it is at rest") };
    let said = Record { conclusion: Conclusion::Blocked(away()), ..*converged };
    assert_eq!(next(&present(), &seen), Step::Record(Box::new(said)));
}

#[test]
fn what_blocks_without_any_project_is_said_and_not_the_project() {
    let seen = without_project(observed(fresh(), Secret::Absent, &[], Pending::Nothing));
    let invalid = Failure::stalled(Reason::InvalidSpec, "mend it");
    assert_eq!(next(&Desired::Invalid(invalid.clone()), &seen), blocked(invalid, &seen));
}

#[test]
fn a_step_that_needs_no_project_is_taken_and_another_is_not() {
    let lost = || observed(recorded(), Secret::Absent, &[], Pending::Nothing);
    assert_eq!(next(&present(), &without_project(lost())), Step::ReadLive);
    let new = without_project(observed(fresh(), Secret::Absent, &[], Pending::Nothing));
    assert_eq!(next(&present(), &new), blocked(away(), &new));
}

#[test]
fn an_object_that_is_gone_goes_whatever_its_spec_asked_for() {
    let invalid = Desired::Invalid(Failure::stalled(Reason::InvalidSpec, "mend it"));
    let states = [at_rest(), observed(recorded(), Secret::Absent, &[], Pending::Nothing)];
    for seen in states.into_iter().flat_map(|seen| [seen.clone(), without_project(seen)]) {
        let gone = Observed { object_gone: true, ..seen };
        let wanted = next(&leaving(), &gone);
        assert!(!matches!(wanted, Step::Record(_) | Step::Put { .. } | Step::ReadLive), "{wanted:?}");
        for desired in [present(), invalid.clone()] {
            assert_eq!(next(&desired, &gone), wanted, "{desired:?}");
        }
    }
}

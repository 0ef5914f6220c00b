//! The scenarios: where the world begins, and how much of everything may happen in it.

use meshagent_operator::decide::marker::Policy;

use crate::world::{Adoption, Budget, Spec, UserAction};

/// The beginning of a scenario.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum From {
    /// The object is new, and nothing was done for it yet.
    New,
    /// The client exists and is recorded; both operators' caches show it so.
    AtRest,
    /// The object is new, and a Secret of its name bears annotations as if the foreign client had been retained.
    Forged,
}

/// One scenario.
#[derive(Clone, Copy, Debug)]
pub struct Scenario {
    pub name: &'static str,
    pub from: From,
    pub spec: Spec,
    pub budget: Budget,
}

/// Two passes, which may be one operator's or both's, overlap or not, and nothing else.
pub const QUIET: Budget = Budget {
    passes: 2,
    crashes: 0,
    lost_answers: 0,
    sweeps: 0,
    user_actions: [0; UserAction::COUNT],
    limit: None,
    apart: false,
    solo: false,
    brakes: false,
    time: 0,
};
pub const THREE: Budget = Budget { passes: 3, ..QUIET };
const CRASH: Budget = Budget { crashes: 1, ..QUIET };
const APART: Budget = Budget { apart: true, ..QUIET };
const LOST: Budget = Budget { lost_answers: 1, ..QUIET };
/// Replacements and POSTs delay the next POST until time passes.
pub const BRAKES: Budget = Budget { brakes: true, ..QUIET };
/// One operator, so that more may happen to it.
const SOLO: Budget = Budget { solo: true, brakes: true, time: 1, ..QUIET };

pub const PLAIN: Spec = Spec { variant: 0, policy: None, adopts: Adoption::No, suspended: false, name: 0 };
pub const RETAIN: Spec = Spec { policy: Some(Policy::Retain), ..PLAIN };
pub const ADOPT: Spec = Spec { adopts: Adoption::Given, ..PLAIN };
const ADOPT_BARE: Spec = Spec { adopts: Adoption::WithoutCredential, ..PLAIN };
const ADOPT_IN_PLACE: Spec = Spec { adopts: Adoption::InPlace, ..PLAIN };
const ADOPT_AND_DELETE: Spec = Spec { policy: Some(Policy::Delete), ..ADOPT };

const fn scenario(name: &'static str, from: From, spec: Spec, budget: Budget) -> Scenario {
    Scenario { name, from, spec, budget }
}

use self::From::{AtRest, Forged, New};
use UserAction::{
    AlterAnnotation, AlterBoth, AlterSecret, AskForRotation, ChangePolicy, Create, Delete, DeleteAndOrphan, DeleteCrd,
    DeleteInForeground, DeleteInStudio, DeleteSecret, Edit, EditInStudio, EraseInStudio, MislayAll, RenameSecret,
    Replace, Suspend,
};

/// The scenarios of every run.
pub const USUAL: &[Scenario] = &[
    scenario("new; three passes", New, PLAIN, THREE),
    scenario("new; an answer lost, a crash", New, PLAIN, Budget { lost_answers: 1, ..CRASH }),
    scenario("new; two answers lost", New, PLAIN, Budget { lost_answers: 2, ..QUIET }),
    scenario("new; a sweep", New, PLAIN, Budget { sweeps: 1, ..QUIET }),
    scenario("new; deleted, created again", New, PLAIN, QUIET.with(Delete, 1).with(Create, 1)),
    scenario(
        "new; a limit of three, three answers lost",
        New,
        PLAIN,
        Budget { lost_answers: 3, limit: Some(3), ..QUIET },
    ),
    scenario("new; a forged Secret in the way", Forged, PLAIN, QUIET.with(Delete, 1)),
    scenario(
        "at rest; deleted, created again, a sweep",
        AtRest,
        PLAIN,
        Budget { sweeps: 1, ..THREE }.with(Delete, 1).with(Create, 1),
    ),
    scenario("at rest; edited twice, an answer lost", AtRest, PLAIN, Budget { lost_answers: 1, ..THREE }.with(Edit, 2)),
    scenario("new; kubectl replace twice", New, PLAIN, QUIET.with(Replace, 2)),
    scenario("at rest; kubectl replace, a crash", AtRest, PLAIN, Budget { crashes: 1, ..THREE }.with(Replace, 1)),
    scenario("at rest; rotated, an answer lost", AtRest, PLAIN, LOST.with(AskForRotation, 1)),
    scenario("at rest; caches apart, rotated", AtRest, PLAIN, Budget { apart: true, ..QUIET }.with(AskForRotation, 1)),
    scenario("at rest; Secret deleted, a crash", AtRest, PLAIN, CRASH.with(DeleteSecret, 1)),
    scenario("at rest; Secret's data altered, an answer lost", AtRest, PLAIN, LOST.with(AlterSecret, 1)),
    scenario(
        "at rest; Secret's annotation altered, deleted",
        AtRest,
        PLAIN,
        CRASH.with(AlterAnnotation, 1).with(Delete, 1),
    ),
    scenario(
        "at rest; all clients mislaid and found again, edited, an answer lost",
        AtRest,
        PLAIN,
        LOST.with(MislayAll, 2).with(Edit, 1),
    ),
    scenario("at rest; deleted in Studio, an answer lost", AtRest, PLAIN, LOST.with(DeleteInStudio, 1)),
    scenario(
        "at rest; edited in Studio, edited, an answer lost",
        AtRest,
        PLAIN,
        LOST.with(EditInStudio, 2).with(Edit, 1),
    ),
    scenario(
        "at rest; marker erased, deleted, an answer lost",
        AtRest,
        PLAIN,
        LOST.with(EraseInStudio, 1).with(Delete, 1),
    ),
    scenario(
        "at rest; deleted in the foreground, an answer lost",
        AtRest,
        PLAIN,
        LOST.with(DeleteInForeground, 1).with(Create, 1),
    ),
    scenario(
        "at rest; deleted with --cascade=orphan, created",
        AtRest,
        PLAIN,
        LOST.with(DeleteAndOrphan, 1).with(Create, 1),
    ),
    scenario(
        "at rest; CRD deleted, created, a sweep",
        AtRest,
        PLAIN,
        Budget { sweeps: 1, lost_answers: 1, ..QUIET }.with(DeleteCrd, 1).with(Create, 1),
    ),
    scenario("at rest; suspended twice, deleted", AtRest, PLAIN, CRASH.with(Suspend, 2).with(Delete, 1)),
    scenario("at rest; Secret renamed, a crash", AtRest, PLAIN, Budget { crashes: 1, ..THREE }.with(RenameSecret, 1)),
    scenario("at rest; Secret renamed, deleted", AtRest, PLAIN, LOST.with(RenameSecret, 1).with(Delete, 1)),
    scenario("retain; deleted, created, a crash", AtRest, RETAIN, CRASH.with(Delete, 1).with(Create, 1)),
    scenario(
        "retain; deleted, created, an answer lost, a sweep",
        AtRest,
        RETAIN,
        Budget { sweeps: 1, lost_answers: 1, ..QUIET }.with(Delete, 1).with(Create, 1),
    ),
    scenario(
        "retain; deleted in the foreground, created",
        AtRest,
        RETAIN,
        LOST.with(DeleteInForeground, 1).with(Create, 1),
    ),
    scenario(
        "retain; policy changed, deleted, created",
        AtRest,
        PLAIN,
        LOST.with(ChangePolicy, 1).with(Delete, 1).with(Create, 1),
    ),
    scenario("adopt; an answer lost", New, ADOPT, LOST),
    scenario("adopt; deleted, created, a crash", New, ADOPT, CRASH.with(Delete, 1).with(Create, 1)),
    scenario(
        "adopted; deleted, created, a sweep",
        AtRest,
        ADOPT,
        Budget { sweeps: 1, ..THREE }.with(Delete, 1).with(Create, 1),
    ),
    scenario("adopt without credential; deleted, created, lost", New, ADOPT_BARE, LOST.with(Delete, 1).with(Create, 1)),
    scenario(
        "adopt in place; deleted, created, an answer lost",
        New,
        ADOPT_IN_PLACE,
        LOST.with(Delete, 1).with(Create, 1),
    ),
    scenario(
        "adopt, policy Delete; deleted, an answer lost",
        New,
        ADOPT_AND_DELETE,
        LOST.with(Delete, 1).with(Create, 1),
    ),
    scenario(
        "adopted; its Secret altered or its client deleted",
        AtRest,
        ADOPT,
        LOST.with(DeleteSecret, 1).with(DeleteInStudio, 1),
    ),
    scenario(
        "at rest; Secret renamed, rotated, one pass",
        AtRest,
        PLAIN,
        Budget { passes: 1, ..CRASH }.with(RenameSecret, 1).with(AskForRotation, 1),
    ),
    scenario(
        "at rest; Secret points at a foreign client, one pass",
        AtRest,
        PLAIN,
        Budget { passes: 1, ..CRASH }.with(AlterBoth, 1),
    ),
    scenario(
        "new; one operator, five passes, four answers lost, a limit of three",
        New,
        PLAIN,
        Budget { passes: 5, lost_answers: 4, limit: Some(3), solo: true, ..QUIET },
    ),
];

/// The scenarios that `make model` explores besides, which take minutes.
pub const DEEP: &[Scenario] = &[
    scenario("at rest; Secret renamed, rotated", AtRest, PLAIN, QUIET.with(RenameSecret, 1).with(AskForRotation, 1)),
    scenario("at rest; caches apart, Secret deleted", AtRest, PLAIN, APART.with(DeleteSecret, 1)),
    scenario(
        "at rest; caches apart, rotated, an answer lost",
        AtRest,
        PLAIN,
        Budget { lost_answers: 1, ..APART }.with(AskForRotation, 1),
    ),
    scenario(
        "foreground; three passes, a crash",
        AtRest,
        PLAIN,
        Budget { lost_answers: 1, crashes: 1, ..THREE }.with(DeleteInForeground, 1).with(Create, 1),
    ),
    scenario(
        "adopt; deleted, created, an answer lost, a crash",
        New,
        ADOPT,
        Budget { lost_answers: 1, ..CRASH }.with(Delete, 1).with(Create, 1),
    ),
    scenario("new; its Secret points at a foreign client", New, PLAIN, QUIET.with(AlterBoth, 1)),
    scenario(
        "at rest; Secret points at a foreign client, deleted",
        AtRest,
        PLAIN,
        QUIET.with(AlterBoth, 1).with(Delete, 1),
    ),
    scenario(
        "new; one operator, five passes, four answers lost",
        New,
        PLAIN,
        Budget { passes: 5, lost_answers: 4, solo: true, ..QUIET },
    ),
    scenario("at rest; rotated, kubectl replace", AtRest, PLAIN, BRAKES.with(AskForRotation, 1).with(Replace, 1)),
    scenario(
        "at rest; one operator, rotated, kubectl replace twice, three answers lost",
        AtRest,
        PLAIN,
        Budget { passes: 4, lost_answers: 3, ..SOLO }.with(AskForRotation, 1).with(Replace, 2),
    ),
    scenario("at rest; Secret deleted, then deleted", AtRest, PLAIN, QUIET.with(DeleteSecret, 1).with(Delete, 1)),
];

/// A phase that people act in, and the action that starts it.
#[derive(Clone, Copy)]
struct Phase {
    name: &'static str,
    from: From,
    spec: Spec,
    start: Option<UserAction>,
    /// The actions that docs/model.md names as beyond the promise in this phase.
    beyond: &'static [UserAction],
}

const PHASES: [Phase; 6] = [
    Phase { name: "create", from: New, spec: PLAIN, start: None, beyond: &[] },
    Phase { name: "rotation", from: AtRest, spec: PLAIN, start: Some(AskForRotation), beyond: &[] },
    Phase { name: "replacement", from: AtRest, spec: PLAIN, start: Some(DeleteSecret), beyond: &[] },
    Phase { name: "adoption", from: New, spec: ADOPT, start: None, beyond: &[] },
    Phase { name: "rename", from: AtRest, spec: PLAIN, start: Some(RenameSecret), beyond: &[Suspend, DeleteSecret] },
    Phase {
        name: "release",
        from: AtRest,
        spec: RETAIN,
        start: Some(Delete),
        beyond: &[Replace, AskForRotation, AlterAnnotation, AlterBoth, DeleteSecret, DeleteInStudio, EraseInStudio],
    },
];

/// Every action of people during every phase: one operator, an answer lost.
pub fn acts_during_phases() -> Vec<Scenario> {
    let acts = PHASES.into_iter().flat_map(|phase| UserAction::ALL.map(|action| (phase, action)));
    let possible =
        acts.filter(|(phase, action)| !BEYOND_THE_PROMISE.contains(action) && !phase.beyond.contains(action));
    let scenario = |(phase, action): (Phase, UserAction)| {
        let budget = Budget { passes: 2, lost_answers: 1, ..SOLO };
        let budget = phase.start.map_or(budget, |start| budget.with(start, 1));
        let times = if phase.start == Some(action) { 2 } else { 1 };
        let budget = budget.with(action, times);
        // An object that is created again is in the phase `create`, during which a rename is beyond the promise.
        let again = action == Create || phase.start != Some(RenameSecret);
        let budget = if again { budget.with(Create, 1) } else { budget };
        let name = Box::leak(format!("{}; {action:?}", phase.name).into_boxed_str());
        Scenario { name, from: phase.from, spec: phase.spec, budget }
    };
    possible.map(scenario).collect()
}

/// The actions that docs/model.md names as beyond the promise while a client is being made: the CRD goes, the policy
/// becomes Retain, the Secret is renamed, its credential is altered before it was ever recorded, or another server
/// answers for a while.
const BEYOND_THE_PROMISE: &[UserAction] = &[DeleteCrd, ChangePolicy, RenameSecret, AlterSecret, MislayAll];

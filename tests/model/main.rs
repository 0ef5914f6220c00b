//! The product's own `next`, `absorb` and `disowned` in a world where everything interleaves.
//!
//! Two operators whose views are stale and whose passes overlap, crashes between any two effects, answers lost and
//! late, a user who creates, deletes, recreates, replaces, edits and rotates, and the sweep. Always: I1, I3, I4, I7, no
//! token POSTed twice; and from *every* reachable state, faults stopped and all going on fairly, it comes to rest with
//! exactly the declared clients (I2, I6). The fences are tested too: with one taken out, a property must fall.

mod checks;
mod events;
mod shared;
mod world;

use std::io::Write as _;

use std::sync::atomic::{AtomicUsize, Ordering::Relaxed};
use std::thread;
use std::time::Instant;

use events::Event;
use stateright::{Checker, Model, Property};
use world::{Budget, Fence, Rests, World};

/// Where a scenario begins.
#[derive(Clone, Copy, Debug)]
enum From {
    /// The object is new, and nothing was done for it yet.
    New,
    /// Its client exists and is recorded; both operators' caches show it so.
    AtRest,
}

struct Scenario {
    from: From,
    budget: Budget,
    fence_out: Option<Fence>,
    rests: Rests,
}

impl Model for Scenario {
    type State = World;
    type Action = Event;

    fn init_states(&self) -> Vec<World> {
        let mut world = World::begin(self.budget, self.fence_out);
        match self.from {
            From::New => {}
            From::AtRest => world.come_to_rest(),
        }
        vec![world]
    }

    fn actions(&self, world: &World, events: &mut Vec<Event>) {
        if world.violation.is_none() {
            events::possible(world, events);
        }
    }

    fn next_state(&self, world: &World, event: Event) -> Option<World> {
        let mut world = world.clone();
        events::happen(&mut world, &event);
        Some(world)
    }

    fn properties(&self) -> Vec<Property<Self>> {
        vec![
            Property::always("nothing forbidden is done (I4, tokens)", |_, world: &World| world.violation.is_none()),
            Property::always("what is recorded is published and lives (I1, I7)", |_, world| checks::accepted(world)),
            Property::always("clients are bounded (I3)", |_, world| checks::bounded(world)),
            Property::always("it can always come to rest rightly (I2, I6)", |scenario: &Self, world| {
                scenario.rests.from(world)
            }),
        ]
    }
}

/// A counterexample as a story: each event with the step that it carries out, and how it goes on from there.
fn tell(path: Vec<(World, Option<Event>)>) -> String {
    let step_of = |world: &World, who: usize| world.operators[who].pass.as_ref().map(|pass| pass.step.clone());
    let mut story = String::new();
    let mut last = None;
    for (world, event) in path {
        story += &match &event {
            Some(event @ Event::Carry(who, _)) => format!("  {event:?} {:?}\n", step_of(&world, *who)),
            _ => format!("  {event:?}\n"),
        };
        last = Some(world);
    }
    let Some(mut world) = last else { return story };
    for _ in 0..60 {
        story += &format!("  then {:?}\n", [0, 1].map(|who| step_of(&world, who)));
        if !world.go_on_fairly() {
            break;
        }
    }
    story
        + &format!(
            "  and rests with {:?} {:#?}\n{:#?}\n{:#?}",
            world.violation,
            world.declared,
            world.secret,
            world.remote.keys()
        )
}

/// Checks one scenario exhaustively; the number of states, or the first property that fell.
fn explore(from: From, budget: Budget, fence_out: Option<Fence>) -> Result<usize, String> {
    let scenario = Scenario { from, budget, fence_out, rests: Rests::default() };
    let checker = scenario.checker().finish_when(stateright::HasDiscoveries::AnyFailures);
    let checker = checker.spawn_dfs().join();
    match checker.discoveries().into_iter().next() {
        None => Ok(checker.unique_state_count()),
        Some((property, path)) => Err(format!("{property} falls:\n{}", tell(path.into_vec()))),
    }
}

/// Two passes, which may be one operator's or both's, overlap or not, and nothing else.
const QUIET: Budget = Budget {
    passes: 2,
    crashes: 0,
    lost_answers: 0,
    sweeps: 0,
    deletes: 0,
    creates: 0,
    replaces: 0,
    rotations: 0,
    edits: 0,
    secret_deletes: 0,
    studio_deletes: 0,
};
const THREE: Budget = Budget { passes: 3, ..QUIET };

#[test]
fn every_interleaving_keeps_the_invariants() {
    let scenarios = [
        ("new; three passes", From::New, THREE),
        ("new; an answer lost, a crash", From::New, Budget { lost_answers: 1, crashes: 1, ..QUIET }),
        ("new; two answers lost", From::New, Budget { lost_answers: 2, ..QUIET }),
        ("new; a sweep", From::New, Budget { sweeps: 1, ..QUIET }),
        ("new; deleted, created again", From::New, Budget { deletes: 1, creates: 1, ..QUIET }),
        (
            "at rest; deleted, created again, a sweep",
            From::AtRest,
            Budget { deletes: 1, creates: 1, sweeps: 1, ..THREE },
        ),
        ("at rest; edited twice, an answer lost", From::AtRest, Budget { edits: 2, lost_answers: 1, ..THREE }),
        ("at rest; kubectl replace, a crash", From::AtRest, Budget { replaces: 1, crashes: 1, ..THREE }),
        ("at rest; rotated, an answer lost", From::AtRest, Budget { rotations: 1, lost_answers: 1, ..QUIET }),
        ("at rest; Secret deleted, then deleted", From::AtRest, Budget { secret_deletes: 1, deletes: 1, ..QUIET }),
        ("at rest; Secret deleted, a crash", From::AtRest, Budget { secret_deletes: 1, crashes: 1, ..QUIET }),
        (
            "at rest; deleted in Studio, an answer lost",
            From::AtRest,
            Budget { studio_deletes: 1, lost_answers: 1, ..QUIET },
        ),
    ];
    // One thread for each of two scenarios: two threads on one scenario wait for each other most of the time.
    let (next, total) = (AtomicUsize::new(0), AtomicUsize::new(0));
    let explore_more = || {
        while let Some((name, from, budget)) = scenarios.get(next.fetch_add(1, Relaxed)) {
            let started = Instant::now();
            match explore(*from, *budget, None) {
                Ok(states) => {
                    println!("{states:>8} states, {:>5.1} s: {name}", started.elapsed().as_secs_f32());
                    total.fetch_add(states, Relaxed);
                }
                Err(fallen) => panic!("{name}: {fallen}"),
            }
        }
    };
    thread::scope(|scope| {
        scope.spawn(explore_more);
        scope.spawn(explore_more);
    });
    let total = total.load(Relaxed);
    // Past the test runner's capture: the number is what a reader of the run wants to see.
    writeln!(std::io::stdout().lock(), "\n{total} states").expect("standard output is open");
    assert!(total >= 1_000_000, "the model covers too little: {total} states");
}

/// Without the fence some scenario must break an invariant: this is how the model is known to look.
fn assert_falls_without(fence: Fence, from: From, budget: Budget) {
    let fallen = explore(from, budget, Some(fence)).err();
    println!("without {fence:?}: {:?}", fallen.as_deref().and_then(|story| story.lines().next()));
    assert!(fallen.is_some(), "no property falls without {fence:?}");
}

#[test]
fn without_the_resource_version_on_the_record_a_property_falls() {
    assert_falls_without(Fence::RecordVersion, From::New, QUIET);
}

#[test]
fn without_the_resource_version_on_the_intent_a_property_falls() {
    assert_falls_without(Fence::IntentVersion, From::New, QUIET);
}

#[test]
fn with_the_listing_after_the_read_a_property_falls() {
    assert_falls_without(Fence::ListBeforeRead, From::AtRest, Budget { rotations: 1, sweeps: 1, ..QUIET });
}

#[test]
fn with_a_secret_that_is_applied_and_not_created_a_property_falls() {
    assert_falls_without(Fence::CreateNotApply, From::New, QUIET);
}

#[test]
fn with_the_old_token_put_back_after_a_withdrawal_a_property_falls() {
    assert_falls_without(Fence::FreshToken, From::AtRest, Budget { rotations: 2, ..QUIET });
}

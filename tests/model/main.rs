//! The product's own `next`, `absorb` and `disowned` in a world where everything interleaves.
//!
//! Two operators whose views are stale and whose passes overlap, crashes between any two effects, answers lost and
//! late, a user who creates, deletes, recreates, replaces, edits and rotates, and the sweep. Always: I1, I3, I4, I7, no
//! token POSTed twice; and from *every* reachable state, faults stopped and all going on fairly, it comes to rest with
//! exactly the declared clients (I2, I6). The fences are tested too: with one taken out, a property must fall.

#![allow(clippy::panic, reason = "a property that holds where it must fall fails the test that called it")]

mod checks;
mod world;

use stateright::{Checker, Model, Property};
use world::{Budget, Fence, Sweep, World};

/// What may happen next.
#[derive(Clone, Debug, PartialEq, Eq, Hash)]
enum Event {
    RefreshObject(usize),
    RefreshSecretAndListing(usize),
    StartPass(usize),
    Carry(usize),
    /// The effect happens, its answer is lost.
    CarryUnheard(usize),
    /// The effect does not happen, and nobody knows.
    Fail(usize),
    PostLate(usize),
    CommitLate,
    Crash(usize),
    CollectGarbage,
    OverlapEnds,
    SweepLists,
    SweepReads,
    SweepDeletes,
    UserDeletes,
    UserCreates,
    UserReplaces,
    UserRotates,
    UserEdits,
    UserDeletesSecret,
    StudioDeletes,
}

struct Scenario {
    budget: Budget,
    fence_out: Option<Fence>,
    /// Whether the client exists and is recorded when it begins; otherwise the object is new.
    begins_at_rest: bool,
    rests: checks::Rests,
}

impl Model for Scenario {
    type State = World;
    type Action = Event;

    fn init_states(&self) -> Vec<World> {
        let mut world = World::begin(self.budget, self.fence_out);
        if self.begins_at_rest {
            world.come_to_rest();
        }
        vec![world]
    }

    fn actions(&self, world: &World, events: &mut Vec<Event>) {
        if world.violation.is_some() {
            return;
        }
        for who in 0..2 {
            operator_events(world, who, events);
        }
        surroundings(world, events);
        user_events(world, events);
    }

    fn next_state(&self, world: &World, event: Event) -> Option<World> {
        let mut world = world.clone();
        happen(&mut world, &event);
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

fn operator_events(world: &World, who: usize, events: &mut Vec<Event>) {
    let operator = &world.operators[who];
    let Some(step) = world.step_of(who) else {
        if world.budget.passes == 0 {
            return;
        }
        // The first operator starts on fresh views, the second on any it ever had: it is what a frozen leader sees.
        if who == 0 {
            if world.declared.is_some() {
                events.push(Event::StartPass(who));
            }
            return;
        }
        if operator.cached != world.declared {
            events.push(Event::RefreshObject(who));
        }
        if operator.cached_secret != world.secret || operator.cached_remote != world.remote {
            events.push(Event::RefreshSecretAndListing(who));
        }
        if operator.cached.is_some() {
            events.push(Event::StartPass(who));
        }
        return;
    };
    events.push(Event::Carry(who));
    if step == world::Step::Rest {
        return;
    }
    if world.budget.crashes > 0 {
        events.push(Event::Crash(who));
    }
    if world.budget.lost_answers > 0 && checks::has_effect(&step) {
        events.push(Event::CarryUnheard(who));
        if matches!(step, world::Step::Post { .. }) {
            // Only of a POST does it matter that an effect did not happen and nobody knows.
            events.push(Event::Fail(who));
            events.push(Event::PostLate(who));
        }
    }
}

fn surroundings(world: &World, events: &mut Vec<Event>) {
    if !world.late.is_empty() {
        events.push(Event::CommitLate);
    }
    let mut collected = world.clone();
    if collected.collect_garbage() {
        events.push(Event::CollectGarbage);
    }
    if world.declared.as_ref().is_some_and(|declared| declared.object.recorded.retiring.iter().any(|old| !old.due)) {
        events.push(Event::OverlapEnds);
    }
    match &world.sweep {
        Sweep::Idle if world.budget.sweeps > 0 => events.push(Event::SweepLists),
        Sweep::Idle => {}
        Sweep::Listed(_) | Sweep::ReadTooEarly(..) => events.push(Event::SweepReads),
        Sweep::Judged(_) => events.push(Event::SweepDeletes),
    }
}

fn user_events(world: &World, events: &mut Vec<Event>) {
    let budget = &world.budget;
    let Some(declared) = &world.declared else {
        if budget.creates > 0 {
            events.push(Event::UserCreates);
        }
        return;
    };
    let offers = [
        (budget.deletes > 0 && !declared.deleting, Event::UserDeletes),
        (budget.replaces > 0, Event::UserReplaces),
        (budget.rotations > 0 && declared.object.recorded.client_id.is_some(), Event::UserRotates),
        (budget.edits > 0, Event::UserEdits),
        (budget.secret_deletes > 0 && world.secret.is_some(), Event::UserDeletesSecret),
        (budget.studio_deletes > 0 && declared.object.recorded.client_id.is_some(), Event::StudioDeletes),
    ];
    events.extend(offers.into_iter().filter_map(|(offered, event)| offered.then_some(event)));
}

fn happen(world: &mut World, event: &Event) {
    match *event {
        Event::RefreshObject(who) => world.operators[who].cached = world.declared.clone(),
        Event::RefreshSecretAndListing(who) => world.refresh_secret_and_listing(who),
        Event::StartPass(who) => {
            world.budget.passes -= 1;
            if who == 0 {
                world.refresh(who);
            }
            world.start_pass(who);
            if world.budget.passes == 0 {
                world.forget_caches();
            }
        }
        Event::Carry(who) => world.advance(who),
        Event::CarryUnheard(who) => {
            world.budget.lost_answers -= 1;
            world.carry_out_next(who, true, false);
        }
        Event::Fail(who) => {
            world.budget.lost_answers -= 1;
            world.carry_out_next(who, false, false);
        }
        Event::PostLate(who) => {
            world.budget.lost_answers -= 1;
            world.post_late(who);
        }
        Event::CommitLate => world.commit_late(),
        Event::Crash(who) => {
            world.budget.crashes -= 1;
            world.crash(who);
        }
        Event::CollectGarbage => {
            world.collect_garbage();
        }
        Event::OverlapEnds => world.overlap_ends(),
        Event::SweepLists => {
            world.budget.sweeps -= 1;
            world.sweep_lists();
        }
        Event::SweepReads => world.sweep_reads(),
        Event::SweepDeletes => world.sweep_deletes(),
        Event::UserDeletes
        | Event::UserCreates
        | Event::UserReplaces
        | Event::UserRotates
        | Event::UserEdits
        | Event::UserDeletesSecret
        | Event::StudioDeletes => people_act(world, event),
    }
}

/// What users do. Any other event is none of theirs.
fn people_act(world: &mut World, event: &Event) {
    let budget = &mut world.budget;
    if *event == Event::UserDeletes {
        budget.deletes -= 1;
        world.touch(|declared| declared.deleting = true);
    } else if *event == Event::UserCreates {
        budget.creates -= 1;
        world.create();
    } else if *event == Event::UserReplaces {
        budget.replaces -= 1;
        world.replace();
    } else if *event == Event::UserRotates {
        budget.rotations -= 1;
        world.touch(|declared| declared.object.rotation_asked = true);
    } else if *event == Event::UserEdits {
        budget.edits -= 1;
        world.touch(|declared| declared.variant = 1 - declared.variant);
    } else if *event == Event::UserDeletesSecret {
        budget.secret_deletes -= 1;
        world.secret = None;
    } else if *event == Event::StudioDeletes {
        budget.studio_deletes -= 1;
        world.delete_in_studio();
    }
}

/// A counterexample as a story: each event with the step that it carries out, and how it goes on from there.
fn tell(path: Vec<(World, Option<Event>)>) -> String {
    let mut story = String::new();
    let mut last = None;
    for (world, event) in path {
        let step = match &event {
            Some(Event::Carry(who) | Event::CarryUnheard(who) | Event::Fail(who)) => world.step_of(*who),
            _ => None,
        };
        story += &format!("  {event:?} {}\n", step.map_or_else(String::new, |step| format!("{step:?}")));
        last = Some(world);
    }
    let Some(mut world) = last else { return story };
    for _ in 0..60 {
        let steps: Vec<_> = (0..2).map(|who| world.step_of(who)).collect();
        story += &format!("  then {steps:?}\n");
        if !world.go_on_fairly() {
            break;
        }
    }
    story + &format!("  and rests with {:#?}\n{:#?}\n{:#?}", world.declared, world.secret, world.remote.keys())
}

/// Checks one scenario exhaustively; the number of states, or the first property that fell.
fn explore(begins_at_rest: bool, budget: Budget, fence_out: Option<Fence>) -> Result<usize, String> {
    let scenario = Scenario { budget, fence_out, begins_at_rest, rests: checks::Rests::default() };
    let checker = scenario.checker().threads(2).finish_when(stateright::HasDiscoveries::AnyFailures);
    let checker = checker.spawn_dfs().join();
    match checker.discoveries().into_iter().next() {
        None => Ok(checker.unique_state_count()),
        Some((property, path)) => Err(format!("{property} falls:\n{}", tell(path.into_vec()))),
    }
}

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

#[test]
fn every_interleaving_keeps_the_invariants() {
    let (new, at_rest) = (false, true);
    let scenarios = [
        ("a client, and kubectl replace", at_rest, Budget { replaces: 1, crashes: 1, ..QUIET }),
        ("a client, edited", at_rest, Budget { edits: 2, crashes: 1, ..QUIET }),
        ("a client, deleted and created again", at_rest, Budget { deletes: 1, creates: 1, ..QUIET }),
        ("a client, rotated, and the sweep", at_rest, Budget { rotations: 1, sweeps: 1, passes: 1, ..QUIET }),
        ("a client, deleted in Studio, a crash", at_rest, Budget { studio_deletes: 1, crashes: 1, passes: 1, ..QUIET }),
        (
            "a client, its Secret deleted, a lost answer",
            at_rest,
            Budget { secret_deletes: 1, lost_answers: 1, passes: 1, ..QUIET },
        ),
        ("a new object, a crash", new, Budget { crashes: 1, ..QUIET }),
        ("a new object, a lost or late answer", new, Budget { lost_answers: 1, ..QUIET }),
    ];
    let mut total = 0;
    for (name, begins_at_rest, budget) in scenarios {
        let started = std::time::Instant::now();
        match explore(begins_at_rest, budget, None) {
            Ok(states) => {
                println!("{states:>8} states, {:>5.1} s: {name}", started.elapsed().as_secs_f32());
                total += states;
            }
            Err(fallen) => panic!("{name}: {fallen}"),
        }
    }
    println!("{total} states");
    assert!(total >= 1_000_000, "the model covers too little: {total} states");
}

/// Without the fence some scenario must break an invariant: this is how the model is known to look.
fn assert_falls_without(fence: Fence, begins_at_rest: bool, budget: Budget) {
    match explore(begins_at_rest, budget, Some(fence)) {
        Ok(states) => panic!("no property falls without {fence:?}, in {states} states"),
        Err(fallen) => println!("without {fence:?}: {}", fallen.lines().next().unwrap_or_default()),
    }
}

#[test]
fn without_the_resource_version_on_the_record_a_property_falls() {
    assert_falls_without(Fence::RecordVersion, false, QUIET);
}

#[test]
fn without_the_resource_version_on_the_intent_a_property_falls() {
    assert_falls_without(Fence::IntentVersion, false, QUIET);
}

#[test]
fn with_the_listing_after_the_read_a_property_falls() {
    assert_falls_without(Fence::ListBeforeRead, true, Budget { rotations: 1, sweeps: 1, ..QUIET });
}

#[test]
fn with_a_secret_that_is_applied_and_not_created_a_property_falls() {
    assert_falls_without(Fence::CreateNotApply, false, QUIET);
}

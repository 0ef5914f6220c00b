//! What may happen next.

use meshagent_operator::decide::id::ClientId;

use crate::checks;
use crate::world::{Fault, Step, Sweep, World};

/// One thing that happens.
#[derive(Clone, Debug, PartialEq, Eq, Hash)]
pub enum Event {
    /// A cache catches up.
    RefreshObject(usize),
    /// So do the others.
    RefreshSecretAndListing(usize),
    StartPass(usize),
    Carry(usize, Option<Fault>),
    CommitLate(ClientId),
    Crash(usize),
    CollectGarbage,
    OverlapEnds,
    SweepBegins,
    SweepJudges,
    SweepDeletes,
    Person(Deed),
}

/// What people do.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub enum Deed {
    Delete,
    Create,
    Replace,
    /// Asks for a rotation, or takes the request back.
    AskForRotation,
    Edit,
    DeleteSecret,
    DeleteInStudio,
}

/// All that may happen in this state of the world.
pub fn possible(world: &World, events: &mut Vec<Event>) {
    for who in 0..2 {
        of_operator(world, who, events);
    }
    of_surroundings(world, events);
    of_people(world, events);
}

fn of_operator(world: &World, who: usize, events: &mut Vec<Event>) {
    let operator = &world.operators[who];
    let Some(pass) = &operator.pass else {
        if world.budget.passes == 0 {
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
    events.push(Event::Carry(who, None));
    if world.budget.crashes > 0 {
        events.push(Event::Crash(who));
    }
    if world.budget.lost_answers > 0 && checks::has_effect(&pass.step) {
        let mut faults = vec![Fault::Unheard, Fault::Uncommitted];
        if matches!(pass.step, Step::Post { .. }) {
            faults.extend([Fault::Late, Fault::Refused, Fault::Keyless]);
        }
        events.extend(faults.into_iter().map(|fault| Event::Carry(who, Some(fault))));
    }
}

fn of_surroundings(world: &World, events: &mut Vec<Event>) {
    events.extend(world.late.keys().cloned().map(Event::CommitLate));
    if world.secret_is_garbage() {
        events.push(Event::CollectGarbage);
    }
    if world.declared.as_ref().is_some_and(|declared| declared.object.recorded.retiring.iter().any(|old| !old.due)) {
        events.push(Event::OverlapEnds);
    }
    match &world.sweep {
        Sweep::Idle if world.budget.sweeps > 0 => events.push(Event::SweepBegins),
        Sweep::Idle => {}
        Sweep::Listed(_) | Sweep::ReadTooEarly(..) => events.push(Event::SweepJudges),
        Sweep::Judged(_) => events.push(Event::SweepDeletes),
    }
}

fn of_people(world: &World, events: &mut Vec<Event>) {
    let budget = &world.budget;
    let Some(declared) = &world.declared else {
        if budget.creates > 0 {
            events.push(Event::Person(Deed::Create));
        }
        return;
    };
    let recorded = declared.object.recorded.client_id.is_some();
    let offers = [
        (budget.deletes > 0 && !declared.deleting, Deed::Delete),
        (budget.replaces > 0, Deed::Replace),
        (budget.rotations > 0 && recorded, Deed::AskForRotation),
        (budget.edits > 0, Deed::Edit),
        (budget.secret_deletes > 0 && world.secret.is_some(), Deed::DeleteSecret),
        (budget.studio_deletes > 0 && recorded, Deed::DeleteInStudio),
    ];
    events.extend(offers.into_iter().filter_map(|(offered, deed)| offered.then_some(Event::Person(deed))));
}

/// Lets it happen.
pub fn happen(world: &mut World, event: &Event) {
    match event {
        Event::RefreshObject(who) => world.refresh_object(*who),
        Event::RefreshSecretAndListing(who) => world.refresh_secret_and_listing(*who),
        Event::StartPass(who) => {
            world.budget.passes -= 1;
            world.start_pass(*who);
            if world.budget.passes == 0 {
                world.forget_caches();
            }
        }
        Event::Carry(who, fault) => {
            world.budget.lost_answers -= u8::from(fault.is_some());
            world.carry_out(*who, *fault);
        }
        Event::CommitLate(client_id) => world.commit_late(client_id),
        Event::Crash(who) => {
            world.budget.crashes -= 1;
            world.crash(*who);
        }
        Event::CollectGarbage => world.secret = None,
        Event::OverlapEnds => world.overlap_ends(),
        Event::SweepBegins => {
            world.budget.sweeps -= 1;
            world.sweep_begins();
        }
        Event::SweepJudges => world.sweep_judges(),
        Event::SweepDeletes => world.sweep_deletes(),
        Event::Person(deed) => do_deed(world, *deed),
    }
}

fn do_deed(world: &mut World, deed: Deed) {
    let budget = &mut world.budget;
    match deed {
        Deed::Delete => {
            budget.deletes -= 1;
            world.touch(|declared| declared.deleting = true);
        }
        Deed::Create => {
            budget.creates -= 1;
            world.create();
        }
        Deed::Replace => {
            budget.replaces -= 1;
            world.replace();
        }
        Deed::AskForRotation => {
            budget.rotations -= 1;
            world.touch(|declared| declared.object.rotation_asked = !declared.object.rotation_asked);
        }
        Deed::Edit => {
            budget.edits -= 1;
            world.touch(|declared| declared.variant = 1 - declared.variant);
        }
        Deed::DeleteSecret => {
            budget.secret_deletes -= 1;
            world.secret = None;
        }
        Deed::DeleteInStudio => {
            budget.studio_deletes -= 1;
            world.delete_in_studio();
        }
    }
}

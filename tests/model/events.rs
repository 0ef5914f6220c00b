//! The events that may happen next.

use meshagent_operator::decide::id::ClientId;

use crate::checks;
use crate::world::{Fault, NAMES, Step, Sweep, UserAction, World};

/// One thing that happens.
#[derive(Clone, Debug, PartialEq, Eq, Hash)]
pub enum Event {
    /// A cache catches up.
    RefreshObject(usize),
    RefreshSecrets(usize),
    RefreshListing(usize),
    RefreshSecretsAndListing(usize),
    StartPass(usize),
    Carry(usize, Option<Fault>),
    CommitLate(ClientId),
    Crash(usize),
    /// The garbage collector takes the Secret of that name.
    CollectGarbage(usize),
    /// The garbage collector takes ownership off the Secret, for `--cascade=orphan`.
    StripOwners,
    /// The operator takes ownership off the Secret too late, with a fence out.
    OwnerOffLate,
    OverlapEnds,
    TimePasses,
    SweepBegins,
    SweepJudges,
    SweepActs,
    User(UserAction),
}

impl Event {
    /// The operator that the event concerns.
    pub fn operator(&self) -> Option<usize> {
        match self {
            Self::RefreshObject(who)
            | Self::RefreshSecrets(who)
            | Self::RefreshListing(who)
            | Self::RefreshSecretsAndListing(who)
            | Self::StartPass(who)
            | Self::Carry(who, _)
            | Self::Crash(who) => Some(*who),
            Self::CommitLate(_) | Self::CollectGarbage(_) | Self::StripOwners | Self::OwnerOffLate => None,
            Self::OverlapEnds
            | Self::TimePasses
            | Self::SweepBegins
            | Self::SweepJudges
            | Self::SweepActs
            | Self::User(_) => None,
        }
    }
}

/// Collects all events that may happen in this state of the world.
pub fn possible(world: &World, events: &mut Vec<Event>) {
    for who in 0..if world.budget.solo { 1 } else { 2 } {
        of_operator(world, who, events);
    }
    of_surroundings(world, events);
    let offered = UserAction::ALL.into_iter().filter(|action| world.budget.has(*action) && world.allows(*action));
    events.extend(offered.map(Event::User));
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
        let (secrets, listing) = (operator.cached_secrets != world.secrets, operator.cached_remote != world.remote);
        match (world.budget.apart, secrets, listing) {
            (false, true, _) | (false, _, true) => events.push(Event::RefreshSecretsAndListing(who)),
            (true, true, _) => events.push(Event::RefreshSecrets(who)),
            (_, false, false) | (true, false, true) => {}
        }
        if world.budget.apart && listing {
            events.push(Event::RefreshListing(who));
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
    if world.budget.lost_answers == 0 {
        return;
    }
    if checks::has_effect(&pass.step) {
        let mut faults = vec![Fault::Unheard, Fault::Uncommitted];
        if matches!(pass.step, Step::Post { .. }) {
            faults.extend([Fault::Late, Fault::Refused, Fault::Keyless]);
        }
        events.extend(faults.into_iter().map(|fault| Event::Carry(who, Some(fault))));
    } else if pass.deleting && pass.step.is_remote() {
        // MeshAgent is away while the object goes.
        events.push(Event::Carry(who, Some(Fault::Uncommitted)));
    }
}

fn of_surroundings(world: &World, events: &mut Vec<Event>) {
    events.extend(world.late.keys().cloned().map(Event::CommitLate));
    events.extend((0..NAMES.len()).filter(|name| world.is_garbage(*name)).map(Event::CollectGarbage));
    let declared = world.declared.as_ref();
    if declared.is_some_and(|declared| declared.deletion.is_some() && declared.object.orphaning) {
        events.push(Event::StripOwners);
    }
    if world.owner_stays.as_ref().is_some_and(|uid| world.uid() != Some(uid)) {
        events.push(Event::OwnerOffLate);
    }
    if declared.is_some_and(|declared| declared.object.recorded.retiring.iter().any(|old| !old.due)) {
        events.push(Event::OverlapEnds);
    }
    if world.budget.time > 0 && world.time_matters() {
        events.push(Event::TimePasses);
    }
    match &world.sweep {
        Sweep::Idle if world.budget.sweeps > 0 => events.push(Event::SweepBegins),
        Sweep::Idle => {}
        Sweep::Listed(_) | Sweep::ReadTooEarly(..) => events.push(Event::SweepJudges),
        Sweep::Judged(_) => events.push(Event::SweepActs),
    }
}

/// Lets an event happen.
pub fn happen(world: &mut World, event: &Event) {
    match event {
        Event::RefreshObject(who) => world.refresh_object(*who),
        Event::RefreshSecrets(who) => world.refresh_secrets(*who),
        Event::RefreshListing(who) => world.refresh_listing(*who),
        Event::RefreshSecretsAndListing(who) => {
            world.refresh_secrets(*who);
            world.refresh_listing(*who);
        }
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
        Event::CollectGarbage(name) => world.collect(*name),
        Event::StripOwners => world.strip_owners(),
        Event::OwnerOffLate => world.owner_off_late(),
        Event::OverlapEnds => world.overlap_ends(),
        Event::TimePasses => {
            world.budget.time -= 1;
            world.time_passes();
        }
        Event::SweepBegins => {
            world.budget.sweeps -= 1;
            world.sweep_begins();
        }
        Event::SweepJudges => world.sweep_judges(),
        Event::SweepActs => world.sweep_acts(),
        Event::User(action) => world.act(*action),
    }
}

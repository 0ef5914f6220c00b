//! A world without faults, in which all go on fairly, comes to rest.

use std::collections::HashSet;
use std::sync::{Mutex, PoisonError};

use super::{Budget, FOREIGN, Sweep, World, wanted};
use crate::checks;
use crate::shared::fingerprint;

/// Far more than any way to rest takes.
const MOST_STEPS: usize = 2_000;
/// Far more than any pass takes.
const LONGEST_PASS: usize = 100;

impl World {
    /// One step without faults: whether anything happened.
    ///
    /// What is under way ends first, both operators' passes in turns; then the first operator, the leader, runs passes
    /// on fresh views, and the sweep runs, until nothing changes any more.
    pub fn go_on_fairly(&mut self) -> bool {
        if let Some(client_id) = self.late.keys().next().cloned() {
            self.commit_late(&client_id);
            return true;
        }
        if self.operators.iter().any(|operator| operator.pass.is_some()) {
            self.carry_out(0, None);
            self.carry_out(1, None);
            return true;
        }
        if self.operators[1].held.take().is_some() {
            // It lost leadership with a credential in hand: what it made is cleaned by the others.
            return true;
        }
        if self.sweep != Sweep::Idle {
            self.sweep_goes_on();
            return true;
        }
        if self.secret_is_garbage() {
            self.secret = None;
            return true;
        }
        self.overlap_ends();
        let before = (self.declared.clone(), self.secret.clone(), self.remote.clone(), self.operators[0].held.clone());
        self.run_leader();
        self.sweep_begins();
        self.sweep_goes_on();
        self.sweep_goes_on();
        before != (self.declared.clone(), self.secret.clone(), self.remote.clone(), self.operators[0].held.clone())
    }

    fn sweep_goes_on(&mut self) {
        match self.sweep {
            Sweep::Idle => {}
            Sweep::Listed(_) | Sweep::ReadTooEarly(..) => self.sweep_judges(),
            Sweep::Judged(_) => self.sweep_deletes(),
        }
    }

    /// A whole pass of the leader on fresh views.
    pub fn run_leader(&mut self) {
        self.refresh_object(0);
        self.refresh_secret_and_listing(0);
        if self.declared.is_none() {
            self.operators[0].held = None;
        }
        self.start_pass(0);
        for _ in 0..LONGEST_PASS {
            if self.operators[0].pass.is_none() {
                self.forget_caches();
                return;
            }
            self.carry_out(0, None);
        }
        self.violation = Some("a pass does not end");
    }
}

/// The states from which it is known to come to rest rightly.
#[derive(Default)]
pub struct Rests {
    known: [Mutex<HashSet<u64>>; 16],
}

impl Rests {
    /// Faults stop, all go on fairly: whether it comes to rest with exactly the declared clients, and on the way there
    /// what is published is accepted.
    pub fn from(&self, world: &World) -> bool {
        if world.violation.is_some() {
            return true;
        }
        let mut world = world.clone();
        // Nothing of this matters from here on; states that differ in nothing else are one.
        world.budget = Budget::default();
        world.astray = 0;
        world.forget_caches();
        let mut way = Vec::new();
        for _ in 0..MOST_STEPS {
            let seen = fingerprint(&world);
            if self.shard(seen).lock().unwrap_or_else(PoisonError::into_inner).contains(&seen) {
                return self.remember(way);
            }
            way.push(seen);
            let moved = world.go_on_fairly();
            world.astray = 0;
            if world.violation.is_some() || !checks::accepted(&world) {
                return false;
            }
            if !moved {
                return rests_rightly(&world) && self.remember(way);
            }
        }
        false
    }

    fn shard(&self, seen: u64) -> &Mutex<HashSet<u64>> {
        &self.known[usize::try_from(seen % 16).unwrap_or(0)]
    }

    fn remember(&self, way: Vec<u64>) -> bool {
        for seen in way {
            self.shard(seen).lock().unwrap_or_else(PoisonError::into_inner).insert(seen);
        }
        true
    }
}

fn rests_rightly(world: &World) -> bool {
    if !world.remote.keys().any(|client_id| client_id.as_str() == FOREIGN) {
        return false;
    }
    let others = world.remote.len() - 1;
    let Some(declared) = &world.declared else { return others == 0 };
    let object = &declared.object;
    let Some(client_id) = &object.recorded.client_id else { return false };
    let Some(client) = world.remote.get(client_id) else { return false };
    others == 1
        && object.unknown.is_empty()
        && object.finalizer
        && client.settings == wanted(&object.uid, declared.variant).settings
        && world.secret.as_ref().is_some_and(|secret| {
            secret.uid == object.uid && &secret.client_id == client_id && Some(&secret.token) == object.token.as_ref()
        })
}

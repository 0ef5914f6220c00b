//! What must hold in every state.

use std::collections::HashSet;
use std::hash::{DefaultHasher, Hash, Hasher};
use std::sync::{Mutex, PoisonError};

use meshagent_operator::decide::next::Step;

use super::world::{FOREIGN, World};

/// I1 and I7: what is recorded and published lives, and so do former clients until their overlap ends, unless somebody
/// deleted them in Studio.
pub fn accepted(world: &World) -> bool {
    let Some(declared) = world.declared.as_ref().filter(|declared| !declared.deleting) else {
        return true;
    };
    let lives = |client_id| world.remote.contains_key(client_id) || world.deleted_in_studio.contains(client_id);
    let recorded = &declared.object.recorded;
    let Some(recorded_id) = &recorded.client_id else {
        return true;
    };
    let published = world.secret.as_ref().filter(|secret| secret.uid == declared.object.uid);
    lives(recorded_id)
        && published.is_none_or(|secret| lives(&secret.client_id))
        && recorded.retiring.iter().filter(|former| !former.due).all(|former| lives(&former.client_id))
}

/// I3: one client, plus those retiring, plus those in the hands of a pass, plus POSTs of unknown outcome: those
/// that the object still names, and those whose answer reached nobody.
pub fn bounded(world: &World) -> bool {
    let Some(declared) = &world.declared else { return true };
    let ours = world
        .remote
        .values()
        .filter(|client| client.marker.as_ref().is_some_and(|marker| marker.owner.uid == declared.object.uid));
    let in_hand = world.operators.iter().filter(|operator| operator.has_credential()).count();
    let unknown = declared.object.unknown.len() + usize::from(world.astray);
    // Published and not recorded yet: the recorded one retires with the record.
    let about_to_retire = usize::from(
        declared
            .object
            .recorded
            .client_id
            .as_ref()
            .is_some_and(|recorded| world.secret.as_ref().is_some_and(|secret| &secret.client_id != recorded)),
    );
    ours.count() <= 1 + declared.object.recorded.retiring.len() + in_hand + unknown + about_to_retire
}

/// Whether a step writes anything anywhere.
pub fn has_effect(step: &Step) -> bool {
    match step {
        Step::ReadLive | Step::ReadSecret | Step::List | Step::Get { .. } | Step::Rehearse { .. } => false,
        Step::Forget | Step::Rest => false,
        Step::WriteIntent { .. } | Step::Post { .. } | Step::Publish { .. } | Step::MoveToken { .. } => true,
        Step::Reshape { .. } | Step::Put { .. } | Step::Delete { .. } | Step::Record(_) => true,
        Step::StrikeUnknown { .. } | Step::RemoveFinalizer { .. } => true,
    }
}

/// The states from which it is known to come to rest rightly.
#[derive(Default)]
pub struct Rests {
    known: [Mutex<HashSet<u64>>; 16],
}

/// Far more than any way to rest takes.
const MOST_STEPS: usize = 2_000;

impl Rests {
    /// Faults stop, all go on fairly: whether it comes to rest with exactly the declared clients.
    pub fn from(&self, world: &World) -> bool {
        if world.violation.is_some() {
            return true;
        }
        let mut world = world.clone();
        world.budget.passes = 0;
        let mut way = Vec::new();
        for _ in 0..MOST_STEPS {
            let seen = fingerprint(&world);
            let shard = &self.known[usize::try_from(seen % 16).unwrap_or(0)];
            if shard.lock().unwrap_or_else(PoisonError::into_inner).contains(&seen) {
                return self.remember(way);
            }
            way.push(seen);
            if !world.go_on_fairly() {
                return rests_rightly(&world) && self.remember(way);
            }
        }
        false
    }

    fn remember(&self, way: Vec<u64>) -> bool {
        for seen in way {
            let shard = &self.known[usize::try_from(seen % 16).unwrap_or(0)];
            shard.lock().unwrap_or_else(PoisonError::into_inner).insert(seen);
        }
        true
    }
}

fn fingerprint(world: &World) -> u64 {
    let mut hasher = DefaultHasher::new();
    world.hash(&mut hasher);
    hasher.finish()
}

fn rests_rightly(world: &World) -> bool {
    if world.violation.is_some() || !world.remote.keys().any(|client_id| client_id.as_str() == FOREIGN) {
        return false;
    }
    let others = world.remote.len() - 1;
    match &world.declared {
        None => others == 0,
        Some(declared) => {
            let object = &declared.object;
            let Some(client_id) = &object.recorded.client_id else {
                return false;
            };
            let Some(client) = world.remote.get(client_id) else {
                return false;
            };
            others == 1
                && object.unknown.is_empty()
                && object.finalizer
                && client.settings == super::world::wanted(&object.uid, declared.variant).settings
                && world.secret.as_ref().is_some_and(|secret| {
                    secret.uid == object.uid
                        && &secret.client_id == client_id
                        && Some(&secret.token) == object.token.as_ref()
                })
        }
    }
}

//! A world without faults, in which all go on fairly, comes to rest.

use std::collections::HashSet;
use std::sync::{Mutex, PoisonError};

use meshagent_operator::decide::client::observed::{CrdState, RemoteClient};
use meshagent_operator::decide::id::{ClientId, Token};
use meshagent_operator::decide::marker::{Marker, Origin, Policy};

use super::{Adoption, Budget, Declared, FOREIGN, Left, NAMES, Sweep, World};
use crate::checks;
use crate::shared::fingerprint;

/// Far more than any way to rest takes.
const MOST_STEPS: usize = 2_000;
/// Far more than any pass takes.
const LONGEST_PASS: usize = 100;

impl World {
    /// Takes one step without faults; returns whether anything happened.
    ///
    /// Everything under way ends first, both operators' passes in turns; then the first operator, the leader, runs
    /// passes on fresh views, and the sweep runs, until nothing changes any more.
    pub fn go_on_fairly(&mut self) -> bool {
        if !self.mislaid.is_empty() {
            self.find_again();
            return true;
        }
        if let Some(client_id) = self.late.keys().next().cloned() {
            self.commit_late(&client_id);
            return true;
        }
        if self.operators.iter().any(|operator| operator.pass.is_some()) {
            self.carry_out(0, None);
            self.carry_out(1, None);
            return true;
        }
        if self.operators[1].pending.take().is_some() {
            // The second operator lost leadership with a credential in hand: the others clean up what it made.
            return true;
        }
        if self.sweep != Sweep::Idle {
            self.sweep_goes_on();
            return true;
        }
        if let Some(name) = (0..NAMES.len()).find(|name| self.is_garbage(*name)) {
            self.collect(name);
            return true;
        }
        if self.declared.as_ref().is_some_and(|declared| declared.object.orphaning) {
            self.strip_owners();
            return true;
        }
        self.overlap_ends();
        let before = self.what_lasts();
        self.run_leader();
        self.sweep_begins();
        self.sweep_goes_on();
        self.sweep_goes_on();
        before != self.what_lasts()
    }

    fn what_lasts(&self) -> impl PartialEq + use<> {
        (self.declared.clone(), self.secrets.clone(), self.remote.clone(), self.operators[0].pending.clone())
    }

    fn sweep_goes_on(&mut self) {
        match self.sweep {
            Sweep::Idle => {}
            Sweep::Listed(_) | Sweep::ReadTooEarly(..) => self.sweep_judges(),
            Sweep::Judged(_) => self.sweep_acts(),
        }
    }

    /// A whole pass of the leader on fresh views.
    pub fn run_leader(&mut self) {
        self.refresh_object(0);
        self.refresh_secrets(0);
        self.refresh_listing(0);
        if self.declared.is_none() {
            self.operators[0].pending = None;
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

/// The states from which the world is known to come to rest rightly.
#[derive(Default)]
pub struct Rests {
    known: [Mutex<HashSet<u64>>; 16],
}

impl Rests {
    /// Whether the world, with faults stopped and all going on fairly, comes to rest with exactly the declared clients,
    /// and what is published is accepted on the way there.
    pub fn from(&self, world: &World) -> bool {
        if world.violation.is_some() {
            return true;
        }
        let mut world = world.clone();
        // The values reset here matter no longer; states that differ in nothing else are one.
        world.budget = Budget { limit: world.budget.limit, brakes: world.budget.brakes, ..Budget::default() };
        world.astray = 0;
        world.came_late = 0;
        world.forgotten = 0;
        world.tampered = world.tampered.min(1);
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
            world.came_late = 0;
            if world.violation.is_some() || !checks::accepted(&world) {
                return false;
            }
            if !moved && world.time_matters() {
                // A published credential that works is recorded, whatever else waits for its time.
                if !good_is_recorded(&world) {
                    return false;
                }
                world.time_passes();
            } else if !moved {
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

/// Whether the credential in the Secret is recorded, if it is whole and of a living client of the object that the
/// Secret's own token made.
fn good_is_recorded(world: &World) -> bool {
    let Some(declared) = world.declared.as_ref().filter(|it| it.deletion.is_none() && !it.spec.suspended) else {
        return true;
    };
    let Declared { object, spec, .. } = &**declared;
    let Some(secret) = &world.secrets[spec.name] else { return true };
    let Some(client_id) = secret.client_id.as_ref().filter(|_| secret.uid.as_ref() == Some(&object.uid)) else {
        return true;
    };
    let whole = secret.data.as_ref().is_some_and(|data| &data.client_id == client_id && &data.secret == client_id);
    let marker = world.remote.get(client_id).and_then(|client| client.marker.as_ref());
    let ours = marker.is_some_and(|marker| marker.owner.uid == object.uid);
    !(whole && ours) || object.recorded.client_id.as_ref() == Some(client_id) && secret.token == object.token
}

fn rests_rightly(world: &World) -> bool {
    let foreign = ClientId::new(FOREIGN);
    let foreign_lives = world.remote.contains_key(&foreign);
    if !foreign_lives && !world.deleted_on_purpose && !world.deleted_in_studio.contains(&foreign) {
        return false;
    }
    match &world.declared {
        None => left_rightly(world),
        Some(declared) => declared_rightly(world, declared),
    }
}

/// The clients besides the foreign one and `but`, without those that nobody can tell to be ours: their marker was
/// erased while nothing named them any more.
fn others<'a>(world: &'a World, but: &'a [Option<&ClientId>]) -> impl Iterator<Item = &'a ClientId> {
    let ours = |client_id: &&ClientId| client_id.as_str() != FOREIGN && !but.contains(&Some(*client_id));
    let erased = |client_id: &&ClientId| {
        world.erased.contains(*client_id) && world.remote.get(*client_id).is_some_and(|client| client.marker.is_none())
    };
    world.remote.keys().filter(ours).filter(move |client_id| !erased(client_id))
}

/// Whether a world without an object is right at rest: what was retained is there and says so on both sides, and
/// nothing else is there.
fn left_rightly(world: &World) -> bool {
    let Some(Left { client_id, with_secret, certain }) = &world.left else {
        // An adopted client's Secret stays.
        let adopted = |secret: &super::StoredSecret| secret.client_id.as_ref().is_none_or(|it| it.as_str() == FOREIGN);
        return others(world, &[]).next().is_none()
            && world.secrets.iter().flatten().all(|it| (adopted(it) || world.orphaned) && it.owners.is_empty());
    };
    if others(world, &[Some(client_id)]).next().is_some() {
        return false;
    }
    let client = world.remote.get(client_id);
    let stays = client.is_some() || world.deleted_in_studio.contains(client_id) || !certain;
    let marked = client.and_then(|client| client.marker.as_ref());
    let says_so = marked.is_none_or(|marker| marker.retained || marker.policy == Policy::Retain)
        // The Secret alone may say so while the CRD is away: the sweep waits.
        || world.crd == CrdState::Away;
    let secret = world
        .secrets
        .iter()
        .flatten()
        .any(|secret| secret.client_id.as_ref() == Some(client_id) && secret.owners.is_empty() && secret.retained);
    stays && (says_so || !with_secret) && (secret || !with_secret || !certain || world.tampered > 0)
}

/// Whether a world with an object is right at rest: its one client is as declared and recorded, and the Secret under
/// the wanted name holds it.
fn declared_rightly(world: &World, declared: &Declared) -> bool {
    let Declared { object, deletion, spec } = declared;
    let recorded = object.recorded.client_id.as_ref();
    if deletion.is_some() {
        return false;
    }
    let ours = world.secrets.iter().flatten().find(|secret| secret.uid.as_ref() == Some(&object.uid));
    if spec.suspended {
        // A suspended object only gives up the ownership of its Secret.
        return ours.is_none_or(|secret| secret.owners.is_empty());
    }
    let in_the_way = world.secrets[spec.name].as_ref().is_some_and(|secret| secret.uid.as_ref() != Some(&object.uid));
    let Some(client_id) = recorded else {
        // Somebody else's Secret is in the way, or the client to be adopted is gone.
        let adopted_is_gone = spec.adopts != Adoption::No && !world.remote.contains_key(&ClientId::new(FOREIGN));
        let stuck = in_the_way && world.left.is_none() || adopted_is_gone;
        return stuck && others(world, &[]).next().is_none();
    };
    let adopted = object.recorded.adopted;
    let Some(client) = world.remote.get(client_id) else {
        return adopted && world.deleted_in_studio.contains(client_id);
    };
    // A client that was retained with its Secret is the object's own again.
    if let Some(Left { client_id: left, with_secret: true, certain: true }) = &world.left
        && left != client_id
        && world.tampered == 0
        && world.deleted_in_studio.is_empty()
        && world.remote.contains_key(left)
    {
        return false;
    }
    let left = world.left.as_ref().map(|left| &left.client_id);
    let as_declared = client.settings.scopes == spec.settings().scopes
        && client.marker.as_ref() == Some(&expected_marker(declared, client));
    let lost_for_good = adopted && world.tampered > 0;
    others(world, &[recorded, left]).next().is_none()
        && object.unknown.is_empty()
        && object.finalizer
        && (as_declared || lost_for_good)
        && (lost_for_good || published_rightly(world, declared, client_id))
}

fn expected_marker(declared: &Declared, client: &RemoteClient) -> Marker {
    let Declared { object, spec, .. } = declared;
    let wanted = spec.wanted(&object.uid, object.recorded.adopted);
    let token = client.marker.as_ref().map(|marker| marker.token.clone());
    let mut marker = wanted.marker(&token.unwrap_or_else(|| Token::new("")));
    if object.recorded.adopted {
        marker.origin = Origin::Adopted;
    }
    marker
}

fn published_rightly(world: &World, declared: &Declared, client_id: &ClientId) -> bool {
    let Declared { object, spec, .. } = declared;
    let adopted = object.recorded.adopted;
    if adopted && object.recorded.secret_name.is_none() {
        return true;
    }
    let elsewhere = world.secrets[1 - spec.name].as_ref();
    let published = world.secrets[spec.name].as_ref().is_some_and(|secret| {
        secret.uid.as_ref() == Some(&object.uid)
            && secret.client_id.as_ref() == Some(client_id)
            && secret.data.as_ref().is_some_and(|data| &data.client_id == client_id && &data.secret == client_id)
            && secret.token == object.token
            && !secret.retained
            && secret.owners.contains(&object.uid) == spec.owns_secret(adopted)
    });
    published && elsewhere.is_none()
}

//! The properties that must hold in every state.

use meshagent_operator::decide::client::next::Step;
use meshagent_operator::decide::id::ClientId;

use super::world::{ALTERED, NAMES, StoredSecret, World};

/// I1 and I7: what is recorded and published lives, and so do former clients until their overlap ends, unless somebody
/// deleted them in Studio; and unless somebody took it away, the credential is there under the present or the former
/// name.
pub fn accepted(world: &World) -> bool {
    let Some(declared) = world.declared.as_ref().filter(|declared| declared.deletion.is_none()) else {
        return true;
    };
    let lives = |client_id: &ClientId| {
        [&world.remote, &world.mislaid].iter().any(|clients| clients.contains_key(client_id))
            || world.deleted_in_studio.contains(client_id)
    };
    let recorded = &declared.object.recorded;
    let Some(recorded_id) = &recorded.client_id else {
        return true;
    };
    let ours = || world.secrets.iter().flatten().filter(|secret| secret.uid.as_ref() == Some(&declared.object.uid));
    let is_there = recorded.secret_name.is_none() || world.tampered > 0 || {
        let at =
            |name: usize| world.secrets[name].as_ref().is_some_and(|it| it.uid.as_ref() == Some(&declared.object.uid));
        let former = NAMES.iter().position(|name| Some(*name) == recorded.secret_name.as_deref());
        at(declared.spec.name) || former.is_some_and(at)
    };
    let is_accepted = |secret: &StoredSecret| {
        secret.data.as_ref().is_none_or(|data| data.secret.as_str() == ALTERED || lives(&data.secret))
    };
    lives(recorded_id)
        && is_there
        && ours().all(|secret| is_accepted(secret))
        && recorded.retiring.iter().filter(|former| !former.due).all(|former| lives(&former.client_id))
}

/// I3: an object has one client, plus those retiring (the recorded one too, from the moment that another is published),
/// plus those in a process that are not published yet, plus POSTs of unknown outcome: those that the object still
/// names, and those whose answer reached nobody. A Secret that was taken away or altered may have held one.
pub fn bounded(world: &World) -> bool {
    let Some(declared) = &world.declared else { return true };
    let object = &declared.object;
    let is_ours = |uid| uid == &object.uid;
    let ours =
        world.remote.values().filter(|client| client.marker.as_ref().is_some_and(|it| is_ours(&it.owner.uid))).count();
    let unpublished = world.operators.iter().filter(|operator| operator.has_credential()).count();
    let recorded = &object.recorded;
    let leaving = world.secrets.iter().flatten().any(|secret| {
        secret.uid.as_ref().is_some_and(is_ours)
            && recorded.client_id.as_ref().is_some_and(|it| Some(it) != secret.client_id.as_ref())
    });
    let unknown = object.unknown.len() + usize::from(world.astray) + usize::from(world.tampered);
    ours <= 1 + recorded.retiring.len() + usize::from(leaving) + unpublished + unknown
}

/// Three POSTs of unknown outcome, while nothing was ever recorded, are the most: then waste is removed first. A POST
/// that is carried out only after that comes on top.
pub fn wastes_little(world: &World) -> bool {
    let Some(declared) = world.declared.as_ref().filter(|it| it.object.recorded.client_id.is_none()) else {
        return true;
    };
    let ours = |uid| uid == &declared.object.uid;
    let count = world.remote.values().filter(|it| it.marker.as_ref().is_some_and(|it| ours(&it.owner.uid))).count();
    count <= 3 + usize::from(world.came_late) + usize::from(world.forgotten)
}

/// Whether a step writes anything anywhere.
pub fn has_effect(step: &Step) -> bool {
    match step {
        Step::ReadLive | Step::ReadSecret | Step::List | Step::Get { .. } | Step::DryRun { .. } => false,
        Step::Forget | Step::Rest | Step::CheckCrd | Step::TakeCredential { .. } => false,
        Step::TakeOver { .. } | Step::Relocate { .. } | Step::DeleteSecret { .. } => true,
        Step::ReleaseSecret { .. } | Step::Abandon { .. } => true,
        Step::WriteIntent { .. } | Step::Post { .. } | Step::Publish { .. } | Step::MoveToken { .. } => true,
        Step::Reshape { .. } | Step::Put { .. } | Step::Delete { .. } | Step::Record(_) => true,
        Step::AddFinalizer { .. } | Step::StrikeUnknown { .. } | Step::RemoveFinalizer { .. } => true,
    }
}

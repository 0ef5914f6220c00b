//! What must hold in every state.

use meshagent_operator::decide::next::Step;

use super::world::World;

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

/// I3: one client, plus those retiring (the recorded one too, from the moment that another is published), plus those in
/// the hands of a pass, plus POSTs of unknown outcome: those that the object still names, and those whose answer reached
/// nobody.
pub fn bounded(world: &World) -> bool {
    let Some(declared) = &world.declared else { return true };
    let ours = world
        .remote
        .values()
        .filter(|client| client.marker.as_ref().is_some_and(|marker| marker.owner.uid == declared.object.uid));
    let in_hand = world.operators.iter().filter(|operator| operator.has_credential()).count();
    let recorded = &declared.object.recorded;
    let published = world.secret.as_ref().filter(|secret| secret.uid == declared.object.uid);
    let leaving = published.is_some_and(|secret| recorded.client_id.as_ref().is_some_and(|it| *it != secret.client_id));
    let unknown = declared.object.unknown.len() + usize::from(world.astray);
    ours.count() <= 1 + recorded.retiring.len() + usize::from(leaving) + in_hand + unknown
}

/// Whether a step writes anything anywhere.
pub fn has_effect(step: &Step) -> bool {
    match step {
        Step::ReadLive | Step::ReadSecret | Step::List | Step::Get { .. } | Step::Rehearse { .. } => false,
        Step::Forget | Step::Rest | Step::AskDefinition | Step::TakeCredential { .. } => false,
        Step::TakeOver { .. } | Step::Relocate { .. } | Step::DeleteSecret { .. } => true,
        Step::LeaveSecret { .. } | Step::Abandon { .. } => true,
        Step::WriteIntent { .. } | Step::Post { .. } | Step::Publish { .. } | Step::MoveToken { .. } => true,
        Step::Reshape { .. } | Step::Put { .. } | Step::Delete { .. } | Step::Record(_) => true,
        Step::StrikeUnknown { .. } | Step::RemoveFinalizer { .. } => true,
    }
}

//! The effects of the steps on the world, and their answers.

use std::collections::{BTreeMap, BTreeSet};
use std::time::Duration;

use meshagent_operator::api::Reason;
use meshagent_operator::decide::client::next::{Record, Step};
use meshagent_operator::decide::client::observed::{
    Answer, CrdState, Credential, Object, Pending, Replaced, Retiring, Secret,
};
use meshagent_operator::decide::failure::Failure;
use meshagent_operator::decide::id::{Token, Version};

use super::secrets::{Whereabouts, locate, view};
use super::spec::NAMES;
use super::{Declared, Fence, Pass, World};

/// A fault that may strike one step.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub enum Fault {
    /// The effect happens, its answer is lost.
    Unheard,
    /// The effect does not happen, and nobody knows.
    Uncommitted,
    /// A POST that is answered 504 now and commits later.
    Late,
    /// A POST that is refused for good: nothing happens, and everybody knows.
    Refused,
    /// A POST whose answer lacks the secret.
    Keyless,
}

impl World {
    /// Carries the next step of a pass out; a pass that rests after it ends.
    pub fn carry_out(&mut self, who: usize, fault: Option<Fault>) {
        let Some(shared) = &self.operators[who].pass else { return };
        let mut pass = Pass::clone(shared);
        let step = pass.step.clone();
        if !self.intact(Fence::ListBeforeRead) {
            self.swap_listing_and_read(&mut pass);
        }
        let answer = match fault {
            None => self.effect(&mut pass, who),
            Some(fault) => self.faulty(&mut pass, fault, who),
        };
        if let Answer::Live(Some(object), _, _)
        | Answer::Intent(object, _)
        | Answer::Object(object)
        | Answer::Recorded(object) = &answer
            && let Some(declared) = &self.declared
            && object.uid == pass.observed.object.uid
            && object.version == declared.object.version
        {
            pass.deleting = declared.deletion.is_some();
            pass.spec = declared.spec;
        }
        if let (Step::Post { .. }, Some(useful)) = (&step, useful(&answer)) {
            self.count_post(who, &pass, useful);
        }
        let put_back = self.put_back(&pass).is_some();
        pass.observed.absorb(&step, answer);
        if put_back && matches!(step, Step::WriteIntent { .. }) {
            // The Secret's token is not this pass's own, with the fence `FreshToken` out.
            pass.observed.pending = Pending::Nothing;
        }
        self.go_on(who, pass);
    }

    /// Counts a POST for an object that had a client, as the process remembers it.
    fn count_post(&mut self, who: usize, pass: &Pass, useful: bool) {
        if self.budget.brakes && pass.observed.object.recorded.client_id.is_some() {
            let (posts, _) = self.operators[who].posted.unwrap_or_default();
            self.operators[who].posted = Some((posts.and(useful), Duration::ZERO));
        }
    }

    fn faulty(&mut self, pass: &mut Pass, fault: Fault, who: usize) -> Answer {
        let failure = Failure::retry(Reason::APIUnavailable, "");
        let Step::Post { token } = pass.step.clone() else {
            if fault == Fault::Unheard {
                let _unheard = self.effect(pass, who);
            }
            return Answer::Failed(failure);
        };
        match fault {
            Fault::Refused => return Answer::Refused(Failure::stalled(Reason::RejectedByAPI, "")),
            Fault::Uncommitted => {
                self.send(pass, &token, who);
                return Answer::Unknown(failure, None);
            }
            Fault::Unheard | Fault::Late | Fault::Keyless => {}
        }
        let Answer::Created { client_id, .. } = self.effect(pass, who) else {
            return Answer::Unknown(failure, None);
        };
        if fault == Fault::Keyless {
            return Answer::Unknown(failure, Some(client_id));
        }
        self.astray += 1;
        if fault == Fault::Late
            && let Some(client) = self.remote.get(&client_id).cloned()
        {
            self.remote.change(|remote| {
                remote.remove(&client_id);
            });
            self.late.insert(client_id, client);
        }
        Answer::Unknown(failure, None)
    }

    fn guarded(&self, pass: &Pass, version: &Version) -> bool {
        self.alive(pass) && self.declared.as_ref().is_some_and(|declared| &declared.object.version == version)
    }

    /// Whether the object that the pass is about is there.
    fn alive(&self, pass: &Pass) -> bool {
        self.uid() == Some(&pass.observed.object.uid)
    }

    /// The effect of a step, and its answer.
    fn effect(&mut self, pass: &mut Pass, who: usize) -> Answer {
        match &pass.step.clone() {
            Step::ReadLive => {
                let (object, found) = pass.read_too_early.clone().unwrap_or_else(|| self.read_live(pass));
                pass.place = found.place;
                Answer::Live(object, found.secret, found.leftover)
            }
            Step::ReadSecret => self.read_secret(pass),
            Step::List => Answer::Listing(self.listing(pass)),
            Step::Get { client_id } => Answer::Client(self.shown(pass, client_id)),
            Step::WriteIntent { version, unknown } => self.write_intent(pass, version, unknown),
            Step::DryRun { write } if self.may_write(pass, write) => Answer::DryRunPassed,
            Step::DryRun { .. } => Answer::Conflict,
            Step::Post { token } => self.post(pass, token, who),
            Step::Publish { client_id, token, write, .. } => self.publish(pass, client_id, token, write),
            Step::MoveToken { token, client_id, version } => self.move_token(pass, token, client_id, version),
            Step::CheckCrd if self.intact(Fence::CheckCrd) => Answer::Crd(self.crd),
            Step::CheckCrd => Answer::Crd(CrdState::Established),
            Step::Reshape { client_id, version } => self.reshape(pass, client_id, None, version),
            Step::TakeOver { client_id, token, version } => self.reshape(pass, client_id, Some(token), version),
            Step::TakeCredential { client_id, .. } => self.take_credential(pass, client_id),
            Step::Relocate { client_id, version } => self.relocate(pass, client_id, version),
            Step::DeleteSecret { leftover, version } => self.delete_secret(pass, *leftover, version),
            Step::ReleaseSecret { retained, version } => self.release_secret(pass, *retained, version),
            Step::Abandon { .. } => Answer::Abandoned,
            Step::Put { client_id, change, result } => self.put(pass, client_id, change, result),
            Step::Delete { client_id, because } => {
                self.remove(client_id, *because, Some(pass));
                Answer::Deleted
            }
            Step::Record(record) => self.record(pass, record),
            Step::AddFinalizer { version } if self.guarded(pass, version) => {
                self.touch(|declared| declared.object.finalizer |= declared.deletion.is_none());
                self.object().map_or(Answer::Conflict, Answer::Object)
            }
            Step::StrikeUnknown { version } if self.guarded(pass, version) => {
                self.touch(|declared| declared.object.unknown.clear());
                self.object().map_or(Answer::Conflict, Answer::Object)
            }
            Step::RemoveFinalizer { version } if self.guarded(pass, version) => {
                self.touch(|declared| declared.object.finalizer = false);
                Answer::Released
            }
            Step::AddFinalizer { .. } | Step::StrikeUnknown { .. } | Step::RemoveFinalizer { .. } => Answer::Conflict,
            Step::Forget | Step::Rest => Answer::Forgotten,
        }
    }

    fn object(&self) -> Option<Object> {
        self.declared.as_ref().map(|declared| declared.object.clone())
    }

    fn read_live(&self, pass: &Pass) -> (Option<Object>, Whereabouts) {
        let declared = self.declared.as_ref().filter(|declared| declared.object.uid == pass.observed.object.uid);
        let (object, spec) = match declared {
            Some(declared) => (&declared.object, &declared.spec),
            None => (&pass.observed.object, &pass.spec),
        };
        let found = locate(self, &self.secrets, object, spec, true);
        (declared.map(|declared| declared.object.clone()), found)
    }

    fn read_secret(&self, pass: &Pass) -> Answer {
        let known = pass.observed.secret.stored().map(|stored| &stored.version);
        match view(self, self.secrets[pass.place].as_deref(), &pass.observed.object, &pass.spec, true) {
            Secret::Ours(stored) if known == Some(&stored.version) => Answer::Data(stored.credential, stored.in_shape),
            Secret::Ours(_) | Secret::Absent | Secret::Foreign(_) => Answer::Conflict,
        }
    }

    /// Swaps reading and listing, with the fence `ListBeforeRead` out.
    fn swap_listing_and_read(&self, pass: &mut Pass) {
        if pass.step == Step::List {
            pass.read_too_early = Some(self.read_live(pass));
        } else if pass.step == Step::ReadLive && pass.read_too_early.is_some() {
            let listing = self.listing(pass);
            pass.observed.absorb(&Step::List, Answer::Listing(listing));
        }
    }

    fn write_intent(&mut self, pass: &Pass, version: &Version, unknown: &BTreeSet<Token>) -> Answer {
        if !self.alive(pass) || self.intact(Fence::IntentVersion) && !self.guarded(pass, version) {
            return Answer::Conflict;
        }
        let put_back = self.put_back(pass);
        let twin = self.twin.unwrap_or_default();
        let fresh = || Token::mint(&pass.observed.object.uid, &format!("{twin}{}", self.object_writes + 1));
        let token = put_back.clone().unwrap_or_else(fresh);
        self.touch(|declared| {
            declared.object.token = Some(token.clone());
            declared.object.unknown = unknown.clone();
            // The API server adds no finalizer to an object that is being deleted; without finalizers such an object is
            // gone.
            declared.object.finalizer |= declared.deletion.is_none();
        });
        match self.object() {
            None => Answer::Conflict,
            Some(object) => Answer::Intent(object, token),
        }
    }

    /// The token of a Secret that holds the recorded client while no other is wanted, with the fence `FreshToken` out.
    fn put_back(&self, pass: &Pass) -> Option<Token> {
        let object = &pass.observed.object;
        let Secret::Ours(stored) = &pass.observed.secret else { return None };
        let withdrawn = stored.client_id == object.recorded.client_id
            && stored.credential == Credential::AsRecorded
            && !object.rotation_asked;
        (withdrawn && !self.intact(Fence::FreshToken)).then(|| stored.token.clone()).flatten()
    }

    /// Writes only what differs by the pass's own view; nothing, if nothing does.
    fn record(&mut self, pass: &Pass, record: &Record) -> Answer {
        let before = &pass.observed.object;
        let mut after = before.clone();
        let due: BTreeMap<_, _> =
            before.recorded.retiring.iter().map(|former| (&former.client_id, former.due)).collect();
        let retiring = record.retiring.iter().map(|client_id| Retiring {
            client_id: client_id.clone(),
            due: due.get(client_id).copied().unwrap_or(false),
        });
        after.recorded.retiring = retiring.collect();
        if let Some(published) = &record.published {
            let another = after.recorded.client_id.as_ref().is_some_and(|former| former != &published.client_id);
            if another && self.budget.brakes {
                after.replaced = Replaced::JustNow;
            }
            let recorded = &mut after.recorded;
            recorded.client_id = Some(published.client_id.clone());
            recorded.secret_version = published.credential.as_ref().map(|kept| kept.version.clone());
            let digest = published.credential.as_ref().map(|kept| kept.digest.clone().or(recorded.digest.clone()));
            recorded.digest = digest.flatten();
            recorded.secret_name = published.credential.as_ref().map(|_| NAMES[pass.spec.name].to_owned());
            recorded.adopted = published.adopted;
            recorded.drift = published.drift.clone();
            after.rotation_asked = false;
        }
        if after == *before {
            return Answer::Recorded(after);
        }
        if !self.alive(pass) || self.intact(Fence::RecordVersion) && !self.guarded(pass, &record.version) {
            return Answer::Conflict;
        }
        self.touch(|Declared { object: live, .. }| {
            let (live_status, old, new) = (&mut live.recorded, &before.recorded, after.recorded);
            patch(&mut live_status.client_id, &old.client_id, new.client_id);
            patch(&mut live_status.secret_version, &old.secret_version, new.secret_version);
            patch(&mut live_status.digest, &old.digest, new.digest);
            patch(&mut live_status.secret_name, &old.secret_name, new.secret_name);
            patch(&mut live_status.adopted, &old.adopted, new.adopted);
            patch(&mut live_status.drift, &old.drift, new.drift);
            let due: Vec<_> = live_status.retiring.iter().filter(|it| it.due).map(|it| it.client_id.clone()).collect();
            patch(&mut live_status.retiring, &old.retiring, new.retiring);
            // The writer's view decides when an overlap ends; time alone decides whether it has ended.
            live_status.retiring.iter_mut().for_each(|former| former.due |= due.contains(&former.client_id));
            patch(&mut live.rotation_asked, &before.rotation_asked, after.rotation_asked);
            patch(&mut live.replaced, &before.replaced, after.replaced);
        });
        self.object().map_or(Answer::Conflict, Answer::Recorded)
    }
}

/// Whether a POST was answered with a client and its secret; `None` if none was sent.
fn useful(answer: &Answer) -> Option<bool> {
    let (created, unknown) = (matches!(answer, Answer::Created { .. }), matches!(answer, Answer::Unknown(..)));
    (created || unknown).then_some(created)
}

fn patch<T: PartialEq>(live: &mut T, old: &T, new: T) {
    if new != *old {
        *live = new;
    }
}

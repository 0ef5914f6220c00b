//! What a step does to the world, and what it is answered.

use std::collections::{BTreeMap, BTreeSet};

use meshagent_operator::api::Reason;
use meshagent_operator::decide::failure::Failure;
use meshagent_operator::decide::id::{ClientId, Digest, Token, Version};
use meshagent_operator::decide::next::{Published, Record, Removal, SecretWrite, Step, Verdict};
use meshagent_operator::decide::observed::{
    Answer, Credential, Definition, Object, RemoteClient, Retiring, Secret, Stored,
};

use super::{Declared, FOREIGN, Fence, Pass, StoredSecret, World, of_interest, wanted};
use crate::shared::Shared;

/// What may go wrong with one step.
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
            None => self.effect(&pass),
            Some(fault) => self.faulty(&pass, fault),
        };
        if let Answer::Live(Some(object), _, _)
        | Answer::Intent(object, _)
        | Answer::Object(object)
        | Answer::Recorded(object) = &answer
            && let Some(declared) = &self.declared
            && object.uid == pass.observed.object.uid
            && object.version == declared.object.version
        {
            pass.deleting = declared.deleting;
            pass.variant = declared.variant;
        }
        pass.observed.absorb(&step, answer);
        self.go_on(who, pass);
    }

    fn faulty(&mut self, pass: &Pass, fault: Fault) -> Answer {
        let failure = Failure::retry(Reason::APIUnavailable, "");
        let Step::Post { token } = &pass.step else {
            if fault == Fault::Unheard {
                let _unheard = self.effect(pass);
            }
            return Answer::Failed(failure);
        };
        match fault {
            Fault::Refused => return Answer::Refused(failure),
            Fault::Uncommitted => {
                self.send(token);
                return Answer::Unknown(failure, None);
            }
            Fault::Unheard | Fault::Late | Fault::Keyless => {}
        }
        let Answer::Created { client_id, .. } = self.effect(pass) else {
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
    fn effect(&mut self, pass: &Pass) -> Answer {
        match &pass.step {
            Step::ReadLive => {
                let (object, secret) = pass.read_too_early.clone().unwrap_or_else(|| self.read_live(pass));
                Answer::Live(object, secret, None)
            }
            Step::ReadSecret => match Self::view_secret(self.secret.as_deref(), &pass.observed.object, true) {
                Secret::Ours(stored) => Answer::Data(stored.credential, stored.in_shape),
                Secret::Absent | Secret::Foreign(_) => Answer::Conflict,
            },
            Step::List => Answer::Listing(of_interest(&self.remote, &pass.observed.object)),
            Step::Get { client_id } => Answer::Client(self.remote.get(client_id).cloned()),
            Step::WriteIntent { version, unknown } => self.write_intent(pass, version, unknown),
            Step::Rehearse { write } if self.may_write(write) => Answer::Rehearsed,
            Step::Rehearse { .. } => Answer::Conflict,
            Step::Post { token } => self.post(pass, token),
            Step::Publish { client_id, token, write, .. } => self.publish(pass, client_id, token, write),
            Step::MoveToken { token, version } => self.move_token(pass, token, version),
            Step::AskDefinition => Answer::Definition(Definition::Established),
            Step::Reshape { .. }
            | Step::TakeOver { .. }
            | Step::TakeCredential { .. }
            | Step::Relocate { .. }
            | Step::DeleteSecret { .. }
            | Step::LeaveSecret { .. }
            | Step::Abandon { .. } => {
                self.violation = Some("nothing asks for this in this model");
                Answer::Conflict
            }
            Step::Put { client_id, result, .. } => self.put(client_id, result),
            Step::Delete { client_id, because } => {
                self.remove(client_id, *because);
                Answer::Deleted
            }
            Step::Record(record) => self.record(pass, record),
            Step::StrikeUnknown { version } if self.guarded(pass, version) => {
                self.touch(|declared| declared.object.unknown.clear());
                self.object().map_or(Answer::Conflict, Answer::Object)
            }
            Step::RemoveFinalizer { version } if self.guarded(pass, version) => {
                self.touch(|declared| declared.object.finalizer = false);
                Answer::Released
            }
            Step::StrikeUnknown { .. } | Step::RemoveFinalizer { .. } => Answer::Conflict,
            Step::Forget | Step::Rest => Answer::Forgotten,
        }
    }

    fn object(&self) -> Option<Object> {
        self.declared.as_ref().map(|declared| declared.object.clone())
    }

    fn read_live(&self, pass: &Pass) -> (Option<Object>, Secret) {
        let object = self.object();
        let secret = Self::view_secret(self.secret.as_deref(), object.as_ref().unwrap_or(&pass.observed.object), true);
        (object, secret)
    }

    /// With the fence out, reading and listing change places.
    fn swap_listing_and_read(&self, pass: &mut Pass) {
        if pass.step == Step::List {
            pass.read_too_early = Some(self.read_live(pass));
        } else if pass.step == Step::ReadLive && pass.read_too_early.is_some() {
            let listing = of_interest(&self.remote, &pass.observed.object);
            pass.observed.absorb(&Step::List, Answer::Listing(listing));
        }
    }

    fn write_intent(&mut self, pass: &Pass, version: &Version, unknown: &BTreeSet<Token>) -> Answer {
        if !self.alive(pass) || self.intact(Fence::IntentVersion) && !self.guarded(pass, version) {
            return Answer::Conflict;
        }
        let put_back = self.put_back(pass);
        let fresh = || Token::mint(&pass.observed.object.uid, &(self.object_writes + 1).to_string());
        let token = put_back.clone().unwrap_or_else(fresh);
        self.touch(|declared| {
            declared.object.token = Some(token.clone());
            declared.object.unknown = unknown.clone();
            declared.object.finalizer = true;
        });
        match self.object() {
            None => Answer::Conflict,
            Some(object) if put_back.is_some() => Answer::Object(object),
            Some(object) => Answer::Intent(object, token),
        }
    }

    /// With the fence out: the token of a Secret that holds the recorded client, while nothing else is wanted.
    fn put_back(&self, pass: &Pass) -> Option<Token> {
        let object = &pass.observed.object;
        let Secret::Ours(stored) = &pass.observed.secret else { return None };
        let withdrawn = stored.client_id == object.recorded.client_id
            && stored.credential == Credential::AsRecorded
            && !object.rotation_asked;
        (withdrawn && !self.intact(Fence::FreshToken)).then(|| stored.token.clone()).flatten()
    }

    /// Notes that the POST of this token was sent.
    fn send(&mut self, token: &Token) {
        if self.posted.contains(token) {
            self.violation = Some("a token was POSTed twice");
        }
        self.posted.change(|posted| {
            posted.insert(token.clone());
        });
    }

    fn post(&mut self, pass: &Pass, token: &Token) -> Answer {
        self.send(token);
        let client_id = ClientId::new(format!("c-{token}"));
        let client = wanted(&pass.observed.object.uid, pass.variant).client(token);
        self.remote.change(|remote| {
            remote.insert(client_id.clone(), client.clone());
        });
        Answer::Created { digest: Digest::new(client_id.as_str()), client_id, client }
    }

    fn may_write(&self, write: &SecretWrite) -> bool {
        match write {
            SecretWrite::Create => self.secret.is_none() || !self.intact(Fence::CreateNotApply),
            SecretWrite::Replace(version) => self.secret.as_ref().is_some_and(|secret| &secret.version == version),
        }
    }

    fn publish(&mut self, pass: &Pass, client_id: &ClientId, token: &Token, write: &SecretWrite) -> Answer {
        if !self.may_write(write) {
            return Answer::Conflict;
        }
        let uid = pass.observed.object.uid.clone();
        if self.secret.as_ref().is_some_and(|secret| secret.uid != uid) {
            self.violation = Some("I4: a foreign Secret was written");
        }
        self.secret_writes += 1;
        let version = Version::new(self.secret_writes.to_string());
        let secret = StoredSecret { version: version.clone(), uid, token: token.clone(), client_id: client_id.clone() };
        self.secret = Some(Shared::new(secret));
        Answer::Stored(Stored {
            version,
            token: Some(token.clone()),
            client_id: Some(client_id.clone()),
            credential: Credential::Other(Digest::new(client_id.as_str())),
            in_shape: true,
            misplaced: false,
            owned: true,
            retained: false,
        })
    }

    fn move_token(&mut self, pass: &Pass, token: &Token, version: &Version) -> Answer {
        let Some(client_id) = self.secret.as_ref().map(|secret| secret.client_id.clone()) else {
            return Answer::Conflict;
        };
        let moved = self.publish(pass, &client_id, token, &SecretWrite::Replace(version.clone()));
        if let Answer::Stored(stored) = moved {
            Answer::Stored(Stored { credential: Credential::AsRecorded, ..stored })
        } else {
            moved
        }
    }

    fn put(&mut self, client_id: &ClientId, result: &RemoteClient) -> Answer {
        if client_id.as_str() == FOREIGN {
            self.violation = Some("I4: a foreign client was changed");
        }
        if !self.remote.contains_key(client_id) {
            return Answer::Failed(Failure::retry(Reason::APIUnavailable, ""));
        }
        self.remote.change(|remote| {
            remote.insert(client_id.clone(), result.clone());
        });
        Answer::Updated(result.clone())
    }

    pub fn remove(&mut self, client_id: &ClientId, because: Removal) {
        if client_id.as_str() == FOREIGN {
            self.violation = Some("I4: a foreign client was deleted");
        }
        if let Some(declared) = &self.declared {
            let recorded = &declared.object.recorded;
            if !declared.deleting && recorded.client_id.as_ref() == Some(client_id) {
                self.violation = Some("I4: the recorded client of a living object was deleted");
            }
            let former = recorded.retiring.iter().find(|former| &former.client_id == client_id);
            if because == Removal::Retired && former.is_some_and(|former| !former.due) {
                self.violation = Some("I4: a former client was deleted before its overlap had ended");
            }
        }
        if self.remote.contains_key(client_id) {
            self.remote.change(|remote| {
                remote.remove(client_id);
            });
        }
    }

    /// Only what differs, by the pass's own view, is written; nothing, if nothing does.
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
        if let (Verdict::Converged, Some(Published { client_id, credential: Some(kept), .. })) =
            (&record.verdict, &record.published)
        {
            after.recorded.client_id = Some(client_id.clone());
            after.recorded.secret_version = Some(kept.version.clone());
            after.recorded.digest = kept.digest.clone().or(after.recorded.digest);
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
            let due: Vec<_> = live_status.retiring.iter().filter(|it| it.due).map(|it| it.client_id.clone()).collect();
            patch(&mut live_status.retiring, &old.retiring, new.retiring);
            // What is written is when an overlap ends; whether it has ended is a matter of time, not of the writer's view.
            live_status.retiring.iter_mut().for_each(|former| former.due |= due.contains(&former.client_id));
            patch(&mut live.rotation_asked, &before.rotation_asked, after.rotation_asked);
        });
        self.object().map_or(Answer::Conflict, Answer::Recorded)
    }
}

fn patch<T: PartialEq>(live: &mut T, old: &T, new: T) {
    if new != *old {
        *live = new;
    }
}

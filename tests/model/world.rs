//! The world of the model: one OAuthClient, its Secret, MeshAgent's clients, two operators, a sweep and a user.
//!
//! Every effect is atomic, as the real ones are; everything between two effects may be interleaved with anything else.

use std::collections::{BTreeMap, BTreeSet};

use meshagent_operator::api::Reason;
use meshagent_operator::decide::change::Wanted;
use meshagent_operator::decide::disowned::{Evidence, disowned};
use meshagent_operator::decide::failure::Failure;
use meshagent_operator::decide::id::{ClientId, ClusterId, Digest, Token, Uid, Version};
use meshagent_operator::decide::marker::{Owner, Policy};
pub use meshagent_operator::decide::next::Step;
use meshagent_operator::decide::next::{Desired, Published, Record, Removal, SecretWrite, Verdict, next};
use meshagent_operator::decide::observed::{
    Answer, Credential, Held, Object, Observed, Recorded, RemoteClient, Replaced, Retiring, Secret, Stored,
};
use meshagent_operator::decide::settings::Settings;

/// A fence that can be taken out, to show that a property falls without it.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub enum Fence {
    /// The resourceVersion on the status patch.
    RecordVersion,
    /// The resourceVersion on the intent.
    IntentVersion,
    /// The listing is taken before the object and its Secret are read, not after.
    ListBeforeRead,
    /// The Secret is created, not applied.
    CreateNotApply,
}

/// How much of everything may happen.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub struct Budget {
    pub passes: u8,
    pub crashes: u8,
    pub lost_answers: u8,
    pub sweeps: u8,
    pub deletes: u8,
    pub creates: u8,
    pub replaces: u8,
    pub rotations: u8,
    pub edits: u8,
    pub secret_deletes: u8,
    pub studio_deletes: u8,
}

/// The OAuthClient in etcd.
#[derive(Clone, Debug, PartialEq, Eq, Hash)]
pub struct Declared {
    pub object: Object,
    pub deleting: bool,
    pub variant: u8,
}

/// One operator process: its caches, what it holds, and the pass it is in.
#[derive(Clone, Debug, PartialEq, Eq, Hash, Default)]
pub struct Operator {
    pub cached: Option<Declared>,
    pub cached_secret: Option<StoredSecret>,
    pub cached_remote: BTreeMap<ClientId, RemoteClient>,
    pub held: Option<Held>,
    pub pass: Option<Pass>,
}

/// A pass under way.
#[derive(Clone, Debug, PartialEq, Eq, Hash)]
pub struct Pass {
    pub observed: Observed,
    pub deleting: bool,
    pub variant: u8,
}

/// The Secret in etcd.
#[derive(Clone, Debug, PartialEq, Eq, Hash)]
pub struct StoredSecret {
    pub version: u16,
    pub uid: Uid,
    pub token: Token,
    pub client_id: ClientId,
}

/// The sweep, between its effects.
#[derive(Clone, Debug, PartialEq, Eq, Hash, Default)]
pub enum Sweep {
    #[default]
    Idle,
    Listed(BTreeMap<ClientId, RemoteClient>),
    /// With the fence `ListBeforeRead` out: what was read before the listing instead of after it.
    ReadTooEarly(Box<(Option<Declared>, Option<StoredSecret>)>),
    Judged(Vec<ClientId>),
}

/// Everything.
#[derive(Clone, Debug, PartialEq, Eq, Hash)]
pub struct World {
    pub fence_out: Option<Fence>,
    pub declared: Option<Declared>,
    pub secret: Option<StoredSecret>,
    pub remote: BTreeMap<ClientId, RemoteClient>,
    pub late: Vec<(ClientId, RemoteClient)>,
    pub operators: [Operator; 2],
    pub sweep: Sweep,
    pub budget: Budget,
    pub posted: BTreeSet<Token>,
    pub deleted_in_studio: BTreeSet<ClientId>,
    /// POSTs whose answer reached nobody who could publish or delete what they made.
    pub astray: u8,
    pub clock: u16,
    pub violation: Option<&'static str>,
}

/// The client of somebody else in the same project.
pub const FOREIGN: &str = "foreign";

impl World {
    pub fn begin(budget: Budget, fence_out: Option<Fence>) -> Self {
        let foreign = RemoteClient { settings: Settings::default(), marker: None };
        let mut world = Self {
            fence_out,
            declared: None,
            secret: None,
            remote: BTreeMap::from([(ClientId::new(FOREIGN), foreign)]),
            late: Vec::new(),
            operators: [Operator::default(), Operator::default()],
            sweep: Sweep::Idle,
            budget,
            posted: BTreeSet::new(),
            deleted_in_studio: BTreeSet::new(),
            astray: 0,
            clock: 0,
            violation: None,
        };
        world.create();
        world
    }

    pub fn intact(&self, fence: Fence) -> bool {
        self.fence_out != Some(fence)
    }

    fn tick(&mut self) -> u16 {
        self.clock += 1;
        self.clock
    }

    fn version(&mut self) -> Version {
        Version::new(self.tick().to_string())
    }

    pub fn create(&mut self) {
        let uid = Uid::new(format!("u{}", self.tick()));
        let object = Object {
            uid,
            version: self.version(),
            finalizer: false,
            token: None,
            unknown: BTreeSet::new(),
            recorded: Recorded::default(),
            rotation_asked: false,
            replaced: Replaced::LongAgo,
        };
        self.declared = Some(Declared { object, deleting: false, variant: 0 });
    }

    /// What a user or a controller other than ours does to the object.
    pub fn touch(&mut self, change: impl FnOnce(&mut Declared)) {
        let version = self.version();
        if let Some(declared) = &mut self.declared {
            change(declared);
            declared.object.version = version;
        }
        if self.declared.as_ref().is_some_and(|declared| declared.deleting && !declared.object.finalizer) {
            self.declared = None;
        }
    }

    /// The garbage collector: a Secret goes with the object that owns it.
    pub fn collect_garbage(&mut self) -> bool {
        let orphaned = self
            .secret
            .as_ref()
            .is_some_and(|secret| self.declared.as_ref().is_none_or(|declared| declared.object.uid != secret.uid));
        if orphaned {
            self.secret = None;
        }
        orphaned
    }

    fn view_secret(secret: Option<&StoredSecret>, object: &Object, live: bool) -> Secret {
        let Some(secret) = secret else { return Secret::Absent };
        if secret.uid != object.uid {
            return Secret::Foreign;
        }
        let digest = Digest::new(secret.client_id.as_str());
        let version = Version::new(secret.version.to_string());
        let as_recorded = object.recorded.digest.as_ref() == Some(&digest);
        let credential = match (live, object.recorded.secret_version.as_ref() == Some(&version)) {
            (false, true) => Credential::AsRecorded,
            (false, false) => Credential::Unread,
            (true, _) if as_recorded => Credential::AsRecorded,
            (true, _) => Credential::Other(digest),
        };
        Secret::Ours(Stored {
            version,
            token: Some(secret.token.clone()),
            client_id: Some(secret.client_id.clone()),
            credential,
            in_shape: true,
        })
    }

    /// The caches of an operator show what is there now.
    pub fn refresh(&mut self, who: usize) {
        self.operators[who].cached = self.declared.clone();
        self.refresh_secret_and_listing(who);
    }

    pub fn refresh_secret_and_listing(&mut self, who: usize) {
        self.operators[who].cached_secret = self.secret.clone();
        self.operators[who].cached_remote = self.remote.clone();
    }

    pub fn start_pass(&mut self, who: usize) {
        let operator = &mut self.operators[who];
        let Some(cached) = operator.cached.clone() else { return };
        let secret = Self::view_secret(operator.cached_secret.as_ref(), &cached.object, false);
        let held = operator.held.take().unwrap_or(Held::Nothing);
        let relevant = operator.cached_remote.iter().filter(|(id, client)| relevant(&cached.object, id, client));
        let remote = relevant.map(|(id, client)| (id.clone(), client.clone())).collect();
        let observed = Observed::begin(cached.object, secret, remote, held);
        operator.pass = Some(Pass { observed, deleting: cached.deleting, variant: cached.variant });
    }

    /// No pass may start any more: what the caches hold matters no longer.
    pub fn forget_caches(&mut self) {
        for operator in &mut self.operators {
            operator.cached = None;
            operator.cached_secret = None;
            operator.cached_remote.clear();
        }
    }

    /// The next step of a pass.
    pub fn step_of(&self, who: usize) -> Option<Step> {
        let pass = self.operators[who].pass.as_ref()?;
        Some(next(&pass.desired(), &pass.observed))
    }

    /// Carries one step out. `committed` and `heard`: whether its effect happened, and whether its answer came back.
    pub fn carry_out(&mut self, who: usize, step: &Step, committed: bool, heard: bool) {
        let lost = || Answer::Failed(Failure::retry(Reason::APIUnavailable, ""));
        let answer = if !committed {
            if matches!(step, Step::Post { .. }) {
                Answer::Unknown(Failure::retry(Reason::APIUnavailable, ""), None)
            } else {
                lost()
            }
        } else {
            let answer = self.effect(who, step);
            match (heard, &answer) {
                (true, _) => answer,
                (false, Answer::Created { .. }) => {
                    self.astray += 1;
                    Answer::Unknown(Failure::retry(Reason::APIUnavailable, ""), None)
                }
                (false, _) => lost(),
            }
        };
        self.fold_in(who, step, answer);
    }

    /// A POST that is answered 504 now and commits later.
    pub fn post_late(&mut self, who: usize) {
        let Some(step @ Step::Post { .. }) = self.step_of(who) else {
            return;
        };
        let answer = self.effect(who, &step);
        if let Answer::Created { client_id, client, .. } = answer {
            self.remote.remove(&client_id);
            self.late.push((client_id, client));
            self.astray += 1;
        }
        self.fold_in(who, &step, Answer::Unknown(Failure::retry(Reason::APIUnavailable, ""), None));
    }

    fn fold_in(&mut self, who: usize, step: &Step, answer: Answer) {
        let declared = self.declared.clone();
        let Some(pass) = &mut self.operators[who].pass else {
            return;
        };
        if let (Answer::Live(Some(object), _) | Answer::Intent(object, _) | Answer::Object(object), Some(declared)) =
            (&answer, &declared)
            && object.uid == pass.observed.object.uid
        {
            pass.deleting = declared.deleting;
            pass.variant = declared.variant;
        }
        pass.observed.absorb(step, answer);
    }

    /// Ends a pass; what it holds stays with the process.
    pub fn end_pass(&mut self, who: usize) {
        let operator = &mut self.operators[who];
        if let Some(pass) = operator.pass.take() {
            operator.held = match pass.observed.held {
                Held::Nothing => None,
                held @ (Held::Unspent(_) | Held::Credential { .. } | Held::Keyless { .. }) => Some(held),
            };
            if pass.observed.object_gone {
                operator.held = None;
            }
        }
    }

    pub fn crash(&mut self, who: usize) {
        let operator = &mut self.operators[who];
        let held = operator.pass.take().map(|pass| pass.observed.held).or(operator.held.take());
        if matches!(held, Some(Held::Credential { .. } | Held::Keyless { .. })) {
            self.astray += 1;
        }
        self.operators[who].held = None;
    }

    fn guarded(&self, version: &Version) -> bool {
        self.declared.as_ref().is_some_and(|declared| &declared.object.version == version)
    }

    /// The effect of a step, and its answer.
    fn effect(&mut self, who: usize, step: &Step) -> Answer {
        let Some(pass) = self.operators[who].pass.clone() else {
            return Answer::Conflict;
        };
        let uid = pass.observed.object.uid.clone();
        let alive = self.declared.as_ref().is_some_and(|declared| declared.object.uid == uid);
        match step {
            Step::ReadLive => {
                let (object, secret) = self.read_live(&pass);
                Answer::Live(object, secret)
            }
            Step::ReadSecret => match Self::view_secret(self.secret.as_ref(), &pass.observed.object, true) {
                Secret::Ours(stored) => Answer::Data(stored.credential, stored.in_shape),
                Secret::Absent | Secret::Foreign => Answer::Conflict,
            },
            Step::List => Answer::Listing(self.listing(&pass.observed.object)),
            Step::Get { client_id } => Answer::Client(self.remote.get(client_id).cloned()),
            Step::WriteIntent { version, unknown } => self.write_intent(&uid, version, unknown),
            Step::Rehearse { write } if self.may_write(write) => Answer::Rehearsed,
            Step::Rehearse { .. } => Answer::Conflict,
            Step::Post { token } => self.post(&pass, token),
            Step::Publish { client_id, token, write, .. } => self.publish(&uid, client_id, token, write),
            Step::MoveToken { token, version } => self.move_token(&uid, token, version),
            Step::Reshape { .. } => {
                self.violation = Some("nothing alters a shape in this model");
                Answer::Conflict
            }
            Step::Put { client_id, result, .. } => self.put(client_id, result),
            Step::Delete { client_id, because } => {
                self.remove(client_id, *because);
                Answer::Deleted
            }
            Step::Forget => Answer::Forgotten,
            Step::Record(record) => self.record(&pass.observed.object, record),
            Step::StrikeUnknown { version } if alive && self.guarded(version) => {
                self.touch(|declared| declared.object.unknown.clear());
                self.object().map_or(Answer::Conflict, Answer::Object)
            }
            Step::RemoveFinalizer { .. } if !alive => Answer::Released,
            Step::RemoveFinalizer { version } if self.guarded(version) => {
                self.touch(|declared| declared.object.finalizer = false);
                Answer::Released
            }
            Step::StrikeUnknown { .. } | Step::RemoveFinalizer { .. } => Answer::Conflict,
            Step::Rest => Answer::Forgotten,
        }
    }

    fn write_intent(&mut self, uid: &Uid, version: &Version, unknown: &BTreeSet<Token>) -> Answer {
        let alive = self.declared.as_ref().is_some_and(|declared| &declared.object.uid == uid);
        if !alive || self.intact(Fence::IntentVersion) && !self.guarded(version) {
            return Answer::Conflict;
        }
        let token = Token::mint(uid, &self.tick().to_string());
        self.touch(|declared| {
            declared.object.token = Some(token.clone());
            declared.object.unknown = unknown.clone();
            declared.object.finalizer = true;
        });
        self.object().map_or(Answer::Conflict, |object| Answer::Intent(object, token))
    }

    fn move_token(&mut self, uid: &Uid, token: &Token, version: &Version) -> Answer {
        let Some(client_id) = self.secret.as_ref().map(|secret| secret.client_id.clone()) else {
            return Answer::Conflict;
        };
        let moved = self.publish(uid, &client_id, token, &SecretWrite::Replace(version.clone()));
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
        match self.remote.get_mut(client_id) {
            Some(client) => {
                *client = result.clone();
                Answer::Updated(client.clone())
            }
            None => Answer::Failed(Failure::retry(Reason::APIUnavailable, "")),
        }
    }

    fn object(&self) -> Option<Object> {
        self.declared.as_ref().map(|declared| declared.object.clone())
    }

    pub fn listing(&self, object: &Object) -> BTreeMap<ClientId, RemoteClient> {
        let relevant = self.remote.iter().filter(|(id, client)| relevant(object, id, client));
        relevant.map(|(id, client)| (id.clone(), client.clone())).collect()
    }

    fn read_live(&self, pass: &Pass) -> (Option<Object>, Secret) {
        let object = self.object();
        let secret = Self::view_secret(self.secret.as_ref(), object.as_ref().unwrap_or(&pass.observed.object), true);
        (object, secret)
    }

    fn post(&mut self, pass: &Pass, token: &Token) -> Answer {
        if !self.posted.insert(token.clone()) {
            self.violation = Some("a token was POSTed twice");
        }
        let client_id = ClientId::new(format!("c{}", self.tick()));
        let client = wanted(&pass.observed.object.uid, pass.variant).client(token);
        self.remote.insert(client_id.clone(), client.clone());
        Answer::Created { digest: Digest::new(client_id.as_str()), client_id, client }
    }

    fn may_write(&self, write: &SecretWrite) -> bool {
        match write {
            SecretWrite::Create => self.secret.is_none() || !self.intact(Fence::CreateNotApply),
            SecretWrite::Replace(version) => {
                self.secret.as_ref().is_some_and(|secret| secret.version.to_string() == version.as_str())
            }
        }
    }

    fn publish(&mut self, uid: &Uid, client_id: &ClientId, token: &Token, write: &SecretWrite) -> Answer {
        if !self.may_write(write) {
            return Answer::Conflict;
        }
        if self.secret.as_ref().is_some_and(|secret| &secret.uid != uid) {
            self.violation = Some("I4: a foreign Secret was written");
        }
        let version = self.tick();
        self.secret =
            Some(StoredSecret { version, uid: uid.clone(), token: token.clone(), client_id: client_id.clone() });
        Answer::Stored(Stored {
            version: Version::new(version.to_string()),
            token: Some(token.clone()),
            client_id: Some(client_id.clone()),
            credential: Credential::Other(Digest::new(client_id.as_str())),
            in_shape: true,
        })
    }

    pub fn remove(&mut self, client_id: &ClientId, because: Removal) {
        if client_id.as_str() == FOREIGN {
            self.violation = Some("I4: a foreign client was deleted");
        }
        if let Some(declared) = &self.declared
            && !declared.deleting
            && declared.object.recorded.client_id.as_ref() == Some(client_id)
        {
            self.violation = Some("I4: the recorded client of a living object was deleted");
        }
        if because == Removal::Retired
            && let Some(declared) = &self.declared
            && declared.object.recorded.retiring.iter().any(|former| &former.client_id == client_id && !former.due)
        {
            self.violation = Some("I4: a former client was deleted before its overlap had ended");
        }
        self.remote.remove(client_id);
    }

    fn record(&mut self, seen: &Object, record: &Record) -> Answer {
        let uid = &seen.uid;
        if self.declared.as_ref().is_none_or(|declared| &declared.object.uid != uid) {
            return Answer::Conflict;
        }
        let mut recorded = seen.recorded.clone();
        let known: BTreeMap<_, _> =
            recorded.retiring.iter().map(|former| (former.client_id.clone(), former.due)).collect();
        recorded.retiring = record
            .retiring
            .iter()
            .map(|client_id| Retiring {
                client_id: client_id.clone(),
                due: known.get(client_id).copied().unwrap_or(false),
            })
            .collect();
        let mut rotation_asked = seen.rotation_asked;
        if let (Verdict::Converged, Some(Published { client_id, secret_version, digest })) =
            (&record.verdict, &record.published)
        {
            recorded.client_id = Some(client_id.clone());
            recorded.secret_version = Some(secret_version.clone());
            recorded.digest = digest.clone().or(recorded.digest);
            rotation_asked = false;
        }
        if recorded == seen.recorded && rotation_asked == seen.rotation_asked {
            return Answer::Recorded(seen.clone());
        }
        if self.intact(Fence::RecordVersion) && !self.guarded(&record.version) {
            return Answer::Conflict;
        }
        self.touch(|declared| {
            declared.object.recorded = recorded;
            declared.object.rotation_asked = rotation_asked;
        });
        self.object().map_or(Answer::Conflict, Answer::Recorded)
    }
}

impl Pass {
    /// What the pass believes is asked for.
    pub fn desired(&self) -> Desired {
        if self.deleting {
            Desired::Absent
        } else {
            Desired::Present(Box::new(wanted(&self.observed.object.uid, self.variant)))
        }
    }
}

/// The client that a variant of the spec asks for.
pub fn wanted(uid: &Uid, variant: u8) -> Wanted {
    let owner = Owner { cluster: ClusterId::new("k"), namespace: "n".into(), name: "o".into(), uid: uid.clone() };
    let settings =
        Settings { scopes: BTreeSet::from([if variant == 0 { "a" } else { "b" }.to_owned()]), ..Settings::default() };
    Wanted { settings, owner, policy: Policy::Delete }
}

/// Whether a client in a listing matters to an object: it is recorded, retiring, or bears its uid.
fn relevant(object: &Object, client_id: &ClientId, client: &RemoteClient) -> bool {
    object.recorded.client_id.as_ref() == Some(client_id)
        || object.recorded.retiring.iter().any(|former| &former.client_id == client_id)
        || client.marker.as_ref().is_some_and(|marker| marker.owner.uid == object.uid)
}

impl Operator {
    /// Whether it holds a credential that is not published yet.
    pub fn has_credential(&self) -> bool {
        let held = self.pass.as_ref().map(|pass| &pass.observed.held).or(self.held.as_ref());
        matches!(held, Some(Held::Credential { .. } | Held::Keyless { .. }))
    }
}

/// What happens besides single effects.
impl World {
    /// One step of a pass, without faults; a pass that rests ends.
    pub fn advance(&mut self, who: usize) {
        match self.step_of(who) {
            Some(Step::Rest) => self.end_pass(who),
            Some(step) => self.carry_out(who, &step, true, true),
            None => {}
        }
    }

    /// The next step of a pass, with a fault.
    pub fn carry_out_next(&mut self, who: usize, committed: bool, heard: bool) {
        if let Some(step) = self.step_of(who) {
            self.carry_out(who, &step, committed, heard);
        }
    }

    pub fn commit_late(&mut self) {
        let (client_id, client) = self.late.remove(0);
        self.remote.insert(client_id, client);
    }

    pub fn overlap_ends(&mut self) {
        if let Some(declared) = &mut self.declared {
            declared.object.recorded.retiring.iter_mut().for_each(|former| former.due = true);
        }
    }

    /// `kubectl replace` of the YAML in git: annotations and finalizer go, status stays.
    pub fn replace(&mut self) {
        // What the annotations knew of POSTs of unknown outcome is lost with them.
        let forgotten = self.declared.as_ref().map_or(0, |declared| declared.object.unknown.len() + 1);
        self.astray += u8::try_from(forgotten).unwrap_or(u8::MAX);
        self.touch(|declared| {
            declared.object.token = None;
            declared.object.unknown.clear();
            declared.object.finalizer = false;
        });
    }

    pub fn delete_in_studio(&mut self) {
        let Some(declared) = &self.declared else { return };
        if let Some(client_id) = declared.object.recorded.client_id.clone() {
            self.remote.remove(&client_id);
            self.deleted_in_studio.insert(client_id);
        }
    }

    pub fn sweep_lists(&mut self) {
        if !self.intact(Fence::ListBeforeRead) {
            self.sweep = Sweep::ReadTooEarly(Box::new((self.declared.clone(), self.secret.clone())));
            return;
        }
        let marked = self.remote.iter().filter(|(_, client)| client.marker.is_some());
        self.sweep = Sweep::Listed(marked.map(|(id, client)| (id.clone(), client.clone())).collect());
    }

    /// The sweep judges by the product's own rule. The age that the rule asks for may pass at any time.
    pub fn sweep_reads(&mut self) {
        let (listed, declared, secret) = match std::mem::take(&mut self.sweep) {
            Sweep::Listed(listed) => (listed, self.declared.clone(), self.secret.clone()),
            Sweep::ReadTooEarly(read) => (self.remote.clone(), read.0, read.1),
            Sweep::Idle | Sweep::Judged(_) => return,
        };
        let judged = listed.iter().filter(|(client_id, client)| {
            let Some(marker) = &client.marker else { return false };
            let declared = declared.as_ref().filter(|declared| declared.object.uid == marker.owner.uid);
            let view;
            let evidence = match declared {
                None => Evidence::Gone,
                Some(declared) => {
                    view = Self::view_secret(secret.as_ref(), &declared.object, true);
                    Evidence::Present(&declared.object, &view)
                }
            };
            disowned(client_id, marker, evidence).is_some()
        });
        let judged: Vec<_> = judged.map(|(client_id, _)| client_id.clone()).collect();
        self.sweep = if judged.is_empty() { Sweep::Idle } else { Sweep::Judged(judged) };
    }

    pub fn sweep_deletes(&mut self) {
        if let Sweep::Judged(judged) = std::mem::take(&mut self.sweep) {
            for client_id in judged {
                self.remove(&client_id, Removal::Disowned);
            }
        }
    }

    /// Without faults, until nothing changes any more.
    pub fn come_to_rest(&mut self) {
        while self.go_on_fairly() {}
        self.forget_caches();
    }

    /// One step of a world without faults: whether anything happened.
    ///
    /// What is under way ends first, both operators' passes in turns; then the first operator, the leader, runs passes
    /// on fresh views, and the sweep runs, until nothing changes any more.
    pub fn go_on_fairly(&mut self) -> bool {
        if !self.late.is_empty() {
            self.commit_late();
            return true;
        }
        if self.operators.iter().any(|operator| operator.pass.is_some()) {
            self.advance(0);
            self.advance(1);
            return true;
        }
        if self.operators[1].held.take().is_some() {
            // It lost leadership with a credential in hand: what it made is cleaned by the others.
            return true;
        }
        if self.sweep != Sweep::Idle {
            self.sweep_reads_or_deletes();
            return true;
        }
        if self.collect_garbage() {
            return true;
        }
        self.overlap_ends();
        let before = (self.declared.clone(), self.secret.clone(), self.remote.clone(), self.operators[0].held.clone());
        self.run_leader();
        self.sweep_lists();
        self.sweep_reads_or_deletes();
        self.sweep_reads_or_deletes();
        before != (self.declared.clone(), self.secret.clone(), self.remote.clone(), self.operators[0].held.clone())
    }

    fn sweep_reads_or_deletes(&mut self) {
        match self.sweep {
            Sweep::Idle => {}
            Sweep::Listed(_) | Sweep::ReadTooEarly(..) => self.sweep_reads(),
            Sweep::Judged(_) => self.sweep_deletes(),
        }
    }

    fn run_leader(&mut self) {
        self.refresh(0);
        if self.declared.is_none() {
            self.operators[0].held = None;
            return;
        }
        self.start_pass(0);
        for _ in 0..100 {
            if self.operators[0].pass.is_none() {
                return;
            }
            self.advance(0);
        }
        self.violation = Some("a pass does not end");
    }
}

//! The world of the model: one OAuthClient, its Secret, MeshAgent's clients, two operators, a sweep and a user.
//!
//! Every effect is atomic, as the real ones are; everything between two effects may be interleaved with anything else.
//! Names derive from what made their bearer (a client's from its token, a token's from the object's version), so that
//! two orders of independent events lead to one state.

mod departures;
mod effects;
mod fair;
mod people;
mod remote;
mod secrets;
mod spec;
mod sweep;

use std::collections::{BTreeMap, BTreeSet};
use std::time::Duration;

use meshagent_operator::api::Reason;
pub use meshagent_operator::decide::client::next::Step;
use meshagent_operator::decide::client::next::{Deletion, Desired, next};
use meshagent_operator::decide::client::observed::{
    Beginning, Cooldown, CrdState, Object, Observed, Pending, ProjectFacts, ProjectState, Recorded, Remote,
    RemoteClient, Replaced,
};
use meshagent_operator::decide::client::posts::Posts;
use meshagent_operator::decide::failure::Failure;
use meshagent_operator::decide::id::{ClientId, Token, Uid, Version};
use meshagent_operator::decide::settings::Settings;
use meshagent_operator::decide::time::{ClockState, LONG_PATIENCE, PATIENCE};

pub use departures::{DeletedBy, Left};
pub use effects::Fault;
pub use fair::Rests;
pub use people::UserAction;
pub use secrets::{ALTERED, Secrets, StoredSecret};
pub use spec::{Adoption, NAMES, Spec};
pub use sweep::Sweep;

use super::shared::Shared;
use secrets::{Whereabouts, locate};

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
    /// A withdrawn intent gets a fresh token; without the fence the object gets the Secret's token back.
    FreshToken,
    /// The sweep looks for a Secret that says that the client was retained.
    RetainedSecret,
    /// A retained client is taken back only if its own marker says so.
    Consent,
    /// A client that only the Secret names is used only if its marker is the object's.
    SecretVouches,
    /// The object's ownership is taken off the Secret before the finalizer goes.
    OwnerOffFirst,
    /// The pass checks before a deletion whether the CRD is being deleted.
    CheckCrd,
    /// The object owns its Secret only if the Secret is to go with it.
    OwnsSecret,
    /// The policy decides what becomes of the client.
    Deletion,
    /// The Secret is looked for under its former name as well.
    Locate,
    /// The sweep judges by what the API server says; without the fence every client that it judges is an orphan.
    Judge,
    /// A client that is gone together with many others is not replaced.
    ManyGone,
}

/// How much of everything may happen.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, Default)]
pub struct Budget {
    pub passes: u8,
    pub crashes: u8,
    pub lost_answers: u8,
    pub sweeps: u8,
    /// How often each [`UserAction`] may happen.
    pub user_actions: [u8; UserAction::COUNT],
    /// The most clients that the project may hold, others' included.
    pub limit: Option<u8>,
    /// Whether the caches of Secrets and of the listing are stale each on its own.
    pub apart: bool,
    /// Whether there is one operator only, so that more may go wrong.
    pub solo: bool,
    /// Whether replacements and POSTs delay the next, until time passes.
    pub brakes: bool,
    /// How often time passes: a cooldown ends, and the last replacement is further ago.
    pub time: u8,
}

impl Budget {
    /// The budget with an action so many times.
    pub const fn with(mut self, action: UserAction, times: u8) -> Self {
        self.user_actions[action as usize] = times;
        self
    }

    pub fn has(&self, action: UserAction) -> bool {
        self.user_actions[action as usize] > 0
    }
}

/// The OAuthClient in etcd.
#[derive(Clone, Debug, PartialEq, Eq, Hash)]
pub struct Declared {
    pub object: Object,
    pub deletion: Option<DeletedBy>,
    pub spec: Spec,
}

/// One operator process: its caches, what it holds, and the pass it is in.
#[derive(Clone, Debug, PartialEq, Eq, Hash, Default)]
pub struct Operator {
    pub cached: Option<Shared<Declared>>,
    pub cached_secrets: Secrets,
    pub cached_remote: Shared<Clients>,
    pub pending: Option<Shared<Pending>>,
    /// The POSTs of this process for an object that had a client, and how long ago the last was.
    pub posted: Option<(Posts, Duration)>,
    pub pass: Option<Shared<Pass>>,
}

/// A pass under way, never at rest.
#[derive(Clone, Debug, PartialEq, Eq, Hash)]
pub struct Pass {
    pub observed: Observed,
    pub deleting: bool,
    pub spec: Spec,
    /// The name of the Secret that the pass goes by, as an index of [`NAMES`].
    pub place: usize,
    /// The next step.
    pub step: Step,
    /// The object and the Secret as read before the listing instead of after it, with the fence `ListBeforeRead` out.
    pub read_too_early: Option<(Option<Object>, Whereabouts)>,
}

/// Clients at MeshAgent.
pub type Clients = BTreeMap<ClientId, RemoteClient>;

/// The whole state of the model.
#[derive(Clone, Debug, PartialEq, Eq, Hash)]
pub struct World {
    pub fence_out: Option<Fence>,
    pub declared: Option<Shared<Declared>>,
    /// The spec of the object when it is created again.
    pub spec: Spec,
    pub crd: CrdState,
    pub secrets: Secrets,
    pub remote: Shared<Clients>,
    /// The clients that the server that answers now lacks, and the right one holds.
    pub mislaid: Shared<Clients>,
    pub late: Clients,
    pub operators: [Operator; 2],
    pub sweep: Sweep,
    pub budget: Budget,
    pub posted: Shared<BTreeSet<Token>>,
    pub deleted_in_studio: BTreeSet<ClientId>,
    /// Tokens of unknown outcome that `kubectl replace` took off the object.
    pub forgotten: u8,
    /// Clients that stood in the Secret of an object that had a client before.
    pub stood: BTreeSet<ClientId>,
    /// Whether somebody changed the policy, or suspended: then luck decides what the garbage collector takes meanwhile.
    pub policy_changed: bool,
    /// Clients whose marker somebody erased.
    pub erased: BTreeSet<ClientId>,
    /// The client that a released object retained last.
    pub left: Option<Left>,
    /// Whether the adopted client was deleted, as its object explicitly asked for.
    pub deleted_on_purpose: bool,
    /// How often a person, or foreground deletion, took or altered the object's Secret.
    pub tampered: u8,
    /// Whether the garbage collector, or a pass on a suspended object, took ownership off a Secret: the Secret may stay
    /// if the pass that lets the object go sees that too late.
    pub orphaned: bool,
    /// The object whose ownership is still to be taken off, with the fence `OwnerOffFirst` out.
    pub owner_stays: Option<Uid>,
    /// POSTs whose answer reached nobody who could publish or delete what they made.
    pub astray: u8,
    /// POSTs that were carried out only after they had been given up.
    pub came_late: u8,
    /// How often the object was written, and the Secret.
    pub object_writes: u16,
    pub secret_writes: u16,
    /// Which of two clusters with equal uids this is.
    pub twin: Option<char>,
    pub violation: Option<&'static str>,
}

/// The client of somebody else in the same project.
pub const FOREIGN: &str = "foreign";

impl World {
    pub fn begin(budget: Budget, spec: Spec, fence_out: Option<Fence>) -> Self {
        let foreign = RemoteClient { settings: Settings::default(), marker: None };
        let mut world = Self {
            fence_out,
            declared: None,
            spec,
            crd: CrdState::Established,
            secrets: [None, None],
            remote: Shared::new(BTreeMap::from([(ClientId::new(FOREIGN), foreign)])),
            mislaid: Shared::default(),
            late: BTreeMap::new(),
            operators: [Operator::default(), Operator::default()],
            sweep: Sweep::Idle,
            budget,
            posted: Shared::default(),
            deleted_in_studio: BTreeSet::new(),
            forgotten: 0,
            stood: BTreeSet::new(),
            policy_changed: false,
            erased: BTreeSet::new(),
            left: None,
            deleted_on_purpose: false,
            tampered: 0,
            orphaned: false,
            owner_stays: None,
            astray: 0,
            came_late: 0,
            object_writes: 0,
            secret_writes: 0,
            twin: None,
            violation: None,
        };
        if spec.adopts == Adoption::InPlace {
            world.write_by_hand(None, None);
        }
        world.create();
        world
    }

    /// Makes and records the client, and lets every cache catch up.
    pub fn come_to_rest(&mut self) {
        while self.go_on_fairly() {}
        for who in 0..2 {
            self.refresh_object(who);
            self.refresh_secrets(who);
            self.refresh_listing(who);
        }
    }

    pub fn intact(&self, fence: Fence) -> bool {
        self.fence_out != Some(fence)
    }

    /// The uid of the object that is there.
    pub fn uid(&self) -> Option<&Uid> {
        self.declared.as_ref().map(|declared| &declared.object.uid)
    }

    fn object_version(&mut self) -> Version {
        self.object_writes += 1;
        Version::new(self.object_writes.to_string())
    }

    pub fn create(&mut self) {
        let version = self.object_version();
        let object = Object {
            uid: Uid::new(format!("u{version}")),
            version,
            finalizer: false,
            token: None,
            unknown: BTreeSet::new(),
            recorded: Recorded::default(),
            rotation_asked: false,
            replaced: Replaced::LongAgo,
            orphaning: false,
        };
        self.crd = CrdState::Established;
        self.declared = Some(Shared::new(Declared { object, deletion: None, spec: self.spec }));
    }

    /// Writes the object, whoever does it, and lets it go once no finalizer holds it.
    pub fn touch(&mut self, change: impl FnOnce(&mut Declared)) {
        let version = self.object_version();
        if let Some(declared) = &mut self.declared {
            declared.change(|declared| {
                change(declared);
                declared.object.version = version;
            });
        }
        let pending = |declared: &Declared| declared.object.finalizer || declared.object.orphaning;
        if let Some(gone) = self.declared.take_if(|declared| declared.deletion.is_some() && !pending(declared)) {
            self.leave(&gone);
        }
    }

    pub fn start_pass(&mut self, who: usize) {
        let operator = &mut self.operators[who];
        let Some(cached) = operator.cached.clone() else { return };
        let Declared { object, deletion, spec } = Declared::clone(&cached);
        let cooldown = operator.cooldown();
        let pending = operator.pending.take().map_or(Pending::Nothing, |pending| Pending::clone(&pending));
        let (cached_secrets, cached_remote) = (operator.cached_secrets.clone(), operator.cached_remote.clone());
        let Whereabouts { secret, place, leftover } = locate(self, &cached_secrets, &object, &spec, false);
        let project = ProjectFacts { id: None, state: ProjectState::Usable { may_adopt: true }, many_gone: None };
        let remote = BTreeMap::new();
        let observed = Observed::begin(Beginning {
            object,
            secret,
            leftover,
            remote,
            pending,
            cooldown,
            project,
            clock: ClockState::Right,
        });
        let deleting = deletion.is_some();
        let mut pass = Pass { observed, deleting, spec, place, step: Step::Rest, read_too_early: None };
        let listed = self.listed(&cached_remote, &pass);
        pass.observed.remote = listed.into_iter().map(|(id, client)| (id, Remote::Listed(client))).collect();
        self.go_on(who, pass);
    }

    /// Decides the next step of a pass. A pass that rests ends, and its pending credential stays with the process.
    fn go_on(&mut self, who: usize, mut pass: Pass) {
        let recorded = pass.observed.object.recorded.client_id.as_ref();
        if recorded.is_some_and(|client_id| self.mislaid.contains_key(client_id)) && self.intact(Fence::ManyGone) {
            pass.observed.heed_many_gone(Some(Failure::stalled(Reason::ProjectNotReady, "")));
        }
        pass.step = next(&pass.desired(self), &pass.observed);
        let operator = &mut self.operators[who];
        if pass.step != Step::Rest {
            operator.pass = Some(Shared::new(pass));
            return;
        }
        operator.pass = None;
        operator.pending = match pass.observed.pending {
            Pending::Nothing => None,
            Pending::Unspent(_) | Pending::Credential { .. } | Pending::Keyless { .. } if pass.observed.object_gone => {
                None
            }
            pending @ (Pending::Unspent(_) | Pending::Credential { .. } | Pending::Keyless { .. }) => {
                Some(Shared::new(pending))
            }
        };
    }

    pub fn refresh_object(&mut self, who: usize) {
        self.operators[who].cached = self.declared.clone();
    }

    pub fn refresh_secrets(&mut self, who: usize) {
        self.operators[who].cached_secrets = self.secrets.clone();
    }

    pub fn refresh_listing(&mut self, who: usize) {
        self.operators[who].cached_remote = self.remote.clone();
    }

    /// Empties the caches, which no longer matter once no pass may start.
    pub fn forget_caches(&mut self) {
        for operator in &mut self.operators {
            operator.cached = None;
            operator.cached_secrets = [None, None];
            operator.cached_remote = Shared::default();
        }
    }

    pub fn crash(&mut self, who: usize) {
        if self.operators[who].has_credential() {
            self.astray += 1;
        }
        self.operators[who].pass = None;
        self.operators[who].pending = None;
        self.operators[who].posted = None;
    }

    /// Whether there is anything that time would change.
    pub fn time_matters(&self) -> bool {
        let recent = self.declared.as_ref().is_some_and(|declared| declared.object.replaced != Replaced::LongAgo);
        recent || self.operators.iter().any(|operator| operator.posted.is_some())
    }

    /// Ten minutes pass, or an hour; and the last replacement is further ago.
    pub fn time_passes(&mut self) {
        for operator in &mut self.operators {
            operator.posted = match operator.posted.take() {
                Some((posts, Duration::ZERO)) if posts.cooldown(PATIENCE) != Cooldown::None => Some((posts, PATIENCE)),
                Some((posts, PATIENCE)) if posts.cooldown(LONG_PATIENCE) == Cooldown::None => None,
                Some(_) | None => None,
            };
        }
        if let Some(declared) = &mut self.declared {
            declared.change(|declared| {
                declared.object.replaced = match declared.object.replaced {
                    Replaced::JustNow => Replaced::WithinOverlap,
                    Replaced::WithinOverlap | Replaced::LongAgo => Replaced::LongAgo,
                };
            });
        }
    }

    pub fn commit_late(&mut self, client_id: &ClientId) {
        if let Some(client) = self.late.remove(client_id) {
            self.came_late += 1;
            self.remote.change(|remote| {
                remote.insert(client_id.clone(), client);
            });
        }
    }

    pub fn overlap_ends(&mut self) {
        if let Some(declared) = &mut self.declared
            && declared.object.recorded.retiring.iter().any(|former| !former.due)
        {
            declared
                .change(|declared| declared.object.recorded.retiring.iter_mut().for_each(|former| former.due = true));
        }
    }
}

impl Pass {
    /// The desired state, as the pass believes it.
    pub fn desired(&self, world: &World) -> Desired {
        let Object { uid, recorded, .. } = &self.observed.object;
        match self.spec.desired(uid, recorded.adopted, self.deleting) {
            Desired::Absent(_) if !world.intact(Fence::Deletion) => Desired::Absent(Deletion::default()),
            desired @ (Desired::Present(_) | Desired::Invalid(_) | Desired::Absent(_)) => desired,
        }
    }
}

impl Operator {
    /// The cooldown that the POSTs of this process impose.
    pub fn cooldown(&self) -> Cooldown {
        self.posted.map_or(Cooldown::None, |(posts, ago)| posts.cooldown(ago))
    }

    /// Whether the process has a client that is not published yet.
    pub fn has_credential(&self) -> bool {
        let pending = self.pass.as_ref().map(|pass| &pass.observed.pending).or(self.pending.as_deref());
        pending.is_some_and(|pending| pending.client_id().is_some())
    }
}

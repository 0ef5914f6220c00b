//! The world of the model: one OAuthClient, its Secret, MeshAgent's clients, two operators, a sweep and a user.
//!
//! Every effect is atomic, as the real ones are; everything between two effects may be interleaved with anything else.
//! Whatever gets a name gets it from what made it (a client from its token, a token from the object's version), so that
//! two orders of independent events lead to one state.

mod effects;
mod fair;

use std::collections::{BTreeMap, BTreeSet};

use meshagent_operator::decide::change::Wanted;
use meshagent_operator::decide::desired::lifecycle::OnLoss;
use meshagent_operator::decide::disowned::{Evidence, disowned};
use meshagent_operator::decide::id::{ClientId, ClusterId, Digest, Token, Uid, Version};
use meshagent_operator::decide::marker::{Owner, Policy};
pub use meshagent_operator::decide::next::Step;
use meshagent_operator::decide::next::{Desired, Leaving, Removal, next};
use meshagent_operator::decide::observed::{
    Content, Credential, Foreign, Held, Object, Observed, Recorded, RemoteClient, Replaced, Secret, Stored,
};
use meshagent_operator::decide::settings::Settings;

pub use effects::Fault;
pub use fair::Rests;

use super::shared::Shared;

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
}

/// How much of everything may happen.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, Default)]
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
    pub cached: Option<Shared<Declared>>,
    pub cached_secret: Option<Shared<StoredSecret>>,
    pub cached_remote: Shared<Clients>,
    pub held: Option<Shared<Held>>,
    pub pass: Option<Shared<Pass>>,
}

/// A pass under way, never at rest.
#[derive(Clone, Debug, PartialEq, Eq, Hash)]
pub struct Pass {
    pub observed: Observed,
    pub deleting: bool,
    pub variant: u8,
    /// What it does next.
    pub step: Step,
    /// With the fence `ListBeforeRead` out: what was read before the listing instead of after it.
    pub read_too_early: Option<(Option<Object>, Secret)>,
}

/// The Secret in etcd.
#[derive(Clone, Debug, PartialEq, Eq, Hash)]
pub struct StoredSecret {
    pub version: Version,
    pub uid: Uid,
    pub token: Token,
    pub client_id: ClientId,
}

/// Clients at MeshAgent.
pub type Clients = BTreeMap<ClientId, RemoteClient>;

/// The sweep, between its effects.
#[derive(Clone, Debug, PartialEq, Eq, Hash, Default)]
pub enum Sweep {
    #[default]
    Idle,
    /// With the fence `ListBeforeRead` out: it has read, and lists next.
    ReadTooEarly(Option<Shared<Declared>>, Option<Shared<StoredSecret>>),
    Listed(Shared<Clients>),
    Judged(Vec<ClientId>),
}

/// Everything.
#[derive(Clone, Debug, PartialEq, Eq, Hash)]
pub struct World {
    pub fence_out: Option<Fence>,
    pub declared: Option<Shared<Declared>>,
    pub secret: Option<Shared<StoredSecret>>,
    pub remote: Shared<Clients>,
    pub late: Clients,
    pub operators: [Operator; 2],
    pub sweep: Sweep,
    pub budget: Budget,
    pub posted: Shared<BTreeSet<Token>>,
    pub deleted_in_studio: BTreeSet<ClientId>,
    /// POSTs whose answer reached nobody who could publish or delete what they made.
    pub astray: u8,
    /// How often the object was written, and the Secret.
    pub object_writes: u16,
    pub secret_writes: u16,
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
            remote: Shared::new(BTreeMap::from([(ClientId::new(FOREIGN), foreign)])),
            late: BTreeMap::new(),
            operators: [Operator::default(), Operator::default()],
            sweep: Sweep::Idle,
            budget,
            posted: Shared::default(),
            deleted_in_studio: BTreeSet::new(),
            astray: 0,
            object_writes: 0,
            secret_writes: 0,
            violation: None,
        };
        world.create();
        world
    }

    /// The client is made and recorded, and every cache has caught up.
    pub fn come_to_rest(&mut self) {
        self.run_leader();
        for who in 0..2 {
            self.refresh_object(who);
            self.refresh_secret_and_listing(who);
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
        self.declared = Some(Shared::new(Declared { object, deleting: false, variant: 0 }));
    }

    /// A write of the object, whoever does it.
    pub fn touch(&mut self, change: impl FnOnce(&mut Declared)) {
        let version = self.object_version();
        if let Some(declared) = &mut self.declared {
            declared.change(|declared| {
                change(declared);
                declared.object.version = version;
            });
        }
        if self.declared.as_ref().is_some_and(|declared| declared.deleting && !declared.object.finalizer) {
            self.declared = None;
        }
    }

    /// Whether the Secret's owner is gone.
    pub fn secret_is_garbage(&self) -> bool {
        self.secret.as_ref().is_some_and(|secret| self.uid() != Some(&secret.uid))
    }

    fn view_secret(secret: Option<&StoredSecret>, object: &Object, live: bool) -> Secret {
        let Some(secret) = secret else { return Secret::Absent };
        if secret.uid != object.uid {
            let former = Some((secret.client_id.clone(), secret.uid.clone()));
            return Secret::Foreign(Foreign { version: secret.version.clone(), former, content: Content::Unread });
        }
        let digest = Digest::new(secret.client_id.as_str());
        let as_recorded = object.recorded.digest.as_ref() == Some(&digest);
        let credential = match (live, object.recorded.secret_version.as_ref() == Some(&secret.version)) {
            (false, true) => Credential::AsRecorded,
            (false, false) => Credential::Unread,
            (true, _) if as_recorded => Credential::AsRecorded,
            (true, _) => Credential::Other(digest),
        };
        Secret::Ours(Stored {
            version: secret.version.clone(),
            token: Some(secret.token.clone()),
            client_id: Some(secret.client_id.clone()),
            credential,
            in_shape: true,
            misplaced: false,
            owned: true,
            retained: false,
        })
    }

    pub fn start_pass(&mut self, who: usize) {
        let operator = &mut self.operators[who];
        let Some(cached) = operator.cached.clone() else { return };
        let secret = Self::view_secret(operator.cached_secret.as_deref(), &cached.object, false);
        let held = operator.held.take().map_or(Held::Nothing, |held| Held::clone(&held));
        let remote = of_interest(&operator.cached_remote, &cached.object);
        let observed = Observed::begin(cached.object.clone(), secret, remote, held);
        self.go_on(
            who,
            Pass {
                observed,
                deleting: cached.deleting,
                variant: cached.variant,
                step: Step::Rest,
                read_too_early: None,
            },
        );
    }

    /// Decides the next step of a pass; one that rests ends, and what it holds stays with the process.
    fn go_on(&mut self, who: usize, mut pass: Pass) {
        pass.step = next(&pass.desired(), &pass.observed);
        let operator = &mut self.operators[who];
        if pass.step != Step::Rest {
            operator.pass = Some(Shared::new(pass));
            return;
        }
        operator.pass = None;
        operator.held = match pass.observed.held {
            Held::Nothing => None,
            Held::Unspent(_) | Held::Credential { .. } | Held::Keyless { .. } if pass.observed.object_gone => None,
            held @ (Held::Unspent(_) | Held::Credential { .. } | Held::Keyless { .. }) => Some(Shared::new(held)),
        };
    }

    pub fn refresh_object(&mut self, who: usize) {
        self.operators[who].cached = self.declared.clone();
    }

    pub fn refresh_secret_and_listing(&mut self, who: usize) {
        self.operators[who].cached_secret = self.secret.clone();
        self.operators[who].cached_remote = self.remote.clone();
    }

    /// No pass may start any more: what the caches hold matters no longer.
    pub fn forget_caches(&mut self) {
        for operator in &mut self.operators {
            operator.cached = None;
            operator.cached_secret = None;
            operator.cached_remote = Shared::default();
        }
    }

    pub fn crash(&mut self, who: usize) {
        if self.operators[who].has_credential() {
            self.astray += 1;
        }
        self.operators[who].pass = None;
        self.operators[who].held = None;
    }

    pub fn commit_late(&mut self, client_id: &ClientId) {
        if let Some(client) = self.late.remove(client_id) {
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
            self.remote.change(|remote| {
                remote.remove(&client_id);
            });
            self.deleted_in_studio.insert(client_id);
        }
    }

    pub fn sweep_begins(&mut self) {
        self.sweep = if self.intact(Fence::ListBeforeRead) {
            Sweep::Listed(self.remote.clone())
        } else {
            Sweep::ReadTooEarly(self.declared.clone(), self.secret.clone())
        };
    }

    /// The sweep judges by the product's own rule. The age that the rule asks for may pass at any time.
    pub fn sweep_judges(&mut self) {
        let (listed, declared, secret) = match std::mem::take(&mut self.sweep) {
            Sweep::Listed(listed) => (listed, self.declared.clone(), self.secret.clone()),
            Sweep::ReadTooEarly(declared, secret) => (self.remote.clone(), declared, secret),
            Sweep::Idle | Sweep::Judged(_) => return,
        };
        let judged = listed.iter().filter(|(client_id, client)| {
            let Some(marker) = &client.marker else { return false };
            let declared = declared.as_ref().filter(|declared| declared.object.uid == marker.owner.uid);
            let view;
            let evidence = match declared {
                None => Evidence::Gone,
                Some(declared) => {
                    view = Self::view_secret(secret.as_deref(), &declared.object, true);
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
}

impl Pass {
    /// What the pass believes is asked for.
    fn desired(&self) -> Desired {
        if self.deleting {
            Desired::Absent(Leaving::default())
        } else {
            Desired::Present(Box::new(wanted(&self.observed.object.uid, self.variant)))
        }
    }
}

/// The client that a variant of the spec asks for.
pub fn wanted(uid: &Uid, variant: u8) -> Wanted {
    let owner = Owner { cluster: ClusterId::new("k"), namespace: "n".into(), name: "o".into(), uid: uid.clone() };
    let scope = if variant == 0 { "a" } else { "b" };
    let settings = Settings { scopes: BTreeSet::from([scope.to_owned()]), ..Settings::default() };
    Wanted {
        settings,
        owner,
        policy: Policy::Delete,
        adopt: None,
        on_loss: OnLoss::Recreate,
        suspended: false,
        secret_name: "o-oauth".into(),
    }
}

/// The clients of a listing that matter to an object: recorded, retiring, or bearing its uid.
fn of_interest(clients: &Clients, object: &Object) -> Clients {
    let named = |client_id| {
        object.recorded.client_id.as_ref() == Some(client_id)
            || object.recorded.retiring.iter().any(|former| &former.client_id == client_id)
    };
    let marked = |client: &RemoteClient| client.marker.as_ref().is_some_and(|it| it.owner.uid == object.uid);
    let of_interest = clients.iter().filter(|(client_id, client)| named(client_id) || marked(client));
    of_interest.map(|(client_id, client)| (client_id.clone(), client.clone())).collect()
}

impl Operator {
    /// Whether it holds a client that is not published yet.
    pub fn has_credential(&self) -> bool {
        let held = self.pass.as_ref().map(|pass| &pass.observed.held).or(self.held.as_deref());
        matches!(held, Some(Held::Credential { .. } | Held::Keyless { .. }))
    }
}

//! One pass over one OAuthClient: what the pass knows, beside the object that this is known from.

use std::collections::{BTreeMap, BTreeSet, HashSet};

use jiff::Timestamp;
use k8s_openapi::apimachinery::pkg::apis::meta::v1::ObjectMeta;
use kube::ResourceExt;
use serde_json::{Value, json};

use super::Awaited;
use super::pending::PendingStore;
use crate::api::{OAuthClient, Reason};
use crate::decide::client::desired::{Essentials, Present};
use crate::decide::client::holders::Holders;
use crate::decide::client::next::{Desired, Record};
use crate::decide::client::object;
use crate::decide::client::observed::{self, Beginning, Object, Observed, Pending, ProjectFacts, ProjectState, Remote};
use crate::decide::client::report::{ReportInput, overlap_ends, report};
use crate::decide::client::secret::{Endpoints, Shape, view_metadata};
use crate::decide::client::situation::{self, Declared, Located, Place};
use crate::decide::failure::Failure;
use crate::decide::id::{ClientId, ClusterId, Uid, Version};
use crate::decide::marker::{Owner, Policy};
use crate::decide::time::ClockState;
use crate::kubernetes::clock::Clock;
use crate::kubernetes::patch::difference;
use crate::project::{ProjectClient, Resolution};

/// What a pass starts from.
#[derive(Debug)]
pub struct Start<'a> {
    /// The object, as cached.
    pub object: OAuthClient,
    /// The metadata of the Secret that the spec names, as cached.
    pub secret: Option<&'a ObjectMeta>,
    /// The metadata of the Secret that the status names, if that is another.
    pub former: Option<&'a ObjectMeta>,
    /// The object's project, or why there is none.
    pub resolution: &'a Resolution,
    /// This cluster, as markers name it.
    pub cluster: &'a ClusterId,
    /// The deletionPolicy of an OAuthClient that names none.
    pub default_policy: Policy,
    /// The tokens and credentials that this process has not published.
    pub pending: &'a PendingStore,
    /// The pods that hold the object's credentials in their environment.
    pub holders: &'a Holders,
    /// The state of the clock: whether anything may be deleted because of a time.
    pub clock: ClockState,
    /// The current time.
    pub now: Timestamp,
    /// The time whenever it is asked for.
    pub time: &'a Clock,
}

/// The versions that a pass knows to be no longer the latest, because it read or wrote later ones.
#[derive(Clone, Debug, Default)]
pub struct Superseded {
    /// The superseded versions of the object.
    pub objects: HashSet<Version>,
    /// The superseded versions of the Secret; `None` stands for its absence.
    pub secrets: HashSet<Option<Version>>,
}

impl Superseded {
    /// Whether the pass wrote and read nothing newer.
    #[must_use]
    pub fn is_empty(&self) -> bool {
        self.objects.is_empty() && self.secrets.is_empty()
    }
}

/// A pass under way.
#[derive(Debug)]
pub(super) struct Pass<'a> {
    pub(super) object: OAuthClient,
    pub(super) desired: Desired,
    pub(super) shape: Option<Shape>,
    /// The name under which the spec wants the Secret.
    pub(super) secret_name: String,
    /// The name of the Secret that [`Observed::secret`] describes.
    pub(super) place: String,
    pub(super) observed: Observed,
    pub(super) status_written: bool,
    pub(super) superseded: Superseded,
    /// The Secret that should hold the credential to adopt, if it does not.
    pub(super) awaited: Option<Awaited>,
    managed_keys: BTreeSet<String>,
    surroundings: Surroundings<'a>,
    pub(super) now: Timestamp,
}

/// What stays the same during a pass.
#[derive(Clone, Copy, Debug)]
struct Surroundings<'a> {
    resolution: &'a Resolution,
    cluster: &'a ClusterId,
    default_policy: Policy,
    holders: &'a Holders,
    time: &'a Clock,
}

/// What an OAuthClient declares, in the types of `decide`.
struct Reading {
    desired: Desired,
    shape: Option<Shape>,
    secret_name: String,
    managed_keys: BTreeSet<String>,
}

/// The name of the Secret of an OAuthClient, whether or not its spec is valid.
#[must_use]
pub fn secret_name(object: &OAuthClient) -> String {
    Essentials::read(&object.spec, &object.name_any()).secret_name
}

/// The former name of the Secret: the recorded one, if the spec wants another.
#[must_use]
pub fn former_secret_name(object: &OAuthClient) -> Option<&str> {
    let recorded = object.status.as_ref()?.secret_name.as_deref()?;
    (!recorded.is_empty() && recorded != secret_name(object)).then_some(recorded)
}

impl Surroundings<'_> {
    fn project(&self) -> Option<&ProjectClient> {
        self.resolution.project.as_deref()
    }

    /// The project as a pass sees it.
    fn project_facts(&self) -> ProjectFacts {
        let Resolution { project, failure, may_adopt, many_gone } = self.resolution;
        ProjectFacts {
            id: project.as_ref().map(|project| project.project_id.clone()),
            state: match failure {
                Some(failure) => ProjectState::Failed(failure.clone()),
                None => ProjectState::Usable { may_adopt: *may_adopt },
            },
            many_gone: many_gone.clone(),
        }
    }

    fn read(&self, object: &OAuthClient) -> Reading {
        let (namespace, name) = (object.namespace().unwrap_or_default(), object.name_any());
        let essentials = Essentials::read(&object.spec, &name);
        let present = Present::read(&object.spec, &name)
            .map_err(|invalid| Failure::stalled(Reason::InvalidSpec, invalid.to_string()));
        let declared = Declared {
            essentials: &essentials,
            spec: present.as_ref(),
            deleting: object.metadata.deletion_timestamp.is_some(),
            forced: object::is_forced(object),
            adopted: object.status.as_ref().is_some_and(|status| status.adopted == Some(true)),
            default_policy: self.default_policy,
        };
        let shape = present.as_ref().ok().zip(self.project()).and_then(|(present, project)| {
            let endpoints = Endpoints {
                project_id: &project.project_id,
                authorize_url: &project.authorize_url,
                token_url: &project.token_url,
                owned: declared.owns_secret(),
            };
            Shape::new(object, present, endpoints)
        });
        let uid = Uid::new(object.metadata.uid.as_deref().unwrap_or_default());
        let owner = Owner { cluster: self.cluster.clone(), namespace, name, uid };
        let keys = |present: &Present| present.settings.metadata.keys().cloned().collect();
        Reading {
            desired: declared.desired(owner),
            shape,
            managed_keys: present.as_ref().map(keys).unwrap_or_default(),
            secret_name: essentials.secret_name,
        }
    }

    /// The clients of the project that matter to an object, as last listed.
    fn relevant(
        &self,
        object: &Object,
        secret: &observed::Secret,
        pending: &Pending,
        desired: &Desired,
    ) -> BTreeMap<ClientId, Remote> {
        let named = situation::named(object, secret, pending, desired);
        self.project().map(|project| project.snapshot.relevant(named, &object.uid)).unwrap_or_default()
    }
}

/// The name of the Secret at a place.
fn name_of(place: Place, secret_name: &str, object: &OAuthClient) -> String {
    match (place, former_secret_name(object)) {
        (Place::Former, Some(former)) => former.to_owned(),
        (Place::Former | Place::Wanted, _) => secret_name.to_owned(),
    }
}

impl<'a> Pass<'a> {
    pub(super) fn begin(start: Start<'a>) -> Self {
        let Start { object, secret, former, resolution, cluster, default_policy, pending, holders, clock, now, time } =
            start;
        let surroundings = Surroundings { resolution, cluster, default_policy, holders, time };
        let facts = object::facts(&object, holders, now);
        let cooldown = pending.cooldown(&facts.uid, now);
        let pending = pending.pending(&facts.uid);
        let Reading { desired, shape, secret_name, managed_keys } = surroundings.read(&object);
        let view = |metadata| view_metadata(metadata, &facts.uid, &facts.recorded, shape.as_ref());
        let Located { secret, place, leftover } = situation::locate(view(secret), view(former));
        // An object that asks to be checked now is not judged by an earlier listing.
        let remote = if object::reconcile_requested(&object) {
            BTreeMap::new()
        } else {
            surroundings.relevant(&facts, &secret, &pending, &desired)
        };
        let project = surroundings.project_facts();
        Self {
            place: name_of(place, &secret_name, &object),
            observed: Observed::begin(Beginning {
                object: facts,
                secret,
                leftover,
                remote,
                pending,
                cooldown,
                project,
                clock,
            }),
            object,
            desired,
            shape,
            secret_name,
            managed_keys,
            status_written: false,
            superseded: Superseded::default(),
            awaited: None,
            surroundings,
            now,
        }
    }

    /// Chooses the Secret that counts, and remembers its place.
    pub(super) fn locate(&mut self, wanted: observed::Secret, former: observed::Secret) -> Located {
        let located = situation::locate(wanted, former);
        self.place = name_of(located.place, &self.secret_name, &self.object);
        located
    }

    /// Goes on with the object as it was read or written last.
    pub(super) fn take(&mut self, object: OAuthClient) {
        let Reading { desired, shape, secret_name, managed_keys } = self.surroundings.read(&object);
        if self.object.metadata.resource_version != object.metadata.resource_version {
            let version = self.object.metadata.resource_version.as_deref().unwrap_or_default();
            self.superseded.objects.insert(Version::new(version));
        }
        (self.desired, self.shape, self.secret_name) = (desired, shape, secret_name);
        (self.managed_keys, self.object) = (managed_keys, object);
    }

    /// The version of the Secret that the pass knows of.
    pub(super) fn secret_version(&self) -> Option<Version> {
        self.observed.secret.stored().map(|stored| stored.version.clone())
    }

    pub(super) fn without_project(&self) -> Failure {
        let nothing_known = || Failure::retry(Reason::ProjectNotReady, "the project cannot be used right now");
        self.observed.project_failure().unwrap_or_else(nothing_known)
    }

    /// The facts of the object as it stands.
    pub(super) fn facts(&self) -> Object {
        object::facts(&self.object, self.surroundings.holders, self.now)
    }

    /// The clients of the project that matter to this object, as last listed.
    pub(super) fn relevant(&self) -> BTreeMap<ClientId, Remote> {
        let Observed { object, secret, pending, .. } = &self.observed;
        self.surroundings.relevant(object, secret, pending, &self.desired)
    }

    /// How the pass ends, for [`report`].
    pub(super) fn input<'r>(&'r self, record: &'r Record) -> ReportInput<'r> {
        let recorded = self.observed.object.recorded.client_id.as_ref();
        let published = record.published.as_ref().map(|published| &published.client_id);
        ReportInput {
            object: &self.object,
            record,
            deleting: self.object.metadata.deletion_timestamp.is_some(),
            project_id: self.surroundings.project().map(|project| project.project_id.as_str()),
            secret_name: Some(&self.secret_name),
            managed_metadata_keys: &self.managed_keys,
            client_matches: recorded
                .is_none_or(|client_id| situation::client_matches(&self.desired, &self.observed, client_id)),
            secret_matches: situation::secret_matches(&self.observed),
            replaced: recorded.is_some() && published.is_some() && recorded != published,
            clock: self.observed.clock,
            holders: self.surroundings.holders,
            now: self.now,
            recorded_at: self.surroundings.time.now(),
        }
    }

    /// When the overlap of the client ends that is replaced now.
    pub(super) fn overlap_ends(&self) -> Timestamp {
        overlap_ends(&self.object, self.now, self.surroundings.time.now())
    }

    /// The merge patch to the status that the object shall have; `None` if the object has that status already.
    pub(super) fn status_patch(&self, record: &Record) -> Option<Value> {
        let status = report(&self.input(record));
        let present = self.object.status.clone().unwrap_or_default();
        (status != present).then(|| {
            json!({
                "metadata": { "resourceVersion": record.version.as_str() },
                "status": difference(&json!(present), &json!(status)),
            })
        })
    }
}

//! One pass over one OAuthClient: what it knows, kept beside the object that it knows it from.

use std::collections::{BTreeMap, BTreeSet, HashSet};

use jiff::Timestamp;
use k8s_openapi::apimachinery::pkg::apis::meta::v1::ObjectMeta;
use kube::ResourceExt;
use serde_json::{Value, json};

use super::Awaited;
use super::pending::PendingStore;
use crate::api::{OAuthClient, Reason};
use crate::decide::client::change::Wanted;
use crate::decide::client::desired::Present;
use crate::decide::client::desired::lifecycle::Lifecycle;
use crate::decide::client::next::{Deletion, Desired, Record};
use crate::decide::client::object;
use crate::decide::client::observed::{self, Credential, Object, Observed, Remote, Stored};
use crate::decide::client::report::{ReportInput, report};
use crate::decide::client::secret::{Endpoints, Shape, view_metadata};
use crate::decide::failure::Failure;
use crate::decide::id::{ClientId, ClusterId, Uid, Version};
use crate::decide::marker::{Owner, Policy};
use crate::kubernetes::patch::difference;
use crate::project::{ProjectClient, Resolution};

/// What a pass starts from.
#[derive(Debug)]
pub struct Start<'a> {
    /// The object, as cached.
    pub object: OAuthClient,
    /// The metadata of the Secret that it names, as cached.
    pub secret: Option<&'a ObjectMeta>,
    /// The metadata of the Secret that its status names, if that is another.
    pub former: Option<&'a ObjectMeta>,
    /// Its project, or why there is none.
    pub resolution: &'a Resolution,
    /// This cluster, as markers name it.
    pub cluster: &'a ClusterId,
    /// What becomes of a client whose OAuthClient does not say.
    pub default_policy: Policy,
    /// What this process holds.
    pub pending: &'a PendingStore,
    /// Now.
    pub now: Timestamp,
}

/// The versions that a pass knows to be no longer the latest, because it read or wrote later ones.
#[derive(Clone, Debug, Default)]
pub struct Superseded {
    /// Of the object.
    pub objects: HashSet<Version>,
    /// Of the Secret; `None`: that there is none.
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
    /// Where the spec wants the Secret.
    pub(super) secret_name: String,
    /// Where the Secret is that [`Observed::secret`] speaks of.
    pub(super) place: String,
    pub(super) observed: Observed,
    pub(super) status_written: bool,
    pub(super) superseded: Superseded,
    /// The Secret with the credential to adopt, if it does not hold it.
    pub(super) awaited: Option<Awaited>,
    managed_keys: BTreeSet<String>,
    resolution: &'a Resolution,
    cluster: &'a ClusterId,
    default_policy: Policy,
    pub(super) now: Timestamp,
}

/// Where the Secret of an OAuthClient is, whether or not its spec is valid.
#[must_use]
pub fn secret_name(object: &OAuthClient) -> String {
    let named = object.spec.secret.as_ref().and_then(|secret| secret.name.clone());
    named.unwrap_or_else(|| format!("{}-oauth", object.name_any()))
}

/// Where the Secret is until it is under the name that the spec wants.
#[must_use]
pub fn former_secret_name(object: &OAuthClient) -> Option<&str> {
    let recorded = object.status.as_ref()?.secret_name.as_deref()?;
    (!recorded.is_empty() && recorded != secret_name(object)).then_some(recorded)
}

/// The Secret to go by: the one that is wanted, or ours under its former name while there is none under the wanted; and
/// where it is. If both are ours, the version of the one that is left over.
pub(super) fn settle_place(
    wanted: observed::Secret,
    former: observed::Secret,
) -> (observed::Secret, Place, Option<Version>) {
    match (wanted, former) {
        (observed::Secret::Absent, observed::Secret::Ours(stored)) => {
            (observed::Secret::Ours(Stored { misplaced: true, ..stored }), Place::Former, None)
        }
        (observed::Secret::Ours(stored), observed::Secret::Ours(left)) => {
            (observed::Secret::Ours(stored), Place::Wanted, Some(left.version))
        }
        (wanted, _) => (wanted, Place::Wanted, None),
    }
}

/// Under which of two names a Secret is.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Place {
    Wanted,
    Former,
}

impl<'a> Pass<'a> {
    pub(super) fn begin(start: Start<'a>) -> Self {
        let Start { object, secret, former, resolution, cluster, default_policy, pending, now } = start;
        let facts = object::facts(&object, now);
        let (pending, cooldown) = (pending.held(&facts.uid), pending.cooldown(&facts.uid, now));
        let mut pass = Self {
            desired: Desired::Absent(Deletion::default()),
            shape: None,
            secret_name: String::new(),
            place: String::new(),
            observed: Observed::begin(facts, observed::Secret::Absent, BTreeMap::new(), pending),
            status_written: false,
            superseded: Superseded::default(),
            awaited: None,
            managed_keys: BTreeSet::new(),
            object: object.clone(),
            resolution,
            cluster,
            default_policy,
            now,
        };
        pass.observed.cooldown = cooldown;
        pass.observed.may_adopt = resolution.may_adopt;
        pass.take(object);
        let view = |metadata| {
            let facts = &pass.observed.object;
            view_metadata(metadata, &facts.uid, &facts.recorded, pass.shape.as_ref())
        };
        let (wanted, former) = (view(secret), view(former));
        pass.see(wanted, former);
        // An object that asks to be looked at now is not judged by an earlier listing.
        if let Some(project) = pass.project().filter(|_| !object::reconcile_requested(&pass.object)) {
            pass.observed.remote = pass.relevant(project);
        }
        pass
    }

    /// Goes on with the Secrets as they were seen.
    fn see(&mut self, wanted: observed::Secret, former: observed::Secret) {
        (self.observed.secret, self.observed.leftover) = self.locate(wanted, former);
    }

    /// The Secret to go by, whose place the pass remembers, and the version of the one that is left over.
    pub(super) fn locate(
        &mut self,
        wanted: observed::Secret,
        former: observed::Secret,
    ) -> (observed::Secret, Option<Version>) {
        let (secret, place, leftover) = settle_place(wanted, former);
        self.place = match (place, former_secret_name(&self.object)) {
            (Place::Former, Some(former)) => former.to_owned(),
            (Place::Former | Place::Wanted, _) => self.secret_name.clone(),
        };
        (secret, leftover)
    }

    fn project(&self) -> Option<&'a ProjectClient> {
        self.resolution.project.as_deref()
    }

    /// Goes on with the object as it was read or written last.
    pub(super) fn take(&mut self, object: OAuthClient) {
        let (namespace, name) = (object.namespace().unwrap_or_default(), object.name_any());
        let present = Present::read(&object.spec, &namespace, &name);
        self.secret_name = secret_name(&object);
        self.shape = match (&present, self.project()) {
            (Ok(present), Some(project)) => Shape::new(
                &object,
                present,
                Endpoints {
                    project_id: &project.project_id,
                    authorize_url: &project.authorize_url,
                    token_url: &project.token_url,
                    owned: self.is_owned(&object, &present.lifecycle),
                },
            ),
            (Ok(_) | Err(_), _) => None,
        };
        let uid = Uid::new(object.metadata.uid.as_deref().unwrap_or_default());
        self.desired = match present {
            _ if object.metadata.deletion_timestamp.is_some() => Desired::Absent(self.leaving(&object)),
            Ok(present) => {
                self.managed_keys = present.settings.metadata.keys().cloned().collect();
                let owner = Owner { cluster: self.cluster.clone(), namespace, name, uid };
                let Lifecycle { adopt, on_loss, suspended, .. } = present.lifecycle;
                Desired::Present(Box::new(Wanted {
                    settings: present.settings,
                    owner,
                    policy: self.leaving(&object).policy,
                    adopt,
                    on_loss,
                    suspended,
                    secret_name: present.secret.name,
                }))
            }
            Err(invalid) => Desired::Invalid(Failure::stalled(Reason::InvalidSpec, invalid.to_string())),
        };
        self.observed.project = self.why_no_project(&object);
        if self.object.metadata.resource_version != object.metadata.resource_version {
            let version = self.object.metadata.resource_version.as_deref().unwrap_or_default();
            self.superseded.objects.insert(Version::new(version));
        }
        self.object = object;
    }

    /// What becomes of the client with the object, whether or not its spec is valid.
    fn leaving(&self, object: &OAuthClient) -> Deletion {
        let policy = match object.spec.deletion_policy.as_deref() {
            Some("Delete") => Policy::Delete,
            Some("Retain") => Policy::Retain,
            Some(_) | None if is_adopted(object) => Policy::Retain,
            Some(_) | None => self.default_policy,
        };
        // Nothing may be written while it is suspended, so nothing can be deleted.
        let suspended = object.spec.suspend == Some(true) && object.metadata.deletion_timestamp.is_some();
        let policy = if suspended { Policy::Retain } else { policy };
        Deletion { policy, forced: object::is_forced(object) }
    }

    /// Whether the Secret goes with the object: not where the garbage collector could take it before its time.
    fn is_owned(&self, object: &OAuthClient, lifecycle: &Lifecycle) -> bool {
        self.leaving(object).policy == Policy::Delete && !lifecycle.suspended && !is_adopted(object)
    }

    /// The version of the Secret that the pass knows of.
    pub(super) fn secret_version(&self) -> Option<Version> {
        self.observed.secret.stored().map(|stored| stored.version.clone())
    }

    /// Why the project may not be used for this object.
    fn why_no_project(&self, object: &OAuthClient) -> Option<Failure> {
        let pinned = object.status.as_ref().and_then(|status| status.project_id.as_deref());
        match (self.project(), pinned) {
            (Some(project), Some(pinned)) if project.project_id != pinned => Some(Failure::stalled(
                Reason::ProjectMismatch,
                format!(
                    "the client lives in project {pinned}, but the key or the spec now names project {}; put the former \
                     key or projectId back, or delete this OAuthClient and create it anew",
                    project.project_id
                ),
            )),
            _ => self.resolution.failure.clone(),
        }
    }

    pub(super) fn without_project(&self) -> Failure {
        let nothing_known = || Failure::retry(Reason::ProjectNotReady, "the project cannot be used right now");
        self.observed.project.clone().unwrap_or_else(nothing_known)
    }

    /// The facts of the object as it stands.
    pub(super) fn facts(&self) -> Object {
        object::facts(&self.object, self.now)
    }

    /// The clients of the project that matter to this object, as last listed.
    pub(super) fn relevant(&self, project: &ProjectClient) -> BTreeMap<ClientId, Remote> {
        let object = &self.observed.object;
        let stored = match &self.observed.secret {
            observed::Secret::Absent => None,
            observed::Secret::Foreign(foreign) => foreign.former.as_ref().map(|(client_id, _)| client_id),
            observed::Secret::Ours(stored) => stored.client_id.as_ref(),
        };
        let adopted = match &self.desired {
            Desired::Present(wanted) => wanted.adopt.as_ref().map(|adopt| &adopt.client_id),
            Desired::Invalid(_) | Desired::Absent(_) => None,
        };
        let retiring = object.recorded.retiring.iter().map(|former| &former.client_id);
        let named = retiring.chain(&object.recorded.client_id).chain(stored).chain(adopted);
        project.snapshot.relevant(named.chain(self.observed.pending.client_id()), &object.uid)
    }

    /// How the pass ends, for [`report`].
    pub(super) fn input<'r>(&'r self, record: &'r Record) -> ReportInput<'r> {
        let recorded = self.observed.object.recorded.client_id.as_ref();
        let published = record.published.as_ref().map(|published| &published.client_id);
        ReportInput {
            object: &self.object,
            record,
            deleting: self.object.metadata.deletion_timestamp.is_some(),
            project_id: self.project().map(|project| project.project_id.as_str()),
            secret_name: Some(&self.secret_name),
            managed_metadata_keys: &self.managed_keys,
            client_matches: recorded.is_none_or(|client_id| self.client_matches(client_id)),
            secret_matches: self.secret_matches(),
            replaced: recorded.is_some() && published.is_some() && recorded != published,
            now: self.now,
        }
    }

    /// Whether the recorded client's Secret is as it was applied, as far as the pass knows: not, only on proof.
    fn secret_matches(&self) -> bool {
        let recorded = &self.observed.object.recorded;
        let published = self.observed.secret.stored().is_some_and(|stored| match stored.credential {
            Credential::Unread | Credential::AsRecorded => true,
            Credential::Other(_) | Credential::Broken => false,
        });
        recorded.client_id.is_some() && (published || recorded.is_secretless())
    }

    /// Whether the client is as it was applied, as far as the pass knows: not, only on proof.
    fn client_matches(&self, client_id: &ClientId) -> bool {
        let recorded = &self.observed.object.recorded;
        let client = match self.observed.remote.get(client_id) {
            Some(Remote::Absent | Remote::Deleted) => return false,
            Some(Remote::Listed(client) | Remote::PutIgnored(client) | Remote::Read(client)) => client,
            Some(Remote::Missing(_)) | None => return true,
        };
        match (&self.desired, &self.observed.object.token) {
            (Desired::Present(wanted), Some(token)) => {
                wanted.change(client, &recorded.managed_keys, token, recorded.adopted).is_none()
            }
            (Desired::Present(_) | Desired::Invalid(_) | Desired::Absent(_), _) => true,
        }
    }

    /// The status that the object shall have, and the merge patch to it; `None` if it has it already.
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

/// Whether the client existed before the object took it over. (The marker knows it as well, but a deletion has to know it
/// without asking.)
fn is_adopted(object: &OAuthClient) -> bool {
    let remembered = object.status.as_ref().is_some_and(|status| status.adopted == Some(true));
    remembered || object.spec.adopt.is_some()
}

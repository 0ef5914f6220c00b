//! One pass over one OAuthClient: what it knows, kept beside the object that it knows it from.

use std::collections::{BTreeMap, BTreeSet, HashSet};

use jiff::Timestamp;
use k8s_openapi::apimachinery::pkg::apis::meta::v1::ObjectMeta;
use kube::ResourceExt;
use serde_json::{Value, json};

use super::held::Vault;
use super::secret::{Endpoints, Shape, view_metadata};
use crate::api::{OAuthClient, Reason};
use crate::decide::change::Wanted;
use crate::decide::desired::Present;
use crate::decide::failure::Failure;
use crate::decide::id::{ClientId, ClusterId, Uid, Version};
use crate::decide::marker::{Owner, Policy};
use crate::decide::next::{Desired, Record};
use crate::decide::observed::{self, Credential, Object, Observed, Remote, RemoteClient};
use crate::decide::reading;
use crate::decide::report::{Ending, report};
use crate::project::{Project, Resolution};

/// What a pass starts from.
#[derive(Debug)]
pub struct Start<'a> {
    /// The object, as cached.
    pub object: OAuthClient,
    /// The metadata of the Secret that it names, as cached.
    pub secret: Option<&'a ObjectMeta>,
    /// Its project, or why there is none.
    pub resolution: &'a Resolution,
    /// This cluster, as markers name it.
    pub cluster: &'a ClusterId,
    /// What this process holds.
    pub vault: &'a Vault,
    /// Now.
    pub now: Timestamp,
}

/// The versions that a pass knows to be no longer the latest, because it read or wrote later ones.
#[derive(Clone, Debug, Default)]
pub struct LeftBehind {
    /// Of the object.
    pub objects: HashSet<Version>,
    /// Of the Secret; `None`: that there is none.
    pub secrets: HashSet<Option<Version>>,
}

impl LeftBehind {
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
    pub(super) secret_name: String,
    pub(super) observed: Observed,
    pub(super) status_written: bool,
    pub(super) left_behind: LeftBehind,
    managed_keys: BTreeSet<String>,
    resolution: &'a Resolution,
    cluster: &'a ClusterId,
    now: Timestamp,
}

/// Where the Secret of an OAuthClient is, whether or not its spec is valid.
#[must_use]
pub fn secret_name(object: &OAuthClient) -> String {
    let named = object.spec.secret.as_ref().and_then(|secret| secret.name.clone());
    named.unwrap_or_else(|| format!("{}-oauth", object.name_any()))
}

impl<'a> Pass<'a> {
    pub(super) fn begin(start: Start<'a>) -> Self {
        let Start { object, secret, resolution, cluster, vault, now } = start;
        let facts = reading::facts(&object, now);
        let held = vault.held(&facts.uid);
        let mut pass = Self {
            desired: Desired::Absent,
            shape: None,
            secret_name: secret_name(&object),
            observed: Observed::begin(facts, observed::Secret::Absent, BTreeMap::new(), held),
            status_written: false,
            left_behind: LeftBehind::default(),
            managed_keys: BTreeSet::new(),
            object: object.clone(),
            resolution,
            cluster,
            now,
        };
        pass.take(object);
        let facts = pass.observed.object.clone();
        pass.observed.secret = view_metadata(secret, &facts.uid, &facts.recorded, pass.shape.as_ref());
        // An object that asks to be looked at now is not judged by an earlier listing.
        if let Some(project) = pass.project().filter(|_| !reading::reconcile_requested(&pass.object)) {
            let relevant = pass.relevant(project);
            pass.observed.remote = relevant.into_iter().map(|(id, client)| (id, Remote::Listed(client))).collect();
        }
        pass
    }

    fn project(&self) -> Option<&'a Project> {
        self.resolution.project.as_deref()
    }

    /// Goes on with the object as it was read or written last.
    pub(super) fn take(&mut self, object: OAuthClient) {
        let (namespace, name) = (object.namespace().unwrap_or_default(), object.name_any());
        let present = Present::read(&object.spec, &namespace, &name);
        self.shape = match (&present, self.project()) {
            (Ok(present), Some(project)) => Shape::new(
                &object,
                present,
                Endpoints {
                    project_id: &project.project_id,
                    authorize_url: &project.authorize_url,
                    token_url: &project.token_url,
                },
            ),
            (Ok(_) | Err(_), _) => None,
        };
        self.secret_name = secret_name(&object);
        let uid = Uid::new(object.metadata.uid.as_deref().unwrap_or_default());
        self.desired = match present {
            _ if object.metadata.deletion_timestamp.is_some() => Desired::Absent,
            Ok(present) => {
                self.managed_keys = present.settings.metadata.keys().cloned().collect();
                let owner = Owner { cluster: self.cluster.clone(), namespace, name, uid };
                Desired::Present(Box::new(Wanted { settings: present.settings, owner, policy: Policy::Delete }))
            }
            Err(invalid) => Desired::Invalid(Failure::stalled(Reason::InvalidSpec, invalid.to_string())),
        };
        self.observed.project = self.why_no_project(&object);
        if self.object.metadata.resource_version != object.metadata.resource_version {
            let version = self.object.metadata.resource_version.as_deref().unwrap_or_default();
            self.left_behind.objects.insert(Version::new(version));
        }
        self.object = object;
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
        reading::facts(&self.object, self.now)
    }

    /// The clients of the project that matter to this object, as last listed.
    pub(super) fn relevant(&self, project: &Project) -> BTreeMap<ClientId, RemoteClient> {
        let object = &self.observed.object;
        let stored = self.observed.secret.stored().and_then(|stored| stored.client_id.as_ref());
        let retiring = object.recorded.retiring.iter().map(|former| &former.client_id);
        let named = retiring.chain(&object.recorded.client_id).chain(stored).chain(self.observed.held.client_id());
        project.snapshot.relevant(named, &object.uid)
    }

    /// How the pass ends, for [`report`].
    pub(super) fn ending<'r>(&'r self, record: &'r Record) -> Ending<'r> {
        let recorded = self.observed.object.recorded.client_id.as_ref();
        let published = record.published.as_ref().map(|published| &published.client_id);
        Ending {
            object: &self.object,
            record,
            deleting: self.object.metadata.deletion_timestamp.is_some(),
            project_id: self.project().map(|project| project.project_id.as_str()),
            secret_name: Some(&self.secret_name),
            managed_metadata_keys: &self.managed_keys,
            matches: self.matches(),
            replaced: recorded.is_some() && published.is_some() && recorded != published,
            now: self.now,
        }
    }

    /// Whether the recorded client and its Secret are as they were applied, as far as the pass knows: not, only on
    /// proof.
    fn matches(&self) -> bool {
        let recorded = &self.observed.object.recorded;
        let Some(client_id) = &recorded.client_id else {
            return false;
        };
        let secret_matches = self.observed.secret.stored().is_some_and(|stored| match stored.credential {
            Credential::Unread | Credential::AsRecorded => true,
            Credential::Other(_) | Credential::Broken => false,
        });
        let client_matches = match (self.observed.remote.get(client_id), &self.desired, &self.observed.object.token) {
            (Some(Remote::Absent | Remote::Deleted), _, _) => false,
            (Some(Remote::Listed(client) | Remote::Read(client)), Desired::Present(wanted), Some(token)) => {
                wanted.change(client, &recorded.managed_keys, token).is_none()
            }
            (Some(Remote::Listed(_) | Remote::Read(_) | Remote::Missing(_)) | None, _, _) => true,
        };
        secret_matches && client_matches
    }

    /// The status that the object shall have, and the merge patch to it; `None` if it has it already.
    pub(super) fn status_patch(&self, record: &Record) -> Option<Value> {
        let status = report(&self.ending(record));
        let present = self.object.status.clone().unwrap_or_default();
        (status != present).then(|| {
            json!({
                "metadata": { "resourceVersion": record.version.as_str() },
                "status": difference(&json!(present), &json!(status)),
            })
        })
    }
}

/// A merge patch from one object's fields to another's: those that differ, `null` where one goes.
#[must_use]
pub fn difference(present: &Value, wanted: &Value) -> Value {
    let fields = |value: &Value| value.as_object().cloned().unwrap_or_default();
    let (present, mut patch) = (fields(present), fields(wanted));
    for field in present.keys() {
        patch.entry(field.clone()).or_insert(Value::Null);
    }
    patch.retain(|field, value| present.get(field) != Some(value));
    Value::Object(patch)
}

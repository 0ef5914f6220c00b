//! The sweep: what a listing shows of clients that nobody declares any more.
//!
//! A finalizer alone cannot promise that none is left: its patch can be answered with success and yet be lost in a race
//! with a deletion, and a POST can commit long after its object is gone.

use std::collections::BTreeMap;
use std::time::Duration;

use jiff::Timestamp;
use k8s_openapi::api::core::v1::Secret;
use k8s_openapi::apiextensions_apiserver::pkg::apis::apiextensions::v1::CustomResourceDefinition;
use k8s_openapi::apimachinery::pkg::apis::meta::v1::Time;
use kube::runtime::reflector::{ObjectRef, Store};
use kube::{Api, Client};

use crate::api::OAuthClient;
use crate::api::project::Orphan;
use crate::decide::desired::project::{OrphanPolicy, Orphans};
use crate::decide::disowned::{Evidence, Haste, disowned};
use crate::decide::id::{ClientId, ClusterId};
use crate::decide::marker::{Marker, Owner};
use crate::decide::reading;
use crate::project::{Listing, Project};
use crate::reconcile::failures::within;
use crate::reconcile::{secret, secret_name};

const CRD: &str = "oauthclients.meshagent.com";

/// What the sweep looks with.
pub struct Sweep<'a> {
    /// For live reads.
    pub requests: &'a Client,
    /// Markers of other clusters are none of its business.
    pub cluster: &'a ClusterId,
    /// The OAuthClients as cached: those that name their client need no live read.
    pub objects: Vec<Store<OAuthClient>>,
    /// The namespaces that are watched; all, if empty. An object elsewhere cannot be judged.
    pub namespaces: &'a [String],
    /// Now.
    pub now: Timestamp,
}

/// What a sweep found.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Swept {
    /// The clients that are left because they are not old enough, or are only to be reported.
    pub orphans: Vec<Orphan>,
    /// How long until the first of them comes of age.
    pub next: Option<Duration>,
}

/// Whether the object that a marker names is there.
enum Found {
    Gone,
    Present(Box<OAuthClient>, Option<Box<Secret>>),
    Unknown,
}

impl Sweep<'_> {
    /// Removes what may go of a listing's disowned clients, and says which are left. `listing` was begun before any
    /// read that is made here; `known` are the orphans that the project's status names already.
    pub async fn sweep(&self, project: &Project, listing: &Listing, known: &[Orphan], rule: Orphans) -> Swept {
        let since: BTreeMap<&str, Timestamp> =
            known.iter().map(|orphan| (orphan.client_id.as_str(), orphan.since.0)).collect();
        let mut swept = Swept::default();
        let mut established = None;
        for (client_id, client) in listing {
            let Some(marker) = client.marker.as_ref().filter(|marker| self.is_to_be_judged(client_id, marker)) else {
                continue;
            };
            let haste = match self.find(&marker.owner, &mut established).await {
                Found::Gone => disowned(client_id, marker, Evidence::Gone),
                Found::Present(object, secret) => self.judge(client_id, marker, &object, secret.as_deref()),
                Found::Unknown => None,
            };
            let since = since.get(client_id.as_str()).copied().unwrap_or(self.now);
            let age = Duration::try_from(self.now.duration_since(since)).unwrap_or_default();
            let due = match haste {
                None => continue,
                Some(Haste::AtOnce) => true,
                Some(Haste::AfterMinAge) => rule.policy == OrphanPolicy::Delete && age >= rule.min_age,
            };
            if due && self.remove(project, client_id, &marker.owner).await {
                continue;
            }
            let next = (rule.policy == OrphanPolicy::Delete).then(|| rule.min_age.saturating_sub(age));
            swept.keep(client_id, &marker.owner, since, next);
        }
        swept
    }

    /// Whether a client is this cluster's, in a namespace that is watched, and not named by the object as cached.
    fn is_to_be_judged(&self, client_id: &ClientId, marker: &Marker) -> bool {
        let Owner { cluster, namespace, name, uid } = &marker.owner;
        let in_scope = self.namespaces.is_empty() || self.namespaces.contains(namespace);
        let reference = ObjectRef::<OAuthClient>::new(name).within(namespace);
        let named = self.objects.iter().find_map(|store| store.get(&reference)).is_some_and(|object| {
            let facts = reading::facts(&object, self.now);
            let retires = |id: &ClientId| facts.recorded.retiring.iter().any(|former| &former.client_id == id);
            &facts.uid == uid && (facts.recorded.client_id.as_ref() == Some(client_id) || retires(client_id))
        });
        cluster == self.cluster && in_scope && !named
    }

    async fn find(&self, owner: &Owner, established: &mut Option<bool>) -> Found {
        let objects: Api<OAuthClient> = Api::namespaced(self.requests.clone(), &owner.namespace);
        let gone = match within("read the OAuthClient of a marker", objects.get(&owner.name)).await {
            Ok(object) if object.metadata.uid.as_deref() == Some(owner.uid.as_str()) => {
                return self.with_secret(object).await;
            }
            Ok(_) => true,
            Err(error) => error.proves_absence_of("oauthclients"),
        };
        if established.is_none() {
            *established = Some(self.crd_is_established().await);
        }
        if gone && *established == Some(true) { Found::Gone } else { Found::Unknown }
    }

    async fn with_secret(&self, object: OAuthClient) -> Found {
        let namespace = object.metadata.namespace.clone().unwrap_or_default();
        let secrets: Api<Secret> = Api::namespaced(self.requests.clone(), &namespace);
        match within("read the Secret of a marker", secrets.get(&secret_name(&object))).await {
            Ok(secret) => Found::Present(Box::new(object), Some(Box::new(secret))),
            Err(error) if error.proves_absence_of("secrets") => Found::Present(Box::new(object), None),
            Err(_) => Found::Unknown,
        }
    }

    /// While the CRD is away or going, an object that is not there proves nothing.
    async fn crd_is_established(&self) -> bool {
        let crds: Api<CustomResourceDefinition> = Api::all(self.requests.clone());
        let Ok(crd) = within("read the CRD", crds.get(CRD)).await else {
            return false;
        };
        let conditions = crd.status.as_ref().and_then(|status| status.conditions.as_deref()).unwrap_or_default();
        let holds = |type_| conditions.iter().any(|found| found.type_ == type_ && found.status == "True");
        crd.metadata.deletion_timestamp.is_none() && holds("Established") && !holds("Terminating")
    }

    fn judge(
        &self,
        client_id: &ClientId,
        marker: &Marker,
        object: &OAuthClient,
        stored: Option<&Secret>,
    ) -> Option<Haste> {
        if object.metadata.deletion_timestamp.is_some() {
            // Its own deletion takes care of all that bears its uid.
            return None;
        }
        let facts = reading::facts(object, self.now);
        let view = secret::view(stored, &facts.uid, &facts.recorded, None);
        disowned(client_id, marker, Evidence::Present(&facts, &view))
    }

    async fn remove(&self, project: &Project, client_id: &ClientId, owner: &Owner) -> bool {
        let Owner { namespace, name, uid, .. } = owner;
        match project.api.delete_client(client_id.as_str()).await {
            Ok(()) => {
                project.snapshot.deleted(client_id);
                tracing::info!(%client_id, namespace, name, %uid, "deleted an orphan");
                true
            }
            Err(error) => {
                tracing::warn!(%client_id, namespace, name, %error, "an orphan could not be deleted");
                false
            }
        }
    }
}

impl Swept {
    fn keep(&mut self, client_id: &ClientId, owner: &Owner, since: Timestamp, next: Option<Duration>) {
        self.orphans.push(Orphan {
            client_id: client_id.to_string(),
            namespace: owner.namespace.clone(),
            name: owner.name.clone(),
            since: Time(Timestamp::from_second(since.as_second()).unwrap_or(since)),
        });
        self.next = [self.next, next].into_iter().flatten().min();
    }
}

//! OAuthClients as they are cached.

use std::borrow::Cow;
use std::fmt::{self, Debug, Formatter};

use k8s_openapi::apimachinery::pkg::apis::meta::v1::ObjectMeta;
use kube::{Resource, ResourceExt};
use serde::de::Error as _;
use serde::{Deserialize, Deserializer};

use crate::api::{ConditionStatus, ConditionType, OAuthClient, Reason, condition};
use crate::decide::client::object;
use crate::decide::client::observed::Named;
use crate::decide::project::reference::ProjectKey;
use crate::kubernetes::packed::{PackError, Packed, Typical};

/// A cached OAuthClient: the object, packed, beside the little that walks over all of them ask for.
#[derive(Clone)]
pub struct CachedClient {
    /// Namespace and name, by which kube finds the object, and the time of deletion.
    metadata: ObjectMeta,
    /// What is known without unpacking the object.
    pub facts: ClientFacts,
    object: Packed<OAuthClient>,
}

/// What is known of a cached OAuthClient without unpacking it.
#[derive(Clone, Debug)]
pub struct ClientFacts {
    /// The project that the spec names.
    pub project: ProjectKey,
    /// The uid, and the clients that the status names.
    pub named: Named,
    /// `status.projectId`, if the status names a client of its own.
    pub project_id: Option<Box<str>>,
    /// The condition `Ready`.
    pub ready: Option<Ready>,
    /// How many former clients live on because pods hold them.
    pub living_on: u32,
}

/// The condition `Ready`: its status, and its reason, if that is one of the operator's.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Ready(pub ConditionStatus, pub Option<Reason>);

impl CachedClient {
    /// The object as the watch showed it.
    ///
    /// # Errors
    /// Returns an error if this process's memory is damaged.
    pub fn unpack(&self) -> Result<OAuthClient, PackError> {
        self.object.unpack()
    }
}

impl Typical for OAuthClient {
    const TYPICAL: &'static str = include_str!("typical_oauth_client.json");
}

impl TryFrom<OAuthClient> for CachedClient {
    type Error = PackError;

    fn try_from(object: OAuthClient) -> Result<Self, PackError> {
        let (facts, packed) = (ClientFacts::of(&object), Packed::new(&object)?);
        let ObjectMeta { namespace, name, deletion_timestamp, .. } = object.metadata;
        let metadata = ObjectMeta { namespace, name, deletion_timestamp, ..ObjectMeta::default() };
        Ok(Self { metadata, facts, object: packed })
    }
}

impl ClientFacts {
    fn of(object: &OAuthClient) -> Self {
        let (named, status) = (object::named(object), object.status.as_ref());
        let project_id = status.and_then(|status| status.project_id.as_deref());
        let project_id = project_id.filter(|_| named.own.is_some()).map(Box::from);
        let conditions = status.and_then(|status| status.conditions.as_deref()).unwrap_or_default();
        let ready = condition::find(conditions, ConditionType::Ready);
        let retiring = status.and_then(|status| status.retiring.as_deref()).unwrap_or_default();
        let living_on = retiring.iter().filter(|former| former.pods.is_some()).count();
        Self {
            project: ProjectKey::of(object),
            named,
            project_id,
            ready: ready.map(|ready| Ready(ConditionStatus::of(&ready.status), Reason::of(&ready.reason))),
            living_on: u32::try_from(living_on).unwrap_or(u32::MAX),
        }
    }
}

/// Two are equal if the objects are.
impl PartialEq for CachedClient {
    fn eq(&self, other: &Self) -> bool {
        self.object == other.object
    }
}

/// kube's controller asks for this of what it reconciles, and never uses it with streams of our own.
impl<'de> Deserialize<'de> for CachedClient {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        Self::try_from(OAuthClient::deserialize(deserializer)?).map_err(D::Error::custom)
    }
}

impl Debug for CachedClient {
    fn fmt(&self, f: &mut Formatter<'_>) -> fmt::Result {
        write!(f, "OAuthClient {}/{}", self.namespace().unwrap_or_default(), self.name_any())
    }
}

impl Resource for CachedClient {
    type DynamicType = ();
    type Scope = <OAuthClient as Resource>::Scope;

    fn kind((): &()) -> Cow<'_, str> {
        OAuthClient::kind(&())
    }

    fn group((): &()) -> Cow<'_, str> {
        OAuthClient::group(&())
    }

    fn version((): &()) -> Cow<'_, str> {
        OAuthClient::version(&())
    }

    fn plural((): &()) -> Cow<'_, str> {
        OAuthClient::plural(&())
    }

    fn meta(&self) -> &ObjectMeta {
        &self.metadata
    }

    fn meta_mut(&mut self) -> &mut ObjectMeta {
        &mut self.metadata
    }
}

#[cfg(test)]
mod tests {
    use std::fs;
    use std::path::Path;

    use super::*;

    /// OAuthClients in every phase and with every reason, as the real control plane showed them.
    fn shown() -> Vec<OAuthClient> {
        let folder = Path::new(env!("CARGO_MANIFEST_DIR")).join("gitops/argocd/meshagent.com/OAuthClient/testdata");
        let files = fs::read_dir(folder).unwrap().map(|file| fs::read_to_string(file.unwrap().path()).unwrap());
        files.map(|text| serde_saphyr::from_str(&text).unwrap()).collect()
    }

    #[test]
    fn an_oauth_client_is_unpacked_as_it_was_packed_in_every_phase() {
        let shown = shown();
        assert!(shown.len() > 30, "the objects were not found");
        for object in shown {
            let packed = CachedClient::try_from(object.clone()).unwrap();
            assert_eq!(serde_json::json!(packed.unpack().unwrap()), serde_json::json!(object));
            assert_eq!(packed.facts.project, ProjectKey::of(&object));
            assert_eq!(packed.facts.named, object::named(&object));
            let status = serde_json::json!(object.status);
            let conditions = status["conditions"].as_array().into_iter().flatten();
            let ready = conditions.filter(|condition| condition["type"] == "Ready");
            let ready = ready.map(|ready| [&ready["status"], &ready["reason"]].map(|word| word.as_str().unwrap()));
            let shown = packed.facts.ready.map(|Ready(status, reason)| [status.as_str(), reason.unwrap().as_str()]);
            assert_eq!(shown.into_iter().collect::<Vec<_>>(), ready.collect::<Vec<_>>());
            let retiring = status["retiring"].as_array().into_iter().flatten();
            assert_eq!(packed.facts.living_on as usize, retiring.filter(|former| former["pods"].is_array()).count());
        }
    }

    #[test]
    fn a_former_client_lives_on_by_its_pods_and_a_reason_of_others_is_none_of_ours() {
        let former = |id: &str, pods: &[&str]| {
            let former = serde_json::json!({ "clientId": id, "deleteAfter": "2026-01-01T00:00:00Z", "pods": pods });
            serde_json::from_value::<crate::api::oauth_client::Retiring>(former).unwrap()
        };
        let mut waits = former("b", &[]);
        waits.pods = None;
        let mut object = shown().into_iter().find(|object| ClientFacts::of(object).ready.is_some()).unwrap();
        let status = object.status.as_mut().unwrap();
        status.retiring = Some(vec![former("a", &["web-1"]), waits]);
        for condition in status.conditions.iter_mut().flatten() {
            condition.reason = "Theirs".into();
        }
        let facts = ClientFacts::of(&object);
        assert_eq!((facts.living_on, facts.named.retiring.len()), (1, 2));
        assert_eq!(facts.ready.unwrap().1, None);
    }

    #[test]
    fn what_a_typical_oauth_client_shares_with_others_takes_no_room() {
        let typical: OAuthClient = serde_json::from_str(OAuthClient::TYPICAL).unwrap();
        let (text, packed) = (serde_json::to_vec(&typical).unwrap(), Packed::new(&typical).unwrap());
        assert_eq!(text, OAuthClient::TYPICAL.trim_end().as_bytes(), "it is not written as it is serialized");
        assert!(packed.size() * 10 < text.len(), "{} bytes were packed into {}", text.len(), packed.size());
    }

    /// An allocator has rooms of 512 and of 640 bytes; the two counts of an `Arc` take 16.
    #[test]
    fn a_cached_oauth_client_itself_takes_half_a_kilobyte() {
        assert!(size_of::<CachedClient>() + 16 <= 512, "{} bytes", size_of::<CachedClient>());
    }

    /// jiff reads more than it writes in a form that it reads: such an object is left as it is, like one that cannot be read.
    #[test]
    fn a_time_before_the_year_0_is_refused_rather_than_kept_in_a_form_that_cannot_be_read() {
        let mut object = shown().into_iter().find(|object| ClientFacts::of(object).ready.is_some()).unwrap();
        let early = serde_json::from_value(serde_json::json!("0000-01-01T00:00:00+01:00")).unwrap();
        object.status.as_mut().unwrap().conditions.as_mut().unwrap()[0].last_transition_time = early;
        assert!(matches!(CachedClient::try_from(object), Err(PackError::Decode(_))));
    }

    #[test]
    fn the_project_that_a_client_is_recorded_for_counts_only_with_the_client() {
        let mut object = OAuthClient::new("web", Default::default());
        let mut status =
            crate::api::oauth_client::OAuthClientStatus { project_id: Some("p".into()), ..Default::default() };
        object.status = Some(status.clone());
        assert_eq!(ClientFacts::of(&object).project_id, None);
        status.client_id = Some("c".into());
        object.status = Some(status);
        assert_eq!(ClientFacts::of(&object).project_id.as_deref(), Some("p"));
    }
}

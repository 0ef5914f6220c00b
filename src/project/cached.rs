//! OAuthClients as they are cached.

use std::borrow::Cow;

use crate::api::{ConditionType, OAuthClient, Reason, condition};
use crate::decide::client::object;
use crate::decide::client::observed::Named;
use crate::decide::project::reference::ProjectKey;
use crate::kubernetes::packed::{Packable, Packed};

/// A cached OAuthClient.
pub type CachedClient = Packed<OAuthClient>;

/// What is known of a cached OAuthClient without unpacking it.
#[derive(Clone, Debug)]
pub struct ClientFacts {
    /// The project that the spec names.
    pub project: ProjectKey,
    /// The uid, and the clients that the status names.
    pub named: Named,
    /// `status.projectId`, if the status names a client of its own.
    pub project_id: Option<Box<str>>,
    /// Status and reason of the condition `Ready`.
    pub ready: Option<[Cow<'static, str>; 2]>,
    /// How many former clients live on because pods hold them.
    pub living_on: usize,
}

impl Packable for OAuthClient {
    type Content = Self;
    type Facts = ClientFacts;

    const TYPICAL: &'static str = include_str!("cached/oauth_client.json");

    fn content(&self) -> &Self {
        self
    }

    fn facts(&self) -> ClientFacts {
        let named = object::named(self);
        let project_id = self.status.as_ref().and_then(|status| status.project_id.as_deref());
        let project_id = project_id.filter(|_| named.own.is_some()).map(Box::from);
        let status = self.status.as_ref();
        let conditions = status.and_then(|status| status.conditions.as_deref()).unwrap_or_default();
        let ready = condition::find(conditions, ConditionType::Ready);
        let retiring = status.and_then(|status| status.retiring.as_deref()).unwrap_or_default();
        ClientFacts {
            project: ProjectKey::of(self),
            named,
            project_id,
            ready: ready.map(|ready| [known(&ready.status), known(&ready.reason)]),
            living_on: retiring.iter().filter(|former| former.pods.is_some()).count(),
        }
    }
}

/// A word of a condition: those that the operator writes are not copied.
fn known(word: &str) -> Cow<'static, str> {
    let words = ["True", "False", "Unknown"].into_iter().chain(Reason::ALL.map(Reason::as_str));
    words.into_iter().find(|known| *known == word).map_or_else(|| Cow::Owned(word.to_owned()), Cow::Borrowed)
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
            let packed = CachedClient::new(&object).unwrap();
            assert_eq!(serde_json::json!(packed.unpack().unwrap()), serde_json::json!(object));
            assert_eq!(packed.facts.project, ProjectKey::of(&object));
            assert_eq!(packed.facts.named, object::named(&object));
            let status = serde_json::json!(object.status);
            let conditions = status["conditions"].as_array().into_iter().flatten();
            let ready = conditions.filter(|condition| condition["type"] == "Ready");
            let ready: Vec<_> =
                ready.map(|ready| [&ready["status"], &ready["reason"]].map(|word| word.to_string())).collect();
            let retiring = status["retiring"].as_array().into_iter().flatten();
            assert_eq!(packed.facts.living_on, retiring.filter(|former| former["pods"].is_array()).count());
            let shown = packed.facts.ready.map(|ready| ready.map(|word| format!("{word:?}")));
            assert_eq!(shown.into_iter().collect::<Vec<_>>(), ready);
        }
    }

    #[test]
    fn a_former_client_lives_on_by_its_pods_and_a_word_of_others_is_shown_as_it_is() {
        let former = |id: &str, pods: &[&str]| {
            let former = serde_json::json!({ "clientId": id, "deleteAfter": "2026-01-01T00:00:00Z", "pods": pods });
            serde_json::from_value::<crate::api::oauth_client::Retiring>(former).unwrap()
        };
        let mut waits = former("b", &[]);
        waits.pods = None;
        let mut object =
            shown().into_iter().find(|object| CachedClient::new(object).unwrap().facts.ready.is_some()).unwrap();
        let status = object.status.as_mut().unwrap();
        status.retiring = Some(vec![former("a", &["web-1"]), waits]);
        for condition in status.conditions.iter_mut().flatten() {
            condition.reason = "Theirs".into();
        }
        let facts = CachedClient::new(&object).unwrap().facts;
        assert_eq!((facts.living_on, facts.named.retiring.len()), (1, 2));
        assert_eq!(facts.ready.unwrap()[1], "Theirs");
    }

    #[test]
    fn what_a_typical_oauth_client_shares_with_others_takes_no_room() {
        let typical: OAuthClient = serde_json::from_str(OAuthClient::TYPICAL).unwrap();
        let (text, packed) = (serde_json::to_vec(&typical).unwrap(), CachedClient::new(&typical).unwrap());
        assert_eq!(text, OAuthClient::TYPICAL.trim_end().as_bytes(), "it is not written as it is serialized");
        assert!(packed.size() * 10 < text.len(), "{} bytes were packed into {}", text.len(), packed.size());
    }

    #[test]
    fn the_project_that_a_client_is_recorded_for_counts_only_with_the_client() {
        let mut object = OAuthClient::new("web", Default::default());
        let mut status =
            crate::api::oauth_client::OAuthClientStatus { project_id: Some("p".into()), ..Default::default() };
        object.status = Some(status.clone());
        assert_eq!(CachedClient::new(&object).unwrap().facts.project_id, None);
        status.client_id = Some("c".into());
        object.status = Some(status);
        assert_eq!(CachedClient::new(&object).unwrap().facts.project_id.as_deref(), Some("p"));
    }
}

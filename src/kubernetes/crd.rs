//! Whether the API server keeps OAuthClients at all: a CRD that goes takes its objects along, and nobody deleted
//! them one by one.

use k8s_openapi::apiextensions_apiserver::pkg::apis::apiextensions::v1::{
    CustomResourceDefinition, CustomResourceDefinitionStatus,
};
use kube::api::ListParams;
use kube::core::Object;
use kube::discovery::ApiResource;
use kube::{Api, Client};
use serde::Deserialize;

use crate::decide::client::observed::CrdState;
use crate::kubernetes::within;
use crate::single_flight::SingleFlight;

const CRD: &str = "oauthclients.meshagent.com";
const LIST: &str = "CustomResourceDefinitionList";

/// The spec of a CRD: the schemas, of which nothing is read here, are passed over.
#[derive(Clone, Debug, Deserialize)]
struct Unread {}

type Crd = Object<Unread, CustomResourceDefinitionStatus>;

/// Asks for the CRD of OAuthClients; many who ask at once cost one call.
pub struct CrdReader {
    requests: Client,
    single_flight: SingleFlight<Option<CrdState>>,
}

impl CrdReader {
    #[must_use]
    pub fn new(requests: Client) -> Self {
        Self { requests, single_flight: SingleFlight::default() }
    }

    /// The state of the CRD at some time after this was asked; `None`: the API server does not tell.
    pub async fn check(&self) -> Option<CrdState> {
        self.single_flight.share(async || crd_state(&self.requests).await).await
    }
}

/// Asks for the CRD of OAuthClients; `None`: the API server does not tell.
///
/// The CRD is listed by its name rather than read: an API server answers a consistent listing from memory, and decodes
/// the whole CRD for each read (`docs/performance.md`).
pub async fn crd_state(requests: &Client) -> Option<CrdState> {
    let resource = ApiResource::erase::<CustomResourceDefinition>(&());
    let crds: Api<Crd> = Api::all_with(requests.clone(), &resource);
    let by_name = ListParams::default().fields(&format!("metadata.name={CRD}"));
    let found = match within("list the CRD", crds.list(&by_name)).await {
        Ok(found) => found,
        Err(error) => {
            tracing::warn!(error = error.of_object().message, "the CRD of OAuthClients cannot be read");
            return None;
        }
    };
    let Some(crd) = found.items.iter().find(|crd| crd.metadata.name.as_deref() == Some(CRD)) else {
        // A list of another kind is not the API server's word that there is none.
        return (found.types.kind == LIST).then_some(CrdState::Away);
    };
    let conditions = crd.status.as_ref().and_then(|status| status.conditions.as_deref()).unwrap_or_default();
    let holds = |type_| conditions.iter().any(|found| found.type_ == type_ && found.status == "True");
    let established = crd.metadata.deletion_timestamp.is_none() && holds("Established") && !holds("Terminating");
    Some(if established { CrdState::Established } else { CrdState::Away })
}

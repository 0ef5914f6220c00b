//! The access to a project, read from the cluster at each check: its key, and the certificates that are trusted.

use std::collections::{BTreeMap, BTreeSet};
use std::fmt::Debug;
use std::str::FromStr;

use k8s_openapi::NamespaceResourceScope;
use k8s_openapi::api::core::v1::{ConfigMap, Secret};
use kube::{Api, Client, Resource};
use serde::de::DeserializeOwned;

use super::object::ProjectObject;
use crate::api::Reason;
use crate::decide::failure::Failure;
use crate::decide::project::no_access::{Needed, NoAccess};
use crate::decide::project::reference::ProjectKind;
use crate::decide::project::spec::{ApiKeyRef, BundleKind, BundleRef, ProjectSettings};
use crate::kubernetes::within;
use crate::meshagent::{AllowedHosts, ApiHost, ApiUrl};
use crate::secret::ApiKey;

/// The access to a project: what it is reached with.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Access {
    pub api_key: ApiKey,
    /// The trusted certificates in PEM, if the spec names some.
    pub ca_bundle: Option<Vec<u8>>,
}

/// An object that holds the key or the CA bundle of a project.
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub struct Source {
    pub kind: BundleKind,
    pub namespace: String,
    pub name: String,
}

/// The settings of a project, if they are valid and the project may name its server.
///
/// # Errors
/// Returns `InvalidSpec`.
pub fn settings<K: ProjectObject>(object: &K, allowed: &AllowedHosts) -> Result<ProjectSettings, Failure> {
    let settings = object.settings().map_err(|invalid| Failure::stalled(Reason::InvalidSpec, invalid.to_string()))?;
    allowed_server(K::KIND, allowed, settings)
}

/// The objects that hold a project's key and CA bundle, in its own namespace or the operator's.
#[must_use]
pub fn sources(namespace: &str, settings: &ProjectSettings) -> BTreeSet<Source> {
    let key = (BundleKind::Secret, &settings.api_key.secret);
    let bundle = settings.ca_bundle.as_ref().map(|BundleRef { kind, name, key: _ }| (*kind, name));
    let source = |(kind, name): (_, &String)| Source { kind, namespace: namespace.to_owned(), name: name.clone() };
    [Some(key), bundle].into_iter().flatten().map(source).collect()
}

/// Reads key and CA bundle from a namespace.
///
/// # Errors
/// Says what is missing or cannot be read.
pub async fn read(requests: &Client, namespace: &str, settings: &ProjectSettings) -> Result<Access, Failure> {
    let reader = Reader { requests, namespace };
    let api_key = reader.key(&settings.api_key).await?;
    let ca_bundle = match &settings.ca_bundle {
        Some(reference) => Some(reader.bundle(reference).await?),
        None => None,
    };
    Ok(Access { api_key, ca_bundle })
}

struct Reader<'a> {
    requests: &'a Client,
    namespace: &'a str,
}

/// The data of a Secret or ConfigMap.
type Data = BTreeMap<String, Vec<u8>>;

impl Reader<'_> {
    async fn key(&self, reference: &ApiKeyRef) -> Result<ApiKey, Failure> {
        let (ApiKeyRef { secret, key }, namespace) = (reference, self.namespace);
        let found = self.fetch("read the API key", Needed::ApiKey(reference), secret, secret_data).await?;
        let value = self.datum(found, Needed::ApiKey(reference), key)?;
        ApiKey::new(&value).map_err(|error| {
            Failure::stalled(
                Reason::AuthenticationFailed,
                format!("the data key {key} of Secret {secret} in namespace {namespace} is no API key: {error}"),
            )
        })
    }

    async fn bundle(&self, reference: &BundleRef) -> Result<Vec<u8>, Failure> {
        const DOING: &str = "read the CA bundle";
        let (BundleRef { kind, name, key }, needed) = (reference, Needed::Bundle(reference));
        let found = match kind {
            BundleKind::Secret => self.fetch(DOING, needed, name, secret_data).await?,
            BundleKind::ConfigMap => self.fetch(DOING, needed, name, map_data).await?,
        };
        self.datum(found, needed, key)
    }

    /// The datum, or what is missing.
    fn datum(&self, found: Option<Data>, needed: Needed<'_>, key: &str) -> Result<Vec<u8>, Failure> {
        let without = |why| needed.failure(self.namespace, &why);
        let mut data = found.ok_or_else(|| without(NoAccess::Absent))?;
        data.remove(key).ok_or_else(|| without(NoAccess::Lacking { present: data.into_keys().collect() }))
    }

    /// The data of an object as the API server has it now; `None` if it says that there is none.
    async fn fetch<T>(
        &self,
        doing: &'static str,
        needed: Needed<'_>,
        name: &str,
        data: impl FnOnce(T) -> Data,
    ) -> Result<Option<Data>, Failure>
    where
        T: Resource<DynamicType = (), Scope = NamespaceResourceScope> + Clone + Debug + DeserializeOwned,
    {
        let objects: Api<T> = Api::namespaced(self.requests.clone(), self.namespace);
        match within(doing, objects.get(name)).await {
            Ok(found) => Ok(Some(data(found))),
            Err(error) if error.proves_absence_of::<T>(name) => Ok(None),
            Err(error) => Err(match error.forbids() {
                Some(said) => needed.failure(self.namespace, &NoAccess::Withheld { said: said.to_owned() }),
                None => Failure { reason: Reason::ProjectNotReady, ..error.of_object() },
            }),
        }
    }
}

fn secret_data(secret: Secret) -> Data {
    secret.data.into_iter().flatten().map(|(key, value)| (key, value.0)).collect()
}

fn map_data(map: ConfigMap) -> Data {
    let text = map.data.into_iter().flatten().map(|(key, text)| (key, text.into_bytes()));
    let binary = map.binary_data.into_iter().flatten().map(|(key, value)| (key, value.0));
    text.chain(binary).collect()
}

/// The settings, unless the object may not name this server.
fn allowed_server(
    kind: ProjectKind,
    allowed: &AllowedHosts,
    settings: ProjectSettings,
) -> Result<ProjectSettings, Failure> {
    match kind {
        // A ClusterMeshAgentProject may name any server: whoever may create one runs the cluster.
        ProjectKind::ClusterMeshAgentProject => return Ok(settings),
        ProjectKind::MeshAgentProject => {}
    }
    let invalid = |problem: String| Failure::stalled(Reason::InvalidSpec, format!("spec.apiUrl {problem}"));
    let url = ApiUrl::from_str(&settings.api_url).map_err(|error| invalid(format!("cannot be used: {error}")))?;
    if allowed.allow(&url) {
        return Ok(settings);
    }
    let host = ApiHost::of(&url).map(|host| host.to_string()).unwrap_or_default();
    Err(invalid(format!(
        "names {host}, a server that no MeshAgentProject may name here; correct it, or have whoever runs the operator add \
         {host} to --allowed-api-hosts"
    )))
}

#[cfg(test)]
mod tests {
    use super::*;

    fn settings(api_url: &str) -> ProjectSettings {
        let spec = serde_json::json!({ "apiUrl": api_url, "apiKeySecretRef": { "name": "key" } });
        ProjectSettings::read(&serde_json::from_value(spec).unwrap()).unwrap()
    }

    fn refusal(kind: ProjectKind, api_url: &str) -> Option<String> {
        let allowed = "api.meshagent.com,http://127.0.0.1:8080".parse().unwrap();
        let failure = allowed_server(kind, &allowed, settings(api_url)).err()?;
        assert_eq!(failure, Failure::stalled(Reason::InvalidSpec, failure.message.clone()));
        Some(failure.message)
    }

    #[test]
    fn a_project_of_a_namespace_names_allowed_servers_only_and_one_of_the_cluster_any() {
        use ProjectKind::{ClusterMeshAgentProject, MeshAgentProject};
        for allowed in ["https://API.meshagent.com:443/prefix", "http://127.0.0.1:8080"] {
            assert_eq!(refusal(MeshAgentProject, allowed), None, "{allowed}");
        }
        let said = refusal(MeshAgentProject, "https://10.0.0.1:8443/x").unwrap();
        assert_eq!(
            said,
            "spec.apiUrl names https://10.0.0.1:8443, a server that no MeshAgentProject may name here; correct it, or have \
             whoever runs the operator add https://10.0.0.1:8443 to --allowed-api-hosts"
        );
        assert!(refusal(MeshAgentProject, "http://api.meshagent.com").is_some());
        assert_eq!(refusal(ClusterMeshAgentProject, "https://10.0.0.1:8443/x"), None);
    }
}

//! What a project is reached with, read from the cluster at each check: its key, and certificates that it trusts.

use std::collections::BTreeSet;
use std::fmt::Debug;
use std::str::FromStr;

use k8s_openapi::NamespaceResourceScope;
use k8s_openapi::api::core::v1::{ConfigMap, Secret};
use kube::{Api, Client, Resource};
use serde::de::DeserializeOwned;

use super::object::ProjectObject;
use crate::api::Reason;
use crate::decide::failure::Failure;
use crate::decide::project::reference::ProjectKind;
use crate::decide::project::spec::{ApiKeyRef, BundleKind, BundleRef, ProjectSettings};
use crate::kubernetes::within;
use crate::meshagent::{AllowedHosts, ApiHost, ApiUrl};
use crate::secret::ApiKey;

/// What a project is reached with.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Access {
    pub api_key: ApiKey,
    /// In PEM, if the spec names some.
    pub ca_bundle: Option<Vec<u8>>,
}

/// An object that a project is reached with.
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub struct Source {
    pub kind: BundleKind,
    pub namespace: String,
    pub name: String,
}

/// The settings of a project, if they are valid and it may name its server.
///
/// # Errors
/// `InvalidSpec`.
pub fn settings<K: ProjectObject>(object: &K, allowed: &AllowedHosts) -> Result<ProjectSettings, Failure> {
    let settings = object.settings().map_err(|invalid| Failure::stalled(Reason::InvalidSpec, invalid.to_string()))?;
    allowed_server(K::KIND, allowed, settings)
}

/// Where a project's key and CA bundle are, in its own namespace or the operator's.
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

impl Reader<'_> {
    async fn key(&self, reference: &ApiKeyRef) -> Result<ApiKey, Failure> {
        let (ApiKeyRef { secret, key }, namespace) = (reference, self.namespace);
        let missing = |what: &str| {
            let fix = format!(
                "kubectl create secret generic {secret} -n {namespace} --from-literal={key}=\"$MESHAGENT_API_KEY\""
            );
            Failure::wait(Reason::CredentialsNotFound, format!("{what}; create it: {fix}"))
        };
        let found: Option<Secret> = self.fetch("read the API key", secret).await?;
        let found = found.ok_or_else(|| missing(&format!("there is no Secret {secret} in namespace {namespace}")))?;
        let value =
            found.data.as_ref().and_then(|data| data.get(key)).ok_or_else(|| {
                missing(&format!("the Secret {secret} in namespace {namespace} has no data key {key}"))
            })?;
        ApiKey::new(&value.0).map_err(|error| {
            Failure::stalled(
                Reason::AuthenticationFailed,
                format!("the data key {key} of Secret {secret} in namespace {namespace} is no API key: {error}"),
            )
        })
    }

    async fn bundle(&self, reference: &BundleRef) -> Result<Vec<u8>, Failure> {
        const DOING: &str = "read the CA bundle";
        let (BundleRef { kind, name, key }, namespace) = (reference, self.namespace);
        // `None`: no such object; `Some(None)`: no such key in it.
        let found = match kind {
            BundleKind::Secret => {
                let found: Option<Secret> = self.fetch(DOING, name).await?;
                found.map(|secret| secret.data.and_then(|mut data| data.remove(key)).map(|value| value.0))
            }
            BundleKind::ConfigMap => {
                let found: Option<ConfigMap> = self.fetch(DOING, name).await?;
                found.map(|map| {
                    let text = map.data.and_then(|mut data| data.remove(key)).map(String::into_bytes);
                    text.or_else(|| map.binary_data.and_then(|mut data| data.remove(key)).map(|value| value.0))
                })
            }
        };
        match found {
            Some(Some(bundle)) => Ok(bundle),
            Some(None) => Err(missing_bundle(namespace, reference, true)),
            None => Err(missing_bundle(namespace, reference, false)),
        }
    }

    /// An object as the API server has it now; `None` if it says that there is none.
    async fn fetch<T>(&self, doing: &'static str, name: &str) -> Result<Option<T>, Failure>
    where
        T: Resource<DynamicType = (), Scope = NamespaceResourceScope> + Clone + Debug + DeserializeOwned,
    {
        let objects: Api<T> = Api::namespaced(self.requests.clone(), self.namespace);
        match within(doing, objects.get(name)).await {
            Ok(found) => Ok(Some(found)),
            Err(error) if error.proves_absence_of::<T>(name) => Ok(None),
            Err(error) => Err(Failure { reason: Reason::ProjectNotReady, ..error.of_object() }),
        }
    }
}

/// The settings, unless the object may not name this server.
fn allowed_server(
    kind: ProjectKind,
    allowed: &AllowedHosts,
    settings: ProjectSettings,
) -> Result<ProjectSettings, Failure> {
    match kind {
        // Whoever may create one runs the cluster.
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

/// The bundle's object, or if that is `there` the key in it, is missing.
fn missing_bundle(namespace: &str, reference: &BundleRef, there: bool) -> Failure {
    let BundleRef { kind, name, key } = reference;
    let (word, command) = match kind {
        BundleKind::Secret => ("Secret", "secret generic"),
        BundleKind::ConfigMap => ("ConfigMap", "configmap"),
    };
    let (problem, fix) = if there {
        (
            format!("the {word} {name} in namespace {namespace} has no data key {key}"),
            "add the certificates under that key, or correct it".to_owned(),
        )
    } else {
        (
            format!("there is no {word} {name} in namespace {namespace}"),
            format!("create it: kubectl create {command} {name} -n {namespace} --from-file={key}=<file in PEM>"),
        )
    };
    Failure::wait(Reason::CredentialsNotFound, format!("spec.caBundleRef: {problem}; {fix}"))
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

    #[test]
    fn a_missing_bundle_is_named_whole_and_says_how_to_make_it() {
        let reference = |kind| BundleRef { kind, name: "roots".to_owned(), key: "ca.crt".to_owned() };
        assert_eq!(
            missing_bundle("shop", &reference(BundleKind::ConfigMap), false).message,
            "spec.caBundleRef: there is no ConfigMap roots in namespace shop; create it: kubectl create configmap roots \
             -n shop --from-file=ca.crt=<file in PEM>"
        );
        assert_eq!(
            missing_bundle("shop", &reference(BundleKind::Secret), true).message,
            "spec.caBundleRef: the Secret roots in namespace shop has no data key ca.crt; add the certificates under that \
             key, or correct it"
        );
    }
}

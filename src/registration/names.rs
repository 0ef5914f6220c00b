//! The names under which the API server calls a webhook.

use std::collections::BTreeSet;

use k8s_openapi::api::admissionregistration::v1::{MutatingWebhookConfiguration, WebhookClientConfig};
use rustls::pki_types::ServerName;
use url::Url;

/// The domain of Services, which a cluster may have named otherwise; the API server leaves it out.
const CLUSTER_DOMAIN: &str = "cluster.local";

/// The names of the server that a configuration points at.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) struct ServerNames {
    in_certificate: Vec<String>,
    verified: Vec<ServerName<'static>>,
    /// An address of the server for a probe.
    url: Url,
}

impl ServerNames {
    /// The names in a configuration; `None` if it names no server, or one that no certificate can name.
    pub(super) fn of(configuration: &MutatingWebhookConfiguration) -> Option<Self> {
        let servers = configuration.webhooks.iter().flatten().map(|webhook| server(&webhook.client_config));
        let servers = servers.collect::<Option<Vec<(Vec<String>, Url)>>>()?;
        let names: BTreeSet<&String> = servers.iter().flat_map(|(names, _)| names).collect();
        let in_certificate: Vec<String> = names.into_iter().cloned().collect();
        let verified = in_certificate.iter().map(|name| ServerName::try_from(name.clone()).ok());
        let verified = verified.collect::<Option<Vec<_>>>()?;
        let (_, url) = servers.into_iter().next()?;
        Some(Self { in_certificate, verified, url })
    }

    /// The names as a certificate holds them.
    pub(super) fn in_certificate(&self) -> &[String] {
        &self.in_certificate
    }

    /// The names as a client verifies them.
    pub(super) fn verified(&self) -> &[ServerName<'static>] {
        &self.verified
    }

    /// Where the API server calls the first of the webhooks.
    pub(super) fn url(&self) -> &Url {
        &self.url
    }
}

fn server(config: &WebhookClientConfig) -> Option<(Vec<String>, Url)> {
    if let Some(service) = &config.service {
        let host = format!("{}.{}.svc", service.name, service.namespace);
        let (port, path) = (service.port.unwrap_or(443), service.path.as_deref().unwrap_or_default());
        let url = Url::parse(&format!("https://{host}:{port}{path}")).ok()?;
        return Some((vec![format!("{host}.{CLUSTER_DOMAIN}"), host], url));
    }
    let url = Url::parse(config.url.as_deref()?).ok()?;
    // An IPv6 address stands in brackets in a URL, and without them in a certificate.
    let host = url.host_str()?.trim_matches(['[', ']']).to_owned();
    Some((vec![host], url))
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::*;

    fn names(configs: serde_json::Value) -> Option<ServerNames> {
        let webhooks = configs.as_array().unwrap().iter().map(|config| {
            json!({ "name": "a.b.c", "clientConfig": config, "sideEffects": "None", "admissionReviewVersions": ["v1"] })
        });
        let configuration = json!({ "metadata": {}, "webhooks": webhooks.collect::<Vec<_>>() });
        ServerNames::of(&serde_json::from_value(configuration).unwrap())
    }

    #[test]
    fn a_service_is_called_by_its_name_in_the_cluster() {
        let service = json!({ "service": { "name": "webhook", "namespace": "system", "path": "/inject" } });
        let names = names(json!([service])).unwrap();
        assert_eq!(names.in_certificate(), ["webhook.system.svc", "webhook.system.svc.cluster.local"]);
        assert_eq!(names.url().as_str(), "https://webhook.system.svc/inject");
    }

    #[test]
    fn a_url_is_called_by_its_host_which_may_be_an_address() {
        for (url, host) in [("https://127.0.0.1:8443/inject", "127.0.0.1"), ("https://[::1]/", "::1")] {
            let names = names(json!([{ "url": url }])).unwrap();
            assert_eq!((names.in_certificate(), names.url().as_str()), (&[host.to_owned()][..], url));
        }
    }

    #[test]
    fn a_configuration_that_names_no_server_has_no_names() {
        assert_eq!(names(json!([])), None);
        assert_eq!(names(json!([{}])), None);
        assert_eq!(names(json!([{ "url": "https://webhook.example.com" }, { "url": "not a url" }])), None);
    }
}

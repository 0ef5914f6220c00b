//! How users reach an API server.

use std::time::Duration;

use base64::{Engine, prelude::BASE64_STANDARD as BASE64};
use kube::{
    Client, Config,
    api::GetParams,
    config::{KubeConfigOptions, Kubeconfig},
    core::request::Request,
};
use serde_json::json;

use crate::{Error, Process, Result, certificates::Authority};

/// An API server's address, and the authority that signs its users' certificates.
pub(crate) struct Access {
    pub(crate) url: String,
    pub(crate) authority: Authority,
}

impl Access {
    /// A kubeconfig that holds a fresh certificate of this user, as JSON, which is YAML too.
    pub(crate) fn kubeconfig(&self, user: &str, groups: &[&str]) -> Result<String> {
        Ok(self.config(user, groups)?.to_string())
    }

    pub(crate) async fn client(&self, user: &str, groups: &[&str]) -> Result<Client> {
        let making = || format!("making a client for {user}");
        let kubeconfig: Kubeconfig =
            serde_json::from_value(self.config(user, groups)?).map_err(Error::kubernetes(making()))?;
        let mut config = Config::from_custom_kubeconfig(kubeconfig, &KubeConfigOptions::default())
            .await
            .map_err(Error::kubernetes(making()))?;
        // A test decides itself what is tried again and for how long.
        config.default_retry = false;
        Client::try_from(config).map_err(Error::kubernetes(making()))
    }

    /// Waits until the API server says that it serves, which includes that it reaches etcd.
    pub(crate) async fn ready(&self, apiserver: &Process, within: Duration) -> Result<()> {
        let client = self.client("admin", &["system:masters"]).await?;
        apiserver
            .eventually(within, "kube-apiserver is ready", async || {
                let request =
                    Request::new("").get("readyz", &GetParams::default()).map_err(|error| error.to_string())?;
                client.request_text(request).await.map_err(|error| error.to_string())
            })
            .await
            .map(|_| ())
    }

    fn config(&self, user: &str, groups: &[&str]) -> Result<serde_json::Value> {
        let identity = self.authority.client(user, groups)?;
        let encode = |pem: &str| BASE64.encode(pem);
        Ok(json!({
            "apiVersion": "v1",
            "kind": "Config",
            "clusters": [{"name": "test", "cluster": {
                "server": self.url,
                "certificate-authority-data": encode(&self.authority.certificate()),
            }}],
            "users": [{"name": user, "user": {
                "client-certificate-data": encode(&identity.certificate),
                "client-key-data": encode(&identity.key),
            }}],
            "contexts": [{"name": "test", "context": {"cluster": "test", "user": user}}],
            "current-context": "test",
        }))
    }
}

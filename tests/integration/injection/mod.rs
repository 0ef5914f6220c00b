//! Pods that get their credential, by the real API server, which calls the webhook as the chart registers it.

mod certificates;
pub(crate) mod former;
mod pods;
mod reinvocation;
pub(crate) mod replicas;
pub(crate) mod restarts;

use serde_json::{Value, json};

use crate::chart::release::Cluster;

/// A pod of two containers in the namespace `shop`, which wants the credential of `web`.
fn pod(name: &str, annotations: &Value) -> Value {
    json!({
        "apiVersion": "v1", "kind": "Pod",
        "metadata": {
            "name": name, "namespace": "shop", "labels": { "meshagent.com/oauth-client": "web" }, "annotations": annotations,
        },
        "spec": spec(),
    })
}

fn spec() -> Value {
    json!({ "containers": [
        { "name": "app", "image": "example.com/app", "env": [{ "name": "CLIENT", "value": "$(MESHAGENT_OAUTH_CLIENT_ID)" }] },
        { "name": "istio-proxy", "image": "example.com/proxy" },
    ] })
}

/// The names of the variables that a container of an object's pods has.
fn variables(container: &Value) -> Vec<String> {
    let entries = container["env"].as_array().into_iter().flatten();
    entries.map(|entry| entry["name"].as_str().unwrap().to_owned()).collect()
}

/// What `kubectl create` says: its output, and its errors and warnings.
async fn created(cluster: &Cluster, manifest: &Value) -> Result<String, String> {
    let output = cluster.kubectl.try_run(&["create", "-f", "-"], &manifest.to_string()).await.unwrap();
    if output.status.success() { Ok(output.stderr) } else { Err(output.stderr) }
}

//! What has to hold once all is left in peace.

use std::collections::{BTreeMap, BTreeSet};
use std::time::Duration;

use harness::eventually;
use k8s_openapi::api::core::v1::Secret;
use kube::ResourceExt;
use kube::api::{DynamicObject, ListParams};
use serde_json::Value;
use simulator::admin::{Client, Route};

use crate::error::{Error, Result};
use crate::names::LABEL;
use crate::stage::Stage;

/// The key in a client's metadata that names its OAuthClient.
const UID: &str = "meshagent.com/uid";
/// How long the operator may take: a hanging call, a Lease that has to end and a backoff come together.
const SETTLED: Duration = Duration::from_secs(240);

/// Waits until all is as it is declared, and fails if it does not become so. `tokens` are those of all POSTs so far.
pub async fn hold(stage: &Stage, tokens: &mut BTreeSet<String>) -> Result<()> {
    eventually(SETTLED, "all is as it is declared", async || {
        let differences = differences(stage).await.map_err(|error| error.chain())?;
        if differences.is_empty() { Ok(()) } else { Err(differences.join("; ")) }
    })
    .await?;
    for call in stage.admin.calls().await?.iter().filter(|call| call.route == Some(Route::ClientsCreate)) {
        // One without a body was cut off, by a fault or since its replica was killed: it has made no client.
        if call.body.is_none() && call.status.is_none() {
            continue;
        }
        let token = call.body.as_ref().and_then(|body| body["metadata"]["meshagent.com/create-token"].as_str());
        let described = || format!("a POST without a token, answered {:?}, fault {:?}", call.status, call.fault);
        let token = token.ok_or_else(|| Error::Unexpected(described()))?;
        if !tokens.insert(token.to_owned()) {
            return Err(Error::Unexpected(format!("the token {token} was POSTed twice")));
        }
    }
    Ok(())
}

/// What is otherwise than declared.
async fn differences(stage: &Stage) -> Result<Vec<String>> {
    let project = stage.project()?;
    let listed = stage.objects().list(&ListParams::default()).await;
    let objects = listed.map_err(Error::kubernetes("listing the clients"))?.items;
    let listed = stage.secrets().list(&ListParams::default().labels(LABEL)).await;
    let mut secrets: BTreeMap<String, Secret> = listed
        .map_err(Error::kubernetes("listing Secrets"))?
        .items
        .into_iter()
        .map(|secret| (secret.name_any(), secret))
        .collect();
    let mut clients: BTreeMap<String, Client> = stage
        .admin
        .state()
        .await?
        .clients_of(project)
        .into_iter()
        .map(|client| (client.client_id.clone(), client))
        .collect();
    let mut differences = Vec::new();
    for object in &objects {
        let (name, status) = (object.name_any(), &object.data["status"]);
        let client = status["clientId"].as_str().and_then(|id| clients.remove(id));
        for former in status["retiring"].as_array().into_iter().flatten() {
            drop(former["clientId"].as_str().and_then(|id| clients.remove(id)));
        }
        let secret = secrets.remove(&format!("{name}-oauth"));
        if waits(object) {
            // What its last POST may have made is looked for by the next one.
            clients.retain(|_, client| client.metadata.get(UID) != object.metadata.uid.as_ref());
            continue;
        }
        if let Some(difference) = difference(object, client.as_ref(), secret.as_ref()) {
            differences.push(format!("{name}: {difference}"));
        } else if let Some([id, value]) = secret.as_ref().and_then(credential)
            && !stage.admin.verify(project, &id, &value).await?
        {
            differences.push(format!("{name}: its credential is not accepted"));
        }
    }
    differences.extend(clients.keys().map(|id| format!("client {id} belongs to nobody")));
    differences.extend(secrets.keys().map(|name| format!("Secret {name} belongs to nobody")));
    Ok(differences)
}

/// Whether a replacement waits for its time: after a POST of unknown outcome that is ten minutes.
fn waits(object: &DynamicObject) -> bool {
    let conditions = object.data["status"]["conditions"].as_array().into_iter().flatten();
    let mut ready = conditions.filter(|condition| condition["type"] == "Ready");
    object.metadata.deletion_timestamp.is_none() && ready.any(|ready| ready["reason"] == "Rotating")
}

/// What is wrong with one OAuthClient.
fn difference(object: &DynamicObject, client: Option<&Client>, secret: Option<&Secret>) -> Option<&'static str> {
    let (status, spec) = (&object.data["status"], &object.data["spec"]);
    let conditions = status["conditions"].as_array().into_iter().flatten();
    let is_ready = conditions.filter(|condition| condition["type"] == "Ready").any(|ready| ready["status"] == "True");
    if object.metadata.deletion_timestamp.is_some() {
        return Some("it is still there, and is to be gone");
    }
    if !is_ready || status["observedGeneration"].as_i64() != object.metadata.generation {
        return Some("it is not Ready");
    }
    let (Some(client), Some(secret)) = (client, secret) else { return Some("it has no client, or no Secret") };
    let declared = spec["redirectUris"].as_array().into_iter().flatten().filter_map(Value::as_str);
    if !declared.eq(client.redirect_uris.iter().map(String::as_str)) {
        return Some("its client has other redirect URIs");
    }
    let stored = credential(secret).map(|[id, _]| id);
    (stored.as_ref() != Some(&client.client_id)).then_some("its Secret holds another client's credential")
}

/// Client id and secret of a Secret.
fn credential(secret: &Secret) -> Option<[String; 2]> {
    let data = secret.data.as_ref()?;
    let text = |key: &str| String::from_utf8(data.get(key)?.0.clone()).ok();
    Some([text("CLIENT_ID")?, text("CLIENT_SECRET")?])
}

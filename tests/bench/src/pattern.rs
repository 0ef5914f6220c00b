//! What the operator wrote for its first client, as a pattern for the requests of the bare client: these have then the
//! operator's form and size.

use base64::Engine;
use base64::engine::general_purpose::STANDARD as BASE64;
use k8s_openapi::api::core::v1::Secret;
use kube::ResourceExt;
use serde_json::{Value, json};
use simulator::admin::Route;

use crate::error::{Error, Result};
use crate::names::{FIRST, TOKEN};
use crate::stage::{Stage, parsed};

/// The values that differ from client to client.
#[derive(Clone, Debug)]
pub struct Values {
    pub name: String,
    pub uid: String,
    pub token: String,
    pub client_id: String,
}

/// What is written for one client.
pub struct Pattern {
    values: Values,
    post: Value,
    secret: Value,
    status: Value,
}

impl Pattern {
    /// Takes the pattern from the first client, once it is Ready and before anything else is asked for.
    pub async fn take(stage: &Stage) -> Result<Self> {
        let object = stage.objects().get(FIRST).await.map_err(Error::kubernetes("reading the first client"))?;
        let name = format!("{FIRST}-oauth");
        let secret = stage.secrets().get(&name).await.map_err(Error::kubernetes("reading its Secret"))?;
        let calls = stage.admin.calls().await?;
        let post = calls.into_iter().find(|call| call.route == Some(Route::ClientsCreate)).and_then(|call| call.body);
        let values = Values {
            name: FIRST.to_owned(),
            uid: object.metadata.uid.clone().unwrap_or_default(),
            token: object.annotations().get(TOKEN).cloned().unwrap_or_default(),
            client_id: object.data["status"]["clientId"].as_str().unwrap_or_default().to_owned(),
        };
        if [&values.uid, &values.token, &values.client_id].iter().any(|value| value.is_empty()) {
            return Err(Error::Unexpected("the first client is not recorded".to_owned()));
        }
        let post = post.ok_or_else(|| Error::Unexpected("no POST was recorded".to_owned()))?;
        Ok(Self { values, post, secret: without_server_fields(&secret)?, status: object.data["status"].clone() })
    }

    /// The body of a POST.
    pub fn post(&self, values: &Values) -> Result<Value> {
        self.filled(&self.post, values)
    }

    /// The Secret of a client.
    pub fn secret(&self, values: &Values, client_secret: &str) -> Result<Secret> {
        let mut secret = self.filled(&self.secret, values)?;
        secret["data"]["CLIENT_ID"] = json!(BASE64.encode(&values.client_id));
        secret["data"]["CLIENT_SECRET"] = json!(BASE64.encode(client_secret));
        parsed(secret)
    }

    /// The status of a client of this generation whose Secret has this version.
    pub fn status(&self, values: &Values, generation: i64, secret_version: &str) -> Result<Value> {
        let mut status = self.filled(&self.status, values)?;
        status["secretResourceVersion"] = json!(secret_version);
        for field in ["observedGeneration", "appliedGeneration"] {
            status[field] = json!(generation);
        }
        for condition in status["conditions"].as_array_mut().into_iter().flatten() {
            condition["observedGeneration"] = json!(generation);
        }
        Ok(status)
    }

    fn filled(&self, pattern: &Value, values: &Values) -> Result<Value> {
        let Values { name, uid, token, client_id } = &self.values;
        // The token holds the uid, so it comes first.
        let pairs = [(token, &values.token), (uid, &values.uid), (client_id, &values.client_id), (name, &values.name)];
        let text = pairs.into_iter().fold(pattern.to_string(), |text, (from, to)| text.replace(from.as_str(), to));
        serde_json::from_str(&text).map_err(|error| Error::Unexpected(format!("a request cannot be made: {error}")))
    }
}

/// A Secret as it was sent, and without its credential.
fn without_server_fields(secret: &Secret) -> Result<Value> {
    let mut value = json!(secret);
    for field in ["creationTimestamp", "managedFields", "resourceVersion", "uid"] {
        if let Some(metadata) = value["metadata"].as_object_mut() {
            metadata.remove(field);
        }
    }
    if !value["data"]["CLIENT_SECRET"].is_string() {
        return Err(Error::Unexpected("the first client's Secret holds no CLIENT_SECRET".to_owned()));
    }
    value["data"]["CLIENT_SECRET"] = Value::Null;
    Ok(value)
}

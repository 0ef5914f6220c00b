//! Why a pod that was promised a credential waits for it.

use k8s_openapi::apimachinery::pkg::apis::meta::v1::ObjectMeta;

use super::request::read_record;
use crate::api::condition::{ConditionType, find};
use crate::api::names::{INJECTED_ANNOTATION, OAUTH_CLIENT_LABEL, SECRET_NAME_ANNOTATION};
use crate::api::oauth_client::OAuthClient;
use crate::decide::client::desired::Essentials;
use crate::decide::published::secret_of_pod;

/// What a pod was promised: the credential of an OAuthClient, from a Secret.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Promise {
    pub client: String,
    pub secret: String,
    /// Whether the pod itself names the Secret: it may be anybody's.
    pub is_named: bool,
}

/// What the webhook promised a pod, by its metadata; `None` if nothing.
#[must_use]
pub fn promise(metadata: &ObjectMeta) -> Option<Promise> {
    let client = metadata.labels.as_ref()?.get(OAUTH_CLIENT_LABEL)?.clone();
    let annotations = metadata.annotations.as_ref()?;
    let (_, containers) = read_record(annotations.get(INJECTED_ANNOTATION)?)?;
    let named = annotations.get(SECRET_NAME_ANNOTATION).map(String::as_str);
    let secret = secret_of_pod(&client, named);
    (!containers.is_empty()).then(|| Promise { client, secret, is_named: named.is_some() })
}

/// Why the pod waits, in a sentence; `None` if that is not known. The Secret of the promise is not there, as far as the
/// operator sees Secrets: those of OAuthClients.
#[must_use]
pub fn why(promise: &Promise, namespace: &str, client: Option<&OAuthClient>) -> Option<String> {
    let Promise { client: name, secret, is_named } = promise;
    let Some(client) = client else {
        let nobody = format!("there is none of that name in namespace {namespace}");
        return (!is_named).then(|| format!("waits for OAuthClient {name}: {nobody}"));
    };
    let written = Essentials::read(&client.spec, name).secret_name;
    if written != *secret {
        let elsewhere = format!("its credential goes to Secret {written}, and the pod looks for {secret}");
        let fix = format!("set the annotation {SECRET_NAME_ANNOTATION} of the pod template to {written}");
        return (!is_named).then(|| format!("waits for OAuthClient {name}: {elsewhere}; {fix}"));
    }
    let conditions = client.status.as_ref().and_then(|status| status.conditions.as_deref()).unwrap_or_default();
    Some(match find(conditions, ConditionType::Ready) {
        Some(ready) => format!("waits for OAuthClient {name}: {} – {}", ready.reason, ready.message),
        None => format!("waits for OAuthClient {name}: the operator has not looked at it yet"),
    })
}

#[cfg(test)]
mod tests {
    use serde_json::{Value, json};

    use super::*;

    fn promised(annotations: Value) -> Option<Promise> {
        let metadata = json!({ "labels": { "meshagent.com/oauth-client": "web" }, "annotations": annotations });
        promise(&serde_json::from_value(metadata).unwrap())
    }

    fn said(annotations: Value, client: Option<Value>) -> Option<String> {
        let client: Option<OAuthClient> = client.map(|client| serde_json::from_value(client).unwrap());
        why(&promised(annotations).unwrap(), "shop", client.as_ref())
    }

    fn client(spec: Value, conditions: Value) -> Option<Value> {
        Some(json!({
            "apiVersion": "meshagent.com/v1alpha1", "kind": "OAuthClient", "metadata": { "name": "web" },
            "spec": spec, "status": { "conditions": conditions },
        }))
    }

    #[test]
    fn a_pod_that_the_webhook_gave_nothing_was_promised_nothing() {
        for annotations in
            [json!({}), json!({ "meshagent.com/injected": "env:" }), json!({ "meshagent.com/injected": "a" })]
        {
            assert_eq!(promised(annotations), None);
        }
        let promise = promised(json!({ "meshagent.com/injected": "file:app" })).unwrap();
        assert_eq!((promise.secret.as_str(), promise.is_named), ("web-oauth", false));
    }

    #[test]
    fn a_pod_is_told_reason_and_message_of_its_oauthclient_or_that_there_is_none() {
        let env = json!({ "meshagent.com/injected": "env:app" });
        let none = "waits for OAuthClient web: there is none of that name in namespace shop";
        assert_eq!(said(env.clone(), None).unwrap(), none);
        let unseen = "waits for OAuthClient web: the operator has not looked at it yet";
        assert_eq!(said(env.clone(), client(json!({}), json!([]))).unwrap(), unseen);
        let ready = json!([{
            "type": "Ready", "status": "False", "reason": "NamespaceNotAllowed", "message": "ask for it",
            "lastTransitionTime": "2026-11-27T00:00:00Z",
        }]);
        let why = "waits for OAuthClient web: NamespaceNotAllowed – ask for it";
        assert_eq!(said(env.clone(), client(json!({}), ready)).unwrap(), why);
        let elsewhere = client(json!({ "secret": { "name": "login" } }), json!([]));
        let why = "waits for OAuthClient web: its credential goes to Secret login, and the pod looks for web-oauth; set the \
                   annotation meshagent.com/secret-name of the pod template to login";
        assert_eq!(said(env, elsewhere.clone()).unwrap(), why);
        // A Secret that the pod names itself may be one that the operator does not see.
        let theirs = json!({ "meshagent.com/injected": "env:app", "meshagent.com/secret-name": "theirs" });
        assert_eq!(said(theirs.clone(), elsewhere), None);
        assert_eq!(said(theirs, None), None);
    }
}

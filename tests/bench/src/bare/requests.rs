//! The requests of one create, edit, rotation and deletion, in the operator's order.

use std::sync::Arc;

use k8s_openapi::api::core::v1::Secret;
use k8s_openapi::api::events::v1::Event;
use kube::api::{DynamicObject, Patch, PatchParams, PostParams};
use kube::{Api, Client, ResourceExt};
use serde_json::{Value, json};
use uuid::Uuid;

use crate::error::{Error, Result};
use crate::names::{FINALIZER, MANAGER, NAMESPACE, OPERATOR, OPERATOR_GROUPS, ROTATE, TOKEN, UNKNOWN, oauth_clients};
use crate::pattern::{Pattern, Values};
use crate::stage::{Stage, parsed};

/// Sends requests as the operator does.
pub struct Sender {
    pattern: Arc<Pattern>,
    objects: Api<DynamicObject>,
    secrets: Api<Secret>,
    events: Api<Event>,
    http: reqwest::Client,
    clients_url: String,
    api_key: String,
}

/// What was done: the object as it is then, and the Events that tell of it, each a reason and a note.
pub struct Done {
    pub object: DynamicObject,
    news: Vec<(&'static str, String)>,
}

impl Sender {
    /// A sender to this stage's servers.
    pub async fn new(stage: &Stage, pattern: Arc<Pattern>) -> Result<Self> {
        let requests: Client = stage.plane.client_for(OPERATOR, &OPERATOR_GROUPS).await?;
        let project = stage.simulator.projects().first().cloned();
        let project = project.ok_or_else(|| Error::Unexpected("the simulator has no project".to_owned()))?;
        let http = reqwest::Client::builder().no_proxy().build().map_err(Error::http("making an HTTP client"))?;
        Ok(Self {
            pattern,
            objects: Api::namespaced_with(requests.clone(), NAMESPACE, &oauth_clients()),
            secrets: Api::namespaced(requests.clone(), NAMESPACE),
            events: Api::namespaced(requests, NAMESPACE),
            http,
            clients_url: format!("{}/accounts/projects/{}/oauth/clients", stage.simulator.api(), project.project_id),
            api_key: project.api_key,
        })
    }

    /// Intent, dry run, POST, Secret, record.
    pub async fn create(&self, object: &DynamicObject) -> Result<Done> {
        let values = values(object);
        let object = self.intent(object, &values.token).await?;
        let dry = Values { token: "dry-run".to_owned(), client_id: "dry-run".to_owned(), ..values.clone() };
        self.create_secret(&self.pattern.secret(&dry, "dry-run")?, true).await?;
        self.publish(&object, values).await
    }

    /// Intent, POST, Secret, record: what a create leaves behind.
    pub async fn load(&self, object: &DynamicObject) -> Result<Done> {
        let values = values(object);
        let object = self.intent(object, &values.token).await?;
        self.publish(&object, values).await
    }

    async fn publish(&self, object: &DynamicObject, mut values: Values) -> Result<Done> {
        let (client_id, client_secret) = self.post(&values).await?;
        values.client_id = client_id;
        let stored = self.create_secret(&self.pattern.secret(&values, &client_secret)?, false).await?;
        let version = stored.resource_version().unwrap_or_default();
        let status = self.pattern.status(&values, object.metadata.generation.unwrap_or_default(), &version)?;
        let recorded = self.record(object, status).await?;
        let Values { name, client_id, .. } = &values;
        let note = format!("created client {client_id}; its credential is in Secret {name}-oauth");
        Ok(Done { object: recorded, news: vec![("Created", note)] })
    }

    /// PUT, record.
    pub(super) async fn edit(&self, object: &DynamicObject) -> Result<Done> {
        let values = Values { client_id: client_id(object), ..values(object) };
        let body = json!({ "redirect_uris": object.data["spec"]["redirectUris"] });
        let url = format!("{}/{}", self.clients_url, values.client_id);
        self.call(self.http.put(url).json(&body)).await?;
        let mut status = self.pattern.status(&values, object.metadata.generation.unwrap_or_default(), "")?;
        let changed =
            ["observedGeneration", "appliedGeneration", "conditions"].map(|field| (field, status[field].take()));
        let recorded = self.record(object, changed.into_iter().collect()).await?;
        let note = format!("updated redirect_uris of client {}", values.client_id);
        Ok(Done { object: recorded, news: vec![("Updated", note)] })
    }

    /// Intent, dry run, POST, Secret, record, DELETE, record.
    pub(super) async fn rotate(&self, object: &DynamicObject) -> Result<Done> {
        let (former, mut values) = (client_id(object), values(object));
        let stored = object.data["status"]["secretResourceVersion"].as_str().unwrap_or_default();
        let object = self.intent(object, &values.token).await?;
        let dry = Values { token: "dry-run".to_owned(), client_id: "dry-run".to_owned(), ..values.clone() };
        self.replace_secret(&self.pattern.secret(&dry, "dry-run")?, stored, true).await?;
        let (client_id, client_secret) = self.post(&values).await?;
        values.client_id = client_id;
        let stored = self.replace_secret(&self.pattern.secret(&values, &client_secret)?, stored, false).await?;
        let now = jiff::Timestamp::now().to_string();
        let mut status = json!({
            "clientId": values.client_id,
            "secretResourceVersion": stored.resource_version(),
            "lastReplacedAt": now,
            "retiring": [{ "clientId": former, "deleteAfter": now, "replacedAt": now }],
            "lastHandledRotateAt": object.annotations().get(ROTATE),
        });
        let mut pattern = self.pattern.status(&values, object.metadata.generation.unwrap_or_default(), "")?;
        for field in ["credentialDigest", "conditions"] {
            status[field] = pattern[field].take();
        }
        let recorded = self.record(&object, status).await?;
        self.call(self.http.delete(format!("{}/{former}", self.clients_url))).await?;
        let recorded = self.record(&recorded, json!({ "retiring": null })).await?;
        let rotated = format!("client {} replaces {former}: a rotation was asked for", values.client_id);
        let deleted = format!("deleted former client {former}: its overlap has ended");
        Ok(Done { object: recorded, news: vec![("Rotated", rotated), ("Deleted", deleted)] })
    }

    /// DELETE, and the finalizer goes.
    pub(super) async fn delete(&self, object: &DynamicObject) -> Result<Done> {
        self.call(self.http.delete(format!("{}/{}", self.clients_url, client_id(object)))).await?;
        let patch = json!({ "metadata": { "resourceVersion": object.resource_version(), "finalizers": [] } });
        let released = self.patch(object, &patch).await?;
        Ok(Done { object: released, news: vec![("Deleted", format!("deleted client {}", client_id(object)))] })
    }

    /// Tells of what was done.
    pub(super) async fn tell(&self, Done { object, news }: &Done) -> Result<()> {
        for (reason, note) in news {
            let told = self.events.create(&PostParams::default(), &event(object, reason, note)?).await;
            told.map_err(Error::kubernetes("writing an Event"))?;
        }
        Ok(())
    }

    async fn intent(&self, object: &DynamicObject, token: &str) -> Result<DynamicObject> {
        let patch = json!({ "metadata": {
            "resourceVersion": object.resource_version(),
            "finalizers": [FINALIZER],
            "annotations": { TOKEN: token, UNKNOWN: null },
        } });
        self.patch(object, &patch).await
    }

    async fn patch(&self, object: &DynamicObject, patch: &Value) -> Result<DynamicObject> {
        let patched = self.objects.patch(&object.name_any(), &params(false), &Patch::Merge(patch)).await;
        patched.map_err(Error::kubernetes("patching a client"))
    }

    async fn record(&self, object: &DynamicObject, status: Value) -> Result<DynamicObject> {
        let patch = json!({ "metadata": { "resourceVersion": object.resource_version() }, "status": status });
        let recorded = self.objects.patch_status(&object.name_any(), &params(false), &Patch::Merge(patch)).await;
        recorded.map_err(Error::kubernetes("recording a status"))
    }

    async fn create_secret(&self, secret: &Secret, dry_run: bool) -> Result<Secret> {
        let params = PostParams { dry_run, field_manager: Some(MANAGER.to_owned()) };
        self.secrets.create(&params, secret).await.map_err(Error::kubernetes("creating a Secret"))
    }

    async fn replace_secret(&self, secret: &Secret, version: &str, dry_run: bool) -> Result<Secret> {
        let patch = json!({
            "metadata": { "resourceVersion": version, "labels": secret.labels(), "annotations": secret.annotations() },
            "data": secret.data,
        });
        let patched = self.secrets.patch(&secret.name_any(), &params(dry_run), &Patch::Merge(patch)).await;
        patched.map_err(Error::kubernetes("replacing a credential"))
    }

    /// Creates a client, and returns its id and its secret.
    async fn post(&self, values: &Values) -> Result<(String, String)> {
        let answer = self.call(self.http.post(&self.clients_url).json(&self.pattern.post(values)?)).await?;
        let answer: Value = answer.json().await.map_err(Error::http("reading the answer to a POST"))?;
        let client = answer.get("client").unwrap_or(&answer);
        match (client["client_id"].as_str(), client["client_secret"].as_str()) {
            (Some(id), Some(secret)) => Ok((id.to_owned(), secret.to_owned())),
            _ => Err(Error::Unexpected("the answer to a POST holds no credential".to_owned())),
        }
    }

    async fn call(&self, request: reqwest::RequestBuilder) -> Result<reqwest::Response> {
        let doing = || Error::http("calling MeshAgent");
        let answer = request.bearer_auth(&self.api_key).header("Consistency", "high").send().await.map_err(doing())?;
        answer.error_for_status().map_err(doing())
    }
}

fn params(dry_run: bool) -> PatchParams {
    PatchParams { dry_run, field_manager: Some(MANAGER.to_owned()), ..PatchParams::default() }
}

fn client_id(object: &DynamicObject) -> String {
    object.data["status"]["clientId"].as_str().unwrap_or_default().to_owned()
}

/// The values of a client, with a new token.
fn values(object: &DynamicObject) -> Values {
    let uid = object.metadata.uid.clone().unwrap_or_default();
    let token = format!("{uid}.{}", Uuid::new_v4().simple());
    Values { name: object.name_any(), uid, token, client_id: String::new() }
}

fn event(object: &DynamicObject, reason: &str, note: &str) -> Result<Event> {
    let (name, uid) = (object.name_any(), object.metadata.uid.as_deref());
    parsed(json!({
        "metadata": { "name": format!("{name}.{}", Uuid::new_v4().simple()), "namespace": NAMESPACE },
        "eventTime": format!("{:.6}", jiff::Timestamp::now()),
        "reportingController": MANAGER,
        "reportingInstance": MANAGER,
        "action": "Reconcile",
        "reason": reason,
        "type": "Normal",
        "note": note,
        "regarding": {
            "apiVersion": "meshagent.com/v1alpha1", "kind": "OAuthClient", "name": name, "namespace": NAMESPACE,
            "uid": uid, "resourceVersion": object.resource_version(),
        },
    }))
}

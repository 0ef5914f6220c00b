//! The reviews that the API server sends, and the answers.

use std::sync::Arc;
use std::time::{Duration, Instant};

use axum::Router;
use axum::body::{self, Bytes};
use axum::extract::{Request as HttpRequest, State};
use axum::http::{StatusCode, header};
use axum::response::{IntoResponse, Response};
use axum::routing::post;
use base64::Engine as _;
use base64::engine::general_purpose::STANDARD as BASE64;
use k8s_openapi::api::core::v1::{Pod, PodSpec};
use k8s_openapi::apimachinery::pkg::apis::meta::v1::ObjectMeta;
use serde::Deserialize;
use serde_json::value::RawValue;
use serde_json::{Value, json};
use tokio::sync::Semaphore;

use super::metrics::{Outcome, WebhookMetrics};
use crate::decide::inject::{Defaults, Injection, inject};

/// Where the API server sends reviews.
pub const PATH: &str = "/inject";

/// The longest body in bytes: an object has 1.5 MiB at most in etcd, and a review quotes it once or twice.
const LONGEST_BODY: usize = 3 * 1024 * 1024;
/// The bytes of bodies that are in memory at a time, whoever sent them: the longest alone, or hundreds of usual ones. What
/// is read of them takes several times as much.
const BODIES: usize = LONGEST_BODY;
/// The longest time for a body to come, the wait for its room included.
const BODY: Duration = Duration::from_secs(5);

/// A review, as far as it counts: <https://kubernetes.io/docs/reference/config-api/apiserver-admission.v1/>. kube's own type
/// holds the whole object twice while it is read.
#[derive(Deserialize)]
struct Review<'a> {
    #[serde(borrow)]
    request: Option<Request<'a>>,
}

#[derive(Deserialize)]
#[serde(rename_all = "camelCase")]
struct Request<'a> {
    uid: String,
    operation: String,
    resource: Resource,
    sub_resource: Option<String>,
    namespace: Option<String>,
    #[serde(borrow)]
    object: Option<&'a RawValue>,
}

#[derive(Deserialize)]
struct Resource {
    group: String,
    resource: String,
}

/// A pod, as far as its metadata and its spec go.
#[derive(Deserialize)]
struct PodParts {
    metadata: ObjectMeta,
    spec: Option<PodSpec>,
}

struct Shared {
    defaults: Defaults,
    metrics: WebhookMetrics,
    room: Semaphore,
}

pub(super) fn routes(defaults: Defaults, metrics: WebhookMetrics) -> Router {
    let shared = Shared { defaults, metrics, room: Semaphore::new(BODIES) };
    Router::new().route(PATH, post(answer)).with_state(Arc::new(shared))
}

async fn answer(State(shared): State<Arc<Shared>>, request: HttpRequest) -> Response {
    let started = Instant::now();
    let (outcome, response) = match tokio::time::timeout(BODY, read(&shared, request)).await {
        Ok(Ok(reviewed)) => reviewed,
        Ok(Err(refusal)) => (Outcome::Malformed, refusal.into_response()),
        Err(_) => (Outcome::Malformed, (StatusCode::REQUEST_TIMEOUT, "the body took too long\n").into_response()),
    };
    shared.metrics.observe(outcome, started.elapsed());
    response
}

/// Reads a body within its share of memory, and reviews it.
async fn read(shared: &Shared, request: HttpRequest) -> Result<(Outcome, Response), (StatusCode, &'static str)> {
    let announced = request.headers().get(header::CONTENT_LENGTH).and_then(|length| length.to_str().ok()?.parse().ok());
    let length = announced.unwrap_or(LONGEST_BODY);
    if length > LONGEST_BODY {
        return Err(TOO_LONG);
    }
    let room = u32::try_from(length).unwrap_or(u32::MAX);
    // The semaphore is never closed.
    let _room = shared.room.acquire_many(room).await;
    let bytes = body::to_bytes(request.into_body(), LONGEST_BODY).await.map_err(|_| TOO_LONG)?;
    Ok(review(&bytes, &shared.defaults))
}

const TOO_LONG: (StatusCode, &str) = (StatusCode::PAYLOAD_TOO_LARGE, "the body is longer than 3 MiB, or was cut off\n");

/// The answer to a review.
fn review(bytes: &Bytes, defaults: &Defaults) -> (Outcome, Response) {
    let review = serde_json::from_slice::<Review<'_>>(bytes).ok();
    let Some(request) = review.and_then(|review| review.request) else {
        let said = "the body is not an AdmissionReview with a request\n";
        return (Outcome::Malformed, (StatusCode::BAD_REQUEST, said).into_response());
    };
    let (outcome, response) = admit(&request, defaults);
    let review = json!({ "apiVersion": "admission.k8s.io/v1", "kind": "AdmissionReview", "response": response });
    (outcome, ([(header::CONTENT_TYPE, "application/json")], review.to_string()).into_response())
}

/// Whether a request creates a pod. All else is let through as it is: the webhook is not registered for it.
fn creates_a_pod(request: &Request<'_>) -> bool {
    request.operation == "CREATE"
        && request.resource.group.is_empty()
        && request.resource.resource == "pods"
        && request.sub_resource.is_none()
}

/// The response to a request: <https://kubernetes.io/docs/reference/access-authn-authz/extensible-admission-controllers/#response>.
fn admit(request: &Request<'_>, defaults: &Defaults) -> (Outcome, Value) {
    let mut response = json!({ "uid": request.uid, "allowed": true });
    let Some(object) = request.object.filter(|_| creates_a_pod(request)) else {
        return (Outcome::Unchanged, response);
    };
    let pod = pod(object).map_err(|error| format!("the pod cannot be read: {error}"));
    let named = pod.as_ref().ok().and_then(|pod| pod.metadata.name.clone().or(pod.metadata.generate_name.clone()));
    let (namespace, name) = (request.namespace.as_deref().unwrap_or_default(), named.unwrap_or_default());
    match pod.and_then(|pod| inject(&pod, defaults).map_err(|invalid| invalid.to_string())) {
        Ok(None) => (Outcome::Unchanged, response),
        Ok(Some(Injection { patch, warnings })) => {
            tracing::debug!(namespace, name, changes = patch.0.len(), ?warnings, "a pod is given its credential");
            if !warnings.is_empty() {
                response["warnings"] = json!(warnings);
            }
            if patch.0.is_empty() {
                return (Outcome::Unchanged, response);
            }
            response["patchType"] = json!("JSONPatch");
            response["patch"] = json!(BASE64.encode(json!(patch).to_string()));
            (Outcome::Injected, response)
        }
        Err(problem) => {
            tracing::info!(namespace, name, problem, "a pod is refused");
            response["allowed"] = json!(false);
            response["status"] = json!({ "code": 422, "reason": "Invalid", "message": problem });
            (Outcome::Refused, response)
        }
    }
}

fn pod(object: &RawValue) -> Result<Pod, serde_json::Error> {
    let PodParts { metadata, spec } = serde_json::from_str(object.get())?;
    Ok(Pod { metadata, spec, status: None })
}

#[cfg(test)]
mod tests;

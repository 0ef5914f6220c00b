use std::collections::BTreeSet;

use axum::body::to_bytes;
use serde_json::{Value, json};

use super::*;
use crate::decide::inject::Form;

fn defaults() -> Defaults {
    Defaults { form: Form::Env, skip_containers: BTreeSet::new() }
}

fn pod() -> Value {
    json!({
        "apiVersion": "v1", "kind": "Pod",
        "metadata": { "generateName": "web-", "labels": { "meshagent.com/oauth-client": "web" } },
        "spec": { "containers": [{ "name": "app", "image": "example.com/app" }] },
    })
}

fn asked(change: &Value) -> Value {
    let mut review = json!({
        "apiVersion": "admission.k8s.io/v1", "kind": "AdmissionReview",
        "request": {
            "uid": "705ab4f5-6393-11e8-b7cc-42010a800002",
            "kind": { "group": "", "version": "v1", "kind": "Pod" },
            "resource": { "group": "", "version": "v1", "resource": "pods" },
            "namespace": "shop", "operation": "CREATE", "userInfo": { "username": "dev" },
            "object": pod(), "oldObject": null, "dryRun": false, "options": { "apiVersion": "meta.k8s.io/v1", "kind": "CreateOptions" },
        },
    });
    for (field, value) in change.as_object().into_iter().flatten() {
        review["request"][field] = value.clone();
    }
    review
}

async fn answered(body: &str) -> (Outcome, StatusCode, Value) {
    let (outcome, response) = review(&Bytes::copy_from_slice(body.as_bytes()), &defaults());
    let status = response.status();
    let body = to_bytes(response.into_body(), usize::MAX).await.unwrap();
    (outcome, status, serde_json::from_slice(&body).unwrap_or(Value::Null))
}

async fn response(change: &Value) -> (Outcome, Value) {
    let (outcome, status, review) = answered(&asked(change).to_string()).await;
    assert_eq!(
        (status, &review["kind"], &review["apiVersion"]),
        (StatusCode::OK, &json!("AdmissionReview"), &json!("admission.k8s.io/v1"))
    );
    assert_eq!(review["response"]["uid"], "705ab4f5-6393-11e8-b7cc-42010a800002");
    (outcome, review["response"].clone())
}

fn patch(response: &Value) -> Value {
    use base64::Engine as _;
    let encoded = response["patch"].as_str().unwrap();
    serde_json::from_slice(&base64::engine::general_purpose::STANDARD.decode(encoded).unwrap()).unwrap()
}

#[tokio::test]
async fn a_pod_that_is_created_gets_its_patch_dry_run_or_not() {
    for dry_run in [false, true] {
        let (outcome, response) = response(&json!({ "dryRun": dry_run })).await;
        assert_eq!(
            (outcome, &response["allowed"], &response["patchType"]),
            (Outcome::Injected, &json!(true), &json!("JSONPatch"))
        );
        let mut pod = pod();
        let patch: json_patch::Patch = serde_json::from_value(patch(&response)).unwrap();
        json_patch::patch(&mut pod, &patch).unwrap();
        assert_eq!(pod["metadata"]["annotations"]["meshagent.com/injected"], "env:app");
        assert_eq!(pod["spec"]["containers"][0]["env"].as_array().unwrap().len(), 6);
    }
}

#[tokio::test]
async fn whatever_is_not_the_creation_of_a_pod_is_let_through_as_it_is() {
    for change in [
        json!({ "operation": "UPDATE", "oldObject": pod() }),
        json!({ "operation": "DELETE", "object": null, "oldObject": pod() }),
        json!({ "operation": "CONNECT", "subResource": "exec", "object": { "apiVersion": "v1", "kind": "PodExecOptions" } }),
        json!({ "subResource": "ephemeralcontainers" }),
        json!({ "resource": { "group": "apps", "version": "v1", "resource": "deployments" } }),
        json!({ "resource": { "group": "metrics.k8s.io", "version": "v1", "resource": "pods" } }),
        json!({ "object": { "apiVersion": "v1", "kind": "Pod", "metadata": { "name": "plain" }, "spec": { "containers": [] } } }),
    ] {
        let (outcome, response) = response(&change).await;
        assert_eq!(
            (outcome, &response["allowed"], &response["patch"]),
            (Outcome::Unchanged, &json!(true), &Value::Null),
            "{change}"
        );
    }
}

#[tokio::test]
async fn a_pod_that_asks_for_the_impossible_is_refused_in_words() {
    let mut refused = pod();
    refused["metadata"]["annotations"] = json!({ "meshagent.com/inject-as": "files" });
    let (outcome, response) = response(&json!({ "object": refused })).await;
    assert_eq!((outcome, &response["allowed"]), (Outcome::Refused, &json!(false)));
    assert_eq!(
        response["status"]["message"],
        "metadata.annotations[meshagent.com/inject-as] is not a word that is known here; use one of env, file"
    );
}

#[tokio::test]
async fn a_pod_that_is_given_less_than_it_may_expect_is_told() {
    let mut own = pod();
    own["spec"]["containers"][0]["env"] = json!([{ "name": "MESHAGENT_OAUTH_CLIENT_ID", "value": "mine" }]);
    let (_, response) = response(&json!({ "object": own })).await;
    let said = "container app sets MESHAGENT_OAUTH_CLIENT_ID itself, and so gets no client id and secret";
    assert_eq!(response["warnings"], json!([said]));
}

#[tokio::test]
async fn what_is_no_review_is_a_bad_request() {
    let no_request = json!({ "apiVersion": "admission.k8s.io/v1", "kind": "AdmissionReview" }).to_string();
    let cut = asked(&json!({})).to_string();
    for body in ["", "{}", "[1]", "\u{0}", &no_request, &cut[..cut.len() / 2]] {
        let (outcome, status, _) = answered(body).await;
        assert_eq!((outcome, status), (Outcome::Malformed, StatusCode::BAD_REQUEST), "{body}");
    }
    // Pods that the API server would never have let so far.
    let mut broken = pod();
    broken["spec"]["containers"] = json!("none");
    for object in [broken, json!("a pod")] {
        let (outcome, response) = response(&json!({ "object": object })).await;
        assert_eq!((outcome, &response["allowed"]), (Outcome::Refused, &json!(false)));
    }
}

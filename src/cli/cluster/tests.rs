use std::sync::{Arc, Mutex};

use axum::Router;
use axum::http::StatusCode;
use axum::response::{IntoResponse as _, Response};
use serde_json::{Value, json};

use super::*;

/// A client of an API server that gives these answers, one after the other; a further request panics.
fn answering<const N: usize>(answers: [(u16, Value); N]) -> Client {
    let answers = Arc::new(Mutex::new(answers.into_iter()));
    let answer = move || {
        let answer = answers.lock().unwrap().next();
        async move {
            answer.map_or_else(
                || panic!("asked too often"),
                |(status, body)| -> Response {
                    (StatusCode::from_u16(status).unwrap(), body.to_string()).into_response()
                },
            )
        }
    };
    Client::new(Router::new().fallback(answer), "default")
}

fn namespace(uid: &str) -> (u16, Value) {
    let kind = json!({
        "apiVersion": "meta.k8s.io/v1",
        "kind": "PartialObjectMetadata",
        "metadata": {"name": "kube-system", "uid": uid},
    });
    (200, kind)
}

fn failure(code: u16, message: &str) -> (u16, Value) {
    let status = json!({
        "apiVersion": "v1",
        "kind": "Status",
        "status": "Failure",
        "code": code,
        "message": message,
    });
    (code, status)
}

#[tokio::test]
async fn the_uid_of_kube_system_is_the_clusters_id() {
    let id = id(&answering([namespace("0a1b")]), false, |_| ()).await;
    assert_eq!(id, Ok(ClusterId::new("0a1b")));
}

#[tokio::test]
async fn without_permission_the_flag_is_named() {
    let forbidden = failure(403, "namespaces \"kube-system\" is forbidden");
    let error = id(&answering([forbidden]), true, |_| ()).await.unwrap_err();
    assert_eq!(
        error.to_string(),
        "the cluster's id, the uid of the namespace kube-system, cannot be read (namespaces \"kube-system\" is \
         forbidden); set --cluster-id to a value that differs between clusters and never changes (with \
         --watch-namespaces it is usually needed), or let the operator get that namespace"
    );
}

#[tokio::test]
async fn an_api_server_that_cannot_be_asked_is_asked_again() {
    let requests = answering([failure(503, "shutting down"), namespace("0a1b")]);
    let mut told = Vec::new();
    let id = id(&requests, false, |answer| told.push(answer.to_owned())).await;
    assert_eq!(id, Ok(ClusterId::new("0a1b")));
    assert_eq!(told.len(), 1);
    assert!(told[0].contains("shutting down"), "{told:?}");
}

use axum::http::{HeaderMap, HeaderValue};
use serde_json::json;

use super::*;
use crate::generate::{Generate, Random, SecretKind};
use crate::key::{self, KeyIds};

fn call() -> Call {
    Call {
        sequence: 0,
        time: Timestamp::UNIX_EPOCH,
        route: None,
        project: None,
        method: "GET".to_owned(),
        path: "/".to_owned(),
        query: None,
        headers: BTreeMap::new(),
        key_id: None,
        body: None,
        status: None,
        client_id: None,
        fault: None,
    }
}

#[test]
fn numbers_go_on_after_the_record_was_cleared() {
    let mut record = Record::default();
    assert_eq!(record.add(call()), 1);
    record.clear();
    assert_eq!(record.add(call()), 2);
    record.amend(1, |call| call.status = Some(500));
    record.amend(2, |call| call.status = Some(200));
    let seen: Vec<_> = record.calls().iter().map(|call| (call.sequence, call.status)).collect();
    assert_eq!(seen, [(2, Some(200))]);
}

#[test]
fn headers_are_shown_without_what_they_prove() {
    let key = key::format(KeyIds { key_id: Uuid::from_u128(1), project_id: Uuid::from_u128(2) }, "s-e-c");
    let mut sent = HeaderMap::new();
    let bearer = format!("Bearer {}", key.expose());
    sent.insert("authorization", HeaderValue::try_from(bearer).unwrap());
    sent.insert("consistency", HeaderValue::from_static("high"));
    sent.insert("x-misplaced", HeaderValue::try_from(key.expose()).unwrap());
    let expected = [("authorization", "[redacted]"), ("consistency", "high"), ("x-misplaced", "[redacted]")];
    let expected: BTreeMap<_, _> = expected.map(|(name, value)| (name.to_owned(), value.to_owned())).into();
    assert_eq!(headers(&sent), expected);
    assert_eq!(key_id(&sent), Some(Uuid::from_u128(1)));
}

#[test]
fn the_secret_fields_of_a_form_are_redacted_and_the_others_are_not() {
    let form = b"grant_type=authorization_code&code=abc&client_id=x&client_secret=s&code_verifier=v";
    let expected = json!({
        "grant_type": "authorization_code",
        "code": "[redacted]",
        "client_id": "x",
        "client_secret": "[redacted]",
        "code_verifier": "[redacted]",
    });
    assert_eq!(body("application/x-www-form-urlencoded; charset=utf-8", form), Some(expected));
}

#[test]
fn nested_secrets_in_json_are_redacted() {
    let sent = json!({"client": {"client_secret": "s", "metadata": {"meshagent.com/token": "t"}, "official": true}});
    let shown =
        json!({"client": {"client_secret": "[redacted]", "metadata": {"meshagent.com/token": "t"}, "official": true}});
    assert_eq!(body("application/json", sent.to_string().as_bytes()), Some(shown));
}

#[test]
fn a_body_that_cannot_be_read_is_not_shown() {
    assert_eq!(body("text/plain", b"client_secret: abc"), None);
}

#[test]
fn whatever_the_simulator_hands_out_is_recognised_anywhere() {
    for kind in [SecretKind::Client, SecretKind::Code, SecretKind::Access, SecretKind::Refresh] {
        let secret = Random.secret(kind);
        let encoded: String = url::form_urlencoded::byte_serialize(secret.expose().as_bytes()).collect();
        for text in [secret.expose(), encoded.as_str()] {
            assert_eq!(path(&format!("/x/{text}")), "/x/[redacted]");
            assert_eq!(query(&format!("a=1&b={text}&c=2")), "a=1&b=[redacted]&c=2");
        }
    }
}

#[test]
fn a_query_is_shown_as_it_was_sent() {
    assert_eq!(query("count=100&offset=0&filter=a%20b"), "count=100&offset=0&filter=a%20b");
    assert_eq!(query("client_secret=x&code=y&state=z"), "client_secret=[redacted]&code=[redacted]&state=z");
}

//! The parts of a call that may be shown.

use std::collections::BTreeMap;
use std::sync::LazyLock;

use axum::http::{HeaderMap, header};
use regex::Regex;
use serde_json::{Map, Value};
use uuid::Uuid;

use crate::key;

const REDACTED: &str = "[redacted]";
const SECRET_HEADERS: [&str; 4] = ["authorization", "proxy-authorization", "cookie", "x-api-key"];
const SECRET_FIELDS: [&str; 10] = [
    "client_secret",
    "code",
    "code_verifier",
    "access_token",
    "refresh_token",
    "id_token",
    "token",
    "password",
    "client_assertion",
    "assertion",
];

// API keys and what `generate` makes, wherever they turn up; in a URL their `=`, `+` and `/` are percent-encoded.
#[expect(clippy::expect_used, reason = "a constant pattern, compiled by every test of this module")]
static SECRET_TEXT: LazyLock<Regex> = LazyLock::new(|| {
    Regex::new(r#"ma-[\w.]{22}-[\w.]{22}-[^\s"'&,;]+|ma[sacr]-[\w+/=%-]{20,}"#).expect("the pattern is valid")
});

/// Headers by name, in lower case.
pub fn headers(headers: &HeaderMap) -> BTreeMap<String, String> {
    let mut shown: BTreeMap<String, String> = BTreeMap::new();
    for (name, value) in headers {
        let value = if SECRET_HEADERS.contains(&name.as_str()) {
            REDACTED.to_owned()
        } else {
            scrub(&String::from_utf8_lossy(value.as_bytes()))
        };
        shown.entry(name.to_string()).and_modify(|held| *held = format!("{held}, {value}")).or_insert(value);
    }
    shown
}

/// The id of the API key in `Authorization`.
pub fn key_id(headers: &HeaderMap) -> Option<Uuid> {
    let value = headers.get(header::AUTHORIZATION)?.to_str().ok()?;
    key::parse(value.split_once(' ')?.1.trim()).map(|ids| ids.key_id)
}

/// A query. It stays as sent, unless something in it is secret.
pub fn query(query: &str) -> String {
    let shown = query.split('&').map(|pair| match pair.split_once('=') {
        Some((name, _)) if is_secret(name) => format!("{name}={REDACTED}"),
        Some(_) | None => scrub(pair),
    });
    shown.collect::<Vec<_>>().join("&")
}

/// A path, which may hold a misplaced secret.
pub fn path(path: &str) -> String {
    scrub(path)
}

/// A body. One that is neither JSON nor a form cannot be searched for secrets, so nothing of it is shown.
pub fn body(content_type: &str, body: &[u8]) -> Option<Value> {
    if content_type.to_ascii_lowercase().starts_with("application/x-www-form-urlencoded") {
        let mut fields = Map::new();
        for (name, value) in url::form_urlencoded::parse(body) {
            fields.insert(scrub(&name), shown(&name, Value::String(value.into_owned())));
        }
        return Some(Value::Object(fields));
    }
    serde_json::from_slice(body).ok().map(|value| shown("", value))
}

fn shown(name: &str, value: Value) -> Value {
    match value {
        Value::Null => Value::Null,
        _ if is_secret(name) => Value::String(REDACTED.to_owned()),
        Value::String(text) => Value::String(scrub(&text)),
        Value::Array(values) => Value::Array(values.into_iter().map(|value| shown("", value)).collect()),
        Value::Object(fields) => {
            Value::Object(fields.into_iter().map(|(name, value)| (scrub(&name), shown(&name, value))).collect())
        }
        value @ (Value::Bool(_) | Value::Number(_)) => value,
    }
}

fn is_secret(name: &str) -> bool {
    SECRET_FIELDS.iter().any(|secret| name.eq_ignore_ascii_case(secret))
}

fn scrub(text: &str) -> String {
    SECRET_TEXT.replace_all(text, REDACTED).into_owned()
}

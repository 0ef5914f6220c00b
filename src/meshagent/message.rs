//! What others said, made fit for a condition or a log line: one line, short, without secrets.

use std::error::Error;
use std::iter;
use std::ops::Range;

/// Longest text, in characters, that is taken from an answer.
const LONGEST: usize = 300;
const REDACTED: &str = "[redacted]";
/// Names after which a value is not shown, in lower case; parts of names count (`client_secret`, `apiToken`).
const SECRET_NAMES: [&str; 7] = ["secret", "token", "password", "passwd", "authorization", "api_key", "apikey"];
/// Fields in which servers put what a person should read, in order of preference.
const MESSAGE_FIELDS: [&str; 6] = ["message", "error_description", "detail", "error", "title", "reason"];

/// What a person should read of an error answer's body.
pub(super) fn of_body(body: &[u8], key: &str) -> String {
    let text = String::from_utf8_lossy(body);
    if text.trim_start().starts_with('<') {
        return "the answer is an HTML page, perhaps of a gateway".to_owned();
    }
    match serde_json::from_str(&text) {
        Ok(json) => {
            let json = without_secrets(json);
            one_line(&readable(&json).unwrap_or_else(|| json.to_string()), key)
        }
        Err(_) => one_line(&text, key),
    }
}

/// Removes secrets, control and invisible characters, then shortens: a secret is never cut into an unrecognised half.
pub(super) fn one_line(text: &str, key: &str) -> String {
    let text = if key.is_empty() { text.to_owned() } else { text.replace(key, REDACTED) };
    let visible: String = text
        .chars()
        .filter(|c| !is_invisible(*c))
        .map(|c| if c.is_control() || c.is_whitespace() { ' ' } else { c })
        .collect();
    let words: Vec<&str> = visible.split(' ').filter(|word| !word.is_empty()).collect();
    shorten(&without_random_runs(&without_named_values(&words.join(" "))))
}

/// Hides what follows `client_secret=`, `"token": "`, `Authorization: Bearer ` and the like.
fn without_named_values(text: &str) -> String {
    // ASCII lower case keeps every offset.
    let lower = text.to_ascii_lowercase();
    let named = SECRET_NAMES.iter().flat_map(|name| lower.match_indices(name));
    let mut values: Vec<Range<usize>> = named
        .filter_map(|(at, name)| value_after_name(&lower, at + name.len()))
        .chain(lower.match_indices("bearer ").map(|(at, scheme)| value_at(&lower, at + scheme.len())))
        .collect();
    values.sort_by_key(|value| value.start);
    let mut shown = String::new();
    let mut from = 0;
    for value in values.into_iter().filter(|value| !value.is_empty()) {
        if value.start >= from {
            shown.push_str(&text[from..value.start]);
            shown.push_str(REDACTED);
        }
        from = from.max(value.end);
    }
    shown.push_str(&text[from..]);
    shown
}

/// The value that belongs to a name ending about `name_end`, if a `:` or `=` says that there is one.
fn value_after_name(lower: &str, name_end: usize) -> Option<Range<usize>> {
    // `secrets:proxy` is the name of a scope.
    if lower[name_end..].starts_with("s:proxy") {
        return None;
    }
    let rest = lower[name_end..].trim_start_matches(is_random_alphabet);
    let rest = rest.trim_start_matches(['"', '\'', '\\', ']', ' ']).strip_prefix([':', '='])?;
    let rest = rest.trim_start_matches([' ', '>']);
    let rest = ["bearer ", "basic "].iter().find_map(|scheme| rest.strip_prefix(scheme)).unwrap_or(rest);
    Some(value_at(lower, lower.len() - rest.len()))
}

/// A value from `start` on: to the closing quote if one opens it, else to the next separator.
fn value_at(lower: &str, start: usize) -> Range<usize> {
    let value = lower[start..].trim_start_matches(['\\', ' ']);
    let start = lower.len() - value.len();
    if let Some(quote) = value.chars().next().filter(|c| matches!(c, '"' | '\'')) {
        let end = value[1..].find(quote).map_or(lower.len(), |length| start + 1 + length);
        return start + 1..end;
    }
    start..value.find([' ', '"', '\'', ',', ';', '&', '}', ')', ']', '<']).map_or(lower.len(), |length| start + length)
}

fn without_random_runs(text: &str) -> String {
    text.split_inclusive(|c: char| !is_random_alphabet(c))
        .map(|piece| {
            let run = piece.trim_end_matches(|c: char| !is_random_alphabet(c));
            if looks_random(run) { piece.replacen(run, REDACTED, 1) } else { piece.to_owned() }
        })
        .collect()
}

/// Keys by their prefix, and long runs that no person chose. Client ids that are UUIDs stay readable.
fn looks_random(run: &str) -> bool {
    let has = |test: fn(&char) -> bool| run.chars().any(|c| test(&c));
    let mixed = has(char::is_ascii_digit) && has(char::is_ascii_uppercase) && has(char::is_ascii_lowercase);
    let hex = run.chars().all(|c| c.is_ascii_hexdigit());
    (run.starts_with("ma-") && run.len() > 40) || (run.len() >= 24 && mixed) || (run.len() >= 32 && hex)
}

fn is_random_alphabet(c: char) -> bool {
    c.is_ascii_alphanumeric() || matches!(c, '-' | '_')
}

/// Characters that change how the rest is shown, without being seen: direction overrides and zero widths.
fn is_invisible(c: char) -> bool {
    matches!(c, '\u{200b}'..='\u{200f}' | '\u{202a}'..='\u{202e}' | '\u{2060}'..='\u{206f}' | '\u{feff}')
}

fn shorten(text: &str) -> String {
    if text.chars().count() <= LONGEST {
        return text.to_owned();
    }
    text.chars().take(LONGEST - 1).chain(iter::once('…')).collect()
}

fn without_secrets(json: serde_json::Value) -> serde_json::Value {
    match json {
        serde_json::Value::Object(fields) => fields
            .into_iter()
            .map(|(name, value)| {
                let lower = name.to_lowercase();
                let secret = SECRET_NAMES.iter().any(|part| lower.contains(part));
                // `{"code": "invalid_token"}` keeps its value: the name decides, not the value.
                let value = if secret { serde_json::Value::from(REDACTED) } else { without_secrets(value) };
                (name, value)
            })
            .collect(),
        serde_json::Value::Array(items) => items.into_iter().map(without_secrets).collect(),
        plain @ (serde_json::Value::Null
        | serde_json::Value::Bool(_)
        | serde_json::Value::Number(_)
        | serde_json::Value::String(_)) => plain,
    }
}

fn readable(json: &serde_json::Value) -> Option<String> {
    match json {
        serde_json::Value::String(text) => Some(text.clone()),
        serde_json::Value::Object(fields) => {
            MESSAGE_FIELDS.iter().find_map(|name| fields.get(*name).and_then(readable))
        }
        serde_json::Value::Null
        | serde_json::Value::Bool(_)
        | serde_json::Value::Number(_)
        | serde_json::Value::Array(_) => None,
    }
}

/// The innermost error. An `io::Error` hides the one that it was made from: its `source` is that one's source.
pub(super) fn root_cause<'a>(error: &'a (dyn Error + 'static)) -> &'a (dyn Error + 'static) {
    let mut cause = error;
    loop {
        let inner = cause.downcast_ref::<std::io::Error>().and_then(std::io::Error::get_ref);
        cause = match inner.map(|inner| inner as &(dyn Error + 'static)).or_else(|| cause.source()) {
            Some(deeper) => deeper,
            None => return cause,
        };
        // rustls wraps what the verifier found; its own message says it better.
        if cause.is::<rustls::Error>() {
            return cause;
        }
    }
}

#[cfg(test)]
mod tests;

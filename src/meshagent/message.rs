//! What others said, made fit for a condition or a log line: one line, short, without secrets.

use std::error::Error;
use std::iter;
use std::ops::Range;

/// The longest text, in characters, that is taken from an answer.
const LONGEST: usize = 300;
const REDACTED: &str = "[redacted]";
/// The shortest random run, in characters, that is taken for a secret: 30 bytes or more in base64. The longest known
/// form of an id is a UUID's, with 36.
const SECRET_RUN: usize = 40;
/// The shortest run that is taken for a secret directly after a word such as `token`.
const SECRET_RUN_AFTER_NAME: usize = 16;
/// The shortest last part of a key, in characters, that is looked for on its own.
const SHORT_KEY_PART: usize = 8;
/// The names after which a value is not shown, in lower case; parts of names count (`client_secret`, `apiToken`).
const SECRET_NAMES: [&str; 7] = ["secret", "token", "password", "passwd", "authorization", "api_key", "apikey"];
/// The fields in which servers put what a person should read, in order of preference.
const MESSAGE_FIELDS: [&str; 6] = ["message", "error_description", "detail", "error", "title", "reason"];

/// What is known of a call when its error is told: what must be hidden, and what need not be.
#[derive(Clone, Copy, Debug, Default)]
pub(super) struct Known<'a> {
    /// The key that was sent.
    pub(super) key: &'a str,
    /// The request's path, whose project and client ids stay readable whatever they look like.
    pub(super) path: &'a str,
}

/// What a person should read of an error answer's body.
pub(super) fn of_body(body: &[u8], known: Known<'_>) -> String {
    let text = String::from_utf8_lossy(body);
    if text.trim_start().starts_with('<') {
        return "the answer is an HTML page, perhaps of a gateway".to_owned();
    }
    match serde_json::from_str(&text) {
        Ok(json) => {
            let json = without_secrets(json);
            one_line(&readable(&json).unwrap_or_else(|| json.to_string()), known)
        }
        Err(_) => one_line(&text, known),
    }
}

/// Removes secrets, control and invisible characters, then shortens: a secret is never cut into an unrecognised half.
pub(super) fn one_line(text: &str, known: Known<'_>) -> String {
    let text = without_key(text, known.key);
    let visible: String = text
        .chars()
        .filter(|c| !is_invisible(*c))
        .map(|c| if c.is_control() || c.is_whitespace() { ' ' } else { c })
        .collect();
    let words: Vec<&str> = visible.split(' ').filter(|word| !word.is_empty()).collect();
    let text = without_tokens(&without_named_values(&words.join(" ")));
    shorten(&without_random_runs(&text, known.path))
}

/// Hides the key, and its secret part where a server shows that alone.
fn without_key(text: &str, key: &str) -> String {
    let secret = key.starts_with("ma-").then(|| key.splitn(4, '-').nth(3)).flatten();
    let secret = secret.filter(|secret| secret.len() >= SHORT_KEY_PART);
    let hidden = [Some(key).filter(|key| !key.is_empty()), secret];
    hidden.into_iter().flatten().fold(text.to_owned(), |text, value| text.replace(value, REDACTED))
}

/// Hides what follows `client_secret=`, `"token": "`, `Authorization: Bearer ` and the like.
fn without_named_values(text: &str) -> String {
    // ASCII lower case keeps every offset.
    let lower = text.to_ascii_lowercase();
    let named = SECRET_NAMES.iter().flat_map(|name| lower.match_indices(name));
    let values = named.filter_map(|(at, name)| value_after_name(&lower, at + name.len()));
    let bearer = lower.match_indices("bearer ").map(|(at, scheme)| value_at(&lower, at + scheme.len()));
    without_ranges(text, values.chain(bearer).collect())
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

/// Hides keys and JSON web tokens, whosever they are: their beginnings tell them from anything else.
fn without_tokens(text: &str) -> String {
    let begins = |at: usize| !text[..at].ends_with(|c: char| c.is_ascii_alphanumeric());
    let starts = ["ma-", "eyJ"].iter().flat_map(|start| text.match_indices(start)).map(|(at, _)| at);
    let words = starts.filter(|at| begins(*at)).filter_map(|at| {
        let word = text[at..].split(|c: char| !is_token_alphabet(c)).next()?;
        (is_key(word) || is_json_web_token(word)).then_some(at..at + word.len())
    });
    without_ranges(text, words.collect())
}

/// Hides long runs that no person chose, shorter ones directly after a word such as `token`. A run in the request's
/// path is an id, and stays.
fn without_random_runs(text: &str, path: &str) -> String {
    let mut after_name = false;
    let mut runs = vec![];
    let mut at = 0;
    for piece in text.split_inclusive(|c: char| !is_random_alphabet(c)) {
        let run = piece.trim_end_matches(|c: char| !is_random_alphabet(c));
        let shortest = if after_name { SECRET_RUN_AFTER_NAME } else { SECRET_RUN };
        if is_random(run, shortest) && !path.contains(run) {
            runs.push(at..at + run.len());
        }
        after_name = if run.is_empty() { after_name } else { is_secret_name(run) };
        at += piece.len();
    }
    without_ranges(text, runs)
}

fn without_ranges(text: &str, mut hidden: Vec<Range<usize>>) -> String {
    hidden.sort_by_key(|range| range.start);
    let mut shown = String::new();
    let mut from = 0;
    for range in hidden.into_iter().filter(|range| !range.is_empty()) {
        if range.start >= from {
            shown.push_str(&text[from..range.start]);
            shown.push_str(REDACTED);
        }
        from = from.max(range.end);
    }
    shown.push_str(&text[from..]);
    shown
}

/// Whether the word is a key, `ma-<key id>-<project id>-<secret>`, whosever it is.
fn is_key(word: &str) -> bool {
    let ids =
        |part: &str| part.len() == 22 && part.chars().all(|c| c.is_ascii_alphanumeric() || matches!(c, '.' | '_'));
    let mut parts = word.splitn(4, '-');
    parts.next() == Some("ma")
        && parts.next().is_some_and(ids)
        && parts.next().is_some_and(ids)
        && parts.next().is_some()
}

/// Whether the word is a JSON web token: a JSON object's `{"` in base64 begins each.
fn is_json_web_token(word: &str) -> bool {
    word.starts_with("eyJ") && word.len() > SECRET_RUN
}

/// Whether the word names a secret: `secret`, `client_secret`, `access-token`; not `tokens`, which announces a sentence
/// rather than a value.
fn is_secret_name(word: &str) -> bool {
    let lower = word.to_ascii_lowercase();
    SECRET_NAMES.iter().any(|name| lower.ends_with(name))
}

/// Whether no person chose the run: letters of both cases with digits, or hexadecimal digits.
fn is_random(run: &str, shortest: usize) -> bool {
    let has = |test: fn(&char) -> bool| run.chars().any(|c| test(&c));
    let digits = has(char::is_ascii_digit);
    let mixed = digits && has(char::is_ascii_uppercase) && has(char::is_ascii_lowercase);
    let hex = digits && run.chars().all(|c| c.is_ascii_hexdigit());
    run.len() >= shortest && (mixed || hex)
}

fn is_token_alphabet(c: char) -> bool {
    is_random_alphabet(c) || matches!(c, '.' | '~' | '+' | '/' | '=')
}

fn is_random_alphabet(c: char) -> bool {
    c.is_ascii_alphanumeric() || matches!(c, '-' | '_')
}

/// Whether the character changes how the rest is shown, without being seen: direction overrides and zero widths.
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
        // The message of rustls says better what the verifier found, which it wraps.
        if cause.is::<rustls::Error>() {
            return cause;
        }
    }
}

#[cfg(test)]
mod tests;

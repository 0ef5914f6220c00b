//! Faults on demand: which call a rule strikes, and how often. What a fault does to the wire is HTTP's part.

use std::collections::BTreeMap;
use std::time::Duration;

use axum::http::{HeaderName, HeaderValue};
use regex::Regex;
use serde::{Deserialize, Serialize};
use serde_json::Value;
use uuid::Uuid;

mod spoil;

pub use spoil::spoil;

use crate::api::route::Route;
use crate::state::client::Invalid;
use crate::state::settings::Settings;

/// Which calls a fault strikes. A field that is left out matches everything.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase", deny_unknown_fields)]
pub struct FaultRule {
    /// A route's name, or `any`.
    #[serde(default)]
    pub route: RouteMatch,
    /// An HTTP method.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub method: Option<String>,
    /// A regular expression that the path must hold a match of.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub path: Option<String>,
    /// The project in the path. Sign-in has none there, and is then never struck.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub project: Option<Uuid>,
    /// How many calls to strike; left out or `null`: all until the rule is removed.
    #[serde(default)]
    pub count: Option<u64>,
    /// How many matching calls to let through first.
    #[serde(default)]
    pub skip: u64,
    /// The fault that strikes the calls.
    pub fault: Fault,
}

impl FaultRule {
    /// A fault that strikes every call of a route until it is removed.
    pub fn on(route: impl Into<RouteMatch>, fault: Fault) -> Self {
        Self { route: route.into(), method: None, path: None, project: None, count: None, skip: 0, fault }
    }

    /// The rule, for `count` calls.
    pub fn times(self, count: u64) -> Self {
        Self { count: Some(count), ..self }
    }

    /// The rule, after `skip` matching calls.
    pub fn after(self, skip: u64) -> Self {
        Self { skip, ..self }
    }

    /// The rule, in one project.
    pub fn in_project(self, project: Uuid) -> Self {
        Self { project: Some(project), ..self }
    }
}

/// One route, or any.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
pub enum RouteMatch {
    /// Every call, those to unknown paths included.
    #[default]
    #[serde(rename = "any")]
    Any,
    /// One route.
    #[serde(untagged)]
    One(Route),
}

impl From<Route> for RouteMatch {
    fn from(route: Route) -> Self {
        Self::One(route)
    }
}

/// The stage at which a fault strikes, seen from the change that the call asks for.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub enum Stage {
    /// The call is not committed.
    #[default]
    Before,
    /// The call is committed.
    After,
}

/// The moment at which a connection is reset.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub enum ResetAt {
    /// The reset comes after the head of the request, before its body is read; the call is not committed.
    Before,
    /// The reset comes in the middle of the answer's body; the call is committed.
    During,
    /// The reset comes before the answer; the call is committed.
    After,
}

/// A body that is not what it should be, under the call's own status. The call is committed.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub enum Malformed {
    /// A web page.
    Html,
    /// Half a JSON text, its length given rightly.
    BrokenJson,
    /// No body.
    Empty,
    /// A body without `client_secret`.
    NoSecret,
    /// A body without `client_id`.
    NoId,
    /// A body with every value null but `client_id` and `client_secret`.
    Nulls,
    /// A body with fields that nobody knows, and metadata that is not text.
    UnknownFields,
}

/// A fault that strikes a call.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(tag = "kind", rename_all = "kebab-case", rename_all_fields = "camelCase", deny_unknown_fields)]
pub enum Fault {
    /// This answer instead of the call's own.
    Status {
        status: u16,
        /// Text is sent as it is, anything else as JSON; left out: a JSON error. Each `{uuid}` in it becomes a new one.
        #[serde(default)]
        body: Option<Value>,
        /// More headers, such as `Retry-After`, `Location` or a `Content-Type` of its own.
        #[serde(default)]
        headers: BTreeMap<String, String>,
        /// Whether the call is committed all the same.
        #[serde(default)]
        commit: bool,
    },
    /// The call's own answer, late.
    Delay {
        /// How late, such as `2s`.
        #[serde(with = "jiff::fmt::serde::unsigned_duration::friendly::compact::required")]
        duration: Duration,
        /// Whether the call is late before or after it is committed.
        #[serde(default)]
        stage: Stage,
    },
    /// No answer, until the caller goes away.
    Hang {
        /// Whether the call hangs before or after it is committed.
        #[serde(default)]
        stage: Stage,
    },
    /// The connection is reset (RST).
    Reset { at: ResetAt },
    /// Half of the body, then the end of the connection. Committed.
    Truncate {},
    /// See [`Malformed`].
    Malformed { form: Malformed },
    /// An answer now, and the commit later.
    CommitLate {
        /// How much later the commit is.
        #[serde(with = "jiff::fmt::serde::unsigned_duration::friendly::compact::required")]
        after: Duration,
        /// The answer's status.
        #[serde(default = "gateway_timeout")]
        status: u16,
    },
    /// The call is committed twice and answered once, with the second answer.
    Replay {},
    /// The body comes a byte at a time. Committed.
    Drip {
        /// The time between two bytes.
        #[serde(with = "jiff::fmt::serde::unsigned_duration::friendly::compact::required")]
        interval: Duration,
    },
    /// A body of that many bytes. Committed.
    Flood { bytes: u64 },
    /// The project's settings are these for the call: a total that lies, a capped count, a limit on clients, …
    Settings {
        /// A JSON merge patch of [`Settings`].
        settings: Value,
    },
}

fn gateway_timeout() -> u16 {
    504
}

/// A rule that is in force.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
pub struct InstalledFault {
    /// The number of the rule.
    pub id: u64,
    /// The rule as it was given.
    pub rule: FaultRule,
    /// How many calls the rule has struck.
    pub struck: u64,
    /// How many matching calls the rule has let through.
    pub skipped: u64,
}

/// The parts of a call that rules match.
#[derive(Clone, Copy, Debug)]
pub struct Struck<'a> {
    /// The route, if there is one.
    pub route: Option<Route>,
    /// The method.
    pub method: &'a str,
    /// The path, as sent.
    pub path: &'a str,
    /// The project in the path.
    pub project: Option<Uuid>,
}

struct Installed {
    fault: InstalledFault,
    path: Option<Regex>,
}

/// The rules in force, in the order of their making. The first that strikes a call is the only one.
#[derive(Default)]
pub struct Faults {
    rules: Vec<Installed>,
    last_id: u64,
}

impl Faults {
    /// Adds a rule.
    pub fn add(&mut self, rule: FaultRule) -> Result<InstalledFault, Invalid> {
        check(&rule)?;
        let path = rule.path.as_deref().map(Regex::new).transpose();
        let path = path.map_err(|error| Invalid(format!("path is not a regular expression: {error}")))?;
        self.last_id += 1;
        let fault = InstalledFault { id: self.last_id, rule, struck: 0, skipped: 0 };
        self.rules.push(Installed { fault: fault.clone(), path });
        Ok(fault)
    }

    /// The fault that strikes this call, and its rule's number. The rule counts it.
    pub fn strike(&mut self, call: Struck<'_>) -> Option<(u64, Fault)> {
        for Installed { fault, path } in &mut self.rules {
            let spent = fault.rule.count.is_some_and(|count| fault.struck >= count);
            if spent || !matches(&fault.rule, path.as_ref(), call) {
                continue;
            }
            if fault.skipped < fault.rule.skip {
                fault.skipped += 1;
                continue;
            }
            fault.struck += 1;
            return Some((fault.id, fault.rule.fault.clone()));
        }
        None
    }

    /// The rules, spent ones included.
    pub fn list(&self) -> Vec<InstalledFault> {
        self.rules.iter().map(|installed| installed.fault.clone()).collect()
    }

    /// Removes a rule; `false` if there is none of that number.
    pub fn remove(&mut self, id: u64) -> bool {
        let before = self.rules.len();
        self.rules.retain(|installed| installed.fault.id != id);
        self.rules.len() < before
    }

    /// Removes all rules.
    pub fn clear(&mut self) {
        self.rules.clear();
    }
}

fn matches(rule: &FaultRule, path: Option<&Regex>, call: Struck<'_>) -> bool {
    let route = match rule.route {
        RouteMatch::Any => true,
        RouteMatch::One(route) => call.route == Some(route),
    };
    route
        && rule.method.as_deref().is_none_or(|method| method.eq_ignore_ascii_case(call.method))
        && path.is_none_or(|path| path.is_match(call.path))
        && rule.project.is_none_or(|project| call.project == Some(project))
}

fn check(rule: &FaultRule) -> Result<(), Invalid> {
    match &rule.fault {
        Fault::Status { status, headers, body: _, commit: _ } => {
            check_status(*status)?;
            headers.iter().try_for_each(|(name, value)| check_header(name, value))
        }
        Fault::CommitLate { status, after: _ } => check_status(*status),
        Fault::Settings { settings } => Settings::default().merged(settings).map(|_| ()),
        Fault::Delay { .. }
        | Fault::Hang { .. }
        | Fault::Reset { .. }
        | Fault::Truncate {}
        | Fault::Malformed { .. }
        | Fault::Replay {}
        | Fault::Drip { .. }
        | Fault::Flood { .. } => Ok(()),
    }
}

fn check_status(status: u16) -> Result<(), Invalid> {
    if (200..=599).contains(&status) { Ok(()) } else { Err(Invalid("status must be from 200 to 599".to_owned())) }
}

fn check_header(name: &str, value: &str) -> Result<(), Invalid> {
    match (HeaderName::try_from(name), HeaderValue::try_from(value)) {
        (Ok(_), Ok(_)) => Ok(()),
        (Err(_), _) | (_, Err(_)) => Err(Invalid(format!("HTTP cannot carry the header {name:?}"))),
    }
}

#[cfg(test)]
mod tests;

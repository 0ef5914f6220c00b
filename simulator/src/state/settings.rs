//! How one project's server behaves; each setting that is off leaves the documented behaviour.

use std::time::Duration;

use serde::{Deserialize, Serialize};
use serde_json::Value;

use super::client::{Client, Invalid};
use super::history::LONGEST_LAG;

/// A project's settings.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase", deny_unknown_fields, default)]
pub struct Settings {
    /// Every call answers 423.
    pub disabled: bool,
    /// The most clients that the project may hold; a POST beyond it answers 409.
    pub client_limit: Option<usize>,
    /// The longest page of a listing, whatever `count` asks for.
    pub max_count: Option<usize>,
    /// The `total` of a listing.
    pub page_total: PageTotal,
    /// A listing answers its first page whatever `offset` asks for.
    pub ignore_offset: bool,
    /// How far reads without `Consistency: high` lag behind; `null`: as the simulator was started. At most one hour.
    #[serde(with = "jiff::fmt::serde::unsigned_duration::friendly::compact::optional")]
    pub fast_lag: Option<Duration>,
    /// A POST answers the bare client, not `{"client": {…}}`.
    pub bare_create: bool,
    /// A GET answers `{"client": {…}}`, not the bare client.
    pub wrap_get: bool,
    /// A GET shows the secret, as older servers may.
    pub secret_in_get: bool,
    /// A listing shows the secrets: older official SDKs cannot read one without.
    pub secret_in_list: bool,
    /// Errors are text, not JSON.
    pub text_errors: bool,
    /// Errors are `{"error": {"code", "message"}}`.
    pub nested_errors: bool,
    /// Sign-in takes what the standards have and no more: a form at the token endpoint, the client's secret, and a
    /// challenge with its method.
    pub strict_sign_in: bool,
    /// The changes that the server makes to what it is sent.
    pub normalise: Normalise,
}

impl Settings {
    /// These settings with a JSON merge patch (RFC 7396) applied.
    pub fn merged(&self, patch: &Value) -> Result<Self, Invalid> {
        let broken = |error: serde_json::Error| Invalid(format!("not valid settings: {error}"));
        let mut value = serde_json::to_value(self).map_err(broken)?;
        merge(&mut value, patch);
        let settings: Self = serde_json::from_value(value).map_err(broken)?;
        match settings.fast_lag {
            Some(lag) if lag > LONGEST_LAG => Err(Invalid("fastLag may be one hour at most".to_owned())),
            Some(_) | None => Ok(settings),
        }
    }
}

fn merge(target: &mut Value, patch: &Value) {
    match (target, patch) {
        (Value::Object(target), Value::Object(patch)) => {
            for (name, value) in patch {
                if value.is_null() {
                    target.remove(name);
                } else {
                    merge(target.entry(name.clone()).or_insert(Value::Null), value);
                }
            }
        }
        (target, patch) => *target = patch.clone(),
    }
}

/// The `total` of a listing.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
pub enum PageTotal {
    /// The number of clients.
    #[default]
    Honest,
    /// No `total`.
    Missing,
    /// This number.
    Fixed(i64),
}

/// The changes that the server makes to what it is sent.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase", deny_unknown_fields, default)]
pub struct Normalise {
    /// Redirect URIs get their host in lower case.
    pub lower_case_hosts: bool,
    /// Redirect URIs lose a trailing slash.
    pub strip_trailing_slash: bool,
    /// These scopes are dropped silently.
    pub drop_scopes: Vec<String>,
}

impl Normalise {
    /// Changes a client that is about to be stored.
    pub fn apply(&self, client: &mut Client) {
        let Self { lower_case_hosts, strip_trailing_slash, drop_scopes } = self;
        for uri in &mut client.redirect_uris {
            if *lower_case_hosts {
                *uri = with_lower_case_host(uri);
            }
            if *strip_trailing_slash && uri.ends_with('/') {
                uri.pop();
            }
        }
        if !drop_scopes.is_empty() {
            let kept = client.scope.split_ascii_whitespace().filter(|scope| !drop_scopes.iter().any(|s| s == scope));
            client.scope = kept.collect::<Vec<_>>().join(" ");
        }
    }
}

// The host gets lower case without `Url`, which would add a slash to an empty path.
fn with_lower_case_host(uri: &str) -> String {
    let Some((scheme, rest)) = uri.split_once("://") else {
        return uri.to_owned();
    };
    let (host, path) = rest.split_at(rest.find(['/', '?']).unwrap_or(rest.len()));
    format!("{scheme}://{}{path}", host.to_ascii_lowercase())
}

//! The operator's settings: raw flags are read once, into types, and nothing reads flags or their variables after that.

mod flags;
mod process;
pub mod webhook;

use std::collections::BTreeSet;
use std::net::SocketAddr;
use std::path::PathBuf;
use std::time::Duration;

pub use flags::Flags;
pub use process::{LogFormat, ProcessConfig, ProcessFlags};

use crate::api::duration;
use crate::decide::id::ClusterId;
use crate::decide::marker::Policy;
use crate::decide::project::default::KeySecret;
use crate::decide::syntax;
use crate::meshagent::AllowedHosts;
use crate::meshagent::allowed_hosts::NotAHost;

/// The shortest resync interval: below it a resync would hardly end before the next begins.
const SHORTEST_RESYNC: Duration = Duration::from_secs(1);
/// The shortest lease duration: the Lease counts whole seconds.
const SHORTEST_LEASE: Duration = Duration::from_secs(1);
/// The longest lease duration: nothing is done for that long after the leader has vanished.
const LONGEST_LEASE: Duration = Duration::from_secs(60 * 60);
/// The most objects worked on at a time: an API server grows only slower past 64; far beyond that, memory and sockets
/// are at risk.
const MOST_CONCURRENT: u16 = 1000;
/// The longest cluster id: it stands in the marker, metadata of a client, whose keys and values are kept short.
const LONGEST_CLUSTER_ID: usize = 128;

/// What `run` does, and how.
#[derive(Clone, Debug, PartialEq)]
pub struct Config {
    /// The time between two resyncs of a project.
    pub resync_interval: Duration,
    /// The cluster's id, if it is given.
    pub cluster_id: Option<ClusterId>,
    /// The deletionPolicy of an OAuthClient that names none.
    pub default_deletion_policy: Policy,
    /// The only namespaces that are watched, sorted; empty means all.
    pub watch_namespaces: Vec<String>,
    /// The Secret with the key of the cluster project that the operator itself applies, if it does.
    pub default_project_secret: Option<KeySecret>,
    /// The webhook whose certificate the operator keeps, if it does.
    pub webhook: Option<WebhookNames>,
    /// The servers that a MeshAgentProject may name.
    pub allowed_api_hosts: AllowedHosts,
    /// How many OAuthClients are worked on at a time; at least one.
    pub max_concurrent: u16,
    /// The operator's own namespace, if it is given.
    pub namespace: Option<String>,
    /// Whether one of several replicas is elected to work.
    pub leader_elect: bool,
    /// How long a leader's Lease lasts without a renewal; whole seconds.
    pub lease_duration: Duration,
    /// The kubeconfig, if it is given.
    pub kubeconfig: Option<PathBuf>,
    /// Where the process tells of itself, and what it logs.
    pub process: ProcessConfig,
}

/// The objects of the webhook that the operator keeps.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct WebhookNames {
    /// The MutatingWebhookConfiguration, whose `caBundle` the operator writes.
    pub configuration: String,
    /// The Secret in the operator's own namespace that the webhook's replicas mount.
    pub secret: String,
}

/// A flag whose value cannot be used.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
#[error("--{flag} (or {}) {problem}; {fix}", variable(flag))]
pub struct ConfigError {
    /// The flag's name, without dashes.
    pub flag: &'static str,
    /// What is wrong with the value.
    pub problem: String,
    /// What to do.
    pub fix: &'static str,
}

impl Config {
    /// Reads the flags. An optional flag that is empty counts as absent: that is how charts write it.
    ///
    /// # Errors
    /// Names the first flag whose value cannot be used.
    pub fn read(flags: &Flags) -> Result<Self, ConfigError> {
        let Flags {
            resync_interval,
            cluster_id,
            default_deletion_policy,
            watch_namespaces,
            default_project_secret,
            webhook,
            allowed_api_hosts,
            max_concurrent,
            namespace,
            leader_elect,
            lease_duration,
            kubeconfig,
            process,
        } = flags;
        Ok(Self {
            resync_interval: read_resync_interval(resync_interval)?,
            cluster_id: given(cluster_id.as_ref()).map(read_cluster_id).transpose()?,
            default_deletion_policy: read_deletion_policy(default_deletion_policy)?,
            watch_namespaces: given(watch_namespaces.as_ref()).map_or(Ok(vec![]), read_watch_namespaces)?,
            default_project_secret: given(default_project_secret.as_ref()).map(read_key_secret).transpose()?,
            webhook: given(webhook.as_ref()).map(read_webhook).transpose()?,
            allowed_api_hosts: read_allowed_api_hosts(
                given(Some(allowed_api_hosts)).unwrap_or(Flags::DEFAULT_API_HOST),
            )?,
            max_concurrent: read_max_concurrent(max_concurrent)?,
            namespace: given(namespace.as_ref()).map(|name| read_namespace("namespace", name)).transpose()?,
            leader_elect: read_leader_elect(leader_elect)?,
            lease_duration: read_lease_duration(lease_duration)?,
            kubeconfig: kubeconfig.as_ref().filter(|path| !path.is_empty()).map(PathBuf::from),
            process: ProcessConfig::read(process)?,
        })
    }
}

/// The environment variable that sets a flag.
#[must_use]
pub fn variable(flag: &str) -> String {
    format!("MESHAGENT_OPERATOR_{}", flag.replace('-', "_").to_uppercase())
}

fn given(value: Option<&String>) -> Option<&str> {
    value.map(|text| text.trim()).filter(|text| !text.is_empty())
}

fn wrong(flag: &'static str, value: &str, problem: &str, fix: &'static str) -> ConfigError {
    ConfigError { flag, problem: format!("is {value:?}, which {problem}"), fix }
}

fn read_duration(flag: &'static str, text: &str) -> Result<Duration, ConfigError> {
    duration::parse(text.trim()).map_err(|error| {
        let (problem, fix) = error.problem_and_fix();
        wrong(flag, text, problem, fix)
    })
}

fn read_leader_elect(text: &str) -> Result<bool, ConfigError> {
    const FIX: &str = "write true, or false if there is never more than one replica";
    text.trim().parse().map_err(|_| wrong("leader-elect", text, "is neither true nor false", FIX))
}

fn read_lease_duration(text: &str) -> Result<Duration, ConfigError> {
    const FLAG: &str = "lease-duration";
    let duration = read_duration(FLAG, text)?;
    if duration < SHORTEST_LEASE {
        return Err(wrong(FLAG, text, "is too short", "write 1s or more; 15s is usual"));
    }
    if duration > LONGEST_LEASE {
        return Err(wrong(FLAG, text, "is too long", "write 1h or less; 15s is usual"));
    }
    Ok(duration)
}

fn read_resync_interval(text: &str) -> Result<Duration, ConfigError> {
    const FLAG: &str = "resync-interval";
    let interval = read_duration(FLAG, text)?;
    if interval < SHORTEST_RESYNC {
        return Err(wrong(FLAG, text, "is too short", "write 1s or more; 10m is usual"));
    }
    Ok(interval)
}

fn read_cluster_id(text: &str) -> Result<ClusterId, ConfigError> {
    const FLAG: &str = "cluster-id";
    if text.len() > LONGEST_CLUSTER_ID {
        return Err(wrong(FLAG, text, "is too long", "write 128 characters or less"));
    }
    if !text.bytes().all(|byte| byte.is_ascii_graphic()) {
        return Err(wrong(
            FLAG,
            text,
            "holds white space or characters that are not ASCII",
            "write letters, digits and punctuation only",
        ));
    }
    Ok(ClusterId::new(text))
}

fn read_deletion_policy(text: &str) -> Result<Policy, ConfigError> {
    match text.trim() {
        "Delete" => Ok(Policy::Delete),
        "Retain" => Ok(Policy::Retain),
        _ => Err(wrong("default-deletion-policy", text, "is no deletion policy", "write Delete or Retain")),
    }
}

fn read_watch_namespaces(text: &str) -> Result<Vec<String>, ConfigError> {
    let names: BTreeSet<String> =
        text.split(',').map(|name| read_namespace("watch-namespaces", name.trim())).collect::<Result<_, _>>()?;
    Ok(names.into_iter().collect())
}

fn read_key_secret(text: &str) -> Result<KeySecret, ConfigError> {
    match text.split_once('/') {
        Some((name, key)) if syntax::object_name(name).is_ok() && syntax::data_key(key).is_ok() => {
            Ok(KeySecret { name: name.to_owned(), key: key.to_owned() })
        }
        Some(_) | None => Err(wrong(
            "default-project-secret",
            text,
            "is not the name of a Secret and a data key",
            "write both with a slash between, like meshagent-api-key/apiKey",
        )),
    }
}

fn read_webhook(text: &str) -> Result<WebhookNames, ConfigError> {
    let is_name = |name: &str| syntax::object_name(name).is_ok();
    match text.split_once('/') {
        Some((configuration, secret)) if is_name(configuration) && is_name(secret) => {
            Ok(WebhookNames { configuration: configuration.to_owned(), secret: secret.to_owned() })
        }
        Some(_) | None => Err(wrong(
            "webhook",
            text,
            "is not the names of a MutatingWebhookConfiguration and of a Secret",
            "write both with a slash between, like meshagent-operator/meshagent-operator-webhook-certificate",
        )),
    }
}

fn read_allowed_api_hosts(text: &str) -> Result<AllowedHosts, ConfigError> {
    text.parse().map_err(|NotAHost(entry)| {
        wrong(
            "allowed-api-hosts",
            &entry,
            "names no server",
            "write hosts separated by commas, like api.meshagent.com, api.example.com:8443 or http://127.0.0.1:8080; \
             without paths and wildcards",
        )
    })
}

fn read_namespace(flag: &'static str, name: &str) -> Result<String, ConfigError> {
    let fix = "write lower-case letters, digits and dashes, 63 at most; several names only in --watch-namespaces, like \
               shop,billing";
    read_label(flag, name, "is no name of a namespace", fix)
}

/// Reads a DNS label (RFC 1123).
fn read_label(flag: &'static str, name: &str, problem: &str, fix: &'static str) -> Result<String, ConfigError> {
    let inner = |byte: u8| byte.is_ascii_lowercase() || byte.is_ascii_digit() || byte == b'-';
    let sound =
        (1..=63).contains(&name.len()) && name.bytes().all(inner) && !name.starts_with('-') && !name.ends_with('-');
    if sound { Ok(name.to_owned()) } else { Err(wrong(flag, name, problem, fix)) }
}

fn read_max_concurrent(text: &str) -> Result<u16, ConfigError> {
    text.trim().parse().ok().filter(|number| (1..=MOST_CONCURRENT).contains(number)).ok_or_else(|| {
        wrong(
            "max-concurrent",
            text,
            "is not a number from 1 to 1000",
            "write one; 32 is usual, and past 64 an API server only grows slower",
        )
    })
}

fn read_address(flag: &'static str, text: &str) -> Result<SocketAddr, ConfigError> {
    text.trim().parse().map_err(|_| {
        wrong(flag, text, "is not an IP address with a port", "write it like 0.0.0.0:8080, 127.0.0.1:0 or [::]:8080")
    })
}

#[cfg(test)]
mod tests;

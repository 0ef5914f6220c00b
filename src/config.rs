//! Raw flags into what the operator works with, once.

use std::net::SocketAddr;
use std::time::Duration;

use crate::api::duration;
use crate::decide::id::ClusterId;

/// What the operator works with.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Config {
    /// How often every project is listed.
    pub resync_interval: Duration,
    /// This cluster, as markers name it; by default the uid of the namespace `kube-system`.
    pub cluster_id: Option<ClusterId>,
    /// The only namespaces that are watched; all, if empty.
    pub watch_namespaces: Vec<String>,
    /// How many OAuthClients are reconciled at once.
    pub max_concurrent: u16,
    /// The operator's own namespace; by default that of its service account, or of the kubeconfig's context.
    pub namespace: Option<String>,
    /// Where health and metrics are served.
    pub http_address: SocketAddr,
}

/// The flags, as they were given.
#[derive(Clone, Debug)]
pub struct RawConfig {
    /// `--resync-interval`
    pub resync_interval: String,
    /// `--cluster-id`
    pub cluster_id: Option<String>,
    /// `--watch-namespaces`
    pub watch_namespaces: Vec<String>,
    /// `--max-concurrent`
    pub max_concurrent: u16,
    /// `--namespace`
    pub namespace: Option<String>,
    /// `--http-address`
    pub http_address: SocketAddr,
}

/// A flag that cannot be worked with.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
#[error("{flag} {problem}; {fix}")]
pub struct ConfigError {
    flag: &'static str,
    problem: String,
    fix: &'static str,
}

impl Config {
    /// Checks the flags.
    ///
    /// # Errors
    /// With the first flag that cannot be worked with, and what to do.
    pub fn read(raw: RawConfig) -> Result<Self, ConfigError> {
        let RawConfig { resync_interval, cluster_id, watch_namespaces, max_concurrent, namespace, http_address } = raw;
        let interval = duration::parse(&resync_interval).map_err(|error| ConfigError {
            flag: "--resync-interval",
            problem: error.problem_and_fix().0.to_owned(),
            fix: "give a duration such as 10m",
        })?;
        let refuse = |flag, problem: &str, fix| Err(ConfigError { flag, problem: problem.to_owned(), fix });
        if interval < Duration::from_secs(1) {
            return refuse("--resync-interval", "is below one second", "give a duration such as 10m");
        }
        if max_concurrent == 0 {
            return refuse("--max-concurrent", "is 0", "give a number from 1 to 64");
        }
        if cluster_id.as_ref().is_some_and(|id| id.trim().is_empty() || id.len() > 128) {
            return refuse(
                "--cluster-id",
                "is empty or longer than 128 bytes",
                "give a name that no other cluster has",
            );
        }
        Ok(Self {
            resync_interval: interval,
            cluster_id: cluster_id.map(|id| ClusterId::new(id.trim())),
            watch_namespaces: namespaces(&watch_namespaces)?,
            max_concurrent,
            namespace,
            http_address,
        })
    }
}

/// The names of namespaces, each once.
fn namespaces(given: &[String]) -> Result<Vec<String>, ConfigError> {
    let mut namespaces: Vec<String> = given.iter().map(|name| name.trim().to_owned()).collect();
    namespaces.retain(|name| !name.is_empty());
    namespaces.sort();
    namespaces.dedup();
    let is_name = |name: &str| {
        name.len() <= 63 && name.bytes().all(|byte| byte.is_ascii_lowercase() || byte.is_ascii_digit() || byte == b'-')
    };
    match namespaces.iter().find(|name| !is_name(name)) {
        None => Ok(namespaces),
        Some(name) => Err(ConfigError {
            flag: "--watch-namespaces",
            problem: format!("names {name:?}, which no namespace can be called"),
            fix: "give names of namespaces, separated by commas",
        }),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn raw() -> RawConfig {
        RawConfig {
            resync_interval: "10m".to_owned(),
            cluster_id: None,
            watch_namespaces: Vec::new(),
            max_concurrent: 32,
            namespace: None,
            http_address: SocketAddr::from(([0, 0, 0, 0], 8080)),
        }
    }

    #[test]
    fn names_of_namespaces_are_trimmed_and_counted_once() {
        let watch_namespaces = vec![" b".to_owned(), "a".to_owned(), "b".to_owned(), String::new()];
        let config = Config::read(RawConfig { watch_namespaces, ..raw() }).unwrap();
        assert_eq!(config.watch_namespaces, ["a", "b"]);
    }

    #[test]
    fn each_flag_that_cannot_be_worked_with_is_named() {
        let refused = [
            (RawConfig { resync_interval: "soon".to_owned(), ..raw() }, "--resync-interval"),
            (RawConfig { max_concurrent: 0, ..raw() }, "--max-concurrent"),
            (RawConfig { cluster_id: Some(" ".to_owned()), ..raw() }, "--cluster-id"),
            (RawConfig { watch_namespaces: vec!["Shop".to_owned()], ..raw() }, "--watch-namespaces"),
        ];
        for (raw, flag) in refused {
            let said = Config::read(raw).unwrap_err().to_string();
            assert!(said.starts_with(flag), "{said}");
        }
    }
}

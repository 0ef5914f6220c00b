//! The settings of each command that keeps running: where it tells of itself, and what it logs.

use std::net::SocketAddr;

use tracing_subscriber::filter::{LevelFilter, Targets};

use super::{ConfigError, read_address, wrong};

/// The flags as they were typed. The comments are what `--help` prints.
#[derive(Clone, Debug, clap::Args)]
pub struct ProcessFlags {
    /// Where /healthz, /readyz and /metrics are served; port 0 takes a free one, which the log names
    #[arg(
        long,
        value_name = "ADDRESS",
        env = "MESHAGENT_OPERATOR_HTTP_ADDRESS",
        hide_env_values = true,
        default_value = "0.0.0.0:8080"
    )]
    pub http_address: String,

    /// The form of the log: text or json
    #[arg(
        long,
        value_name = "FORMAT",
        env = "MESHAGENT_OPERATOR_LOG_FORMAT",
        hide_env_values = true,
        default_value = "text"
    )]
    pub log_format: String,

    /// What is logged: off, error, warn, info, debug or trace; also by module, like info,hyper=debug
    #[arg(
        long,
        value_name = "LEVEL",
        env = "MESHAGENT_OPERATOR_LOG_LEVEL",
        hide_env_values = true,
        default_value = "info"
    )]
    pub log_level: String,
}

/// Where a process tells of itself, and what it logs.
#[derive(Clone, Debug, PartialEq)]
pub struct ProcessConfig {
    /// The address at which health and metrics are served.
    pub http_address: SocketAddr,
    /// The log's form.
    pub log_format: LogFormat,
    /// The levels that are logged.
    pub log_level: Targets,
}

/// The log's form.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum LogFormat {
    /// Lines for people.
    Text,
    /// One JSON object a line.
    Json,
}

impl ProcessConfig {
    pub(super) fn read(flags: &ProcessFlags) -> Result<Self, ConfigError> {
        let ProcessFlags { http_address, log_format, log_level } = flags;
        Ok(Self {
            http_address: read_address("http-address", http_address)?,
            log_format: read_log_format(log_format)?,
            log_level: read_log_level(log_level)?,
        })
    }
}

fn read_log_format(text: &str) -> Result<LogFormat, ConfigError> {
    match text.trim() {
        "text" => Ok(LogFormat::Text),
        "json" => Ok(LogFormat::Json),
        _ => Err(wrong("log-format", text, "is no form of a log", "write text or json")),
    }
}

/// Reads the log levels. A module alone is refused, though the usual readers take it: a misspelt level would silence
/// the whole log.
fn read_log_level(text: &str) -> Result<Targets, ConfigError> {
    let unusable = || {
        wrong(
            "log-level",
            text,
            "is no level",
            "write off, error, warn, info, debug or trace; by module like info,kube_runtime=debug",
        )
    };
    let mut level = Targets::new().with_default(LevelFilter::INFO);
    for part in text.split(',').map(str::trim) {
        level = match part.split_once('=') {
            None => level.with_default(read_level(part).ok_or_else(unusable)?),
            Some((module, word)) if is_module(module) => {
                level.with_target(module, read_level(word).ok_or_else(unusable)?)
            }
            Some(_) => return Err(unusable()),
        };
    }
    Ok(level)
}

fn read_level(word: &str) -> Option<LevelFilter> {
    word.parse().ok().filter(|_| word.bytes().all(|byte| byte.is_ascii_alphabetic()) && !word.is_empty())
}

fn is_module(text: &str) -> bool {
    !text.is_empty() && text.bytes().all(|byte| byte.is_ascii_alphanumeric() || byte == b'_' || byte == b':')
}

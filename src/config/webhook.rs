//! The settings of `webhook`: raw flags, and the types that they are read into.

use std::collections::BTreeSet;
use std::ffi::OsString;
use std::net::SocketAddr;
use std::path::PathBuf;

use tracing_subscriber::filter::Targets;

use super::{ConfigError, LogFormat, given, read_address, read_label, read_log_format, read_log_level, wrong};
use crate::decide::inject::{Defaults, Form};

/// The flags as they were typed. The comments are what `--help` prints.
#[derive(Clone, Debug, clap::Args)]
pub struct WebhookFlags {
    /// Where the API server calls; port 0 takes a free one, which the log names
    #[arg(
        long,
        value_name = "ADDRESS",
        env = "MESHAGENT_OPERATOR_HTTPS_ADDRESS",
        hide_env_values = true,
        default_value = "0.0.0.0:10250"
    )]
    pub https_address: String,

    /// Where /healthz, /readyz and /metrics are served; port 0 takes a free one, which the log names
    #[arg(
        long,
        value_name = "ADDRESS",
        env = "MESHAGENT_OPERATOR_HTTP_ADDRESS",
        hide_env_values = true,
        default_value = "0.0.0.0:8080"
    )]
    pub http_address: String,

    /// The folder with tls.crt, tls.key and ca.crt, where their Secret is mounted
    #[arg(
        long,
        value_name = "FOLDER",
        env = "MESHAGENT_OPERATOR_CERTIFICATES",
        hide_env_values = true,
        default_value = "/certificates"
    )]
    pub certificates: OsString,

    /// How a pod that does not say gets its credential: env, as variables, or file
    #[arg(
        long,
        value_name = "FORM",
        env = "MESHAGENT_OPERATOR_INJECT_AS",
        hide_env_values = true,
        default_value = "env"
    )]
    pub inject_as: String,

    /// Containers that get no credential unless their pod names them, separated by commas, such as the proxies of a mesh
    /// [default: none]
    #[arg(long, value_name = "NAMES", env = "MESHAGENT_OPERATOR_SKIP_CONTAINERS", hide_env_values = true)]
    pub skip_containers: Option<String>,

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

/// What `webhook` does, and how.
#[derive(Clone, Debug, PartialEq)]
pub struct WebhookConfig {
    /// Where the API server calls.
    pub https_address: SocketAddr,
    /// Where health and metrics are served.
    pub http_address: SocketAddr,
    /// Where the Secret with the certificate is mounted.
    pub certificates: PathBuf,
    /// What pods get that do not say otherwise.
    pub injection: Defaults,
    /// The log's form.
    pub log_format: LogFormat,
    /// The levels that are logged.
    pub log_level: Targets,
}

impl WebhookConfig {
    /// Reads the flags. An optional flag that is empty counts as absent: that is how charts write it.
    ///
    /// # Errors
    /// Names the first flag whose value cannot be used.
    pub fn read(flags: &WebhookFlags) -> Result<Self, ConfigError> {
        let WebhookFlags {
            https_address,
            http_address,
            certificates,
            inject_as,
            skip_containers,
            log_format,
            log_level,
        } = flags;
        Ok(Self {
            https_address: read_address("https-address", https_address)?,
            http_address: read_address("http-address", http_address)?,
            certificates: PathBuf::from(certificates),
            injection: Defaults {
                form: read_form(inject_as)?,
                skip_containers: given(skip_containers.as_ref()).map_or(Ok(BTreeSet::new()), read_containers)?,
            },
            log_format: read_log_format(log_format)?,
            log_level: read_log_level(log_level)?,
        })
    }
}

fn read_form(text: &str) -> Result<Form, ConfigError> {
    let unknown = || wrong("inject-as", text, "is no form of a credential", "write env or file");
    Form::of(text.trim()).ok_or_else(unknown)
}

fn read_containers(text: &str) -> Result<BTreeSet<String>, ConfigError> {
    let names = text.split(',').map(str::trim).filter(|name| !name.is_empty());
    // A container's name is a DNS label, as a namespace's is.
    let fix = "write names as they stand in pods, like istio-proxy,linkerd-proxy";
    names.map(|name| read_label("skip-containers", name, "is no name of a container", fix)).collect()
}

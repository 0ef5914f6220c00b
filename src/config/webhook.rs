//! The settings of `webhook`: raw flags, and the types that they are read into.

use std::collections::BTreeSet;
use std::ffi::OsString;
use std::net::SocketAddr;
use std::path::PathBuf;

use super::{ConfigError, ProcessConfig, ProcessFlags, given, read_address, read_label, wrong};
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

    #[command(flatten)]
    pub process: ProcessFlags,
}

/// What `webhook` does, and how.
#[derive(Clone, Debug, PartialEq)]
pub struct WebhookConfig {
    /// Where the API server calls.
    pub https_address: SocketAddr,
    /// Where the Secret with the certificate is mounted.
    pub certificates: PathBuf,
    /// What pods get that do not say otherwise.
    pub injection: Defaults,
    /// Where the process tells of itself, and what it logs.
    pub process: ProcessConfig,
}

impl WebhookConfig {
    /// Reads the flags. An optional flag that is empty counts as absent: that is how charts write it.
    ///
    /// # Errors
    /// Names the first flag whose value cannot be used.
    pub fn read(flags: &WebhookFlags) -> Result<Self, ConfigError> {
        let WebhookFlags { https_address, certificates, inject_as, skip_containers, process } = flags;
        Ok(Self {
            https_address: read_address("https-address", https_address)?,
            certificates: PathBuf::from(certificates),
            injection: Defaults {
                form: read_form(inject_as)?,
                skip_containers: given(skip_containers.as_ref()).map_or(Ok(BTreeSet::new()), read_containers)?,
            },
            process: ProcessConfig::read(process)?,
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

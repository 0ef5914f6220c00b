//! The command line: one file for each subcommand.

mod cluster;
pub mod crds;
mod run;
mod signals;
mod webhook;

use std::error::Error as _;
use std::io;
use std::net::SocketAddr;

use clap::{Parser, Subcommand};
use tokio::net::TcpListener;

use crate::config::webhook::WebhookFlags;
use crate::config::{ConfigError, Flags, ProcessConfig};
use crate::controller;
use crate::kubernetes::connect;
use crate::leader;
use crate::telemetry;

/// Keeps MeshAgent OAuth clients as declared, and their credentials in Secrets
#[derive(Debug, Parser)]
#[command(name = "meshagent-operator", version)]
pub struct Cli {
    #[command(subcommand)]
    command: Command,
}

#[derive(Debug, Subcommand)]
enum Command {
    /// Run the operator until it is told to stop
    ///
    /// Each flag is also an environment variable. SIGTERM and SIGINT stop the operator; work under way has 12 seconds to
    /// end.
    Run(Box<Flags>),
    /// Answer the API server's reviews of labelled pods, until it is told to stop
    ///
    /// It has no rights and needs none: it reads its certificate from files and talks to nobody. Each flag is also an
    /// environment variable. After SIGTERM or SIGINT it serves on for 10 seconds, while it says that it is not ready.
    Webhook(Box<WebhookFlags>),
    /// Print the CRDs, for `kubectl apply --server-side -f -`
    Crds,
}

/// Why the program failed.
#[derive(Debug, thiserror::Error)]
pub enum Error {
    /// Two crypto providers, of which rustls would have to choose one.
    #[error("another TLS crypto provider is installed already")]
    CryptoProvider,
    /// The value of a flag cannot be used.
    #[error(transparent)]
    Config(#[from] ConfigError),
    /// Logging cannot be set up.
    #[error(transparent)]
    Telemetry(#[from] telemetry::InitError),
    /// The kernel refuses threads, or its event queue.
    #[error("the runtime cannot be started")]
    Runtime(#[source] io::Error),
    /// SIGTERM and SIGINT cannot be received.
    #[error("signals cannot be received")]
    Signals(#[source] io::Error),
    /// The port is taken, or the address is not this machine's.
    #[error("{address} cannot be listened on; set --{flag} to a free one")]
    Listen {
        /// The flag that names the address.
        flag: &'static str,
        /// The address that was tried.
        address: SocketAddr,
        /// Why the address cannot be used.
        source: io::Error,
    },
    /// The cluster cannot be reached with these settings.
    #[error(transparent)]
    Kubernetes(#[from] connect::Error),
    /// The id of the cluster cannot be known.
    #[error(transparent)]
    Cluster(#[from] cluster::Error),
    /// Another replica leads now, or may.
    #[error("stopped at once, since this replica does not lead any more")]
    Leadership(#[source] leader::Lost),
    /// The controllers ended.
    #[error("the controllers ended")]
    Controller(#[source] controller::RunError),
    /// Standard output cannot be written.
    #[error("the CRDs cannot be written")]
    Crds(#[source] io::Error),
}

/// Makes ring the one crypto provider, before anything else: kube and reqwest panic without one.
///
/// # Errors
/// Returns an error when there is one already.
pub fn install_crypto_provider() -> Result<(), Error> {
    let provider = rustls::crypto::ring::default_provider();
    provider.install_default().map_err(|_| Error::CryptoProvider)
}

/// Does what the command line says.
///
/// # Errors
/// Returns an error that names the operation that failed; [`chain`] prints it with its sources.
pub fn run(cli: Cli) -> Result<(), Error> {
    match cli.command {
        Command::Run(flags) => run::run(&flags),
        Command::Webhook(flags) => webhook::run(&flags),
        Command::Crds => read_enough(crds::run(&mut io::stdout().lock())).map_err(Error::Crds),
    }
}

/// Runs a command that keeps running, with a log and a runtime of its own.
fn run_in_runtime(process: &ProcessConfig, work: impl Future<Output = Result<(), Error>>) -> Result<(), Error> {
    telemetry::init(process.log_format, &process.log_level)?;
    let runtime = tokio::runtime::Builder::new_multi_thread().enable_all().build().map_err(Error::Runtime)?;
    let ended = runtime.block_on(work);
    // Dropping the runtime would wait for DNS lookups under way.
    runtime.shutdown_background();
    ended
}

/// What the log says of the address for health and metrics.
const HEALTH_AND_METRICS: &str = "health and metrics are served";

/// Listens on an address that a flag names, and says what is served there.
async fn listen(flag: &'static str, address: SocketAddr, served: &str) -> Result<TcpListener, Error> {
    let failed = |source| Error::Listen { flag, address, source };
    let listener = TcpListener::bind(address).await.map_err(failed)?;
    let address = listener.local_addr().map_err(failed)?;
    tracing::info!(version = env!("CARGO_PKG_VERSION"), %address, "{served}");
    Ok(listener)
}

/// Takes a closed pipe for success: a reader who has seen enough closes it.
fn read_enough(written: io::Result<()>) -> io::Result<()> {
    match written {
        Err(error) if error.kind() == io::ErrorKind::BrokenPipe => Ok(()),
        written => written,
    }
}

/// An error with its sources, one a line. A source that is quoted in what stands above it is not repeated.
#[must_use]
pub fn chain(error: &Error) -> String {
    let mut printed = error.to_string();
    let mut source = error.source();
    while let Some(cause) = source {
        let text = cause.to_string();
        if !printed.contains(&text) {
            printed.push_str("\n  caused by: ");
            printed.push_str(&text);
        }
        source = cause.source();
    }
    printed
}

#[cfg(test)]
mod tests;

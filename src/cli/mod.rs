//! The command line, one file a subcommand.

pub mod crds;
pub mod run;

use clap::{Parser, Subcommand};

/// Keeps MeshAgent OAuth clients as declared, and their credentials in Secrets.
#[derive(Debug, Parser)]
#[command(version, about, propagate_version = true)]
pub struct Cli {
    #[command(subcommand)]
    command: Command,
}

#[derive(Debug, Subcommand)]
enum Command {
    /// Work in a cluster until told to stop
    Run(Box<run::Flags>),
    /// Print the custom resource definitions, for `kubectl apply --server-side -f -`
    Crds,
}

/// What ends the program with an error.
#[derive(Debug, thiserror::Error)]
pub enum CliError {
    /// The operator could not start, or could not go on.
    #[error(transparent)]
    Run(#[from] run::RunError),
    /// Standard output was closed.
    #[error("the definitions could not be printed")]
    Print(#[from] std::io::Error),
}

impl Cli {
    /// Carries the command out.
    ///
    /// # Errors
    /// Names what was tried and what to do.
    pub fn execute(self) -> Result<(), CliError> {
        match self.command {
            Command::Run(flags) => Ok(run::run(*flags)?),
            Command::Crds => Ok(crds::run(&mut std::io::stdout().lock())?),
        }
    }
}

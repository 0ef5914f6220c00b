//! The operator's program.

use std::process::ExitCode;

use clap::Parser as _;
use meshagent_operator::cli::{self, Cli};

fn main() -> ExitCode {
    let ran = cli::install_crypto_provider().and_then(|()| cli::run(Cli::parse()));
    match ran {
        Ok(()) => ExitCode::SUCCESS,
        Err(error) => {
            eprintln!("error: {}", cli::chain(&error));
            ExitCode::FAILURE
        }
    }
}

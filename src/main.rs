//! The operator's program.

use std::error::Error;
use std::process::ExitCode;

use clap::Parser;
use meshagent_operator::cli::Cli;

fn main() -> ExitCode {
    // All TLS of this process; a second provider would make kube panic. Nothing else can have installed one yet.
    let _ = rustls::crypto::ring::default_provider().install_default();
    match Cli::parse().execute() {
        Ok(()) => ExitCode::SUCCESS,
        Err(error) => {
            let mut source: Option<&dyn Error> = Some(&error);
            let mut words = Vec::new();
            while let Some(error) = source {
                words.push(error.to_string());
                source = error.source();
            }
            words.dedup();
            eprintln!("meshagent-operator: {}", words.join(": "));
            ExitCode::FAILURE
        }
    }
}

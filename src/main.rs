//! The operator's program.

use std::process::ExitCode;

use clap::Parser as _;
use meshagent_operator::cli::{self, Cli};
use tikv_jemallocator::Jemalloc;

/// Lists come and go by the megabyte: jemalloc gives their memory back, and takes half of glibc's time for it. Its
/// settings are compiled in, from `.cargo/config.toml`.
#[global_allocator]
static ALLOCATOR: Jemalloc = Jemalloc;

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

//! Measures the operator and its webhook, and prints one table: `make bench`. `N` says how many clients there are, 1,000
//! unless it is set.
//!
//! The control plane is real, MeshAgent is the simulator, and operator, simulator and this program are release builds. A
//! bare client does the same on a second control plane: it shows what the API server allows. Counts are held to the
//! budget of `docs/architecture.md`, and a difference fails the run; seconds never do.

mod bare;
mod error;
mod mass;
mod names;
mod neighbours;
mod observer;
mod pattern;
mod process;
mod report;
mod requests;
mod script;
mod stage;
mod webhook;

use std::env;
use std::process::ExitCode;

use error::{Error, Result};
use report::Report;
use requests::Budget;
use script::say;

#[tokio::main]
async fn main() -> ExitCode {
    match run().await {
        Ok(Budget { differences }) if differences.is_empty() => ExitCode::SUCCESS,
        Ok(Budget { differences }) => {
            differences.iter().for_each(|difference| eprintln!("otherwise than the budget: {difference}"));
            ExitCode::FAILURE
        }
        Err(error) => {
            eprintln!("error: {}", error.chain());
            ExitCode::FAILURE
        }
    }
}

async fn run() -> Result<Budget> {
    harness::install_crypto_provider();
    let (count, mut budget) = (count()?, Budget::default());
    say(&format!("{count} clients; the webhook first"));
    let admissions = webhook::measure().await?;
    let (operator, pattern) = script::operator(count, &mut budget).await?;
    let bare = script::bare(count, pattern, &mut budget).await?;
    say("done");
    print!("{}", Report { count, operator, bare, admissions });
    Ok(budget)
}

/// The number of clients.
fn count() -> Result<usize> {
    let given = env::var("N").unwrap_or_default();
    if given.is_empty() {
        return Ok(1_000);
    }
    let number = given.parse().ok().filter(|count| *count > 0);
    number.ok_or_else(|| Error::Unexpected(format!("N is {given:?}; write a number of clients, like 1000")))
}

//! Measures the operator and its webhook, and prints one table: `make bench`. `N` says how many clients there are, 1,000
//! unless it is set. With more than 20,000, or with `ONLY=memory`, only the operator's memory is measured, and admissions
//! beside its resyncs; `ONLY=operator` leaves the bare client out.
//!
//! The control plane is real, MeshAgent is the simulator, and operator, simulator and this program are release builds. A
//! bare client does the same on a second control plane: it shows what the API server allows. Counts are held to the
//! budget of `docs/architecture.md`, and a difference fails the run; seconds never do.
//!
//! With the argument `soak` it measures nothing, and lets people work and things go wrong: [`soak`].

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
mod soak;
mod stage;
mod webhook;

use std::env;
use std::process::ExitCode;

use error::{Error, Result};
use report::{MemoryReport, Report};
use requests::Budget;
use script::say;

/// The most clients that are created, edited, rotated and deleted; more are only kept.
const MOST_CHANGED: usize = 20_000;
/// How often operator and bare client are compared, and the most clients with which they are compared more than once: one
/// round alone says little on a machine whose speed varies.
const ROUNDS: usize = 5;
const MOST_REPEATED: usize = 2_000;

#[tokio::main]
async fn main() -> ExitCode {
    harness::install_crypto_provider();
    let ran = if env::args().nth(1).as_deref() == Some("soak") {
        soak::run().await
    } else {
        measure().await.map(|Budget { differences }| differences)
    };
    match ran {
        Ok(differences) if differences.is_empty() => ExitCode::SUCCESS,
        Ok(differences) => {
            differences.iter().for_each(|difference| eprintln!("otherwise than it has to be: {difference}"));
            ExitCode::FAILURE
        }
        Err(error) => {
            eprintln!("error: {}", error.chain());
            ExitCode::FAILURE
        }
    }
}

async fn measure() -> Result<Budget> {
    let (count, mut budget) = (count()?, Budget::default());
    let only = env::var("ONLY").unwrap_or_default();
    if !["", "memory", "operator"].contains(&only.as_str()) {
        return Err(Error::Unexpected(format!("ONLY is {only:?}; write memory, operator or nothing")));
    }
    if count > MOST_CHANGED || only == "memory" {
        say(&format!("{count} clients that are only kept: memory, and admissions beside resyncs"));
        let kept = script::memory(count, &webhook::start().await?, &mut budget).await?;
        print!("{}", MemoryReport { count, kept });
        return Ok(budget);
    }
    say(&format!("{count} clients; the webhook first"));
    let webhook = webhook::start().await?;
    let admissions = webhook.measure().await?;
    let (operator, pattern) = script::operator(count, &webhook, &mut budget).await?;
    let (mut bare, mut rounds) = (None, Vec::new());
    if only.is_empty() {
        bare = Some(script::bare(count, &pattern, &mut budget).await?);
        for round in 1..if count <= MOST_REPEATED { ROUNDS } else { 1 } {
            rounds.push(script::round(count, &pattern, round % 2 == 1, &mut budget).await?);
        }
    }
    say("done");
    print!("{}", Report { count, operator, bare, rounds, admissions });
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

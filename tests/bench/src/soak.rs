//! `make soak`: people work, MeshAgent fails and replicas die, round after round. After each round all is to be as it is
//! declared. In the second half one replica is spared: at the end it is to hold no more than it did at first.

mod invariants;
mod readings;
mod replicas;
mod trouble;
mod users;

use std::collections::BTreeSet;
use std::env;
use std::time::{Duration, Instant};

use harness::Random;
use kube::Api;
use kube::api::{DynamicObject, Patch, PatchParams};
use serde_json::json;

use crate::error::{Error, Result};
use crate::names::cluster_projects;
use crate::script::say;
use crate::stage::Stage;
use readings::Readings;
use replicas::Replicas;
use users::Users;

/// How long a round lasts before all is left in peace.
const ROUND: Duration = Duration::from_secs(30);
/// The longest pause between two things that people do.
const PAUSE: u64 = 300;

/// Runs rounds for as long as `MINUTES` says, an hour unless it is set, and returns what is not as it has to be.
pub async fn run() -> Result<Vec<String>> {
    let minutes = number("MINUTES", 60)?;
    let seed = number("SEED", u64::from(std::process::id()))?;
    say(&format!("a soak of {minutes} minutes: SEED={seed}"));
    let (began, whole) = (Instant::now(), Duration::from_secs(60 * minutes));
    let (mut random, stage) = (Random::new(seed), Stage::set_up().await?);
    sweep_soon(&stage).await?;
    let (mut replicas, mut users) = (Replicas::start(&stage)?, Users::default());
    let (mut readings, mut tokens, mut rounds) = (Readings::default(), BTreeSet::new(), 0_u32);
    while rounds == 0 || began.elapsed() < whole {
        rounds += 1;
        if began.elapsed() > whole / 2 {
            replicas.spare();
        }
        stage.admin.clear_calls().await?;
        round(&stage, &mut replicas, &mut users, &mut random).await?;
        replicas.all_run().await?;
        stage.admin.clear_faults().await?;
        invariants::hold(&stage, &mut tokens).await?;
        readings.take(&stage, &replicas).await?;
        say(&format!("round {rounds}: {}", readings.last()));
    }
    print!("{readings}");
    println!("\n{rounds} rounds with SEED={seed}; {} POSTs, each with a token of its own", tokens.len());
    Ok(readings.growth())
}

/// One round: faults at MeshAgent, what people do, and one or two accidents.
async fn round(stage: &Stage, replicas: &mut Replicas, users: &mut Users, random: &mut Random) -> Result<()> {
    trouble::at_meshagent(stage, random).await?;
    let end = Instant::now() + ROUND;
    let mut accidents: Vec<Instant> =
        (0..=random.below(2)).map(|_| Instant::now() + Duration::from_secs(random.below(ROUND.as_secs()))).collect();
    while Instant::now() < end {
        replicas.revive()?;
        users.act(stage, random).await;
        if let Some(due) = accidents.iter().position(|at| *at <= Instant::now()) {
            accidents.swap_remove(due);
            trouble::strike(stage, replicas, random).await?;
        }
        tokio::time::sleep(Duration::from_millis(random.below(PAUSE))).await;
    }
    Ok(())
}

/// Lets orphans go after a second: a client of an unknown outcome is one until its OAuthClient is gone.
async fn sweep_soon(stage: &Stage) -> Result<()> {
    let projects: Api<DynamicObject> = Api::all_with(stage.client.clone(), &cluster_projects());
    let patch = Patch::Merge(json!({ "spec": { "orphans": { "minAge": "1s" } } }));
    let patched = projects.patch("default", &PatchParams::default(), &patch).await;
    patched.map(drop).map_err(Error::kubernetes("changing the project"))
}

/// A number from the environment.
fn number(name: &str, otherwise: u64) -> Result<u64> {
    let given = env::var(name).unwrap_or_default();
    if given.is_empty() {
        return Ok(otherwise);
    }
    given.parse().map_err(|_| Error::Unexpected(format!("{name} is {given:?}; write a number, like {otherwise}")))
}

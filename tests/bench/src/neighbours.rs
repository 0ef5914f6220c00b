//! Clients of a good project beside those of one that hangs and of one that answers 429.

use std::collections::BTreeMap;
use std::time::{Duration, Instant};

use futures::stream::{self, TryStreamExt};
use harness::eventually;
use serde_json::json;
use simulator::admin::{Fault, FaultRule, Route, RouteMatch, Stage as When};
use uuid::Uuid;

use crate::error::Result;
use crate::mass::create;
use crate::observer::Goal;
use crate::stage::{START, Stage};

/// How many clients of the good project are measured.
const GOOD: usize = 10;
/// How many clients each of the bad projects has: more than one project has slots.
const BAD: usize = 40;

/// From apply to Ready, of each client of the good project.
pub struct Neighbours {
    pub alone: Vec<Duration>,
    pub beside: Vec<Duration>,
}

/// Measures the clients of the good project alone, and then beside the bad ones.
pub async fn measure(stage: &Stage) -> Result<Neighbours> {
    let alone = good(stage, "alone-").await?;
    let hangs = declare(stage, "hangs").await?;
    let refuses = declare(stage, "refuses").await?;
    stage.plane.kubectl()?.run(&["wait", "cmaproj", "--all", "--for=condition=Ready", "--timeout=60s"]).await?;
    let hang = FaultRule::on(Route::ClientsCreate, Fault::Hang { stage: When::Before });
    stage.admin.fault(&hang.in_project(hangs)).await?;
    let headers = BTreeMap::from([("Retry-After".to_owned(), "5".to_owned())]);
    let body = Some(json!({ "message": "too many requests" }));
    let refusal = Fault::Status { status: 429, body, headers, commit: false };
    stage.admin.fault(&FaultRule::on(RouteMatch::Any, refusal).in_project(refuses)).await?;
    stage.admin.clear_calls().await?;
    for project in ["hangs", "refuses"] {
        for number in 0..BAD {
            create(stage, &format!("{project}-{number}"), project).await?;
        }
    }
    for project in [hangs, refuses] {
        eventually(START, "the bad projects are called", async || match stage.admin.calls().await {
            Ok(calls) if calls.iter().any(|call| call.project == Some(project) && call.fault.is_some()) => Ok(()),
            Ok(_) => Err("not yet".to_owned()),
            Err(error) => Err(error.to_string()),
        })
        .await?;
    }
    let beside = good(stage, "beside-").await?;
    Ok(Neighbours { alone, beside })
}

async fn declare(stage: &Stage, name: &str) -> Result<Uuid> {
    let access = stage.admin.create_project(None).await?;
    stage.declare_project(name, access.api_key.expose()).await?;
    Ok(access.project_id)
}

/// Applies clients of the good project, all at once.
async fn good(stage: &Stage, prefix: &str) -> Result<Vec<Duration>> {
    let observer = stage.observe(prefix, prefix);
    observer.aim(Goal::Ready);
    let applied: BTreeMap<String, Instant> =
        (0..GOOD).map(|number| (format!("{prefix}{number}"), Instant::now())).collect();
    let names = stream::iter(applied.keys().map(Ok));
    names.try_for_each_concurrent(GOOD, async |name: &String| create(stage, name, "default").await.map(drop)).await?;
    observer.until("the clients of the good project are Ready", START, |met| met.all == GOOD).await?;
    let times = observer.times();
    Ok(applied.iter().filter_map(|(name, at)| Some(times.get(name)?.duration_since(*at))).collect())
}

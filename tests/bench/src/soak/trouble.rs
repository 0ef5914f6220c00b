//! What goes wrong during a soak.

use std::collections::BTreeMap;
use std::time::Duration;

use harness::Random;
use simulator::admin::{Fault, FaultRule, ResetAt, Route, RouteMatch, Stage as When};

use super::replicas::Replicas;
use crate::error::Result;
use crate::stage::{START, Stage};

/// How many kinds of faults a round has, at most.
const FAULTS: u64 = 4;
/// How often each of them strikes, at most.
const STRIKES: u64 = 4;

/// Makes MeshAgent fail now and then, for the round that begins.
pub async fn at_meshagent(stage: &Stage, random: &mut Random) -> Result<()> {
    for _ in 0..random.below(FAULTS + 1) {
        let route = match random.below(5) {
            0 | 1 => RouteMatch::from(Route::ClientsCreate),
            2 => Route::ClientsUpdate.into(),
            3 => Route::ClientsDelete.into(),
            _ => RouteMatch::Any,
        };
        let rule = FaultRule::on(route, fault(random)).after(random.below(20)).times(1 + random.below(STRIKES));
        stage.admin.fault(&rule).await?;
    }
    Ok(())
}

fn fault(random: &mut Random) -> Fault {
    let status = |status, commit| Fault::Status { status, body: None, headers: BTreeMap::new(), commit };
    match random.below(9) {
        0 => status(500, true),
        1 => status(503, false),
        2 => {
            let headers = BTreeMap::from([("Retry-After".to_owned(), "1".to_owned())]);
            Fault::Status { status: 429, body: None, headers, commit: false }
        }
        3 => Fault::Reset { at: ResetAt::Before },
        4 => Fault::Reset { at: ResetAt::After },
        5 => Fault::Truncate {},
        6 => Fault::Hang { stage: When::After },
        7 => Fault::CommitLate { after: Duration::from_secs(2), status: 504 },
        _ => Fault::Delay { duration: Duration::from_secs(1), stage: When::Before },
    }
}

/// Lets one accident happen: to a replica, or to the API server.
pub async fn strike(stage: &Stage, replicas: &mut Replicas, random: &mut Random) -> Result<()> {
    let which = usize::try_from(random.below(1000)).unwrap_or_default();
    match random.below(7) {
        0..=2 => replicas.kill(which),
        3 => replicas.replace(which).await,
        4 | 5 => replicas.freeze(which),
        _ => reboot(stage).await,
    }
}

/// Kills the API server and starts it again, and with it kube-controller-manager, whose garbage collector would otherwise
/// overlook what was deleted at that moment.
async fn reboot(stage: &Stage) -> Result<()> {
    stage.plane.apiserver().kill()?;
    stage.plane.apiserver().restart()?;
    stage.plane.ready(START).await?;
    if let Some(controllers) = stage.plane.controller_manager() {
        controllers.restart()?;
    }
    Ok(())
}

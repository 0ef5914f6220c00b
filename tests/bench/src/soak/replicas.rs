//! The replicas of the operator. Any of them may die at first; later one is spared, and what it holds is read.

use std::time::Duration;

use harness::Process;

use crate::error::Result;
use crate::stage::{Replica, START, Stage};

/// How many replicas there are.
const REPLICAS: usize = 3;
/// How long a leader that vanished is waited for, which the soak is not about; and a resync in each round.
const ARGS: [&str; 2] = ["--lease-duration=6s", "--resync-interval=10s"];
/// How long a replica that was frozen may take to notice that it does not lead any more.
const NOTICE: Duration = Duration::from_secs(2);

pub struct Replicas {
    replicas: Vec<Replica>,
    frozen: Vec<usize>,
    spares: bool,
}

impl Replicas {
    /// Starts all of them.
    pub fn start(stage: &Stage) -> Result<Self> {
        let args = ARGS.map(str::to_owned);
        let replicas = (0..REPLICAS).map(|_| stage.start_replica(&args)).collect::<Result<_>>()?;
        Ok(Self { replicas, frozen: Vec::new(), spares: false })
    }

    /// Spares the first replica from now on.
    pub fn spare(&mut self) {
        self.spares = true;
    }

    /// The replica that is spared.
    pub fn spared(&self) -> &Replica {
        &self.replicas[0]
    }

    /// Kills a replica, and starts it again.
    pub fn kill(&self, which: usize) -> Result<()> {
        let process = self.victim(which);
        process.kill()?;
        Ok(process.restart()?)
    }

    /// Ends a replica as a rollout does, and starts it again.
    pub async fn replace(&self, which: usize) -> Result<()> {
        let process = self.victim(which);
        // One that is frozen would not end when it is told to.
        process.thaw()?;
        process.terminate(START).await?;
        Ok(process.restart()?)
    }

    /// Freezes a replica, which may lead, until the end of the round.
    pub fn freeze(&mut self, which: usize) -> Result<()> {
        self.victim(which).freeze()?;
        self.frozen.push(which);
        Ok(())
    }

    /// Ends the round: those that are frozen go on.
    pub async fn all_run(&mut self) -> Result<()> {
        for which in std::mem::take(&mut self.frozen) {
            self.victim(which).thaw()?;
        }
        tokio::time::sleep(NOTICE).await;
        self.revive()
    }

    /// Starts those again that have ended by themselves, as a Deployment does: a leader that cannot renew its Lease ends.
    pub fn revive(&self) -> Result<()> {
        for replica in &self.replicas {
            if replica.operator.process().ended()?.is_some() {
                replica.operator.process().restart()?;
            }
        }
        Ok(())
    }

    fn victim(&self, which: usize) -> &Process {
        let mortal = if self.spares { &self.replicas[1..] } else { &self.replicas };
        mortal[which % mortal.len()].operator.process()
    }
}

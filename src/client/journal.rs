//! The journal of a pass, logged at level `trace`. A pass can be replayed from it, since a pass is the fold of its
//! answers and nothing else.

use serde::{Deserialize, Serialize};

use crate::decide::client::next::{Desired, Step, next};
use crate::decide::client::observed::{Answer, Observed};
use crate::decide::failure::Failure;

/// A pass from its beginning to its rest, with digests of credentials, never the credentials.
#[derive(Clone, Debug, Serialize, Deserialize)]
pub struct PassRecord {
    /// What was known before the first step.
    pub beginning: Observed,
    pub turns: Vec<Turn>,
    /// What the object asked for at the end.
    pub desired: Desired,
    /// Why the object's client was not replaced, as the pass knew at the end.
    pub many_gone: Option<Failure>,
}

/// One step of a pass.
#[derive(Clone, Debug, Serialize, Deserialize)]
pub struct Turn {
    /// What the object asked for, as last read.
    pub desired: Desired,
    /// Why the object's client was not replaced, as the pass knew before the step.
    pub many_gone: Option<Failure>,
    pub step: Step,
    pub answer: Answer,
}

impl PassRecord {
    /// Decides each step again from the recorded answers. Returns what was known at the end.
    ///
    /// # Errors
    /// Names the first decision that differs from the recorded one.
    pub fn replay(&self) -> Result<Observed, String> {
        let mut observed = self.beginning.clone();
        for (number, Turn { desired, many_gone, step, answer }) in self.turns.iter().enumerate() {
            observed.heed_many_gone(many_gone.clone());
            let decided = next(desired, &observed);
            if &decided != step {
                return Err(format!("step {number}: {decided:?} and not {step:?}"));
            }
            observed.absorb(step, answer.clone());
        }
        observed.heed_many_gone(self.many_gone.clone());
        let more = next(&self.desired, &observed);
        if more == Step::Rest { Ok(observed) } else { Err(format!("it rested, but {more:?} is next")) }
    }
}

/// The journal of a pass under way; `None` unless level `trace` is logged.
pub(super) struct Journal(Option<(Observed, Vec<Turn>)>);

impl Journal {
    pub(super) fn begin(observed: &Observed) -> Self {
        Self(tracing::enabled!(tracing::Level::TRACE).then(|| (observed.clone(), Vec::new())))
    }

    pub(super) fn add(&mut self, desired: &Desired, observed: &Observed, step: &Step, answer: &Answer) {
        if let Some((_, turns)) = &mut self.0 {
            let (desired, many_gone) = (desired.clone(), observed.project.many_gone.clone());
            turns.push(Turn { desired, many_gone, step: step.clone(), answer: answer.clone() });
        }
    }

    pub(super) fn tell(self, desired: &Desired, observed: &Observed) {
        let Some((beginning, turns)) = self.0 else { return };
        let (desired, many_gone) = (desired.clone(), observed.project.many_gone.clone());
        let record = PassRecord { beginning, turns, desired, many_gone };
        match serde_json::to_string(&record) {
            Ok(text) => tracing::trace!("{text}"),
            Err(error) => tracing::warn!(%error, "a pass cannot be written down"),
        }
    }
}

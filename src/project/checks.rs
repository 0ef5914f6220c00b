//! What this process remembers of the last check of each project.

use std::collections::HashMap;
use std::sync::{Mutex, MutexGuard, PoisonError};
use std::time::Duration;

use tokio::time::Instant;

use super::access::Access;
use super::sweep::Swept;
use crate::api::Reason;
use crate::decide::failure::Failure;
use crate::decide::project::reference::ProjectKey;
use crate::decide::project::schedule::{self, SpecVersion};

/// When and with what a project was last checked, and what came of it.
#[derive(Clone, Debug)]
pub struct Check {
    pub(super) spec: SpecVersion,
    pub(super) access: Option<Access>,
    pub(super) failure: Option<Failure>,
    /// Whether anybody used the project, as far as that was known.
    pub(super) in_use: Option<bool>,
    /// Failures in a row.
    pub(super) failures: u32,
    pub(super) at: Instant,
    /// For so long it need not be checked again.
    pub(super) wait: Duration,
    pub(super) swept: Swept,
    pub(super) status_written: Option<Instant>,
    /// Since when key or CA bundle could not be read, though the last check was good.
    pub(super) unread_since: Option<Instant>,
}

impl Check {
    /// How long it is good enough for a project with this spec and access, users or none, and losses or none that wait.
    pub(super) fn good_for(
        &self,
        spec: &SpecVersion,
        access: &Access,
        in_use: Option<bool>,
        settled: bool,
    ) -> Option<Duration> {
        // Without users a project may become another one.
        let mismatch = self.failure.as_ref().is_some_and(|failure| failure.reason == Reason::ProjectMismatch);
        let pinned_alike = !mismatch || self.in_use == in_use;
        let unchanged = &self.spec == spec && self.access.as_ref() == Some(access) && pinned_alike;
        schedule::good_for(unchanged, schedule::until_listed(self.wait, settled), self.at.elapsed())
    }
}

/// The last check of each project.
#[derive(Debug, Default)]
pub struct Checks(Mutex<HashMap<ProjectKey, Check>>);

impl Checks {
    pub(super) fn get(&self, key: &ProjectKey) -> Option<Check> {
        self.lock().get(key).cloned()
    }

    pub(super) fn put(&self, key: ProjectKey, check: Check) {
        self.lock().insert(key, check);
    }

    /// Changes the last check of a project, and returns it.
    pub(super) fn change(&self, key: &ProjectKey, change: impl FnOnce(&mut Check)) -> Option<Check> {
        let mut checks = self.lock();
        let check = checks.get_mut(key)?;
        change(check);
        Some(check.clone())
    }

    /// For how long key or CA bundle could not be read, as they are `unread` now or not.
    pub(super) fn unread_for(&self, key: &ProjectKey, unread: bool) -> Duration {
        let now = Instant::now();
        let check = self.change(key, |check| check.unread_since = check.unread_since.or(Some(now)).filter(|_| unread));
        check.and_then(|check| check.unread_since).map_or(Duration::ZERO, |since| now.duration_since(since))
    }

    /// The project is gone.
    pub fn forget(&self, key: &ProjectKey) {
        self.lock().remove(key);
    }

    fn lock(&self) -> MutexGuard<'_, HashMap<ProjectKey, Check>> {
        self.0.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

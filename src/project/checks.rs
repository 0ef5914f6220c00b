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

/// The last check of a project: when, with what, and what came of it.
#[derive(Clone, Debug)]
pub struct Check {
    pub(super) spec: SpecVersion,
    pub(super) access: Option<Access>,
    pub(super) failure: Option<Failure>,
    /// Whether anybody used the project, as far as that was known.
    pub(super) in_use: Option<bool>,
    /// How many checks in a row have failed.
    pub(super) failures: u32,
    pub(super) at: Instant,
    /// How long until the project has to be checked again.
    pub(super) wait: Duration,
    pub(super) swept: Swept,
    pub(super) status_written: Option<Instant>,
    /// When key or CA bundle was first found unreadable after this check; `None` if both can be read.
    pub(super) unread_since: Option<Instant>,
    /// When all users were enqueued last, if the last listing counts.
    pub(super) whole: Option<Instant>,
}

impl Check {
    /// How long the check is good for a project with this spec and access, users or none, and losses that wait or none.
    pub(super) fn good_for(
        &self,
        spec: &SpecVersion,
        access: &Access,
        in_use: Option<bool>,
        settled: bool,
    ) -> Option<Duration> {
        // After a mismatch, users matter as well: without any, the project may become another one.
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

    /// Notes whether key or CA bundle is `unread` now, and returns for how long it has been.
    pub(super) fn unread_for(&self, key: &ProjectKey, unread: bool) -> Duration {
        let now = Instant::now();
        let check = self.change(key, |check| check.unread_since = check.unread_since.or(Some(now)).filter(|_| unread));
        check.and_then(|check| check.unread_since).map_or(Duration::ZERO, |since| now.duration_since(since))
    }

    /// Whether a project was checked, and is not forgotten.
    #[must_use]
    pub fn knows(&self, key: &ProjectKey) -> bool {
        self.lock().contains_key(key)
    }

    /// Forgets a project that is gone.
    pub fn forget(&self, key: &ProjectKey) {
        self.lock().remove(key);
    }

    fn lock(&self) -> MutexGuard<'_, HashMap<ProjectKey, Check>> {
        self.0.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

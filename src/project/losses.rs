//! What is known of each project's losses, shared by all who list and all who replace.

use std::collections::HashMap;
use std::sync::{Mutex, MutexGuard, PoisonError};
use std::time::{Duration, Instant};

use super::snapshot::OnRecord;
use super::users::Users;
use crate::decide::failure::Failure;
use crate::decide::id::ClientId;
use crate::decide::project::loss::{Losses, ManyGone, RollCall};
use crate::decide::project::reference::ProjectKey;

/// The roll of a project: the users whose clients a listing is compared with, and the register that is told.
#[derive(Clone, Copy, Debug)]
pub struct Roll<'a> {
    pub users: &'a Users,
    pub losses: &'a Register,
    pub key: &'a ProjectKey,
    /// The project's id at MeshAgent.
    pub project_id: &'a str,
}

impl Roll<'_> {
    pub(super) fn on_record(&self) -> OnRecord {
        self.users.on_record(self.key, self.project_id)
    }

    pub(super) fn called(&self, roll: Option<&RollCall>) {
        self.losses.listed(self.key, roll);
    }
}

/// The losses of all projects.
#[derive(Debug)]
pub struct Register {
    projects: Mutex<HashMap<ProjectKey, Known>>,
    resync_interval: Duration,
}

#[derive(Debug, Default)]
struct Known {
    losses: Losses,
    /// Whether what the project has to report has changed since it last read that.
    news: bool,
}

impl Register {
    /// A register that counts together what is lost within one resync interval.
    #[must_use]
    pub fn new(resync_interval: Duration) -> Self {
        Self { projects: Mutex::default(), resync_interval }
    }

    /// Takes in what a listing of the project has shown.
    pub fn listed(&self, key: &ProjectKey, roll: Option<&RollCall>) {
        let interval = self.resync_interval;
        self.change(key, |losses| losses.listed(roll, Instant::now(), interval));
    }

    /// Notes that a client that is gone is about to be replaced.
    pub fn replaced(&self, key: &ProjectKey, client_id: &ClientId) {
        self.change(key, |losses| losses.replaced(client_id, Instant::now()));
    }

    /// Takes in the annotation's value, and the one that was `handled`. Returns whether the project's users may go on.
    pub fn ask(&self, key: &ProjectKey, asked: &str, handled: Option<&str>) -> bool {
        self.change(key, |losses| losses.ask(asked, handled))
    }

    /// What keeps clients of the project from being replaced. The project reads it, so it is no news to it any more.
    pub fn many_gone(&self, key: &ProjectKey) -> Option<ManyGone> {
        let mut projects = self.open();
        let known = projects.get_mut(key)?;
        known.news = false;
        known.losses.many_gone()
    }

    /// Whether the project has something to report that it has not read yet.
    #[must_use]
    pub fn has_news(&self, key: &ProjectKey) -> bool {
        self.open().get(key).is_some_and(|known| known.news)
    }

    /// Whether no loss waits for a person's word.
    #[must_use]
    pub fn is_settled(&self, key: &ProjectKey) -> bool {
        self.open().get(key).is_none_or(|known| known.losses.is_settled())
    }

    /// How many recorded clients the project's last listing lacks.
    #[must_use]
    pub fn missing(&self, key: &ProjectKey) -> usize {
        self.open().get(key).map_or(0, |known| known.losses.missing())
    }

    /// Why this client, if it is gone, is not replaced.
    #[must_use]
    pub fn hindrance(&self, key: &ProjectKey, client_id: &ClientId) -> Option<Failure> {
        self.open().get(key).and_then(|known| known.losses.hindrance(key, client_id))
    }

    /// Forgets a project that is gone.
    pub fn forget(&self, key: &ProjectKey) {
        self.open().remove(key);
    }

    fn change<T>(&self, key: &ProjectKey, change: impl FnOnce(&mut Losses) -> T) -> T {
        let mut projects = self.open();
        let known = projects.entry(key.clone()).or_default();
        let before = known.losses.many_gone();
        let changed = change(&mut known.losses);
        known.news |= before != known.losses.many_gone();
        changed
    }

    /// Whether all clients on record are there, and nothing is accepted or waits.
    #[must_use]
    pub fn is_calm(&self, key: &ProjectKey) -> bool {
        self.open().get(key).is_none_or(|known| known.losses.is_settled() && known.losses.missing() == 0)
    }

    fn open(&self) -> MutexGuard<'_, HashMap<ProjectKey, Known>> {
        self.projects.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::decide::project::reference::ProjectKind;

    /// F24.
    #[test]
    fn a_project_is_told_once_that_many_are_gone_and_once_that_they_are_back() {
        let key = ProjectKey { kind: ProjectKind::ClusterMeshAgentProject, namespace: None, name: "p".into() };
        let register = Register::new(Duration::from_secs(600));
        let ids: Vec<ClientId> = (0..7).map(|number| ClientId::new(format!("c{number}"))).collect();
        let roll = |missing: usize| RollCall { recorded: 7, missing: ids.iter().take(missing).cloned().collect() };
        register.listed(&key, Some(&roll(0)));
        assert!(!register.has_news(&key) && register.is_settled(&key));
        register.listed(&key, Some(&roll(7)));
        assert!(register.has_news(&key) && !register.is_settled(&key));
        assert!(register.many_gone(&key).is_some() && !register.has_news(&key));
        register.listed(&key, Some(&roll(7)));
        assert!(!register.has_news(&key), "it was said");
        assert!(register.hindrance(&key, &ids[0]).is_some());
        register.listed(&key, Some(&roll(0)));
        assert!(register.has_news(&key) && register.many_gone(&key).is_none());
        register.forget(&key);
        assert!(register.is_settled(&key));
    }
}

//! A client's versions over time, so that a read may lag behind.

use std::time::Duration;

use super::client::Client;
use crate::secret::Secret;

/// How far back a read may look.
pub const LONGEST_LAG: Duration = Duration::from_secs(3600);

/// One client: its secret, and what it was from when on (`None`: deleted). Times count from the simulator's start.
#[derive(Clone, Debug)]
pub struct History {
    secret: Secret,
    versions: Vec<(Duration, Option<Client>)>,
}

impl History {
    /// A client that is made now.
    pub fn new(client: Client, secret: Secret, now: Duration) -> Self {
        Self { secret, versions: vec![(now, Some(client))] }
    }

    /// The client's secret.
    pub fn secret(&self) -> &Secret {
        &self.secret
    }

    /// The client as it is.
    pub fn latest(&self) -> Option<&Client> {
        self.versions.last().and_then(|(_, client)| client.as_ref())
    }

    /// The client as it was at that time; before its beginning (`None`) there was nothing.
    pub fn at(&self, time: Option<Duration>) -> Option<&Client> {
        let time = time?;
        let (_, client) = self.versions.iter().rev().find(|(since, _)| *since <= time)?;
        client.as_ref()
    }

    /// Adds a version, and forgets those that no read can reach any more.
    pub fn push(&mut self, version: Option<Client>, now: Duration) {
        self.versions.push((now, version));
        if let Some(horizon) = now.checked_sub(LONGEST_LAG) {
            let reachable = self.versions.iter().rposition(|(since, _)| *since <= horizon).unwrap_or(0);
            self.versions.drain(..reachable);
        }
    }
}

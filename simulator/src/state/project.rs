//! One project and its clients.

use std::collections::{BTreeMap, HashMap, VecDeque};
use std::time::Duration;

use uuid::Uuid;

use super::client::{Client, ClientFields, Invalid};
use super::history::{History, LONGEST_LAG};
use super::settings::Settings;
use crate::generate::{Generate, SecretKind};
use crate::secret::Secret;

/// The state that a read may be answered from.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Consistency {
    /// The past, as far back as the project's lag.
    Fast,
    /// The present.
    High,
}

/// Which part of a listing is asked for.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Page {
    /// The most clients to answer.
    pub count: usize,
    /// How many clients to pass over.
    pub offset: usize,
    /// Text that a client must hold in its id or metadata, in whatever case.
    pub filter: Option<String>,
}

/// A page of clients, in the order of their making.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Listing {
    pub clients: Vec<Client>,
    /// How many clients there are on all pages.
    pub total: usize,
}

/// Why a client was not made.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
pub enum CreateError {
    /// The request breaks a rule.
    #[error(transparent)]
    Invalid(#[from] Invalid),
    /// The project is full.
    #[error("the project holds {0} OAuth clients, which is its limit")]
    LimitReached(usize),
}

/// Why a client was not changed.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
pub enum UpdateError {
    /// The request breaks a rule.
    #[error(transparent)]
    Invalid(#[from] Invalid),
    /// There is no such client.
    #[error("no such OAuth client")]
    NotFound,
}

/// One project.
#[derive(Debug)]
pub struct Project {
    id: Uuid,
    /// How its server behaves.
    pub settings: Settings,
    default_lag: Duration,
    next_place: u64,
    // The clients by place in the listing, which is the order of creation.
    clients: BTreeMap<u64, History>,
    places: HashMap<String, u64>,
    deleted: VecDeque<(Duration, String)>,
    living: usize,
}

impl Project {
    pub(super) fn new(id: Uuid, default_lag: Duration) -> Self {
        Self {
            id,
            settings: Settings::default(),
            default_lag,
            next_place: 0,
            clients: BTreeMap::new(),
            places: HashMap::new(),
            deleted: VecDeque::new(),
            living: 0,
        }
    }

    /// The project's id.
    pub fn id(&self) -> Uuid {
        self.id
    }

    /// The clients as they are, in the order of their making.
    pub fn clients(&self) -> impl Iterator<Item = &Client> {
        self.clients.values().filter_map(History::latest)
    }

    /// A client as it is.
    pub fn client(&self, client_id: &str) -> Option<&Client> {
        self.history(client_id)?.latest()
    }

    /// The secret of a client that exists.
    pub fn secret(&self, client_id: &str) -> Option<&Secret> {
        let history = self.history(client_id)?;
        history.latest().map(|_| history.secret())
    }

    /// The secret of a client that a read may still show, though it is deleted.
    pub fn secret_of_version(&self, client_id: &str) -> Option<&Secret> {
        self.history(client_id).map(History::secret)
    }

    /// Whether the server takes this credential.
    pub fn accepts(&self, client_id: &str, secret: &str) -> bool {
        self.secret(client_id).is_some_and(|held| held.expose() == secret)
    }

    /// A client as a read of that consistency sees it.
    pub fn read(
        &self,
        settings: &Settings,
        client_id: &str,
        consistency: Consistency,
        now: Duration,
    ) -> Option<&Client> {
        self.history(client_id)?.at(self.time_of(settings, consistency, now))
    }

    /// A page of the clients as a read of that consistency sees them. Settings are an argument, since a fault may
    /// change them for one call.
    pub fn list(&self, settings: &Settings, page: &Page, consistency: Consistency, now: Duration) -> Listing {
        let time = self.time_of(settings, consistency, now);
        let filter = page.filter.as_deref().map(str::to_lowercase);
        let matches = |client: &&Client| filter.as_deref().is_none_or(|text| holds(client, text));
        let seen: Vec<&Client> = self.clients.values().filter_map(|h| h.at(time)).filter(matches).collect();
        let count = settings.max_count.map_or(page.count, |most| page.count.min(most));
        let offset = if settings.ignore_offset { 0 } else { page.offset };
        Listing { total: seen.len(), clients: seen.into_iter().skip(offset).take(count).cloned().collect() }
    }

    /// Makes a client.
    pub fn create(
        &mut self,
        settings: &Settings,
        fields: ClientFields,
        now: Duration,
        generator: &mut dyn Generate,
    ) -> Result<(Client, Secret), CreateError> {
        let client = fields.into_client(generator.uuid().to_string(), self.id, &settings.normalise)?;
        if let Some(limit) = settings.client_limit.filter(|limit| self.living >= *limit) {
            return Err(CreateError::LimitReached(limit));
        }
        self.forget(now);
        let secret = generator.secret(SecretKind::Client);
        self.places.insert(client.client_id.clone(), self.next_place);
        self.clients.insert(self.next_place, History::new(client.clone(), secret.clone(), now));
        self.next_place += 1;
        self.living += 1;
        Ok((client, secret))
    }

    /// Changes a client.
    pub fn update(
        &mut self,
        settings: &Settings,
        client_id: &str,
        fields: ClientFields,
        now: Duration,
    ) -> Result<(), UpdateError> {
        let changed = fields.onto(self.client(client_id).ok_or(UpdateError::NotFound)?, &settings.normalise)?;
        self.push(client_id, Some(changed), now);
        Ok(())
    }

    /// Deletes a client; `false` if there is none.
    pub fn delete(&mut self, client_id: &str, now: Duration) -> bool {
        if self.client(client_id).is_none() {
            return false;
        }
        self.push(client_id, None, now);
        self.living -= 1;
        self.deleted.push_back((now, client_id.to_owned()));
        self.forget(now);
        true
    }

    pub(super) fn history(&self, client_id: &str) -> Option<&History> {
        self.clients.get(self.places.get(client_id)?)
    }

    fn push(&mut self, client_id: &str, version: Option<Client>, now: Duration) {
        if let Some(history) = self.places.get(client_id).and_then(|place| self.clients.get_mut(place)) {
            history.push(version, now);
        }
    }

    fn time_of(&self, settings: &Settings, consistency: Consistency, now: Duration) -> Option<Duration> {
        match consistency {
            Consistency::High => Some(now),
            Consistency::Fast => now.checked_sub(settings.fast_lag.unwrap_or(self.default_lag)),
        }
    }

    // Forgets deleted clients that no read can reach any more.
    fn forget(&mut self, now: Duration) {
        let out_of_reach = |since: &Duration| now.checked_sub(LONGEST_LAG).is_some_and(|horizon| *since < horizon);
        while let Some((_, client_id)) = self.deleted.front().filter(|(since, _)| out_of_reach(since)) {
            if let Some(place) = self.places.remove(client_id) {
                self.clients.remove(&place);
            }
            self.deleted.pop_front();
        }
    }
}

fn holds(client: &Client, text: &str) -> bool {
    client.client_id.contains(text) || client.metadata.values().any(|value| value.to_lowercase().contains(text))
}

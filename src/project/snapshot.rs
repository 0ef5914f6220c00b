//! The clients of a project as last listed, with what this process has written and read since.

mod news;
mod packed;

use std::collections::hash_map::Entry::{Occupied, Vacant};
use std::collections::{BTreeMap, BTreeSet, HashMap};
use std::sync::{Arc, PoisonError, RwLock, RwLockReadGuard, RwLockWriteGuard};

use super::losses::Roll;
use crate::decide::client::observed::{Remote, RemoteClient};
use crate::decide::id::{ClientId, Uid};
use crate::decide::project::loss::RollCall;
use crate::meshagent::convert;
use crate::meshagent::{CallError, MeshAgent, wire};
use crate::single_flight::SingleFlight;
pub use news::News;
pub use packed::PackedClient;

/// All clients of a project, as one listing showed them. A snapshot and its listings share what they both hold.
pub type Listing = BTreeMap<ClientId, Arc<PackedClient>>;

/// The ids of the clients that OAuthClients have on record; `None` if that is not known.
pub type OnRecord = Option<BTreeSet<ClientId>>;

/// What is known of a project's clients, shared by all passes that use the project.
#[derive(Debug, Default)]
pub struct Snapshot {
    known: RwLock<Merged>,
    flight: SingleFlight<Result<Arc<Listing>, CallError>>,
}

/// Listings, reads of one client and own writes, merged: what is newer than the beginning of a listing wins over it.
/// Otherwise a listing that was begun before a PUT would bring the old values back, and with them a second PUT.
#[derive(Debug, Default)]
struct Merged {
    sequence: u64,
    clients: HashMap<ClientId, Entry>,
    by_uid: HashMap<Uid, Vec<ClientId>>,
    deleted: HashMap<ClientId, u64>,
    news: News,
}

/// A point in the order of what this process has read and written.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Moment(u64);

#[derive(Debug)]
struct Entry {
    client: Arc<PackedClient>,
    /// The moment at which this process wrote the client, or at which the read or listing that showed it was begun.
    since: u64,
    /// Whether this process wrote the client, and no read has shown it since.
    written: bool,
    /// The client before this process changed it, as long as reads show nothing else.
    before: Option<Arc<PackedClient>>,
}

impl Snapshot {
    /// The clients with these ids, and those whose marker names this uid.
    #[must_use]
    pub fn relevant<'a>(&self, named: impl IntoIterator<Item = &'a ClientId>, uid: &Uid) -> BTreeMap<ClientId, Remote> {
        let known = self.read();
        let mut ids: BTreeSet<ClientId> = named.into_iter().cloned().collect();
        ids.extend(known.by_uid.get(uid).into_iter().flatten().cloned());
        let shown = |id: ClientId| {
            let shown = known.clients.get(&id)?.shown();
            if shown.is_none() {
                tracing::error!(client_id = %id, "what is remembered of a client cannot be read: is this machine's memory damaged?");
            }
            Some((id, shown?))
        };
        ids.into_iter().filter_map(shown).collect()
    }

    /// Takes in a client as this process has written it.
    pub fn wrote(&self, id: &ClientId, client: RemoteClient) {
        self.put(id, client, None);
    }

    /// Takes in a client that this process has changed: as it was before, and as it is now for all that is known.
    pub fn changed(&self, id: &ClientId, before: RemoteClient, client: RemoteClient) {
        self.put(id, client, Some(PackedClient::new(before)));
    }

    fn put(&self, id: &ClientId, client: RemoteClient, before: Option<PackedClient>) {
        let (client, before) = (Arc::new(PackedClient::new(client)), before.map(Arc::new));
        let mut known = self.write();
        let since = known.next();
        known.deleted.remove(id);
        known.insert(id.clone(), Entry { client, since, written: true, before });
    }

    /// A moment before a read of one client, for [`saw`](Self::saw).
    pub fn moment(&self) -> Moment {
        Moment(self.write().next())
    }

    /// Takes in a client that a read has shown. It counts from the moment at which the read was begun, until a listing
    /// that is begun later. A read that shows none is not kept: it proves a loss only to the pass that asked.
    pub fn saw(&self, id: &ClientId, Moment(begun): Moment, client: RemoteClient) {
        let client = Arc::new(PackedClient::new(client));
        let mut known = self.write();
        if known.deleted.get(id).is_none_or(|deleted| *deleted < begun) {
            known.deleted.remove(id);
            known.show(begun, id, &client);
        }
    }

    /// Removes a client that this process has deleted.
    pub fn deleted(&self, id: &ClientId) {
        let mut known = self.write();
        let deleted = known.next();
        known.remove(id);
        known.deleted.insert(id.clone(), deleted);
    }

    /// Makes a listing that is begun after this call. Callers that come while one is under way share the next one.
    ///
    /// # Errors
    /// Returns the error of the call, the same to all who share it.
    pub async fn list(&self, api: &MeshAgent, roll: &Roll<'_>) -> Result<Arc<Listing>, CallError> {
        let call = async || api.list_clients(|client| self.read_listed(client)).await;
        self.list_by(call, || roll.on_record(), |called| roll.called(called)).await
    }

    /// Whether a client with this id is there, as far as this process knows.
    #[must_use]
    pub fn holds(&self, id: &ClientId) -> bool {
        self.read().clients.contains_key(id)
    }

    /// What has changed of the clients since this was asked last, whoever has noticed it.
    #[must_use]
    pub fn news(&self) -> News {
        std::mem::take(&mut self.write().news)
    }

    async fn list_by(
        &self,
        call: impl AsyncFnOnce() -> Result<Vec<(ClientId, Arc<PackedClient>)>, CallError>,
        on_record: impl FnOnce() -> OnRecord,
        called: impl FnOnce(Option<&RollCall>),
    ) -> Result<Arc<Listing>, CallError> {
        let begin = async || {
            // The clients on record are read first: what is recorded later need not be in the listing.
            let on_record = on_record();
            let begun = self.write().next();
            let listing: Listing = call().await?.into_iter().collect();
            let mut known = self.write();
            let roll = on_record.map(|on_record| known.call_roll(&on_record, &listing));
            known.merge(begun, &listing);
            // The roll is told inside the flight, so that no earlier listing is told after a later one.
            called(roll.as_ref());
            Ok(Arc::new(listing))
        };
        self.flight.share(begin).await
    }

    /// A client of a listing: what is known already if nothing has changed, so that most of a listing takes no room.
    fn read_listed(&self, client: wire::Client) -> (ClientId, Arc<PackedClient>) {
        let id = ClientId::new(&client.client_id);
        let client = PackedClient::new(convert::read(client));
        let known = self.read();
        match known.clients.get_key_value(&id) {
            Some((id, entry)) if *entry.client == client => (id.clone(), Arc::clone(&entry.client)),
            Some((id, _)) => (id.clone(), Arc::new(client)),
            None => (id, Arc::new(client)),
        }
    }

    fn read(&self) -> RwLockReadGuard<'_, Merged> {
        self.known.read().unwrap_or_else(PoisonError::into_inner)
    }

    fn write(&self) -> RwLockWriteGuard<'_, Merged> {
        self.known.write().unwrap_or_else(PoisonError::into_inner)
    }
}

impl Entry {
    /// The client as passes see it. A PUT that a later listing does not show was normalised away, or silently refused.
    fn shown(&self) -> Option<Remote> {
        let put_ignored = !self.written && self.before.as_ref() == Some(&self.client);
        let client = self.client.unpack()?;
        Some(if put_ignored { Remote::PutIgnored(client) } else { Remote::Listed(client) })
    }
}

impl Merged {
    fn next(&mut self) -> u64 {
        self.sequence += 1;
        self.sequence
    }

    fn insert(&mut self, id: ClientId, entry: Entry) {
        self.remove(&id);
        self.news.add(&id, entry.client.uid.as_ref());
        if let Some(uid) = &entry.client.uid {
            match self.by_uid.entry(uid.clone()) {
                // Nearly all have one client: a vector that grew would have room for four.
                Vacant(vacant) => drop(vacant.insert(vec![id.clone()])),
                Occupied(mut ids) => ids.get_mut().push(id.clone()),
            }
        }
        self.clients.insert(id, entry);
    }

    fn remove(&mut self, id: &ClientId) {
        let Some(entry) = self.clients.remove(id) else { return };
        self.news.add(id, entry.client.uid.as_ref());
        if let Some(uid) = &entry.client.uid
            && let Some(ids) = self.by_uid.get_mut(uid)
        {
            ids.retain(|other| other != id);
            if ids.is_empty() {
                self.by_uid.remove(uid);
            }
        }
    }

    /// The clients on record that a listing lacks. A client that this process has deleted since the last listing is not
    /// lost: a cache may still show it as recorded.
    fn call_roll(&self, on_record: &BTreeSet<ClientId>, listing: &Listing) -> RollCall {
        let lacks = |id: &&ClientId| !listing.contains_key(*id) && !self.deleted.contains_key(*id);
        RollCall { recorded: on_record.len(), missing: on_record.iter().filter(lacks).cloned().collect() }
    }

    fn merge(&mut self, begun: u64, listing: &Listing) {
        let gone: Vec<ClientId> = self
            .clients
            .iter()
            .filter(|(id, entry)| entry.since < begun && !listing.contains_key(*id))
            .map(|(id, _)| id.clone())
            .collect();
        for id in gone {
            self.remove(&id);
        }
        self.deleted.retain(|_, deleted| *deleted > begun);
        for (id, client) in listing {
            if !self.deleted.contains_key(id) {
                self.show(begun, id, client);
            }
        }
    }

    /// Takes in a client that a read or listing has shown, unless something is known that is newer than its beginning.
    fn show(&mut self, begun: u64, id: &ClientId, client: &Arc<PackedClient>) {
        let known = self.clients.get_mut(id);
        if known.as_ref().is_some_and(|entry| entry.since > begun) {
            return;
        }
        let before = known.as_ref().and_then(|entry| entry.before.clone()).filter(|before| before == client);
        if let Some(entry) = known.filter(|entry| Arc::ptr_eq(&entry.client, client)) {
            // Most of a listing is as it was.
            if entry.written || entry.before != before {
                self.news.add(id, client.uid.as_ref());
            }
            (entry.since, entry.written, entry.before) = (begun, false, before);
            return;
        }
        self.insert(id.clone(), Entry { client: Arc::clone(client), since: begun, written: false, before });
    }
}

#[cfg(test)]
mod tests;

//! The clients of a project as last listed, with what this process has written since.

use std::collections::{BTreeMap, BTreeSet, HashMap};
use std::sync::{Arc, PoisonError, RwLock, RwLockReadGuard, RwLockWriteGuard};

use crate::decide::id::{ClientId, Uid};
use crate::decide::observed::RemoteClient;
use crate::decide::remote;
use crate::meshagent::{CallError, MeshAgent, wire};

/// All clients of a project, as one listing showed them.
pub type Listing = BTreeMap<ClientId, RemoteClient>;

/// What is known of a project's clients, shared by all who work in it.
#[derive(Debug, Default)]
pub struct Snapshot {
    known: RwLock<Merged>,
    flight: tokio::sync::Mutex<Option<Flight>>,
}

/// The listing that ended last.
#[derive(Debug)]
struct Flight {
    begun: u64,
    answer: Result<Arc<Listing>, CallError>,
}

/// Listings and own writes, merged: a write that a listing cannot have seen wins over it. Otherwise a listing that was
/// begun before a PUT would bring the old values back, and with them a second PUT.
#[derive(Debug, Default)]
struct Merged {
    sequence: u64,
    clients: HashMap<ClientId, Entry>,
    by_uid: HashMap<Uid, BTreeSet<ClientId>>,
    deleted: HashMap<ClientId, u64>,
}

#[derive(Debug)]
struct Entry {
    client: RemoteClient,
    /// When this process wrote it; 0 if a listing showed it.
    written: u64,
}

impl Snapshot {
    /// The clients with these ids, and those whose marker names this uid.
    #[must_use]
    pub fn relevant<'a>(
        &self,
        named: impl IntoIterator<Item = &'a ClientId>,
        uid: &Uid,
    ) -> BTreeMap<ClientId, RemoteClient> {
        let known = self.read();
        let mut ids: BTreeSet<ClientId> = named.into_iter().cloned().collect();
        ids.extend(known.by_uid.get(uid).into_iter().flatten().cloned());
        ids.into_iter().filter_map(|id| Some((id.clone(), known.clients.get(&id)?.client.clone()))).collect()
    }

    /// This process has made or changed a client.
    pub fn wrote(&self, id: &ClientId, client: RemoteClient) {
        let mut known = self.write();
        let written = known.next();
        known.deleted.remove(id);
        known.insert(id.clone(), Entry { client, written });
    }

    /// This process has deleted a client.
    pub fn deleted(&self, id: &ClientId) {
        let mut known = self.write();
        let deleted = known.next();
        known.remove(id);
        known.deleted.insert(id.clone(), deleted);
    }

    /// A listing that was begun after this call. Whoever asks while one is under way shares the next one.
    ///
    /// # Errors
    /// As the call's; all who share it get the same.
    pub async fn list(&self, api: &MeshAgent) -> Result<Arc<Listing>, CallError> {
        self.list_by(async || api.list_clients().await).await
    }

    /// Whether a client with this id is there, as far as this process knows.
    #[must_use]
    pub fn holds(&self, id: &ClientId) -> bool {
        self.read().clients.contains_key(id)
    }

    async fn list_by(
        &self,
        call: impl AsyncFnOnce() -> Result<Vec<wire::Client>, CallError>,
    ) -> Result<Arc<Listing>, CallError> {
        let asked = self.write().next();
        let mut flight = self.flight.lock().await;
        if let Some(last) = flight.as_ref().filter(|last| last.begun > asked) {
            return last.answer.clone();
        }
        let begun = self.write().next();
        let answer = call().await.map(|clients| {
            let read = clients.iter().map(|client| (ClientId::new(&client.client_id), remote::read(client)));
            let listing: Listing = read.collect();
            self.write().merge(begun, &listing);
            Arc::new(listing)
        });
        *flight = Some(Flight { begun, answer: answer.clone() });
        answer
    }

    fn read(&self) -> RwLockReadGuard<'_, Merged> {
        self.known.read().unwrap_or_else(PoisonError::into_inner)
    }

    fn write(&self) -> RwLockWriteGuard<'_, Merged> {
        self.known.write().unwrap_or_else(PoisonError::into_inner)
    }
}

impl Merged {
    fn next(&mut self) -> u64 {
        self.sequence += 1;
        self.sequence
    }

    fn insert(&mut self, id: ClientId, entry: Entry) {
        self.remove(&id);
        if let Some(marker) = &entry.client.marker {
            self.by_uid.entry(marker.owner.uid.clone()).or_default().insert(id.clone());
        }
        self.clients.insert(id, entry);
    }

    fn remove(&mut self, id: &ClientId) {
        let Some(entry) = self.clients.remove(id) else { return };
        if let Some(marker) = &entry.client.marker
            && let Some(ids) = self.by_uid.get_mut(&marker.owner.uid)
        {
            ids.remove(id);
            if ids.is_empty() {
                self.by_uid.remove(&marker.owner.uid);
            }
        }
    }

    fn merge(&mut self, begun: u64, listing: &Listing) {
        let gone: Vec<ClientId> = self
            .clients
            .iter()
            .filter(|(id, entry)| entry.written < begun && !listing.contains_key(*id))
            .map(|(id, _)| id.clone())
            .collect();
        for id in gone {
            self.remove(&id);
        }
        self.deleted.retain(|_, deleted| *deleted > begun);
        for (id, client) in listing {
            let written_since = self.clients.get(id).is_some_and(|entry| entry.written > begun);
            if !written_since && !self.deleted.contains_key(id) {
                self.insert(id.clone(), Entry { client: client.clone(), written: 0 });
            }
        }
    }
}

#[cfg(test)]
mod tests;

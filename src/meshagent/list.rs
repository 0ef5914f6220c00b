//! Reading a listing to its end, whatever the server says about its length.

use std::collections::HashMap;

use super::wire::{Client, Page};

/// The page size that is asked for at first; the server may give less.
pub(super) const PAGE_SIZE: usize = 100;
/// The most pages: 10,000 clients even from a server that gives ten at a time.
const MOST_PAGES: usize = 1_000;
/// How many pages in a row without anything new show that the server goes round in circles.
const MOST_REPEATS: usize = 2;
/// The most bytes of all pages together: 10,000 clients with generous metadata, or several hundred of the largest that
/// the schema allows.
pub(super) const MOST_BYTES: usize = 256 << 20;

/// The page to ask the server for.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) struct PageRequest {
    pub(super) offset: usize,
    pub(super) count: usize,
}

/// What to do after a page.
#[derive(Debug, PartialEq, Eq)]
pub(super) enum Next {
    /// Ask for this page.
    Ask(PageRequest),
    /// The listing is complete.
    Done,
    /// The listing has more pages than a sound server gives.
    TooManyPages(usize),
    /// The listing has more bytes than a sound server gives.
    TooManyBytes,
    /// The one client at this offset is more than an answer may hold.
    TooLargeAlone(usize),
}

/// What was seen so far: each client once, as it was read when it was last shown, in the order of first sight.
#[derive(Debug)]
pub(super) struct Listing<T> {
    clients: Vec<T>,
    places: HashMap<String, usize>,
    offset: usize,
    count: usize,
    pages: usize,
    repeats: usize,
    bytes: usize,
}

impl<T> Default for Listing<T> {
    fn default() -> Self {
        let (clients, places) = (Vec::new(), HashMap::new());
        Self { clients, places, offset: 0, count: PAGE_SIZE, pages: 0, repeats: 0, bytes: 0 }
    }
}

impl<T> Listing<T> {
    /// The page to begin with.
    pub(super) fn first(&self) -> PageRequest {
        PageRequest { offset: self.offset, count: self.count }
    }

    /// Halves the page size, now and for the rest of this listing, after a page that was more than an answer may hold.
    pub(super) fn shrink(&mut self) -> Next {
        self.pages += 1;
        if self.count == 1 {
            return Next::TooLargeAlone(self.offset);
        }
        self.count /= 2;
        self.ask()
    }

    fn ask(&self) -> Next {
        if self.pages >= MOST_PAGES { Next::TooManyPages(self.pages) } else { Next::Ask(self.first()) }
    }

    /// Takes in a page of `bytes` bytes, and keeps of each client what `read` makes of it. A page that is empty ends the listing; so does a `total` that was reached
    /// exactly, which saves one call. A short page ends nothing, since the server may cap `count`; neither does a
    /// `total` below what was already seen, which is false.
    pub(super) fn absorb(&mut self, page: Page, bytes: usize, read: impl Fn(Client) -> T) -> Next {
        let Page { clients, total } = page;
        let (received, seen_before) = (clients.len(), self.clients.len());
        for client in clients {
            match self.places.get(&client.client_id) {
                Some(place) => self.clients[*place] = read(client),
                None => {
                    self.places.insert(client.client_id.clone(), self.clients.len());
                    self.clients.push(read(client));
                }
            }
        }
        self.offset = self.offset.saturating_add(received);
        self.pages += 1;
        self.bytes = self.bytes.saturating_add(bytes);
        self.repeats = if self.clients.len() == seen_before { self.repeats + 1 } else { 0 };
        if received == 0 || total == Some(self.clients.len() as u64) || self.repeats >= MOST_REPEATS {
            Next::Done
        } else if self.bytes >= MOST_BYTES {
            Next::TooManyBytes
        } else {
            self.ask()
        }
    }

    /// All clients that were seen.
    pub(super) fn into_clients(self) -> Vec<T> {
        self.clients
    }
}

#[cfg(test)]
mod tests;

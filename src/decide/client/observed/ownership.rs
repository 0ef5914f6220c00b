//! What the Secret is to its object, and which clients are the object's.

use super::{Foreign, Object, Observed, RemoteClient, Secret, Stored};
use crate::decide::id::{ClientId, Token};
use crate::decide::marker::Marker;

/// What the Secret is to the object.
#[derive(Debug)]
pub enum Ownership<'a> {
    /// The Secret is not ours.
    Foreign(&'a Foreign),
    /// No Secret exists.
    Unpublished,
    /// The Secret counts: its uid is ours and its token is the object's.
    Published(&'a Stored, &'a Token, &'a ClientId),
    /// The Secret is ours, under another token than the object's.
    Displaced(&'a Stored),
}

impl<'a> Ownership<'a> {
    /// What this Secret is to this object.
    #[must_use]
    pub fn of(object: &'a Object, secret: &'a Secret) -> Self {
        match secret {
            Secret::Absent => Self::Unpublished,
            Secret::Foreign(foreign) => Self::Foreign(foreign),
            Secret::Ours(stored) => match (&stored.client_id, &object.token) {
                (Some(client_id), Some(token)) if stored.token.as_ref() == Some(token) => {
                    Self::Published(stored, token, client_id)
                }
                (Some(_) | None, Some(_) | None) => Self::Displaced(stored),
            },
        }
    }
}

impl Observed {
    /// What the Secret is to the object.
    #[must_use]
    pub fn ownership(&self) -> Ownership<'_> {
        Ownership::of(&self.object, &self.secret)
    }

    /// Whether the object's Secret holds this client, by its annotation.
    #[must_use]
    pub fn holds(&self, client_id: &ClientId) -> bool {
        self.secret.stored().is_some_and(|stored| stored.client_id.as_ref() == Some(client_id))
    }

    /// The living clients whose marker names the object's uid.
    pub fn of_this_uid(&self) -> impl Iterator<Item = (&ClientId, &RemoteClient, &Marker)> {
        let living = self.remote.iter().filter_map(|(id, known)| Some((id, known.client()?)));
        living.filter_map(|(id, client)| {
            let marker = client.marker.as_ref().filter(|marker| marker.owner.uid == self.object.uid)?;
            Some((id, client, marker))
        })
    }
}

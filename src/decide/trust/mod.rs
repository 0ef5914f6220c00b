//! When the webhook gets a new certificate, and which authorities the API server trusts meanwhile.
//!
//! The order is what keeps every pod admitted: a new authority is trusted beside the former ones before anything is
//! served that it signed, and a former one is trusted until nothing that it signed can be served any more. A leader may
//! die between any two writes, and the next one begins anew: an authority's key is never stored.

/// The most authorities that are trusted at once: only leaders that die again and again before they have stored a
/// certificate come near. Beyond it the newest but one goes, which was never stored: the oldest may be served.
const MOST: usize = 32;
/// How many of the stored authorities a renewal keeps: that of the certificate that is served, and the one before, by
/// which a node that was away for long may still serve.
const KEPT: usize = 2;

/// The stored certificate of the webhook.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub enum Stored {
    /// There is none, or it does not verify by the authorities stored beside it under the webhook's names.
    Unusable,
    /// It is to be renewed, and works meanwhile.
    Due,
    /// It works for long.
    Good,
}

/// What is known of the webhook's certificate. Authorities stand newest first.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Seen<A> {
    pub stored: Stored,
    /// The authorities that are stored beside the certificate.
    pub bundle: Vec<A>,
    /// The authorities that the API server trusts.
    pub trusted: Vec<A>,
}

/// What to do next.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Step<A> {
    /// Issue a certificate, let the API server trust its authority as [`Seen::trusting`] says, and only then store it.
    Issue,
    /// Let the API server trust these.
    Trust(Vec<A>),
    Rest,
}

impl<A: Clone + PartialEq> Seen<A> {
    /// What to do next.
    #[must_use]
    pub fn next(&self) -> Step<A> {
        match self.stored {
            Stored::Unusable | Stored::Due => Step::Issue,
            Stored::Good if self.bundle.iter().all(|one| self.trusted.contains(one)) => Step::Rest,
            // Somebody wiped or replaced what the API server trusts.
            Stored::Good => Step::Trust(union(self.bundle.iter().chain(&self.trusted))),
        }
    }

    /// The authorities that the API server is to trust before a certificate of a new one is stored.
    #[must_use]
    pub fn trusting(&self, new: A) -> Vec<A> {
        let former: Vec<&A> = match self.stored {
            // One that is trusted and not stored yet may be stored by another leader at any time.
            Stored::Due => {
                let unstored = self.trusted.iter().filter(|one| !self.bundle.contains(one));
                self.bundle.iter().take(KEPT).chain(unstored).collect()
            }
            // Replicas may still serve a certificate that was stored once, by whichever of these.
            Stored::Unusable | Stored::Good => self.bundle.iter().chain(&self.trusted).collect(),
        };
        union([&new].into_iter().chain(former))
    }
}

fn union<'a, A: Clone + PartialEq + 'a>(all: impl Iterator<Item = &'a A>) -> Vec<A> {
    let mut union: Vec<A> = Vec::new();
    for one in all {
        if !union.contains(one) {
            union.push(one.clone());
        }
    }
    if union.len() > MOST {
        union.drain(1..=union.len() - MOST);
    }
    union
}

#[cfg(test)]
mod tests;

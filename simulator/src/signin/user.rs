//! The one user there is, and the access tokens that stand for them.

use std::time::Duration;

use serde_json::{Value, json};

use super::Sessions;
use crate::secret::Secret;
use crate::state::State;

pub(super) const SUBJECT: &str = "simulated-user";
pub(super) const EMAIL: &str = "user@example.com";

/// The bearer of a credential.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Bearer {
    /// The user who has signed in.
    User,
    /// A client that acts for itself, or the holder of a project's API key.
    Program,
    /// Unknown, expired, or of a sign-in that was revoked.
    Nobody,
}

/// The user, as `GET /accounts/profiles/me` shows them.
pub fn profile() -> Value {
    json!({"id": SUBJECT, "first_name": "Simulated", "last_name": "User", "email": EMAIL})
}

impl Sessions {
    /// The bearer of an access token or API key at that time.
    pub fn bearer(&self, state: &State, credential: &str, now: Duration) -> Bearer {
        if state.key(credential).is_some() {
            return Bearer::Program;
        }
        let token = self.access_tokens.get(&Secret::new(credential)).filter(|token| now < token.expires);
        let Some(token) = token.filter(|token| state.project_of(&token.client_id).is_some()) else {
            return Bearer::Nobody;
        };
        match token.sign_in {
            Some(sign_in) if self.revoked.contains(&sign_in) => Bearer::Nobody,
            Some(_) => Bearer::User,
            None => Bearer::Program,
        }
    }
}

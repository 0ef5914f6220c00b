//! Clients at MeshAgent that no OAuthClient declares any more.

pub mod disowned;

pub use disowned::{Evidence, Haste, at_rest, disowned};

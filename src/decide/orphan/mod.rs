//! Clients at MeshAgent that no OAuthClient declares any more.

pub mod disowned;
pub mod judge;

pub use disowned::{Evidence, Grace, at_rest, disowned};

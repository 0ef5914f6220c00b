//! Clients at MeshAgent that no OAuthClient declares any more.

pub mod disowned;

pub use disowned::{Evidence, Grace, at_rest, disowned};

//! MeshAgent projects as this process knows them: how to reach each, who uses it, and what clients it holds.

pub mod access;
mod cached_client;
mod checks;
mod client;
pub mod connect;
pub mod finalizer;
mod losses;
mod object;
mod reconcile;
mod registry;
mod slots;
mod snapshot;
mod status;
pub mod sweep;
mod users;

pub use cached_client::{CachedClient, ClientFacts, Ready};
pub use checks::Checks;
pub use client::ProjectClient;
pub use losses::{Register, Roll};
pub use object::ProjectObject;
pub use reconcile::{Executor, WRITE_RETRY};
pub use registry::{ProjectState, Projects, Resolution};
pub use slots::{Priority, Slot, Slots};
pub use snapshot::{Listing, News, OnRecord, PackedClient, Snapshot};
pub use users::Users;

//! MeshAgent projects as this process knows them: how to reach each, who may use it, and what clients it holds.

mod registry;
mod snapshot;
pub mod sweep;

pub use registry::{Allowed, Known, Project, ProjectKey, Projects, Resolution};
pub use snapshot::{Listing, Snapshot};

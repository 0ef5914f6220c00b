//! The admin side: the types that it speaks, and a client for tests.

mod client;
mod types;

pub use client::{Admin, AdminError};
pub use types::{
    ClientAccess, Credential, KeyAccess, NewKey, NewProject, ProjectAccess, ProjectView, Refusal, StateView, Verdict,
};

pub use crate::api::route::Route;
pub use crate::fault::{Fault, FaultRule, InstalledFault, Malformed, ResetAt, RouteMatch, Stage};
pub use crate::record::Call;
pub use crate::secret::Secret;
pub use crate::state::client::{Client, ClientFields};
pub use crate::state::settings::{Normalise, PageTotal, Settings};
pub use crate::state::{Key, Role};

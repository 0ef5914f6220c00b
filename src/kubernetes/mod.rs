//! The Kubernetes API: its clients and its clock, calls with a deadline, proved absence, watches that no single object
//! stops, Events, and the state of the CRD.

mod cache;
pub mod cached_secret;
mod call;
pub mod clock;
pub mod connect;
pub mod crd;
pub mod events;
pub mod packed;
pub mod patch;
pub mod readable;
pub mod touched;
pub mod watch_backoff;

pub use cache::cached;
pub use call::{DEADLINE, KubernetesError, scoped, within};

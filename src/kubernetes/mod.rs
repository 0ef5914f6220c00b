//! The Kubernetes API: its clients and its clock, calls with a deadline, proved absence, Events, and the state of the CRD.

mod call;
pub mod clock;
pub mod connect;
pub mod crd;
pub mod events;
pub mod patch;

pub use call::{DEADLINE, KubernetesError, within};

//! The programs of the integration tests and the demo: a real control plane, the simulator and the operator, as
//! processes that can be killed, frozen and started again, and that die with the process that started them.

mod access;
mod assets;
mod certificates;
mod components;
mod controlplane;
mod definitions;
mod error;
pub mod howto;
mod kubectl;
mod node;
mod ports;
mod process;
mod programs;
mod random;
mod shared;
mod wait;
mod watchdog;
mod workdir;

pub use assets::{built_directory, tool};
pub use controlplane::{ControlPlane, Options};
pub use definitions::definition;
pub use error::{Error, Result};
pub use kubectl::{Kubectl, Output, kstatus, run};
pub use node::{NODE, machine_address};
pub use ports::free_port;
pub use process::{Process, Program};
pub use programs::{Operator, OperatorOptions, Project, Simulator, SimulatorOptions, built_binary};
pub use random::Random;
pub use shared::{Namespace, shared};
pub use wait::eventually;
pub use workdir::Workdir;

/// Chooses ring for all TLS of this process; a second call is no error. A client made without a choice panics.
pub fn install_crypto_provider() {
    // An earlier choice stands.
    let _ = rustls::crypto::ring::default_provider().install_default();
}

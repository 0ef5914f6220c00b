//! The operator on a real control plane, with the simulator: what people type, and what must come back.

#![allow(clippy::unwrap_used, reason = "a helper that cannot do its part fails the test that called it")]

mod adoption;
mod bad_input;
mod calls;
mod chaos;
mod chart;
mod clock;
mod copied_yaml;
mod core_faults;
mod crd_deletion;
mod developer;
mod drift;
mod edits;
mod fixture;
mod forms;
mod gitops;
mod gitops_tools;
mod howto;
mod image;
mod injection;
mod leader;
mod lost_credential;
mod misbehaving;
mod on_call;
mod pace;
mod platform;
mod project_deletion;
mod project_faults;
mod projects;
mod prometheus;
mod replay;
mod restored;
mod retention;
mod rotation;
mod secret;
mod security;
mod states;
mod stopping;
mod tls;

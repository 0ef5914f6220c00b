//! The operator on a real control plane, with the simulator: what people type, and what must come back.

#![allow(clippy::unwrap_used, reason = "a helper that cannot do its part fails the test that called it")]

mod bad_input;
mod calls;
mod chaos;
mod copied_yaml;
mod developer;
mod ground;
mod howto;
mod leader;
mod lost_credential;
mod on_call;
mod platform;
mod project_deletion;
mod projects;
mod rotation;
mod security;
mod tls;

//! The operator on a real control plane, with the simulator: what people type, and what must come back.

mod bad_input;
mod calls;
mod chaos;
mod developer;
mod ground;
mod on_call;
mod platform;
mod projects;
mod security;

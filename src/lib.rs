//! A Kubernetes operator that keeps MeshAgent OAuth clients as declared, and their credentials in Secrets.
//!
//! The one way through is `api → desired → observed → next → execute → observed → … → report`. Deciding is pure
//! ([`decide`]); acting decides nothing ([`client`]). A pass decides one step at a time: [`decide::client::next()`]
//! decides from all that the pass knows, `execute` carries the step out, and the answer is absorbed; again, until the
//! pass rests.

pub mod api;
pub mod cause;
pub mod cli;
pub mod client;
pub mod config;
pub mod controller;
pub mod decide;
pub mod http;
pub mod kubernetes;
pub mod leader;
pub mod meshagent;
pub mod metrics;
pub mod project;
pub mod proxy;
pub mod registration;
pub mod secret;
pub mod serving_certificate;
pub mod single_flight;
pub mod telemetry;
pub mod webhook;

#[cfg(test)]
mod rooms;

//! A Kubernetes operator that keeps MeshAgent OAuth clients as declared, and their credentials in Secrets.
//!
//! One way through: `api → desired → observed → next → execute → observed → … → report`. Deciding is pure
//! ([`decide`]); acting is dumb ([`reconcile`]). A pass decides one step at a time: [`decide::next()`] looks at all that
//! the pass knows, `execute` carries the step out, and the answer is absorbed; again, until the pass rests.

pub mod api;
pub mod cli;
pub mod config;
pub mod controller;
pub mod decide;
pub mod definition;
pub mod flight;
pub mod http;
pub mod leader;
pub mod meshagent;
pub mod metrics;
pub mod project;
pub mod reconcile;
pub mod secret;
pub mod sweep;
pub mod telemetry;

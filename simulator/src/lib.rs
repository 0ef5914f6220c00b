//! A MeshAgent whose state is in memory: the REST API for OAuth clients, the sign-in endpoints, and an admin side that
//! makes faults on demand and shows every call.
//!
//! Deciding is pure: [`api`] turns a request into an answer over [`state`] and [`signin`]; [`fault`] says which calls
//! are struck; [`record`] says what of them may be shown. HTTP is thin. Tests start one by [`serve`] and steer it by
//! [`admin::Admin`].

pub mod admin;
pub mod api;
pub mod fault;
pub mod generate;
mod http;
pub mod key;
pub mod record;
pub mod secret;
pub mod signin;
pub mod state;

pub use http::{Options, Running, StartError, serve};
pub use signin::IdTokens;

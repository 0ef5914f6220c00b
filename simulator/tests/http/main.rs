//! The simulator over HTTP, started in process.

mod admin;
mod api;
mod faults;
mod record;
mod sign_in;
mod support;

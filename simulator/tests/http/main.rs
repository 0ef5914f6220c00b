//! The simulator over HTTP, started in process.

mod admin;
mod api;
mod faults;
#[cfg(test)]
mod openid;
mod record;
#[cfg(test)]
mod sign_in;
#[cfg(test)]
mod support;
#[cfg(test)]
mod tools;

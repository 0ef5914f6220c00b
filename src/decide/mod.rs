//! What to do next, decided without IO, clock, randomness or environment.
//!
//! A reader who knows only this folder knows what the operator does: [`desired`] is what is asked for, [`observed`] what
//! a pass knows, [`mod@next`] its next step, [`disowned`] the one rule of removal, and
//! [`report`] what the status says.

pub mod change;
pub mod desired;
pub mod disowned;
pub mod failure;
pub mod id;
pub mod marker;
pub mod next;
pub mod observed;
pub mod reading;
pub mod remote;
pub mod report;
pub mod settings;

pub use next::{Desired, Step, next};

//! What to do next, decided without IO, clock, randomness or environment.
//!
//! A reader who knows only this folder knows what the operator does: [`desired`] is what is asked for, [`observed`] what
//! a pass knows, [`next`] its next step, and [`disowned`] the one rule of removal.

pub mod change;
pub mod desired;
pub mod disowned;
pub mod failure;
pub mod id;
pub mod marker;
pub mod next;
pub mod observed;
pub mod settings;

pub use next::{Desired, Step, next};

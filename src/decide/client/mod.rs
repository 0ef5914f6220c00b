//! One OAuthClient: [`desired`] is what is asked for, [`observed`] what a pass knows, [`mod@next`] its next step, and
//! [`report`] what the status says.

pub mod change;
pub mod desired;
pub mod holders;
pub mod next;
pub mod object;
pub mod observed;
pub mod posts;
pub mod report;
pub mod secret;
pub mod situation;
#[cfg(test)]
mod testing;

pub use next::{Desired, Step, next};

//! (being written)
pub mod condition;
pub mod limits;
pub use condition::{ConditionType, Reason};

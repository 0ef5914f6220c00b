//! MeshAgent projects: what is declared of one, who may use it, what is said of it, and when it is checked.

pub mod access;
pub mod default;
pub mod identity;
pub mod loss;
pub mod no_access;
pub mod reference;
pub mod report;
pub mod schedule;
pub mod selector;
pub mod spec;

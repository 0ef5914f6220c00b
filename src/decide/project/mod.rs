//! MeshAgent projects: what is declared of one.

pub mod spec;

//! (being written)

pub mod crds;

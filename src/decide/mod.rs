//! What to do next, decided without IO, clock, randomness or environment.

pub mod desired;
pub mod settings;

//! Shows the whole product on a real control plane.

fn main() {}

//! Load on a running engine.

fn main() {}

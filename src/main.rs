//! The `wattproof` program.

fn main() {}

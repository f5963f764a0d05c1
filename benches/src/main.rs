//! Measures HoneyBee; see docs/benchmarks.md.
fn main() {}

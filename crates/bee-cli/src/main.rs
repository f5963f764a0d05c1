//! HoneyBee: the command `honeybee`.
fn main() {}

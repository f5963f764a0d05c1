//! HoneyBee: bee-core.

//! HoneyBee: bee-wire.

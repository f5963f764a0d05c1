//! HoneyBee: bee-log.

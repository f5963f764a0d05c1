//! HoneyBee: bee-link.

//! HoneyBee: bee-pots.

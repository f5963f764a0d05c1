//! HoneyBee: bee-daemon.

//! HoneyBee: bee-node.

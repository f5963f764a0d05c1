//! Load for a HoneyBee: a fleet of simulated nodes and a realistic mix of events.
//!
//! Used by the measurements in `main.rs` and by whoever needs nodes without machines. A simulated node is a real client of
//! the protocol (the state machine, TLS and codec of the product, an identity of its own); only its spool is made up.
//! Knows nothing of Core's or the node daemon's insides.

pub mod fleet;
pub mod mix;

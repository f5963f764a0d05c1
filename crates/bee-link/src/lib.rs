//! The session between a node and Core, both ends of it, as pure state machines.
//!
//! Nothing here opens a socket, reads a file or asks a clock. A driver feeds one input at a time
//! together with the time and a source of randomness, then drains the outputs and carries them out
//! in order. That is what lets the simulation in `tests/it` run many nodes against one Core through
//! every fault there is, and what lets a daemon, a test peer and a fuzz target share the same code.
//!
//! - [`node::NodeLink`] is a node's end: it connects, registers, keeps the connection alive, sends
//!   the spool in batches, resumes, and answers commands.
//! - [`core::Session`] is Core's end of one connection.
//! - [`core::Registry`] decides who is let in; [`core::Marks`] how far each stream is stored;
//!   [`core::Commands`] which commands are still to be answered.
//!
//! # The guarantees, and who upholds them
//! - *Stored once*: [`core::Marks`] skips what is durable already; a batch and its mark go into the
//!   log in one append.
//! - *Acknowledged means durable*: [`core::Session`] sends `EventAck` only for
//!   [`core::Input::Stored`], which the driver feeds after the log's commit; [`node::NodeLink`]
//!   asks to cut the spool only below such a number.
//! - *Every command ends*: [`core::Commands`] ends each one by a result or by its deadline, across
//!   restarts; a node runs each id once.

pub mod backoff;
mod clock;
pub mod core;
pub mod limiter;
pub mod node;
pub mod totp;

pub use clock::Now;

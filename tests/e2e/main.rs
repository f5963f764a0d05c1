//! The end-to-end suite: real processes, real clients, one module a topic.
//!
//! `cargo xtask test` installs what it needs and builds the binaries first. Every test starts its own installation in a
//! temporary folder on ports of the system's choice, so that all of them run side by side.
#![expect(clippy::unwrap_used, clippy::indexing_slicing, reason = "a test fails by panicking")]

mod attacks;
mod commands;
mod field_peers;
mod first_run;
mod hostile_peers;
mod nothing_lost;
mod real_clients;
mod second_node;
mod status;

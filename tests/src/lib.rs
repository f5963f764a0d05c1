//! Starts real HoneyBee processes, attacks them with real clients, and breaks things between them.
//!
//! For the tests of `tests/e2e`. A failure of the harness itself is a panic that says what it was waiting for. Nothing
//! here waits for a duration where a state can be watched; every wait has a deadline. All traffic stays on loopback, all
//! files in a temporary folder, all ports come from the system, so that tests run side by side.
#![expect(
    clippy::unwrap_used,
    clippy::indexing_slicing,
    reason = "a harness that cannot go on panics, and the test fails with its message"
)]

pub mod core;
pub mod intake;
pub mod module;
pub mod node;
pub mod peer;
pub mod process;
pub mod procfs;
pub mod proxy;
pub mod rest;
pub mod shell;
pub mod tmpfs;
pub mod up;
pub mod wait;

pub use serde_json::{Value, from_str, json};

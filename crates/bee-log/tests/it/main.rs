//! Tests of the log through its public API, in one binary.
#![allow(
    clippy::unwrap_used,
    clippy::indexing_slicing,
    clippy::print_stdout,
    reason = "a test that panics has failed"
)]

mod behaviour;
mod damage;
mod full_disk;
mod kill;
mod model_fs;
mod simulation;
mod support;

//! Core as a whole, on real sockets, with peers that speak the protocol from the other side.
//!
//! The peers are built on `bee-wire` and `bee-link`; the clock is the tests' own, so that codes, silence and
//! deadlines happen when a test says so. Every wait is for a state, with a deadline.

#![allow(clippy::unwrap_used, clippy::indexing_slicing, reason = "helpers of tests fail by panicking")]

mod api;

mod bench_path;
mod commands;
mod delivery;
mod enrolment;
mod feed;
mod harness;
mod hostile;
mod legacy;
mod status;

//! The node against a real Core peer over real sockets, in this process and as the real binary.

#![allow(clippy::unwrap_used, clippy::indexing_slicing, reason = "a test that cannot go on has failed")]
#![allow(
    unreachable_pub,
    missing_docs,
    reason = "helpers are shared between the modules of one test program"
)]

mod commands;
mod core;
mod crash;
mod enrol;
mod harness;
mod intake;
mod lifecycle;
mod link;

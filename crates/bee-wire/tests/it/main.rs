//! What peers see of the wire: golden files, properties, hostile input, and the cost of the hot path.

#![allow(
    clippy::unwrap_used,
    clippy::indexing_slicing,
    reason = "helpers of tests; clippy knows only the tests themselves"
)]

mod golden;
mod hostile;
mod properties;
mod strategies;

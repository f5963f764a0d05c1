//! A crash-safe append log: the node's spool and Core's log.
#![cfg_attr(not(test), warn(clippy::unwrap_used))]

mod error;
mod format;
pub mod fs;
mod item;
mod options;
mod api;

pub use api::{Handle, Log, Reader, ReverseReader, Writer};
pub use error::{Error, Result};
pub use item::{Gap, GapCause, Item, Record, Recovery, Stats};
pub use options::{Options, RECORD_BYTES_LIMIT, SEGMENT_BYTES_LIMIT, Scan, WEIGHT_MAX};

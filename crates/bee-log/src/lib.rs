//! A crash-safe append log: the node's spool and Core's log.
mod error;
mod format;
pub mod fs;
mod handle;
mod item;
mod meta;
mod options;
mod reader;
mod recover;
mod reverse;
mod scan;
mod shared;
mod writer;

pub use error::{Error, Result};
pub use handle::Handle;
pub use item::{Gap, GapCause, Item, Record, Recovery, Stats};
pub use options::{Options, RECORD_BYTES_LIMIT, SEGMENT_BYTES_LIMIT, Scan, WEIGHT_MAX};
pub use reader::Reader;
pub use recover::Log;
pub use reverse::ReverseReader;
pub use writer::Writer;

//! Limits of one log. Every buffer and file of the log is bounded by one of these.

use crate::format::{RECORD_HEADER_BYTES, SEGMENT_HEADER_BYTES};
use crate::{Error, Result};

/// A record's payload never exceeds this, whatever the options say (64 MiB): readers of any file trust it.
pub const RECORD_BYTES_LIMIT: usize = 64 << 20;
/// A segment never exceeds this (1 GiB): offsets in it fit 32 bits with room to spare.
pub const SEGMENT_BYTES_LIMIT: u64 = 1 << 30;
/// Most sequence numbers that one record can cover.
pub const WEIGHT_MAX: u32 = 1 << 24;

/// How a log is kept. `Default` suits Core; a spool on a small machine sets smaller limits.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Options {
    /// First sequence number of a log that does not exist yet; ignored otherwise.
    pub start_seq: u64,
    /// Largest payload of one record, in bytes. At most [`RECORD_BYTES_LIMIT`].
    pub record_bytes_max: usize,
    /// Largest group (all records between two commits, with their headers), in bytes: the writer's memory.
    pub group_bytes_max: usize,
    /// Size at which a new segment is begun, in bytes; also the grain of truncation and of `drop_oldest`.
    pub segment_bytes_max: u64,
    /// Most bytes that all segments together may take; `None` leaves it to the disk.
    pub bytes_max: Option<u64>,
    /// How much is verified when the log is opened.
    pub scan: Scan,
}

/// How much of the log `open` reads.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Scan {
    /// Everything: damage anywhere is in the `Recovery` report. Costs a read of the whole log.
    Full,
    /// Only the last segment; damage elsewhere is found when a reader gets there.
    Tail,
}

impl Default for Options {
    fn default() -> Self {
        Self {
            start_seq: 0,
            record_bytes_max: 16 << 20,
            group_bytes_max: 32 << 20,
            segment_bytes_max: 64 << 20,
            bytes_max: None,
            scan: Scan::Full,
        }
    }
}

impl Options {
    pub(crate) fn check(&self) -> Result<()> {
        let fail = |text: String| Err(Error::Options(text));
        let record = self.record_bytes_max.saturating_add(RECORD_HEADER_BYTES);
        if self.record_bytes_max > RECORD_BYTES_LIMIT {
            return fail(format!(
                "record_bytes_max ({}) is over {RECORD_BYTES_LIMIT}",
                self.record_bytes_max
            ));
        }
        if record > self.group_bytes_max {
            return fail(format!(
                "group_bytes_max ({}) has no room for one record ({record})",
                self.group_bytes_max
            ));
        }
        let group = (self.group_bytes_max as u64).saturating_add(SEGMENT_HEADER_BYTES);
        if group > self.segment_bytes_max || self.segment_bytes_max > SEGMENT_BYTES_LIMIT {
            return fail(format!(
                "segment_bytes_max ({}) must be {group}..={SEGMENT_BYTES_LIMIT}: a group lies in one segment",
                self.segment_bytes_max
            ));
        }
        match self.bytes_max {
            Some(cap) if cap < self.segment_bytes_max.saturating_mul(2) => fail(format!(
                "bytes_max ({cap}) must be at least twice segment_bytes_max ({}), because whole segments are dropped",
                self.segment_bytes_max
            )),
            _ => Ok(()),
        }
    }
}

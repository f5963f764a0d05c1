//! What readers and `open` hand out.

/// One record, borrowed from its reader.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Record<'a> {
    /// First sequence number it covers.
    pub seq: u64,
    /// How many it covers: `[seq, seq + weight)`.
    pub weight: u32,
    /// The bytes that were appended.
    pub payload: &'a [u8],
}

impl Record<'_> {
    /// First sequence number after it.
    pub fn end_seq(&self) -> u64 {
        self.seq.saturating_add(u64::from(self.weight))
    }
}

/// Sequence numbers that a reader passed over: `[from, to)`.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Gap {
    /// First one missing.
    pub from: u64,
    /// First one after them.
    pub to: u64,
    /// Why they are missing.
    pub cause: GapCause,
}

/// Why sequence numbers are missing.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum GapCause {
    /// Truncated or dropped before this reader got to them.
    Truncated,
    /// Their bytes do not match their checksum, or are gone.
    Damaged,
}

/// What a reader finds next.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Item<'a> {
    /// A committed record.
    Record(Record<'a>),
    /// A hole; reading goes on after it.
    Gap(Gap),
}

/// What `open` found and did.
#[derive(Debug, Clone, PartialEq, Eq, Default)]
pub struct Recovery {
    /// The log did not exist before.
    pub created: bool,
    /// First sequence number that can still be read.
    pub first_seq: u64,
    /// Sequence number that the next record will get.
    pub next_seq: u64,
    /// Segment files kept.
    pub segments: usize,
    /// Bytes of a last, never committed group that were cut off.
    pub torn_bytes: u64,
    /// Damaged stretches, oldest first, at most [`Recovery::DAMAGED_MAX`] of them. With `Scan::Tail` only those of the
    /// last segment and between segments.
    pub damaged: Vec<Gap>,
    /// How many sequence numbers all damaged stretches cover together, listed or not.
    pub damaged_seqs: u64,
    /// Segment or meta headers that were damaged and could be rebuilt.
    pub headers_repaired: u32,
}

impl Recovery {
    /// Most stretches that `damaged` lists.
    pub const DAMAGED_MAX: usize = 1024;

    pub(crate) fn note_damage(&mut self, from: u64, to: u64) {
        if from >= to {
            return;
        }
        self.damaged_seqs = self.damaged_seqs.saturating_add(to - from);
        if self.damaged.len() < Self::DAMAGED_MAX {
            self.damaged.push(Gap { from, to, cause: GapCause::Damaged });
        }
    }
}

/// Counters of one open log; all since `open` unless they say otherwise.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub struct Stats {
    /// First sequence number that can still be read.
    pub first_seq: u64,
    /// Sequence number that the next record will get.
    pub next_seq: u64,
    /// Bytes that the segments take on disk.
    pub bytes: u64,
    /// Segment files.
    pub segments: u64,
    /// Records committed.
    pub records: u64,
    /// Payload bytes committed.
    pub payload_bytes: u64,
    /// Groups committed.
    pub commits: u64,
    /// `fdatasync`/`fsync` calls made, of any file.
    pub syncs: u64,
    /// Commits that failed for want of space (disk or cap).
    pub full: u64,
    /// Commits that failed for any other reason.
    pub failures: u64,
    /// Sequence numbers given up by `drop_oldest` since the log was created (kept across restarts).
    pub dropped_seqs: u64,
}

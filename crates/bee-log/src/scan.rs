//! Walks the records of one segment, checks them, and finds the next good one behind damage.
//!
//! Used by recovery, by readers of both directions and to build the sparse index. Memory is bounded by
//! [`WINDOW_BYTES`] or the largest record that fits into the file, whichever is more.

use std::io;
use std::path::PathBuf;
use std::sync::Arc;

use crate::format::{RECORD_HEADER_BYTES, RecordHeader, Salt};
use crate::fs::{File, read_full_at};
use crate::{Error, Result};

/// How much is read at once.
pub(crate) const WINDOW_BYTES: usize = 256 << 10;

/// A part of a file, in memory.
struct Window {
    file: Arc<dyn File>,
    buf: Vec<u8>,
    /// How much of `buf` is filled, and from which offset of the file.
    filled: usize,
    at: u64,
}

impl Window {
    /// `[offset, offset + len)`, or less where `limit` or the file ends.
    fn bytes(&mut self, offset: u64, len: usize, limit: u64) -> io::Result<&[u8]> {
        let left = usize::try_from(limit.saturating_sub(offset)).unwrap_or(usize::MAX);
        let len = len.min(left);
        if !self.holds(offset, len) {
            self.fill(offset, len.max(WINDOW_BYTES).min(left))?;
        }
        Ok(self.slice(offset, len))
    }

    /// The same for a walk towards lower offsets: what lies before comes along.
    fn bytes_backward(&mut self, offset: u64, len: usize, floor: u64) -> io::Result<&[u8]> {
        if !self.holds(offset, len) {
            let end = offset.saturating_add(len as u64);
            let from = end.saturating_sub(WINDOW_BYTES as u64).max(floor).min(offset);
            self.fill(from, usize::try_from(end - from).unwrap_or(len))?;
        }
        Ok(self.slice(offset, len))
    }

    fn holds(&self, offset: u64, len: usize) -> bool {
        offset >= self.at && offset.saturating_add(len as u64) <= self.at.saturating_add(self.filled as u64)
    }

    fn slice(&self, offset: u64, len: usize) -> &[u8] {
        let from = usize::try_from(offset.saturating_sub(self.at)).unwrap_or(usize::MAX);
        let filled = self.buf.get(..self.filled).unwrap_or_default();
        let rest = filled.get(from..).unwrap_or_default();
        rest.get(..len).unwrap_or(rest)
    }

    fn fill(&mut self, offset: u64, len: usize) -> io::Result<()> {
        self.filled = 0;
        if len <= WINDOW_BYTES && self.buf.len() > 2 * WINDOW_BYTES {
            // A huge record has passed; do not keep its memory.
            self.buf = Vec::new();
        }
        if self.buf.len() < len {
            self.buf.resize(len, 0);
        }
        self.at = offset;
        self.filled = read_full_at(&*self.file, self.buf.get_mut(..len).unwrap_or_default(), offset)?;
        Ok(())
    }
}

/// A good record.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) struct Found {
    pub(crate) offset: u64,
    pub(crate) header: RecordHeader,
}

/// What the walk met.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Step {
    Record(Found),
    /// Sequence numbers `[from, to)` cannot be read.
    Hole {
        from: u64,
        to: u64,
    },
    End,
}

/// Where a walk begins and ends.
pub(crate) struct Range {
    /// Offset of the first record, and the sequence number it should have.
    pub(crate) offset: u64,
    pub(crate) seq: u64,
    /// Offset up to which bytes count.
    pub(crate) limit: u64,
    /// Sequence number up to which records count; `None` in the last segment of a log that is being opened, where
    /// the end is to be found out and may be torn.
    pub(crate) end_seq: Option<u64>,
}

/// A walk over one segment.
pub(crate) struct Scanner {
    window: Window,
    path: PathBuf,
    salt: Salt,
    start: u64,
    pos: u64,
    expect: u64,
    limit: u64,
    end_seq: Option<u64>,
    /// Start and attempt of the group that the last record belongs to.
    group: Option<(u32, u32)>,
    /// A record found behind damage, to be handed out after the hole.
    ahead: Option<Found>,
}

impl Scanner {
    pub(crate) fn new(file: Arc<dyn File>, path: PathBuf, salt: Salt, range: Range) -> Self {
        Self {
            window: Window { file, buf: Vec::new(), filled: 0, at: 0 },
            path,
            salt,
            start: range.offset,
            pos: range.offset,
            expect: range.seq,
            limit: range.limit,
            end_seq: range.end_seq,
            group: None,
            ahead: None,
        }
    }

    /// The segment has grown: goes on past what was its end.
    pub(crate) fn extend(&mut self, limit: u64, end_seq: u64) {
        self.limit = limit;
        self.end_seq = Some(end_seq);
    }

    /// Offset behind the last good record.
    pub(crate) fn position(&self) -> u64 {
        self.pos
    }

    /// Sequence number behind the last good record or hole.
    pub(crate) fn expect(&self) -> u64 {
        self.expect
    }

    /// Where the group of the last good record begins.
    pub(crate) fn group_start(&self) -> Option<u64> {
        self.group.map(|(start, _)| u64::from(start))
    }

    /// The next record whose checksums are right.
    pub(crate) fn step(&mut self) -> Result<Step> {
        if let Some(found) = self.ahead.take() {
            return Ok(self.take(found));
        }
        if self.end_seq.is_some_and(|end| self.expect >= end) {
            return Ok(Step::End);
        }
        if let Some(found) = self.good_at(self.pos)?.filter(|found| found.header.seq == self.expect) {
            let group = (found.header.group_start, found.header.attempt);
            // Until the end is known, a record only counts as part of its group: two attempts to write at the same
            // place may both have left pieces.
            if self.end_seq.is_some() || u64::from(group.0) == found.offset || self.group == Some(group) {
                return Ok(self.take(found));
            }
        }
        self.skip_damage()
    }

    /// Payload of a record that `step` has returned.
    pub(crate) fn payload(&mut self, found: &Found) -> Result<&[u8]> {
        let Self { window, path, limit, .. } = self;
        let bytes = window.bytes(found.offset, found.header.bytes(), *limit);
        let bytes = bytes.map_err(|cause| Error::io("read", path, cause))?;
        Ok(bytes.get(RECORD_HEADER_BYTES..).unwrap_or_default())
    }

    /// The same for a walk towards lower offsets.
    pub(crate) fn payload_backward(&mut self, found: &Found) -> Result<&[u8]> {
        let Self { window, path, start, .. } = self;
        let bytes = window.bytes_backward(found.offset, found.header.bytes(), *start);
        let bytes = bytes.map_err(|cause| Error::io("read", path, cause))?;
        Ok(bytes.get(RECORD_HEADER_BYTES..).unwrap_or_default())
    }

    fn take(&mut self, found: Found) -> Step {
        self.pos = found.offset.saturating_add(found.header.bytes() as u64);
        self.expect = found.header.end_seq();
        self.group = Some((found.header.group_start, found.header.attempt));
        Step::Record(found)
    }

    /// The record at `offset`, if its checksums and its place are right.
    fn good_at(&mut self, offset: u64) -> Result<Option<Found>> {
        let salt = self.salt;
        let (expect, end_seq, limit) = (self.expect, self.end_seq, self.limit);
        let read = |window: &mut Window, len| -> io::Result<Option<Found>> {
            let bytes = window.bytes(offset, len, limit)?;
            let hint = RecordHeader::decode_unchecked(bytes);
            // Cheap tests first: behind damage this is asked for every byte.
            let fits = bytes.len() >= RECORD_HEADER_BYTES
                && hint.seq >= expect
                && u64::from(hint.group_start) <= offset
                && offset.saturating_add(hint.bytes() as u64) <= limit
                && end_seq.is_none_or(|end| hint.end_seq() <= end);
            if !fits {
                return Ok(None);
            }
            Ok(RecordHeader::decode(bytes, salt).map(|header| Found { offset, header }))
        };
        let fail = |cause| Error::io("read", &self.path, cause);
        let Some(found) = read(&mut self.window, RECORD_HEADER_BYTES).map_err(fail)? else { return Ok(None) };
        let bytes = self.window.bytes(offset, found.header.bytes(), limit).map_err(fail)?;
        let payload = bytes.get(RECORD_HEADER_BYTES..).unwrap_or_default();
        let whole = bytes.len() == found.header.bytes();
        Ok((whole && crc32c::crc32c(payload) == found.header.payload_crc).then_some(found))
    }

    /// At `pos` there is no good record: looks for the next one.
    fn skip_damage(&mut self) -> Result<Step> {
        let bad = self.pos;
        let mut offset = bad;
        let mut first: Option<Found> = None;
        while offset.saturating_add(RECORD_HEADER_BYTES as u64) <= self.limit {
            if let Some(found) = self.good_at(offset)? {
                // A group is only written after the one before it was synced. So a good record of a group that begins
                // behind the bad bytes proves that they, and all up to that group, were once durable: damage. Without
                // one they are a torn end.
                if self.end_seq.is_some() || u64::from(found.header.group_start) > bad {
                    let found =
                        first.filter(|first| first.header.end_seq() <= found.header.seq).unwrap_or(found);
                    let from = self.expect;
                    self.expect = found.header.seq;
                    self.ahead = Some(found);
                    return Ok(Step::Hole { from, to: found.header.seq });
                }
                first = first.or(Some(found));
            }
            offset = offset.saturating_add(1);
        }
        let Some(end) = self.end_seq else { return Ok(Step::End) };
        let from = self.expect;
        self.expect = end;
        self.pos = self.limit;
        Ok(Step::Hole { from, to: end })
    }
}

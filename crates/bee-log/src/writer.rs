//! The one owner of a log's end: collects a group in memory and makes it durable with one write and one `fdatasync`.
//!
//! A commit that fails keeps its group, so that the caller decides: make room and commit again, or roll back. What a
//! failed write left behind is cut off; after a failed sync the segment is given up.

use std::sync::Arc;

use crate::format::{RECORD_HEADER_BYTES, RecordHeader, SEGMENT_HEADER_BYTES, encode_segment_header};
use crate::fs::{File, write_all_at};
use crate::shared::{IndexEntry, Segment, Shared, add, new_index, note_index, remove};
use crate::{Error, Handle, Options, Result, WEIGHT_MAX};

/// A group's memory is kept for the next one up to this size.
const GROUP_KEEP_BYTES: usize = 1 << 20;

/// Appends to a log. There is one at a time, in all processes together.
pub struct Writer {
    shared: Arc<Shared>,
    options: Options,
    active: Option<Active>,
    /// Records of the open group as they will lie on disk, but for what `seal` fills in.
    group: Vec<u8>,
    group_records: u64,
    /// Sequence number after the group.
    group_end: u64,
    attempt: u32,
    closed: bool,
}

/// The segment that is written to.
pub(crate) struct Active {
    pub(crate) file: Arc<dyn File>,
    pub(crate) first_seq: u64,
    /// End of the committed bytes; nothing behind it counts.
    pub(crate) offset: u64,
    /// Offset of the last index entry.
    pub(crate) indexed: u64,
}

impl std::fmt::Debug for Writer {
    fn fmt(&self, out: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        out.debug_struct("Writer").field("dir", &self.shared.dir).finish_non_exhaustive()
    }
}

impl Writer {
    pub(crate) fn new(shared: Arc<Shared>, options: Options, active: Option<Active>) -> Self {
        let group_end = shared.next_seq();
        Self {
            shared,
            options,
            active,
            group: Vec::new(),
            group_records: 0,
            group_end,
            attempt: 0,
            closed: false,
        }
    }

    /// Buffers a record that covers `weight` sequence numbers; returns the first of them. Nothing is durable, nor
    /// seen by readers, before [`Writer::commit`].
    ///
    /// # Errors
    /// `GroupFull`: commit first. `RecordTooLarge`, `BadWeight`, `Exhausted`: this record can never be taken. The
    /// group is unchanged in each case.
    pub fn append(&mut self, weight: u32, payload: &[u8]) -> Result<u64> {
        self.append_parts(weight, &[payload])
    }

    /// Like [`Writer::append`], with the payload in parts that are stored one after the other.
    pub fn append_parts(&mut self, weight: u32, parts: &[&[u8]]) -> Result<u64> {
        let (len, max) = (parts.iter().map(|part| part.len()).sum::<usize>(), self.options.record_bytes_max);
        if len > max {
            return Err(Error::RecordTooLarge { bytes: len, max });
        }
        if weight == 0 || weight > WEIGHT_MAX {
            return Err(Error::BadWeight { weight });
        }
        let max = self.options.group_bytes_max;
        if self.group.len() + RECORD_HEADER_BYTES + len > max {
            return Err(Error::GroupFull { max });
        }
        let seq = self.group_end;
        self.group_end = seq.checked_add(u64::from(weight)).ok_or(Error::Exhausted)?;
        let payload_crc = parts.iter().fold(0, |crc, part| crc32c::crc32c_append(crc, part));
        let len = u32::try_from(len).unwrap_or(u32::MAX);
        let header = RecordHeader { len, weight, seq, group_start: 0, attempt: 0, payload_crc };
        self.group.extend_from_slice(&header.encode(self.shared.salt));
        for part in parts {
            self.group.extend_from_slice(part);
        }
        self.group_records += 1;
        Ok(seq)
    }

    /// Makes the group durable with one write and one `fdatasync`, then shows it to readers. Returns the next
    /// sequence number: everything below it is durable. An empty group costs nothing.
    ///
    /// # Errors
    /// The group is kept: commit again or [`Writer::rollback`]. `CapReached` and `DiskFull` ([`Error::is_full`]):
    /// make room first, e.g. with [`Writer::drop_oldest`]. `SyncFailed`, `Io`: the next commit tries a new segment or
    /// the same place again. After a crash, records of a failed commit may be found in the log, as a first part of
    /// the group and never mixed with another one.
    pub fn commit(&mut self) -> Result<u64> {
        if self.group.is_empty() {
            return Ok(self.shared.next_seq());
        }
        let mut result = self.write_group();
        if result.as_ref().is_err_and(Error::is_full) && self.reclaim().unwrap_or(false) {
            result = self.write_group();
        }
        let counters = &self.shared.counters;
        match &result {
            Ok(_) => {
                add(&counters.commits, 1);
                add(&counters.records, self.group_records);
                let headers = self.group_records.saturating_mul(RECORD_HEADER_BYTES as u64);
                add(&counters.payload_bytes, (self.group.len() as u64).saturating_sub(headers));
                self.clear_group();
            }
            Err(error) if error.is_full() => add(&counters.full, 1),
            Err(_) => add(&counters.failures, 1),
        }
        result
    }

    /// Forgets the group; its sequence numbers will be given out again. Returns how many there were.
    pub fn rollback(&mut self) -> u64 {
        let count = self.group_end.saturating_sub(self.shared.next_seq());
        self.group_end = self.shared.next_seq();
        self.clear_group();
        count
    }

    /// Removes the oldest segment, also if it is the last one. Returns how many sequence numbers went that were not
    /// truncated before; they are counted in [`crate::Stats::dropped_seqs`], durably and together with the removal.
    /// The open group is not touched. 0 when nothing is left that a commit could not free by itself.
    pub fn drop_oldest(&mut self) -> Result<u64> {
        let (first_seq, end_seq, only) = {
            let state = self.shared.state();
            let Some(oldest) = state.segments.front() else { return Ok(0) };
            (oldest.first_seq, oldest.end_seq, state.segments.len() == 1)
        };
        if only && first_seq == end_seq {
            return Ok(0);
        }
        if only {
            self.active = None;
        }
        self.shared.forget_below(end_seq, true, only)
    }

    /// Bytes that the open group takes.
    pub fn pending_bytes(&self) -> usize {
        self.group.len()
    }

    /// Records in the open group.
    pub fn pending_records(&self) -> u64 {
        self.group_records
    }

    /// Sequence number that the next `append` gets.
    pub fn next_seq(&self) -> u64 {
        self.group_end
    }

    /// A handle to the same log.
    pub fn handle(&self) -> Handle {
        Handle::new(Arc::clone(&self.shared))
    }

    /// Makes the truncation mark durable and ends. Dropping the writer does the same but cannot report an error.
    /// An open group is lost. The directory stays locked until the last handle and reader are gone too.
    pub fn close(mut self) -> Result<()> {
        self.closed = true;
        self.shared.sync_mark()
    }

    fn clear_group(&mut self) {
        self.group.clear();
        self.group_records = 0;
        self.group.shrink_to(GROUP_KEEP_BYTES);
    }

    fn write_group(&mut self) -> Result<u64> {
        let bytes = self.group.len() as u64;
        let fits = |active: &Active| active.offset.saturating_add(bytes) <= self.options.segment_bytes_max;
        let rotate = !self.active.as_ref().is_some_and(fits);
        self.check_cap(if rotate { bytes.saturating_add(SEGMENT_HEADER_BYTES) } else { bytes })?;
        if rotate {
            self.rotate()?;
        }
        let Some(mut active) = self.active.take() else { return Err(Error::Exhausted) };
        let path = self.shared.path(active.first_seq);
        self.attempt = self.attempt.wrapping_add(1);
        let index = self.seal(&active);
        if let Err(cause) = write_all_at(&*active.file, &self.group, active.offset) {
            // What was written must not stay behind the end. If it cannot be cut off, the segment is given up.
            match active.file.set_len(active.offset) {
                Ok(()) => self.active = Some(active),
                Err(_) => self.note_lost_bytes(active.first_seq, active.offset.saturating_add(bytes)),
            }
            return Err(Error::io("write to", &path, cause));
        }
        // fdatasync also makes the new size durable: without it the data could not be read back.
        add(&self.shared.counters.syncs, 1);
        if let Err(cause) = active.file.sync_data() {
            // The kernel may have marked the pages clean: a second sync would succeed and mean nothing. `active` stays
            // empty, and the next segment begins at the same sequence number, which hides what is left in this one.
            self.note_lost_bytes(active.first_seq, active.offset.saturating_add(bytes));
            return Err(Error::sync(&path, cause));
        }
        active.offset = active.offset.saturating_add(bytes);
        active.indexed = index.last().map_or(active.indexed, |(_, offset)| *offset);
        self.shared.publish(active.first_seq, active.offset, self.group_end, &index);
        self.active = Some(active);
        Ok(self.group_end)
    }

    /// Frees segments that hold only truncated records: the last one, which truncation leaves alone because it is
    /// being written to, and those that were the last one then. True when there was one.
    fn reclaim(&mut self) -> Result<bool> {
        let first_seq = self.shared.first_seq();
        let last_too = {
            let state = self.shared.state();
            let spent = state.segments.iter().filter(|segment| segment.end_seq <= first_seq);
            let spent = spent.filter(|segment| segment.first_seq < segment.end_seq).count();
            if spent == 0 {
                return Ok(false);
            }
            spent == state.segments.len()
        };
        if last_too {
            self.active = None;
        }
        self.shared.forget_below(first_seq, false, last_too)?;
        Ok(true)
    }

    fn check_cap(&self, more: u64) -> Result<()> {
        let bytes = self.shared.state().disk_bytes;
        match self.options.bytes_max {
            Some(max) if bytes.saturating_add(more) > max => Err(Error::CapReached { bytes, max }),
            _ => Ok(()),
        }
    }

    /// Fills in what only now is known of each record, and its checksum. Returns the new index entries.
    fn seal(&mut self, active: &Active) -> Vec<IndexEntry> {
        let mut index = Vec::new();
        let group_start = u32::try_from(active.offset).unwrap_or(u32::MAX);
        let (mut rest, mut offset) = (self.group.as_mut_slice(), active.offset);
        while let Some((head, tail)) = rest.split_first_chunk_mut::<RECORD_HEADER_BYTES>() {
            let header = RecordHeader::decode_unchecked(head);
            *head = RecordHeader { group_start, attempt: self.attempt, ..header }.encode(self.shared.salt);
            note_index(&mut index, active.indexed, header.seq, offset);
            offset = offset.saturating_add(header.bytes() as u64);
            rest = tail.get_mut(header.len as usize..).unwrap_or_default();
        }
        index
    }

    /// Begins a segment at the first sequence number that is not committed.
    fn rotate(&mut self) -> Result<()> {
        // From here on nothing is written to the old segment any more, even if this fails half-way: a file with the
        // new name may exist, and recovery lets it end the one before it.
        self.active = None;
        let shared = Arc::clone(&self.shared);
        let first_seq = shared.next_seq();
        let path = shared.path(first_seq);
        self.forget_empty(first_seq);
        remove(&*shared.fs, &path)?;
        let file = shared.fs.open(&path, true).map_err(|cause| Error::io("create", &path, cause))?;
        let made = self.begin(&*file, first_seq);
        if made.is_err() {
            // Best effort: recovery removes it too, and the next attempt.
            let _ = shared.fs.remove(&path);
        }
        made?;
        shared.state().push(Segment {
            first_seq,
            end_seq: first_seq,
            bytes: SEGMENT_HEADER_BYTES,
            disk_bytes: SEGMENT_HEADER_BYTES,
            index: Some(new_index(first_seq)),
        });
        self.active =
            Some(Active { file, first_seq, offset: SEGMENT_HEADER_BYTES, indexed: SEGMENT_HEADER_BYTES });
        Ok(())
    }

    /// The header is durable, and the name in the directory, before a record follows: so a file that is longer than
    /// its header and has none was damaged, not torn.
    fn begin(&self, file: &dyn File, first_seq: u64) -> Result<()> {
        let path = self.shared.path(first_seq);
        let header = encode_segment_header(self.shared.log_id, first_seq);
        write_all_at(file, &header, 0).map_err(|cause| Error::io("write to", &path, cause))?;
        add(&self.shared.counters.syncs, 2);
        file.sync_data().map_err(|cause| Error::sync(&path, cause))?;
        let dir = &self.shared.dir;
        self.shared.fs.sync_dir(dir).map_err(|cause| Error::io("sync", dir, cause))
    }

    /// A segment whose very first group failed has the name that its successor needs, and nothing committed.
    fn forget_empty(&self, first_seq: u64) {
        let mut state = self.shared.state();
        if state.segments.back().is_some_and(|last| last.first_seq == first_seq) {
            let bytes = state.segments.pop_back().map_or(0, |last| last.disk_bytes);
            state.disk_bytes = state.disk_bytes.saturating_sub(bytes);
        }
    }

    /// A segment that was given up still takes its space.
    fn note_lost_bytes(&self, first_seq: u64, disk_bytes: u64) {
        let mut state = self.shared.state();
        let mut more = 0;
        if let Some(segment) = state.find(first_seq) {
            more = disk_bytes.saturating_sub(segment.disk_bytes);
            segment.disk_bytes = disk_bytes;
        }
        state.disk_bytes = state.disk_bytes.saturating_add(more);
    }
}

impl Drop for Writer {
    fn drop(&mut self) {
        // Without it a power cut now would bring truncated records back, which readers must bear anyway.
        if !self.closed {
            let _ = self.shared.sync_mark();
        }
    }
}

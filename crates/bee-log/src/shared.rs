//! What the writer, the handles and the readers of one open log have in common: the list of segments, the mark and
//! the counters. The only place that removes segments.
//!
//! Lock order: `meta` before `state`. No file operation happens under `state`, except the unlink of a segment.

use std::collections::VecDeque;
use std::io;
use std::path::{Path, PathBuf};
use std::sync::atomic::{AtomicU64, Ordering};
use std::sync::{Arc, Condvar, Mutex, MutexGuard, PoisonError};

use crate::format::{Mark, SEGMENT_HEADER_BYTES, Salt, segment_name};
use crate::fs::{Fs, LockGuard};
use crate::meta::Meta;
use crate::scan::{Range, Scanner, Step};
use crate::{Error, Result, Stats};

/// Distance of the sparse index's entries, in bytes: what a backward reader holds in memory.
pub(crate) const INDEX_STRIDE: u64 = 64 << 10;

/// Start of a record: its sequence number and its offset in the segment.
pub(crate) type IndexEntry = (u64, u64);

/// One segment file.
#[derive(Debug)]
pub(crate) struct Segment {
    pub(crate) first_seq: u64,
    /// Records in it end below this.
    pub(crate) end_seq: u64,
    /// Bytes of it that may hold committed records.
    pub(crate) bytes: u64,
    /// Bytes that it takes on disk; more than `bytes` after a failed sync.
    pub(crate) disk_bytes: u64,
    /// The start, and every [`INDEX_STRIDE`] bytes a good record; `None` until someone scans an old segment.
    pub(crate) index: Option<Vec<IndexEntry>>,
}

#[derive(Debug, Default)]
pub(crate) struct State {
    /// Oldest first. Ends do not pass the next one's start; a hole between them is damage.
    pub(crate) segments: VecDeque<Segment>,
    pub(crate) disk_bytes: u64,
}

/// Where a sequence number is to be read.
#[derive(Debug, Clone, Copy)]
pub(crate) enum Place {
    Segment {
        first_seq: u64,
        end_seq: u64,
        limit: u64,
        from: IndexEntry,
    },
    /// Lost; what follows begins at `to`.
    Hole {
        to: u64,
    },
}

/// The block of records that holds a sequence number, for a backward reader.
#[derive(Debug, Clone, Copy)]
pub(crate) enum Block {
    Records {
        segment: u64,
        from: IndexEntry,
        to: IndexEntry,
    },
    /// Lost down to `from`.
    Hole {
        from: u64,
    },
    /// The segment has no index yet.
    Unindexed {
        segment: u64,
    },
}

impl State {
    /// The place of `seq`, which is below the log's end.
    pub(crate) fn place(&self, seq: u64, next_seq: u64) -> Place {
        let after = self.segments.partition_point(|segment| segment.first_seq <= seq);
        let holder = after.checked_sub(1).and_then(|at| self.segments.get(at));
        if let Some(segment) = holder.filter(|segment| segment.end_seq > seq) {
            let index = segment.index.as_deref().unwrap_or_default();
            let entry = index.partition_point(|(at, _)| *at <= seq).checked_sub(1);
            let from = entry.and_then(|at| index.get(at)).copied();
            return Place::Segment {
                first_seq: segment.first_seq,
                end_seq: segment.end_seq,
                limit: segment.bytes,
                from: from.unwrap_or((segment.first_seq, SEGMENT_HEADER_BYTES)),
            };
        }
        Place::Hole {
            to: self.segments.get(after).map_or(next_seq, |segment| segment.first_seq.min(next_seq)),
        }
    }

    /// The block with the newest record that begins below `before`.
    pub(crate) fn block_below(&self, before: u64) -> Block {
        let Some(last) = before.checked_sub(1) else { return Block::Hole { from: 0 } };
        let after = self.segments.partition_point(|segment| segment.first_seq <= last);
        let Some(segment) = after.checked_sub(1).and_then(|at| self.segments.get(at)) else {
            return Block::Hole { from: 0 };
        };
        if segment.end_seq <= last {
            return Block::Hole { from: segment.end_seq };
        }
        let Some(index) = segment.index.as_deref() else {
            return Block::Unindexed { segment: segment.first_seq };
        };
        let next = index.partition_point(|(at, _)| *at <= last);
        let to = index.get(next).copied().unwrap_or((segment.end_seq, segment.bytes));
        match next.checked_sub(1).and_then(|at| index.get(at)) {
            Some(from) => Block::Records { segment: segment.first_seq, from: *from, to },
            None => Block::Hole { from: segment.first_seq },
        }
    }

    pub(crate) fn find(&mut self, first_seq: u64) -> Option<&mut Segment> {
        let at = self.segments.binary_search_by_key(&first_seq, |segment| segment.first_seq).ok()?;
        self.segments.get_mut(at)
    }

    pub(crate) fn push(&mut self, segment: Segment) {
        self.disk_bytes = self.disk_bytes.saturating_add(segment.disk_bytes);
        self.segments.push_back(segment);
    }
}

#[derive(Debug, Default)]
pub(crate) struct Counters {
    pub(crate) records: AtomicU64,
    pub(crate) payload_bytes: AtomicU64,
    pub(crate) commits: AtomicU64,
    pub(crate) syncs: AtomicU64,
    pub(crate) full: AtomicU64,
    pub(crate) failures: AtomicU64,
    pub(crate) dropped: AtomicU64,
}

pub(crate) fn add(counter: &AtomicU64, n: u64) {
    counter.fetch_add(n, Ordering::Relaxed);
}

pub(crate) struct Shared {
    pub(crate) fs: Arc<dyn Fs>,
    pub(crate) dir: PathBuf,
    pub(crate) salt: Salt,
    pub(crate) log_id: u64,
    first_seq: AtomicU64,
    next_seq: AtomicU64,
    state: Mutex<State>,
    /// Signalled when `next_seq` grows; goes with `state`.
    pub(crate) grown: Condvar,
    meta: Mutex<Meta>,
    pub(crate) counters: Counters,
    _lock: LockGuard,
}

/// What recovery hands over to start a log's life.
pub(crate) struct Parts {
    pub(crate) fs: Arc<dyn Fs>,
    pub(crate) dir: PathBuf,
    pub(crate) log_id: u64,
    pub(crate) first_seq: u64,
    pub(crate) next_seq: u64,
    pub(crate) state: State,
    pub(crate) meta: Meta,
    pub(crate) lock: LockGuard,
}

impl Shared {
    pub(crate) fn new(parts: Parts) -> Self {
        let counters = Counters::default();
        add(&counters.dropped, parts.meta.mark().dropped);
        Self {
            fs: parts.fs,
            dir: parts.dir,
            salt: Salt::of(parts.log_id),
            log_id: parts.log_id,
            first_seq: AtomicU64::new(parts.first_seq),
            next_seq: AtomicU64::new(parts.next_seq),
            state: Mutex::new(parts.state),
            grown: Condvar::new(),
            meta: Mutex::new(parts.meta),
            counters,
            _lock: parts.lock,
        }
    }

    pub(crate) fn first_seq(&self) -> u64 {
        self.first_seq.load(Ordering::Acquire)
    }

    pub(crate) fn next_seq(&self) -> u64 {
        self.next_seq.load(Ordering::Acquire)
    }

    pub(crate) fn state(&self) -> MutexGuard<'_, State> {
        self.state.lock().unwrap_or_else(PoisonError::into_inner)
    }

    pub(crate) fn path(&self, first_seq: u64) -> PathBuf {
        self.dir.join(segment_name(first_seq))
    }

    /// Shows a durable group to readers.
    pub(crate) fn publish(&self, first_seq: u64, bytes: u64, end_seq: u64, index: &[IndexEntry]) {
        let mut state = self.state();
        let mut grown = 0;
        if let Some(segment) = state.find(first_seq) {
            grown = bytes.saturating_sub(segment.disk_bytes);
            segment.bytes = bytes;
            segment.disk_bytes = bytes;
            segment.end_seq = end_seq;
            segment.index.get_or_insert_default().extend_from_slice(index);
        }
        state.disk_bytes = state.disk_bytes.saturating_add(grown);
        self.next_seq.store(end_seq, Ordering::Release);
        self.grown.notify_all();
    }

    /// Moves the mark up to `seq`, and removes what lies below it. The last segment stays unless `with_last`; only
    /// the writer may ask for that. With `count`, what was not truncated before is added to the persistent count of
    /// dropped sequence numbers. Returns how many these were.
    pub(crate) fn forget_below(&self, seq: u64, count: bool, with_last: bool) -> Result<u64> {
        let mut meta = self.meta.lock().unwrap_or_else(PoisonError::into_inner);
        let old = self.first_seq();
        let first_seq = seq.min(self.next_seq()).max(old);
        let dropped = if count { first_seq - old } else { 0 };
        let victims: Vec<u64> = {
            let state = self.state();
            let may_go =
                if with_last { state.segments.len() } else { state.segments.len().saturating_sub(1) };
            let gone = state.segments.iter().take(may_go).take_while(|segment| segment.end_seq <= first_seq);
            gone.map(|segment| segment.first_seq).collect()
        };
        if first_seq > old || !victims.is_empty() {
            let mark = Mark {
                first_seq,
                next_seq: self.next_seq(),
                dropped: meta.mark().dropped.saturating_add(dropped),
                ..Mark::default()
            };
            // The mark is durable before a segment goes: without its segments the log must still know where it was.
            // A mark alone may be lost with the power; then records come back that were truncated, never less.
            meta.write(mark, !victims.is_empty())?;
            add(&self.counters.syncs, u64::from(!victims.is_empty()));
            add(&self.counters.dropped, dropped);
            self.first_seq.store(first_seq, Ordering::Release);
        }
        for victim in victims {
            remove(&*self.fs, &self.path(victim))?;
            let mut state = self.state();
            if let Some(at) = state.segments.iter().position(|segment| segment.first_seq == victim) {
                let bytes = state.segments.remove(at).map_or(0, |segment| segment.disk_bytes);
                state.disk_bytes = state.disk_bytes.saturating_sub(bytes);
            }
        }
        Ok(dropped)
    }

    /// Makes the mark durable.
    pub(crate) fn sync_mark(&self) -> Result<()> {
        let mut meta = self.meta.lock().unwrap_or_else(PoisonError::into_inner);
        let mark = Mark { first_seq: self.first_seq(), next_seq: self.next_seq(), ..meta.mark() };
        add(&self.counters.syncs, 1);
        meta.write(mark, true)
    }

    /// Opens a walk over a segment's committed records. `None` when the file is gone.
    pub(crate) fn scanner(&self, first_seq: u64, range: Range) -> Result<Option<Scanner>> {
        let path = self.path(first_seq);
        match self.fs.open(&path, false) {
            Ok(file) => Ok(Some(Scanner::new(file, path, self.salt, range))),
            Err(cause) if cause.kind() == io::ErrorKind::NotFound => Ok(None),
            Err(cause) => Err(Error::io("open", &path, cause)),
        }
    }

    /// Gives a segment its index. A segment whose file is gone gets an empty one: a hole.
    pub(crate) fn build_index(&self, first_seq: u64) -> Result<()> {
        let Some((limit, end_seq)) = self.state().find(first_seq).map(|found| (found.bytes, found.end_seq))
        else {
            return Ok(());
        };
        let range = Range { offset: SEGMENT_HEADER_BYTES, seq: first_seq, limit, end_seq: Some(end_seq) };
        let mut index = new_index(first_seq);
        if let Some(mut scanner) = self.scanner(first_seq, range)? {
            index_all(&mut scanner, &mut index, |_, _| {})?;
        }
        if let Some(segment) = self.state().find(first_seq) {
            segment.index.get_or_insert(index);
        }
        Ok(())
    }

    pub(crate) fn stats(&self) -> Stats {
        let get = |counter: &AtomicU64| counter.load(Ordering::Relaxed);
        let state = self.state();
        Stats {
            first_seq: self.first_seq(),
            next_seq: self.next_seq(),
            bytes: state.disk_bytes,
            segments: state.segments.len() as u64,
            records: get(&self.counters.records),
            payload_bytes: get(&self.counters.payload_bytes),
            commits: get(&self.counters.commits),
            syncs: get(&self.counters.syncs),
            full: get(&self.counters.full),
            failures: get(&self.counters.failures),
            dropped_seqs: get(&self.counters.dropped),
        }
    }
}

/// The index of a segment of which nothing is known yet. It always has the start, so that all walks begin alike.
pub(crate) fn new_index(first_seq: u64) -> Vec<IndexEntry> {
    vec![(first_seq, SEGMENT_HEADER_BYTES)]
}

/// Walks to the end and notes an index entry each [`INDEX_STRIDE`] bytes; `hole` is told about damage.
pub(crate) fn index_all(
    scanner: &mut Scanner,
    index: &mut Vec<IndexEntry>,
    mut hole: impl FnMut(u64, u64),
) -> Result<()> {
    loop {
        match scanner.step()? {
            Step::Record(found) => note_index(index, SEGMENT_HEADER_BYTES, found.header.seq, found.offset),
            Step::Hole { from, to } => hole(from, to),
            Step::End => return Ok(()),
        }
    }
}

/// Adds an entry if the last one, at `last` when `index` is empty, is far enough away.
pub(crate) fn note_index(index: &mut Vec<IndexEntry>, last: u64, seq: u64, offset: u64) {
    let last = index.last().map_or(last, |(_, offset)| *offset);
    if offset.saturating_sub(last) >= INDEX_STRIDE {
        index.push((seq, offset));
    }
}

/// Unlinks; a file that is gone already is no error.
pub(crate) fn remove(fs: &dyn Fs, path: &Path) -> Result<()> {
    match fs.remove(path) {
        Err(cause) if cause.kind() != io::ErrorKind::NotFound => Err(Error::io("remove", path, cause)),
        _ => Ok(()),
    }
}

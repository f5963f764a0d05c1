//! The part of an open log that any number of threads may hold: readers, truncation, counters.

use std::sync::Arc;
use std::sync::PoisonError;
use std::time::{Duration, Instant};

use crate::shared::Shared;
use crate::{Reader, Result, ReverseReader, Stats};

/// Shared access to an open log. Cheap to clone.
#[derive(Clone)]
pub struct Handle {
    shared: Arc<Shared>,
}

impl std::fmt::Debug for Handle {
    fn fmt(&self, out: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        out.debug_struct("Handle").field("dir", &self.shared.dir).finish_non_exhaustive()
    }
}

impl Handle {
    pub(crate) fn new(shared: Arc<Shared>) -> Self {
        Self { shared }
    }

    /// Reads committed records forward, beginning with the one that covers `from_seq`; what was truncated since is
    /// reported as a gap. A `from_seq` past the end waits for that number to be written.
    pub fn reader(&self, from_seq: u64) -> Reader {
        Reader::new(Arc::clone(&self.shared), from_seq)
    }

    /// Reads committed records that begin below `before_seq`, newest first; `u64::MAX` begins at the end.
    pub fn reverse_reader(&self, before_seq: u64) -> ReverseReader {
        ReverseReader::new(Arc::clone(&self.shared), before_seq)
    }

    /// First sequence number that can still be read; equals `next_seq` when there is none.
    pub fn first_seq(&self) -> u64 {
        self.shared.first_seq()
    }

    /// First sequence number that is not committed yet.
    pub fn next_seq(&self) -> u64 {
        self.shared.next_seq()
    }

    /// Forgets everything below `seq` (at most `next_seq`): readers do not see it any more, and segments that lie
    /// below it as a whole are unlinked. Returns the new `first_seq`, which never goes back.
    ///
    /// The mark survives the process at once; it survives a power cut when a segment was unlinked, or after
    /// [`Handle::sync_mark`] or the end of the writer. Until then a power cut can bring truncated records back.
    ///
    /// # Errors
    /// `Io`, `DiskFull`, `SyncFailed`: nothing is lost; call again.
    pub fn truncate_before(&self, seq: u64) -> Result<u64> {
        self.shared.forget_below(seq, false, false)?;
        Ok(self.shared.first_seq())
    }

    /// Makes the truncation mark durable (one `fdatasync`).
    pub fn sync_mark(&self) -> Result<()> {
        self.shared.sync_mark()
    }

    /// Blocks until `seq` is committed (`next_seq() > seq`) or `timeout` is over; returns `next_seq()`.
    pub fn wait_past(&self, seq: u64, timeout: Duration) -> u64 {
        let deadline = Instant::now().checked_add(timeout);
        let mut state = self.shared.state();
        while self.shared.next_seq() <= seq {
            let left = deadline.map_or(Duration::MAX, |at| at.saturating_duration_since(Instant::now()));
            if left.is_zero() {
                break;
            }
            let waited = self.shared.grown.wait_timeout(state, left);
            state = waited.unwrap_or_else(PoisonError::into_inner).0;
        }
        self.shared.next_seq()
    }

    /// Counters and sizes.
    pub fn stats(&self) -> Stats {
        self.shared.stats()
    }
}

//! Signatures first; the implementation follows in the next commits.
#![allow(unused_variables, clippy::todo, reason = "replaced within the hour")]
use crate::*;
use std::path::Path;
use std::sync::Arc;
use std::time::Duration;

/// Opens logs.
#[derive(Debug)]
pub struct Log;
impl Log {
    /// Opens the log in `dir`, or makes a new one, on the real file system.
    pub fn open(dir: impl AsRef<Path>, options: Options) -> Result<(Writer, Handle, Recovery)> {
        Self::open_on(Arc::new(fs::StdFs), dir, options)
    }
    /// The same on any file system.
    pub fn open_on(fs: Arc<dyn fs::Fs>, dir: impl AsRef<Path>, options: Options) -> Result<(Writer, Handle, Recovery)> {
        todo!()
    }
}

/// The one owner of a log's end.
#[derive(Debug)]
pub struct Writer(());
impl Writer {
    /// Buffers a record; returns its first sequence number.
    pub fn append(&mut self, weight: u32, payload: &[u8]) -> Result<u64> { todo!() }
    /// Like `append`, with the payload in parts.
    pub fn append_parts(&mut self, weight: u32, parts: &[&[u8]]) -> Result<u64> { todo!() }
    /// Makes the group durable (one write, one fdatasync), then shows it to readers; returns the next sequence number.
    pub fn commit(&mut self) -> Result<u64> { todo!() }
    /// Forgets the group that was not committed; returns how many sequence numbers it had.
    pub fn rollback(&mut self) -> u64 { todo!() }
    /// Drops the oldest segment; returns how many sequence numbers went that were not truncated yet.
    pub fn drop_oldest(&mut self) -> Result<u64> { todo!() }
    /// Bytes buffered in the open group.
    pub fn pending_bytes(&self) -> usize { todo!() }
    /// Sequence number that the next `append` gets.
    pub fn next_seq(&self) -> u64 { todo!() }
    /// A handle to the same log.
    pub fn handle(&self) -> Handle { todo!() }
}

/// Shared view of a log: readers, truncation, counters.
#[derive(Debug, Clone)]
pub struct Handle(());
impl Handle {
    /// Committed records from the one that covers `from_seq` on.
    pub fn reader(&self, from_seq: u64) -> Reader { todo!() }
    /// Committed records that begin below `before_seq`, newest first.
    pub fn reverse_reader(&self, before_seq: u64) -> ReverseReader { todo!() }
    /// First sequence number that can still be read.
    pub fn first_seq(&self) -> u64 { todo!() }
    /// First sequence number that is not committed yet.
    pub fn next_seq(&self) -> u64 { todo!() }
    /// Forgets everything below `seq`; returns the new `first_seq`.
    pub fn truncate_before(&self, seq: u64) -> Result<u64> { todo!() }
    /// Waits until `next_seq() > seq` or the time is over; returns `next_seq()`.
    pub fn wait_past(&self, seq: u64, timeout: Duration) -> u64 { todo!() }
    /// Counters.
    pub fn stats(&self) -> Stats { todo!() }
}

/// Reads forward; see [`Handle::reader`].
#[derive(Debug)]
pub struct Reader(());
impl Reader {
    /// The next item, or `None` at the end of what is committed; ask again later for more.
    #[expect(clippy::should_implement_trait, reason = "lends from its own buffer, which Iterator cannot")]
    pub fn next(&mut self) -> Result<Option<Item<'_>>> { todo!() }
    /// Sequence number from which the next item will be.
    pub fn position(&self) -> u64 { todo!() }
    /// Goes on from another sequence number.
    pub fn seek(&mut self, seq: u64) { todo!() }
}

/// Reads backward; see [`Handle::reverse_reader`].
#[derive(Debug)]
pub struct ReverseReader(());
impl ReverseReader {
    /// The next older item, or `None` when `first_seq` was reached.
    #[expect(clippy::should_implement_trait, reason = "lends from its own buffer, which Iterator cannot")]
    pub fn next(&mut self) -> Result<Option<Item<'_>>> { todo!() }
}

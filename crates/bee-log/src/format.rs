//! Bytes on disk.
pub(crate) const LOCK_NAME: &str = "lock";
pub(crate) const RECORD_HEADER_BYTES: usize = 32;
pub(crate) const SEGMENT_HEADER_BYTES: u64 = 64;

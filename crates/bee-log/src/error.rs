//! What can go wrong, as far as a caller branches on it.

use std::io;
use std::path::{Path, PathBuf};

/// Result of a log operation.
pub type Result<T, E = Error> = std::result::Result<T, E>;

/// An operation on the log failed. Each text says what was tried and on which file; the cause is the `source`.
#[derive(Debug, thiserror::Error)]
#[non_exhaustive]
pub enum Error {
    /// Another writer, here or in another process, has this log open.
    #[error(
        "the log in {dir} is already open; stop the other process that uses this directory (`fuser -v {lock}` names it)",
        dir = dir.display(), lock = dir.join(crate::format::LOCK_NAME).display()
    )]
    Locked {
        /// The log's directory.
        dir: PathBuf,
    },
    /// A file was written by a later release. Nothing was changed.
    #[error(
        "{file} has log format version {found}, this program reads up to {supported}; start the newer release that wrote it",
        file = file.display()
    )]
    Newer {
        /// The file that was refused.
        file: PathBuf,
        /// Version found in it.
        found: u16,
        /// Newest version this build reads.
        supported: u16,
    },
    /// A segment file of another log lies in this directory. Nothing was changed.
    #[error("{file} belongs to another log; move it out of this directory", file = file.display())]
    Foreign {
        /// The file that was refused.
        file: PathBuf,
    },
    /// Options contradict each other.
    #[error("bad log options: {0}")]
    Options(String),
    /// The record is larger than `record_bytes_max`. Nothing was buffered.
    #[error("a record of {bytes} bytes is over record_bytes_max ({max})")]
    RecordTooLarge {
        /// Payload size in bytes.
        bytes: usize,
        /// The limit it met.
        max: usize,
    },
    /// The group has no room for this record. Nothing was buffered; commit the group, then append again.
    #[error("the group would grow past group_bytes_max ({max} bytes); commit first")]
    GroupFull {
        /// The limit it met.
        max: usize,
    },
    /// A record must cover at least one sequence number and at most `WEIGHT_MAX`.
    #[error("a record cannot cover {weight} sequence numbers (1..={max})", max = crate::WEIGHT_MAX)]
    BadWeight {
        /// The weight asked for.
        weight: u32,
    },
    /// The log is at `bytes_max`. The group is kept: call `drop_oldest` (or truncate) and commit again, or roll back.
    #[error("the log is at its cap: {bytes} bytes and the group are over bytes_max ({max})")]
    CapReached {
        /// Bytes on disk now.
        bytes: u64,
        /// The limit it met.
        max: u64,
    },
    /// The file system or quota is full. Nothing of the group stays on disk as far as readers and recovery are
    /// concerned; the group is kept, so that `commit` can be tried again after space was made, or rolled back.
    #[error("disk full: cannot {doing} {path}", path = path.display())]
    DiskFull {
        /// What was being done.
        doing: &'static str,
        /// To which file or directory.
        path: PathBuf,
        /// The operating system's error.
        #[source]
        cause: io::Error,
    },
    /// `fdatasync` failed: what the kernel holds of this segment can no longer be trusted, so the writer goes on in a
    /// new one. The group is kept and was not committed: commit again or roll back.
    #[error("cannot sync {path}; the log goes on in a new segment", path = path.display())]
    SyncFailed {
        /// The segment given up.
        path: PathBuf,
        /// The operating system's error.
        #[source]
        cause: io::Error,
    },
    /// Any other input or output error. A group being committed is kept.
    #[error("cannot {doing} {path}", path = path.display())]
    Io {
        /// What was being done.
        doing: &'static str,
        /// To which file or directory.
        path: PathBuf,
        /// The operating system's error.
        #[source]
        cause: io::Error,
    },
    /// Sequence numbers ran out (2^64).
    #[error("the log has used up its sequence numbers")]
    Exhausted,
}

impl Error {
    /// True when making room (`drop_oldest`, truncation, an operator's `rm`) can make the same call succeed.
    pub fn is_full(&self) -> bool {
        matches!(self, Self::DiskFull { .. } | Self::CapReached { .. })
    }

    pub(crate) fn io(doing: &'static str, path: &Path, cause: io::Error) -> Self {
        let path = path.to_path_buf();
        match cause.kind() {
            io::ErrorKind::StorageFull | io::ErrorKind::QuotaExceeded => {
                Self::DiskFull { doing, path, cause }
            }
            _ => Self::Io { doing, path, cause },
        }
    }

    pub(crate) fn sync(path: &Path, cause: io::Error) -> Self {
        match Self::io("sync", path, cause) {
            Self::Io { path, cause, .. } => Self::SyncFailed { path, cause },
            full => full,
        }
    }
}

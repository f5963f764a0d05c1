//! A crash-safe append log: the node's spool and Core's log.
//!
//! One [`Writer`] appends records and makes them durable in groups; any number of [`Handle`]s read them in both
//! directions, truncate, and count. Blocking, without a runtime, an idea of time, or knowledge of what the records
//! mean: callers give it a thread. It never maps files into memory and never holds more than a group (writer), a
//! window or one record (reader), and one index entry each 64 KiB of log.
//!
//! ```
//! # let dir = std::env::temp_dir().join(format!("bee-log-doc-{}", std::process::id()));
//! use bee_log::{Item, Log, Options};
//! let (mut writer, handle, _recovery) = Log::open(&dir, Options::default())?;
//! writer.append(1, b"an event")?;
//! let next_seq = writer.commit()?; // durable from here on
//! let mut reader = handle.reader(handle.first_seq());
//! while let Some(item) = reader.next()? {
//!     match item {
//!         Item::Record(record) => assert_eq!(record.payload, b"an event"),
//!         Item::Gap(gap) => eprintln!("{} to {} are lost", gap.from, gap.to),
//!     }
//! }
//! handle.truncate_before(next_seq)?;
//! # drop((writer, handle, reader));
//! # std::fs::remove_dir_all(&dir).ok();
//! # Ok::<(), bee_log::Error>(())
//! ```
//!
//! # What holds
//! - A record has a sequence number and a weight, and covers `[seq, seq + weight)`. Numbers are given out in order
//!   and never used for two committed records, also not after damage, a full truncation or a drop of everything.
//! - After `commit` has returned, the group survives a killed process and a power cut. Before, readers do not see it.
//! - After a crash the log holds all that was committed and not truncated, and perhaps a first part of one group
//!   whose commit had not succeeded: whole records, in order.
//! - A commit that fails leaves the writer usable and the group in memory: commit again or roll back.
//! - Damage is reported by `open` and given to readers as a [`Gap`]; nothing is skipped silently.
//!
//! # Format, version 1
//! A directory with `lock` (an advisory lock is held on it), `meta`, and segments named after their first sequence
//! number: `00000000000000001234.seg`. All numbers are little-endian; all checksums are CRC-32C. Files begin with
//! eight bytes of magic and a 16-bit version: a newer version is refused untouched.
//!
//! | segment header, 64 bytes | |
//! | --- | --- |
//! | 0 | `HBLOGSEG` |
//! | 8 | version (u16), then zeros |
//! | 16 | log id (u64), random, the same in all files of one log |
//! | 24 | first sequence number (u64), then zeros |
//! | 60 | checksum of 0..60 |
//!
//! Records follow without a gap:
//!
//! | record | |
//! | --- | --- |
//! | 0 | payload length (u32) |
//! | 4 | weight (u32), 1 or more |
//! | 8 | sequence number (u64) |
//! | 16 | offset in this segment at which the record's group begins (u32) |
//! | 20 | attempt (u32): the same in all records of a group, different in a group written at the same place before |
//! | 24 | checksum of the payload |
//! | 28 | checksum of the log id and of 0..28 |
//! | 32 | payload |
//!
//! `meta` has three blocks of 4096 bytes: a header like a segment's (`HBLOGMET`, with the number the log began at), and
//! two marks that are written in turns: generation, first and next sequence number, count of dropped numbers (u64
//! each), checksum with the log id. The valid mark with the higher generation counts.
//!
//! # Why it is safe
//! - A group lies in one segment, is one write, and is followed by one `fdatasync`, which on Linux also makes the new
//!   file size durable. The next group is written only after that succeeded. So only the last group can be torn, and a
//!   bad record before a good one of a *later* group is damage, not a torn end.
//! - A new segment's header is synced, and its name (`fsync` of the directory), before a record follows.
//! - A segment ends where the next one begins. After a failed `fdatasync` the kernel may show pages that never reach the
//!   disk, and a second sync proves nothing; so the segment is given up, and the next one begins at the number
//!   after the last committed record, which hides the failed group. Once a rotation has begun nothing is written
//!   to the old segment, even if the rotation fails.
//! - `open` writes the last group again (same bytes) and syncs it, because the page cache of a killed process may
//!   hold what a failed sync left; and it cuts the torn end durably before anything is written there.
//! - What fails before the sync (a full disk) is cut off and the place is used again with another attempt number: should
//!   both leave pieces, they are never read as one group.
//! - The mark is durable before a segment is unlinked. It also holds the highest number that was committed, so that
//!   numbers are not used twice when damage takes the end of the log.

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

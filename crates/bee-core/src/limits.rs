//! Every limit of Core that is not on the wire and not in the configuration, with its reason.
//!
//! Limits of messages and frames live in `bee_wire::limits`; what an operator may change is in `config`.

use std::time::Duration;

/// A peer that connects must have sent its first byte by then; an idle stranger holds a slot no longer.
pub const FIRST_BYTE_MAX: Duration = Duration::from_secs(10);
/// From accept to the end of the TLS handshake.
pub const HANDSHAKE_MAX: Duration = Duration::from_secs(10);
/// From the first byte to an accepted registration (a slow link, a TOTP question and its answer).
pub const REGISTRATION_MAX: Duration = Duration::from_secs(20);
/// A peer that takes longer to accept what we write is cut: it has stopped reading.
pub const WRITE_MAX: Duration = Duration::from_secs(20);
/// Bytes read from a node at once. The buffer exists only while there is something in it.
pub const READ_BYTES: usize = 32 << 10;
/// Answers waiting for one node: commands, acknowledgements, errors. A node further behind is cut.
pub const NODE_QUEUE_MAX: usize = 2_048;

/// Event batches (from all nodes) waiting for the writer; readers wait beyond that, which is back-pressure.
pub const INGEST_QUEUE_MAX: usize = 1_024;
/// Bytes of those batches. A queue of large batches must not be a gigabyte.
pub const INGEST_QUEUE_BYTES_MAX: usize = 64 << 20;
/// Bytes that one group (one sync) takes from the queue before it is committed.
pub const GROUP_BYTES_MAX: usize = 8 << 20;
/// Batches of one group.
pub const GROUP_BATCHES_MAX: usize = 1_024;
/// Payloads smaller than this are stored as they are: compressing them costs more than it saves.
pub const COMPRESS_BYTES_MIN: usize = 1_024;
/// Pause before the writer tries a full disk again.
pub const DISK_RETRY: Duration = Duration::from_millis(500);
/// The stream positions are written to the state store this often, so that a start replays little.
pub const CHECKPOINT_EVERY: Duration = Duration::from_secs(20);
/// ... and at least after this many events.
pub const CHECKPOINT_EVENTS: u64 = 2_000_000;

/// Recently stored events kept ready for queries and live resumes.
pub const RECENT_EVENTS_MAX: usize = 20_000;
/// Bytes of raw data among those.
pub const RECENT_BYTES_MAX: usize = 32 << 20;
/// Events waiting for one live subscriber. Beyond, it lags and is told how many it missed.
pub const LIVE_QUEUE_MAX: usize = 4_096;
/// Live subscribers at once.
pub const LIVE_SUBSCRIBERS_MAX: usize = 256;

/// Events in one query answer.
pub const QUERY_LIMIT_MAX: usize = 1_000;
/// Events looked at by one query before it says that it is not complete.
pub const QUERY_SCAN_MAX: u64 = 5_000_000;
/// Time one query may take before it says that it is not complete.
pub const QUERY_TIME_MAX: Duration = Duration::from_secs(10);
/// Queries that may read the log at once; each holds one thread.
pub const QUERIES_MAX: usize = 4;

/// Deadline of a command that names none.
pub const COMMAND_DEADLINE_DEFAULT: Duration = Duration::from_secs(10 * 60);
/// Longest deadline that may be asked for.
pub const COMMAND_DEADLINE_MAX: Duration = Duration::from_secs(30 * 24 * 3_600);
/// Bytes of a command's result kept.
pub const COMMAND_RESULT_BYTES_MAX: usize = 64 << 10;

/// Pots remembered for one node.
pub const POTS_PER_NODE_MAX: usize = 1_024;
/// Artifacts being received over one connection.
pub const ARTIFACTS_OPEN_PER_NODE_MAX: usize = 4;

/// How often the sweep looks for silent nodes, late commands and expired tokens.
pub const SWEEP_EVERY: Duration = Duration::from_secs(1);
/// Time that tasks get to end after the shutdown signal.
pub const SHUTDOWN_GRACE: Duration = Duration::from_secs(10);

const _: () = {
    assert!(GROUP_BYTES_MAX <= INGEST_QUEUE_BYTES_MAX, "a group comes out of the queue");
    assert!(READ_BYTES < GROUP_BYTES_MAX, "one read is smaller than one group");
};

//! Every limit of the node daemon that is not part of the wire contract, in one place.
//!
//! Wire limits (frame, line, id lengths) live in `bee_wire::limits`. What an operator may want to change is a
//! config key whose default is taken from here.

use std::time::Duration;

/// Lowest and highest port tried for the event intake (PROTOCOL section 1).
pub const INTAKE_PORT_FIRST: u16 = 9100;
/// See [`INTAKE_PORT_FIRST`].
pub const INTAKE_PORT_LAST: u16 = 9199;

/// Open intake connections. Each costs one task and at most one line of buffer.
pub const INTAKE_CONNECTIONS_MAX: usize = 512;
/// A line that was begun has to be finished within this time; a connection between lines may be quiet for ever.
pub const INTAKE_LINE_SECS_MAX: u64 = 30;
/// Bytes read from a connection before they are handed to the spool as one group.
pub const INTAKE_GROUP_BYTES_MAX: usize = 128 * 1024;
/// Lines of a group, whatever their size.
pub const INTAKE_GROUP_LINES_MAX: usize = 1024;
/// Groups waiting for the spool writer; when full, sockets are not read (back-pressure).
pub const INTAKE_GROUPS_QUEUED_MAX: usize = 32;

/// Events that one fdatasync covers at most.
pub const SPOOL_COMMIT_EVENTS_MAX: usize = 8192;
/// Bytes that one fdatasync covers at most.
pub const SPOOL_COMMIT_BYTES_MAX: usize = 4 * 1024 * 1024;
/// Producers whose position is remembered; the one unheard of for longest goes first.
pub const PRODUCERS_MAX: usize = 4096;
/// While the disk is full and nothing can be dropped, the writer tries again this often.
pub const DISK_FULL_RETRY: Duration = Duration::from_millis(250);
/// Size of the file that is given up so that bookkeeping can be saved on a full disk.
pub const BALLAST_BYTES: u64 = 512 * 1024;

/// Bytes of malformed lines kept on disk (two files of half that size).
pub const DEAD_LETTER_BYTES_MAX: u64 = 4 * 1024 * 1024;
/// Bytes kept of one malformed line.
pub const DEAD_LETTER_LINE_BYTES_MAX: usize = 4096;

/// Bytes of a pot's stdout and stderr kept on disk (two files of half that size).
pub const POT_LOG_BYTES_MAX: u64 = 512 * 1024;
/// Bytes of a pot's log returned by `GetPotLogs`.
pub const POT_LOG_TAIL_BYTES_MAX: usize = 64 * 1024;
/// Pots on one node.
pub const POTS_MAX: usize = 64;
/// Bytes of a pot's config as JSON: it is handed over on the command line.
pub const POT_CONFIG_BYTES_MAX: usize = 32 * 1024;

/// Command results remembered, so that a repeated command is answered and not run again.
pub const COMMANDS_REMEMBERED_MAX: usize = 512;
/// Commands that run at the same time; more wait their turn.
pub const COMMANDS_QUEUED_MAX: usize = 64;

/// Bytes of an artifact carried by one chunk, before base64.
pub const ARTIFACT_CHUNK_BYTES: usize = 256 * 1024;
/// Artifacts bigger than this stay on the node's disk quota only; traps cap far below.
pub const ARTIFACT_BYTES_MAX: u64 = 64 * 1024 * 1024;

const _: () = assert!(INTAKE_PORT_FIRST <= INTAKE_PORT_LAST);
const _: () = assert!(INTAKE_GROUP_BYTES_MAX <= SPOOL_COMMIT_BYTES_MAX);
const _: () = assert!(INTAKE_GROUP_LINES_MAX <= SPOOL_COMMIT_EVENTS_MAX);
const _: () = assert!(POT_LOG_TAIL_BYTES_MAX as u64 <= POT_LOG_BYTES_MAX);
const _: () = assert!(DEAD_LETTER_LINE_BYTES_MAX as u64 * 16 <= DEAD_LETTER_BYTES_MAX);

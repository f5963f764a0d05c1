//! What one session may make the fake tree hold.

/// Bytes of one file; a longer write fails like a full disk.
pub const FILE_BYTES_MAX: u64 = 16 << 20;
/// Bytes of all files of a session together.
pub const SESSION_BYTES_MAX: u64 = 32 << 20;
/// Nodes a session may change or make.
pub const NODES_MAX: usize = 4096;
/// Bytes of a made-up file (a program's image, a disk) that a read returns.
pub const READ_BYTES_MAX: usize = 1 << 20;
/// Bytes of one name.
pub const NAME_BYTES_MAX: usize = 255;
/// Bytes of one path.
pub const PATH_BYTES_MAX: usize = 4096;
/// Symbolic links followed in one resolution.
pub const LINKS_MAX: usize = 40;

const _: () = assert!(FILE_BYTES_MAX <= SESSION_BYTES_MAX && READ_BYTES_MAX as u64 <= FILE_BYTES_MAX);

//! Every bound of the traps, with its reason. Nothing that an attacker can make grow is without one.

use std::time::Duration;

/// Longest text member of an event, in bytes; longer text is cut and the event says `truncated`.
pub const EVENT_TEXT_MAX: usize = 8 * 1024;
/// Longest event line, in bytes. An event that would still be longer is replaced by a note that it was.
pub const EVENT_LINE_MAX: usize = 128 * 1024;
/// Events that wait for the node, in lines: ten minutes of a busy trap.
pub const QUEUE_LINES_MAX: usize = 16_384;
/// Events that wait for the node, in bytes.
pub const QUEUE_BYTES_MAX: usize = 8 * 1024 * 1024;
/// How long the node may take for the first receipt before the connection is tried anew.
pub const RECEIPT_DEADLINE: Duration = Duration::from_secs(10);
/// Longest receipt line accepted from the node.
pub const RECEIPT_LINE_MAX: usize = 256;
/// Shortest and longest wait between two attempts to reach the node.
pub const RECONNECT_MIN: Duration = Duration::from_millis(50);
/// See [`RECONNECT_MIN`].
pub const RECONNECT_MAX: Duration = Duration::from_secs(5);
/// How long a stopping trap tries to hand its last events to the node.
pub const FLUSH_DEADLINE: Duration = Duration::from_secs(5);
/// How long sessions may take to end once the trap is stopping; then they are cut.
pub const DRAIN_DEADLINE: Duration = Duration::from_secs(2);

/// Largest terminal recording kept, in bytes; a longer session's recording stops there and says so.
pub const CAST_BYTES_MAX: usize = 1024 * 1024;

/// Longest SSH identification line read from a client (russh takes no longer one).
pub const SSH_ID_MAX: usize = 253;
/// Largest KEXINIT looked at, as RFC 4253 section 6.1 bounds packets.
pub const KEXINIT_MAX: usize = 35_000;
/// Time for TCP connect to a finished login, as OpenSSH's `LoginGraceTime`.
pub const LOGIN_GRACE: Duration = Duration::from_secs(120);
/// Channels open at once in one SSH connection, as OpenSSH's `MaxSessions`.
pub const SSH_CHANNELS_MAX: usize = 10;
/// Environment variables recorded for one SSH session.
pub const SSH_ENV_MAX: usize = 32;
/// Tunnel requests answered in one SSH connection; later ones are refused and no longer recorded.
pub const SSH_TUNNELS_MAX: usize = 256;
/// Bytes of one tunnel kept in its event.
pub const TUNNEL_DATA_MAX: usize = 2048;
/// Output that waits for a client that does not read; past this its channel is closed.
pub const UNREAD_OUTPUT_MAX: usize = 512 * 1024;

/// Largest SFTP packet, as OpenSSH's 256 KiB.
pub const SFTP_PACKET_MAX: usize = 256 * 1024;
/// Files and folders open at once in one SFTP session.
pub const SFTP_HANDLES_MAX: usize = 64;
/// Bytes of standard input kept from an exec request (`cat > file`, `sh`), in bytes.
pub const STDIN_MAX: usize = 1024 * 1024;

/// Time for a Telnet login, as BusyBox's `login`.
pub const TELNET_LOGIN_GRACE: Duration = Duration::from_secs(60);
/// Longest Telnet login or password line.
pub const TELNET_LINE_MAX: usize = 512;
/// Longest Telnet subnegotiation kept; the rest is skipped.
pub const TELNET_SUB_MAX: usize = 128;
/// Telnet options recorded in one session.
pub const TELNET_OPTIONS_MAX: usize = 64;

/// Request line and headers of an HTTP request, in bytes.
pub const HTTP_HEAD_MAX: usize = 32 * 1024;
/// Header fields of an HTTP request.
pub const HTTP_HEADERS_MAX: usize = 100;
/// Time for a request's line and headers, whole.
pub const HTTP_HEAD_DEADLINE: Duration = Duration::from_secs(20);
/// Time for a request's body, whole.
pub const HTTP_BODY_DEADLINE: Duration = Duration::from_secs(60);
/// Time a kept-alive connection may be idle, as Apache's `KeepAliveTimeout`.
pub const HTTP_KEEPALIVE: Duration = Duration::from_secs(5);
/// Requests on one connection, as Apache's `MaxKeepAliveRequests`.
pub const HTTP_REQUESTS_MAX: u32 = 100;
/// Bytes of a body shown in the event; the whole kept body is an artifact.
pub const HTTP_BODY_TEXT_MAX: usize = 2048;
/// Body bytes read and counted past the kept part before the connection is closed.
pub const HTTP_BODY_COUNT_MAX: u64 = 64 * 1024 * 1024;

const _: () = assert!(EVENT_TEXT_MAX < EVENT_LINE_MAX);
const _: () = assert!(EVENT_LINE_MAX < QUEUE_BYTES_MAX);
const _: () = assert!(TUNNEL_DATA_MAX <= EVENT_TEXT_MAX && HTTP_BODY_TEXT_MAX <= EVENT_TEXT_MAX);

//! Every limit of the API ports, with its reason. Limits of messages live in `bee_wire::limits`.

use std::time::Duration;

/// Connections on 9002 and 9003 together. Operators, dashboards and modules are few; a flood is not.
pub(crate) const CONNECTIONS_MAX: usize = 8_192;
/// Of those, from one source address (IPv6: one /64). Loopback is not limited.
pub(crate) const PER_SOURCE_MAX: usize = 512;
/// From accept to the end of the TLS handshake.
pub(crate) const HANDSHAKE_MAX: Duration = Duration::from_secs(10);
/// From there to the first byte inside.
pub(crate) const FIRST_BYTE_MAX: Duration = Duration::from_secs(10);
/// From the first byte of a request (or the end of the one before) to the end of its head.
pub(crate) const HEAD_MAX: Duration = Duration::from_secs(10);
/// Bytes of a request's head.
pub(crate) const HEAD_BYTES_MAX: usize = 32 << 10;
/// From the end of the head to the end of the body.
pub(crate) const BODY_MAX: Duration = Duration::from_secs(10);
/// Bytes of a request's body.
pub(crate) const BODY_BYTES_MAX: usize = 1 << 20;
/// A client that takes nothing of what we write for so long is cut: it has stopped reading.
pub(crate) const WRITE_MAX: Duration = Duration::from_secs(20);
/// Time that requests on their way get to end when Core stops.
pub(crate) const GRACE: Duration = Duration::from_secs(3);

/// Wrong tokens of one source before it is told to wait.
pub(crate) const AUTH_FAILURES_MAX: u32 = 20;
/// One of them is forgiven after this many milliseconds.
pub(crate) const AUTH_FORGIVE_MS: u64 = 3_000;
/// Sources remembered.
pub(crate) const AUTH_SOURCES_MAX: usize = 10_000;

/// Modules that are registered at once.
pub(crate) const MODULES_MAX: usize = 512;
/// From the first byte to a registration.
pub(crate) const MODULE_REGISTRATION_MAX: Duration = Duration::from_secs(10);
/// Messages in a row that are no registration before the connection is closed.
pub(crate) const MODULE_STRIKES_MAX: u32 = 3;
/// A subscriber that neither sends nor is sent anything for so long is asked for a `Pong`.
pub(crate) const MODULE_PING_AFTER: Duration = Duration::from_secs(30);
/// Events taken from a subscription at once.
pub(crate) const MODULE_PUSH_MAX: usize = 256;
/// Bytes of a peer's last words that are thrown away so that it can still read ours.
pub(crate) const LINGER_BYTES_MAX: usize = 32 << 20;
/// Time for the same.
pub(crate) const LINGER_MAX: Duration = Duration::from_secs(2);
/// Waiting for a published event to be durable; the disk may be full.
pub(crate) const PUBLISH_MAX: Duration = Duration::from_secs(30);
/// Bytes of a module's name.
pub(crate) const MODULE_NAME_BYTES_MAX: usize = 128;
/// Bytes of the data of one published event.
pub(crate) const PUBLISH_BYTES_MAX: usize = 1 << 20;
/// Tags of one published event, and events that one alert names.
pub(crate) const LIST_MAX: usize = 256;
/// Lines a module may write into Core's log in a row, and how fast it may go on.
pub(crate) const LOG_LINES_MAX: u32 = 200;
/// One further line every so many milliseconds.
pub(crate) const LOG_LINE_MS: u64 = 100;
/// Alerts with the same key within this time are one.
pub(crate) const ALERT_SAME_MS: i64 = 3_600_000;
/// Keys of alerts remembered.
pub(crate) const ALERT_KEYS_MAX: usize = 10_000;

const _: () = assert!(BODY_BYTES_MAX < bee_wire::limits::FRAME_BYTES_MAX);
const _: () = assert!(PUBLISH_BYTES_MAX < bee_wire::limits::FRAME_BYTES_MAX);

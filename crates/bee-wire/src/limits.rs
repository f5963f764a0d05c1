//! Every limit of the wire, with its unit in its name.
//!
//! A reader that meets more than a limit allows answers with an error; it never allocates first and looks later.

/// Largest JSON object a registered peer may send; the default of the setting `max_frame_bytes`.
pub const FRAME_BYTES_MAX: usize = 10 * 1024 * 1024;

/// Largest JSON object taken from a peer that has not registered yet.
pub const FRAME_BYTES_BEFORE_REGISTRATION_MAX: usize = 64 * 1024;

/// Deepest nesting of objects and arrays in one frame or pot line; anything deeper is refused unparsed.
pub const JSON_DEPTH_MAX: usize = 64;

/// Longest line on the honeypot intake port, newline not counted.
pub const POT_LINE_BYTES_MAX: usize = 1024 * 1024;

/// Most events in one `PotEventBatch`.
pub const BATCH_EVENTS_MAX: usize = 10_000;

/// Largest batch a sender should build; leaves room below [`FRAME_BYTES_MAX`] for one more event of any size.
pub const BATCH_BYTES_MAX: usize = 4 * 1024 * 1024;

/// Longest stream id. `artifact.` and a SHA-256 in hex take 73.
pub const STREAM_ID_BYTES_MAX: usize = 80;

/// Longest pot id that our own components mint or run.
pub const POT_ID_BYTES_MAX: usize = 64;

/// Longest node name.
pub const NODE_NAME_BYTES_MAX: usize = 128;

/// Longest producer name in an intake hello.
pub const PRODUCER_BYTES_MAX: usize = 64;

/// Longest `request_id` of a module.
pub const REQUEST_ID_BYTES_MAX: usize = 128;

/// Most features a peer may list.
pub const FEATURES_MAX: usize = 64;

/// Largest piece of an artifact in one `ArtifactChunk`, decoded.
pub const ARTIFACT_CHUNK_BYTES_MAX: usize = 256 * 1024;

/// Longest join code, with its `hb1_`.
pub const JOIN_CODE_BYTES_MAX: usize = 2048;

/// Most Core addresses in a join code.
pub const JOIN_ADDRESSES_MAX: usize = 8;

/// Longest text of a decode error that is sent back to a peer or logged.
pub const ERROR_TEXT_BYTES_MAX: usize = 300;

/// Most entries on one page of the REST API.
pub const PAGE_ITEMS_MAX: usize = 1000;

const _: () = assert!(FRAME_BYTES_BEFORE_REGISTRATION_MAX < FRAME_BYTES_MAX);
const _: () = assert!(BATCH_BYTES_MAX + POT_LINE_BYTES_MAX < FRAME_BYTES_MAX);
const _: () = assert!(ARTIFACT_CHUNK_BYTES_MAX * 4 / 3 < FRAME_BYTES_MAX);
// serde_json gives up at a depth of 128; ours must be the limit that is met first.
const _: () = assert!(JSON_DEPTH_MAX < 120);

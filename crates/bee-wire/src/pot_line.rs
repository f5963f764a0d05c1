//! Lines of honeypots on the node's intake port (9100), and the hello and receipt of clients that want them.

use serde::{Deserialize, Serialize};
use serde_json::value::RawValue;

use crate::secret::Secret;
use crate::time::Micros;

/// One line, whatever its shape.
#[derive(Debug, Clone)]
pub struct PotLine {
    /// The honeypot that the line names (`pot_id`, else `sensor`); the connection's own comes before it.
    pub pot_id: Option<String>,
    /// What kind of honeypot the line says it is from.
    pub pot_type: Option<String>,
    /// What it is; [`crate::event::EVENT_TYPE_UNKNOWN`] if the line doesn't say.
    pub event_type: String,
    /// When it happened; `None` if the line has no time that can be read.
    pub timestamp: Option<Micros>,
    /// The honeypot's own fields, byte for byte: `data` of HoneyBee's shape, else the whole line.
    pub data: Box<RawValue>,
}

/// The first line of a client that wants its lines stored exactly once.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct IntakeHello {
    /// The version of this extension: 1.
    #[serde(rename = "honeybee_intake")]
    pub version: u64,
    /// The client's own name for its sequence of lines; 1 to 64 printable ASCII characters.
    pub producer: String,
    /// Ties the connection to a managed honeypot.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub token: Option<Secret>,
}

/// How many lines of this client's producer are durable on the node.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
pub struct IntakeReceipt {
    /// The number of the next line to send, counting from 0.
    pub next: u64,
}

/// Why a line cannot be used. It belongs into the dead-letter file.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum LineError {
    /// Longer than [`crate::limits::POT_LINE_BYTES_MAX`].
    #[error("the line is longer than {} bytes", crate::limits::POT_LINE_BYTES_MAX)]
    TooLong,
    /// Not UTF-8.
    #[error("the line is not UTF-8")]
    NotUtf8,
    /// Nested deeper than [`crate::limits::JSON_DEPTH_MAX`].
    #[error("the line is nested too deep")]
    TooDeep,
    /// Not a JSON object.
    #[error("the line is not a JSON object: {0}")]
    NotAnObject(String),
    /// A hello that cannot be accepted.
    #[error("the intake hello cannot be accepted: {0}")]
    Hello(String),
}

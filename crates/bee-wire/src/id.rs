//! Identifiers: nodes, commands, streams, artifacts, requests.

use std::fmt;
use std::str::FromStr;

use serde::{Deserialize, Deserializer, Serialize, Serializer};
use uuid::Uuid;

use crate::lenient::{self, Scalar};
use crate::limits;

/// A node's number. Read from numbers and decimal strings, written as a number.
///
/// Numbers that Core mints stay below 2^53, so that JavaScript reads them without loss.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, PartialOrd, Ord, Default, Serialize)]
#[serde(transparent)]
#[cfg_attr(feature = "openapi", derive(utoipa::ToSchema))]
pub struct NodeId(pub u64);

impl NodeId {
    /// Numbers that we mint are smaller than this.
    pub const MINTED_BELOW: u64 = 1 << 53;
}

impl fmt::Display for NodeId {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        self.0.fmt(f)
    }
}

impl FromStr for NodeId {
    type Err = IdError;
    fn from_str(text: &str) -> Result<Self, IdError> {
        text.trim().parse().map(Self).map_err(|_| IdError::Node)
    }
}

impl From<u64> for NodeId {
    fn from(id: u64) -> Self {
        Self(id)
    }
}

impl<'de> Deserialize<'de> for NodeId {
    fn deserialize<D: Deserializer<'de>>(de: D) -> Result<Self, D::Error> {
        lenient::unsigned(de).map(Self)
    }
}

/// The id of one command to one node: a UUIDv7, made by Core.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, PartialOrd, Ord, Serialize, Deserialize)]
#[serde(transparent)]
#[cfg_attr(feature = "openapi", derive(utoipa::ToSchema))]
#[cfg_attr(feature = "openapi", schema(value_type = String, format = "uuid"))]
pub struct CommandId(pub Uuid);

impl fmt::Display for CommandId {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        self.0.fmt(f)
    }
}

impl FromStr for CommandId {
    type Err = IdError;
    fn from_str(text: &str) -> Result<Self, IdError> {
        text.parse().map(Self).map_err(|_| IdError::Command)
    }
}

/// The id of a numbered stream of events (one per spool) or of an artifact on its way.
#[derive(Debug, Clone, PartialEq, Eq, Hash, PartialOrd, Ord, Serialize)]
#[serde(transparent)]
pub struct StreamId(String);

impl StreamId {
    /// Takes 1 to [`limits::STREAM_ID_BYTES_MAX`] characters of `[A-Za-z0-9._-]`.
    ///
    /// # Errors
    /// [`IdError::Stream`] for anything else.
    pub fn new(text: impl Into<String>) -> Result<Self, IdError> {
        let text = text.into();
        if is_plain(&text, limits::STREAM_ID_BYTES_MAX) { Ok(Self(text)) } else { Err(IdError::Stream) }
    }

    /// The id as text.
    pub fn as_str(&self) -> &str {
        &self.0
    }

    /// The artifact whose acknowledgements go by this stream id, if it is one.
    pub fn artifact(&self) -> Option<ArtifactId> {
        self.0.strip_prefix(ARTIFACT_STREAM_PREFIX)?.parse().ok()
    }
}

impl fmt::Display for StreamId {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.0)
    }
}

impl FromStr for StreamId {
    type Err = IdError;
    fn from_str(text: &str) -> Result<Self, IdError> {
        Self::new(text)
    }
}

impl AsRef<str> for StreamId {
    fn as_ref(&self) -> &str {
        &self.0
    }
}

impl<'de> Deserialize<'de> for StreamId {
    fn deserialize<D: Deserializer<'de>>(de: D) -> Result<Self, D::Error> {
        Self::new(lenient::text(de)?.into_owned()).map_err(serde::de::Error::custom)
    }
}

const ARTIFACT_STREAM_PREFIX: &str = "artifact.";

/// An artifact goes by the SHA-256 of its bytes: 64 hexadecimal digits on the wire, written in lower case.
#[derive(Clone, Copy, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub struct ArtifactId(pub [u8; 32]);

impl ArtifactId {
    /// The stream id that acknowledges this artifact's bytes: `artifact.<sha256>`.
    pub fn stream(&self) -> StreamId {
        StreamId(format!("{ARTIFACT_STREAM_PREFIX}{self}"))
    }
}

impl fmt::Display for ArtifactId {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&data_encoding::HEXLOWER.encode(&self.0))
    }
}

impl fmt::Debug for ArtifactId {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "ArtifactId({self})")
    }
}

impl FromStr for ArtifactId {
    type Err = IdError;
    fn from_str(text: &str) -> Result<Self, IdError> {
        let bytes =
            data_encoding::HEXLOWER_PERMISSIVE.decode(text.as_bytes()).map_err(|_| IdError::Artifact)?;
        bytes.try_into().map(Self).map_err(|_| IdError::Artifact)
    }
}

impl Serialize for ArtifactId {
    fn serialize<S: Serializer>(&self, ser: S) -> Result<S::Ok, S::Error> {
        ser.collect_str(self)
    }
}

impl<'de> Deserialize<'de> for ArtifactId {
    fn deserialize<D: Deserializer<'de>>(de: D) -> Result<Self, D::Error> {
        lenient::text(de)?.parse().map_err(serde::de::Error::custom)
    }
}

/// A module's own mark on a request, echoed in its answer: a number or a short text.
#[derive(Debug, Clone, PartialEq, Eq, Hash, Serialize)]
#[serde(untagged)]
pub enum RequestId {
    /// A number.
    Number(u64),
    /// A text of at most [`limits::REQUEST_ID_BYTES_MAX`] bytes.
    Text(String),
}

impl<'de> Deserialize<'de> for RequestId {
    fn deserialize<D: Deserializer<'de>>(de: D) -> Result<Self, D::Error> {
        match lenient::scalar(de)? {
            Scalar::Unsigned(number) => Ok(Self::Number(number)),
            Scalar::Text(text) if text.len() <= limits::REQUEST_ID_BYTES_MAX => {
                Ok(Self::Text(text.into_owned()))
            }
            _ => Err(serde::de::Error::custom(format_args!(
                "request_id must be a whole number or a text of at most {} bytes",
                limits::REQUEST_ID_BYTES_MAX
            ))),
        }
    }
}

/// Whether our own components run a pot under that id: 1 to [`limits::POT_ID_BYTES_MAX`] characters of
/// `[A-Za-z0-9._-]`, not starting with a dot or a dash, so that it is safe as a folder name and as an argument.
pub fn is_pot_id(text: &str) -> bool {
    is_plain(text, limits::POT_ID_BYTES_MAX) && !text.starts_with(['.', '-'])
}

/// Why a text is not the id it should be.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
pub enum IdError {
    /// Not a node id.
    #[error("a node id is a whole number from 0 to 18446744073709551615")]
    Node,
    /// Not a command id.
    #[error("a command id is a UUID")]
    Command,
    /// Not a stream id.
    #[error("a stream id is 1 to 80 letters, digits, dots, underscores or dashes")]
    Stream,
    /// Not a cursor.
    #[error("a cursor is a whole number, as an event id or `next_cursor` gives it")]
    Cursor,
    /// Not an artifact id.
    #[error("an artifact id is a SHA-256 in 64 hexadecimal digits")]
    Artifact,
}

fn is_plain(text: &str, bytes_max: usize) -> bool {
    (1..=bytes_max).contains(&text.len())
        && text.bytes().all(|byte| byte.is_ascii_alphanumeric() || matches!(byte, b'.' | b'_' | b'-'))
}

/// The stream id of a borrowed batch, checked like [`StreamId`].
pub(crate) fn check_stream(text: &str) -> Result<(), IdError> {
    if is_plain(text, limits::STREAM_ID_BYTES_MAX) { Ok(()) } else { Err(IdError::Stream) }
}

/// A place in Core's log of events: everything before it has been seen. Written as decimal text, read also from numbers.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, PartialOrd, Ord, Default)]
#[cfg_attr(feature = "openapi", derive(utoipa::ToSchema))]
#[cfg_attr(feature = "openapi", schema(value_type = String))]
pub struct Cursor(pub u64);

impl fmt::Display for Cursor {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        self.0.fmt(f)
    }
}

impl FromStr for Cursor {
    type Err = IdError;
    fn from_str(text: &str) -> Result<Self, IdError> {
        text.trim().parse().map(Self).map_err(|_| IdError::Cursor)
    }
}

impl Serialize for Cursor {
    fn serialize<S: Serializer>(&self, ser: S) -> Result<S::Ok, S::Error> {
        ser.collect_str(self)
    }
}

impl<'de> Deserialize<'de> for Cursor {
    fn deserialize<D: Deserializer<'de>>(de: D) -> Result<Self, D::Error> {
        lenient::unsigned(de).map(Self)
    }
}

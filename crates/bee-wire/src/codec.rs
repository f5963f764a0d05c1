//! Turns the bytes of one JSON object into a message, and a message into the bytes that go on the wire.
//!
//! Called with what [`crate::frame::FrameDecoder`] found, or with a WebSocket text frame. One pass over the bytes: the
//! payload is read straight from the envelope unless its version comes after it.

use std::fmt;
use std::marker::PhantomData;

use serde::de::value::UnitDeserializer;
use serde::de::{DeserializeSeed, Deserializer, Error, IgnoredAny, MapAccess, Visitor};
use serde::{Deserialize, Serialize};
use serde_json::value::RawValue;

use crate::PROTOCOL_VERSION;
use crate::core::CoreMessage;
use crate::error::ErrorCode;
use crate::event::{EventRef, PotEvent, PotEventBatchRef};
use crate::frame;
use crate::id::{NodeId, RequestId, StreamId};
use crate::lenient;
use crate::limits::ERROR_TEXT_BYTES_MAX;
use crate::module::{BackendMessage, ModuleMessage, Request};
use crate::node::{NodeMessage, PotReport};

/// Why bytes are not a message.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum DecodeError {
    /// The peer speaks another version of the protocol.
    #[error("protocol version {peer}, expected {PROTOCOL_VERSION}")]
    VersionMismatch {
        /// The version it speaks.
        peer: u64,
    },
    /// A message whose name is not known.
    #[error("unknown message {name:?}")]
    UnknownMessage {
        /// Its name, cut to length.
        name: String,
    },
    /// JSON, but not the message that it should be.
    #[error("invalid message: {text}")]
    Malformed {
        /// What is wrong with it, cut to length.
        text: String,
    },
    /// Not JSON.
    #[error("invalid JSON: {text}")]
    NotJson {
        /// What is wrong with it, cut to length.
        text: String,
    },
}

impl DecodeError {
    /// The code to answer with.
    pub const fn code(&self) -> ErrorCode {
        match self {
            Self::VersionMismatch { .. } => ErrorCode::ProtocolVersionMismatch,
            Self::UnknownMessage { .. } | Self::Malformed { .. } => ErrorCode::InvalidMessageFormat,
            Self::NotJson { .. } => ErrorCode::MessageParseFailed,
        }
    }
}

impl From<serde_json::Error> for DecodeError {
    fn from(cause: serde_json::Error) -> Self {
        let text = cut(&cause.to_string());
        if cause.is_data() { Self::Malformed { text } } else { Self::NotJson { text } }
    }
}

/// A message from a node, with the one that carries the load borrowed from its frame.
#[derive(Debug, Clone)]
pub enum NodeFrame<'a> {
    /// A `PotEventBatch`.
    Batch(PotEventBatchRef<'a>),
    /// Any other message.
    Message(NodeMessage),
}

/// Reads a message from a node; everything is copied out of the frame.
///
/// # Errors
/// See [`DecodeError`].
pub fn decode_node(frame: &[u8]) -> Result<NodeMessage, DecodeError> {
    match decode_node_frame(frame)? {
        NodeFrame::Message(message) => Ok(message),
        NodeFrame::Batch(batch) => batch
            .into_owned()
            .map(NodeMessage::PotEventBatch)
            .map_err(|cause| DecodeError::Malformed { text: cause.to_string() }),
    }
}

/// Reads a message from a node; the events of a batch stay in the frame.
///
/// # Errors
/// See [`DecodeError`].
pub fn decode_node_frame(frame: &[u8]) -> Result<NodeFrame<'_>, DecodeError> {
    decode(frame).map(|request| request.message)
}

/// Reads a message from Core to a node.
///
/// # Errors
/// See [`DecodeError`].
pub fn decode_core(frame: &[u8]) -> Result<CoreMessage, DecodeError> {
    decode(frame).map(|request| request.message)
}

/// Reads a message from a module. Refuses what is nested too deep, because WebSocket frames come here unscanned.
///
/// # Errors
/// See [`DecodeError`].
pub fn decode_module(frame: &[u8]) -> Result<Request<ModuleMessage>, DecodeError> {
    check_depth(frame)?;
    decode(frame)
}

/// Reads a message from Core to a module.
///
/// # Errors
/// See [`DecodeError`].
pub fn decode_backend(frame: &[u8]) -> Result<Request<BackendMessage>, DecodeError> {
    check_depth(frame)?;
    decode(frame)
}

/// Writes a message to Core, with its newline.
pub fn encode_node(message: &NodeMessage) -> Vec<u8> {
    encode(message, None)
}

/// Writes a message to a node, with its newline.
pub fn encode_core(message: &CoreMessage) -> Vec<u8> {
    encode(message, None)
}

/// Writes a module's message to Core, with its newline.
pub fn encode_module(request: &Request<ModuleMessage>) -> Vec<u8> {
    encode(&request.message, request.request_id.as_ref())
}

/// Writes a message to a module, with its newline.
pub fn encode_backend(answer: &Request<BackendMessage>) -> Vec<u8> {
    encode(&answer.message, answer.request_id.as_ref())
}

/// Writes one event the way it stands in a batch, without a newline: what a spool stores.
pub fn encode_event(event: &EventRef<'_>) -> Vec<u8> {
    let mut out = Vec::with_capacity(event.data.get().len() + 160);
    write_json(&mut out, event);
    out
}

/// Reads one event as [`encode_event`] wrote it.
///
/// # Errors
/// See [`DecodeError`].
pub fn decode_event(bytes: &[u8]) -> Result<EventRef<'_>, DecodeError> {
    Ok(serde_json::from_str(utf8(bytes)?)?)
}

/// Builds a `PotEventBatch` from events that are already encoded, without parsing them again.
#[derive(Debug)]
pub struct BatchEncoder {
    out: Vec<u8>,
    events_count: usize,
}

impl BatchEncoder {
    /// Starts a batch.
    pub fn new(node_id: NodeId, stream: &StreamId, first_seq: u64) -> Self {
        #[derive(Serialize)]
        struct Head<'a> {
            node_id: NodeId,
            stream: &'a StreamId,
            first_seq: u64,
        }
        let mut out = Vec::with_capacity(16 * 1024);
        out.extend_from_slice(HEAD);
        out.extend_from_slice(b"{\"PotEventBatch\":");
        write_json(&mut out, &Head { node_id, stream, first_seq });
        out.pop();
        out.extend_from_slice(b",\"events\":[");
        Self { out, events_count: 0 }
    }

    /// Adds an event as [`encode_event`] wrote it.
    pub fn push(&mut self, event: &[u8]) {
        if self.events_count > 0 {
            self.out.push(b',');
        }
        self.out.extend_from_slice(event);
        self.events_count += 1;
    }

    /// How many events were added.
    pub const fn events_count(&self) -> usize {
        self.events_count
    }

    /// How many bytes the message has so far.
    pub const fn bytes_len(&self) -> usize {
        self.out.len()
    }

    /// The whole message, with its newline.
    pub fn finish(mut self) -> Vec<u8> {
        self.out.extend_from_slice(b"]}}}\n");
        self.out
    }
}

/// A set of messages that share one direction.
pub(crate) trait Payload<'de>: Sized {
    /// Reads the fields of the message of that name; `None` if there is none, and then the value was not touched.
    fn read<D: Deserializer<'de>>(name: &str, de: D) -> Result<Option<Self>, D::Error>;

    /// Whether there is a message of that name.
    fn knows(name: &str) -> bool;
}

impl<'de> Payload<'de> for NodeFrame<'de> {
    fn read<D: Deserializer<'de>>(name: &str, de: D) -> Result<Option<Self>, D::Error> {
        match name {
            "PotEventBatch" => lenient::or_empty(de).map(|batch| Some(Self::Batch(batch))),
            "PotStatusUpdate" => Ok(Some(Self::Message(match lenient::or_empty(de)? {
                PotReport::Status(status) => NodeMessage::PotStatusUpdate(status),
                PotReport::Event(event) => NodeMessage::PotEvent(event),
            }))),
            _ => Ok(NodeMessage::read(name, de)?.map(Self::Message)),
        }
    }

    fn knows(name: &str) -> bool {
        NodeMessage::knows(name)
    }
}

/// A payload as it was found: known, or only its name.
enum Found<M> {
    Known(M),
    Unknown(String),
}

/// `"Name"`, `{"Name": {..}}` or `{"Name": null}`, with `request_id` beside the name if it must be there.
struct PayloadSeed<'s, M> {
    request_id: Option<&'s mut Option<RequestId>>,
    message: PhantomData<M>,
}

impl<'de, M: Payload<'de>> DeserializeSeed<'de> for PayloadSeed<'_, M> {
    type Value = Found<M>;
    fn deserialize<D: Deserializer<'de>>(self, de: D) -> Result<Found<M>, D::Error> {
        de.deserialize_any(self)
    }
}

impl<'de, M: Payload<'de>> Visitor<'de> for PayloadSeed<'_, M> {
    type Value = Found<M>;

    fn expecting(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("a message: {\"Name\": {..}}")
    }

    fn visit_str<E: Error>(self, name: &str) -> Result<Found<M>, E> {
        Ok(M::read(name, UnitDeserializer::<E>::new())?
            .map_or_else(|| Found::Unknown(cut(name)), Found::Known))
    }

    fn visit_map<A: MapAccess<'de>>(mut self, mut map: A) -> Result<Found<M>, A::Error> {
        let mut found = None;
        while let Some(name) = map.next_key_seed(NameSeed)? {
            if matches!(found, Some(Found::Known(_))) {
                map.next_value::<IgnoredAny>()?;
            } else if M::knows(&name) {
                found =
                    map.next_value_seed(FieldsSeed { name: &name, message: PhantomData })?.map(Found::Known);
            } else if let (Some(request_id), "request_id") = (&mut self.request_id, name.as_ref()) {
                **request_id = map.next_value()?;
            } else {
                map.next_value::<IgnoredAny>()?;
                found.get_or_insert_with(|| Found::Unknown(cut(&name)));
            }
        }
        found.ok_or_else(|| A::Error::custom("the message is empty"))
    }
}

struct FieldsSeed<'n, M> {
    name: &'n str,
    message: PhantomData<M>,
}

impl<'de, M: Payload<'de>> DeserializeSeed<'de> for FieldsSeed<'_, M> {
    type Value = Option<M>;
    fn deserialize<D: Deserializer<'de>>(self, de: D) -> Result<Option<M>, D::Error> {
        M::read(self.name, de)
    }
}

struct NameSeed;

impl<'de> DeserializeSeed<'de> for NameSeed {
    type Value = std::borrow::Cow<'de, str>;
    fn deserialize<D: Deserializer<'de>>(self, de: D) -> Result<Self::Value, D::Error> {
        lenient::text(de)
    }
}

/// Reads an enum of messages that stands inside another message.
pub(crate) fn nested<'de, M: Payload<'de>, D: Deserializer<'de>>(
    what: &'static str,
    de: D,
) -> Result<M, D::Error> {
    match (PayloadSeed { request_id: None, message: PhantomData }).deserialize(de)? {
        Found::Known(message) => Ok(message),
        Found::Unknown(name) => Err(D::Error::custom(crate::error::UnknownName::new(what, &name))),
    }
}

/// What an envelope held. The payload is `None` if it is absent or of another version.
struct Envelope<M> {
    version: Option<u64>,
    request_id: Option<RequestId>,
    payload: Option<Found<M>>,
}

struct EnvelopeVisitor<M>(PhantomData<M>);

#[derive(Deserialize)]
#[serde(field_identifier, rename_all = "snake_case")]
enum EnvelopeField {
    Version,
    Message,
    RequestId,
    #[serde(other)]
    Other,
}

impl<'de, M: Payload<'de>> Visitor<'de> for EnvelopeVisitor<M> {
    type Value = Envelope<M>;

    fn expecting(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("an envelope: {\"version\": 2, \"message\": ..}")
    }

    fn visit_map<A: MapAccess<'de>>(self, mut map: A) -> Result<Envelope<M>, A::Error> {
        let mut envelope = Envelope { version: None, request_id: None, payload: None };
        let mut unread: Option<&'de RawValue> = None;
        let mut message_seen = false;
        while let Some(field) = map.next_key()? {
            match field {
                EnvelopeField::Version if envelope.version.is_some() => {
                    return Err(A::Error::duplicate_field("version"));
                }
                EnvelopeField::Version => envelope.version = Some(map.next_value::<NodeId>()?.0),
                EnvelopeField::Message if message_seen => return Err(A::Error::duplicate_field("message")),
                EnvelopeField::Message => {
                    message_seen = true;
                    match envelope.version {
                        Some(PROTOCOL_VERSION) => {
                            let seed = PayloadSeed {
                                request_id: Some(&mut envelope.request_id),
                                message: PhantomData,
                            };
                            envelope.payload = Some(map.next_value_seed(seed)?);
                        }
                        Some(_) => drop(map.next_value::<IgnoredAny>()?),
                        None => unread = Some(map.next_value()?),
                    }
                }
                EnvelopeField::RequestId => envelope.request_id = map.next_value()?,
                EnvelopeField::Other => drop(map.next_value::<IgnoredAny>()?),
            }
        }
        if let (Some(PROTOCOL_VERSION), Some(raw)) = (envelope.version, unread) {
            let seed = PayloadSeed { request_id: Some(&mut envelope.request_id), message: PhantomData };
            let mut de = serde_json::Deserializer::from_str(raw.get());
            envelope.payload = Some(seed.deserialize(&mut de).map_err(A::Error::custom)?);
        }
        Ok(envelope)
    }
}

fn decode<'de, M: Payload<'de>>(frame: &'de [u8]) -> Result<Request<M>, DecodeError> {
    let mut de = serde_json::Deserializer::from_str(utf8(frame)?);
    let envelope = de.deserialize_map(EnvelopeVisitor::<M>(PhantomData))?;
    de.end()?;
    match envelope {
        Envelope { version: Some(PROTOCOL_VERSION), request_id, payload: Some(Found::Known(message)) } => {
            Ok(Request { request_id, message })
        }
        Envelope { version: Some(PROTOCOL_VERSION), payload: Some(Found::Unknown(name)), .. } => {
            Err(DecodeError::UnknownMessage { name })
        }
        Envelope { version: Some(PROTOCOL_VERSION), payload: None, .. } => {
            Err(DecodeError::Malformed { text: "missing field `message`".to_owned() })
        }
        Envelope { version: Some(peer), .. } => Err(DecodeError::VersionMismatch { peer }),
        Envelope { version: None, .. } => {
            Err(DecodeError::Malformed { text: "missing field `version`".to_owned() })
        }
    }
}

const HEAD: &[u8] = b"{\"version\":2,\"message\":";

fn encode<M: Serialize>(message: &M, request_id: Option<&RequestId>) -> Vec<u8> {
    let mut out = Vec::with_capacity(256);
    match request_id {
        None => out.extend_from_slice(HEAD),
        Some(request_id) => {
            out.extend_from_slice(b"{\"version\":2,\"request_id\":");
            write_json(&mut out, request_id);
            out.extend_from_slice(b",\"message\":");
        }
    }
    write_json(&mut out, message);
    out.extend_from_slice(b"}\n");
    out
}

fn write_json<T: Serialize>(out: &mut Vec<u8>, value: &T) {
    // Only a map whose keys are no text or a failing writer make this fail; these types have neither.
    serde_json::to_writer(out, value).expect("messages have text keys and a Vec takes every byte");
}

fn utf8(bytes: &[u8]) -> Result<&str, DecodeError> {
    std::str::from_utf8(bytes).map_err(|cause| DecodeError::NotJson { text: cause.to_string() })
}

fn check_depth(frame: &[u8]) -> Result<(), DecodeError> {
    if frame::is_too_deep(frame) {
        return Err(DecodeError::NotJson { text: frame::GarbageReason::TooDeep.to_string() });
    }
    Ok(())
}

/// Bounded, for answers and logs.
fn cut(text: &str) -> String {
    let mut end = text.len().min(ERROR_TEXT_BYTES_MAX);
    while !text.is_char_boundary(end) {
        end -= 1;
    }
    text.get(..end).unwrap_or_default().to_owned()
}

impl NodeFrame<'_> {
    /// The single event of a plain v2 peer, if that is what it is.
    pub const fn as_event(&self) -> Option<&PotEvent> {
        match self {
            Self::Message(NodeMessage::PotEvent(event)) => Some(event),
            _ => None,
        }
    }
}

//! Events: what honeypots saw, on its way from a node to Core.
//!
//! The owned forms are for building and for tests; Core reads batches through [`PotEventBatchRef`], which borrows
//! from the frame and copies nothing. `data` stays the bytes that the honeypot wrote.

use std::borrow::Cow;

use serde::Serialize;
use serde_json::value::RawValue;

use crate::id::{NodeId, StreamId};
use crate::time::Micros;

/// The `event_type` of an event that names none.
pub const EVENT_TYPE_UNKNOWN: &str = "unknown";

/// One event.
#[derive(Debug, Clone, Serialize)]
pub struct PotEvent {
    /// The node that sends it; inside a batch it is the batch's and left out here.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub node_id: Option<NodeId>,
    /// The honeypot that saw it.
    pub pot_id: String,
    /// What kind of honeypot that is.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub pot_type: Option<String>,
    /// What it is, for example `cowrie.login.failed`.
    pub event_type: String,
    /// When it happened. `None` if the peer gave no time that can be read: the time of receipt then counts.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub timestamp: Option<Micros>,
    /// The honeypot's own fields: a JSON object, byte for byte.
    pub data: Box<RawValue>,
}

impl PartialEq for PotEvent {
    fn eq(&self, other: &Self) -> bool {
        self.node_id == other.node_id
            && self.pot_id == other.pot_id
            && self.pot_type == other.pot_type
            && self.event_type == other.event_type
            && self.timestamp == other.timestamp
            && self.data.get() == other.data.get()
    }
}

/// Events of one stream, numbered from `first_seq` on.
#[derive(Debug, Clone, PartialEq, Serialize)]
pub struct PotEventBatch {
    /// The sender.
    pub node_id: NodeId,
    /// The stream, one per spool.
    pub stream: StreamId,
    /// The number of the first event.
    pub first_seq: u64,
    /// The events; their `node_id` is `None`.
    pub events: Vec<PotEvent>,
}

/// An event that borrows from the frame it came in. Fields as in [`PotEvent`].
#[derive(Debug, Clone, Serialize)]
pub struct EventRef<'a> {
    /// See [`PotEvent::node_id`].
    #[serde(skip_serializing_if = "Option::is_none")]
    pub node_id: Option<NodeId>,
    /// See [`PotEvent::pot_id`].
    pub pot_id: Cow<'a, str>,
    /// See [`PotEvent::pot_type`].
    #[serde(skip_serializing_if = "Option::is_none")]
    pub pot_type: Option<Cow<'a, str>>,
    /// See [`PotEvent::event_type`].
    pub event_type: Cow<'a, str>,
    /// See [`PotEvent::timestamp`].
    #[serde(skip_serializing_if = "Option::is_none")]
    pub timestamp: Option<Micros>,
    /// See [`PotEvent::data`].
    pub data: Cow<'a, RawValue>,
}

/// A batch that borrows from the frame it came in. Fields as in [`PotEventBatch`].
#[derive(Debug, Clone, Serialize)]
pub struct PotEventBatchRef<'a> {
    /// See [`PotEventBatch::node_id`].
    pub node_id: NodeId,
    /// See [`PotEventBatch::stream`]; checked like a [`StreamId`].
    pub stream: Cow<'a, str>,
    /// See [`PotEventBatch::first_seq`].
    pub first_seq: u64,
    /// See [`PotEventBatch::events`].
    pub events: Vec<EventRef<'a>>,
}

impl EventRef<'_> {
    /// A copy that owns its parts.
    pub fn into_owned(self) -> PotEvent {
        PotEvent {
            node_id: self.node_id,
            pot_id: self.pot_id.into_owned(),
            pot_type: self.pot_type.map(Cow::into_owned),
            event_type: self.event_type.into_owned(),
            timestamp: self.timestamp,
            data: self.data.into_owned(),
        }
    }
}

impl PotEvent {
    /// The same event, borrowed.
    pub fn borrowed(&self) -> EventRef<'_> {
        EventRef {
            node_id: self.node_id,
            pot_id: Cow::Borrowed(&self.pot_id),
            pot_type: self.pot_type.as_deref().map(Cow::Borrowed),
            event_type: Cow::Borrowed(&self.event_type),
            timestamp: self.timestamp,
            data: Cow::Borrowed(&self.data),
        }
    }
}

impl PotEventBatchRef<'_> {
    /// A copy that owns its parts.
    pub fn into_owned(self) -> Result<PotEventBatch, crate::id::IdError> {
        Ok(PotEventBatch {
            node_id: self.node_id,
            stream: StreamId::new(self.stream)?,
            first_seq: self.first_seq,
            events: self.events.into_iter().map(EventRef::into_owned).collect(),
        })
    }
}

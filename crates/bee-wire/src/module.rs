//! The protocol of modules (backends): JSON over TCP on 9002, or one message a text frame over WebSocket.
//!
//! The envelope is Protocol v2's. A `request_id` stands beside `message` in the envelope and is echoed in the answer.

use std::fmt;

use serde::de::{Error, IgnoredAny, MapAccess, Visitor};
use serde::{Deserialize, Deserializer, Serialize};
use serde_json::Value;
use serde_json::value::RawValue;

use crate::api::{Alert, Event, EventQuery, Node, Pot, Severity};
use crate::command::Command;
use crate::error::{ErrorCode, UnknownName};
use crate::id::{Cursor, NodeId, RequestId};
use crate::lenient;
use crate::node::NodeStatus;
use crate::secret::Secret;
use crate::time::Micros;

/// A message with the mark that its sender wants to see again in the answer.
#[derive(Debug, Clone, PartialEq)]
pub struct Request<M> {
    /// The mark, if there is one.
    pub request_id: Option<RequestId>,
    /// The message.
    pub message: M,
}

impl<M> From<M> for Request<M> {
    fn from(message: M) -> Self {
        Self { request_id: None, message }
    }
}

/// A message from a module to Core.
#[derive(Debug, Clone, PartialEq)]
pub enum ModuleMessage {
    /// The first message of a connection.
    BackendRegistration(BackendRegistration),
    /// Asks Core for something; answered with one `BackendResponse`.
    BackendCommand(BackendCommand),
    /// Asks to be sent what happens from now on, or from a cursor on.
    Subscribe(Subscribe),
    /// Asks for stored events; answered with an [`crate::api::EventPage`] in a `BackendResponse`.
    Query(Box<EventQuery>),
    /// Adds an event.
    PublishEvent(PublishEvent),
    /// Raises an alert.
    RaiseAlert(RaiseAlert),
    /// A line for Core's log.
    Log(Log),
    /// Asks for a `Pong`.
    Ping,
    /// The answer to `Ping`.
    Pong,
    /// Ends the subscription.
    Unsubscribe,
    /// A clean leave.
    BackendDrop,
}

wire_messages!(ModuleMessage {
    BackendRegistration(BackendRegistration),
    BackendCommand(BackendCommand),
    Subscribe(Subscribe),
    Query(Box<EventQuery>),
    PublishEvent(PublishEvent),
    RaiseAlert(RaiseAlert),
    Log(Log);
    Ping,
    Pong,
    Unsubscribe,
    BackendDrop,
});

/// A message from Core to a module.
#[derive(Debug, Clone, PartialEq)]
pub enum BackendMessage {
    /// The answer to a request.
    BackendResponse(BackendResponse),
    /// An event of the subscription.
    Event(Box<EventPush>),
    /// A node came, went or changed.
    NodeChanged(Box<NodeChanged>),
    /// A honeypot came, went or changed.
    PotChanged(Box<PotChanged>),
    /// An alert was raised.
    AlertRaised(Box<AlertRaised>),
    /// The subscriber was too slow and missed events; it can query from `cursor` on.
    Lagged(Lagged),
    /// Asks for a `Pong`.
    Ping,
    /// The answer to `Ping`.
    Pong,
}

wire_messages!(BackendMessage {
    BackendResponse(BackendResponse),
    Event(Box<EventPush>),
    NodeChanged(Box<NodeChanged>),
    PotChanged(Box<PotChanged>),
    AlertRaised(Box<AlertRaised>),
    Lagged(Lagged);
    Ping,
    Pong,
});

/// A module introduces itself.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct BackendRegistration {
    /// Its name.
    #[serde(deserialize_with = "lenient::string")]
    pub backend_name: String,
    /// What kind it is.
    pub backend_type: BackendType,
    /// What lets it in.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub token: Option<Secret>,
}

/// What kind a module is. Written as `"Web"` or `{"Custom": "name"}`.
#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
pub enum BackendType {
    /// Serves people.
    Web,
    /// Serves programs.
    Api,
    /// Watches.
    Monitoring,
    /// A command line.
    Cli,
    /// Something else, by name.
    Custom(String),
}

/// A command of a module to Core. Unit commands are read bare as well.
#[derive(Debug, Clone, PartialEq)]
pub enum BackendCommand {
    /// One node.
    GetNode(NodeRef),
    /// The nodes in a state.
    GetNodesByStatus(ByStatus),
    /// Forget a node.
    RemoveNode(NodeRef),
    /// A command to one node.
    NodeCommand(ToNode),
    /// A command to every connected node.
    BroadcastCommand(Broadcast),
    /// Every node: `data.nodes` holds ids, `data.details` views.
    GetNodes,
    /// How many nodes there are.
    GetNodeCount,
    /// How many nodes are connected.
    GetActiveConnections,
}

wire_messages!(BackendCommand {
    GetNode(NodeRef),
    GetNodesByStatus(ByStatus),
    RemoveNode(NodeRef),
    NodeCommand(ToNode),
    BroadcastCommand(Broadcast);
    GetNodes,
    GetNodeCount,
    GetActiveConnections,
});

/// Names a node.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct NodeRef {
    /// Which one.
    pub node_id: NodeId,
}

/// Names a state.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct ByStatus {
    /// Which one.
    pub status: NodeStatus,
}

/// A command to one node.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub struct ToNode {
    /// Which one.
    pub node_id: NodeId,
    /// What to do.
    pub command: Command,
}

/// A command to every connected node.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub struct Broadcast {
    /// What to do.
    pub command: Command,
}

/// The answer to a request: `{"Success": {"message", "data"}}` or `{"Failure": "text"}`.
#[derive(Debug, Clone, PartialEq, Serialize)]
pub enum BackendResponse {
    /// It was done.
    Success(Success),
    /// It was not; a text of ours starts with a code, see [`ErrorCode::of_text`].
    Failure(String),
}

/// What a request brought.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub struct Success {
    /// For people.
    #[serde(default, deserialize_with = "lenient::string_or_empty")]
    pub message: String,
    /// For programs.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub data: Option<Value>,
}

impl BackendResponse {
    /// A success with data.
    pub fn success(message: impl Into<String>, data: Option<Value>) -> Self {
        Self::Success(Success { message: message.into(), data })
    }

    /// A failure whose text starts with its code.
    pub fn failure(code: ErrorCode, text: impl std::fmt::Display) -> Self {
        Self::Failure(code.with_text(text))
    }
}

wire_names! {
    /// What a module can subscribe to.
    pub enum Topic {
        /// Stored events.
        Events = "events",
        /// Changes of nodes.
        Nodes = "nodes",
        /// Changes of honeypots.
        Pots = "pots",
        /// Alerts.
        Alerts = "alerts",
    }
}

/// Asks to be sent what happens.
#[derive(Debug, Clone, PartialEq, Eq, Default, Serialize, Deserialize)]
pub struct Subscribe {
    /// What about; events if none is named.
    #[serde(default, deserialize_with = "lenient::or_default", skip_serializing_if = "Vec::is_empty")]
    pub topics: Vec<Topic>,
    /// Which events, in the filter language; all if left out.
    #[serde(default, deserialize_with = "lenient::string_opt", skip_serializing_if = "Option::is_none")]
    pub filter: Option<String>,
    /// Stored events from here on come first; only new ones if left out.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub from: Option<Cursor>,
}

/// An event of a subscription.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
#[cfg_attr(feature = "openapi", derive(utoipa::ToSchema))]
pub struct EventPush {
    /// Pass it as `from` to go on behind this event.
    pub cursor: Cursor,
    /// The event.
    pub event: Event,
}

/// A node came, went or changed.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
#[cfg_attr(feature = "openapi", derive(utoipa::ToSchema))]
pub struct NodeChanged {
    /// The node as it is now.
    pub node: Node,
    /// Whether it was removed.
    #[serde(default)]
    pub removed: bool,
}

/// A honeypot came, went or changed.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
#[cfg_attr(feature = "openapi", derive(utoipa::ToSchema))]
pub struct PotChanged {
    /// The honeypot as it is now.
    pub pot: Pot,
    /// Whether it was removed.
    #[serde(default)]
    pub removed: bool,
}

/// An alert was raised.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[cfg_attr(feature = "openapi", derive(utoipa::ToSchema))]
pub struct AlertRaised {
    /// The alert.
    pub alert: Alert,
}

/// A subscriber was too slow.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[cfg_attr(feature = "openapi", derive(utoipa::ToSchema))]
pub struct Lagged {
    /// How many events were left out.
    #[serde(deserialize_with = "lenient::unsigned")]
    pub missed: u64,
    /// Where they begin.
    pub cursor: Cursor,
}

/// An event, or an enrichment of one, that a module adds.
#[derive(Debug, Clone, Serialize, Deserialize)]
pub struct PublishEvent {
    /// What it is.
    #[serde(deserialize_with = "lenient::string")]
    pub event_type: String,
    /// When it happened; now if left out.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub timestamp: Option<Micros>,
    /// The honeypot it is about; the module's own name if left out.
    #[serde(default, deserialize_with = "lenient::string_opt", skip_serializing_if = "Option::is_none")]
    pub pot_id: Option<String>,
    /// What kind of honeypot that is.
    #[serde(default, deserialize_with = "lenient::string_opt", skip_serializing_if = "Option::is_none")]
    pub pot_type: Option<String>,
    /// The event that it enriches, if it does.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub enriches: Option<Cursor>,
    /// Tags to add.
    #[serde(default, deserialize_with = "lenient::or_default", skip_serializing_if = "Vec::is_empty")]
    pub tags: Vec<String>,
    /// Its fields: a JSON object, byte for byte.
    #[serde(deserialize_with = "lenient::raw_object")]
    pub data: Box<RawValue>,
}

impl PartialEq for PublishEvent {
    fn eq(&self, other: &Self) -> bool {
        self.event_type == other.event_type
            && self.timestamp == other.timestamp
            && self.pot_id == other.pot_id
            && self.pot_type == other.pot_type
            && self.enriches == other.enriches
            && self.tags == other.tags
            && self.data.get() == other.data.get()
    }
}

/// An alert that a module raises.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct RaiseAlert {
    /// What it is, in one line.
    #[serde(deserialize_with = "lenient::string")]
    pub title: String,
    /// How much it matters.
    pub severity: Severity,
    /// More about it.
    #[serde(default, deserialize_with = "lenient::string_opt", skip_serializing_if = "Option::is_none")]
    pub message: Option<String>,
    /// The events that it is about.
    #[serde(default, deserialize_with = "lenient::or_default", skip_serializing_if = "Vec::is_empty")]
    pub events: Vec<Cursor>,
    /// Alerts with the same key within an hour are one.
    #[serde(default, deserialize_with = "lenient::string_opt", skip_serializing_if = "Option::is_none")]
    pub dedup_key: Option<String>,
}

wire_names! {
    /// How loud a log line is.
    pub enum LogLevel {
        /// For the module's author.
        Debug = "debug",
        /// A change that a human would mention.
        Info = "info",
        /// Worth a look.
        Warn = "warn",
        /// Something failed.
        Error = "error",
    }
}

/// A line for Core's log.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Log {
    /// How loud.
    pub level: LogLevel,
    /// The line.
    #[serde(deserialize_with = "lenient::string")]
    pub message: String,
}

impl<'de> Deserialize<'de> for BackendCommand {
    fn deserialize<D: Deserializer<'de>>(de: D) -> Result<Self, D::Error> {
        crate::codec::nested("command", de)
    }
}

impl<'de> Deserialize<'de> for BackendType {
    fn deserialize<D: Deserializer<'de>>(de: D) -> Result<Self, D::Error> {
        de.deserialize_any(TypeVisitor)
    }
}

struct TypeVisitor;

impl<'de> Visitor<'de> for TypeVisitor {
    type Value = BackendType;

    fn expecting(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("Web, Api, Monitoring, Cli or {\"Custom\": \"name\"}")
    }

    fn visit_str<E: Error>(self, name: &str) -> Result<BackendType, E> {
        named_type(name).ok_or_else(|| E::custom(UnknownName::new("backend type", name)))
    }

    fn visit_map<A: MapAccess<'de>>(self, mut map: A) -> Result<BackendType, A::Error> {
        let mut found = None;
        while let Some(key) = map.next_key::<String>()? {
            if key.eq_ignore_ascii_case("custom") {
                found = Some(BackendType::Custom(map.next_value()?));
            } else {
                map.next_value::<IgnoredAny>()?;
                found = found.or_else(|| named_type(&key));
            }
        }
        found.ok_or_else(|| A::Error::custom("expected Web, Api, Monitoring, Cli or {\"Custom\": \"name\"}"))
    }
}

fn named_type(name: &str) -> Option<BackendType> {
    let types = [
        ("Web", BackendType::Web),
        ("Api", BackendType::Api),
        ("Monitoring", BackendType::Monitoring),
        ("Cli", BackendType::Cli),
    ];
    types.into_iter().find(|(known, _)| known.eq_ignore_ascii_case(name)).map(|(_, kind)| kind)
}

impl<'de> Deserialize<'de> for BackendResponse {
    fn deserialize<D: Deserializer<'de>>(de: D) -> Result<Self, D::Error> {
        #[derive(Deserialize)]
        enum Form {
            Success(Success),
            Failure(#[serde(deserialize_with = "lenient::string")] String),
        }
        Ok(match Form::deserialize(de)? {
            Form::Success(success) => Self::Success(success),
            Form::Failure(text) => Self::Failure(text),
        })
    }
}

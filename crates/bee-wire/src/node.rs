//! Protocol v2, from a node to Core.

use std::fmt;

use serde::de::{Error, IgnoredAny, MapAccess, Visitor};
use serde::{Deserialize, Deserializer, Serialize};
use serde_json::Value;

use crate::error::ErrorCode;
use crate::event::{PotEvent, PotEventBatch};
use crate::id::{ArtifactId, CommandId, NodeId};
use crate::lenient;
use crate::secret::Secret;

/// Extensions to plain v2, used only when both sides list them.
pub mod feature {
    /// Numbered batches of events, acknowledged once they are durable.
    pub const BATCH: &str = "batch";
    /// Answers to commands.
    pub const COMMAND_RESULT: &str = "command_result";
    /// Captured files and session recordings.
    pub const ARTIFACTS: &str = "artifacts";
    /// Core may ask for a TOTP code that the registration lacks.
    pub const TOTP_REQUEST: &str = "totp_request";
    /// Core may answer with `Error`.
    pub const ERRORS: &str = "errors";
    /// All of them.
    pub const ALL: &[&str] = &[BATCH, COMMAND_RESULT, ARTIFACTS, TOTP_REQUEST, ERRORS];
}

/// A message from a node to Core.
#[derive(Debug, Clone, PartialEq)]
pub enum NodeMessage {
    /// The first message of a connection.
    NodeRegistration(Box<NodeRegistration>),
    /// The answer to `TotpRequest`.
    TotpResponse(TotpResponse),
    /// The heartbeat.
    NodeStatusUpdate(NodeStatusUpdate),
    /// Something happened to the node itself.
    NodeEvent(NodeEvent),
    /// The state of a honeypot.
    PotStatusUpdate(PotStatusUpdate),
    /// One event, from a peer without batches.
    PotEvent(PotEvent),
    /// Numbered events.
    PotEventBatch(PotEventBatch),
    /// The end of a command.
    CommandResult(CommandResult),
    /// An artifact begins.
    ArtifactBegin(ArtifactBegin),
    /// A piece of an artifact.
    ArtifactChunk(ArtifactChunk),
    /// All pieces of an artifact were sent.
    ArtifactEnd(ArtifactEnd),
    /// A clean leave.
    NodeDrop,
}

wire_messages!(NodeMessage {
    NodeRegistration(Box<NodeRegistration>),
    TotpResponse(TotpResponse),
    NodeStatusUpdate(NodeStatusUpdate),
    NodeEvent(NodeEvent),
    PotStatusUpdate(PotStatusUpdate),
    PotEvent(PotEvent),
    PotEventBatch(PotEventBatch),
    CommandResult(CommandResult),
    ArtifactBegin(ArtifactBegin),
    ArtifactChunk(ArtifactChunk),
    ArtifactEnd(ArtifactEnd);
    NodeDrop,
});

wire_names! {
    /// What a node is able to do.
    pub enum NodeType {
        /// Runs honeypots.
        Full = "Full",
        /// Watches only; refuses to install honeypots.
        Agent = "Agent",
    }
}

wire_names! {
    /// The state of a node.
    pub enum NodeStatus {
        /// Connected, nothing running yet.
        Connected = "Connected",
        /// Being set up.
        Deploying = "Deploying",
        /// At work.
        Running = "Running",
        /// Left cleanly.
        Stopped = "Stopped",
        /// In trouble.
        Failed = "Failed",
        /// Silent: nobody knows.
        Unknown = "Unknown",
    }
}

wire_names! {
    /// The state of a honeypot.
    pub enum PotStatus {
        /// Being installed.
        Installing = "Installing",
        /// Listening.
        Running = "Running",
        /// Installed, not running.
        Stopped = "Stopped",
        /// Could not be installed or started, or crashed for good.
        Failed = "Failed",
    }
}

wire_names! {
    /// What happened to a node.
    pub enum NodeEventKind {
        /// It came up.
        Started = "Started",
        /// It goes down.
        Stopped = "Stopped",
        /// Something that an operator should see.
        Alarm = "Alarm",
        /// Something that went wrong.
        Error = "Error",
    }
}

wire_names! {
    /// What an artifact is.
    pub enum ArtifactKind {
        /// A file that an attacker fetched or uploaded.
        Download = "download",
        /// A session recording (asciicast v2).
        Ttylog = "ttylog",
        /// Raw bytes that an attacker sent.
        Payload = "payload",
        /// A honeypot's own log.
        Log = "log",
    }
}

/// A node introduces itself. Fields from `features` on are ours.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct NodeRegistration {
    /// Its number; Core may answer with another one.
    pub node_id: NodeId,
    /// Its name.
    #[serde(deserialize_with = "lenient::string")]
    pub node_name: String,
    /// Where it says it listens.
    #[serde(default, deserialize_with = "lenient::string_or_empty")]
    pub address: String,
    /// The port there.
    #[serde(default, deserialize_with = "lenient::port")]
    pub port: u16,
    /// What it is able to do.
    pub node_type: NodeType,
    /// The TOTP code of this moment.
    #[serde(default, deserialize_with = "lenient::totp_code_opt", skip_serializing_if = "Option::is_none")]
    pub totp_code: Option<Secret>,
    /// The extensions it speaks, see [`feature`].
    #[serde(default, deserialize_with = "lenient::features", skip_serializing_if = "Vec::is_empty")]
    pub features: Vec<String>,
    /// The one-time secret of a join code, on the first registration.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub enrollment_token: Option<Secret>,
    /// Name and version of the node software.
    #[serde(default, deserialize_with = "lenient::string_opt", skip_serializing_if = "Option::is_none")]
    pub software: Option<String>,
    /// Operating system.
    #[serde(default, deserialize_with = "lenient::string_opt", skip_serializing_if = "Option::is_none")]
    pub os: Option<String>,
    /// Processor architecture.
    #[serde(default, deserialize_with = "lenient::string_opt", skip_serializing_if = "Option::is_none")]
    pub arch: Option<String>,
    /// Host name.
    #[serde(default, deserialize_with = "lenient::string_opt", skip_serializing_if = "Option::is_none")]
    pub hostname: Option<String>,
    /// Another one after each start of the node daemon.
    #[serde(default, deserialize_with = "lenient::string_opt", skip_serializing_if = "Option::is_none")]
    pub boot_id: Option<String>,
    /// A certificate signing request, PEM (PKCS #10).
    #[serde(default, deserialize_with = "lenient::string_opt", skip_serializing_if = "Option::is_none")]
    pub csr: Option<String>,
}

impl NodeRegistration {
    /// A plain v2 registration; set further fields as needed.
    pub fn new(node_id: NodeId, node_name: impl Into<String>, node_type: NodeType) -> Self {
        Self {
            node_id,
            node_name: node_name.into(),
            address: String::new(),
            port: 0,
            node_type,
            totp_code: None,
            features: Vec::new(),
            enrollment_token: None,
            software: None,
            os: None,
            arch: None,
            hostname: None,
            boot_id: None,
            csr: None,
        }
    }

    /// Whether the node lists that extension.
    pub fn has_feature(&self, feature: &str) -> bool {
        self.features.iter().any(|listed| listed == feature)
    }
}

/// The answer to `TotpRequest`.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct TotpResponse {
    /// The sender.
    pub node_id: NodeId,
    /// Six digits; a number is filled up with zeros in front.
    #[serde(deserialize_with = "lenient::totp_code")]
    pub totp_code: Secret,
}

/// The heartbeat of a node.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub struct NodeStatusUpdate {
    /// The sender.
    pub node_id: NodeId,
    /// Its state.
    pub status: NodeStatus,
    /// How it is doing (ours).
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub health: Option<Health>,
}

/// How a node is doing. What it could not measure is 0.
#[derive(Debug, Clone, PartialEq, Default, Serialize, Deserialize)]
#[cfg_attr(feature = "openapi", derive(utoipa::ToSchema))]
#[serde(default)]
pub struct Health {
    /// Processor use of the node daemon, percent of one core.
    pub cpu_percent: f64,
    /// Resident memory of the node daemon, bytes.
    pub rss_bytes: u64,
    /// Free space where the spool lives, bytes.
    pub disk_free_bytes: u64,
    /// Load average over one minute.
    pub load1: f64,
    /// Events in the spool that Core has not acknowledged.
    pub spool_events: u64,
    /// Bytes of the spool.
    pub spool_bytes: u64,
    /// Seconds since the node daemon started.
    pub uptime_s: u64,
    /// The node's clock, Unix milliseconds, for Core to see how far it is off.
    pub clock_ms: i64,
}

/// Something that happened to the node itself.
///
/// Written as `{"type": .., ..}`; read also from `"Started"` and `{"Alarm": {"description": ..}}`.
#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
pub struct NodeEvent {
    /// What happened.
    #[serde(rename = "type")]
    pub kind: NodeEventKind,
    /// More about it, the word errors use.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub message: Option<String>,
    /// More about it, the word alarms use.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub description: Option<String>,
}

impl NodeEvent {
    /// An event without a text.
    pub const fn new(kind: NodeEventKind) -> Self {
        Self { kind, message: None, description: None }
    }
}

/// The state of a honeypot.
#[derive(Debug, Clone, PartialEq, Serialize)]
pub struct PotStatusUpdate {
    /// The sender.
    pub node_id: NodeId,
    /// Which honeypot.
    pub pot_id: String,
    /// What kind it is.
    pub pot_type: String,
    /// Its state.
    pub status: PotStatus,
    /// More about it.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub message: Option<String>,
    /// More about it, for programs (ours): an object.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub detail: Option<Value>,
}

/// The end of a command.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub struct CommandResult {
    /// The sender.
    pub node_id: NodeId,
    /// Which command.
    pub command_id: CommandId,
    /// Whether it was done.
    #[serde(deserialize_with = "lenient::boolean")]
    pub ok: bool,
    /// Why not. A code that is not known is read as `COMMAND_FAILED`.
    #[serde(default, deserialize_with = "lenient::command_code", skip_serializing_if = "Option::is_none")]
    pub code: Option<ErrorCode>,
    /// For people.
    #[serde(default, deserialize_with = "lenient::string_opt", skip_serializing_if = "Option::is_none")]
    pub message: Option<String>,
    /// What the command asked for.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub data: Option<Value>,
}

/// An artifact begins. Sent again after a reconnect unless it was acknowledged whole.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct ArtifactBegin {
    /// The sender.
    pub node_id: NodeId,
    /// SHA-256 of the bytes.
    pub artifact: ArtifactId,
    /// What it is.
    pub kind: ArtifactKind,
    /// How many bytes it has.
    #[serde(deserialize_with = "lenient::unsigned")]
    pub size: u64,
    /// The honeypot that caught it.
    #[serde(default, deserialize_with = "lenient::string_opt", skip_serializing_if = "Option::is_none")]
    pub pot_id: Option<String>,
}

/// A piece of an artifact.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct ArtifactChunk {
    /// The sender.
    pub node_id: NodeId,
    /// Which artifact.
    pub artifact: ArtifactId,
    /// Where in it the bytes belong.
    #[serde(deserialize_with = "lenient::unsigned")]
    pub offset: u64,
    /// The bytes: base64 on the wire, at most [`crate::limits::ARTIFACT_CHUNK_BYTES_MAX`].
    #[serde(with = "lenient::base64_chunk")]
    pub data: Vec<u8>,
}

/// All pieces of an artifact were sent. The answer is an `EventAck` of [`ArtifactId::stream`] with its size.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct ArtifactEnd {
    /// The sender.
    pub node_id: NodeId,
    /// Which artifact.
    pub artifact: ArtifactId,
}

/// What a `PotStatusUpdate` turned out to be: some nodes in the field send events in it, with an empty status.
pub(crate) enum PotReport {
    Status(PotStatusUpdate),
    Event(PotEvent),
}

impl<'de> Deserialize<'de> for NodeEvent {
    fn deserialize<D: Deserializer<'de>>(de: D) -> Result<Self, D::Error> {
        de.deserialize_any(NodeEventVisitor)
    }
}

#[derive(Default, Deserialize)]
#[serde(default)]
struct Texts {
    #[serde(deserialize_with = "lenient::string_opt")]
    message: Option<String>,
    #[serde(deserialize_with = "lenient::string_opt")]
    description: Option<String>,
}

struct NodeEventVisitor;

impl<'de> Visitor<'de> for NodeEventVisitor {
    type Value = NodeEvent;

    fn expecting(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("a node event")
    }

    fn visit_str<E: Error>(self, name: &str) -> Result<NodeEvent, E> {
        name.parse().map(NodeEvent::new).map_err(E::custom)
    }

    fn visit_map<A: MapAccess<'de>>(self, mut map: A) -> Result<NodeEvent, A::Error> {
        let mut kind = None;
        let mut texts = Texts::default();
        while let Some(key) = map.next_key::<String>()? {
            match key.as_str() {
                "type" => kind = Some(map.next_value()?),
                "message" => texts.message = map.next_value::<Option<Text>>()?.map(|text| text.0),
                "description" => texts.description = map.next_value::<Option<Text>>()?.map(|text| text.0),
                name => match NodeEventKind::parse(name) {
                    Some(named) => {
                        kind = Some(named);
                        texts = map.next_value::<Option<_>>()?.unwrap_or_default();
                    }
                    None => drop(map.next_value::<IgnoredAny>()?),
                },
            }
        }
        let kind = kind.ok_or_else(|| A::Error::missing_field("type"))?;
        Ok(NodeEvent { kind, message: texts.message, description: texts.description })
    }
}

struct Text(String);

impl<'de> Deserialize<'de> for Text {
    fn deserialize<D: Deserializer<'de>>(de: D) -> Result<Self, D::Error> {
        lenient::string(de).map(Self)
    }
}

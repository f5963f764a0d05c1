//! Protocol v2, from Core to a node.

use serde::{Deserialize, Serialize};

use crate::command::Command;
use crate::error::ErrorCode;
use crate::id::{CommandId, NodeId, StreamId};
use crate::lenient;
use crate::secret::Secret;
use crate::time::Micros;

/// A message from Core to a node.
#[derive(Debug, Clone, PartialEq)]
pub enum CoreMessage {
    /// The answer to a registration.
    RegistrationAck(Box<RegistrationAck>),
    /// Asks for the TOTP code that a registration lacks.
    TotpRequest(TotpRequest),
    /// Asks the node to do something.
    NodeCommand(NodeCommand),
    /// Everything below a sequence number is durable.
    EventAck(EventAck),
    /// A message of the node could not be used.
    Error(ErrorReply),
}

wire_messages!(CoreMessage {
    RegistrationAck(Box<RegistrationAck>),
    TotpRequest(TotpRequest),
    NodeCommand(NodeCommand),
    EventAck(EventAck),
    Error(ErrorReply);
});

/// The answer to a registration. Fields from `features` on are ours.
#[derive(Debug, Clone, PartialEq, Eq, Default, Serialize, Deserialize)]
pub struct RegistrationAck {
    /// The node's number from now on; some Cores in the field leave it out.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub node_id: Option<NodeId>,
    /// Whether the node is in.
    #[serde(deserialize_with = "lenient::boolean")]
    pub accepted: bool,
    /// For people; a refusal of ours starts with its code.
    #[serde(default, deserialize_with = "lenient::string_opt", skip_serializing_if = "Option::is_none")]
    pub message: Option<String>,
    /// The node's TOTP key in base32 (RFC 4648), on its first registration alone.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub totp_key: Option<Secret>,
    /// The extensions that both sides speak.
    #[serde(default, deserialize_with = "lenient::features", skip_serializing_if = "Vec::is_empty")]
    pub features: Vec<String>,
    /// How often to send a heartbeat, seconds.
    #[serde(default, deserialize_with = "lenient::unsigned_opt", skip_serializing_if = "Option::is_none")]
    pub heartbeat_interval_s: Option<u64>,
    /// The certificate made for the node's CSR, PEM.
    #[serde(default, deserialize_with = "lenient::string_opt", skip_serializing_if = "Option::is_none")]
    pub certificate: Option<String>,
    /// Where the node's newest stream stands.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub resume: Option<EventAck>,
}

impl RegistrationAck {
    /// A refusal whose text starts with its code.
    pub fn refused(node_id: Option<NodeId>, code: ErrorCode, text: impl std::fmt::Display) -> Self {
        Self { node_id, accepted: false, message: Some(code.with_text(text)), ..Self::default() }
    }

    /// The refusal of a peer that speaks another version, naming both.
    pub fn version_mismatch(peer: u64) -> Self {
        let ours = crate::PROTOCOL_VERSION;
        Self::refused(
            None,
            ErrorCode::ProtocolVersionMismatch,
            format_args!("this Core speaks protocol version {ours}, the node sent version {peer}"),
        )
    }

    /// The code of a refusal, if its text starts with one.
    pub fn refusal_code(&self) -> Option<ErrorCode> {
        if self.accepted { None } else { self.message.as_deref().and_then(ErrorCode::of_text) }
    }

    /// Whether both sides speak that extension.
    pub fn has_feature(&self, feature: &str) -> bool {
        self.features.iter().any(|listed| listed == feature)
    }
}

/// Asks for a TOTP code.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct TotpRequest {
    /// The node asked.
    pub node_id: NodeId,
}

/// Asks a node to do something.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub struct NodeCommand {
    /// The node asked.
    pub node_id: NodeId,
    /// What to do.
    pub command: Command,
    /// By which the result is known (ours). A command sent twice under one id is carried out once.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub command_id: Option<CommandId>,
    /// When Core gives up waiting (ours).
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub deadline: Option<Micros>,
}

/// Everything of `stream` below `next_seq` is durable.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct EventAck {
    /// Which stream, or which artifact (see [`StreamId::artifact`]).
    pub stream: StreamId,
    /// The number the next event should have; for an artifact, how many of its bytes are durable.
    #[serde(deserialize_with = "lenient::unsigned")]
    pub next_seq: u64,
}

/// A message could not be used; the connection goes on.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct ErrorReply {
    /// Why. A code that is not known is read as `INVALID_MESSAGE_FORMAT`.
    #[serde(deserialize_with = "lenient::reply_code")]
    pub code: ErrorCode,
    /// For people.
    #[serde(default, deserialize_with = "lenient::string_or_empty")]
    pub message: String,
}

impl ErrorReply {
    /// An error reply.
    pub fn new(code: ErrorCode, message: impl Into<String>) -> Self {
        Self { code, message: message.into() }
    }
}

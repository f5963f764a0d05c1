//! The stable error codes of the protocol and of the REST API.

wire_names! {
    /// A stable error code. Its name is what peers, API clients and the documentation see.
    pub enum ErrorCode {
        /// The node could not reach Core.
        ConnectionFailed = "CONNECTION_FAILED",
        /// TLS could not be agreed on, or the certificate was not the pinned one.
        TlsHandshakeFailed = "TLS_HANDSHAKE_FAILED",
        /// Core refused the registration.
        RegistrationFailed = "REGISTRATION_FAILED",
        /// A TOTP code, certificate or token was wrong, replayed, expired or missing.
        AuthenticationFailed = "AUTHENTICATION_FAILED",
        /// A configuration file could not be read.
        ConfigReadFailed = "CONFIG_READ_FAILED",
        /// A configuration file could not be parsed.
        ConfigParseFailed = "CONFIG_PARSE_FAILED",
        /// A configuration file says something that cannot be.
        ConfigInvalid = "CONFIG_INVALID",
        /// A node has no name.
        EmptyNodeName = "EMPTY_NODE_NAME",
        /// A node type that is neither `Full` nor `Agent`.
        InvalidNodeType = "INVALID_NODE_TYPE",
        /// A node has no Core address.
        EmptyServerAddr = "EMPTY_SERVER_ADDR",
        /// No honeypot of that id.
        HoneypotNotFound = "HONEYPOT_NOT_FOUND",
        /// A honeypot of that id exists.
        HoneypotAlreadyExists = "HONEYPOT_ALREADY_EXISTS",
        /// A honeypot could not be installed.
        HoneypotInstallFailed = "HONEYPOT_INSTALL_FAILED",
        /// A honeypot could not be started.
        HoneypotStartFailed = "HONEYPOT_START_FAILED",
        /// A honeypot could not be stopped.
        HoneypotStopFailed = "HONEYPOT_STOP_FAILED",
        /// No node of that id.
        NodeNotFound = "NODE_NOT_FOUND",
        /// A node of that id or name is registered and this is not it.
        NodeAlreadyRegistered = "NODE_ALREADY_REGISTERED",
        /// A node id that is not a number, or not the sender's.
        InvalidNodeId = "INVALID_NODE_ID",
        /// The node waits for an operator's approval.
        NodePending = "NODE_PENDING",
        /// A command was carried out and failed.
        CommandFailed = "COMMAND_FAILED",
        /// A command that is not known or makes no sense.
        InvalidCommand = "INVALID_COMMAND",
        /// A command was not answered before its deadline.
        CommandTimeout = "COMMAND_TIMEOUT",
        /// The peer speaks another version of the protocol.
        ProtocolVersionMismatch = "PROTOCOL_VERSION_MISMATCH",
        /// A message whose name or shape is not known.
        InvalidMessageFormat = "INVALID_MESSAGE_FORMAT",
        /// Bytes that are not the JSON they should be.
        MessageParseFailed = "MESSAGE_PARSE_FAILED",
        /// A message over the size limit.
        MessageTooLarge = "MESSAGE_TOO_LARGE",
    }
}

impl ErrorCode {
    /// The code followed by a text, the way codes travel in the messages of plain v2: `CODE: text`.
    pub fn with_text(self, text: impl std::fmt::Display) -> String {
        format!("{self}: {text}")
    }

    /// The code that a text written by [`ErrorCode::with_text`] starts with.
    pub fn of_text(text: &str) -> Option<Self> {
        let name = text.split_once(':').map_or(text, |(name, _)| name);
        Self::ALL.iter().copied().find(|code| code.as_str() == name)
    }
}

/// A name that is none of the ones expected there.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[error("unknown {of} {name:?}")]
pub struct UnknownName {
    of: &'static str,
    name: String,
}

impl UnknownName {
    pub(crate) fn new(of: &'static str, name: &str) -> Self {
        Self { of, name: name.chars().take(40).collect() }
    }
}

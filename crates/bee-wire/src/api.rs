//! The views that REST and WebSocket clients, modules and the CLI read.
//!
//! The names of the seeds (`node_id`, `node_name`, `honeypots`, ..) are kept; ours stand beside them. Ids of nodes appear
//! twice: `node_id` as a number and `id` (in events: `node`) as text, because JavaScript rounds numbers above 2^53.

use std::collections::BTreeMap;

use serde::{Deserialize, Serialize};
use serde_json::Value;
use serde_json::value::RawValue;

use crate::command::Command;
use crate::error::ErrorCode;
use crate::id::{CommandId, Cursor, NodeId};
use crate::lenient;
use crate::node::{Health, NodeStatus, NodeType, PotStatus};
use crate::secret::Secret;
use crate::time::Micros;

wire_names! {
    /// What sort of thing an event is.
    pub enum Category {
        /// Somebody connected or left.
        Connection = "connection",
        /// Somebody tried to log in.
        Auth = "auth",
        /// Somebody ran a command.
        Command = "command",
        /// A file came or went.
        File = "file",
        /// A request, for example over HTTP.
        Request = "request",
        /// Somebody looked around.
        Scan = "scan",
        /// A session began, ended or changed.
        Session = "session",
        /// Anything else.
        Other = "other",
    }
}

wire_names! {
    /// How much an event or an alert matters.
    pub enum Severity {
        /// Good to know.
        Info = "info",
        /// Background noise of the Internet.
        Low = "low",
        /// Somebody is at it.
        Medium = "medium",
        /// Somebody got somewhere.
        High = "high",
        /// Act now.
        Critical = "critical",
    }
}

wire_names! {
    /// What the holder of an API or module token may do.
    pub enum Scope {
        /// Read events.
        EventsRead = "events:read",
        /// Add events.
        EventsWrite = "events:write",
        /// Read nodes, honeypots and commands.
        NodesRead = "nodes:read",
        /// Send commands to nodes.
        NodesCommand = "nodes:command",
        /// Enrol, approve, refuse and remove nodes.
        NodesAdmin = "nodes:admin",
        /// Raise alerts.
        AlertsWrite = "alerts:write",
        /// Make and revoke tokens. Holds every other scope.
        Admin = "admin",
    }
}

wire_names! {
    /// Where a command stands.
    pub enum CommandState {
        /// Waits for its node to be connected.
        Queued = "queued",
        /// Sent, no result yet.
        Sent = "sent",
        /// Done.
        Done = "done",
        /// Failed; `code` says how.
        Failed = "failed",
        /// No result before the deadline.
        TimedOut = "timed_out",
    }
}

/// One event, as stored and enriched by Core.
#[derive(Debug, Clone, Serialize, Deserialize)]
#[cfg_attr(feature = "openapi", derive(utoipa::ToSchema))]
pub struct Event {
    /// Its number in Core's log.
    pub id: Cursor,
    /// When it happened.
    pub time: Micros,
    /// When Core received it.
    pub received: Micros,
    /// The node it came from.
    pub node_id: NodeId,
    /// The same number as text.
    pub node: String,
    /// The name of that node.
    pub node_name: String,
    /// The honeypot on that node.
    pub pot_id: String,
    /// What kind of honeypot that is.
    pub pot_type: String,
    /// What it is, for example `cowrie.login.failed`.
    pub event_type: String,
    /// What sort of thing it is.
    pub category: Category,
    /// The attacker's address.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub src_ip: Option<String>,
    /// The attacker's port.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub src_port: Option<u16>,
    /// The address that was attacked.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub dst_ip: Option<String>,
    /// The port that was attacked.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub dst_port: Option<u16>,
    /// For example `ssh`.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub protocol: Option<String>,
    /// The honeypot's id of the session.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub session: Option<String>,
    /// The user name that was tried.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub username: Option<String>,
    /// The password that was tried.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub password: Option<String>,
    /// The command that was typed.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub command: Option<String>,
    /// The URL that was asked for or downloaded from.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub url: Option<String>,
    /// The path of a request or file.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub path: Option<String>,
    /// What a client says it is.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub user_agent: Option<String>,
    /// SHA-256 of the file it is about.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub sha256: Option<String>,
    /// SSH client fingerprint.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub hassh: Option<String>,
    /// TLS client fingerprint.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub ja4: Option<String>,
    /// ISO 3166-1 alpha-2 code of the source address.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub country: Option<String>,
    /// Autonomous system number of the source address.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub asn: Option<u32>,
    /// Name of that autonomous system.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub as_org: Option<String>,
    /// ATT&CK technique ids and the like.
    #[serde(default)]
    pub tags: Vec<String>,
    /// How much it matters.
    pub severity: Severity,
    /// The honeypot's own fields, untouched.
    #[cfg_attr(feature = "openapi", schema(value_type = Object))]
    pub data: Box<RawValue>,
}

impl PartialEq for Event {
    /// Equal ids are equal events within one Core; the rest is compared so that tests mean something.
    fn eq(&self, other: &Self) -> bool {
        fn text(event: &Event) -> Option<String> {
            serde_json::to_string(event).ok()
        }
        self.id == other.id && text(self) == text(other)
    }
}

/// Events, newest first.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
#[cfg_attr(feature = "openapi", derive(utoipa::ToSchema))]
pub struct EventPage {
    /// The events.
    pub events: Vec<Event>,
    /// Pass it as `before` for the next page; none if there is no more.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub next_cursor: Option<Cursor>,
    /// How many stored events were looked at for this page.
    #[serde(default)]
    pub scanned: u64,
    /// Whether the search stopped at its work limit before the page was full; `next_cursor` goes on from there.
    #[serde(default)]
    pub partial: bool,
}

/// Which events to list. Times and names are combined with AND.
#[derive(Debug, Clone, PartialEq, Eq, Default, Serialize, Deserialize)]
#[cfg_attr(feature = "openapi", derive(utoipa::ToSchema))]
#[serde(default)]
pub struct EventQuery {
    /// At or after this time.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub since: Option<Micros>,
    /// Before this time.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub until: Option<Micros>,
    /// From that node: its id or name.
    #[serde(deserialize_with = "lenient::string_opt", skip_serializing_if = "Option::is_none")]
    pub node: Option<String>,
    /// From the honeypot of that id.
    #[serde(deserialize_with = "lenient::string_opt", skip_serializing_if = "Option::is_none")]
    pub pot: Option<String>,
    /// From honeypots of that kind.
    #[serde(deserialize_with = "lenient::string_opt", skip_serializing_if = "Option::is_none")]
    pub pot_type: Option<String>,
    /// Of that type; `cowrie.login.*` takes all that begin so.
    #[serde(
        rename = "type",
        deserialize_with = "lenient::string_opt",
        skip_serializing_if = "Option::is_none"
    )]
    pub event_type: Option<String>,
    /// Of that category.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub category: Option<Category>,
    /// From that source address or network.
    #[serde(deserialize_with = "lenient::string_opt", skip_serializing_if = "Option::is_none")]
    pub src_ip: Option<String>,
    /// In that session.
    #[serde(deserialize_with = "lenient::string_opt", skip_serializing_if = "Option::is_none")]
    pub session: Option<String>,
    /// Holding that text anywhere in its honeypot's own fields, whatever its case.
    #[serde(deserialize_with = "lenient::string_opt", skip_serializing_if = "Option::is_none")]
    pub text: Option<String>,
    /// Older than that event.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub before: Option<Cursor>,
    /// At most so many, up to [`crate::limits::PAGE_ITEMS_MAX`].
    #[serde(deserialize_with = "lenient::unsigned_opt", skip_serializing_if = "Option::is_none")]
    pub limit: Option<u64>,
}

/// `GET /health`.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[cfg_attr(feature = "openapi", derive(utoipa::ToSchema))]
pub struct HealthStatus {
    /// `ok`.
    pub status: String,
}

/// A node in a list.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
#[cfg_attr(feature = "openapi", derive(utoipa::ToSchema))]
pub struct Node {
    /// Its number.
    pub node_id: NodeId,
    /// The same number as text.
    pub id: String,
    /// Its name.
    pub node_name: String,
    /// Its state.
    pub status: NodeStatus,
    /// What it is able to do.
    pub node_type: NodeType,
    /// Whether it is connected at this moment.
    #[serde(default)]
    pub connected: bool,
    /// The address its connection comes from.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub address: Option<String>,
    /// When it was first let in.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub enrolled: Option<Micros>,
    /// When Core last heard from it.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub last_seen: Option<Micros>,
    /// Its software and version.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub software: Option<String>,
    /// How many honeypots it reported.
    #[serde(default)]
    pub honeypots_count: u64,
    /// How many of its events are stored.
    #[serde(default)]
    pub events_stored: u64,
    /// How many events it had to drop, as far as Core knows.
    #[serde(default)]
    pub events_dropped: u64,
}

/// `GET /api/v1/nodes`.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
#[cfg_attr(feature = "openapi", derive(utoipa::ToSchema))]
pub struct NodeList {
    /// Every known node.
    pub nodes: Vec<Node>,
}

/// `GET /api/v1/nodes/{node_id}`.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
#[cfg_attr(feature = "openapi", derive(utoipa::ToSchema))]
pub struct NodeDetail {
    /// What lists show of it.
    #[serde(flatten)]
    pub node: Node,
    /// Its honeypots.
    pub honeypots: Vec<Pot>,
    /// What its last heartbeat said.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub health: Option<Health>,
    /// Operating system.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub os: Option<String>,
    /// Processor architecture.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub arch: Option<String>,
    /// Host name.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub hostname: Option<String>,
    /// The protocol extensions in use.
    #[serde(default)]
    pub features: Vec<String>,
    /// Whether its connection is encrypted.
    #[serde(default)]
    pub tls: bool,
    /// SHA-256 of its certificate, if it has one.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub certificate_sha256: Option<String>,
}

/// A honeypot.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
#[cfg_attr(feature = "openapi", derive(utoipa::ToSchema))]
pub struct Pot {
    /// The node it runs on.
    pub node_id: NodeId,
    /// The same number as text.
    #[serde(default)]
    pub node: String,
    /// Its id on that node.
    pub pot_id: String,
    /// What kind it is.
    pub pot_type: String,
    /// Its state.
    pub status: PotStatus,
    /// More about its state.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub message: Option<String>,
    /// More about its state, for programs.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub detail: Option<Value>,
    /// When its node last reported it.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub updated: Option<Micros>,
}

/// `GET /api/v1/honeypots`.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
#[cfg_attr(feature = "openapi", derive(utoipa::ToSchema))]
pub struct PotList {
    /// Every known honeypot.
    pub honeypots: Vec<Pot>,
}

/// A command to send to a node.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
#[cfg_attr(feature = "openapi", derive(utoipa::ToSchema))]
pub struct CommandRequest {
    /// What to do, in the form of the node protocol.
    #[cfg_attr(feature = "openapi", schema(value_type = Value))]
    pub command: Command,
    /// How long to wait for its result, seconds.
    #[serde(default, deserialize_with = "lenient::unsigned_opt", skip_serializing_if = "Option::is_none")]
    pub timeout_s: Option<u64>,
}

/// A command and where it stands.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
#[cfg_attr(feature = "openapi", derive(utoipa::ToSchema))]
pub struct CommandView {
    /// Its id.
    pub command_id: CommandId,
    /// The node it is for.
    pub node_id: NodeId,
    /// The same number as text.
    pub node: String,
    /// What to do.
    #[cfg_attr(feature = "openapi", schema(value_type = Value))]
    pub command: Command,
    /// Where it stands.
    pub state: CommandState,
    /// When it was given.
    pub created: Micros,
    /// When Core gives up.
    pub deadline: Micros,
    /// When it ended.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub finished: Option<Micros>,
    /// Why it failed.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub code: Option<ErrorCode>,
    /// For people.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub message: Option<String>,
    /// What it asked for.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub data: Option<Value>,
}

/// Commands, newest first.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
#[cfg_attr(feature = "openapi", derive(utoipa::ToSchema))]
pub struct CommandList {
    /// The commands.
    pub commands: Vec<CommandView>,
}

/// A join token to make. What is left out takes the value of Core's configuration.
#[derive(Debug, Clone, PartialEq, Eq, Default, Serialize, Deserialize)]
#[cfg_attr(feature = "openapi", derive(utoipa::ToSchema))]
#[serde(default)]
pub struct JoinTokenRequest {
    /// How long it is good for, seconds.
    #[serde(deserialize_with = "lenient::unsigned_opt", skip_serializing_if = "Option::is_none")]
    pub expires_in_s: Option<u64>,
    /// How many nodes may use it.
    #[serde(deserialize_with = "lenient::unsigned_opt", skip_serializing_if = "Option::is_none")]
    pub uses: Option<u64>,
    /// A note for the people who run the fleet.
    #[serde(deserialize_with = "lenient::string_opt", skip_serializing_if = "Option::is_none")]
    pub note: Option<String>,
    /// Addresses for the join code instead of the configured ones, `host:port`.
    #[serde(skip_serializing_if = "Vec::is_empty")]
    pub addresses: Vec<String>,
}

/// A join token, without its secret.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[cfg_attr(feature = "openapi", derive(utoipa::ToSchema))]
pub struct JoinToken {
    /// By which it is revoked.
    pub id: String,
    /// When it was made.
    pub created: Micros,
    /// Until when it is good.
    pub expires: Micros,
    /// How many nodes may still use it.
    pub uses_left: u64,
    /// How many nodes used it.
    pub uses_count: u64,
    /// Whether it was revoked.
    pub revoked: bool,
    /// A note for the people who run the fleet.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub note: Option<String>,
}

/// A join token just made; its code is shown this once.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[cfg_attr(feature = "openapi", derive(utoipa::ToSchema))]
pub struct JoinTokenCreated {
    /// The token.
    #[serde(flatten)]
    pub token: JoinToken,
    /// What to give to `honeybee join`, see [`crate::join`].
    #[cfg_attr(feature = "openapi", schema(value_type = String))]
    pub code: Secret,
}

/// `GET /api/v1/join-tokens`.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[cfg_attr(feature = "openapi", derive(utoipa::ToSchema))]
pub struct JoinTokenList {
    /// The tokens, newest first.
    pub tokens: Vec<JoinToken>,
}

/// A node that waits for approval.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[cfg_attr(feature = "openapi", derive(utoipa::ToSchema))]
pub struct PendingNode {
    /// By which it is approved or refused.
    pub id: String,
    /// The number it claims.
    pub node_id: NodeId,
    /// The name it claims.
    pub node_name: String,
    /// What it is able to do.
    pub node_type: NodeType,
    /// The address it comes from.
    pub address: String,
    /// When it first asked.
    pub first_seen: Micros,
    /// When it last asked.
    pub last_seen: Micros,
    /// How often it asked.
    pub attempts: u64,
    /// Its software and version.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub software: Option<String>,
    /// SHA-256 of the public key in its CSR, to compare with what the node prints.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub key_sha256: Option<String>,
}

/// `GET /api/v1/pending`.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[cfg_attr(feature = "openapi", derive(utoipa::ToSchema))]
pub struct PendingNodeList {
    /// The nodes, longest waiting first.
    pub pending: Vec<PendingNode>,
}

/// An API or module token to make.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[cfg_attr(feature = "openapi", derive(utoipa::ToSchema))]
pub struct ApiTokenRequest {
    /// Who or what it is for.
    pub name: String,
    /// What it may do.
    pub scopes: Vec<Scope>,
    /// How long it is good for, seconds; for ever if left out.
    #[serde(default, deserialize_with = "lenient::unsigned_opt", skip_serializing_if = "Option::is_none")]
    pub expires_in_s: Option<u64>,
}

/// An API or module token, without its secret.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[cfg_attr(feature = "openapi", derive(utoipa::ToSchema))]
pub struct ApiToken {
    /// By which it is revoked.
    pub id: String,
    /// Who or what it is for.
    pub name: String,
    /// What it may do.
    pub scopes: Vec<Scope>,
    /// When it was made.
    pub created: Micros,
    /// Until when it is good.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub expires: Option<Micros>,
    /// When it was last used.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub last_used: Option<Micros>,
}

/// A token just made; its secret is shown this once.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[cfg_attr(feature = "openapi", derive(utoipa::ToSchema))]
pub struct ApiTokenCreated {
    /// The token.
    #[serde(flatten)]
    pub token: ApiToken,
    /// What goes into `Authorization: Bearer ..`.
    #[cfg_attr(feature = "openapi", schema(value_type = String))]
    pub secret: Secret,
}

/// `GET /api/v1/tokens`.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[cfg_attr(feature = "openapi", derive(utoipa::ToSchema))]
pub struct ApiTokenList {
    /// The tokens.
    pub tokens: Vec<ApiToken>,
}

/// Something that an operator should look at.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[cfg_attr(feature = "openapi", derive(utoipa::ToSchema))]
pub struct Alert {
    /// Its id.
    pub id: String,
    /// When it was raised.
    pub time: Micros,
    /// What it is, in one line.
    pub title: String,
    /// How much it matters.
    pub severity: Severity,
    /// More about it.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub message: Option<String>,
    /// The events that it is about.
    #[serde(default)]
    pub events: Vec<Cursor>,
    /// Who raised it: a module's name, or `core`.
    pub source: String,
}

/// `GET /api/v1/alerts`.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[cfg_attr(feature = "openapi", derive(utoipa::ToSchema))]
pub struct AlertList {
    /// The alerts, newest first.
    pub alerts: Vec<Alert>,
}

/// `GET /api/v1/status`: how Core is.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
#[cfg_attr(feature = "openapi", derive(utoipa::ToSchema))]
pub struct CoreStatus {
    /// Its version.
    pub version: String,
    /// When this process started.
    pub started: Micros,
    /// Where it listens for nodes, `host:port`.
    pub nodes_listen: String,
    /// Where it serves the API.
    pub http_listen: String,
    /// Where it serves WebSocket modules.
    pub ws_listen: String,
    /// SHA-256 of its CA certificate.
    pub ca_fingerprint: String,
    /// `required`, `optional` or `off`, for nodes.
    pub tls_mode: String,
    /// `token`, `approve` or `open`.
    pub enrollment_mode: String,
    /// Known nodes.
    pub nodes_count: u64,
    /// Nodes connected at this moment.
    pub nodes_connected: u64,
    /// Nodes that wait for approval.
    pub nodes_pending: u64,
    /// Events stored since the installation began.
    pub events_stored: u64,
    /// When the newest event was received.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub last_event: Option<Micros>,
    /// Bytes that the log takes on disk.
    pub log_bytes: u64,
    /// Bytes free where Core writes.
    pub disk_free_bytes: u64,
    /// Size of that file system.
    pub disk_total_bytes: u64,
    /// Counters by name, as `/metrics` shows them.
    #[serde(default)]
    pub counters: BTreeMap<String, u64>,
    /// What is wrong, each with what to do about it.
    #[serde(default)]
    pub problems: Vec<CoreProblem>,
}

/// Something that is wrong with Core itself.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[cfg_attr(feature = "openapi", derive(utoipa::ToSchema))]
pub struct CoreProblem {
    /// Which, for programs: `DISK_NEARLY_FULL`, `LOG_WRITE_FAILED`, ..
    pub code: String,
    /// What is wrong.
    pub message: String,
    /// What to do about it.
    pub help: String,
}

/// A file that a honeypot captured, without its bytes.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[cfg_attr(feature = "openapi", derive(utoipa::ToSchema))]
pub struct Artifact {
    /// Its SHA-256, in lower-case hex.
    pub sha256: String,
    /// Its size.
    pub size: u64,
    /// `download`, `ttylog`, `payload` or `log`.
    pub kind: String,
    /// When Core first received it.
    pub first_seen: Micros,
    /// The node that it first came from.
    pub node_id: NodeId,
}

/// `GET /api/v1/artifacts`.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[cfg_attr(feature = "openapi", derive(utoipa::ToSchema))]
pub struct ArtifactList {
    /// The files, newest first.
    pub artifacts: Vec<Artifact>,
}

/// An error of the REST API (RFC 9457), sent as `application/problem+json`.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
#[cfg_attr(feature = "openapi", derive(utoipa::ToSchema))]
pub struct Problem {
    /// Which error: `urn:honeybee:error:` and the code in lower case.
    #[serde(rename = "type")]
    pub kind: String,
    /// The error in a few words.
    pub title: String,
    /// The HTTP status.
    pub status: u16,
    /// What happened here, and what to do about it.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub detail: Option<String>,
    /// The request that failed.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub instance: Option<String>,
    /// The stable code: one of [`ErrorCode`], or one of HTTP's own errors such as `NOT_FOUND`.
    pub code: String,
    /// Which parameters were wrong, and why.
    #[serde(default, skip_serializing_if = "BTreeMap::is_empty")]
    pub errors: BTreeMap<String, String>,
}

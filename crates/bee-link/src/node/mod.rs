//! A node's end of the link: [`NodeLink`].
//!
//! # How a driver uses it
//! 1. `NodeLink::new` with what is on disk, then [`Input::SpoolAdvanced`] with the spool's position,
//!    then [`Input::Start`].
//! 2. After every input drain [`NodeLink::poll_output`] and carry the outputs out in order. A
//!    [`Output::Save`] must be on disk before the next output is carried out.
//! 3. Feed [`Input::Tick`] no later than [`NodeLink::next_deadline`].
//! 4. There is at most one transport: made for [`Output::Connect`], reported by [`Input::Connected`]
//!    or [`Input::ConnectFailed`], over with [`Input::Closed`] or after [`Output::Close`]. Nothing of
//!    a transport may be fed after its end.
//! 5. [`Output::SendBatch`]: read events from the spool, write them as one message, then feed
//!    [`Input::BatchSent`]; feed it also when there was nothing to read.

mod commands;
mod link;
mod window;

use bee_wire::node::{Health, NodeStatus, NodeType};
use bee_wire::{
    ArtifactId, Command, CommandId, CoreMessage, ErrorCode, NodeId, NodeMessage, Secret, StreamId, limits,
};
use serde::{Deserialize, Serialize};
use serde_json::Value;

pub use commands::{CommandMemory, CommandOutcome, CommandPhase};
pub use link::NodeLink;

use crate::backoff::BackoffConfig;
use crate::totp::TotpKey;

/// What a node says about itself.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Identity {
    /// Its number; 0 while Core has given it none.
    pub node_id: NodeId,
    /// Its name.
    pub node_name: String,
    /// Where it says it listens.
    pub address: String,
    /// The port there.
    pub port: u16,
    /// What it can do.
    pub node_type: NodeType,
    /// Name and version of its software.
    pub software: Option<String>,
    /// Its operating system.
    pub os: Option<String>,
    /// Its processor architecture.
    pub arch: Option<String>,
    /// Its host name.
    pub hostname: Option<String>,
    /// Another one after each start.
    pub boot_id: Option<String>,
}

/// What a node proves itself with.
#[derive(Debug, Clone, PartialEq, Eq, Default)]
pub struct Credentials {
    /// The key of its codes, once Core gave it one.
    pub totp_key: Option<TotpKey>,
    /// Whether it holds a certificate that its transport presents in the TLS handshake.
    pub has_certificate: bool,
    /// The secret of a join code; sent until Core has given the node a key.
    pub enrollment_token: Option<Secret>,
    /// A certificate signing request, PEM; sent until Core has answered it with a certificate.
    pub csr: Option<String>,
}

/// Settings of the link. Times in milliseconds.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct LinkConfig {
    /// Extensions that the node speaks, names from [`bee_wire::node::feature`].
    pub features: Vec<String>,
    /// Time between heartbeats where Core names none.
    pub heartbeat_interval_ms: u64,
    /// Longest wait for a transport.
    pub connect_timeout_ms: u64,
    /// Longest wait for each answer while registering.
    pub registration_timeout_ms: u64,
    /// Longest wait for an acknowledgement before the connection counts as dead.
    pub ack_timeout_ms: u64,
    /// A connection that lasted this long, or brought an acknowledgement, starts the back-off anew.
    pub stable_after_ms: u64,
    /// Time between attempts while an operator has to approve the node (from half of it on).
    pub pending_retry_ms: u64,
    /// Time between attempts that fail.
    pub backoff: BackoffConfig,
    /// Batches without acknowledgement at most.
    pub window_batches_max: usize,
    /// Bytes without acknowledgement at which no further batch is begun.
    pub window_bytes_max: u64,
    /// Events in one batch at most.
    pub batch_events_max: u64,
    /// Bytes in one batch at most.
    pub batch_bytes_max: u64,
}

impl Default for LinkConfig {
    fn default() -> Self {
        LinkConfig {
            features: bee_wire::node::feature::ALL.iter().map(|name| (*name).to_owned()).collect(),
            heartbeat_interval_ms: 30_000,
            connect_timeout_ms: 10_000,
            registration_timeout_ms: 30_000,
            ack_timeout_ms: 120_000,
            stable_after_ms: 10_000,
            pending_retry_ms: 10_000,
            backoff: BackoffConfig::default(),
            window_batches_max: 32,
            window_bytes_max: 8 * 1024 * 1024,
            batch_events_max: 5_000,
            // Core holds one batch of each node that sends: a hundred nodes with a full spool cost it 100 MB
            // instead of 450, take turns four times as often, and are stored as fast (docs/benchmarks.md).
            batch_bytes_max: 256 * 1024,
        }
    }
}

const _: () = assert!(5_000 <= limits::BATCH_EVENTS_MAX && 256 * 1024 <= limits::BATCH_BYTES_MAX);

/// What happens to a node's link.
#[derive(Debug)]
pub enum Input {
    /// Begin, and stay connected from now on.
    Start,
    /// The transport that [`Output::Connect`] asked for is there, its TLS handshake included.
    Connected,
    /// It could not be made.
    ConnectFailed,
    /// Core sent a message.
    Message(CoreMessage),
    /// Core sent something that is no message.
    Garbage,
    /// The transport is gone.
    Closed,
    /// The spool's position: everything durable in it has numbers from `first_seq` up to, not
    /// including, `next_seq`. Feed it before [`Input::Start`], after each commit and after the spool
    /// dropped events. Another `stream` means another spool.
    SpoolAdvanced {
        /// The spool's stream.
        stream: StreamId,
        /// The oldest number it still has.
        first_seq: u64,
        /// The number of the next event.
        next_seq: u64,
    },
    /// The batch that [`Output::SendBatch`] asked for was written to the transport.
    BatchSent {
        /// The number behind its last event; the requested `first_seq` if there was nothing to read.
        next_seq: u64,
        /// Its size.
        bytes: u64,
    },
    /// A command has ended.
    CommandFinished {
        /// Which; `None` for one from a Core that does not name them.
        command_id: Option<CommandId>,
        /// How.
        outcome: CommandOutcome,
    },
    /// Send this if the node is registered now; otherwise it is dropped and counted. For states and
    /// notices that the driver repeats after [`Output::Registered`], never for events.
    Send(NodeMessage),
    /// The node's state, for its heartbeats; a new one is sent at once.
    Status(NodeStatus),
    /// How the node is doing, for its heartbeats.
    Health(Health),
    /// Ask for a new certificate at the next registration.
    Renew {
        /// The certificate signing request, PEM.
        csr: String,
    },
    /// Time has passed.
    Tick,
    /// Say goodbye and stop.
    Leave,
}

/// What a node's link wants done.
#[derive(Debug, Clone, PartialEq)]
pub enum Output {
    /// Make a transport to Core.
    Connect,
    /// Send a message.
    Send(NodeMessage),
    /// Send events of the spool, then feed [`Input::BatchSent`].
    SendBatch(BatchRequest),
    /// Core has everything below this number: the spool may forget it.
    TruncateSpool {
        /// The spool's stream.
        stream: StreamId,
        /// The first number to keep.
        below: u64,
    },
    /// Core has stored numbers of this stream that the spool has not reached: the spool is an old
    /// copy. Begin a new spool with a new stream id, numbered from 0, and feed
    /// [`Input::SpoolAdvanced`]. What the old one still holds is stored at Core already, except for
    /// events captured after it was restored; a driver that cannot tell them apart moves all of
    /// them to the new spool (stored twice rather than lost). Nothing is sent until then.
    RenewStream {
        /// The stream that must not be used any more.
        stream: StreamId,
        /// Where Core stands in it.
        core_next_seq: u64,
    },
    /// Write this to disk before carrying out the next output.
    Save(Save),
    /// Carry out a command, then feed [`Input::CommandFinished`].
    Run {
        /// Its id; `None` from a Core that does not name commands.
        command_id: Option<CommandId>,
        /// What to do.
        command: Command,
        /// When Core stops waiting, Unix milliseconds.
        deadline_unix_ms: Option<i64>,
    },
    /// The command's time is over; its result is of no use any more.
    Abandon {
        /// Which.
        command_id: CommandId,
    },
    /// The node is in. Send the state of each pot now, and artifacts that are not stored yet.
    Registered {
        /// Its number.
        node_id: NodeId,
        /// The extensions that both sides speak.
        features: Vec<String>,
    },
    /// Core refused the registration; another attempt follows by itself.
    Refused {
        /// Why, for programs.
        code: Option<ErrorCode>,
        /// Why, in Core's words.
        message: String,
    },
    /// Core could not use a message, or says why it is about to close.
    CoreError {
        /// Why, for programs.
        code: ErrorCode,
        /// Why, in Core's words.
        message: String,
    },
    /// So many bytes of an artifact are durable at Core.
    ArtifactStored {
        /// Which.
        artifact: ArtifactId,
        /// How many.
        size: u64,
    },
    /// Send what is before this, then close the transport.
    Close {
        /// Why, for the log.
        reason: &'static str,
    },
    /// The node has left; no output follows.
    Left,
}

/// A batch to read from the spool and send.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct BatchRequest {
    /// The spool's stream.
    pub stream: StreamId,
    /// The first number; where the spool has a hole, the batch begins behind it.
    pub first_seq: u64,
    /// Events at most.
    pub events_max: u64,
    /// Bytes at most, except that one event is always sent.
    pub bytes_max: u64,
    /// True: one `PotEventBatch`. False: Core does not speak batches; send each as a `PotEvent`.
    pub numbered: bool,
}

/// Something to keep on disk.
#[derive(Debug, Clone, PartialEq)]
pub enum Save {
    /// Core gave the node a number, a key or a certificate.
    Credentials {
        /// Its number.
        node_id: NodeId,
        /// A new TOTP key.
        totp_key: Option<TotpKey>,
        /// A new certificate, PEM.
        certificate: Option<String>,
    },
    /// A command is new or has ended; keep it under its id.
    Command(CommandMemory),
    /// A command need not be remembered any more.
    CommandForgotten(CommandId),
}

/// What a link has met, counted.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default, Serialize, Deserialize)]
pub struct LinkCounters {
    /// Transports asked for.
    pub connects: u64,
    /// Registrations accepted.
    pub registrations: u64,
    /// Registrations refused.
    pub refusals: u64,
    /// Messages from Core that could not be read.
    pub garbage: u64,
    /// Messages dropped because the node was not registered.
    pub unsent: u64,
}

/// A successful outcome without data, and a failed one: the two that most commands need.
impl CommandOutcome {
    /// It was done.
    pub fn ok(data: Option<Value>) -> Self {
        CommandOutcome { ok: true, code: None, message: None, data }
    }

    /// It was not done.
    pub fn failed(code: ErrorCode, message: impl Into<String>) -> Self {
        CommandOutcome { ok: false, code: Some(code), message: Some(message.into()), data: None }
    }
}

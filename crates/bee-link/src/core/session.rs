//! Core's end of one connection, from its first byte to its last.
//!
//! The driver (one task a connection) feeds inputs and carries out outputs in order. A session
//! never decides who is let in (`Registry` does) and never knows what is stored (`Marks` does); it
//! keeps the order of the conversation, the peer's features, and the silence of the peer.

use std::collections::VecDeque;

use bee_wire::core::{EventAck, NodeCommand, RegistrationAck, TotpRequest};
use bee_wire::node::{
    ArtifactBegin, ArtifactChunk, ArtifactEnd, CommandResult, Health, NodeEvent, NodeRegistration,
    NodeStatus, NodeStatusUpdate, PotStatusUpdate, feature,
};
use bee_wire::{
    CoreMessage, DecodeError, ErrorCode, NodeId, NodeMessage, PotEvent, PotEventBatch, Secret, StreamId,
};
use bee_wire::{Micros, core::ErrorReply};

use super::Outgoing;
use crate::Now;

/// Frames in a row that cannot be read before a registration, after which the peer is no node.
const UNDECODABLE_MAX: u32 = 3;
/// Heartbeats missed before a node counts as silent, in halves: the third is due at six halves.
const SILENCE_HALF_INTERVALS: u64 = 7;
/// The heartbeat interval of peers that are not told one, in milliseconds.
const PLAIN_HEARTBEAT_MS: u64 = 30_000;
/// Messages held while a decision is pending; a driver that heeds `wants_message` needs none.
const HELD_MAX: usize = 32;

/// Settings of a session.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct SessionConfig {
    /// How often nodes are asked to send a heartbeat, in seconds.
    pub heartbeat_interval_s: u64,
    /// How long a peer may take to register, in milliseconds; the decision itself does not count.
    pub registration_timeout_ms: u64,
    /// Extensions that Core speaks, names from [`bee_wire::node::feature`].
    pub features: Vec<String>,
}

impl Default for SessionConfig {
    fn default() -> Self {
        SessionConfig {
            heartbeat_interval_s: 30,
            registration_timeout_ms: 30_000,
            features: feature::ALL.iter().map(|name| (*name).to_owned()).collect(),
        }
    }
}

/// What a peer asks to be let in with.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct RegistrationRequest {
    /// The registration as it came.
    pub registration: Box<NodeRegistration>,
    /// The code from a `TotpResponse`, once the peer was asked.
    pub answered: Option<Secret>,
}

impl RegistrationRequest {
    /// The TOTP code, from the answer or the registration; an empty one is none.
    pub fn code(&self) -> Option<&str> {
        let code = self.answered.as_ref().or(self.registration.totp_code.as_ref())?.expose().trim();
        (!code.is_empty()).then_some(code)
    }
}

/// The decision on a registration.
#[derive(Debug, Clone, PartialEq)]
pub enum Verdict {
    /// The node is in.
    Accept(Box<Accepted>),
    /// Ask for the TOTP code.
    NeedCode,
    /// The node stays out.
    Refuse {
        /// Why, for programs.
        code: ErrorCode,
        /// Why, for people, and what to do.
        message: String,
    },
}

/// What an accepted node is told. `Registry` fills in the first half, the driver the second.
#[derive(Debug, Clone, PartialEq)]
pub struct Accepted {
    /// Its number from now on.
    pub node_id: NodeId,
    /// Its TOTP key, while it has not shown that it holds one.
    pub totp_key: Option<Secret>,
    /// The CSR to sign for `node_id`, PEM; take the certificate's names from `node_id`, not from it.
    pub sign: Option<String>,
    /// The certificate made of it, PEM.
    pub certificate: Option<String>,
    /// Where its newest stream stands, from `Marks::resume`.
    pub resume: Option<EventAck>,
}

/// The head of a batch that the driver has decoded without copying its events.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct BatchHead {
    /// The sender as it claims.
    pub node_id: NodeId,
    /// The stream.
    pub stream: StreamId,
    /// The number of the first event.
    pub first_seq: u64,
    /// Events in the batch.
    pub events_count: u64,
}

/// What happens to a session.
#[derive(Debug)]
pub enum Input {
    /// A message was read.
    Message(NodeMessage),
    /// A frame was read that is no message.
    Undecodable(DecodeError),
    /// Bytes between frames were skipped, or a frame was not even text.
    Garbage,
    /// The peer passed the frame limit.
    FrameTooLarge,
    /// The registry has decided, and its changes are durable.
    Verdict(Verdict),
    /// Everything of a stream below `next_seq` is durable (or of an artifact, below that byte).
    Stored {
        /// Which stream.
        stream: StreamId,
        /// The first number that is not durable.
        next_seq: u64,
    },
    /// Send a command.
    Command(Outgoing),
    /// A newer connection of the same node has authenticated.
    Replaced,
    /// Core ends the connection: it stops, or an operator removed the node.
    Shutdown {
        /// Why, for programs.
        code: ErrorCode,
        /// Why, for people.
        reason: String,
    },
    /// Time has passed.
    Tick,
    /// The transport is gone.
    Closed,
}

/// What a session wants done.
#[derive(Debug, Clone, PartialEq)]
pub enum Output {
    /// Send a message.
    Send(CoreMessage),
    /// Ask the registry, then feed [`Input::Verdict`].
    Decide(RegistrationRequest),
    /// The node is in, and its acknowledgement is among the outputs before this one.
    Registered {
        /// Its number.
        node_id: NodeId,
        /// What it said about itself.
        registration: Box<NodeRegistration>,
        /// The extensions that both sides speak.
        features: Vec<String>,
    },
    /// Store these numbered events once, and answer with [`Input::Stored`].
    Ingest(PotEventBatch),
    /// Store this event.
    IngestEvent(PotEvent),
    /// The node's state: from its heartbeat, or `Unknown` when it has fallen silent.
    Status {
        /// The state.
        status: NodeStatus,
        /// How the node is doing, if it said.
        health: Option<Health>,
    },
    /// Something happened to the node.
    NodeEvent(NodeEvent),
    /// The state of one of its pots.
    PotStatus(PotStatusUpdate),
    /// A command has ended.
    CommandResult(CommandResult),
    /// A command was sent.
    CommandSent {
        /// Which.
        command_id: bee_wire::CommandId,
        /// Whether the node will answer it; a plain peer does not.
        answered: bool,
    },
    /// An artifact begins.
    ArtifactBegin(ArtifactBegin),
    /// A piece of an artifact.
    ArtifactChunk(ArtifactChunk),
    /// An artifact is complete; answer with [`Input::Stored`] on `artifact.stream()`.
    ArtifactEnd(ArtifactEnd),
    /// A registered node has gone. It is `Stopped` if `Registry::detach` says that this was its live
    /// connection.
    Gone {
        /// Whether it said goodbye.
        clean: bool,
    },
    /// Send what is before this, then close the transport. Comes once; no output follows it.
    Close {
        /// Why, for programs; none after a clean leave.
        code: Option<ErrorCode>,
        /// Why, for the log.
        reason: String,
    },
}

/// What a peer did wrong, counted.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub struct Counters {
    /// Frames that could not be read.
    pub undecodable: u64,
    /// Messages at a moment where they make no sense.
    pub misplaced: u64,
    /// Messages that named another node than the sender; they count as the sender's.
    pub foreign_node_ids: u64,
    /// Messages refused because the driver went on reading during a decision.
    pub held_refused: u64,
}

#[derive(Debug)]
enum State {
    /// Waiting for the registration, or for a code.
    Unregistered {
        asked: Option<Box<NodeRegistration>>,
    },
    Deciding {
        request: RegistrationRequest,
    },
    Live(Live),
    Closed,
}

#[derive(Debug)]
struct Live {
    node_id: NodeId,
    claimed_id: NodeId,
    features: Vec<String>,
    interval_ms: u64,
    heard_ms: u64,
    silent: bool,
    status: NodeStatus,
}

impl Live {
    fn has(&self, feature: &str) -> bool {
        self.features.iter().any(|name| name == feature)
    }

    fn silent_at(&self) -> u64 {
        self.heard_ms.saturating_add(self.interval_ms.saturating_mul(SILENCE_HALF_INTERVALS) / 2)
    }
}

/// Core's end of one connection.
#[derive(Debug)]
pub struct Session {
    config: SessionConfig,
    state: State,
    opened_ms: u64,
    undecodable_in_a_row: u32,
    held: VecDeque<NodeMessage>,
    outputs: VecDeque<Output>,
    counters: Counters,
}

impl Session {
    /// A connection that was just accepted.
    pub fn new(config: SessionConfig, now: Now) -> Self {
        Session {
            config,
            state: State::Unregistered { asked: None },
            opened_ms: now.mono_ms,
            undecodable_in_a_row: 0,
            held: VecDeque::new(),
            outputs: VecDeque::new(),
            counters: Counters::default(),
        }
    }

    /// Takes one input. Drain [`Session::poll_output`] afterwards.
    pub fn handle(&mut self, now: Now, input: Input) {
        if matches!(self.state, State::Closed) {
            return;
        }
        match input {
            Input::Message(message) => self.message(now, message),
            Input::Undecodable(error) => self.undecodable(&error),
            Input::Garbage => self.garbage(),
            Input::FrameTooLarge => {
                let reason = "the frame passes the size limit";
                self.reply_error(ErrorCode::MessageTooLarge, reason.into());
                self.close(Some(ErrorCode::MessageTooLarge), reason.into());
            }
            Input::Verdict(verdict) => self.verdict(now, verdict),
            Input::Stored { stream, next_seq } => {
                if self.live().is_some_and(|live| live.has(feature::BATCH) || live.has(feature::ARTIFACTS)) {
                    self.send(CoreMessage::EventAck(EventAck { stream, next_seq }));
                }
            }
            Input::Command(outgoing) => self.command(outgoing),
            Input::Replaced => {
                let reason = "another connection has authenticated as this node";
                self.dismiss(ErrorCode::NodeAlreadyRegistered, reason.into());
            }
            Input::Shutdown { code, reason } => self.dismiss(code, reason),
            Input::Tick => self.tick(now),
            Input::Closed => self.closed(false),
        }
    }

    /// The next thing to do, in order.
    pub fn poll_output(&mut self) -> Option<Output> {
        self.outputs.pop_front()
    }

    /// Whether the next message may be fed. False while a decision is pending: stop reading then,
    /// so that a peer's pipelined messages wait in its own socket.
    pub fn wants_message(&self) -> bool {
        matches!(self.state, State::Unregistered { .. } | State::Live(_)) && self.held.is_empty()
    }

    /// When to feed [`Input::Tick`] at the latest, on the monotonic clock.
    pub fn next_deadline(&self) -> Option<u64> {
        match &self.state {
            State::Unregistered { .. } => Some(self.registration_deadline()),
            State::Live(live) if !live.silent => Some(live.silent_at()),
            State::Live(_) | State::Deciding { .. } | State::Closed => None,
        }
    }

    /// The hot path: a batch whose events the driver keeps in the frame they came in. True if the
    /// driver must ingest it, as this session's node whatever the batch claims; false if the peer
    /// has not registered.
    pub fn batch(&mut self, now: Now, head: &BatchHead) -> bool {
        if self.heard(now, Some(head.node_id)) {
            return true;
        }
        self.misplaced("PotEventBatch");
        false
    }

    /// The node's number, once it is in.
    pub fn node_id(&self) -> Option<NodeId> {
        self.live().map(|live| live.node_id)
    }

    /// Whether both sides speak an extension.
    pub fn has_feature(&self, feature: &str) -> bool {
        self.live().is_some_and(|live| live.has(feature))
    }

    /// Whether the session is over; it ignores every input then.
    pub fn is_closed(&self) -> bool {
        matches!(self.state, State::Closed)
    }

    /// What the peer did wrong so far.
    pub fn counters(&self) -> Counters {
        self.counters
    }

    fn message(&mut self, now: Now, message: NodeMessage) {
        self.undecodable_in_a_row = 0;
        match &mut self.state {
            State::Unregistered { asked } => match (message, asked.take()) {
                (NodeMessage::NodeRegistration(registration), _) => self.decide(registration, None),
                (NodeMessage::TotpResponse(response), Some(registration)) => {
                    self.decide(registration, Some(response.totp_code));
                }
                (NodeMessage::NodeDrop, _) => self.close(None, "the peer left before it registered".into()),
                (_, asked) => {
                    self.state = State::Unregistered { asked };
                    self.counters.misplaced += 1;
                }
            },
            State::Deciding { .. } if self.held.len() < HELD_MAX => self.held.push_back(message),
            State::Deciding { .. } => self.counters.held_refused += 1,
            State::Live(_) => self.live_message(now, message),
            State::Closed => {}
        }
    }

    fn decide(&mut self, registration: Box<NodeRegistration>, answered: Option<Secret>) {
        let request = RegistrationRequest { registration, answered };
        self.outputs.push_back(Output::Decide(request.clone()));
        self.state = State::Deciding { request };
    }

    fn verdict(&mut self, now: Now, verdict: Verdict) {
        let State::Deciding { request } = &self.state else { return };
        let registration = request.registration.clone();
        match verdict {
            Verdict::Accept(accepted) => self.accept(now, registration, *accepted),
            Verdict::NeedCode => {
                self.send(CoreMessage::TotpRequest(TotpRequest { node_id: registration.node_id }));
                self.opened_ms = now.mono_ms;
                self.state = State::Unregistered { asked: Some(registration) };
            }
            Verdict::Refuse { code, message } => {
                let ack = RegistrationAck::refused(Some(registration.node_id), code, &message);
                self.send(CoreMessage::RegistrationAck(Box::new(ack)));
                self.close(Some(code), message);
            }
        }
        while !matches!(self.state, State::Deciding { .. })
            && let Some(message) = self.held.pop_front()
        {
            self.message(now, message);
        }
    }

    fn accept(&mut self, now: Now, registration: Box<NodeRegistration>, accepted: Accepted) {
        let ours = self.config.features.iter();
        let features: Vec<String> = ours.filter(|name| registration.has_feature(name)).cloned().collect();
        // A peer that lists nothing is plain v2: it gets the plain answer.
        let plain = registration.features.is_empty();
        let configured_ms = self.config.heartbeat_interval_s.max(1).saturating_mul(1_000);
        let ack = RegistrationAck {
            node_id: Some(accepted.node_id),
            accepted: true,
            message: Some("Registration successful".into()),
            totp_key: accepted.totp_key,
            features: features.clone(),
            heartbeat_interval_s: (!plain).then_some(configured_ms / 1_000),
            certificate: accepted.certificate,
            resume: accepted.resume.filter(|_| features.iter().any(|name| name == feature::BATCH)),
        };
        self.send(CoreMessage::RegistrationAck(Box::new(ack)));
        self.state = State::Live(Live {
            node_id: accepted.node_id,
            claimed_id: registration.node_id,
            features: features.clone(),
            interval_ms: if plain { configured_ms.max(PLAIN_HEARTBEAT_MS) } else { configured_ms },
            heard_ms: now.mono_ms,
            silent: false,
            status: NodeStatus::Connected,
        });
        self.outputs.push_back(Output::Registered { node_id: accepted.node_id, registration, features });
        self.outputs.push_back(Output::Status { status: NodeStatus::Connected, health: None });
    }

    fn live_message(&mut self, now: Now, message: NodeMessage) {
        self.heard(now, claimed_id(&message));
        match message {
            NodeMessage::NodeRegistration(_) => self.registered_again(),
            NodeMessage::TotpResponse(_) => self.misplaced("TotpResponse"),
            NodeMessage::NodeStatusUpdate(NodeStatusUpdate { status, health, .. }) => {
                if let State::Live(live) = &mut self.state {
                    live.status = status;
                }
                self.outputs.push_back(Output::Status { status, health });
            }
            NodeMessage::NodeEvent(event) => self.outputs.push_back(Output::NodeEvent(event)),
            NodeMessage::PotStatusUpdate(update) => self.outputs.push_back(Output::PotStatus(update)),
            NodeMessage::PotEvent(event) => self.outputs.push_back(Output::IngestEvent(event)),
            NodeMessage::PotEventBatch(batch) => self.outputs.push_back(Output::Ingest(batch)),
            NodeMessage::CommandResult(result) => self.outputs.push_back(Output::CommandResult(result)),
            NodeMessage::ArtifactBegin(begin) => self.outputs.push_back(Output::ArtifactBegin(begin)),
            NodeMessage::ArtifactChunk(chunk) => self.outputs.push_back(Output::ArtifactChunk(chunk)),
            NodeMessage::ArtifactEnd(end) => self.outputs.push_back(Output::ArtifactEnd(end)),
            NodeMessage::NodeDrop => self.closed(true),
        }
    }

    /// Some peers repeat their registration on a connection that is in already.
    fn registered_again(&mut self) {
        let Some(live) = self.live() else { return };
        let ack = RegistrationAck {
            node_id: Some(live.node_id),
            accepted: true,
            message: Some("Already registered".into()),
            features: live.features.clone(),
            ..RegistrationAck::default()
        };
        self.send(CoreMessage::RegistrationAck(Box::new(ack)));
    }

    /// Notes a sign of life; false if the peer has not registered.
    fn heard(&mut self, now: Now, claimed: Option<NodeId>) -> bool {
        let State::Live(live) = &mut self.state else { return false };
        live.heard_ms = now.mono_ms;
        if claimed.is_some_and(|id| id != live.node_id && id != live.claimed_id) {
            self.counters.foreign_node_ids += 1;
        }
        if std::mem::replace(&mut live.silent, false) {
            let status = live.status;
            self.outputs.push_back(Output::Status { status, health: None });
        }
        true
    }

    fn command(&mut self, outgoing: Outgoing) {
        let Some(live) = self.live() else { return };
        let answered = live.has(feature::COMMAND_RESULT);
        let command = NodeCommand {
            node_id: live.node_id,
            command: outgoing.command,
            command_id: answered.then_some(outgoing.command_id),
            deadline: answered.then(|| Micros::from_unix_ms(outgoing.deadline_unix_ms)),
        };
        self.send(CoreMessage::NodeCommand(command));
        self.outputs.push_back(Output::CommandSent { command_id: outgoing.command_id, answered });
    }

    fn undecodable(&mut self, error: &DecodeError) {
        self.counters.undecodable += 1;
        let DecodeError::VersionMismatch { peer } = error else {
            return self.unreadable(error.code(), error.to_string());
        };
        let ack = RegistrationAck::version_mismatch(*peer);
        let reason = ack.message.clone().unwrap_or_default();
        self.send(CoreMessage::RegistrationAck(Box::new(ack)));
        self.close(Some(ErrorCode::ProtocolVersionMismatch), reason);
    }

    fn garbage(&mut self) {
        self.counters.undecodable += 1;
        self.unreadable(ErrorCode::MessageParseFailed, "this is not a JSON object".into());
    }

    fn unreadable(&mut self, code: ErrorCode, text: String) {
        if self.live().is_some() {
            self.reply_error(code, text);
            return;
        }
        self.undecodable_in_a_row += 1;
        if self.undecodable_in_a_row >= UNDECODABLE_MAX {
            self.close(
                Some(code),
                format!("{UNDECODABLE_MAX} unreadable frames before a registration: {text}"),
            );
        }
    }

    fn misplaced(&mut self, name: &str) {
        self.counters.misplaced += 1;
        self.reply_error(ErrorCode::InvalidMessageFormat, format!("{name} makes no sense at this moment"));
    }

    fn reply_error(&mut self, code: ErrorCode, text: String) {
        if self.has_feature(feature::ERRORS) {
            self.send(CoreMessage::Error(ErrorReply::new(code, text)));
        }
    }

    fn tick(&mut self, now: Now) {
        let registration_deadline = self.registration_deadline();
        match &mut self.state {
            State::Unregistered { .. } if now.mono_ms >= registration_deadline => {
                self.close(Some(ErrorCode::AuthenticationFailed), "the peer did not register in time".into());
            }
            State::Live(live) if !live.silent && now.mono_ms >= live.silent_at() => {
                live.silent = true;
                self.outputs.push_back(Output::Status { status: NodeStatus::Unknown, health: None });
            }
            _ => {}
        }
    }

    /// Tells a peer why it has to go, in the words it knows, and closes.
    fn dismiss(&mut self, code: ErrorCode, reason: String) {
        if self.has_feature(feature::ERRORS) {
            self.reply_error(code, reason.clone());
        } else {
            let ack = RegistrationAck::refused(self.node_id(), code, &reason);
            self.send(CoreMessage::RegistrationAck(Box::new(ack)));
        }
        self.close(Some(code), reason);
    }

    fn closed(&mut self, clean: bool) {
        if self.live().is_some() {
            self.outputs.push_back(Output::Gone { clean });
        }
        let reason = if clean { "the node left" } else { "the connection is gone" };
        self.finish(None, reason.into());
    }

    fn close(&mut self, code: Option<ErrorCode>, reason: String) {
        if self.live().is_some() {
            self.outputs.push_back(Output::Gone { clean: false });
        }
        self.finish(code, reason);
    }

    fn finish(&mut self, code: Option<ErrorCode>, reason: String) {
        self.state = State::Closed;
        self.held.clear();
        self.outputs.push_back(Output::Close { code, reason });
    }

    fn send(&mut self, message: CoreMessage) {
        self.outputs.push_back(Output::Send(message));
    }

    fn live(&self) -> Option<&Live> {
        if let State::Live(live) = &self.state { Some(live) } else { None }
    }

    fn registration_deadline(&self) -> u64 {
        self.opened_ms.saturating_add(self.config.registration_timeout_ms)
    }
}

fn claimed_id(message: &NodeMessage) -> Option<NodeId> {
    match message {
        NodeMessage::NodeRegistration(m) => Some(m.node_id),
        NodeMessage::TotpResponse(m) => Some(m.node_id),
        NodeMessage::NodeStatusUpdate(m) => Some(m.node_id),
        NodeMessage::PotStatusUpdate(m) => Some(m.node_id),
        NodeMessage::PotEvent(m) => m.node_id,
        NodeMessage::PotEventBatch(m) => Some(m.node_id),
        NodeMessage::CommandResult(m) => Some(m.node_id),
        NodeMessage::ArtifactBegin(m) => Some(m.node_id),
        NodeMessage::ArtifactChunk(m) => Some(m.node_id),
        NodeMessage::ArtifactEnd(m) => Some(m.node_id),
        NodeMessage::NodeEvent(_) | NodeMessage::NodeDrop => None,
    }
}

#[cfg(test)]
#[path = "session_tests.rs"]
mod tests;

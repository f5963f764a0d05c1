//! The state machine of a node's link. See the module above for how it is driven.

use std::collections::VecDeque;

use bee_wire::core::{EventAck, NodeCommand, RegistrationAck};
use bee_wire::node::{
    Health, NodeEvent, NodeEventKind, NodeRegistration, NodeStatus, NodeStatusUpdate, TotpResponse, feature,
};
use bee_wire::{Command, CommandId, CoreMessage, ErrorCode, NodeId, NodeMessage, Secret};
use rand::{Rng, RngExt};

use super::commands::{CommandBook, CommandMemory, CommandOutcome, Taken, result};
use super::window::{Acked, Window};
use super::{Credentials, Identity, Input, LinkConfig, LinkCounters, Output, Save};
use crate::Now;
use crate::backoff::Backoff;
use crate::totp::{self, TotpKey};

/// Unreadable frames in a row before a registration, after which the peer is no Core.
const GARBAGE_MAX: u32 = 3;
/// A little after a TOTP step begins, so that a clock slightly ahead of Core's does no harm, in
/// milliseconds; drawn at random up to this, so that a fleet does not come at one moment.
const STEP_JITTER_MS: u64 = 1_000;

#[derive(Debug)]
enum State {
    Idle,
    Waiting { until_ms: u64 },
    Connecting { deadline_ms: u64 },
    Registering { deadline_ms: u64 },
    Live(Live),
    Left,
}

#[derive(Debug)]
struct Live {
    features: Vec<String>,
    since_ms: u64,
    heartbeat_ms: u64,
    next_heartbeat_ms: u64,
    acknowledged: bool,
}

/// A node's end of its link to Core.
#[derive(Debug)]
pub struct NodeLink {
    identity: Identity,
    credentials: Credentials,
    config: LinkConfig,
    state: State,
    backoff: Backoff,
    window: Window,
    commands: CommandBook,
    status: NodeStatus,
    health: Option<Health>,
    started_told: bool,
    // The TOTP step of the last code sent: Core will not take it twice.
    code_step: Option<u64>,
    garbage_in_a_row: u32,
    outputs: VecDeque<Output>,
    counters: LinkCounters,
}

impl NodeLink {
    /// A link that has not started. `memories` are the commands on disk, from [`Save::Command`].
    pub fn new(
        identity: Identity,
        credentials: Credentials,
        config: LinkConfig,
        memories: Vec<CommandMemory>,
    ) -> Self {
        let (commands, changed) = CommandBook::restore(memories);
        NodeLink {
            backoff: Backoff::new(config.backoff),
            identity,
            credentials,
            config,
            state: State::Idle,
            window: Window::default(),
            commands,
            status: NodeStatus::Running,
            health: None,
            started_told: false,
            code_step: None,
            garbage_in_a_row: 0,
            outputs: changed.into_iter().map(|memory| Output::Save(Save::Command(memory))).collect(),
            counters: LinkCounters::default(),
        }
    }

    /// Takes one input. Drain [`NodeLink::poll_output`] afterwards.
    pub fn handle<R: Rng + ?Sized>(&mut self, now: Now, rng: &mut R, input: Input) {
        if matches!(self.state, State::Left) {
            return;
        }
        match input {
            Input::Start if matches!(self.state, State::Idle) => self.connect(now),
            Input::Start => {}
            Input::Connected => self.connected(now),
            Input::ConnectFailed => {
                if matches!(self.state, State::Connecting { .. }) {
                    self.retry(now, rng, 0);
                }
            }
            Input::Message(message) => self.message(now, rng, message),
            Input::Garbage => self.garbage(now, rng),
            Input::Closed => self.closed(now, rng),
            Input::SpoolAdvanced { stream, first_seq, next_seq } => {
                let acked = self.window.spool(stream, first_seq, next_seq);
                self.acked(acked);
            }
            Input::BatchSent { next_seq, bytes } => {
                let acked = self.window.batch_sent(next_seq, bytes, now.mono_ms);
                self.acked(acked);
            }
            Input::CommandFinished { command_id, outcome } => self.command_finished(command_id, outcome),
            Input::Send(message) if self.live().is_some() => self.send(message),
            Input::Send(_) => self.counters.unsent += 1,
            Input::Status(status) => {
                let news = std::mem::replace(&mut self.status, status) != status;
                if news && self.live().is_some() {
                    self.send_status(self.status);
                }
            }
            Input::Health(health) => self.health = Some(health),
            Input::Renew { csr } => self.credentials.csr = Some(csr),
            Input::Tick => self.tick(now, rng),
            Input::Leave => self.leave(),
        }
        if let Some(request) = self.window.next(&self.config) {
            self.outputs.push_back(Output::SendBatch(request));
        }
    }

    /// The next thing to do, in order.
    pub fn poll_output(&mut self) -> Option<Output> {
        self.outputs.pop_front()
    }

    /// When to feed [`Input::Tick`] at the latest, on the monotonic clock.
    pub fn next_deadline(&self) -> Option<u64> {
        let state = match &self.state {
            State::Waiting { until_ms } => Some(*until_ms),
            State::Connecting { deadline_ms } | State::Registering { deadline_ms } => Some(*deadline_ms),
            State::Live(live) => {
                let ack = self.ack_deadline().unwrap_or(u64::MAX);
                Some(live.next_heartbeat_ms.min(ack))
            }
            State::Idle | State::Left => None,
        };
        [state, self.commands.next_deadline()].into_iter().flatten().min()
    }

    /// Whether the node is registered on a living connection.
    pub fn is_registered(&self) -> bool {
        self.live().is_some()
    }

    /// The node's number; 0 while Core has given it none.
    pub fn node_id(&self) -> NodeId {
        self.identity.node_id
    }

    /// What the link has met so far.
    pub fn counters(&self) -> LinkCounters {
        self.counters
    }

    fn connect(&mut self, now: Now) {
        self.counters.connects += 1;
        self.garbage_in_a_row = 0;
        self.state =
            State::Connecting { deadline_ms: now.mono_ms.saturating_add(self.config.connect_timeout_ms) };
        self.outputs.push_back(Output::Connect);
    }

    fn connected(&mut self, now: Now) {
        if !matches!(self.state, State::Connecting { .. }) {
            return;
        }
        let totp_code = self.code(now);
        let Identity { node_id, ref node_name, node_type, .. } = self.identity;
        let registration = NodeRegistration {
            address: self.identity.address.clone(),
            port: self.identity.port,
            totp_code,
            features: self.config.features.clone(),
            enrollment_token: self.credentials.enrollment_token.clone(),
            software: self.identity.software.clone(),
            os: self.identity.os.clone(),
            arch: self.identity.arch.clone(),
            hostname: self.identity.hostname.clone(),
            boot_id: self.identity.boot_id.clone(),
            csr: self.credentials.csr.clone(),
            ..NodeRegistration::new(node_id, node_name.clone(), node_type)
        };
        self.send(NodeMessage::NodeRegistration(Box::new(registration)));
        self.state = self.registering(now);
    }

    fn message<R: Rng + ?Sized>(&mut self, now: Now, rng: &mut R, message: CoreMessage) {
        self.garbage_in_a_row = 0;
        match message {
            CoreMessage::RegistrationAck(ack) => match self.state {
                State::Registering { .. } if ack.accepted => self.accepted(now, *ack),
                State::Registering { .. } => self.refused(now, rng, &ack),
                // Core says why it is about to close.
                State::Live(_) if !ack.accepted => {
                    let code = ack.refusal_code().unwrap_or(ErrorCode::RegistrationFailed);
                    self.core_error(code, ack.message.unwrap_or_default());
                }
                _ => {}
            },
            CoreMessage::TotpRequest(_) => {
                if matches!(self.state, State::Registering { .. }) {
                    // A node without a key answers with an empty code: it has none to offer.
                    let totp_code = self.code(now).unwrap_or_else(|| Secret::new(""));
                    let node_id = self.identity.node_id;
                    self.send(NodeMessage::TotpResponse(TotpResponse { node_id, totp_code }));
                    self.state = self.registering(now);
                }
            }
            CoreMessage::NodeCommand(command) if self.live().is_some() => self.command(now, command),
            CoreMessage::NodeCommand(_) => {}
            CoreMessage::EventAck(ack) => self.event_ack(&ack),
            CoreMessage::Error(error) => self.core_error(error.code, error.message),
        }
    }

    fn accepted(&mut self, now: Now, ack: RegistrationAck) {
        self.counters.registrations += 1;
        self.keep_credentials(&ack);
        let ours = self.config.features.iter();
        let features: Vec<String> = ours.filter(|name| ack.has_feature(name)).cloned().collect();
        let heartbeat_ms = ack
            .heartbeat_interval_s
            .map_or(self.config.heartbeat_interval_ms, |secs| secs.saturating_mul(1_000))
            .max(1_000);
        let numbered = features.iter().any(|name| name == feature::BATCH);
        let answers = features.iter().any(|name| name == feature::COMMAND_RESULT);
        self.state = State::Live(Live {
            features: features.clone(),
            since_ms: now.mono_ms,
            heartbeat_ms,
            next_heartbeat_ms: now.mono_ms.saturating_add(heartbeat_ms),
            acknowledged: false,
        });
        let node_id = self.identity.node_id;
        self.outputs.push_back(Output::Registered { node_id, features });
        if !std::mem::replace(&mut self.started_told, true) {
            self.send(NodeMessage::NodeEvent(NodeEvent::new(NodeEventKind::Started)));
        }
        self.send_status(self.status);
        if answers {
            for result in self.commands.take_unsent(node_id) {
                self.send(NodeMessage::CommandResult(result));
            }
        }
        let acked = self.window.open(numbered, ack.resume);
        self.acked(acked);
    }

    fn keep_credentials(&mut self, ack: &RegistrationAck) {
        let node_id = ack.node_id.unwrap_or(self.identity.node_id);
        let totp_key = ack.totp_key.as_ref().and_then(|key| TotpKey::from_base32(key.expose()).ok());
        let totp_key = totp_key.filter(|key| self.credentials.totp_key.as_ref() != Some(key));
        let certificate = ack.certificate.clone();
        let news = node_id != self.identity.node_id || totp_key.is_some() || certificate.is_some();
        self.identity.node_id = node_id;
        if let Some(key) = &totp_key {
            self.credentials.totp_key = Some(key.clone());
        }
        if certificate.is_some() {
            self.credentials.has_certificate = true;
            self.credentials.csr = None;
        }
        if self.credentials.totp_key.is_some() {
            self.credentials.enrollment_token = None;
        }
        if news {
            self.outputs.push_back(Output::Save(Save::Credentials { node_id, totp_key, certificate }));
        }
    }

    fn refused<R: Rng + ?Sized>(&mut self, now: Now, rng: &mut R, ack: &RegistrationAck) {
        self.counters.refusals += 1;
        let code = ack.refusal_code();
        let message = ack.message.clone().unwrap_or_default();
        self.outputs.push_back(Output::Refused { code, message });
        self.outputs.push_back(Output::Close { reason: "Core refused the registration" });
        match code {
            Some(ErrorCode::NodePending) => {
                let retry_ms = self.config.pending_retry_ms.max(2);
                let until_ms = now.mono_ms.saturating_add(rng.random_range(retry_ms / 2..=retry_ms));
                self.state = State::Waiting { until_ms };
            }
            // The code may have been used up by an attempt before a restart: wait for the next one.
            Some(ErrorCode::AuthenticationFailed) if self.credentials.totp_key.is_some() => {
                let next_step_ms = totp::ms_to_next_step(now.unix_ms);
                self.retry(now, rng, next_step_ms);
            }
            _ => self.retry(now, rng, 0),
        }
    }

    fn event_ack(&mut self, ack: &EventAck) {
        if let Some(artifact) = ack.stream.artifact() {
            self.outputs.push_back(Output::ArtifactStored { artifact, size: ack.next_seq });
            return;
        }
        let State::Live(live) = &mut self.state else { return };
        live.acknowledged = true;
        let acked = self.window.ack(ack);
        self.acked(acked);
    }

    fn acked(&mut self, acked: Acked) {
        let Some(stream) = self.window.stream().cloned() else { return };
        match acked {
            Acked::Nothing => {}
            Acked::Below(below) => self.outputs.push_back(Output::TruncateSpool { stream, below }),
            Acked::Stale { core_next_seq } => {
                self.outputs.push_back(Output::RenewStream { stream, core_next_seq });
            }
        }
    }

    fn command(&mut self, now: Now, command: NodeCommand) {
        let NodeCommand { command, command_id, deadline, .. } = command;
        let deadline_unix_ms = deadline.map(|deadline| deadline.unix_ms());
        let Some(id) = command_id else {
            if command == Command::Status {
                self.send_status(self.status);
            } else {
                self.outputs.push_back(Output::Run { command_id: None, command, deadline_unix_ms });
            }
            return;
        };
        match self.commands.take(id, deadline_unix_ms, now) {
            Taken::Repeat => {}
            Taken::Answer(outcome) => {
                let result = result(self.identity.node_id, id, outcome);
                self.send(NodeMessage::CommandResult(result));
            }
            Taken::Run(memory) => {
                self.outputs.push_back(Output::Save(Save::Command(memory)));
                if command == Command::Status {
                    self.send_status(self.status);
                    self.command_finished(Some(id), CommandOutcome::ok(None));
                } else {
                    self.outputs.push_back(Output::Run { command_id: Some(id), command, deadline_unix_ms });
                }
            }
        }
    }

    fn command_finished(&mut self, command_id: Option<CommandId>, outcome: CommandOutcome) {
        let Some(id) = command_id else { return };
        let Some((memory, forgotten)) = self.commands.finish(id, outcome) else { return };
        self.outputs.push_back(Output::Save(Save::Command(memory)));
        if let Some(forgotten) = forgotten {
            self.outputs.push_back(Output::Save(Save::CommandForgotten(forgotten)));
        }
        if self.live().is_some_and(|live| live.features.iter().any(|name| name == feature::COMMAND_RESULT)) {
            for result in self.commands.take_unsent(self.identity.node_id) {
                self.send(NodeMessage::CommandResult(result));
            }
        }
    }

    fn garbage<R: Rng + ?Sized>(&mut self, now: Now, rng: &mut R) {
        self.counters.garbage += 1;
        self.garbage_in_a_row += 1;
        if matches!(self.state, State::Registering { .. }) && self.garbage_in_a_row >= GARBAGE_MAX {
            self.hang_up(now, rng, "three unreadable frames before the registration was answered");
        }
    }

    fn tick<R: Rng + ?Sized>(&mut self, now: Now, rng: &mut R) {
        for id in self.commands.overdue(now) {
            let outcome = CommandOutcome::failed(ErrorCode::CommandTimeout, "the command took too long");
            self.outputs.push_back(Output::Abandon { command_id: id });
            self.command_finished(Some(id), outcome);
        }
        match &mut self.state {
            State::Waiting { until_ms } if now.mono_ms >= *until_ms => self.connect_with_fresh_code(now, rng),
            State::Connecting { deadline_ms } if now.mono_ms >= *deadline_ms => {
                self.hang_up(now, rng, "no transport in time");
            }
            State::Registering { deadline_ms } if now.mono_ms >= *deadline_ms => {
                self.hang_up(now, rng, "Core did not answer the registration in time");
            }
            State::Live(live) => {
                if now.mono_ms >= live.next_heartbeat_ms {
                    live.next_heartbeat_ms = now.mono_ms.saturating_add(live.heartbeat_ms);
                    self.send_status(self.status);
                }
                if self.ack_deadline().is_some_and(|deadline| now.mono_ms >= deadline) {
                    self.hang_up(now, rng, "Core did not acknowledge events in time");
                }
            }
            _ => {}
        }
    }

    /// Core takes each TOTP step once; where the code is what lets the node in, wait for a new one.
    fn connect_with_fresh_code<R: Rng + ?Sized>(&mut self, now: Now, rng: &mut R) {
        let step = totp::step_at(now.unix_ms);
        let needs_code = self.credentials.totp_key.is_some() && !self.credentials.has_certificate;
        if needs_code && self.code_step == Some(step) {
            let wait_ms =
                totp::ms_to_next_step(now.unix_ms).saturating_add(rng.random_range(0..=STEP_JITTER_MS));
            self.state = State::Waiting { until_ms: now.mono_ms.saturating_add(wait_ms) };
        } else {
            self.connect(now);
        }
    }

    fn closed<R: Rng + ?Sized>(&mut self, now: Now, rng: &mut R) {
        match self.state {
            State::Connecting { .. } | State::Registering { .. } | State::Live(_) => self.retry(now, rng, 0),
            State::Idle | State::Waiting { .. } | State::Left => {}
        }
    }

    fn hang_up<R: Rng + ?Sized>(&mut self, now: Now, rng: &mut R, reason: &'static str) {
        self.outputs.push_back(Output::Close { reason });
        self.retry(now, rng, 0);
    }

    fn retry<R: Rng + ?Sized>(&mut self, now: Now, rng: &mut R, at_least_ms: u64) {
        if let State::Live(live) = &self.state {
            let lasted_ms = now.mono_ms.saturating_sub(live.since_ms);
            if live.acknowledged || lasted_ms >= self.config.stable_after_ms {
                self.backoff.reset();
            }
        }
        self.window.close();
        let delay_ms = self.backoff.next_delay_ms(rng).max(at_least_ms);
        self.state = State::Waiting { until_ms: now.mono_ms.saturating_add(delay_ms) };
    }

    fn leave(&mut self) {
        match self.state {
            State::Live(_) => {
                self.send_status(NodeStatus::Stopped);
                self.send(NodeMessage::NodeEvent(NodeEvent::new(NodeEventKind::Stopped)));
                self.send(NodeMessage::NodeDrop);
                self.outputs.push_back(Output::Close { reason: "the node leaves" });
            }
            State::Connecting { .. } | State::Registering { .. } => {
                self.outputs.push_back(Output::Close { reason: "the node leaves" });
            }
            State::Idle | State::Waiting { .. } | State::Left => {}
        }
        self.window.close();
        self.state = State::Left;
        self.outputs.push_back(Output::Left);
    }

    fn code(&mut self, now: Now) -> Option<Secret> {
        let step = totp::step_at(now.unix_ms);
        let code = self.credentials.totp_key.as_ref()?.code(step);
        self.code_step = Some(step);
        Some(Secret::new(code))
    }

    fn registering(&self, now: Now) -> State {
        State::Registering { deadline_ms: now.mono_ms.saturating_add(self.config.registration_timeout_ms) }
    }

    fn ack_deadline(&self) -> Option<u64> {
        self.window.oldest_sent_ms().map(|sent| sent.saturating_add(self.config.ack_timeout_ms))
    }

    fn send_status(&mut self, status: NodeStatus) {
        // A plain Core knows no health.
        let health =
            self.health.clone().filter(|_| self.live().is_some_and(|live| !live.features.is_empty()));
        let update = NodeStatusUpdate { node_id: self.identity.node_id, status, health };
        self.send(NodeMessage::NodeStatusUpdate(update));
    }

    fn core_error(&mut self, code: ErrorCode, message: String) {
        self.outputs.push_back(Output::CoreError { code, message });
    }

    fn send(&mut self, message: NodeMessage) {
        self.outputs.push_back(Output::Send(message));
    }

    fn live(&self) -> Option<&Live> {
        if let State::Live(live) = &self.state { Some(live) } else { None }
    }
}

#[cfg(test)]
#[path = "link_tests.rs"]
mod tests;

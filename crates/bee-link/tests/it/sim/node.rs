//! A simulated node: a disk that survives, a process that does not, and honeypots that catch events.

use std::collections::{BTreeMap, BTreeSet, HashMap};
use std::net::{IpAddr, Ipv4Addr};

use bee_link::Now;
use bee_link::backoff::BackoffConfig;
use bee_link::core::{BatchHead, PeerCertificate};
use bee_link::node::{
    CommandMemory, CommandOutcome, Credentials, Identity, Input, LinkConfig, NodeLink, Output, Save,
};
use bee_link::totp::TotpKey;
use bee_wire::node::NodeType;
use bee_wire::{CommandId, CoreMessage, ErrorCode, NodeId, NodeMessage, PotEvent, Secret, StreamId};
use rand::{Rng, RngExt};
use rand_chacha::ChaCha8Rng;
use serde_json::value::RawValue;

use super::net::Wire;
use super::{EPOCH_MS, Moment, World};

/// Kinds of node that a fleet has.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Kind {
    /// Joins with a token, gets a certificate.
    Certified,
    /// Joins with a token, speaks TLS without a certificate, or no TLS.
    Token,
    /// Like that, and claims a new id at each start.
    NewIdEachStart,
    /// Has no token and waits for approval.
    Approved,
    /// Knows no extension at all.
    Plain,
}

/// What a crash leaves.
#[derive(Debug, Clone)]
pub(super) struct Disk {
    node_id: NodeId,
    totp_key: Option<TotpKey>,
    certificate: Option<(NodeId, String)>,
    memories: BTreeMap<CommandId, CommandMemory>,
    stream: StreamId,
    spool: BTreeMap<u64, u64>,
    next_seq: u64,
}

/// Everything that ever got a number in a stream.
#[derive(Debug, Default)]
pub(super) struct Ledger {
    pub(super) events: BTreeMap<u64, u64>,
    /// Numbers the spool's cap has dropped.
    pub(super) dropped: BTreeSet<u64>,
    /// Numbers that went with a disk; nobody can answer for them.
    pub(super) excused: BTreeSet<u64>,
}

pub(super) struct NodeMachine {
    pub(super) index: usize,
    pub(super) kind: Kind,
    pub(super) life: u64,
    pub(super) connection: Option<usize>,
    pub(super) clock_offset_ms: i64,
    pub(super) streams: BTreeMap<StreamId, Ledger>,
    pub(super) runs: HashMap<CommandId, u32>,
    pub(super) registrations: u64,
    pub(super) refusals: u64,
    disk: Disk,
    backup: Option<Disk>,
    link: Option<NodeLink>,
    boot_ms: u64,
    dialing: bool,
    tick_ms: Option<u64>,
    // Captures wait after a restore until the node has heard where Core stands; see `Marks`.
    restored: bool,
    spool_max: usize,
    events_count: u64,
    streams_count: u64,
    token: Option<Secret>,
}

impl NodeMachine {
    pub(super) fn new(index: usize, token: Secret, rng: &mut ChaCha8Rng) -> Self {
        let kind = match rng.random_range(0..10) {
            0..4 => Kind::Certified,
            4..6 => Kind::Token,
            6..8 => Kind::NewIdEachStart,
            8 => Kind::Approved,
            _ => Kind::Plain,
        };
        let stream = stream_id(index, 0);
        let disk = Disk {
            node_id: NodeId(if kind == Kind::Approved { 1_000 + index as u64 } else { 0 }),
            totp_key: None,
            certificate: None,
            memories: BTreeMap::new(),
            stream: stream.clone(),
            spool: BTreeMap::new(),
            next_seq: 0,
        };
        NodeMachine {
            index,
            kind,
            life: 0,
            connection: None,
            clock_offset_ms: rng.random_range(-14_000..14_000),
            streams: BTreeMap::from([(stream, Ledger::default())]),
            runs: HashMap::new(),
            registrations: 0,
            refusals: 0,
            disk,
            backup: None,
            link: None,
            boot_ms: 0,
            dialing: false,
            tick_ms: None,
            restored: false,
            spool_max: if rng.random_ratio(1, 3) { 60 } else { 100_000 },
            events_count: 0,
            streams_count: 1,
            token: (kind != Kind::Approved).then_some(token),
        }
    }

    pub(super) fn address(&self) -> IpAddr {
        // Some share an address, as behind one gateway.
        IpAddr::V4(Ipv4Addr::new(203, 0, 113, (self.index / 3) as u8))
    }

    pub(super) fn certificate(&self) -> Option<PeerCertificate> {
        let (node_id, sha256) = self.disk.certificate.clone()?;
        Some(PeerCertificate { node_id, sha256 })
    }

    /// The number Core knows it by.
    pub(super) fn node_id(&self) -> NodeId {
        self.link.as_ref().map_or(self.disk.node_id, NodeLink::node_id)
    }

    pub(super) fn is_life(&self, life: u64) -> bool {
        self.link.is_some() && self.life == life
    }

    pub(super) fn is_settled(&self) -> bool {
        self.link.as_ref().is_some_and(NodeLink::is_registered) && self.disk.spool.is_empty()
    }

    pub(super) fn describe(&self) -> String {
        let deadline = self.link.as_ref().and_then(NodeLink::next_deadline);
        format!(
            "{:?} id {} up {} registered {} spool {:?}..{} connection {:?} dialing {} next tick {:?} refusals {}",
            self.kind,
            self.node_id(),
            self.link.is_some(),
            self.link.as_ref().is_some_and(NodeLink::is_registered),
            self.disk.spool.keys().next(),
            self.disk.next_seq,
            self.connection,
            self.dialing,
            deadline,
            self.refusals,
        )
    }

    fn now(&self, now_ms: u64) -> Now {
        Now::new(now_ms - self.boot_ms, EPOCH_MS + now_ms as i64 + self.clock_offset_ms)
    }

    fn config(&self) -> LinkConfig {
        LinkConfig {
            features: if self.kind == Kind::Plain { Vec::new() } else { LinkConfig::default().features },
            backoff: BackoffConfig { base_ms: 500, cap_ms: 15_000 },
            ack_timeout_ms: 20_000,
            window_batches_max: 3,
            batch_events_max: 7,
            ..LinkConfig::default()
        }
    }

    fn new_stream(&mut self) {
        self.disk.stream = stream_id(self.index, self.streams_count);
        self.streams_count += 1;
        self.disk.spool.clear();
        self.disk.next_seq = 0;
        self.streams.insert(self.disk.stream.clone(), Ledger::default());
    }

    fn spool_position(&self) -> Input {
        let first_seq = self.disk.spool.keys().next().copied().unwrap_or(self.disk.next_seq);
        Input::SpoolAdvanced { stream: self.disk.stream.clone(), first_seq, next_seq: self.disk.next_seq }
    }
}

fn stream_id(node: usize, count: u64) -> StreamId {
    StreamId::new(format!("n{node}.{count}")).unwrap()
}

impl World {
    pub(super) fn node_boot(&mut self, index: usize) {
        if self.nodes[index].link.is_some() {
            return;
        }
        if self.nodes[index].restored && !self.core.is_idle() {
            self.after(1_000, Moment::NodeBoot { node: index });
            return;
        }
        let claimed = match self.nodes[index].kind {
            Kind::NewIdEachStart => NodeId(self.rng.next_u64() >> 12),
            _ => self.nodes[index].disk.node_id,
        };
        let now_ms = self.now_ms;
        let node = &mut self.nodes[index];
        node.life += 1;
        node.boot_ms = now_ms;
        node.tick_ms = None;
        let identity = Identity {
            node_id: claimed,
            node_name: format!("node-{index}"),
            address: String::new(),
            port: 0,
            node_type: NodeType::Full,
            software: None,
            os: None,
            arch: None,
            hostname: None,
            boot_id: None,
        };
        let certified = node.kind == Kind::Certified;
        let credentials = Credentials {
            totp_key: node.disk.totp_key.clone(),
            has_certificate: node.disk.certificate.is_some(),
            enrollment_token: node.token.clone().filter(|_| node.disk.totp_key.is_none()),
            csr: (certified && node.disk.certificate.is_none()).then(|| "csr".to_owned()),
        };
        let memories = node.disk.memories.values().cloned().collect();
        node.link = Some(NodeLink::new(identity, credentials, node.config(), memories));
        let position = node.spool_position();
        self.node_input(index, position);
        self.node_input(index, Input::Start);
    }

    pub(super) fn node_tick(&mut self, index: usize, life: u64) {
        if self.nodes[index].is_life(life) {
            self.nodes[index].tick_ms = None;
            self.node_input(index, Input::Tick);
        }
    }

    pub(super) fn dialed(&mut self, index: usize, life: u64, connection: Option<usize>) {
        let node = &mut self.nodes[index];
        if !node.is_life(life) || !node.dialing {
            if let Some(connection) = connection {
                self.connections[connection].node_open = false;
                self.send_to_core(connection, None);
            }
            return;
        }
        node.dialing = false;
        node.connection = connection;
        self.node_input(index, if connection.is_some() { Input::Connected } else { Input::ConnectFailed });
    }

    /// Honeypots caught something: it goes to the spool, which may have to drop its oldest.
    pub(super) fn capture(&mut self, index: usize) {
        if !self.faults {
            return;
        }
        let next = self.rng.random_range(100..4_000);
        self.after(next, Moment::Capture { node: index });
        let count = self.rng.random_range(1..10);
        let node = &mut self.nodes[index];
        if node.link.is_none() {
            return;
        }
        // `resume` came with the registration, and a stale spool was renewed at once.
        node.restored &= !node.link.as_ref().is_some_and(NodeLink::is_registered);
        if node.restored {
            return;
        }
        for _ in 0..count {
            let (seq, event) = (node.disk.next_seq, (index as u64) << 32 | node.events_count);
            node.events_count += 1;
            node.disk.next_seq += 1;
            node.disk.spool.insert(seq, event);
            let ledger = node.streams.get_mut(&node.disk.stream).unwrap();
            ledger.events.insert(seq, event);
            // After a restore a number is used again; the one before went with the disk.
            ledger.excused.remove(&seq);
            ledger.dropped.remove(&seq);
            self.tally.captured += 1;
        }
        while node.disk.spool.len() > node.spool_max {
            let (seq, _) = node.disk.spool.pop_first().unwrap();
            node.streams.get_mut(&node.disk.stream).unwrap().dropped.insert(seq);
            self.tally.dropped_by_cap += 1;
        }
        let position = node.spool_position();
        self.node_input(index, position);
    }

    pub(super) fn command_done(&mut self, node: usize, life: u64, id: CommandId, outcome: CommandOutcome) {
        if self.nodes[node].is_life(life) {
            self.node_input(node, Input::CommandFinished { command_id: Some(id), outcome });
        }
    }

    pub(super) fn node_receives(&mut self, connection: usize, message: Option<CoreMessage>) {
        let node = self.connections[connection].node;
        match message {
            Some(message) => self.node_input(node, Input::Message(message)),
            None => {
                self.connections[connection].node_open = false;
                self.nodes[node].connection = None;
                self.node_input(node, Input::Closed);
            }
        }
    }

    /// Power fails: the disk stays, everything else is gone. Core may learn of it much later.
    pub(super) fn crash_node(&mut self, index: usize) {
        let node = &mut self.nodes[index];
        if node.link.take().is_none() {
            return;
        }
        node.dialing = false;
        self.tally.node_crashes += 1;
        if let Some(connection) = node.connection.take() {
            self.connections[connection].node_open = false;
            self.cut(connection);
        }
        let delay = self.rng.random_range(10..20_000);
        self.after(delay, Moment::NodeBoot { node: index });
        if self.rng.random_ratio(1, 5) {
            self.nodes[index].backup = Some(self.nodes[index].disk.clone());
        }
    }

    /// The node's disk is put back to what it was at an earlier crash.
    pub(super) fn restore_backup(&mut self, index: usize) {
        let node = &mut self.nodes[index];
        // Back to a stream before the last one is beyond what `resume` can tell; see `Marks`.
        let stream = node.disk.stream.clone();
        let usable = |backup: &mut Disk| backup.totp_key.is_some() && backup.stream == stream;
        let Some(mut backup) = node.backup.take_if(usable) else { return };
        self.tally.backups_restored += 1;
        // What commands have done is done; the promise about them is for disks that do not go back.
        backup.memories = node.disk.memories.clone();
        let ledger = node.streams.get_mut(&node.disk.stream).unwrap();
        ledger.excused.extend(node.disk.spool.keys().copied());
        node.disk = backup;
        node.restored = true;
        let ledger = node.streams.get_mut(&node.disk.stream).unwrap();
        ledger.excused.extend(ledger.events.range(node.disk.next_seq..).map(|(seq, _)| *seq));
        for seq in node.disk.spool.keys() {
            ledger.excused.remove(seq);
        }
        self.crash_node(index);
        // What the old disk had sent is on its way no more when the new one starts.
        for connection in self.connections.iter_mut().filter(|connection| connection.node == index) {
            connection.to_core_until_ms = 0;
        }
    }

    /// The node's spool is gone and a new one begins.
    pub(super) fn lose_spool(&mut self, index: usize) {
        self.tally.spools_lost += 1;
        self.crash_node(index);
        let node = &mut self.nodes[index];
        let ledger = node.streams.get_mut(&node.disk.stream).unwrap();
        ledger.excused.extend(node.disk.spool.keys().copied());
        node.new_stream();
        node.backup = None;
    }

    /// The node gives its connection up and makes a new one, while Core still holds the old.
    pub(super) fn dial_twice(&mut self, index: usize) {
        let Some(connection) = self.nodes[index].connection else { return };
        let late = self.now_ms + self.rng.random_range(1_000..60_000);
        let link = &mut self.connections[connection];
        link.node_open = false;
        link.to_core_ms = link.to_core_ms.max(late);
        self.send_to_core(connection, None);
        self.nodes[index].connection = None;
        self.node_input(index, Input::Closed);
    }

    fn node_input(&mut self, index: usize, input: Input) {
        let now = self.nodes[index].now(self.now_ms);
        let Some(link) = self.nodes[index].link.as_mut() else { return };
        link.handle(now, &mut self.rng, input);
        self.drain_node(index);
        let node = &mut self.nodes[index];
        let Some(deadline) = node.link.as_ref().and_then(NodeLink::next_deadline) else { return };
        let at = (node.boot_ms + deadline).max(self.now_ms + 1);
        if node.tick_ms.is_none_or(|tick| at < tick) {
            node.tick_ms = Some(at);
            let life = node.life;
            self.after(at - self.now_ms, Moment::NodeTick { node: index, life });
        }
    }

    fn drain_node(&mut self, index: usize) {
        while let Some(output) = self.nodes[index].link.as_mut().and_then(NodeLink::poll_output) {
            self.carry_out(index, output);
            // Power fails between any two outputs as well.
            if self.fault(5_000) {
                self.crash_node(index);
            }
        }
    }

    fn carry_out(&mut self, index: usize, output: Output) {
        let node = &mut self.nodes[index];
        let life = node.life;
        match output {
            Output::Connect => {
                assert!(node.connection.is_none() && !node.dialing, "a second transport beside the first");
                node.dialing = true;
                let reachable = self.core.is_up() && !self.fault(8);
                let connection = reachable.then(|| self.open_connection(index));
                let delay = self.rng.random_range(1..200);
                self.after(delay, Moment::Dialed { node: index, life, connection });
            }
            Output::Send(message) => {
                if let Some(connection) = node.connection {
                    self.send_to_core(connection, Some(Wire::Message(message)));
                }
            }
            Output::SendBatch(request) => {
                assert_eq!(request.stream, node.disk.stream, "a batch of a spool that is gone");
                let mut batch: Vec<(u64, u64)> = Vec::new();
                for (seq, event) in node.disk.spool.range(request.first_seq..) {
                    let follows = batch.last().is_none_or(|(last, _)| last + 1 == *seq);
                    if !follows || batch.len() as u64 >= request.events_max {
                        break;
                    }
                    batch.push((*seq, *event));
                }
                let next_seq = batch.last().map_or(request.first_seq, |(last, _)| last + 1);
                let bytes = batch.len() as u64 * 100;
                let connection = node.connection.expect("a batch needs a connection");
                let node_id = node.node_id();
                if request.numbered && !batch.is_empty() {
                    let head = BatchHead {
                        node_id,
                        stream: request.stream,
                        first_seq: batch[0].0,
                        events_count: batch.len() as u64,
                    };
                    let events = batch.into_iter().map(|(_, event)| event).collect();
                    self.send_to_core(connection, Some(Wire::Batch(head, events)));
                } else {
                    for _ in batch {
                        self.send_to_core(connection, Some(Wire::Message(plain_event(node_id))));
                    }
                }
                let now = self.nodes[index].now(self.now_ms);
                let link = self.nodes[index].link.as_mut().unwrap();
                link.handle(now, &mut self.rng, Input::BatchSent { next_seq, bytes });
            }
            Output::TruncateSpool { stream, below } => {
                assert_eq!(stream, node.disk.stream, "a spool that is gone was cut");
                if node.kind != Kind::Plain {
                    let durable = self.core.durable_seq(&stream);
                    assert!(below <= durable, "the spool is cut below {below}, but Core has {durable}");
                }
                node.disk.spool = node.disk.spool.split_off(&below);
            }
            Output::RenewStream { core_next_seq, .. } => {
                assert!(node.restored, "a spool that never went back was given up");
                assert!(core_next_seq > node.disk.next_seq);
                self.tally.streams_renewed += 1;
                node.new_stream();
                let position = node.spool_position();
                let now = node.now(self.now_ms);
                node.link.as_mut().unwrap().handle(now, &mut self.rng, position);
            }
            Output::Save(Save::Credentials { node_id, totp_key, certificate }) => {
                node.disk.node_id = node_id;
                if totp_key.is_some() {
                    node.disk.totp_key = totp_key;
                }
                if let Some(certificate) = certificate {
                    node.disk.certificate = Some((node_id, certificate));
                }
            }
            Output::Save(Save::Command(memory)) => {
                node.disk.memories.insert(memory.command_id, memory);
            }
            Output::Save(Save::CommandForgotten(id)) => {
                node.disk.memories.remove(&id);
            }
            Output::Run { command_id: Some(command_id), .. } => {
                *node.runs.entry(command_id).or_default() += 1;
                let outcome = match self.rng.random_range(0..10) {
                    0 => CommandOutcome::failed(ErrorCode::HoneypotNotFound, "no such pot"),
                    _ => CommandOutcome::ok(None),
                };
                // Some never end by themselves.
                if !self.fault(10) {
                    let delay = self.rng.random_range(1..20_000);
                    self.after(delay, Moment::CommandDone { node: index, life, command_id, outcome });
                }
            }
            Output::Registered { .. } => node.registrations += 1,
            Output::Refused { .. } => node.refusals += 1,
            Output::Close { .. } => {
                node.dialing = false;
                if let Some(connection) = node.connection.take() {
                    self.connections[connection].node_open = false;
                    self.send_to_core(connection, None);
                }
            }
            Output::Run { command_id: None, .. } | Output::Abandon { .. } | Output::CoreError { .. } => {}
            Output::ArtifactStored { .. } | Output::Left => panic!("unexpected output"),
        }
    }

    /// Each event of a node is in Core exactly once, or was dropped and is in a gap.
    pub(super) fn check_events(&mut self, index: usize) {
        let node = &self.nodes[index];
        if node.kind == Kind::Plain {
            return;
        }
        for (stream, ledger) in &node.streams {
            for (seq, event) in &ledger.events {
                let times = self.core.times_stored(*event);
                let gap = self.core.in_gap(stream, *seq);
                assert!(times <= 1, "{stream} {seq} is stored {times} times");
                assert!(times == 0 || !gap, "{stream} {seq} is stored and counted as lost");
                if times == 0 && gap {
                    let known = ledger.dropped.contains(seq) || ledger.excused.contains(seq);
                    assert!(known, "{stream} {seq} is counted as lost, but the node had it");
                    self.tally.gaps += 1;
                }
                if times == 0 && !gap {
                    // A spool that was given up can tell of its drops no more; a living one must.
                    let given_up = *stream != node.disk.stream && ledger.dropped.contains(seq);
                    assert!(
                        given_up || ledger.excused.contains(seq),
                        "{stream} {seq} is lost without a trace; Core has {}, dropped {}, spool {:?}",
                        self.core.durable_seq(stream),
                        ledger.dropped.contains(seq),
                        node.disk.stream,
                    );
                }
                self.tally.stored += u64::from(times);
            }
        }
    }
}

fn plain_event(node_id: NodeId) -> NodeMessage {
    NodeMessage::PotEvent(PotEvent {
        node_id: Some(node_id),
        pot_id: "ssh".into(),
        pot_type: None,
        event_type: "unknown".into(),
        timestamp: None,
        data: RawValue::from_string("{}".into()).unwrap(),
    })
}

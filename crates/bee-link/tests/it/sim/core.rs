//! Simulated Core: a log and a key-value store that survive, and a process that does not.

use std::collections::{BTreeMap, HashMap, VecDeque};
use std::ops::Range;

use bee_link::Now;
use bee_link::core::{
    Change, CommandChange, CommandRecord, CommandState, Commands, EnrollmentMode, Input, Mark, Marks,
    NewToken, Output, Peer, Policy, Registry, Session, SessionConfig, Verdict,
};
use bee_wire::core::EventAck;
use bee_wire::node::NodeStatus;
use bee_wire::{Command, CommandId, ErrorCode, NodeId, Secret, StreamId};
use rand::RngExt;

use super::net::{Wire, connection_id};
use super::node::NodeMachine;
use super::{EPOCH_MS, Moment, World};

/// One record of the log: events and where they stand in their stream, written together.
#[derive(Debug)]
struct Record {
    mark: Mark,
    events: Vec<u64>,
    gap: Option<Range<u64>>,
}

/// A batch that waits for the next group commit.
#[derive(Debug)]
struct Batch {
    node_id: NodeId,
    stream: StreamId,
    first_seq: u64,
    events: Vec<u64>,
}

/// Changes on their way to the key-value store, in order, and the verdict that waits for them.
#[derive(Debug)]
struct Job {
    number: u64,
    changes: Vec<Change>,
    verdict: Option<Verdict>,
}

#[derive(Default)]
struct Process {
    registry: Option<Registry>,
    marks: Marks,
    commands: Commands,
    sessions: HashMap<usize, (Session, bool)>,
    batches: Vec<Batch>,
    commit_coming: bool,
    // The group that is being synced.
    group: Option<(Vec<Batch>, Vec<Record>)>,
    jobs: VecDeque<Job>,
    persist_ms: u64,
    tick_ms: Option<u64>,
}

impl Process {
    fn registry(&mut self) -> &mut Registry {
        self.registry.as_mut().unwrap()
    }
}

pub(super) struct CoreMachine {
    pub(super) clock_offset_ms: i64,
    life: u64,
    boot_ms: u64,
    process: Option<Process>,
    // The disk.
    store: BTreeMap<String, Change>,
    commands: BTreeMap<CommandId, CommandRecord>,
    log: Vec<Record>,
    // For the checks.
    stored: HashMap<u64, u32>,
    gaps: HashMap<StreamId, Vec<Range<u64>>>,
    durable: HashMap<StreamId, u64>,
    certificates_count: u64,
    jobs_count: u64,
}

impl CoreMachine {
    pub(super) fn new() -> Self {
        CoreMachine {
            clock_offset_ms: 0,
            life: 0,
            boot_ms: 0,
            process: None,
            store: BTreeMap::new(),
            commands: BTreeMap::new(),
            log: Vec::new(),
            stored: HashMap::new(),
            gaps: HashMap::new(),
            durable: HashMap::new(),
            certificates_count: 0,
            jobs_count: 0,
        }
    }

    pub(super) fn is_up(&self) -> bool {
        self.process.is_some()
    }

    pub(super) fn is_life(&self, life: u64) -> bool {
        self.is_up() && self.life == life
    }

    /// Nothing waits to become durable.
    pub(super) fn is_idle(&self) -> bool {
        self.process.as_ref().is_none_or(|p| p.batches.is_empty() && p.group.is_none() && p.jobs.is_empty())
    }

    pub(super) fn durable_seq(&self, stream: &StreamId) -> u64 {
        self.durable.get(stream).copied().unwrap_or(0)
    }

    pub(super) fn times_stored(&self, event: u64) -> u32 {
        self.stored.get(&event).copied().unwrap_or(0)
    }

    pub(super) fn in_gap(&self, stream: &StreamId, seq: u64) -> bool {
        self.gaps.get(stream).into_iter().flatten().any(|gap| gap.contains(&seq))
    }

    pub(super) fn status_of(&self, node: &NodeMachine) -> Option<NodeStatus> {
        let registry = self.process.as_ref()?.registry.as_ref()?;
        registry.connection(node.node_id())?;
        registry.node(node.node_id()).map(|record| record.status)
    }

    pub(super) fn command_state(&self, id: CommandId) -> Option<&CommandState> {
        self.commands.get(&id).map(|record| &record.state)
    }

    pub(super) fn all_commands_ended(&self) -> bool {
        self.commands.values().all(|record| record.state.is_ended())
    }

    pub(super) fn describe(&self) -> String {
        let waiting = self.commands.values().filter(|record| !record.state.is_ended()).count();
        let sessions = self.process.as_ref().map(|p| p.sessions.len());
        format!(
            "up {} idle {} commands waiting {waiting} sessions {sessions:?}",
            self.is_up(),
            self.is_idle()
        )
    }

    fn now(&self, now_ms: u64) -> Now {
        Now::new(now_ms - self.boot_ms, EPOCH_MS + now_ms as i64 + self.clock_offset_ms)
    }

    fn process(&mut self) -> &mut Process {
        self.process.as_mut().expect("Core is up")
    }

    fn keep_commands(&mut self, changes: Vec<CommandChange>) {
        for change in changes {
            match change {
                CommandChange::Put(record) => self.commands.insert(record.command_id, *record),
                CommandChange::Removed(id) => self.commands.remove(&id),
            };
        }
    }
}

impl World {
    /// A join token for one node, made by an operator before the run.
    pub(super) fn mint_token(&mut self) -> Secret {
        let mut registry = Registry::new(Policy::default());
        let new = NewToken { uses_max: 1, expires_unix_ms: i64::MAX, note: String::new() };
        let (secret, change) = registry.mint_token(new, Now::new(0, EPOCH_MS), &mut self.rng).unwrap();
        self.core.store.insert(change.key(), change);
        Secret::new(secret.as_str())
    }

    pub(super) fn core_boot(&mut self) {
        if self.core.is_up() {
            return;
        }
        self.core.life += 1;
        self.core.boot_ms = self.now_ms;
        let now = self.core.now(self.now_ms);
        let mut registry = Registry::new(Policy { enrollment: EnrollmentMode::Approve, ..Policy::default() });
        for change in self.core.store.values() {
            registry.load(change.clone());
        }
        let mut process = Process { registry: Some(registry), ..Process::default() };
        for record in &self.core.log {
            process.marks.restore(&record.mark);
        }
        let mut records: Vec<_> = self.core.commands.values().cloned().collect();
        records.sort_by_key(|record| record.ended_unix_ms);
        for record in records {
            process.commands.load(record, now);
        }
        self.core.process = Some(process);
        self.schedule_core_tick();
    }

    pub(super) fn crash_core(&mut self) {
        if self.core.process.take().is_none() {
            return;
        }
        self.tally.core_crashes += 1;
        for connection in 0..self.connections.len() {
            if std::mem::take(&mut self.connections[connection].core_open) {
                self.cut(connection);
            }
        }
        let delay = self.rng.random_range(10..15_000);
        self.after(delay, Moment::CoreBoot);
    }

    pub(super) fn accept(&mut self, connection: usize) {
        if !self.core.is_up() {
            self.send_to_node(connection, None);
            return;
        }
        let now = self.core.now(self.now_ms);
        self.connections[connection].core_life = Some(self.core.life);
        self.connections[connection].core_open = true;
        let session = Session::new(SessionConfig::default(), now);
        self.core.process().sessions.insert(connection, (session, false));
        self.session_input(connection, Input::Tick);
    }

    pub(super) fn core_receives(&mut self, connection: usize, message: Option<Wire>) {
        let now = self.core.now(self.now_ms);
        match message {
            None => self.session_input(connection, Input::Closed),
            Some(Wire::Message(message)) => self.session_input(connection, Input::Message(message)),
            Some(Wire::Batch(head, events)) => {
                let Some((session, _)) = self.core.process().sessions.get_mut(&connection) else { return };
                if !session.batch(now, &head) {
                    return;
                }
                let node_id = session.node_id().unwrap();
                let batch = Batch { node_id, stream: head.stream, first_seq: head.first_seq, events };
                self.core.process().batches.push(batch);
                self.schedule_commit();
                self.drain_session(connection);
            }
        }
    }

    pub(super) fn session_tick(&mut self, connection: usize, life: u64) {
        if !self.core.is_life(life) {
            return;
        }
        if let Some((_, tick_coming)) = self.core.process().sessions.get_mut(&connection) {
            *tick_coming = false;
            self.session_input(connection, Input::Tick);
        }
    }

    fn session_input(&mut self, connection: usize, input: Input) {
        let now = self.core.now(self.now_ms);
        let Some(process) = self.core.process.as_mut() else { return };
        let Some((session, _)) = process.sessions.get_mut(&connection) else { return };
        session.handle(now, input);
        self.drain_session(connection);
    }

    fn drain_session(&mut self, connection: usize) {
        while let Some(process) = self.core.process.as_mut()
            && let Some((session, _)) = process.sessions.get_mut(&connection)
            && let Some(output) = session.poll_output()
        {
            self.carry_out_for(connection, output);
            if self.fault(100_000) {
                self.crash_core();
            }
        }
        let (life, boot_ms, now_ms) = (self.core.life, self.core.boot_ms, self.now_ms);
        let Some(process) = self.core.process.as_mut() else { return };
        let Some((session, tick_coming)) = process.sessions.get_mut(&connection) else { return };
        if session.is_closed() {
            process.sessions.remove(&connection);
            return;
        }
        if !*tick_coming && let Some(deadline) = session.next_deadline() {
            *tick_coming = true;
            let delay = (boot_ms + deadline).saturating_sub(now_ms).max(1);
            self.after(delay, Moment::SessionTick { connection, life });
        }
    }

    fn carry_out_for(&mut self, connection: usize, output: Output) {
        let now = self.core.now(self.now_ms);
        let process = self.core.process.as_mut().unwrap();
        let node_id = process.sessions.get(&connection).and_then(|(session, _)| session.node_id());
        match output {
            Output::Send(message) => self.send_to_node(connection, Some(message)),
            Output::Decide(request) => {
                let link = &self.connections[connection];
                let peer =
                    Peer { addr: self.nodes[link.node].address(), certificate: link.certificate.clone() };
                let decision = process.registry().decide(&request, &peer, now, &mut self.rng);
                let (mut verdict, mut changes) = (decision.verdict, decision.changes);
                if let Verdict::Accept(accepted) = &mut verdict
                    && accepted.sign.is_some()
                {
                    self.core.certificates_count += 1;
                    let sha256 = format!("cert-{}", self.core.certificates_count);
                    changes.push(process.registry().certificate_issued(accepted.node_id, &sha256).unwrap());
                    accepted.certificate = Some(sha256);
                }
                self.persist(connection, changes, Some(verdict));
            }
            Output::Registered { node_id, .. } => {
                self.connections[connection].registered_as = Some(node_id);
                if let Some(older) = process.registry().attach(node_id, connection_id(connection)) {
                    self.tally.connections_replaced += 1;
                    self.session_input(older.0 as usize, Input::Replaced);
                }
                let due = self.core.process.as_ref().map(|p| p.commands.due_for(node_id)).unwrap_or_default();
                for outgoing in due {
                    self.session_input(connection, Input::Command(outgoing));
                }
            }
            Output::Status { status, .. } => {
                if let Some(change) =
                    node_id.and_then(|id| process.registry().set_status(id, status, now.unix_ms))
                {
                    self.persist(connection, vec![change], None);
                }
            }
            Output::Gone { .. } => {
                let (id, registry) = (connection_id(connection), process.registry());
                if let Some(node_id) = self.connections[connection].registered_as
                    && registry.detach(node_id, id)
                    && let Some(change) = registry.set_status(node_id, NodeStatus::Stopped, now.unix_ms)
                {
                    self.persist(connection, vec![change], None);
                }
            }
            Output::CommandSent { command_id, answered } => {
                let changes = process.commands.sent(command_id, answered, now);
                self.core.keep_commands(changes);
            }
            Output::CommandResult(result) => {
                let changes = process.commands.finished(node_id.unwrap(), result, now);
                self.core.keep_commands(changes);
            }
            Output::Close { .. } => {
                self.connections[connection].core_open = false;
                self.send_to_node(connection, None);
            }
            Output::IngestEvent(_) | Output::NodeEvent(_) => {}
            other => panic!("unexpected output {other:?}"),
        }
    }

    /// Changes become durable in the order they were made; a verdict is given only after its own.
    fn persist(&mut self, connection: usize, changes: Vec<Change>, verdict: Option<Verdict>) {
        let life = self.core.life;
        let delay = self.rng.random_range(1..100);
        self.core.jobs_count += 1;
        let number = self.core.jobs_count;
        let at = (self.now_ms + delay).max(self.core.process().persist_ms);
        let process = self.core.process();
        process.persist_ms = at;
        process.jobs.push_back(Job { number, changes, verdict });
        self.after(at - self.now_ms, Moment::Persisted { connection, life, job: number });
    }

    pub(super) fn persisted(&mut self, connection: usize, life: u64, job: u64) {
        if !self.core.is_life(life) {
            return;
        }
        let Job { number, changes, verdict } = self.core.process().jobs.pop_front().unwrap();
        assert_eq!(number, job, "changes overtook each other");
        for change in changes {
            if change.is_removal() {
                self.core.store.remove(&change.key());
            } else {
                // Through its written form, as the store on disk has it.
                let text = serde_json::to_string(&change).unwrap();
                self.core.store.insert(change.key(), serde_json::from_str(&text).unwrap());
            }
        }
        if let Some(mut verdict) = verdict {
            if let Verdict::Accept(accepted) = &mut verdict {
                let resume = self.core.process().marks.resume(accepted.node_id);
                accepted.resume = resume.map(|m| EventAck { stream: m.stream, next_seq: m.next_seq });
            }
            self.session_input(connection, Input::Verdict(verdict));
        }
    }

    fn schedule_commit(&mut self) {
        let delay = self.rng.random_range(1..80);
        let life = self.core.life;
        if !std::mem::replace(&mut self.core.process().commit_coming, true) {
            self.after(delay, Moment::Commit { life });
        }
    }

    /// One group: admit, append, sync, acknowledge. Power may fail before or after the sync, and the
    /// sync itself may fail.
    pub(super) fn commit(&mut self, life: u64) {
        if !self.core.is_life(life) {
            return;
        }
        let process = self.core.process();
        let batches = std::mem::take(&mut process.batches);
        let mut records = Vec::new();
        let mut repeats = 0;
        for batch in &batches {
            let count = batch.events.len() as u64;
            let admit = process.marks.admit(batch.node_id, &batch.stream, batch.first_seq, count).unwrap();
            repeats += admit.skip;
            let events = batch.events.iter().skip(admit.skip as usize).copied().collect::<Vec<_>>();
            assert_eq!(events.len() as u64, admit.take);
            let mark = Mark {
                node_id: batch.node_id,
                stream: batch.stream.clone(),
                next_seq: batch.first_seq + count,
            };
            records.push(Record { mark, events, gap: admit.gap });
        }
        self.tally.repeats_skipped += repeats;
        self.core.process().group = Some((batches, records));
        // A disk is slow at times, and nodes come back before it is done.
        let slowest = if self.fault(10) { 10_000 } else { 60 };
        let delay = self.rng.random_range(1..slowest);
        self.after(delay, Moment::Synced { life });
    }

    pub(super) fn synced(&mut self, life: u64) {
        if !self.core.is_life(life) {
            return;
        }
        let fails = self.fault(20);
        let (dies_before, dies_after) = (self.fault(300), self.fault(300));
        if dies_before {
            return self.crash_core();
        }
        let process = self.core.process();
        process.commit_coming = false;
        let (batches, records) = process.group.take().expect("a group is being synced");
        if !process.batches.is_empty() {
            self.schedule_commit();
        }
        if fails {
            self.tally.commits_failed += 1;
            let process = self.core.process();
            process.marks.rollback();
            // A disk that comes back: the same group again. Or one that does not: the nodes of the
            // group are sent away and bring their events again.
            if self.rng.random_bool(0.5) {
                self.core.process().batches.splice(0..0, batches);
                self.schedule_commit();
                return;
            }
            for batch in batches {
                // A later batch without this one would look like a gap.
                let Some(process) = self.core.process.as_mut() else { return };
                process.batches.retain(|queued| queued.node_id != batch.node_id);
                if let Some(id) = process.registry().connection(batch.node_id) {
                    let reason = "the log cannot be written".to_owned();
                    let shutdown = Input::Shutdown { code: ErrorCode::RegistrationFailed, reason };
                    self.session_input(id.0 as usize, shutdown);
                }
            }
            return;
        }
        for record in records {
            let durable = self.core.durable.entry(record.mark.stream.clone()).or_default();
            *durable = (*durable).max(record.mark.next_seq);
            for event in &record.events {
                let times = self.core.stored.entry(*event).or_default();
                *times += 1;
                assert_eq!(*times, 1, "event {event:#x} is stored again");
            }
            if let Some(gap) = record.gap.clone() {
                self.core.gaps.entry(record.mark.stream.clone()).or_default().push(gap);
            }
            self.core.log.push(record);
        }
        if dies_after {
            return self.crash_core();
        }
        for Mark { node_id, stream, next_seq } in self.core.process().marks.commit() {
            let Some(process) = self.core.process.as_mut() else { return };
            if let Some(id) = process.registry().connection(node_id) {
                self.session_input(id.0 as usize, Input::Stored { stream, next_seq });
            }
        }
    }

    pub(super) fn approve_all(&mut self) {
        let now = self.core.now(self.now_ms);
        let Some(process) = self.core.process.as_mut() else { return };
        let mut waiting: Vec<NodeId> = process.registry().pending().map(|pending| pending.node_id).collect();
        waiting.sort();
        let mut changes = Vec::new();
        for node_id in waiting {
            changes.extend(process.registry().approve(node_id, now).unwrap());
        }
        self.persist(usize::MAX, changes, None);
    }

    pub(super) fn submit_command(&mut self, node: usize, command: Command, timeout_ms: u64) {
        let node_id = self.nodes[node].node_id();
        let now = self.core.now(self.now_ms);
        let Some(process) = self.core.process.as_mut() else { return };
        if process.registry().node(node_id).is_none() {
            return;
        }
        let submitted = process.commands.submit(node_id, command, timeout_ms, now, &mut self.rng);
        let Ok((command_id, change)) = submitted else { return };
        let outgoing = process.commands.outgoing(command_id).unwrap();
        let live = process.registry().connection(node_id);
        self.core.keep_commands(vec![change]);
        self.given.insert(command_id, node);
        if let Some(id) = live {
            self.session_input(id.0 as usize, Input::Command(outgoing));
        }
        self.schedule_core_tick();
    }

    pub(super) fn core_tick(&mut self, life: u64) {
        if !self.core.is_life(life) {
            return;
        }
        let now = self.core.now(self.now_ms);
        self.core.process().tick_ms = None;
        let changes = self.core.process().commands.tick(now);
        self.core.keep_commands(changes);
        self.schedule_core_tick();
    }

    fn schedule_core_tick(&mut self) {
        let (life, boot_ms, now_ms) = (self.core.life, self.core.boot_ms, self.now_ms);
        let Some(process) = self.core.process.as_mut() else { return };
        let Some(deadline) = process.commands.next_deadline() else { return };
        let at = (boot_ms + deadline).max(now_ms + 1);
        if process.tick_ms.is_none_or(|tick| at < tick) {
            process.tick_ms = Some(at);
            self.after(at - now_ms, Moment::CoreTick { life });
        }
    }
}

//! The simulated world: one queue of moments, one source of randomness, machines and links.
//!
//! `run` plays a seed: a time of faults, then a time without, then the checks at the end. What must
//! hold at every moment is checked where it happens, in `core.rs` and `node.rs`.

mod core;
mod net;
mod node;

use std::cmp::Reverse;
use std::collections::{BTreeMap, BinaryHeap};

use bee_link::core::CommandState;
use bee_link::node::CommandOutcome;
use bee_wire::node::NodeStatus;
use bee_wire::{Command, CommandId, CoreMessage};
use rand::RngExt;
use rand_chacha::{ChaCha8Rng, rand_core::SeedableRng};

use self::core::CoreMachine;
use self::net::{Connection, Wire};
use self::node::NodeMachine;

const FAULTS_MS: u64 = 10 * 60_000;
const CALM_MS: u64 = 60 * 60_000;
/// The wall clock at the start of each run.
const EPOCH_MS: i64 = 1_800_000_000_000;

/// How often each fault came, and how much was carried; tells that a run was worth its name.
#[derive(Debug, Default, Clone, PartialEq, Eq)]
pub(crate) struct Tally {
    captured: u64,
    stored: u64,
    dropped_by_cap: u64,
    repeats_skipped: u64,
    gaps: u64,
    node_crashes: u64,
    core_crashes: u64,
    links_cut: u64,
    clock_jumps: u64,
    commits_failed: u64,
    connections_replaced: u64,
    backups_restored: u64,
    streams_renewed: u64,
    spools_lost: u64,
    registrations: u64,
    refusals: u64,
    commands_done: u64,
    commands_timed_out: u64,
    late_tails: u64,
}

impl Tally {
    pub(crate) fn add(&mut self, other: &Tally) {
        for (mine, theirs) in self.fields().into_iter().zip(other.clone().fields()) {
            *mine.1 += *theirs.1;
        }
    }

    pub(crate) fn assert_faults_happened(&mut self) {
        for (name, count) in self.fields() {
            assert!(*count > 0, "no run of all seeds had {name}: the simulation tests less than it says");
        }
    }

    fn fields(&mut self) -> [(&'static str, &mut u64); 19] {
        [
            ("captured", &mut self.captured),
            ("stored", &mut self.stored),
            ("dropped_by_cap", &mut self.dropped_by_cap),
            ("repeats_skipped", &mut self.repeats_skipped),
            ("gaps", &mut self.gaps),
            ("node_crashes", &mut self.node_crashes),
            ("core_crashes", &mut self.core_crashes),
            ("links_cut", &mut self.links_cut),
            ("clock_jumps", &mut self.clock_jumps),
            ("commits_failed", &mut self.commits_failed),
            ("connections_replaced", &mut self.connections_replaced),
            ("backups_restored", &mut self.backups_restored),
            ("streams_renewed", &mut self.streams_renewed),
            ("spools_lost", &mut self.spools_lost),
            ("registrations", &mut self.registrations),
            ("refusals", &mut self.refusals),
            ("commands_done", &mut self.commands_done),
            ("commands_timed_out", &mut self.commands_timed_out),
            ("late_tails", &mut self.late_tails),
        ]
    }
}

/// Something that happens at a moment. `life` is the life of a process it was meant for: a process
/// that has been restarted since does not see it.
#[derive(Debug)]
enum Moment {
    NodeTick { node: usize, life: u64 },
    NodeBoot { node: usize },
    Dialed { node: usize, life: u64, connection: Option<usize> },
    Capture { node: usize },
    CommandDone { node: usize, life: u64, command_id: CommandId, outcome: CommandOutcome },
    ToNode { connection: usize, message: Option<CoreMessage> },
    Accept { connection: usize },
    ToCore { connection: usize, message: Option<Wire> },
    SessionTick { connection: usize, life: u64 },
    CoreTick { life: u64 },
    CoreBoot,
    Persisted { connection: usize, life: u64, job: u64 },
    Commit { life: u64 },
    Synced { life: u64 },
    Operator,
    Fault,
    Calm,
}

#[derive(Debug)]
struct Scheduled {
    at_ms: u64,
    order: u64,
    moment: Moment,
}

impl PartialEq for Scheduled {
    fn eq(&self, other: &Self) -> bool {
        self.order == other.order
    }
}
impl Eq for Scheduled {}
impl PartialOrd for Scheduled {
    fn partial_cmp(&self, other: &Self) -> Option<std::cmp::Ordering> {
        Some(self.cmp(other))
    }
}
impl Ord for Scheduled {
    fn cmp(&self, other: &Self) -> std::cmp::Ordering {
        (self.at_ms, self.order).cmp(&(other.at_ms, other.order))
    }
}

struct World {
    now_ms: u64,
    rng: ChaCha8Rng,
    queue: BinaryHeap<Reverse<Scheduled>>,
    order: u64,
    faults: bool,
    core: CoreMachine,
    nodes: Vec<NodeMachine>,
    connections: Vec<Connection>,
    given: BTreeMap<CommandId, usize>,
    tally: Tally,
}

/// Plays one seed and checks it.
///
/// # Panics
/// If a promise is broken.
pub(crate) fn run(seed: u64) -> Tally {
    let mut rng = ChaCha8Rng::seed_from_u64(seed);
    let nodes_count = rng.random_range(10..=30);
    let mut world = World {
        now_ms: 0,
        rng,
        queue: BinaryHeap::new(),
        order: 0,
        faults: true,
        core: CoreMachine::new(),
        nodes: Vec::new(),
        connections: Vec::new(),
        given: BTreeMap::new(),
        tally: Tally::default(),
    };
    for index in 0..nodes_count {
        let token = world.mint_token();
        world.nodes.push(NodeMachine::new(index, token, &mut world.rng));
        let at = world.rng.random_range(0..5_000);
        world.after(at, Moment::NodeBoot { node: index });
        world.after(at, Moment::Capture { node: index });
    }
    world.after(0, Moment::CoreBoot);
    world.after(1_000, Moment::Fault);
    world.after(1_500, Moment::Operator);
    world.after(FAULTS_MS, Moment::Calm);
    world.play();
    world.tally
}

impl World {
    fn after(&mut self, delay_ms: u64, moment: Moment) {
        self.order += 1;
        let scheduled = Scheduled { at_ms: self.now_ms + delay_ms, order: self.order, moment };
        self.queue.push(Reverse(scheduled));
    }

    /// True once in `n` times, while there are faults.
    fn fault(&mut self, n: u32) -> bool {
        self.faults && self.rng.random_ratio(1, n)
    }

    fn play(&mut self) {
        while let Some(Reverse(Scheduled { at_ms, moment, .. })) = self.queue.pop() {
            self.now_ms = at_ms;
            self.step(moment);
            if !self.faults && self.is_settled() {
                return self.check_end();
            }
            if at_ms > FAULTS_MS + CALM_MS {
                self.explain();
                panic!("an hour without faults, and the fleet has not settled");
            }
        }
        panic!("nothing left to happen");
    }

    fn step(&mut self, moment: Moment) {
        match moment {
            Moment::NodeTick { node, life } => self.node_tick(node, life),
            Moment::NodeBoot { node } => self.node_boot(node),
            Moment::Dialed { node, life, connection } => self.dialed(node, life, connection),
            Moment::Capture { node } => self.capture(node),
            Moment::CommandDone { node, life, command_id, outcome } => {
                self.command_done(node, life, command_id, outcome);
            }
            Moment::ToNode { connection, message } => self.deliver_to_node(connection, message),
            Moment::Accept { connection } => self.accept(connection),
            Moment::ToCore { connection, message } => self.deliver_to_core(connection, message),
            Moment::SessionTick { connection, life } => self.session_tick(connection, life),
            Moment::CoreTick { life } => self.core_tick(life),
            Moment::CoreBoot => self.core_boot(),
            Moment::Persisted { connection, life, job } => self.persisted(connection, life, job),
            Moment::Commit { life } => self.commit(life),
            Moment::Synced { life } => self.synced(life),
            Moment::Operator => self.operator(),
            Moment::Fault => self.inject_fault(),
            Moment::Calm => self.calm(),
        }
    }

    fn inject_fault(&mut self) {
        if !self.faults {
            return;
        }
        let next = self.rng.random_range(10..4_000);
        self.after(next, Moment::Fault);
        let node = self.rng.random_range(0..self.nodes.len());
        match self.rng.random_range(0..100) {
            0..30 => self.cut_link_of(node),
            30..50 => self.crash_node(node),
            50..58 => self.crash_core(),
            58..72 => self.jump_clock(node),
            72..77 => self.restore_backup(node),
            77..80 => self.lose_spool(node),
            80..90 => self.dial_twice(node),
            _ => self.give_command(node),
        }
    }

    /// An operator approves who waits, and gives commands.
    fn operator(&mut self) {
        let next = self.rng.random_range(5_000..20_000);
        self.after(next, Moment::Operator);
        self.approve_all();
        if self.faults {
            let node = self.rng.random_range(0..self.nodes.len());
            self.give_command(node);
        }
    }

    fn give_command(&mut self, node: usize) {
        let commands = [
            Command::GetInstalledPots,
            Command::GetPotStatus("ssh".into()),
            Command::DeployPot("ssh".into()),
        ];
        let command = commands[self.rng.random_range(0..commands.len())].clone();
        let timeout_ms = self.rng.random_range(1_000..300_000);
        self.submit_command(node, command, timeout_ms);
    }

    /// Clocks move on either side, by seconds or by days, forth and back.
    fn jump_clock(&mut self, node: usize) {
        self.tally.clock_jumps += 1;
        let far = if self.rng.random_ratio(1, 4) { 86_400_000 } else { 120_000 };
        let offset = self.rng.random_range(-far..=far);
        match self.rng.random_range(0..4) {
            0 => self.core.clock_offset_ms = offset,
            1 => self.nodes[node].clock_offset_ms = 0,
            _ => self.nodes[node].clock_offset_ms = offset,
        }
    }

    /// Faults end: clocks agree within what TOTP forgives, everything is up, links hold.
    fn calm(&mut self) {
        self.faults = false;
        self.core.clock_offset_ms = self.rng.random_range(-10_000..10_000);
        for node in &mut self.nodes {
            node.clock_offset_ms = self.rng.random_range(-10_000..10_000);
        }
    }

    fn is_settled(&self) -> bool {
        self.core.is_up()
            && self.core.is_idle()
            && self.nodes.iter().all(|node| node.is_settled())
            && self.core.all_commands_ended()
            && self.nodes.iter().all(|node| {
                let status = self.core.status_of(node);
                matches!(status, Some(NodeStatus::Running | NodeStatus::Connected))
            })
    }

    fn check_end(&mut self) {
        for node in 0..self.nodes.len() {
            self.check_events(node);
        }
        for (command_id, node) in &self.given {
            let state = self.core.command_state(*command_id);
            let runs = self.nodes[*node].runs.get(command_id).copied().unwrap_or(0);
            assert!(runs <= 1, "command {command_id} was carried out {runs} times");
            match state {
                Some(CommandState::Done { ok: true, .. }) => {
                    self.tally.commands_done += 1;
                    assert!(runs == 1, "command {command_id} is done, but was never carried out");
                }
                Some(CommandState::TimedOut) => self.tally.commands_timed_out += 1,
                Some(CommandState::Done { .. } | CommandState::SentUnanswered) => {}
                other => panic!("command {command_id} of node {node} has not ended: {other:?}"),
            }
        }
        for node in &self.nodes {
            self.tally.registrations += node.registrations;
            self.tally.refusals += node.refusals;
        }
    }

    fn explain(&self) {
        eprintln!("core: {}", self.core.describe());
        for node in self.nodes.iter().filter(|node| !node.is_settled() || self.core.status_of(node).is_none())
        {
            eprintln!("node {}: {}; Core: {:?}", node.index, node.describe(), self.core.status_of(node));
        }
    }
}

//! Commands from the moment an operator gives one to the moment it has ended, across restarts.
//!
//! One `Commands` serves all nodes. A command is sent when its node is connected, and again at each
//! new connection until its result is in: the node runs an id once and answers repeats with the
//! result it has. It ends by that result or by its deadline. Like the registry it returns changes to
//! make durable and is rebuilt from them.
//!
//! Deadlines run on the monotonic clock, so that a jump of the wall clock neither ends every command
//! nor keeps one for ever; across a restart of Core the remaining time is taken from the wall clock,
//! and is never more than the command was given.

use std::collections::{BTreeSet, HashMap, VecDeque};

use bee_wire::node::CommandResult;
use bee_wire::{Command, CommandId, ErrorCode, NodeId};
use rand::CryptoRng;
use serde::{Deserialize, Serialize};
use serde_json::Value;
use uuid::Builder;

use crate::Now;

/// Commands one node may have waiting.
const WAITING_PER_NODE_MAX: usize = 1_000;
/// Ended commands remembered over all nodes.
const ENDED_MAX: usize = 10_000;

/// Where a command stands.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub enum CommandState {
    /// Not sent yet.
    Queued,
    /// Sent; the result is awaited.
    Sent,
    /// Sent to a node that does not answer commands.
    SentUnanswered,
    /// The node answered.
    Done {
        /// Whether it was carried out.
        ok: bool,
        /// Why not.
        code: Option<ErrorCode>,
        /// For people.
        message: Option<String>,
        /// What it asked for.
        data: Option<Value>,
    },
    /// No answer came before the deadline.
    TimedOut,
    /// The node was removed.
    NodeRemoved,
}

impl CommandState {
    /// Whether nothing more will happen.
    pub fn is_ended(&self) -> bool {
        !matches!(self, CommandState::Queued | CommandState::Sent)
    }
}

/// A command and where it stands.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub struct CommandRecord {
    /// Its id, a UUIDv7.
    pub command_id: CommandId,
    /// Whom it is for.
    pub node_id: NodeId,
    /// What to do.
    pub command: Command,
    /// When it was given, Unix milliseconds.
    pub created_unix_ms: i64,
    /// Time it was given, in milliseconds.
    pub timeout_ms: u64,
    /// Where it stands.
    pub state: CommandState,
    /// When it ended, Unix milliseconds.
    pub ended_unix_ms: Option<i64>,
}

impl CommandRecord {
    /// When it times out, Unix milliseconds.
    pub fn deadline_unix_ms(&self) -> i64 {
        self.created_unix_ms.saturating_add_unsigned(self.timeout_ms)
    }
}

/// Something to make durable under the key [`CommandChange::command_id`].
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub enum CommandChange {
    /// A command is new or different.
    Put(Box<CommandRecord>),
    /// An ended command is forgotten, to keep their number in bounds.
    Removed(CommandId),
}

impl CommandChange {
    /// The command this is about.
    pub fn command_id(&self) -> CommandId {
        match self {
            CommandChange::Put(record) => record.command_id,
            CommandChange::Removed(id) => *id,
        }
    }
}

/// A command to put on a node's connection.
#[derive(Debug, Clone, PartialEq)]
pub struct Outgoing {
    /// Its id.
    pub command_id: CommandId,
    /// What to do.
    pub command: Command,
    /// When it times out, Unix milliseconds.
    pub deadline_unix_ms: i64,
}

/// A command that cannot be taken.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
pub enum CommandError {
    /// The node has too many waiting.
    #[error("node {0} has {WAITING_PER_NODE_MAX} commands waiting; let some end first")]
    TooManyWaiting(NodeId),
}

/// All commands that have not ended, and the latest that have.
#[derive(Debug, Default)]
pub struct Commands {
    records: HashMap<CommandId, CommandRecord>,
    // Of those that have not ended: in order of their ids, which is the order they were given in.
    waiting: HashMap<NodeId, BTreeSet<CommandId>>,
    deadlines: BTreeSet<(u64, CommandId)>,
    deadline_of: HashMap<CommandId, u64>,
    ended: VecDeque<CommandId>,
}

impl Commands {
    /// No command yet.
    pub fn new() -> Self {
        Commands::default()
    }

    /// Takes in a stored record at start. Load ended ones in the order they ended, oldest first.
    pub fn load(&mut self, record: CommandRecord, now: Now) {
        if record.state.is_ended() {
            self.ended.push_back(record.command_id);
        } else {
            let left_ms = record.deadline_unix_ms().saturating_sub(now.unix_ms);
            self.watch(&record, u64::try_from(left_ms).unwrap_or(0).min(record.timeout_ms), now);
        }
        self.records.insert(record.command_id, record);
    }

    /// Takes a new command. Make the change durable, then send what [`Commands::due_for`] returns if
    /// the node is connected.
    ///
    /// # Errors
    /// The node has too many commands waiting.
    pub fn submit<R: CryptoRng + ?Sized>(
        &mut self,
        node_id: NodeId,
        command: Command,
        timeout_ms: u64,
        now: Now,
        rng: &mut R,
    ) -> Result<(CommandId, CommandChange), CommandError> {
        if self.waiting.get(&node_id).is_some_and(|ids| ids.len() >= WAITING_PER_NODE_MAX) {
            return Err(CommandError::TooManyWaiting(node_id));
        }
        let mut random = [0u8; 10];
        rng.fill_bytes(&mut random);
        let unix_ms = u64::try_from(now.unix_ms).unwrap_or(0);
        let command_id = CommandId(Builder::from_unix_timestamp_millis(unix_ms, &random).into_uuid());
        let record = CommandRecord {
            command_id,
            node_id,
            command,
            created_unix_ms: now.unix_ms,
            timeout_ms,
            state: CommandState::Queued,
            ended_unix_ms: None,
        };
        self.watch(&record, timeout_ms, now);
        self.records.insert(command_id, record.clone());
        Ok((command_id, CommandChange::Put(Box::new(record))))
    }

    /// All commands of a node that have not ended, oldest first: send them when it has registered.
    pub fn due_for(&self, node_id: NodeId) -> Vec<Outgoing> {
        let ids = self.waiting.get(&node_id).into_iter().flatten();
        ids.filter_map(|id| self.outgoing(*id)).collect()
    }

    /// One command, if it has not ended: send it when it was submitted for a connected node.
    pub fn outgoing(&self, command_id: CommandId) -> Option<Outgoing> {
        let record = self.records.get(&command_id).filter(|record| !record.state.is_ended())?;
        Some(Outgoing {
            command_id,
            command: record.command.clone(),
            deadline_unix_ms: record.deadline_unix_ms(),
        })
    }

    /// Notes [`super::Output::CommandSent`]. A command for a node that does not answer ends here.
    pub fn sent(&mut self, command_id: CommandId, answered: bool, now: Now) -> Vec<CommandChange> {
        let Some(record) = self.records.get_mut(&command_id) else { return Vec::new() };
        match record.state {
            CommandState::Queued | CommandState::Sent if !answered => {
                self.end(command_id, CommandState::SentUnanswered, now)
            }
            // Not made durable: after a restart it is sent again anyway.
            CommandState::Queued => {
                record.state = CommandState::Sent;
                Vec::new()
            }
            _ => Vec::new(),
        }
    }

    /// Takes a result from a node. A result for a command of another node, for an unknown one, or for
    /// one that has ended changes nothing.
    pub fn finished(&mut self, node_id: NodeId, result: CommandResult, now: Now) -> Vec<CommandChange> {
        let waits = self.waiting.get(&node_id).is_some_and(|ids| ids.contains(&result.command_id));
        if !waits {
            return Vec::new();
        }
        let CommandResult { command_id, ok, code, message, data, .. } = result;
        self.end(command_id, CommandState::Done { ok, code, message, data }, now)
    }

    /// Ends all commands of a node that was removed.
    pub fn node_removed(&mut self, node_id: NodeId, now: Now) -> Vec<CommandChange> {
        let ids = self.waiting.get(&node_id).cloned().unwrap_or_default();
        ids.into_iter().flat_map(|id| self.end(id, CommandState::NodeRemoved, now)).collect()
    }

    /// Ends the commands whose time is over.
    pub fn tick(&mut self, now: Now) -> Vec<CommandChange> {
        let mut changes = Vec::new();
        while let Some(&(deadline, id)) = self.deadlines.first()
            && deadline <= now.mono_ms
        {
            changes.extend(self.end(id, CommandState::TimedOut, now));
        }
        changes
    }

    /// When to call [`Commands::tick`] at the latest, on the monotonic clock.
    pub fn next_deadline(&self) -> Option<u64> {
        self.deadlines.first().map(|(deadline, _)| *deadline)
    }

    /// A command, if it is still remembered.
    pub fn get(&self, command_id: CommandId) -> Option<&CommandRecord> {
        self.records.get(&command_id)
    }

    /// All commands remembered, in no order.
    pub fn iter(&self) -> impl Iterator<Item = &CommandRecord> {
        self.records.values()
    }

    fn watch(&mut self, record: &CommandRecord, left_ms: u64, now: Now) {
        let deadline = now.mono_ms.saturating_add(left_ms);
        self.waiting.entry(record.node_id).or_default().insert(record.command_id);
        self.deadlines.insert((deadline, record.command_id));
        self.deadline_of.insert(record.command_id, deadline);
    }

    fn end(&mut self, command_id: CommandId, state: CommandState, now: Now) -> Vec<CommandChange> {
        if let Some(deadline) = self.deadline_of.remove(&command_id) {
            self.deadlines.remove(&(deadline, command_id));
        }
        let Some(record) = self.records.get_mut(&command_id) else { return Vec::new() };
        record.state = state;
        record.ended_unix_ms = Some(now.unix_ms);
        let mut changes = vec![CommandChange::Put(Box::new(record.clone()))];
        if let Some(ids) = self.waiting.get_mut(&record.node_id) {
            ids.remove(&command_id);
            if ids.is_empty() {
                self.waiting.remove(&record.node_id);
            }
        }
        self.ended.push_back(command_id);
        if self.ended.len() > ENDED_MAX
            && let Some(oldest) = self.ended.pop_front()
        {
            self.records.remove(&oldest);
            changes.push(CommandChange::Removed(oldest));
        }
        changes
    }
}

#[cfg(test)]
#[path = "command_tests.rs"]
mod tests;

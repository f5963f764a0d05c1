//! What a node remembers of the commands it was given: each id is carried out once.
//!
//! `NodeLink` asks it for every command that comes and tells it when one has ended. Core repeats a
//! command after each reconnect until it has the result; here a repeat is answered from memory. A
//! command that was running when the node went down is not run again (it may have done half of its
//! work); it ends as failed and says so.

use std::collections::{BTreeMap, BTreeSet, HashMap};

use bee_wire::node::CommandResult;
use bee_wire::{CommandId, ErrorCode, NodeId};
use serde::{Deserialize, Serialize};
use serde_json::Value;

use crate::Now;

/// Commands remembered after they ended.
const ENDED_MAX: usize = 512;
/// Commands running at one time.
const RUNNING_MAX: usize = 128;
/// How far beyond its deadline a command is still taken: clocks of node and Core may differ by as
/// much as TOTP forgives, in milliseconds.
const DEADLINE_SLACK_MS: i64 = 90_000;
/// Longest time a command may run whatever its deadline says, in milliseconds.
const RUN_MS_MAX: u64 = 24 * 3_600_000;

/// How a command ended.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub struct CommandOutcome {
    /// Whether it was done.
    pub ok: bool,
    /// Why not, for programs.
    pub code: Option<ErrorCode>,
    /// Why not, for people.
    pub message: Option<String>,
    /// What it asked for.
    pub data: Option<Value>,
}

/// Where a command stands on its node.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub enum CommandPhase {
    /// Being carried out.
    Running,
    /// Over.
    Ended(CommandOutcome),
}

/// A command as a node remembers it.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub struct CommandMemory {
    /// Its id.
    pub command_id: CommandId,
    /// When it came, Unix milliseconds.
    pub received_unix_ms: i64,
    /// Where it stands.
    pub phase: CommandPhase,
}

/// What to do about a command that came.
#[derive(Debug, PartialEq)]
pub(super) enum Taken {
    Run(CommandMemory),
    Repeat,
    Answer(CommandOutcome),
}

#[derive(Debug, Default)]
pub(super) struct CommandBook {
    memories: HashMap<CommandId, CommandMemory>,
    // In order of their ids, which is the order Core made them in.
    ended: BTreeSet<CommandId>,
    running: BTreeMap<CommandId, u64>,
    unsent: BTreeSet<CommandId>,
}

impl CommandBook {
    /// Takes in what was on disk. Returns what has changed by the restart, to be saved.
    pub(super) fn restore(memories: Vec<CommandMemory>) -> (Self, Vec<CommandMemory>) {
        let mut book = CommandBook::default();
        let mut changed = Vec::new();
        for mut memory in memories {
            let id = memory.command_id;
            if memory.phase == CommandPhase::Running {
                memory.phase = CommandPhase::Ended(CommandOutcome::failed(
                    ErrorCode::CommandFailed,
                    "the node restarted while it carried this out",
                ));
                book.unsent.insert(id);
                changed.push(memory.clone());
            }
            book.ended.insert(id);
            book.memories.insert(id, memory);
        }
        (book, changed)
    }

    pub(super) fn take(&mut self, id: CommandId, deadline_unix_ms: Option<i64>, now: Now) -> Taken {
        match self.memories.get(&id).map(|memory| &memory.phase) {
            Some(CommandPhase::Running) => return Taken::Repeat,
            Some(CommandPhase::Ended(outcome)) => {
                self.unsent.remove(&id);
                return Taken::Answer(outcome.clone());
            }
            None => {}
        }
        let left_ms = deadline_unix_ms.map(|deadline| deadline.saturating_sub(now.unix_ms));
        if left_ms.is_some_and(|left| left < -DEADLINE_SLACK_MS) {
            let text = "the command came after its deadline";
            return Taken::Answer(CommandOutcome::failed(ErrorCode::CommandTimeout, text));
        }
        if self.running.len() >= RUNNING_MAX {
            let text = format!("the node is carrying out {RUNNING_MAX} commands already");
            return Taken::Answer(CommandOutcome::failed(ErrorCode::CommandFailed, text));
        }
        let run_ms = left_ms.map_or(RUN_MS_MAX, |left| {
            u64::try_from(left.saturating_add(DEADLINE_SLACK_MS)).unwrap_or(0).min(RUN_MS_MAX)
        });
        let memory =
            CommandMemory { command_id: id, received_unix_ms: now.unix_ms, phase: CommandPhase::Running };
        self.memories.insert(id, memory.clone());
        self.running.insert(id, now.mono_ms.saturating_add(run_ms));
        Taken::Run(memory)
    }

    /// Notes the end of a running command. Returns what to save, and an old command to forget;
    /// nothing for one that is not running.
    pub(super) fn finish(
        &mut self,
        id: CommandId,
        outcome: CommandOutcome,
    ) -> Option<(CommandMemory, Option<CommandId>)> {
        self.running.remove(&id)?;
        let memory = self.memories.get_mut(&id)?;
        memory.phase = CommandPhase::Ended(outcome);
        let memory = memory.clone();
        self.ended.insert(id);
        self.unsent.insert(id);
        let oldest = if self.ended.len() > ENDED_MAX { self.ended.pop_first() } else { None };
        if let Some(oldest) = oldest {
            self.memories.remove(&oldest);
            self.unsent.remove(&oldest);
        }
        Some((memory, oldest))
    }

    /// Commands whose time is over.
    pub(super) fn overdue(&self, now: Now) -> Vec<CommandId> {
        self.running.iter().filter(|(_, deadline)| **deadline <= now.mono_ms).map(|(id, _)| *id).collect()
    }

    pub(super) fn next_deadline(&self) -> Option<u64> {
        self.running.values().min().copied()
    }

    /// Results that no connection has taken yet; they count as taken from now on. One that is lost
    /// on the way is asked for again, because Core repeats the command.
    pub(super) fn take_unsent(&mut self, node_id: NodeId) -> Vec<CommandResult> {
        let ids = std::mem::take(&mut self.unsent);
        ids.into_iter()
            .filter_map(|id| match &self.memories.get(&id)?.phase {
                CommandPhase::Ended(outcome) => Some(result(node_id, id, outcome.clone())),
                CommandPhase::Running => None,
            })
            .collect()
    }
}

pub(super) fn result(node_id: NodeId, command_id: CommandId, outcome: CommandOutcome) -> CommandResult {
    let CommandOutcome { ok, code, message, data } = outcome;
    CommandResult { node_id, command_id, ok, code, message, data }
}

//! Which commands this node has carried out, across restarts: `commands.json`, written whole at each change.

use std::{
    collections::BTreeMap,
    path::{Path, PathBuf},
};

use bee_daemon::secret_file::{self, SecretFileError};
use bee_link::node::{CommandMemory, CommandOutcome, CommandPhase};
use bee_wire::CommandId;
use serde_json::Value;
use tracing::warn;

use crate::limits::COMMANDS_REMEMBERED_MAX;

const FILE_BYTES_MAX: u64 = 16 * 1024 * 1024;
/// An answer larger than this (a log, a list) is not kept across a restart; that the command ran is.
const DATA_BYTES_MAX: usize = 4 * 1024;

/// The file and what is in it.
#[derive(Debug)]
pub(super) struct CommandFile {
    path: PathBuf,
    memories: BTreeMap<CommandId, CommandMemory>,
}

impl CommandFile {
    /// Reads the file; a damaged one is set aside, because commands must go on.
    pub(super) fn load(path: &Path) -> Result<Self, SecretFileError> {
        let memories: Vec<CommandMemory> = match secret_file::read(path, FILE_BYTES_MAX) {
            Ok(bytes) => serde_json::from_slice(&bytes).unwrap_or_else(|error| {
                warn!(path = %path.display(), %error, "the record of commands is damaged; starting a new one");
                Vec::new()
            }),
            Err(error) if error.is_not_found() => Vec::new(),
            Err(error) => return Err(error),
        };
        let memories = memories.into_iter().map(|memory| (memory.command_id, memory)).collect();
        Ok(Self { path: path.to_owned(), memories })
    }

    pub(super) fn memories(&self) -> Vec<CommandMemory> {
        self.memories.values().cloned().collect()
    }

    /// Keeps a command. Ids are UUIDv7, so the first is the oldest.
    pub(super) fn keep(&mut self, memory: CommandMemory) -> Result<(), SecretFileError> {
        self.memories.insert(memory.command_id, small(memory));
        while self.memories.len() > COMMANDS_REMEMBERED_MAX {
            self.memories.pop_first();
        }
        self.save()
    }

    pub(super) fn forget(&mut self, id: CommandId) -> Result<(), SecretFileError> {
        if self.memories.remove(&id).is_some() { self.save() } else { Ok(()) }
    }

    fn save(&self) -> Result<(), SecretFileError> {
        let all: Vec<&CommandMemory> = self.memories.values().collect();
        secret_file::write(&self.path, &serde_json::to_vec(&all).unwrap_or_default())
    }
}

fn small(mut memory: CommandMemory) -> CommandMemory {
    if let CommandPhase::Ended(CommandOutcome { data: Some(data), message, .. }) = &mut memory.phase
        && data.to_string().len() > DATA_BYTES_MAX
    {
        *data = Value::Null;
        message.get_or_insert_with(|| "the node restarted and did not keep this answer; ask again".into());
    }
    memory
}

#[cfg(test)]
mod tests {
    use super::*;

    fn memory(n: u128, data: Value) -> CommandMemory {
        CommandMemory {
            command_id: CommandId(uuid::Uuid::from_u128(n)),
            received_unix_ms: 5,
            phase: CommandPhase::Ended(CommandOutcome::ok(Some(data))),
        }
    }

    #[test]
    fn commands_are_remembered_across_restarts_within_limits() {
        let dir = tempfile::tempdir().unwrap();
        let path = dir.path().join("commands.json");
        let mut file = CommandFile::load(&path).unwrap();
        file.keep(memory(1, Value::Bool(true))).unwrap();
        file.keep(memory(2, Value::String("x".repeat(DATA_BYTES_MAX)))).unwrap();
        let again = CommandFile::load(&path).unwrap();
        assert_eq!(again.memories().len(), 2);
        assert_eq!(again.memories()[0], memory(1, Value::Bool(true)));
        assert!(std::fs::metadata(&path).unwrap().len() < DATA_BYTES_MAX as u64);
        let mut again = again;
        again.forget(CommandId(uuid::Uuid::from_u128(1))).unwrap();
        assert_eq!(CommandFile::load(&path).unwrap().memories().len(), 1);
    }

    #[test]
    fn a_damaged_record_does_not_stop_the_node() {
        let dir = tempfile::tempdir().unwrap();
        let path = dir.path().join("commands.json");
        secret_file::write(&path, b"{").unwrap();
        assert!(CommandFile::load(&path).unwrap().memories().is_empty());
    }
}

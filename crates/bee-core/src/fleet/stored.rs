//! How the fleet lies in the state store: `node/`, `join-token/`, `pending/`, `command/`.
//!
//! A node's record holds its TOTP key, so the whole record is sealed; the others are plain JSON.

use bee_link::Now;
use bee_link::core::{Change, CommandChange, CommandRecord, Commands, JoinToken, PendingNode, Registry};
use serde::{Deserialize, Serialize};

use crate::seal::{SealError, Sealer};
use crate::state::{self, Record, State, StateError};

/// The stored fleet could not be read.
#[derive(Debug, thiserror::Error)]
pub(crate) enum LoadError {
    /// The state store.
    #[error("cannot read the nodes")]
    State(#[from] StateError),
    /// A sealed record.
    #[error("cannot open the record {key}")]
    Seal {
        /// Its key.
        key: String,
        /// Why.
        #[source]
        cause: SealError,
    },
    /// A sealed record that is not what it should be.
    #[error("cannot read the record {key}")]
    Record {
        /// Its key.
        key: String,
        /// Why.
        #[source]
        cause: serde_json::Error,
    },
}

#[derive(Serialize, Deserialize)]
struct SealedNode {
    sealed: String,
}

impl Record for SealedNode {
    const KIND: &'static str = "node";
    const VERSION: u32 = 1;
}

#[derive(Serialize, Deserialize)]
#[serde(transparent)]
struct StoredToken(JoinToken);

impl Record for StoredToken {
    const KIND: &'static str = "join token";
    const VERSION: u32 = 1;
}

#[derive(Serialize, Deserialize)]
#[serde(transparent)]
struct StoredPending(PendingNode);

impl Record for StoredPending {
    const KIND: &'static str = "waiting node";
    const VERSION: u32 = 1;
}

#[derive(Serialize, Deserialize)]
#[serde(transparent)]
struct StoredCommand(CommandRecord);

impl Record for StoredCommand {
    const KIND: &'static str = "command";
    const VERSION: u32 = 1;
}

pub(super) fn load_registry(
    state: &State,
    sealer: &Sealer,
    registry: &mut Registry,
) -> Result<(), LoadError> {
    for (key, node) in state.records::<SealedNode>("node/")? {
        let plain =
            sealer.open(&key, &node.sealed).map_err(|cause| LoadError::Seal { key: key.clone(), cause })?;
        let plain = zeroize::Zeroizing::new(plain);
        let node = serde_json::from_slice(&plain).map_err(|cause| LoadError::Record { key, cause })?;
        registry.load(Change::Node(Box::new(node)));
    }
    for (_, StoredToken(token)) in state.records("token/")? {
        registry.load(Change::Token(token));
    }
    for (_, StoredPending(pending)) in state.records("pending/")? {
        registry.load(Change::Pending(pending));
    }
    Ok(())
}

pub(super) fn load_commands(state: &State, commands: &mut Commands, now: Now) -> Result<(), LoadError> {
    let mut records: Vec<CommandRecord> = state
        .records::<StoredCommand>("command/")?
        .into_iter()
        .map(|(_, StoredCommand(record))| record)
        .collect();
    records.sort_by_key(|record| record.ended_unix_ms);
    for record in records {
        commands.load(record, now);
    }
    Ok(())
}

pub(super) fn encode(sealer: &Sealer, changes: Vec<Change>) -> Result<Vec<state::Change>, StateError> {
    changes
        .into_iter()
        .map(|change| {
            let key = change.key();
            match change {
                Change::Node(node) => {
                    let wrong = |cause| StateError::Value { key: key.clone(), kind: SealedNode::KIND, cause };
                    let plain = zeroize::Zeroizing::new(serde_json::to_vec(&node).map_err(wrong)?);
                    let sealed =
                        sealer.seal(&key, &plain).map_err(|cause| StateError::store("write to", cause))?;
                    state::Change::put(key, &SealedNode { sealed })
                }
                Change::Token(token) => state::Change::put(key, &StoredToken(token)),
                Change::Pending(pending) => state::Change::put(key, &StoredPending(pending)),
                Change::NodeRemoved(_) | Change::TokenRemoved(_) | Change::PendingRemoved(_) => {
                    Ok(state::Change::delete(key))
                }
            }
        })
        .collect()
}

pub(super) fn encode_commands(changes: Vec<CommandChange>) -> Result<Vec<state::Change>, StateError> {
    changes
        .into_iter()
        .map(|change| {
            let key = format!("command/{}", change.command_id());
            match change {
                CommandChange::Put(record) => state::Change::put(key, &StoredCommand(*record)),
                CommandChange::Removed(_) => Ok(state::Change::delete(key)),
            }
        })
        .collect()
}

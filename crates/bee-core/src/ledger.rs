//! How many events of each node are stored, and how many it had to drop: the loss ledger's totals.
//!
//! Kept beside the stream positions: the ingest writer counts, checkpoints save, the API reads.

use std::collections::HashMap;
use std::sync::{Mutex, MutexGuard, PoisonError};

use bee_wire::NodeId;

/// One node's totals since its enrolment.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub struct Tally {
    /// Events stored.
    pub stored: u64,
    /// Sequence numbers that never came: the node had to drop them.
    pub dropped: u64,
}

/// Totals of all nodes.
#[derive(Debug, Default)]
pub struct Ledger(Mutex<HashMap<NodeId, Tally>>);

impl Ledger {
    /// Adds to a node's totals.
    pub fn add(&self, node_id: NodeId, stored: u64, dropped: u64) {
        let mut nodes = self.lock();
        let tally = nodes.entry(node_id).or_default();
        tally.stored = tally.stored.saturating_add(stored);
        tally.dropped = tally.dropped.saturating_add(dropped);
    }

    /// A node's totals.
    pub fn of(&self, node_id: NodeId) -> Tally {
        self.lock().get(&node_id).copied().unwrap_or_default()
    }

    /// Everything stored, over all nodes.
    pub fn stored_total(&self) -> u64 {
        self.lock().values().map(|tally| tally.stored).sum()
    }

    fn lock(&self) -> MutexGuard<'_, HashMap<NodeId, Tally>> {
        self.0.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

//! The last batches stored, kept decompressed: the newest page and a running session cost no disk access.

use std::collections::VecDeque;
use std::sync::{Arc, Mutex, PoisonError};

use crate::ingest::StoredBatch;
use crate::limits;

/// A ring of recent batches, without holes and bounded in events and bytes.
#[derive(Debug, Default)]
pub struct Recent(Mutex<Ring>);

#[derive(Debug, Default)]
struct Ring {
    batches: VecDeque<Arc<StoredBatch>>,
    events: usize,
    bytes: usize,
}

impl Recent {
    /// Adds the batch that was just stored. Batches come in the order of the log.
    pub fn push(&self, batch: &Arc<StoredBatch>) {
        let mut ring = self.0.lock().unwrap_or_else(PoisonError::into_inner);
        ring.events += batch.header.count as usize;
        ring.bytes += batch.body.len();
        ring.batches.push_back(Arc::clone(batch));
        while ring.events > limits::RECENT_EVENTS_MAX || ring.bytes > limits::RECENT_BYTES_MAX {
            let Some(oldest) = ring.batches.pop_front() else { break };
            ring.events -= oldest.header.count as usize;
            ring.bytes -= oldest.body.len();
        }
    }

    /// All batches, newest first.
    pub fn newest_first(&self) -> Vec<Arc<StoredBatch>> {
        self.0.lock().unwrap_or_else(PoisonError::into_inner).batches.iter().rev().cloned().collect()
    }
}

//! How far Core has stored each node's event streams: the exactly-once half of ingest.
//!
//! Core's ingest thread owns one `Marks`. It asks [`Marks::admit`] what of a batch is new, appends
//! that to the log together with (node, stream, first sequence number), and after the log's commit
//! calls [`Marks::commit`], which says what to acknowledge. If the commit fails it calls
//! [`Marks::rollback`], and the same events are new again. At start it rebuilds the marks with
//! [`Marks::restore`] from a checkpoint and the records of the log behind it.
//!
//! # What it can and cannot tell apart
//! Numbers below a mark are repeats and are skipped. A jump forward is accepted and reported as a
//! gap: events the node had to drop. A node whose disk was put back to an older state numbers new
//! events with old numbers; below the mark they look like repeats. The node finds out before it
//! sends, because `resume.next_seq` is then above its own next number, and starts a new stream; only
//! when it had captured so much before connecting that its numbers passed the mark again are the
//! events in between lost without a trace. Restoring a node means giving its spool a new stream.

use std::collections::HashMap;
use std::ops::Range;

use bee_wire::{NodeId, StreamId};

/// Streams remembered for one node; a spool makes one, so more are only a node that misbehaves.
pub const STREAMS_PER_NODE_MAX: usize = 32;
/// Sequence numbers stay below 2^53, so that every JSON reader keeps them exact.
pub const SEQ_MAX: u64 = 1 << 53;

/// What of a batch Core stores.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Admit {
    /// Events at the front of the batch that are stored already.
    pub skip: u64,
    /// Events after those to store now; their first sequence number is `first_seq + skip`.
    pub take: u64,
    /// Sequence numbers between the mark and the batch that the node will never send: it dropped them.
    pub gap: Option<Range<u64>>,
}

/// A batch whose numbers make no sense.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
pub enum AdmitError {
    /// `first_seq + count` passes 2^53.
    #[error("sequence numbers {first_seq} + {count} pass 2^53; start a new stream")]
    SequenceTooLarge {
        /// First number of the batch.
        first_seq: u64,
        /// Events in it.
        count: u64,
    },
}

/// A stream's position; everything below `next_seq` is durable.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Mark {
    /// Whose stream.
    pub node_id: NodeId,
    /// Which stream.
    pub stream: StreamId,
    /// The first number that is not durable.
    pub next_seq: u64,
}

#[derive(Debug, Clone)]
struct Position {
    stream: StreamId,
    durable: u64,
    admitted: u64,
    dirty: bool,
    // Order of use, to find the newest stream for `resume` and the oldest to forget.
    used: u64,
}

/// Positions of all streams of all nodes.
#[derive(Debug, Clone, Default)]
pub struct Marks {
    nodes: HashMap<NodeId, Vec<Position>>,
    // Streams touched since the last commit or rollback.
    dirty: Vec<(NodeId, StreamId)>,
    uses: u64,
}

impl Marks {
    /// No stream known yet.
    pub fn new() -> Self {
        Marks::default()
    }

    /// Says what of a batch of `count` events from `first_seq` is new, and counts it as admitted.
    ///
    /// A batch without events states a gap: everything below `first_seq` will never come.
    ///
    /// # Errors
    /// The numbers pass 2^53; nothing was admitted.
    pub fn admit(
        &mut self,
        node_id: NodeId,
        stream: &StreamId,
        first_seq: u64,
        count: u64,
    ) -> Result<Admit, AdmitError> {
        let end = first_seq
            .checked_add(count)
            .filter(|end| *end < SEQ_MAX)
            .ok_or(AdmitError::SequenceTooLarge { first_seq, count })?;
        let position = self.position(node_id, stream);
        let mark = position.admitted;
        let admit = Admit {
            skip: mark.saturating_sub(first_seq).min(count),
            take: end.saturating_sub(mark.max(first_seq)),
            gap: (first_seq > mark).then_some(mark..first_seq),
        };
        position.admitted = mark.max(end);
        let newly_dirty = !std::mem::replace(&mut position.dirty, true);
        if newly_dirty {
            self.dirty.push((node_id, stream.clone()));
        }
        Ok(admit)
    }

    /// Everything admitted is durable now. Returns each stream touched since the last call, also
    /// those of which only repeats came: their node waits for the acknowledgement.
    pub fn commit(&mut self) -> Vec<Mark> {
        self.settle(|position| position.durable = position.admitted)
    }

    /// The log refused the group: what was admitted since the last commit is new again.
    pub fn rollback(&mut self) {
        self.settle(|position| position.admitted = position.durable);
    }

    /// Takes in what a checkpoint or a log record says is durable; the higher number wins.
    pub fn restore(&mut self, mark: &Mark) {
        let position = self.position(mark.node_id, &mark.stream);
        position.durable = position.durable.max(mark.next_seq);
        position.admitted = position.admitted.max(position.durable);
    }

    /// The first number of a stream that is not durable; 0 for a stream never seen.
    pub fn next_seq(&self, node_id: NodeId, stream: &StreamId) -> u64 {
        let positions = self.nodes.get(&node_id).map(Vec::as_slice).unwrap_or_default();
        positions.iter().find(|p| p.stream == *stream).map_or(0, |p| p.durable)
    }

    /// The stream a node used last, for `RegistrationAck.resume`.
    pub fn resume(&self, node_id: NodeId) -> Option<Mark> {
        let newest = self.nodes.get(&node_id)?.iter().max_by_key(|p| p.used)?;
        Some(Mark { node_id, stream: newest.stream.clone(), next_seq: newest.durable })
    }

    /// All durable positions, oldest use first for each node: restored in this order they keep
    /// saying the same in [`Marks::resume`]. For checkpoints.
    pub fn iter(&self) -> impl Iterator<Item = Mark> + '_ {
        self.nodes.iter().flat_map(|(node_id, positions)| {
            let mut positions: Vec<&Position> = positions.iter().collect();
            positions.sort_by_key(|p| p.used);
            positions.into_iter().map(|p| Mark {
                node_id: *node_id,
                stream: p.stream.clone(),
                next_seq: p.durable,
            })
        })
    }

    /// Forgets a node that an operator removed.
    pub fn forget(&mut self, node_id: NodeId) {
        self.nodes.remove(&node_id);
        self.dirty.retain(|(dirty, _)| *dirty != node_id);
    }

    fn settle(&mut self, apply: impl Fn(&mut Position)) -> Vec<Mark> {
        let mut settled = Vec::with_capacity(self.dirty.len());
        for (node_id, stream) in std::mem::take(&mut self.dirty) {
            let positions = self.nodes.get_mut(&node_id).map(Vec::as_mut_slice).unwrap_or_default();
            if let Some(position) = positions.iter_mut().find(|p| p.stream == stream) {
                apply(position);
                position.dirty = false;
                settled.push(Mark { node_id, stream, next_seq: position.durable });
            }
        }
        settled
    }

    fn position(&mut self, node_id: NodeId, stream: &StreamId) -> &mut Position {
        self.uses += 1;
        let uses = self.uses;
        let positions = self.nodes.entry(node_id).or_default();
        // A batch in flight must keep its position, hence only settled streams are forgotten.
        let known = positions.iter().any(|p| p.stream == *stream);
        while !known && positions.len() >= STREAMS_PER_NODE_MAX {
            let settled = positions.iter().enumerate().filter(|(_, p)| !p.dirty);
            let Some((oldest, _)) = settled.min_by_key(|(_, p)| p.used) else { break };
            positions.swap_remove(oldest);
        }
        let found = positions.iter().position(|p| p.stream == *stream);
        let index = found.unwrap_or_else(|| {
            positions.push(Position {
                stream: stream.clone(),
                durable: 0,
                admitted: 0,
                dirty: false,
                used: uses,
            });
            positions.len() - 1
        });
        #[expect(clippy::indexing_slicing, reason = "the index was found or pushed in the line above")]
        let position = &mut positions[index];
        position.used = uses;
        position
    }
}

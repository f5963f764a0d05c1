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
//! sends, because `resume.next_seq` is then above its own next number, and starts a new stream; two
//! cases stay hidden, and their events are skipped as repeats: it had captured so much before it
//! connected that its numbers passed the mark again, or it went back to a stream before the last one
//! Core knows (`resume` names only the last). So whoever restores a node gives its spool a new stream.

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
    ///
    /// Afterwards either try the same group again before any later batch, or close the connections of
    /// its nodes *and drop every batch of theirs that is still queued*: a later batch admitted without
    /// the ones before it looks like a jump, and what the node sends again would count as a repeat.
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

#[cfg(test)]
mod tests {
    use super::*;

    const NODE: NodeId = NodeId(7);

    fn stream(name: &str) -> StreamId {
        StreamId::new(name).unwrap()
    }

    fn admit(marks: &mut Marks, first_seq: u64, count: u64) -> (u64, u64, Option<Range<u64>>) {
        let admit = marks.admit(NODE, &stream("s"), first_seq, count).unwrap();
        (admit.skip, admit.take, admit.gap)
    }

    #[test]
    fn repeats_are_skipped_whole_and_in_part() {
        let mut marks = Marks::new();
        assert_eq!(admit(&mut marks, 0, 10), (0, 10, None));
        assert_eq!(admit(&mut marks, 0, 10), (10, 0, None));
        assert_eq!(admit(&mut marks, 5, 10), (5, 5, None));
        assert_eq!(admit(&mut marks, 2, 3), (3, 0, None));
        assert_eq!(marks.commit(), [Mark { node_id: NODE, stream: stream("s"), next_seq: 15 }]);
    }

    #[test]
    fn a_jump_forward_is_a_gap_and_an_empty_batch_can_state_one() {
        let mut marks = Marks::new();
        assert_eq!(admit(&mut marks, 4, 2), (0, 2, Some(0..4)));
        assert_eq!(admit(&mut marks, 9, 0), (0, 0, Some(6..9)));
        assert_eq!(admit(&mut marks, 9, 1), (0, 1, None));
        assert_eq!(admit(&mut marks, 3, 0), (0, 0, None));
    }

    #[test]
    fn nothing_is_durable_before_the_commit_and_a_failed_one_makes_it_new_again() {
        let mut marks = Marks::new();
        admit(&mut marks, 0, 10);
        assert_eq!(marks.next_seq(NODE, &stream("s")), 0);
        assert_eq!(marks.resume(NODE).unwrap().next_seq, 0);
        marks.rollback();
        assert_eq!(marks.commit(), [], "a rolled back group acknowledges nothing");
        assert_eq!(admit(&mut marks, 0, 10), (0, 10, None));
        marks.commit();
        assert_eq!(marks.next_seq(NODE, &stream("s")), 10);
        marks.rollback();
        assert_eq!(marks.next_seq(NODE, &stream("s")), 10, "what was committed stays");
    }

    #[test]
    fn a_repeat_alone_is_acknowledged_too() {
        let mut marks = Marks::new();
        marks.restore(&Mark { node_id: NODE, stream: stream("s"), next_seq: 10 });
        admit(&mut marks, 0, 10);
        assert_eq!(marks.commit().len(), 1);
    }

    #[test]
    fn resume_names_the_stream_used_last_also_after_a_restart() {
        let mut marks = Marks::new();
        for (name, count) in [("old", 5), ("new", 3)] {
            marks.admit(NODE, &stream(name), 0, count).unwrap();
            marks.commit();
        }
        let mut again = Marks::new();
        marks.iter().for_each(|mark| again.restore(&mark));
        assert_eq!(again.resume(NODE), Some(Mark { node_id: NODE, stream: stream("new"), next_seq: 3 }));
        assert_eq!(again.next_seq(NODE, &stream("old")), 5);
    }

    #[test]
    fn numbers_past_2_to_53_are_refused_and_streams_are_bounded() {
        let mut marks = Marks::new();
        for (first_seq, count) in [(u64::MAX, 1), (SEQ_MAX - 1, 1), (0, u64::MAX)] {
            let refused = marks.admit(NODE, &stream("s"), first_seq, count);
            assert_eq!(refused, Err(AdmitError::SequenceTooLarge { first_seq, count }));
        }
        for n in 0..1_000 {
            marks.admit(NODE, &stream(&format!("s{n}")), 0, 1).unwrap();
        }
        assert_eq!(marks.commit().len(), 1_000, "streams of one group all count");
        marks.admit(NODE, &stream("last"), 0, 1).unwrap();
        assert!(marks.nodes[&NODE].len() <= STREAMS_PER_NODE_MAX);
        marks.forget(NODE);
        assert_eq!(marks.commit(), []);
        assert_eq!(marks.resume(NODE), None);
    }
}

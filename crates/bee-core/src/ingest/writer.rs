//! The one thread that owns the log's end.
//!
//! A group is everything that waited while the last one was synced. The order is the promise: admit, append,
//! sync, acknowledge, publish. When the disk is full nothing is dropped: the group is kept, the queue fills,
//! nodes are no longer read, and the same group is committed when there is room again.

use std::collections::{BTreeMap, HashMap, HashSet};
use std::sync::Arc;
use std::sync::atomic::Ordering;
use std::time::Instant;

use bee_log::Error as LogError;
use bee_wire::{NodeId, StreamId};
use tokio::sync::mpsc;
use tokio_util::sync::CancellationToken;

use super::record::Encoded;
use super::replay::{Checkpoint, MarksRecord};
use super::{AckSink, Ingest, Job, Reply, SharedMarks, Status, StoredBatch, marks_key};
use crate::counters::Counters;
use crate::events::Recent;
use crate::ledger::Ledger;
use crate::limits;
use crate::state::{self, Kv};
use crate::text;

/// What the writer is made of.
pub struct WriterParts {
    /// The log's one writer.
    pub log: bee_log::Writer,
    /// Stream positions.
    pub marks: SharedMarks,
    /// Where checkpoints go.
    pub kv: Arc<dyn Kv>,
    /// Totals of each node.
    pub ledger: Arc<Ledger>,
    /// Counters.
    pub counters: Arc<Counters>,
    /// Gets each durable batch before it is acknowledged: a query then finds what a node was told is stored.
    pub recent: Arc<Recent>,
    /// Called with each durable batch, in order, on the writer's thread; must not block.
    pub publish: Box<dyn Fn(Arc<StoredBatch>) + Send>,
    /// Ends a wait for a full disk.
    pub shutdown: CancellationToken,
}

/// The writer, before its thread runs.
pub struct Writer {
    parts: WriterParts,
    status: Arc<Status>,
    waiting: mpsc::Receiver<Job>,
    // Nodes whose positions changed since the last checkpoint.
    dirty: HashSet<NodeId>,
    since_checkpoint: u64,
    checkpoint_at: Instant,
}

/// One group on its way to disk.
#[derive(Default)]
struct Group {
    appended: Vec<(u64, Encoded)>,
    // The same once they are durable, until they are published.
    stored: Vec<Arc<StoredBatch>>,
    published: Vec<(u64, tokio::sync::oneshot::Sender<u64>)>,
    sinks: HashMap<(NodeId, StreamId), Arc<dyn AckSink>>,
    events: u64,
    repeated: u64,
    gaps: Vec<(NodeId, u64)>,
    legacy: u64,
    bytes: usize,
    batches: usize,
    // Room in the queue is given back when the group is on disk.
    held: Vec<tokio::sync::OwnedSemaphorePermit>,
}

enum Committed {
    Yes,
    ShuttingDown,
}

impl Writer {
    /// A writer and the handle that feeds it.
    pub fn new(parts: WriterParts) -> (Ingest, Self) {
        let (ingest, waiting) = Ingest::channel();
        let status = Arc::clone(&ingest.status);
        status.durable.store(parts.log.next_seq(), Ordering::Release);
        let writer = Self {
            parts,
            status,
            waiting,
            dirty: HashSet::new(),
            since_checkpoint: 0,
            checkpoint_at: Instant::now(),
        };
        (ingest, writer)
    }

    /// Runs until every [`Ingest`] is gone. Blocking; give it a thread of its own.
    pub fn run(mut self) {
        while let Some(first) = self.waiting.blocking_recv() {
            let mut group = Group::default();
            let mut next = Some(first);
            while let Some(job) = next.take() {
                if matches!(self.append(job, &mut group), Committed::ShuttingDown) {
                    return;
                }
                if group.bytes < limits::GROUP_BYTES_MAX && group.batches < limits::GROUP_BATCHES_MAX {
                    next = self.waiting.try_recv().ok();
                }
            }
            if matches!(self.finish(&mut group), Committed::ShuttingDown) {
                return;
            }
            if self.since_checkpoint >= limits::CHECKPOINT_EVENTS
                || self.checkpoint_at.elapsed() >= limits::CHECKPOINT_EVERY
            {
                self.checkpoint();
            }
        }
        self.checkpoint();
    }

    fn append(&mut self, job: Job, group: &mut Group) -> Committed {
        let Job { mut encoded, reply, _room: room } = job;
        let header = encoded.header();
        let (node_id, count) = (header.node_id, u64::from(header.count));
        group.batches += 1;
        group.held.push(room);
        let mut published = None;
        match reply {
            Reply::None => group.legacy += count,
            Reply::Published(done) => published = Some(done),
            Reply::Node(stream, sink) => {
                let first_seq = header.first_seq;
                let admit = match self.parts.marks.lock().admit(node_id, &stream, first_seq, count) {
                    Ok(admit) => admit,
                    Err(error) => {
                        sink.refused(error.to_string());
                        return Committed::Yes;
                    }
                };
                // Also for a stream seen for the first time: a node that was never connected before may have
                // had to drop the beginning of its spool. A Core that lost its own data counts too much here,
                // which is the safe side.
                if let Some(gap) = &admit.gap {
                    group.gaps.push((node_id, gap.end - gap.start));
                }
                group.repeated += admit.skip;
                group.sinks.insert((node_id, stream), sink);
                if admit.take == 0 {
                    return Committed::Yes;
                }
                if admit.take < count {
                    encoded.keep(admit.skip, admit.take);
                }
            }
        }
        loop {
            let (head, body) = encoded.parts();
            let weight = encoded.header().count.max(1);
            match self.parts.log.append_parts(weight, &[&head, body]) {
                Ok(seq) => {
                    group.bytes += head.len() + body.len();
                    group.events += u64::from(weight);
                    if let Some(done) = published {
                        group.published.push((seq, done));
                    }
                    group.appended.push((seq, encoded));
                    return Committed::Yes;
                }
                // The group had no room for it: what is there goes to disk first. This batch's mark stays
                // admitted and becomes durable with its own commit below.
                Err(LogError::GroupFull { .. }) if !group.appended.is_empty() => {
                    let this = (published.take(), encoded);
                    if matches!(self.commit(group), Committed::ShuttingDown) {
                        return Committed::ShuttingDown;
                    }
                    self.count(group);
                    self.publish(group);
                    (published, encoded) = this;
                }
                Err(error) => {
                    // Configuration makes records smaller than the log's limit; this is for the day it does not.
                    tracing::error!(%node_id, error = %text::chain(&error), "cannot store a batch; its node will send it again");
                    std::thread::sleep(limits::DISK_RETRY);
                    if self.parts.shutdown.is_cancelled() {
                        self.abandon(group);
                        return Committed::ShuttingDown;
                    }
                }
            }
        }
    }

    fn finish(&mut self, group: &mut Group) -> Committed {
        if !group.appended.is_empty() && matches!(self.commit(group), Committed::ShuttingDown) {
            return Committed::ShuttingDown;
        }
        self.count(group);
        // Repeats are acknowledged as well: their node waits for it.
        let settled = self.parts.marks.lock().commit();
        for mark in settled {
            self.dirty.insert(mark.node_id);
            if let Some(sink) = group.sinks.get(&(mark.node_id, mark.stream.clone())) {
                sink.stored(&mark.stream, mark.next_seq);
            }
        }
        self.publish(group);
        Committed::Yes
    }

    /// Counts what is durable now and shows it to queries, before anybody is told of it.
    fn count(&mut self, group: &mut Group) {
        let counters = &self.parts.counters;
        counters.batches_stored.add(group.appended.len() as u64);
        counters.events_stored.add(group.events);
        counters.log_bytes.add(group.bytes as u64);
        counters.events_repeated.add(std::mem::take(&mut group.repeated));
        counters.events_legacy.add(std::mem::take(&mut group.legacy));
        for (seq, encoded) in group.appended.drain(..) {
            let (header, body) = encoded.into_body();
            self.parts.ledger.add(header.node_id, u64::from(header.count), 0);
            self.dirty.insert(header.node_id);
            let batch = Arc::new(StoredBatch { seq, header, body });
            self.parts.recent.push(&batch);
            group.stored.push(batch);
        }
        for (node_id, dropped) in group.gaps.drain(..) {
            counters.events_gap.add(dropped);
            self.parts.ledger.add(node_id, 0, dropped);
            self.dirty.insert(node_id);
        }
        self.since_checkpoint = self.since_checkpoint.saturating_add(group.events);
    }

    /// Makes the group durable, however long that takes, unless Core is told to stop.
    fn commit(&mut self, group: &mut Group) -> Committed {
        let mut said = false;
        loop {
            match self.parts.log.commit() {
                Ok(next) => {
                    self.status.durable.store(next, Ordering::Release);
                    self.status.stalled.store(false, Ordering::Relaxed);
                    if said {
                        tracing::info!("events are stored again");
                    }
                    self.parts.counters.log_commits.one();
                    return Committed::Yes;
                }
                Err(LogError::CapReached { .. }) => self.expire(),
                Err(error) => {
                    if !said {
                        said = true;
                        self.status.stalled.store(true, Ordering::Relaxed);
                        if error.is_full() {
                            self.parts.counters.disk_full.one();
                        }
                        tracing::error!(
                            error = %text::chain(&error),
                            "events cannot be stored; nodes keep theirs until there is room again"
                        );
                    }
                    if self.parts.shutdown.is_cancelled() {
                        self.abandon(group);
                        return Committed::ShuttingDown;
                    }
                    std::thread::sleep(limits::DISK_RETRY);
                }
            }
        }
    }

    /// Nothing of the group was acknowledged; its nodes will send it again.
    fn abandon(&mut self, group: &mut Group) {
        let given_up = self.parts.log.rollback();
        self.parts.marks.lock().rollback();
        group.appended.clear();
        tracing::warn!(
            events = given_up,
            "stopping while events cannot be stored; nodes will send them again"
        );
    }

    /// The log is at its cap: the oldest segment goes, and what it held is counted.
    fn expire(&mut self) {
        match self.parts.log.drop_oldest() {
            Ok(events) => {
                self.parts.counters.events_expired.add(events);
                tracing::info!(events, "the log is at its size cap; the oldest events were removed");
            }
            Err(error) => {
                tracing::error!(error = %text::chain(&error), "the log is at its size cap and the oldest segment cannot be removed");
                std::thread::sleep(limits::DISK_RETRY);
            }
        }
    }

    fn publish(&mut self, group: &mut Group) {
        for (seq, done) in group.published.drain(..) {
            // The module may have gone meanwhile; the event is stored all the same.
            let _ = done.send(seq);
        }
        for batch in group.stored.drain(..) {
            (self.parts.publish)(batch);
        }
        group.events = 0;
        group.bytes = 0;
        group.held.clear();
    }

    /// Saves how far each stream is, so that a start reads little of the log. Failing is no harm: the log
    /// itself says it all.
    fn checkpoint(&mut self) {
        self.checkpoint_at = Instant::now();
        if self.dirty.is_empty() {
            return;
        }
        let tallied = |node_id: &NodeId| {
            let tally = self.parts.ledger.of(*node_id);
            (*node_id, MarksRecord { streams: Vec::new(), stored: tally.stored, dropped: tally.dropped })
        };
        let mut by_node: BTreeMap<NodeId, MarksRecord> = self.dirty.iter().map(tallied).collect();
        for mark in self.parts.marks.lock().iter().filter(|mark| self.dirty.contains(&mark.node_id)) {
            by_node.entry(mark.node_id).or_default().streams.push((mark.stream.to_string(), mark.next_seq));
        }
        let saved = by_node
            .iter()
            .map(|(node_id, record)| state::Change::put(marks_key(*node_id), record))
            .chain(std::iter::once(state::Change::put(
                Checkpoint::KEY.to_owned(),
                &Checkpoint { log_seq: self.status.durable_seq() },
            )))
            .collect::<Result<Vec<_>, _>>()
            .and_then(|changes| self.parts.kv.apply(&changes));
        match saved {
            Ok(_) => {
                self.dirty.clear();
                self.since_checkpoint = 0;
            }
            Err(error) => {
                tracing::warn!(error = %text::chain(&error), "cannot save stream positions; the next start reads more of the log");
            }
        }
    }
}

//! From sessions to the log: a bounded queue of encoded batches and one writer thread.
//!
//! Session tasks encode what they decoded and wait here for room, which is Core's back-pressure: a task that
//! waits does not read from its node. The writer takes everything that is waiting, asks the marks what of it
//! is new, appends, syncs once, and only then acknowledges and publishes (design decisions 1 and 2).

pub mod record;
mod replay;
mod writer;

use std::sync::atomic::{AtomicBool, AtomicU64, Ordering};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};

use bee_link::core::Marks;
use bee_wire::{NodeId, StreamId};
use tokio::sync::{OwnedSemaphorePermit, Semaphore, mpsc, oneshot};

pub use replay::{ReplayError, Replayed, replay};
pub use writer::{Writer, WriterParts};

use crate::limits;
use record::{Encoded, Header, StoredEvent};

/// One durable batch, shared by the live bus and the cache of recent events.
#[derive(Debug)]
pub struct StoredBatch {
    /// Sequence number of its first event in Core's log.
    pub seq: u64,
    /// What the batch says about itself.
    pub header: Header,
    /// Uncompressed events.
    pub body: Vec<u8>,
}

impl StoredBatch {
    /// The events with their sequence numbers, oldest first.
    pub fn events(&self) -> impl Iterator<Item = (u64, StoredEvent<'_>)> {
        (self.seq..).zip(record::events(&self.body))
    }

    /// First sequence number after it.
    pub fn end_seq(&self) -> u64 {
        self.seq.saturating_add(u64::from(self.header.count))
    }
}

/// Who is told that a stream is durable up to a number: the connection that the batch came by.
pub trait AckSink: Send + Sync {
    /// Everything of `stream` below `next_seq` is on disk.
    fn stored(&self, stream: &StreamId, next_seq: u64);
    /// The numbers of a batch make no sense (see `AdmitError`); nothing of it was stored.
    fn refused(&self, why: String);
}

/// Who waits for a batch.
pub enum Reply {
    /// Nobody: a legacy peer has no acknowledgements.
    None,
    /// A node's connection.
    Node(StreamId, Arc<dyn AckSink>),
    /// A module that published events; it gets the sequence number of the first.
    Published(oneshot::Sender<u64>),
}

pub(crate) struct Job {
    encoded: Encoded,
    reply: Reply,
    // Held until the batch is written, so that the queue is bounded in bytes.
    _room: OwnedSemaphorePermit,
}

/// The sending side. Cloning is cheap.
#[derive(Clone)]
pub struct Ingest {
    jobs: mpsc::Sender<Job>,
    room: Arc<Semaphore>,
    status: Arc<Status>,
}

/// What others may see of the writer.
#[derive(Debug, Default)]
pub struct Status {
    stalled: AtomicBool,
    durable: AtomicU64,
}

impl Status {
    /// True while the disk is full or fails and nothing can be stored.
    pub fn is_stalled(&self) -> bool {
        self.stalled.load(Ordering::Relaxed)
    }

    /// First sequence number that is not durable yet.
    pub fn durable_seq(&self) -> u64 {
        self.durable.load(Ordering::Acquire)
    }
}

/// Core is shutting down; nothing more is stored.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
#[error("Core is shutting down")]
pub struct Closed;

/// The marks, shared between the writer (admits, commits) and sessions (ask where to resume).
#[derive(Clone, Default)]
pub struct SharedMarks(Arc<Mutex<Marks>>);

impl SharedMarks {
    /// Wraps the marks that were rebuilt at start.
    pub fn new(marks: Marks) -> Self {
        Self(Arc::new(Mutex::new(marks)))
    }

    /// Locks them for a moment; never across a disk access.
    pub fn lock(&self) -> MutexGuard<'_, Marks> {
        self.0.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

impl Ingest {
    pub(crate) fn channel() -> (Self, mpsc::Receiver<Job>) {
        let (jobs, waiting) = mpsc::channel(limits::INGEST_QUEUE_MAX);
        let room = Arc::new(Semaphore::new(limits::INGEST_QUEUE_BYTES_MAX));
        (Self { jobs, room, status: Arc::default() }, waiting)
    }

    /// Hands a batch to the writer, waiting for room.
    pub async fn push(&self, encoded: Encoded, reply: Reply) -> Result<(), Closed> {
        let bytes = encoded.bytes().min(limits::INGEST_QUEUE_BYTES_MAX);
        let permits = u32::try_from(bytes).unwrap_or(u32::MAX);
        let room = Arc::clone(&self.room).acquire_many_owned(permits).await.map_err(|_| Closed)?;
        self.jobs.send(Job { encoded, reply, _room: room }).await.map_err(|_| Closed)
    }

    /// Whether ingest stands still, and how far it is durable.
    pub fn status(&self) -> &Status {
        &self.status
    }

    /// Batches waiting for the writer.
    pub fn queued(&self) -> usize {
        self.jobs.max_capacity().saturating_sub(self.jobs.capacity())
    }
}

/// The key under which the positions of a node's streams are kept.
pub(crate) fn marks_key(node_id: NodeId) -> String {
    format!("marks/{node_id}")
}

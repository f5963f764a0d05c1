//! The node's spool: every event is here, durable, from the moment its pot is told so until Core has it.
//!
//! Built on [`bee_log`]. One thread owns the log's end ([`writer`]); the intake sends it groups of records and gets
//! receipts after the fdatasync that covers them; the uplink reads committed records and says what Core acknowledged.
//! What a record holds is in [`record`], who produced it and how far they are in [`producers`].

pub mod producers;
pub mod record;
mod stream;
mod writer;

use std::{
    path::{Path, PathBuf},
    sync::{
        Arc,
        atomic::{AtomicBool, AtomicU64, Ordering},
    },
};

use anyhow::Context as _;
use bee_log::{
    Handle, Log, Options, Scan,
    fs::{Fs, StdFs},
};
use bee_wire::limits::POT_LINE_BYTES_MAX;
use tokio::sync::{mpsc, oneshot, watch};

pub use stream::Stream;

use crate::{
    limits::{INTAKE_GROUPS_QUEUED_MAX, SPOOL_COMMIT_BYTES_MAX},
    pots::PotBoard,
};

/// An event may grow while its damage is repaired (see `intake::repair`); past this it is malformed.
pub const EVENT_BYTES_MAX: usize = 2 * POT_LINE_BYTES_MAX;
/// Producer key and line number in front of an event take less than this.
const RECORD_PREFIX_BYTES_MAX: usize = 1024;
/// Room for one commit and the record that would not have fitted.
const GROUP_BYTES_MAX: usize = 2 * SPOOL_COMMIT_BYTES_MAX;

/// Where the spool is and how big it may get.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct SpoolConfig {
    /// The node's state directory.
    pub state_dir: PathBuf,
    /// Bytes on disk; past it the oldest events are dropped, counted and reported.
    pub bytes_max: u64,
    /// Bytes of one segment file: what is dropped at once.
    pub segment_bytes_max: u64,
}

impl SpoolConfig {
    /// Smallest segment that holds a whole commit.
    pub const SEGMENT_BYTES_MIN: u64 = GROUP_BYTES_MAX as u64 + 4096;
}

/// Records of one connection, in order, to be made durable together.
#[derive(Debug, Default)]
pub struct Group {
    /// All records, one after the other.
    pub bytes: Vec<u8>,
    /// Where each record ends in `bytes`.
    pub ends: Vec<usize>,
    /// Events per pot, for the counters.
    pub counts: Vec<(Arc<str>, u64)>,
    /// The producer whose lines these are; `None` for a plain client.
    pub producer: Option<Produced>,
}

/// Which lines of which producer a group holds.
#[derive(Debug)]
pub struct Produced {
    /// The producer's key.
    pub key: Arc<str>,
    /// From [`Welcome`]: groups of an older connection are refused.
    pub epoch: u64,
    /// The producer's line number after this group.
    pub next: u64,
    /// Some lines of the group have no record, because they were malformed.
    pub has_unrecorded: bool,
    /// Where the number of durable lines is published.
    pub receipt: watch::Sender<u64>,
}

/// The answer to a producer's hello.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Welcome {
    /// How many of its lines are durable.
    pub next: u64,
    /// What its groups must carry.
    pub epoch: u64,
}

#[derive(Debug)]
enum Order {
    Hello { key: Arc<str>, reply: oneshot::Sender<Welcome> },
    Store(Group),
    Tidy,
    Flush(oneshot::Sender<()>),
    Close(oneshot::Sender<()>),
}

/// Numbers that others read without asking the writer.
#[derive(Debug, Default)]
struct Shared {
    /// Core has everything below.
    acked: AtomicU64,
    /// The writer waits for disk space.
    disk_full: AtomicBool,
    /// Stop waiting: the node is leaving.
    leaving: AtomicBool,
    /// Events of plain clients that could not be stored before the node left.
    refused: AtomicU64,
}

/// What the spool says about itself.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub struct SpoolStatus {
    /// Events that Core has not acknowledged.
    pub events: u64,
    /// Bytes on disk.
    pub bytes: u64,
    /// Events given up because of the cap or a full disk, over the spool's life.
    pub dropped: u64,
    /// The disk is full and the intake waits.
    pub disk_full: bool,
}

/// The spool; clones share it.
#[derive(Debug, Clone)]
pub struct Spool {
    orders: mpsc::Sender<Order>,
    handle: Handle,
    shared: Arc<Shared>,
    advanced: watch::Receiver<u64>,
    stream_path: Arc<Path>,
}

impl Spool {
    /// Opens or makes the spool and starts its writer thread. Blocking.
    ///
    /// # Errors
    /// The directory cannot be used, or another process has the spool open.
    pub fn open(config: &SpoolConfig, board: PotBoard) -> anyhow::Result<(Self, Stream)> {
        Self::open_on(Arc::new(StdFs), config, board)
    }

    fn open_on(fs: Arc<dyn Fs>, config: &SpoolConfig, board: PotBoard) -> anyhow::Result<(Self, Stream)> {
        let dir = config.state_dir.join("spool");
        let options = Options {
            start_seq: 0,
            record_bytes_max: EVENT_BYTES_MAX + RECORD_PREFIX_BYTES_MAX,
            group_bytes_max: GROUP_BYTES_MAX,
            segment_bytes_max: config.segment_bytes_max,
            bytes_max: Some(config.bytes_max),
            scan: Scan::Tail,
        };
        let (log, handle, recovery) = Log::open_on(fs, &dir, options)
            .with_context(|| format!("cannot open the spool in {}", dir.display()))?;
        let stream_path: Arc<Path> = config.state_dir.join("stream").into();
        let stream = stream::of_spool(&stream_path, recovery.created, handle.first_seq())?;
        let shared = Arc::new(Shared::default());
        shared.acked.store(handle.first_seq(), Ordering::Relaxed);
        let (orders, inbox) = mpsc::channel(INTAKE_GROUPS_QUEUED_MAX);
        let (advance, advanced) = watch::channel(handle.next_seq());
        let writer = writer::SpoolWriter::open(
            log,
            handle.clone(),
            &config.state_dir,
            shared.clone(),
            board,
            advance,
        )?;
        std::thread::Builder::new()
            .name("spool".into())
            .spawn(move || writer.run(inbox))
            .context("cannot start the spool's thread")?;
        Ok((Self { orders, handle, shared, advanced, stream_path }, stream))
    }

    /// A producer introduced itself: how far it is. Waits for groups that were sent before.
    pub async fn hello(&self, key: Arc<str>) -> Option<Welcome> {
        let (reply, answer) = oneshot::channel();
        self.orders.send(Order::Hello { key, reply }).await.ok()?;
        answer.await.ok()
    }

    /// Hands a group to the writer; waits while its queue is full. `false` when the spool is closed.
    pub async fn store(&self, group: Group) -> bool {
        self.orders.send(Order::Store(group)).await.is_ok()
    }

    /// Core has everything below `below`. Never waits.
    pub fn acknowledged(&self, below: u64) {
        self.shared.acked.fetch_max(below, Ordering::Relaxed);
        // A full queue is no harm: the writer looks at the mark after each commit and whenever it needs room.
        let _ = self.orders.try_send(Order::Tidy);
    }

    /// Waits until everything handed over before is durable.
    pub async fn flush(&self) {
        let (reply, done) = oneshot::channel();
        if self.orders.send(Order::Flush(reply)).await.is_ok() {
            let _ = done.await;
        }
    }

    /// The node is leaving: from now on a full disk is waited for only briefly. Producers keep what was not stored;
    /// events of plain clients that find no room are counted as dropped.
    pub fn stop_waiting(&self) {
        self.shared.leaving.store(true, Ordering::Relaxed);
    }

    /// Stores what was handed over, tidies up, and ends the writer thread.
    pub async fn close(&self) {
        self.stop_waiting();
        let (reply, done) = oneshot::channel();
        if self.orders.send(Order::Close(reply)).await.is_ok() {
            let _ = done.await;
        }
    }

    /// The log, for reading.
    pub fn handle(&self) -> &Handle {
        &self.handle
    }

    /// Tells the sequence number after the newest durable event, whenever it grows.
    pub fn watch(&self) -> watch::Receiver<u64> {
        self.advanced.clone()
    }

    /// Below this Core has everything.
    pub fn acked(&self) -> u64 {
        self.shared.acked.load(Ordering::Relaxed)
    }

    /// How full the spool is.
    pub fn status(&self) -> SpoolStatus {
        let stats = self.handle.stats();
        let acked = self.acked().max(stats.first_seq);
        SpoolStatus {
            events: stats.next_seq.saturating_sub(acked),
            bytes: stats.bytes,
            dropped: stats.dropped_seqs + self.shared.refused.load(Ordering::Relaxed),
            disk_full: self.shared.disk_full.load(Ordering::Relaxed),
        }
    }

    /// Gives what the spool holds a new stream, because Core has already seen later numbers of the old one.
    ///
    /// # Errors
    /// It cannot be saved; the old one stays in use.
    pub fn renew_stream(&self) -> anyhow::Result<Stream> {
        stream::renew(&self.stream_path, self.handle.first_seq())
    }
}

#[cfg(test)]
mod tests;

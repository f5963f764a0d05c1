//! The one thread that writes the spool: group, append, fdatasync, receipt.
//!
//! While it works on one group commit the next ones collect in its queue, so the number of events per fdatasync grows
//! with the load by itself. When there is no room it first forgets what Core has, then waits a moment (the intake
//! stops reading meanwhile, nothing is lost), and only then drops the oldest events, which are counted.

use std::{
    fs, io,
    path::{Path, PathBuf},
    sync::{Arc, atomic::Ordering},
    time::{Duration, Instant},
};

use anyhow::Context as _;
use bee_daemon::secret_file;
use bee_log::{Error as LogError, Handle, Item, Writer};
use tokio::sync::{mpsc, watch};
use tracing::{debug, error, info, warn};

use super::{
    Group, Order, Shared, Welcome,
    producers::{Checkpoint, Producers},
    record,
};
use crate::{
    limits::{BALLAST_BYTES, DISK_FULL_RETRY, SPOOL_COMMIT_BYTES_MAX, SPOOL_COMMIT_EVENTS_MAX},
    pots::PotBoard,
};

/// Acknowledged events are forgotten on disk at most this often: each time costs a few syncs.
const TRUNCATE_EVERY: Duration = Duration::from_secs(1);
/// A checkpoint is written at least once per this many events, so that a start has little to read.
const CHECKPOINT_EVERY_EVENTS: u64 = 200_000;
/// How long a full disk is waited for before the oldest events are given up.
const DISK_FULL_PATIENCE: Duration = Duration::from_secs(20);

pub(super) struct SpoolWriter {
    log: Writer,
    handle: Handle,
    producers: Producers,
    checkpoint_path: PathBuf,
    ballast_path: PathBuf,
    /// Everything below is in the checkpoint.
    checkpointed: u64,
    truncated_at: Option<Instant>,
    shared: Arc<Shared>,
    board: PotBoard,
    advance: watch::Sender<u64>,
}

impl SpoolWriter {
    /// Takes up where the last process left off: checkpoint first, then the records after it.
    pub(super) fn open(
        log: Writer,
        handle: Handle,
        state_dir: &Path,
        shared: Arc<Shared>,
        board: PotBoard,
        advance: watch::Sender<u64>,
    ) -> anyhow::Result<Self> {
        let checkpoint_path = state_dir.join("producers.json");
        let checkpoint = read_checkpoint(&checkpoint_path)?;
        let mut producers = Producers::restore(&checkpoint);
        // A spool that ends before the checkpoint is another, newer one: read all of it.
        let known = if checkpoint.spool_seq <= handle.next_seq() { checkpoint.spool_seq } else { 0 };
        let from = known.max(handle.first_seq());
        recover(&mut producers, &handle, from)?;
        let writer = Self {
            log,
            handle,
            producers,
            checkpoint_path,
            ballast_path: state_dir.join("ballast"),
            checkpointed: from,
            truncated_at: None,
            shared,
            board,
            advance,
        };
        writer.take_ballast();
        Ok(writer)
    }

    /// Serves orders until told to close, or until nobody is left to give any.
    pub(super) fn run(mut self, mut inbox: mpsc::Receiver<Order>) {
        while let Some(first) = inbox.blocking_recv() {
            let mut batch = Batch::default();
            let mut next = Some(first);
            while let Some(order) = next.take() {
                match order {
                    Order::Store(group) => batch.add(group),
                    Order::Tidy => {}
                    Order::Hello { key, reply } => {
                        // What its older connection sent comes first: the answer says what is durable.
                        self.store(std::mem::take(&mut batch));
                        let (next, epoch) = self.producers.connected(&key);
                        let _ = reply.send(Welcome { next, epoch });
                    }
                    Order::Flush(reply) => {
                        self.store(std::mem::take(&mut batch));
                        let _ = reply.send(());
                    }
                    Order::Close(reply) => {
                        self.store(batch);
                        self.forget_acknowledged();
                        self.checkpoint(self.handle.next_seq());
                        // Gone before the answer: whoever asked may open the spool again at once.
                        drop(self);
                        let _ = reply.send(());
                        return;
                    }
                }
                if !batch.is_full() {
                    next = inbox.try_recv().ok();
                }
            }
            self.store(batch);
            self.tidy(false);
        }
    }

    /// Appends, commits, and tells the producers.
    fn store(&mut self, batch: Batch) {
        let mut stored: Vec<Group> = Vec::with_capacity(batch.groups.len());
        for group in batch.groups {
            if let Some(produced) = &group.producer
                && !self.producers.is_current(&produced.key, produced.epoch)
            {
                debug!("a group of a replaced connection is left to the new one");
                continue;
            }
            self.append(&group);
            stored.push(group);
        }
        if stored.is_empty() {
            return;
        }
        if !self.commit() {
            let plain = stored.iter().filter(|group| group.producer.is_none());
            let events: u64 = plain.map(|group| group.ends.len() as u64).sum();
            self.shared.refused.fetch_add(events, Ordering::Relaxed);
            for produced in stored.iter().filter_map(|group| group.producer.as_ref()) {
                // Later lines of the same connection must not be stored as if these had been.
                self.producers.connected(&produced.key);
            }
            error!(events, "the node leaves while its disk is full: events of plain clients were not stored");
            return;
        }
        let mut unrecorded = false;
        for group in &stored {
            if let Some(produced) = &group.producer {
                self.producers.advanced(&produced.key, produced.next);
                unrecorded |= produced.has_unrecorded;
            }
            for (pot_id, events) in &group.counts {
                self.board.count(pot_id, *events, 0);
            }
        }
        let next = self.handle.next_seq();
        // Malformed lines leave no record, so their receipt stands on the checkpoint alone.
        while unrecorded && !self.checkpoint(next) {
            if self.shared.leaving.load(Ordering::Relaxed) {
                return;
            }
            std::thread::sleep(DISK_FULL_RETRY);
        }
        if next.saturating_sub(self.checkpointed) >= CHECKPOINT_EVERY_EVENTS {
            self.checkpoint(next);
        }
        self.advance.send_replace(next);
        for produced in stored.into_iter().filter_map(|group| group.producer) {
            produced.receipt.send_replace(produced.next);
        }
    }

    fn append(&mut self, group: &Group) {
        let mut start = 0;
        for end in &group.ends {
            let Some(record) = group.bytes.get(start..*end) else { break };
            start = *end;
            match self.log.append(1, record) {
                Ok(_) => {}
                // Batches are bounded well below a log group, and the intake bounds records.
                Err(error) => {
                    error!(error = &error as &dyn std::error::Error, "cannot add an event to the spool")
                }
            }
        }
    }

    /// Makes the open group durable, however long that takes; `false` when the node leaves before it worked.
    fn commit(&mut self) -> bool {
        let since = Instant::now();
        loop {
            let outcome = self.log.commit();
            let Err(error) = outcome else {
                if self.shared.disk_full.swap(false, Ordering::Relaxed) {
                    info!("the disk has room again; the intake goes on");
                    self.take_ballast();
                }
                return true;
            };
            self.make_room(&error, since);
            if self.shared.leaving.load(Ordering::Relaxed) && since.elapsed() > DISK_FULL_RETRY * 4 {
                self.log.rollback();
                return false;
            }
        }
    }

    /// One step towards a commit that works.
    fn make_room(&mut self, error: &LogError, since: Instant) {
        if self.forget_acknowledged() {
            return;
        }
        match error {
            LogError::CapReached { .. } => self.drop_oldest("spool.bytes_max was reached"),
            LogError::DiskFull { .. } => {
                if !self.shared.disk_full.swap(true, Ordering::Relaxed) {
                    warn!(
                        error = error as &dyn std::error::Error,
                        "the disk is full; the intake waits for room"
                    );
                }
                if since.elapsed() >= DISK_FULL_PATIENCE {
                    self.drop_oldest("the disk stayed full");
                } else {
                    std::thread::sleep(DISK_FULL_RETRY);
                }
            }
            other => {
                error!(error = other as &dyn std::error::Error, "cannot write the spool; trying again");
                std::thread::sleep(DISK_FULL_RETRY);
            }
        }
    }

    fn drop_oldest(&mut self, why: &str) {
        // Producers whose only records are about to go must stay known.
        if !self.checkpoint(self.handle.next_seq()) {
            std::thread::sleep(DISK_FULL_RETRY);
            return;
        }
        match self.log.drop_oldest() {
            Ok(0) => std::thread::sleep(DISK_FULL_RETRY),
            Ok(events) => warn!(events, why, "dropped the oldest events of the spool"),
            Err(error) => {
                warn!(error = &error as &dyn std::error::Error, "cannot drop the oldest events of the spool");
                std::thread::sleep(DISK_FULL_RETRY);
            }
        }
    }

    /// Now and then, and when leaving, forgets on disk what Core has.
    fn tidy(&mut self, now: bool) {
        let due = self.truncated_at.is_none_or(|at| at.elapsed() >= TRUNCATE_EVERY);
        if now || due {
            self.forget_acknowledged();
        }
    }

    /// Whether anything was forgotten.
    fn forget_acknowledged(&mut self) -> bool {
        let below = self.shared.acked.load(Ordering::Relaxed).min(self.handle.next_seq());
        if below <= self.handle.first_seq() {
            return false;
        }
        self.truncated_at = Some(Instant::now());
        if below > self.checkpointed && !self.checkpoint(self.handle.next_seq()) {
            return false;
        }
        match self.handle.truncate_before(below) {
            Ok(_) => true,
            Err(error) => {
                self.drop_ballast();
                warn!(error = &error as &dyn std::error::Error, "cannot tidy the spool");
                false
            }
        }
    }

    /// Saves the producers' positions as of `spool_seq`; gives up the ballast for it when the disk is full.
    fn checkpoint(&mut self, spool_seq: u64) -> bool {
        let checkpoint = self.producers.checkpoint(spool_seq);
        // Texts and numbers always serialise.
        let json = serde_json::to_vec(&checkpoint).unwrap_or_default();
        let saved = secret_file::write(&self.checkpoint_path, &json).or_else(|_| {
            self.drop_ballast();
            secret_file::write(&self.checkpoint_path, &json)
        });
        match saved {
            Ok(()) => {
                self.checkpointed = spool_seq;
                true
            }
            Err(error) => {
                warn!(error = &error as &dyn std::error::Error, "cannot save the producers' positions");
                false
            }
        }
    }

    fn take_ballast(&self) {
        let there = fs::metadata(&self.ballast_path).is_ok_and(|found| found.len() >= BALLAST_BYTES);
        if !there && fs::write(&self.ballast_path, vec![0x42; BALLAST_BYTES as usize]).is_err() {
            self.drop_ballast();
        }
    }

    fn drop_ballast(&self) {
        // Missing is fine: it was given up before.
        let _ = fs::remove_file(&self.ballast_path);
    }
}

/// Groups that one commit covers.
#[derive(Default)]
struct Batch {
    groups: Vec<Group>,
    bytes: usize,
    events: usize,
}

impl Batch {
    fn add(&mut self, group: Group) {
        self.bytes += group.bytes.len();
        self.events += group.ends.len();
        self.groups.push(group);
    }

    fn is_full(&self) -> bool {
        self.bytes >= SPOOL_COMMIT_BYTES_MAX || self.events >= SPOOL_COMMIT_EVENTS_MAX
    }
}

fn read_checkpoint(path: &Path) -> anyhow::Result<Checkpoint> {
    let bytes = match fs::read(path) {
        Ok(bytes) => bytes,
        Err(error) if error.kind() == io::ErrorKind::NotFound => return Ok(Checkpoint::default()),
        Err(error) => return Err(error).with_context(|| format!("cannot read {}", path.display())),
    };
    // Starting without it would store lines twice, so a damaged file needs a person.
    serde_json::from_slice(&bytes).with_context(|| {
        format!(
            "{} is damaged; remove it to go on (lines of pots that were just sent may be stored twice)",
            path.display()
        )
    })
}

fn recover(producers: &mut Producers, handle: &Handle, from: u64) -> anyhow::Result<()> {
    let mut reader = handle.reader(from);
    while let Some(item) = reader.next().context("cannot read the spool")? {
        match item {
            Item::Record(found) => match record::parse(found.payload) {
                Some(record) => {
                    if let Some((key, line)) = record.producer {
                        producers.stored(key, line);
                    }
                }
                None => warn!(seq = found.seq, "a spool record has a form this version does not know"),
            },
            Item::Gap(gap) => warn!(from = gap.from, to = gap.to, "the spool has a hole"),
        }
    }
    Ok(())
}

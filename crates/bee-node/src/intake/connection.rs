//! One intake connection: lines in, groups to the spool, receipts out.

use std::{
    io,
    sync::{Arc, atomic::Ordering},
    time::Duration,
};

use bee_wire::{
    Micros,
    pot_line::{IntakeHello, LineError},
};
use bytes::BytesMut;
use tokio::{io::AsyncWriteExt as _, net::TcpStream, sync::watch, time::Instant};
use tracing::debug;

use super::{
    Entry, IntakeConfig, IntakeCounters, IntakeParts,
    event::{self, Written},
    repair::repair,
    splitter::{Cut, LineSplitter},
};
use crate::{
    limits::{INTAKE_GROUP_BYTES_MAX, INTAKE_GROUP_LINES_MAX},
    pots::Who,
    spool::{Group, Produced, Welcome},
};

const READ_BYTES: usize = 64 * 1024;
/// A client that does not read its receipts for this long is cut off.
const RECEIPT_WRITE_MAX: Duration = Duration::from_secs(30);

/// A client that has ended its side waits at most this long for its last receipt.
const RECEIPT_WAIT_MAX: Duration = Duration::from_secs(5);

/// A connection and what it knows about its client.
pub(super) struct Connection {
    stream: TcpStream,
    parts: Arc<IntakeParts>,
    counters: Arc<IntakeCounters>,
    config: IntakeConfig,
    entry: Entry,
    splitter: LineSplitter,
    buffer: BytesMut,
    /// Whether a line was seen; the first may be a hello.
    begun: bool,
    who: Option<Who>,
    producer: Option<Producer>,
}

struct Producer {
    key: Arc<str>,
    epoch: u64,
    /// Number of the next line it sends.
    next: u64,
    receipts: watch::Sender<u64>,
    seen: watch::Receiver<u64>,
}

/// Why a connection ended.
enum End {
    Closed,
    Refused(String),
    Failed(io::Error),
}

impl From<io::Error> for End {
    fn from(error: io::Error) -> Self {
        Self::Failed(error)
    }
}

impl Connection {
    pub(super) fn new(
        stream: TcpStream,
        parts: Arc<IntakeParts>,
        counters: Arc<IntakeCounters>,
        config: IntakeConfig,
        entry: Entry,
    ) -> Self {
        let splitter = LineSplitter::new(config.line_bytes_max);
        Self {
            stream,
            parts,
            counters,
            config,
            entry,
            splitter,
            buffer: BytesMut::new(),
            begun: false,
            who: None,
            producer: None,
        }
    }

    /// Serves the connection to its end.
    pub(super) async fn run(mut self) {
        // Receipts are small and awaited.
        let _ = self.stream.set_nodelay(true);
        match self.serve().await {
            Ok(()) | Err(End::Closed) => {}
            Err(End::Refused(why)) => {
                debug!(why, "intake connection refused");
                let answer = format!("{}\n", serde_json::json!({ "error": why }));
                let _ =
                    tokio::time::timeout(RECEIPT_WRITE_MAX, self.stream.write_all(answer.as_bytes())).await;
            }
            Err(End::Failed(error)) => debug!(%error, "intake connection failed"),
        }
    }

    async fn serve(&mut self) -> Result<(), End> {
        let mut line_deadline = None;
        loop {
            tokio::select! {
                biased;
                () = self.entry.stop.cancelled() => return self.last_words().await,
                receipt = next_receipt(&mut self.producer) => self.send_receipt(receipt).await?,
                () = sleep_until(line_deadline) => {
                    self.counters.too_slow.fetch_add(1, Ordering::Relaxed);
                    let begun = self.buffer.split();
                    self.malformed(&begun, "the line was not finished in time");
                    return Err(End::Refused("a line was not finished in time".into()));
                }
                ready = self.stream.readable() => {
                    ready?;
                    let more = self.read()?;
                    let had_lines = self.take_lines().await?;
                    if !more {
                        return self.end_of_stream().await;
                    }
                    line_deadline = match (self.splitter.inside_line(&self.buffer), line_deadline) {
                        (false, _) => None,
                        // Bytes alone do not buy time: only a finished line does.
                        (true, Some(deadline)) if !had_lines => Some(deadline),
                        (true, _) => Some(Instant::now() + self.config.line_time_max),
                    };
                }
            }
        }
    }

    /// `false` at the end of the stream.
    fn read(&mut self) -> Result<bool, End> {
        self.buffer.reserve(READ_BYTES);
        match self.stream.try_read_buf(&mut self.buffer) {
            Ok(0) => Ok(false),
            Ok(_) => Ok(true),
            Err(error) if error.kind() == io::ErrorKind::WouldBlock => Ok(true),
            Err(error) => Err(error.into()),
        }
    }

    /// Everything whole in the buffer goes to the spool; whether there was any.
    async fn take_lines(&mut self) -> Result<bool, End> {
        let mut group = Group::default();
        let (mut lines, mut had_lines, mut unrecorded) = (0, false, false);
        while let Some(cut) = self.splitter.next_line(&mut self.buffer) {
            had_lines = true;
            if !std::mem::replace(&mut self.begun, true) {
                self.entry.spoke.store(true, Ordering::Relaxed);
                if let Cut::Line(line) = &cut {
                    match IntakeHello::parse(line) {
                        Ok(Some(hello)) => {
                            self.introduce(hello).await?;
                            continue;
                        }
                        Err(error @ LineError::Hello(_)) => {
                            self.malformed(line, &error.to_string());
                            return Err(End::Refused(error.to_string()));
                        }
                        // An ordinary line, sound or not.
                        Ok(None) | Err(_) => {}
                    }
                }
            }
            lines += 1;
            if !self.add(&mut group, &cut) {
                unrecorded = true;
            }
            if group.bytes.len() >= INTAKE_GROUP_BYTES_MAX || lines >= INTAKE_GROUP_LINES_MAX {
                self.hand_over(std::mem::take(&mut group), unrecorded).await?;
                (lines, unrecorded) = (0, false);
            }
        }
        if lines > 0 {
            self.hand_over(group, unrecorded).await?;
        }
        if self.buffer.is_empty() && self.buffer.capacity() > READ_BYTES {
            self.buffer = BytesMut::new();
        }
        Ok(had_lines)
    }

    /// Makes a record of a line; `false` when it is none.
    fn add(&mut self, group: &mut Group, cut: &Cut) -> bool {
        let producer = self.producer.as_mut().map(|producer| {
            let line = producer.next;
            producer.next += 1;
            (producer.key.clone(), line)
        });
        let line = match cut {
            Cut::Line(line) => line,
            Cut::TooLong(line) => {
                self.malformed(line, &LineError::TooLong.to_string());
                return false;
            }
        };
        let now = Micros::from(std::time::SystemTime::now());
        let producer = producer.as_ref().map(|(key, line)| (&**key, *line));
        match event::write(&mut group.bytes, &repair(line), self.who.as_ref(), producer, now) {
            Ok(Written { pot_id }) => {
                group.ends.push(group.bytes.len());
                count(&mut group.counts, pot_id);
                true
            }
            Err(why) => {
                self.malformed(line, &why);
                false
            }
        }
    }

    async fn hand_over(&mut self, mut group: Group, has_unrecorded: bool) -> Result<(), End> {
        group.producer = self.producer.as_ref().map(|producer| Produced {
            key: producer.key.clone(),
            epoch: producer.epoch,
            next: producer.next,
            has_unrecorded,
            receipt: producer.receipts.clone(),
        });
        if group.ends.is_empty() && group.producer.is_none() {
            return Ok(());
        }
        if self.parts.spool.store(group).await { Ok(()) } else { Err(End::Closed) }
    }

    async fn introduce(&mut self, hello: IntakeHello) -> Result<(), End> {
        self.who = hello.token.as_ref().and_then(|token| self.parts.tokens.find(token.expose()));
        if hello.token.is_some() && self.who.is_none() {
            debug!(
                "an intake client showed a token that is no pot's (any more); its lines speak for themselves"
            );
        }
        let key: Arc<str> = hello.producer.into();
        self.entry.becomes(&key);
        let Some(Welcome { next, epoch }) = self.parts.spool.hello(key.clone()).await else {
            return Err(End::Closed);
        };
        let (receipts, seen) = watch::channel(next);
        self.producer = Some(Producer { key, epoch, next, receipts, seen });
        self.send_receipt(next).await
    }

    async fn send_receipt(&mut self, next: u64) -> Result<(), End> {
        let receipt = format!("{{\"next\":{next}}}\n");
        match tokio::time::timeout(RECEIPT_WRITE_MAX, self.stream.write_all(receipt.as_bytes())).await {
            Ok(written) => Ok(written?),
            Err(_) => Err(End::Closed),
        }
    }

    /// The client is done: a last line may lack its end, and receipts that are due are still sent.
    async fn end_of_stream(&mut self) -> Result<(), End> {
        if self.splitter.inside_line(&self.buffer) {
            self.buffer.extend_from_slice(b"\n");
            // A producer sends an unfinished line again; only plain clients mean it.
            if self.producer.is_none() {
                self.take_lines().await?;
            }
        }
        self.await_receipts().await
    }

    /// The node stops, or this connection was replaced: what is here already is still stored.
    async fn last_words(&mut self) -> Result<(), End> {
        if self.read().is_ok() {
            self.take_lines().await?;
        }
        self.await_receipts().await
    }

    async fn await_receipts(&mut self) -> Result<(), End> {
        let Some(producer) = &mut self.producer else { return Ok(()) };
        let (mut seen, wanted) = (producer.seen.clone(), producer.next);
        if *seen.borrow() >= wanted && !seen.has_changed().unwrap_or(false) {
            // It was sent already.
            return Ok(());
        }
        let reached = seen.wait_for(|next| *next >= wanted);
        let is_durable = matches!(tokio::time::timeout(RECEIPT_WAIT_MAX, reached).await, Ok(Ok(_)));
        if is_durable { self.send_receipt(wanted).await } else { Ok(()) }
    }

    fn malformed(&self, line: &[u8], why: &str) {
        let pot_id = self.who.as_ref().map_or("unknown", |who| &*who.pot_id);
        self.parts.board.count(pot_id, 0, 1);
        self.parts.dead_letter.keep(Micros::from(std::time::SystemTime::now()), pot_id, why, line);
    }
}

async fn next_receipt(producer: &mut Option<Producer>) -> u64 {
    if let Some(producer) = producer
        && producer.seen.changed().await.is_ok()
    {
        return *producer.seen.borrow_and_update();
    }
    std::future::pending().await
}

async fn sleep_until(deadline: Option<Instant>) {
    match deadline {
        Some(deadline) => tokio::time::sleep_until(deadline).await,
        None => std::future::pending().await,
    }
}

fn count(counts: &mut Vec<(Arc<str>, u64)>, pot_id: event::PotName<'_>) {
    match counts.iter_mut().find(|(known, _)| **known == *pot_id.as_str()) {
        Some((_, events)) => *events += 1,
        None => counts.push((pot_id.shared(), 1)),
    }
}

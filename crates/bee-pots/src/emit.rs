//! Hands events to the node: a bounded queue and a connection to the node's intake that survives restarts of the node.
//!
//! Sessions call [`Emitter::event`], which never waits. One task per trap connects to `127.0.0.1:$HONEYBEE_EVENT_PORT`,
//! names itself in the first line and is answered `{"next":n}`: how many of its lines are durable on the node. Lines stay
//! in the queue until a receipt covers them and are sent again after a reconnect, so the node stores each exactly once.
//! When the queue is full, new events are dropped and counted; `honeybee.pot.dropped` reports the count once there is room.

use std::collections::VecDeque;
use std::net::{Ipv4Addr, SocketAddr};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::time::Duration;

use bytes::{Buf, Bytes, BytesMut};
use serde::{Deserialize, Serialize};
use serde_json::{Map, Value};
use time::OffsetDateTime;
use time::format_description::BorrowedFormatItem;
use time::macros::format_description;
use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::net::TcpStream;
use tokio::sync::Notify;
use tokio::task::JoinHandle;
use tokio::time::{Instant, timeout};

use crate::limits::{
    EVENT_LINE_MAX, QUEUE_BYTES_MAX, QUEUE_LINES_MAX, RECEIPT_DEADLINE, RECEIPT_LINE_MAX, RECONNECT_MAX,
    RECONNECT_MIN,
};
use crate::run::PotError;

/// Bytes gathered for one write to the node.
const WRITE_BYTES: usize = 64 * 1024;
/// A node that stays silent this long while lines wait for a receipt is connected to anew.
const SILENCE_MAX: Duration = Duration::from_secs(60);

const TIMESTAMP: &[BorrowedFormatItem<'_>] =
    format_description!("[year]-[month]-[day]T[hour]:[minute]:[second].[subsecond digits:6]Z");

/// Where events go and under which name.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct EventTarget {
    /// The node's intake.
    pub address: SocketAddr,
    /// This trap's id, `pot_id` of its events.
    pub pot_id: String,
    /// This trap's type, `pot_type` of its events.
    pub pot_type: String,
    /// Proves to the node which trap speaks.
    pub token: Option<String>,
}

impl EventTarget {
    /// Reads the variables that a node sets for its traps: `HONEYBEE_EVENT_PORT`, `HONEYBEE_POT_ID`,
    /// `HONEYBEE_HONEYPOT_TYPE` and `HONEYBEE_EVENT_TOKEN` (optional).
    ///
    /// # Errors
    /// A variable that is missing or not usable; the text names it.
    pub fn from_env() -> Result<Self, PotError> {
        let required = |name: &str| {
            std::env::var(name).map_err(|_| {
                PotError::Environment(format!("{name} is not set; the node sets it for its traps"))
            })
        };
        let port = required("HONEYBEE_EVENT_PORT")?;
        let port = port.parse().map_err(|_| {
            PotError::Environment(format!("HONEYBEE_EVENT_PORT is {port:?}; it must be a TCP port"))
        })?;
        Ok(Self {
            address: (Ipv4Addr::LOCALHOST, port).into(),
            pot_id: required("HONEYBEE_POT_ID")?,
            pot_type: required("HONEYBEE_HONEYPOT_TYPE")?,
            token: std::env::var("HONEYBEE_EVENT_TOKEN").ok().filter(|token| !token.is_empty()),
        })
    }
}

/// Takes events from sessions. Cheap to clone.
#[derive(Debug, Clone)]
pub struct Emitter(Arc<Shared>);

/// The task that delivers them; stopped by the owner of the trap.
#[derive(Debug)]
pub struct Uplink(JoinHandle<()>);

#[derive(Debug)]
struct Shared {
    target: EventTarget,
    queue: Mutex<Queue>,
    /// Rung when a line was added.
    added: Notify,
    /// Rung when lines were acknowledged.
    acknowledged: Notify,
}

#[derive(Debug, Default)]
struct Queue {
    /// Lines without a receipt, oldest first.
    lines: VecDeque<Bytes>,
    bytes: usize,
    /// Number of the oldest of them, as this producer counts.
    first: u64,
    /// Events refused since the last report.
    dropped: u64,
}

#[derive(Serialize)]
struct Line<'a> {
    pot_id: &'a str,
    pot_type: &'a str,
    event_type: &'a str,
    timestamp: String,
    data: &'a Map<String, Value>,
}

#[derive(Serialize)]
struct Hello<'a> {
    honeybee_intake: u8,
    producer: &'a str,
    #[serde(skip_serializing_if = "Option::is_none")]
    token: Option<&'a str>,
}

#[derive(Deserialize)]
struct Receipt {
    next: u64,
}

/// Why a connection to the node ended.
enum Ended {
    /// The connection broke or the node broke the protocol.
    Lost,
    /// The node counts lines that this producer never sent, or has forgotten some: the counts cannot be joined again.
    Diverged,
}

impl Emitter {
    /// Starts the delivering task in the current runtime.
    #[must_use]
    pub fn start(target: EventTarget) -> (Self, Uplink) {
        let shared = Arc::new(Shared {
            target,
            queue: Mutex::default(),
            added: Notify::new(),
            acknowledged: Notify::new(),
        });
        let uplink = tokio::spawn(deliver(Arc::clone(&shared)));
        (Self(shared), Uplink(uplink))
    }

    /// Queues one event with the current time. Never waits; a full queue drops the event and counts it.
    pub fn event(&self, event_type: &str, data: &Map<String, Value>) {
        let mut line = self.0.line(event_type, data);
        if line.len() > EVENT_LINE_MAX {
            let note = Map::from_iter([
                ("session".to_owned(), data.get("session").cloned().unwrap_or_default()),
                ("src_ip".to_owned(), data.get("src_ip").cloned().unwrap_or_default()),
                ("oversize_bytes".to_owned(), line.len().into()),
            ]);
            line = self.0.line(event_type, &note);
        }
        self.0.add(line);
    }

    /// Waits until the node has confirmed everything, at most `deadline`.
    pub async fn flush(&self, deadline: Duration) {
        let _ = timeout(deadline, async {
            loop {
                let acknowledged = self.0.acknowledged.notified();
                if self.0.lock().lines.is_empty() {
                    return;
                }
                acknowledged.await;
            }
        })
        .await;
    }
}

impl Uplink {
    /// Ends the connection to the node. Call [`Emitter::flush`] first.
    pub async fn stop(self) {
        self.0.abort();
        // Aborted on purpose: the only other outcome is a panic, which the runtime has printed.
        let _ = self.0.await;
    }
}

impl Shared {
    fn lock(&self) -> MutexGuard<'_, Queue> {
        // Nothing between lock and unlock can panic half-way through a change.
        self.queue.lock().unwrap_or_else(PoisonError::into_inner)
    }

    fn line(&self, event_type: &str, data: &Map<String, Value>) -> Bytes {
        let timestamp = OffsetDateTime::now_utc().format(TIMESTAMP).unwrap_or_default();
        let line = Line {
            pot_id: &self.target.pot_id,
            pot_type: &self.target.pot_type,
            event_type,
            timestamp,
            data,
        };
        let mut bytes = serde_json::to_vec(&line).unwrap_or_default();
        bytes.push(b'\n');
        bytes.into()
    }

    fn add(&self, line: Bytes) {
        let mut queue = self.lock();
        if !queue.has_room(line.len()) {
            queue.dropped += 1;
            return;
        }
        if queue.dropped > 0 {
            let report = self.line("honeybee.pot.dropped", &dropped_report(queue.dropped));
            if !queue.has_room(line.len() + report.len()) {
                queue.dropped += 1;
                return;
            }
            queue.dropped = 0;
            queue.push(report);
        }
        queue.push(line);
        drop(queue);
        self.added.notify_one();
    }

    /// Drops the lines that the node has; `false` when its count does not fit ours.
    fn acknowledge(&self, next: u64) -> bool {
        let mut queue = self.lock();
        let Some(covered) = next
            .checked_sub(queue.first)
            .and_then(|n| usize::try_from(n).ok())
            .filter(|n| *n <= queue.lines.len())
        else {
            return false;
        };
        let freed: usize = queue.lines.drain(..covered).map(|line| line.len()).sum();
        queue.bytes -= freed;
        queue.first = next;
        // Events were lost before this room appeared: say so even if nothing else happens.
        if queue.dropped > 0 {
            let report = self.line("honeybee.pot.dropped", &dropped_report(queue.dropped));
            if queue.has_room(report.len()) {
                queue.dropped = 0;
                queue.push(report);
                self.added.notify_one();
            }
        }
        drop(queue);
        self.acknowledged.notify_waiters();
        true
    }

    /// Copies lines from number `*sent` on into `out`, up to a write's worth.
    fn fill(&self, out: &mut BytesMut, sent: &mut u64) {
        let queue = self.lock();
        let skip = usize::try_from(sent.saturating_sub(queue.first)).unwrap_or(usize::MAX);
        for line in queue.lines.iter().skip(skip) {
            out.extend_from_slice(line);
            *sent += 1;
            if out.len() >= WRITE_BYTES {
                break;
            }
        }
    }

    fn waiting(&self) -> bool {
        !self.lock().lines.is_empty()
    }
}

impl Queue {
    fn has_room(&self, bytes: usize) -> bool {
        self.lines.len() < QUEUE_LINES_MAX && self.bytes + bytes <= QUEUE_BYTES_MAX
    }

    fn push(&mut self, line: Bytes) {
        self.bytes += line.len();
        self.lines.push_back(line);
    }
}

fn dropped_report(count: u64) -> Map<String, Value> {
    Map::from_iter([
        ("count".to_owned(), count.into()),
        ("reason".to_owned(), "the node did not take events in time".into()),
    ])
}

async fn deliver(shared: Arc<Shared>) {
    let mut producer = producer_name(&shared.target.pot_id);
    let mut wait = RECONNECT_MIN;
    loop {
        let started = Instant::now();
        if let Ended::Diverged = deliver_once(&shared, &producer).await {
            producer = producer_name(&shared.target.pot_id);
            shared.lock().first = 0;
        }
        if started.elapsed() > RECONNECT_MAX {
            wait = RECONNECT_MIN;
        }
        tokio::time::sleep(wait).await;
        wait = (wait * 2).min(RECONNECT_MAX);
    }
}

async fn deliver_once(shared: &Shared, producer: &str) -> Ended {
    let Ok(Ok(stream)) = timeout(RECEIPT_DEADLINE, TcpStream::connect(shared.target.address)).await else {
        return Ended::Lost;
    };
    // Events are small and rare on a quiet trap: they should not wait for company.
    let _ = stream.set_nodelay(true);
    let (mut reader, mut writer) = stream.into_split();
    let (mut received, mut out) = (BytesMut::with_capacity(RECEIPT_LINE_MAX), BytesMut::new());

    let hello = Hello { honeybee_intake: 1, producer, token: shared.target.token.as_deref() };
    let Ok(mut hello) = serde_json::to_vec(&hello) else { return Ended::Lost };
    hello.push(b'\n');
    if writer.write_all(&hello).await.is_err() {
        return Ended::Lost;
    }
    let deadline = Instant::now() + RECEIPT_DEADLINE;
    let mut sent = loop {
        match next_receipt(&mut received) {
            Some(Ok(next)) => break next,
            Some(Err(())) => return Ended::Lost,
            None => {}
        }
        match tokio::time::timeout_at(deadline, reader.read_buf(&mut received)).await {
            Ok(Ok(1..)) => {}
            _ => return Ended::Lost,
        }
    };
    if !shared.acknowledge(sent) {
        return Ended::Diverged;
    }

    let mut heard = Instant::now();
    loop {
        if out.is_empty() {
            shared.fill(&mut out, &mut sent);
        }
        let silent = tokio::time::sleep_until(heard + SILENCE_MAX);
        tokio::select! {
            read = reader.read_buf(&mut received) => {
                if !matches!(read, Ok(1..)) {
                    return Ended::Lost;
                }
                heard = Instant::now();
                loop {
                    match next_receipt(&mut received) {
                        Some(Ok(next)) if next > sent || !shared.acknowledge(next) => return Ended::Diverged,
                        Some(Ok(_)) => {}
                        Some(Err(())) => return Ended::Lost,
                        None => break,
                    }
                }
            }
            written = writer.write_buf(&mut out), if !out.is_empty() => {
                if written.is_err() {
                    return Ended::Lost;
                }
            }
            () = shared.added.notified(), if out.is_empty() => {}
            () = silent => {
                if shared.waiting() {
                    return Ended::Lost;
                }
                heard = Instant::now();
            }
        }
    }
}

/// Takes one receipt line off the buffer: `None` while it is not whole, an error when it is none.
fn next_receipt(received: &mut BytesMut) -> Option<Result<u64, ()>> {
    let Some(end) = received.iter().position(|b| *b == b'\n') else {
        return (received.len() > RECEIPT_LINE_MAX).then_some(Err(()));
    };
    let line = received.split_to(end);
    received.advance(1);
    Some(serde_json::from_slice::<Receipt>(&line).map(|receipt| receipt.next).map_err(|_| ()))
}

/// A name that no earlier run of this trap used: the count of lines starts at zero with each run.
fn producer_name(pot_id: &str) -> String {
    let id: String =
        pot_id.chars().filter(|c| c.is_ascii_alphanumeric() || "._-".contains(*c)).take(47).collect();
    format!("{id}.{:016x}", rand::random::<u64>())
}

#[cfg(test)]
mod tests {
    use super::*;

    fn shared() -> Shared {
        let target = EventTarget {
            address: (Ipv4Addr::LOCALHOST, 9).into(),
            pot_id: "pot".into(),
            pot_type: "ssh".into(),
            token: None,
        };
        Shared { target, queue: Mutex::default(), added: Notify::new(), acknowledged: Notify::new() }
    }

    fn sent_from(shared: &Shared, mut sent: u64) -> String {
        let mut out = BytesMut::new();
        shared.fill(&mut out, &mut sent);
        String::from_utf8(out.to_vec()).unwrap()
    }

    #[test]
    fn lines_stay_until_a_receipt_covers_them() {
        let shared = shared();
        for name in ["a\n", "b\n", "c\n"] {
            shared.add(Bytes::from_static(name.as_bytes()));
        }
        assert_eq!(sent_from(&shared, 0), "a\nb\nc\n");
        assert!(shared.acknowledge(2));
        assert_eq!(sent_from(&shared, 2), "c\n");
        assert_eq!(sent_from(&shared, 3), "");
    }

    #[test]
    fn a_count_that_does_not_fit_is_noticed() {
        let shared = shared();
        shared.add(Bytes::from_static(b"a\n"));
        assert!(!shared.acknowledge(2), "more than was ever queued");
        assert!(shared.acknowledge(1));
        assert!(!shared.acknowledge(0), "the node forgot a line");
    }

    #[test]
    fn a_full_queue_drops_new_events_and_reports_how_many() {
        let shared = shared();
        for _ in 0..QUEUE_LINES_MAX + 7 {
            shared.add(Bytes::from_static(b"x\n"));
        }
        assert_eq!(shared.lock().lines.len(), QUEUE_LINES_MAX);
        assert!(shared.acknowledge(10));
        let last = String::from_utf8(shared.lock().lines.back().unwrap().to_vec()).unwrap();
        assert!(last.contains("honeybee.pot.dropped") && last.contains("\"count\":7"), "{last}");
        assert_eq!(shared.lock().dropped, 0);
    }

    #[test]
    fn the_queue_is_bounded_in_bytes_too() {
        let shared = shared();
        let line = Bytes::from(vec![b'x'; EVENT_LINE_MAX]);
        for _ in 0..QUEUE_BYTES_MAX / EVENT_LINE_MAX + 3 {
            shared.add(line.clone());
        }
        assert!(shared.lock().bytes <= QUEUE_BYTES_MAX);
        assert_eq!(shared.lock().dropped, 3);
    }

    #[test]
    fn receipts_are_read_whole_and_bounded() {
        let mut received = BytesMut::from(&b"{\"next\":3}\n{\"next\":4,\"more\":1}\n{\"ne"[..]);
        assert_eq!(next_receipt(&mut received), Some(Ok(3)));
        assert_eq!(next_receipt(&mut received), Some(Ok(4)));
        assert_eq!(next_receipt(&mut received), None);
        let mut garbage = BytesMut::from(&b"nonsense\n"[..]);
        assert_eq!(next_receipt(&mut garbage), Some(Err(())));
        let mut endless = BytesMut::from(vec![b' '; RECEIPT_LINE_MAX + 1].as_slice());
        assert_eq!(next_receipt(&mut endless), Some(Err(())));
    }

    #[test]
    fn producer_names_fit_the_intake_and_differ() {
        let long = "x".repeat(200);
        let (a, b) = (producer_name(&long), producer_name(&long));
        assert!(a.len() <= 64 && a != b);
        assert!(producer_name("pot \u{1F41D}\n1").starts_with("pot1."));
    }
}

//! The event intake: JSON lines from pots on a loopback port (PROTOCOL section 7).
//!
//! Each connection has a task that cuts lines, makes events of them and hands groups to the spool; it waits while the
//! spool's queue is full, so a slow disk slows the pots down instead of filling memory. Clients that introduce
//! themselves as producers get receipts and are stored exactly once (see [`bee_wire::pot_line`]); others are stored as
//! they come. Nothing that a client sends ends more than its own connection.

mod connection;
mod dead_letter;
mod event;
mod repair;
mod splitter;

use std::{
    collections::HashMap,
    net::{IpAddr, Ipv4Addr, SocketAddr},
    sync::{
        Arc, Mutex, PoisonError,
        atomic::{AtomicBool, AtomicU64, Ordering},
    },
    time::Duration,
};

use anyhow::Context as _;
use bee_daemon::listen::{self, Exposure};
use tokio::net::TcpListener;
use tokio_util::{sync::CancellationToken, task::TaskTracker};
use tracing::{debug, warn};

pub use dead_letter::DeadLetter;

use crate::{
    limits::{INTAKE_PORT_FIRST, INTAKE_PORT_LAST},
    pots::{PotBoard, Tokens},
    spool::Spool,
};

/// How the intake listens and what it puts up with.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct IntakeConfig {
    /// A fixed port (0 takes a free one); `None` takes the first free one from 9100 to 9199.
    pub port: Option<u16>,
    /// Open connections. When all are taken, one that never sent a whole line makes room.
    pub connections_max: usize,
    /// Bytes of one line.
    pub line_bytes_max: usize,
    /// A line that was begun has to end within this time.
    pub line_time_max: Duration,
}

/// What connections need.
#[derive(Debug)]
pub struct IntakeParts {
    /// Where events go.
    pub spool: Spool,
    /// Which token is which pot.
    pub tokens: Tokens,
    /// Where lines are counted.
    pub board: PotBoard,
    /// Where malformed lines go.
    pub dead_letter: DeadLetter,
}

/// Counters since the start.
#[derive(Debug, Default)]
pub struct IntakeCounters {
    /// Connections accepted.
    pub connections: AtomicU64,
    /// Connections turned away or ended because too many were open.
    pub crowded_out: AtomicU64,
    /// Connections ended because a line took too long.
    pub too_slow: AtomicU64,
}

/// The listening intake.
#[derive(Debug)]
pub struct Intake {
    listener: TcpListener,
    address: SocketAddr,
    config: IntakeConfig,
}

impl Intake {
    /// Binds the port. Needs a running runtime.
    ///
    /// # Errors
    /// The port, or each port of the range, is taken; the text says by whom.
    pub fn bind(config: IntakeConfig) -> anyhow::Result<Self> {
        let ip = IpAddr::V4(Ipv4Addr::LOCALHOST);
        let listener = match config.port {
            Some(port) => {
                listen::bind("the event intake", (ip, port).into(), Exposure::LoopbackOnly, "nothing")?
            }
            None => listen::bind_first_free("the event intake", ip, INTAKE_PORT_FIRST..=INTAKE_PORT_LAST)?,
        };
        let address = listener.local_addr().context("cannot read the intake's port")?;
        Ok(Self { listener, address, config })
    }

    /// The port that pots are told.
    pub fn port(&self) -> u16 {
        self.address.port()
    }

    /// Serves until `stop`; then every connection ends after the lines it has already sent. Once `close` fires no new
    /// connection is taken, while open ones go on: stopping pots still hand over their last events.
    pub async fn serve(
        self,
        parts: Arc<IntakeParts>,
        counters: Arc<IntakeCounters>,
        close: CancellationToken,
        stop: CancellationToken,
    ) {
        let tracker = TaskTracker::new();
        let table = Arc::new(Table::default());
        loop {
            let accepted = tokio::select! {
                () = close.cancelled() => break,
                () = stop.cancelled() => break,
                accepted = self.listener.accept() => accepted,
            };
            let stream = match accepted {
                Ok((stream, _)) => stream,
                Err(error) => {
                    // Out of descriptors, most likely: others will end.
                    warn!(%error, "cannot accept an intake connection");
                    tokio::time::sleep(Duration::from_millis(100)).await;
                    continue;
                }
            };
            counters.connections.fetch_add(1, Ordering::Relaxed);
            let Some(entry) = table.admit(self.config.connections_max, &stop) else {
                counters.crowded_out.fetch_add(1, Ordering::Relaxed);
                debug!("too many intake connections; one was turned away");
                continue;
            };
            if entry.replaced {
                counters.crowded_out.fetch_add(1, Ordering::Relaxed);
            }
            let connection = connection::Connection::new(
                stream,
                parts.clone(),
                counters.clone(),
                self.config.clone(),
                entry,
            );
            tracker.spawn(connection.run());
        }
        drop(self.listener);
        tracker.close();
        tracker.wait().await;
    }
}

/// The open connections, to make room and to let a producer's newer connection replace its older one.
#[derive(Debug, Default)]
struct Table(Mutex<Open>);

#[derive(Debug, Default)]
struct Open {
    next: u64,
    connections: HashMap<u64, Listed>,
    producers: HashMap<Arc<str>, (u64, CancellationToken)>,
}

#[derive(Debug)]
struct Listed {
    spoke: Arc<AtomicBool>,
    stop: CancellationToken,
}

/// A connection's place in the table; leaving frees it.
#[derive(Debug)]
struct Entry {
    id: u64,
    table: Arc<Table>,
    spoke: Arc<AtomicBool>,
    stop: CancellationToken,
    /// Another connection had to go for this one.
    replaced: bool,
}

impl Table {
    fn admit(self: &Arc<Self>, connections_max: usize, stop: &CancellationToken) -> Option<Entry> {
        let mut open = self.lock();
        let mut replaced = false;
        if open.connections.len() >= connections_max {
            // A managed pot speaks at once, so whoever is silent since it came is the least loss.
            let silent = |listed: &Listed| !listed.spoke.load(Ordering::Relaxed);
            let oldest =
                open.connections.iter().filter(|(_, listed)| silent(listed)).map(|(id, _)| *id).min()?;
            if let Some(listed) = open.connections.remove(&oldest) {
                listed.stop.cancel();
                replaced = true;
            }
        }
        let id = open.next;
        open.next += 1;
        let (spoke, stop) = (Arc::new(AtomicBool::new(false)), stop.child_token());
        open.connections.insert(id, Listed { spoke: spoke.clone(), stop: stop.clone() });
        drop(open);
        Some(Entry { id, table: self.clone(), spoke, stop, replaced })
    }

    fn lock(&self) -> std::sync::MutexGuard<'_, Open> {
        self.0.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

impl Entry {
    /// This connection is now the one of `producer`; an older one is ended.
    fn becomes(&self, producer: &Arc<str>) {
        let older = self.table.lock().producers.insert(producer.clone(), (self.id, self.stop.clone()));
        if let Some((id, stop)) = older
            && id != self.id
        {
            stop.cancel();
        }
    }
}

impl Drop for Entry {
    fn drop(&mut self) {
        let mut open = self.table.lock();
        open.connections.remove(&self.id);
        open.producers.retain(|_, (id, _)| *id != self.id);
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_silent_connection_makes_room_and_speaking_ones_stay() {
        let table = Arc::new(Table::default());
        let stop = CancellationToken::new();
        let speaking = table.admit(2, &stop).unwrap();
        speaking.spoke.store(true, Ordering::Relaxed);
        let silent = table.admit(2, &stop).unwrap();
        let new = table.admit(2, &stop).unwrap();
        assert!(new.replaced && silent.stop.is_cancelled() && !speaking.stop.is_cancelled());
        new.spoke.store(true, Ordering::Relaxed);
        assert!(table.admit(2, &stop).is_none());
        drop(speaking);
        assert!(table.admit(2, &stop).is_some());
    }

    #[test]
    fn a_producer_that_comes_again_replaces_its_older_connection() {
        let table = Arc::new(Table::default());
        let stop = CancellationToken::new();
        let (old, new) = (table.admit(9, &stop).unwrap(), table.admit(9, &stop).unwrap());
        let key: Arc<str> = "p".into();
        old.becomes(&key);
        new.becomes(&key);
        assert!(old.stop.is_cancelled() && !new.stop.is_cancelled());
        drop(old);
        assert_eq!(table.lock().producers.len(), 1);
    }
}

//! A fleet of simulated nodes in one process.
//!
//! Each node has a key, a certificate and a TOTP key of its own, enrols with the join code, stays connected, sends
//! heartbeats, delivers the events it is offered, and comes back after a lost connection as a real node would: all that
//! is `bee_link::node::NodeLink`'s doing. What is made up is where events come from ([`crate::mix::Mix`]) and that nothing
//! is kept on disk.

mod node;

use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};
use std::time::{Duration, Instant};

use bee_link::node::LinkConfig;
use bee_wire::JoinCode;
use tokio::sync::{Semaphore, watch};
use tokio_util::sync::CancellationToken;
use tokio_util::task::TaskTracker;

use crate::mix::Mix;
use node::SimNode;

/// How a fleet behaves.
#[derive(Debug, Clone)]
pub struct FleetConfig {
    /// Where Core is, who it is, and what lets the nodes in: a code with as many uses as there will be nodes.
    pub code: JoinCode,
    /// What nodes are called, with a number behind it.
    pub name_prefix: String,
    /// Settings of each node's link.
    pub link: LinkConfig,
    /// What the nodes send.
    pub mix: Arc<Mix>,
    /// Nodes that may be between connecting and being registered at once, so that a start does not look like a flood.
    pub connecting_max: usize,
    /// Limit for connecting, and for the handshake.
    pub connect_timeout: Duration,
}

impl FleetConfig {
    /// Nodes that do as real ones do by default.
    pub fn new(code: JoinCode, mix: Arc<Mix>) -> Self {
        Self {
            code,
            name_prefix: "sim".to_owned(),
            link: LinkConfig::default(),
            mix,
            connecting_max: 256,
            connect_timeout: Duration::from_secs(10),
        }
    }
}

/// What a fleet has done so far, all nodes together.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub struct Snapshot {
    /// Nodes registered on a living connection at this moment.
    pub registered: u64,
    /// Connections that were tried.
    pub connects: u64,
    /// ... and could not be made, or were closed before the registration was answered.
    pub failures: u64,
    /// Registrations that Core refused.
    pub refused: u64,
    /// Events sent, repeats counted again.
    pub events_sent: u64,
    /// Bytes sent, before encryption.
    pub bytes_sent: u64,
    /// Events that Core has acknowledged, each once.
    pub events_acknowledged: u64,
}

#[derive(Debug, Default)]
pub(crate) struct Counters {
    pub(crate) registered: AtomicU64,
    pub(crate) connects: AtomicU64,
    pub(crate) failures: AtomicU64,
    pub(crate) refused: AtomicU64,
    pub(crate) events_sent: AtomicU64,
    pub(crate) bytes_sent: AtomicU64,
    pub(crate) events_acknowledged: AtomicU64,
}

/// What the nodes of a fleet share.
pub(crate) struct Shared {
    pub(crate) config: FleetConfig,
    pub(crate) counters: Counters,
    pub(crate) connecting: Arc<Semaphore>,
    pub(crate) started: Instant,
    pub(crate) leave: CancellationToken,
}

/// A running fleet. Dropping it tells the nodes to leave but does not wait for them.
pub struct Fleet {
    shared: Arc<Shared>,
    offered: watch::Sender<u64>,
    tasks: TaskTracker,
    nodes_count: u64,
}

impl Fleet {
    /// A fleet without nodes.
    pub fn new(config: FleetConfig) -> Self {
        let connecting = Arc::new(Semaphore::new(config.connecting_max.max(1)));
        let shared = Shared {
            config,
            counters: Counters::default(),
            connecting,
            started: Instant::now(),
            leave: CancellationToken::new(),
        };
        Self {
            shared: Arc::new(shared),
            offered: watch::Sender::new(0),
            tasks: TaskTracker::new(),
            nodes_count: 0,
        }
    }

    /// Adds nodes; each begins to connect at once, as far as `connecting_max` lets it.
    ///
    /// # Errors
    /// When no key can be made.
    pub fn add(&mut self, nodes_count: u64) -> anyhow::Result<()> {
        for number in self.nodes_count..self.nodes_count + nodes_count {
            let node = SimNode::new(Arc::clone(&self.shared), number, self.offered.subscribe())?;
            self.tasks.spawn(node.run());
        }
        self.nodes_count += nodes_count;
        Ok(())
    }

    /// Lets every node have events up to this number (in all, since the start); a smaller number than before does nothing.
    pub fn offer(&self, events_per_node: u64) {
        self.offered.send_if_modified(|offered| {
            let more = events_per_node > *offered;
            *offered = events_per_node.max(*offered);
            more
        });
    }

    /// How many nodes were added.
    pub fn nodes_count(&self) -> u64 {
        self.nodes_count
    }

    /// What was done so far.
    pub fn snapshot(&self) -> Snapshot {
        let read = |counter: &AtomicU64| counter.load(Ordering::Relaxed);
        let counters = &self.shared.counters;
        Snapshot {
            registered: read(&counters.registered),
            connects: read(&counters.connects),
            failures: read(&counters.failures),
            refused: read(&counters.refused),
            events_sent: read(&counters.events_sent),
            bytes_sent: read(&counters.bytes_sent),
            events_acknowledged: read(&counters.events_acknowledged),
        }
    }

    /// Waits for a state of the fleet, looking every few milliseconds.
    ///
    /// # Errors
    /// It was not reached within `limit`; the text holds the last state.
    pub async fn wait(
        &self,
        what: &str,
        limit: Duration,
        reached: impl Fn(&Snapshot) -> bool,
    ) -> anyhow::Result<Duration> {
        let began = Instant::now();
        loop {
            let snapshot = self.snapshot();
            if reached(&snapshot) {
                return Ok(began.elapsed());
            }
            anyhow::ensure!(
                began.elapsed() < limit,
                "the fleet did not reach this state within {limit:?}: {what}; it is at {snapshot:?}"
            );
            tokio::time::sleep(Duration::from_millis(5)).await;
        }
    }

    /// Every node says goodbye; waits until they are gone, at most `limit`.
    pub async fn leave(self, limit: Duration) {
        self.shared.leave.cancel();
        self.tasks.close();
        // Nodes whose Core is gone have nobody to say goodbye to and are dropped with the runtime.
        let _ = tokio::time::timeout(limit, self.tasks.wait()).await;
    }
}

impl Drop for Fleet {
    fn drop(&mut self) {
        self.shared.leave.cancel();
    }
}

//! Every node Core knows: its record, its live connection, its pots, its commands.
//!
//! The decisions are `bee_link`'s (`Registry`, `Commands`); this is the edge around them: one lock held for
//! moments, every change durable before the answer goes out, views for the API, and word to whoever watches.
//! No lock is held across an await or a disk access.

mod commands;
mod join;
mod pots;
mod stored;
mod views;

use std::collections::HashMap;
use std::net::SocketAddr;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};

use bee_daemon::clock::SharedClock;
use bee_link::Now;
use bee_link::core::{
    Change, Commands, ConnectionId, Decision, Input, Peer, Policy, RegistrationRequest, Registry, Verdict,
};
use bee_wire::api::Alert;
use bee_wire::module::{AlertRaised, NodeChanged, PotChanged};
use bee_wire::node::{Health, NodeStatus};
use bee_wire::{ErrorCode, Micros, NodeId};
use tokio::sync::{Notify, broadcast};

use crate::counters::Counters;
use crate::error::CoreError;
use crate::events::NodeNames;
use crate::ledger::Ledger;
use crate::nodes::mailbox::Mailbox;
use crate::seal::Sealer;
use crate::state::{self, State};

pub(crate) use stored::LoadError;

/// Watchers further behind than this are told that they lag, and ask for the lists again.
const CHANGES_QUEUE_MAX: usize = 1_024;
/// Alerts remembered.
const ALERTS_MAX: usize = 1_000;

/// Something about the fleet changed.
#[derive(Debug, Clone)]
pub enum FleetChange {
    /// A node came, went or changed.
    Node(Arc<NodeChanged>),
    /// A pot came, went or changed.
    Pot(Arc<PotChanged>),
    /// An alert was raised.
    Alert(Arc<AlertRaised>),
}

/// The fleet. Shared by all connections and the API.
pub(crate) struct Fleet {
    inner: Mutex<Inner>,
    state: State,
    sealer: Sealer,
    clock: SharedClock,
    names: Arc<NodeNames>,
    ledger: Arc<Ledger>,
    counters: Arc<Counters>,
    changes: broadcast::Sender<FleetChange>,
    commands_moved: Notify,
}

struct Inner {
    registry: Registry,
    commands: Commands,
    live: HashMap<NodeId, LiveNode>,
    pots: HashMap<NodeId, pots::Pots>,
    attempts: HashMap<NodeId, Attempts>,
    alerts: std::collections::VecDeque<Alert>,
}

/// What is known of a pending node beside its record.
#[derive(Debug, Clone, Default)]
struct Attempts {
    count: u64,
    key_sha256: Option<String>,
}

/// A connected node.
#[derive(Clone)]
pub(crate) struct LiveNode {
    /// Its connection.
    pub(crate) connection: ConnectionId,
    /// Where to reach its task.
    pub(crate) mailbox: Arc<Mailbox>,
    /// Where it comes from.
    pub(crate) from: SocketAddr,
    /// Whether its connection is encrypted.
    pub(crate) tls: bool,
    /// Extensions in use.
    pub(crate) features: Vec<String>,
    /// Its last health report.
    pub(crate) health: Option<Health>,
}

impl Fleet {
    /// Rebuilds the fleet from the state store.
    pub(crate) fn load(
        policy: Policy,
        state: State,
        sealer: Sealer,
        clock: SharedClock,
        names: Arc<NodeNames>,
        ledger: Arc<Ledger>,
        counters: Arc<Counters>,
    ) -> Result<Self, LoadError> {
        let now = now(&clock);
        let mut registry = Registry::new(policy);
        stored::load_registry(&state, &sealer, &mut registry)?;
        for node in registry.nodes() {
            names.set(node.node_id, &node.node_name);
        }
        let mut commands = Commands::new();
        stored::load_commands(&state, &mut commands, now)?;
        let pots = pots::load(&state)?;
        let inner = Inner {
            registry,
            commands,
            live: HashMap::new(),
            pots,
            attempts: HashMap::new(),
            alerts: std::collections::VecDeque::new(),
        };
        Ok(Self {
            inner: Mutex::new(inner),
            state,
            sealer,
            clock,
            names,
            ledger,
            counters,
            changes: broadcast::channel(CHANGES_QUEUE_MAX).0,
            commands_moved: Notify::new(),
        })
    }

    /// The moment, on both clocks.
    pub(crate) fn now(&self) -> Now {
        now(&self.clock)
    }

    /// The wall clock.
    pub(crate) fn time(&self) -> Micros {
        Micros::from_unix_us(self.clock.wall_micros())
    }

    /// Decides on a registration and makes the decision durable.
    pub(crate) async fn decide(
        &self,
        request: &RegistrationRequest,
        peer: &Peer,
        sign: impl FnOnce(&str, NodeId) -> Result<(String, String), String>,
    ) -> Verdict {
        let now = self.now();
        let (verdict, changes) = {
            let mut inner = self.lock();
            let Decision { mut verdict, mut changes } =
                inner.registry.decide(request, peer, now, &mut rand::rng());
            if let Verdict::Accept(accepted) = &mut verdict
                && let Some(csr) = accepted.sign.take()
            {
                match sign(&csr, accepted.node_id) {
                    Ok((pem, sha256)) => {
                        accepted.certificate = Some(pem);
                        changes.extend(inner.registry.certificate_issued(accepted.node_id, &sha256));
                    }
                    // The node is in by its code; without a certificate it goes on with codes alone.
                    Err(why) => {
                        tracing::warn!(node_id = %accepted.node_id, why, "a node's certificate request was not signed");
                    }
                }
            }
            inner.note_attempt(request, &verdict);
            (verdict, changes)
        };
        if let Err(error) = self.persist(changes).await {
            tracing::error!(%error, "a registration could not be stored; the node was refused and will try again");
            return Verdict::Refuse {
                code: ErrorCode::RegistrationFailed,
                message: "Core cannot store the registration at the moment; try again later".to_owned(),
            };
        }
        verdict
    }

    /// Makes a connection the live one of its node and tells an older one to go. Answers the commands that wait.
    pub(crate) async fn attach(&self, node_id: NodeId, node_name: &str, live: LiveNode) {
        let connection = live.connection;
        let mailbox = Arc::clone(&live.mailbox);
        let (older, due, change) = {
            let mut inner = self.lock();
            if inner.registry.node(node_id).is_none() {
                // Removed between the decision and this.
                mailbox.push(removed());
                return;
            }
            inner.registry.attach(node_id, connection);
            let older = inner.live.insert(node_id, live).filter(|older| older.connection != connection);
            let due = inner.commands.due_for(node_id);
            let change = inner.registry.set_status(node_id, NodeStatus::Connected, self.now().unix_ms);
            (older, due, change)
        };
        self.names.set(node_id, node_name);
        if let Some(older) = older {
            self.counters.node_replaced.one();
            older.mailbox.push(Input::Replaced);
        }
        for outgoing in due {
            mailbox.push(Input::Command(outgoing));
        }
        self.persist_logged(change.into_iter().collect()).await;
        self.node_changed(node_id, false);
    }

    /// A connection of a node is over. Its node is `Stopped` unless a newer connection took its place.
    pub(crate) async fn detach(&self, node_id: NodeId, connection: ConnectionId) {
        let change = {
            let mut inner = self.lock();
            if !inner.registry.detach(node_id, connection) {
                return;
            }
            inner.live.remove(&node_id);
            inner.registry.set_status(node_id, NodeStatus::Stopped, self.now().unix_ms)
        };
        self.persist_logged(change.into_iter().collect()).await;
        self.node_changed(node_id, false);
    }

    /// A heartbeat, or silence.
    pub(crate) async fn status(
        &self,
        node_id: NodeId,
        connection: ConnectionId,
        status: NodeStatus,
        health: Option<Health>,
    ) {
        let (change, news) = {
            let mut inner = self.lock();
            let Some(live) = inner.live.get_mut(&node_id).filter(|live| live.connection == connection) else {
                return;
            };
            let news = health.is_some();
            if news {
                live.health = health;
            }
            (inner.registry.set_status(node_id, status, self.now().unix_ms), news)
        };
        if change.is_some() {
            if status == NodeStatus::Unknown {
                self.counters.node_silent.one();
            }
            self.persist_logged(change.into_iter().collect()).await;
            self.node_changed(node_id, false);
        } else if news {
            self.node_changed(node_id, false);
        }
    }

    /// Removes a node with everything of it but its events.
    pub(crate) async fn remove(&self, node_id: NodeId) -> Result<(), CoreError> {
        let before = self.node_view(node_id);
        let (change, live, ended, pots) = {
            let mut inner = self.lock();
            let (change, _) = inner.registry.remove_node(node_id)?;
            let now = self.now();
            (
                change,
                inner.live.remove(&node_id),
                inner.commands.node_removed(node_id, now),
                inner.pots.remove(&node_id),
            )
        };
        let mut changes = stored::encode(&self.sealer, vec![change])?;
        changes.extend(stored::encode_commands(ended)?);
        for pot_id in pots.iter().flat_map(pots::Pots::ids) {
            changes.push(state::Change::delete(pots::key(node_id, pot_id)));
        }
        self.state.commit(changes).await?;
        if let Some(live) = live {
            live.mailbox.push(removed());
        }
        self.commands_moved.notify_waiters();
        if let Some(node) = before {
            self.send(|| FleetChange::Node(Arc::new(NodeChanged { node, removed: true })));
        }
        Ok(())
    }

    /// Lets a waiting node in at its next try.
    pub(crate) async fn approve(&self, node_id: NodeId) -> Result<(), CoreError> {
        let changes = {
            let mut inner = self.lock();
            let now = self.now();
            let changes = inner.registry.approve(node_id, now)?;
            inner.attempts.remove(&node_id);
            changes
        };
        self.persist(changes).await?;
        self.node_changed(node_id, false);
        Ok(())
    }

    /// Refuses a waiting node for good.
    pub(crate) async fn refuse(&self, node_id: NodeId) -> Result<(), CoreError> {
        let change = self.lock().registry.refuse(node_id)?;
        self.persist(vec![change]).await
    }

    /// Remembers an alert and tells those who watch.
    pub(crate) fn raise(&self, alert: Alert) {
        {
            let mut inner = self.lock();
            inner.alerts.push_front(alert.clone());
            inner.alerts.truncate(ALERTS_MAX);
        }
        self.send(|| FleetChange::Alert(Arc::new(AlertRaised { alert })));
    }

    /// Alerts since Core started, newest first.
    pub(crate) fn alerts(&self) -> Vec<Alert> {
        self.lock().alerts.iter().cloned().collect()
    }

    /// Changes from now on.
    pub(crate) fn watch(&self) -> broadcast::Receiver<FleetChange> {
        self.changes.subscribe()
    }

    pub(crate) async fn persist(&self, changes: Vec<Change>) -> Result<(), CoreError> {
        if changes.is_empty() {
            return Ok(());
        }
        self.state.commit(stored::encode(&self.sealer, changes)?).await?;
        Ok(())
    }

    /// For changes that nobody waits for: a status that is not stored is found again at the next heartbeat.
    async fn persist_logged(&self, changes: Vec<Change>) {
        if let Err(error) = self.persist(changes).await {
            tracing::warn!(%error, "a node's state could not be stored");
        }
    }

    fn node_changed(&self, node_id: NodeId, removed: bool) {
        self.send_if(|| {
            let node = self.node_view(node_id)?;
            Some(FleetChange::Node(Arc::new(NodeChanged { node, removed })))
        });
    }

    fn send(&self, change: impl FnOnce() -> FleetChange) {
        self.send_if(|| Some(change()));
    }

    fn send_if(&self, change: impl FnOnce() -> Option<FleetChange>) {
        if self.changes.receiver_count() > 0
            && let Some(change) = change()
        {
            // The last watcher may have gone in between.
            let _ = self.changes.send(change);
        }
    }

    fn lock(&self) -> MutexGuard<'_, Inner> {
        self.inner.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

impl Inner {
    fn note_attempt(&mut self, request: &RegistrationRequest, verdict: &Verdict) {
        let Verdict::Refuse { code: ErrorCode::NodePending, .. } = verdict else { return };
        let node_id = request.registration.node_id;
        // The registry bounds how many wait; what it forgot is forgotten here.
        if self.attempts.len() > self.registry.pending().count() + 64 {
            let waiting: std::collections::HashSet<NodeId> =
                self.registry.pending().map(|node| node.node_id).collect();
            self.attempts.retain(|id, _| waiting.contains(id));
        }
        let attempts = self.attempts.entry(node_id).or_default();
        attempts.count = attempts.count.saturating_add(1);
        attempts.key_sha256 = None;
    }
}

/// What a removed node is told.
fn removed() -> Input {
    Input::Shutdown {
        code: ErrorCode::NodeNotFound,
        reason: "this node was removed; enrol it again".to_owned(),
    }
}

fn now(clock: &SharedClock) -> Now {
    Now::new(clock.mono_ms(), clock.wall_micros().div_euclid(1_000))
}

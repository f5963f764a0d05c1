//! What the rest of the world may ask of Core: the one door for REST, WebSocket, modules and the CLI.
//!
//! A handle is cheap to clone and safe to keep; after the shutdown its requests fail with `Closed`. It decides
//! nothing about who may ask what: the callers check scopes with [`CoreHandle::authenticate`] first.

use std::collections::BTreeMap;
use std::net::SocketAddr;
use std::sync::Arc;
use std::time::Duration;

use bee_daemon::clock::SharedClock;
use bee_daemon::tls::{CertificateAuthority, ServerTls};
use bee_wire::api::{
    Alert, ApiToken, ApiTokenCreated, ApiTokenRequest, Artifact, CommandView, CoreProblem, CoreStatus, Event,
    EventPage, EventQuery, JoinToken, JoinTokenCreated, JoinTokenRequest, Node, NodeDetail, PendingNode, Pot,
};
use bee_wire::id::Cursor;
use bee_wire::module::{PublishEvent, RaiseAlert};
use bee_wire::{ArtifactId, Command, CommandId, EventRef, Micros, NodeId};
use tokio::sync::{broadcast, oneshot};
use tokio_util::sync::CancellationToken;

use crate::config::{Config, EnrollmentMode, TlsMode};
use crate::counters::Counters;
use crate::error::CoreError;
use crate::events::{EventFilter, Events, SearchLimits};
use crate::fleet::{Fleet, FleetChange};
use crate::ingest::record::{Encoded, Source};
use crate::ingest::{Ingest, Reply};
use crate::ledger::Ledger;
use crate::live::{Live, OnLag, SubscribeOptions, Subscription};
use crate::nodes::Hub;
use crate::text;
use crate::tokens::{Principal, Tokens};
use crate::vault::Vault;

/// The node id of events that Core itself or a module publishes.
pub const CORE_NODE_ID: NodeId = NodeId(0);
/// Below this much free space Core says that its disk is nearly full.
const DISK_LOW_BYTES: u64 = 1 << 30;

/// A way to ask things of a running Core.
#[derive(Clone)]
pub struct CoreHandle {
    pub(crate) inner: Arc<Inner>,
}

pub(crate) struct Inner {
    pub(crate) config: Config,
    pub(crate) clock: SharedClock,
    pub(crate) started: Micros,
    pub(crate) addresses: Addresses,
    pub(crate) ca: Arc<CertificateAuthority>,
    pub(crate) api_tls: Option<ServerTls>,
    pub(crate) counters: Arc<Counters>,
    pub(crate) fleet: Arc<Fleet>,
    pub(crate) ledger: Arc<Ledger>,
    pub(crate) ingest: Ingest,
    pub(crate) events: Events,
    pub(crate) live: Live,
    pub(crate) vault: Vault,
    pub(crate) tokens: Tokens,
    pub(crate) hub: Arc<Hub>,
    pub(crate) stop: CancellationToken,
}

/// Where a running Core listens.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Addresses {
    /// For nodes.
    pub nodes: SocketAddr,
    /// REST, dashboard, modules over TCP.
    pub api: SocketAddr,
    /// Modules over WebSocket.
    pub ws: Option<SocketAddr>,
}

impl CoreHandle {
    // ---- Core itself -------------------------------------------------------------------------------------

    /// The configuration Core runs with.
    pub fn config(&self) -> &Config {
        &self.inner.config
    }

    /// Where Core listens; real ports where the configuration said 0.
    pub fn addresses(&self) -> Addresses {
        self.inner.addresses
    }

    /// TLS for the API ports; `None` when `api.tls` is off.
    pub fn api_tls(&self) -> Option<&ServerTls> {
        self.inner.api_tls.as_ref()
    }

    /// The CA certificate, PEM.
    pub fn ca_pem(&self) -> &str {
        self.inner.ca.pem()
    }

    /// SHA-256 of the CA certificate, upper-case hex.
    pub fn ca_fingerprint(&self) -> String {
        self.inner.ca.fingerprint().to_string()
    }

    /// Ends when Core stops.
    pub fn stopping(&self) -> CancellationToken {
        self.inner.stop.clone()
    }

    /// The wall clock that Core goes by.
    pub fn now(&self) -> Micros {
        Micros::from_unix_us(self.inner.clock.wall_micros())
    }

    /// Every counter of Core.
    pub fn counters(&self) -> &Counters {
        &self.inner.counters
    }

    /// Values of this moment, by name, to stand beside the counters in `/metrics`.
    pub fn gauges(&self) -> Vec<(&'static str, u64)> {
        let inner = &self.inner;
        let (known, connected, pending) = inner.fleet.counts();
        let log = inner.events.log_stats();
        let (first, next) = inner.events.bounds();
        vec![
            ("nodes", known as u64),
            ("nodes_connected", connected as u64),
            ("nodes_pending", pending as u64),
            ("node_connections_open", inner.hub.open.count() as u64),
            ("ingest_queued_batches", inner.ingest.queued() as u64),
            ("ingest_stalled", u64::from(inner.ingest.status().is_stalled())),
            ("log_disk_bytes", log.bytes),
            ("log_segments", log.segments),
            ("log_first_seq", first),
            ("log_next_seq", next),
            ("vault_disk_bytes", inner.vault.bytes()),
            ("live_subscribers", inner.live.subscribers_count() as u64),
            ("resident_memory_bytes", bee_daemon::health::rss_bytes().unwrap_or(0)),
        ]
    }

    /// How Core is.
    pub async fn status(&self) -> CoreStatus {
        let inner = &self.inner;
        let config = &inner.config;
        let (known, connected, pending) = inner.fleet.counts();
        let newest = self.events(EventQuery { limit: Some(1), ..EventQuery::default() }).await.ok();
        let free = bee_daemon::health::disk_free_bytes(&config.data_dir).unwrap_or(0);
        let total = rustix::fs::statvfs(&config.data_dir).ok();
        let listen = |address: SocketAddr| address.to_string();
        CoreStatus {
            version: env!("CARGO_PKG_VERSION").to_owned(),
            started: inner.started,
            nodes_listen: listen(inner.addresses.nodes),
            http_listen: listen(inner.addresses.api),
            ws_listen: inner.addresses.ws.map(listen).unwrap_or_default(),
            ca_fingerprint: self.ca_fingerprint(),
            tls_mode: match config.tls {
                TlsMode::Required => "required",
                TlsMode::Optional => "optional",
                TlsMode::Off => "off",
            }
            .to_owned(),
            enrollment_mode: match config.enrollment {
                EnrollmentMode::Token => "token",
                EnrollmentMode::Approve => "approve",
                EnrollmentMode::Open => "open",
            }
            .to_owned(),
            nodes_count: known as u64,
            nodes_connected: connected as u64,
            nodes_pending: pending as u64,
            events_stored: inner.ledger.stored_total(),
            last_event: newest.and_then(|page| page.events.first().map(|event| event.received)),
            log_bytes: inner.events.log_stats().bytes,
            disk_free_bytes: free,
            disk_total_bytes: total.map_or(0, |stat| stat.f_blocks.saturating_mul(stat.f_frsize)),
            counters: inner
                .counters
                .all()
                .into_iter()
                .map(|(name, value)| (name.to_owned(), value))
                .collect::<BTreeMap<_, _>>(),
            problems: self.problems(free),
        }
    }

    fn problems(&self, disk_free: u64) -> Vec<CoreProblem> {
        let mut problems = Vec::new();
        let mut add = |code: &str, message: String, help: &str| {
            problems.push(CoreProblem { code: code.to_owned(), message, help: help.to_owned() });
        };
        if self.inner.ingest.status().is_stalled() {
            add(
                "LOG_WRITE_FAILED",
                "events cannot be stored; nodes keep theirs".to_owned(),
                "make room on the disk of the data directory; Core goes on by itself",
            );
        } else if disk_free < DISK_LOW_BYTES {
            add(
                "DISK_NEARLY_FULL",
                format!("{} MiB are free where Core writes", disk_free >> 20),
                "make room, or lower log.bytes_max and vault.bytes_max",
            );
        }
        problems
    }

    // ---- Nodes -------------------------------------------------------------------------------------------

    /// Every known node.
    pub fn nodes(&self) -> Vec<Node> {
        self.inner.fleet.nodes()
    }

    /// One node with all its details.
    pub fn node(&self, node_id: NodeId) -> Option<NodeDetail> {
        self.inner.fleet.node_detail(node_id)
    }

    /// The nodes that a number or a name means; names are not unique.
    pub fn node_ids(&self, number_or_name: &str) -> Vec<NodeId> {
        self.inner.fleet.ids_of(number_or_name)
    }

    /// Every pot of every node.
    pub fn pots(&self) -> Vec<Pot> {
        self.inner.fleet.pots()
    }

    /// Connected nodes.
    pub fn connected_nodes(&self) -> Vec<NodeId> {
        self.inner.fleet.connected()
    }

    /// Removes a node; its events stay.
    pub async fn remove_node(&self, node_id: NodeId) -> Result<(), CoreError> {
        self.inner.fleet.remove(node_id).await?;
        self.inner.marks_forget(node_id);
        Ok(())
    }

    /// Nodes that wait for approval.
    pub fn pending(&self) -> Vec<PendingNode> {
        self.inner.fleet.pending()
    }

    /// Lets a waiting node in at its next try.
    pub async fn approve(&self, node_id: NodeId) -> Result<(), CoreError> {
        self.inner.fleet.approve(node_id).await
    }

    /// Refuses a waiting node for good.
    pub async fn refuse(&self, node_id: NodeId) -> Result<(), CoreError> {
        self.inner.fleet.refuse(node_id).await
    }

    /// Changes of nodes and pots, and alerts, from now on.
    pub fn changes(&self) -> broadcast::Receiver<FleetChange> {
        self.inner.fleet.watch()
    }

    // ---- Commands ----------------------------------------------------------------------------------------

    /// Gives a node a command: durable when this returns, sent now or when the node is back.
    pub async fn command(
        &self,
        node_id: NodeId,
        command: Command,
        timeout: Option<Duration>,
    ) -> Result<CommandView, CoreError> {
        self.inner.fleet.command(node_id, command, timeout).await
    }

    /// The same to every connected node.
    pub async fn broadcast(
        &self,
        command: Command,
        timeout: Option<Duration>,
    ) -> Result<Vec<CommandView>, CoreError> {
        let mut given = Vec::new();
        for node_id in self.connected_nodes() {
            match self.command(node_id, command.clone(), timeout).await {
                Ok(view) => given.push(view),
                // Removed in between.
                Err(CoreError::NoSuchNode(_)) => {}
                Err(error) => return Err(error),
            }
        }
        Ok(given)
    }

    /// One command as it stands.
    pub fn command_view(&self, id: CommandId) -> Option<CommandView> {
        self.inner.fleet.command_view(id)
    }

    /// Waits until a command has ended, at most `wait`; answers it as it stands then.
    pub async fn command_ended(&self, id: CommandId, wait: Duration) -> Option<CommandView> {
        self.inner.fleet.command_ended(id, wait).await
    }

    /// Commands, newest first, of one node or of all.
    pub fn commands(&self, node_id: Option<NodeId>, limit: usize) -> Vec<CommandView> {
        self.inner.fleet.commands(node_id, limit)
    }

    // ---- Tokens ------------------------------------------------------------------------------------------

    /// Makes a join token and its code.
    pub async fn create_join_token(&self, request: JoinTokenRequest) -> Result<JoinTokenCreated, CoreError> {
        let addresses = if request.addresses.is_empty() {
            self.inner.join_addresses()
        } else {
            request.addresses.clone()
        };
        let ca_sha256 = *self.inner.ca.fingerprint().as_bytes();
        self.inner.fleet.create_join_token(request, addresses, ca_sha256).await
    }

    /// All join tokens, without their secrets.
    pub fn join_tokens(&self) -> Vec<JoinToken> {
        self.inner.fleet.join_tokens()
    }

    /// Ends a join token.
    pub async fn revoke_join_token(&self, id: &str) -> Result<(), CoreError> {
        self.inner.fleet.revoke_join_token(id).await
    }

    /// Makes an API or module token.
    pub async fn create_api_token(&self, request: ApiTokenRequest) -> Result<ApiTokenCreated, CoreError> {
        self.inner.tokens.create(request, self.now()).await
    }

    /// All API and module tokens, without their secrets.
    pub fn api_tokens(&self) -> Vec<ApiToken> {
        self.inner.tokens.list()
    }

    /// Ends an API or module token.
    pub async fn revoke_api_token(&self, id: &str) -> Result<(), CoreError> {
        self.inner.tokens.revoke(id).await
    }

    /// Who a token's secret belongs to; `None` if it is good for nothing.
    pub fn authenticate(&self, secret: &str) -> Option<Principal> {
        self.inner.tokens.authenticate(secret, self.now())
    }

    // ---- Events ------------------------------------------------------------------------------------------

    /// Stored events, newest first.
    pub async fn events(&self, query: EventQuery) -> Result<EventPage, CoreError> {
        let filter = EventFilter::of_query(&query, |node| self.node_ids(node))?;
        let limit = query.limit.map_or(100, |limit| usize::try_from(limit).unwrap_or(usize::MAX));
        Ok(self.inner.events.search(filter, query.before, limit, SearchLimits::default()).await?)
    }

    /// One event.
    pub async fn event(&self, id: Cursor) -> Result<Option<Event>, CoreError> {
        Ok(self.inner.events.event(id).await?)
    }

    /// Events as they become durable. `filter` is in the words of [`EventFilter::parse`].
    pub fn subscribe(
        &self,
        filter: Option<&str>,
        from: Option<Cursor>,
        on_lag: OnLag,
    ) -> Result<Subscription, CoreError> {
        let filter = filter.map(|text| EventFilter::parse(text, |node| self.node_ids(node))).transpose()?;
        self.subscribe_to(filter.unwrap_or_default(), from, on_lag)
    }

    /// The same with a filter made of a query's parameters.
    pub fn subscribe_query(
        &self,
        query: &EventQuery,
        from: Option<Cursor>,
        on_lag: OnLag,
    ) -> Result<Subscription, CoreError> {
        let filter = EventFilter::of_query(query, |node| self.node_ids(node))?;
        self.subscribe_to(filter, from, on_lag)
    }

    fn subscribe_to(
        &self,
        filter: EventFilter,
        from: Option<Cursor>,
        on_lag: OnLag,
    ) -> Result<Subscription, CoreError> {
        Ok(self.inner.live.subscribe(SubscribeOptions { filter, from, on_lag })?)
    }

    /// Adds an event of a module. Durable when this returns; answers its number.
    pub async fn publish_event(&self, source: &str, event: PublishEvent) -> Result<Cursor, CoreError> {
        let received = self.now();
        let data = self.published_data(source, &event)?;
        let event = EventRef {
            node_id: None,
            pot_id: event.pot_id.as_deref().unwrap_or(source).into(),
            pot_type: Some(event.pot_type.as_deref().unwrap_or("module").into()),
            event_type: text::cut(&event.event_type, 256).into(),
            timestamp: event.timestamp,
            data: std::borrow::Cow::Owned(data),
        };
        let encoded =
            Encoded::new(Source::Published, CORE_NODE_ID, "", 0, received, std::iter::once(event), 512);
        let (done, stored) = oneshot::channel();
        self.inner.ingest.push(encoded, Reply::Published(done)).await.map_err(|_| CoreError::Closed)?;
        stored.await.map(Cursor).map_err(|_| CoreError::Closed)
    }

    /// The event's own fields; what Core adds stands under one name, so that nothing of the module is changed.
    fn published_data(
        &self,
        source: &str,
        event: &PublishEvent,
    ) -> Result<Box<serde_json::value::RawValue>, CoreError> {
        if event.enriches.is_none() && event.tags.is_empty() {
            return Ok(event.data.clone());
        }
        let bad = |error: serde_json::Error| CoreError::Invalid {
            parameter: "data".into(),
            problem: error.to_string(),
        };
        let mut data: serde_json::Map<String, serde_json::Value> =
            serde_json::from_str(event.data.get()).map_err(bad)?;
        let about = serde_json::json!({ "module": source, "enriches": event.enriches, "tags": event.tags });
        data.insert("honeybee".to_owned(), about);
        serde_json::value::to_raw_value(&data).map_err(bad)
    }

    // ---- Alerts and artifacts ----------------------------------------------------------------------------

    /// Raises an alert in the name of `source`.
    pub fn raise_alert(&self, source: &str, alert: RaiseAlert) -> Alert {
        let alert = Alert {
            id: uuid::Uuid::now_v7().to_string(),
            time: self.now(),
            title: text::cut(&alert.title, 256).to_owned(),
            severity: alert.severity,
            message: alert.message.map(|message| text::cut(&message, 4_096).to_owned()),
            events: alert.events,
            source: source.to_owned(),
        };
        self.inner.fleet.raise(alert.clone());
        alert
    }

    /// Alerts since Core started, newest first.
    pub fn alerts(&self) -> Vec<Alert> {
        self.inner.fleet.alerts()
    }

    /// The newest captured files.
    pub async fn artifacts(&self) -> Result<Vec<Artifact>, CoreError> {
        let vault = self.inner.vault.clone();
        let listed =
            tokio::task::spawn_blocking(move || vault.list()).await.map_err(|_| CoreError::Closed)?;
        Ok(listed?)
    }

    /// A captured file and where its bytes lie. They are hostile: never served as they are.
    pub fn artifact(&self, id: ArtifactId) -> Result<Option<(Artifact, std::path::PathBuf)>, CoreError> {
        Ok(self.inner.vault.get(id)?)
    }

    // ---- Time --------------------------------------------------------------------------------------------

    /// Looks for silent nodes and late commands. Core does it every second; a test with its own clock calls it.
    pub async fn sweep(&self) {
        self.inner.hub.open.sweep(self.inner.clock.mono_ms());
        self.inner.fleet.sweep_commands().await;
    }
}

impl Inner {
    /// The addresses for a join code: the node port, where others can reach it.
    fn join_addresses(&self) -> Vec<String> {
        let address = self.addresses.nodes;
        let port = address.port();
        if !address.ip().is_unspecified() {
            return vec![address.to_string()];
        }
        // On all addresses: the names that the operator gave the certificate, best first.
        let named = self.config.tls_names.iter().take(bee_wire::limits::JOIN_ADDRESSES_MAX - 1);
        let bracketed = |name: &String| {
            if name.parse::<std::net::Ipv6Addr>().is_ok() {
                format!("[{name}]:{port}")
            } else {
                format!("{name}:{port}")
            }
        };
        named.map(bracketed).chain(std::iter::once(format!("127.0.0.1:{port}"))).collect()
    }

    fn marks_forget(&self, node_id: NodeId) {
        self.hub.marks.lock().forget(node_id);
    }
}

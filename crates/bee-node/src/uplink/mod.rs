//! Drives the link to Core: carries out what [`NodeLink`] decides, and feeds it what happens.
//!
//! One task. It owns the connection, reads batches from the spool, saves what Core gives, hands commands to the
//! [`Commander`], and reports pots and health. It decides nothing about the protocol: that is `bee_link`'s.

mod artifacts;
mod batch;
mod command_file;
pub(crate) mod transport;

use std::{
    sync::Arc,
    time::{Duration, Instant, SystemTime, UNIX_EPOCH},
};

use anyhow::Context as _;
use bee_daemon::{escape::untrusted, health::Sampler};
use bee_link::{
    Now,
    backoff::BackoffConfig,
    node::{BatchRequest, CommandOutcome, Credentials, Identity, Input, LinkConfig, NodeLink, Output, Save},
    totp::TotpKey,
};
use bee_log::Reader;
use bee_wire::{
    CommandId, NodeId, NodeMessage, encode_node,
    limits::{BATCH_BYTES_MAX, BATCH_EVENTS_MAX},
    node::{Health, NodeEvent, NodeEventKind, PotStatus, PotStatusUpdate, feature},
};
use serde_json::json;
use tokio::{
    sync::{mpsc, watch},
    task::JoinHandle,
};
use tokio_util::sync::CancellationToken;
use tracing::{debug, info, warn};

use self::{
    artifacts::Uploader,
    command_file::CommandFile,
    transport::{Dial, Dialled, Incoming, Transport},
};
use crate::{
    commands::{Commander, Done},
    config::{Config, enrollment_token, hostname},
    limits::COMMANDS_QUEUED_MAX,
    node::Exit,
    pots::{PotBoard, PotView},
    spool::{Spool, SpoolStatus, Stream},
    state::State,
};

/// How often health is measured and the spool looked at for drops.
const HEALTH_EVERY: Duration = Duration::from_secs(5);
/// An answer to a Core without `CommandResult` is cut to this.
const PLAIN_ANSWER_BYTES_MAX: usize = 8 * 1024;

/// What the uplink tells others about itself.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub struct LinkState {
    /// Registered on a living connection.
    pub registered: bool,
    /// The number that Core knows this node by.
    pub node_id: NodeId,
}

/// The parts an uplink works with.
#[derive(Debug)]
pub struct UplinkParts {
    /// The node's config.
    pub config: Arc<Config>,
    /// Who the node is.
    pub state: State,
    /// Where events are.
    pub spool: Spool,
    /// Under which numbers Core knows them.
    pub stream: Stream,
    /// What there is to say about pots.
    pub board: PotBoard,
    /// Who carries out commands.
    pub commander: Commander,
}

/// The uplink; [`Uplink::run`] is its task.
#[derive(Debug)]
pub struct Uplink {
    config: Arc<Config>,
    state: State,
    spool: Spool,
    stream: Stream,
    board: PotBoard,
    commander: Commander,
    link: NodeLink,
    commands: CommandFile,
    uploader: Uploader,
    sampler: Sampler,
    started: Instant,
    /// Which of Core's addresses is tried next.
    server: usize,
    transport: Option<Transport>,
    dialling: Option<JoinHandle<Result<Dialled, String>>>,
    reader: Option<Reader>,
    features: Vec<String>,
    /// Pot states up to this revision were sent on this connection.
    told_pots: u64,
    told_status: SpoolStatus,
    next_health: Instant,
    finished: (mpsc::Sender<Finished>, mpsc::Receiver<Finished>),
    published: watch::Sender<LinkState>,
    exit: watch::Sender<Option<Exit>>,
}

#[derive(Debug)]
struct Finished {
    command_id: Option<CommandId>,
    done: Done,
}

/// What the loop woke up for.
enum Woken {
    Incoming(Incoming),
    Dialled(Result<Dialled, String>),
    Finished(Finished),
    Spool,
    Pots,
    Health,
    Artifacts,
    Deadline,
    Leave,
}

impl Uplink {
    /// Prepares the link with what is on disk; nothing is sent yet. Blocking.
    ///
    /// # Errors
    /// A secret or the record of commands cannot be read.
    pub fn new(parts: UplinkParts) -> anyhow::Result<Self> {
        let UplinkParts { config, state, spool, stream, board, commander } = parts;
        let commands = CommandFile::load(&state.dir().join("commands.json"))?;
        let link = NodeLink::new(
            identity(&config, &state),
            credentials(&config, &state)?,
            link_config(&config),
            commands.memories(),
        );
        let node_id = link.node_id();
        Ok(Self {
            uploader: Uploader::new(&config.pots.base_dir),
            told_status: spool.status(),
            config,
            state,
            spool,
            stream,
            board,
            commander,
            link,
            commands,
            sampler: Sampler::new(),
            started: Instant::now(),
            server: 0,
            transport: None,
            dialling: None,
            reader: None,
            features: Vec::new(),
            told_pots: 0,
            next_health: Instant::now(),
            finished: mpsc::channel(COMMANDS_QUEUED_MAX),
            published: watch::channel(LinkState { registered: false, node_id }).0,
            exit: watch::channel(None).0,
        })
    }

    /// Tells whether the node is registered.
    pub fn watch(&self) -> watch::Receiver<LinkState> {
        self.published.subscribe()
    }

    /// Tells when a command asked the node to go down.
    pub fn exits(&self) -> watch::Receiver<Option<Exit>> {
        self.exit.subscribe()
    }

    /// Keeps the link until `leave`; then says goodbye and ends.
    pub async fn run(mut self, leave: CancellationToken) {
        let mut advanced = self.spool.watch();
        let mut pots = self.board.watch();
        self.measure();
        self.tell_spool();
        self.feed(Input::Start);
        let mut left = false;
        loop {
            if self.carry_out().await {
                return;
            }
            self.publish();
            let woken = self.wait(&mut advanced, &mut pots, &leave, left).await;
            match woken {
                Woken::Incoming(Incoming::Message(message)) => self.feed(Input::Message(message)),
                Woken::Incoming(Incoming::Garbage(why)) => {
                    warn!(why = %untrusted(&why), "Core sent something that is no message");
                    self.feed(Input::Garbage);
                }
                Woken::Incoming(Incoming::Closed(why)) => self.lost(&why),
                Woken::Dialled(outcome) => self.dialled(outcome).await,
                Woken::Finished(finished) => self.command_finished(finished).await,
                Woken::Spool => self.tell_spool(),
                Woken::Pots => self.tell_pots(),
                Woken::Health => {
                    self.measure();
                    self.tell_drops();
                }
                Woken::Artifacts => self.send_artifact().await,
                Woken::Deadline => self.feed(Input::Tick),
                Woken::Leave => {
                    left = true;
                    self.feed(Input::Leave);
                }
            }
        }
    }

    async fn wait(
        &mut self,
        advanced: &mut watch::Receiver<u64>,
        pots: &mut watch::Receiver<u64>,
        leave: &CancellationToken,
        left: bool,
    ) -> Woken {
        let deadline = self.link.next_deadline().map(|at| self.started + Duration::from_millis(at));
        let artifacts = self.sends_artifacts().then(|| self.uploader.due(Instant::now()));
        let registered = self.link.is_registered();
        let (transport, dialling) = (&mut self.transport, &mut self.dialling);
        tokio::select! {
            // Core first: acknowledgements open the window. Artifacts last: they can wait for events.
            biased;
            () = leave.cancelled(), if !left => Woken::Leave,
            incoming = async { match transport { Some(transport) => transport.next().await, None => std::future::pending().await } } => Woken::Incoming(incoming),
            outcome = async { match dialling { Some(task) => task.await, None => std::future::pending().await } } => {
                self.dialling = None;
                Woken::Dialled(outcome.unwrap_or_else(|error| Err(format!("the attempt was lost: {error}"))))
            }
            Some(finished) = self.finished.1.recv() => Woken::Finished(finished),
            Ok(()) = advanced.changed() => Woken::Spool,
            Ok(()) = pots.changed(), if registered => Woken::Pots,
            () = sleep_until(deadline) => Woken::Deadline,
            () = sleep_until(Some(self.next_health)) => Woken::Health,
            () = sleep_until(artifacts) => Woken::Artifacts,
        }
    }

    /// Carries out everything the link wants; `true` once the node has left.
    async fn carry_out(&mut self) -> bool {
        while let Some(output) = self.link.poll_output() {
            match output {
                Output::Connect => self.dial(),
                Output::Send(message) => self.write(&encode_node(&message)).await,
                Output::SendBatch(request) => self.send_batch(request).await,
                Output::TruncateSpool { below, .. } => self.spool.acknowledged(below + self.stream.base),
                Output::RenewStream { core_next_seq, .. } => self.renew_stream(core_next_seq),
                Output::Save(save) => self.save(save).await,
                Output::Run { command_id, command, .. } => {
                    info!(command = command.name(), command_id = ?command_id.map(|id| id.to_string()), "command from Core");
                    let (commander, sender) = (self.commander.clone(), self.finished.0.clone());
                    tokio::spawn(async move {
                        let done = commander.execute(command).await;
                        // Nobody listens any more only when the node is down already.
                        let _ = sender.send(Finished { command_id, done }).await;
                    });
                }
                Output::Abandon { command_id } => {
                    warn!(%command_id, "a command took longer than its deadline; its result will not count");
                }
                Output::Registered { node_id, features } => self.registered(node_id, features),
                Output::Refused { code, message } => {
                    let code = code.map_or("REGISTRATION_FAILED", |code| code.as_str());
                    warn!(code, message = %untrusted(&message), "Core refused this node; trying again");
                }
                Output::CoreError { code, message } => {
                    warn!(%code, message = %untrusted(&message), "Core reports an error");
                }
                Output::ArtifactStored { artifact, size } => self.uploader.stored(artifact, size),
                Output::Close { reason } => {
                    debug!(reason, "closing the link");
                    self.hang_up().await;
                }
                Output::Left => return true,
            }
        }
        false
    }

    fn dial(&mut self) {
        let address = self
            .config
            .servers
            .get(self.server % self.config.servers.len().max(1))
            .cloned()
            .unwrap_or_default();
        self.server = self.server.wrapping_add(1);
        match Dial::plan(&self.config, &self.state, &address, unix_ms().div_euclid(1000)) {
            Ok(dial) => {
                debug!(address, tls = dial.is_tls(), "connecting to Core");
                self.dialling = Some(tokio::spawn(async move {
                    dial.connect().await.map_err(|error| {
                        let cause = std::error::Error::source(&error)
                            .map(|cause| format!(": {cause}"))
                            .unwrap_or_default();
                        format!("{address}: {error}{cause}")
                    })
                }));
            }
            Err(why) => self.dialling = Some(tokio::spawn(async move { Err(why) })),
        }
    }

    async fn dialled(&mut self, outcome: Result<Dialled, String>) {
        match outcome {
            Ok((stream, ca)) => {
                if let Some(pem) = ca
                    && let Err(error) = self.state.save_ca(&pem)
                {
                    warn!(error = &error as &dyn std::error::Error, "cannot keep Core's CA certificate");
                }
                self.renew_certificate().await;
                self.transport = Some(Transport::new(stream, self.config.write_timeout));
                // The address that worked is tried first the next time.
                self.server = self.server.wrapping_sub(1);
                self.feed(Input::Connected);
            }
            Err(why) => {
                warn!(why, "cannot reach Core; trying again");
                self.feed(Input::ConnectFailed);
            }
        }
    }

    async fn renew_certificate(&mut self) {
        let now = unix_ms().div_euclid(1000);
        if self.state.certificate_info().is_some_and(|info| info.is_due(now)) {
            match self.state.csr(&self.config.name) {
                Ok(csr) => self.feed(Input::Renew { csr }),
                Err(error) => warn!(%error, "cannot ask for a new certificate"),
            }
        }
        tokio::task::yield_now().await;
    }

    fn registered(&mut self, node_id: NodeId, features: Vec<String>) {
        info!(%node_id, ?features, core = %self.config.servers.join(","), "registered with Core");
        self.features = features;
        self.told_pots = 0;
        self.uploader.reset();
        self.tell_pots();
    }

    fn lost(&mut self, why: &str) {
        if self.transport.take().is_some() {
            warn!(why = %untrusted(why), "the link to Core is down");
            self.feed(Input::Closed);
        }
    }

    async fn hang_up(&mut self) {
        if let Some(task) = self.dialling.take() {
            task.abort();
        }
        if let Some(transport) = self.transport.take() {
            transport.close().await;
        }
    }

    async fn write(&mut self, bytes: &[u8]) {
        // After a failed write the rest of what the link wanted to say goes nowhere, as it would have on the wire.
        let Some(transport) = &mut self.transport else { return };
        if let Err(why) = transport.write(bytes).await {
            self.lost(&why);
        }
    }

    async fn send_batch(&mut self, request: BatchRequest) {
        if self.transport.is_none() {
            return;
        }
        let mut reader = self
            .reader
            .take()
            .unwrap_or_else(|| self.spool.handle().reader(request.first_seq + self.stream.base));
        let (stream, node_id, first_seq) = (self.stream.clone(), self.link.node_id(), request.first_seq);
        let read = tokio::task::spawn_blocking(move || {
            let batch = batch::read(&mut reader, &stream, node_id, &request);
            (reader, batch)
        })
        .await;
        let (next_seq, bytes) = match read {
            Ok((reader, Ok(batch))) => {
                self.reader = Some(reader);
                let bytes = batch.bytes.len() as u64;
                if !batch.bytes.is_empty() {
                    self.write(&batch.bytes).await;
                }
                (batch.next_seq, bytes)
            }
            Ok((_, Err(error))) => {
                warn!(error = &error as &dyn std::error::Error, "cannot read the spool");
                (first_seq, 0)
            }
            Err(error) => {
                warn!(%error, "reading the spool was lost");
                (first_seq, 0)
            }
        };
        if self.transport.is_some() {
            self.feed(Input::BatchSent { next_seq, bytes });
        }
    }

    fn renew_stream(&mut self, core_next_seq: u64) {
        warn!(stream = %self.stream.id, core_next_seq, "Core knows more of this spool than the spool itself; beginning a new stream");
        match self.spool.renew_stream() {
            Ok(stream) => {
                self.stream = stream;
                self.reader = None;
                self.tell_spool();
            }
            Err(error) => warn!(error = %format!("{error:#}"), "cannot begin a new stream"),
        }
    }

    async fn save(&mut self, save: Save) {
        let saved: anyhow::Result<()> = match save {
            Save::Credentials { node_id, totp_key, certificate } => {
                self.save_credentials(node_id, totp_key, certificate)
            }
            Save::Command(memory) => self.commands.keep(memory).map_err(Into::into),
            Save::CommandForgotten(id) => self.commands.forget(id).map_err(Into::into),
        };
        if let Err(error) = saved {
            // Going on is right: Core repeats what it gave, and a repeated command is known in memory.
            warn!(error = %format!("{error:#}"), "cannot save what Core gave");
        }
        tokio::task::yield_now().await;
    }

    fn save_credentials(
        &mut self,
        node_id: NodeId,
        totp_key: Option<TotpKey>,
        certificate: Option<String>,
    ) -> anyhow::Result<()> {
        if let Some(key) = totp_key.filter(|_| self.config.totp_enabled) {
            self.state.save_totp_key(&bee_wire::Secret::new(key.to_base32().as_str()))?;
        }
        if let Some(pem) = certificate {
            self.state.save_certificate(&pem)?;
        }
        let (name, servers) = (self.config.name.clone(), self.config.servers.clone());
        self.state.change_identity(|identity| {
            identity.node_id = node_id;
            identity.name = Some(name);
            identity.servers = servers;
        })
    }

    async fn command_finished(&mut self, finished: Finished) {
        let Finished { command_id, done: Done { outcome, announce, exit } } = finished;
        if !outcome.ok {
            warn!(code = ?outcome.code, message = outcome.message.as_deref().unwrap_or_default(), "a command failed");
        }
        let answers =
            command_id.is_some() && self.features.iter().any(|name| name == feature::COMMAND_RESULT);
        if !answers {
            for pot_id in announce {
                self.answer_plainly(&pot_id, &outcome);
            }
        }
        self.feed(Input::CommandFinished { command_id, outcome });
        if exit.is_some() {
            // The result leaves before the node does.
            self.carry_out().await;
            self.exit.send_replace(exit);
        }
    }

    /// A Core that knows no `CommandResult` is told by the pot's state.
    fn answer_plainly(&mut self, pot_id: &str, outcome: &CommandOutcome) {
        let mut text = match (&outcome.code, &outcome.message) {
            (Some(code), message) => code.with_text(message.as_deref().unwrap_or_default()),
            (None, _) => outcome.data.as_ref().map(ToString::to_string).unwrap_or_default(),
        };
        text.truncate(text.floor_char_boundary(PLAIN_ANSWER_BYTES_MAX));
        let known = self.board.get(pot_id);
        let status = match &known {
            Some(view) if outcome.ok => view.status,
            Some(view) if view.status == PotStatus::Running => view.status,
            _ if outcome.ok => PotStatus::Stopped,
            _ => PotStatus::Failed,
        };
        let update = PotStatusUpdate {
            node_id: self.link.node_id(),
            pot_id: pot_id.to_owned(),
            pot_type: known.map_or_else(|| "unknown".to_owned(), |view| view.pot_type),
            status,
            message: Some(text),
            detail: None,
        };
        self.feed(Input::Send(NodeMessage::PotStatusUpdate(update)));
    }

    fn tell_spool(&mut self) {
        let (first, next) = (self.spool.handle().first_seq(), self.spool.handle().next_seq());
        let base = self.stream.base;
        self.feed(Input::SpoolAdvanced {
            stream: self.stream.id.clone(),
            first_seq: first.max(self.spool.acked()).min(next).saturating_sub(base),
            next_seq: next.saturating_sub(base),
        });
    }

    fn tell_pots(&mut self) {
        if !self.link.is_registered() {
            return;
        }
        let (changed, revision) = self.board.changed_since(self.told_pots);
        self.told_pots = revision;
        for view in changed {
            let update = self.pot_update(view);
            self.feed(Input::Send(NodeMessage::PotStatusUpdate(update)));
        }
    }

    fn pot_update(&self, view: PotView) -> PotStatusUpdate {
        // A plain Core gets the plain message.
        let detail = (!self.features.is_empty()).then(|| {
            let counters = self.board.counters(&view.pot_id);
            json!({
                "listening": view.listening,
                "pid": view.pid,
                "restarts": view.restarts,
                "events": counters.events,
                "malformed": counters.malformed,
                "removed": view.removed,
            })
        });
        PotStatusUpdate {
            node_id: self.link.node_id(),
            pot_id: view.pot_id,
            pot_type: view.pot_type,
            status: view.status,
            message: Some(view.message).filter(|message| !message.is_empty()),
            detail,
        }
    }

    fn measure(&mut self) {
        self.next_health = Instant::now() + HEALTH_EVERY;
        let sample = self.sampler.sample(self.state.dir());
        let spool = self.spool.status();
        self.feed(Input::Health(Health {
            cpu_percent: f64::from(sample.cpu_percent),
            rss_bytes: sample.rss_bytes.unwrap_or_default(),
            disk_free_bytes: sample.disk_free_bytes.unwrap_or_default(),
            load1: sample.load1.map(f64::from).unwrap_or_default(),
            spool_events: spool.events,
            spool_bytes: spool.bytes,
            uptime_s: sample.uptime_s,
            clock_ms: unix_ms(),
        }));
    }

    /// Events that were given up are an alarm; a full disk is an error. Both are told once per change.
    fn tell_drops(&mut self) {
        let status = self.spool.status();
        if !self.link.is_registered() {
            return;
        }
        let told = std::mem::replace(&mut self.told_status, status);
        if status.dropped > told.dropped {
            let text = format!(
                "{} events were dropped, oldest first, because the spool was full ({} since it was made)",
                status.dropped - told.dropped,
                status.dropped
            );
            let alarm = NodeEvent { description: Some(text), ..NodeEvent::new(NodeEventKind::Alarm) };
            self.feed(Input::Send(NodeMessage::NodeEvent(alarm)));
            // The link learns about the hole before it asks for events in it.
            self.tell_spool();
        }
        if status.disk_full && !told.disk_full {
            let text =
                "the disk is full: pots wait, and events are dropped, oldest first, if this lasts".to_owned();
            let error = NodeEvent { message: Some(text), ..NodeEvent::new(NodeEventKind::Error) };
            self.feed(Input::Send(NodeMessage::NodeEvent(error)));
        }
    }

    fn sends_artifacts(&self) -> bool {
        self.link.is_registered() && self.features.iter().any(|name| name == feature::ARTIFACTS)
    }

    async fn send_artifact(&mut self) {
        if let Some(message) = self.uploader.next(self.link.node_id(), Instant::now()) {
            self.feed(Input::Send(message));
        }
        tokio::task::yield_now().await;
    }

    fn feed(&mut self, input: Input) {
        let now = Now::new(u64::try_from(self.started.elapsed().as_millis()).unwrap_or(u64::MAX), unix_ms());
        self.link.handle(now, &mut rand::rng(), input);
    }

    fn publish(&self) {
        let state = LinkState { registered: self.link.is_registered(), node_id: self.link.node_id() };
        self.published.send_if_modified(|known| std::mem::replace(known, state) != state);
    }
}

fn identity(config: &Config, state: &State) -> Identity {
    Identity {
        node_id: state.identity().node_id,
        node_name: config.name.clone(),
        address: config.address.clone(),
        port: config.port,
        node_type: config.node_type,
        software: Some(crate::SOFTWARE.to_owned()),
        os: Some(std::env::consts::OS.to_owned()),
        arch: Some(std::env::consts::ARCH.to_owned()),
        hostname: Some(hostname()),
        boot_id: Some(uuid::Uuid::new_v4().to_string()),
    }
}

fn credentials(config: &Config, state: &State) -> anyhow::Result<Credentials> {
    let key = if config.totp_enabled { state.totp_key()? } else { None };
    let totp_key = key.map(|key| TotpKey::from_base32(key.expose())).transpose().with_context(|| {
        format!("the TOTP secret in {} is damaged; join again", config.totp_secret_dir.display())
    })?;
    let has_certificate =
        config.tls.client_files.is_some() || state.client_identity(unix_ms().div_euclid(1000)).is_some();
    let csr = if has_certificate { None } else { Some(state.csr(&config.name)?) };
    let enrollment_token = config.join_code.as_ref().filter(|_| totp_key.is_none()).map(enrollment_token);
    Ok(Credentials { totp_key, has_certificate, enrollment_token, csr })
}

fn link_config(config: &Config) -> LinkConfig {
    let ms = |duration: Duration| u64::try_from(duration.as_millis()).unwrap_or(u64::MAX);
    let default = LinkConfig::default();
    LinkConfig {
        features: config.features.clone(),
        heartbeat_interval_ms: ms(config.heartbeat_interval),
        // Connecting and the handshake have this long each, and end by themselves.
        connect_timeout_ms: ms(config.connection_timeout).saturating_mul(2).saturating_add(1_000),
        backoff: BackoffConfig {
            base_ms: ms(config.reconnect_delay),
            cap_ms: ms(config.reconnect_delay_max),
        },
        batch_events_max: default.batch_events_max.min(BATCH_EVENTS_MAX as u64),
        batch_bytes_max: default.batch_bytes_max.min(BATCH_BYTES_MAX as u64),
        ..default
    }
}

async fn sleep_until(at: Option<Instant>) {
    match at {
        Some(at) => tokio::time::sleep_until(at.into()).await,
        None => std::future::pending().await,
    }
}

fn unix_ms() -> i64 {
    match SystemTime::now().duration_since(UNIX_EPOCH) {
        Ok(since) => i64::try_from(since.as_millis()).unwrap_or(i64::MAX),
        Err(_) => 0,
    }
}

//! Starting and stopping: what depends on what, in one place.
//!
//! Start: data directory, state, CA and certificates, log and marks, feed, writer, fleet, listeners. Stop: no new
//! connections, connections end, the writer stores what was read and saves its positions, the state closes.
//! [`Core::start`] builds and spawns; every task is tracked by the `Shutdown` it was given, and the threads end
//! in [`Core::stopped`].

use std::path::Path;
use std::sync::Arc;

use bee_daemon::clock::{SharedClock, SystemClock};
use bee_daemon::listen::{self, Exposure};
use bee_daemon::secret_file;
use bee_daemon::shutdown::Shutdown;
use bee_daemon::tls::CertificateAuthority;
use bee_daemon::tls::server::{ClientCertificates, Mode, ServerTls};
use bee_link::core::Policy;
use bee_wire::Micros;
use bee_wire::api::{ApiTokenRequest, Scope};
use tokio::net::TcpListener;
use tracing::{info, warn};

use crate::config::{self, Config, EnrollmentMode, TlsMode};
use crate::counters::Counters;
use crate::events::{Events, NodeNames, Recent, Views};
use crate::fleet::Fleet;
use crate::geo::Geo;
use crate::handle::{Addresses, CoreHandle, Inner};
use crate::ingest::{self, SharedMarks, StoredBatch, Writer, WriterParts};
use crate::ledger::Ledger;
use crate::limits;
use crate::live::Live;
use crate::nodes::{self, Hub};
use crate::seal::Sealer;
use crate::state::{Kv, RedbKv, State};
use crate::text;
use crate::tokens::Tokens;
use crate::vault::Vault;

/// How often the address databases are looked at for a change.
const GEO_RELOAD: std::time::Duration = std::time::Duration::from_secs(60);

/// A Core that runs.
pub struct Core {
    handle: CoreHandle,
    api_listener: Option<TcpListener>,
    ws_listener: Option<TcpListener>,
    threads: Vec<std::thread::JoinHandle<()>>,
}

/// Core could not be started. The text says what was being done; the cause stands below it.
#[derive(Debug, thiserror::Error)]
#[error("cannot {doing}")]
pub struct StartError {
    doing: &'static str,
    #[source]
    cause: Box<dyn std::error::Error + Send + Sync>,
}

fn failed<E: Into<Box<dyn std::error::Error + Send + Sync>>>(
    doing: &'static str,
) -> impl FnOnce(E) -> StartError {
    move |cause| StartError { doing, cause: cause.into() }
}

impl Core {
    /// Starts everything but the API, whose listeners are bound and wait in [`Core::take_listeners`].
    pub async fn start(config: Config, shutdown: Shutdown) -> Result<Self, StartError> {
        Self::start_with_clock(config, shutdown, SystemClock::shared()).await
    }

    /// The same with a clock of the caller's, which codes, deadlines and silence then go by; see
    /// [`CoreHandle::sweep`].
    pub async fn start_with_clock(
        config: Config,
        shutdown: Shutdown,
        clock: SharedClock,
    ) -> Result<Self, StartError> {
        let built = {
            let (config, clock, stop) = (config.clone(), Arc::clone(&clock), shutdown.token());
            tokio::task::spawn_blocking(move || Built::new(config, &clock, stop))
                .await
                .map_err(failed("start"))??
        };
        let Built {
            state,
            fleet,
            ledger,
            ingest,
            events,
            live,
            vault,
            tokens,
            marks,
            ca,
            counters,
            geo,
            mut threads,
            identity,
        } = built;

        // An operator who typed the address has allowed it; without a word Core stays on loopback.
        let bind = |what, address| listen::bind(what, address, Exposure::Anywhere, "server.host");
        let node_listener = bind("the node port", config.node_addr).map_err(failed("listen for nodes"))?;
        let api_listener = bind("the API port", config.api_addr).map_err(failed("listen for API clients"))?;
        let ws_listener = config
            .ws_addr
            .map(|address| bind("the WebSocket port", address))
            .transpose()
            .map_err(failed("listen for WebSocket modules"))?;
        let local = |listener: &TcpListener| listener.local_addr().map_err(failed("ask for a port's number"));
        let addresses = Addresses {
            nodes: local(&node_listener)?,
            api: local(&api_listener)?,
            ws: ws_listener.as_ref().map(local).transpose()?,
        };

        let tls = |clients, mode| -> Result<Option<ServerTls>, StartError> {
            if mode == TlsMode::Off {
                return Ok(None);
            }
            ServerTls::new(identity.clone(), clients, ca.certificate())
                .map(Some)
                .map_err(failed("set up TLS"))
        };
        let hub = Arc::new(Hub {
            fleet: Arc::clone(&fleet),
            ingest: ingest.clone(),
            marks,
            vault: vault.clone(),
            counters: Arc::clone(&counters),
            ca: Arc::clone(&ca),
            session: Hub::session_config(config.heartbeat),
            mode: mode(config.tls),
            tls: tls(ClientCertificates::Optional, config.tls)?,
            max_frame_bytes: config.max_frame_bytes,
            connections_max: config.connections_max,
            per_source_max: config.connections_per_source_max,
            unregistered_max: config.unregistered_max,
            open: nodes::Open::default(),
            stop: shutdown.token(),
        });
        let api_tls = tls(ClientCertificates::None, config.api_tls)?;
        let handle = CoreHandle {
            inner: Arc::new(Inner {
                started: Micros::from_unix_us(clock.wall_micros()),
                addresses,
                ca,
                api_tls,
                counters,
                fleet,
                ledger,
                ingest,
                events,
                live,
                vault,
                tokens,
                hub: Arc::clone(&hub),
                stop: shutdown.token(),
                clock: Arc::clone(&clock),
                config,
            }),
        };
        write_operator_file(&handle).await?;
        shutdown.spawn(nodes::listen(node_listener, hub, shutdown.clone()));
        shutdown.spawn(sweep(handle.clone()));
        shutdown.spawn(reload_geo(geo, shutdown.token()));
        info!(nodes = %addresses.nodes, api = %addresses.api, "Core is ready");
        threads.reverse();
        drop(state);
        Ok(Self { handle, api_listener: Some(api_listener), ws_listener, threads })
    }

    /// The handle for everything that asks things of Core.
    pub fn handle(&self) -> CoreHandle {
        self.handle.clone()
    }

    /// The bound listeners of the API: the TCP port, and the WebSocket port if there is one. Once.
    pub fn take_listeners(&mut self) -> Option<(TcpListener, Option<TcpListener>)> {
        self.api_listener.take().map(|api| (api, self.ws_listener.take()))
    }

    /// Waits for the threads after `Shutdown::finish`: what was read is stored and positions are saved. All
    /// handles must be gone, or this waits for them.
    pub async fn stopped(self) {
        let Self { handle, threads, .. } = self;
        drop(handle);
        let joined = tokio::task::spawn_blocking(move || {
            for thread in threads {
                if thread.join().is_err() {
                    warn!("a thread of Core has panicked");
                }
            }
        });
        if tokio::time::timeout(limits::SHUTDOWN_GRACE, joined).await.is_err() {
            warn!("Core's threads did not end in time; what was acknowledged is on disk");
        }
    }
}

/// The parts that need the disk, built on a blocking thread.
struct Built {
    state: State,
    fleet: Arc<Fleet>,
    ledger: Arc<Ledger>,
    ingest: ingest::Ingest,
    events: Events,
    live: Live,
    vault: Vault,
    tokens: Tokens,
    marks: SharedMarks,
    ca: Arc<CertificateAuthority>,
    counters: Arc<Counters>,
    geo: Arc<Geo>,
    threads: Vec<std::thread::JoinHandle<()>>,
    identity: bee_daemon::tls::ServerIdentity,
}

impl Built {
    fn new(
        config: Config,
        clock: &SharedClock,
        stop: tokio_util::sync::CancellationToken,
    ) -> Result<Self, StartError> {
        let dir = config.core_dir();
        secret_file::create_private_dir(&dir).map_err(failed("make the data directory"))?;
        let seconds = clock.wall_seconds();
        let ca = CertificateAuthority::load_or_create(&dir, seconds).map_err(failed("load Core's CA"))?;
        let (identity, issued) = ca
            .load_or_issue_server(&dir, &server_names(&config), seconds)
            .map_err(failed("load Core's certificate"))?;
        if issued != bee_daemon::tls::ca::Issued::Kept {
            info!(?issued, "made a new server certificate");
        }
        let sealer = Sealer::load_or_create(&dir.join("state.key")).map_err(failed("load the state key"))?;
        let kv: Arc<dyn Kv> =
            Arc::new(RedbKv::open(&dir.join("state.redb")).map_err(failed("open Core's state"))?);
        let (state, state_thread) =
            State::start(Arc::clone(&kv)).map_err(failed("start the state thread"))?;

        let counters = Arc::new(Counters::default());
        let (log, log_handle) = open_log(&config, &dir.join("log"), &counters)?;
        let ledger = Arc::new(Ledger::default());
        let (marks, replayed) =
            ingest::replay(&state, &log_handle, &ledger).map_err(failed("rebuild the stream positions"))?;
        if replayed.damaged > 0 {
            counters.log_records_damaged.add(replayed.damaged);
            warn!(events = replayed.damaged, "a part of the event log cannot be read; it is skipped");
        }
        let marks = SharedMarks::new(marks);

        let geo = Arc::new(Geo::new(config.geoip_country.clone(), config.geoip_asn.clone()));
        for error in geo.reload() {
            warn!(error = text::chain(&error), "events get no country or network from this file");
        }
        let names = Arc::new(NodeNames::default());
        let views = Arc::new(Views::new(Arc::clone(&geo), Arc::clone(&names)));
        let recent = Arc::new(Recent::default());
        let next = log_handle.next_seq();
        let events = Events::new(log_handle, Arc::clone(&recent), views, Arc::clone(&counters));
        let (live, live_thread) = Live::start(events.clone(), Arc::clone(&counters), next, stop.clone())
            .map_err(failed("start the feed"))?;

        let publish = {
            let live = live.clone();
            Box::new(move |batch: Arc<StoredBatch>| live.publish(batch))
        };
        let (ingest, writer) = Writer::new(WriterParts {
            log,
            marks: marks.clone(),
            kv,
            ledger: Arc::clone(&ledger),
            counters: Arc::clone(&counters),
            recent,
            publish,
            shutdown: stop,
        });
        let writer_thread = std::thread::Builder::new()
            .name("bee-ingest".into())
            .spawn(move || writer.run())
            .map_err(failed("start the ingest thread"))?;

        let vault = Vault::open(
            config.data_dir.join("core").join("vault"),
            state.clone(),
            Arc::clone(&counters),
            config.artifact_bytes_max,
            config.vault_bytes_max,
        )
        .map_err(failed("open the vault"))?;
        let tokens = Tokens::load(state.clone()).map_err(failed("read the API tokens"))?;
        let policy = Policy {
            enrollment: match config.enrollment {
                EnrollmentMode::Token => bee_link::core::EnrollmentMode::Token,
                EnrollmentMode::Approve => bee_link::core::EnrollmentMode::Approve,
                EnrollmentMode::Open => bee_link::core::EnrollmentMode::Open,
            },
            ..Policy::default()
        };
        let fleet = Fleet::load(
            policy,
            state.clone(),
            sealer,
            Arc::clone(clock),
            names,
            Arc::clone(&ledger),
            Arc::clone(&counters),
        )
        .map_err(failed("read the nodes"))?;
        Ok(Self {
            state,
            fleet: Arc::new(fleet),
            ledger,
            ingest,
            events,
            live,
            vault,
            tokens,
            marks,
            ca: Arc::new(ca),
            counters,
            geo,
            threads: vec![state_thread, live_thread, writer_thread],
            identity,
        })
    }
}

fn open_log(
    config: &Config,
    dir: &Path,
    counters: &Counters,
) -> Result<(bee_log::Writer, bee_log::Handle), StartError> {
    let record_bytes_max = config.record_bytes_max();
    let segment = usize::try_from(config.log_segment_bytes).unwrap_or(usize::MAX);
    let options = bee_log::Options {
        start_seq: 1,
        record_bytes_max,
        group_bytes_max: record_bytes_max
            .saturating_add(limits::GROUP_BYTES_MAX)
            .min(segment.saturating_sub(config::SEGMENT_OVERHEAD_BYTES)),
        segment_bytes_max: config.log_segment_bytes,
        bytes_max: Some(config.log_bytes_max),
        scan: bee_log::Scan::Tail,
    };
    let (writer, handle, recovery) =
        bee_log::Log::open(dir, options).map_err(failed("open the event log"))?;
    if recovery.damaged_seqs > 0 {
        counters.log_records_damaged.add(recovery.damaged_seqs);
        warn!(events = recovery.damaged_seqs, "a part of the event log is damaged; the rest is readable");
    }
    if recovery.torn_bytes > 0 {
        info!(bytes = recovery.torn_bytes, "cut off a last group that was never acknowledged");
    }
    Ok((writer, handle))
}

/// What the server certificate is made for: loopback, the configured address, and the operator's names.
fn server_names(config: &Config) -> Vec<String> {
    let mut names = vec!["localhost".to_owned(), "127.0.0.1".to_owned(), "::1".to_owned()];
    let host = config.node_addr.ip();
    if !host.is_unspecified() {
        names.push(host.to_string());
    }
    names.extend(config.tls_names.iter().cloned());
    names.sort();
    names.dedup();
    names
}

/// The operator's own access for the CLI on this machine: `core/operator.json`, 0600.
///
/// The token in it is kept across restarts; one that was revoked or lost is made anew.
async fn write_operator_file(handle: &CoreHandle) -> Result<(), StartError> {
    const FILE_BYTES_MAX: u64 = 16 * 1024;
    const DOING: &str = "write the operator's access";
    let path = handle.config().core_dir().join("operator.json");
    let known = secret_file::read_text(&path, FILE_BYTES_MAX)
        .ok()
        .and_then(|text| serde_json::from_str::<serde_json::Value>(&text).ok())
        .and_then(|file| file.get("token").and_then(|token| token.as_str()).map(str::to_owned))
        .filter(|token| handle.authenticate(token).is_some_and(|principal| principal.may(Scope::Admin)));
    let token = match known {
        Some(token) => bee_wire::Secret::new(token),
        None => {
            let request = ApiTokenRequest {
                name: "operator of this machine".to_owned(),
                scopes: vec![Scope::Admin],
                expires_in_s: None,
            };
            handle.create_api_token(request).await.map_err(failed(DOING))?.secret
        }
    };
    let address = handle.addresses().api;
    let host = match address.ip() {
        ip if ip.is_unspecified() && ip.is_ipv4() => "127.0.0.1".to_owned(),
        ip if ip.is_unspecified() => "[::1]".to_owned(),
        std::net::IpAddr::V6(ip) => format!("[{ip}]"),
        std::net::IpAddr::V4(ip) => ip.to_string(),
    };
    let scheme = if handle.api_tls().is_some() { "https" } else { "http" };
    let file = serde_json::json!({
        "url": format!("{scheme}://{host}:{}", address.port()),
        "token": token,
        "ca_fingerprint": handle.ca_fingerprint(),
    });
    let text = zeroize::Zeroizing::new(format!("{file:#}\n"));
    secret_file::write(&path, text.as_bytes()).map_err(failed(DOING))
}

async fn sweep(handle: CoreHandle) {
    let stop = handle.stopping();
    let mut every = tokio::time::interval(limits::SWEEP_EVERY);
    every.set_missed_tick_behavior(tokio::time::MissedTickBehavior::Delay);
    loop {
        tokio::select! {
            _ = every.tick() => handle.sweep().await,
            () = stop.cancelled() => return,
        }
    }
}

async fn reload_geo(geo: Arc<Geo>, stop: tokio_util::sync::CancellationToken) {
    loop {
        tokio::select! {
            () = tokio::time::sleep(GEO_RELOAD) => {}
            () = stop.cancelled() => return,
        }
        let geo = Arc::clone(&geo);
        // A panic in a reader of a hostile file must not end the task's owner; it is reported and tried again.
        if let Ok(errors) = tokio::task::spawn_blocking(move || geo.reload()).await {
            for error in errors {
                warn!(error = text::chain(&error), "events get no country or network from this file");
            }
        }
    }
}

/// The configuration's word in the listener's.
pub(crate) fn mode(mode: TlsMode) -> Mode {
    match mode {
        TlsMode::Required => Mode::Required,
        TlsMode::Optional => Mode::Optional,
        TlsMode::Off => Mode::Off,
    }
}

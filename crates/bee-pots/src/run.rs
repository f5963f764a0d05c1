//! The life of a trap: read the configuration, bind, serve, stop.
//!
//! [`run`] is the whole child process: it reports and applies the process limits, then serves until SIGTERM or SIGINT.
//! [`start`] is the serving part alone, for tests and embedders; it leaves the process as it is.
//!
//! Stop order: stop accepting, close sessions (each writes its closed event), hand the last events to the node, return.

use std::net::SocketAddr;
use std::path::PathBuf;
use std::sync::Arc;

use serde_json::Value;
use tokio::net::TcpListener;
use tokio::signal::unix::{SignalKind, signal};
use tokio::task::JoinHandle;
use tokio_util::sync::CancellationToken;
use tokio_util::task::TaskTracker;

use crate::config::{self, ConfigError, HttpConfig, SshConfig, TelnetConfig};
use crate::emit::{Emitter, EventTarget, Uplink};
use crate::kinds::Kind;
use crate::limits::{DRAIN_DEADLINE, FLUSH_DEADLINE};
use crate::listener::Accept;
use crate::{harden, http, ssh, telnet};

/// What a trap is started with.
#[derive(Debug, Clone)]
pub struct PotSetup {
    /// Which trap.
    pub kind: Kind,
    /// Where it listens; port 0 takes a free one.
    pub listen: SocketAddr,
    /// Its own directory: host keys and artifacts. Made, with mode 0700, when it is missing.
    pub dir: PathBuf,
    /// Its configuration: an object, or `null` for the defaults.
    pub config: Value,
    /// Where its events go.
    pub events: EventTarget,
}

/// Why a trap cannot start.
#[derive(Debug, thiserror::Error)]
pub enum PotError {
    /// The configuration does not parse; the text names the key.
    #[error(transparent)]
    Config(#[from] ConfigError),
    /// The address is taken or not permitted.
    #[error("cannot listen on {address}")]
    Bind {
        /// The configured address.
        address: SocketAddr,
        /// What the kernel said.
        #[source]
        cause: std::io::Error,
    },
    /// The trap's own directory cannot be used.
    #[error("cannot use the trap's directory {}", dir.display())]
    Dir {
        /// That directory.
        dir: PathBuf,
        /// What went wrong there.
        #[source]
        cause: std::io::Error,
    },
    /// Host keys cannot be made, read or kept.
    #[error("cannot prepare the SSH host keys: {0}")]
    HostKeys(String),
    /// The event connection is not described: the variables that the node sets are missing or wrong.
    #[error("{0}")]
    Environment(String),
    /// The async runtime or the signal handlers cannot be set up.
    #[error("cannot start the trap's runtime")]
    Runtime(#[source] std::io::Error),
}

/// A trap that serves. Dropping it without [`RunningPot::stop`] leaves its tasks running.
#[derive(Debug)]
pub struct RunningPot {
    address: SocketAddr,
    stop: CancellationToken,
    tracker: TaskTracker,
    acceptor: JoinHandle<()>,
    emitter: Emitter,
    uplink: Uplink,
}

impl RunningPot {
    /// The address it listens on, with the real port.
    #[must_use]
    pub fn address(&self) -> SocketAddr {
        self.address
    }

    /// Stops it: no new connection, every session closed with its event, events handed over, each with a deadline.
    pub async fn stop(self) {
        self.stop.cancel();
        // The acceptor has nothing to say when it ends; a panic in it has been printed by the runtime.
        let _ = self.acceptor.await;
        self.tracker.close();
        // A session that does not end in time loses its tail, not the others theirs.
        let _ = tokio::time::timeout(DRAIN_DEADLINE, self.tracker.wait()).await;
        self.emitter.flush(FLUSH_DEADLINE).await;
        self.uplink.stop().await;
    }
}

/// Binds and serves inside the caller's runtime.
///
/// # Errors
/// A configuration, address, directory or host key that cannot be used.
pub async fn start(setup: PotSetup) -> Result<RunningPot, PotError> {
    let dir_error = |cause| PotError::Dir { dir: setup.dir.clone(), cause };
    harden::private_dir(&setup.dir).map_err(dir_error)?;
    // Before anything that takes time (an SSH trap's first start makes host keys): the port is taken at once, and clients
    // that come early wait in the kernel's queue instead of being turned away.
    let listener = TcpListener::bind(setup.listen)
        .await
        .map_err(|cause| PotError::Bind { address: setup.listen, cause })?;
    let address = listener.local_addr().map_err(|cause| PotError::Bind { address: setup.listen, cause })?;
    let service = Service::new(&setup)?;
    let (emitter, uplink) = Emitter::start(setup.events);
    let (stop, tracker) = (CancellationToken::new(), TaskTracker::new());
    let accept = Accept { listener, stop: stop.clone(), tracker: tracker.clone(), emitter: emitter.clone() };
    let acceptor = match service {
        Service::Ssh(service) => tokio::spawn(ssh::serve(accept, service)),
        Service::Telnet(service) => tokio::spawn(telnet::serve(accept, service)),
        Service::Http(service) => tokio::spawn(http::serve(accept, service)),
    };
    Ok(RunningPot { address, stop, tracker, acceptor, emitter, uplink })
}

/// Everything a kind needs, built before the first connection so that a mistake shows at the start.
enum Service {
    Ssh(Arc<ssh::Service>),
    Telnet(Arc<telnet::Service>),
    Http(Arc<http::Service>),
}

impl Service {
    fn new(setup: &PotSetup) -> Result<Self, PotError> {
        let pot_id = &setup.events.pot_id;
        Ok(match setup.kind {
            Kind::Ssh => Self::Ssh(Arc::new(ssh::Service::new(
                config::parse::<SshConfig>(&setup.config)?,
                pot_id,
                &setup.dir,
            )?)),
            Kind::Telnet => Self::Telnet(Arc::new(telnet::Service::new(
                config::parse::<TelnetConfig>(&setup.config)?,
                pot_id,
                &setup.dir,
            )?)),
            Kind::Http => Self::Http(Arc::new(http::Service::new(
                config::parse::<HttpConfig>(&setup.config)?,
                pot_id,
                &setup.dir,
            )?)),
        })
    }
}

/// The child process: locks itself down, prints one JSON line on what is in force, serves until SIGTERM or SIGINT.
///
/// # Errors
/// As [`start`], and a runtime that cannot be built.
pub fn run(setup: PotSetup) -> Result<(), PotError> {
    harden::private_dir(&setup.dir).map_err(|cause| PotError::Dir { dir: setup.dir.clone(), cause })?;
    // Before the runtime has threads: Landlock binds the calling thread and those it starts.
    let report = harden::apply(&setup.dir, setup.listen.port(), setup.events.address.port());
    harden::print(&report);
    // One thread serves thousands of sessions, and each further one costs memory on a node with ten traps.
    // The disk threads keep files; a few are enough and each is memory.
    let runtime = tokio::runtime::Builder::new_current_thread()
        .max_blocking_threads(4)
        .enable_all()
        .build()
        .map_err(PotError::Runtime)?;
    runtime.block_on(async {
        let mut terminate = signal(SignalKind::terminate()).map_err(PotError::Runtime)?;
        let mut interrupt = signal(SignalKind::interrupt()).map_err(PotError::Runtime)?;
        let pot = start(setup).await?;
        tokio::select! {
            _ = terminate.recv() => {}
            _ = interrupt.recv() => {}
        }
        pot.stop().await;
        Ok(())
    })
}

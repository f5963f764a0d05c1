//! The node port, 9001: accepting, limits, and one task for each connection.
//!
//! A stranger costs a socket, a small task and a deadline, and there is a limit on strangers, on connections
//! from one address and on all of them. What a connection says is `connection`'s business.

mod artifacts;
mod connection;
pub(crate) mod mailbox;

use std::collections::HashMap;
use std::net::{IpAddr, Ipv6Addr, SocketAddr};
use std::sync::atomic::{AtomicU64, AtomicUsize, Ordering};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::time::Duration;

use bee_daemon::shutdown::Shutdown;
use bee_daemon::tls::server::{self, AcceptError, Mode, ServerTls};
use bee_daemon::tls::{CertificateAuthority, Fingerprint};
use bee_link::core::{ConnectionId, SessionConfig};
use bee_wire::{NodeId, node::feature};
use tokio::net::{TcpListener, TcpStream};
use tokio_util::sync::CancellationToken;

use crate::counters::Counters;
use crate::fleet::Fleet;
use crate::ingest::{Ingest, SharedMarks};
use crate::limits;
use crate::vault::Vault;
use mailbox::Mailbox;

/// Pause after the system refused an accept (no descriptors left); the backlog waits meanwhile.
const ACCEPT_PAUSE: Duration = Duration::from_millis(100);

/// What every connection shares.
pub(crate) struct Hub {
    pub(crate) fleet: Arc<Fleet>,
    pub(crate) ingest: Ingest,
    pub(crate) marks: SharedMarks,
    pub(crate) vault: Vault,
    pub(crate) counters: Arc<Counters>,
    pub(crate) ca: Arc<CertificateAuthority>,
    pub(crate) session: SessionConfig,
    pub(crate) mode: Mode,
    pub(crate) tls: Option<ServerTls>,
    pub(crate) max_frame_bytes: usize,
    pub(crate) connections_max: usize,
    pub(crate) per_source_max: usize,
    pub(crate) unregistered_max: usize,
    pub(crate) open: Open,
    pub(crate) stop: CancellationToken,
}

/// The connections that are open.
#[derive(Default)]
pub(crate) struct Open {
    next_id: AtomicU64,
    unregistered: AtomicUsize,
    table: Mutex<Table>,
}

#[derive(Default)]
struct Table {
    sources: HashMap<IpAddr, usize>,
    mailboxes: HashMap<ConnectionId, Arc<Mailbox>>,
}

/// A connection's place in the table; given back when dropped.
pub(crate) struct Slot {
    hub: Arc<Hub>,
    pub(crate) id: ConnectionId,
    pub(crate) mailbox: Arc<Mailbox>,
    source: Option<IpAddr>,
    registered: bool,
}

impl Slot {
    /// The peer is no stranger any more.
    pub(crate) fn registered(&mut self) {
        if !std::mem::replace(&mut self.registered, true) {
            self.hub.open.unregistered.fetch_sub(1, Ordering::Relaxed);
        }
    }
}

impl Drop for Slot {
    fn drop(&mut self) {
        self.registered();
        let mut table = self.hub.open.lock();
        table.mailboxes.remove(&self.id);
        if let Some(source) = self.source
            && let Some(count) = table.sources.get_mut(&source)
        {
            *count -= 1;
            if *count == 0 {
                table.sources.remove(&source);
            }
        }
    }
}

impl Open {
    fn lock(&self) -> MutexGuard<'_, Table> {
        self.table.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// Wakes the sessions whose deadline has passed.
    pub(crate) fn sweep(&self, mono_ms: u64) {
        for mailbox in self.lock().mailboxes.values() {
            mailbox.sweep(mono_ms);
        }
    }

    /// Open connections, registered or not.
    pub(crate) fn count(&self) -> usize {
        self.lock().mailboxes.len()
    }
}

impl Hub {
    /// What Core speaks on this port.
    pub(crate) fn session_config(heartbeat: Duration) -> SessionConfig {
        SessionConfig {
            heartbeat_interval_s: heartbeat.as_secs().max(1),
            registration_timeout_ms: u64::try_from(limits::REGISTRATION_MAX.as_millis()).unwrap_or(u64::MAX),
            features: feature::ALL.iter().map(|name| (*name).to_owned()).collect(),
        }
    }

    /// Takes a place for a connection, unless a limit says no.
    fn admit(self: &Arc<Self>, from: SocketAddr) -> Option<Slot> {
        let source = source_of(from.ip());
        if self.open.unregistered.fetch_add(1, Ordering::Relaxed) >= self.unregistered_max {
            self.open.unregistered.fetch_sub(1, Ordering::Relaxed);
            return None;
        }
        let id = ConnectionId(self.open.next_id.fetch_add(1, Ordering::Relaxed));
        let mailbox = Arc::new(Mailbox::default());
        let admitted = {
            let mut table = self.open.lock();
            let full = table.mailboxes.len() >= self.connections_max
                || source
                    .is_some_and(|ip| table.sources.get(&ip).copied().unwrap_or(0) >= self.per_source_max);
            if !full {
                table.mailboxes.insert(id, Arc::clone(&mailbox));
                if let Some(source) = source {
                    *table.sources.entry(source).or_insert(0) += 1;
                }
            }
            !full
        };
        if !admitted {
            self.open.unregistered.fetch_sub(1, Ordering::Relaxed);
            return None;
        }
        Some(Slot { hub: Arc::clone(self), id, mailbox, source, registered: false })
    }

    /// Signs a node's certificate request: the certificate (PEM) and its SHA-256 in lower-case hex.
    pub(crate) fn sign(
        &self,
        csr: &str,
        node_id: NodeId,
        now_seconds: i64,
    ) -> Result<(String, String), String> {
        let pem =
            self.ca.sign_node(csr, node_id.0, now_seconds).map_err(|error| crate::text::chain(&error))?;
        let info = bee_daemon::tls::CertificateInfo::from_pem(pem.as_bytes());
        let fingerprint =
            info.ok_or_else(|| "the signed certificate cannot be read back".to_owned())?.fingerprint;
        Ok((pem, fingerprint_hex(&fingerprint)))
    }
}

/// SHA-256 in lower-case hex, as records keep it.
pub(crate) fn fingerprint_hex(fingerprint: &Fingerprint) -> String {
    data_encoding::HEXLOWER.encode(fingerprint.as_bytes())
}

/// Accepts until told to stop; waits for nothing: connections are tracked by `shutdown`.
pub(crate) async fn listen(listener: TcpListener, hub: Arc<Hub>, shutdown: Shutdown) {
    loop {
        let accepted = tokio::select! {
            accepted = listener.accept() => accepted,
            () = hub.stop.cancelled() => return,
        };
        let (stream, from) = match accepted {
            Ok(accepted) => accepted,
            Err(error) => {
                tracing::warn!(%error, "a node's connection could not be accepted");
                tokio::time::sleep(ACCEPT_PAUSE).await;
                continue;
            }
        };
        hub.counters.node_connections.one();
        match hub.admit(from) {
            Some(slot) => {
                let hub = Arc::clone(&hub);
                shutdown.spawn(serve(stream, from, slot, hub));
            }
            // Closed by dropping it: a stranger over the limit gets no answer and no memory.
            None => hub.counters.node_connections_refused.one(),
        }
    }
}

async fn serve(stream: TcpStream, from: SocketAddr, slot: Slot, hub: Arc<Hub>) {
    // Answers are small and awaited; the kernel must not hold them back.
    let _ = stream.set_nodelay(true);
    let accepted = tokio::select! {
        accepted = server::accept(stream, hub.mode, hub.tls.as_ref(), limits::HANDSHAKE_MAX) => accepted,
        () = hub.stop.cancelled() => return,
    };
    match accepted {
        Ok(stream) => connection::run(stream, from, slot, &hub).await,
        Err(error) => {
            match &error {
                AcceptError::PlainToTls | AcceptError::TlsToPlain => hub.counters.node_wrong_transport.one(),
                AcceptError::Silent | AcceptError::Slow => hub.counters.node_registration_timeouts.one(),
                AcceptError::Handshake(_) => hub.counters.node_tls_failures.one(),
                AcceptError::Closed | AcceptError::Io(_) => {}
            }
            tracing::debug!(%from, reason = error.label(), "a connection ended before its first message");
        }
    }
}

/// What counts as one source: an IPv4 address, an IPv6 /64. Loopback is not limited.
fn source_of(ip: IpAddr) -> Option<IpAddr> {
    match ip {
        ip if ip.is_loopback() => None,
        IpAddr::V4(_) => Some(ip),
        IpAddr::V6(v6) => match v6.to_ipv4_mapped() {
            Some(v4) => Some(IpAddr::V4(v4)),
            None => Some(IpAddr::V6(Ipv6Addr::from_bits(v6.to_bits() & !u128::from(u64::MAX)))),
        },
    }
}

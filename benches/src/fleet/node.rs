//! One simulated node: a task that carries out what its [`NodeLink`] wants.

use std::sync::Arc;
use std::sync::atomic::Ordering;
use std::time::{Duration, Instant, SystemTime, UNIX_EPOCH};

use anyhow::Context as _;
use bee_daemon::stream::MaybeTls;
use bee_daemon::tls::{ClientTls, Fingerprint, NodeKey, ServerIdentity, Trust, client};
use bee_link::Now;
use bee_link::node::{BatchRequest, CommandOutcome, Credentials, Identity, Input, NodeLink, Output, Save};
use bee_wire::codec::BatchEncoder;
use bee_wire::limits::FRAME_BYTES_MAX;
use bee_wire::node::{Health, NodeType};
use bee_wire::{ErrorCode, Frame, FrameDecoder, NodeId, StreamId, decode_core, encode_node};
use rustls::pki_types::pem::PemObject as _;
use rustls::pki_types::{CertificateDer, PrivateKeyDer};
use tokio::io::{AsyncReadExt as _, AsyncWriteExt as _};
use tokio::sync::{OwnedSemaphorePermit, watch};

use super::Shared;

const READ_BYTES: usize = 2 * 1024;
/// Core stops reading for longer than this only when it is gone.
const WRITE_WITHIN: Duration = Duration::from_secs(60);

pub(super) struct SimNode {
    shared: Arc<Shared>,
    link: NodeLink,
    stream_id: StreamId,
    key_pem: String,
    certificate_pem: Option<String>,
    offered: watch::Receiver<u64>,
    acknowledged: u64,
    registered: bool,
    connection: Option<Connection>,
    connecting: Option<OwnedSemaphorePermit>,
}

struct Connection {
    stream: MaybeTls,
    decoder: FrameDecoder,
}

enum Woken {
    Read(std::io::Result<usize>),
    Offered,
    Deadline,
    Leave,
}

impl SimNode {
    pub(super) fn new(
        shared: Arc<Shared>,
        number: u64,
        offered: watch::Receiver<u64>,
    ) -> anyhow::Result<Self> {
        let name = format!("{}-{number:05}", shared.config.name_prefix);
        let key = NodeKey::generate(&name).context("make a node's key")?;
        let identity = Identity {
            node_id: NodeId(0),
            node_name: name.clone(),
            address: "0.0.0.0".to_owned(),
            port: 0,
            node_type: NodeType::Full,
            software: Some(concat!("honeybee-sim ", env!("CARGO_PKG_VERSION")).to_owned()),
            os: Some(std::env::consts::OS.to_owned()),
            arch: Some(std::env::consts::ARCH.to_owned()),
            hostname: Some(name.clone()),
            boot_id: Some(format!("{:032x}", rand::random::<u128>())),
        };
        let credentials = Credentials {
            totp_key: None,
            has_certificate: false,
            enrollment_token: Some(shared.config.code.secret.clone()),
            csr: Some(key.csr_pem.clone()),
        };
        let link = NodeLink::new(identity, credentials, shared.config.link.clone(), Vec::new());
        let stream_id =
            StreamId::new(format!("sim.{:016x}", rand::random::<u64>())).context("make a stream id")?;
        Ok(Self {
            shared,
            link,
            stream_id,
            key_pem: key.key_pem.to_string(),
            certificate_pem: None,
            offered,
            acknowledged: 0,
            registered: false,
            connection: None,
            connecting: None,
        })
    }

    /// Stays connected until the fleet is told to leave.
    pub(super) async fn run(mut self) {
        self.feed(Input::Health(health()));
        self.tell_spool();
        self.feed(Input::Start);
        let leave = self.shared.leave.clone();
        let mut left = false;
        let mut buffer = [0_u8; READ_BYTES];
        loop {
            if self.carry_out().await {
                return;
            }
            let deadline =
                self.link.next_deadline().map(|at| self.shared.started + Duration::from_millis(at));
            let (connection, offered) = (&mut self.connection, &mut self.offered);
            let woken = tokio::select! {
                biased;
                () = leave.cancelled(), if !left => Woken::Leave,
                read = async {
                    match connection {
                        Some(connection) => connection.stream.read(&mut buffer).await,
                        None => std::future::pending().await,
                    }
                } => Woken::Read(read),
                Ok(()) = offered.changed() => Woken::Offered,
                () = sleep_until(deadline) => Woken::Deadline,
            };
            match woken {
                Woken::Read(Ok(length)) if length > 0 => {
                    self.received(buffer.get(..length).unwrap_or_default())
                }
                Woken::Read(_) => self.lost(),
                Woken::Offered => self.tell_spool(),
                Woken::Deadline => self.feed(Input::Tick),
                Woken::Leave => {
                    left = true;
                    self.feed(Input::Leave);
                }
            }
        }
    }

    /// Carries out everything the link wants; `true` once the node has left.
    async fn carry_out(&mut self) -> bool {
        while let Some(output) = self.link.poll_output() {
            match output {
                Output::Connect => self.connect().await,
                Output::Send(message) => self.write(&encode_node(&message)).await,
                Output::SendBatch(request) => self.send_batch(&request).await,
                Output::TruncateSpool { below, .. } => {
                    let news = below.saturating_sub(self.acknowledged);
                    self.acknowledged += news;
                    self.shared.counters.events_acknowledged.fetch_add(news, Ordering::Relaxed);
                }
                Output::Save(Save::Credentials { certificate, .. }) => {
                    if certificate.is_some() {
                        self.certificate_pem = certificate;
                    }
                }
                Output::Registered { .. } => {
                    self.connecting = None;
                    self.set_registered(true);
                }
                Output::Refused { .. } => {
                    self.shared.counters.refused.fetch_add(1, Ordering::Relaxed);
                }
                Output::Run { command_id, .. } => {
                    let outcome = CommandOutcome::failed(
                        ErrorCode::InvalidCommand,
                        "a simulated node runs no honeypots",
                    );
                    self.feed(Input::CommandFinished { command_id, outcome });
                }
                Output::Close { .. } => {
                    self.set_registered(false);
                    if let Some(mut connection) = self.connection.take() {
                        // The other side may be gone; there is nothing left to say then.
                        let _ =
                            tokio::time::timeout(Duration::from_secs(1), connection.stream.shutdown()).await;
                    }
                    self.connecting = None;
                }
                Output::Left => return true,
                Output::RenewStream { .. }
                | Output::Save(_)
                | Output::Abandon { .. }
                | Output::CoreError { .. }
                | Output::ArtifactStored { .. } => {}
            }
        }
        false
    }

    async fn connect(&mut self) {
        let counters = &self.shared.counters;
        let permit = tokio::select! {
            permit = Arc::clone(&self.shared.connecting).acquire_owned() => permit.ok(),
            () = self.shared.leave.cancelled() => None,
        };
        counters.connects.fetch_add(1, Ordering::Relaxed);
        self.connecting = permit;
        match self.dial().await {
            Ok(stream) => {
                self.connection = Some(Connection { stream, decoder: FrameDecoder::new(FRAME_BYTES_MAX) });
                self.feed(Input::Connected);
            }
            Err(_) => {
                counters.failures.fetch_add(1, Ordering::Relaxed);
                self.connecting = None;
                self.feed(Input::ConnectFailed);
            }
        }
    }

    async fn dial(&self) -> anyhow::Result<MaybeTls> {
        let config = &self.shared.config;
        let identity = self.certificate_pem.as_deref().map(|pem| identity(pem, &self.key_pem)).transpose()?;
        let trust = Trust::PinnedCa(Fingerprint::from_bytes(config.code.ca_sha256));
        let tls = ClientTls::new(&trust, None, identity)?;
        let address = config.code.addresses.first().context("the join code names no address")?;
        Ok(client::connect(address, Some(&tls), config.connect_timeout).await?)
    }

    async fn send_batch(&mut self, request: &BatchRequest) {
        let events_max = usize::try_from(request.events_max).unwrap_or(usize::MAX);
        let left =
            usize::try_from(self.offered.borrow().saturating_sub(request.first_seq)).unwrap_or(usize::MAX);
        let bytes_max = usize::try_from(request.bytes_max).unwrap_or(usize::MAX);
        let (bytes, count) = {
            let (events, count) =
                self.shared.config.mix.run(request.first_seq, events_max.min(left), bytes_max);
            let mut batch = BatchEncoder::new(self.link.node_id(), &request.stream, request.first_seq);
            // Joined by commas as they are, the events of a run go in at once.
            batch.push(events);
            (batch.finish(), count as u64)
        };
        self.write(&bytes).await;
        if self.connection.is_some() {
            let counters = &self.shared.counters;
            counters.events_sent.fetch_add(count, Ordering::Relaxed);
            counters.bytes_sent.fetch_add(bytes.len() as u64, Ordering::Relaxed);
            self.feed(Input::BatchSent { next_seq: request.first_seq + count, bytes: bytes.len() as u64 });
        }
    }

    async fn write(&mut self, bytes: &[u8]) {
        let Some(connection) = &mut self.connection else { return };
        let writing = async {
            connection.stream.write_all(bytes).await?;
            connection.stream.flush().await
        };
        if !matches!(tokio::time::timeout(WRITE_WITHIN, writing).await, Ok(Ok(()))) {
            self.lost();
        }
    }

    fn received(&mut self, bytes: &[u8]) {
        if let Some(connection) = &mut self.connection {
            connection.decoder.push(bytes);
        }
        while let Some(connection) = &mut self.connection {
            match connection.decoder.next_frame() {
                Ok(None) => return,
                Ok(Some(Frame::Object(frame))) => match decode_core(&frame) {
                    Ok(message) => self.feed(Input::Message(message)),
                    Err(_) => self.feed(Input::Garbage),
                },
                Ok(Some(Frame::Garbage(_))) => self.feed(Input::Garbage),
                Err(_) => self.lost(),
            }
        }
    }

    fn lost(&mut self) {
        if self.connection.take().is_some() {
            if !self.registered {
                self.shared.counters.failures.fetch_add(1, Ordering::Relaxed);
            }
            self.set_registered(false);
            self.connecting = None;
            self.feed(Input::Closed);
        }
    }

    fn set_registered(&mut self, registered: bool) {
        if std::mem::replace(&mut self.registered, registered) != registered {
            let counter = &self.shared.counters.registered;
            if registered {
                counter.fetch_add(1, Ordering::Relaxed);
            } else {
                counter.fetch_sub(1, Ordering::Relaxed);
            }
        }
    }

    fn tell_spool(&mut self) {
        let next_seq = *self.offered.borrow_and_update();
        let first_seq = self.acknowledged.min(next_seq);
        self.feed(Input::SpoolAdvanced { stream: self.stream_id.clone(), first_seq, next_seq });
    }

    fn feed(&mut self, input: Input) {
        let mono_ms = u64::try_from(self.shared.started.elapsed().as_millis()).unwrap_or(u64::MAX);
        let unix = SystemTime::now().duration_since(UNIX_EPOCH).unwrap_or_default();
        let now = Now::new(mono_ms, i64::try_from(unix.as_millis()).unwrap_or(i64::MAX));
        self.link.handle(now, &mut rand::rng(), input);
    }
}

impl Drop for SimNode {
    fn drop(&mut self) {
        self.set_registered(false);
    }
}

fn identity(certificate_pem: &str, key_pem: &str) -> anyhow::Result<ServerIdentity> {
    let chain = CertificateDer::pem_slice_iter(certificate_pem.as_bytes())
        .collect::<Result<Vec<_>, _>>()
        .context("read the certificate that Core gave")?;
    let key = PrivateKeyDer::from_pem_slice(key_pem.as_bytes()).context("read a node's own key")?;
    Ok(ServerIdentity { chain, key })
}

/// What a small, quiet node would say in its heartbeat.
fn health() -> Health {
    Health {
        cpu_percent: 0.3,
        rss_bytes: 9_000_000,
        disk_free_bytes: 20_000_000_000,
        load1: 0.1,
        uptime_s: 1,
        ..Health::default()
    }
}

async fn sleep_until(at: Option<Instant>) {
    match at {
        Some(at) => tokio::time::sleep_until(at.into()).await,
        None => std::future::pending().await,
    }
}

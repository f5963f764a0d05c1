//! A Core on loopback with a clock of its own, and a peer that talks to it.

use std::path::Path;
use std::sync::Arc;
use std::time::Duration;

use bee_core::{Config, Core, CoreHandle, RawConfig};
use bee_daemon::clock::ManualClock;
use bee_daemon::shutdown::{Reason, Shutdown};
use bee_daemon::stream::MaybeTls;
use bee_daemon::tls::client::{ClientTls, Trust, connect};
use bee_daemon::tls::{NodeKey, ServerIdentity};
use bee_link::totp::{TotpKey, step_at};
use bee_wire::core::{EventAck, RegistrationAck};
use bee_wire::node::{NodeRegistration, NodeType, feature};
use bee_wire::{
    CoreMessage, Frame, FrameDecoder, Micros, NodeId, NodeMessage, PotEvent, PotEventBatch, StreamId,
    decode_core, encode_node,
};
use serde_json::value::RawValue;
use tokio::io::{AsyncReadExt as _, AsyncWriteExt as _};

/// Longest wait for anything; a test that needs it has failed.
pub(crate) const DEADLINE: Duration = Duration::from_secs(20);
/// 2026-01-01T00:00:00Z, where the tests' clock begins.
const BEGIN_US: i64 = 1_767_225_600_000_000;

pub(crate) struct TestCore {
    pub(crate) core: Core,
    pub(crate) handle: CoreHandle,
    pub(crate) clock: Arc<ManualClock>,
    pub shutdown: Shutdown,
}

/// Starts a Core in `dir` with `settings` (TOML) over ports 0.
pub(crate) async fn start(dir: &Path, settings: &str) -> TestCore {
    start_at(dir, settings, ManualClock::at(BEGIN_US)).await
}

pub(crate) async fn start_at(dir: &Path, settings: &str, clock: Arc<ManualClock>) -> TestCore {
    let text = format!(
        "data_dir = {dir:?}\n[server]\nnode_port = 0\nbackend_port = 0\n[proxy]\nport = 0\n{settings}",
        dir = dir.display().to_string()
    );
    let raw: RawConfig = toml::from_str(&text).unwrap();
    let config = Config::check(raw).unwrap();
    let shutdown = Shutdown::new();
    let core = Core::start_with_clock(config, shutdown.clone(), clock.clone()).await.unwrap();
    TestCore { handle: core.handle(), core, clock, shutdown }
}

impl TestCore {
    /// Stops in order, as SIGTERM does.
    pub(crate) async fn stop(self) -> Arc<ManualClock> {
        let Self { core, handle, clock, shutdown } = self;
        shutdown.trigger(Reason::Requested("the test is over".into()));
        shutdown.finish(DEADLINE).await;
        drop(handle);
        core.stopped().await;
        clock
    }

    pub(crate) fn counter(&self, name: &str) -> u64 {
        self.handle.counters().all().into_iter().find(|(known, _)| *known == name).unwrap().1
    }

    pub(crate) async fn plain(&self) -> Peer {
        Peer::new(connect(&self.handle.addresses().nodes.to_string(), None, DEADLINE).await.unwrap())
    }

    pub(crate) async fn tls(&self, identity: Option<ServerIdentity>) -> Peer {
        let trust = Trust::CaPem(self.handle.ca_pem().as_bytes().to_vec());
        let tls = ClientTls::new(&trust, None, identity).unwrap();
        Peer::new(connect(&self.handle.addresses().nodes.to_string(), Some(&tls), DEADLINE).await.unwrap())
    }

    /// The code of this moment.
    pub(crate) fn code(&self, key: &str) -> String {
        use bee_daemon::clock::Clock as _;
        TotpKey::from_base32(key).unwrap().code(step_at(self.clock.wall_micros() / 1_000))
    }

    /// Waits until `check` says yes.
    pub(crate) async fn until(&self, what: &str, mut check: impl FnMut(&CoreHandle) -> bool) {
        let until = tokio::time::Instant::now() + DEADLINE;
        while !check(&self.handle) {
            assert!(tokio::time::Instant::now() < until, "waited in vain: {what}");
            tokio::time::sleep(Duration::from_millis(5)).await;
        }
    }

    /// An open Core's node with all features, registered over plain TCP.
    pub(crate) async fn node(&self, id: u64, name: &str) -> (Peer, RegistrationAck) {
        let mut peer = self.plain().await;
        let ack = peer.register(registration(id, name)).await;
        assert!(ack.accepted, "{ack:?}");
        (peer, ack)
    }

    /// All stored numbers `n` of the test events, oldest first.
    pub(crate) async fn numbers(&self) -> Vec<u64> {
        let mut numbers = Vec::new();
        let mut query = bee_wire::api::EventQuery { limit: Some(1_000), ..Default::default() };
        loop {
            let page = self.handle.events(query.clone()).await.unwrap();
            for event in &page.events {
                let data: serde_json::Value = serde_json::from_str(event.data.get()).unwrap();
                numbers.extend(data.get("n").and_then(serde_json::Value::as_u64));
            }
            match page.next_cursor {
                Some(cursor) => query.before = Some(cursor),
                None => break,
            }
        }
        numbers.reverse();
        numbers
    }
}

pub(crate) fn registration(id: u64, name: &str) -> NodeRegistration {
    let mut registration = NodeRegistration::new(NodeId(id), name, NodeType::Full);
    registration.features = feature::ALL.iter().map(|name| (*name).to_owned()).collect();
    registration
}

pub(crate) fn event(n: u64) -> PotEvent {
    PotEvent {
        node_id: None,
        pot_id: "ssh-1".into(),
        pot_type: Some("ssh".into()),
        event_type: "cowrie.login.failed".into(),
        timestamp: Some(Micros::from_unix_us(BEGIN_US + n as i64 * 1_000)),
        data: RawValue::from_string(format!(
            "{{\"n\":{n},\"session\":\"s{}\",\"src_ip\":\"203.0.113.{}\",\"username\":\"root\",\"password\":\"p{n}\"}}",
            n / 10,
            n % 250
        ))
        .unwrap(),
    }
}

pub(crate) fn batch(node: u64, stream: &str, first_seq: u64, count: u64) -> NodeMessage {
    NodeMessage::PotEventBatch(PotEventBatch {
        node_id: NodeId(node),
        stream: StreamId::new(stream).unwrap(),
        first_seq,
        events: (first_seq..first_seq + count).map(event).collect(),
    })
}

/// The other end of a connection.
pub(crate) struct Peer {
    pub(crate) stream: MaybeTls,
    decoder: FrameDecoder,
}

impl Peer {
    pub(crate) fn new(stream: MaybeTls) -> Self {
        Self { stream, decoder: FrameDecoder::new(64 << 20) }
    }

    pub(crate) async fn raw(&mut self, bytes: &[u8]) {
        self.stream.write_all(bytes).await.unwrap();
        self.stream.flush().await.unwrap();
    }

    pub(crate) async fn send(&mut self, message: &NodeMessage) {
        self.raw(&encode_node(message)).await;
    }

    /// The next message; `None` when Core has closed.
    pub(crate) async fn recv(&mut self) -> Option<CoreMessage> {
        let read = async {
            loop {
                match self.decoder.next_frame().unwrap() {
                    Some(Frame::Object(bytes)) => return Some(decode_core(&bytes).unwrap()),
                    Some(Frame::Garbage(garbage)) => panic!("Core sent garbage: {garbage:?}"),
                    None => {}
                }
                let mut buffer = vec![0; 65_536];
                match self.stream.read(&mut buffer).await {
                    Ok(0) | Err(_) => return None,
                    Ok(count) => self.decoder.push(&buffer[..count]),
                }
            }
        };
        tokio::time::timeout(DEADLINE, read).await.expect("Core said nothing in time")
    }

    pub(crate) async fn register(&mut self, registration: NodeRegistration) -> RegistrationAck {
        self.send(&NodeMessage::NodeRegistration(Box::new(registration))).await;
        match self.recv().await {
            Some(CoreMessage::RegistrationAck(ack)) => *ack,
            other => panic!("expected an answer to the registration, got {other:?}"),
        }
    }

    /// Reads until the stream is acknowledged up to `next_seq`.
    pub(crate) async fn acked(&mut self, stream: &str, next_seq: u64) {
        loop {
            match self.recv().await {
                Some(CoreMessage::EventAck(EventAck { stream: acked, next_seq: next })) => {
                    if acked.as_str() == stream && next >= next_seq {
                        assert_eq!(next, next_seq);
                        return;
                    }
                }
                other => panic!("expected an acknowledgement, got {other:?}"),
            }
        }
    }

    /// Core closes, whatever it says before.
    pub(crate) async fn closed(&mut self) {
        while self.recv().await.is_some() {}
    }
}

/// A node's key and the request for its certificate.
pub(crate) fn node_key() -> NodeKey {
    NodeKey::generate("test").unwrap()
}

/// The identity made of a key and the certificate that Core signed.
pub(crate) fn identity(key: &NodeKey, certificate: &str, dir: &Path) -> ServerIdentity {
    let (chain, secret) = (dir.join("client.pem"), dir.join("client.key"));
    bee_daemon::secret_file::write_public(&chain, certificate.as_bytes()).unwrap();
    bee_daemon::secret_file::write(&secret, key.key_pem.as_bytes()).unwrap();
    ServerIdentity::load(&chain, &secret).unwrap()
}

pub(crate) const OPEN: &str = "[enrollment]\nmode = \"open\"\n";

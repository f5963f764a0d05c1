//! A small Core on a real socket: registers nodes, stores batches once, acknowledges, and remembers all it was told.

use std::{
    collections::BTreeMap,
    sync::{Arc, Mutex},
    time::Duration,
};

use bee_daemon::{
    stream::MaybeTls,
    tls::{CertificateAuthority, ClientCertificates, Mode, ServerTls, server},
};
use bee_wire::{
    Command, CommandId, CoreMessage, ErrorCode, Frame, FrameDecoder, JoinCode, NodeId, NodeMessage, Secret,
    StreamId,
    core::{EventAck, NodeCommand, RegistrationAck},
    decode_node, encode_core,
    node::{CommandResult, NodeRegistration, PotStatusUpdate, feature},
};
use tokio::{
    io::{AsyncReadExt, AsyncWriteExt},
    net::TcpListener,
    sync::{Notify, mpsc},
};

/// How long anything may take in these tests before they fail.
pub const PATIENCE: Duration = Duration::from_secs(60);

/// What the Core was told and has stored.
#[derive(Debug, Default)]
pub struct Seen {
    pub messages: Vec<NodeMessage>,
    pub registrations: Vec<NodeRegistration>,
    /// `data` of each event by stream and number.
    pub events: BTreeMap<(String, u64), String>,
    /// Events that came again although they had been stored.
    pub repeats: u64,
    /// First number of each batch, in order of arrival.
    pub batches: Vec<(String, u64, usize)>,
    /// Events of a node that speaks no batches.
    pub plain_events: Vec<String>,
    pub artifacts: BTreeMap<String, Vec<u8>>,
    pub connections: u64,
    pub live: u64,
    next: BTreeMap<String, u64>,
}

/// How the Core behaves.
#[derive(Debug, Clone)]
pub struct Manners {
    pub features: Vec<String>,
    pub acknowledges: bool,
    pub heartbeat_s: u64,
    pub refusal: Option<(ErrorCode, String)>,
}

impl Default for Manners {
    fn default() -> Self {
        Self {
            features: feature::ALL.iter().map(|name| (*name).to_owned()).collect(),
            acknowledges: true,
            heartbeat_s: 1,
            refusal: None,
        }
    }
}

enum Order {
    Send(CoreMessage),
    Cut,
}

struct Shared {
    seen: Mutex<Seen>,
    manners: Mutex<Manners>,
    changed: Notify,
    orders: Mutex<Option<mpsc::UnboundedSender<Order>>>,
    ca: Option<CertificateAuthority>,
}

#[derive(Clone)]
pub struct Core {
    shared: Arc<Shared>,
    pub address: String,
}

pub const TOTP_KEY: &str = "JBSWY3DPEHPK3PXPJBSWY3DPEHPK3PXP";

impl Core {
    pub async fn plain() -> Self {
        Self::start(Manners::default(), false).await
    }

    pub async fn with(manners: Manners) -> Self {
        Self::start(manners, false).await
    }

    pub async fn tls() -> Self {
        Self::start(Manners::default(), true).await
    }

    async fn start(manners: Manners, with_tls: bool) -> Self {
        let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
        let address = listener.local_addr().unwrap().to_string();
        let ca = with_tls.then(|| CertificateAuthority::create(now_seconds()).unwrap());
        let tls = ca.as_ref().map(|ca| {
            let identity = ca.issue_server(&["127.0.0.1".into()], now_seconds()).unwrap();
            ServerTls::new(identity, ClientCertificates::Optional, ca.certificate()).unwrap()
        });
        let shared = Arc::new(Shared {
            seen: Mutex::default(),
            manners: Mutex::new(manners),
            changed: Notify::new(),
            orders: Mutex::default(),
            ca,
        });
        let core = Self { shared: shared.clone(), address };
        tokio::spawn(async move {
            let tls = tls.map(Arc::new);
            loop {
                let (stream, _) = listener.accept().await.unwrap();
                let (shared, tls) = (shared.clone(), tls.clone());
                tokio::spawn(async move {
                    let stream = match tls {
                        None => MaybeTls::Plain(stream),
                        Some(tls) => {
                            match server::accept(stream, Mode::Required, Some(&tls), PATIENCE).await {
                                Ok(stream) => stream,
                                Err(_) => return,
                            }
                        }
                    };
                    converse(shared, stream).await;
                });
            }
        });
        core
    }

    pub fn seen<T>(&self, look: impl FnOnce(&Seen) -> T) -> T {
        look(&self.shared.seen.lock().unwrap())
    }

    pub fn behave(&self, change: impl FnOnce(&mut Manners)) {
        change(&mut self.shared.manners.lock().unwrap());
    }

    /// Waits until `is` says yes; fails with `what` after a while.
    pub async fn until(&self, what: &str, is: impl Fn(&Seen) -> bool) {
        let wait = async {
            loop {
                let changed = self.shared.changed.notified();
                if self.seen(&is) {
                    return;
                }
                changed.await;
            }
        };
        if tokio::time::timeout(PATIENCE, wait).await.is_err() {
            self.seen(|seen| {
                let tail: Vec<_> = seen.messages.iter().rev().take(12).collect();
                panic!("waited in vain for: {what}; {} events, last messages {tail:#?}", seen.events.len())
            });
        }
    }

    pub async fn send(&self, message: CoreMessage) {
        self.until("a live connection", |seen| seen.live > 0).await;
        let orders = self.shared.orders.lock().unwrap();
        orders.as_ref().expect("a connection").send(Order::Send(message)).ok();
    }

    /// Sends a command and waits for its result.
    pub async fn command(&self, command: Command) -> CommandResult {
        let id = CommandId(uuid::Uuid::now_v7());
        self.command_as(id, command).await;
        self.result(id).await
    }

    pub async fn command_as(&self, id: CommandId, command: Command) {
        let command = NodeCommand { node_id: NodeId(1), command, command_id: Some(id), deadline: None };
        self.send(CoreMessage::NodeCommand(command)).await;
    }

    pub async fn result(&self, id: CommandId) -> CommandResult {
        self.until("a command's result", |seen| results(seen).any(|result| result.command_id == id)).await;
        self.seen(|seen| results(seen).find(|result| result.command_id == id).cloned().unwrap())
    }

    /// Ends the live connection without a word.
    pub fn cut(&self) {
        if let Some(orders) = self.shared.orders.lock().unwrap().take() {
            orders.send(Order::Cut).ok();
        }
    }

    pub fn join_code(&self, secret: &str) -> String {
        let ca = self.shared.ca.as_ref().expect("a TLS Core");
        let code = JoinCode {
            addresses: vec![self.address.clone()],
            ca_sha256: *ca.fingerprint().as_bytes(),
            secret: Secret::new(secret),
        };
        code.encode().unwrap().expose().to_owned()
    }
}

pub fn results(seen: &Seen) -> impl Iterator<Item = &CommandResult> {
    seen.messages.iter().filter_map(|message| match message {
        NodeMessage::CommandResult(result) => Some(result),
        _ => None,
    })
}

pub fn pot_updates(seen: &Seen) -> impl Iterator<Item = &PotStatusUpdate> {
    seen.messages.iter().filter_map(|message| match message {
        NodeMessage::PotStatusUpdate(update) => Some(update),
        _ => None,
    })
}

async fn converse(shared: Arc<Shared>, stream: MaybeTls) {
    let (orders, mut inbox) = mpsc::unbounded_channel();
    let (mut reader, mut writer) = tokio::io::split(stream);
    shared.seen.lock().unwrap().connections += 1;
    let mut decoder = FrameDecoder::new(bee_wire::limits::FRAME_BYTES_MAX);
    let mut buffer = vec![0; 64 * 1024];
    let mut registered = false;
    loop {
        tokio::select! {
            order = inbox.recv() => match order {
                Some(Order::Send(message)) => writer.write_all(&encode_core(&message)).await.unwrap_or_default(),
                Some(Order::Cut) => break,
                None => {}
            },
            read = reader.read(&mut buffer) => {
                let Ok(len @ 1..) = read else { break };
                decoder.push(&buffer[..len]);
                while let Some(frame) = decoder.next_frame().expect("a frame within limits") {
                    let Frame::Object(bytes) = frame else { panic!("garbage from the node: {frame:?}") };
                    let message = decode_node(&bytes).expect("a message");
                    let is_registration = matches!(message, NodeMessage::NodeRegistration(_));
                    for answer in take(&shared, message) {
                        if is_registration && !registered {
                            registered = true;
                            *shared.orders.lock().unwrap() = Some(orders.clone());
                            shared.seen.lock().unwrap().live += 1;
                        }
                        if writer.write_all(&encode_core(&answer)).await.is_err() {
                            break;
                        }
                    }
                    writer.flush().await.ok();
                }
                shared.changed.notify_waiters();
            }
        }
    }
    if registered {
        shared.seen.lock().unwrap().live -= 1;
    }
    shared.changed.notify_waiters();
}

fn take(shared: &Shared, message: NodeMessage) -> Vec<CoreMessage> {
    let manners = shared.manners.lock().unwrap().clone();
    let mut seen = shared.seen.lock().unwrap();
    let mut answers = Vec::new();
    match &message {
        NodeMessage::NodeRegistration(registration) => {
            let first = seen.registrations.is_empty();
            seen.registrations.push((**registration).clone());
            if let Some((code, text)) = &manners.refusal {
                return vec![CoreMessage::RegistrationAck(Box::new(RegistrationAck::refused(
                    None, *code, text,
                )))];
            }
            let resume = seen.next.iter().next_back().map(|(stream, next_seq)| ack(stream, *next_seq));
            let certificate = match (&shared.ca, &registration.csr) {
                (Some(ca), Some(csr)) => {
                    Some(ca.sign_node(csr, registration.node_id.0, now_seconds()).unwrap())
                }
                _ => None,
            };
            answers.push(CoreMessage::RegistrationAck(Box::new(RegistrationAck {
                node_id: Some(registration.node_id),
                accepted: true,
                totp_key: first.then(|| Secret::new(TOTP_KEY)),
                features: manners.features.clone(),
                heartbeat_interval_s: Some(manners.heartbeat_s),
                certificate,
                resume: if manners.features.iter().any(|name| name == feature::BATCH) {
                    resume
                } else {
                    None
                },
                ..RegistrationAck::default()
            })));
        }
        NodeMessage::PotEventBatch(batch) => {
            let stream = batch.stream.as_str().to_owned();
            seen.batches.push((stream.clone(), batch.first_seq, batch.events.len()));
            for (n, event) in batch.events.iter().enumerate() {
                let known = seen
                    .events
                    .insert((stream.clone(), batch.first_seq + n as u64), event.data.get().to_owned());
                seen.repeats += u64::from(known.is_some());
            }
            let next = seen.next.entry(stream.clone()).or_default();
            *next = (*next).max(batch.first_seq + batch.events.len() as u64);
            let next = *next;
            if manners.acknowledges {
                answers.push(CoreMessage::EventAck(ack(&stream, next)));
            }
        }
        NodeMessage::PotEvent(event) => seen.plain_events.push(event.data.get().to_owned()),
        NodeMessage::ArtifactChunk(chunk) => {
            let bytes = seen.artifacts.entry(chunk.artifact.to_string()).or_default();
            bytes.truncate(usize::try_from(chunk.offset).unwrap());
            bytes.extend_from_slice(&chunk.data);
        }
        NodeMessage::ArtifactEnd(end) => {
            let size = seen.artifacts.get(&end.artifact.to_string()).map_or(0, Vec::len) as u64;
            answers.push(CoreMessage::EventAck(EventAck { stream: end.artifact.stream(), next_seq: size }));
        }
        _ => {}
    }
    if !matches!(message, NodeMessage::PotEventBatch(_) | NodeMessage::ArtifactChunk(_)) {
        seen.messages.push(message);
    }
    answers
}

fn ack(stream: &str, next_seq: u64) -> EventAck {
    EventAck { stream: StreamId::new(stream).unwrap(), next_seq }
}

pub fn now_seconds() -> i64 {
    let since = std::time::SystemTime::now().duration_since(std::time::UNIX_EPOCH).unwrap();
    i64::try_from(since.as_secs()).unwrap()
}

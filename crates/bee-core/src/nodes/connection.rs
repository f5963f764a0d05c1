//! One connection of a node: bytes to messages, messages to the session, and what the session wants, done.
//!
//! The task owns the session and never shares it. It reads only when it can go on: while a decision is pending
//! or ingest has no room, the peer's bytes wait in its own socket. An idle connection holds no read buffer.

use std::future::poll_fn;
use std::mem::MaybeUninit;
use std::net::SocketAddr;
use std::pin::Pin;
use std::sync::Arc;
use std::task::Poll;

use bee_daemon::escape::untrusted;
use bee_daemon::stream::MaybeTls;
use bee_daemon::tls::Fingerprint;
use bee_link::core::{BatchHead, Input, Output, Peer, PeerCertificate, Session, Verdict};
use bee_wire::node::{NodeEvent, NodeEventKind};
use bee_wire::{
    CoreMessage, DecodeError, ErrorCode, EventRef, Frame, FrameDecoder, FrameTooLarge, Micros, NodeFrame,
    NodeId, PotEvent, StreamId, decode_node_frame, encode_core,
};
use tokio::io::{AsyncRead as _, AsyncWriteExt as _, ReadBuf};

use super::artifacts::Artifacts;
use super::{Hub, Slot, fingerprint_hex};
use crate::fleet::LiveNode;
use crate::ingest::record::{Encoded, Source};
use crate::ingest::{AckSink, Reply};
use crate::limits;

/// Serves one connection until it ends.
pub(super) async fn run(stream: MaybeTls, from: SocketAddr, slot: Slot, hub: &Arc<Hub>) {
    let certificate = match stream.peer_node_id() {
        Ok(node_id) => node_id.map(|id| PeerCertificate {
            node_id: NodeId(id),
            sha256: stream
                .peer_certificates()
                .first()
                .map(|leaf| fingerprint_hex(&Fingerprint::of(leaf)))
                .unwrap_or_default(),
        }),
        Err(error) => {
            hub.counters.node_tls_failures.one();
            tracing::info!(%from, %error, "a client certificate names no node");
            return;
        }
    };
    let session = Session::new(hub.session.clone(), hub.fleet.now());
    slot.mailbox.note(Some(hub.fleet.now().unix_ms), session.next_deadline());
    let mut connection = Connection {
        hub,
        peer: Peer { addr: from.ip(), certificate },
        from,
        tls: stream.is_tls(),
        stream,
        session,
        decoder: FrameDecoder::new(bee_wire::limits::FRAME_BYTES_BEFORE_REGISTRATION_MAX),
        out: Vec::new(),
        node_id: None,
        artifacts: Artifacts::new(hub.vault.clone(), Arc::clone(&hub.counters)),
        foreign_ids: 0,
        slot,
    };
    connection.serve().await;
}

struct Connection<'a> {
    hub: &'a Arc<Hub>,
    peer: Peer,
    from: SocketAddr,
    tls: bool,
    stream: MaybeTls,
    session: Session,
    decoder: FrameDecoder,
    // Encoded answers, written once the session has said all it has to say.
    out: Vec<u8>,
    node_id: Option<NodeId>,
    artifacts: Artifacts,
    foreign_ids: u64,
    slot: Slot,
}

/// Why a connection's loop ends.
enum End {
    /// The session said so; what it wanted to send was sent.
    Closed,
    /// The transport is gone or was given up.
    Lost,
}

impl Connection<'_> {
    async fn serve(&mut self) {
        let end = self.turn_until_end().await;
        if matches!(end, End::Lost) {
            self.session.handle(self.hub.fleet.now(), Input::Closed);
            while let Some(output) = self.session.poll_output() {
                if let Output::Gone { .. } = output {
                    self.gone().await;
                }
            }
        }
        // The peer gets a clean end; it has no more time than any other write.
        let _ = tokio::time::timeout(limits::WRITE_MAX, self.stream.shutdown()).await;
    }

    async fn turn_until_end(&mut self) -> End {
        loop {
            if let Err(end) = self.drain().await {
                return end;
            }
            self.slot.mailbox.note(None, self.session.next_deadline());
            for input in self.slot.mailbox.take() {
                self.session.handle(self.hub.fleet.now(), input);
                if let Err(end) = self.drain().await {
                    return end;
                }
            }
            if self.session.wants_message() {
                match self.decoder.next_frame() {
                    Ok(Some(frame)) => {
                        if let Err(end) = self.frame(frame).await {
                            return end;
                        }
                        continue;
                    }
                    Ok(None) => {}
                    Err(FrameTooLarge { max }) => {
                        self.hub.counters.frames_too_large.one();
                        tracing::info!(from = %self.from, node_id = self.node_id.map(|id| id.0), max, "a frame passes the size limit");
                        self.session.handle(self.hub.fleet.now(), Input::FrameTooLarge);
                        continue;
                    }
                }
            }
            let reading = self.session.wants_message();
            tokio::select! {
                () = self.slot.mailbox.arrived() => {}
                () = self.hub.stop.cancelled(), if !self.session.is_closed() => {
                    let reason = "Core is stopping; try again in a moment".to_owned();
                    self.session.handle(self.hub.fleet.now(), Input::Shutdown { code: ErrorCode::ConnectionFailed, reason });
                }
                read = read_some(&mut self.stream, &mut self.decoder), if reading => match read {
                    Ok(0) | Err(_) => return End::Lost,
                    Ok(bytes) => {
                        self.hub.counters.node_bytes.add(bytes as u64);
                        self.slot.mailbox.note(Some(self.hub.fleet.now().unix_ms), self.session.next_deadline());
                    }
                }
            }
        }
    }

    async fn frame(&mut self, frame: Frame) -> Result<(), End> {
        let now = self.hub.fleet.now();
        let counters = &self.hub.counters;
        counters.node_messages.one();
        let bytes = match frame {
            Frame::Object(bytes) => bytes,
            Frame::Garbage(garbage) => {
                counters.frames_garbage.one();
                tracing::debug!(from = %self.from, bytes = garbage.bytes, reason = %garbage.reason, "bytes that are no message");
                self.session.handle(now, Input::Garbage);
                return Ok(());
            }
        };
        match decode_node_frame(&bytes) {
            Ok(NodeFrame::Message(message)) => self.session.handle(now, Input::Message(message)),
            Ok(NodeFrame::Batch(batch)) => {
                let Ok(stream) = StreamId::new(batch.stream.as_ref()) else { return Ok(()) };
                let head = BatchHead {
                    node_id: batch.node_id,
                    stream: stream.clone(),
                    first_seq: batch.first_seq,
                    events_count: batch.events.len() as u64,
                };
                let accepted = self.session.batch(now, &head);
                if let (true, Some(node_id)) = (accepted, self.node_id) {
                    let received = self.hub.fleet.time();
                    let encoded = Encoded::new(
                        Source::Numbered,
                        node_id,
                        stream.as_str(),
                        head.first_seq,
                        received,
                        batch.events.into_iter(),
                        bytes.len(),
                    );
                    // The frame is not needed while there is no room.
                    drop(bytes);
                    let sink = Arc::clone(&self.slot.mailbox) as Arc<dyn AckSink>;
                    self.store(encoded, Reply::Node(stream, sink)).await?;
                }
            }
            Err(error) => {
                match &error {
                    DecodeError::VersionMismatch { .. } => counters.frames_wrong_version.one(),
                    DecodeError::UnknownMessage { .. } => counters.frames_unknown.one(),
                    DecodeError::Malformed { .. } | DecodeError::NotJson { .. } => {
                        counters.frames_malformed.one()
                    }
                }
                tracing::debug!(from = %self.from, error = %untrusted(&error.to_string()), "a message that cannot be read");
                self.session.handle(now, Input::Undecodable(error));
            }
        }
        Ok(())
    }

    /// Carries out what the session wants, in order, then sends what it has to say.
    async fn drain(&mut self) -> Result<(), End> {
        let mut close = None;
        while let Some(output) = self.session.poll_output() {
            if let Output::Close { code, reason } = output {
                close = Some((code, reason));
                break;
            }
            self.carry_out(output).await?;
        }
        let foreign = self.session.counters().foreign_node_ids;
        if foreign > self.foreign_ids {
            self.hub.counters.node_id_forged.add(foreign - self.foreign_ids);
            self.foreign_ids = foreign;
        }
        self.flush().await?;
        match close {
            None => Ok(()),
            Some((code, reason)) => {
                self.said_goodbye(code, &reason);
                Err(End::Closed)
            }
        }
    }

    async fn carry_out(&mut self, output: Output) -> Result<(), End> {
        let hub = self.hub;
        match output {
            Output::Send(message) => self.out.extend_from_slice(&encode_core(&message)),
            Output::Decide(request) => {
                // What was said before (nothing, today) must not wait for a disk.
                self.flush().await?;
                let seconds = hub.fleet.now().unix_ms.div_euclid(1_000);
                let mut verdict = hub
                    .fleet
                    .decide(&request, &self.peer, |csr, node_id| hub.sign(csr, node_id, seconds))
                    .await;
                if let Verdict::Accept(accepted) = &mut verdict {
                    let resume = hub.marks.lock().resume(accepted.node_id);
                    accepted.resume = resume.map(|mark| bee_wire::core::EventAck {
                        stream: mark.stream,
                        next_seq: mark.next_seq,
                    });
                }
                self.session.handle(hub.fleet.now(), Input::Verdict(verdict));
            }
            Output::Registered { node_id, registration, features } => {
                // The answer goes out behind this: a node that has it is known to everybody here.
                self.registered(node_id, &registration.node_name, features).await;
            }
            Output::Ingest(batch) => {
                if let Some(node_id) = self.node_id {
                    let events = batch.events.iter().map(PotEvent::borrowed);
                    let received = hub.fleet.time();
                    let encoded = Encoded::new(
                        Source::Numbered,
                        node_id,
                        batch.stream.as_str(),
                        batch.first_seq,
                        received,
                        events,
                        0,
                    );
                    let sink = Arc::clone(&self.slot.mailbox) as Arc<dyn AckSink>;
                    self.store(encoded, Reply::Node(batch.stream.clone(), sink)).await?;
                }
            }
            Output::IngestEvent(event) => self.store_one(event.borrowed()).await?,
            Output::Status { status, health } => {
                if let Some(node_id) = self.node_id {
                    hub.fleet.status(node_id, self.slot.id, status, health).await;
                }
            }
            Output::NodeEvent(event) => self.node_event(event).await?,
            Output::PotStatus(update) => {
                if let Some(node_id) = self.node_id {
                    hub.fleet.pot_status(node_id, update).await;
                }
            }
            Output::CommandResult(result) => {
                if let Some(node_id) = self.node_id {
                    hub.fleet.command_result(node_id, result).await;
                }
            }
            Output::CommandSent { command_id, answered } => {
                // A command counts as sent when it is on the wire.
                self.flush().await?;
                hub.fleet.command_sent(command_id, answered).await;
            }
            Output::ArtifactBegin(begin) => {
                if let Some(node_id) = self.node_id {
                    let answer = self.artifacts.begin(node_id, begin).await;
                    self.artifact_answer(answer);
                }
            }
            Output::ArtifactChunk(chunk) => {
                let answer = self.artifacts.chunk(chunk).await;
                self.artifact_answer(answer);
            }
            Output::ArtifactEnd(end) => {
                let time = hub.fleet.time();
                let answer = self.artifacts.end(end, time).await;
                self.artifact_answer(answer);
            }
            Output::Gone { .. } => self.gone().await,
            Output::Close { .. } => {}
        }
        Ok(())
    }

    async fn registered(&mut self, node_id: NodeId, node_name: &str, features: Vec<String>) {
        self.node_id = Some(node_id);
        self.slot.registered();
        self.decoder.set_max_frame_bytes(self.hub.max_frame_bytes);
        self.hub.counters.node_registrations.one();
        tracing::info!(%node_id, name = %untrusted(node_name), from = %self.from, tls = self.tls, "node connected");
        let live = LiveNode {
            connection: self.slot.id,
            mailbox: Arc::clone(&self.slot.mailbox),
            from: self.from,
            tls: self.tls,
            features,
            health: None,
        };
        self.hub.fleet.attach(node_id, node_name, live).await;
    }

    async fn gone(&mut self) {
        if let Some(node_id) = self.node_id.take() {
            self.hub.fleet.detach(node_id, self.slot.id).await;
            tracing::info!(%node_id, "node disconnected");
        }
    }

    fn said_goodbye(&self, code: Option<ErrorCode>, reason: &str) {
        let Some(code) = code else { return };
        let counters = &self.hub.counters;
        if self.node_id.is_none() {
            counters.node_registrations_refused.one();
            match code {
                ErrorCode::AuthenticationFailed if reason.contains("in time") => {
                    counters.node_registration_timeouts.one()
                }
                ErrorCode::AuthenticationFailed => counters.node_auth_failures.one(),
                _ => {}
            }
        }
        tracing::info!(from = %self.from, node_id = self.node_id.map(|id| id.0), %code, reason = %untrusted(reason), "connection closed");
    }

    /// Alarms and errors of a node are evidence: they are kept as events.
    async fn node_event(&mut self, event: NodeEvent) -> Result<(), End> {
        let event_type = match event.kind {
            NodeEventKind::Alarm => "honeybee.node.alarm",
            NodeEventKind::Error => "honeybee.node.error",
            NodeEventKind::Started | NodeEventKind::Stopped => return Ok(()),
        };
        let text = event.message.or(event.description).unwrap_or_default();
        let data = serde_json::json!({ "message": text }).to_string();
        let Ok(data) = serde_json::value::RawValue::from_string(data) else { return Ok(()) };
        self.store_one(EventRef {
            node_id: None,
            pot_id: "node".into(),
            pot_type: Some("honeybee".into()),
            event_type: event_type.into(),
            timestamp: None,
            data: std::borrow::Cow::Owned(data),
        })
        .await
    }

    async fn store_one(&mut self, event: EventRef<'_>) -> Result<(), End> {
        let Some(node_id) = self.node_id else { return Ok(()) };
        let received: Micros = self.hub.fleet.time();
        let bytes = event.data.get().len() + 256;
        let encoded = Encoded::new(Source::Legacy, node_id, "", 0, received, std::iter::once(event), bytes);
        self.store(encoded, Reply::None).await
    }

    /// Waits for room in the queue, which is the back-pressure on this node.
    async fn store(&mut self, encoded: Encoded, reply: Reply) -> Result<(), End> {
        self.hub.ingest.push(encoded, reply).await.map_err(|_| End::Lost)
    }

    fn artifact_answer(&mut self, answer: Option<super::artifacts::Answer>) {
        match answer {
            None => {}
            Some(super::artifacts::Answer::Stored { stream, next_seq }) => {
                self.session.handle(self.hub.fleet.now(), Input::Stored { stream, next_seq });
            }
            Some(super::artifacts::Answer::Refused { code, message }) => {
                tracing::warn!(node_id = self.node_id.map(|id| id.0), message, "an artifact was refused");
                if self.session.has_feature(bee_wire::node::feature::ERRORS) {
                    let reply = bee_wire::core::ErrorReply::new(code, message);
                    self.out.extend_from_slice(&encode_core(&CoreMessage::Error(reply)));
                }
            }
        }
    }

    async fn flush(&mut self) -> Result<(), End> {
        if self.out.is_empty() {
            return Ok(());
        }
        let out = std::mem::take(&mut self.out);
        let writing = async {
            self.stream.write_all(&out).await?;
            self.stream.flush().await
        };
        match tokio::time::timeout(limits::WRITE_MAX, writing).await {
            Ok(Ok(())) => Ok(()),
            Ok(Err(_)) => Err(End::Lost),
            Err(_) => {
                self.hub.counters.node_write_timeouts.one();
                tracing::info!(from = %self.from, node_id = self.node_id.map(|id| id.0), "the peer does not read; its connection is cut");
                Err(End::Lost)
            }
        }
    }
}

/// Reads what there is into the decoder. The buffer lives on the stack of one poll: a connection that waits
/// holds none.
async fn read_some(stream: &mut MaybeTls, decoder: &mut FrameDecoder) -> std::io::Result<usize> {
    poll_fn(|cx| {
        let mut space = [const { MaybeUninit::<u8>::uninit() }; limits::READ_BYTES];
        let mut buffer = ReadBuf::uninit(&mut space);
        match Pin::new(&mut *stream).poll_read(cx, &mut buffer) {
            Poll::Pending => Poll::Pending,
            Poll::Ready(Err(error)) => Poll::Ready(Err(error)),
            Poll::Ready(Ok(())) => {
                decoder.push(buffer.filled());
                Poll::Ready(Ok(buffer.filled().len()))
            }
        }
    })
    .await
}

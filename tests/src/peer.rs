//! A raw connection that speaks whatever bytes a test wants, and reads JSON objects back: a hand-written node, a
//! module over TCP, a client of the intake.

use std::net::SocketAddr;
use std::time::Duration;

use bee_daemon::stream::MaybeTls;
use bee_daemon::tls::{ClientError, ClientTls, ServerIdentity, Trust};
use bee_wire::{Frame, FrameDecoder};
use serde_json::Value;
use tokio::io::{AsyncReadExt as _, AsyncWriteExt as _};
use tokio::net::{TcpSocket, TcpStream};

use crate::wait::PATIENCE;

const CONNECT_WITHIN: Duration = Duration::from_secs(20);

/// What came.
#[derive(Debug, PartialEq)]
pub enum Heard {
    /// A JSON object.
    Message(Value),
    /// The other side has closed the connection.
    Closed,
    /// Neither, for as long as was waited.
    Nothing,
}

/// One connection.
#[derive(Debug)]
pub struct Peer {
    stream: MaybeTls,
    decoder: FrameDecoder,
}

impl Peer {
    /// Connects without encryption.
    pub async fn plain(address: SocketAddr) -> Self {
        let stream = TcpStream::connect(address).await.unwrap();
        stream.set_nodelay(true).unwrap();
        Self::over(MaybeTls::Plain(stream))
    }

    /// Connects without encryption from a loopback address of its own, such as 127.0.0.9.
    pub async fn plain_from(source: [u8; 4], address: SocketAddr) -> Self {
        let socket = TcpSocket::new_v4().unwrap();
        socket.bind((source, 0).into()).unwrap();
        let stream = socket.connect(address).await.unwrap();
        stream.set_nodelay(true).unwrap();
        Self::over(MaybeTls::Plain(stream))
    }

    /// Connects with TLS, perhaps with a certificate.
    ///
    /// # Errors
    /// What the handshake said.
    pub async fn tls(
        address: SocketAddr,
        trust: &Trust,
        identity: Option<ServerIdentity>,
    ) -> Result<Self, ClientError> {
        let tls = ClientTls::new(trust, None, identity)?;
        let stream = TcpStream::connect(address).await.unwrap();
        Ok(Self::over(tls.handshake(stream, CONNECT_WITHIN).await?))
    }

    /// The same from a loopback address of its own.
    ///
    /// # Errors
    /// What the handshake said.
    pub async fn tls_from(source: [u8; 4], address: SocketAddr, trust: &Trust) -> Result<Self, ClientError> {
        let tls = ClientTls::new(trust, None, None)?;
        let socket = TcpSocket::new_v4().unwrap();
        socket.bind((source, 0).into()).unwrap();
        let stream = socket.connect(address).await.unwrap();
        Ok(Self::over(tls.handshake(stream, CONNECT_WITHIN).await?))
    }

    fn over(stream: MaybeTls) -> Self {
        Self { stream, decoder: FrameDecoder::new(bee_wire::limits::FRAME_BYTES_MAX) }
    }

    /// Sends bytes as they are; `false` if the other side no longer takes any.
    pub async fn send_raw(&mut self, bytes: &[u8]) -> bool {
        let work = async { self.stream.write_all(bytes).await.is_ok() && self.stream.flush().await.is_ok() };
        tokio::time::timeout(PATIENCE, work).await.unwrap_or(false)
    }

    /// Sends a message in the envelope of version 2, with a line break.
    pub async fn send(&mut self, message: &Value) -> bool {
        let envelope = serde_json::json!({"version": 2, "message": message});
        self.send_raw(format!("{envelope}\n").as_bytes()).await
    }

    /// Sends any JSON value as a line.
    pub async fn send_line(&mut self, line: &Value) -> bool {
        self.send_raw(format!("{line}\n").as_bytes()).await
    }

    /// What comes next, for as long as `within`.
    pub async fn hear(&mut self, within: Duration) -> Heard {
        tokio::time::timeout(within, self.next()).await.unwrap_or(Heard::Nothing)
    }

    /// The next object, which must come.
    pub async fn recv(&mut self) -> Value {
        match self.hear(PATIENCE).await {
            Heard::Message(value) => value,
            other => panic!("a message was expected, and this came: {other:?}"),
        }
    }

    /// The payload of the next message in an envelope.
    pub async fn recv_message(&mut self) -> Value {
        let mut envelope = self.recv().await;
        assert_eq!(envelope["version"], 2, "{envelope}");
        envelope["message"].take()
    }

    /// Reads on until a message of that name, and gives its fields.
    pub async fn recv_named(&mut self, name: &str) -> Value {
        loop {
            let message = self.recv_message().await;
            if let Some(fields) = message.get(name) {
                return fields.clone();
            }
        }
    }

    /// Reads and forgets until the other side closes; panics if it does not within the time.
    pub async fn wait_closed(&mut self, within: Duration) {
        let work = async { while self.next().await != Heard::Closed {} };
        let closed = tokio::time::timeout(within, work).await;
        assert!(closed.is_ok(), "the connection was still open after {within:?}");
    }

    /// Closes our side.
    pub async fn close(mut self) {
        // The other side may be gone already.
        let _ = self.stream.shutdown().await;
    }

    /// Cancel-safe: what was read stays in the decoder.
    async fn next(&mut self) -> Heard {
        let mut buffer = [0; 16 * 1024];
        loop {
            match self.decoder.next_frame() {
                Ok(Some(Frame::Object(bytes))) => {
                    return Heard::Message(serde_json::from_slice(&bytes).unwrap());
                }
                Ok(Some(Frame::Garbage(garbage))) => panic!("the other side sent no JSON: {garbage:?}"),
                Ok(None) => {}
                Err(error) => panic!("{error}"),
            }
            match self.stream.read(&mut buffer).await {
                Ok(0) | Err(_) => return Heard::Closed,
                Ok(len) => self.decoder.push(&buffer[..len]),
            }
        }
    }
}

//! A peer that sends and takes whole messages, over bare TCP or WebSocket.
//!
//! Limits of size are kept here; deadlines for writing are kept by the stream underneath (`api::stream`).

use std::future::Future;
use std::io;
use std::pin::Pin;
use std::task::{Context, Poll};
use std::time::Duration;

use bee_wire::ErrorCode;
use bee_wire::frame::{Frame, FrameDecoder};
use bee_wire::limits::FRAME_BYTES_BEFORE_REGISTRATION_MAX;
use bytes::Bytes;
use futures_util::{SinkExt as _, StreamExt as _};
use tokio::io::{AsyncBufReadExt as _, AsyncRead, AsyncWrite, AsyncWriteExt as _, BufReader, ReadBuf};
use tokio::net::TcpStream;
use tokio_tungstenite::WebSocketStream;
use tokio_tungstenite::tungstenite::error::CapacityError;
use tokio_tungstenite::tungstenite::protocol::{CloseFrame, Role, WebSocketConfig, frame::coding::CloseCode};
use tokio_tungstenite::tungstenite::{Error as WsError, Message, Utf8Bytes};

use crate::api::limits;

/// Bytes read from a WebSocket at once. The library's default is sixteen times that, for every idle socket.
const WS_BUFFER_BYTES: usize = 8 << 10;

/// What came from a peer.
pub(crate) enum Received {
    /// The bytes of a message, not yet looked at.
    Frame(Bytes),
    /// Something that is no message; the next one may be.
    Garbage(String),
    /// Something after which the connection has to end, once the peer has been told.
    Fatal {
        /// What it was.
        code: ErrorCode,
        /// For people.
        text: String,
    },
    /// The peer is gone.
    Closed,
}

/// A peer of the module protocol.
pub(crate) trait Peer: Send {
    /// The next thing it sends. Safe to drop while waiting.
    fn recv(&mut self) -> impl Future<Output = Received> + Send;

    /// Writes messages, each encoded with its newline.
    fn send(&mut self, messages: Vec<Vec<u8>>) -> impl Future<Output = io::Result<()>> + Send;

    /// The peer has registered: from here on a message may be so large.
    fn registered(&mut self, max_frame_bytes: usize);

    /// Ends the connection in a way that lets the peer read our last words.
    fn close(self) -> impl Future<Output = ()> + Send;
}

/// JSON objects over a byte stream.
pub(crate) struct TcpPeer<S> {
    stream: BufReader<S>,
    decoder: FrameDecoder,
}

impl<S: AsyncRead + AsyncWrite + Unpin + Send> TcpPeer<S> {
    /// A peer whose messages have at most `max_frame_bytes` until it has registered.
    pub(crate) fn new(stream: BufReader<S>, max_frame_bytes: usize) -> Self {
        Self { stream, decoder: FrameDecoder::new(max_frame_bytes) }
    }
}

impl<S: AsyncRead + AsyncWrite + Unpin + Send> Peer for TcpPeer<S> {
    async fn recv(&mut self) -> Received {
        loop {
            match self.decoder.next_frame() {
                Ok(Some(Frame::Object(bytes))) => return Received::Frame(bytes),
                Ok(Some(Frame::Garbage(garbage))) => return Received::Garbage(garbage.reason.to_string()),
                Err(error) => {
                    return Received::Fatal { code: ErrorCode::MessageTooLarge, text: error.to_string() };
                }
                Ok(None) => {}
            }
            let read = match self.stream.fill_buf().await {
                Ok(bytes) => {
                    self.decoder.push(bytes);
                    bytes.len()
                }
                Err(_) => return Received::Closed,
            };
            if read == 0 {
                return Received::Closed;
            }
            self.stream.consume(read);
        }
    }

    async fn send(&mut self, messages: Vec<Vec<u8>>) -> io::Result<()> {
        for message in messages {
            self.stream.write_all(&message).await?;
        }
        self.stream.flush().await
    }

    fn registered(&mut self, max_frame_bytes: usize) {
        self.decoder.set_max_frame_bytes(max_frame_bytes);
    }

    async fn close(mut self) {
        let linger = async {
            self.stream.shutdown().await?;
            // A socket closed with unread bytes resets, and the reset overtakes what we wrote.
            let mut thrown_away = 0_usize;
            while thrown_away < limits::LINGER_BYTES_MAX {
                let read = self.stream.fill_buf().await?.len();
                if read == 0 {
                    break;
                }
                thrown_away += read;
                self.stream.consume(read);
            }
            io::Result::Ok(())
        };
        // The peer is being left; that it went first is no news.
        let _ = tokio::time::timeout(limits::LINGER_MAX, linger).await;
    }
}

/// One JSON message a text frame.
pub(crate) struct WsPeer<S> {
    socket: WebSocketStream<Budget<S>>,
    close: CloseCode,
}

impl<S: AsyncRead + AsyncWrite + Unpin + Send> WsPeer<S> {
    /// A peer after its handshake.
    pub(crate) async fn new(stream: S, max_frame_bytes: usize) -> Self {
        let config = WebSocketConfig::default()
            .read_buffer_size(WS_BUFFER_BYTES)
            .write_buffer_size(0)
            .max_message_size(Some(max_frame_bytes))
            .max_frame_size(Some(max_frame_bytes));
        // The library's limit is fixed for a connection, so what a stranger may send is bounded below it.
        let stream = Budget { inner: stream, left: Some(FRAME_BYTES_BEFORE_REGISTRATION_MAX) };
        let socket = WebSocketStream::from_raw_socket(stream, Role::Server, Some(config)).await;
        Self { socket, close: CloseCode::Normal }
    }
}

impl<S: AsyncRead + AsyncWrite + Unpin + Send> Peer for WsPeer<S> {
    async fn recv(&mut self) -> Received {
        loop {
            let error = match self.socket.next().await {
                Some(Ok(Message::Text(text))) => return Received::Frame(Bytes::from(text)),
                Some(Ok(Message::Binary(_))) => {
                    return Received::Garbage(
                        "expected a text frame with one JSON message, got a binary one".to_owned(),
                    );
                }
                Some(Ok(Message::Ping(_) | Message::Pong(_) | Message::Frame(_))) => continue,
                Some(Ok(Message::Close(_))) | None => return Received::Closed,
                Some(Err(error)) => error,
            };
            let spent = self.socket.get_ref().left == Some(0);
            return match error {
                WsError::Capacity(CapacityError::MessageTooLong { max_size, .. }) => self.too_large(max_size),
                WsError::Io(_) if spent => self.too_large(FRAME_BYTES_BEFORE_REGISTRATION_MAX),
                WsError::Utf8(_) => {
                    self.close = CloseCode::Invalid;
                    let text = "a text frame is not UTF-8".to_owned();
                    Received::Fatal { code: ErrorCode::MessageParseFailed, text }
                }
                WsError::Protocol(error) => {
                    self.close = CloseCode::Protocol;
                    Received::Fatal { code: ErrorCode::MessageParseFailed, text: error.to_string() }
                }
                _ => Received::Closed,
            };
        }
    }

    async fn send(&mut self, messages: Vec<Vec<u8>>) -> io::Result<()> {
        for mut message in messages {
            if message.last() == Some(&b'\n') {
                message.pop();
            }
            let text = Utf8Bytes::try_from(message).map_err(io::Error::other)?;
            self.socket.feed(Message::Text(text)).await.map_err(to_io)?;
        }
        self.socket.flush().await.map_err(to_io)
    }

    fn registered(&mut self, _max_frame_bytes: usize) {
        self.socket.get_mut().left = None;
    }

    async fn close(mut self) {
        self.socket.get_mut().left = Some(limits::LINGER_BYTES_MAX);
        let frame = CloseFrame { code: self.close, reason: Utf8Bytes::default() };
        let goodbye = async {
            self.socket.close(Some(frame)).await?;
            // Until the peer has answered the close, or is gone.
            while let Some(Ok(_)) = self.socket.next().await {}
            self.socket.get_mut().inner.shutdown().await?;
            Ok::<(), WsError>(())
        };
        let _ = tokio::time::timeout(limits::LINGER_MAX, goodbye).await;
    }
}

impl<S> WsPeer<S> {
    fn too_large(&mut self, max: usize) -> Received {
        self.close = CloseCode::Size;
        Received::Fatal {
            code: ErrorCode::MessageTooLarge,
            text: format!("a message may have at most {max} bytes"),
        }
    }
}

fn to_io(error: WsError) -> io::Error {
    match error {
        WsError::Io(error) => error,
        other => io::Error::other(other),
    }
}

/// A stream that gives so many bytes and then an error; `None` is without limit.
struct Budget<S> {
    inner: S,
    left: Option<usize>,
}

impl<S: AsyncRead + Unpin> AsyncRead for Budget<S> {
    fn poll_read(self: Pin<&mut Self>, cx: &mut Context<'_>, buf: &mut ReadBuf<'_>) -> Poll<io::Result<()>> {
        let this = self.get_mut();
        if this.left == Some(0) {
            return Poll::Ready(Err(io::Error::other("more bytes than a stranger may send")));
        }
        let before = buf.filled().len();
        let polled = Pin::new(&mut this.inner).poll_read(cx, buf);
        let read = buf.filled().len().saturating_sub(before);
        this.left = this.left.map(|left| left.saturating_sub(read));
        polled
    }
}

impl<S: AsyncWrite + Unpin> AsyncWrite for Budget<S> {
    fn poll_write(self: Pin<&mut Self>, cx: &mut Context<'_>, buf: &[u8]) -> Poll<io::Result<usize>> {
        Pin::new(&mut self.get_mut().inner).poll_write(cx, buf)
    }

    fn poll_flush(self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<io::Result<()>> {
        Pin::new(&mut self.get_mut().inner).poll_flush(cx)
    }

    fn poll_shutdown(self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<io::Result<()>> {
        Pin::new(&mut self.get_mut().inner).poll_shutdown(cx)
    }
}

/// Lets the kernel find out about peers that vanished: the protocol itself may be silent for days.
pub(crate) fn keep_alive(stream: &TcpStream) {
    use rustix::net::sockopt;

    const IDLE: Duration = Duration::from_secs(60);
    const INTERVAL: Duration = Duration::from_secs(15);
    const PROBES: u32 = 4;
    // A kernel that refuses leaves the connection as it was.
    let _ = stream.set_nodelay(true);
    let _ = sockopt::set_socket_keepalive(stream, true);
    let _ = sockopt::set_tcp_keepidle(stream, IDLE);
    let _ = sockopt::set_tcp_keepintvl(stream, INTERVAL);
    let _ = sockopt::set_tcp_keepcnt(stream, PROBES);
}

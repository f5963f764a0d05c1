//! The TCP stream as russh gets it, with three things done before and beside it.
//!
//! 1. The identification lines are exchanged here, as OpenSSH does it, with a bound and its error texts for clients that
//!    do not speak SSH 2. russh then finds the client's line already waiting, and its own is swallowed: it was sent.
//! 2. The client's first packets pass through a tee until its KEXINIT is known or cannot come.
//! 3. A token ends the stream: that is how a stopping trap or a full session time reaches a session inside russh.

use std::io;
use std::pin::Pin;
use std::task::{Context, Poll, ready};

use bytes::{Buf, Bytes};
use tokio::io::{AsyncRead, AsyncReadExt, AsyncWrite, AsyncWriteExt, ReadBuf};
use tokio::net::TcpStream;
use tokio_util::sync::{CancellationToken, WaitForCancellationFutureOwned};

use super::kexinit::{KexInit, Parsed};
use crate::limits::{KEXINIT_MAX, SSH_ID_MAX};

/// Called once with the client's KEXINIT.
type OnKexInit = Box<dyn FnOnce(KexInit) + Send>;

/// See the module.
pub(super) struct SshStream {
    stream: TcpStream,
    /// Bytes read from the client and not yet given to russh.
    waiting: Bytes,
    /// Bytes that russh is going to write and that the client has already.
    swallow: usize,
    /// The tee: what was seen after the identification line, until the KEXINIT is known.
    seen: Option<(Vec<u8>, OnKexInit)>,
    stopped: Pin<Box<WaitForCancellationFutureOwned>>,
}

/// How the exchange of identification lines ended.
pub(super) enum Greeting {
    /// The client speaks SSH 2: its line without line end, and all bytes read so far, that line included.
    Version(Vec<u8>, Bytes),
    /// It does not, or its line cannot be used; the first bytes of what it said. It was answered as OpenSSH answers.
    NotSsh(Vec<u8>),
    /// It went away before its line was whole.
    Gone(Vec<u8>),
}

/// Sends our line and reads the client's. The caller bounds the time.
pub(super) async fn greet(stream: &mut TcpStream, banner: &str) -> io::Result<Greeting> {
    stream.write_all(format!("{banner}\r\n").as_bytes()).await?;
    let mut read = Vec::with_capacity(2048);
    loop {
        if let Some(end) = read.iter().position(|b| *b == b'\n') {
            let line: &[u8] = read.get(..end).unwrap_or_default();
            let line = line.strip_suffix(b"\r").unwrap_or(line);
            let complaint: &[u8] = if line.len() <= SSH_ID_MAX
                && std::str::from_utf8(line).is_ok()
                && (line.starts_with(b"SSH-2.0-") || line.starts_with(b"SSH-1.99-"))
            {
                return Ok(Greeting::Version(line.to_vec(), read.into()));
            } else if line.starts_with(b"SSH-")
                && line.iter().filter(|b| **b == b'-').count() >= 2
                && !line.starts_with(b"SSH-2.")
            {
                b"Protocol major versions differ.\r\n"
            } else {
                b"Invalid SSH identification string.\r\n"
            };
            stream.write_all(complaint).await?;
            return Ok(Greeting::NotSsh(read));
        }
        if read.len() > SSH_ID_MAX + 2 {
            stream.write_all(b"Invalid SSH identification string.\r\n").await?;
            return Ok(Greeting::NotSsh(read));
        }
        match stream.read_buf(&mut read).await {
            Ok(0) => return Ok(Greeting::Gone(read)),
            Ok(_) => {}
            Err(_) => return Ok(Greeting::Gone(read)),
        }
    }
}

impl SshStream {
    /// Continues after [`greet`]. `read` is what was read, `id_len` the length of the client's line with its end,
    /// `banner_len` that of ours.
    pub(super) fn new(
        stream: TcpStream,
        read: Bytes,
        id_len: usize,
        banner_len: usize,
        stop: CancellationToken,
        on_kexinit: OnKexInit,
    ) -> Self {
        let after = read.get(id_len..).unwrap_or_default().to_vec();
        let mut this = Self {
            stream,
            waiting: read,
            swallow: banner_len,
            seen: Some((Vec::new(), on_kexinit)),
            stopped: Box::pin(stop.cancelled_owned()),
        };
        this.tee(&after);
        this
    }

    fn tee(&mut self, bytes: &[u8]) {
        let Some((mut seen, on_kexinit)) = self.seen.take() else { return };
        seen.extend_from_slice(bytes);
        match KexInit::parse(&seen) {
            Parsed::Found(found) => on_kexinit(*found),
            Parsed::Incomplete if seen.len() <= 2 * KEXINIT_MAX => self.seen = Some((seen, on_kexinit)),
            Parsed::Incomplete | Parsed::Invalid => {}
        }
    }
}

impl AsyncRead for SshStream {
    fn poll_read(self: Pin<&mut Self>, cx: &mut Context<'_>, buf: &mut ReadBuf<'_>) -> Poll<io::Result<()>> {
        let this = self.get_mut();
        if this.stopped.as_mut().poll(cx).is_ready() {
            return Poll::Ready(Err(io::ErrorKind::ConnectionAborted.into()));
        }
        if this.waiting.has_remaining() {
            let now = this.waiting.len().min(buf.remaining());
            buf.put_slice(&this.waiting.split_to(now));
            return Poll::Ready(Ok(()));
        }
        let before = buf.filled().len();
        ready!(Pin::new(&mut this.stream).poll_read(cx, buf))?;
        if this.seen.is_some() {
            let new = buf.filled().get(before..).unwrap_or_default().to_vec();
            this.tee(&new);
        }
        Poll::Ready(Ok(()))
    }
}

impl AsyncWrite for SshStream {
    fn poll_write(self: Pin<&mut Self>, cx: &mut Context<'_>, buf: &[u8]) -> Poll<io::Result<usize>> {
        let this = self.get_mut();
        if this.swallow > 0 {
            let now = this.swallow.min(buf.len());
            this.swallow -= now;
            return Poll::Ready(Ok(now));
        }
        if this.stopped.as_mut().poll(cx).is_ready() {
            return Poll::Ready(Err(io::ErrorKind::ConnectionAborted.into()));
        }
        Pin::new(&mut this.stream).poll_write(cx, buf)
    }

    fn poll_flush(self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<io::Result<()>> {
        Pin::new(&mut self.get_mut().stream).poll_flush(cx)
    }

    fn poll_shutdown(self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<io::Result<()>> {
        Pin::new(&mut self.get_mut().stream).poll_shutdown(cx)
    }
}

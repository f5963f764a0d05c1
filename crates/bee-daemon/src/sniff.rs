//! Tells what a new connection speaks by its first byte, without consuming it.
//!
//! Core's node port in mode `optional` tells TLS from plain this way, and port 9002 tells modules
//! (JSON) from HTTP. A peer that sends nothing is found out by a deadline.

use std::time::Duration;

use tokio::net::TcpStream;

/// What the first byte says.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum FirstByte {
    /// 0x16: a TLS handshake record, so a ClientHello.
    Tls,
    /// `{`, or the white space JSON allows before it.
    Json,
    /// Anything else; on port 9002 that is HTTP.
    Other(u8),
    /// Nothing came before the deadline.
    Silent,
    /// The peer closed without sending anything.
    Closed,
}

impl FirstByte {
    /// Classifies one byte.
    #[must_use]
    pub fn of(byte: u8) -> Self {
        match byte {
            0x16 => Self::Tls,
            b'{' | b' ' | b'\t' | b'\r' | b'\n' => Self::Json,
            other => Self::Other(other),
        }
    }
}

/// Waits at most `deadline` for the first byte and classifies it; the byte stays in the socket.
///
/// # Errors
/// When the socket fails (the peer reset the connection).
pub async fn first_byte(stream: &TcpStream, deadline: Duration) -> std::io::Result<FirstByte> {
    let mut byte = [0_u8; 1];
    match tokio::time::timeout(deadline, stream.peek(&mut byte)).await {
        Err(_) => Ok(FirstByte::Silent),
        Ok(Ok(0)) => Ok(FirstByte::Closed),
        Ok(Ok(_)) => Ok(FirstByte::of(byte[0])),
        Ok(Err(cause)) => Err(cause),
    }
}

#[cfg(test)]
mod tests {
    use tokio::io::{AsyncReadExt as _, AsyncWriteExt as _};
    use tokio::net::TcpListener;

    use super::*;

    async fn pair() -> (TcpStream, TcpStream) {
        let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
        let client = TcpStream::connect(listener.local_addr().unwrap());
        let (client, server) = tokio::join!(client, listener.accept());
        (client.unwrap(), server.unwrap().0)
    }

    async fn check(sent: &[u8], expect: FirstByte) {
        let (mut client, mut server) = pair().await;
        client.write_all(sent).await.unwrap();
        assert_eq!(first_byte(&server, Duration::from_secs(30)).await.unwrap(), expect);
        let mut kept = vec![0; sent.len()];
        server.read_exact(&mut kept).await.unwrap();
        assert_eq!(kept, sent, "sniffing must not consume");
    }

    #[tokio::test]
    async fn the_first_byte_tells_and_stays_readable() {
        check(b"\x16\x03\x01", FirstByte::Tls).await;
        check(b"{\"version\":2}", FirstByte::Json).await;
        check(b"\r\n {", FirstByte::Json).await;
        check(b"GET / HTTP/1.1\r\n", FirstByte::Other(b'G')).await;
    }

    #[tokio::test]
    async fn a_peer_that_leaves_or_says_nothing_is_told_apart() {
        let (client, server) = pair().await;
        assert_eq!(first_byte(&server, Duration::from_millis(1)).await.unwrap(), FirstByte::Silent);
        drop(client);
        assert_eq!(first_byte(&server, Duration::from_secs(30)).await.unwrap(), FirstByte::Closed);
    }
}

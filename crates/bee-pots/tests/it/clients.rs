//! Plain clients: raw bytes over TCP, and commands of this machine where they are installed.

use std::net::SocketAddr;
use std::process::{Output, Stdio};
use std::time::Duration;

use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::net::TcpStream;

use crate::intake::DEADLINE;

/// A TCP client with a buffer of what was received.
pub(crate) struct Raw {
    pub(crate) stream: TcpStream,
    pub(crate) received: Vec<u8>,
}

impl Raw {
    pub(crate) async fn connect(address: SocketAddr) -> Self {
        Self { stream: TcpStream::connect(address).await.unwrap(), received: Vec::new() }
    }

    pub(crate) async fn send(&mut self, bytes: &[u8]) {
        self.stream.write_all(bytes).await.unwrap();
    }

    /// Reads until `needle` was received; forgets everything up to it.
    pub(crate) async fn expect(&mut self, needle: &str) -> String {
        let found = tokio::time::timeout(DEADLINE, async {
            loop {
                if let Some(at) = self.received.windows(needle.len()).position(|w| w == needle.as_bytes()) {
                    let taken: Vec<u8> = self.received.drain(..at + needle.len()).collect();
                    return String::from_utf8_lossy(&taken).into_owned();
                }
                assert_ne!(
                    self.stream.read_buf(&mut self.received).await.unwrap(),
                    0,
                    "closed before {needle:?}: {:?}",
                    String::from_utf8_lossy(&self.received)
                );
            }
        })
        .await;
        found.unwrap_or_else(|_| panic!("no {needle:?} in {:?}", String::from_utf8_lossy(&self.received)))
    }

    /// Reads until the trap closes.
    pub(crate) async fn end(mut self) -> String {
        let whole = tokio::time::timeout(DEADLINE, async {
            // A reset is an end as well: the trap may close with unread bytes of ours.
            while matches!(self.stream.read_buf(&mut self.received).await, Ok(1..)) {}
        });
        whole.await.expect("the trap keeps the connection open");
        String::from_utf8_lossy(&self.received).into_owned()
    }
}

/// Whether a program is installed here.
pub(crate) fn installed(program: &str) -> bool {
    std::env::var_os("PATH")
        .is_some_and(|path| std::env::split_paths(&path).any(|dir| dir.join(program).is_file()))
}

/// Runs a program of this machine with a deadline.
pub(crate) async fn run(program: &str, arguments: &[&str], input: Option<&str>) -> Output {
    let mut command = tokio::process::Command::new(program);
    command
        .args(arguments)
        .stdin(Stdio::piped())
        .stdout(Stdio::piped())
        .stderr(Stdio::piped())
        .kill_on_drop(true);
    command.env("LC_ALL", "C.UTF-8").env("LANG", "C.UTF-8");
    let mut child = command.spawn().unwrap();
    let mut stdin = child.stdin.take().unwrap();
    stdin.write_all(input.unwrap_or_default().as_bytes()).await.unwrap();
    drop(stdin);
    tokio::time::timeout(DEADLINE + Duration::from_secs(30), child.wait_with_output())
        .await
        .expect("the client hangs")
        .unwrap()
}

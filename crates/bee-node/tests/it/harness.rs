//! A node in this process or the real binary, and clients of its intake.

use std::{path::Path, process::Stdio, time::Duration};

use bee_node::{Config, Node};
use tempfile::TempDir;
use tokio::{
    io::{AsyncBufReadExt, AsyncReadExt, AsyncWriteExt, BufReader, Lines},
    net::{TcpListener, TcpStream, tcp::OwnedReadHalf, tcp::OwnedWriteHalf},
    process::{Child, Command},
};
use tokio_util::sync::CancellationToken;

use crate::core::PATIENCE;

pub const BINARY: &str = env!("CARGO_BIN_EXE_honeybee-node");

/// A node in this process, and its state directory.
pub struct Running {
    pub dir: TempDir,
    pub port: u16,
    pub node: tokio::task::JoinHandle<bee_node::Exit>,
    pub stop: CancellationToken,
    pub board: bee_node::pots::PotBoard,
    pub spool: bee_node::spool::Spool,
}

/// A config for a node of these tests: quick to reconnect, ports of its own, traps run by the real binary.
pub fn config(core: &str, dir: &Path) -> Config {
    let mut config = Config::new("edge-1", core, dir.join("node"));
    config.reconnect_delay = Duration::from_millis(50);
    config.reconnect_delay_max = Duration::from_millis(200);
    config.intake.port = Some(0);
    config.pots.program = BINARY.into();
    config
}

pub async fn start(core: &str) -> Running {
    start_with(core, |_| {}).await
}

pub async fn start_with(core: &str, change: impl FnOnce(&mut Config)) -> Running {
    start_in(tempfile::tempdir().unwrap(), core, change).await
}

pub async fn start_in(dir: TempDir, core: &str, change: impl FnOnce(&mut Config)) -> Running {
    let mut config = config(core, dir.path());
    change(&mut config);
    let node = Node::start(config).await.unwrap();
    let (port, board, spool) = (node.event_port(), node.board().clone(), node.spool().clone());
    let stop = CancellationToken::new();
    let node = tokio::spawn(node.run_until(stop.clone()));
    Running { dir, port, node, stop, board, spool }
}

impl Running {
    /// Stops the node in order and gives its directory back.
    pub async fn stop(self) -> TempDir {
        self.stop.cancel();
        tokio::time::timeout(PATIENCE, self.node).await.expect("the node stops").unwrap();
        self.dir
    }

    pub fn state(&self) -> std::path::PathBuf {
        self.dir.path().join("node")
    }
}

/// Waits until `is` says yes, looking again and again.
pub async fn eventually(what: &str, mut is: impl FnMut() -> bool) {
    let wait = async {
        while !is() {
            tokio::time::sleep(Duration::from_millis(10)).await;
        }
    };
    tokio::time::timeout(PATIENCE, wait).await.unwrap_or_else(|_| panic!("waited in vain for: {what}"));
}

/// Sends bytes to the intake and closes, as a plain client of the field does.
pub async fn send_plain(port: u16, bytes: &[u8]) {
    let mut stream = TcpStream::connect(("127.0.0.1", port)).await.unwrap();
    stream.write_all(bytes).await.unwrap();
    stream.shutdown().await.unwrap();
    // The node closes its side once it has handed everything over.
    let mut rest = Vec::new();
    tokio::time::timeout(PATIENCE, stream.read_to_end(&mut rest)).await.unwrap().unwrap();
}

pub fn line(n: u64) -> String {
    format!("{{\"pot_id\":\"p\",\"pot_type\":\"test\",\"event_type\":\"test.n\",\"data\":{{\"n\":{n}}}}}\n")
}

/// A client with the hello and receipt extension.
pub struct Producer {
    pub next: u64,
    receipts: Lines<BufReader<OwnedReadHalf>>,
    writer: OwnedWriteHalf,
}

impl Producer {
    pub async fn connect(port: u16, name: &str, token: Option<&str>) -> std::io::Result<Self> {
        let stream = TcpStream::connect(("127.0.0.1", port)).await?;
        let (reader, mut writer) = stream.into_split();
        let hello = serde_json::json!({"honeybee_intake": 1, "producer": name, "token": token});
        writer.write_all(format!("{hello}\n").as_bytes()).await?;
        let mut producer = Self { next: 0, receipts: BufReader::new(reader).lines(), writer };
        producer.receipt().await?;
        Ok(producer)
    }

    pub async fn send(&mut self, text: &[u8]) -> std::io::Result<()> {
        self.writer.write_all(text).await
    }

    pub async fn receipt(&mut self) -> std::io::Result<u64> {
        let line = self.receipts.next_line().await?.ok_or(std::io::ErrorKind::UnexpectedEof)?;
        let receipt: serde_json::Value = serde_json::from_str(&line)?;
        self.next = receipt["next"].as_u64().ok_or(std::io::ErrorKind::InvalidData)?;
        Ok(self.next)
    }

    pub async fn receipt_of(&mut self, next: u64) {
        let wait = async {
            while self.next < next {
                self.receipt().await.unwrap();
            }
        };
        tokio::time::timeout(PATIENCE, wait).await.expect("a receipt");
    }
}

pub async fn free_port() -> u16 {
    TcpListener::bind("127.0.0.1:0").await.unwrap().local_addr().unwrap().port()
}

/// The real binary with a config file.
pub fn binary(config: &Path) -> Child {
    Command::new(BINARY)
        .args(["--config", config.to_str().unwrap()])
        .stdin(Stdio::null())
        .stdout(Stdio::null())
        .stderr(Stdio::null())
        .kill_on_drop(true)
        .spawn()
        .unwrap()
}

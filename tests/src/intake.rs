//! A honeypot that speaks the intake's hello and receipt (PROTOCOL section 7 and its extension): it keeps every line
//! until the node says it is durable, and sends again from there after each reconnect.

use std::net::SocketAddr;
use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};
use std::time::Duration;

use serde_json::json;
use tokio::io::{AsyncBufReadExt as _, AsyncWriteExt as _, BufReader};
use tokio::net::TcpStream;
use tokio::sync::watch;
use tokio::task::JoinHandle;

const RECONNECT_AFTER: Duration = Duration::from_millis(50);
const LINES_PER_WRITE: u64 = 64;

/// Sends the lines 0, 1, 2, .. of one producer, as far as it is allowed to.
#[derive(Debug)]
pub struct NumberedProducer {
    port: watch::Sender<Option<SocketAddr>>,
    allowed: watch::Sender<u64>,
    durable: Arc<AtomicU64>,
    task: JoinHandle<()>,
}

impl NumberedProducer {
    /// Starts with nothing allowed and nowhere to go. Events have the pot id `pot` and `data: {"n": number, ..}`.
    pub fn start(pot: &str) -> Self {
        let (port, ports) = watch::channel(None);
        let (allowed, limits) = watch::channel(0);
        let durable = Arc::new(AtomicU64::new(0));
        let task = tokio::spawn(produce(pot.to_owned(), ports, limits, Arc::clone(&durable)));
        Self { port, allowed, durable, task }
    }

    /// Where the node listens now; `None` while it is down.
    pub fn connect_to(&self, address: Option<SocketAddr>) {
        self.port.send_replace(address);
    }

    /// Lines below this number may be sent.
    pub fn allow(&self, below: u64) {
        self.allowed.send_replace(below);
    }

    /// Lines that the node said are durable.
    pub fn durable(&self) -> u64 {
        self.durable.load(Ordering::Relaxed)
    }
}

impl Drop for NumberedProducer {
    fn drop(&mut self) {
        self.task.abort();
    }
}

async fn produce(
    pot: String,
    mut ports: watch::Receiver<Option<SocketAddr>>,
    limits: watch::Receiver<u64>,
    durable: Arc<AtomicU64>,
) {
    loop {
        let Ok(address) = ports.wait_for(Option::is_some).await.map(|address| *address) else { return };
        if let Some(address) = address {
            // However it ends, the next connection goes on from the receipt.
            let _ = converse(&pot, address, limits.clone(), &durable).await;
        }
        tokio::time::sleep(RECONNECT_AFTER).await;
    }
}

async fn converse(
    pot: &str,
    address: SocketAddr,
    mut limits: watch::Receiver<u64>,
    durable: &AtomicU64,
) -> std::io::Result<()> {
    let stream = TcpStream::connect(address).await?;
    stream.set_nodelay(true)?;
    let (receiver, mut sender) = stream.into_split();
    let mut receipts = BufReader::new(receiver).lines();
    let hello = json!({"honeybee_intake": 1, "producer": pot});
    sender.write_all(format!("{hello}\n").as_bytes()).await?;
    let Some(first) = receipts.next_line().await? else { return Ok(()) };
    let mut next = noted(&first, durable);
    loop {
        let allowed = *limits.borrow_and_update();
        if next < allowed {
            let end = allowed.min(next + LINES_PER_WRITE);
            let lines: String = (next..end).map(|number| line(pot, number)).collect();
            // Receipts must be read while the node does not read us: it stops reading when its disk is full.
            tokio::select! {
                biased;
                receipt = receipts.next_line() => {
                    let Some(receipt) = receipt? else { return Ok(()) };
                    noted(&receipt, durable);
                }
                wrote = sender.writable() => {
                    wrote?;
                    sender.write_all(lines.as_bytes()).await?;
                    next = end;
                }
            }
            continue;
        }
        tokio::select! {
            receipt = receipts.next_line() => {
                let Some(receipt) = receipt? else { return Ok(()) };
                noted(&receipt, durable);
            }
            more = limits.changed() => {
                if more.is_err() {
                    return Ok(());
                }
            }
        }
    }
}

/// Reads `{"next": n}`.
fn noted(receipt: &str, durable: &AtomicU64) -> u64 {
    let receipt: serde_json::Value = serde_json::from_str(receipt).unwrap();
    let next = receipt["next"].as_u64().unwrap_or_else(|| panic!("the intake refused us: {receipt}"));
    durable.store(next, Ordering::Relaxed);
    next
}

fn line(pot: &str, number: u64) -> String {
    let data =
        json!({"n": number, "src_ip": "192.0.2.7", "username": "root", "password": format!("pw{number}")});
    let event = json!({"pot_id": pot, "pot_type": "numbered", "event_type": "test.numbered",
        "timestamp": "2026-01-02T03:04:05Z", "data": data});
    format!("{event}\n")
}

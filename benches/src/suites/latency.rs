//! From a trap's line to a WebSocket client: the line is written to a real node's intake, goes through its spool, TLS,
//! Core's log and the live feed, and is seen by a subscriber.

use std::collections::HashMap;
use std::time::{Duration, Instant};

use anyhow::{Context as _, ensure};
use bee_wire::module::{BackendMessage, BackendRegistration, BackendType, Subscribe, Topic};
use bee_wire::{ModuleMessage, Secret, decode_backend, encode_module};
use futures_util::{SinkExt as _, StreamExt as _};
use tokio::io::AsyncWriteExt as _;
use tokio::net::TcpStream;
use tokio_tungstenite::WebSocketStream;
use tokio_tungstenite::tungstenite::Message;

use crate::report::{Report, quantile_ms};
use crate::rig::{Core, Node, Place};

/// Settings.
#[derive(Debug, Clone, clap::Args)]
pub(crate) struct Options {
    /// Events a second
    #[arg(long, default_value_t = 1_000)]
    rate: u64,
    /// Seconds of one round
    #[arg(long, default_value_t = 10)]
    seconds: u64,
}

impl Default for Options {
    fn default() -> Self {
        Self { rate: 1_000, seconds: 10 }
    }
}

/// Lines are written in steps of this length, as many as are due.
const STEP: Duration = Duration::from_millis(2);
/// An event that takes longer is lost, and the measurement fails.
const ARRIVES_WITHIN: Duration = Duration::from_secs(10);

pub(crate) async fn run(place: &Place, options: &Options, rounds: usize) -> anyhow::Result<Report> {
    let mut report = Report::new("latency");
    report.setting("rate", format!("{} events/s for {} s", options.rate, options.seconds));
    report.setting("path", "intake 9100 -> spool (fdatasync) -> TLS -> Core's log (fdatasync) -> WebSocket");
    let core = Core::start(place, "").await?;
    let node = Node::start(place, &core, &[]).await?;
    node.wait_registered(&core).await?;
    let mut feed = subscribe(&core).await?;
    let mut intake = TcpStream::connect(node.intake).await.context("connect to the node's intake")?;
    intake.set_nodelay(true)?;
    let case = format!("{} events/s", options.rate);
    for round in 0..rounds.max(1) {
        let mut times = measure(&mut intake, &mut feed, options, round).await?;
        times.sort();
        report.round(&case, "p50", "ms", quantile_ms(&times, 0.5));
        report.round(&case, "p90", "ms", quantile_ms(&times, 0.9));
        report.round(&case, "p99", "ms", quantile_ms(&times, 0.99));
        report.round(&case, "longest", "ms", quantile_ms(&times, 1.0));
    }
    report.target("p99", "under 50 ms");
    Ok(report)
}

async fn subscribe(core: &Core) -> anyhow::Result<WebSocketStream<TcpStream>> {
    let stream = TcpStream::connect(core.ws).await.context("connect to Core's WebSocket port")?;
    stream.set_nodelay(true)?;
    let (mut feed, _) = tokio_tungstenite::client_async(format!("ws://{}/ws", core.ws), stream)
        .await
        .context("open a WebSocket")?;
    let register = ModuleMessage::BackendRegistration(BackendRegistration {
        backend_name: "bench".to_owned(),
        backend_type: BackendType::Monitoring,
        token: Some(Secret::new(core.token())),
    });
    let subscribe =
        ModuleMessage::Subscribe(Subscribe { topics: vec![Topic::Events], ..Subscribe::default() });
    for message in [register, subscribe] {
        let text = String::from_utf8(encode_module(&message.into()))?;
        feed.send(Message::text(text)).await?;
        let answer = next(&mut feed).await?;
        ensure!(
            matches!(&answer, BackendMessage::BackendResponse(bee_wire::module::BackendResponse::Success(_))),
            "Core answers {answer:?}"
        );
    }
    Ok(feed)
}

/// The next message of the feed.
async fn next(feed: &mut WebSocketStream<TcpStream>) -> anyhow::Result<BackendMessage> {
    loop {
        let frame = feed.next().await.context("Core closed the WebSocket")??;
        if let Message::Text(text) = frame {
            return Ok(decode_backend(text.as_bytes())?.message);
        }
    }
}

async fn measure(
    intake: &mut TcpStream,
    feed: &mut WebSocketStream<TcpStream>,
    options: &Options,
    round: usize,
) -> anyhow::Result<Vec<Duration>> {
    let count = options.rate * options.seconds;
    let (sent_to, mut sent) = tokio::sync::mpsc::unbounded_channel::<(u64, Instant)>();
    let writing = async {
        let began = Instant::now();
        let mut ticks = tokio::time::interval(STEP);
        let mut number = 0;
        let mut lines = String::new();
        while number < count {
            ticks.tick().await;
            let due = (began.elapsed().as_secs_f64() * options.rate as f64) as u64;
            lines.clear();
            for number in number..due.min(count) {
                lines.push_str(&line(round, number));
                sent_to.send((number, Instant::now()))?;
            }
            number = number.max(due.min(count));
            intake.write_all(lines.as_bytes()).await?;
        }
        anyhow::Ok(())
    };
    let reading = async {
        let (mut began, mut times) = (HashMap::new(), Vec::new());
        while times.len() < usize::try_from(count).unwrap_or(usize::MAX) {
            let message = tokio::time::timeout(ARRIVES_WITHIN, next(feed)).await;
            let message = message.with_context(|| format!("{} of {count} events arrived", times.len()))??;
            let arrived = Instant::now();
            let BackendMessage::Event(push) = message else { continue };
            let data: serde_json::Value = serde_json::from_str(&serde_json::to_string(&push.event.data)?)?;
            let field = |name: &str| data.get(name).and_then(serde_json::Value::as_u64);
            let (Some(number), true) = (field("n"), field("round") == Some(round as u64)) else { continue };
            while let Ok((number, at)) = sent.try_recv() {
                began.insert(number, at);
            }
            let at = began.remove(&number).context("an event arrived that was not sent, or twice")?;
            times.push(arrived - at);
        }
        anyhow::Ok(times)
    };
    let (written, times) = tokio::join!(writing, reading);
    written.context("write to the intake")?;
    times
}

fn line(round: usize, number: u64) -> String {
    format!(
        "{{\"pot_id\":\"bench\",\"pot_type\":\"ssh\",\"event_type\":\"cowrie.login.failed\",\"timestamp\":\"2026-01-01T00:00:00Z\",\"data\":{{\"round\":{round},\"n\":{number},\"src_ip\":\"198.18.0.1\",\"src_port\":{},\"username\":\"root\",\"password\":\"p{number}\",\"session\":\"{number:012x}\",\"protocol\":\"ssh\",\"message\":\"login attempt [root/p{number}] failed\"}}}}\n",
        1_024 + number % 60_000
    )
}

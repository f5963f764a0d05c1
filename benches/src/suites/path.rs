//! The whole path: a node's batch on the wire, through TLS, decoded, made durable, acknowledged.
//!
//! The load comes from this process over loopback; its CPU and Core's are accounted apart. Events count when their
//! acknowledgement has arrived, which Core sends only after its fdatasync.

use std::sync::Arc;
use std::time::{Duration, Instant};

use anyhow::{Context as _, ensure};
use bee_bench::fleet::{Fleet, FleetConfig, Snapshot};
use bee_bench::mix::Mix;
use bee_link::node::LinkConfig;
use bee_wire::api::EventPage;

use super::MB;
use crate::procfs::{self, Stopwatch};
use crate::report::Report;
use crate::rig::{Core, Place};

/// Settings.
#[derive(Debug, Clone, clap::Args)]
pub(crate) struct Options {
    /// Numbers of nodes to measure with
    #[arg(long, value_delimiter = ',', default_value = "1,100")]
    nodes: Vec<u64>,
    /// Seconds of one round
    #[arg(long, default_value_t = 10)]
    seconds: u64,
    /// Events in one batch at most
    #[arg(long, default_value_t = 5_000)]
    batch_events: u64,
}

impl Default for Options {
    fn default() -> Self {
        Self { nodes: vec![1, 100], seconds: 10, batch_events: 5_000 }
    }
}

/// No measurement comes near it, and it is below the largest number of a stream.
const ENDLESS: u64 = 1 << 50;
const WARM_UP: Duration = Duration::from_secs(2);

pub(crate) async fn run(place: &Place, options: &Options, rounds: usize) -> anyhow::Result<Report> {
    let mix = Arc::new(Mix::new(42, 50_000));
    let mut report = Report::new("path");
    report.setting("events", format!("the mix, mean {:.0} B", mix.mean_bytes()));
    report.setting("round", format!("{} s", options.seconds));
    let link = LinkConfig::default();
    let batch = format!(
        "at most {} events or {} KiB, {} in flight",
        options.batch_events,
        link.batch_bytes_max >> 10,
        link.window_batches_max
    );
    report.setting("batch", batch);
    report.setting(
        "link",
        "TLS 1.3, TLS_AES_128_GCM_SHA256, loopback; client in another process on the same cores",
    );
    for nodes_count in &options.nodes {
        measure(place, options, *nodes_count, &mix, rounds, &mut report).await?;
    }
    report.target("events/s", "200,000 on 2 cores");
    report.note("events/s is bounded by both processes sharing the cores; `Core alone` is what two cores would carry if the load came from elsewhere (2 / CPU an event)");
    Ok(report)
}

async fn measure(
    place: &Place,
    options: &Options,
    nodes_count: u64,
    mix: &Arc<Mix>,
    rounds: usize,
    report: &mut Report,
) -> anyhow::Result<()> {
    let mut core = Core::start(place, "").await?;
    let rss_before = procfs::memory(core.pid())?.rss;
    let (code, _) = core.join_code(nodes_count).await?;
    let mut config = FleetConfig::new(code, Arc::clone(mix));
    config.link.batch_events_max = options.batch_events;
    let mut fleet = Fleet::new(config);
    fleet.add(nodes_count)?;
    fleet
        .wait("all nodes are registered", Duration::from_secs(60), |state| state.registered == nodes_count)
        .await?;
    fleet.offer(ENDLESS);
    tokio::time::sleep(WARM_UP).await;
    let case = if nodes_count == 1 { "1 node".to_owned() } else { format!("{nodes_count} nodes") };
    for _ in 0..rounds.max(1) {
        core.daemon.check()?;
        let before = fleet.snapshot();
        let (ours, theirs) = (Stopwatch::start(std::process::id())?, Stopwatch::start(core.pid())?);
        tokio::time::sleep(Duration::from_secs(options.seconds)).await;
        let (after, (wall, our_cpu), (_, core_cpu)) = (fleet.snapshot(), ours.read()?, theirs.read()?);
        let events = after.events_acknowledged - before.events_acknowledged;
        ensure!(events > 0, "Core acknowledged nothing; its log:\n{}", core.daemon.last_words());
        let each = |cpu: Duration| cpu.as_secs_f64() * 1e6 / events as f64;
        report.round(&case, "events/s", "/s", events as f64 / wall.as_secs_f64());
        report.round(&case, "on the wire", "MB/s", bytes_between(&before, &after) / MB / wall.as_secs_f64());
        report.round(&case, "Core CPU an event", "us", each(core_cpu));
        report.round(&case, "client CPU an event", "us", each(our_cpu));
        report.round(&case, "Core alone", "/s", 2e6 / each(core_cpu));
        report.round(&case, "Core CPU", "% of a core", core_cpu.as_secs_f64() * 100.0 / wall.as_secs_f64());
        report.round(&case, "Core RSS", "MB", procfs::memory(core.pid())?.rss as f64 / MB);
    }
    let acknowledged = fleet.snapshot().events_acknowledged;
    let status = core.status().await?;
    ensure!(
        status.events_stored >= acknowledged,
        "Core acknowledged {acknowledged} events and stores {}",
        status.events_stored
    );
    let asked = Instant::now();
    let page: EventPage = core.get("/api/v1/events?limit=100").await.context("ask for the newest events")?;
    report.round(&case, "newest 100 over REST under load", "ms", asked.elapsed().as_secs_f64() * 1e3);
    ensure!(page.events.len() == 100, "a page of {} events", page.events.len());
    let memory = procfs::memory(core.pid())?;
    report.round(&case, "Core RSS before", "MB", rss_before as f64 / MB);
    report.round(&case, "Core RSS at its highest", "MB", memory.rss_peak as f64 / MB);
    report.round(&case, "log on disk", "B/event", status.log_bytes as f64 / status.events_stored as f64);
    fleet.leave(Duration::from_secs(5)).await;
    Ok(())
}

fn bytes_between(before: &Snapshot, after: &Snapshot) -> f64 {
    (after.bytes_sent - before.bytes_sent) as f64
}

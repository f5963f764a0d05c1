//! Thousands of nodes on one Core: what a connection costs, what heartbeats cost, and how long it takes until all are
//! back after Core was killed.

use std::sync::Arc;
use std::time::{Duration, Instant};

use anyhow::ensure;
use bee_bench::fleet::{Fleet, FleetConfig};
use bee_bench::mix::Mix;

use super::MB;
use crate::procfs;
use crate::report::Report;
use crate::rig::{Core, Place};

/// Settings.
#[derive(Debug, Clone, clap::Args)]
pub(crate) struct Options {
    /// Numbers of nodes to measure with
    #[arg(long, value_delimiter = ',', default_value = "2000,10000")]
    nodes: Vec<u64>,
    /// Seconds over which heartbeats are measured; each node sends one every 30 s
    #[arg(long, default_value_t = 60)]
    seconds: u64,
    /// Leave out the storm of reconnects
    #[arg(long)]
    no_storm: bool,
}

impl Default for Options {
    fn default() -> Self {
        Self { nodes: vec![2_000, 10_000], seconds: 60, no_storm: false }
    }
}

const ENROL_WITHIN: Duration = Duration::from_secs(300);
const BACK_WITHIN: Duration = Duration::from_secs(300);
/// For what the handshakes leave behind to be given back.
const SETTLE: Duration = Duration::from_secs(5);

pub(crate) async fn run(place: &Place, options: &Options) -> anyhow::Result<Report> {
    let mut report = Report::new("fleet");
    report.setting(
        "nodes",
        "each with a key, certificate and TOTP key of its own, TLS 1.3 with X25519MLKEM768",
    );
    report.setting("heartbeat", "every 30 s with health");
    report.setting("back-off", "5 s doubling to 60 s, full jitter (the defaults)");
    for nodes_count in &options.nodes {
        measure(place, options, *nodes_count, &mut report).await?;
    }
    report.target("Core RSS, all connected", "10,000 under 500 MB");
    report.note("what the kernel holds for sockets is not in RSS");
    Ok(report)
}

async fn measure(
    place: &Place,
    options: &Options,
    nodes_count: u64,
    report: &mut Report,
) -> anyhow::Result<()> {
    let mut core = Core::start(place, "").await?;
    let before = procfs::memory(core.pid())?.rss;
    let case = format!("{nodes_count} nodes");
    let (code, _) = core.join_code(nodes_count).await?;
    let mut fleet = Fleet::new(FleetConfig::new(code, Arc::new(Mix::new(42, 100))));
    let cpu = procfs::cpu(core.pid())?;
    fleet.add(nodes_count)?;
    let took =
        fleet.wait("all nodes are enrolled", ENROL_WITHIN, |state| state.registered == nodes_count).await?;
    let enrol_cpu = procfs::cpu(core.pid())?.saturating_sub(cpu);
    report.round(&case, "enrolled, connected, certified", "nodes/s", nodes_count as f64 / took.as_secs_f64());
    report.round(&case, "Core CPU a node enrolled", "ms", enrol_cpu.as_secs_f64() * 1e3 / nodes_count as f64);
    tokio::time::sleep(SETTLE).await;

    let memory = procfs::memory(core.pid())?;
    report.round(&case, "Core RSS, none connected", "MB", before as f64 / MB);
    report.round(&case, "Core RSS, all connected", "MB", memory.rss as f64 / MB);
    let each = memory.rss.saturating_sub(before) as f64 / nodes_count as f64;
    report.round(&case, "Core memory a connection", "KB", each / 1e3);

    let percent = procfs::fine_percent(&[core.pid()], Duration::from_secs(options.seconds)).await?;
    report.round(&case, "Core CPU, heartbeats alone", "% of a core", percent);
    let state = fleet.snapshot();
    ensure!(state.registered == nodes_count, "nodes were lost while idle: {state:?}");
    ensure!(core.status().await?.nodes_connected == nodes_count, "Core counts other nodes than there are");

    if !options.no_storm {
        storm(&mut core, &fleet, &case, nodes_count, report).await?;
    }
    fleet.leave(Duration::from_secs(1)).await;
    Ok(())
}

/// Core is killed and started again; every node finds its own way back.
async fn storm(
    core: &mut Core,
    fleet: &Fleet,
    case: &str,
    nodes_count: u64,
    report: &mut Report,
) -> anyhow::Result<()> {
    let before = fleet.snapshot();
    core.crash_and_restart().await?;
    let began = Instant::now();
    report.round(case, "Core ready again after SIGKILL", "s", core.start_took.as_secs_f64());
    for (what, share) in [("half are back", 0.5), ("99 % are back", 0.99), ("all are back", 1.0)] {
        let wanted = (nodes_count as f64 * share).ceil() as u64;
        // Until the kill is noticed everywhere, old registrations would count.
        let old = |state: &bee_bench::fleet::Snapshot| state.connects - before.connects < wanted;
        fleet.wait(what, BACK_WITHIN, |state| !old(state) && state.registered >= wanted).await?;
        report.round(case, what, "s", began.elapsed().as_secs_f64());
    }
    let after = fleet.snapshot();
    report.round(case, "attempts for all to be back", "connects", (after.connects - before.connects) as f64);
    report.round(case, "refusals on the way", "refusals", (after.refused - before.refused) as f64);
    let cpu = procfs::cpu(core.pid())?;
    report.round(case, "Core CPU a node back", "ms", cpu.as_secs_f64() * 1e3 / nodes_count as f64);
    let memory = procfs::memory(core.pid())?;
    report.round(case, "Core RSS after the storm", "MB", memory.rss as f64 / MB);
    report.round(case, "Core RSS at its highest", "MB", memory.rss_peak as f64 / MB);
    Ok(())
}

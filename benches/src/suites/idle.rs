//! A node that nobody attacks: memory of all its processes, CPU, and how soon its traps listen.

use std::time::{Duration, Instant};

use anyhow::ensure;

use super::MB;
use crate::procfs;
use crate::report::Report;
use crate::rig::{Core, Node, Place, Trap};

/// Settings.
#[derive(Debug, Clone, clap::Args)]
pub(crate) struct Options {
    /// Seconds over which the idle node is watched
    #[arg(long, default_value_t = 30)]
    seconds: u64,
}

impl Default for Options {
    fn default() -> Self {
        Self { seconds: 30 }
    }
}

/// The first start makes host keys and joins; a node is idle when this much time went by with next to no CPU.
const QUIET: Duration = Duration::from_secs(2);
const QUIET_PERCENT: f64 = 1.5;
const QUIET_WITHIN: Duration = Duration::from_secs(60);

pub(crate) async fn run(place: &Place, options: &Options, rounds: usize) -> anyhow::Result<Report> {
    let mut report = Report::new("idle");
    report.setting("window", format!("{} s, connected to a Core, no traffic", options.seconds));
    let three = ["ssh", "telnet", "http"];
    let ten = ["ssh", "ssh", "ssh", "ssh", "telnet", "telnet", "telnet", "http", "http", "http"];
    for round in 0..rounds.max(1) {
        // Only the first round watches for long: an idle process repeats itself.
        let seconds = if round == 0 { options.seconds } else { 0 };
        measure(place, "3 traps", &Trap::of(three)?, seconds, &mut report).await?;
        measure(place, "10 traps", &Trap::of(ten)?, seconds, &mut report).await?;
    }
    report.target("PSS, all processes", "ten traps under 15 MB");
    report.target("CPU", "under 0.5 % of a core");
    report.target("first start until all traps listen", "under 0.2 s");
    report.target("later starts until all traps listen", "under 0.2 s");
    report.note("RSS counts pages that the processes share (program text) once for each of them; PSS counts each page once, so its sum is what the node takes from the machine");
    Ok(report)
}

async fn measure(
    place: &Place,
    case: &str,
    traps: &[Trap],
    seconds: u64,
    report: &mut Report,
) -> anyhow::Result<()> {
    let core = Core::start(place, "").await?;
    let mut node = Node::start(place, &core, traps).await?;
    report.round(case, "first start until all traps listen", "s", node.start_took.as_secs_f64());
    node.wait_registered(&core).await?;
    let family = node.family()?;
    wait_until_quiet(&family).await?;
    let (mut rss, mut pss, mut private) = (0, 0, 0);
    for pid in &family {
        let memory = procfs::memory(*pid)?;
        rss += memory.rss;
        pss += memory.pss;
        private += memory.private;
    }
    let own = procfs::memory(node.pid())?;
    report.round(case, "PSS, all processes", "MB", pss as f64 / MB);
    report.round(case, "RSS, all processes", "MB", rss as f64 / MB);
    report.round(case, "private memory, all processes", "MB", private as f64 / MB);
    report.round(case, "RSS, the node's own process", "MB", own.rss as f64 / MB);
    if seconds > 0 {
        report.round(
            case,
            "CPU",
            "% of a core",
            procfs::fine_percent(&family, Duration::from_secs(seconds)).await?,
        );
    }
    node.restart().await?;
    report.round(case, "later starts until all traps listen", "s", node.start_took.as_secs_f64());
    Ok(())
}

async fn wait_until_quiet(family: &[u32]) -> anyhow::Result<()> {
    let began = Instant::now();
    while procfs::fine_percent(family, QUIET).await? > QUIET_PERCENT {
        ensure!(began.elapsed() < QUIET_WITHIN, "the node was not idle within {QUIET_WITHIN:?}");
    }
    Ok(())
}

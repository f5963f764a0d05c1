//! A node that nobody attacks: memory of all its processes, CPU, and how soon its traps listen.

use std::time::{Duration, Instant};

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

const SETTLE: Duration = Duration::from_secs(3);

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
    report.target("RSS, all processes", "ten traps under 15 MB");
    report.target("CPU", "under 0.5 % of a core");
    report.target("start until all traps listen", "under 0.2 s");
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
    let node = Node::start(place, &core, traps).await?;
    report.round(case, "start until all traps listen", "s", node.start_took.as_secs_f64());
    node.wait_registered(&core).await?;
    tokio::time::sleep(SETTLE).await;
    let family = node.family()?;
    let (mut rss, mut pss) = (0, 0);
    for pid in &family {
        let memory = procfs::memory(*pid)?;
        rss += memory.rss;
        pss += memory.pss;
    }
    let own = procfs::memory(node.pid())?;
    report.round(case, "PSS, all processes", "MB", pss as f64 / MB);
    report.round(case, "RSS, all processes", "MB", rss as f64 / MB);
    report.round(case, "RSS, the node's own process", "MB", own.rss as f64 / MB);
    if seconds > 0 {
        let (began, cpu) = (Instant::now(), family_cpu(&family)?);
        tokio::time::sleep(Duration::from_secs(seconds)).await;
        let used = family_cpu(&family)?.saturating_sub(cpu).as_secs_f64();
        report.round(case, "CPU", "% of a core", used * 100.0 / began.elapsed().as_secs_f64());
    }
    Ok(())
}

fn family_cpu(family: &[u32]) -> anyhow::Result<Duration> {
    family.iter().map(|pid| procfs::cpu_exact(*pid)).sum()
}

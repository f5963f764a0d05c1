//! The measurements of docs/benchmarks.md: `cargo xtask bench [name]`.
//!
//! Each sub command starts the real release binaries, loads them, and prints a table (stderr) and one JSON document
//! (stdout). Every run is bounded in time and keeps to loopback and to a folder that it removes.

mod procfs;
mod report;
mod rig;
mod suites;

use std::path::PathBuf;

use anyhow::Context as _;
use clap::{Parser, Subcommand};
use rig::Place;

/// Measures HoneyBee.
#[derive(Debug, Parser)]
#[command(name = "bee-bench", version)]
struct Cli {
    #[command(subcommand)]
    what: Option<What>,
    /// Folder of the binaries `honeybee` and `honeybee-node` (default: the one of this program)
    #[arg(long, global = true, env = "HONEYBEE_BIN_DIR", value_name = "DIR")]
    bin_dir: Option<PathBuf>,
    /// Folder for data while it is measured; what is made there is removed. A real disk, or syncs cost nothing
    #[arg(long, global = true, value_name = "DIR")]
    work_dir: Option<PathBuf>,
    /// Repetitions of what is cheap to repeat
    #[arg(long, global = true, default_value_t = 3)]
    rounds: usize,
}

#[derive(Debug, Clone, Subcommand)]
enum What {
    /// Frames, events and batches, read and written: one thread, no IO
    Codec,
    /// The append log: events a second made durable, at each group size
    Log,
    /// The whole path, wire to durable, over TLS, from 1 and from 100 simulated nodes
    Path(suites::path::Options),
    /// The SSH trap: sessions a second, CPU and memory
    Ssh(suites::ssh::Options),
    /// A node that nobody attacks: memory, CPU, start time
    Idle(suites::idle::Options),
    /// Thousands of connected nodes: memory, heartbeats, a storm of reconnects
    Fleet(suites::fleet::Options),
    /// From the intake of a node to a WebSocket client
    Latency(suites::latency::Options),
}

fn main() -> anyhow::Result<()> {
    let cli = Cli::parse();
    let here = std::env::current_exe().context("find this program")?;
    let place = Place {
        bin_dir: cli.bin_dir.or_else(|| here.parent().map(PathBuf::from)).unwrap_or_default(),
        work_dir: cli.work_dir.unwrap_or_else(std::env::temp_dir),
    };
    // Ten thousand connections are ten thousand descriptors; what the hard limit allows is what we get.
    bee_daemon::limits::raise_nofile(1 << 16).context("raise the limit on open files")?;
    let runtime = tokio::runtime::Builder::new_multi_thread().enable_all().build()?;
    let all = [
        What::Codec,
        What::Log,
        What::Path(suites::path::Options::default()),
        What::Ssh(suites::ssh::Options::default()),
        What::Idle(suites::idle::Options::default()),
        What::Latency(suites::latency::Options::default()),
        What::Fleet(suites::fleet::Options::default()),
    ];
    let chosen = cli.what.map_or_else(|| all.to_vec(), |one| vec![one]);
    for what in chosen {
        let report = match &what {
            What::Codec => suites::codec::run(cli.rounds)?,
            What::Log => suites::log::run(&place, cli.rounds)?,
            What::Path(options) => runtime.block_on(suites::path::run(&place, options, cli.rounds))?,
            What::Ssh(options) => runtime.block_on(suites::ssh::run(&place, options, cli.rounds))?,
            What::Idle(options) => runtime.block_on(suites::idle::run(&place, options, cli.rounds))?,
            What::Fleet(options) => runtime.block_on(suites::fleet::run(&place, options))?,
            What::Latency(options) => runtime.block_on(suites::latency::run(&place, options, cli.rounds))?,
        };
        report.print()?;
    }
    Ok(())
}

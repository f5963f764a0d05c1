//! The SSH trap: TCP, key exchange, password login, one command, close; again and again.
//!
//! The trap is the child process of a real node that delivers to a real Core. Its CPU is read from /proc, the client's (this
//! process) does not count. Where Debian's `sshesame` is installed, the same client attacks it in the same run.

use std::net::SocketAddr;
use std::process::Command;
use std::sync::Arc;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::time::{Duration, Instant};

use anyhow::{Context as _, ensure};
use bee_wire::api::EventPage;
use russh::client;
use russh::keys::PublicKeyOrCertificate;
use russh::{ChannelMsg, Disconnect};
use tokio::task::JoinSet;

use super::MB;
use crate::procfs::{self, Stopwatch};
use crate::report::{Report, quantile_ms};
use crate::rig::{Core, Daemon, Node, Place, Trap, free_ports};

/// Settings.
#[derive(Debug, Clone, clap::Args)]
pub(crate) struct Options {
    /// Sessions of one round
    #[arg(long, default_value_t = 1_500)]
    sessions: usize,
    /// Sessions at once
    #[arg(long, default_value_t = 16)]
    parallel: usize,
}

impl Default for Options {
    fn default() -> Self {
        Self { sessions: 1_500, parallel: 16 }
    }
}

const SESSION_WITHIN: Duration = Duration::from_secs(30);

pub(crate) async fn run(place: &Place, options: &Options, rounds: usize) -> anyhow::Result<Report> {
    let mut report = Report::new("ssh");
    report.setting("round", format!("{} sessions, {} at once", options.sessions, options.parallel));
    report.setting("session", "TCP, key exchange, password, exec `uname -a`, close");
    let core = Core::start(place, "").await?;
    let traps = Trap::of(["ssh"])?;
    let node = Node::start(place, &core, &traps).await?;
    node.wait_registered(&core).await?;
    let address = traps.first().context("one trap")?.address;
    let trap = node.trap_pid("pot ssh")?;
    let (node_watch, core_watch) = (Stopwatch::start(node.pid())?, Stopwatch::start(core.pid())?);
    attack("HoneyBee", address, trap, options, rounds, &mut report).await?;

    let sessions = options.sessions * rounds.max(1);
    let closed = wait_for_events(&core, sessions).await?;
    let each = |cpu: Duration| cpu.as_secs_f64() * 1e3 / sessions as f64;
    report.round("HoneyBee", "node's CPU a session (spool, sync, uplink)", "ms", each(node_watch.read()?.1));
    report.round("HoneyBee", "Core's CPU a session (ingest, sync)", "ms", each(core_watch.read()?.1));
    report.round("HoneyBee", "events a session", "events", closed as f64 / sessions as f64);
    drop((node, core));

    match sshesame(place)? {
        Some((daemon, address)) => {
            wait_listening(&address).await?;
            attack("sshesame (Go)", address, daemon.pid(), options, rounds, &mut report).await?;
        }
        None => {
            report.note("sshesame is not installed (apt-get install sshesame); its numbers were not taken")
        }
    }
    report.target("sessions/s a core", "over 260");
    report.target("trap's CPU a session", "under 3.4 ms");
    report.target("trap's RSS after", "under 17 MB");
    report.note("sessions/s a core is 1 / CPU a session: trap and client share the machine's cores");
    Ok(report)
}

async fn attack(
    case: &str,
    address: SocketAddr,
    pid: u32,
    options: &Options,
    rounds: usize,
    report: &mut Report,
) -> anyhow::Result<()> {
    report.round(case, "trap's RSS before", "MB", procfs::memory(pid)?.rss as f64 / MB);
    // One session first: what is set up once is not what a session costs.
    session(address).await.context("the first session")?;
    for _ in 0..rounds.max(1) {
        let (watch, ours) = (Stopwatch::start(pid)?, Stopwatch::start(std::process::id())?);
        let mut times = sessions(address, options).await?;
        let ((wall, cpu), (_, our_cpu)) = (watch.read()?, ours.read()?);
        times.sort();
        let count = times.len() as f64;
        report.round(case, "sessions/s", "/s", count / wall.as_secs_f64());
        report.round(case, "trap's CPU a session", "ms", cpu.as_secs_f64() * 1e3 / count);
        report.round(case, "sessions/s a core", "/s", count / cpu.as_secs_f64());
        report.round(case, "client's CPU a session", "ms", our_cpu.as_secs_f64() * 1e3 / count);
        report.round(case, "p50", "ms", quantile_ms(&times, 0.5));
        report.round(case, "p95", "ms", quantile_ms(&times, 0.95));
        let memory = procfs::memory(pid)?;
        report.round(case, "trap's RSS after", "MB", memory.rss as f64 / MB);
        report.round(case, "trap's RSS at its highest", "MB", memory.rss_peak as f64 / MB);
    }
    Ok(())
}

async fn sessions(address: SocketAddr, options: &Options) -> anyhow::Result<Vec<Duration>> {
    let (begun, count) = (Arc::new(AtomicUsize::new(0)), options.sessions);
    let mut workers = JoinSet::new();
    for _ in 0..options.parallel.max(1) {
        let begun = Arc::clone(&begun);
        workers.spawn(async move {
            let mut times = Vec::new();
            while begun.fetch_add(1, Ordering::Relaxed) < count {
                let began = Instant::now();
                tokio::time::timeout(SESSION_WITHIN, session(address)).await.context("a session hangs")??;
                times.push(began.elapsed());
            }
            anyhow::Ok(times)
        });
    }
    let mut all = Vec::new();
    while let Some(worker) = workers.join_next().await {
        all.extend(worker??);
    }
    Ok(all)
}

struct Client;

impl client::Handler for Client {
    type Error = russh::Error;

    async fn check_server_key(&mut self, _key: &PublicKeyOrCertificate) -> Result<bool, Self::Error> {
        Ok(true)
    }
}

async fn session(address: SocketAddr) -> anyhow::Result<()> {
    let config = Arc::new(client::Config { nodelay: true, ..client::Config::default() });
    let mut handle = client::connect(config, address, Client).await.context("key exchange")?;
    let login = handle.authenticate_password("root", "hunter2").await.context("login")?;
    ensure!(login.success(), "the login was refused");
    let mut channel = handle.channel_open_session().await.context("open a channel")?;
    channel.exec(true, "uname -a").await.context("exec")?;
    let mut output = Vec::new();
    while let Some(message) = channel.wait().await {
        if let ChannelMsg::Data { data } = message {
            output.extend_from_slice(&data);
        }
    }
    handle.disconnect(Disconnect::ByApplication, "", "").await.context("disconnect")?;
    // sshesame answers commands with nothing; that is its depth.
    drop(output);
    Ok(())
}

/// Waits until Core has the closing event of every session; returns how many events it has then.
async fn wait_for_events(core: &Core, sessions: usize) -> anyhow::Result<u64> {
    let began = Instant::now();
    let mut last = (0, Instant::now());
    loop {
        let stored = core.status().await?.events_stored;
        if stored != last.0 {
            last = (stored, Instant::now());
        }
        // Nothing new for a while: all that there is has come.
        if last.1.elapsed() > Duration::from_secs(2) && stored as usize >= sessions {
            let page: EventPage = core.get("/api/v1/events?type=cowrie.session.closed&limit=1").await?;
            ensure!(page.events.len() == 1, "no session was closed");
            return Ok(stored);
        }
        ensure!(
            began.elapsed() < Duration::from_secs(60),
            "{stored} events of {sessions} sessions reached Core"
        );
        tokio::time::sleep(Duration::from_millis(50)).await;
    }
}

/// Debian's sshesame on loopback, if it is there.
fn sshesame(place: &Place) -> anyhow::Result<Option<(Daemon, SocketAddr)>> {
    let program = ["/usr/bin/sshesame", "/usr/sbin/sshesame"]
        .into_iter()
        .find(|path| std::path::Path::new(path).exists());
    let Some(program) = program else { return Ok(None) };
    let dir = place.temp_dir()?.keep();
    let [address] = free_ports()?;
    let config =
        format!("server:\n  listen_address: {address}\nlogging:\n  file: {}/events.log\n", dir.display());
    let file = dir.join("sshesame.yaml");
    std::fs::write(&file, config)?;
    let mut command = Command::new(program);
    command.arg("-config").arg(&file).arg("-data_dir").arg(&dir).env("HOME", &dir).current_dir(&dir);
    let daemon = Daemon::spawn(&mut command, dir.join("sshesame.log"))?;
    Ok(Some((daemon, address)))
}

async fn wait_listening(address: &SocketAddr) -> anyhow::Result<()> {
    let began = Instant::now();
    while !procfs::listening_ports().contains(&address.port()) {
        ensure!(began.elapsed() < Duration::from_secs(10), "sshesame does not listen on {address}");
        tokio::time::sleep(Duration::from_millis(5)).await;
    }
    Ok(())
}

//! What the kernel says about a process: CPU time, memory, children, listening ports.

use std::collections::{BTreeMap, BTreeSet};
use std::path::PathBuf;
use std::time::{Duration, Instant};

use anyhow::Context as _;

/// The unit of /proc/<pid>/stat: `USER_HZ` is 100 in the kernel's interface on every architecture that we build for.
const CLOCK_TICKS_PER_SECOND: u64 = 100;

/// CPU time of a process, its ended threads included, user and system together. Exact to a clock tick (10 ms).
pub(crate) fn cpu(pid: u32) -> anyhow::Result<Duration> {
    let text = read(pid, "stat")?;
    // The name in brackets may hold anything; what follows it does not.
    let (_, rest) = text.rsplit_once(')').context("/proc/<pid>/stat has no name")?;
    let field = |at: usize| rest.split_whitespace().nth(at).and_then(|text| text.parse::<u64>().ok());
    let ticks = field(11).zip(field(12)).map(|(user, system)| user + system);
    let ticks = ticks.context("/proc/<pid>/stat is too short")?;
    Ok(Duration::from_millis(ticks * 1_000 / CLOCK_TICKS_PER_SECOND))
}

/// CPU time of each thread that a process has now, exact to the nanosecond.
fn thread_cpu(pid: u32) -> anyhow::Result<BTreeMap<u32, u64>> {
    let mut nanos = BTreeMap::new();
    for task in std::fs::read_dir(format!("/proc/{pid}/task")).context("list a process's threads")? {
        let task = task?;
        let text = std::fs::read_to_string(task.path().join("schedstat")).unwrap_or_default();
        let used = text.split_whitespace().next().and_then(|text| text.parse().ok()).unwrap_or(0);
        nanos.extend(task.file_name().to_str().and_then(|name| name.parse().ok()).map(|id: u32| (id, used)));
    }
    Ok(nanos)
}

/// Memory in bytes: resident now and at its highest; what is this process's alone with its part of what it shares (PSS);
/// and what it has written itself (private), which is what one more such process costs.
#[derive(Debug, Clone, Copy, Default)]
pub(crate) struct Memory {
    pub(crate) rss: u64,
    pub(crate) rss_peak: u64,
    pub(crate) pss: u64,
    pub(crate) private: u64,
}

pub(crate) fn memory(pid: u32) -> anyhow::Result<Memory> {
    let status = read(pid, "status")?;
    // Only the owner and root may read it; without it the other numbers still hold.
    let rollup = read(pid, "smaps_rollup").unwrap_or_default();
    let kb = |text: &str, key: &str| {
        let line = text.lines().find_map(|line| line.strip_prefix(key));
        line.and_then(|line| line.trim().trim_end_matches(" kB").parse::<u64>().ok()).unwrap_or(0) * 1024
    };
    Ok(Memory {
        rss: kb(&status, "VmRSS:"),
        rss_peak: kb(&status, "VmHWM:"),
        pss: kb(&rollup, "Pss:"),
        private: kb(&rollup, "Private_Dirty:"),
    })
}

/// A process and all that it started.
pub(crate) fn family(pid: u32) -> Vec<u32> {
    let mut all = vec![pid];
    let mut at = 0;
    while let Some(&parent) = all.get(at) {
        at += 1;
        for task in std::fs::read_dir(format!("/proc/{parent}/task")).into_iter().flatten().flatten() {
            let text = std::fs::read_to_string(task.path().join("children")).unwrap_or_default();
            all.extend(text.split_whitespace().filter_map(|text| text.parse::<u32>().ok()));
        }
    }
    all
}

/// The command line of a process, blanks between its words.
pub(crate) fn command_line(pid: u32) -> String {
    let bytes = std::fs::read(PathBuf::from(format!("/proc/{pid}/cmdline"))).unwrap_or_default();
    String::from_utf8_lossy(&bytes).replace('\0', " ")
}

/// TCP ports that anybody on this machine listens on. A look, not a connect: a connect would be an attack event.
pub(crate) fn listening_ports() -> BTreeSet<u16> {
    let mut ports = BTreeSet::new();
    for file in ["/proc/net/tcp", "/proc/net/tcp6"] {
        for line in std::fs::read_to_string(file).unwrap_or_default().lines().skip(1) {
            let mut fields = line.split_whitespace().skip(1);
            let (local, state) = (fields.next(), fields.nth(1));
            if state == Some("0A")
                && let Some(port) = local.and_then(|local| local.rsplit_once(':')).map(|(_, port)| port)
            {
                ports.extend(u16::from_str_radix(port, 16).ok());
            }
        }
    }
    ports
}

fn read(pid: u32, file: &str) -> anyhow::Result<String> {
    let path = format!("/proc/{pid}/{file}");
    std::fs::read_to_string(&path).with_context(|| format!("read {path}: has the process ended?"))
}

/// CPU time over a stretch of wall time.
#[derive(Debug, Clone, Copy)]
pub(crate) struct Stopwatch {
    pid: u32,
    began: Instant,
    cpu: Duration,
}

impl Stopwatch {
    pub(crate) fn start(pid: u32) -> anyhow::Result<Self> {
        Ok(Self { pid, began: Instant::now(), cpu: cpu(pid)? })
    }

    /// Wall time and CPU time since the start.
    pub(crate) fn read(&self) -> anyhow::Result<(Duration, Duration)> {
        Ok((self.began.elapsed(), cpu(self.pid)?.saturating_sub(self.cpu)))
    }
}

/// CPU that processes which do little use together over the next `window`, in percent of one core.
///
/// Summed over their threads, which is exact to the nanosecond where a process's own count comes in ticks; looked at
/// often, so that little is lost of a thread that ends.
pub(crate) async fn fine_percent(pids: &[u32], window: Duration) -> anyhow::Result<f64> {
    const EVERY: Duration = Duration::from_millis(250);
    let began = Instant::now();
    let (mut first, mut last) = (BTreeMap::new(), BTreeMap::new());
    for pid in pids {
        first.extend(thread_cpu(*pid)?);
    }
    while began.elapsed() < window {
        tokio::time::sleep(EVERY.min(window.saturating_sub(began.elapsed()))).await;
        for pid in pids {
            last.extend(thread_cpu(*pid)?);
        }
    }
    let used = |(id, now): (u32, u64)| now.saturating_sub(first.get(&id).copied().unwrap_or(0));
    let nanos: u64 = last.into_iter().map(used).sum();
    Ok(nanos as f64 / 1e7 / began.elapsed().as_secs_f64())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn our_own_process_is_read_as_it_is() {
        let pid = std::process::id();
        let watch = Stopwatch::start(pid).unwrap();
        let mut spun = 0_u64;
        while watch.read().unwrap().1 < Duration::from_millis(30) {
            spun = spun.wrapping_mul(31).wrapping_add(1);
        }
        assert!(thread_cpu(pid).unwrap().values().sum::<u64>() > 20_000_000, "{spun}");
        let memory = memory(pid).unwrap();
        assert!(memory.rss > 500_000 && memory.rss_peak >= memory.rss, "{memory:?}");
        let listener = std::net::TcpListener::bind("127.0.0.1:0").unwrap();
        assert!(listening_ports().contains(&listener.local_addr().unwrap().port()));
        assert_eq!(family(pid).first(), Some(&pid));
        assert!(!command_line(pid).is_empty());
    }
}

//! What a heartbeat says about the machine and this process, read from `/proc` and `statvfs`.
//!
//! One [`Sampler`] per daemon, sampled every few seconds; a sample is three small reads and two
//! system calls. A value the kernel does not tell is `None` rather than a guess.

use std::fs;
use std::path::Path;
use std::time::Instant;

use rustix::time::{ClockId, clock_gettime};
use serde::Serialize;

/// One sample.
#[derive(Debug, Clone, Copy, PartialEq, Serialize)]
pub struct Health {
    /// CPU this process used since the sample before, in percent of one core (200 = two cores busy).
    pub cpu_percent: f32,
    /// Resident memory of this process in bytes.
    pub rss_bytes: Option<u64>,
    /// Bytes an unprivileged writer may still use on the file system that was asked about.
    pub disk_free_bytes: Option<u64>,
    /// One-minute load average of the machine.
    pub load1: Option<f32>,
    /// Seconds since the sampler was made.
    pub uptime_s: u64,
}

/// Remembers the sample before, so that CPU use is over the interval and not over all time.
#[derive(Debug)]
pub struct Sampler {
    started: Instant,
    last: Instant,
    last_cpu_us: u64,
}

impl Sampler {
    /// Starts the first interval now.
    #[must_use]
    pub fn new() -> Self {
        let now = Instant::now();
        Self { started: now, last: now, last_cpu_us: process_cpu_us() }
    }

    /// Takes a sample; `disk` is any path on the file system whose free space matters.
    pub fn sample(&mut self, disk: &Path) -> Health {
        let now = Instant::now();
        let cpu_us = process_cpu_us();
        let elapsed_us = now.duration_since(self.last).as_micros().max(1) as f64;
        let cpu_percent = cpu_us.saturating_sub(self.last_cpu_us) as f64 * 100.0 / elapsed_us;
        self.last = now;
        self.last_cpu_us = cpu_us;
        Health {
            cpu_percent: cpu_percent as f32,
            rss_bytes: rss_bytes(),
            disk_free_bytes: disk_free_bytes(disk),
            load1: load1(),
            uptime_s: now.duration_since(self.started).as_secs(),
        }
    }
}

impl Default for Sampler {
    fn default() -> Self {
        Self::new()
    }
}

/// Bytes an unprivileged writer may still use on the file system that holds `path`.
#[must_use]
pub fn disk_free_bytes(path: &Path) -> Option<u64> {
    let stat = rustix::fs::statvfs(path).ok()?;
    stat.f_bavail.checked_mul(stat.f_frsize)
}

/// Resident memory of this process in bytes.
#[must_use]
pub fn rss_bytes() -> Option<u64> {
    let status = fs::read_to_string("/proc/self/status").ok()?;
    let line = status.lines().find_map(|line| line.strip_prefix("VmRSS:"))?;
    let kib: u64 = line.trim().strip_suffix("kB")?.trim().parse().ok()?;
    kib.checked_mul(1024)
}

fn load1() -> Option<f32> {
    let text = fs::read_to_string("/proc/loadavg").ok()?;
    text.split_ascii_whitespace().next()?.parse().ok()
}

fn process_cpu_us() -> u64 {
    let spent = clock_gettime(ClockId::ProcessCPUTime);
    let seconds = u64::try_from(spent.tv_sec).unwrap_or(0);
    let nanos = u64::try_from(spent.tv_nsec).unwrap_or(0);
    seconds.saturating_mul(1_000_000).saturating_add(nanos / 1_000)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_busy_interval_shows_more_cpu_than_none() {
        let mut sampler = Sampler::new();
        let mut spun = 0_u64;
        let busy_from = process_cpu_us();
        while process_cpu_us() < busy_from + 20_000 {
            spun = spun.wrapping_mul(31).wrapping_add(1);
        }
        let health = sampler.sample(Path::new("/"));
        assert!(health.cpu_percent > 0.0, "{health:?} after {spun}");
        assert!(health.rss_bytes.is_some_and(|rss| rss > 100_000), "{health:?}");
        assert!(health.disk_free_bytes.is_some(), "{health:?}");
        assert!(health.load1.is_some_and(|load| load >= 0.0), "{health:?}");
    }

    #[test]
    fn a_path_that_is_not_there_has_no_free_space_to_tell() {
        assert_eq!(disk_free_bytes(Path::new("/nonexistent/place")), None);
    }
}

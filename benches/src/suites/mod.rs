//! One module a measurement; each returns its report.

pub(crate) mod codec;
pub(crate) mod fleet;
pub(crate) mod idle;
pub(crate) mod latency;
pub(crate) mod log;
pub(crate) mod path;
pub(crate) mod ssh;

use std::time::Duration;

/// CPU time of the calling thread so far.
fn thread_cpu() -> Duration {
    let spent = rustix::time::clock_gettime(rustix::time::ClockId::ThreadCPUTime);
    Duration::new(u64::try_from(spent.tv_sec).unwrap_or(0), u32::try_from(spent.tv_nsec).unwrap_or(0))
}

const MB: f64 = 1e6;

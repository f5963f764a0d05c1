//! How many events a second become durable, at each group size: `cargo bench -p bee-log --bench append [dir]`.
//!
//! One thread, events of 400 bytes, one record an event, one write and one fdatasync a group. CPU is that of the
//! thread that appends (user and system), from `/proc/thread-self/schedstat`.
#![allow(
    clippy::print_stdout,
    clippy::unwrap_used,
    reason = "a measurement prints its numbers and ends when it cannot"
)]

use std::time::{Duration, Instant};

use bee_log::{Handle, Item, Log, Options};

const EVENT_BYTES: usize = 400;
const SECONDS: f64 = 2.0;

fn main() {
    let parent = std::env::args().skip(1).find(|arg| !arg.starts_with('-'));
    let dir = match parent {
        Some(parent) => tempfile::tempdir_in(parent),
        None => tempfile::tempdir(),
    }
    .unwrap();
    println!("events of {EVENT_BYTES} B in {}", dir.path().display());
    println!(
        "{:>7} {:>11} {:>9} {:>8} {:>13} {:>10}",
        "group", "events/s", "syncs/s", "MB/s", "CPU us/event", "us/group"
    );
    for group in [1, 10, 100, 1_000, 10_000] {
        append(dir.path(), group);
    }
    let options = Options { scan: bee_log::Scan::Full, ..Options::default() };
    let started = Instant::now();
    let (_writer, handle, recovery) = Log::open(dir.path(), options).unwrap();
    let megabytes = handle.stats().bytes as f64 / 1e6;
    let seconds = started.elapsed().as_secs_f64();
    println!("open with full scan: {megabytes:.0} MB, {} events in {seconds:.2} s", recovery.next_seq);
    read(&handle);
}

fn append(dir: &std::path::Path, group: usize) {
    let (mut writer, handle, _) = Log::open(dir, Options::default()).unwrap();
    let event = [b'x'; EVENT_BYTES];
    let before = handle.stats();
    let (started, cpu) = (Instant::now(), thread_cpu());
    while started.elapsed().as_secs_f64() < SECONDS {
        for _ in 0..group {
            writer.append(1, &event).unwrap();
        }
        writer.commit().unwrap();
    }
    let (seconds, cpu) = (started.elapsed().as_secs_f64(), thread_cpu() - cpu);
    let after = handle.stats();
    let events = (after.records - before.records) as f64;
    println!(
        "{group:>7} {:>11.0} {:>9.0} {:>8.1} {:>13.3} {:>10.1}",
        events / seconds,
        (after.syncs - before.syncs) as f64 / seconds,
        events * EVENT_BYTES as f64 / seconds / 1e6,
        cpu.as_secs_f64() * 1e6 / events,
        seconds * 1e6 / (after.commits - before.commits) as f64,
    );
    // Only the largest group's log is kept for reading.
    if group < 10_000 {
        handle.truncate_before(u64::MAX).unwrap();
    }
}

fn read(handle: &Handle) {
    for (name, backward) in [("forward", false), ("backward", true)] {
        let (started, cpu) = (Instant::now(), thread_cpu());
        let (mut forward_reader, mut backward_reader) =
            (handle.reader(handle.first_seq()), handle.reverse_reader(u64::MAX));
        let mut records = 0_u64;
        while let Some(item) = if backward { backward_reader.next() } else { forward_reader.next() }.unwrap()
        {
            records += u64::from(matches!(item, Item::Record(_)));
        }
        let (seconds, cpu) = (started.elapsed().as_secs_f64(), thread_cpu() - cpu);
        let each = cpu.as_secs_f64() * 1e6 / records as f64;
        println!("read {name}: {:.0} events/s, {each:.3} us CPU an event", records as f64 / seconds);
    }
}

/// CPU time of this thread so far.
fn thread_cpu() -> Duration {
    let text = std::fs::read_to_string("/proc/thread-self/schedstat").unwrap();
    Duration::from_nanos(text.split_whitespace().next().unwrap().parse().unwrap())
}

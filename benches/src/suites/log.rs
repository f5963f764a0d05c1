//! The append log alone: how many events a second become durable, at each group size.
//!
//! One thread, one record an event (as the node's spool has it), one write and one fdatasync a group.

use std::time::{Duration, Instant};

use anyhow::ensure;
use bee_bench::mix::Mix;
use bee_log::{Item, Log, Options};

use super::{MB, thread_cpu};
use crate::report::Report;
use crate::rig::Place;

const ROUND: Duration = Duration::from_secs(1);

pub(crate) fn run(place: &Place, rounds: usize) -> anyhow::Result<Report> {
    let mix = Mix::new(42, 20_000);
    let mut report = Report::new("log");
    report.setting("record", format!("one event of the mix, mean {:.0} B", mix.mean_bytes()));
    report.setting("round", format!("{ROUND:?} a group size"));
    report.setting("folder", place.work_dir.display());
    for _ in 0..rounds.max(1) {
        for group in [1_u64, 10, 100, 1_000, 10_000] {
            append(place, &mix, group, &mut report)?;
        }
    }
    report.note("CPU is that of the appending thread, user and system; the wait for the disk is not in it");
    Ok(report)
}

fn append(place: &Place, mix: &Mix, group: u64, report: &mut Report) -> anyhow::Result<()> {
    let dir = place.temp_dir()?;
    let (mut writer, handle, _) = Log::open(dir.path(), Options::default())?;
    let (began, cpu) = (Instant::now(), thread_cpu());
    let (mut seq, mut bytes) = (0_u64, 0_usize);
    while began.elapsed() < ROUND {
        for _ in 0..group {
            let event = mix.event(seq);
            bytes += event.len();
            writer.append(1, event)?;
            seq += 1;
        }
        writer.commit()?;
    }
    let (wall, cpu) = (began.elapsed().as_secs_f64(), thread_cpu().saturating_sub(cpu).as_secs_f64());
    let stats = handle.stats();
    ensure!(stats.records == seq, "the log counts {} of {seq} records", stats.records);
    let case = format!("groups of {group}");
    report.round(&case, "events/s", "/s", seq as f64 / wall);
    report.round(&case, "syncs/s", "/s", stats.syncs as f64 / wall);
    report.round(&case, "written", "MB/s", bytes as f64 / MB / wall);
    report.round(&case, "CPU an event", "us", cpu * 1e6 / seq as f64);
    report.round(&case, "time of a group", "us", wall * 1e6 / stats.commits as f64);
    if group == 10_000 {
        read(&handle, seq, report)?;
    }
    Ok(())
}

fn read(handle: &bee_log::Handle, events: u64, report: &mut Report) -> anyhow::Result<()> {
    let cpu = thread_cpu();
    let mut reader = handle.reader(handle.first_seq());
    let mut found = 0;
    while let Some(item) = reader.next()? {
        ensure!(matches!(item, Item::Record(_)), "a gap in a fresh log");
        found += 1;
    }
    ensure!(found == events, "read {found} of {events} events");
    let seconds = thread_cpu().saturating_sub(cpu).as_secs_f64();
    report.round("read forward", "CPU an event", "us", seconds * 1e6 / found as f64);
    Ok(())
}

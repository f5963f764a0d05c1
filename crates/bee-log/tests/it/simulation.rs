//! Random programs against the model file system, checked against a plain list of what must be there.
//!
//! `BEE_LOG_SEED=<seed>` runs one program (and prints its steps), `BEE_LOG_PROGRAMS=<n>` changes how many run.

use std::collections::BTreeMap;
use std::path::Path;
use std::sync::Arc;

use bee_log::{Error, GapCause, Handle, Log, Options, Reader, Scan, Writer};
use rand::{RngExt, SeedableRng};
use rand_chacha::ChaCha8Rng;

use crate::model_fs::{Death, ModelFs};
use crate::support::{Owned, Read, own, read_backward, read_forward};

const PROGRAMS: u64 = 4000;
const FIRST_SEED: u64 = 1;

#[test]
fn no_committed_record_is_lost_doubled_or_changed_by_crashes_faults_and_full_disks() {
    if let Ok(seed) = std::env::var("BEE_LOG_SEED") {
        let tally = Program::new(seed.parse().unwrap(), true).run();
        println!("{tally:?}");
        return;
    }
    let programs = std::env::var("BEE_LOG_PROGRAMS").map_or(PROGRAMS, |n| n.parse().unwrap());
    let mut total = Tally::default();
    for seed in FIRST_SEED..FIRST_SEED + programs {
        let ran = std::panic::catch_unwind(|| Program::new(seed, false).run());
        let Ok(tally) = ran else {
            panic!("seed {seed} failed (see above); repeat with BEE_LOG_SEED={seed}");
        };
        total.add(&tally);
    }
    println!("{programs} programs: {total:?}");
    // A simulation that does not get into trouble proves nothing.
    let n = programs;
    assert!(total.commits > 5 * n && total.failed_commits > n / 2 && total.crashes > n, "{total:?}");
    assert!(total.torn > 0 && total.uncommitted_found > 0 && total.dropped > 0, "{total:?}");
}

/// What happened, over all programs.
#[derive(Debug, Default)]
struct Tally {
    commits: u64,
    failed_commits: u64,
    crashes: u64,
    opens: u64,
    torn: u64,
    uncommitted_found: u64,
    dropped: u64,
    faults: u64,
}

impl Tally {
    fn add(&mut self, other: &Self) {
        self.commits += other.commits;
        self.failed_commits += other.failed_commits;
        self.crashes += other.crashes;
        self.opens += other.opens;
        self.torn += other.torn;
        self.uncommitted_found += other.uncommitted_found;
        self.dropped += other.dropped;
        self.faults += other.faults;
    }
}

/// What the log must contain.
#[derive(Default)]
struct Oracle {
    /// Every record whose commit succeeded, or that recovery found to have reached the disk.
    committed: BTreeMap<u64, Owned>,
    next_seq: u64,
    /// Groups whose commit was tried since the last one that succeeded: after a crash, a first part of one of them
    /// may be there.
    attempts: Vec<Vec<Owned>>,
    /// The highest mark that was asked for, and the highest that is durable.
    first_asked: u64,
    first_durable: u64,
    first_seq: u64,
    dropped_sure: u64,
    dropped_asked: u64,
}

struct Open {
    writer: Writer,
    handle: Handle,
    group: Vec<Owned>,
    tail: Reader,
    tail_at: u64,
}

struct Program {
    rng: ChaCha8Rng,
    fs: ModelFs,
    options: Options,
    fault_chance: f64,
    oracle: Oracle,
    counter: u64,
    tally: Tally,
    loud: bool,
}

impl Program {
    fn new(seed: u64, loud: bool) -> Self {
        let mut rng = ChaCha8Rng::seed_from_u64(seed);
        let fs = ModelFs::new(seed);
        let segment_bytes_max = rng.random_range(600..3000);
        let group_bytes_max = rng.random_range(332..=(segment_bytes_max as usize - 64).min(1500));
        let options = Options {
            start_seq: [0, 0, 1, 1 << 40][rng.random_range(0..4)],
            record_bytes_max: 300,
            group_bytes_max,
            segment_bytes_max,
            bytes_max: rng.random_bool(0.5).then(|| segment_bytes_max * rng.random_range(2..6)),
            scan: if rng.random_bool(0.7) { Scan::Full } else { Scan::Tail },
        };
        if rng.random_bool(0.3) {
            fs.set_capacity(Some(13_000 + rng.random_range(1..4) * segment_bytes_max as usize));
        }
        let fault_chance = [0.0, 0.02, 0.1, 0.3][rng.random_range(0..4)];
        let start = options.start_seq;
        let oracle = Oracle {
            next_seq: start,
            first_asked: start,
            first_durable: start,
            first_seq: start,
            ..Oracle::default()
        };
        Self { rng, fs, options, fault_chance, oracle, counter: 0, tally: Tally::default(), loud }
    }

    fn run(mut self) -> Tally {
        let lives = self.rng.random_range(2..6);
        for _ in 0..lives {
            self.live();
        }
        self.fs.set_capacity(None);
        self.open_surely();
        self.tally.faults = self.fs.faults();
        self.tally
    }

    fn say(&self, text: impl FnOnce() -> String) {
        if self.loud {
            println!("{}", text());
        }
    }

    /// From an open to a crash or a clean end.
    fn live(&mut self) {
        self.fs.set_fault_chance(self.fault_chance);
        if self.rng.random_bool(0.2) {
            self.fs.die_after(Some(self.rng.random_range(0..12)));
        }
        let first_try = self.open();
        let mut log = match first_try {
            Some(log) => log,
            None => {
                self.die();
                self.open_surely()
            }
        };
        self.fs.set_fault_chance(self.fault_chance);
        let steps = self.rng.random_range(1..60);
        if self.rng.random_bool(0.6) {
            self.fs.die_after(Some(self.rng.random_range(0..60)));
        }
        for _ in 0..steps {
            self.step(&mut log);
            if self.fs.is_dead() {
                break;
            }
        }
        if !self.fs.is_dead() && self.rng.random_bool(0.3) {
            self.fs.die_after(None);
            let closed = log.writer.close().is_ok();
            self.say(|| format!("close {closed}"));
            if closed {
                self.oracle.first_durable = self.oracle.first_seq;
            }
            drop((log.handle, log.tail));
            return;
        }
        // The process dies with all it has open; only then are the handles dropped, so that they change nothing.
        self.die();
        drop(log);
    }

    fn die(&mut self) {
        let death = if self.rng.random_bool(0.7) { Death::PowerCut } else { Death::Kill };
        self.say(|| format!("{death:?}"));
        if death == Death::PowerCut {
            self.oracle.first_seq = self.oracle.first_durable;
        }
        self.tally.crashes += 1;
        self.fs.restart(death);
    }

    fn open_surely(&mut self) -> Open {
        self.fs.set_fault_chance(0.0);
        self.fs.die_after(None);
        self.open().expect("opens when nothing fails")
    }

    /// Opens the log and checks what recovery made of it. `None` when an injected fault prevented it.
    fn open(&mut self) -> Option<Open> {
        let opened = Log::open_on(Arc::new(self.fs.clone()), Path::new("/log"), self.options.clone());
        let (writer, handle, recovery) = match opened {
            Ok(opened) => opened,
            Err(
                error @ (Error::Newer { .. }
                | Error::Foreign { .. }
                | Error::Options(_)
                | Error::Locked { .. }),
            ) => {
                panic!("{error}")
            }
            Err(error) => {
                self.say(|| format!("open failed: {error:?}"));
                return None;
            }
        };
        self.say(|| format!("open {recovery:?}"));
        self.fs.set_fault_chance(0.0);
        self.fs.die_after(None);
        self.tally.opens += 1;
        self.tally.torn += u64::from(recovery.torn_bytes > 0);
        assert_eq!((recovery.damaged_seqs, recovery.damaged.len()), (0, 0), "damage where there was none");

        let oracle = &mut self.oracle;
        assert!(recovery.next_seq >= oracle.next_seq, "lost: {} < {}", recovery.next_seq, oracle.next_seq);
        assert!(
            recovery.first_seq >= oracle.first_durable,
            "{} < {}",
            recovery.first_seq,
            oracle.first_durable
        );
        assert!(recovery.first_seq <= oracle.first_asked, "{} > {}", recovery.first_seq, oracle.first_asked);
        assert_eq!((handle.first_seq(), handle.next_seq()), (recovery.first_seq, recovery.next_seq));
        let dropped = handle.stats().dropped_seqs;
        assert!(dropped >= oracle.dropped_sure && dropped <= oracle.dropped_asked, "dropped {dropped}");

        // Records of a commit that failed or was cut short may be there: a first part of one attempt, in order.
        if recovery.next_seq > oracle.next_seq {
            self.tally.uncommitted_found += 1;
            let found: Vec<Owned> = read_forward(&handle, oracle.next_seq)
                .into_iter()
                .map(|item| match item {
                    Read::Record(record) => record,
                    Read::Gap(gap) => panic!("a gap in what was not committed: {gap:?}"),
                })
                .collect();
            assert!(
                oracle.attempts.iter().any(|attempt| attempt.starts_with(&found)),
                "a mixture of groups: {found:?}, tried {:?}",
                oracle.attempts
            );
            oracle.committed.extend(found.into_iter().map(|record| (record.seq, record)));
        }
        // What was found is durable now, and so is the mark.
        oracle.attempts.clear();
        oracle.next_seq = recovery.next_seq;
        oracle.first_seq = recovery.first_seq;
        oracle.first_durable = recovery.first_seq;
        oracle.first_asked = recovery.first_seq;
        oracle.dropped_sure = dropped;
        oracle.dropped_asked = dropped;

        let tail_at = oracle.first_seq;
        let log = Open { writer, tail: handle.reader(tail_at), handle, group: Vec::new(), tail_at };
        self.check(&log);
        Some(log)
    }

    fn step(&mut self, log: &mut Open) {
        match self.rng.random_range(0..100) {
            0..50 => self.append(log),
            50..75 => self.commit(log),
            75..79 => {
                log.group.clear();
                log.writer.rollback();
                self.say(|| "rollback".into());
            }
            79..87 => self.truncate(log),
            87..90 => self.drop_oldest(log),
            90..92 => {
                if log.handle.sync_mark().is_ok() {
                    self.oracle.first_durable = self.oracle.first_seq;
                }
            }
            92..96 => self.tail(log),
            _ => {
                if !self.fs.is_dead() {
                    self.check(log);
                }
            }
        }
    }

    fn append(&mut self, log: &mut Open) {
        self.counter += 1;
        let len = [0, 1, 20, 150, 300][self.rng.random_range(0..5)];
        let mut payload = format!("{:x}.", self.counter).into_bytes();
        let byte = self.rng.random();
        payload.resize(len, byte);
        let weight = if self.rng.random_bool(0.7) { 1 } else { self.rng.random_range(1..50) };
        let split = self.rng.random_range(0..=payload.len());
        match log.writer.append_parts(weight, &[&payload[..split], &payload[split..]]) {
            Ok(seq) => log.group.push(Owned { seq, weight, payload }),
            Err(Error::GroupFull { .. }) => {}
            Err(error) => panic!("{error}"),
        }
    }

    fn commit(&mut self, log: &mut Open) {
        if !log.group.is_empty() {
            self.oracle.attempts.push(log.group.clone());
        }
        let result = log.writer.commit();
        self.say(|| format!("commit of {}: {result:?}", log.group.len()));
        match result {
            Ok(next_seq) => {
                let end =
                    log.group.last().map_or(self.oracle.next_seq, |last| last.seq + u64::from(last.weight));
                assert_eq!(next_seq, end);
                // An empty commit proves nothing about what failed before.
                if !log.group.is_empty() {
                    self.oracle.attempts.clear();
                }
                self.oracle.committed.extend(log.group.drain(..).map(|record| (record.seq, record)));
                self.oracle.next_seq = next_seq;
                self.tally.commits += 1;
            }
            Err(error) => {
                self.tally.failed_commits += 1;
                assert_eq!(log.handle.next_seq(), self.oracle.next_seq, "a failed commit shows nothing");
                // The usual thing to do, sometimes.
                if error.is_full() && self.rng.random_bool(0.7) {
                    self.drop_oldest(log);
                }
            }
        }
        if self.options.bytes_max.is_some_and(|max| log.handle.stats().bytes > max) {
            panic!("over the cap: {:?}", log.handle.stats());
        }
    }

    fn truncate(&mut self, log: &mut Open) {
        let (first, next) = (self.oracle.first_seq, self.oracle.next_seq);
        let seq = self.rng.random_range(first..=next + 3);
        self.oracle.first_asked = self.oracle.first_asked.max(seq.min(next));
        let result = log.handle.truncate_before(seq);
        self.say(|| format!("truncate {seq}: {result:?}"));
        if let Ok(first_seq) = result {
            assert_eq!(first_seq, seq.min(next).max(first));
        }
        self.oracle.first_seq = log.handle.first_seq();
    }

    fn drop_oldest(&mut self, log: &mut Open) {
        let before = log.handle.first_seq();
        // At most everything can go.
        let all = self.oracle.next_seq - before;
        self.oracle.first_asked = self.oracle.next_seq;
        self.oracle.dropped_asked += all;
        let result = log.writer.drop_oldest();
        self.say(|| format!("drop_oldest: {result:?}"));
        let gone = log.handle.first_seq() - before;
        if let Ok(dropped) = result {
            assert_eq!(dropped, gone);
            self.tally.dropped += dropped;
            if gone > 0 {
                self.oracle.first_durable = log.handle.first_seq();
            }
        }
        self.oracle.dropped_sure = self.oracle.dropped_sure.max(log.handle.stats().dropped_seqs);
        self.oracle.first_seq = log.handle.first_seq();
    }

    /// A reader that follows the writer sees each record once, in order.
    fn tail(&mut self, log: &mut Open) {
        if self.fs.is_dead() {
            return;
        }
        while let Some(item) = log.tail.next().unwrap() {
            match own(item) {
                Read::Record(record) => {
                    assert_eq!(self.oracle.committed.get(&record.seq), Some(&record));
                    let end = record.seq + u64::from(record.weight);
                    assert!(record.seq <= log.tail_at && end > log.tail_at, "{record:?} at {}", log.tail_at);
                    log.tail_at = end;
                }
                Read::Gap(gap) => {
                    assert_eq!((gap.from, gap.cause), (log.tail_at, GapCause::Truncated));
                    assert_eq!(gap.to, self.oracle.first_seq);
                    log.tail_at = gap.to;
                }
            }
        }
        assert_eq!(log.tail_at, self.oracle.next_seq.max(log.tail_at));
    }

    /// Both directions, from a random place, show exactly what was committed.
    fn check(&mut self, log: &Open) {
        let (first, next) = (self.oracle.first_seq, self.oracle.next_seq);
        let from = self.rng.random_range(first..=next);
        let records = |low: u64, high: u64| -> Vec<Read> {
            let all = self.oracle.committed.values();
            let overlaps =
                all.filter(|record| record.seq < high && record.seq + u64::from(record.weight) > low);
            overlaps.map(|record| Read::Record(record.clone())).collect()
        };
        assert_eq!(read_forward(&log.handle, first), records(first, next), "forward from {first}");
        assert_eq!(read_forward(&log.handle, from), records(from, next), "forward from {from}");
        assert_eq!(read_backward(&log.handle, u64::MAX), records(first, next), "backward from the end");
        // A record that covers the mark begins below it, and ends a backward walk.
        let below = if from > first { records(first, from) } else { Vec::new() };
        assert_eq!(read_backward(&log.handle, from), below, "backward from {from}");
    }
}

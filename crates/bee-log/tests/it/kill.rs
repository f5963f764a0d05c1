//! A real process on the real file system, killed with SIGKILL in the middle of its appends.

use std::io::{BufRead, BufReader, Write};
use std::process::{Command, Stdio};
use std::time::{Duration, Instant};

use bee_log::{Error, Item, Log, Options};

const CHILD_DIR: &str = "BEE_LOG_KILL_CHILD_DIR";
const ROUNDS: usize = 25;

fn options() -> Options {
    Options {
        segment_bytes_max: 256 << 10,
        group_bytes_max: 64 << 10,
        record_bytes_max: 8 << 10,
        ..Options::default()
    }
}

/// What record `seq` holds.
fn payload(seq: u64) -> Vec<u8> {
    seq.to_le_bytes().repeat(1 + (seq % 400) as usize)
}

/// Not a test of its own: the process that is killed. Prints `next_seq` after each commit.
#[test]
fn child() {
    let Ok(dir) = std::env::var(CHILD_DIR) else { return };
    let (mut writer, handle, _) = Log::open(dir, options()).unwrap();
    let mut out = std::io::stdout();
    for round in 0_u64.. {
        for _ in 0..1 + round % 37 {
            match writer.append(1, &payload(writer.next_seq())) {
                Ok(_) => {}
                Err(Error::GroupFull { .. }) => break,
                Err(error) => panic!("{error}"),
            }
        }
        let next = writer.commit().unwrap();
        if round % 50 == 49 {
            handle.truncate_before(next.saturating_sub(2000)).unwrap();
        }
        writeln!(out, "next {next}").unwrap();
    }
}

#[test]
fn what_a_killed_process_has_committed_is_there() {
    let dir = tempfile::tempdir().unwrap();
    let mut floor = 0;
    for round in 0..ROUNDS {
        let mut child = Command::new(std::env::current_exe().unwrap())
            .args(["--exact", "kill::child", "--nocapture", "--test-threads=1"])
            .env(CHILD_DIR, dir.path())
            .stdout(Stdio::piped())
            .stderr(Stdio::inherit())
            .spawn()
            .unwrap();
        let mut lines = BufReader::new(child.stdout.take().unwrap()).lines();
        let deadline = Instant::now() + Duration::from_secs(60);
        let mut seen = 0;
        // The kill comes after another number of commits in each round, wherever the child is then.
        while seen < 1 + round * 3 {
            assert!(Instant::now() < deadline, "the child makes no progress");
            let line = lines.next().expect("the child lives").unwrap();
            if let Some(next) = line.strip_prefix("next ") {
                floor = next.parse().unwrap();
                seen += 1;
            }
        }
        child.kill().unwrap();
        child.wait().unwrap();
        for line in lines.map_while(Result::ok) {
            if let Some(next) = line.strip_prefix("next ").and_then(|next| next.parse().ok()) {
                floor = next;
            }
        }

        let (_writer, handle, recovery) = Log::open(dir.path(), options()).unwrap();
        assert!(recovery.next_seq >= floor, "round {round}: {recovery:?}, committed {floor}");
        assert_eq!(recovery.damaged_seqs, 0, "round {round}: {recovery:?}");
        let mut reader = handle.reader(recovery.first_seq);
        let mut next = recovery.first_seq;
        while let Some(item) = reader.next().unwrap() {
            let Item::Record(record) = item else { panic!("round {round}: {item:?}") };
            assert_eq!((record.seq, record.payload), (next, payload(next).as_slice()));
            next += 1;
        }
        assert_eq!(next, recovery.next_seq);
    }
    assert!(floor > 1000);
}

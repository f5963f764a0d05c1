//! What the API promises on the real file system when nothing goes wrong.

use std::time::Duration;

use bee_log::{Error, Gap, GapCause, Log, Options};

use crate::support::{Read, payloads, read_backward, read_forward, small};

#[test]
fn readers_see_a_group_only_after_its_commit_and_a_rolled_back_one_never() {
    let dir = tempfile::tempdir().unwrap();
    let (mut writer, handle, recovery) = Log::open(dir.path().join("a/b"), Options::default()).unwrap();
    assert!(recovery.created);
    let mut reader = handle.reader(0);
    assert_eq!(writer.append(1, b"one").unwrap(), 0);
    assert_eq!(writer.append_parts(3, &[b"t", b"wo"]).unwrap(), 1);
    assert!(reader.next().unwrap().is_none());
    assert_eq!(writer.commit().unwrap(), 4);
    assert_eq!(payloads(&read_forward(&handle, 0)), ["one", "two"]);
    assert!(reader.next().unwrap().is_some() && reader.next().unwrap().is_some());
    assert!(reader.next().unwrap().is_none());

    writer.append(1, b"never").unwrap();
    assert_eq!(writer.rollback(), 1);
    assert_eq!(writer.append(1, b"").unwrap(), 4, "the number is given out again");
    writer.commit().unwrap();
    assert!(reader.next().unwrap().is_some(), "the same reader goes on");
    assert_eq!(payloads(&read_forward(&handle, 2)), ["two", ""], "2 lies inside the second record");
    assert_eq!(payloads(&read_backward(&handle, 4)), ["one", "two"]);
}

#[test]
fn a_group_is_one_sync() {
    let dir = tempfile::tempdir().unwrap();
    let (mut writer, handle, _) = Log::open(dir.path(), Options::default()).unwrap();
    writer.append(1, b"first").unwrap();
    writer.commit().unwrap();
    let before = handle.stats();
    for _ in 0..10 {
        for _ in 0..100 {
            writer.append(1, &[7; 400]).unwrap();
        }
        writer.commit().unwrap();
    }
    let after = handle.stats();
    assert_eq!(after.syncs - before.syncs, 10);
    assert_eq!((after.commits - before.commits, after.records - before.records), (10, 1000));
    writer.commit().unwrap();
    assert_eq!(handle.stats(), after, "an empty group costs nothing");
}

#[test]
fn records_survive_a_reopen_across_segments_in_both_directions() {
    let dir = tempfile::tempdir().unwrap();
    let expect: Vec<String> = (0..200).map(|n| format!("record {n} {}", "x".repeat(n))).collect();
    {
        let (mut writer, _, _) = Log::open(dir.path(), small()).unwrap();
        for text in &expect {
            writer.append(1, text.as_bytes()).unwrap();
            writer.commit().unwrap();
        }
    }
    for scan in [bee_log::Scan::Full, bee_log::Scan::Tail] {
        let (_writer, handle, recovery) = Log::open(dir.path(), Options { scan, ..small() }).unwrap();
        assert_eq!((recovery.first_seq, recovery.next_seq, recovery.torn_bytes), (0, 200, 0));
        assert!(recovery.segments > 10);
        assert_eq!(payloads(&read_backward(&handle, u64::MAX)), expect);
        assert_eq!(payloads(&read_backward(&handle, 77)), expect[..77]);
        assert_eq!(payloads(&read_forward(&handle, 123)), expect[123..]);
    }
}

#[test]
fn truncation_unlinks_whole_segments_and_survives_a_reopen() {
    let dir = tempfile::tempdir().unwrap();
    let (mut writer, handle, _) = Log::open(dir.path(), Options { start_seq: 1000, ..small() }).unwrap();
    for n in 0..50 {
        writer.append(1, format!("{n:0>200}").as_bytes()).unwrap();
        writer.commit().unwrap();
    }
    let mut early = handle.reader(1000);
    let before = handle.stats();
    assert_eq!(handle.truncate_before(1031).unwrap(), 1031);
    assert_eq!(handle.truncate_before(1002).unwrap(), 1031, "never goes back");
    assert!(handle.stats().segments < before.segments && handle.stats().bytes < before.bytes);
    let Some(bee_log::Item::Gap(gap)) = early.next().unwrap() else { panic!("a reader is told") };
    assert_eq!(gap, Gap { from: 1000, to: 1031, cause: GapCause::Truncated });
    drop((writer, handle, early));

    let (_writer, handle, recovery) = Log::open(dir.path(), small()).unwrap();
    assert_eq!((recovery.first_seq, recovery.next_seq), (1031, 1050));
    assert_eq!(read_forward(&handle, 1031).len(), 19);
    assert_eq!(read_backward(&handle, u64::MAX).len(), 19);
    assert_eq!(handle.truncate_before(u64::MAX).unwrap(), 1050);
    assert!(read_forward(&handle, 1050).is_empty());
}

#[test]
fn at_the_cap_commits_fail_cleanly_until_the_oldest_is_dropped_and_the_loss_is_counted() {
    let dir = tempfile::tempdir().unwrap();
    let options = Options { bytes_max: Some(4000), ..small() };
    let (mut writer, handle, _) = Log::open(dir.path(), options.clone()).unwrap();
    let mut dropped = 0;
    for n in 0..200_u32 {
        writer.append(1, format!("{n:0>200}").as_bytes()).unwrap();
        loop {
            match writer.commit() {
                Ok(next) => break assert_eq!(next, u64::from(n) + 1),
                Err(error @ Error::CapReached { .. }) => {
                    assert!(error.is_full());
                    dropped += writer.drop_oldest().unwrap();
                }
                Err(error) => panic!("{error}"),
            }
        }
        assert!(handle.stats().bytes <= 4000);
    }
    assert!(dropped > 100);
    assert_eq!(handle.first_seq(), dropped);
    assert_eq!(read_forward(&handle, dropped).len() as u64, 200 - dropped);
    drop((writer, handle));
    let (mut writer, handle, _) = Log::open(dir.path(), options).unwrap();
    assert_eq!((handle.stats().dropped_seqs, handle.first_seq()), (dropped, dropped));
    // Everything may go, and the numbers go on.
    while writer.drop_oldest().unwrap() > 0 {}
    assert_eq!((handle.first_seq(), handle.stats().segments), (200, 0));
    drop((writer, handle));
    let (mut writer, _, recovery) = Log::open(dir.path(), small()).unwrap();
    assert_eq!(recovery.next_seq, 200);
    assert_eq!(writer.append(1, b"x").unwrap(), 200);
    writer.commit().unwrap();
}

#[test]
fn a_second_writer_is_refused_with_the_directory_named() {
    let dir = tempfile::tempdir().unwrap();
    let (writer, handle, _) = Log::open(dir.path(), Options::default()).unwrap();
    let error = Log::open(dir.path(), Options::default()).unwrap_err();
    assert!(matches!(error, Error::Locked { .. }));
    assert!(error.to_string().contains(dir.path().to_str().unwrap()), "{error}");
    drop(writer);
    assert!(Log::open(dir.path(), Options::default()).is_err(), "a handle can still truncate");
    drop(handle);
    Log::open(dir.path(), Options::default()).unwrap();
}

#[test]
fn a_newer_format_and_another_logs_segment_are_refused_untouched() {
    let dir = tempfile::tempdir().unwrap();
    let (mut writer, handle, _) = Log::open(dir.path(), Options::default()).unwrap();
    writer.append(1, b"x").unwrap();
    writer.commit().unwrap();
    drop((writer, handle));
    for name in ["meta", "00000000000000000000.seg"] {
        let path = dir.path().join(name);
        let good = std::fs::read(&path).unwrap();
        let mut newer = good.clone();
        newer[8] = 9;
        std::fs::write(&path, &newer).unwrap();
        let error = Log::open(dir.path(), Options::default()).unwrap_err();
        assert!(matches!(error, Error::Newer { found: 9, supported: 1, .. }), "{error}");
        assert_eq!(std::fs::read(&path).unwrap(), newer);
        std::fs::write(&path, &good).unwrap();
    }
    let other = tempfile::tempdir().unwrap();
    let (mut writer, _, _) = Log::open(other.path(), Options { start_seq: 5, ..small() }).unwrap();
    writer.append(1, b"x").unwrap();
    writer.commit().unwrap();
    let name = "00000000000000000005.seg";
    std::fs::copy(other.path().join(name), dir.path().join(name)).unwrap();
    assert!(matches!(Log::open(dir.path(), Options::default()), Err(Error::Foreign { .. })));
}

#[test]
fn limits_are_refused_before_anything_is_buffered() {
    let dir = tempfile::tempdir().unwrap();
    let (mut writer, _, _) = Log::open(dir.path(), small()).unwrap();
    assert!(matches!(writer.append(1, &[0; 301]), Err(Error::RecordTooLarge { bytes: 301, max: 300 })));
    assert!(matches!(writer.append(0, b""), Err(Error::BadWeight { weight: 0 })));
    writer.append(1, &[0; 300]).unwrap();
    writer.append(1, &[0; 300]).unwrap();
    assert!(matches!(writer.append(1, &[0; 300]), Err(Error::GroupFull { max: 800 })));
    assert_eq!((writer.pending_records(), writer.next_seq()), (2, 2));
    writer.commit().unwrap();
    writer.append(1, &[0; 300]).unwrap();

    let bad = [
        Options { group_bytes_max: 10, ..small() },
        Options { segment_bytes_max: 10, ..small() },
        Options { record_bytes_max: 1 << 30, ..small() },
        Options { bytes_max: Some(10), ..small() },
    ];
    for options in bad {
        assert!(matches!(Log::open(dir.path().join("x"), options), Err(Error::Options(_))));
    }
}

#[test]
fn numbers_end_with_an_error_and_not_with_a_second_zero() {
    let dir = tempfile::tempdir().unwrap();
    let options = Options { start_seq: u64::MAX - 2, ..small() };
    let (mut writer, handle, _) = Log::open(dir.path(), options).unwrap();
    writer.append(2, b"last").unwrap();
    assert!(matches!(writer.append(1, b"past"), Err(Error::Exhausted)));
    writer.commit().unwrap();
    assert_eq!(payloads(&read_forward(&handle, u64::MAX - 2)), ["last"]);
    assert_eq!(payloads(&read_backward(&handle, u64::MAX)), ["last"]);
}

#[test]
fn a_waiting_reader_wakes_up_when_its_record_is_committed() {
    let dir = tempfile::tempdir().unwrap();
    let (mut writer, handle, _) = Log::open(dir.path(), Options::default()).unwrap();
    assert_eq!(handle.wait_past(0, Duration::ZERO), 0);
    let waiter = std::thread::spawn(move || {
        let next = handle.wait_past(1, Duration::from_secs(60));
        (next, read_forward(&handle, 0).len())
    });
    for _ in 0..2 {
        writer.append(1, b"x").unwrap();
        writer.commit().unwrap();
    }
    assert_eq!(waiter.join().unwrap(), (2, 2));
}

#[test]
fn readers_follow_a_writer_that_rotates_and_truncates_without_missing_a_record() {
    let dir = tempfile::tempdir().unwrap();
    let (mut writer, handle, _) = Log::open(dir.path(), small()).unwrap();
    let readers: Vec<_> = (0..3)
        .map(|_| {
            let handle = handle.clone();
            std::thread::spawn(move || {
                let mut reader = handle.reader(0);
                let mut next = 0;
                while next < 2000 {
                    match reader.next().unwrap() {
                        Some(bee_log::Item::Record(record)) => {
                            assert_eq!(record.payload, next.to_string().repeat(20).as_bytes());
                            next = record.end_seq();
                        }
                        Some(bee_log::Item::Gap(gap)) => {
                            assert_eq!((gap.from, gap.cause), (next, GapCause::Truncated));
                            next = gap.to;
                        }
                        None => _ = handle.wait_past(next, Duration::from_secs(60)),
                    }
                }
            })
        })
        .collect();
    for n in 0..2000_u64 {
        writer.append(1, n.to_string().repeat(20).as_bytes()).unwrap();
        if n % 5 == 4 {
            writer.commit().unwrap();
        }
        if n % 500 == 499 {
            handle.truncate_before(n - 300).unwrap();
        }
    }
    readers.into_iter().for_each(|reader| reader.join().unwrap());
    let last = read_backward(&handle, u64::MAX);
    assert!(matches!(last.last(), Some(Read::Record(record)) if record.seq == 1999));
}

#[test]
fn files_are_readable_by_the_owner_alone() {
    use std::os::unix::fs::PermissionsExt;
    let parent = tempfile::tempdir().unwrap();
    let dir = parent.path().join("log");
    let (mut writer, _, _) = Log::open(&dir, Options::default()).unwrap();
    writer.append(1, b"root:hunter2").unwrap();
    writer.commit().unwrap();
    assert_eq!(std::fs::metadata(&dir).unwrap().permissions().mode() & 0o777, 0o700);
    for entry in std::fs::read_dir(&dir).unwrap() {
        assert_eq!(entry.unwrap().metadata().unwrap().permissions().mode() & 0o777, 0o600);
    }
}

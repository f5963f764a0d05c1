//! Damaged files: what can be read is read, what cannot is reported, nothing is silent.

use std::path::{Path, PathBuf};
use std::sync::Arc;

use bee_log::{Gap, GapCause, Handle, Log, Options, Recovery, Scan, Writer};
use rand::{RngExt, SeedableRng};
use rand_chacha::ChaCha8Rng;

use crate::model_fs::ModelFs;
use crate::support::{Read, payloads, read_backward, read_forward, small};

const DIR: &str = "/log";

/// A log of 30 records of 200 bytes, 3 a segment, one a group.
fn thirty(fs: &ModelFs) -> Vec<String> {
    let texts: Vec<String> = (0..30).map(|n| format!("{n:0>200}")).collect();
    let (mut writer, _, _) = open(fs, Scan::Full);
    for text in &texts {
        writer.append(1, text.as_bytes()).unwrap();
        writer.commit().unwrap();
    }
    texts
}

fn open(fs: &ModelFs, scan: Scan) -> (Writer, Handle, Recovery) {
    Log::open_on(Arc::new(fs.clone()), DIR, Options { segment_bytes_max: 900, ..Options { scan, ..small() } })
        .unwrap()
}

fn segment(first_seq: u64) -> PathBuf {
    Path::new(DIR).join(format!("{first_seq:020}.seg"))
}

fn edit(fs: &ModelFs, path: &Path, edit: impl FnOnce(&mut Vec<u8>)) {
    let mut bytes = fs.bytes(path).unwrap();
    edit(&mut bytes);
    fs.put(path, bytes);
}

fn damaged(from: u64, to: u64) -> Gap {
    Gap { from, to, cause: GapCause::Damaged }
}

/// All but `gap` is read, in both directions and with both ways to open, and the gap is named.
fn check_gap(fs: &ModelFs, texts: &[String], gap: Gap) {
    let (low, high) = (gap.from as usize, gap.to as usize);
    let mut expect = texts.to_vec();
    expect.splice(low..high, [format!("gap {low}..{high}")]);
    for scan in [Scan::Full, Scan::Tail] {
        let (mut writer, handle, recovery) = open(fs, scan);
        if scan == Scan::Full {
            assert_eq!((recovery.damaged, recovery.damaged_seqs), (vec![gap], gap.to - gap.from));
        }
        assert_eq!(payloads(&read_forward(&handle, 0)), expect, "{scan:?}");
        assert_eq!(payloads(&read_backward(&handle, u64::MAX)), expect, "{scan:?}");
        assert_eq!(recovery.next_seq, 30);
        assert_eq!(writer.append(1, b"goes on").unwrap(), 30);
    }
}

#[test]
fn a_flipped_bit_in_the_middle_is_a_gap_of_one_record() {
    for (record, byte) in [(0, 64), (1, 64 + 232 + 5), (2, 64 + 2 * 232 + 231), (1, 64 + 232 + 100)] {
        let fs = ModelFs::new(1);
        let texts = thirty(&fs);
        edit(&fs, &segment(12), |bytes| bytes[byte] ^= 4);
        check_gap(&fs, &texts, damaged(12 + record, 13 + record));
    }
}

#[test]
fn damage_before_a_later_group_of_the_last_segment_is_a_gap_and_no_torn_end() {
    let fs = ModelFs::new(1);
    let texts = thirty(&fs);
    edit(&fs, &segment(27), |bytes| bytes[64 + 232 + 40] ^= 1);
    check_gap(&fs, &texts, damaged(28, 29));
}

#[test]
fn damage_in_a_group_of_the_last_segment_spares_the_rest_of_the_group() {
    let fs = ModelFs::new(1);
    let mut texts = Vec::new();
    let (mut writer, _, _) = open(&fs, Scan::Full);
    for group in 0..2 {
        for n in 0..3 {
            texts.push(format!("{:0>100}", group * 3 + n));
            writer.append(1, texts.last().unwrap().as_bytes()).unwrap();
        }
        writer.commit().unwrap();
    }
    drop(writer);
    edit(&fs, &segment(0), |bytes| bytes[64 + 5] ^= 1);
    let (_writer, handle, recovery) = open(&fs, Scan::Full);
    assert_eq!((recovery.damaged, recovery.next_seq), (vec![damaged(0, 1)], 6));
    texts[0] = "gap 0..1".into();
    assert_eq!(payloads(&read_forward(&handle, 0)), texts);
    assert_eq!(payloads(&read_backward(&handle, u64::MAX)), texts);
}

#[test]
fn a_record_cut_at_any_byte_is_a_torn_end() {
    for cut in 0..232 {
        let fs = ModelFs::new(1);
        let texts = thirty(&fs);
        edit(&fs, &segment(27), |bytes| bytes.truncate(64 + 2 * 232 + cut));
        // The mark says that 30 numbers were committed when the writer was closed.
        let (mut writer, handle, recovery) = open(&fs, Scan::Full);
        assert_eq!((recovery.torn_bytes, recovery.next_seq), (cut as u64, 30));
        assert_eq!(recovery.damaged, [damaged(29, 30)]);
        assert_eq!(payloads(&read_forward(&handle, 0))[..29], texts[..29]);
        assert_eq!(writer.append(1, b"x").unwrap(), 30, "a number that was once used is not used again");
        writer.commit().unwrap();
        assert_eq!(payloads(&read_forward(&handle, 28)), [texts[28].as_str(), "gap 29..30", "x"]);
        assert_eq!(
            payloads(&read_backward(&handle, u64::MAX))[28..],
            [texts[28].as_str(), "gap 29..30", "x"]
        );
    }
}

#[test]
fn a_missing_segment_is_a_gap() {
    let fs = ModelFs::new(1);
    let texts = thirty(&fs);
    bee_log::fs::Fs::remove(&fs, &segment(9)).unwrap();
    check_gap(&fs, &texts, damaged(9, 12));

    // Also when it is the first one, or goes while the log is open.
    let fs = ModelFs::new(1);
    let texts = thirty(&fs);
    let (_writer, handle, _) = open(&fs, Scan::Full);
    bee_log::fs::Fs::remove(&fs, &segment(0)).unwrap();
    let expect: Vec<&str> = ["gap 0..3"].into_iter().chain(texts[3..].iter().map(String::as_str)).collect();
    assert_eq!(payloads(&read_forward(&handle, 0)), expect);
    assert_eq!(payloads(&read_backward(&handle, u64::MAX)), expect);
    drop((_writer, handle));
    check_gap(&fs, &texts, damaged(0, 3));
}

#[test]
fn headers_are_rebuilt_when_the_rest_is_there() {
    for name in ["meta", "00000000000000000000.seg", "00000000000000000027.seg"] {
        let fs = ModelFs::new(1);
        let texts = thirty(&fs);
        edit(&fs, &Path::new(DIR).join(name), |bytes| bytes[..40].fill(0));
        let (_writer, handle, recovery) = open(&fs, Scan::Full);
        assert_eq!(
            (recovery.headers_repaired, recovery.damaged_seqs, recovery.created),
            (1, 0, false),
            "{name}"
        );
        assert_eq!(payloads(&read_forward(&handle, 0)), texts);
        drop((_writer, handle));
        assert_eq!(open(&fs, Scan::Full).2.headers_repaired, 0);
    }
}

#[test]
fn a_lost_meta_file_costs_the_mark_and_nothing_else() {
    let fs = ModelFs::new(1);
    let texts = thirty(&fs);
    bee_log::fs::Fs::remove(&fs, &Path::new(DIR).join("meta")).unwrap();
    let (_writer, handle, recovery) = open(&fs, Scan::Full);
    assert!(!recovery.created);
    assert_eq!(payloads(&read_forward(&handle, 0)), texts);
}

#[test]
fn a_payload_that_looks_like_records_is_not_read_as_such_behind_damage() {
    // A record of the same log inside a payload has a valid checksum: only its number can tell. An attacker does not
    // know the log's id, so cannot make one; a copied segment can.
    let fs = ModelFs::new(1);
    let texts = thirty(&fs);
    let inside = fs.bytes(&segment(0)).unwrap();
    edit(&fs, &segment(12), |bytes| {
        let old = inside[64..64 + 180].to_vec();
        bytes[64 + 40..64 + 40 + 180].copy_from_slice(&old);
    });
    check_gap(&fs, &texts, damaged(12, 13));
}

#[test]
fn random_damage_is_never_silent_and_never_invents_a_record() {
    for seed in 0..1500 {
        let mut rng = ChaCha8Rng::seed_from_u64(seed);
        let fs = ModelFs::new(1);
        let texts = thirty(&fs);
        let paths = fs.paths();
        for _ in 0..rng.random_range(1..4) {
            let path = &paths[rng.random_range(0..paths.len())];
            edit(&fs, path, |bytes| {
                let at = rng.random_range(0..bytes.len().max(1));
                match rng.random_range(0..4) {
                    0 => bytes.truncate(at),
                    1 => bytes.extend((0..at).map(|_| rng.random::<u8>())),
                    2 => bytes.iter_mut().skip(at).take(300).for_each(|byte| *byte = rng.random()),
                    _ => bytes
                        .iter_mut()
                        .skip(at)
                        .take(1)
                        .for_each(|byte| *byte ^= 1 << rng.random_range(0..8)),
                }
            });
        }
        let options = Options { segment_bytes_max: 900, ..small() };
        let Ok((_writer, handle, recovery)) = Log::open_on(Arc::new(fs.clone()), DIR, options) else {
            continue;
        };
        for items in [read_forward(&handle, 0), read_backward(&handle, u64::MAX)] {
            let mut next = 0;
            for item in &items {
                match item {
                    Read::Record(record) => {
                        assert_eq!(record.seq, next, "seed {seed}");
                        assert_eq!(record.payload, texts[next as usize].as_bytes(), "seed {seed}");
                        next += 1;
                    }
                    Read::Gap(gap) => {
                        assert_eq!(gap.from, next, "seed {seed}: {items:?}");
                        next = gap.to;
                    }
                }
            }
            assert_eq!(next, handle.next_seq(), "seed {seed}: {recovery:?}");
        }
    }
}

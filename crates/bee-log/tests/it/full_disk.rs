//! A real file system that is really full. Needs the right to mount a small tmpfs; without it the test says so.

use std::path::{Path, PathBuf};
use std::process::Command;

use bee_log::{Error, Log, Options};

use crate::support::{payloads, read_forward};

struct Tmpfs(PathBuf);

impl Tmpfs {
    fn mount(at: &Path, bytes: u64) -> Option<Self> {
        let size = format!("size={bytes},mode=0700");
        let mounted =
            Command::new("mount").args(["-t", "tmpfs", "-o", &size, "tmpfs"]).arg(at).output().ok()?;
        mounted.status.success().then(|| Self(at.to_path_buf()))
    }
}

impl Drop for Tmpfs {
    fn drop(&mut self) {
        let _ = Command::new("umount").arg(&self.0).status();
    }
}

#[test]
fn a_full_disk_is_a_clean_error_and_the_writer_goes_on_when_there_is_room() {
    let dir = tempfile::tempdir().unwrap();
    let Some(disk) = Tmpfs::mount(dir.path(), 1 << 20) else {
        eprintln!(
            "SKIPPED: a_full_disk_is_a_clean_error: cannot mount a tmpfs here (run as root to include it)"
        );
        return;
    };
    let options = Options {
        record_bytes_max: 8 << 10,
        group_bytes_max: 32 << 10,
        segment_bytes_max: 128 << 10,
        ..Options::default()
    };
    let ballast = disk.0.join("ballast");
    std::fs::write(&ballast, vec![1; 300 << 10]).unwrap();
    let (mut writer, handle, _) = Log::open(disk.0.join("log"), options.clone()).unwrap();

    let mut expect = Vec::new();
    let mut full = 0;
    let mut dropped = 0;
    for n in 0..1500_u64 {
        let text = format!("{n:0>1500}");
        writer.append(1, text.as_bytes()).unwrap();
        expect.push(text);
        let mut tries = 0;
        while let Err(error) = writer.commit() {
            assert!(matches!(error, Error::DiskFull { .. }), "{error}");
            assert_eq!(handle.next_seq(), n, "nothing of the group is shown");
            full += 1;
            tries += 1;
            assert!(tries < 5, "no room after dropping");
            match full {
                // The operator makes room; then the spool helps itself.
                1 => std::fs::remove_file(&ballast).unwrap(),
                _ => dropped += writer.drop_oldest().unwrap(),
            }
        }
    }
    assert!(full > 2 && dropped > 100, "full {full} times, dropped {dropped}");
    assert_eq!(payloads(&read_forward(&handle, dropped)), expect[dropped as usize..]);

    // A new process on the disk while it is full to the last byte.
    let mut rest = vec![1_u8; 2 << 20];
    while !rest.is_empty() && std::fs::write(&ballast, &rest).is_err() {
        rest.truncate(rest.len() - (4 << 10));
    }
    drop((writer, handle));
    let (mut writer, handle, recovery) = Log::open(disk.0.join("log"), options).unwrap();
    assert_eq!((recovery.first_seq, recovery.next_seq, recovery.damaged_seqs), (dropped, 1500, 0));
    assert_eq!(payloads(&read_forward(&handle, dropped)), expect[dropped as usize..]);
    writer.append(1, &[7; 8 << 10]).unwrap();
    assert!(writer.commit().unwrap_err().is_full());
    assert!(writer.drop_oldest().unwrap() > 0);
    assert_eq!(writer.commit().unwrap(), 1501);
    drop((writer, handle));
}

//! Files that attackers leave: kept once each, by their SHA-256, in the trap's own `artifacts` folder.
//!
//! A file is written to a temporary name with mode 0600, synced and renamed, so a name in the folder is a whole file.
//! Two caps hold: bytes of one file (what is past it is hashed and counted, not kept) and bytes of the folder. The node
//! uploads the files and removes them; the trap only counts what it added since it started plus what it found then.

use std::fs::{self, File, OpenOptions};
use std::io::{self, Write};
use std::os::unix::fs::OpenOptionsExt;
use std::path::{Path, PathBuf};
use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};

use data_encoding::HEXLOWER;
use serde_json::{Map, Value};
use sha2::{Digest, Sha256};

use crate::harden::private_dir;

/// The folder. Cheap to clone.
#[derive(Debug, Clone)]
pub struct Artifacts(Arc<Inner>);

#[derive(Debug)]
struct Inner {
    dir: PathBuf,
    file_bytes_max: u64,
    total_bytes_max: u64,
    used: AtomicU64,
    temporary: AtomicU64,
}

/// What became of a file.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Kept {
    /// SHA-256 of the whole content, in hexadecimal; of the kept part when the content was cut.
    pub shasum: String,
    /// Bytes kept.
    pub size: u64,
    /// Bytes there were.
    pub size_seen: u64,
    /// Where it is, relative to the trap's directory; `None` when the folder is full or the disk refused.
    pub outfile: Option<String>,
    /// Whether it had been kept before.
    pub duplicate: bool,
    /// What kind of artifact: `upload`, `download`, `stdin`, `payload` or `tty`.
    pub kind: &'static str,
}

impl Kept {
    /// The members of an event about this file.
    #[must_use]
    pub fn members(&self) -> Map<String, Value> {
        let mut members = Map::from_iter([
            ("shasum".to_owned(), Value::from(self.shasum.clone())),
            ("size".to_owned(), self.size.into()),
            ("kind".to_owned(), self.kind.into()),
            ("duplicate".to_owned(), self.duplicate.into()),
        ]);
        if self.size_seen > self.size {
            members.insert("size_seen".to_owned(), self.size_seen.into());
            members.insert("cut".to_owned(), true.into());
        }
        match &self.outfile {
            Some(path) => members.insert("outfile".to_owned(), path.clone().into()),
            None => members
                .insert("not_kept".to_owned(), "the artifacts folder is full or cannot be written".into()),
        };
        members
    }
}

/// A file being received. Dropped without [`Receiving::finish`], it leaves nothing behind.
#[derive(Debug)]
pub struct Receiving {
    store: Artifacts,
    kind: &'static str,
    /// `None` once nothing more is written: cap reached, folder full or an error.
    file: Option<File>,
    path: PathBuf,
    hash: Sha256,
    size: u64,
    size_seen: u64,
    /// The folder or disk refused; nothing is kept.
    refused: bool,
}

impl Artifacts {
    /// Opens the folder `artifacts` under `dir`, makes it when missing, removes half-written files of an earlier run.
    ///
    /// # Errors
    /// The folder cannot be made or read.
    pub fn open(dir: &Path, file_bytes_max: u64, total_bytes_max: u64) -> io::Result<Self> {
        let dir = dir.join("artifacts");
        private_dir(&dir)?;
        let mut used = 0;
        for entry in fs::read_dir(&dir)? {
            let entry = entry?;
            if entry.file_name().to_string_lossy().starts_with(".tmp-") {
                fs::remove_file(entry.path())?;
            } else {
                used += entry.metadata()?.len();
            }
        }
        Ok(Self(Arc::new(Inner {
            dir,
            file_bytes_max,
            total_bytes_max,
            used: used.into(),
            temporary: AtomicU64::new(0),
        })))
    }

    /// Starts receiving a file of unknown length.
    #[must_use]
    pub fn receive(&self, kind: &'static str) -> Receiving {
        let number = self.0.temporary.fetch_add(1, Ordering::Relaxed);
        let path = self.0.dir.join(format!(".tmp-{}-{number}", std::process::id()));
        Receiving {
            store: self.clone(),
            kind,
            file: None,
            path,
            hash: Sha256::new(),
            size: 0,
            size_seen: 0,
            refused: false,
        }
    }

    /// Keeps a whole content.
    #[must_use]
    pub fn keep(&self, kind: &'static str, content: &[u8]) -> Kept {
        let mut receiving = self.receive(kind);
        receiving.write(content);
        receiving.finish()
    }

    /// Bytes in the folder, as far as this process knows.
    #[must_use]
    pub fn used_bytes(&self) -> u64 {
        self.0.used.load(Ordering::Relaxed)
    }

    fn reserve(&self, bytes: u64) -> bool {
        let limit = self.0.total_bytes_max;
        self.0
            .used
            .fetch_update(Ordering::Relaxed, Ordering::Relaxed, |used| {
                used.checked_add(bytes).filter(|sum| *sum <= limit)
            })
            .is_ok()
    }

    fn release(&self, bytes: u64) {
        let _ = self
            .0
            .used
            .fetch_update(Ordering::Relaxed, Ordering::Relaxed, |used| Some(used.saturating_sub(bytes)));
    }

    /// The node removes what it has uploaded: when the folder seems full, look again.
    fn recount(&self) {
        if let Ok(entries) = fs::read_dir(&self.0.dir) {
            let used =
                entries.flatten().filter_map(|entry| entry.metadata().ok()).map(|meta| meta.len()).sum();
            self.0.used.store(used, Ordering::Relaxed);
        }
    }
}

impl Receiving {
    /// Takes the next bytes. Bytes past the cap are counted.
    pub fn write(&mut self, bytes: &[u8]) {
        self.size_seen = self.size_seen.saturating_add(bytes.len() as u64);
        let room =
            usize::try_from(self.store.0.file_bytes_max.saturating_sub(self.size)).unwrap_or(usize::MAX);
        let kept = bytes.get(..room).unwrap_or(bytes);
        if kept.is_empty() {
            return;
        }
        self.hash.update(kept);
        self.size += kept.len() as u64;
        if !self.refused && self.append(kept).is_err() {
            self.refused = true;
            self.discard();
        }
    }

    /// Bytes seen so far.
    #[must_use]
    pub fn size_seen(&self) -> u64 {
        self.size_seen
    }

    /// Ends the file: synced and under its hash when this returns.
    #[must_use]
    pub fn finish(mut self) -> Kept {
        let shasum = HEXLOWER.encode(&std::mem::take(&mut self.hash).finalize());
        let mut kept = Kept {
            shasum,
            size: self.size,
            size_seen: self.size_seen,
            outfile: None,
            duplicate: false,
            kind: self.kind,
        };
        if self.refused {
            return kept;
        }
        let target = self.store.0.dir.join(&kept.shasum);
        kept.duplicate = target.exists();
        let stored = kept.duplicate || self.settle(&target).is_ok();
        if kept.duplicate || !stored {
            self.discard();
        }
        if stored {
            kept.outfile = Some(format!("artifacts/{}", kept.shasum));
        }
        kept
    }

    fn append(&mut self, bytes: &[u8]) -> io::Result<()> {
        if !self.store.reserve(bytes.len() as u64) {
            self.store.recount();
            if !self.store.reserve(bytes.len() as u64) {
                // What this file had written is released by `discard`; these bytes never were reserved.
                self.size -= bytes.len() as u64;
                return Err(io::ErrorKind::StorageFull.into());
            }
        }
        self.open()?.write_all(bytes)
    }

    fn open(&mut self) -> io::Result<&mut File> {
        if self.file.is_none() {
            self.file = Some(OpenOptions::new().write(true).create_new(true).mode(0o600).open(&self.path)?);
        }
        self.file.as_mut().ok_or_else(|| io::ErrorKind::NotFound.into())
    }

    fn settle(&mut self, target: &Path) -> io::Result<()> {
        self.open()?.sync_all()?;
        self.file = None;
        fs::rename(&self.path, target)?;
        File::open(&self.store.0.dir)?.sync_all()
    }

    fn discard(&mut self) {
        self.file = None;
        // Not there when nothing was written yet.
        let _ = fs::remove_file(&self.path);
        self.store.release(self.size);
    }
}

impl Drop for Receiving {
    fn drop(&mut self) {
        if self.file.is_some() {
            self.discard();
        }
    }
}

#[cfg(test)]
mod tests {
    use std::os::unix::fs::PermissionsExt;

    use super::*;

    fn names(dir: &Path) -> Vec<String> {
        fs::read_dir(dir.join("artifacts"))
            .unwrap()
            .map(|e| e.unwrap().file_name().into_string().unwrap())
            .collect()
    }

    #[test]
    fn a_file_is_kept_once_under_its_hash_and_private() {
        let dir = tempfile::tempdir().unwrap();
        let store = Artifacts::open(dir.path(), 100, 1000).unwrap();
        let first = store.keep("upload", b"abc");
        let again = store.keep("upload", b"abc");
        assert_eq!(first.shasum, "ba7816bf8f01cfea414140de5dae2223b00361a396177a9cb410ff61f20015ad");
        assert!(!first.duplicate && again.duplicate);
        let path = dir.path().join(first.outfile.unwrap());
        assert_eq!(fs::read(&path).unwrap(), b"abc");
        assert_eq!(fs::metadata(&path).unwrap().permissions().mode() & 0o777, 0o600);
        assert_eq!(store.used_bytes(), 3);
        assert_eq!(names(dir.path()).len(), 1);
    }

    #[test]
    fn a_large_file_is_cut_and_says_so() {
        let dir = tempfile::tempdir().unwrap();
        let store = Artifacts::open(dir.path(), 4, 1000).unwrap();
        let mut receiving = store.receive("upload");
        for chunk in [b"abc", b"def", b"ghi"] {
            receiving.write(chunk);
        }
        let kept = receiving.finish();
        assert_eq!((kept.size, kept.size_seen), (4, 9));
        assert_eq!(kept.members()["cut"], true);
        assert_eq!(fs::read(dir.path().join(kept.outfile.unwrap())).unwrap(), b"abcd");
    }

    #[test]
    fn a_full_folder_refuses_until_the_node_has_taken_files() {
        let dir = tempfile::tempdir().unwrap();
        let store = Artifacts::open(dir.path(), 100, 10).unwrap();
        let first = store.keep("upload", b"12345678");
        let second = store.keep("upload", b"abcdefgh");
        assert!(first.outfile.is_some() && second.outfile.is_none());
        assert_eq!(second.members()["shasum"].as_str().unwrap().len(), 64);
        assert_eq!(names(dir.path()).len(), 1, "no half file stays");
        fs::remove_file(dir.path().join(first.outfile.unwrap())).unwrap();
        assert!(store.keep("upload", b"abcdefgh").outfile.is_some());
    }

    #[test]
    fn an_unfinished_file_leaves_nothing() {
        let dir = tempfile::tempdir().unwrap();
        let store = Artifacts::open(dir.path(), 100, 100).unwrap();
        let mut receiving = store.receive("upload");
        receiving.write(b"half");
        drop(receiving);
        assert!(names(dir.path()).is_empty());
        assert_eq!(store.used_bytes(), 0);
    }

    #[test]
    fn a_half_file_of_an_earlier_run_is_removed_and_whole_ones_are_counted() {
        let dir = tempfile::tempdir().unwrap();
        private_dir(&dir.path().join("artifacts")).unwrap();
        fs::write(dir.path().join("artifacts/.tmp-1-1"), b"half").unwrap();
        fs::write(dir.path().join("artifacts/aa"), b"12345").unwrap();
        let store = Artifacts::open(dir.path(), 100, 100).unwrap();
        assert_eq!(store.used_bytes(), 5);
        assert_eq!(names(dir.path()), ["aa"]);
    }

    #[test]
    fn an_empty_file_is_a_file() {
        let dir = tempfile::tempdir().unwrap();
        let store = Artifacts::open(dir.path(), 100, 100).unwrap();
        let kept = store.keep("upload", b"");
        assert_eq!(kept.size, 0);
        assert!(dir.path().join(kept.outfile.unwrap()).exists());
    }
}

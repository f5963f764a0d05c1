//! A text file with a cap: two halves, the older of which is replaced when the newer is full.
//!
//! Used for malformed intake lines and for what a pot writes to stdout and stderr. It never grows past its
//! cap, and it never fails its caller's work: what cannot be written (a full disk) is left out.

use std::{
    fs::{self, File, OpenOptions},
    io::{self, Read, Seek, SeekFrom, Write},
    os::unix::fs::OpenOptionsExt,
    path::{Path, PathBuf},
};

/// An append-only file of at most `bytes_max` bytes, kept as `name` and `name.1`.
#[derive(Debug)]
pub(crate) struct RotatingFile {
    path: PathBuf,
    file: Option<File>,
    bytes: u64,
    bytes_max: u64,
}

impl RotatingFile {
    /// Opens (or makes, with mode 0600) the file at `path`; `bytes_max` covers both halves.
    pub(crate) fn open(path: impl Into<PathBuf>, bytes_max: u64) -> io::Result<Self> {
        let path = path.into();
        let file = append_to(&path)?;
        let bytes = file.metadata()?.len();
        Ok(Self { path, file: Some(file), bytes, bytes_max })
    }

    /// Appends `bytes`; a write that fails is left out: a full disk must not fail the caller's work.
    pub(crate) fn write(&mut self, bytes: &[u8]) {
        if self.try_write(bytes).is_err() {
            // The file is opened again at the next write: the disk may have room by then.
            self.file = None;
            self.bytes = 0;
        }
    }

    fn try_write(&mut self, bytes: &[u8]) -> io::Result<()> {
        let half = (self.bytes_max / 2).max(1);
        if self.bytes > 0 && self.bytes.saturating_add(bytes.len() as u64) > half {
            self.file = None;
            fs::rename(&self.path, older(&self.path))?;
            self.bytes = 0;
        }
        if self.file.is_none() {
            let file = append_to(&self.path)?;
            self.bytes = file.metadata()?.len();
            self.file = Some(file);
        }
        let keep = bytes.get(..usize::try_from(half).unwrap_or(usize::MAX)).unwrap_or(bytes);
        if let Some(file) = self.file.as_mut() {
            file.write_all(keep)?;
            self.bytes = self.bytes.saturating_add(keep.len() as u64);
        }
        Ok(())
    }
}

/// The last `bytes_max` bytes of the file at `path` and its older half; empty when there is none.
pub(crate) fn tail(path: &Path, bytes_max: usize) -> io::Result<Vec<u8>> {
    let newer = tail_of(path, bytes_max)?;
    if newer.len() >= bytes_max {
        return Ok(newer);
    }
    let mut both = tail_of(&older(path), bytes_max.saturating_sub(newer.len()))?;
    both.extend_from_slice(&newer);
    Ok(both)
}

fn tail_of(path: &Path, bytes_max: usize) -> io::Result<Vec<u8>> {
    let mut file = match File::open(path) {
        Ok(file) => file,
        Err(error) if error.kind() == io::ErrorKind::NotFound => return Ok(Vec::new()),
        Err(error) => return Err(error),
    };
    let len = file.metadata()?.len();
    file.seek(SeekFrom::Start(len.saturating_sub(bytes_max as u64)))?;
    let mut bytes = Vec::new();
    file.take(bytes_max as u64).read_to_end(&mut bytes)?;
    Ok(bytes)
}

fn older(path: &Path) -> PathBuf {
    let mut name = path.as_os_str().to_owned();
    name.push(".1");
    PathBuf::from(name)
}

fn append_to(path: &Path) -> io::Result<File> {
    OpenOptions::new().append(true).create(true).mode(0o600).open(path)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_cap_holds_and_the_newest_lines_stay() {
        let dir = tempfile::tempdir().unwrap();
        let path = dir.path().join("log");
        let mut file = RotatingFile::open(&path, 200).unwrap();
        for n in 0..100 {
            file.write(format!("line {n:03}\n").as_bytes());
        }
        let on_disk = fs::metadata(&path).unwrap().len() + fs::metadata(older(&path)).unwrap().len();
        assert!(on_disk <= 200, "{on_disk} bytes on disk");
        let tail = String::from_utf8(tail(&path, 100).unwrap()).unwrap();
        assert!(tail.ends_with("line 098\nline 099\n"), "{tail}");
        assert_eq!(tail.len(), 100);
    }

    #[test]
    fn what_was_there_before_a_restart_counts_towards_the_cap() {
        let dir = tempfile::tempdir().unwrap();
        let path = dir.path().join("log");
        RotatingFile::open(&path, 100).unwrap().write(&[b'a'; 40]);
        let mut file = RotatingFile::open(&path, 100).unwrap();
        file.write(&[b'b'; 40]);
        assert_eq!(fs::read(&path).unwrap(), vec![b'b'; 40]);
        assert_eq!(fs::read(older(&path)).unwrap(), vec![b'a'; 40]);
    }

    #[test]
    fn a_write_that_fails_is_left_out_and_later_ones_work_again() {
        let dir = tempfile::tempdir().unwrap();
        let folder = dir.path().join("gone");
        fs::create_dir(&folder).unwrap();
        let mut file = RotatingFile::open(folder.join("log"), 20).unwrap();
        file.write(b"0123456789");
        fs::remove_dir_all(&folder).unwrap();
        file.write(b"0123456789");
        fs::create_dir(&folder).unwrap();
        file.write(b"again");
        assert_eq!(fs::read(folder.join("log")).unwrap(), b"again");
    }

    #[test]
    fn the_tail_of_nothing_is_empty() {
        let dir = tempfile::tempdir().unwrap();
        assert!(tail(&dir.path().join("none"), 10).unwrap().is_empty());
    }
}

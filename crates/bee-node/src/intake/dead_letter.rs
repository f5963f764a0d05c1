//! Keeps malformed intake lines for a look, within a cap: `dead-letter/lines.jsonl` in the state directory.
//!
//! One JSON object a line: `{time, pot_id, reason, bytes, line}`. `line` is escaped as `bee_daemon::escape` does, so any
//! byte survives and none can harm a terminal.

use std::{
    fs, io,
    os::unix::fs::DirBuilderExt,
    path::Path,
    sync::{
        Mutex, PoisonError,
        atomic::{AtomicU64, Ordering},
    },
};

use bee_daemon::escape::untrusted_max;
use bee_wire::time::Micros;

use crate::{
    limits::{DEAD_LETTER_BYTES_MAX, DEAD_LETTER_LINE_BYTES_MAX},
    rotating_file::RotatingFile,
};

/// The dead-letter file and its counter.
#[derive(Debug)]
pub struct DeadLetter {
    file: Mutex<RotatingFile>,
    lines: AtomicU64,
}

impl DeadLetter {
    /// Opens the file under `dir`, which is made if need be.
    pub fn open(dir: &Path) -> io::Result<Self> {
        fs::DirBuilder::new().recursive(true).mode(0o700).create(dir)?;
        let file = RotatingFile::open(dir.join("lines.jsonl"), DEAD_LETTER_BYTES_MAX)?;
        Ok(Self { file: Mutex::new(file), lines: AtomicU64::new(0) })
    }

    /// Keeps the beginning of a line that could not be used.
    pub fn keep(&self, now: Micros, pot_id: &str, reason: &str, line: &[u8]) {
        self.lines.fetch_add(1, Ordering::Relaxed);
        let shown = line.get(..DEAD_LETTER_LINE_BYTES_MAX).unwrap_or(line);
        let entry = serde_json::json!({
            "time": now.to_string(),
            "pot_id": pot_id,
            "reason": reason,
            "bytes": line.len(),
            "line": untrusted_max(shown, DEAD_LETTER_LINE_BYTES_MAX).to_string(),
        });
        let mut bytes = entry.to_string().into_bytes();
        bytes.push(b'\n');
        self.file.lock().unwrap_or_else(PoisonError::into_inner).write(&bytes);
    }

    /// Malformed lines since the start.
    pub fn lines(&self) -> u64 {
        self.lines.load(Ordering::Relaxed)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn any_line_is_kept_readable() {
        let dir = tempfile::tempdir().unwrap();
        let letters = DeadLetter::open(&dir.path().join("dead-letter")).unwrap();
        letters.keep(Micros::from_unix_us(0), "ssh-1", "not JSON", b"\x1b[2J\xff\0\"");
        let text = fs::read_to_string(dir.path().join("dead-letter/lines.jsonl")).unwrap();
        let entry: serde_json::Value = serde_json::from_str(&text).unwrap();
        assert_eq!(entry["line"], "\\x1b[2J\\xff\\x00\"");
        assert_eq!(entry["bytes"], 7);
        assert_eq!(letters.lines(), 1);
    }
}

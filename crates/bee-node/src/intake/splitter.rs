//! Cuts a byte stream into lines, with a limit on the length of one line.
//!
//! A line over the limit is reported once (with its beginning, for the dead-letter file) and skipped up to its end;
//! the connection goes on. Holds at most one line of bytes.

use bytes::{Buf, BytesMut};

/// What [`LineSplitter::next_line`] found.
#[derive(Debug, PartialEq, Eq)]
pub(super) enum Cut {
    /// A whole line without its line end; never empty.
    Line(BytesMut),
    /// A line that went over the limit; the bytes are its beginning.
    TooLong(BytesMut),
}

/// Incremental line splitter; see the module's documentation.
#[derive(Debug)]
pub(super) struct LineSplitter {
    line_bytes_max: usize,
    /// Bytes at the front of the buffer that are known to hold no line end.
    scanned: usize,
    /// Inside a line that was already reported as too long.
    skipping: bool,
}

impl LineSplitter {
    /// A splitter for lines of at most `line_bytes_max` bytes.
    pub(super) fn new(line_bytes_max: usize) -> Self {
        Self { line_bytes_max, scanned: 0, skipping: false }
    }

    /// The next line at the front of `buffer`, which is consumed; `None` when more bytes are needed.
    pub(super) fn next_line(&mut self, buffer: &mut BytesMut) -> Option<Cut> {
        loop {
            let fresh = buffer.get(self.scanned..).unwrap_or_default();
            let Some(at) = memchr::memchr(b'\n', fresh) else {
                return self.without_end(buffer);
            };
            let mut line = buffer.split_to(self.scanned + at);
            buffer.advance(1);
            self.scanned = 0;
            if std::mem::take(&mut self.skipping) {
                continue;
            }
            if line.last() == Some(&b'\r') {
                line.truncate(line.len() - 1);
            }
            if line.len() > self.line_bytes_max {
                return Some(Cut::TooLong(line));
            }
            if !line.iter().all(u8::is_ascii_whitespace) {
                return Some(Cut::Line(line));
            }
        }
    }

    /// Whether a line was begun and not ended.
    pub(super) fn inside_line(&self, buffer: &BytesMut) -> bool {
        self.skipping || !buffer.is_empty()
    }

    fn without_end(&mut self, buffer: &mut BytesMut) -> Option<Cut> {
        self.scanned = buffer.len();
        if self.skipping {
            buffer.clear();
            self.scanned = 0;
            return None;
        }
        // One byte more than the limit may be the `\r` of a line that ends with the next read.
        if buffer.len() > self.line_bytes_max + 1 {
            self.skipping = true;
            self.scanned = 0;
            return Some(Cut::TooLong(buffer.split()));
        }
        None
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn cut(chunks: &[&[u8]], max: usize) -> Vec<String> {
        let mut splitter = LineSplitter::new(max);
        let mut buffer = BytesMut::new();
        let mut out = Vec::new();
        for chunk in chunks {
            buffer.extend_from_slice(chunk);
            while let Some(cut) = splitter.next_line(&mut buffer) {
                out.push(match cut {
                    Cut::Line(line) => String::from_utf8_lossy(&line).into_owned(),
                    Cut::TooLong(line) => format!("too long: {}", line.len()),
                });
            }
            assert!(buffer.len() <= max + 1, "holds more than one line");
        }
        out
    }

    #[test]
    fn lines_survive_any_split() {
        assert_eq!(cut(&[b"ab", b"c\r\nde", b"f\n\n  \ng\n"], 10), ["abc", "def", "g"]);
    }

    #[test]
    fn a_long_line_is_reported_once_and_skipped() {
        assert_eq!(cut(&[b"0123456789", b"0123456789", b"01\nok\n"], 8), ["too long: 10", "ok"]);
        assert_eq!(cut(&[b"0123456789\nok\n"], 8), ["too long: 10", "ok"]);
    }

    #[test]
    fn a_line_of_exactly_the_limit_passes_with_its_carriage_return() {
        assert_eq!(cut(&[b"01234567\r", b"\n"], 8), ["01234567"]);
    }

    #[test]
    fn an_unfinished_line_is_known() {
        let mut splitter = LineSplitter::new(4);
        let mut buffer = BytesMut::from(&b"a\nb"[..]);
        assert!(splitter.next_line(&mut buffer).is_some());
        assert!(splitter.next_line(&mut buffer).is_none());
        assert!(splitter.inside_line(&buffer));
    }
}

//! Terminal recordings in asciicast v2 (<https://docs.asciinema.org/manual/asciicast/v2/>): what the attacker saw and typed.
//!
//! Bounded: past [`CAST_BYTES_MAX`] one marker is written and the rest is left out. Bytes that are not UTF-8 are kept as
//! U+FFFD, since the format is JSON; a character split over two writes is put together first.

use serde_json::json;

use crate::limits::CAST_BYTES_MAX;

/// A recording being made.
#[derive(Debug)]
pub struct Cast {
    lines: Vec<u8>,
    output: Partial,
    input: Partial,
    full: bool,
}

/// The unfinished UTF-8 sequence at the end of the last write.
#[derive(Debug, Default)]
struct Partial(Vec<u8>);

impl Cast {
    /// Starts a recording. `unix_time` is in seconds.
    #[must_use]
    pub fn new(columns: u16, rows: u16, unix_time: i64, term: &str, title: &str) -> Self {
        // The version comes first, as in every recorder's files: readers tell a recording by its first bytes.
        let rest = json!({"width": columns, "height": rows, "timestamp": unix_time, "title": title, "env": {"TERM": term, "SHELL": "/bin/bash"}});
        let header = rest.to_string().replacen('{', r#"{"version":2,"#, 1);
        let mut cast =
            Self { lines: Vec::new(), output: Partial::default(), input: Partial::default(), full: false };
        cast.push(&header);
        cast
    }

    /// Records what was shown, `at_ms` after the start.
    pub fn output(&mut self, at_ms: u64, bytes: &[u8]) {
        let text = self.output.text(bytes);
        self.event(at_ms, "o", &text);
    }

    /// Records what was typed.
    pub fn input(&mut self, at_ms: u64, bytes: &[u8]) {
        let text = self.input.text(bytes);
        self.event(at_ms, "i", &text);
    }

    /// Records a new window size.
    pub fn resize(&mut self, at_ms: u64, columns: u16, rows: u16) {
        self.event(at_ms, "r", &format!("{columns}x{rows}"));
    }

    /// The whole recording.
    #[must_use]
    pub fn finish(self) -> Vec<u8> {
        self.lines
    }

    fn event(&mut self, at_ms: u64, code: &str, text: &str) {
        if text.is_empty() || self.full {
            return;
        }
        let seconds = format!("{}.{:03}", at_ms / 1000, at_ms % 1000);
        let Ok(text) = serde_json::to_string(text) else { return };
        if self.lines.len() + text.len() > CAST_BYTES_MAX {
            self.full = true;
            self.push(&format!("[{seconds}, \"m\", \"recording ends here: size limit\"]"));
            return;
        }
        self.push(&format!("[{seconds}, \"{code}\", {text}]"));
    }

    fn push(&mut self, line: &str) {
        self.lines.extend_from_slice(line.as_bytes());
        self.lines.push(b'\n');
    }
}

impl Partial {
    fn text(&mut self, bytes: &[u8]) -> String {
        self.0.extend_from_slice(bytes);
        let whole = match std::str::from_utf8(&self.0) {
            // An error without a length is a sequence that the next write may finish.
            Err(error) if error.error_len().is_none() => error.valid_up_to(),
            Ok(_) => self.0.len(),
            Err(_) => self.0.len() - unfinished(&self.0),
        };
        let rest = self.0.split_off(whole);
        let text = String::from_utf8_lossy(&self.0).into_owned();
        self.0 = rest;
        text
    }
}

/// Length of the unfinished UTF-8 sequence at the end of bytes that have an error before it.
fn unfinished(bytes: &[u8]) -> usize {
    (1..=3.min(bytes.len()))
        .find(|n| {
            let tail = bytes.get(bytes.len() - n..).unwrap_or_default();
            matches!(std::str::from_utf8(tail), Err(e) if e.valid_up_to() == 0 && e.error_len().is_none())
        })
        .unwrap_or(0)
}

#[cfg(test)]
mod tests {
    use serde_json::Value;

    use super::*;

    fn events(cast: Cast) -> Vec<Value> {
        let text = String::from_utf8(cast.finish()).unwrap();
        assert!(
            text.starts_with(r#"{"version":2,"#),
            "a node tells a recording from a captured file by this"
        );
        text.lines().map(|line| serde_json::from_str(line).unwrap()).collect()
    }

    #[test]
    fn a_recording_is_a_header_and_one_line_an_event() {
        let mut cast = Cast::new(80, 24, 1_700_000_000, "xterm", "pot 1");
        cast.output(0, b"$ ");
        cast.input(1500, b"ls\r");
        cast.resize(2001, 100, 30);
        let events = events(cast);
        assert_eq!(events[0]["version"], 2);
        assert_eq!((&events[0]["width"], &events[0]["height"]), (&json!(80), &json!(24)));
        assert_eq!(events[1], json!([0.0, "o", "$ "]));
        assert_eq!(events[2], json!([1.5, "i", "ls\r"]));
        assert_eq!(events[3], json!([2.001, "r", "100x30"]));
    }

    #[test]
    fn a_character_split_over_writes_is_whole_and_garbage_is_replaced() {
        let mut cast = Cast::new(80, 24, 0, "xterm", "");
        cast.output(0, &[0xe2, 0x82]);
        cast.output(1, &[0xac, b'!']);
        cast.output(2, &[0xff, b'x', 0xc3]);
        cast.output(3, &[0xa9]);
        let events = events(cast);
        assert_eq!(events[1][2], "€!");
        assert_eq!(events[2][2], "\u{fffd}x");
        assert_eq!(events[3][2], "é");
    }

    #[test]
    fn control_characters_and_nul_survive() {
        let mut cast = Cast::new(80, 24, 0, "xterm", "");
        cast.output(0, b"\x1b[2J\0\"\\");
        assert_eq!(events(cast)[1][2], "\u{1b}[2J\0\"\\");
    }

    #[test]
    fn a_flood_ends_the_recording_with_a_marker() {
        let mut cast = Cast::new(80, 24, 0, "xterm", "");
        for _ in 0..CAST_BYTES_MAX / 1000 * 2 {
            cast.output(0, &[b'x'; 1000]);
        }
        let bytes = cast.finish();
        assert!(bytes.len() < CAST_BYTES_MAX + 100);
        assert!(
            String::from_utf8(bytes)
                .unwrap()
                .trim_end()
                .ends_with("\"m\", \"recording ends here: size limit\"]")
        );
    }
}

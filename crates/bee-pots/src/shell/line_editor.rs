//! Line editing of a terminal: bytes in, echo out, whole lines and control keys to the caller.
//!
//! Knows what attackers' clients send: CR, LF or both, backspace, ^C ^D ^U ^W ^K ^A ^E ^L, arrows, history,
//! tab, bracketed paste, UTF-8. A line is bounded; what does not fit is swallowed.

use super::limits::LINE_BYTES_MAX;

/// Bytes of an escape sequence that are looked at before it is dropped.
const ESCAPE_BYTES_MAX: usize = 16;

/// Something that needs the caller.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Key {
    /// A line was finished; without its line end.
    Line(Vec<u8>),
    /// ^C.
    Interrupt,
    /// ^D on an empty line.
    End,
    /// Tab: the text left of the cursor.
    Complete(String),
    /// ^L: clear the screen and show prompt and line again.
    Redraw,
}

#[derive(Debug, Clone, PartialEq, Eq)]
enum Mode {
    Plain,
    Escape(Vec<u8>),
}

/// The editor of one terminal.
#[derive(Debug, Clone)]
pub struct LineEditor {
    line: Vec<char>,
    cursor: usize,
    columns: u32,
    prompt_width: usize,
    echo: bool,
    mode: Mode,
    // Bytes of an unfinished UTF-8 character.
    partial: Vec<u8>,
    after_cr: bool,
    pasting: bool,
    // Position in the history while browsing, and the line that was being typed.
    browsing: Option<(usize, Vec<char>)>,
    bytes: usize,
}

impl LineEditor {
    /// An editor for a terminal of that width.
    #[must_use]
    pub fn new(columns: u32) -> LineEditor {
        LineEditor {
            line: Vec::new(),
            cursor: 0,
            columns: columns.max(1),
            prompt_width: 0,
            echo: true,
            mode: Mode::Plain,
            partial: Vec::new(),
            after_cr: false,
            pasting: false,
            browsing: None,
            bytes: 0,
        }
    }

    /// The terminal's width changed.
    pub fn set_columns(&mut self, columns: u32) {
        self.columns = columns.max(1);
    }

    /// Whether typed characters are shown; off for passwords.
    pub fn set_echo(&mut self, echo: bool) {
        self.echo = echo;
    }

    /// Width of the prompt just shown.
    pub fn set_prompt_width(&mut self, width: usize) {
        self.prompt_width = width;
    }

    /// Takes one byte; what the terminal shows for it is appended to `out`.
    pub fn push(&mut self, byte: u8, history: &[String], out: &mut Vec<u8>) -> Option<Key> {
        if let Mode::Escape(sequence) = &mut self.mode {
            sequence.push(byte);
            let done = match sequence.as_slice() {
                [b'[' | b'O'] => false,
                [b'[', .., last] => (0x40..=0x7e).contains(last),
                _ => true,
            };
            if done || sequence.len() >= ESCAPE_BYTES_MAX {
                let sequence = std::mem::take(sequence);
                self.mode = Mode::Plain;
                self.escape(&sequence, history, out);
            }
            return None;
        }
        let after_cr = std::mem::replace(&mut self.after_cr, byte == b'\r');
        match byte {
            b'\n' | 0 if after_cr => None,
            b'\r' | b'\n' => {
                // Without echo the command that asked for the password ends the line itself.
                self.show(out, b"\r\n");
                self.partial.clear();
                self.browsing = None;
                self.cursor = 0;
                self.bytes = 0;
                Some(Key::Line(std::mem::take(&mut self.line).into_iter().collect::<String>().into_bytes()))
            }
            0x1b => {
                self.mode = Mode::Escape(Vec::new());
                None
            }
            3 => {
                self.clear();
                out.extend(b"^C\r\n");
                Some(Key::Interrupt)
            }
            4 if self.line.is_empty() => Some(Key::End),
            4 => {
                self.delete(out);
                None
            }
            8 | 127 => {
                if self.cursor > 0 {
                    self.cursor -= 1;
                    self.back(1, out);
                    self.delete(out);
                }
                None
            }
            b'\t' if !self.pasting && self.echo => {
                Some(Key::Complete(self.line.get(..self.cursor).unwrap_or_default().iter().collect()))
            }
            1 => {
                self.move_to(0, out);
                None
            }
            5 => {
                self.move_to(self.line.len(), out);
                None
            }
            2 => {
                self.move_to(self.cursor.saturating_sub(1), out);
                None
            }
            6 => {
                self.move_to(self.cursor + 1, out);
                None
            }
            11 => {
                self.line.truncate(self.cursor);
                self.show(out, b"\x1b[K");
                None
            }
            12 => Some(Key::Redraw),
            14 => {
                self.browse(history, false, out);
                None
            }
            16 => {
                self.browse(history, true, out);
                None
            }
            21 => {
                self.erase_to(0, out);
                None
            }
            23 => {
                let mut start = self.cursor;
                while start > 0 && self.line.get(start - 1) == Some(&' ') {
                    start -= 1;
                }
                while start > 0 && self.line.get(start - 1) != Some(&' ') {
                    start -= 1;
                }
                self.erase_to(start, out);
                None
            }
            0..=31 if byte != b'\t' => None,
            _ => {
                self.typed(byte, out);
                None
            }
        }
    }

    /// Shows what completion found: completes what is unambiguous, lists the rest.
    pub fn complete(&mut self, typed: &str, found: &[String], prompt: &str, out: &mut Vec<u8>) {
        let word = typed.rsplit([' ', ';', '|', '&']).next().unwrap_or_default();
        let Some(first) = found.first() else {
            out.push(7);
            return;
        };
        let common = found.iter().skip(1).fold(first.clone(), |common, other| {
            common.chars().zip(other.chars()).take_while(|(a, b)| a == b).map(|(a, _)| a).collect()
        });
        let rest = common.strip_prefix(word).unwrap_or_default().to_owned();
        if rest.is_empty() && found.len() > 1 {
            out.extend(b"\r\n");
            let names: Vec<&str> = found
                .iter()
                .take(200)
                .map(|f| f.trim_end_matches('/').rsplit('/').next().unwrap_or(f))
                .collect();
            out.extend(names.join("  ").as_bytes());
            out.extend(b"\r\n");
            out.extend(prompt.as_bytes());
            let line: String = self.line.iter().collect();
            out.extend(line.as_bytes());
            self.back(self.line.len() - self.cursor, out);
            return;
        }
        for byte in rest.bytes() {
            self.typed(byte, out);
        }
        if found.len() == 1 && !common.ends_with('/') {
            self.typed(b' ', out);
        }
    }

    /// Clears the screen and shows prompt and line.
    pub fn redraw(&mut self, prompt: &str, out: &mut Vec<u8>) {
        let line: String = self.line.iter().collect();
        out.extend(format!("\x1b[H\x1b[2J{prompt}{line}").as_bytes());
        self.back(self.line.len() - self.cursor, out);
    }

    fn clear(&mut self) {
        self.line.clear();
        self.partial.clear();
        self.browsing = None;
        self.cursor = 0;
        self.bytes = 0;
    }

    fn show(&self, out: &mut Vec<u8>, bytes: &[u8]) {
        if self.echo {
            out.extend_from_slice(bytes);
        }
    }

    fn back(&self, count: usize, out: &mut Vec<u8>) {
        if self.echo && count > 0 {
            if count < 4 {
                out.extend(std::iter::repeat_n(8, count))
            } else {
                out.extend(format!("\x1b[{count}D").as_bytes())
            }
        }
    }

    fn move_to(&mut self, target: usize, out: &mut Vec<u8>) {
        let target = target.min(self.line.len());
        if target < self.cursor {
            self.back(self.cursor - target, out);
        } else {
            let text: String = self.line.get(self.cursor..target).unwrap_or_default().iter().collect();
            self.show(out, text.as_bytes());
        }
        self.cursor = target;
    }

    fn typed(&mut self, byte: u8, out: &mut Vec<u8>) {
        self.partial.push(byte);
        let c = match std::str::from_utf8(&self.partial) {
            Ok(text) => text.chars().next(),
            Err(error) if error.error_len().is_none() && self.partial.len() < 4 => return,
            Err(_) => Some(char::REPLACEMENT_CHARACTER),
        };
        self.partial.clear();
        let Some(c) = c else { return };
        if self.bytes + c.len_utf8() > LINE_BYTES_MAX {
            return;
        }
        self.bytes += c.len_utf8();
        self.line.insert(self.cursor, c);
        self.cursor += 1;
        let tail: String = self.line.get(self.cursor - 1..).unwrap_or_default().iter().collect();
        // Repainting a long tail for every byte would multiply output; a short one is what real users have.
        if self.line.len() - self.cursor < 1024 {
            self.show(out, tail.as_bytes());
            self.back(self.line.len() - self.cursor, out);
        }
    }

    fn delete(&mut self, out: &mut Vec<u8>) {
        if self.cursor < self.line.len() {
            let c = self.line.remove(self.cursor);
            self.bytes = self.bytes.saturating_sub(c.len_utf8());
            self.repaint(out);
        }
    }

    fn erase_to(&mut self, start: usize, out: &mut Vec<u8>) {
        let gone: usize = self.line.drain(start..self.cursor).map(char::len_utf8).sum();
        self.bytes = self.bytes.saturating_sub(gone);
        self.back(self.cursor - start, out);
        self.cursor = start;
        self.repaint(out);
    }

    fn repaint(&self, out: &mut Vec<u8>) {
        let tail: String = self.line.get(self.cursor..).unwrap_or_default().iter().take(1024).collect();
        self.show(out, tail.as_bytes());
        self.show(out, b"\x1b[K");
        self.back(tail.chars().count(), out);
    }

    fn escape(&mut self, sequence: &[u8], history: &[String], out: &mut Vec<u8>) {
        match sequence {
            b"[A" | b"OA" => self.browse(history, true, out),
            b"[B" | b"OB" => self.browse(history, false, out),
            b"[C" | b"OC" => self.move_to(self.cursor + 1, out),
            b"[D" | b"OD" => self.move_to(self.cursor.saturating_sub(1), out),
            b"[H" | b"OH" | b"[1~" | b"[7~" => self.move_to(0, out),
            b"[F" | b"OF" | b"[4~" | b"[8~" => self.move_to(self.line.len(), out),
            b"[3~" => self.delete(out),
            b"[200~" => self.pasting = true,
            b"[201~" => self.pasting = false,
            _ => {}
        }
    }

    fn browse(&mut self, history: &[String], older: bool, out: &mut Vec<u8>) {
        if !self.echo {
            return;
        }
        let (at, typed) = self.browsing.clone().unwrap_or_else(|| (history.len(), self.line.clone()));
        let target = if older { at.saturating_sub(1) } else { (at + 1).min(history.len()) };
        if target == at {
            return;
        }
        let line = history.get(target).map_or_else(|| typed.clone(), |l| l.chars().collect());
        self.back(self.cursor, out);
        self.bytes = line.iter().map(|c| c.len_utf8()).sum();
        self.line = line;
        self.cursor = self.line.len();
        let text: String = self.line.iter().collect();
        self.show(out, text.as_bytes());
        self.show(out, b"\x1b[K");
        self.browsing = Some((target, typed));
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn check(input: &[u8], lines: &[&str]) {
        let history = ["first".to_owned(), "second".to_owned()];
        let (mut editor, mut out, mut got) = (LineEditor::new(80), Vec::new(), Vec::new());
        for byte in input {
            if let Some(Key::Line(line)) = editor.push(*byte, &history, &mut out) {
                got.push(String::from_utf8(line).expect("lines are text"));
            }
        }
        assert_eq!(got, lines, "{}", input.escape_ascii());
    }

    #[test]
    fn keys_edit_the_line() {
        check(b"ls\r\n", &["ls"]);
        check(b"ls\rpwd\nid\r\0w\r", &["ls", "pwd", "id", "w"]);
        check(b"lx\x7fs\r", &["ls"]);
        check(b"junk\x15ls -l\x17-a\r", &["ls -a"]);
        check(b"s\x1b[Dl\r", &["ls"]);
        check(b"\x1b[A\r", &["second"]);
        check(b"\x1b[A\x1b[A\r", &["first"]);
        check(b"new\x1b[A\x1b[B\r", &["new"]);
        check(b"\x1b[200~a\tb\x1b[201~\r", &["a\tb"]);
        check("h\u{e9}\x7f\u{fc}\r".as_bytes(), &["h\u{fc}"]);
        check(b"a\x03b\r", &["b"]);
        check(b"abc\x01\x0bx\r", &["x"]);
        check(b"\xff\xfe\r", &["\u{fffd}\u{fffd}"]);
    }

    #[test]
    fn a_password_is_not_echoed() {
        let (mut editor, mut out) = (LineEditor::new(80), Vec::new());
        editor.set_echo(false);
        for byte in b"s3cret\x7ft\x1b[D" {
            assert_eq!(editor.push(*byte, &[], &mut out), None);
        }
        assert!(out.is_empty(), "{out:?}");
    }

    #[test]
    fn a_line_is_bounded() {
        let (mut editor, mut out) = (LineEditor::new(80), Vec::new());
        for _ in 0..LINE_BYTES_MAX + 5000 {
            editor.push(b'a', &[], &mut out);
        }
        assert!(matches!(editor.push(b'\r', &[], &mut out), Some(Key::Line(l)) if l.len() == LINE_BYTES_MAX));
    }
}

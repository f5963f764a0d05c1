//! Words to arguments: parameters, substitutions, arithmetic, braces, field splitting, globbing, tilde.

mod arithmetic;

use super::exec::{Interp, Run, Stop};
use super::glob::{self, Mark};
use super::io::{Fds, Target};
use super::limits::{VALUE_BYTES_MAX, WORDS_MAX};
use super::parse::{Operator, Piece, Word};

/// One expanded byte and how it was quoted: quoted bytes neither split nor glob, only substituted ones split.
#[derive(Clone, Copy)]
struct Cell {
    byte: u8,
    quoted: bool,
    splits: bool,
}

/// Expanded text; `None` marks a field boundary (`"$@"`).
#[derive(Default)]
struct Text {
    cells: Vec<Option<Cell>>,
    quoted_empty: bool,
}

impl Text {
    fn push(&mut self, bytes: &[u8], quoted: bool, splits: bool) {
        self.quoted_empty |= quoted && bytes.is_empty();
        self.cells.extend(bytes.iter().map(|b| Some(Cell { byte: *b, quoted, splits: splits && !quoted })));
    }
}

impl Interp<'_> {
    /// All words of a command, split and globbed.
    pub(crate) fn words(&mut self, words: &[Word], fds: Fds) -> Run<Vec<Vec<u8>>> {
        let mut out = Vec::new();
        for word in words {
            for word in braces(word) {
                let text = self.text(&word, fds)?;
                self.split(text, &mut out)?;
            }
        }
        Ok(out)
    }

    /// A word as one value: assignments, redirections, `case`.
    pub(crate) fn value(&mut self, word: &Word, fds: Fds) -> Run<Vec<u8>> {
        let text = self.text(word, fds)?;
        Ok(text.cells.iter().map(|c| c.map_or(b' ', |c| c.byte)).collect())
    }

    /// A word as a pattern: quoted parts stay literal.
    pub(crate) fn pattern(&mut self, word: &Word, fds: Fds) -> Run<Vec<Mark>> {
        let text = self.text(word, fds)?;
        Ok(text.cells.iter().flatten().map(|c| Mark { byte: c.byte, quoted: c.quoted }).collect())
    }

    fn split(&mut self, text: Text, out: &mut Vec<Vec<u8>>) -> Run<()> {
        let ifs = self.st.top().get("IFS").map_or_else(|| b" \t\n".to_vec(), <[u8]>::to_vec);
        let mut field: Vec<Mark> = Vec::new();
        let mut open = text.quoted_empty;
        for cell in text.cells {
            match cell {
                None => {
                    self.field(&mut field, out)?;
                    open = false;
                }
                Some(c) if c.splits && ifs.contains(&c.byte) => {
                    if open || !field.is_empty() {
                        self.field(&mut field, out)?;
                    }
                    open = false;
                }
                Some(c) => {
                    open |= c.quoted;
                    field.push(Mark { byte: c.byte, quoted: c.quoted });
                }
            }
        }
        if open || !field.is_empty() {
            self.field(&mut field, out)?;
        }
        Ok(())
    }

    fn field(&mut self, field: &mut Vec<Mark>, out: &mut Vec<Vec<u8>>) -> Run<()> {
        let marks = std::mem::take(field);
        self.work(marks.len() + 1)?;
        if out.len() >= WORDS_MAX {
            return Err(Stop::Limit);
        }
        if glob::is_pattern(&marks) {
            self.step()?;
            let found = glob::expand(self.vfs, &self.st.top().cwd, &marks, WORDS_MAX - out.len());
            if !found.is_empty() {
                self.work(found.iter().map(|f| f.len() + 64).sum())?;
                out.extend(found.into_iter().map(String::into_bytes));
                return Ok(());
            }
        }
        out.push(marks.iter().map(|m| m.byte).collect());
        Ok(())
    }

    fn text(&mut self, word: &Word, fds: Fds) -> Run<Text> {
        let mut text = Text::default();
        for (n, piece) in word.iter().enumerate() {
            match piece {
                Piece::Literal(bytes) => {
                    let mut bytes = bytes.as_slice();
                    if n == 0 && bytes.first() == Some(&b'~') {
                        let end = bytes.iter().position(|b| *b == b'/').unwrap_or(bytes.len());
                        let name =
                            String::from_utf8_lossy(bytes.get(1..end).unwrap_or_default()).into_owned();
                        if (end < bytes.len() || word.len() == 1)
                            && let Some(home) = self.home_of(&name)
                        {
                            text.push(home.as_bytes(), true, false);
                            bytes = bytes.get(end..).unwrap_or_default();
                        }
                    }
                    text.push(bytes, false, false);
                }
                Piece::Quoted(bytes) => text.push(bytes, true, false),
                Piece::Param { name, operator, quoted } => {
                    self.parameter(name, operator, *quoted, fds, &mut text)?
                }
                Piece::Command { list, quoted } => {
                    let bytes = self.substitute(list, fds)?;
                    text.push(&bytes, *quoted, true);
                }
                Piece::Arithmetic { word, quoted } => {
                    let source = self.value(word, fds)?;
                    let number = self.arithmetic(&String::from_utf8_lossy(&source));
                    text.push(number.to_string().as_bytes(), *quoted, true);
                }
            }
            self.work(text.cells.len())?;
        }
        Ok(text)
    }

    fn home_of(&self, name: &str) -> Option<String> {
        if name.is_empty() {
            return Some(self.st.top().text("HOME")).filter(|h| !h.is_empty());
        }
        match name {
            "+" => Some(self.st.top().cwd.clone()),
            _ => self.sys.persona().user(name).map(|u| u.home.clone()),
        }
    }

    /// The value of a parameter by name; `None` if unset.
    pub(crate) fn lookup(&mut self, name: &str) -> Option<Vec<u8>> {
        let number = |n: usize| Some(n.to_string().into_bytes());
        match name {
            "?" => Some(self.st.last_status.to_string().into_bytes()),
            "$" => number(self.st.pid as usize),
            "!" => (self.st.background > 0).then(|| self.st.background.to_string().into_bytes()),
            "#" => number(self.st.top().args.len()),
            "-" => Some(if self.st.tty { b"himBH".to_vec() } else { b"hBc".to_vec() }),
            "0" => Some(self.st.top().name.clone().into_bytes()),
            "@" | "*" => {
                let args = &self.st.top().args;
                (!args.is_empty()).then(|| args.join(&b' '))
            }
            "RANDOM" => number((self.st.draw() % 32_768) as usize),
            "SECONDS" => number(((self.now_ms - self.st.login.at_ms).max(0) / 1000) as usize),
            "UID" | "EUID" => number(self.st.top().cred.uid as usize),
            "PPID" => number(self.st.pid as usize - 1),
            "HOSTNAME" => Some(self.sys.persona().hostname.clone().into_bytes()),
            "BASH_VERSION" if !self.sys.persona().distro.bash_version.is_empty() => {
                Some(self.sys.persona().distro.bash_version.into())
            }
            "OSTYPE" => Some(b"linux-gnu".to_vec()),
            "HOSTTYPE" => Some(self.sys.persona().distro.machine.into()),
            "MACHTYPE" => Some(format!("{}-pc-linux-gnu", self.sys.persona().distro.machine).into_bytes()),
            "PS1" => Some(b"\\u@\\h:\\w\\$ ".to_vec()),
            "PS2" => Some(b"> ".to_vec()),
            _ if name.bytes().all(|b| b.is_ascii_digit()) => {
                let n: usize = name.parse().ok()?;
                self.st.top().args.get(n.checked_sub(1)?).cloned()
            }
            _ => self.st.top().get(name).map(<[u8]>::to_vec),
        }
    }

    fn parameter(
        &mut self,
        name: &str,
        operator: &Operator,
        quoted: bool,
        fds: Fds,
        text: &mut Text,
    ) -> Run<()> {
        if name == "@" && quoted && *operator == Operator::None {
            for (n, arg) in self.st.top().args.clone().iter().enumerate() {
                if n > 0 {
                    text.cells.push(None);
                }
                text.push(arg, true, false);
            }
            return Ok(());
        }
        let value = self.lookup(name);
        let given = |colon: bool| value.as_ref().is_some_and(|v| !colon || !v.is_empty());
        let result = match operator {
            Operator::None => value.unwrap_or_default(),
            Operator::Length if matches!(name, "@" | "*") => {
                self.st.top().args.len().to_string().into_bytes()
            }
            Operator::Length => {
                String::from_utf8_lossy(&value.unwrap_or_default()).chars().count().to_string().into_bytes()
            }
            Operator::Indirect => {
                let name = String::from_utf8_lossy(&value.unwrap_or_default()).into_owned();
                self.lookup(&name).unwrap_or_default()
            }
            Operator::Default { colon, word } => {
                if given(*colon) {
                    value.unwrap_or_default()
                } else {
                    self.value(word, fds)?
                }
            }
            Operator::Assign { colon, word } => {
                if given(*colon) {
                    value.unwrap_or_default()
                } else {
                    let new = self.value(word, fds)?;
                    self.st.top_mut().set(name, new.clone(), None);
                    new
                }
            }
            Operator::Error { colon, word } => {
                if !given(*colon) {
                    let message = self.value(word, fds)?;
                    let message =
                        if message.is_empty() { b"parameter null or not set".to_vec() } else { message };
                    let line =
                        format!("{}: {name}: {}\n", self.shell_name(), String::from_utf8_lossy(&message));
                    self.write(fds.err, line.as_bytes())?;
                    return Err(Stop::Abort(1));
                }
                value.unwrap_or_default()
            }
            Operator::Alternative { colon, word } => {
                if given(*colon) {
                    self.value(word, fds)?
                } else {
                    Vec::new()
                }
            }
            Operator::TrimStart { longest, pattern } => {
                let pattern = self.pattern(pattern, fds)?;
                let value = value.unwrap_or_default();
                let cut = self.longest_or_shortest(value.len(), *longest, |n| {
                    glob::matches(&pattern, value.get(..n).unwrap_or_default())
                })?;
                value.get(cut.unwrap_or(0)..).unwrap_or_default().to_vec()
            }
            Operator::TrimEnd { longest, pattern } => {
                let pattern = self.pattern(pattern, fds)?;
                let value = value.unwrap_or_default();
                let cut = self.longest_or_shortest(value.len(), *longest, |n| {
                    glob::matches(&pattern, value.get(value.len() - n..).unwrap_or_default())
                })?;
                value.get(..value.len() - cut.unwrap_or(0)).unwrap_or_default().to_vec()
            }
            Operator::Replace { all, pattern, with } => {
                let pattern = self.pattern(pattern, fds)?;
                let with = self.value(with, fds)?;
                self.replace(&value.unwrap_or_default(), &pattern, &with, *all)?
            }
            Operator::Substring { offset, length } => {
                let offset = self.value(offset, fds)?;
                let offset = self.arithmetic(&String::from_utf8_lossy(&offset));
                let value = value.unwrap_or_default();
                let len = value.len() as i64;
                let start = if offset < 0 { (len + offset).max(0) } else { offset.min(len) };
                let count = match length {
                    None => len - start,
                    Some(word) => {
                        let count = self.value(word, fds)?;
                        let count = self.arithmetic(&String::from_utf8_lossy(&count));
                        if count < 0 { (len + count - start).max(0) } else { count.min(len - start) }
                    }
                };
                value.get(start as usize..(start + count) as usize).unwrap_or_default().to_vec()
            }
            Operator::Case { upper, all } => {
                let mut value = value.unwrap_or_default();
                let count = if *all { value.len() } else { 1 };
                for byte in value.iter_mut().take(count) {
                    *byte = if *upper { byte.to_ascii_uppercase() } else { byte.to_ascii_lowercase() };
                }
                value
            }
        };
        if quoted || !result.is_empty() {
            text.push(&result, quoted, true);
        }
        Ok(())
    }

    /// The shortest or longest length whose affix matches. Each try is charged, so long values end the line.
    fn longest_or_shortest(
        &mut self,
        len: usize,
        longest: bool,
        hit: impl Fn(usize) -> bool,
    ) -> Run<Option<usize>> {
        for n in 0..=len {
            let n = if longest { len - n } else { n };
            self.work(n)?;
            if hit(n) {
                return Ok(Some(n));
            }
        }
        Ok(None)
    }

    fn replace(&mut self, value: &[u8], pattern: &[Mark], with: &[u8], all: bool) -> Run<Vec<u8>> {
        let literal = !glob::is_pattern(pattern);
        let (mut out, mut at, mut done) = (Vec::new(), 0, false);
        while at < value.len() {
            let rest = value.get(at..).unwrap_or_default();
            let hit = if done || pattern.is_empty() {
                None
            } else if literal {
                let plain: Vec<u8> = pattern.iter().map(|m| m.byte).collect();
                rest.starts_with(&plain).then_some(plain.len())
            } else {
                self.longest_or_shortest(rest.len().min(4096), true, |n| {
                    n > 0 && glob::matches(pattern, rest.get(..n).unwrap_or_default())
                })?
            };
            self.work(pattern.len() + 1)?;
            match hit {
                Some(len) if len > 0 => {
                    out.extend_from_slice(with);
                    at += len;
                    done = !all;
                }
                _ => {
                    out.extend(rest.first());
                    at += 1;
                }
            }
            if out.len() > VALUE_BYTES_MAX {
                break;
            }
        }
        Ok(out)
    }

    /// Runs a command substitution and returns its output without trailing newlines.
    fn substitute(&mut self, list: &super::parse::List, fds: Fds) -> Run<Vec<u8>> {
        let mut bytes = self.capture(fds, |i, fds| i.subshell(list, fds))?;
        while bytes.last() == Some(&b'\n') {
            bytes.pop();
        }
        bytes.retain(|b| *b != 0);
        Ok(bytes)
    }

    /// Runs something with its output in a buffer.
    pub(crate) fn capture(&mut self, fds: Fds, run: impl FnOnce(&mut Self, Fds) -> Run<i32>) -> Run<Vec<u8>> {
        self.buffers.push(Vec::new());
        let index = self.buffers.len() - 1;
        let result = run(self, Fds { out: Target::Buffer(index), ..fds });
        let bytes = std::mem::take(self.buffers.get_mut(index).unwrap_or(&mut Vec::new()));
        self.buffers.truncate(index);
        match result {
            Ok(status) => self.st.last_status = status,
            Err(Stop::PipeFull) => self.st.last_status = 141,
            Err(stop) => return Err(stop),
        }
        Ok(bytes)
    }
}

/// `a{b,c}d` and `{1..5}` within one unquoted literal.
fn braces(word: &Word) -> Vec<Word> {
    for (at, piece) in word.iter().enumerate() {
        let Piece::Literal(text) = piece else { continue };
        let Some((before, choices, after)) = brace(text) else { continue };
        return choices
            .into_iter()
            .take(256)
            .flat_map(|choice| {
                let mut new = word.clone();
                let text = [before.as_slice(), &choice, &after].concat();
                if let Some(slot) = new.get_mut(at) {
                    *slot = Piece::Literal(text);
                }
                // One more pair of braces at most: more would multiply.
                match new.get(at) {
                    Some(Piece::Literal(text)) if before.is_empty() || brace(text).is_none() => vec![new],
                    _ => vec![new],
                }
            })
            .collect();
    }
    vec![word.clone()]
}

type Choices = (Vec<u8>, Vec<Vec<u8>>, Vec<u8>);

fn brace(text: &[u8]) -> Option<Choices> {
    let open = text.iter().position(|b| *b == b'{')?;
    let close = open + text.get(open..)?.iter().position(|b| *b == b'}')?;
    let inside = text.get(open + 1..close)?;
    let (before, after) = (text.get(..open)?.to_vec(), text.get(close + 1..)?.to_vec());
    if inside.contains(&b',') {
        return Some((before, inside.split(|b| *b == b',').map(<[u8]>::to_vec).collect(), after));
    }
    let inside = std::str::from_utf8(inside).ok()?;
    let (from, to) = inside.split_once("..")?;
    let (from, to): (i64, i64) = (from.parse().ok()?, to.parse().ok()?);
    let range: Vec<i64> = if from <= to {
        (from..=to).take(WORDS_MAX).collect()
    } else {
        (to..=from).rev().take(WORDS_MAX).collect()
    };
    Some((before, range.iter().map(|n| n.to_string().into_bytes()).collect(), after))
}

/// Backslash escapes as `echo -e`, `printf %b` and `$'..'` know them; the flag says that `\c` ended the output.
pub(crate) fn unescape(text: &[u8]) -> (Vec<u8>, bool) {
    let mut out = Vec::with_capacity(text.len());
    let mut rest = text;
    while let Some((first, tail)) = rest.split_first() {
        rest = tail;
        if *first != b'\\' {
            out.push(*first);
            continue;
        }
        let Some((kind, tail)) = rest.split_first() else {
            out.push(b'\\');
            break;
        };
        rest = tail;
        match kind {
            b'n' => out.push(b'\n'),
            b't' => out.push(b'\t'),
            b'r' => out.push(b'\r'),
            b'a' => out.push(7),
            b'b' => out.push(8),
            b'f' => out.push(12),
            b'v' => out.push(11),
            b'e' | b'E' => out.push(27),
            b'\\' => out.push(b'\\'),
            b'\'' => out.push(b'\''),
            b'"' => out.push(b'"'),
            b'c' => return (out, true),
            b'x' => {
                let (value, used) = digits(rest, 16, 2);
                if used == 0 {
                    out.extend(b"\\x");
                } else {
                    out.push(value as u8);
                }
                rest = rest.get(used..).unwrap_or_default();
            }
            b'u' | b'U' => {
                let (value, used) = digits(rest, 16, if *kind == b'u' { 4 } else { 8 });
                let c = char::from_u32(value).unwrap_or(char::REPLACEMENT_CHARACTER);
                out.extend(c.encode_utf8(&mut [0; 4]).as_bytes());
                rest = rest.get(used..).unwrap_or_default();
            }
            b'0'..=b'7' => {
                let from = if *kind == b'0' {
                    rest
                } else {
                    text.get(text.len() - rest.len() - 1..).unwrap_or_default()
                };
                let (value, used) = digits(from, 8, 3);
                out.push(value as u8);
                rest = from.get(used..).unwrap_or_default();
            }
            other => out.extend([b'\\', *other]),
        }
    }
    (out, false)
}

fn digits(text: &[u8], radix: u32, max: usize) -> (u32, usize) {
    let used = text.iter().take(max).take_while(|b| char::from(**b).is_digit(radix)).count();
    let value = text
        .iter()
        .take(used)
        .fold(0_u32, |n, b| n.wrapping_mul(radix) + char::from(*b).to_digit(radix).unwrap_or(0));
    (value, used)
}

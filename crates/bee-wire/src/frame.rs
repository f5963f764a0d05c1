//! Cuts a byte stream into JSON objects.
//!
//! Called with whatever a read returned, in pieces of any size. Objects may follow each other with a newline, with
//! other white space or with nothing between. Never parses JSON: it follows strings and brackets only, and looks at each
//! byte once, however the bytes are cut.
//!
//! What is no object is thrown away up to the next line break, which can never be part of a JSON string. So one broken
//! message costs itself and not the ones behind it.

use bytes::{Buf, Bytes, BytesMut};

use crate::limits::JSON_DEPTH_MAX;

/// What the decoder found.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Frame {
    /// The bytes of one JSON object, from `{` to its `}`.
    Object(Bytes),
    /// Bytes that are no object; the decoder went on behind them.
    Garbage(Garbage),
}

/// Bytes that were thrown away, reported as soon as they are known to be no object.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Garbage {
    /// How many up to the place where it showed. The rest of the line goes as well, unreported.
    pub bytes: usize,
    /// Why.
    pub reason: GarbageReason,
}

/// Why bytes were thrown away.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
#[non_exhaustive]
pub enum GarbageReason {
    /// Something else than an object.
    #[error("expected a JSON object")]
    NotAnObject,
    /// Nested deeper than [`JSON_DEPTH_MAX`].
    #[error("nested deeper than {JSON_DEPTH_MAX} levels")]
    TooDeep,
    /// Brackets that do not match, a line break in a string, or an object that another one interrupts.
    #[error("broken JSON object")]
    Broken,
}

/// A peer sent more than it may before its object came to an end. The connection has to be closed.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
#[error("a message may have at most {max} bytes")]
pub struct FrameTooLarge {
    /// The limit at that moment.
    pub max: usize,
}

/// Finds objects in a stream of bytes.
#[derive(Debug)]
pub struct FrameDecoder {
    /// Begins with the object or garbage at hand; thrown away bytes are gone from it.
    buffer: BytesMut,
    /// How many bytes of `buffer` were looked at.
    scanned: usize,
    max_frame_bytes: usize,
    state: State,
    too_large: Option<FrameTooLarge>,
}

#[derive(Debug, Clone, Copy)]
enum State {
    /// Between objects; nothing but white space was seen.
    Between,
    /// In an object that began at the start of the buffer.
    Object(Scan),
    /// In garbage, of which `bytes` are gone from the buffer, up to the next line break.
    Skipping { bytes: usize },
}

/// Where a scan stands inside an object.
#[derive(Debug, Clone, Copy)]
struct Scan {
    brackets: Brackets,
    string: InString,
    /// The last byte outside strings that was not white space; `"` for a whole string.
    before: u8,
    /// Where in the buffer the first line break since `before` stands.
    line_break_at: Option<usize>,
}

#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum InString {
    No,
    Yes,
    /// Behind a backslash.
    Escaped,
}

/// Open brackets, one bit each: 1 for `{`, 0 for `[`.
#[derive(Debug, Clone, Copy)]
struct Brackets {
    kinds: u64,
    depth: usize,
}

const _: () = assert!(JSON_DEPTH_MAX <= u64::BITS as usize);

impl Brackets {
    /// `false` if that is too deep.
    fn open(&mut self, is_object: bool) -> bool {
        self.kinds = self.kinds << 1 | u64::from(is_object);
        self.depth += 1;
        self.depth <= JSON_DEPTH_MAX
    }

    /// `false` if another kind of bracket is open.
    fn close(&mut self, is_object: bool) -> bool {
        let matches = (self.kinds & 1 == 1) == is_object;
        self.kinds >>= 1;
        self.depth = self.depth.saturating_sub(1);
        matches
    }
}

/// What comes after white space.
enum Begin {
    Nothing,
    Object,
    Garbage,
}

/// What a look at the bytes came to.
enum Step {
    /// More bytes are needed.
    More,
    /// The object ends before this place in the buffer.
    Ends(usize),
    /// The bytes from the start to this place in the buffer are garbage; it goes on to the end of the line.
    Bad(usize, GarbageReason),
    /// The bytes from the start to this place in the buffer are garbage; a new line begins there.
    BadLine(usize, GarbageReason),
}

impl FrameDecoder {
    /// A decoder that takes objects of at most `max_frame_bytes`.
    pub fn new(max_frame_bytes: usize) -> Self {
        Self { buffer: BytesMut::new(), scanned: 0, max_frame_bytes, state: State::Between, too_large: None }
    }

    /// Changes the limit, for example once the peer has registered. Counts from the next call of `next_frame`.
    pub fn set_max_frame_bytes(&mut self, max_frame_bytes: usize) {
        self.max_frame_bytes = max_frame_bytes;
    }

    /// Adds bytes. Call `next_frame` until it returns `None` before adding more: between the two the decoder holds at
    /// most its limit and what was just added. After [`FrameTooLarge`] bytes are not kept.
    pub fn push(&mut self, bytes: &[u8]) {
        if self.too_large.is_none() {
            self.buffer.extend_from_slice(bytes);
        }
    }

    /// The next object or garbage; `None` if more bytes are needed.
    ///
    /// # Errors
    /// [`FrameTooLarge`] once an object or garbage is longer than the limit; from then on always.
    pub fn next_frame(&mut self) -> Result<Option<Frame>, FrameTooLarge> {
        if let Some(error) = self.too_large {
            return Err(error);
        }
        loop {
            match self.state {
                State::Between => match self.begin() {
                    Begin::Nothing => return Ok(None),
                    Begin::Object => {}
                    Begin::Garbage => return self.skip_line(0, 1, GarbageReason::NotAnObject),
                },
                State::Object(scan) => {
                    let step = self.scan_object(scan);
                    // `More` has looked at all there is; the others must not depend on how the bytes were cut.
                    if self.scanned > self.max_frame_bytes {
                        return self.fail();
                    }
                    match step {
                        Step::More => return Ok(None),
                        Step::Ends(end) => {
                            self.state = State::Between;
                            return Ok(Some(Frame::Object(self.take(end))));
                        }
                        Step::BadLine(bytes, reason) => {
                            self.discard(bytes);
                            self.state = State::Between;
                            return Ok(Some(Frame::Garbage(Garbage { bytes, reason })));
                        }
                        Step::Bad(bytes, reason) => return self.skip_line(bytes, bytes, reason),
                    }
                }
                State::Skipping { bytes } => {
                    let line_end = memchr::memchr(b'\n', &self.buffer);
                    let length = line_end.unwrap_or(self.buffer.len());
                    let bytes = bytes.saturating_add(length);
                    if bytes > self.max_frame_bytes {
                        return self.fail();
                    }
                    self.discard(length);
                    if line_end.is_none() {
                        self.state = State::Skipping { bytes };
                        return Ok(None);
                    }
                    self.state = State::Between;
                }
            }
        }
    }

    /// What is left when the peer has closed: `None` if its last object was whole. The decoder is empty then.
    pub fn finish(&mut self) -> Option<Garbage> {
        let garbage = match self.state {
            State::Object(_) => Some(Garbage { bytes: self.buffer.len(), reason: GarbageReason::Broken }),
            State::Between | State::Skipping { .. } => None,
        };
        self.discard(self.buffer.len());
        self.state = State::Between;
        garbage
    }

    /// How many bytes it holds.
    pub fn buffered_bytes(&self) -> usize {
        self.buffer.len()
    }

    /// Drops white space and looks at what follows it.
    fn begin(&mut self) -> Begin {
        let blank = self.buffer.iter().take_while(|byte| is_blank(**byte)).count();
        self.discard(blank);
        match self.buffer.first() {
            None => {
                // An idle connection should not keep the memory of its largest message.
                self.buffer = BytesMut::new();
                Begin::Nothing
            }
            Some(b'{') => {
                let mut brackets = Brackets { kinds: 0, depth: 0 };
                brackets.open(true);
                self.scanned = 1;
                self.state =
                    State::Object(Scan { brackets, string: InString::No, before: b'{', line_break_at: None });
                Begin::Object
            }
            Some(_) => Begin::Garbage,
        }
    }

    /// Drops `length` bytes and, as they come, the others up to the next line break.
    fn skip_line(
        &mut self,
        length: usize,
        bytes: usize,
        reason: GarbageReason,
    ) -> Result<Option<Frame>, FrameTooLarge> {
        self.discard(length);
        self.state = State::Skipping { bytes: length };
        Ok(Some(Frame::Garbage(Garbage { bytes, reason })))
    }

    /// Goes on with an object from where the last look ended, and keeps where this one ended.
    fn scan_object(&mut self, mut scan: Scan) -> Step {
        let (step, scanned) = scan.run(&self.buffer, self.scanned);
        self.scanned = scanned;
        self.state = State::Object(scan);
        step
    }

    fn take(&mut self, length: usize) -> Bytes {
        self.scanned = 0;
        self.buffer.split_to(length).freeze()
    }

    fn discard(&mut self, length: usize) {
        self.scanned = 0;
        self.buffer.advance(length);
    }

    fn fail(&mut self) -> Result<Option<Frame>, FrameTooLarge> {
        let error = FrameTooLarge { max: self.max_frame_bytes };
        self.buffer = BytesMut::new();
        self.scanned = 0;
        self.too_large = Some(error);
        Err(error)
    }
}

impl Scan {
    /// Looks at `buffer` from `at` on; returns what came of it and how far it looked.
    fn run(&mut self, buffer: &[u8], mut at: usize) -> (Step, usize) {
        loop {
            if self.string != InString::No {
                match self.skip_string(buffer, at) {
                    Some(Ok(behind)) => at = behind,
                    Some(Err(line_break)) => {
                        return (Step::BadLine(line_break, GarbageReason::Broken), line_break);
                    }
                    None => return (Step::More, buffer.len()),
                }
            }
            let Some(&byte) = buffer.get(at) else { return (Step::More, at) };
            let ok = match byte {
                b'"' => {
                    self.string = InString::Yes;
                    true
                }
                b'{' | b'[' => {
                    // A bracket where none can stand: the object was cut off, and if a new line has begun since, this
                    // is the next one.
                    if !matches!(self.before, b':' | b',' | b'[') {
                        return match self.line_break_at {
                            Some(line_break) => (Step::BadLine(line_break, GarbageReason::Broken), at),
                            None => (Step::Bad(at, GarbageReason::Broken), at),
                        };
                    }
                    if !self.brackets.open(byte == b'{') {
                        return (Step::Bad(at, GarbageReason::TooDeep), at);
                    }
                    true
                }
                b'}' | b']' => self.brackets.close(byte == b'}'),
                b'\n' => {
                    self.line_break_at.get_or_insert(at);
                    at += 1;
                    continue;
                }
                byte if is_blank(byte) => {
                    at += 1;
                    continue;
                }
                _ => true,
            };
            at += 1;
            if !ok {
                return (Step::Bad(at, GarbageReason::Broken), at);
            }
            if self.brackets.depth == 0 {
                return (Step::Ends(at), at);
            }
            self.before = byte;
            self.line_break_at = None;
        }
    }

    /// The place behind the closing quote, or the place of a line break, which no string has.
    fn skip_string(&mut self, buffer: &[u8], mut at: usize) -> Option<Result<usize, usize>> {
        loop {
            if self.string == InString::Escaped {
                match buffer.get(at)? {
                    b'\n' => return Some(Err(at)),
                    _ => at += 1,
                }
                self.string = InString::Yes;
            }
            let found = memchr::memchr3(b'"', b'\\', b'\n', buffer.get(at..)?)?;
            at += found;
            match buffer.get(at)? {
                b'"' => {
                    self.string = InString::No;
                    return Some(Ok(at + 1));
                }
                b'\\' => self.string = InString::Escaped,
                _ => return Some(Err(at)),
            }
            at += 1;
        }
    }
}

fn is_blank(byte: u8) -> bool {
    matches!(byte, b' ' | b'\t' | b'\r' | b'\n')
}

/// Whether brackets nest deeper than [`JSON_DEPTH_MAX`]; for JSON that did not come through a [`FrameDecoder`].
pub(crate) fn is_too_deep(json: &[u8]) -> bool {
    let mut depth = 0_usize;
    let mut rest = json;
    while let Some((byte, behind)) = rest.split_first() {
        rest = behind;
        match byte {
            b'"' => rest = behind_string(rest),
            b'{' | b'[' => {
                depth += 1;
                if depth > JSON_DEPTH_MAX {
                    return true;
                }
            }
            b'}' | b']' => depth = depth.saturating_sub(1),
            _ => {}
        }
    }
    false
}

/// What follows the string that `rest` is inside of.
fn behind_string(mut rest: &[u8]) -> &[u8] {
    while let Some(at) = memchr::memchr2(b'"', b'\\', rest) {
        let is_end = rest.get(at) == Some(&b'"');
        rest = rest.get(at + if is_end { 1 } else { 2 }..).unwrap_or_default();
        if is_end {
            return rest;
        }
    }
    &[]
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn objects_come_with_newlines_white_space_or_nothing_between() {
        check(b"{}\n{\"a\":1}{\"b\":[2,{}]} \t\r\n {}", &["{}", "{\"a\":1}", "{\"b\":[2,{}]}", "{}"]);
    }

    #[test]
    fn brackets_and_escaped_quotes_in_strings_mean_nothing() {
        check(br#"{"a":"}{\"]\\"}{"\\\"{":"["}"#, &[r#"{"a":"}{\"]\\"}"#, r#"{"\\\"{":"["}"#]);
    }

    #[test]
    fn an_object_may_span_lines() {
        check(
            b"{\n \"a\": {\n  \"b\": [\n{}\n]\n }\n}\n{}",
            &["{\n \"a\": {\n  \"b\": [\n{}\n]\n }\n}", "{}"],
        );
    }

    #[test]
    fn what_is_no_object_costs_its_line_only() {
        check(
            b"GET / HTTP/1.1\r\n[1,2]\n\"x\"\n{}",
            &["NotAnObject 1", "NotAnObject 1", "NotAnObject 1", "{}"],
        );
        check(b"\x16\x03\x01\x02\n{}", &["NotAnObject 1", "{}"]);
        check(b"\xef\xbb\xbf{}\n{}", &["NotAnObject 1", "{}"]);
    }

    #[test]
    fn an_object_cut_off_does_not_swallow_the_next_line() {
        check(b"{\"a\":{\"b\":1}\n{\"c\":2}\n", &["Broken 12", "{\"c\":2}"]);
        check(b"{\"a\":\"b\n{\"c\":2}\n", &["Broken 7", "{\"c\":2}"]);
        check(b"{\"a\":\"b\\\n{\"c\":2}\n", &["Broken 8", "{\"c\":2}"]);
        check(b"{\"a\":1]\n{\"c\":2}\n", &["Broken 7", "{\"c\":2}"]);
        check(b"{\"a\":1{}}{}\n{\"c\":2}\n", &["Broken 6", "{\"c\":2}"]);
    }

    #[test]
    fn nesting_is_bounded() {
        let deep =
            |depth: usize| format!("{{\"a\":{}{}}}\n{{}}", "[".repeat(depth - 1), "]".repeat(depth - 1));
        let fits = deep(JSON_DEPTH_MAX);
        check(fits.as_bytes(), &[fits.strip_suffix("\n{}").unwrap(), "{}"]);
        let over = deep(JSON_DEPTH_MAX + 1);
        check(over.as_bytes(), &[&format!("TooDeep {}", JSON_DEPTH_MAX + 4), "{}"]);
        let unclosed = format!("{{\"a\":{}\n{{}}", "[".repeat(100_000));
        check(unclosed.as_bytes(), &[&format!("TooDeep {}", JSON_DEPTH_MAX + 4), "{}"]);
    }

    #[test]
    fn nul_and_invalid_utf8_pass_through_to_the_parser() {
        let mut decoder = FrameDecoder::new(100);
        decoder.push(b"{\"\xff\0\":\0}");
        assert_eq!(decoder.next_frame(), Ok(Some(Frame::Object(Bytes::from_static(b"{\"\xff\0\":\0}")))));
    }

    #[test]
    fn an_object_of_just_the_limit_passes_and_one_byte_more_fails_for_good() {
        let object = b"{\"a\":\"bcd\"}";
        let mut decoder = FrameDecoder::new(object.len());
        decoder.push(object);
        assert_eq!(decoder.next_frame(), Ok(Some(Frame::Object(Bytes::from_static(object)))));
        let mut decoder = FrameDecoder::new(object.len() - 1);
        decoder.push(object);
        let error = Err(FrameTooLarge { max: object.len() - 1 });
        assert_eq!(decoder.next_frame(), error);
        decoder.push(b"{}");
        assert_eq!((decoder.next_frame(), decoder.buffered_bytes()), (error, 0));
    }

    #[test]
    fn ten_mebibytes_and_one_byte_are_too_large_whatever_they_are() {
        let max = crate::limits::FRAME_BYTES_MAX;
        for start in [&b"{\"a\":\""[..], b"x", b"{\"a\":[", b"{\"a\":1]"] {
            let mut decoder = FrameDecoder::new(max);
            decoder.push(start);
            let chunk = [b'1'; 64 * 1024];
            let mut pushed = start.len();
            let error = loop {
                match decoder.next_frame() {
                    Ok(None) => assert!(pushed <= max && decoder.buffered_bytes() <= max),
                    Ok(Some(Frame::Garbage(_))) => continue,
                    Ok(Some(frame)) => panic!("found {frame:?}"),
                    Err(error) => break error,
                }
                let piece = chunk.len().min(max + 1 - pushed);
                decoder.push(&chunk[..piece]);
                pushed += piece;
            };
            assert_eq!((error.max, pushed), (max, max + 1));
        }
    }

    #[test]
    fn the_limit_can_be_raised_after_registration() {
        let mut decoder = FrameDecoder::new(4);
        decoder.push(b"{}{\"a\":1}");
        assert!(matches!(decoder.next_frame(), Ok(Some(Frame::Object(_)))));
        decoder.set_max_frame_bytes(100);
        assert!(matches!(decoder.next_frame(), Ok(Some(Frame::Object(_)))));
    }

    #[test]
    fn what_is_left_at_the_end_is_reported() {
        let mut decoder = FrameDecoder::new(100);
        decoder.push(b"{}  {\"a\"");
        while decoder.next_frame().unwrap().is_some() {}
        assert_eq!(decoder.finish(), Some(Garbage { bytes: 4, reason: GarbageReason::Broken }));
        assert_eq!(decoder.finish(), None);
    }

    #[test]
    fn depth_is_counted_outside_strings() {
        assert!(!is_too_deep(format!("\"{}\"", "[".repeat(200)).as_bytes()));
        assert!(!is_too_deep(format!("\"\\\"{}", "[".repeat(200)).as_bytes()));
        assert!(is_too_deep("[".repeat(JSON_DEPTH_MAX + 1).as_bytes()));
        assert!(!is_too_deep("[".repeat(JSON_DEPTH_MAX).as_bytes()));
        assert!(!is_too_deep("[]".repeat(200).as_bytes()));
    }

    /// Pushes the whole input at once and then byte by byte; both must find the same.
    fn check(input: &[u8], expect: &[&str]) {
        for chunk in [input.len(), 1] {
            let mut decoder = FrameDecoder::new(1 << 20);
            let mut found = Vec::new();
            for piece in input.chunks(chunk) {
                decoder.push(piece);
                while let Some(frame) = decoder.next_frame().unwrap() {
                    found.push(match frame {
                        Frame::Object(bytes) => String::from_utf8(bytes.to_vec()).unwrap(),
                        Frame::Garbage(Garbage { bytes, reason }) => format!("{reason:?} {bytes}"),
                    });
                }
            }
            assert_eq!(found, expect, "in pieces of {chunk}");
        }
    }
}

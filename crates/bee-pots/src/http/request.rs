//! Reads HTTP/1.x requests (RFC 9112) from bytes: the head with httparse, the framing of the body, chunked coding.
//!
//! Pure and bounded; the connection loop in `http` does the reading. Fuzz target: `http_request`.

use crate::limits::{HTTP_HEAD_MAX, HTTP_HEADERS_MAX};

/// Longest line of a chunk's size or of a trailer.
const CHUNK_LINE_MAX: usize = 1024;

/// A request without its body. Texts are the client's bytes, what is not UTF-8 replaced.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Head {
    /// Method, as sent.
    pub method: String,
    /// Request target, as sent.
    pub target: String,
    /// Minor version: 0 or 1.
    pub minor: u8,
    /// Header fields in the order sent.
    pub headers: Vec<(String, String)>,
}

/// The outcome of a look at the bytes received so far.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Parsed {
    /// More bytes are needed.
    Incomplete,
    /// No request, and why.
    Invalid(&'static str),
    /// The head and its length in bytes.
    Head(Head, usize),
}

/// How the body is framed.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Framing {
    /// This many bytes, often none.
    Length(u64),
    /// Chunked coding.
    Chunked,
    /// Contradictory or not understood: the connection cannot be used further.
    Broken,
}

impl Head {
    /// Parses the head at the start of `bytes`.
    #[must_use]
    pub fn parse(bytes: &[u8]) -> Parsed {
        let mut fields = [httparse::EMPTY_HEADER; HTTP_HEADERS_MAX];
        let mut request = httparse::Request::new(&mut fields);
        match request.parse(bytes) {
            Ok(httparse::Status::Complete(length)) if length <= HTTP_HEAD_MAX => {
                let text = |bytes: &[u8]| String::from_utf8_lossy(bytes).into_owned();
                Parsed::Head(
                    Self {
                        method: request.method.unwrap_or_default().to_owned(),
                        target: request.path.unwrap_or_default().to_owned(),
                        minor: request.version.unwrap_or(1),
                        headers: request.headers.iter().map(|h| (h.name.to_owned(), text(h.value))).collect(),
                    },
                    length,
                )
            }
            Ok(httparse::Status::Complete(_)) => Parsed::Invalid("the request's head is too long"),
            Ok(httparse::Status::Partial) if bytes.len() > HTTP_HEAD_MAX => {
                Parsed::Invalid("the request's head is too long")
            }
            Ok(httparse::Status::Partial) => Parsed::Incomplete,
            Err(httparse::Error::TooManyHeaders) => Parsed::Invalid("too many header fields"),
            Err(_) => Parsed::Invalid("not an HTTP request"),
        }
    }

    /// The first header field of this name.
    #[must_use]
    pub fn header(&self, name: &str) -> Option<&str> {
        self.headers.iter().find(|(n, _)| n.eq_ignore_ascii_case(name)).map(|(_, value)| value.as_str())
    }

    /// The path of the target, without query, scheme and host; percent-encoding is left as it is.
    #[must_use]
    pub fn path(&self) -> &str {
        let target = match self.target.split_once("://") {
            // Absolute form, as a proxy gets it.
            Some((scheme, rest)) if scheme.chars().all(|c| c.is_ascii_alphanumeric()) => {
                rest.find('/').and_then(|at| rest.get(at..)).unwrap_or("/")
            }
            _ => &self.target,
        };
        target.split(['?', '#']).next().unwrap_or_default()
    }

    /// The query, without its question mark.
    #[must_use]
    pub fn query(&self) -> &str {
        self.target.split_once('?').map_or("", |(_, query)| query)
    }

    /// How the body is framed. A request with both a length and chunks, or two lengths, is the start of a smuggling attempt.
    #[must_use]
    pub fn framing(&self) -> Framing {
        let values = |name: &'static str| {
            self.headers.iter().filter(move |(n, _)| n.eq_ignore_ascii_case(name)).map(|(_, v)| v.trim())
        };
        let mut lengths = values("content-length");
        let mut codings = values("transfer-encoding");
        match (lengths.next(), lengths.next(), codings.next(), codings.next()) {
            (None, _, None, _) => Framing::Length(0),
            (Some(length), None, None, _)
                if !length.is_empty() && length.bytes().all(|b| b.is_ascii_digit()) =>
            {
                length.parse().map_or(Framing::Broken, Framing::Length)
            }
            (None, _, Some(coding), None) if coding.eq_ignore_ascii_case("chunked") => Framing::Chunked,
            _ => Framing::Broken,
        }
    }

    /// Whether the connection stays open after the answer.
    #[must_use]
    pub fn keep_alive(&self) -> bool {
        let connection = self.header("connection").unwrap_or_default().to_ascii_lowercase();
        if self.minor == 0 { connection.contains("keep-alive") } else { !connection.contains("close") }
    }
}

/// Takes chunked coding apart.
#[derive(Debug, Default)]
pub struct Chunked {
    state: ChunkState,
    line: Vec<u8>,
}

#[derive(Debug, Default, Clone, Copy, PartialEq, Eq)]
enum ChunkState {
    #[default]
    Size,
    Data(u64),
    DataEnd,
    Trailer,
    Done,
}

impl Chunked {
    /// Takes what `input` has of the body, hands its data to `sink` and says how many bytes were used; the rest belongs to
    /// the next request once [`Chunked::is_done`].
    ///
    /// # Errors
    /// Bytes that are no chunked coding.
    pub fn decode(&mut self, input: &[u8], mut sink: impl FnMut(&[u8])) -> Result<usize, &'static str> {
        let mut rest = input;
        while !rest.is_empty() && self.state != ChunkState::Done {
            if let ChunkState::Data(left) = self.state {
                let now = usize::try_from(left).unwrap_or(usize::MAX).min(rest.len());
                let (data, after) = rest.split_at_checked(now).unwrap_or((rest, &[]));
                sink(data);
                rest = after;
                let left = left - now as u64;
                self.state = if left == 0 { ChunkState::DataEnd } else { ChunkState::Data(left) };
                continue;
            }
            let (byte, after) = rest.split_first().ok_or("no bytes")?;
            rest = after;
            if *byte != b'\n' {
                if self.line.len() >= CHUNK_LINE_MAX {
                    return Err("a chunk's size line is too long");
                }
                self.line.push(*byte);
                continue;
            }
            let line = std::mem::take(&mut self.line);
            let line = line.strip_suffix(b"\r").unwrap_or(&line);
            self.state = match self.state {
                ChunkState::Size => match chunk_size(line).ok_or("a chunk's size is not hexadecimal")? {
                    0 => ChunkState::Trailer,
                    size => ChunkState::Data(size),
                },
                ChunkState::DataEnd if line.is_empty() => ChunkState::Size,
                ChunkState::DataEnd => return Err("a chunk is longer than its size"),
                ChunkState::Trailer if line.is_empty() => ChunkState::Done,
                other => other,
            };
        }
        Ok(input.len() - rest.len())
    }

    /// Whether the last chunk and the trailer were seen.
    #[must_use]
    pub fn is_done(&self) -> bool {
        self.state == ChunkState::Done
    }
}

fn chunk_size(line: &[u8]) -> Option<u64> {
    let digits = line.split(|b| *b == b';').next()?.trim_ascii();
    if digits.is_empty() || digits.len() > 15 {
        return None;
    }
    u64::from_str_radix(std::str::from_utf8(digits).ok()?, 16).ok()
}

#[cfg(test)]
mod tests {
    use super::*;

    fn head(text: &str) -> Head {
        match Head::parse(text.as_bytes()) {
            Parsed::Head(head, length) => {
                assert_eq!(length, text.len());
                head
            }
            other => panic!("{other:?}"),
        }
    }

    #[test]
    fn a_head_is_read_with_its_fields_in_order() {
        let head = head("GET /a%20b?x=1 HTTP/1.1\r\nHost: h\r\nX-A: 1\r\nx-a: 2\r\n\r\n");
        assert_eq!(
            (head.method.as_str(), head.path(), head.query(), head.minor),
            ("GET", "/a%20b", "x=1", 1)
        );
        assert_eq!(head.header("X-a"), Some("1"));
        assert_eq!(head.headers.len(), 3);
        assert!(head.keep_alive());
    }

    #[test]
    fn an_absolute_target_has_a_path_too() {
        assert_eq!(head("GET http://other.example/x?y HTTP/1.0\r\n\r\n").path(), "/x");
        assert_eq!(head("GET http://other.example HTTP/1.0\r\n\r\n").path(), "/");
        assert!(!head("GET / HTTP/1.0\r\n\r\n").keep_alive());
        assert!(head("GET / HTTP/1.0\r\nConnection: Keep-Alive\r\n\r\n").keep_alive());
    }

    #[test]
    fn what_is_no_request_or_too_long_is_refused() {
        for bytes in [
            &b"\x16\x03\x01\x02\x00\x01\x00"[..],
            b"SSH-2.0-x\r\n\r\n",
            b"GET /\0 HTTP/1.1\r\n\r\n",
            b"\0\0\0\0",
        ] {
            assert!(matches!(Head::parse(bytes), Parsed::Invalid(_)), "{bytes:?}");
        }
        let endless = format!("GET /{} HTTP/1.1\r\n", "a".repeat(HTTP_HEAD_MAX));
        assert!(matches!(Head::parse(endless.as_bytes()), Parsed::Invalid(_)));
        let many = format!("GET / HTTP/1.1\r\n{}\r\n", "A: b\r\n".repeat(HTTP_HEADERS_MAX + 1));
        assert_eq!(Head::parse(many.as_bytes()), Parsed::Invalid("too many header fields"));
        assert_eq!(Head::parse(b"GET / HTTP/1.1\r\nHost"), Parsed::Incomplete);
    }

    #[test]
    fn contradictory_framing_is_broken() {
        let framing = |fields: &str| head(&format!("POST / HTTP/1.1\r\n{fields}\r\n")).framing();
        assert_eq!(framing(""), Framing::Length(0));
        assert_eq!(framing("Content-Length: 12\r\n"), Framing::Length(12));
        assert_eq!(framing("Transfer-Encoding: chunked\r\n"), Framing::Chunked);
        for broken in [
            "Content-Length: 1\r\nContent-Length: 2\r\n",
            "Content-Length: 1\r\nTransfer-Encoding: chunked\r\n",
            "Content-Length: -1\r\n",
            "Content-Length: 99999999999999999999\r\n",
            "Transfer-Encoding: gzip, chunked\r\n",
        ] {
            assert_eq!(framing(broken), Framing::Broken, "{broken}");
        }
    }

    fn decode(input: &[u8], step: usize) -> Result<(Vec<u8>, usize, bool), &'static str> {
        let (mut chunked, mut data, mut used) = (Chunked::default(), Vec::new(), 0);
        for part in input.chunks(step) {
            let now = chunked.decode(part, |bytes| data.extend_from_slice(bytes))?;
            used += now;
            if now < part.len() {
                break;
            }
        }
        Ok((data, used, chunked.is_done()))
    }

    #[test]
    fn chunks_are_joined_however_they_arrive_and_the_next_request_is_left() {
        let input = b"4\r\nWiki\r\n5;x=y\r\npedia\r\n0\r\nTrailer: 1\r\n\r\nGET /";
        for step in 1..=input.len() {
            assert_eq!(
                decode(input, step).unwrap(),
                (b"Wikipedia".to_vec(), input.len() - 5, true),
                "step {step}"
            );
        }
    }

    #[test]
    fn broken_chunks_are_errors() {
        for input in [
            &b"xyz\r\n"[..],
            b"\r\n",
            b"3\r\nabcdef\r\n",
            b"ffffffffffffffff\r\n",
            &[b'1'; CHUNK_LINE_MAX + 1],
        ] {
            assert!(decode(input, input.len()).is_err(), "{input:?}");
        }
    }
}

//! The stored form of one batch: what a record of Core's log contains. Stable: it is read years later.
//!
//! ```text
//! offset size
//!      0    1  layout version, 1
//!      1    1  flags: 1 body is zstd · 2 legacy peer, no sequence · 4 published by a module
//!      2    2  bytes of the stream id
//!      4    4  events in this record (the log's weight says the same)
//!      8    8  node id
//!     16    8  sequence of the first event in its stream
//!     24    8  time of receipt, Unix microseconds
//!     32    8  earliest event time, Unix microseconds
//!     40    8  latest event time, Unix microseconds
//!     48    4  bytes of the body once decompressed
//!     52    n  stream id (ASCII)
//!   52+n       body: events one after the other
//! event: time (8, Unix microseconds) · 4 lengths as varints (LEB128) · pot id · pot type (length + 1, 0 is
//! none) · event type · data, byte for byte as the honeypot wrote it
//! ```
//! All numbers are little endian. Length and checksum of the whole are the log's. `(node, stream, first
//! sequence, count)` sits in the same append as the events, so a repeat is recognised after any crash.
//!
//! Encoding happens in the session tasks, so that many nodes share the work and the one writer only copies.

use bee_wire::{EventRef, Micros, NodeId};

use crate::limits;

const VERSION: u8 = 1;
const FIXED: usize = 52;
const ZSTD_LEVEL: i32 = 1;
/// Compressed bodies are believed up to this size; the largest frame and some encoding fit.
const BODY_BYTES_MAX: usize = 96 << 20;

/// Flag bits.
mod flag {
    pub(super) const ZSTD: u8 = 1;
    pub(super) const LEGACY: u8 = 2;
    pub(super) const PUBLISHED: u8 = 4;
}

/// How the events of a batch came.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Source {
    /// Numbered by the node: stored once.
    Numbered,
    /// From a plain v2 peer: stored on receipt.
    Legacy,
    /// Published by a module or by Core itself.
    Published,
}

/// The header of a stored batch.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Header {
    /// How the events came.
    pub source: Source,
    /// The sender.
    pub node_id: NodeId,
    /// The sender's stream; empty unless `source` is `Numbered`.
    pub stream: String,
    /// Number of the first event in its stream.
    pub first_seq: u64,
    /// Events in the record.
    pub count: u32,
    /// When Core read it.
    pub received: Micros,
    /// Earliest event time.
    pub time_min: Micros,
    /// Latest event time.
    pub time_max: Micros,
    zstd: bool,
    body_len: u32,
    body_at: usize,
}

/// A record that cannot be read. The log's checksum was right, so a newer Core or a bug wrote it.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
pub enum RecordError {
    /// Written by a newer Core.
    #[error("record of layout version {0}, this Core reads version {VERSION}")]
    Version(u8),
    /// Shorter than its own lengths say, or lengths that cannot be.
    #[error("damaged record")]
    Damaged,
}

/// One stored event, borrowed from a decompressed body.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct StoredEvent<'a> {
    /// When it happened (receipt when the peer gave no time).
    pub time: Micros,
    /// Its honeypot.
    pub pot_id: &'a str,
    /// The kind of honeypot.
    pub pot_type: Option<&'a str>,
    /// What it is.
    pub event_type: &'a str,
    /// Raw JSON.
    pub data: &'a str,
}

/// Events of one batch, encoded and ready to be appended.
#[derive(Debug, Clone)]
pub struct Encoded {
    header: Header,
    /// The uncompressed body; wanted by live subscribers, and needed when a part of the batch is a repeat.
    body: Vec<u8>,
    /// The body as stored.
    stored: Option<Vec<u8>>,
}

impl Encoded {
    /// Encodes the events of one batch.
    pub fn new<'a>(
        source: Source,
        node_id: NodeId,
        stream: &str,
        first_seq: u64,
        received: Micros,
        events: impl ExactSizeIterator<Item = EventRef<'a>>,
        bytes_hint: usize,
    ) -> Self {
        let mut body = Vec::with_capacity(bytes_hint);
        let (mut time_min, mut time_max) = (Micros::MAX, Micros::MIN);
        let mut count = 0_u32;
        for event in events {
            let time = event.timestamp.unwrap_or(received);
            time_min = time_min.min(time);
            time_max = time_max.max(time);
            count = count.saturating_add(1);
            body.extend_from_slice(&time.unix_us().to_le_bytes());
            let data = event.data.get();
            varint(&mut body, event.pot_id.len());
            varint(&mut body, event.pot_type.as_ref().map_or(0, |kind| kind.len().saturating_add(1)));
            varint(&mut body, event.event_type.len());
            varint(&mut body, data.len());
            body.extend_from_slice(event.pot_id.as_bytes());
            body.extend_from_slice(event.pot_type.as_deref().unwrap_or_default().as_bytes());
            body.extend_from_slice(event.event_type.as_bytes());
            body.extend_from_slice(data.as_bytes());
        }
        let header = Header {
            source,
            node_id,
            stream: stream.to_owned(),
            first_seq,
            count,
            received,
            time_min,
            time_max,
            zstd: false,
            body_len: 0,
            body_at: 0,
        };
        let mut encoded = Self { header, body, stored: None };
        encoded.compress();
        encoded
    }

    /// Drops the first `skip` events and keeps the `take` after them: the rest was stored before.
    pub fn keep(&mut self, skip: u64, take: u64) {
        let (skip, take) =
            (usize::try_from(skip).unwrap_or(usize::MAX), usize::try_from(take).unwrap_or(usize::MAX));
        let mut rest = self.body.as_slice();
        let (mut start, mut end) = (0, 0);
        let (mut time_min, mut time_max) = (Micros::MAX, Micros::MIN);
        let mut count = 0_u32;
        for index in 0..skip.saturating_add(take) {
            let before = rest.len();
            let Some((event, after)) = next_event(rest) else { break };
            end += before - after.len();
            rest = after;
            if index < skip {
                start = end;
            } else {
                count = count.saturating_add(1);
                time_min = time_min.min(event.time);
                time_max = time_max.max(event.time);
            }
        }
        self.body.truncate(end);
        self.body.drain(..start);
        self.header.first_seq = self.header.first_seq.saturating_add(skip as u64);
        self.header.count = count;
        self.header.time_min = time_min;
        self.header.time_max = time_max;
        self.compress();
    }

    fn compress(&mut self) {
        self.header.body_len = u32::try_from(self.body.len()).unwrap_or(u32::MAX);
        self.stored = None;
        if self.body.len() >= limits::COMPRESS_BYTES_MIN {
            // A failure of the compressor is not a reason to lose events: they are stored as they are.
            let packed = zstd::bulk::compress(&self.body, ZSTD_LEVEL).unwrap_or_default();
            if !packed.is_empty() && packed.len() < self.body.len() / 10 * 9 {
                self.stored = Some(packed);
            }
        }
        self.header.zstd = self.stored.is_some();
        self.header.body_at = FIXED + self.header.stream.len();
    }

    /// What the batch says about itself.
    pub fn header(&self) -> &Header {
        &self.header
    }

    /// Bytes that it holds in memory.
    pub fn bytes(&self) -> usize {
        self.body.len() + self.stored.as_ref().map_or(0, Vec::len) + FIXED + self.header.stream.len()
    }

    /// The two parts of the log record.
    pub fn parts(&self) -> (Vec<u8>, &[u8]) {
        (self.header.bytes(), self.stored.as_deref().unwrap_or(&self.body))
    }

    /// Gives up the uncompressed body, for readers that follow live.
    pub fn into_body(self) -> (Header, Vec<u8>) {
        (self.header, self.body)
    }
}

impl Header {
    fn bytes(&self) -> Vec<u8> {
        let mut flags = if self.zstd { flag::ZSTD } else { 0 };
        flags |= match self.source {
            Source::Numbered => 0,
            Source::Legacy => flag::LEGACY,
            Source::Published => flag::PUBLISHED,
        };
        let mut bytes = Vec::with_capacity(FIXED + self.stream.len());
        bytes.extend_from_slice(&[VERSION, flags]);
        // A stream id has at most 80 bytes.
        bytes.extend_from_slice(&u16::try_from(self.stream.len()).unwrap_or(u16::MAX).to_le_bytes());
        bytes.extend_from_slice(&self.count.to_le_bytes());
        bytes.extend_from_slice(&self.node_id.0.to_le_bytes());
        bytes.extend_from_slice(&self.first_seq.to_le_bytes());
        bytes.extend_from_slice(&self.received.unix_us().to_le_bytes());
        bytes.extend_from_slice(&self.time_min.unix_us().to_le_bytes());
        bytes.extend_from_slice(&self.time_max.unix_us().to_le_bytes());
        bytes.extend_from_slice(&self.body_len.to_le_bytes());
        bytes.extend_from_slice(self.stream.as_bytes());
        bytes
    }

    /// Reads the header of a record.
    pub fn read(record: &[u8]) -> Result<Self, RecordError> {
        let mut at = Cursor { rest: record };
        let [version, flags] = at.take::<2>()?;
        if version != VERSION {
            return Err(RecordError::Version(version));
        }
        let stream_len = usize::from(u16::from_le_bytes(at.take()?));
        let count = u32::from_le_bytes(at.take()?);
        let node_id = NodeId(u64::from_le_bytes(at.take()?));
        let first_seq = u64::from_le_bytes(at.take()?);
        let received = Micros::from_unix_us(i64::from_le_bytes(at.take()?));
        let time_min = Micros::from_unix_us(i64::from_le_bytes(at.take()?));
        let time_max = Micros::from_unix_us(i64::from_le_bytes(at.take()?));
        let body_len = u32::from_le_bytes(at.take()?);
        let stream = at.slice(stream_len)?;
        let stream = std::str::from_utf8(stream).map_err(|_| RecordError::Damaged)?.to_owned();
        let source = match flags {
            bits if bits & flag::PUBLISHED != 0 => Source::Published,
            bits if bits & flag::LEGACY != 0 => Source::Legacy,
            _ => Source::Numbered,
        };
        Ok(Self {
            source,
            node_id,
            stream,
            first_seq,
            count,
            received,
            time_min,
            time_max,
            zstd: flags & flag::ZSTD != 0,
            body_len,
            body_at: FIXED + stream_len,
        })
    }

    /// Decompresses the body of the record that this header was read from.
    pub fn body(&self, record: &[u8]) -> Result<Vec<u8>, RecordError> {
        let stored = record.get(self.body_at..).ok_or(RecordError::Damaged)?;
        let length = self.body_len as usize;
        if !self.zstd {
            return if stored.len() == length { Ok(stored.to_vec()) } else { Err(RecordError::Damaged) };
        }
        if length > BODY_BYTES_MAX {
            return Err(RecordError::Damaged);
        }
        let body = zstd::bulk::decompress(stored, length).map_err(|_| RecordError::Damaged)?;
        if body.len() == length { Ok(body) } else { Err(RecordError::Damaged) }
    }
}

/// The events of a decompressed body, oldest first. Ends early (and says so to nobody) only at damage that
/// the log's checksum did not find.
pub fn events(body: &[u8]) -> impl Iterator<Item = StoredEvent<'_>> {
    let mut rest = body;
    std::iter::from_fn(move || {
        let (event, after) = next_event(rest)?;
        rest = after;
        Some(event)
    })
}

fn next_event(bytes: &[u8]) -> Option<(StoredEvent<'_>, &[u8])> {
    let mut at = Cursor { rest: bytes };
    let time = Micros::from_unix_us(i64::from_le_bytes(at.take().ok()?));
    let pot_id = at.varint().ok()?;
    let pot_type = at.varint().ok()?;
    let event_type = at.varint().ok()?;
    let data = at.varint().ok()?;
    let pot_id = at.text(pot_id).ok()?;
    let pot_type = match pot_type.checked_sub(1) {
        None => None,
        Some(length) => Some(at.text(length).ok()?),
    };
    let event_type = at.text(event_type).ok()?;
    let data = at.text(data).ok()?;
    Some((StoredEvent { time, pot_id, pot_type, event_type, data }, at.rest))
}

fn varint(out: &mut Vec<u8>, value: usize) {
    let mut value = value;
    while value >= 0x80 {
        out.push((value & 0x7f) as u8 | 0x80);
        value >>= 7;
    }
    out.push(value as u8);
}

struct Cursor<'a> {
    rest: &'a [u8],
}

impl<'a> Cursor<'a> {
    fn take<const N: usize>(&mut self) -> Result<[u8; N], RecordError> {
        let (head, rest) = self.rest.split_first_chunk::<N>().ok_or(RecordError::Damaged)?;
        self.rest = rest;
        Ok(*head)
    }

    fn slice(&mut self, length: usize) -> Result<&'a [u8], RecordError> {
        let (head, rest) = self.rest.split_at_checked(length).ok_or(RecordError::Damaged)?;
        self.rest = rest;
        Ok(head)
    }

    fn text(&mut self, length: usize) -> Result<&'a str, RecordError> {
        std::str::from_utf8(self.slice(length)?).map_err(|_| RecordError::Damaged)
    }

    fn varint(&mut self) -> Result<usize, RecordError> {
        let mut value = 0_usize;
        for shift in [0, 7, 14, 21, 28] {
            let [byte] = self.take::<1>()?;
            value |= usize::from(byte & 0x7f) << shift;
            if byte & 0x80 == 0 {
                return Ok(value);
            }
        }
        Err(RecordError::Damaged)
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use bee_wire::PotEvent;
    use serde_json::value::RawValue;

    fn event(n: u64, filler: usize) -> PotEvent {
        PotEvent {
            node_id: None,
            pot_id: "cowrie-01".into(),
            pot_type: n.is_multiple_of(2).then(|| "cowrie".into()),
            event_type: "cowrie.login.failed".into(),
            timestamp: Some(Micros::from_unix_us(1_000_000 + n as i64)),
            data: RawValue::from_string(format!("{{\"n\": {n}, \"x\":\"{}\"}}", "é".repeat(filler))).unwrap(),
        }
    }

    fn encode(count: u64, filler: usize) -> Encoded {
        let owned: Vec<PotEvent> = (0..count).map(|n| event(n, filler)).collect();
        let received = Micros::from_unix_us(5_000_000);
        Encoded::new(
            Source::Numbered,
            NodeId(7),
            "spool-a",
            40,
            received,
            owned.iter().map(PotEvent::borrowed),
            64,
        )
    }

    fn record(encoded: &Encoded) -> Vec<u8> {
        let (mut bytes, body) = encoded.parts();
        bytes.extend_from_slice(body);
        bytes
    }

    fn numbers(bytes: &[u8]) -> (Header, Vec<i64>) {
        let header = Header::read(bytes).unwrap();
        let body = header.body(bytes).unwrap();
        let found = events(&body).map(|event| event.time.unix_us() - 1_000_000).collect();
        (header, found)
    }

    #[test]
    fn a_batch_comes_back_as_it_went_in_packed_or_not() {
        for (count, filler, packed) in [(1, 0, false), (3, 1, false), (200, 20, true)] {
            let encoded = encode(count, filler);
            let bytes = record(&encoded);
            let (header, found) = numbers(&bytes);
            assert_eq!(header.zstd, packed);
            assert_eq!(u64::from(header.count), count);
            assert_eq!(
                (header.node_id, header.stream.as_str(), header.first_seq),
                (NodeId(7), "spool-a", 40)
            );
            assert_eq!(header.received.unix_us(), 5_000_000);
            assert_eq!(
                (header.time_min.unix_us(), header.time_max.unix_us()),
                (1_000_000, 999_999 + count as i64)
            );
            assert_eq!(found, (0..count as i64).collect::<Vec<_>>());
            let body = header.body(&bytes).unwrap();
            let first = events(&body).next().unwrap();
            let sent = event(0, filler);
            assert_eq!((first.pot_id, first.pot_type), ("cowrie-01", Some("cowrie")));
            assert_eq!(first.data, sent.data.get(), "data stays byte for byte");
        }
    }

    #[test]
    fn the_part_already_stored_is_cut_off() {
        let mut encoded = encode(10, 5);
        encoded.keep(3, 5);
        let (header, found) = numbers(&record(&encoded));
        assert_eq!((header.first_seq, header.count), (43, 5));
        assert_eq!(found, [3, 4, 5, 6, 7]);
        assert_eq!((header.time_min.unix_us(), header.time_max.unix_us()), (1_000_003, 1_000_007));
    }

    #[test]
    fn an_event_without_a_time_gets_the_time_of_receipt() {
        let mut lost = event(0, 0);
        lost.timestamp = None;
        let received = Micros::from_unix_us(77);
        let encoded =
            Encoded::new(Source::Legacy, NodeId(1), "", 0, received, std::iter::once(lost.borrowed()), 0);
        let bytes = record(&encoded);
        let header = Header::read(&bytes).unwrap();
        assert_eq!((header.source, header.time_min), (Source::Legacy, received));
    }

    #[test]
    fn the_layout_is_the_documented_one() {
        let encoded = encode(1, 0);
        let bytes = record(&encoded);
        let golden = "010007000100000007000000000000002800000000000000404b4c000000000040420f000000000040420f00000000003e000000\
                      73706f6f6c2d61\
                      40420f0000000000090713\
                      10636f777269652d3031636f77726965636f777269652e6c6f67696e2e6661696c65647b226e223a20302c202278223a22227d";
        assert_eq!(data_encoding::HEXLOWER.encode(&bytes), golden);
    }

    #[test]
    fn damage_is_an_error_and_never_a_panic() {
        let bytes = record(&encode(50, 20));
        for cut in 0..bytes.len() {
            let short = &bytes[..cut];
            if let Ok(header) = Header::read(short) {
                assert!(header.body(short).is_err());
            }
        }
        for at in 0..bytes.len() {
            let mut wrong = bytes.clone();
            wrong[at] ^= 0xff;
            if let Ok(body) = Header::read(&wrong).and_then(|header| header.body(&wrong)) {
                let _ = events(&body).count();
            }
        }
        assert_eq!(Header::read(&[9; 60]), Err(RecordError::Version(9)));
    }
}

//! What one spool record holds: an event as it goes on the wire, and who produced it.
//!
//! The producer's line number is in the same record as the event, so both become durable in the same write: after
//! any crash, what a producer was told (`{"next":n}`) and what the spool holds agree.
//!
//! Layout: one byte `kind`. `0`: the rest is the event. `1`: one byte `len`, `len` bytes of producer key, eight bytes
//! line number (little endian), then the event. The event is the JSON object of a `PotEventBatch` entry.

/// The bytes that come before the event, for an event of a plain client.
pub const PLAIN: u8 = 0;
/// The first byte of a record whose producer is known.
pub const PRODUCED: u8 = 1;

/// A record taken apart.
#[derive(Debug, PartialEq, Eq)]
pub struct Record<'a> {
    /// Producer key and the number of this line in the producer's sequence.
    pub producer: Option<(&'a str, u64)>,
    /// The event's JSON.
    pub event: &'a [u8],
}

/// Writes what comes before the event. Keys are at most 255 bytes: the wire allows a producer 64.
pub fn begin(out: &mut Vec<u8>, producer: Option<(&str, u64)>) {
    match producer.and_then(|(key, line)| Some((u8::try_from(key.len()).ok()?, key, line))) {
        Some((len, key, line)) => {
            out.push(PRODUCED);
            out.push(len);
            out.extend_from_slice(key.as_bytes());
            out.extend_from_slice(&line.to_le_bytes());
        }
        None => out.push(PLAIN),
    }
}

/// Takes a record apart; `None` when it was not written by [`begin`].
pub fn parse(payload: &[u8]) -> Option<Record<'_>> {
    let (kind, rest) = payload.split_first()?;
    match *kind {
        PLAIN => Some(Record { producer: None, event: rest }),
        PRODUCED => {
            let (len, rest) = rest.split_first()?;
            let (key, rest) = rest.split_at_checked(usize::from(*len))?;
            let (line, event) = rest.split_first_chunk::<8>()?;
            let key = std::str::from_utf8(key).ok()?;
            Some(Record { producer: Some((key, u64::from_le_bytes(*line))), event })
        }
        _ => None,
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn records_read_back_as_written() {
        for producer in [None, Some(("ssh-1/ab", 7)), Some(("", u64::MAX))] {
            let mut bytes = Vec::new();
            begin(&mut bytes, producer);
            bytes.extend_from_slice(b"{}");
            assert_eq!(parse(&bytes), Some(Record { producer, event: b"{}" }));
        }
    }

    #[test]
    fn short_and_unknown_records_are_refused() {
        for bytes in [
            &b""[..],
            &[9, 1],
            &[1],
            &[1, 4, b'a'],
            &[1, 1, b'a', 0, 0],
            &[1, 1, 0xff, 0, 0, 0, 0, 0, 0, 0, 0],
        ] {
            assert_eq!(parse(bytes), None, "{bytes:?}");
        }
    }
}

//! Bytes on disk, encoded and decoded; see the crate's documentation for the layout. No IO here.
//! All numbers are little-endian. Decoders take any bytes and never panic.

use std::path::Path;

use crate::{Error, RECORD_BYTES_LIMIT, Result, WEIGHT_MAX};

pub(crate) const LOCK_NAME: &str = "lock";
pub(crate) const META_NAME: &str = "meta";
pub(crate) const RECORD_HEADER_BYTES: usize = 32;
pub(crate) const SEGMENT_HEADER_BYTES: u64 = 64;
/// The meta file: a header and two marks, each in a block of its own so that writing one cannot tear another.
pub(crate) const META_BYTES: usize = 3 * META_BLOCK;
const META_BLOCK: usize = 4096;
const HEADER: usize = SEGMENT_HEADER_BYTES as usize;

/// The format version that this build writes, and the newest that it reads.
pub(crate) const VERSION: u16 = 1;
const SEGMENT_MAGIC: [u8; 8] = *b"HBLOGSEG";
const META_MAGIC: [u8; 8] = *b"HBLOGMET";

const SEGMENT_SUFFIX: &str = ".seg";

/// Name of the segment whose first record gets `first_seq`.
pub(crate) fn segment_name(first_seq: u64) -> String {
    format!("{first_seq:020}{SEGMENT_SUFFIX}")
}

/// The reverse of [`segment_name`]; `None` for files that are not ours.
pub(crate) fn parse_segment_name(name: &str) -> Option<u64> {
    let digits = name.strip_suffix(SEGMENT_SUFFIX)?;
    let ours = digits.len() == 20 && digits.bytes().all(|byte| byte.is_ascii_digit());
    ours.then(|| digits.parse().ok()).flatten()
}

/// Start value of the checksums that depend on the log: bytes which an attacker got into a payload, or a record of
/// another log, cannot pass for a record of this one.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) struct Salt(u32);

impl Salt {
    pub(crate) fn of(log_id: u64) -> Self {
        Self(crc32c::crc32c(&log_id.to_le_bytes()))
    }

    fn crc(self, bytes: &[u8]) -> u32 {
        crc32c::crc32c_append(self.0, bytes)
    }
}

/// A decoded record header.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) struct RecordHeader {
    pub(crate) len: u32,
    pub(crate) weight: u32,
    pub(crate) seq: u64,
    /// Offset in the segment at which its group begins.
    pub(crate) group_start: u32,
    /// Tells groups apart that were written at the same offset because the first one failed.
    pub(crate) attempt: u32,
    pub(crate) payload_crc: u32,
}

impl RecordHeader {
    pub(crate) fn encode(&self, salt: Salt) -> [u8; RECORD_HEADER_BYTES] {
        let mut out = [0; RECORD_HEADER_BYTES];
        put(&mut out, 0, &self.len.to_le_bytes());
        put(&mut out, 4, &self.weight.to_le_bytes());
        put(&mut out, 8, &self.seq.to_le_bytes());
        put(&mut out, 16, &self.group_start.to_le_bytes());
        put(&mut out, 20, &self.attempt.to_le_bytes());
        put(&mut out, 24, &self.payload_crc.to_le_bytes());
        let crc = salt.crc(out.get(..28).unwrap_or_default());
        put(&mut out, 28, &crc.to_le_bytes());
        out
    }

    /// `None` when the checksum or a limit says that this is no record header.
    pub(crate) fn decode(bytes: &[u8], salt: Salt) -> Option<Self> {
        let header = Self::decode_unchecked(bytes);
        let sane = header.weight.wrapping_sub(1) < WEIGHT_MAX
            && header.len as usize <= RECORD_BYTES_LIMIT
            && header.seq.checked_add(u64::from(header.weight)).is_some();
        let crc = || salt.crc(bytes.get(..28).unwrap_or_default());
        (sane && bytes.len() >= RECORD_HEADER_BYTES && crc() == u32_at(bytes, 28)).then_some(header)
    }

    /// Only for bytes that this process has just made, or that are checked afterwards.
    pub(crate) fn decode_unchecked(bytes: &[u8]) -> Self {
        Self {
            len: u32_at(bytes, 0),
            weight: u32_at(bytes, 4),
            seq: u64_at(bytes, 8),
            group_start: u32_at(bytes, 16),
            attempt: u32_at(bytes, 20),
            payload_crc: u32_at(bytes, 24),
        }
    }

    pub(crate) fn end_seq(&self) -> u64 {
        self.seq.saturating_add(u64::from(self.weight))
    }

    /// Header and payload, in bytes.
    pub(crate) fn bytes(&self) -> usize {
        RECORD_HEADER_BYTES.saturating_add(self.len as usize)
    }
}

/// What the first bytes of a file say.
#[derive(Debug, PartialEq, Eq)]
pub(crate) enum Header {
    /// Written by this format: the log's id, and the first (segment) or start (meta) sequence number.
    Valid { log_id: u64, seq: u64 },
    /// Torn or damaged.
    Invalid,
}

pub(crate) fn encode_segment_header(log_id: u64, first_seq: u64) -> [u8; HEADER] {
    encode_header(SEGMENT_MAGIC, log_id, first_seq)
}

pub(crate) fn decode_segment_header(bytes: &[u8], file: &Path) -> Result<Header> {
    decode_header(SEGMENT_MAGIC, bytes, file)
}

fn encode_header(magic: [u8; 8], log_id: u64, seq: u64) -> [u8; HEADER] {
    let mut out = [0; HEADER];
    put(&mut out, 0, &magic);
    put(&mut out, 8, &VERSION.to_le_bytes());
    put(&mut out, 16, &log_id.to_le_bytes());
    put(&mut out, 24, &seq.to_le_bytes());
    let crc = crc32c::crc32c(out.get(..60).unwrap_or_default());
    put(&mut out, 60, &crc.to_le_bytes());
    out
}

fn decode_header(magic: [u8; 8], bytes: &[u8], file: &Path) -> Result<Header> {
    let version = u16_at(bytes, 8);
    // The magic and the version keep their place for ever; all behind them may change with the version.
    if bytes.get(..8) == Some(&magic) && version > VERSION {
        return Err(Error::Newer { file: file.to_path_buf(), found: version, supported: VERSION });
    }
    let valid = bytes.len() >= HEADER
        && bytes.get(..8) == Some(&magic)
        && version == VERSION
        && crc32c::crc32c(bytes.get(..60).unwrap_or_default()) == u32_at(bytes, 60);
    Ok(if valid {
        Header::Valid { log_id: u64_at(bytes, 16), seq: u64_at(bytes, 24) }
    } else {
        Header::Invalid
    })
}

/// What truncation and dropping have to remember.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub(crate) struct Mark {
    /// The higher one of the two marks counts.
    pub(crate) generation: u64,
    pub(crate) first_seq: u64,
    /// Everything below was committed at some time and must never be numbered again.
    pub(crate) next_seq: u64,
    /// Sequence numbers given up by `drop_oldest` since the log was created.
    pub(crate) dropped: u64,
}

/// Writes the meta header into a whole meta file.
pub(crate) fn put_meta_header(meta: &mut [u8], log_id: u64, start_seq: u64) {
    put(meta, 0, &encode_header(META_MAGIC, log_id, start_seq));
}

pub(crate) fn decode_meta_header(meta: &[u8], file: &Path) -> Result<Header> {
    decode_header(META_MAGIC, meta.get(..HEADER).unwrap_or_default(), file)
}

/// Where mark `slot` (0 or 1) lies in the meta file.
pub(crate) fn mark_offset(slot: usize) -> usize {
    META_BLOCK * (1 + (slot & 1))
}

pub(crate) fn encode_mark(mark: &Mark, salt: Salt) -> [u8; 36] {
    let mut out = [0; 36];
    put(&mut out, 0, &mark.generation.to_le_bytes());
    put(&mut out, 8, &mark.first_seq.to_le_bytes());
    put(&mut out, 16, &mark.next_seq.to_le_bytes());
    put(&mut out, 24, &mark.dropped.to_le_bytes());
    let crc = salt.crc(out.get(..32).unwrap_or_default());
    put(&mut out, 32, &crc.to_le_bytes());
    out
}

/// The mark in `slot` of a whole meta file, if it is valid.
pub(crate) fn decode_mark(meta: &[u8], slot: usize, salt: Salt) -> Option<Mark> {
    let bytes = meta.get(mark_offset(slot)..)?.get(..36)?;
    let mark = Mark {
        generation: u64_at(bytes, 0),
        first_seq: u64_at(bytes, 8),
        next_seq: u64_at(bytes, 16),
        dropped: u64_at(bytes, 24),
    };
    let valid = salt.crc(bytes.get(..32)?) == u32_at(bytes, 32) && mark.first_seq <= mark.next_seq;
    valid.then_some(mark)
}

pub(crate) fn put(out: &mut [u8], at: usize, bytes: &[u8]) {
    if let Some(target) = out.get_mut(at..).and_then(|rest| rest.get_mut(..bytes.len())) {
        target.copy_from_slice(bytes);
    }
}

fn chunk_at<const N: usize>(bytes: &[u8], at: usize) -> [u8; N] {
    bytes.get(at..).and_then(|rest| rest.first_chunk()).copied().unwrap_or([0; N])
}

fn u16_at(bytes: &[u8], at: usize) -> u16 {
    u16::from_le_bytes(chunk_at(bytes, at))
}

fn u32_at(bytes: &[u8], at: usize) -> u32 {
    u32::from_le_bytes(chunk_at(bytes, at))
}

fn u64_at(bytes: &[u8], at: usize) -> u64 {
    u64::from_le_bytes(chunk_at(bytes, at))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_record_header_reads_back_and_any_changed_bit_is_noticed() {
        let salt = Salt::of(7);
        let header =
            RecordHeader { len: 9, weight: 3, seq: 1 << 40, group_start: 64, attempt: 5, payload_crc: 77 };
        let bytes = header.encode(salt);
        assert_eq!(RecordHeader::decode(&bytes, salt), Some(header));
        assert_eq!(RecordHeader::decode(&bytes, Salt::of(8)), None, "a record of another log");
        for bit in 0..bytes.len() * 8 {
            let mut changed = bytes;
            changed[bit / 8] ^= 1 << (bit % 8);
            assert_eq!(RecordHeader::decode(&changed, salt), None, "bit {bit}");
        }
    }

    #[test]
    fn a_newer_version_is_refused_and_a_torn_header_is_not_a_newer_version() {
        let file = Path::new("x.seg");
        let good = encode_segment_header(1, 2);
        assert_eq!(decode_segment_header(&good, file).unwrap(), Header::Valid { log_id: 1, seq: 2 });
        let mut newer = good;
        newer[8] = 2;
        assert!(matches!(
            decode_segment_header(&newer, file),
            Err(Error::Newer { found: 2, supported: 1, .. })
        ));
        for cut in 0..good.len() {
            assert_eq!(decode_segment_header(&good[..cut], file).unwrap(), Header::Invalid);
            let mut zeroed = good;
            zeroed[cut..].fill(0);
            if zeroed != good {
                assert_eq!(decode_segment_header(&zeroed, file).unwrap(), Header::Invalid);
            }
        }
    }

    /// The format may only change together with its version: these are bytes of a real log.
    #[test]
    fn version_1_has_these_bytes() {
        let hex = |bytes: &[u8]| bytes.iter().map(|byte| format!("{byte:02x}")).collect::<String>();
        let salt = Salt::of(0x0102_0304_0506_0708);
        let header = RecordHeader {
            len: 5,
            weight: 2,
            seq: 10,
            group_start: 64,
            attempt: 1,
            payload_crc: crc32c::crc32c(b"hello"),
        };
        let segment = encode_segment_header(0x0102_0304_0506_0708, 10);
        assert_eq!(
            hex(&segment[..32]),
            "48424c4f475345470100000000000000080706050403020 10a00000000000000".replace(' ', "")
        );
        assert_eq!(
            hex(&header.encode(salt)[..28]),
            "05000000020000000a0000000000000040000000010000004cbb719a".replace(' ', "")
        );
    }

    #[test]
    fn names_are_sorted_like_numbers() {
        assert_eq!(parse_segment_name(&segment_name(u64::MAX)), Some(u64::MAX));
        assert_eq!(parse_segment_name("0.seg"), None);
        assert_eq!(parse_segment_name("+0000000000000000001.seg"), None);
        assert!(segment_name(9) < segment_name(10));
    }
}

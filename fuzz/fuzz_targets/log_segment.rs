//! Opens a log whose files hold arbitrary bytes, and reads it in both directions: nothing panics, every number
//! between the first and the next is either in a record or in a gap, and both directions agree.
//!
//! The first input byte chooses what is arbitrary: the bytes behind a segment header, single bytes of a good log, or the
//! fields of records whose checksums are right. Run with `-malloc_limit_mb=16`: no allocation may follow a
//! length field.
#![no_main]

use std::collections::BTreeMap;
use std::io;
use std::path::{Path, PathBuf};
use std::sync::{Arc, Mutex};

use bee_log::fs::{File, Fs, LockGuard};
use bee_log::{Handle, Item, Log, Options, Scan};
use libfuzzer_sys::fuzz_target;

const LOG_ID: u64 = 0x5eed;
const SEGMENTS: [&str; 2] = ["00000000000000000000.seg", "00000000000000000003.seg"];

fuzz_target!(|data: &[u8]| {
    let [mode, which, rest @ ..] = data else { return };
    let fs = good_log();
    let path = Path::new("/log").join(SEGMENTS[usize::from(which & 1)]);
    match mode % 4 {
        0 => fs.edit(&path, |bytes| {
            bytes.truncate(64);
            bytes.extend_from_slice(rest);
        }),
        1 => fs.edit(&path, |bytes| *bytes = rest.to_vec()),
        2 => {
            let meta = Path::new("/log/meta");
            for edit in rest.chunks_exact(4) {
                let path = if edit[3] & 1 == 0 { &path } else { meta };
                fs.edit(path, |bytes| {
                    let at = usize::from(u16::from_le_bytes([edit[0], edit[1]])) % bytes.len();
                    bytes[at] = edit[2];
                });
            }
        }
        _ => fs.edit(&path, |bytes| {
            bytes.truncate(64);
            for record in rest.chunks(12) {
                push_record(bytes, record);
            }
        }),
    }
    for scan in [Scan::Tail, Scan::Full] {
        let Ok((mut writer, handle, recovery)) = Log::open_on(Arc::new(fs.clone()), "/log", options(scan)) else {
            return;
        };
        assert_eq!((recovery.first_seq, recovery.next_seq), (handle.first_seq(), handle.next_seq()));
        check(&handle);
        // Far from the end of the numbers the log goes on.
        if recovery.next_seq < u64::MAX / 2 {
            let seq = writer.append(1, b"goes on").unwrap();
            assert_eq!(writer.commit().unwrap(), seq + 1);
            let mut reader = handle.reader(seq);
            assert!(matches!(reader.next().unwrap(), Some(Item::Record(record)) if record.payload == b"goes on"));
        }
    }
});

fn options(scan: Scan) -> Options {
    Options { record_bytes_max: 256, group_bytes_max: 512, segment_bytes_max: 600, scan, ..Options::default() }
}

/// Two segments of three records.
fn good_log() -> MemFs {
    let fs = MemFs::default();
    let (mut writer, _, _) = Log::open_on(Arc::new(fs.clone()), "/log", options(Scan::Full)).unwrap();
    for n in 0..6_u8 {
        writer.append(1, &[n; 120]).unwrap();
        writer.commit().unwrap();
    }
    fs
}

/// A record whose fields come from the input and whose checksums are right, unless the input says otherwise.
fn push_record(out: &mut Vec<u8>, input: &[u8]) {
    let byte = |at: usize| input.get(at).copied().unwrap_or(0);
    let payload = vec![byte(0); usize::from(byte(1) % 64)];
    let claimed = if byte(2) < 250 { payload.len() as u32 } else { u32::from(byte(3)) << 18 };
    let seq = match byte(4) {
        255 => u64::MAX - u64::from(byte(5)),
        small => u64::from(small % 16),
    };
    let group_start = if byte(6) < 128 { out.len() as u32 } else { u32::from(byte(7)) };
    let mut header = Vec::new();
    header.extend_from_slice(&claimed.to_le_bytes());
    header.extend_from_slice(&(u32::from(byte(8)) << (byte(9) % 20)).to_le_bytes());
    header.extend_from_slice(&seq.to_le_bytes());
    header.extend_from_slice(&group_start.to_le_bytes());
    header.extend_from_slice(&u32::from(byte(10) & 1).to_le_bytes());
    header.extend_from_slice(&crc32c::crc32c(&payload).to_le_bytes());
    let crc = crc32c::crc32c_append(crc32c::crc32c(&LOG_ID.to_le_bytes()), &header);
    header.extend_from_slice(&(crc ^ u32::from(byte(11) > 240)).to_le_bytes());
    out.extend_from_slice(&header);
    out.extend_from_slice(&payload);
}

fn check(handle: &Handle) {
    let (first, next) = (handle.first_seq(), handle.next_seq());
    let mut forward = Vec::new();
    let mut reader = handle.reader(first);
    let mut at = first;
    while let Some(item) = reader.next().unwrap() {
        let (from, to) = range(&item);
        assert!(from <= at && to > at && to <= next, "{from}..{to} at {at}");
        assert!(from == at || forward.is_empty());
        at = to;
        forward.push((from, to, payload(&item)));
    }
    assert_eq!(at, next);

    let mut records = forward.into_iter().filter(|item| item.2.is_some()).rev();
    let mut reader = handle.reverse_reader(u64::MAX);
    let mut at = next;
    while let Some(item) = reader.next().unwrap() {
        let (from, to) = range(&item);
        assert!(to == at && from < to, "{from}..{to} at {at}");
        at = from;
        if let Some(payload) = payload(&item) {
            assert_eq!(records.next(), Some((from, to, Some(payload))));
        }
    }
    assert!(at <= first && records.next().is_none());
}

fn range(item: &Item<'_>) -> (u64, u64) {
    match item {
        Item::Record(record) => (record.seq, record.end_seq()),
        Item::Gap(gap) => (gap.from, gap.to),
    }
}

fn payload(item: &Item<'_>) -> Option<Vec<u8>> {
    match item {
        Item::Record(record) => Some(record.payload.to_vec()),
        Item::Gap(_) => None,
    }
}

type Bytes = Arc<Mutex<Vec<u8>>>;

/// A file system in memory where nothing fails.
#[derive(Clone, Default)]
struct MemFs(Arc<Mutex<BTreeMap<PathBuf, Bytes>>>);

impl MemFs {
    fn edit(&self, path: &Path, edit: impl FnOnce(&mut Vec<u8>)) {
        edit(&mut self.0.lock().unwrap()[path].lock().unwrap());
    }
}

impl Fs for MemFs {
    fn create_dirs(&self, _: &Path) -> io::Result<()> {
        Ok(())
    }

    fn list(&self, _: &Path) -> io::Result<Vec<String>> {
        let names = self.0.lock().unwrap();
        Ok(names.keys().map(|path| path.file_name().unwrap().to_str().unwrap().to_owned()).collect())
    }

    fn open(&self, path: &Path, create: bool) -> io::Result<Arc<dyn File>> {
        let mut names = self.0.lock().unwrap();
        if create {
            assert!(names.insert(path.to_path_buf(), Bytes::default()).is_none());
        }
        let bytes = names.get(path).ok_or(io::ErrorKind::NotFound)?;
        Ok(Arc::new(MemFile(Arc::clone(bytes))))
    }

    fn remove(&self, path: &Path) -> io::Result<()> {
        self.0.lock().unwrap().remove(path).map(|_| ()).ok_or_else(|| io::ErrorKind::NotFound.into())
    }

    fn sync_dir(&self, _: &Path) -> io::Result<()> {
        Ok(())
    }

    fn lock(&self, _: &Path) -> io::Result<LockGuard> {
        Ok(Box::new(()))
    }

    fn random(&self) -> u64 {
        LOG_ID
    }
}

struct MemFile(Bytes);

impl File for MemFile {
    fn len(&self) -> io::Result<u64> {
        Ok(self.0.lock().unwrap().len() as u64)
    }

    fn read_at(&self, buf: &mut [u8], offset: u64) -> io::Result<usize> {
        let bytes = self.0.lock().unwrap();
        let rest = bytes.get(offset as usize..).unwrap_or_default();
        let n = rest.len().min(buf.len());
        buf[..n].copy_from_slice(&rest[..n]);
        Ok(n)
    }

    fn write_at(&self, buf: &[u8], offset: u64) -> io::Result<usize> {
        let mut bytes = self.0.lock().unwrap();
        let end = offset as usize + buf.len();
        if bytes.len() < end {
            bytes.resize(end, 0);
        }
        bytes[offset as usize..end].copy_from_slice(buf);
        Ok(buf.len())
    }

    fn set_len(&self, len: u64) -> io::Result<()> {
        self.0.lock().unwrap().resize(len as usize, 0);
        Ok(())
    }

    fn sync_data(&self) -> io::Result<()> {
        Ok(())
    }

    fn sync_all(&self) -> io::Result<()> {
        Ok(())
    }
}

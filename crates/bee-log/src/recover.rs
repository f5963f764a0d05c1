//! Opens a log: finds out what is on disk, cuts a torn end, reports damage, and removes what was truncated.
//!
//! Deletes nothing but segments below the truncation mark, a last segment that has no valid header and no data yet
//! (its creation was interrupted), and the torn end. All else that is odd is reported and left where it is.

use std::io;
use std::path::{Path, PathBuf};
use std::sync::Arc;

use crate::format::{
    Header, LOCK_NAME, META_NAME, Mark, SEGMENT_HEADER_BYTES, Salt, decode_segment_header,
    encode_segment_header, parse_segment_name, segment_name,
};
use crate::fs::{File, Fs, LockGuard, StdFs, read_full_at, write_all_at};
use crate::meta;
use crate::scan::{Range, Scanner};
use crate::shared::{Parts, Segment, Shared, State, index_all, new_index, remove};
use crate::writer::Active;
use crate::{Error, Handle, Options, Recovery, Result, SEGMENT_BYTES_LIMIT, Scan, Writer};

/// How much of the last group is copied at once.
const COPY_BYTES: usize = 256 << 10;

/// Opens logs.
#[derive(Debug)]
pub struct Log;

impl Log {
    /// Opens the log in `dir` on the real file system, or makes a new one there (with its directory).
    ///
    /// # Errors
    /// `Locked` when it is open elsewhere; `Newer` and `Foreign` for files that this build or this log must not touch;
    /// `Options`; `Io` and its kin. Damage is no error: it is in the [`Recovery`].
    pub fn open(dir: impl AsRef<Path>, options: Options) -> Result<(Writer, Handle, Recovery)> {
        Self::open_on(Arc::new(StdFs), dir, options)
    }

    /// The same on another file system.
    pub fn open_on(
        fs: Arc<dyn Fs>,
        dir: impl AsRef<Path>,
        options: Options,
    ) -> Result<(Writer, Handle, Recovery)> {
        options.check()?;
        let dir = dir.as_ref().to_path_buf();
        fs.create_dirs(&dir).map_err(|cause| Error::io("create directory", &dir, cause))?;
        let lock = take_lock(&*fs, &dir)?;
        Opening { fs, dir, options, recovery: Recovery::default() }.run(lock)
    }
}

fn take_lock(fs: &dyn Fs, dir: &Path) -> Result<LockGuard> {
    let path = dir.join(LOCK_NAME);
    fs.lock(&path).map_err(|cause| match cause.kind() {
        io::ErrorKind::WouldBlock => Error::Locked { dir: dir.to_path_buf() },
        _ => Error::io("lock", &path, cause),
    })
}

struct Opening {
    fs: Arc<dyn Fs>,
    dir: PathBuf,
    options: Options,
    recovery: Recovery,
}

/// A segment file as found.
struct Candidate {
    first_seq: u64,
    file: Arc<dyn File>,
    path: PathBuf,
    len: u64,
    log_id: Option<u64>,
}

impl Opening {
    fn run(mut self, lock: LockGuard) -> Result<(Writer, Handle, Recovery)> {
        let names = self.fs.list(&self.dir).map_err(|cause| Error::io("list", &self.dir, cause))?;
        let meta = meta::read(&*self.fs, &self.dir, names.iter().any(|name| name == META_NAME))?;
        let mut found = self.candidates(&names)?;
        let (log_id, start_seq) = self.identify(&meta, &found)?;
        let salt = Salt::of(log_id);

        let start = found.first().map_or(start_seq, |first| first.first_seq);
        let fallback = Mark { first_seq: start, next_seq: start, ..Mark::default() };
        self.recovery.created = meta.identity.is_none() && found.is_empty();
        self.recovery.headers_repaired +=
            u32::from(!self.recovery.created && (meta.identity.is_none() || meta.mark(salt).is_none()));
        let meta = meta.settle(&*self.fs, log_id, start_seq, fallback)?;
        let mark = meta.mark();

        self.remove_unborn(&mut found)?;
        // Names that are only in memory (a sync that failed, a killed process) become durable before they are used.
        self.fs.sync_dir(&self.dir).map_err(|cause| Error::io("sync", &self.dir, cause))?;
        self.remove_truncated(&mut found, mark.first_seq)?;

        let mut state = State::default();
        let (mut end, active) = self.read_segments(found, salt, log_id, &mark, &mut state)?;
        let floor = mark.next_seq.max(mark.first_seq);
        self.recovery.note_damage(end.unwrap_or(mark.first_seq).max(mark.first_seq), floor);
        // Numbers that were once committed and are lost are not given out again: the next segment begins above.
        let active = active.filter(|_| end.is_some_and(|end| end >= floor));
        let next_seq = *end.insert(end.unwrap_or(floor).max(floor));
        let first_seq = mark.first_seq.min(next_seq);

        self.recovery.first_seq = first_seq;
        self.recovery.next_seq = next_seq;
        self.recovery.segments = state.segments.len();
        let Self { fs, dir, options, recovery } = self;
        let shared = Arc::new(Shared::new(Parts { fs, dir, log_id, first_seq, next_seq, state, meta, lock }));
        let writer = Writer::new(Arc::clone(&shared), options, active);
        Ok((writer, Handle::new(shared), recovery))
    }

    fn candidates(&self, names: &[String]) -> Result<Vec<Candidate>> {
        let mut starts: Vec<u64> = names.iter().filter_map(|name| parse_segment_name(name)).collect();
        starts.sort_unstable();
        let mut found = Vec::with_capacity(starts.len());
        for first_seq in starts {
            let path = self.dir.join(segment_name(first_seq));
            let file = self.fs.open(&path, false).map_err(|cause| Error::io("open", &path, cause))?;
            let len = file.len().map_err(|cause| Error::io("read", &path, cause))?;
            let mut header = [0; SEGMENT_HEADER_BYTES as usize];
            read_full_at(&*file, &mut header, 0).map_err(|cause| Error::io("read", &path, cause))?;
            let log_id = match decode_segment_header(&header, &path)? {
                Header::Valid { log_id, seq } if seq == first_seq => Some(log_id),
                Header::Valid { .. } => return Err(Error::Foreign { file: path }),
                Header::Invalid => None,
            };
            found.push(Candidate { first_seq, file, path, len: len.min(SEGMENT_BYTES_LIMIT), log_id });
        }
        Ok(found)
    }

    /// Whose log this is, and where it began.
    fn identify(&self, meta: &meta::Found, found: &[Candidate]) -> Result<(u64, u64)> {
        let named = found.iter().find_map(|candidate| candidate.log_id);
        let (log_id, start_seq) = match (meta.identity, named) {
            (Some(identity), _) => identity,
            (None, Some(log_id)) => (log_id, found.first().map_or(0, |first| first.first_seq)),
            (None, None) => match found.iter().find(|candidate| candidate.len > SEGMENT_HEADER_BYTES) {
                // Nothing can be verified without the log's id, and nothing may be thrown away unasked.
                Some(lost) => {
                    let text =
                        "neither the meta file nor a segment has a valid header; move the directory away";
                    let cause = io::Error::new(io::ErrorKind::InvalidData, text);
                    return Err(Error::io("identify", &lost.path, cause));
                }
                None => (self.fs.random(), self.options.start_seq),
            },
        };
        match found.iter().find(|candidate| candidate.log_id.is_some_and(|id| id != log_id)) {
            Some(other) => Err(Error::Foreign { file: other.path.clone() }),
            None => Ok((log_id, start_seq)),
        }
    }

    /// The creation of the last segment may have been interrupted before its header was durable.
    fn remove_unborn(&self, found: &mut Vec<Candidate>) -> Result<()> {
        while let Some(last) = found.pop_if(|last| last.log_id.is_none() && last.len <= SEGMENT_HEADER_BYTES)
        {
            remove(&*self.fs, &last.path)?;
        }
        Ok(())
    }

    /// Segments whose successor begins at or below the mark.
    fn remove_truncated(&self, found: &mut Vec<Candidate>, first_seq: u64) -> Result<()> {
        let below = found.partition_point(|candidate| candidate.first_seq <= first_seq).saturating_sub(1);
        for gone in found.drain(..below) {
            remove(&*self.fs, &gone.path)?;
        }
        Ok(())
    }

    /// Reads all segments. Returns where the log ends (`None`: no segment), and the segment to go on in.
    fn read_segments(
        &mut self,
        found: Vec<Candidate>,
        salt: Salt,
        log_id: u64,
        mark: &Mark,
        state: &mut State,
    ) -> Result<(Option<u64>, Option<Active>)> {
        let starts: Vec<u64> = found.iter().map(|candidate| candidate.first_seq).collect();
        let mut end = None;
        let mut active = None;
        for (at, candidate) in found.into_iter().enumerate() {
            self.recovery.note_damage(end.unwrap_or(mark.first_seq), candidate.first_seq);
            if candidate.log_id.is_none() {
                self.repair_header(&candidate, log_id)?;
            }
            match starts.get(at + 1) {
                Some(next) => {
                    let segment = self.read_sealed(candidate, *next, salt, mark)?;
                    state.push(segment);
                    end = Some(*next);
                }
                None => {
                    let (segment, last) = self.read_last(candidate, salt, mark)?;
                    end = Some(segment.end_seq);
                    state.push(segment);
                    active = last;
                }
            }
        }
        if active.as_ref().is_some_and(|active| active.offset <= SEGMENT_HEADER_BYTES) {
            self.cut_hidden(salt, state)?;
        }
        Ok((end, active))
    }

    /// The last segment is empty: its start alone hides what a failed group may have left behind the end of the one
    /// before. Should the empty segment go in its turn, that must not come back.
    fn cut_hidden(&self, salt: Salt, state: &mut State) -> Result<()> {
        let Some(before) = state.segments.len().checked_sub(2) else { return Ok(()) };
        let Some(segment) = state.segments.get_mut(before) else { return Ok(()) };
        let path = self.dir.join(segment_name(segment.first_seq));
        let file = self.fs.open(&path, false).map_err(|cause| Error::io("open", &path, cause))?;
        let (seq, limit, end_seq) = (segment.first_seq, segment.bytes, Some(segment.end_seq));
        let range = Range { offset: SEGMENT_HEADER_BYTES, seq, limit, end_seq };
        let mut scanner = Scanner::new(Arc::clone(&file), path.clone(), salt, range);
        index_all(&mut scanner, &mut Vec::new(), |_, _| {})?;
        let bytes = scanner.position();
        if bytes < segment.bytes {
            file.set_len(bytes).map_err(|cause| Error::io("cut", &path, cause))?;
            file.sync_all().map_err(|cause| Error::sync(&path, cause))?;
            state.disk_bytes = state.disk_bytes.saturating_sub(segment.disk_bytes.saturating_sub(bytes));
            segment.bytes = bytes;
            segment.disk_bytes = bytes;
        }
        Ok(())
    }

    fn repair_header(&mut self, candidate: &Candidate, log_id: u64) -> Result<()> {
        let header = encode_segment_header(log_id, candidate.first_seq);
        let path = &candidate.path;
        write_all_at(&*candidate.file, &header, 0).map_err(|cause| Error::io("repair", path, cause))?;
        candidate.file.sync_all().map_err(|cause| Error::sync(path, cause))?;
        self.recovery.headers_repaired += 1;
        Ok(())
    }

    fn read_sealed(
        &mut self,
        candidate: Candidate,
        end_seq: u64,
        salt: Salt,
        mark: &Mark,
    ) -> Result<Segment> {
        let Candidate { first_seq, file, path, len, .. } = candidate;
        let mut index = None;
        if self.options.scan == Scan::Full {
            let range =
                Range { offset: SEGMENT_HEADER_BYTES, seq: first_seq, limit: len, end_seq: Some(end_seq) };
            let recovery = &mut self.recovery;
            index_all(
                &mut Scanner::new(file, path, salt, range),
                index.insert(new_index(first_seq)),
                |from, to| {
                    recovery.note_damage(from.max(mark.first_seq), to);
                },
            )?;
        }
        Ok(Segment { first_seq, end_seq, bytes: len, disk_bytes: len, index })
    }

    /// Finds the end of the last segment, and makes it clean and durable.
    fn read_last(
        &mut self,
        candidate: Candidate,
        salt: Salt,
        mark: &Mark,
    ) -> Result<(Segment, Option<Active>)> {
        let Candidate { first_seq, file, path, len, .. } = candidate;
        let range = Range { offset: SEGMENT_HEADER_BYTES, seq: first_seq, limit: len, end_seq: None };
        let mut scanner = Scanner::new(Arc::clone(&file), path.clone(), salt, range);
        let mut index = new_index(first_seq);
        let recovery = &mut self.recovery;
        let mut whole = true;
        index_all(&mut scanner, &mut index, |from, to| {
            whole = false;
            recovery.note_damage(from.max(mark.first_seq), to);
        })?;
        let (bytes, end_seq) = (scanner.position(), scanner.expect());
        self.recovery.torn_bytes = len.saturating_sub(bytes);
        // The torn end goes for good before anything is written there: no piece of it may follow a new record.
        file.set_len(bytes).map_err(|cause| Error::io("cut", &path, cause))?;
        if let Some(start) = scanner.group_start() {
            rewrite(&*file, start, bytes).map_err(|cause| Error::io("rewrite the end of", &path, cause))?;
        }
        file.sync_all().map_err(|cause| Error::sync(&path, cause))?;
        let indexed = index.last().map_or(SEGMENT_HEADER_BYTES, |(_, offset)| *offset);
        let active = Active { file, first_seq, offset: bytes, indexed };
        // Nothing is added to a damaged segment: where it ends, and so what is read behind the damage, stays the same.
        let active = whole.then_some(active);
        Ok((Segment { first_seq, end_seq, bytes, disk_bytes: bytes, index: Some(index) }, active))
    }
}

/// Writes the same bytes again. The last group may be in memory alone, because its sync failed in an earlier life and
/// the kernel has called the pages clean; every group before it was synced before the next one was written.
fn rewrite(file: &dyn File, from: u64, to: u64) -> io::Result<()> {
    let mut buf = vec![0; COPY_BYTES];
    let mut offset = from;
    while offset < to {
        let len = usize::try_from(to - offset).unwrap_or(COPY_BYTES).min(COPY_BYTES);
        let part = buf.get_mut(..len).unwrap_or_default();
        let read = read_full_at(file, part, offset)?;
        if read == 0 {
            return Err(io::ErrorKind::UnexpectedEof.into());
        }
        write_all_at(file, part.get(..read).unwrap_or_default(), offset)?;
        offset = offset.saturating_add(read as u64);
    }
    Ok(())
}

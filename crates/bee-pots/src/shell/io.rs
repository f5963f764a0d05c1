//! Where a command reads from and writes to.

use super::Want;
use super::exec::{Interp, Run, Stop};
use super::limits::{OUTPUT_BYTES_MAX, PIPE_BYTES_MAX, WORK_BYTES_MAX};
use crate::vfs::FileHandle;
use std::sync::Arc;

/// Where output goes.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Target {
    /// The session's standard output.
    Out,
    /// The session's standard error.
    Err,
    /// A pipe or substitution, by its index.
    Buffer(usize),
    File(FileHandle),
    Null,
}

/// Where input comes from.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Source {
    /// What the attacker sends.
    Session,
    /// A pipe, file or here-document, by its index; the position is shared by all who read it.
    Stream(usize),
    Null,
}

/// A command's three descriptors.
#[derive(Debug, Clone, Copy)]
pub(crate) struct Fds {
    pub(crate) input: Source,
    pub(crate) out: Target,
    pub(crate) err: Target,
}

impl Fds {
    pub(crate) const SESSION: Fds = Fds { input: Source::Session, out: Target::Out, err: Target::Err };
}

#[derive(Debug)]
pub(crate) struct Stream {
    pub(crate) data: Arc<Vec<u8>>,
    pub(crate) at: usize,
}

/// The session's output, together and apart.
#[derive(Debug, Default)]
pub(crate) struct Output {
    pub(crate) all: Vec<u8>,
    pub(crate) out: Vec<u8>,
    pub(crate) err: Vec<u8>,
}

/// The session's input so far.
#[derive(Debug, Default)]
pub(crate) struct Input {
    pub(crate) data: Vec<u8>,
    pub(crate) at: usize,
    pub(crate) ended: bool,
}

impl Interp<'_> {
    /// Writes to a target, within the limits.
    pub(crate) fn write(&mut self, target: Target, bytes: &[u8]) -> Run<()> {
        self.work(bytes.len())?;
        match target {
            Target::Null => {}
            Target::Out | Target::Err => {
                let room = OUTPUT_BYTES_MAX.saturating_sub(self.output.all.len());
                let fit = bytes.get(..room.min(bytes.len())).unwrap_or_default();
                self.output.all.extend_from_slice(fit);
                if target == Target::Out { &mut self.output.out } else { &mut self.output.err }
                    .extend_from_slice(fit);
                if fit.len() < bytes.len() {
                    return Err(Stop::Limit);
                }
            }
            Target::Buffer(n) => {
                if let Some(buffer) = self.buffers.get_mut(n) {
                    let room = PIPE_BYTES_MAX.saturating_sub(buffer.len());
                    let fit = bytes.get(..room.min(bytes.len())).unwrap_or_default();
                    buffer.extend_from_slice(fit);
                    if fit.len() < bytes.len() {
                        return Err(Stop::PipeFull);
                    }
                }
            }
            Target::File(handle) => {
                let size = self.vfs.stat_id(handle.id).map_or(0, |s| s.size);
                if self.vfs.write(handle, size, bytes).is_err() {
                    return Err(Stop::PipeFull);
                }
            }
        }
        Ok(())
    }

    /// Counts bytes handled, so that no pipeline copies for ever.
    pub(crate) fn work(&mut self, bytes: usize) -> Run<()> {
        self.worked = self.worked.saturating_add(bytes);
        if self.worked > WORK_BYTES_MAX { Err(Stop::Limit) } else { Ok(()) }
    }

    /// Makes a source of bytes.
    pub(crate) fn stream(&mut self, data: Arc<Vec<u8>>) -> Source {
        self.streams.push(Stream { data, at: 0 });
        Source::Stream(self.streams.len() - 1)
    }

    /// Everything that is left of a source.
    pub(crate) fn read_all(&mut self, source: Source) -> Run<Arc<Vec<u8>>> {
        match source {
            Source::Null => Ok(Arc::default()),
            Source::Stream(n) => {
                let Some(stream) = self.streams.get_mut(n) else { return Ok(Arc::default()) };
                let start = std::mem::replace(&mut stream.at, stream.data.len());
                let data = if start == 0 {
                    stream.data.clone()
                } else {
                    Arc::new(stream.data.get(start..).unwrap_or_default().to_vec())
                };
                self.work(data.len())?;
                Ok(data)
            }
            Source::Session => {
                if !self.input.ended {
                    return Err(Stop::Need(Want::All));
                }
                let start = std::mem::replace(&mut self.input.at, self.input.data.len());
                Ok(Arc::new(self.input.data.get(start..).unwrap_or_default().to_vec()))
            }
        }
    }

    /// The next line without its end; `None` at the end of input. The flag says whether a line end was there.
    pub(crate) fn read_line(&mut self, source: Source, want: Want) -> Run<Option<(Vec<u8>, bool)>> {
        let (data, at, ended) = match source {
            Source::Null => return Ok(None),
            Source::Stream(n) => match self.streams.get_mut(n) {
                Some(stream) => (stream.data.as_slice(), &mut stream.at, true),
                None => return Ok(None),
            },
            Source::Session => (self.input.data.as_slice(), &mut self.input.at, self.input.ended),
        };
        let rest = data.get(*at..).unwrap_or_default();
        let (line, whole) = match rest.iter().position(|b| *b == b'\n') {
            Some(end) => (rest.get(..end).unwrap_or_default().to_vec(), true),
            None if !ended => return Err(Stop::Need(want)),
            None if rest.is_empty() => return Ok(None),
            None => (rest.to_vec(), false),
        };
        *at += line.len() + usize::from(whole);
        self.work(line.len() + 1)?;
        Ok(Some((line, whole)))
    }
}

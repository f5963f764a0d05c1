//! Under which id and from which number on Core counts this spool's events; kept beside the spool.
//!
//! Core's numbers of a stream begin at 0. The log's own numbers go on for ever, so a stream that begins later, because
//! Core knew the spool better than the spool itself, starts at some `base` of the log.

use std::{fs, io, path::Path};

use anyhow::Context as _;
use bee_daemon::secret_file;
use bee_wire::StreamId;
use uuid::Uuid;

/// A stream and where it begins in the log.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Stream {
    /// Its id.
    pub id: StreamId,
    /// The log's number of the stream's event 0.
    pub base: u64,
}

/// The stream of the spool that was just opened; a new one when the spool itself is new.
pub(super) fn of_spool(path: &Path, spool_is_new: bool, first_seq: u64) -> anyhow::Result<Stream> {
    if spool_is_new {
        return renew(path, first_seq);
    }
    match fs::read_to_string(path) {
        Ok(text) => match parse(&text) {
            Some(stream) => Ok(stream),
            None => renew(path, first_seq),
        },
        Err(error) if error.kind() == io::ErrorKind::NotFound => renew(path, first_seq),
        Err(error) => Err(error).with_context(|| format!("cannot read {}", path.display())),
    }
}

/// Makes and saves a new stream that begins at `base`.
pub(super) fn renew(path: &Path, base: u64) -> anyhow::Result<Stream> {
    let id = StreamId::new(format!("spool-{}", Uuid::now_v7().simple())).context("a stream id of our own")?;
    secret_file::write(path, format!("{id} {base}\n").as_bytes())?;
    Ok(Stream { id, base })
}

fn parse(text: &str) -> Option<Stream> {
    let (id, base) = text.trim().split_once(' ')?;
    Some(Stream { id: StreamId::new(id).ok()?, base: base.parse().ok()? })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_spool_keeps_its_stream_and_a_new_spool_gets_a_new_one() {
        let dir = tempfile::tempdir().unwrap();
        let path = dir.path().join("stream");
        let first = of_spool(&path, true, 0).unwrap();
        assert_eq!(of_spool(&path, false, 9).unwrap(), first);
        assert_ne!(of_spool(&path, true, 0).unwrap(), first);
        fs::write(&path, "no stream id at all!").unwrap();
        let renewed = of_spool(&path, false, 9).unwrap();
        assert_eq!(renewed.base, 9);
        assert_eq!(of_spool(&path, false, 12).unwrap(), renewed);
    }
}

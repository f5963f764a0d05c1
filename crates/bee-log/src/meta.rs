//! The meta file: who this log is, and the mark that truncation leaves.
//!
//! The mark is written in turns into two blocks. The block that was last synced is never touched, so a crash leaves
//! at worst the mark before.

use std::path::{Path, PathBuf};
use std::sync::Arc;

use crate::format::{
    Header, META_BYTES, META_NAME, Mark, Salt, decode_mark, decode_meta_header, encode_mark, mark_offset,
    put, put_meta_header,
};
use crate::fs::{File, Fs, read_full_at, write_all_at};
use crate::{Error, Result};

/// What an existing meta file says, before it is trusted.
pub(crate) struct Found {
    file: Option<Arc<dyn File>>,
    bytes: Vec<u8>,
    path: PathBuf,
    /// Log id and start sequence number, if the header is good.
    pub(crate) identity: Option<(u64, u64)>,
}

/// The open meta file.
pub(crate) struct Meta {
    file: Arc<dyn File>,
    path: PathBuf,
    salt: Salt,
    mark: Mark,
    /// The block that holds the newest synced mark.
    durable_slot: usize,
}

/// Reads the meta file, if there is one. Fails for a newer version.
pub(crate) fn read(fs: &dyn Fs, dir: &Path, exists: bool) -> Result<Found> {
    let path = dir.join(META_NAME);
    let mut bytes = vec![0; META_BYTES];
    if !exists {
        return Ok(Found { file: None, bytes, path, identity: None });
    }
    let file = fs.open(&path, false).map_err(|cause| Error::io("open", &path, cause))?;
    read_full_at(&*file, &mut bytes, 0).map_err(|cause| Error::io("read", &path, cause))?;
    let identity = match decode_meta_header(&bytes, &path)? {
        Header::Valid { log_id, seq } => Some((log_id, seq)),
        Header::Invalid => None,
    };
    Ok(Found { file: Some(file), bytes, path, identity })
}

impl Found {
    /// The newest good mark.
    pub(crate) fn mark(&self, salt: Salt) -> Option<(usize, Mark)> {
        let marks = [0, 1].map(|slot| decode_mark(&self.bytes, slot, salt).map(|mark| (slot, mark)));
        marks.into_iter().flatten().max_by_key(|(_, mark)| mark.generation)
    }

    /// Makes the file whole and durable. What was good in it is written again with the same bytes, because a sync
    /// that failed in an earlier life may have left it in memory alone; nothing good can be torn by that.
    pub(crate) fn settle(mut self, fs: &dyn Fs, log_id: u64, start_seq: u64, fallback: Mark) -> Result<Meta> {
        let salt = Salt::of(log_id);
        if self.identity.is_none() {
            put_meta_header(&mut self.bytes, log_id, start_seq);
        }
        let (slot, mark) = self.mark(salt).unwrap_or((0, fallback));
        put(&mut self.bytes, mark_offset(slot), &encode_mark(&mark, salt));
        let fail = |doing, cause| Error::io(doing, &self.path, cause);
        let file = match self.file {
            Some(file) => file,
            None => fs.open(&self.path, true).map_err(|cause| fail("create", cause))?,
        };
        write_all_at(&*file, &self.bytes, 0).map_err(|cause| fail("write", cause))?;
        file.sync_all().map_err(|cause| Error::sync(&self.path, cause))?;
        Ok(Meta { file, path: self.path, salt, mark, durable_slot: slot })
    }
}

impl Meta {
    pub(crate) fn mark(&self) -> Mark {
        self.mark
    }

    /// Writes the mark; with `sync` it is durable when this returns.
    pub(crate) fn write(&mut self, mark: Mark, sync: bool) -> Result<()> {
        let slot = self.durable_slot ^ 1;
        let mark = Mark { generation: self.mark.generation.saturating_add(1), ..mark };
        write_all_at(&*self.file, &encode_mark(&mark, self.salt), mark_offset(slot) as u64)
            .map_err(|cause| Error::io("write", &self.path, cause))?;
        if sync {
            self.file.sync_data().map_err(|cause| Error::sync(&self.path, cause))?;
            self.durable_slot = slot;
        }
        self.mark = mark;
        Ok(())
    }
}

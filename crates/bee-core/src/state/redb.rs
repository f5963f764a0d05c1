//! The embedded key-value store: one redb file, every change set one durable transaction.
//!
//! Layout: table `kv` maps a key to 8 bytes of revision (little endian) followed by the JSON text; table
//! `meta` holds the revision counter. redb keeps two roots and checksums, so a power cut leaves the last
//! committed change set.

use std::fs::{OpenOptions, Permissions};
use std::os::unix::fs::{OpenOptionsExt as _, PermissionsExt as _};
use std::path::Path;
use std::time::Duration;

use redb::{
    Builder, Database, DatabaseError, ReadableDatabase, ReadableTable, StorageError, TableDefinition,
    TableError,
};
use tokio::sync::broadcast;

use super::{Change, Changed, Entry, Kv, StateError};

const KV: TableDefinition<'_, &str, &[u8]> = TableDefinition::new("kv");
const META: TableDefinition<'_, &str, u64> = TableDefinition::new("meta");
const REVISION: &str = "revision";
const REVISION_BYTES: usize = 8;

/// Page cache: the whole state of ten thousand nodes is a few megabytes.
const CACHE_BYTES: usize = 8 << 20;
/// Watchers further behind than this are told that they lag.
const WATCH_QUEUE_MAX: usize = 1_024;
/// A Core that was just replaced may need a moment to let go of its file.
const OPEN_RETRIES_MAX: u32 = 20;
const OPEN_RETRY_PAUSE: Duration = Duration::from_millis(100);

/// [`Kv`] on one redb file.
pub struct RedbKv {
    db: Database,
    watchers: broadcast::Sender<Changed>,
}

impl RedbKv {
    /// Opens or creates the file. Waits up to two seconds for a leaving process that still holds it.
    pub fn open(path: &Path) -> Result<Self, StateError> {
        // The engine would make it with the process's umask: the file holds sealed secrets and hashes, so it is 0600.
        let file = OpenOptions::new().create(true).append(true).mode(0o600).open(path);
        file.and_then(|file| file.set_permissions(Permissions::from_mode(0o600)))
            .map_err(|cause| StateError::store("open", cause))?;
        let mut attempt = 0;
        let db = loop {
            match Builder::new().set_cache_size(CACHE_BYTES).create(path) {
                Ok(db) => break db,
                Err(DatabaseError::DatabaseAlreadyOpen) if attempt < OPEN_RETRIES_MAX => {
                    attempt += 1;
                    std::thread::sleep(OPEN_RETRY_PAUSE);
                }
                Err(cause) => return Err(StateError::store("open", cause)),
            }
        };
        Ok(Self { db, watchers: broadcast::channel(WATCH_QUEUE_MAX).0 })
    }
}

impl Kv for RedbKv {
    fn get(&self, key: &str) -> Result<Option<Entry>, StateError> {
        let read = self.db.begin_read().map_err(read_error)?;
        let table = match read.open_table(KV) {
            Ok(table) => table,
            Err(TableError::TableDoesNotExist(_)) => return Ok(None),
            Err(cause) => return Err(read_error(cause)),
        };
        match ReadableTable::get(&table, key).map_err(read_error)? {
            Some(guard) => Ok(Some(entry(key, guard.value())?)),
            None => Ok(None),
        }
    }

    fn scan(&self, prefix: &str, after: Option<&str>, limit: usize) -> Result<Vec<Entry>, StateError> {
        let read = self.db.begin_read().map_err(read_error)?;
        let table = match read.open_table(KV) {
            Ok(table) => table,
            Err(TableError::TableDoesNotExist(_)) => return Ok(Vec::new()),
            Err(cause) => return Err(read_error(cause)),
        };
        let start = after.filter(|key| *key > prefix).unwrap_or(prefix);
        let mut found = Vec::new();
        for row in ReadableTable::range(&table, start..).map_err(read_error)? {
            let (key, value) = row.map_err(read_error)?;
            if !key.value().starts_with(prefix) || found.len() >= limit {
                break;
            }
            if after == Some(key.value()) {
                continue;
            }
            found.push(entry(key.value(), value.value())?);
        }
        Ok(found)
    }

    fn apply(&self, changes: &[Change]) -> Result<u64, StateError> {
        let write = self.db.begin_write().map_err(write_error)?;
        let revision = {
            let mut meta = write.open_table(META).map_err(write_error)?;
            let last =
                ReadableTable::get(&meta, REVISION).map_err(write_error)?.map_or(0, |guard| guard.value());
            let revision = last.saturating_add(1);
            meta.insert(REVISION, revision).map_err(write_error)?;
            let mut table = write.open_table(KV).map_err(write_error)?;
            let mut stored = Vec::new();
            for change in changes {
                match change {
                    Change::Put { key, value } => {
                        stored.clear();
                        stored.extend_from_slice(&revision.to_le_bytes());
                        stored.extend_from_slice(value);
                        table.insert(key.as_str(), stored.as_slice()).map_err(write_error)?;
                    }
                    Change::Delete { key } => {
                        table.remove(key.as_str()).map_err(write_error)?;
                    }
                }
            }
            revision
        };
        write.commit().map_err(write_error)?;
        if self.watchers.receiver_count() > 0 {
            let keys = changes.iter().map(|change| change.key().to_owned()).collect();
            // Nobody listening any more is fine: a watcher that comes later scans first.
            let _ = self.watchers.send(Changed { revision, keys });
        }
        Ok(revision)
    }

    fn revision(&self) -> Result<u64, StateError> {
        let read = self.db.begin_read().map_err(read_error)?;
        match read.open_table(META) {
            Ok(table) => {
                Ok(ReadableTable::get(&table, REVISION).map_err(read_error)?.map_or(0, |guard| guard.value()))
            }
            Err(TableError::TableDoesNotExist(_)) => Ok(0),
            Err(cause) => Err(read_error(cause)),
        }
    }

    fn watch(&self) -> broadcast::Receiver<Changed> {
        self.watchers.subscribe()
    }
}

fn entry(key: &str, stored: &[u8]) -> Result<Entry, StateError> {
    let (revision, value) = stored.split_first_chunk::<REVISION_BYTES>().ok_or_else(|| {
        read_error(StorageError::Corrupted(format!("value of {key} is shorter than its revision")))
    })?;
    Ok(Entry { key: key.to_owned(), value: value.to_vec(), revision: u64::from_le_bytes(*revision) })
}

fn read_error<E: std::error::Error + Send + Sync + 'static>(cause: E) -> StateError {
    StateError::store("read", cause)
}

fn write_error<E: std::error::Error + Send + Sync + 'static>(cause: E) -> StateError {
    StateError::store("write to", cause)
}

#[cfg(test)]
mod tests {
    use super::*;

    fn put(key: &str, value: &str) -> Change {
        Change::Put { key: key.into(), value: value.as_bytes().to_vec() }
    }

    #[test]
    fn what_was_applied_is_there_after_reopening() {
        let dir = tempfile::tempdir().unwrap();
        let path = dir.path().join("state.redb");
        let kv = RedbKv::open(&path).unwrap();
        assert_eq!(kv.revision().unwrap(), 0);
        assert_eq!(kv.get("node/1").unwrap(), None);
        assert_eq!(kv.apply(&[put("node/1", "1"), put("node/2", "2")]).unwrap(), 1);
        assert_eq!(kv.apply(&[Change::delete("node/1".into()), put("node/3", "3")]).unwrap(), 2);
        drop(kv);

        let kv = RedbKv::open(&path).unwrap();
        assert_eq!(kv.revision().unwrap(), 2);
        assert_eq!(kv.get("node/1").unwrap(), None);
        let entry = kv.get("node/3").unwrap().unwrap();
        assert_eq!((entry.value.as_slice(), entry.revision), (b"3".as_slice(), 2));
    }

    #[test]
    fn a_scan_stays_inside_its_prefix_and_pages() {
        let dir = tempfile::tempdir().unwrap();
        let kv = RedbKv::open(&dir.path().join("state.redb")).unwrap();
        assert!(kv.scan("b/", None, 10).unwrap().is_empty());
        kv.apply(&[put("a/1", "x"), put("b/1", "x"), put("b/2", "x"), put("b/3", "x"), put("c/1", "x")])
            .unwrap();
        let keys = |after: Option<&str>, limit| -> Vec<String> {
            kv.scan("b/", after, limit).unwrap().into_iter().map(|entry| entry.key).collect()
        };
        assert_eq!(keys(None, 10), ["b/1", "b/2", "b/3"]);
        assert_eq!(keys(None, 2), ["b/1", "b/2"]);
        assert_eq!(keys(Some("b/2"), 2), ["b/3"]);
    }

    #[test]
    fn a_watcher_hears_of_each_change_set_once() {
        let dir = tempfile::tempdir().unwrap();
        let kv = RedbKv::open(&dir.path().join("state.redb")).unwrap();
        let mut watch = kv.watch();
        kv.apply(&[put("a", "1"), put("b", "1")]).unwrap();
        let changed = watch.try_recv().unwrap();
        assert_eq!((changed.revision, changed.keys), (1, vec!["a".to_owned(), "b".to_owned()]));
        assert!(watch.try_recv().is_err());
    }
}

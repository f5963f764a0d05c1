//! Captured files and recordings, by the SHA-256 of their bytes: `vault/ab/<sha256>`.
//!
//! A node sends an artifact in pieces; the bytes go into a temporary file in the vault's own `incoming` folder,
//! are hashed while they come, and get their name only when size and hash are right and the bytes are synced.
//! Only then is the node told that it may forget its copy. Nothing here opens, unpacks or runs anything.

use std::fs::{self, File, OpenOptions};
use std::io::Write as _;
use std::os::unix::fs::OpenOptionsExt as _;
use std::path::{Path, PathBuf};
use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};

use bee_daemon::secret_file::{self, SecretFileError};
use bee_wire::api::Artifact;
use bee_wire::node::ArtifactBegin;
use bee_wire::{ArtifactId, Micros, NodeId};
use serde::{Deserialize, Serialize};
use sha2::{Digest, Sha256};

use crate::counters::Counters;
use crate::state::{Change, Record, State, StateError};

/// Artifacts shown by one listing.
const LIST_MAX: usize = 1_000;

/// Why an artifact is not taken.
#[derive(Debug, thiserror::Error)]
pub enum VaultError {
    /// Larger than one artifact may be.
    #[error("the artifact has {size} bytes, the limit is {max} (vault.artifact_bytes_max)")]
    TooLarge {
        /// Its size.
        size: u64,
        /// The limit.
        max: u64,
    },
    /// The vault is full.
    #[error(
        "the vault holds {held} bytes, the limit is {max} (vault.bytes_max); remove artifacts or raise it"
    )]
    Full {
        /// Bytes held.
        held: u64,
        /// The limit.
        max: u64,
    },
    /// A piece does not follow the one before it.
    #[error("a piece begins at {offset}, expected {expected}")]
    OutOfOrder {
        /// Where it begins.
        offset: u64,
        /// Where it should.
        expected: u64,
    },
    /// More or fewer bytes than announced.
    #[error("{received} bytes came, {announced} were announced")]
    WrongSize {
        /// Bytes that came.
        received: u64,
        /// Bytes announced.
        announced: u64,
    },
    /// The bytes are not the artifact they claim to be.
    #[error("the bytes have the hash {0}, which is not the artifact's name")]
    WrongHash(ArtifactId),
    /// The disk.
    #[error("cannot write the vault")]
    Io(#[source] std::io::Error),
    /// A folder of the vault.
    #[error("cannot use the vault")]
    Folder(#[from] SecretFileError),
    /// Its entry could not be stored.
    #[error("cannot store the artifact's entry: {0}")]
    State(String),
}

/// What is remembered of an artifact.
#[derive(Debug, Clone, Serialize, Deserialize)]
struct ArtifactRecord {
    size: u64,
    kind: String,
    first_seen: Micros,
    node_id: NodeId,
    pot_id: Option<String>,
}

impl Record for ArtifactRecord {
    const KIND: &'static str = "artifact";
    const VERSION: u32 = 1;
}

/// The vault. Cloning is cheap.
#[derive(Clone)]
pub struct Vault {
    inner: Arc<Inner>,
}

struct Inner {
    dir: PathBuf,
    state: State,
    counters: Arc<Counters>,
    artifact_bytes_max: u64,
    bytes_max: u64,
    // Bytes held and reserved by artifacts on their way.
    held: AtomicU64,
}

/// How an announced artifact goes on.
pub enum Begun {
    /// It is in the vault already; the node may forget its copy.
    Known,
    /// Feed its pieces.
    Receiving(Box<Incoming>),
}

/// An artifact on its way. Dropping it removes what came so far.
pub struct Incoming {
    vault: Arc<Inner>,
    begin: ArtifactBegin,
    node_id: NodeId,
    path: PathBuf,
    file: File,
    hash: Sha256,
    received: u64,
    finished: bool,
}

impl Vault {
    /// Opens the vault, clears what a crash left behind, and adds up what it holds. Blocking.
    pub fn open(
        dir: PathBuf,
        state: State,
        counters: Arc<Counters>,
        artifact_bytes_max: u64,
        bytes_max: u64,
    ) -> Result<Self, VaultError> {
        let incoming = dir.join("incoming");
        secret_file::create_private_dir(&incoming)?;
        for left in fs::read_dir(&incoming).map_err(VaultError::Io)?.flatten() {
            fs::remove_file(left.path()).map_err(VaultError::Io)?;
        }
        let held = state
            .records::<ArtifactRecord>("artifact/")
            .map_err(|error| VaultError::State(crate::text::chain(&error)))?
            .iter()
            .map(|(_, record)| record.size)
            .sum();
        let held = AtomicU64::new(held);
        Ok(Self { inner: Arc::new(Inner { dir, state, counters, artifact_bytes_max, bytes_max, held }) })
    }

    /// An artifact is announced. Blocking.
    pub fn begin(&self, node_id: NodeId, begin: ArtifactBegin) -> Result<Begun, VaultError> {
        let inner = &self.inner;
        if inner.path(begin.artifact).exists() {
            inner.counters.artifacts_known.one();
            return Ok(Begun::Known);
        }
        let opened = inner.reserve(begin.size).and_then(|()| {
            let name = format!("{}.{:016x}", begin.artifact, rand::random::<u64>());
            let path = inner.dir.join("incoming").join(name);
            let file = OpenOptions::new().write(true).create_new(true).mode(0o600).open(&path);
            file.map(|file| (path, file)).map_err(|cause| {
                inner.held.fetch_sub(begin.size, Ordering::Relaxed);
                VaultError::Io(cause)
            })
        });
        match opened {
            Ok((path, file)) => Ok(Begun::Receiving(Box::new(Incoming {
                vault: Arc::clone(inner),
                begin,
                node_id,
                path,
                file,
                hash: Sha256::new(),
                received: 0,
                finished: false,
            }))),
            Err(error) => {
                inner.counters.artifacts_refused.one();
                Err(error)
            }
        }
    }

    /// The newest artifacts, newest first. Blocking.
    pub fn list(&self) -> Result<Vec<Artifact>, StateError> {
        let mut all: Vec<Artifact> = self
            .inner
            .state
            .records::<ArtifactRecord>("artifact/")?
            .into_iter()
            .map(|(key, record)| view(key.trim_start_matches("artifact/"), &record))
            .collect();
        all.sort_by(|a, b| b.first_seen.cmp(&a.first_seen).then_with(|| a.sha256.cmp(&b.sha256)));
        all.truncate(LIST_MAX);
        Ok(all)
    }

    /// One artifact and the file that holds it. The caller decides how it may leave: never as it is.
    pub fn get(&self, id: ArtifactId) -> Result<Option<(Artifact, PathBuf)>, StateError> {
        let record = self.inner.state.record::<ArtifactRecord>(&format!("artifact/{id}"))?;
        Ok(record.map(|record| (view(&id.to_string(), &record), self.inner.path(id))))
    }

    /// Bytes held, with those on their way.
    pub fn bytes(&self) -> u64 {
        self.inner.held.load(Ordering::Relaxed)
    }
}

impl Inner {
    fn path(&self, id: ArtifactId) -> PathBuf {
        let name = id.to_string();
        self.dir.join(name.get(..2).unwrap_or("00")).join(name)
    }

    fn reserve(&self, size: u64) -> Result<(), VaultError> {
        if size > self.artifact_bytes_max {
            return Err(VaultError::TooLarge { size, max: self.artifact_bytes_max });
        }
        self.held
            .fetch_update(Ordering::Relaxed, Ordering::Relaxed, |held| {
                held.checked_add(size).filter(|after| *after <= self.bytes_max)
            })
            .map(drop)
            .map_err(|held| VaultError::Full { held, max: self.bytes_max })
    }
}

impl Incoming {
    /// Which artifact this is.
    pub fn artifact(&self) -> ArtifactId {
        self.begin.artifact
    }

    /// The next piece. Blocking.
    pub fn chunk(&mut self, offset: u64, data: &[u8]) -> Result<(), VaultError> {
        if offset != self.received {
            return Err(VaultError::OutOfOrder { offset, expected: self.received });
        }
        let received = self.received.saturating_add(data.len() as u64);
        if received > self.begin.size {
            return Err(VaultError::WrongSize { received, announced: self.begin.size });
        }
        self.file.write_all(data).map_err(VaultError::Io)?;
        self.hash.update(data);
        self.received = received;
        Ok(())
    }

    /// The last piece came: checks, syncs, names. Answers the size that is durable now. Blocking up to the
    /// state store, which is awaited by [`Finished::store`].
    pub fn finish(mut self, now: Micros) -> Result<Finished, VaultError> {
        if self.received != self.begin.size {
            return Err(VaultError::WrongSize { received: self.received, announced: self.begin.size });
        }
        let hash = ArtifactId(std::mem::take(&mut self.hash).finalize().into());
        if hash != self.begin.artifact {
            return Err(VaultError::WrongHash(hash));
        }
        self.file.sync_all().map_err(VaultError::Io)?;
        let target = self.vault.path(self.begin.artifact);
        let folder = target.parent().unwrap_or(Path::new("."));
        secret_file::create_private_dir(folder)?;
        fs::rename(&self.path, &target).map_err(VaultError::Io)?;
        secret_file::sync_dir(folder)?;
        secret_file::sync_dir(&self.vault.dir)?;
        self.finished = true;
        let record = ArtifactRecord {
            size: self.begin.size,
            kind: self.begin.kind.to_string(),
            first_seen: now,
            node_id: self.node_id,
            pot_id: self.begin.pot_id.clone(),
        };
        Ok(Finished { vault: Arc::clone(&self.vault), artifact: self.begin.artifact, record })
    }
}

/// An artifact whose bytes are durable under their name.
pub struct Finished {
    vault: Arc<Inner>,
    artifact: ArtifactId,
    record: ArtifactRecord,
}

impl Finished {
    /// Makes its entry durable; answers its size.
    pub async fn store(self) -> Result<u64, VaultError> {
        let state = |error: &StateError| VaultError::State(crate::text::chain(error));
        let change = Change::put(format!("artifact/{}", self.artifact), &self.record)
            .map_err(|error| state(&error))?;
        self.vault.state.commit(vec![change]).await.map_err(|error| state(&error))?;
        self.vault.counters.artifacts_stored.one();
        self.vault.counters.artifact_bytes.add(self.record.size);
        Ok(self.record.size)
    }
}

impl Drop for Incoming {
    fn drop(&mut self) {
        if !self.finished {
            self.vault.held.fetch_sub(self.begin.size, Ordering::Relaxed);
            // What is left is removed at the next start.
            let _ = fs::remove_file(&self.path);
        }
    }
}

fn view(sha256: &str, record: &ArtifactRecord) -> Artifact {
    Artifact {
        sha256: sha256.to_owned(),
        size: record.size,
        kind: record.kind.clone(),
        first_seen: record.first_seen,
        node_id: record.node_id,
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::state::RedbKv;
    use bee_wire::node::ArtifactKind;

    fn vault(dir: &Path, bytes_max: u64) -> (Vault, Arc<Counters>) {
        let (state, _) = State::start(Arc::new(RedbKv::open(&dir.join("s.redb")).unwrap())).unwrap();
        let counters = Arc::new(Counters::default());
        (Vault::open(dir.join("vault"), state, Arc::clone(&counters), 1_000, bytes_max).unwrap(), counters)
    }

    fn begin(bytes: &[u8]) -> ArtifactBegin {
        ArtifactBegin {
            node_id: NodeId(1),
            artifact: ArtifactId(Sha256::digest(bytes).into()),
            kind: ArtifactKind::Download,
            size: bytes.len() as u64,
            pot_id: None,
        }
    }

    fn receiving(vault: &Vault, begin: ArtifactBegin) -> Incoming {
        match vault.begin(NodeId(1), begin).unwrap() {
            Begun::Receiving(incoming) => *incoming,
            Begun::Known => panic!("known"),
        }
    }

    #[tokio::test]
    async fn an_artifact_gets_its_name_only_when_every_byte_is_right() {
        let dir = tempfile::tempdir().unwrap();
        let (vault, counters) = vault(dir.path(), 10_000);
        let bytes = b"#!/bin/sh\nwget x";
        let mut incoming = receiving(&vault, begin(bytes));
        incoming.chunk(0, &bytes[..5]).unwrap();
        assert!(matches!(incoming.chunk(4, b"x"), Err(VaultError::OutOfOrder { .. })));
        incoming.chunk(5, &bytes[5..]).unwrap();
        assert!(matches!(incoming.chunk(16, b"!"), Err(VaultError::WrongSize { .. })));
        let id = incoming.artifact();
        assert_eq!(incoming.finish(Micros::from_unix_us(5)).unwrap().store().await.unwrap(), 16);
        let (artifact, path) = vault.get(id).unwrap().unwrap();
        assert_eq!((artifact.size, artifact.kind.as_str()), (16, "download"));
        assert_eq!(std::fs::read(path).unwrap(), bytes);
        assert!(matches!(vault.begin(NodeId(2), begin(bytes)).unwrap(), Begun::Known));
        assert_eq!((counters.artifacts_stored.get(), counters.artifacts_known.get()), (1, 1));
        assert_eq!(vault.list().unwrap().len(), 1);
    }

    #[tokio::test]
    async fn a_wrong_hash_a_short_one_and_an_abandoned_one_leave_nothing() {
        let dir = tempfile::tempdir().unwrap();
        let (vault, _) = vault(dir.path(), 10_000);
        let mut forged = begin(b"right");
        forged.size = 5;
        let mut incoming = receiving(&vault, forged);
        incoming.chunk(0, b"wrong").unwrap();
        assert!(matches!(incoming.finish(Micros::from_unix_us(0)), Err(VaultError::WrongHash(_))));
        assert!(matches!(
            receiving(&vault, begin(b"x")).finish(Micros::from_unix_us(0)),
            Err(VaultError::WrongSize { .. })
        ));
        drop(receiving(&vault, begin(b"y")));
        assert_eq!(std::fs::read_dir(dir.path().join("vault/incoming")).unwrap().count(), 0);
        assert_eq!(vault.bytes(), 0);
    }

    #[tokio::test]
    async fn caps_hold_for_one_and_for_all() {
        let dir = tempfile::tempdir().unwrap();
        let (vault, counters) = vault(dir.path(), 1_500);
        let mut large = begin(b"a");
        large.size = 1_001;
        assert!(matches!(vault.begin(NodeId(1), large), Err(VaultError::TooLarge { .. })));
        let mut first = begin(b"a");
        first.size = 1_000;
        let _held = receiving(&vault, first);
        let mut second = begin(b"b");
        second.size = 501;
        assert!(matches!(vault.begin(NodeId(1), second), Err(VaultError::Full { held: 1_000, max: 1_500 })));
        assert_eq!(counters.artifacts_refused.get(), 2);
    }
}

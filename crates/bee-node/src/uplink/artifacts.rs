//! Uploads the files that traps left in `pots/<id>/artifacts`, one at a time, and removes each once Core has it.
//!
//! Core's durable answer is an `EventAck` of `artifact.<sha256>` with the file's size. Until then the file stays; a
//! reconnect begins it anew. Asked by the uplink for the next message whenever it has nothing more urgent to send.

use std::{
    collections::HashMap,
    fs::{self, File, OpenOptions},
    io::{self, Read as _},
    os::unix::fs::{FileExt as _, OpenOptionsExt as _},
    path::{Path, PathBuf},
    time::{Duration, Instant},
};

use bee_wire::{
    ArtifactId, NodeId, NodeMessage,
    node::{ArtifactBegin, ArtifactChunk, ArtifactEnd, ArtifactKind},
};
use tracing::{debug, warn};

use crate::limits::{ARTIFACT_BYTES_MAX, ARTIFACT_CHUNK_BYTES};

/// How often folders are looked through.
const SCAN_EVERY: Duration = Duration::from_secs(1);
/// An upload that Core does not confirm within this time makes room for the next one.
const CONFIRM_WITHIN: Duration = Duration::from_secs(60);
/// And is tried again after this.
const RETRY_AFTER: Duration = Duration::from_secs(300);
/// Files of which we remember that they failed.
const FAILED_MAX: usize = 4096;

/// The upload in progress, and what to try when.
#[derive(Debug)]
pub(super) struct Uploader {
    base_dir: PathBuf,
    current: Option<Upload>,
    failed: HashMap<PathBuf, Instant>,
    scanned: Option<Instant>,
}

#[derive(Debug)]
struct Upload {
    artifact: ArtifactId,
    path: PathBuf,
    pot_id: String,
    kind: ArtifactKind,
    file: File,
    size: u64,
    stage: Stage,
}

#[derive(Debug, Clone, Copy)]
enum Stage {
    Begin,
    Chunk { offset: u64 },
    End,
    Sent { at: Instant },
}

impl Uploader {
    pub(super) fn new(base_dir: &Path) -> Self {
        Self { base_dir: base_dir.to_owned(), current: None, failed: HashMap::new(), scanned: None }
    }

    /// The connection is new: nothing of an upload in progress counts any more.
    pub(super) fn reset(&mut self) {
        self.current = None;
        self.scanned = None;
    }

    /// When to ask for the next message.
    pub(super) fn due(&self, now: Instant) -> Instant {
        match &self.current {
            Some(Upload { stage: Stage::Sent { at }, .. }) => *at + CONFIRM_WITHIN,
            Some(_) => now,
            None => self.scanned.map_or(now, |at| at + SCAN_EVERY),
        }
    }

    /// The next message to send, if there is one now. Blocking (reads at most one chunk).
    pub(super) fn next(&mut self, node_id: NodeId, now: Instant) -> Option<NodeMessage> {
        if let Some(Upload { stage: Stage::Sent { at }, .. }) = &self.current {
            if now.duration_since(*at) < CONFIRM_WITHIN {
                return None;
            }
            self.give_up("Core did not confirm it in time", now);
        }
        if self.current.is_none() {
            if self.scanned.is_some_and(|at| now.duration_since(at) < SCAN_EVERY) {
                return None;
            }
            self.scanned = Some(now);
            self.failed.retain(|_, until| *until > now);
            self.current = self.find();
        }
        let upload = self.current.as_mut()?;
        match upload.step(node_id, now) {
            Ok(message) => message,
            Err(error) => {
                self.give_up(&format!("cannot read it: {error}"), now);
                None
            }
        }
    }

    /// Core has `size` bytes of an artifact: all of it means that the file can go.
    pub(super) fn stored(&mut self, artifact: ArtifactId, size: u64) {
        let Some(upload) = self.current.take_if(|upload| upload.artifact == artifact && size >= upload.size)
        else {
            return;
        };
        if let Err(error) = fs::remove_file(&upload.path) {
            warn!(path = %upload.path.display(), %error, "cannot remove an artifact that Core has");
        }
        debug!(%artifact, pot_id = upload.pot_id, size, "artifact stored");
        // A pot that was removed leaves its folder when its last file is gone; others keep theirs.
        if let Some(folder) = upload.path.parent()
            && let Some(pot_dir) = folder.parent()
            && !pot_dir.join("log").exists()
        {
            let _ = fs::remove_dir(folder).and_then(|()| fs::remove_dir(pot_dir));
        }
        self.scanned = None;
    }

    fn give_up(&mut self, why: &str, now: Instant) {
        if let Some(upload) = self.current.take()
            && self.failed.len() < FAILED_MAX
        {
            warn!(path = %upload.path.display(), why, "an artifact was not uploaded; trying again later");
            self.failed.insert(upload.path, now + RETRY_AFTER);
        }
    }

    fn find(&mut self) -> Option<Upload> {
        for pot in fs::read_dir(&self.base_dir).ok()?.flatten() {
            let Ok(files) = fs::read_dir(pot.path().join("artifacts")) else { continue };
            let pot_id = pot.file_name().to_string_lossy().into_owned();
            for entry in files.flatten() {
                let Some(artifact) = entry.file_name().to_str().and_then(|name| name.parse().ok()) else {
                    continue;
                };
                let path = entry.path();
                if self.failed.contains_key(&path) {
                    continue;
                }
                match Upload::open(artifact, &path, &pot_id) {
                    Ok(upload) => return Some(upload),
                    Err(error) => {
                        warn!(path = %path.display(), %error, "an artifact cannot be uploaded");
                        if self.failed.len() < FAILED_MAX {
                            self.failed.insert(path, Instant::now() + RETRY_AFTER);
                        }
                    }
                }
            }
        }
        None
    }
}

impl Upload {
    fn open(artifact: ArtifactId, path: &Path, pot_id: &str) -> io::Result<Self> {
        // The trap is attacked all day: a link in its folder must not lead the node elsewhere.
        let no_follow = rustix::fs::OFlags::NOFOLLOW.union(rustix::fs::OFlags::NONBLOCK).bits();
        let file = OpenOptions::new().read(true).custom_flags(no_follow.cast_signed()).open(path)?;
        let metadata = file.metadata()?;
        if !metadata.is_file() {
            return Err(io::Error::other("it is no regular file"));
        }
        let size = metadata.len();
        if size > ARTIFACT_BYTES_MAX {
            return Err(io::Error::other(format!("it has {size} bytes, over {ARTIFACT_BYTES_MAX}")));
        }
        let kind = kind_of(&file)?;
        Ok(Self {
            artifact,
            path: path.to_owned(),
            pot_id: pot_id.to_owned(),
            kind,
            file,
            size,
            stage: Stage::Begin,
        })
    }

    fn step(&mut self, node_id: NodeId, now: Instant) -> io::Result<Option<NodeMessage>> {
        let artifact = self.artifact;
        match self.stage {
            Stage::Begin => {
                self.stage = if self.size == 0 { Stage::End } else { Stage::Chunk { offset: 0 } };
                let (kind, size, pot_id) = (self.kind, self.size, Some(self.pot_id.clone()));
                Ok(Some(NodeMessage::ArtifactBegin(ArtifactBegin { node_id, artifact, kind, size, pot_id })))
            }
            Stage::Chunk { offset } => {
                let left = usize::try_from(self.size - offset).unwrap_or(usize::MAX);
                let mut data = vec![0; left.min(ARTIFACT_CHUNK_BYTES)];
                self.file.read_exact_at(&mut data, offset)?;
                let end = offset + data.len() as u64;
                self.stage = if end < self.size { Stage::Chunk { offset: end } } else { Stage::End };
                Ok(Some(NodeMessage::ArtifactChunk(ArtifactChunk { node_id, artifact, offset, data })))
            }
            Stage::End => {
                self.stage = Stage::Sent { at: now };
                Ok(Some(NodeMessage::ArtifactEnd(ArtifactEnd { node_id, artifact })))
            }
            Stage::Sent { .. } => Ok(None),
        }
    }
}

/// An asciicast begins with its version; anything else is what an attacker left.
fn kind_of(mut file: &File) -> io::Result<ArtifactKind> {
    let mut head = [0_u8; 16];
    let len = file.read(&mut head)?;
    let head: Vec<u8> = head.iter().take(len).copied().filter(|byte| *byte != b' ').collect();
    Ok(if head.starts_with(b"{\"version\":2,") { ArtifactKind::Ttylog } else { ArtifactKind::Download })
}

#[cfg(test)]
mod tests {
    use super::*;

    fn put(base: &Path, pot: &str, name: &str, content: &[u8]) -> PathBuf {
        let dir = base.join(pot).join("artifacts");
        fs::create_dir_all(&dir).unwrap();
        let path = dir.join(name);
        fs::write(&path, content).unwrap();
        path
    }

    #[test]
    fn a_file_goes_in_chunks_and_is_removed_once_core_has_all_of_it() {
        let base = tempfile::tempdir().unwrap();
        let content: Vec<u8> = (0..ARTIFACT_CHUNK_BYTES + 10).map(|n| n as u8).collect();
        let name = "ab".repeat(32);
        let path = put(base.path(), "ssh-1", &name, &content);
        put(base.path(), "ssh-1", ".tmp-1-2", b"half");
        let (mut uploader, now) = (Uploader::new(base.path()), Instant::now());
        let mut received = Vec::new();
        let artifact: ArtifactId = name.parse().unwrap();
        let mut ended = false;
        while let Some(message) = uploader.next(NodeId(1), now) {
            match message {
                NodeMessage::ArtifactBegin(begin) => {
                    assert_eq!((begin.size, begin.kind), (content.len() as u64, ArtifactKind::Download));
                    assert_eq!(begin.pot_id.as_deref(), Some("ssh-1"));
                }
                NodeMessage::ArtifactChunk(chunk) => {
                    assert_eq!(chunk.offset, received.len() as u64);
                    received.extend(chunk.data);
                }
                NodeMessage::ArtifactEnd(end) => {
                    assert_eq!(end.artifact, artifact);
                    ended = true;
                }
                other => panic!("{other:?}"),
            }
        }
        assert!(ended && received == content);
        uploader.stored(artifact, 10);
        assert!(path.exists());
        uploader.stored(artifact, content.len() as u64);
        assert!(!path.exists());
        assert!(uploader.next(NodeId(1), now).is_none());
    }

    #[test]
    fn links_are_not_followed_and_unconfirmed_files_make_room() {
        let base = tempfile::tempdir().unwrap();
        let secret = base.path().join("secret");
        fs::write(&secret, "x").unwrap();
        let first = put(base.path(), "a", &"1".repeat(64), b"{\"version\": 2, \"width\": 80}\n");
        std::os::unix::fs::symlink(&secret, base.path().join("a/artifacts").join("2".repeat(64))).unwrap();
        let (mut uploader, mut now) = (Uploader::new(base.path()), Instant::now());
        let mut kinds = Vec::new();
        for _ in 0..20 {
            match uploader.next(NodeId(1), now) {
                Some(NodeMessage::ArtifactBegin(begin)) => {
                    kinds.push((begin.artifact.to_string(), begin.kind))
                }
                Some(_) => {}
                None => now += CONFIRM_WITHIN,
            }
            if kinds.len() == 2 {
                break;
            }
        }
        assert!(kinds.iter().all(|kind| *kind == ("1".repeat(64), ArtifactKind::Ttylog)), "{kinds:?}");
        assert!(!kinds.is_empty() && first.exists());
    }
}

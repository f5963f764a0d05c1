//! The file tree an attacker sees: a shared read-only base and a private layer of changes per connection.
//!
//! The base is built once from a [`Persona`](crate::persona::Persona) and shared by every session; a session pays
//! only for what it changes. Every path here is a path of the fake machine: nothing in this module touches a real
//! file. Growth is bounded by bytes per file, bytes per session and number of nodes (see [`limits`]).

mod api;
mod base;
mod content;
pub mod limits;
pub(crate) use path::normalise;
mod path;

pub use api::{DirEntry, FileHandle, OpenFlags, SetStat};
pub(crate) use base::APPLETS;
pub use content::{Content, Device};

use crate::persona::Persona;
use sha2::{Digest, Sha256};
use std::collections::{BTreeMap, HashMap};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};

/// Identifies a node; stays valid while its session lives, also after the last name is removed.
pub type NodeId = u32;

/// The root directory.
pub const ROOT: NodeId = 0;

/// Why an operation on the fake tree failed; [`Errno::text`] is what `strerror` would say.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
#[error("{}", self.text())]
pub enum Errno {
    /// ENOENT.
    NoEntry,
    /// EACCES.
    Access,
    /// EPERM.
    NotPermitted,
    /// EEXIST.
    Exists,
    /// ENOTDIR.
    NotDir,
    /// EISDIR.
    IsDir,
    /// ENOTEMPTY.
    NotEmpty,
    /// ELOOP.
    Loop,
    /// ENAMETOOLONG.
    NameTooLong,
    /// ENOSPC: also what a session limit looks like from inside.
    NoSpace,
    /// EROFS.
    ReadOnly,
    /// EINVAL.
    Invalid,
}

impl Errno {
    /// The message of `strerror` in the C locale.
    #[must_use]
    pub fn text(self) -> &'static str {
        match self {
            Errno::NoEntry => "No such file or directory",
            Errno::Access => "Permission denied",
            Errno::NotPermitted => "Operation not permitted",
            Errno::Exists => "File exists",
            Errno::NotDir => "Not a directory",
            Errno::IsDir => "Is a directory",
            Errno::NotEmpty => "Directory not empty",
            Errno::Loop => "Too many levels of symbolic links",
            Errno::NameTooLong => "File name too long",
            Errno::NoSpace => "No space left on device",
            Errno::ReadOnly => "Read-only file system",
            Errno::Invalid => "Invalid argument",
        }
    }
}

/// Who asks: decides what the permission bits allow. Uid 0 may do everything.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Cred {
    /// User id.
    pub uid: u32,
    /// Group id.
    pub gid: u32,
}

impl Cred {
    /// The superuser.
    pub const ROOT: Cred = Cred { uid: 0, gid: 0 };
}

type Children = Arc<BTreeMap<Arc<str>, NodeId>>;

/// What a node is.
#[derive(Debug, Clone)]
pub enum Kind {
    /// Directory.
    Dir(Children),
    /// Regular file.
    File(Content),
    /// Symbolic link with its target.
    Link(Arc<str>),
    /// Character or block device.
    Device(Device),
}

/// A file, directory, link or device with its metadata.
#[derive(Debug, Clone)]
pub struct Node {
    /// What it is.
    pub kind: Kind,
    /// Permission bits with setuid, setgid and sticky.
    pub mode: u16,
    /// Owner.
    pub uid: u32,
    /// Group.
    pub gid: u32,
    /// Modification time, Unix seconds.
    pub mtime: i64,
}

/// Metadata as `stat` shows it.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Stat {
    /// The node.
    pub id: NodeId,
    /// File type bits and permission bits, as in `st_mode`.
    pub mode: u32,
    /// Owner.
    pub uid: u32,
    /// Group.
    pub gid: u32,
    /// Size in bytes.
    pub size: u64,
    /// Modification time, Unix seconds.
    pub mtime: i64,
    /// Number of links.
    pub nlink: u32,
}

impl Stat {
    /// Whether it is a directory.
    #[must_use]
    pub fn is_dir(&self) -> bool {
        self.mode & 0o170_000 == 0o040_000
    }

    /// Whether it is a regular file.
    #[must_use]
    pub fn is_file(&self) -> bool {
        self.mode & 0o170_000 == 0o100_000
    }

    /// Whether it is a symbolic link.
    #[must_use]
    pub fn is_link(&self) -> bool {
        self.mode & 0o170_000 == 0o120_000
    }

    /// `-rwxr-xr-x`, as `ls -l` writes it.
    #[must_use]
    pub fn mode_text(&self) -> String {
        let kind = match self.mode & 0o170_000 {
            0o040_000 => 'd',
            0o120_000 => 'l',
            0o020_000 => 'c',
            0o060_000 => 'b',
            _ => '-',
        };
        let mut text = String::from(kind);
        for (shift, special, letter) in [(6, 0o4000, 's'), (3, 0o2000, 's'), (0, 0o1000, 't')] {
            let bits = self.mode >> shift;
            text.push(if bits & 4 != 0 { 'r' } else { '-' });
            text.push(if bits & 2 != 0 { 'w' } else { '-' });
            text.push(match (bits & 1 != 0, self.mode & special != 0) {
                (true, true) => letter,
                (false, true) => letter.to_ascii_uppercase(),
                (true, false) => 'x',
                (false, false) => '-',
            });
        }
        text
    }
}

/// How a file's bytes came to be; decides which event the trap emits for it.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Origin {
    /// Written by a command or redirection.
    Command,
    /// Uploaded with scp or SFTP.
    Upload,
}

/// A file the attacker made, with its bytes: what the trap keeps as an artifact.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Written {
    /// Absolute path at the time of writing.
    pub path: String,
    /// Its content.
    pub bytes: Arc<Vec<u8>>,
    /// SHA-256 of the content.
    pub sha256: [u8; 32],
    /// How it came to be.
    pub origin: Origin,
}

/// The read-only tree shared by all sessions of one persona.
#[derive(Debug)]
pub struct Base {
    nodes: Vec<Node>,
    persona: Arc<Persona>,
}

#[derive(Debug, Clone)]
struct Track {
    path: Arc<str>,
    origin: Origin,
}

/// A session's view of the tree: the base plus its own changes. Cloning is cheap (contents are shared).
#[derive(Debug, Clone)]
pub struct Vfs {
    base: Arc<Base>,
    changed: HashMap<NodeId, Node>,
    next: NodeId,
    bytes: u64,
    now: i64,
    // Files to hand over as artifacts; the hash of what was already handed over is remembered beside them.
    written: BTreeMap<NodeId, Track>,
    reported: HashMap<NodeId, [u8; 32]>,
}

/// A [`Vfs`] that the channels of one connection share.
#[derive(Debug, Clone)]
pub struct SharedVfs(Arc<Mutex<Vfs>>);

impl SharedVfs {
    /// Wraps a tree for sharing.
    #[must_use]
    pub fn new(vfs: Vfs) -> SharedVfs {
        SharedVfs(Arc::new(Mutex::new(vfs)))
    }

    /// Exclusive access for one operation. Never hold it across an await point.
    pub fn lock(&self) -> MutexGuard<'_, Vfs> {
        self.0.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

impl Base {
    /// Builds the tree of `persona`. Takes about a millisecond: once per trap, not per session.
    #[must_use]
    pub fn new(persona: Arc<Persona>) -> Base {
        base::build(persona)
    }

    /// The persona the tree belongs to.
    #[must_use]
    pub fn persona(&self) -> &Arc<Persona> {
        &self.persona
    }

    /// Number of nodes.
    #[must_use]
    pub fn nodes_count(&self) -> usize {
        self.nodes.len()
    }
}

impl Vfs {
    /// A fresh view without changes.
    #[must_use]
    pub fn new(base: Arc<Base>) -> Vfs {
        let next = u32::try_from(base.nodes.len()).unwrap_or(u32::MAX);
        Vfs {
            now: base.persona.booted,
            base,
            changed: HashMap::new(),
            next,
            bytes: 0,
            written: BTreeMap::new(),
            reported: HashMap::new(),
        }
    }

    /// Sets the time (Unix seconds) that new and changed nodes carry.
    pub fn set_now(&mut self, now: i64) {
        self.now = now;
    }

    /// The machine this tree belongs to.
    #[must_use]
    pub fn persona(&self) -> &Arc<Persona> {
        &self.base.persona
    }

    /// Bytes held by this session's own files.
    #[must_use]
    pub fn bytes(&self) -> u64 {
        self.bytes
    }

    /// Number of nodes this session changed or made.
    #[must_use]
    pub fn changed_count(&self) -> usize {
        self.changed.len()
    }

    /// The node behind an id.
    #[must_use]
    pub fn node(&self, id: NodeId) -> Option<&Node> {
        self.changed.get(&id).or_else(|| self.base.nodes.get(id as usize))
    }

    /// Metadata of a node.
    ///
    /// # Errors
    /// [`Errno::NoEntry`] if the id is unknown.
    pub fn stat_id(&self, id: NodeId) -> Result<Stat, Errno> {
        let node = self.node(id).ok_or(Errno::NoEntry)?;
        let (kind, size, nlink) = match &node.kind {
            Kind::Dir(children) => {
                let dirs = children.values().filter(|c| self.is_dir_id(**c)).count();
                (0o040_000, 4096.max(children.len() as u64 / 40 * 4096), 2 + dirs as u32)
            }
            Kind::File(content) => (0o100_000, content.size(), 1),
            Kind::Link(target) => (0o120_000, target.len() as u64, 1),
            Kind::Device(device) => (if device.block { 0o060_000 } else { 0o020_000 }, 0, 1),
        };
        Ok(Stat {
            id,
            mode: kind | u32::from(node.mode),
            uid: node.uid,
            gid: node.gid,
            size,
            mtime: node.mtime,
            nlink,
        })
    }

    /// Whether the node is a directory.
    #[must_use]
    pub fn is_dir_id(&self, id: NodeId) -> bool {
        matches!(self.node(id), Some(Node { kind: Kind::Dir(_), .. }))
    }

    /// Names and nodes of a directory, sorted by name.
    ///
    /// # Errors
    /// [`Errno::NotDir`] for anything else.
    pub fn list_id(&self, id: NodeId) -> Result<Vec<(Arc<str>, NodeId)>, Errno> {
        match self.node(id).map(|n| &n.kind) {
            Some(Kind::Dir(children)) => Ok(children.iter().map(|(n, i)| (n.clone(), *i)).collect()),
            Some(_) => Err(Errno::NotDir),
            None => Err(Errno::NoEntry),
        }
    }

    /// The whole content of a file, cut at [`limits::READ_BYTES_MAX`].
    ///
    /// # Errors
    /// [`Errno::IsDir`] for a directory, [`Errno::Invalid`] for a link or an endless device.
    pub fn read_id(&self, id: NodeId) -> Result<Arc<Vec<u8>>, Errno> {
        match &self.node(id).ok_or(Errno::NoEntry)?.kind {
            Kind::File(content) => Ok(content.bytes(&self.base.persona, self.now)),
            Kind::Device(device) => Ok(Arc::new(device.bytes(&self.base.persona))),
            Kind::Dir(_) => Err(Errno::IsDir),
            Kind::Link(_) => Err(Errno::Invalid),
        }
    }

    /// Files this session wrote and that were not handed over in their present form, marking them as handed over.
    pub fn take_written(&mut self) -> Vec<Written> {
        let ids: Vec<NodeId> = self.written.keys().copied().collect();
        ids.into_iter().filter_map(|id| self.take_written_id(id)).collect()
    }

    /// The same for one file: when it is executed, closed or removed.
    pub fn take_written_id(&mut self, id: NodeId) -> Option<Written> {
        let track = self.written.get(&id)?.clone();
        let bytes = match &self.node(id)?.kind {
            Kind::File(Content::Bytes(bytes)) if !bytes.is_empty() => bytes.clone(),
            _ => return None,
        };
        let sha256: [u8; 32] = Sha256::digest(bytes.as_slice()).into();
        if self.reported.insert(id, sha256) == Some(sha256) {
            return None;
        }
        Some(Written { path: track.path.to_string(), bytes, sha256, origin: track.origin })
    }

    /// SHA-256 of what was handed over for a file, if it was.
    #[must_use]
    pub fn reported(&self, id: NodeId) -> Option<[u8; 32]> {
        self.reported.get(&id).copied()
    }

    fn edit(&mut self, id: NodeId) -> Result<&mut Node, Errno> {
        if !self.changed.contains_key(&id) {
            if self.changed.len() >= limits::NODES_MAX {
                return Err(Errno::NoSpace);
            }
            let node = self.base.nodes.get(id as usize).ok_or(Errno::NoEntry)?.clone();
            self.changed.insert(id, node);
        }
        self.changed.get_mut(&id).ok_or(Errno::NoEntry)
    }

    fn add(&mut self, node: Node) -> Result<NodeId, Errno> {
        if self.changed.len() >= limits::NODES_MAX {
            return Err(Errno::NoSpace);
        }
        let id = self.next;
        self.next = self.next.checked_add(1).ok_or(Errno::NoSpace)?;
        self.changed.insert(id, node);
        Ok(id)
    }

    fn link_child(&mut self, dir: NodeId, name: &str, child: NodeId) -> Result<(), Errno> {
        let now = self.now;
        let node = self.edit(dir)?;
        let Kind::Dir(children) = &mut node.kind else { return Err(Errno::NotDir) };
        Arc::make_mut(children).insert(Arc::from(name), child);
        node.mtime = now;
        Ok(())
    }

    fn unlink_child(&mut self, dir: NodeId, name: &str) -> Result<(), Errno> {
        let now = self.now;
        let node = self.edit(dir)?;
        let Kind::Dir(children) = &mut node.kind else { return Err(Errno::NotDir) };
        Arc::make_mut(children).remove(name);
        node.mtime = now;
        Ok(())
    }

    /// Whether `cred` may do `bits` (4 read, 2 write, 1 execute) to a node.
    #[must_use]
    pub fn allowed(&self, id: NodeId, cred: Cred, bits: u16) -> bool {
        let Some(node) = self.node(id) else { return false };
        if cred.uid == 0 {
            return bits & 1 == 0 || matches!(node.kind, Kind::Dir(_)) || node.mode & 0o111 != 0;
        }
        let shift = if node.uid == cred.uid {
            6
        } else if node.gid == cred.gid {
            3
        } else {
            0
        };
        node.mode >> shift & bits == bits
    }
}

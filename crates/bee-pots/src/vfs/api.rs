//! Operations on the tree as system calls know them; commands, redirections, scp and SFTP all come through here.

use super::limits::{FILE_BYTES_MAX, NAME_BYTES_MAX, SESSION_BYTES_MAX};
use super::{Content, Cred, Device, Errno, Kind, Node, NodeId, Origin, Stat, Track, Vfs};
use std::sync::Arc;

/// An entry of a directory listing.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct DirEntry {
    /// Name within the directory.
    pub name: String,
    /// Its metadata; a link's own.
    pub stat: Stat,
}

/// How to open a file.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub struct OpenFlags {
    /// Reading is wanted.
    pub read: bool,
    /// Writing is wanted.
    pub write: bool,
    /// Create it if it does not exist.
    pub create: bool,
    /// With `create`: fail if it exists.
    pub exclusive: bool,
    /// Cut it to zero bytes.
    pub truncate: bool,
    /// Every write goes to the end.
    pub append: bool,
}

impl OpenFlags {
    /// For reading.
    pub const READ: OpenFlags = OpenFlags {
        read: true,
        write: false,
        create: false,
        exclusive: false,
        truncate: false,
        append: false,
    };
    /// Create or cut, for writing: `>`.
    pub const REPLACE: OpenFlags =
        OpenFlags { read: false, write: true, create: true, exclusive: false, truncate: true, append: false };
    /// Create or extend: `>>`.
    pub const APPEND: OpenFlags =
        OpenFlags { read: false, write: true, create: true, exclusive: false, truncate: false, append: true };
}

/// An open file. It needs no closing: it is only a number and two flags.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct FileHandle {
    /// The node.
    pub id: NodeId,
    flags: OpenFlags,
}

/// Attributes to change; `None` leaves one as it is.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub struct SetStat {
    /// New size in bytes.
    pub size: Option<u64>,
    /// New permission bits.
    pub mode: Option<u16>,
    /// New owner.
    pub uid: Option<u32>,
    /// New group.
    pub gid: Option<u32>,
    /// New modification time, Unix seconds.
    pub mtime: Option<i64>,
}

impl Vfs {
    /// Metadata, following links.
    ///
    /// # Errors
    /// As `stat(2)`.
    pub fn stat(&self, cwd: &str, path: &str) -> Result<Stat, Errno> {
        self.stat_id(self.resolve(cwd, path)?)
    }

    /// Metadata of the link itself.
    ///
    /// # Errors
    /// As `lstat(2)`.
    pub fn lstat(&self, cwd: &str, path: &str) -> Result<Stat, Errno> {
        self.stat_id(self.resolve_link(cwd, path)?)
    }

    /// Opens a file.
    ///
    /// # Errors
    /// As `open(2)`.
    pub fn open(
        &mut self,
        cwd: &str,
        path: &str,
        flags: OpenFlags,
        cred: Cred,
        origin: Origin,
    ) -> Result<FileHandle, Errno> {
        let (place, real) = self.walk(cwd, path, true, Some(cred))?;
        let id = match place.node {
            Some(id) => {
                if flags.create && flags.exclusive {
                    return Err(Errno::Exists);
                }
                if self.is_dir_id(id) && (flags.write || flags.read) {
                    return Err(Errno::IsDir);
                }
                let bits = if flags.read { 4 } else { 0 } | if flags.write { 2 } else { 0 };
                if !self.allowed(id, cred, bits) {
                    return Err(Errno::Access);
                }
                id
            }
            None if flags.create => {
                if path.ends_with('/') {
                    return Err(Errno::IsDir);
                }
                self.may_change(place.dir, &real, cred)?;
                let node = Node {
                    kind: Kind::File(Content::empty()),
                    mode: 0o644,
                    uid: cred.uid,
                    gid: cred.gid,
                    mtime: self.now,
                };
                let id = self.add(node)?;
                self.link_child(place.dir, &place.name, id)?;
                id
            }
            None => return Err(Errno::NoEntry),
        };
        if flags.write && matches!(self.node(id), Some(Node { kind: Kind::File(_), .. })) {
            self.writable_mount(&real)?;
            if flags.truncate {
                self.resize(id, 0)?;
            }
            self.written.insert(id, Track { path: Arc::from(real), origin });
        }
        Ok(FileHandle { id, flags })
    }

    /// Reads up to `len` bytes at `offset`; an empty answer is the end of the file.
    ///
    /// # Errors
    /// [`Errno::Access`] on a handle not opened for reading, otherwise as `read(2)`.
    pub fn read(&self, handle: FileHandle, offset: u64, len: usize) -> Result<Vec<u8>, Errno> {
        if !handle.flags.read {
            return Err(Errno::Access);
        }
        let bytes = self.read_id(handle.id)?;
        let start = usize::try_from(offset).unwrap_or(usize::MAX).min(bytes.len());
        let end = start.saturating_add(len).min(bytes.len());
        Ok(bytes.get(start..end).unwrap_or_default().to_vec())
    }

    /// Writes `data` at `offset` (at the end on an append handle); a hole is filled with zeros.
    ///
    /// # Errors
    /// [`Errno::NoSpace`] at a session limit, [`Errno::Access`] on a handle not opened for writing.
    pub fn write(&mut self, handle: FileHandle, offset: u64, data: &[u8]) -> Result<(), Errno> {
        if !handle.flags.write {
            return Err(Errno::Access);
        }
        let size = match self.node(handle.id).map(|n| &n.kind) {
            Some(Kind::Device(device)) => {
                return if device.block { Err(Errno::NotPermitted) } else { Ok(()) };
            }
            Some(Kind::File(content)) => content.size(),
            _ => return Err(Errno::Invalid),
        };
        let start = if handle.flags.append { size } else { offset };
        let end = start.checked_add(data.len() as u64).ok_or(Errno::NoSpace)?;
        self.resize(handle.id, size.max(end))?;
        let now = self.now;
        let node = self.edit(handle.id)?;
        node.mtime = now;
        if let Kind::File(Content::Bytes(bytes)) = &mut node.kind {
            let (start, end) =
                (usize::try_from(start).unwrap_or(usize::MAX), usize::try_from(end).unwrap_or(usize::MAX));
            if let Some(target) = Arc::make_mut(bytes).get_mut(start..end) {
                target.copy_from_slice(data);
            }
        }
        Ok(())
    }

    /// Entries of a directory, sorted by name, without `.` and `..`.
    ///
    /// # Errors
    /// As `opendir(3)`.
    pub fn readdir(&self, cwd: &str, path: &str, cred: Cred) -> Result<Vec<DirEntry>, Errno> {
        let id = self.resolve_as(cwd, path, cred)?;
        if !self.allowed(id, cred, 4) {
            return Err(Errno::Access);
        }
        let entries = self.list_id(id)?;
        Ok(entries
            .into_iter()
            .filter_map(|(n, id)| Some(DirEntry { name: n.to_string(), stat: self.stat_id(id).ok()? }))
            .collect())
    }

    /// Makes a directory.
    ///
    /// # Errors
    /// As `mkdir(2)`.
    pub fn mkdir(&mut self, cwd: &str, path: &str, mode: u16, cred: Cred) -> Result<(), Errno> {
        let node =
            Node { kind: Kind::Dir(Arc::default()), mode, uid: cred.uid, gid: cred.gid, mtime: self.now };
        self.make(cwd, path.trim_end_matches('/'), node, cred)
    }

    /// Makes a symbolic link at `path` that points to `target`.
    ///
    /// # Errors
    /// As `symlink(2)`.
    pub fn symlink(&mut self, cwd: &str, target: &str, path: &str, cred: Cred) -> Result<(), Errno> {
        if target.is_empty() || target.len() > super::limits::PATH_BYTES_MAX {
            return Err(Errno::NoEntry);
        }
        let node = Node {
            kind: Kind::Link(Arc::from(target)),
            mode: 0o777,
            uid: cred.uid,
            gid: cred.gid,
            mtime: self.now,
        };
        self.make(cwd, path, node, cred)
    }

    /// Target of a symbolic link.
    ///
    /// # Errors
    /// [`Errno::Invalid`] if it is no link.
    pub fn readlink(&self, cwd: &str, path: &str) -> Result<String, Errno> {
        match self.node(self.resolve_link(cwd, path)?).map(|n| &n.kind) {
            Some(Kind::Link(target)) => Ok(target.to_string()),
            _ => Err(Errno::Invalid),
        }
    }

    /// Makes a hard link.
    ///
    /// # Errors
    /// As `link(2)`.
    pub fn link(&mut self, cwd: &str, from: &str, to: &str, cred: Cred) -> Result<(), Errno> {
        let id = self.resolve_link(cwd, from)?;
        if self.is_dir_id(id) {
            return Err(Errno::NotPermitted);
        }
        let (place, real) = self.walk(cwd, to, false, Some(cred))?;
        if place.node.is_some() {
            return Err(Errno::Exists);
        }
        self.may_change(place.dir, &real, cred)?;
        self.link_child(place.dir, &place.name, id)
    }

    /// Removes a file or link, not a directory.
    ///
    /// # Errors
    /// As `unlink(2)`.
    pub fn remove(&mut self, cwd: &str, path: &str, cred: Cred) -> Result<(), Errno> {
        let (place, real) = self.walk(cwd, path, false, Some(cred))?;
        let id = place.node.ok_or(Errno::NoEntry)?;
        if self.is_dir_id(id) {
            return Err(Errno::IsDir);
        }
        self.may_remove(place.dir, id, &real, cred)?;
        self.unlink_child(place.dir, &place.name)
    }

    /// Removes an empty directory.
    ///
    /// # Errors
    /// As `rmdir(2)`.
    pub fn rmdir(&mut self, cwd: &str, path: &str, cred: Cred) -> Result<(), Errno> {
        let (place, real) = self.walk(cwd, path, false, Some(cred))?;
        let id = place.node.ok_or(Errno::NoEntry)?;
        if !self.list_id(id)?.is_empty() {
            return Err(Errno::NotEmpty);
        }
        if place.name.is_empty() {
            return Err(Errno::NotPermitted);
        }
        self.may_remove(place.dir, id, &real, cred)?;
        self.unlink_child(place.dir, &place.name)
    }

    /// Renames, replacing a file or an empty directory at the new name.
    ///
    /// # Errors
    /// As `rename(2)`.
    pub fn rename(&mut self, cwd: &str, from: &str, to: &str, cred: Cred) -> Result<(), Errno> {
        let (old, old_real) = self.walk(cwd, from, false, Some(cred))?;
        let (new, new_real) = self.walk(cwd, to.trim_end_matches('/'), false, Some(cred))?;
        let id = old.node.ok_or(Errno::NoEntry)?;
        if old.name.is_empty() || new.name.is_empty() || new_real.starts_with(&format!("{old_real}/")) {
            return Err(Errno::Invalid);
        }
        if new.node == Some(id) {
            return Ok(());
        }
        if let Some(other) = new.node {
            match (self.is_dir_id(id), self.is_dir_id(other)) {
                (false, true) => return Err(Errno::IsDir),
                (true, false) => return Err(Errno::NotDir),
                (true, true) if !self.list_id(other)?.is_empty() => return Err(Errno::NotEmpty),
                _ => {}
            }
        }
        self.may_remove(old.dir, id, &old_real, cred)?;
        self.may_change(new.dir, &new_real, cred)?;
        self.link_child(new.dir, &new.name, id)?;
        self.unlink_child(old.dir, &old.name)?;
        if let Some(track) = self.written.get_mut(&id) {
            track.path = Arc::from(new_real);
        }
        Ok(())
    }

    /// Changes attributes, following links.
    ///
    /// # Errors
    /// As `chmod(2)`, `chown(2)`, `truncate(2)`, `utimes(2)`.
    pub fn setstat(&mut self, cwd: &str, path: &str, change: SetStat, cred: Cred) -> Result<(), Errno> {
        let (place, real) = self.walk(cwd, path, true, Some(cred))?;
        let id = place.node.ok_or(Errno::NoEntry)?;
        self.writable_mount(&real)?;
        self.setstat_id(id, change, cred)
    }

    /// Changes attributes of an open file (`fsetstat` of SFTP).
    ///
    /// # Errors
    /// As [`Vfs::setstat`].
    pub fn setstat_id(&mut self, id: NodeId, change: SetStat, cred: Cred) -> Result<(), Errno> {
        let owner = self.node(id).ok_or(Errno::NoEntry)?.uid;
        if cred.uid != 0 && (cred.uid != owner || change.uid.is_some_and(|uid| uid != owner)) {
            return Err(Errno::NotPermitted);
        }
        if let Some(size) = change.size {
            self.resize(id, size)?;
        }
        let node = self.edit(id)?;
        node.mode = change.mode.map_or(node.mode, |m| m & 0o7777);
        node.uid = change.uid.unwrap_or(node.uid);
        node.gid = change.gid.unwrap_or(node.gid);
        node.mtime = change.mtime.unwrap_or(node.mtime);
        Ok(())
    }

    /// Replaces a file's content without keeping the bytes as an artifact: made-up downloads and copies of programs.
    ///
    /// # Errors
    /// As `open(2)`.
    pub fn put_content(
        &mut self,
        cwd: &str,
        path: &str,
        content: Content,
        mode: Option<u16>,
        cred: Cred,
    ) -> Result<(), Errno> {
        let handle = self.open(cwd, path, OpenFlags::REPLACE, cred, Origin::Command)?;
        let tracked = matches!(content, Content::Bytes(_));
        let size = content.size();
        if tracked {
            self.room(size)?;
            self.bytes += size;
        } else {
            self.written.remove(&handle.id);
        }
        let node = self.edit(handle.id)?;
        if matches!(node.kind, Kind::File(_)) {
            node.kind = Kind::File(content);
            node.mode = mode.unwrap_or(node.mode);
        }
        Ok(())
    }

    fn make(&mut self, cwd: &str, path: &str, node: Node, cred: Cred) -> Result<(), Errno> {
        let (place, real) = self.walk(cwd, if path.is_empty() { "/" } else { path }, false, Some(cred))?;
        if place.node.is_some() {
            return Err(Errno::Exists);
        }
        if place.name.len() > NAME_BYTES_MAX {
            return Err(Errno::NameTooLong);
        }
        self.may_change(place.dir, &real, cred)?;
        let id = self.add(node)?;
        self.link_child(place.dir, &place.name, id)
    }

    fn may_change(&self, dir: NodeId, real: &str, cred: Cred) -> Result<(), Errno> {
        self.writable_mount(real)?;
        if self.allowed(dir, cred, 3) { Ok(()) } else { Err(Errno::Access) }
    }

    fn may_remove(&self, dir: NodeId, id: NodeId, real: &str, cred: Cred) -> Result<(), Errno> {
        self.may_change(dir, real, cred)?;
        let sticky = self.node(dir).is_some_and(|d| d.mode & 0o1000 != 0 && d.uid != cred.uid);
        let owner = self.node(id).map(|n| n.uid);
        if sticky && cred.uid != 0 && owner != Some(cred.uid) { Err(Errno::NotPermitted) } else { Ok(()) }
    }

    /// A device's root is a read-only squashfs; worms look for a directory they can write.
    fn writable_mount(&self, real: &str) -> Result<(), Errno> {
        let top = real.split('/').nth(1).unwrap_or_default();
        match top {
            "proc" if real != "/proc/sys/vm/drop_caches" => Err(Errno::Access),
            "sys" => Err(Errno::Access),
            "tmp" | "var" | "dev" | "mnt" | "run" => Ok(()),
            _ if self.base.persona.family == crate::persona::Family::Device => Err(Errno::ReadOnly),
            _ => Ok(()),
        }
    }

    /// Whether the file system a path is on can be written at all.
    #[must_use]
    pub fn can_write_at(&self, cwd: &str, path: &str) -> bool {
        self.realpath(cwd, path).and_then(|real| self.writable_mount(&real)).is_ok()
    }

    fn room(&self, more: u64) -> Result<(), Errno> {
        if more > FILE_BYTES_MAX || self.bytes.saturating_add(more) > SESSION_BYTES_MAX {
            Err(Errno::NoSpace)
        } else {
            Ok(())
        }
    }

    /// Brings a file to `size` bytes held in memory; made-up content becomes real bytes.
    fn resize(&mut self, id: NodeId, size: u64) -> Result<(), Errno> {
        let old = match self.node(id).map(|n| &n.kind) {
            Some(Kind::File(content)) => content.clone(),
            Some(Kind::Device(_)) => return Ok(()),
            Some(Kind::Dir(_)) => return Err(Errno::IsDir),
            _ => return Err(Errno::Invalid),
        };
        let held = if let Content::Bytes(bytes) = &old { bytes.len() as u64 } else { 0 };
        if size > held {
            if size > FILE_BYTES_MAX {
                return Err(Errno::NoSpace);
            }
            self.room(size - held)?;
        }
        drop(old);
        let (persona, now) = (self.base.persona.clone(), self.now);
        let node = self.edit(id)?;
        node.mtime = now;
        if let Kind::File(content) = &mut node.kind {
            if !matches!(content, Content::Bytes(_)) {
                let bytes = if size == 0 { Arc::default() } else { content.bytes(&persona, now) };
                *content = Content::Bytes(bytes);
            }
            if let Content::Bytes(bytes) = content {
                Arc::make_mut(bytes).resize(usize::try_from(size).unwrap_or(usize::MAX), 0);
            }
        }
        self.bytes = (self.bytes + size).saturating_sub(held);
        Ok(())
    }

    /// Whether a node is `/dev/null`-like: writes vanish.
    #[must_use]
    pub fn device(&self, id: NodeId) -> Option<Device> {
        match self.node(id).map(|n| &n.kind) {
            Some(Kind::Device(device)) => Some(*device),
            _ => None,
        }
    }
}

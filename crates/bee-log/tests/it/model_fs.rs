//! A file system in memory that keeps what a disk would keep: on a power cut any subset of the unsynced writes and
//! names is lost, writes are torn at any byte, and files are independent of each other. It can run out of space, fail
//! any call, and crash in the middle of any call.
//!
//! A sync that fails behaves like Linux: the pages count as clean afterwards, so a later sync succeeds without having
//! written them.

use std::collections::BTreeMap;
use std::io;
use std::path::{Path, PathBuf};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};

use bee_log::fs::{File, Fs, LockGuard};
use rand::{RngExt, SeedableRng};
use rand_chacha::ChaCha8Rng;

/// What a process that dies leaves behind.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Death {
    /// The kernel lives on: all that was written is still there.
    Kill,
    /// Only what was synced is sure to be there.
    PowerCut,
}

#[derive(Clone)]
pub(crate) struct ModelFs(Arc<Mutex<Disk>>);

struct Disk {
    rng: ChaCha8Rng,
    inodes: BTreeMap<u64, Inode>,
    next_inode: u64,
    /// Names as the running system sees them, and as they are on disk with the changes that are not synced.
    names: BTreeMap<PathBuf, u64>,
    durable_names: BTreeMap<PathBuf, u64>,
    unsynced_names: Vec<(PathBuf, Option<u64>)>,
    locked: bool,
    /// Grows with each death; what belongs to an older life is dead.
    life: u64,
    dead: bool,
    /// Calls left until the process dies in the middle of one.
    calls_until_death: Option<u32>,
    /// Chance of a changing call to fail.
    fault_chance: f64,
    capacity: Option<usize>,
    pub(crate) faults: u64,
}

#[derive(Default, Clone)]
struct Inode {
    cache: Vec<u8>,
    disk: Vec<u8>,
    unsynced: Vec<Change>,
}

#[derive(Clone)]
enum Change {
    Write(usize, Vec<u8>),
    Cut(usize),
}

impl Change {
    fn apply(&self, to: &mut Vec<u8>) {
        match self {
            Self::Cut(len) => to.resize(*len, 0),
            Self::Write(at, bytes) => {
                if to.len() < at + bytes.len() {
                    to.resize(at + bytes.len(), 0);
                }
                to[*at..at + bytes.len()].copy_from_slice(bytes);
            }
        }
    }
}

impl ModelFs {
    pub(crate) fn new(seed: u64) -> Self {
        Self(Arc::new(Mutex::new(Disk {
            rng: ChaCha8Rng::seed_from_u64(seed),
            inodes: BTreeMap::new(),
            next_inode: 0,
            names: BTreeMap::new(),
            durable_names: BTreeMap::new(),
            unsynced_names: Vec::new(),
            locked: false,
            life: 0,
            dead: false,
            calls_until_death: None,
            fault_chance: 0.0,
            capacity: None,
            faults: 0,
        })))
    }

    fn disk(&self) -> MutexGuard<'_, Disk> {
        self.0.lock().unwrap_or_else(PoisonError::into_inner)
    }

    pub(crate) fn set_fault_chance(&self, chance: f64) {
        self.disk().fault_chance = chance;
    }

    pub(crate) fn set_capacity(&self, capacity: Option<usize>) {
        self.disk().capacity = capacity;
    }

    pub(crate) fn die_after(&self, calls: Option<u32>) {
        self.disk().calls_until_death = calls;
    }

    pub(crate) fn is_dead(&self) -> bool {
        self.disk().dead
    }

    pub(crate) fn faults(&self) -> u64 {
        self.disk().faults
    }

    /// Ends the life of everything that is open, and starts the next one.
    pub(crate) fn restart(&self, death: Death) {
        let mut disk = self.disk();
        let disk = &mut *disk;
        disk.life += 1;
        disk.dead = false;
        disk.locked = false;
        disk.calls_until_death = None;
        if death == Death::Kill {
            return;
        }
        let rng = &mut disk.rng;
        for inode in disk.inodes.values_mut() {
            let keep = [0.0, 0.5, 0.9, 1.0][rng.random_range(0..4)];
            for change in std::mem::take(&mut inode.unsynced) {
                for piece in tear(rng, change, keep) {
                    piece.apply(&mut inode.disk);
                }
            }
            inode.cache.clone_from(&inode.disk);
        }
        let keep = [0.0, 0.5, 1.0][rng.random_range(0..3)];
        for (path, inode) in std::mem::take(&mut disk.unsynced_names) {
            if rng.random_bool(keep) {
                set_name(&mut disk.durable_names, path, inode);
            }
        }
        disk.names.clone_from(&disk.durable_names);
        disk.inodes.retain(|inode, _| disk.names.values().any(|named| named == inode));
    }

    /// Bytes of a file as they are now.
    pub(crate) fn bytes(&self, path: &Path) -> Option<Vec<u8>> {
        let disk = self.disk();
        disk.names.get(path).map(|inode| disk.inodes[inode].cache.clone())
    }

    /// Puts a file there, durably: damage, or an older copy.
    pub(crate) fn put(&self, path: &Path, bytes: Vec<u8>) {
        let mut disk = self.disk();
        let inode = disk.next_inode;
        disk.next_inode += 1;
        disk.inodes.insert(inode, Inode { cache: bytes.clone(), disk: bytes, unsynced: Vec::new() });
        disk.names.insert(path.to_path_buf(), inode);
        disk.durable_names.insert(path.to_path_buf(), inode);
    }

    pub(crate) fn paths(&self) -> Vec<PathBuf> {
        self.disk().names.keys().cloned().collect()
    }
}

/// What of an unsynced change gets to the disk.
fn tear(rng: &mut ChaCha8Rng, change: Change, keep: f64) -> Vec<Change> {
    let Change::Write(at, bytes) = change else {
        return if rng.random_bool(keep) { vec![change] } else { Vec::new() };
    };
    let mut cuts: Vec<usize> =
        (0..rng.random_range(0..4)).map(|_| rng.random_range(0..=bytes.len())).collect();
    cuts.extend([0, bytes.len()]);
    cuts.sort_unstable();
    let mut pieces = Vec::new();
    for pair in cuts.windows(2).filter(|pair| pair[0] < pair[1]) {
        if rng.random_bool(keep) {
            pieces.push(Change::Write(at + pair[0], bytes[pair[0]..pair[1]].to_vec()));
        }
    }
    pieces
}

fn set_name(names: &mut BTreeMap<PathBuf, u64>, path: PathBuf, inode: Option<u64>) {
    match inode {
        Some(inode) => names.insert(path, inode),
        None => names.remove(&path),
    };
}

fn dead() -> io::Error {
    io::Error::other("this process is dead")
}

/// What happens to a call that changes something.
#[derive(PartialEq, Eq)]
enum Fate {
    Succeeds,
    Fails,
    Dies,
}

impl Disk {
    fn fate(&mut self, life: u64) -> io::Result<Fate> {
        if self.dead || life != self.life {
            return Err(dead());
        }
        if let Some(left) = &mut self.calls_until_death {
            if *left == 0 {
                self.dead = true;
                return Ok(Fate::Dies);
            }
            *left -= 1;
        }
        if self.rng.random_bool(self.fault_chance) {
            self.faults += 1;
            return Ok(Fate::Fails);
        }
        Ok(Fate::Succeeds)
    }

    fn error(&mut self) -> io::Error {
        if self.rng.random_bool(0.5) {
            io::ErrorKind::StorageFull.into()
        } else {
            io::Error::other("EIO (injected)")
        }
    }

    /// Bytes that may still be written.
    fn room(&self) -> usize {
        let used: usize = self.names.values().map(|inode| self.inodes[inode].cache.len()).sum();
        self.capacity.map_or(usize::MAX, |capacity| capacity.saturating_sub(used))
    }

    fn change(&mut self, inode: u64, change: Change) {
        let inode = self.inodes.get_mut(&inode).unwrap();
        change.apply(&mut inode.cache);
        inode.unsynced.push(change);
    }

    fn change_name(&mut self, path: &Path, inode: Option<u64>) {
        set_name(&mut self.names, path.to_path_buf(), inode);
        self.unsynced_names.push((path.to_path_buf(), inode));
    }
}

impl Fs for ModelFs {
    fn create_dirs(&self, _: &Path) -> io::Result<()> {
        Ok(())
    }

    fn list(&self, dir: &Path) -> io::Result<Vec<String>> {
        let disk = self.disk();
        let here = disk.names.keys().filter(|path| path.parent() == Some(dir));
        Ok(here.map(|path| path.file_name().unwrap().to_str().unwrap().to_owned()).collect())
    }

    fn open(&self, path: &Path, create: bool) -> io::Result<Arc<dyn File>> {
        let mut disk = self.disk();
        let life = disk.life;
        if disk.dead {
            return Err(dead());
        }
        let inode = match disk.names.get(path) {
            Some(_) if create => return Err(io::ErrorKind::AlreadyExists.into()),
            Some(inode) => *inode,
            None if !create => return Err(io::ErrorKind::NotFound.into()),
            None => {
                let fate = disk.fate(life)?;
                if fate == Fate::Fails {
                    return Err(disk.error());
                }
                let inode = disk.next_inode;
                disk.next_inode += 1;
                disk.inodes.insert(inode, Inode::default());
                disk.change_name(path, Some(inode));
                if fate == Fate::Dies {
                    return Err(dead());
                }
                inode
            }
        };
        Ok(Arc::new(ModelFile { fs: self.clone(), inode, life }))
    }

    fn remove(&self, path: &Path) -> io::Result<()> {
        let mut disk = self.disk();
        let life = disk.life;
        let fate = disk.fate(life)?;
        if fate == Fate::Fails {
            return Err(io::Error::other("EIO (injected)"));
        }
        if !disk.names.contains_key(path) {
            return Err(io::ErrorKind::NotFound.into());
        }
        disk.change_name(path, None);
        if fate == Fate::Dies { Err(dead()) } else { Ok(()) }
    }

    fn sync_dir(&self, _: &Path) -> io::Result<()> {
        let mut disk = self.disk();
        let life = disk.life;
        match disk.fate(life)? {
            Fate::Dies => return Err(dead()),
            Fate::Fails => return Err(disk.error()),
            Fate::Succeeds => {}
        }
        for (path, inode) in std::mem::take(&mut disk.unsynced_names) {
            set_name(&mut disk.durable_names, path, inode);
        }
        Ok(())
    }

    fn lock(&self, _: &Path) -> io::Result<LockGuard> {
        let mut disk = self.disk();
        if std::mem::replace(&mut disk.locked, true) {
            return Err(io::ErrorKind::WouldBlock.into());
        }
        Ok(Box::new(Unlock { fs: self.clone(), life: disk.life }))
    }

    fn random(&self) -> u64 {
        self.disk().rng.random()
    }
}

struct Unlock {
    fs: ModelFs,
    life: u64,
}

impl Drop for Unlock {
    fn drop(&mut self) {
        let mut disk = self.fs.disk();
        if disk.life == self.life {
            disk.locked = false;
        }
    }
}

struct ModelFile {
    fs: ModelFs,
    inode: u64,
    life: u64,
}

impl ModelFile {
    fn sync(&self) -> io::Result<()> {
        let mut disk = self.fs.disk();
        let fate = disk.fate(self.life)?;
        if fate == Fate::Dies {
            return Err(dead());
        }
        let disk = &mut *disk;
        let inode = disk.inodes.get_mut(&self.inode).unwrap();
        for change in std::mem::take(&mut inode.unsynced) {
            // A failed sync has written some of it, and forgets the rest.
            let pieces = if fate == Fate::Fails { tear(&mut disk.rng, change, 0.5) } else { vec![change] };
            for piece in pieces {
                piece.apply(&mut inode.disk);
            }
        }
        // The size is the inode's own: the next sync that works makes it durable.
        if fate == Fate::Succeeds {
            inode.disk.resize(inode.cache.len(), 0);
            return Ok(());
        }
        Err(disk.error())
    }
}

impl File for ModelFile {
    fn len(&self) -> io::Result<u64> {
        Ok(self.fs.disk().inodes[&self.inode].cache.len() as u64)
    }

    fn read_at(&self, buf: &mut [u8], offset: u64) -> io::Result<usize> {
        let mut disk = self.fs.disk();
        if disk.dead || disk.life != self.life {
            return Err(dead());
        }
        let inode = disk.inodes[&self.inode].clone();
        let rest = inode.cache.get(offset as usize..).unwrap_or_default();
        let most = rest.len().min(buf.len());
        // Short reads are allowed, so they happen.
        let n = if most > 1 && disk.rng.random_bool(0.1) { disk.rng.random_range(1..=most) } else { most };
        buf[..n].copy_from_slice(&rest[..n]);
        Ok(n)
    }

    fn write_at(&self, buf: &[u8], offset: u64) -> io::Result<usize> {
        let mut disk = self.fs.disk();
        let fate = disk.fate(self.life)?;
        let at = offset as usize;
        let len = disk.inodes[&self.inode].cache.len();
        let most = len.saturating_add(disk.room()).saturating_sub(at).min(buf.len());
        let short = fate != Fate::Succeeds || disk.rng.random_bool(0.1);
        let n = if short { disk.rng.random_range(0..=most) } else { most };
        if n > 0 {
            disk.change(self.inode, Change::Write(at, buf[..n].to_vec()));
        }
        match fate {
            Fate::Dies => Err(dead()),
            Fate::Fails => Err(disk.error()),
            Fate::Succeeds if n == 0 && most == 0 => Err(io::ErrorKind::StorageFull.into()),
            Fate::Succeeds if n == 0 => Err(io::ErrorKind::Interrupted.into()),
            Fate::Succeeds => Ok(n),
        }
    }

    fn set_len(&self, len: u64) -> io::Result<()> {
        let mut disk = self.fs.disk();
        match disk.fate(self.life)? {
            Fate::Dies => return Err(dead()),
            Fate::Fails => return Err(io::Error::other("EIO (injected)")),
            Fate::Succeeds => {}
        }
        disk.change(self.inode, Change::Cut(len as usize));
        Ok(())
    }

    fn sync_data(&self) -> io::Result<()> {
        self.sync()
    }

    fn sync_all(&self) -> io::Result<()> {
        self.sync()
    }
}

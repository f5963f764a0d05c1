//! The SFTP subsystem (version 3, as OpenSSH's) over the fake file tree. Pure: request bytes in, answer bytes out.
//!
//! Own server because it has to answer as OpenSSH's does, extensions included, within bounds on packets, handles and
//! memory, and because every transfer is an event. Files that a client writes are reported when it closes them.

use std::collections::HashMap;

use crate::limits::{SFTP_HANDLES_MAX, SFTP_PACKET_MAX};
use crate::vfs::{Cred, DirEntry, Errno, FileHandle, OpenFlags, Origin, SetStat, SharedVfs, Stat, normalise};

/// Bytes returned by one READ, as OpenSSH's limit.
const READ_MAX: u32 = 255 * 1024;
/// Entries returned by one READDIR, as OpenSSH.
const ENTRIES_PER_READDIR: usize = 100;

const FX_OK: u32 = 0;
const FX_EOF: u32 = 1;
const FX_NO_SUCH_FILE: u32 = 2;
const FX_PERMISSION_DENIED: u32 = 3;
const FX_FAILURE: u32 = 4;
const FX_BAD_MESSAGE: u32 = 5;
const FX_OP_UNSUPPORTED: u32 = 8;

/// What OpenSSH 9.2's server announces and this one does.
const EXTENSIONS: &[(&str, &str)] = &[
    ("posix-rename@openssh.com", "1"),
    ("statvfs@openssh.com", "2"),
    ("fstatvfs@openssh.com", "2"),
    ("hardlink@openssh.com", "1"),
    ("fsync@openssh.com", "1"),
    ("lsetstat@openssh.com", "1"),
    ("limits@openssh.com", "1"),
    ("expand-path@openssh.com", "1"),
];

/// One SFTP session.
#[derive(Debug)]
pub(crate) struct Sftp {
    vfs: SharedVfs,
    cred: Cred,
    home: String,
    received: Vec<u8>,
    handles: HashMap<u32, Handle>,
}

#[derive(Debug)]
enum Handle {
    File { file: FileHandle, written: bool },
    Dir { entries: Vec<DirEntry>, at: usize },
}

/// What a step led to.
#[derive(Debug, Default)]
pub(crate) struct Step {
    /// To send to the client.
    pub(crate) reply: Vec<u8>,
    /// A file that was written has been closed: it can be reported.
    pub(crate) closed_written: bool,
    /// Paths opened for reading: downloads of the fake machine's files.
    pub(crate) read: Vec<String>,
    /// The client broke the protocol: close the channel.
    pub(crate) broken: bool,
}

/// An answer to one request.
enum Answer {
    Status(u32, String),
    Handle(u32),
    Data(Vec<u8>),
    Names(Vec<(String, String, Option<Stat>)>),
    Attrs(Stat),
    Extended(Vec<u8>),
}

/// A request that cannot be read: too short or a length past its end.
struct Malformed;

impl Sftp {
    pub(crate) fn new(vfs: SharedVfs, cred: Cred, home: String) -> Self {
        Self { vfs, cred, home, received: Vec::new(), handles: HashMap::new() }
    }

    /// Takes what the client sent, whole packets or not.
    pub(crate) fn input(&mut self, bytes: &[u8]) -> Step {
        let mut step = Step::default();
        let mut received = std::mem::take(&mut self.received);
        received.extend_from_slice(bytes);
        let mut rest = received.as_slice();
        while let Some((length, after)) = take_u32(rest) {
            let length = length as usize;
            if length == 0 || length > SFTP_PACKET_MAX {
                step.broken = true;
                return step;
            }
            let Some((packet, next)) = after.split_at_checked(length) else { break };
            rest = next;
            self.packet(packet, &mut step);
            if step.broken {
                return step;
            }
        }
        self.received = rest.to_vec();
        step
    }

    fn packet(&mut self, packet: &[u8], step: &mut Step) {
        let Some((kind, body)) = packet.split_first() else { return };
        if *kind == 1 {
            let mut version = vec![2];
            put_u32(&mut version, 3);
            for (name, value) in EXTENSIONS {
                put_string(&mut version, name.as_bytes());
                put_string(&mut version, value.as_bytes());
            }
            put_string(&mut step.reply, &version);
            return;
        }
        let Some((id, body)) = take_u32(body) else {
            step.broken = true;
            return;
        };
        let answer = match self.request(*kind, body, step) {
            Ok(Ok(answer)) => answer,
            Ok(Err(errno)) => status(errno),
            Err(Malformed) => Answer::Status(FX_BAD_MESSAGE, "Bad message".to_owned()),
        };
        put_string(&mut step.reply, &answer.encode(id));
    }

    fn request(
        &mut self,
        kind: u8,
        body: &[u8],
        step: &mut Step,
    ) -> Result<Result<Answer, Errno>, Malformed> {
        let mut body = Fields(body);
        let cred = self.cred;
        let cwd = self.home.clone();
        Ok(match kind {
            3 => {
                let (path, flags) = (body.text()?, body.u32()?);
                let attrs = body.attrs()?;
                self.open(&path, flags, attrs.mode, step)
            }
            4 => {
                let handle = body.handle()?;
                match self.handles.remove(&handle.unwrap_or(u32::MAX)) {
                    Some(Handle::File { written, .. }) => {
                        step.closed_written |= written;
                        Ok(Answer::ok())
                    }
                    Some(Handle::Dir { .. }) => Ok(Answer::ok()),
                    None => Err(Errno::Invalid),
                }
            }
            5 => {
                let (handle, offset, length) = (body.handle()?, body.u64()?, body.u32()?);
                match self.file(handle) {
                    Some(file) => {
                        self.vfs.lock().read(file, offset, length.min(READ_MAX) as usize).map(|data| {
                            if data.is_empty() {
                                Answer::Status(FX_EOF, "End of file".to_owned())
                            } else {
                                Answer::Data(data)
                            }
                        })
                    }
                    None => Err(Errno::Invalid),
                }
            }
            6 => {
                let (handle, offset, data) = (body.handle()?, body.u64()?, body.bytes()?);
                match self.file(handle) {
                    Some(file) => self.vfs.lock().write(file, offset, data).map(|()| Answer::ok()),
                    None => Err(Errno::Invalid),
                }
            }
            7 => {
                let path = body.text()?;
                self.vfs.lock().lstat(&cwd, &path).map(Answer::Attrs)
            }
            8 => {
                let handle = body.handle()?;
                match self.file(handle) {
                    Some(file) => self.vfs.lock().stat_id(file.id).map(Answer::Attrs),
                    None => Err(Errno::Invalid),
                }
            }
            9 => {
                let (path, change) = (body.text()?, body.attrs()?);
                self.vfs.lock().setstat(&cwd, &path, change, cred).map(|()| Answer::ok())
            }
            10 => {
                let (handle, change) = (body.handle()?, body.attrs()?);
                match self.file(handle) {
                    Some(file) => self.vfs.lock().setstat_id(file.id, change, cred).map(|()| Answer::ok()),
                    None => Err(Errno::Invalid),
                }
            }
            11 => {
                let path = body.text()?;
                let entries = self.vfs.lock().readdir(&cwd, &path, cred);
                entries.and_then(|entries| self.add(Handle::Dir { entries, at: 0 }))
            }
            12 => {
                let handle = body.handle()?;
                self.readdir(handle)
            }
            13 => {
                let path = body.text()?;
                self.vfs.lock().remove(&cwd, &path, cred).map(|()| Answer::ok())
            }
            14 => {
                let (path, attrs) = (body.text()?, body.attrs()?);
                self.vfs
                    .lock()
                    .mkdir(&cwd, &path, attrs.mode.unwrap_or(0o777) & !0o022, cred)
                    .map(|()| Answer::ok())
            }
            15 => {
                let path = body.text()?;
                self.vfs.lock().rmdir(&cwd, &path, cred).map(|()| Answer::ok())
            }
            16 => {
                let path = body.text()?;
                Ok(Answer::Names(vec![(normalise(&cwd, &path), String::new(), None)]))
            }
            17 => {
                let path = body.text()?;
                self.vfs.lock().stat(&cwd, &path).map(Answer::Attrs)
            }
            18 => {
                let (from, to) = (body.text()?, body.text()?);
                let mut vfs = self.vfs.lock();
                // Version 3 renames onto nothing; the extension replaces.
                if vfs.lstat(&cwd, &to).is_ok() {
                    Err(Errno::Exists)
                } else {
                    vfs.rename(&cwd, &from, &to, cred).map(|()| Answer::ok())
                }
            }
            19 => {
                let path = body.text()?;
                self.vfs
                    .lock()
                    .readlink(&cwd, &path)
                    .map(|target| Answer::Names(vec![(target, String::new(), None)]))
            }
            20 => {
                // OpenSSH has the two paths the other way round than the draft; its clients are the ones that come.
                let (target, path) = (body.text()?, body.text()?);
                self.vfs.lock().symlink(&cwd, &target, &path, cred).map(|()| Answer::ok())
            }
            200 => {
                let name = body.text()?;
                self.extended(&name, &mut body)?
            }
            _ => Ok(Answer::Status(FX_OP_UNSUPPORTED, "Operation unsupported".to_owned())),
        })
    }

    fn open(&mut self, path: &str, flags: u32, mode: Option<u16>, step: &mut Step) -> Result<Answer, Errno> {
        let bit = |bit: u32| flags & bit != 0;
        let flags = OpenFlags {
            read: bit(1),
            write: bit(2),
            append: bit(4),
            create: bit(8),
            truncate: bit(16),
            exclusive: bit(32),
        };
        if self.handles.len() >= SFTP_HANDLES_MAX {
            return Err(Errno::NoSpace);
        }
        let mut vfs = self.vfs.lock();
        let existed = vfs.stat(&self.home, path).is_ok();
        let file = vfs.open(&self.home, path, flags, self.cred, Origin::Upload)?;
        if let Some(mode) = mode.filter(|_| flags.create && !existed) {
            vfs.setstat_id(file.id, SetStat { mode: Some(mode & 0o7755), ..SetStat::default() }, self.cred)?;
        }
        drop(vfs);
        if flags.read && !flags.write {
            step.read.push(normalise(&self.home, path));
        }
        self.add(Handle::File { file, written: flags.write })
    }

    fn readdir(&mut self, handle: Option<u32>) -> Result<Answer, Errno> {
        let Some(Handle::Dir { entries, at }) = handle.and_then(|handle| self.handles.get_mut(&handle))
        else {
            return Err(Errno::Invalid);
        };
        let part: Vec<_> = entries.iter().skip(*at).take(ENTRIES_PER_READDIR).collect();
        if part.is_empty() {
            return Ok(Answer::Status(FX_EOF, "End of file".to_owned()));
        }
        *at += part.len();
        Ok(Answer::Names(
            part.into_iter().map(|entry| (entry.name.clone(), long_name(entry), Some(entry.stat))).collect(),
        ))
    }

    fn extended(&mut self, name: &str, body: &mut Fields<'_>) -> Result<Result<Answer, Errno>, Malformed> {
        let (cwd, cred) = (self.home.clone(), self.cred);
        Ok(match name {
            "posix-rename@openssh.com" => {
                let (from, to) = (body.text()?, body.text()?);
                self.vfs.lock().rename(&cwd, &from, &to, cred).map(|()| Answer::ok())
            }
            "hardlink@openssh.com" => {
                let (from, to) = (body.text()?, body.text()?);
                self.vfs.lock().link(&cwd, &from, &to, cred).map(|()| Answer::ok())
            }
            "fsync@openssh.com" => {
                let handle = body.handle()?;
                self.file(handle).map(|_| Answer::ok()).ok_or(Errno::Invalid)
            }
            "lsetstat@openssh.com" => {
                let (path, change) = (body.text()?, body.attrs()?);
                self.vfs.lock().setstat(&cwd, &path, change, cred).map(|()| Answer::ok())
            }
            "expand-path@openssh.com" => {
                let path = body.text()?;
                let path = match path.strip_prefix('~') {
                    Some(rest) => format!("{cwd}{rest}"),
                    None => path,
                };
                Ok(Answer::Names(vec![(normalise(&cwd, &path), String::new(), None)]))
            }
            "limits@openssh.com" => {
                let mut limits = Vec::new();
                for limit in [
                    SFTP_PACKET_MAX as u64,
                    u64::from(READ_MAX),
                    u64::from(READ_MAX),
                    SFTP_HANDLES_MAX as u64,
                ] {
                    limits.extend(limit.to_be_bytes());
                }
                Ok(Answer::Extended(limits))
            }
            "statvfs@openssh.com" | "fstatvfs@openssh.com" => {
                let vfs = self.vfs.lock();
                let persona = vfs.persona();
                let (blocks, used) = (persona.disk_kb / 4, persona.disk_used_kb / 4);
                let free = blocks.saturating_sub(used);
                let inodes = blocks / 4;
                let mut statvfs = Vec::new();
                for number in [
                    4096,
                    4096,
                    blocks,
                    free,
                    free,
                    inodes,
                    inodes - inodes / 10,
                    inodes - inodes / 10,
                    0xfd01,
                    2,
                    255,
                ] {
                    statvfs.extend(number.to_be_bytes());
                }
                Ok(Answer::Extended(statvfs))
            }
            _ => Ok(Answer::Status(FX_OP_UNSUPPORTED, "Operation unsupported".to_owned())),
        })
    }

    fn add(&mut self, handle: Handle) -> Result<Answer, Errno> {
        if self.handles.len() >= SFTP_HANDLES_MAX {
            return Err(Errno::NoSpace);
        }
        // OpenSSH reuses the lowest free number; so does this, which keeps numbers small for ever.
        let number = (0..=u32::MAX).find(|n| !self.handles.contains_key(n)).unwrap_or_default();
        self.handles.insert(number, handle);
        Ok(Answer::Handle(number))
    }

    fn file(&self, handle: Option<u32>) -> Option<FileHandle> {
        match self.handles.get(&handle?) {
            Some(Handle::File { file, .. }) => Some(*file),
            _ => None,
        }
    }
}

impl Answer {
    fn ok() -> Self {
        Self::Status(FX_OK, "Success".to_owned())
    }

    fn encode(self, id: u32) -> Vec<u8> {
        let mut out = Vec::new();
        match self {
            Self::Status(code, text) => {
                out.push(101);
                put_u32(&mut out, id);
                put_u32(&mut out, code);
                put_string(&mut out, text.as_bytes());
                put_string(&mut out, b"");
            }
            Self::Handle(number) => {
                out.push(102);
                put_u32(&mut out, id);
                put_string(&mut out, &number.to_be_bytes());
            }
            Self::Data(data) => {
                out.push(103);
                put_u32(&mut out, id);
                put_string(&mut out, &data);
            }
            Self::Names(names) => {
                out.push(104);
                put_u32(&mut out, id);
                put_u32(&mut out, u32::try_from(names.len()).unwrap_or_default());
                for (name, long, stat) in names {
                    put_string(&mut out, name.as_bytes());
                    put_string(&mut out, if long.is_empty() { name.as_bytes() } else { long.as_bytes() });
                    match stat {
                        Some(stat) => put_attrs(&mut out, stat),
                        None => put_u32(&mut out, 0),
                    }
                }
            }
            Self::Attrs(stat) => {
                out.push(105);
                put_u32(&mut out, id);
                put_attrs(&mut out, stat);
            }
            Self::Extended(data) => {
                out.push(201);
                put_u32(&mut out, id);
                out.extend(data);
            }
        }
        out
    }
}

/// As OpenSSH's `errno_to_portable` and its texts.
fn status(errno: Errno) -> Answer {
    let (code, text) = match errno {
        Errno::NoEntry | Errno::NotDir | Errno::Loop => (FX_NO_SUCH_FILE, "No such file"),
        Errno::Access | Errno::NotPermitted => (FX_PERMISSION_DENIED, "Permission denied"),
        Errno::NameTooLong | Errno::Invalid => (FX_BAD_MESSAGE, "Bad message"),
        _ => (FX_FAILURE, "Failure"),
    };
    Answer::Status(code, text.to_owned())
}

/// The line that `ls -l` would show, which version 3 sends beside each name.
fn long_name(entry: &DirEntry) -> String {
    let stat = &entry.stat;
    let owner = |id: u32| if id == 0 { "root".to_owned() } else { id.to_string() };
    let date = time::OffsetDateTime::from_unix_timestamp(stat.mtime)
        .ok()
        .map(|t| {
            format!("{} {:>2}  {}", t.month().to_string().get(..3).unwrap_or_default(), t.day(), t.year())
        })
        .unwrap_or_default();
    format!(
        "{} {:>4} {:<8} {:<8} {:>8} {date} {}",
        stat.mode_text(),
        stat.nlink,
        owner(stat.uid),
        owner(stat.gid),
        stat.size,
        entry.name
    )
}

/// Reads the fields of a request.
struct Fields<'a>(&'a [u8]);

impl<'a> Fields<'a> {
    fn u32(&mut self) -> Result<u32, Malformed> {
        let (value, rest) = take_u32(self.0).ok_or(Malformed)?;
        self.0 = rest;
        Ok(value)
    }

    fn u64(&mut self) -> Result<u64, Malformed> {
        Ok(u64::from(self.u32()?) << 32 | u64::from(self.u32()?))
    }

    fn bytes(&mut self) -> Result<&'a [u8], Malformed> {
        let length = self.u32()? as usize;
        let (bytes, rest) = self.0.split_at_checked(length).ok_or(Malformed)?;
        self.0 = rest;
        Ok(bytes)
    }

    fn text(&mut self) -> Result<String, Malformed> {
        let text = String::from_utf8_lossy(self.bytes()?).into_owned();
        // OpenSSH takes an empty path as the home directory.
        Ok(if text.is_empty() { ".".to_owned() } else { text })
    }

    fn handle(&mut self) -> Result<Option<u32>, Malformed> {
        Ok(self.bytes()?.try_into().ok().map(u32::from_be_bytes))
    }

    fn attrs(&mut self) -> Result<SetStat, Malformed> {
        let flags = self.u32()?;
        let mut set = SetStat::default();
        if flags & 1 != 0 {
            set.size = Some(self.u64()?);
        }
        if flags & 2 != 0 {
            set.uid = Some(self.u32()?);
            set.gid = Some(self.u32()?);
        }
        if flags & 4 != 0 {
            set.mode = u16::try_from(self.u32()? & 0o7777).ok();
        }
        if flags & 8 != 0 {
            let (_, mtime) = (self.u32()?, self.u32()?);
            set.mtime = Some(i64::from(mtime));
        }
        // Extended attributes (flag 31) follow; nothing uses them.
        Ok(set)
    }
}

fn take_u32(bytes: &[u8]) -> Option<(u32, &[u8])> {
    let (head, rest) = bytes.split_first_chunk::<4>()?;
    Some((u32::from_be_bytes(*head), rest))
}

fn put_u32(out: &mut Vec<u8>, value: u32) {
    out.extend(value.to_be_bytes());
}

fn put_string(out: &mut Vec<u8>, bytes: &[u8]) {
    put_u32(out, u32::try_from(bytes.len()).unwrap_or(u32::MAX));
    out.extend_from_slice(bytes);
}

fn put_attrs(out: &mut Vec<u8>, stat: Stat) {
    put_u32(out, 1 | 2 | 4 | 8);
    out.extend(stat.size.to_be_bytes());
    put_u32(out, stat.uid);
    put_u32(out, stat.gid);
    put_u32(out, stat.mode);
    let time = u32::try_from(stat.mtime).unwrap_or_default();
    put_u32(out, time);
    put_u32(out, time);
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::persona::{Family, Persona};
    use crate::shell::{Settings, System};

    fn sftp() -> Sftp {
        let system =
            System::new(Persona::derive(b"test", Family::Server, 1_790_000_000), Settings::default());
        Sftp::new(system.new_vfs(), Cred::ROOT, "/root".into())
    }

    fn packet(kind: u8, id: u32, fields: &[&[u8]]) -> Vec<u8> {
        let mut body = vec![kind];
        put_u32(&mut body, id);
        fields.iter().for_each(|field| body.extend_from_slice(field));
        let mut out = Vec::new();
        put_string(&mut out, &body);
        out
    }

    fn string(text: &[u8]) -> Vec<u8> {
        let mut out = Vec::new();
        put_string(&mut out, text);
        out
    }

    fn open_for_writing(path: &str) -> Vec<u8> {
        packet(3, 1, &[&string(path.as_bytes()), &(2u32 | 8 | 16).to_be_bytes(), &0u32.to_be_bytes()])
    }

    #[test]
    fn a_file_is_written_closed_and_handed_over() {
        let mut sftp = sftp();
        let step = sftp.input(&open_for_writing("up.bin"));
        assert_eq!(step.reply[4], 102, "a handle");
        let handle = string(&0u32.to_be_bytes());
        let step = sftp.input(&packet(6, 2, &[&handle, &0u64.to_be_bytes(), &string(b"payload")]));
        assert_eq!(step.reply[4..13], [101, 0, 0, 0, 2, 0, 0, 0, 0]);
        let step = sftp.input(&packet(4, 3, &[&handle]));
        assert!(step.closed_written);
        let written = sftp.vfs.lock().take_written();
        assert_eq!(
            (written[0].path.as_str(), written[0].bytes.as_slice()),
            ("/root/up.bin", &b"payload"[..])
        );
    }

    #[test]
    fn packets_may_arrive_in_any_pieces() {
        let mut sftp = sftp();
        let bytes = [packet(16, 1, &[&string(b".")]), packet(17, 2, &[&string(b"/etc/passwd")])].concat();
        let mut reply = Vec::new();
        for byte in &bytes {
            reply.extend(sftp.input(std::slice::from_ref(byte)).reply);
        }
        assert_eq!(reply, super::tests::sftp().input(&bytes).reply);
        assert!(reply.windows(5).any(|w| w == b"/root"));
    }

    #[test]
    fn a_directory_is_listed_in_full_and_then_ends() {
        let mut sftp = sftp();
        let step = sftp.input(&packet(11, 1, &[&string(b"/etc")]));
        assert_eq!(step.reply[4], 102);
        let handle = string(&0u32.to_be_bytes());
        let step = sftp.input(&packet(12, 2, &[&handle]));
        assert_eq!(step.reply[4], 104);
        assert!(step.reply.windows(6).any(|w| w == b"passwd"));
        for _ in 0..20 {
            let step = sftp.input(&packet(12, 3, &[&handle]));
            if step.reply[4] == 101 {
                assert_eq!(step.reply[12], 1, "end of file");
                return;
            }
        }
        panic!("the listing never ended");
    }

    #[test]
    fn broken_and_hostile_requests_are_answered_or_end_the_channel() {
        assert!(sftp().input(&u32::MAX.to_be_bytes()).broken);
        assert!(sftp().input(&[0, 0, 0, 0]).broken);
        let cut = packet(3, 7, &[&100u32.to_be_bytes(), b"short"]);
        assert_eq!(sftp().input(&cut).reply[12], 5, "bad message");
        let unknown = packet(99, 7, &[]);
        assert_eq!(sftp().input(&unknown).reply[12], 8, "unsupported");
        let wrong_handle = packet(5, 7, &[&string(b"xx"), &0u64.to_be_bytes(), &9u32.to_be_bytes()]);
        assert_eq!(sftp().input(&wrong_handle).reply[12], 5);
    }

    #[test]
    fn handles_are_bounded() {
        let mut sftp = sftp();
        for _ in 0..SFTP_HANDLES_MAX {
            assert_eq!(sftp.input(&packet(11, 1, &[&string(b"/")])).reply[4], 102);
        }
        assert_eq!(sftp.input(&packet(11, 1, &[&string(b"/")])).reply[4], 101);
    }
}

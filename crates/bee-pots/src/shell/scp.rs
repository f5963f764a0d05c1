//! The remote side of `scp`: [`Sink`] takes files (`scp -t`), [`Source`] gives them (`scp -f`).
//!
//! Both are state machines over the channel's bytes: feed what the client sends, send what comes out. Files go to and
//! come from the fake tree and nowhere else; what was uploaded is handed to the trap by
//! [`Vfs::take_written`](crate::vfs::Vfs::take_written).

use crate::vfs::{Cred, Errno, FileHandle, OpenFlags, Origin, SetStat, SharedVfs};
use std::collections::VecDeque;

/// Bytes of one control line.
const CONTROL_BYTES_MAX: usize = 4096;
/// Depth of directories in a recursive transfer.
const DIRS_MAX: usize = 32;
/// Files given in one recursive transfer.
const GIVEN_MAX: usize = 256;

/// What an `scp` command line on the server asks for.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Request {
    /// `scp -t path`: the client uploads.
    Sink(String),
    /// `scp -f path`: the client downloads.
    Source(String),
}

impl Request {
    /// Recognises the command line an scp client sends; `None` if it is something else.
    #[must_use]
    pub fn parse(command: &str) -> Option<Request> {
        let mut words = command.split_whitespace();
        let program = words.next()?;
        if program.rsplit('/').next() != Some("scp") {
            return None;
        }
        let (mut sink, mut source, mut path) = (false, false, None);
        let mut only_path = false;
        for word in words {
            match word.strip_prefix('-') {
                Some("-") if !only_path => only_path = true,
                Some(flags) if !only_path => {
                    sink |= flags.contains('t');
                    source |= flags.contains('f');
                }
                _ => path = Some(word.trim_matches(['\'', '"']).to_owned()),
            }
        }
        let path = path.unwrap_or_else(|| ".".to_owned());
        if sink { Some(Request::Sink(path)) } else { source.then_some(Request::Source(path)) }
    }
}

/// What a step led to.
#[derive(Debug, Clone, PartialEq, Eq, Default)]
pub struct Step {
    /// To send to the client.
    pub reply: Vec<u8>,
    /// The transfer is over: send this exit status and close.
    pub exit: Option<i32>,
    /// Paths of files that are complete now.
    pub files: Vec<String>,
}

#[derive(Debug)]
enum Taking {
    Control,
    Data { handle: Option<FileHandle>, path: String, left: u64 },
    // The zero byte after a file's data.
    Mark { path: String, stored: bool },
}

/// Takes uploaded files.
#[derive(Debug)]
pub struct Sink {
    vfs: SharedVfs,
    cred: Cred,
    dirs: Vec<String>,
    target: String,
    state: Taking,
    control: Vec<u8>,
}

impl Sink {
    /// A sink that writes to `path`, relative to `cwd`.
    #[must_use]
    pub fn new(vfs: SharedVfs, cred: Cred, cwd: &str, path: &str) -> Sink {
        let target = crate::vfs::normalise(cwd, path);
        Sink { vfs, cred, dirs: Vec::new(), target, state: Taking::Control, control: Vec::new() }
    }

    /// Begins the conversation.
    #[must_use]
    pub fn start(&self) -> Step {
        Step { reply: vec![0], ..Step::default() }
    }

    /// Takes bytes from the client.
    pub fn input(&mut self, mut bytes: &[u8]) -> Step {
        let mut step = Step::default();
        while !bytes.is_empty() && step.exit.is_none() {
            match &mut self.state {
                Taking::Control => {
                    let end = bytes.iter().position(|b| *b == b'\n');
                    let (line, rest) = bytes.split_at(end.map_or(bytes.len(), |e| e + 1));
                    self.control.extend_from_slice(line);
                    bytes = rest;
                    if self.control.len() > CONTROL_BYTES_MAX {
                        refuse(&mut step, "protocol error: line too long", true);
                    } else if end.is_some() {
                        let line = String::from_utf8_lossy(&self.control).trim_end().to_owned();
                        self.control.clear();
                        self.control(&line, &mut step);
                    }
                }
                Taking::Data { handle, path, left } => {
                    let len = usize::try_from(*left).unwrap_or(usize::MAX).min(bytes.len());
                    let (data, rest) = bytes.split_at(len);
                    bytes = rest;
                    *left -= len as u64;
                    if let Some(open) = handle
                        && self.vfs.lock().write(*open, 0, data).is_err()
                    {
                        // The disk is full: the rest of the file is read and dropped.
                        *handle = None;
                    }
                    if *left == 0 {
                        self.state = Taking::Mark { path: std::mem::take(path), stored: handle.is_some() };
                    }
                }
                Taking::Mark { path, stored } => {
                    bytes = bytes.get(1..).unwrap_or_default();
                    if *stored {
                        step.reply.push(0);
                    } else {
                        refuse(&mut step, &format!("{path}: {}", Errno::NoSpace.text()), false);
                    }
                    step.files.push(std::mem::take(path));
                    self.state = Taking::Control;
                }
            }
        }
        step
    }

    /// The client closed its side.
    #[must_use]
    pub fn eof(&self) -> Step {
        Step { exit: Some(i32::from(!matches!(self.state, Taking::Control))), ..Step::default() }
    }

    fn control(&mut self, line: &str, step: &mut Step) {
        let (kind, rest) = line.split_at_checked(1).unwrap_or((line, ""));
        let base = self.dirs.last().cloned().unwrap_or_else(|| self.target.clone());
        let mut parts = rest.splitn(3, ' ');
        let mode = parts.next().and_then(|m| u16::from_str_radix(m, 8).ok());
        let size = parts.next().and_then(|s| s.parse::<u64>().ok());
        let name = parts.next().filter(|n| !n.is_empty() && !n.contains('/') && *n != "." && *n != "..");
        let mut vfs = self.vfs.lock();
        let into = |name: &str| {
            if vfs.stat("/", &base).is_ok_and(|s| s.is_dir()) {
                format!("{}/{name}", base.trim_end_matches('/'))
            } else {
                base.clone()
            }
        };
        match (kind, mode, size, name) {
            ("T", ..) => step.reply.push(0),
            ("E", ..) => {
                self.dirs.pop();
                step.reply.push(0);
            }
            ("C", Some(mode), Some(left), Some(name)) => {
                let path = into(name);
                let handle = vfs.open(
                    "/",
                    &path,
                    OpenFlags { append: true, ..OpenFlags::REPLACE },
                    self.cred,
                    Origin::Upload,
                );
                match handle {
                    Ok(open) => {
                        let _ = vfs.setstat_id(
                            open.id,
                            SetStat { mode: Some(mode), ..SetStat::default() },
                            self.cred,
                        );
                        step.reply.push(0);
                        self.state = if left == 0 {
                            Taking::Mark { path, stored: true }
                        } else {
                            Taking::Data { handle: Some(open), path, left }
                        };
                    }
                    Err(error) => refuse(step, &format!("{path}: {}", error.text()), false),
                }
            }
            ("D", Some(mode), Some(_), Some(name)) if self.dirs.len() < DIRS_MAX => {
                let path = into(name);
                match vfs.mkdir("/", &path, mode, self.cred) {
                    Ok(()) | Err(Errno::Exists) => {
                        self.dirs.push(path);
                        step.reply.push(0);
                    }
                    Err(error) => refuse(step, &format!("{path}: {}", error.text()), true),
                }
            }
            _ if matches!(kind, "\u{1}" | "\u{2}") => step.exit = Some(1),
            _ => refuse(step, "protocol error: unexpected <newline>", true),
        }
    }
}

/// Gives files to the client.
#[derive(Debug)]
pub struct Source {
    // Messages in order; each waits for the client's zero byte.
    queue: VecDeque<Vec<u8>>,
    failed: bool,
}

impl Source {
    /// A source of `path` and, if it is a directory, what is in it.
    #[must_use]
    pub fn new(vfs: &SharedVfs, cred: Cred, cwd: &str, path: &str) -> Source {
        let mut source = Source { queue: VecDeque::new(), failed: false };
        source.add(vfs, cred, &crate::vfs::normalise(cwd, path), 0);
        source
    }

    /// Takes bytes from the client: a zero asks for the next message, anything else ends the transfer.
    pub fn input(&mut self, bytes: &[u8]) -> Step {
        let mut step = Step::default();
        for byte in bytes {
            if *byte != 0 {
                step.exit = Some(1);
                return step;
            }
            match self.queue.pop_front() {
                Some(message) => step.reply.extend(message),
                None => {
                    step.exit = Some(i32::from(self.failed));
                    return step;
                }
            }
        }
        step
    }

    /// The client closed its side.
    #[must_use]
    pub fn eof(&self) -> Step {
        Step { exit: Some(i32::from(self.failed || !self.queue.is_empty())), ..Step::default() }
    }

    fn add(&mut self, vfs: &SharedVfs, cred: Cred, path: &str, depth: usize) {
        let name = path.rsplit('/').next().unwrap_or(path).to_owned();
        let tree = vfs.lock();
        let found = tree.resolve_as("/", path, cred).and_then(|id| {
            if !tree.allowed(id, cred, 4) {
                return Err(Errno::Access);
            }
            tree.stat_id(id)
        });
        match found {
            Err(error) => {
                self.failed = true;
                self.queue.push_back(format!("\u{1}scp: {path}: {}\n", error.text()).into_bytes());
            }
            Ok(stat) if stat.is_dir() => {
                let entries = tree.list_id(stat.id).unwrap_or_default();
                drop(tree);
                self.queue.push_back(format!("D{:04o} 0 {name}\n", stat.mode & 0o7777).into_bytes());
                for (child, _) in entries {
                    if depth < DIRS_MAX && self.queue.len() < GIVEN_MAX {
                        self.add(vfs, cred, &format!("{}/{child}", path.trim_end_matches('/')), depth + 1);
                    }
                }
                self.queue.push_back(b"E\n".to_vec());
            }
            Ok(stat) => {
                let data = tree.read_id(stat.id).unwrap_or_default();
                drop(tree);
                self.queue
                    .push_back(format!("C{:04o} {} {name}\n", stat.mode & 0o7777, data.len()).into_bytes());
                let mut message = data.to_vec();
                message.push(0);
                self.queue.push_back(message);
            }
        }
    }
}

fn refuse(step: &mut Step, why: &str, fatal: bool) {
    step.reply.push(if fatal { 2 } else { 1 });
    step.reply.extend(format!("scp: {why}\n").into_bytes());
    if fatal {
        step.exit = Some(1);
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::persona::{Family, Persona};
    use crate::shell::{Settings, System};

    fn tree() -> SharedVfs {
        System::new(Persona::derive(b"scp", Family::Server, 1_790_000_000), Settings::default()).new_vfs()
    }

    #[test]
    fn an_upload_in_any_pieces_becomes_a_file_of_the_session() {
        let whole = b"T1700000000 0 1700000000 0\nC0755 5 bot.sh\nhello\0".to_vec();
        for piece in [1, 3, 7, whole.len()] {
            let vfs = tree();
            let mut sink = Sink::new(vfs.clone(), Cred::ROOT, "/root", "/tmp");
            assert_eq!(sink.start().reply, [0]);
            let steps: Vec<Step> = whole.chunks(piece).map(|c| sink.input(c)).collect();
            assert_eq!(steps.iter().flat_map(|s| s.reply.clone()).collect::<Vec<_>>(), [0, 0, 0]);
            assert_eq!(steps.iter().flat_map(|s| s.files.clone()).collect::<Vec<_>>(), ["/tmp/bot.sh"]);
            assert_eq!(sink.eof().exit, Some(0));
            let written = vfs.lock().take_written();
            assert_eq!(written.len(), 1);
            assert_eq!(
                (written[0].path.as_str(), written[0].bytes.as_slice()),
                ("/tmp/bot.sh", &b"hello"[..])
            );
            assert_eq!(written[0].origin, Origin::Upload);
            assert_eq!(vfs.lock().stat("/", "/tmp/bot.sh").expect("it exists").mode & 0o777, 0o755);
        }
    }

    #[test]
    fn hostile_control_lines_end_in_an_error() {
        for line in [
            "C0644 5 ../../etc/passwd\n",
            "Z\n",
            "C0644 -1 x\n",
            "C0644 99999999999999999999 x\n",
            "\n",
            "D0755 0 ..\n",
        ] {
            let mut sink = Sink::new(tree(), Cred::ROOT, "/", "/tmp");
            assert_eq!(sink.input(line.as_bytes()).exit, Some(1), "{line:?}");
        }
        let mut sink = Sink::new(tree(), Cred::ROOT, "/", "/tmp");
        assert_eq!(sink.input(&vec![b'C'; CONTROL_BYTES_MAX + 1]).exit, Some(1));
    }

    #[test]
    fn a_download_gives_the_fake_file() {
        let vfs = tree();
        let mut source = Source::new(&vfs, Cred::ROOT, "/root", "../etc/hostname");
        let header = source.input(&[0]).reply;
        assert!(
            header.starts_with(b"C0644 ") && header.ends_with(b" hostname\n"),
            "{}",
            header.escape_ascii()
        );
        let data = source.input(&[0]).reply;
        assert_eq!(data.last(), Some(&0));
        assert_eq!(source.input(&[0]).exit, Some(0));
        let mut missing = Source::new(&vfs, Cred::ROOT, "/", "/nope");
        assert_eq!(missing.input(&[0]).reply, b"\x01scp: /nope: No such file or directory\n");
        assert_eq!(missing.input(&[0]).exit, Some(1));
    }

    #[test]
    fn command_lines_are_recognised() {
        for (line, expect) in [
            ("scp -t /tmp", Some(Request::Sink("/tmp".into()))),
            ("/usr/bin/scp -v -p -f -- '/etc/passwd'", Some(Request::Source("/etc/passwd".into()))),
            ("scp -qrdt .", Some(Request::Sink(".".into()))),
            ("scp a b", None),
            ("ls -t", None),
        ] {
            assert_eq!(Request::parse(line), expect, "{line}");
        }
    }
}

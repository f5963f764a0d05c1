//! A shell session as a trap runs it: the fake system's console, its recording, and its effects told as events.
//!
//! SSH channels and Telnet connections both feed bytes in here and send what comes out. Files that an attacker wrote and
//! the recording are kept in the background, since that waits for the disk.

use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};
use std::time::{Instant, SystemTime, UNIX_EPOCH};

use data_encoding::HEXLOWER;
use serde_json::{Value, json};

use crate::artifacts::Artifacts;
use crate::cast::Cast;
use crate::persona::{Family, Persona};
use crate::session::Session;
use crate::shell::{Console, Effect, Login, Reaction, Settings, Shell, System, Window};
use crate::vfs::{Cred, Origin, SharedVfs, Written};

/// What attackers' files and unfinished input may take in memory over all sessions of a trap, in bytes.
const HELD_BYTES_MAX: u64 = 256 * 1024 * 1024;

/// The fake machine of a trap with what its sessions share.
#[derive(Debug)]
pub(crate) struct Machine {
    pub(crate) system: Arc<System>,
    pub(crate) artifacts: Artifacts,
    held_bytes: AtomicU64,
}

/// One connection's files on that machine. Gives its memory back when dropped.
#[derive(Debug)]
pub(crate) struct Files {
    machine: Arc<Machine>,
    vfs: SharedVfs,
    counted: u64,
}

/// A console with its recording and its session.
#[derive(Debug)]
pub(crate) struct Terminal {
    session: Session,
    artifacts: Artifacts,
    console: Console,
    recording: Option<Recording>,
}

#[derive(Debug)]
struct Recording {
    cast: Cast,
    started: Instant,
}

/// What to send after a step.
#[derive(Debug, Default)]
pub(crate) struct Output {
    pub(crate) stdout: Vec<u8>,
    pub(crate) stderr: Vec<u8>,
    /// What a real machine would have taken, in milliseconds.
    pub(crate) delay_ms: u64,
    /// The exit status, when it is over.
    pub(crate) exit: Option<i32>,
}

/// How a console is opened.
pub(crate) enum Open<'a> {
    /// An interactive shell on a terminal of this type.
    Terminal(Window, &'a str),
    /// A shell without a terminal.
    Piped,
    /// One command, on a terminal or not.
    Exec(&'a [u8], Option<(Window, &'a str)>),
}

impl Machine {
    pub(crate) fn new(family: Family, seed: &str, hostname: &str, artifacts: Artifacts) -> Arc<Self> {
        let persona = Persona::derive(seed.as_bytes(), family, now_ms() / 1000);
        let persona = if hostname.is_empty() { persona } else { persona.with_hostname(hostname) };
        let system = System::new(persona, Settings::default());
        Arc::new(Self { system, artifacts, held_bytes: AtomicU64::new(0) })
    }

    /// A fresh view of the machine's files for one connection.
    pub(crate) fn files(self: &Arc<Self>) -> Files {
        let vfs = self.system.new_vfs();
        vfs.lock().set_now(now_ms() / 1000);
        Files { machine: Arc::clone(self), vfs, counted: 0 }
    }

    /// The rights of a user of the machine; an unknown name is an ordinary user.
    pub(crate) fn cred(&self, user: &str) -> Cred {
        self.system
            .persona()
            .user(user)
            .map_or(Cred { uid: 1001, gid: 1001 }, |user| Cred { uid: user.uid, gid: user.gid })
    }

    /// The home directory of a user of the machine.
    pub(crate) fn home(&self, user: &str) -> String {
        self.system.persona().user(user).map_or_else(|| "/tmp".to_owned(), |user| user.home.clone())
    }
}

impl Files {
    pub(crate) fn vfs(&self) -> &SharedVfs {
        &self.vfs
    }

    /// Counts what the connection holds now: its files and `more` bytes besides. `false` when all connections together hold
    /// too much and this one has to end.
    pub(crate) fn within_budget(&mut self, more: u64) -> bool {
        let now = self.vfs.lock().bytes() + more;
        let before = std::mem::replace(&mut self.counted, now);
        let held = &self.machine.held_bytes;
        held.fetch_add(now, Ordering::Relaxed);
        let sum = held.fetch_sub(before, Ordering::Relaxed).saturating_sub(before);
        now <= before || sum <= HELD_BYTES_MAX
    }

    /// Reports and keeps every file written since the last call.
    pub(crate) fn report_written(&self, session: &Session) {
        for written in self.vfs.lock().take_written() {
            keep_written(session, &self.machine.artifacts, written);
        }
    }
}

impl Drop for Files {
    fn drop(&mut self) {
        self.machine.held_bytes.fetch_sub(self.counted, Ordering::Relaxed);
    }
}

impl Terminal {
    /// Opens a console for `login` and runs its first step.
    pub(crate) fn open(
        session: Session,
        machine: &Machine,
        files: &Files,
        login: &Login,
        open: Open<'_>,
    ) -> (Self, Output) {
        let tty = matches!(open, Open::Terminal(..) | Open::Exec(_, Some(_)));
        let shell = Shell::new(Arc::clone(&machine.system), files.vfs.clone(), login, tty);
        let arch = format!(
            "linux-{}-lsb",
            if machine.system.persona().family == Family::Device { "armv7l" } else { "x64" }
        );
        session.event("session.params", json!({ "arch": arch }));
        let (console, recorded) = match open {
            Open::Terminal(window, term) => (Console::terminal(shell, window), Some((window, term))),
            Open::Piped => (Console::piped(shell), None),
            Open::Exec(command, pty) => (Console::exec(shell, command, pty.is_some()), pty),
        };
        let recording = recorded.map(|(window, term)| Recording {
            cast: Cast::new(
                clamp(window.columns),
                clamp(window.rows),
                now_ms() / 1000,
                &term.chars().take(64).collect::<String>(),
                session.id(),
            ),
            started: Instant::now(),
        });
        let mut terminal = Self { session, artifacts: machine.artifacts.clone(), console, recording };
        let reaction = terminal.console.start(now_ms());
        let output = terminal.react(reaction);
        (terminal, output)
    }

    /// Bytes from the attacker.
    pub(crate) fn input(&mut self, bytes: &[u8]) -> Output {
        if let Some(recording) = &mut self.recording {
            recording.cast.input(recording.at_ms(), bytes);
        }
        let reaction = self.console.input(bytes, now_ms());
        self.react(reaction)
    }

    /// The attacker will send no more.
    pub(crate) fn eof(&mut self) -> Output {
        let reaction = self.console.eof(now_ms());
        self.react(reaction)
    }

    /// The attacker's window changed.
    pub(crate) fn resize(&mut self, window: Window) {
        if let Some(recording) = &mut self.recording {
            recording.cast.resize(recording.at_ms(), clamp(window.columns), clamp(window.rows));
        }
        self.console.resize(window);
    }

    fn react(&mut self, reaction: Reaction) -> Output {
        for effect in reaction.effects {
            report(&self.session, &self.artifacts, effect);
        }
        if let Some(recording) = &mut self.recording {
            recording.cast.output(recording.at_ms(), &reaction.stdout);
        }
        Output {
            stdout: reaction.stdout,
            stderr: reaction.stderr,
            delay_ms: reaction.delay_ms,
            exit: reaction.exit,
        }
    }
}

impl Drop for Terminal {
    /// However the connection ended: files that are still unreported, then the recording.
    fn drop(&mut self) {
        for effect in self.console.finish() {
            report(&self.session, &self.artifacts, effect);
        }
        let Some(Recording { cast, started }) = self.recording.take() else { return };
        let artifacts = self.artifacts.clone();
        let duration = u64::try_from(started.elapsed().as_millis()).unwrap_or(u64::MAX);
        self.session.in_background(move |session| {
            let kept = artifacts.keep("tty", &cast.finish());
            let mut members = kept.members();
            members.insert("ttylog".to_owned(), kept.outfile.into());
            members.insert("format".to_owned(), "asciicast-v2".into());
            members.insert("duration_ms".to_owned(), duration.into());
            session.event("log.closed", Value::Object(members));
        });
    }
}

impl Recording {
    fn at_ms(&self) -> u64 {
        u64::try_from(self.started.elapsed().as_millis()).unwrap_or(u64::MAX)
    }
}

/// Milliseconds since 1970.
pub(crate) fn now_ms() -> i64 {
    SystemTime::now()
        .duration_since(UNIX_EPOCH)
        .ok()
        .and_then(|d| i64::try_from(d.as_millis()).ok())
        .unwrap_or_default()
}

fn report(session: &Session, artifacts: &Artifacts, effect: Effect) {
    match effect {
        Effect::Line { input } => session.event("command.input", json!({ "input": input })),
        Effect::Command { found: true, .. } | Effect::Exit { .. } => {}
        Effect::Command { input, found: false } => session.event("command.failed", json!({ "input": input })),
        Effect::Download { url, tool, destination } => {
            session.event(
                "session.file_download",
                json!({ "url": url, "tool": tool, "destfile": destination, "fetched": false }),
            );
        }
        Effect::FileWritten(written) => keep_written(session, artifacts, written),
        Effect::Executed { path, sha256 } => {
            session.event(
                "command.executed_file",
                json!({ "path": path, "shasum": sha256.map(|hash| HEXLOWER.encode(&hash)) }),
            );
        }
        Effect::CredentialChange { user, secret, tool } => {
            session.event(
                "command.credential_change",
                json!({ "account": user, "secret": secret, "tool": tool }),
            );
        }
        Effect::Connect { host, port, tool } => {
            session.event("command.connect_request", json!({ "host": host, "port": port, "tool": tool }));
        }
    }
}

fn keep_written(session: &Session, artifacts: &Artifacts, written: Written) {
    let artifacts = artifacts.clone();
    session.in_background(move |session| {
        let Written { path, bytes, origin, .. } = written;
        let (event, kind) = match origin {
            Origin::Command => ("session.file_download", "download"),
            Origin::Upload => ("session.file_upload", "upload"),
        };
        let mut members = artifacts.keep(kind, &bytes).members();
        let filename = path.rsplit('/').next().unwrap_or_default().to_owned();
        members.insert("filename".to_owned(), filename.into());
        members.insert("destfile".to_owned(), path.into());
        session.event(event, Value::Object(members));
    });
}

fn clamp(size: u32) -> u16 {
    // Clients without a window send 0 0; a player needs a real one.
    u16::try_from(size.clamp(1, 1000)).unwrap_or(80)
}

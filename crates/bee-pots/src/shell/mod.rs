//! The fake Linux system attackers get: a shell, its commands and a terminal, without any input or output of its own.
//!
//! The SSH and Telnet traps create one [`System`] per node, one [`Login`] with a shared file tree per connection and
//! one [`Console`] per channel; they feed bytes in and send the bytes that come out. Nothing in this module runs a
//! program, opens a file or a socket, or reads a clock: time is an argument, and the same input gives the same output.
//! What an attacker does comes out as [`Effect`]s for the trap to report. Downloads are recorded and never fetched.

pub(crate) mod clock;
mod commands;
mod complete;
mod console;
mod exec;
mod expand;
mod glob;
mod io;
pub mod limits;
pub mod line_editor;
mod parse;
mod regex;
pub mod scp;
mod state;
#[cfg(test)]
mod tests;

pub use console::{Console, Reaction, Window};

#[cfg(test)]
use crate::persona::Family;
use crate::persona::Persona;
use crate::vfs::{Base, SharedVfs, Vfs, Written};
use std::net::IpAddr;
use std::sync::Arc;

use state::State;

/// What `wget`, `curl`, `tftp` and the like pretend. They never fetch anything.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub enum Downloads {
    /// The transfer seems to succeed and leaves a made-up file: attackers go on to their next step.
    #[default]
    Pretend,
    /// The transfer fails as on a machine without a way out.
    Fail,
}

/// Settings of the fake system.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub struct Settings {
    /// What downloads pretend.
    pub downloads: Downloads,
}

/// A fake machine: persona, base file tree and settings. Built once per trap and shared.
#[derive(Debug)]
pub struct System {
    pub(crate) base: Arc<Base>,
    pub(crate) settings: Settings,
}

impl System {
    /// Builds the machine of a persona; about a millisecond.
    #[must_use]
    pub fn new(persona: Persona, settings: Settings) -> Arc<System> {
        Arc::new(System { base: Arc::new(Base::new(Arc::new(persona))), settings })
    }

    /// The machine's persona.
    #[must_use]
    pub fn persona(&self) -> &Arc<Persona> {
        self.base.persona()
    }

    /// A fresh file tree for one connection; its channels share it.
    #[must_use]
    pub fn new_vfs(&self) -> SharedVfs {
        SharedVfs::new(Vfs::new(self.base.clone()))
    }
}

/// Who is logged in, from where: what `who`, `last` and `$SSH_CONNECTION` show.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Login {
    /// User name as given; an unknown name becomes an ordinary user of that name.
    pub user: String,
    /// The attacker's address.
    pub client_ip: IpAddr,
    /// The attacker's port.
    pub client_port: u16,
    /// The address the attacker connected to.
    pub server_ip: IpAddr,
    /// The port the attacker connected to.
    pub server_port: u16,
    /// Login time, Unix milliseconds.
    pub at_ms: i64,
    /// Whether it came over SSH (else Telnet).
    pub ssh: bool,
}

/// Something an attacker did that is worth an event.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Effect {
    /// A whole line was entered (`cowrie.command.input`).
    Line {
        /// The line as typed, without line end; invalid UTF-8 is replaced.
        input: String,
    },
    /// A simple command was looked up while running a line.
    Command {
        /// The words of the command joined by spaces.
        input: String,
        /// Whether such a command exists (`cowrie.command.failed` if not).
        found: bool,
    },
    /// A download was asked for; it was recorded and not fetched.
    Download {
        /// The URL as far as it can be told (`tftp://host/file` for tftp).
        url: String,
        /// The command used.
        tool: &'static str,
        /// Where the file was to go, absolute, or `-` for standard output.
        destination: String,
    },
    /// A file the attacker wrote, complete enough to keep: it is executed, removed, closed, or the session ends.
    FileWritten(Written),
    /// A program or script was run from a file.
    Executed {
        /// Absolute path.
        path: String,
        /// SHA-256 of its content if the attacker wrote it.
        sha256: Option<[u8; 32]>,
    },
    /// A password or key was set, or a user made.
    CredentialChange {
        /// The account.
        user: String,
        /// What the attacker typed: a password or a key line; empty if none was given.
        secret: String,
        /// The command used.
        tool: &'static str,
    },
    /// A connection to somewhere else was asked for (`ssh`, `nc`, `telnet`, `ping`); none was made.
    Connect {
        /// Host as given.
        host: String,
        /// Port as given or the tool's usual one; 0 for ping.
        port: u16,
        /// The command used.
        tool: &'static str,
    },
    /// The session's shell ended, or the machine seems to go down.
    Exit {
        /// Exit code.
        code: i32,
    },
}

/// Whether a shell can take the next line.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Progress {
    /// The line is done.
    Done,
    /// A command reads standard input; call [`Shell::resume`] with more.
    Reads {
        /// What it waits for.
        want: Want,
    },
    /// The shell ended with this code.
    Exited(i32),
}

/// What a reading command waits for.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Want {
    /// One more line.
    Line,
    /// One more line without echo: a password.
    Secret,
    /// Everything until the end of input.
    All,
}

/// What running a line led to.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Outcome {
    /// Standard output and standard error in the order they were written, with bare LF.
    pub output: Vec<u8>,
    /// Standard output alone.
    pub stdout: Vec<u8>,
    /// Standard error alone.
    pub stderr: Vec<u8>,
    /// `$?` afterwards.
    pub exit_code: i32,
    /// What to report, in order.
    pub effects: Vec<Effect>,
    /// How long a real machine would have taken; the trap may wait that long (bounded by [`limits::DELAY_MS_MAX`]).
    pub delay_ms: u64,
    /// Whether the shell is ready for the next line.
    pub progress: Progress,
}

/// One shell: variables, directory, users, history. [`Console`] wraps it for a channel.
#[derive(Debug)]
pub struct Shell {
    system: Arc<System>,
    vfs: SharedVfs,
    state: State,
    pending: Option<exec::Pending>,
}

impl Shell {
    /// A login shell for `login` on a machine, in the user's home directory.
    #[must_use]
    pub fn new(system: Arc<System>, vfs: SharedVfs, login: &Login, tty: bool) -> Shell {
        let state = State::new(&system, login, tty);
        Shell { system, vfs, state, pending: None }
    }

    /// Runs one line (or a whole script) typed by the attacker at `now_ms` (Unix milliseconds).
    ///
    /// Ends by itself whatever the line says. If [`Outcome::progress`] is [`Progress::Reads`], give the command its
    /// input with [`Shell::resume`]; running another line instead abandons it.
    pub fn run_line(&mut self, line: &[u8], now_ms: i64) -> Outcome {
        exec::start(self, line, None, now_ms)
    }

    /// As [`Shell::run_line`], with all of standard input known: what `ssh host command < file` sends.
    pub fn run_with_input(&mut self, line: &[u8], input: &[u8], now_ms: i64) -> Outcome {
        exec::start(self, line, Some(input), now_ms)
    }

    /// Gives a reading command more input; `end` says that no more will come.
    pub fn resume(&mut self, input: &[u8], end: bool, now_ms: i64) -> Outcome {
        exec::resume(self, input, end, now_ms)
    }

    /// Drops a reading command, as ^C does.
    pub fn interrupt(&mut self) {
        if self.pending.take().is_some() {
            self.state.last_status = 130;
        }
    }

    /// The prompt to show.
    #[must_use]
    pub fn prompt(&self) -> String {
        self.state.prompt(&self.system)
    }

    /// The text shown after login: message of the day and last login, with bare LF.
    #[must_use]
    pub fn greeting(&self, now_ms: i64) -> String {
        self.state.greeting(&self.system, now_ms)
    }

    /// Whether every shell level was left.
    #[must_use]
    pub fn is_exited(&self) -> bool {
        self.state.exited.is_some()
    }

    /// `$?`.
    #[must_use]
    pub fn exit_code(&self) -> i32 {
        self.state.last_status
    }

    /// The current directory.
    #[must_use]
    pub fn cwd(&self) -> &str {
        &self.state.top().cwd
    }

    /// The file tree, shared with the connection's other channels.
    #[must_use]
    pub fn vfs(&self) -> &SharedVfs {
        &self.vfs
    }

    /// Lines entered so far, oldest first.
    #[must_use]
    pub fn history(&self) -> &[String] {
        &self.state.history
    }

    /// Completes a partly typed line; see [`line_editor`].
    #[must_use]
    pub fn complete(&self, line: &str) -> Vec<String> {
        complete::complete(&self.state, &self.vfs.lock(), line)
    }

    /// Everything written and not yet reported; call it when the connection ends.
    #[must_use]
    pub fn finish(&mut self) -> Vec<Effect> {
        self.vfs.lock().take_written().into_iter().map(Effect::FileWritten).collect()
    }
}

//! A process under test: started with its output in files, signalled by its id, gone when the test ends.

use std::fs::{self, File};
use std::net::SocketAddr;
use std::path::{Path, PathBuf};
use std::process::{Child, Command, ExitStatus, Stdio};
use std::time::Duration;

use rustix::process::{Pid, Signal, kill_process};

use crate::procfs;
use crate::wait::{PATIENCE, until_within};

/// A binary of this workspace, from the folder that the tests were built into.
///
/// # Panics
/// If it has not been built: `cargo build --workspace --bins` (`cargo xtask test` does it).
pub fn binary(name: &str) -> PathBuf {
    let tests = std::env::current_exe().unwrap();
    let path = tests.parent().and_then(Path::parent).unwrap().join(name);
    assert!(
        path.is_file(),
        "{} is not built; run `cargo build --workspace --bins` first, or `cargo xtask test`",
        path.display()
    );
    path
}

/// A command of ours without anything of the caller's environment that would steer it.
pub fn command(name: &str) -> Command {
    let mut command = Command::new(binary(name));
    for (key, _) in std::env::vars_os() {
        if key.to_string_lossy().starts_with("HONEYBEE_") {
            command.env_remove(key);
        }
    }
    command.env("NO_COLOR", "1").stdin(Stdio::null());
    command
}

/// A running process. Dropping it kills it and everything it started.
#[derive(Debug)]
pub struct Process {
    child: Child,
    name: String,
    output: PathBuf,
}

impl Process {
    /// Starts a command; its output goes to `<name>.stdout` and `<name>.stderr` in `dir`.
    pub fn start(mut command: Command, dir: &Path, name: &str) -> Self {
        fs::create_dir_all(dir).unwrap();
        let output = dir.join(name);
        let file = |ending: &str| {
            File::options().create(true).append(true).open(output.with_extension(ending)).unwrap()
        };
        command.stdout(file("stdout")).stderr(file("stderr"));
        let child = command.spawn().unwrap_or_else(|cause| panic!("cannot start {name}: {cause}"));
        Self { child, name: name.to_owned(), output }
    }

    /// Its process id.
    pub fn pid(&self) -> u32 {
        self.child.id()
    }

    /// Everything it wrote to stdout so far, by every process of that name in that folder.
    pub fn stdout(&self) -> String {
        read(&self.output.with_extension("stdout"))
    }

    /// Everything it wrote to stderr so far.
    pub fn stderr(&self) -> String {
        read(&self.output.with_extension("stderr"))
    }

    /// Sends a signal to this process alone.
    pub fn signal(&self, signal: Signal) {
        send(self.pid(), signal);
    }

    /// SIGKILL, and waits until it is gone.
    pub fn kill9(&mut self) {
        self.signal(Signal::KILL);
        self.child.wait().unwrap();
    }

    /// SIGTERM, and waits for its end.
    pub async fn stop(&mut self) -> ExitStatus {
        self.signal(Signal::TERM);
        self.exited(PATIENCE).await
    }

    /// Waits for its end.
    pub async fn exited(&mut self, within: Duration) -> ExitStatus {
        let what = format!("{} ends", self.name);
        let child = &mut self.child;
        until_within(&what, within, async || child.try_wait().unwrap()).await
    }

    /// Whether it has not ended.
    pub fn is_running(&mut self) -> bool {
        self.child.try_wait().unwrap().is_none()
    }

    /// Where it listens.
    pub fn listeners(&self) -> Vec<SocketAddr> {
        procfs::listeners(self.pid())
    }

    /// Where it and its children listen.
    pub fn all_listeners(&self) -> Vec<SocketAddr> {
        let pids = std::iter::once(self.pid()).chain(procfs::descendants(self.pid()));
        pids.flat_map(procfs::listeners).collect()
    }
}

impl Drop for Process {
    fn drop(&mut self) {
        if self.is_running() {
            let started = procfs::descendants(self.pid());
            self.kill9();
            started.into_iter().filter(|pid| procfs::is_alive(*pid)).for_each(|pid| send(pid, Signal::KILL));
        }
        if std::thread::panicking() {
            let text = self.stderr();
            let tail: Vec<&str> = text.lines().rev().take(30).collect();
            eprintln!("--- the last lines of {} ---", self.name);
            tail.iter().rev().for_each(|line| eprintln!("{line}"));
        }
    }
}

fn send(pid: u32, signal: Signal) {
    let pid = Pid::from_raw(i32::try_from(pid).unwrap()).unwrap();
    // It may have ended on its own a moment ago.
    let _ = kill_process(pid, signal);
}

fn read(path: &Path) -> String {
    String::from_utf8_lossy(&fs::read(path).unwrap_or_default()).into_owned()
}
